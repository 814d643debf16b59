"""Procedural video datasets: pure functions of (class, video, time), the same pixels on every machine."""

from . import kinetics, mit, ssv2
from .dataset import Procedural
from .kth import Kth

# name -> (module, videos per class in train, in val)
DATASETS = {
    "synth_ssv2": (ssv2, 125, 25),
    "synth_kinetics": (kinetics, 200, 40),
    "synth_mit": (mit, 167, 33),
}


def load(name, split="train", size=64, limit=None, root=None):
    """Return a procedural dataset by name; `root` is not used."""
    if name == "synth_kth":
        return Kth(split, size, limit)
    module, train, val = DATASETS[name]
    return Procedural(name, split, module, train if split == "train" else val, size, limit)
