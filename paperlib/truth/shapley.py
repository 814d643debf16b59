"""Exact Shapley values of few frames, sampled ones of many, and the best orders and windows that there are."""

import math

import torch
from torch import nn

from ..errors import InputError, whole
from . import players

MOST = 12  # frames: 4,096 coalitions


def coalitions(frames: int) -> torch.Tensor:
    """Return all 2^frames sets of frames, bool [2^frames, frames]; set m has frame k where bit k of m is 1."""
    if not 1 <= frames <= MOST:
        raise InputError(f"all sets of {frames} frames cannot be tried; exact Shapley values take 1 to {MOST} frames.")
    return (torch.arange(2**frames)[:, None] >> torch.arange(frames)) % 2 == 1


def of_values(values: torch.Tensor) -> torch.Tensor:
    """Return Shapley values float64 [B, N] of games given by the values [B, 2^N] of all their coalitions.

    phi_i = sum over the sets S without i of |S|! (N - |S| - 1)! / N! (v(S and i) - v(S)).
    """
    frames = _frames(values)
    there = coalitions(frames).to(values.device)
    size = there.sum(1)
    weight = torch.tensor(
        [math.factorial(s) * math.factorial(frames - s - 1) / math.factorial(frames) for s in range(frames)],
        dtype=torch.float64,
        device=values.device,
    )
    joined = torch.where(there, weight[(size - 1).clamp(min=0)][:, None], 0.0)  # v(S and i), its size is |S| + 1
    without = torch.where(there, 0.0, weight[size.clamp(max=frames - 1)][:, None])
    return values.double() @ (joined - without)


def exact(
    model: nn.Module, clips: torch.Tensor, targets: torch.Tensor, absent: str = "freeze", value: str = "logit"
) -> torch.Tensor:
    """Return the exact Shapley value of every frame [B, N] from all 2^N sets of frames; see `players.present`.

    They sum to the clip's value minus that of no frame at all. InputError for more than 12 frames.
    """
    return of_values(players.values(model, clips, targets, coalitions(clips.shape[2]), absent, value)).to(clips.dtype)


def sampled(
    model: nn.Module,
    clips: torch.Tensor,
    targets: torch.Tensor,
    permutations: int = 8,
    absent: str = "freeze",
    value: str = "logit",
    seed: int = 0,
) -> torch.Tensor:
    """Return Shapley values [B, N] estimated from random orders in which frames arrive, efficient for any number.

    Each order begins one frame later in the same circle as the one before, a new circle after N: in N orders every
    frame arrives at every place once. The first to arrive takes all that a clip without frames lacks: much noise else.
    Every clip has orders of its own, the same ones whatever the batch.
    """
    frames, generators = clips.shape[2], [players.generator_for(clip, seed) for clip in clips]
    total = clips.new_zeros(len(clips), frames, dtype=torch.float64)
    for k in range(whole("permutations", permutations)):
        if k % frames == 0:
            circle = torch.stack([torch.randperm(frames, generator=own) for own in generators])
        order = circle.roll(-(k % frames), 1)
        given = players.values(model, clips, targets, arriving(order), absent, value)
        total.scatter_add_(1, order.to(clips.device), given.diff(dim=1))
    return (total / permutations).to(clips.dtype)


def arriving(order):
    """Return the sets of frames bool [B, N + 1, N] that are there after 0, 1, ... N frames of `order` [B, N] came."""
    rank = order.argsort(1)  # when each frame comes
    return rank[:, None, :] < torch.arange(order.shape[1] + 1, device=order.device)[:, None]


def best_orders(values: torch.Tensor, largest: bool = False) -> torch.Tensor:
    """Return the order [B, N] of removing frames that lowers the value fastest: the smallest sum of values on the way.

    values: [B, 2^N] of all coalitions. `largest`: the slowest order instead. Found over all orders by dynamic
    programming over sets.
    """
    sign = -1.0 if largest else 1.0
    frames = _frames(values)
    best, step = sign * values.double().clone(), torch.zeros(values.shape, dtype=torch.long)
    for m in sorted(range(1, 2**frames), key=lambda m: bin(m).count("1")):
        members = [k for k in range(frames) if m >> k & 1]
        after = torch.stack([best[:, m ^ (1 << k)] for k in members], 1)
        low, which = after.min(1)
        best[:, m] += low
        step[:, m] = torch.tensor(members)[which.cpu()]
    orders, at = [], torch.full((len(values),), 2**frames - 1)
    for _ in range(frames):
        orders.append(step.gather(1, at[:, None])[:, 0])
        at = at ^ (1 << orders[-1])
    return torch.stack(orders, 1)


def best_windows(values: torch.Tensor) -> torch.Tensor:
    """Return the run of frames (start, stop) [B, 2] that alone has the highest value; the shortest of equals."""
    frames = _frames(values)
    runs = [(a, a + n) for n in range(1, frames + 1) for a in range(frames - n + 1)]
    index = torch.tensor([sum(1 << k for k in range(a, b)) for a, b in runs], device=values.device)
    return torch.tensor(runs)[values[:, index].argmax(1).cpu()]


def _frames(values):
    """Return N of values [B, 2^N]; InputError for another shape."""
    frames = int(values.shape[-1]).bit_length() - 1 if values.ndim == 2 else 0
    if values.ndim != 2 or frames < 1 or values.shape[1] != 2**frames:
        raise InputError(f"values must be [B, 2^N], one for every set of N frames, not {list(values.shape)}.")
    return frames
