"""The videos of a training, those to train on and those to validate on: read, looked through, made into clips."""

import numpy as np

from .. import data
from ..data import loading, store
from ..errors import InputError, some
from . import folds

NAMES = 10  # classes named where more are meant


def datasets(recipe):
    """Return the videos to train on, of which `limit` and `zoom` of the recipe speak, and those to validate on."""
    zoomed, limit = round(recipe.size * recipe.zoom), recipe.limit or None
    if recipe.held_out:
        train, val = folds.split(recipe.dataset, recipe.held_out, zoomed, limit=limit)
        if zoomed != recipe.size:
            val = folds.split(recipe.dataset, recipe.held_out, recipe.size)[1]
        return train, val
    return (
        data.load(recipe.dataset, split="train", size=zoomed, limit=limit),
        data.load(recipe.dataset, split="val", size=recipe.size, limit=None),
    )


def without_unreadable(videos, frames, recipe, ranks):
    """Return ([training videos, validation videos] that can be read, names of those left out); says which and why.

    frames: of a clip. Of several processes the first one looks for all.
    """
    kept, names = [], []
    for part, at_random in zip(videos, (True, False), strict=True):
        skipped = ranks.share(lambda about=(part, frames, recipe, at_random): unreadable(*about))
        left = {i for i, _, _ in skipped}
        kept.append(part.subset([i for i in range(len(part)) if i not in left]) if left else part)
        names += [name for _, name, _ in skipped]
        for _, name, reason in skipped if ranks.first else []:
            print(f"{part.name}: {name} is left out: {reason}")
    return kept, names


def unreadable(part, frames, recipe, at_random):
    """Return (index, id, reason) of the videos with a frame that cannot be read and that clips may be made of.

    at_random: whether clips begin anywhere, as in training: then any frame may be asked for that is not kept.
    """
    if store.suffice(part, frames, recipe.sampling):
        how = {"n_frames": store.KEPT}
    elif at_random:
        how = {"n_frames": None}
    else:
        how = {"n_frames": frames, "sampling": recipe.sampling, "stride": recipe.stride}
    return loading.readable(part, workers=store.READERS if hasattr(part, "path") else 0, **how)[1]


def one_sided(train, val):
    """Return a sentence on the classes without training videos and one on those without validation videos.

    InputError where the two parts number different classes: a label would mean one thing here and another there.
    """
    if list(train.classes) != list(val.classes):
        other = sorted(set(map(str, train.classes)) ^ set(map(str, val.classes))) or ["their order"]
        raise InputError(
            f"the training and the validation part of {train.name} differ in their classes ({some(other, NAMES)}); "
            "both should have one list of all"
        )
    trained, validated = ({int(label) for label in np.unique(part.labels)} for part in (train, val))
    found = {
        "no training video, so that the network cannot learn": validated - trained,
        "no validation video, so that the accuracy leaves out": trained - validated,
    }
    return [
        f"{train.name} has {what} {some([train.classes[k] for k in sorted(labels)], NAMES)}"
        for what, labels in found.items()
        if labels
    ]


def clips_of(part, frames, how, progress, ranks):
    """Return what clips uint8 [B, T, H, W, 3] of a part are taken from (`store.clips_of`).

    The first process looks first: the others find the kept frames on disk.
    """
    if not ranks.first:
        ranks.wait()
    found = store.clips_of(part, frames, how, progress)
    found.heads = getattr(part, "heads", None)  # of data sets that ask several questions
    if ranks.first:
        ranks.wait()
    return found
