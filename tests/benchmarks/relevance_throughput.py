"""Print clips per second, forward passes, share of the device's peak and peak memory of relevance matrices.

    python -m tests.benchmarks.relevance_throughput --device cuda --precision tf32 bfloat16 --check
    python -m tests.benchmarks.relevance_throughput --model TAM2D-R18-f8 --width 8 --size 32 --device cpu

Precisions: float32; tf32, float32 whose products take matrix units; bfloat16, relevance goes down in half precision
(`relevance_matrix(precision="bfloat16")`) and the rest is tf32.

Work is counted as convolution multiply-accumulates (two operations each): one forward pass, one for the denominators
and the transposed convolutions that were really computed. Their time alone, by the library's own backward-data
convolutions, is the floor. The peak is the device's on its data sheet, or --peak in TFLOP/s. --check compares
with float64 on the first clip.
"""

import argparse
import contextlib

import torch

from paperlib import models, relevance
from tests.benchmarks import floor
from tests.benchmarks.timing import seconds

DEFAULT = ("I3D-R50-f16", "I3D-R50-f32")
PRECISIONS = ("float32", "tf32", "bfloat16")
# TFLOP/s without sparsity from NVIDIA's data sheets, by part of the card's name
PEAKS = {
    "H200": {"float32": 67, "tf32": 494.7, "bfloat16": 989.4},
    "H100 PCIe": {"float32": 51, "tf32": 378, "bfloat16": 756},
    "H100": {"float32": 67, "tf32": 494.7, "bfloat16": 989.4},
    "A100": {"float32": 19.5, "tf32": 156, "bfloat16": 312},
}


@contextlib.contextmanager
def matrix_units(allowed):
    """Let products of float32 on a GPU take matrix units, which round their factors to tf32, or not."""
    before = torch.backends.cuda.matmul.allow_tf32, torch.backends.cudnn.allow_tf32
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = allowed
    try:
        yield
    finally:
        torch.backends.cuda.matmul.allow_tf32, torch.backends.cudnn.allow_tf32 = before


def peak(device, precision):
    """Return the TFLOP/s on the data sheet of a GPU, None for one that PEAKS does not have."""
    if torch.device(device).type != "cuda":
        return None
    name = torch.cuda.get_device_name(device)
    return next((peaks[precision] for part, peaks in PEAKS.items() if part in name), None)


def network(name, options):
    """Return a network with fresh weights on the device, clips [B, 3, T, H, W] that fit it, and their targets [B]."""
    torch.manual_seed(0)
    model = models.create(name, num_classes=174, width=options.width).eval().to(options.device)
    clips = torch.rand(options.batch, 3, model.num_frames, options.size, options.size) * 4 - 1.8
    return model, clips.to(options.device), torch.arange(options.batch, device=options.device) % 174


def exact(model, clips, targets):
    """Return the relevance matrix of the first clip in float64."""
    found = relevance.relevance_matrix(model.double(), clips[:1].double(), targets[:1])
    model.float()
    return found


def measure(name, precision, options, prepared=None, reference=None):
    """Return the numbers of one network in one precision as a dict.

    prepared: (model, clips, targets) as of `network`; reference: what `exact` gives, None for no comparison.
    """
    model, clips, targets = prepared or network(name, options)
    half = {"precision": "bfloat16"} if precision == "bfloat16" else {}

    def matrix():
        found = relevance.relevance_matrix(model, clips, targets, **half)
        floor.synchronise(options.device)
        return found

    @torch.no_grad()
    def forward():
        model(clips)
        floor.synchronise(options.device)

    with matrix_units(precision != "float32"):
        with floor.recorded() as calls:
            found = matrix()
        if on_gpu := torch.device(options.device).type == "cuda":
            torch.cuda.reset_peak_memory_stats()
        took = seconds(matrix, options.repeats)
        memory = torch.cuda.max_memory_allocated() if on_gpu else None
        passed = seconds(forward, options.repeats)
        least = {last: floor.floor(calls, options.device, last) for last in (False, True)}
    work = 2 * (floor.macs(calls) + 2 * len(clips) * models.count(model, size=options.size).flops) / 1e12
    top = options.peak or peak(options.device, precision)
    result = dict(
        model=name,
        precision=precision,
        batch=len(clips),
        size=options.size,
        clips_per_second=len(clips) / took,
        forward_passes=took / passed,
        floor_clips_per_second=len(clips) / least[False],
        times_floor=took / least[False],
        times_floor_channels_last=took / least[True],
        tflops=work / took,
    )
    if top:
        result["share_of_peak"] = work / took / top
    if memory is not None:
        result["peak_memory_gb"] = memory / 1e9
    if reference is not None:
        result["error"] = float((found[:1].double() - reference).abs().max() / reference.abs().max())
    return result


def parser():
    """Return the parser of this script's options."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", nargs="+", default=DEFAULT)
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--precision", nargs="+", choices=PRECISIONS, default=["float32"])
    parser.add_argument("--batch", type=int, default=4)
    parser.add_argument("--size", type=int, default=224)
    parser.add_argument("--width", type=int, default=64)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--peak", type=float, help="TFLOP/s of the device at this precision")
    parser.add_argument("--check", action="store_true", help="compare with float64")
    return parser


def main(arguments=None):
    """Measure the networks asked for and print one line each."""
    options = parser().parse_args(arguments)
    results = []
    for name in options.model:
        prepared = network(name, options)
        reference = exact(*prepared) if options.check else None
        for precision in options.precision:
            results.append(measure(name, precision, options, prepared, reference))
            said = results[-1].items()
            print("  ".join(f"{k} {v:.4g}" if isinstance(v, float) else f"{k} {v}" for k, v in said), flush=True)
    return results


if __name__ == "__main__":
    main()
