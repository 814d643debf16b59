"""Measure what relevance matrices are meant to cost, and keep it in `figures/benchmarks.csv`; on a quiet machine.

    python -m tests.benchmarks.relevance_goals speed memory --before ../paperlib-before
    python -m tests.benchmarks.relevance_goals half --clips 200

speed: the tests of test_relevance.py: against N plain gradients, against transposed convolutions alone, against captum
and zennit. memory: the largest resident memory of a process per network, of this package and of another one (--before:
the folder that holds its `paperlib`). half: how much time precision="bfloat16" saves narrow networks at 32 frames, and
by how many frames it changes the average ATR of validation clips.
"""

import argparse
import os
import resource
import statistics
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import torch

from tests.benchmarks import measured

ROOT = Path(__file__).parents[2]
SPEED = "gradients or libraries or forward_passes"
MEMORY = [("I3D-R50-f16", 64, 224, 1), ("I3D-R50-f16", 64, 224, 4), ("I3D-R101-f32", 8, 64, 8)]  # width, pixels, clips
HALF = [
    f"{dataset}_hard/{name}-f32" for dataset in ("synth_ssv2", "synth_kinetics") for name in ("I3D-R50", "TAM2D-R50")
] + ["synth_ssv2/I3D-R101-f32", "synth_ssv2/TAM2D-R101-f32"]
BATCH = 8
BYTES = 4 * 2**30  # that relevance may occupy while memory is measured: what happens to be free plays no part


def speed():
    """Run the tests that measure time; they keep their rows themselves."""
    asked = ["tests/benchmarks/test_relevance.py", "--benchmark-enable", "-k", SPEED]
    subprocess.run([sys.executable, "-m", "pytest", "-q", "-s", "-p", "no:xdist", *asked], cwd=ROOT, check=True)


def peak(name, width, size, batch):
    """Return the largest resident memory of this process in MB after one relevance matrix with fresh weights."""
    from paperlib import models, relevance

    torch.manual_seed(0)
    model = models.create(name, num_classes=10, width=width).eval()
    clips = torch.rand(batch, 3, model.num_frames, size, size) * 4 - 1.7
    relevance.relevance_matrix(model, clips, 1, memory=BYTES)
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def memory(before=None):
    """Yield rows of the largest memory of every network in MEMORY, each and each package in a process of its own."""
    packages = {"peak MB": ROOT, **({"peak MB before": Path(before).resolve()} if before else {})}
    for case in MEMORY:
        asked = [sys.executable, __file__, "peak", *map(str, case)]
        running = {
            quantity: subprocess.Popen(
                asked,
                env={**os.environ, "PYTHONPATH": f"{folder}:{ROOT}", "OMP_NUM_THREADS": "1"},
                stdout=subprocess.PIPE,
                text=True,
                cwd=folder,
            )
            for quantity, folder in packages.items()
        }
        for quantity, process in running.items():
            printed, _ = process.communicate()
            if process.returncode:
                raise SystemExit(f"{quantity} of {case} could not be measured")
            yield "memory", "-".join(map(str, case)), quantity, float(printed)


def half(name, count):
    """Yield rows of what bfloat16 does to `count` validation clips of a network of the zoo."""
    from paperlib import relevance
    from paperlib.papers import analysis

    model, header, videos = analysis.opened(name, None, "val", None, "cpu", None)
    chosen = analysis.in_turn(np.asarray(videos.labels))[:count]
    averages, times = {None: [], "bfloat16": []}, {None: [], "bfloat16": []}
    for some in np.array_split(chosen, -(-len(chosen) // BATCH)):
        clips = analysis.clips_of(videos, some, header)
        logits = analysis.frame_logits(model, clips)
        targets = torch.as_tensor(np.asarray(videos.labels)[some])
        own = logits.gather(2, targets[:, None, None].expand(-1, logits.shape[1], 1))[..., 0]
        for precision in averages:
            began = time.process_time()
            A = relevance.relevance_matrix(model, clips, targets, precision=precision)
            times[precision].append(time.process_time() - began)
            averages[precision].append(relevance.atr(A, own).avg)
    change = (torch.cat(averages["bfloat16"]) - torch.cat(averages[None])).abs()
    change = change[~change.isnan()]  # no row of a clip has a positive logit
    ratios = [full / low for full, low in zip(times[None], times["bfloat16"], strict=True)]
    yield "half", name, "clips", len(change)
    yield "half", name, "speedup", statistics.median(ratios)
    yield "half", name, "seconds a clip", statistics.median(times["bfloat16"]) / BATCH
    yield "half", name, "mean change of avg-ATR", float(change.mean())
    yield "half", name, "95th percentile of the change", float(change.quantile(0.95))


def keep(rows):
    """Keep rows (part, case, quantity, value) with this processor's name, and print them."""
    device = measured.cpu()
    rows = list(rows)
    for row in rows:
        print(*row[:3], measured.written(row[3]), flush=True)
    name = "tests/benchmarks/relevance_goals.py::{}[{}]"
    measured.keep(
        [(name.format(part, case), device, what, measured.written(value)) for part, case, what, value in rows]
    )


def main(arguments=None):
    """Measure the parts asked for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("parts", nargs="+", choices=["speed", "memory", "half"])
    parser.add_argument("--before", help="folder that holds another version of paperlib, for memory")
    parser.add_argument("--clips", type=int, default=200, help="of each network, for half")
    parser.add_argument("--networks", nargs="+", default=HALF, help="of the zoo, for half")
    options = parser.parse_args(arguments)
    if "speed" in options.parts:
        speed()
    if "memory" in options.parts:
        keep(memory(options.before))
    if "half" in options.parts:
        for name in options.networks:
            keep(half(name, options.clips))


if __name__ == "__main__":
    if sys.argv[1:2] == ["peak"]:
        print(peak(sys.argv[2], *map(int, sys.argv[3:])))
    else:
        main()
