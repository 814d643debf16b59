"""The steps of gpu.sh, a process each: `python -m tests.benchmarks.gpu_steps STEP --parts DIR [--dry]`.

Every step appends rows (quantity by quantity, as soon as it knows them) to DIR/<step>.csv, and what is no single number
to DIR/<step>.json, so that what was measured before a time limit is not lost. --dry: tiny settings on the CPU.
"""

import argparse
import csv
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from importlib import metadata, util
from pathlib import Path

from .measured import COLUMNS, cpu, gpu, written

PACKAGES = {  # what a step needs besides torch, torchvision and numpy; import name: what lacks without it
    "pandas": "everything",
    "scipy": "everything",
    "psutil": "everything",
    "yaml": "everything",
    "safetensors": "everything",
    "tqdm": "everything",
    "cv2": "everything",
    "pytest": "step tests",
    "pytest_benchmark": "step tests",
    "pytest_timeout": "step tests",
    "papermill": "the test of a notebook on both devices",
    "ipykernel": "the test of a notebook on both devices",
    "jupyter_client": "the test of a notebook on both devices",
    "matplotlib": "the test of a notebook on both devices",
    "zennit": "the comparison with zennit",
    "captum": "the comparison with captum",
    "av": "step zoo",
}
KEY = "synth_ssv2/TAM2D-R18-f8"  # trained in step zoo; the notebook's test takes its checkpoint too
SETTINGS = {
    "models": {  # clips at once
        "I3D-R50-f16": 8,
        "TAM2D-R50-f16": 8,
        "I3D-R50-f32": 4,
        "TAM2D-R50-f32": 4,
        "swin3d_t-f16": 8,
    },
    "relevance": ["--repeats", "2", "--device", "cuda"],
    "peers": 16,  # frames up to which the other libraries are tried
    "mask models": ["TAM2D-R18-f16", "I3D-R18-f16"],
    "masks": {"clips": 64, "size": 112, "width": 64, "iterations": 10},
    "device": "cuda",
}
DRY = {
    "models": {"I3D-R18-f4": 2, "swin3d_t-f16": 1},
    "relevance": ["--repeats", "1", "--device", "cpu", "--width", "4", "--size", "32"],
    "peers": 4,
    "mask models": ["TAM2D-R18-f4"],
    "masks": {"clips": 3, "size": 32, "width": 4, "iterations": 2},
    "device": "cpu",
}
TINY_ZOO = """
defaults: {width: 4, size: 16, epochs: 1, limit: 32, batch: 16, lr: 0.1}
models: [{model: TAM2D-R18-f8, dataset: synth_ssv2}]
"""


class Notes:
    """What one step found: rows of the results and, in `more`, what is no single number."""

    def __init__(self, step, parts, dry):
        self.step, self.dry, self.folder = step, dry, Path(parts)
        self.device = cpu() if dry else gpu()
        self.more = {}

    def add(self, case, found):
        """Append {quantity: value} of one case, and print them."""
        test = f"tests/benchmarks/gpu.sh{' --dry' if self.dry else ''}::{self.step}[{case}]"
        file = self.folder / f"{self.step}.csv"
        new = not file.is_file()
        with open(file, "a", newline="", encoding="utf-8") as opened:
            rows = csv.writer(opened, lineterminator="\n")
            rows.writerows([COLUMNS] if new else [])
            rows.writerows((test, self.device, quantity, written(value)) for quantity, value in found.items())
        print(f"{case}: " + ", ".join(f"{quantity} {written(value)}" for quantity, value in found.items()), flush=True)

    def keep(self, name, content):
        """Put something that becomes JSON under a name beside the rows."""
        self.more[name] = content
        (self.folder / f"{self.step}.json").write_text(json.dumps(self.more, indent=1), encoding="utf-8")


def about(notes, settings):
    """Say which device and software these are, and what is missing; ends with 2 where there is no GPU."""
    import torch

    if notes.device is None:
        sys.exit("gpu.sh: torch sees no NVIDIA GPU here; `gpu.sh --dry OUT` tries the script on a CPU")
    missing = {name: lacks for name, lacks in PACKAGES.items() if util.find_spec(name) is None}
    for name, lacks in missing.items():
        print(f"missing: {name} (without it: no {lacks})", flush=True)
    names = ("torch", "torchvision", "numpy", "captum", "zennit", "triton")
    found = {name: version for name in names if (version := _version(name))}
    notes.keep("missing packages", missing)
    notes.keep("versions", {"python": sys.version.split()[0], **found})
    notes.keep("device", notes.device)
    notes.keep("processor", cpu())
    if not notes.dry:
        properties = torch.cuda.get_device_properties(0)
        notes.keep("memory in GB", properties.total_memory / 1e9)
        notes.keep("CUDA, cuDNN", [torch.version.cuda, torch.backends.cudnn.version()])


