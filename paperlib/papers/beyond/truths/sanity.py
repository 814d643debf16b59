"""What every instrument must pass, wherever the truth lies, on clips of one network."""

import functools

import numpy as np
import pandas as pd
import torch

from .... import truth
from ....data import sampling
from ....data.clips import to_clip
from ....storage import cache
from ... import analysis
from . import key_of, lineup

LATER = 2  # frames by which the second clip begins later


def checks(run, checkpoint, settings=None):
    """Return a row per instrument and check: the median over clips that the network gets right. Cached.

    Columns instrument, check, value, low, high (the range over the clips), clips (that have a value).

    half, all: rank correlation of importance before and after the weights of half of the layers, or of all, were
    shuffled (0 is right). other: rank correlation of the importance for the class with that for another one. twice:
    what a frame shown twice gets together over what it got once, each over what all others get (1 is right, 2 counts it
    twice). shift: rank correlation with the importance of a clip that begins two frames later (1 is right).
    """
    settings = settings or run.settings
    model, header, dataset = analysis.opened(checkpoint, None, "val", None, run.device, run.data_root)
    frames, labels = model.num_frames, np.asarray(dataset.labels)
    order = analysis.in_turn(labels, run.seed)[: settings["candidates"]]
    long = torch.stack([_longer(dataset, i, frames) for i in order])
    targets = torch.as_tensor(labels[order])
    with torch.no_grad():
        right = torch.cat([model(part).argmax(1) for part in long[:, :, :frames].split(16)]) == targets
    keep = right.nonzero()[: settings["checked"], 0]
    if len(keep) < 2:
        run.skip(f"{checkpoint} gets fewer than two of {len(order)} clips right; train it longer")
    early, late, targets = long[keep, :, :frames], long[keep, :, LATER:], targets[keep]
    rows, own = [], cache.code("papers/beyond/truths/sanity", "truth/sanity")
    for name, instrument in lineup(settings).items():
        key = {
            **key_of(checkpoint, settings, "sanity", dataset),
            "instrument": name,
            "seed": run.seed,
            "n": len(keep),
            "own": own,
        }
        work = functools.partial(_check, instrument, model, early, late, targets, len(dataset.classes), run.seed)
        found = cache.fetch("truth", key, work)
        for check, values in found.items():
            told = pd.Series(values).dropna()
            ends = {"value": told.median(), "low": told.min(), "high": told.max(), "clips": len(told)}
            rows.append({"instrument": name, "check": check, **ends})
    return pd.DataFrame(rows)


def _check(instrument, model, early, late, targets, classes, seed):
    """Return {check: numbers [B]} of one instrument."""
    before, here = instrument(model, early, targets), truth.sanity
    changed = here.randomised(instrument, model, early, targets, (0.5, 1.0), seed, before)
    frame = early.shape[2] // 2 - 1
    return {
        "half": changed[0.5],
        "all": changed[1.0],
        "other": here.permuted_labels(instrument, model, early, targets, classes, seed, before),
        "twice": here.duplicated(instrument, model, early, targets, frame, before),
        "shift": here.shifted(instrument, model, early, late, targets, LATER, before),
    }


def _longer(dataset, i, frames):
    """Return a clip [3, frames + 2, H, W] of video i, evenly sampled."""
    return to_clip(dataset.frames(i, sampling.uniform(dataset.num_frames(i), frames + LATER)))
