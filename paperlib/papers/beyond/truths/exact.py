"""Truth by computation: exact Shapley values of 8 frames, and the best and worst orders in which frames can go."""

import numpy as np
import pandas as pd
import torch

from .... import truth
from ....storage import cache
from ....truth import players
from ... import analysis
from ...statistics import bootstrap_interval
from . import evaluated, lineup, planting


def exact(run, checkpoint, settings=None):
    """Return rho (rank correlation with exact Shapley values) and margin of every instrument, a row per clip. Cached.

    Columns model, instrument, absent, clip, rho, margin: that of the freeze curves as a share of what the best and
    worst orders there are leave between them. The clips are those of `planting.clips_of`, asked for their class: with
    the same settings an instrument is computed for both. All 2^N sets of frames are tried.
    """
    settings = settings or run.settings
    plants = hasattr(analysis.opened(checkpoint, None, "val", None, run.device, run.data_root)[2], "frames_as")
    kind = planting.RENDERED if plants else planting.FOREIGN
    model, known, told, key = planting.clips_of(run, checkpoint, kind, settings)
    if told.sum() < 2:
        run.skip(f"{checkpoint} tells fewer than two of {len(told)} clips from their twins; train it longer")
    games = {absent: _games(model, known, absent, key) for absent in players.ABSENT}
    _, importance = evaluated(lambda: (model, known()), lineup(settings), {**key, "asked": "class"})
    rows, scores = [], torch.as_tensor(games["freeze"]["score"])
    best = _deletion(scores, truth.shapley.best_orders(scores))
    worst = _deletion(scores, truth.shapley.best_orders(scores, largest=True))
    importance = {**importance, "exact Shapley": truth.shapley.of_values(torch.as_tensor(games["freeze"]["logit"]))}
    for name, found in importance.items():
        found = np.asarray(found, float)
        margin = _deletion(scores, _order(-found)) - _deletion(scores, _order(found))
        for absent, game in games.items():
            rho = truth.ranks(found, truth.shapley.of_values(torch.as_tensor(game["logit"])))
            rows.append(
                pd.DataFrame({"rho": rho, "margin": margin / (worst - best).clip(1e-9)}).assign(
                    model=checkpoint, instrument=name, absent=absent, clip=range(len(rho))
                )
            )
    return pd.concat(rows, ignore_index=True)


def _games(model, known, absent, key):
    """Return {logit, score: float64 [B, 2^N]}, what the network gives for all sets of frames. Cached."""

    def compute():
        own = known()
        every = truth.shapley.coalitions(own.clips.shape[2])
        given = players.logits(model, own.clips, every, absent)
        return {value: players.worth(model, given, own.targets, value) for value in ("logit", "score")}

    own = cache.code("papers/beyond/truths/exact")
    return cache.fetch("truth", {**key, "game": absent, "own": own}, compute)


def _order(importance):
    """Return frames from the most to the least important [B, N]."""
    return torch.as_tensor(importance).argsort(dim=1, descending=True, stable=True)


def _deletion(values, order):
    """Return the mean of a game's values [B, 2^N] while frames go in the order [B, N], as [B]."""
    gone = (1 << order).cumsum(1)
    left = torch.cat([torch.zeros_like(gone[:, :1]), gone], 1)
    return values.gather(1, values.shape[1] - 1 - left).mean(1).numpy()


def exact_summary(rows, seed=0):
    """Return mean and interval over clips of rho and margin for every model, absent frame and instrument."""
    found = []
    for group, part in rows.groupby(["model", "absent", "instrument"], sort=False):
        row = dict(zip(["model", "absent", "instrument"], group, strict=True))
        for name in ("rho", "margin"):
            interval = bootstrap_interval(part[name].to_numpy(), seed=seed)
            row |= {name: interval.value, f"{name}_low": interval.low, f"{name}_high": interval.high}
        found.append({**row, "clips": len(part)})
    return pd.DataFrame(found)