def _version(name):
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None


def relevance(notes, settings):
    """Measure relevance in every precision, where a network can be explained; zennit and captum on one clip of it."""
    from . import relevance_throughput as throughput

    options = throughput.parser().parse_args(settings["relevance"])
    for name, options.batch in settings["models"].items():
        with attempt(notes, name):
            one_network(notes, name, options, throughput.network(name, options), settings["peers"])


def one_network(notes, name, options, prepared, most_frames):
    """Measure one network; the other libraries and the profiler only up to so many frames."""
    from . import relevance_throughput as throughput

    reference, rate = None, None
    with attempt(notes, f"{name}-float64"):
        reference = throughput.exact(*prepared)
    for precision in ("bfloat16", "tf32", "float32"):
        with attempt(notes, f"{name}-{precision}"):
            found = throughput.measure(name, precision, options, prepared, reference)
            notes.add(f"{name}-{precision}", found)
            rate = found["clips_per_second"] if precision == "tf32" else rate
    if prepared[0].num_frames > most_frames:
        return
    with throughput.matrix_units(True):
        for library in ("zennit", "captum"):
            with attempt(notes, f"{name}-{library}"):
                notes.add(f"{name}-{library}", peer(library, *prepared[:2], rate))
    for precision in ("bfloat16", "tf32"):
        with attempt(notes, f"{name}-{precision}-profile"):
            notes.keep(f"profile of {name} in {precision}", profile(precision, *prepared))


class attempt:
    """Context in which a fault becomes a row, so that what comes after it is measured nevertheless."""

    def __init__(self, notes, case):
        self.notes, self.case = notes, case

    def __enter__(self):
        return self

    def __exit__(self, kind, error, trace):
        if kind is None or not issubclass(kind, Exception):
            return False
        import torch

        self.notes.add(self.case, {"outcome": f"{kind.__name__}: {' '.join(str(error).split())[:300]}"})
        if torch.cuda.is_available():
            torch.cuda.empty_cache()
        return True


def peer(library, model, clips, ours):
    """Return what another library takes for the rows of one clip's matrix: two of them timed, and multiplied."""
    from . import peers
    from .floor import synchronise
    from .timing import seconds

    run = {"zennit": peers.with_zennit, "captum": peers.with_captum}[library]
    steps, classes = model.frame_logits(clips[:1]).shape[1:]
    probes = [1, classes + 1]

    def both():
        run(model, clips[:1], probes)
        synchronise(clips.device)

    took = seconds(both, 2) * steps / len(probes)
    found = {"clips_per_second": 1 / took}
    if ours:  # clips per second of ours at the same precision, tf32; contrastive relevance takes two such loops
        found |= {"times_slower": took * ours, "times_slower_contrastive": 2 * took * ours}
    return found


def profile(precision, model, clips, targets, most=15):
    """Return where one relevance matrix spends its time: seconds, seconds of the GPU, and its longest kernels."""
    from torch.autograd import DeviceType
    from torch.profiler import ProfilerActivity
    from torch.profiler import profile as profiler

    from paperlib.relevance import relevance_matrix

    from .floor import synchronise
    from .relevance_throughput import matrix_units

    on_gpu = clips.device.type == "cuda"
    activities = [ProfilerActivity.CPU] + ([ProfilerActivity.CUDA] if on_gpu else [])
    own = "self_device_time_total" if on_gpu else "self_cpu_time_total"
    with matrix_units(True), profiler(activities=activities) as found:
        began = time.perf_counter()
        relevance_matrix(model, clips, targets, precision="bfloat16" if precision == "bfloat16" else None)
        synchronise(clips.device)
        whole = time.perf_counter() - began
    events = found.key_averages()
    if on_gpu:  # kernels, not the operations that launched them, or their time would count twice
        events = [event for event in events if event.device_type == DeviceType.CUDA]
    events = sorted(events, key=lambda event: getattr(event, own), reverse=True)
    return {
        "seconds under the profiler": whole,
        "seconds of kernels": sum(getattr(event, own) for event in events) / 1e6,
        "longest": [[event.key[:120], event.count, getattr(event, own) / 1e6] for event in events[:most]],
    }


