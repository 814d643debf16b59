"""Planted truth: networks that were built to read known frames, twins, and foreign frames in a clip."""

import functools

import pandas as pd

from .... import truth
from ... import analysis
from . import SCORES, evaluated, key_of, lineup


def oracles(settings, clips=3):
    """Return the scores of every instrument on networks that read one and two runs of frames, means, a row each."""
    parts = []
    for name, events in (("one event", [(5, 9)]), ("two events", [(2, 5), (11, 13)])):
        net, known = truth.oracle(events, clips=clips)
        for instrument, function in lineup(settings).items():
            scores = truth.score(function, net, known.clips, known.inside, known.targets)[list(SCORES)].mean()
            parts.append({"oracle": name, "instrument": instrument, **scores})
    return pd.DataFrame(parts)


def planted(run, checkpoint, settings=None):
    """Return (rows of `evaluated` with columns asked, clips told apart of how many) for one checkpoint.

    A network of a data set that plants events gets rendered twins, any other one clips with foreign frames. Asked are
    the class, and the difference to the twin's class, where the network tells the two apart.
    """
    settings = settings or run.settings
    model, header, dataset = analysis.opened(checkpoint, None, "val", None, run.device, run.data_root)
    make = truth.planted if hasattr(dataset, "frames_as") else truth.spliced
    chosen = functools.partial(_indices, header=header)
    known = make(dataset, model.num_frames, min(settings["candidates"], len(dataset)), run.seed, chosen)
    told = truth.told_apart(model, known)
    kept = known.subset(told.nonzero()[: settings["clips"], 0])
    if len(kept) < 2:
        return pd.DataFrame(), (int(told.sum()), len(told))
    against, pairs = truth.versus(model, kept.targets, kept.others, kept.clips)
    parts = []
    for asked, network, targets in (("class", model, kept.targets), ("difference", against, pairs)):
        whole = truth.Known(kept.clips, targets, kept.inside)
        key = {**key_of(checkpoint, settings, make.__name__), "asked": asked, "seed": run.seed}
        parts.append(evaluated(network, whole, lineup(settings), key)[0].assign(asked=asked))
    return pd.concat(parts, ignore_index=True).assign(model=checkpoint), (int(told.sum()), len(told))


def _indices(length, frames, header):
    """Return the frames that the checkpoint's recipe samples."""
    return analysis.indices(length, {**header, "num_frames": frames})
