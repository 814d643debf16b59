"""Frames as players of a game: clips of which some frames are absent, and what the network says of them."""

import zlib

import torch
from torch import nn

from ..errors import InputError, whole
from ..tracing.inputs import check_clips, class_logits, network, scale_of
from ..tracing.probing import classes, evaluating, indices, probabilities

ABSENT, VALUES = ("freeze", "mean"), ("logit", "score")


def present(clips: torch.Tensor, on: torch.Tensor, absent: str = "freeze") -> torch.Tensor:
    """Return clips [B, 3, N, H, W] in which only the frames where `on` bool [B, N] is true are there.

    absent: what stands in their place. "freeze": the last present frame before, in front of the first present frame
    that one; a clip keeps to frames that were filmed. "mean": the mean colour, which is zero after normalisation
    (black is not). Without any frame both are the mean colour.
    """
    if absent not in ABSENT:
        raise InputError(f"absent frames are replaced by {' or '.join(ABSENT)}, not {absent!r}.")
    there = on[:, None, :, None, None].to(clips.dtype)
    if absent == "mean":
        return clips * there
    held = frozen_from(on)
    return clips.gather(2, held[:, None, :, None, None].expand_as(clips)) * on.any(1)[:, None, None, None, None]


def frozen_from(on):
    """Return which frame int64 [B, N] is shown at each time where only the frames `on` bool [B, N] are there."""
    steps = torch.arange(on.shape[1], device=on.device).expand_as(on)
    last = torch.where(on, steps, -1).cummax(1).values
    return torch.where(last < 0, on.int().argmax(1, keepdim=True), last)


@torch.no_grad()
def logits(
    model: nn.Module, clips: torch.Tensor, coalitions: torch.Tensor, absent: str = "freeze", batch_size: int = 64
) -> torch.Tensor:
    """Return the class logits [B, M, K] of clips [B, 3, N, H, W] when only coalition m of frames is there.

    coalitions: bool [M, N], or [B, M, N] for other ones in every clip.
    """
    each = coalitions.expand(len(clips), *coalitions.shape[-2:]).to(clips.device)
    whole("batch_size", batch_size)
    model = network(model, scripted=True)
    clips = check_clips(model, clips)
    found = []
    with evaluating(model):
        for clip, rows in zip(clips, each, strict=True):
            shown = (present(clip.expand(len(part), *clip.shape), part, absent) for part in rows.split(batch_size))
            found.append(torch.cat([class_logits(model, part) for part in shown]))
    return torch.stack(found)


def values(
    model: nn.Module,
    clips: torch.Tensor,
    targets: torch.Tensor,
    coalitions: torch.Tensor,
    absent: str = "freeze",
    value: str = "logit",
) -> torch.Tensor:
    """Return what the network gives for class targets[b] when only coalition m of frames is there, float64 [B, M].

    coalitions, absent: see `logits`. value: "logit", or "score" by the network's `scores` ("auto" without).
    InputError for another value and for targets that are no classes of the network, one for all clips or one for each.
    """
    if value not in VALUES:
        raise InputError(f"a set of frames is worth a {' or a '.join(VALUES)}, not {value!r}.")
    return worth(model, logits(model, clips, coalitions, absent), targets, value)


def worth(model, given, targets, value="logit"):
    """Return the logits or scores [B, M] of class targets[b] among logits [B, M, K]; see `values`."""
    if value == "score":
        given = probabilities(given.flatten(0, 1), scale_of(model)).view_as(given)
    rows = torch.arange(len(given), device=given.device)
    return given[rows, :, classes(given[:, 0], indices(targets, given.device))].double()


def generator_for(clip: torch.Tensor, seed: int = 0) -> torch.Generator:
    """Return a generator of random numbers for a clip: other ones for every clip, the same whatever its batch."""
    content = clip.detach().float().cpu().numpy().tobytes()
    return torch.Generator().manual_seed(zlib.crc32(content, whole("seed", seed, 0)))
