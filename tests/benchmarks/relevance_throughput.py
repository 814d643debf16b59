"""Print clips per second, share of the device's peak and peak memory of relevance matrices.

    python tests/benchmarks/relevance_throughput.py --device cuda --precision tf32
    python tests/benchmarks/relevance_throughput.py --model TAM2D-R18-f8 --width 8 --size 32 --device cpu

Work is counted as convolution multiply-accumulates (two operations each) that the engine must do: one forward
pass, one for the denominators and one per output step and clip. --peak is the device's peak in TFLOP/s at the chosen
precision, from its data sheet. --check compares with float64 on a quarter of the clips.
"""

import argparse
import contextlib
import time

import torch

from paperlib import models, relevance

DEFAULT = ("I3D-R50-f16", "I3D-R50-f32")


@contextlib.contextmanager
def precision(name, device):
    """fp32, or matrix units with tf32 inputs, or bf16 weights and activations."""
    before = torch.backends.cuda.matmul.allow_tf32, torch.backends.cudnn.allow_tf32
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = name == "tf32"
    try:
        yield torch.bfloat16 if name == "bf16" else torch.float32
    finally:
        torch.backends.cuda.matmul.allow_tf32, torch.backends.cudnn.allow_tf32 = before


def measure(name, options):
    """Return the numbers of one network as a dict."""
    device = torch.device(options.device)
    torch.manual_seed(0)
    model = models.create(name, num_classes=174, width=options.width).eval().to(device)
    macs = models.count(model, size=options.size).flops
    clips = torch.rand(options.batch, 3, model.num_frames, options.size, options.size, device=device) * 4 - 2
    targets = torch.arange(options.batch, device=device) % 174
    exact = None
    if options.check:
        few = max(1, options.batch // 4)
        exact = relevance.relevance_matrix(model.double(), clips[:few].double(), targets[:few])
        model.float()
    with precision(options.precision, device) as kind:
        model, clips = model.to(kind), clips.to(kind)
        found = relevance.relevance_matrix(model, clips, targets)
        if device.type == "cuda":
            torch.cuda.synchronize()
            torch.cuda.reset_peak_memory_stats()
        begun = time.perf_counter()
        for _ in range(options.repeats):
            relevance.relevance_matrix(model, clips, targets)
        if device.type == "cuda":
            torch.cuda.synchronize()
        elapsed = (time.perf_counter() - begun) / options.repeats
    rate = options.batch / elapsed
    steps = found.shape[1]
    tera = 2 * macs * (2 + steps) * rate / 1e12
    result = dict(model=name, clips_per_second=rate, tflops=tera)
    if options.peak:
        result["share_of_peak"] = tera / options.peak
    if device.type == "cuda":
        result["peak_memory_gb"] = torch.cuda.max_memory_allocated() / 1e9
    if exact is not None:
        result["error"] = float((found[: len(exact)].double() - exact).abs().max() / exact.abs().max())
    return result


def main(arguments=None):
    """Measure the networks asked for and print one line each."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", nargs="+", default=DEFAULT)
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--precision", choices=("fp32", "tf32", "bf16"), default="fp32")
    parser.add_argument("--batch", type=int, default=4)
    parser.add_argument("--size", type=int, default=224)
    parser.add_argument("--width", type=int, default=64)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--peak", type=float, help="TFLOP/s of the device at this precision")
    parser.add_argument("--check", action="store_true", help="compare with float64")
    options = parser.parse_args(arguments)
    results = []
    for name in options.model:
        results.append(measure(name, options))
        print("  ".join(f"{k} {v:.4g}" if isinstance(v, float) else str(v) for k, v in results[-1].items()), flush=True)
    return results


if __name__ == "__main__":
    main()
