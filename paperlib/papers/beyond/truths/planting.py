"""Planted truth: rendered twins, and foreign frames in a clip, of which a network tells the two classes apart."""

import functools

import numpy as np
import pandas as pd
import torch

from .... import truth
from ....storage import cache
from ... import analysis, needs
from . import evaluated, key_of, lineup

FOREIGN, RENDERED = "foreign frames", "rendered twins"
MAKERS = {FOREIGN: truth.spliced, RENDERED: truth.planted}


def networks(run, settings=None):
    """Return [(checkpoint, kind of truth)]: the settings' `models` with foreign frames, `rendered` with their twins.

    Those that are there; what is left out is said.
    """
    settings = settings or run.settings
    wanted = {FOREIGN: settings["models"], RENDERED: settings.get("rendered", [])}
    lacking = needs.lacking(list(dict.fromkeys(key for keys in wanted.values() for key in keys)), run.data_root)
    found = [(key, kind) for kind, keys in wanted.items() for key in keys if key not in lacking]
    if not found:
        run.skip(needs.say(lacking))
    if lacking:
        print(f"left out, {needs.say(lacking)}")
    return found


def clips_of(run, checkpoint, kind, settings):
    """Return (network, function -> its clips as `truth.Known`, told apart bool [n], key of the cache).

    The first `clips` of the candidates that the network tells from their twins. They are made when they are asked for:
    where all that is wanted of them is in the cache they are not.
    """
    model, header, dataset = analysis.opened(checkpoint, None, "val", None, run.device, run.data_root)
    count, chosen = min(settings["candidates"], len(dataset)), functools.partial(_indices, header=header)
    candidates = functools.cache(lambda: MAKERS[kind](dataset, model.num_frames, count, run.seed, chosen))
    key = {**key_of(checkpoint, settings, kind, dataset), "seed": run.seed}
    told = cache.fetch(
        "truth", {**key, "asked": "told apart"}, lambda: {"told": truth.told_apart(model, candidates())}
    )["told"]
    kept = np.flatnonzero(told)[: settings["clips"]]
    return model, functools.cache(lambda: candidates().subset(torch.as_tensor(kept))), told, key


def planted(run, checkpoint, kind, settings=None):
    """Return (rows of `evaluated` with columns asked, model and truth; how many clips are told apart; of how many).

    Asked are the class, and the difference to the twin's class, where the network tells the two apart. No rows where
    it does so in fewer than two clips.
    """
    settings = settings or run.settings
    model, known, told, key = clips_of(run, checkpoint, kind, settings)
    if told.sum() < 2:
        return pd.DataFrame(), int(told.sum()), len(told)

    @functools.cache
    def difference():
        network, pairs = truth.versus(model, known().targets, known().others, known().clips)
        return network, truth.Known(known().clips, pairs, known().inside)

    parts = [
        evaluated(asked, lineup(settings), {**key, "asked": name})[0].assign(asked=name)
        for name, asked in (("class", lambda: (model, known())), ("difference", difference))
    ]
    return pd.concat(parts, ignore_index=True).assign(model=checkpoint, truth=kind), int(told.sum()), len(told)


def everything(run, settings=None):
    """Return the rows of `planted` of all networks and truths that are there, in order of the settings."""
    pairs = networks(run, settings)
    found = {pair: planted(run, *pair, settings) for pair in analysis.own_order(pairs)}
    for checkpoint, kind in pairs:
        rows, told, of = found[checkpoint, kind]
        scored = rows["clip"].nunique() if len(rows) else 0
        print(f"{checkpoint}, {kind}: {told} of {of} clips told from their twins, {scored} scored")
    rows = pd.concat([found[pair][0] for pair in pairs])
    if rows.empty:
        run.skip("no network tells clips from their twins; train longer")
    return rows


def _indices(length, frames, header):
    """Return the frames that the checkpoint's recipe samples."""
    return analysis.indices(length, {**header, "num_frames": frames})
