"""Which instrument tells the truth: all instruments scored where the frames that matter are known, in tables."""

import functools

import numpy as np
import pandas as pd
import torch

from .... import truth
from ....data import fingerprint
from ....storage import cache
from ....training import checkpoints
from ....truth import instruments as known_instruments
from ... import analysis
from ...statistics import bootstrap_interval, share_interval

SCORES = ("pointing", "mass", "precision", "iou")
PRIOR = "position prior"


def lineup(settings, prior=None):
    """Return {instrument: function} of the settings: `iterations` of masks, `steps`, `samples`, and the controls."""
    chosen = dict(truth.INSTRUMENTS)
    for name, options in (
        ("mask, freeze", {"iterations": settings["iterations"]}),
        ("mask, reverse", {"iterations": settings["iterations"], "perturbation": "reverse"}),
    ):
        chosen[name] = functools.partial(known_instruments.learned_mask, **options)
    chosen["integrated gradients"] = functools.partial(known_instruments.integrated_gradients, steps=settings["steps"])
    for name in ("SmoothGrad", "Shapley sampling"):
        chosen[name] = functools.partial(truth.INSTRUMENTS[name], samples=settings["samples"])
    chosen["Shapley, freeze"] = functools.partial(known_instruments.freeze_shapley, permutations=settings["samples"])
    return {**chosen, **truth.CONTROLS, **({PRIOR: prior} if prior else {})}


def evaluated(asked, chosen, key):
    """Return (a row per clip and instrument: its scores and the chance levels, {instrument: importance}). Cached.

    asked: function -> (network, clips as `truth.Known`), called where something is not in the cache; chosen: as
    `lineup` returns it. A clip keeps its number as `clip`. key: what decides the result besides.
    """
    columns = [*SCORES, *(f"chance_{name}" for name in SCORES)]

    def compute(instrument):
        model, known = asked()
        table = truth.score(instrument, model, known.clips, known.inside, known.targets)
        return {"scores": table[columns].to_numpy(), "importance": np.asarray(table.attrs["importance"])}

    computed = {
        name: cache.fetch("truth", {**key, "instrument": name}, functools.partial(compute, chosen[name]))
        for name in analysis.own_order(chosen)
    }
    rows, importance = [], {}
    for name in chosen:
        part = pd.DataFrame(computed[name]["scores"], columns=columns)
        rows.append(part.assign(instrument=name, clip=range(len(part))))
        importance[name] = computed[name]["importance"]
    return pd.concat(rows, ignore_index=True), importance


def key_of(checkpoint, settings, what, dataset):
    """Return what decides the scores of a checkpoint on clips of a data set, for the cache."""
    decides = ("instruments", "oracles", "planting", "players", "recorded", "scoring", "shapley")
    code = cache.code(
        *(f"truth/{name}" for name in decides),
        *("models", "tracing", "data", "relevance", "masks", "gradcam"),
        *(f"papers/beyond/truths/{name}" for name in ("__init__", "planting")),
    )
    decisive = ("clips", "iterations", "steps", "samples", "frames", "candidates")
    asked = {name: settings[name] for name in decisive if name in settings}
    return {
        "checkpoint": checkpoints.digest(checkpoint),
        "what": what,
        **asked,
        "code": code,
        "torch": torch.__version__,
        **fingerprint.entry(dataset),
    }


def summary(rows, by=("model", "truth", "asked"), seed=0):
    """Return mean and interval over clips of every score of every instrument, with the chance level, a row each.

    `gain` is the mean average precision on a scale where 0 is chance, as it is on these clips, and 1 perfect. Columns:
    those of `by`, instrument, score, value, low, high, chance, clips.
    """
    found = []
    for group, part in rows.groupby([*by, "instrument"], sort=False):
        for score in (*SCORES, "gain"):
            interval = gain(part, seed) if score == "gain" else _mean(part[score].to_numpy(), seed)
            found.append(
                {
                    **dict(zip([*by, "instrument"], group, strict=True)),
                    "score": score,
                    "value": interval.value,
                    "low": interval.low,
                    "high": interval.high,
                    "chance": 0.0 if score == "gain" else part[f"chance_{score}"].mean(),
                    "clips": len(part),
                }
            )
    return pd.DataFrame(found)


def _mean(values, seed):
    """Return the mean of a score with its interval over clips, an exact one where clips say yes or no."""
    if np.isin(values, (0, 1)).all():
        return share_interval(int(values.sum()), len(values))
    return bootstrap_interval(values, seed=seed)


def gain(rows, seed=0):
    """Return how far the mean precision of `rows` comes from chance (0) to perfect (1), clips drawn with their chance.

    What is chance itself is 0 on every machine.
    """
    precision, chance = rows.precision.to_numpy(), rows.chance_precision.to_numpy()

    def statistic(drawn, axis=-1):
        drawn = drawn.astype(int)
        expected = chance[drawn].mean(axis)
        return ((precision[drawn].mean(axis) - expected) / (1 - expected)).round(9) + 0.0

    return bootstrap_interval(np.arange(len(rows)), statistic, seed=seed)
