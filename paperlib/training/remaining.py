"""How long trainings take that are still to be done, from how fast clips were seen so far."""

from functools import lru_cache

import numpy as np

from .. import data
from ..errors import InputError
from . import progress


def remaining(recipes, jobs):
    """Return about how many seconds recipes {checkpoint: Recipe} still take, `jobs` at a time; None if that is unknown.

    The clips that each has still to see, times the seconds a clip took in that network (on any data set, by any seed,
    in this project folder); a network not met yet takes the mean of those met.
    """
    notes = [note for note in map(progress.read, _noted()) if note.get("clips")]
    speeds = {}
    for note in notes:
        speeds.setdefault((note["network"], note["size"]), []).append(note["seconds"] / note["clips"])
    if not speeds:
        return None
    speeds = {network: np.mean(seconds) for network, seconds in speeds.items()}
    usual, per_epoch = np.mean(list(speeds.values())), {note["dataset"]: note["of"] / note["epochs"] for note in notes}
    seconds = [
        _clips(key, recipe, per_epoch) * speeds.get((recipe.name, recipe.size), usual)
        for key, recipe in recipes.items()
    ]
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
def _videos(dataset, size, limit):
    """Return how many training videos a data set has, None where that cannot be told."""
    try:
        return len(data.load(dataset, "train", size=size, limit=limit or None))
    except InputError:
        return None


def _noted():
    """Return the checkpoints whose training has noted how far it is."""
    return [file.stem.replace("-", "/", 1) for file in progress.pause_file().parent.glob("*.json")]
