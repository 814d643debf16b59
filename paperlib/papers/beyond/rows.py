"""Relevance of some output frames only, where all of them would take too long."""

import torch

from ... import relevance

HELD = 256 * 2**20  # bytes of maps that are held together; each portion of rows runs the network once more


def some_rows(model, clip, steps, rules=None):
    """Return (A [rows, T], map [T, H, W]) of CLRP for class 0 of a clip [1, 3, T, H, W] at the output frames `steps`.

    The map sums the rows.
    """
    at_once = max(1, HELD // (clip.numel() * clip.element_size()))
    rows, pixels = [], 0
    for first in range(0, len(steps), at_once):
        part = relevance.pixel_relevance(model, clip, 0, rules=rules, steps=steps[first : first + at_once])[0].sum(1)
        rows.append(part.sum((2, 3)))
        pixels = pixels + part.sum(0)
    return torch.cat(rows), pixels


def atr_of(A, steps):
    """Return the ATR in frames [rows] of rows A [rows, T], which explain the frames `steps`."""
    whole = torch.eye(A.shape[1], dtype=A.dtype)  # of frames that are not asked for
    whole[steps] = A
    return relevance.atr(whole[None], torch.ones(1, len(whole))).frames[0, steps]
