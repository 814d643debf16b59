"""Truth by computation: exact Shapley values of 8 frames, and the best and worst orders in which frames can go."""

import numpy as np
import pandas as pd
import torch

from .... import truth
from ....storage import cache
from ... import analysis
from ...statistics import bootstrap_interval
from . import evaluated, key_of, lineup


def exact(run, checkpoint, settings=None):
    """Return (rank correlation of every instrument with exact Shapley values, share of the best deletion margin).

    One row per clip, instrument and kind of absent frame: rho, margin (of the freeze curves) over that of the best and
    worst orders there are. Clips that the network gets right, `clips` of them; all 2^N sets of frames are tried.
    """
    settings = settings or run.settings
    model, header, dataset = analysis.opened(checkpoint, None, "val", None, run.device, run.data_root)
    order = truth.planting.in_turn(dataset.labels, run.seed)[: settings["candidates"]]
    clips, labels = analysis.clips_of(dataset, order, header), torch.as_tensor(np.asarray(dataset.labels)[order])
    with torch.no_grad():
        right = torch.cat([model(part).argmax(1) for part in clips.split(16)]) == labels
    keep = right.nonzero()[: settings["clips"], 0]
    if len(keep) < 2:
        run.skip(f"{checkpoint} gets fewer than two of {len(order)} clips right; train it longer")
    clips, labels = clips[keep], labels[keep]
    key = {**key_of(checkpoint, settings, "exact"), "seed": run.seed}
    every = truth.shapley.coalitions(model.num_frames)
    games = {
        absent: cache.fetch(
            "truth",
            {**key, "game": absent},
            lambda absent=absent: {
                kind: truth.shapley.players.values(model, clips, labels, every, absent, kind)
                for kind in ("logit", "score")
            },
        )
        for absent in truth.shapley.players.ABSENT
    }
    inside = torch.zeros(clips.shape[0], clips.shape[2], dtype=torch.bool)
    inside[:, 0] = True  # not asked for here: `evaluated` wants some truth
    _, importance = evaluated(model, truth.Known(clips, labels, inside), lineup(settings), key)
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