def masks(notes, settings):
    """Learn the masks of many clips at once and one by one."""
    for name in settings["mask models"]:
        with attempt(notes, name):
            notes.add(name, together_and_alone(name, settings["device"], **settings["masks"]))


def together_and_alone(name, device, clips, size, width, iterations):
    """Return the seconds of learning masks in one batch and one by one, and the largest difference of a mask."""
    import torch

    from paperlib import masks, models

    from .floor import synchronise
    from .timing import seconds

    torch.manual_seed(0)
    model = models.create(name, num_classes=11, width=width).eval()
    with torch.no_grad():
        model.fc.weight.mul_(50)  # scores that differ enough for a mask to matter
    model, some = model.to(device), torch.randn(clips, 3, model.num_frames, size, size).to(device)
    fixed = {"iterations": iterations, "initial": "full", "tolerance": 0, "batch_size": clips}

    def together():
        found = masks.learn(model, some, **fixed).mask
        synchronise(device)
        return found

    def alone():
        found = torch.cat([masks.learn(model, clip[None], **fixed).mask for clip in some])
        synchronise(device)
        return found

    masks.learn(model, some[:1], **fixed)
    batch = seconds(together, 2)
    began = time.perf_counter()
    each = alone()
    one_by_one = time.perf_counter() - began
    return {
        "clips": clips,
        "iterations": iterations,
        "seconds together": batch,
        "seconds one by one": one_by_one,
        "speedup": one_by_one / batch,
        "largest difference of a mask": float((together() - each).abs().max()),
    }


def zoo(notes, settings):
    """Train one zoo model anew and compare its accuracy with that of the CPU's, whose checkpoint came along.

    --dry trains a tiny model twice, since there is no checkpoint of it.
    """
    from paperlib.storage import paths
    from paperlib.training import checkpoints

    lists, file = paths.ROOT / "data", Path("data") / "checkpoints" / f"{KEY}.safetensors"
    with tempfile.TemporaryDirectory() as folder:
        card, other = Path(folder) / "card", Path(folder) / "cpu"
        for project in (card, other):
            (project / "data").mkdir(parents=True)
            shutil.copy(lists / "zoo.yaml", project / "data")
            if notes.dry:
                (project / "data" / "zoo.yaml").write_text(TINY_ZOO, encoding="utf-8")
        (other / "data" / "cache").symlink_to(card / "data" / "cache")  # the same videos
        took = train(card, settings["device"])
        header = checkpoints.meta(card / file)
        notes.add(KEY, {"seconds with rendering": took, "seconds": header["seconds"], "accuracy": header["accuracy"]})
        if notes.dry:
            train(other, "cpu")
        elif (paths.ROOT / file).is_file():
            (other / file).parent.mkdir(parents=True)
            shutil.copy(paths.ROOT / file, other / file)
        else:
            notes.add(KEY, {"accuracy of the CPU's": f"unknown, {file} did not come along"})
            return
        cpus = checkpoints.meta(other / file)
        if cpus["recipe"] != header["recipe"]:
            notes.add(KEY, {"accuracy of the CPU's": "unknown, that one was trained by another recipe"})
            return
        difference = header["accuracy"] - cpus["accuracy"]
        notes.add(KEY, {"accuracy of the CPU's": cpus["accuracy"], "difference": difference})


def train(project, device):
    """Train KEY in a project folder of its own by the command line; returns the seconds it took."""
    began = time.perf_counter()
    command = [sys.executable, "-m", "paperlib.cli", "zoo", "train", KEY, "--device", device]
    subprocess.run(command, check=True, env={**os.environ, "PAPERLIB_HOME": str(project)})
    return time.perf_counter() - began


def main(arguments=None):
    """Run one step."""
    steps = {"about": about, "relevance": relevance, "masks": masks, "zoo": zoo}
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("step", choices=steps)
    parser.add_argument("--parts", required=True, help="folder of rows")
    parser.add_argument("--dry", action="store_true")
    options = parser.parse_args(arguments)
    steps[options.step](Notes(options.step, options.parts, options.dry), DRY if options.dry else SETTINGS)


if __name__ == "__main__":
    main()
