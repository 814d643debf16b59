"""Procedural video datasets: pure functions of (class, video, time), the same pixels on every machine."""

from . import hard, kinetics, mit, ssv2
from .dataset import Procedural
from .events import Eventful
from .kth import Kth

# name -> (module, videos per class in train, in val)
DATASETS = {
    "synth_ssv2": (ssv2, 125, 25),
    "synth_kinetics": (kinetics, 200, 40),
    "synth_mit": (mit, 167, 33),
    "synth_ssv2_hard": (hard.motion_events, 50, 20),
    "synth_kinetics_hard": (hard.scene_events, 50, 40),
    "synth_mit_hard": (hard.moment_events, 60, 33),
}


def load(name, split="train", size=64, limit=None, root=None):
    """Return a procedural dataset by name; `root` is not used."""
    if name == "synth_kth":
        return Kth(split, size, limit)
    if name == "synth_kth_hard":
        return hard.pose_events.KthHard(split, size, limit)
    module, train, val = DATASETS[name]
    kind = Eventful if name.endswith("_hard") else Procedural
    return kind(name, split, module, train if split == "train" else val, size, limit)
