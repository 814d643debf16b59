"""How long trainings take that are still to be done, from how fast clips were seen so far."""

from functools import lru_cache

import numpy as np
import torch

from .. import data, models
from ..errors import InputError
from ..models.factory import sized
from . import progress


def remaining(recipes, jobs):
    """Return about how many seconds recipes {checkpoint: Recipe} still take, `jobs` at a time; None if that is unknown.

    The clips that each has still to see, times the seconds a clip took in that network (on any data set, by any seed,
    in this project folder); in a network not met yet as long for a multiply-accumulate as in those met.
    """
    notes = [note for note in map(progress.read, _noted()) if note.get("clips")]
    speeds = {}
    for note in notes:
        speeds.setdefault((note["network"], note["size"]), []).append(note["seconds"] / note["clips"])
    if not speeds:
        return None
    speeds = {network: np.mean(seconds) for network, seconds in speeds.items()}
    paces = [seconds / cost for network, seconds in speeds.items() if (cost := _cost(*network))]
    per_epoch = {note["dataset"]: note["of"] / note["epochs"] for note in notes}

    def of_a_clip(recipe):
        network = (recipe.name, recipe.size)
        cost = None if network in speeds else _cost(*network)
        return np.mean(paces) * cost if cost and paces else speeds.get(network, np.mean(list(speeds.values())))

    seconds = [_clips(key, recipe, per_epoch) * of_a_clip(recipe) for key, recipe in recipes.items()]
    return float(max(sum(seconds) / jobs, max(seconds, default=0.0)))


def words(seconds):
    """Return a duration as one says it: 40 s, 12 min, 3 h 20 min."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 90 else f"{minutes // 60} h {minutes % 60} min"


def _clips(key, recipe, per_epoch):
    """Return how many clips a training has still to see; per_epoch: known clips of an epoch, by data set."""
    note = progress.read(key)
    begun = note.get("epochs") == recipe.epochs and "finished" not in note
    if begun and (progress.file(key, "pt").is_file() or progress.busy(key)):
        return note["of"] - note["clips"]
    usual = np.mean(list(per_epoch.values()))
    listed = None if recipe.held_out else _videos(recipe.dataset, recipe.size, recipe.limit)
    return recipe.epochs * (per_epoch.get(recipe.dataset, usual) if listed is None else listed)


@lru_cache(maxsize=256)
def _cost(name, size):
    """Return the multiply-accumulates of one clip, to compare networks by; None for one that takes further options."""
    try:
        with torch.device("meta"):
            model = models.create(name, num_classes=1, **({"size": size} if sized(name) else {}))
        return models.count(model, size).flops
    except (InputError, RuntimeError):
        return None


@lru_cache(maxsize=256)
def _videos(dataset, size, limit):
    """Return how many training videos a data set has, None where that cannot be told."""
    try:
        return len(data.load(dataset, "train", size=size, limit=limit or None))
    except InputError:
        return None


def _noted():
    """Return the checkpoints whose training has noted how far it is."""
    return [file.stem.replace("-", "/", 1) for file in progress.pause_file().parent.glob("*.json")]
