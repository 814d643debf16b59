"""Instruments on networks that were built to read known frames, where what is right scores 1."""

import pandas as pd

from .... import truth
from ...statistics import bootstrap_interval
from . import SCORES, lineup

EVENTS = {"one event": [(5, 9)], "two events": [(2, 5), (11, 13)]}


def oracles(settings, clips=3, controls=60, seed=0):
    """Return the scores of every instrument on networks that read one and two runs of frames, a row each.

    Columns oracle, instrument, the four scores (means over clips), low and high (95 % interval of the precision) and
    chance (what a random order has as precision). `controls` clips for those that know nothing; drawn from `seed`.
    """
    parts = []
    for name, events in EVENTS.items():
        for instrument, function in lineup(settings).items():
            count = controls if instrument in truth.CONTROLS else clips
            net, known = truth.oracle(events, clips=count, seed=seed)
            scores = truth.score(function, net, known.clips, known.inside, known.targets, batch_size=count)
            interval = bootstrap_interval(scores.precision.to_numpy(), seed=seed)
            parts.append(
                {
                    "oracle": name,
                    "instrument": instrument,
                    **scores[list(SCORES)].mean(),
                    "low": interval.low,
                    "high": interval.high,
                    "chance": scores.chance_precision.mean(),
                }
            )
    return pd.DataFrame(parts)
