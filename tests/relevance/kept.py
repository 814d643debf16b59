"""Relevance of small networks as it was computed before quotients were held, kept in kept.npz.

    python -m tests.relevance.kept

writes the file anew from the code at hand: {case: matrix in float64} and {case + " float32": error of float32}, the
largest of the clip and its mirror images, since how roundings meet is chance.
"""

import functools
from pathlib import Path

import numpy as np
import torch
from torch import nn

from paperlib import models, relevance

from .networks import (
    Folded,
    Frames,
    Pools,
    PreActivated,
    Recurrent,
    Residual,
    ShiftInPlace,
    SqueezeExcitation,
    Twice,
    clip,
    plain,
    settle,
)

FILE = Path(__file__).with_name("kept.npz")


def blocks(*made, size=12, batch=2, classes=4, frames=5):
    """Return (network of these blocks behind a first layer, clip)."""
    front = [nn.Conv3d(3, 4, (3, 3, 3), padding=1), nn.BatchNorm3d(4), nn.ReLU(inplace=True)]
    return Frames(nn.Sequential(*front, *made), 4, classes), clip(frames, size, batch)


def named(name, pixels=32, width=8, **options):
    """Return (a network of the framework by its name, clip)."""
    model = models.create(name, num_classes=4, width=width, **options)
    return model, clip(model.num_frames, pixels, 2)


def drawn(model):
    """Draw every tensor of a model anew, with its mean and spread to two digits, by NumPy, and return the model.

    What PyTorch draws differs in its last bits from one set of instructions to another.
    """
    numbers = np.random.default_rng(0)
    for tensor in model.state_dict().values():
        if tensor.is_floating_point():
            mean, spread = (float(f"{value:.2g}") for value in (tensor.mean(), tensor.std(correction=0)))
            tensor.copy_(torch.from_numpy(mean + spread * numbers.uniform(-(3**0.5), 3**0.5, tensor.shape)))
    return model


def deadened(model):
    """Make a third of the weights of every layer so low that units die, and return the model."""
    for module in model.modules():
        if isinstance(module, (nn.Conv3d, nn.Conv2d)):
            module.weight.data[::3] = -module.weight.data[::3].abs()
    return model


def everything():
    """Return (a network with most kinds of blocks, clip)."""
    return blocks(
        ShiftInPlace(), Folded(4, 5), Residual(4, groups=2), SqueezeExcitation(4), Twice(4), PreActivated(4), Pools()
    )


NETWORKS = {
    "plain": lambda: (plain(), clip(5, batch=2)),
    "residual": lambda: blocks(Residual(4), nn.MaxPool3d((1, 2, 2)), Residual(4, dilation=2)),
    "gate": lambda: blocks(SqueezeExcitation(4), Residual(4)),
    "twice": lambda: blocks(Twice(4), nn.AvgPool3d((1, 2, 2)), Twice(4)),
    "shift": lambda: blocks(ShiftInPlace(), Twice(4)),
    "folded": lambda: blocks(Folded(4, 5), Residual(4)),
    "pools": lambda: blocks(Pools(), Twice(4)),
    "pre-activated": lambda: blocks(PreActivated(4), PreActivated(4), nn.BatchNorm3d(4), nn.ReLU()),
    "smooth": lambda: blocks(nn.GELU(), nn.GroupNorm(2, 4), Twice(4), nn.Upsample(scale_factor=(1, 2, 2))),
    "transposed": lambda: blocks(
        nn.ConvTranspose3d(4, 4, (1, 2, 2), (1, 2, 2)), nn.Conv3d(4, 4, 2, padding="same"), nn.ReLU()
    ),
    "everything": everything,
    "LSTM": lambda: (Recurrent(4), clip(5, batch=2)),
    "dead": lambda: blocks(Residual(4), nn.MaxPool3d((1, 2, 2)), Residual(4), Twice(4)),
    "dead I3D-R18-f4": lambda: named("I3D-R18-f4"),
    "I3D-R18-f4": lambda: named("I3D-R18-f4"),
    "I3D-R50-f4": lambda: named("I3D-R50-f4", width=4),
    "TAM2D-R18-f4": lambda: named("TAM2D-R18-f4"),
    "TAM2D-R50-f4": lambda: named("TAM2D-R50-f4", width=4),
    "S3D-R18-f8-tp": lambda: named("S3D-R18-f8-tp"),
    "TSM-R18-f4": lambda: named("TSM-R18-f4"),
    "NLN-R18-f4": lambda: named("NLN-R18-f4", width=4),
    "TAM2D-Inc-f4": lambda: named("TAM2D-Inc-f4", 48, width=4),
    "SlowFast": lambda: named("SlowFast-R50-2x8"),
    "C-LSTM-f4": lambda: named("C-LSTM-f4", 24, 4, size=24, layers=2),
}
CLRP, LRP = dict(), dict(method="lrp")
OF_EVERYTHING = {
    "dual": dict(method="dual"),
    "type 1": dict(contrast=1),
    "normalised": dict(normalise=True),
    "per frame": dict(clip_at="frame"),
    "split": dict(rows="split"),
    "gamma": dict(rules={nn.Conv3d: relevance.Gamma(0.1), "mean": relevance.Epsilon()}),
    "epsilon": dict(rules={nn.Conv3d: relevance.Epsilon(1e-3), "fc": relevance.Epsilon(1e-3, bias=True)}),
    "others": dict(
        rules={"trunk.5": relevance.WSquare(), "trunk.7": relevance.Flat(), "trunk.8.conv": relevance.Exclude()}
    ),
    "biases": dict(rules={nn.Conv3d: relevance.ZPlus(bias=True)}),
    "attnlrp": dict(rules="attnlrp"),
}
CASES = {f"{name} {method}": (name, how) for name in NETWORKS for method, how in (("clrp", CLRP), ("lrp", LRP))}
CASES |= {f"everything {name}": ("everything", how) for name, how in OF_EVERYTHING.items()}
CASES |= {
    "residual split": ("residual", dict(rows="split")),
    "I3D-R18-f4 split": ("I3D-R18-f4", dict(rows="split")),
    "dead dual": ("dead", dict(method="dual")),
}


@functools.lru_cache(maxsize=2)
def network(name):
    """Return (the network in float32, clip) of NETWORKS, with batch norms as training would leave them."""
    torch.manual_seed(0)
    model, x = NETWORKS[name]()
    model = drawn(settle(model))
    return deadened(model) if name.startswith("dead") else model, x


def compute(case, mirrored=()):
    """Return the matrix [B, T', N] of a case in float64, and the largest error of float32 as a part of its largest.

    mirrored: dimensions along which the clip is turned round.
    """
    name, how = CASES[case]
    model, x = network(name)
    x, targets = x.flip(mirrored), [1, 3][: len(x)]
    try:
        exact = relevance.relevance_matrix(model.double(), x.double(), targets, **how)
    finally:
        model.float()
    single = relevance.relevance_matrix(model, x, targets, **how)
    return exact.numpy(), float((single - exact).abs().max() / exact.abs().max())


def main():
    """Write FILE from the code at hand."""
    found = {}
    for case in CASES:
        found[case], error = compute(case)
        found[f"{case} float32"] = max(error, *(compute(case, turned)[1] for turned in ([-1], [-2])))
        print(f"{case:30} {found[case].shape} {found[f'{case} float32']:.1e}", flush=True)
    np.savez_compressed(FILE, **found)


if __name__ == "__main__":
    main()
