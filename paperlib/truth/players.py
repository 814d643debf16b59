"""Frames as players of a game: clips of which some frames are absent, and what the network says of them."""

import torch
from torch import nn

from ..errors import InputError
from ..models.inputs import class_logits
from ..models.probing import evaluating, probabilities

ABSENT = ("freeze", "mean")


def present(clips: torch.Tensor, on: torch.Tensor, absent: str = "freeze") -> torch.Tensor:
    """Return clips [B, 3, N, H, W] in which only the frames where `on` bool [B, N] is true are there.

    absent: what stands in their place. "freeze": the last present frame before, in front of the first present frame
    that one; a clip keeps to frames that were filmed. "mean": the mean colour, zero after normalisation. Without any
    frame both are the mean colour.
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
def values(
    model: nn.Module,
    clips: torch.Tensor,
    targets: torch.Tensor,
    coalitions: torch.Tensor,
    absent: str = "freeze",
    value: str = "logit",
    batch_size: int = 64,
) -> torch.Tensor:
    """Return what the network gives for class targets[b] when only coalition m of frames is there, float64 [B, M].

    coalitions: bool [M, N], or [B, M, N] for other ones in every clip. value: "logit", or "score" by the network's
    `scores` ("auto" without).
    """
    each = coalitions.expand(len(clips), *coalitions.shape[-2:]).to(clips.device)
    found = []
    with evaluating(model):
        for clip, target, rows in zip(clips, torch.as_tensor(targets).tolist(), each, strict=True):
            parts = []
            for part in rows.split(batch_size):
                logits = class_logits(model, present(clip.expand(len(part), *clip.shape), part, absent))
                given = logits if value == "logit" else probabilities(logits, getattr(model, "scores", "auto"))
                parts.append(given[:, target].double())
            found.append(torch.cat(parts))
    return torch.stack(found)
