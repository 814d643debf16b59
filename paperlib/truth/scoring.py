"""How well an importance of frames names the frames that are known to matter: scores, their chance levels, curves."""

import functools
from collections.abc import Callable

import numpy as np
import pandas as pd
import torch
from torch import nn

from ..errors import InputError, whole
from ..tracing.inputs import check_clips, class_logits, network
from ..tracing.probing import classes, evaluating
from . import players, shapley

SCORES = ("pointing", "mass", "precision", "iou")


def pointing(importance: np.ndarray, inside: np.ndarray) -> float:
    """Return whether the most important frame lies inside, for importance [N]; the share of them where several tie."""
    return float(inside[importance == importance.max()].mean())


def mass(importance: np.ndarray, inside: np.ndarray) -> float:
    """Return the share of the positive importance that lies inside; that of the frames where nothing is positive."""
    positive = np.maximum(importance, 0)
    return float(positive[inside].sum() / positive.sum()) if positive.sum() > 0 else float(inside.mean())


def precision(importance: np.ndarray, inside: np.ndarray) -> float:
    """Return the average precision of ranking the frames inside first, averaged over all orders of tied frames."""
    total, before, hits = 0.0, 0, 0
    for value in np.unique(importance)[::-1]:
        tied = importance == value
        count, right = int(tied.sum()), int(inside[tied].sum())
        for k in range(count):  # at each place of the group: chance of a right frame, and the precision there if so
            more = k * (right - 1) / (count - 1) if count > 1 else 0
            total += right / count * (hits + 1 + more) / (before + k + 1)
        before, hits = before + count, hits + right
    return float(total / hits)


def iou(importance: np.ndarray, inside: np.ndarray) -> float:
    """Return the largest intersection over union of the frames inside with those that reach a threshold."""
    return max(
        float((inside & (importance >= value)).sum() / (inside | (importance >= value)).sum())
        for value in np.unique(importance)
    )


def scores(importance, inside) -> pd.DataFrame:
    """Return the four scores of importance [B, N] for frames `inside` bool [B, N], a row per clip.

    Columns pointing, mass, precision, iou, each from 0 to 1. Raises InputError for other shapes, importance that is not
    finite, and a clip with no frame inside or all of them.
    """
    importance, inside = per_frame(importance, float, "importance"), per_frame(inside, bool, "inside")
    _same(importance.shape, inside.shape, "importance and inside")
    _told(inside)
    rows = zip(importance, inside, strict=True)
    return pd.DataFrame(
        [{"pointing": pointing(*r), "mass": mass(*r), "precision": precision(*r), "iou": iou(*r)} for r in rows]
    )


def chance(inside, importance=None) -> pd.DataFrame:
    """Return what a random order of the frames scores on average, a row per clip `inside` bool [B, N].

    importance: [B, N], whose equal values stay together as in `scores`, where IoU has fewer thresholds to choose from;
    by default no two are equal. The other scores share ties, which changes nothing on average. Raises InputError as
    `scores` does.
    """
    inside = per_frame(inside, bool, "inside")
    _told(inside)
    ends = [tuple(range(1, inside.shape[1] + 1))] * len(inside)
    if importance is not None:
        importance = per_frame(importance, float, "importance")
        _same(importance.shape, inside.shape, "importance and inside")
        ends = [tuple(np.cumsum(np.unique(-row, return_counts=True)[1]).tolist()) for row in importance]
    rows = [_chance(int(np.sum(row)), len(row), own) for row, own in zip(inside, ends, strict=True)]
    return pd.DataFrame(rows, columns=SCORES)


@functools.lru_cache(maxsize=4096)
def _chance(right, frames, ends):
    """Return the mean scores of a random order with `right` of `frames` frames inside, over all orders.

    ends: the numbers of frames that a threshold can let in.
    """
    places = np.arange(1, frames + 1)
    more = (right - 1) / (frames - 1) if frames > 1 else 0
    expected = ((1 + (places - 1) * more) / places).mean()
    hits = np.arange(right + 1)
    ious = hits / (right + places[:, None] - hits)  # of so many frames (row) with so many hits among them (column)
    best = np.unique(ious)
    reached = np.zeros((right + 1, len(best)))  # how probable it is to have so many hits, and that best IoU so far
    reached[0, 0] = 1
    for place, row in zip(places, ious, strict=True):
        left = frames - place + 1
        hit = np.clip((right - hits) / left, 0, 1)[:, None] * reached
        reached = reached - hit
        reached[1:] += hit[:-1]
        if place not in ends:
            continue
        for k, found in enumerate(np.searchsorted(best, row)):
            reached[k, found] += reached[k, :found].sum()
            reached[k, :found] = 0
    return right / frames, right / frames, float(expected), float(reached[-1] @ best)


@torch.no_grad()
def curves(model: nn.Module, clips: torch.Tensor, targets, importance, absent: str = "freeze") -> pd.DataFrame:
    """Return the mean score of the class while frames go or come in the order of importance [B, N], a row per clip.

    deletion: most important frames go first (low is good); insertion: they come first (high is good); margin: deletion
    with the least important first, minus deletion. Equal frames go in order of time in all, so constant importance has
    a margin of 0. Frames that are gone are replaced as `players.present` says.
    targets: one class for all clips or [B]. Raises InputError for unusable clips, classes that do not exist, importance
    of another shape or that is not finite.
    """
    model = network(model, scripted=True)
    clips = check_clips(model, clips)
    importance = per_frame(importance, float, "importance")
    _same(importance.shape, (len(clips), clips.shape[2]), "importance and the clips' frames")
    importance = torch.from_numpy(importance).to(clips.device)

    def mean(importance, removed):
        there = shapley.arriving(importance.argsort(dim=1, descending=True, stable=True))
        sets = ~there if removed else there
        return players.values(model, clips, targets, sets, absent, "score").mean(1).cpu().numpy()

    deletion = mean(importance, True)
    return pd.DataFrame(
        {
            "deletion": deletion,
            "insertion": mean(importance, False),
            "margin": mean(-importance, True) - deletion,
        }
    )


def ranks(importance, exact) -> np.ndarray:
    """Return Spearman's correlation [B] of importance with exact values [B, N]; 0 where either is constant.

    Raises InputError for other shapes and for what is not finite.
    """
    from scipy import stats

    importance, exact = per_frame(importance, float, "importance"), per_frame(exact, float, "the exact value")
    _same(importance.shape, exact.shape, "importance and the exact values")
    pairs = zip(importance, exact, strict=True)
    return np.array([stats.spearmanr(a, b).statistic if np.ptp(a) > 0 and np.ptp(b) > 0 else 0.0 for a, b in pairs])


def per_frame(values, kind, what, first=0):
    """Return values as an array [B, N] of a kind, float or bool.

    InputError for another shape, for a clip's that are not finite, and for truth values other than 0 and 1. first: the
    number of the first of the clips, to name one by.
    """
    try:
        if isinstance(values, torch.Tensor):
            values = values.detach().cpu()
            values = values.double() if values.is_floating_point() else values  # NumPy has no bfloat16
        found = np.asarray(values)
        found = None if found.dtype.kind == "c" else found if kind is bool else found.astype(kind)
    except (TypeError, ValueError):
        found = None
    if found is None or found.ndim != 2:
        got = type(values).__name__ if found is None or not found.ndim else f"of shape {list(found.shape)}"
        raise InputError(f"{what} must be numbers [B, N], one for each frame of each clip, not {got}.")
    other = found[(found != 0) & (found != 1)] if kind is bool else ()
    if len(other):
        raise InputError(f"{what} must be truth values, or 0 and 1, not {other[0]}.")
    found = found.astype(kind)
    bad = (~np.isfinite(found)).any(1)
    if bad.any():
        raise InputError(f"{what} of clip {first + int(bad.argmax())} is not finite.")
    return found


def _same(given, wanted, what):
    if tuple(given) != tuple(wanted):
        raise InputError(f"{what} must both be [B, N], not {list(given)} and {list(wanted)}.")


def _told(inside):
    """Raise InputError for a clip of which no frame, or every one, lies inside."""
    even = (inside.all(1) | ~inside.any(1)).nonzero()[0]
    if len(even):
        raise InputError(f"clip {even[0]} has no frame inside or none outside, so nothing can be told from it.")


def score(
    instrument: Callable,
    model: nn.Module,
    clips: torch.Tensor,
    inside: torch.Tensor,
    targets: torch.Tensor | None = None,
    batch_size: int = 8,
) -> pd.DataFrame:
    """Score an instrument, function(model, clips, targets) -> importance [B, N], on clips whose frames are known.

    clips: [B, 3, N, H, W]; inside: bool [B, N], the frames that the answer rests on; targets: classes [B], by default
    those that the network predicts. Returns a row per clip: pointing (does the most important frame lie inside), mass
    (share of the positive importance inside), precision (average precision of the frames), iou (at the best threshold),
    each with its chance level `chance_...`. attrs: `importance`, the instrument's, as a list of B lists of N numbers.
    What an instrument writes into the clips it is given is not seen by the next one.
    """
    model, batch_size = network(model, scripted=True), whole("batch_size", batch_size)
    clips = check_clips(model, clips)
    inside = per_frame(inside, bool, "inside")
    _same(inside.shape, (len(clips), clips.shape[2]), "inside and the clips' frames")
    _told(inside)
    with evaluating(model), torch.no_grad():
        portions = -(-len(clips) // batch_size)  # even: networks are recorded anew for every number of clips
        logits = torch.cat([class_logits(model, part) for part in clips.tensor_split(portions)])
    if not callable(instrument):
        raise InputError(
            f"an instrument is a function(model, clips, targets) of truth.INSTRUMENTS, not {instrument!r}."
        )
    targets, importance = classes(logits, targets), np.empty(inside.shape)
    with evaluating(model):
        for part in np.array_split(np.arange(len(clips)), portions):  # numbers of clips, which pick copies
            found = instrument(model, clips[part], targets[part])
            found = per_frame(found, float, "importance that the instrument returns", first=part[0])
            _same(found.shape, inside[part].shape, "importance that the instrument returns and its clips' frames")
            importance[part] = found
    table = pd.concat([scores(importance, inside), chance(inside, importance).add_prefix("chance_")], axis=1)
    table.attrs["importance"] = importance.tolist()  # pandas compares attrs when it joins, and saves them as text
    return table
