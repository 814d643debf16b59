"""Exhaustive search over contiguous windows: the baseline that the ACCV paper compares its masks with."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from torch import nn

from ..errors import InputError
from ..models.inputs import check_clips, class_logits, network
from ..models.probing import classes, evaluating, probabilities, scale
from .learn import resolve, total_variation
from .perturb import prepare


@dataclass
class SearchResult:
    """The best window of each of B clips."""

    mask: torch.Tensor  # [B, T], one inside the window
    start: torch.Tensor  # [B], first frame of the window
    stop: torch.Tensor  # [B], one past its last frame
    value: torch.Tensor  # [B], the criterion's value of that window
    values: torch.Tensor  # [B, windows], of every window
    windows: torch.Tensor  # [windows, 2], start and stop of each, shortest first
    scores: str = "softmax"  # or "sigmoid", what the criterion's scores are


@torch.inference_mode(False)
@torch.no_grad()
def search(
    model: nn.Module,
    clips: torch.Tensor,
    targets: torch.Tensor | Sequence[int] | int | None = None,
    criterion: str = "loss",
    batch_size: int = 32,
    step: int = 1,
    **options,
) -> SearchResult:
    """Try all T (T + 1) / 2 contiguous windows of each clip and return the best, as `SearchResult`.

    step: only windows whose ends are multiples of it (or the clip's end), which are fewer by its square.

    criterion "loss": the window whose hard mask has the lowest value of the ACCV paper's equation 1 (the
    optimum that `learn` looks for, among contiguous binary masks); `options` are fields of `masks.Settings`.
    criterion "crop": the window that alone, repeated to the clip's number of frames, has the highest score
    (Satkin and Hebert, ECCV 2010: the most discriminative sub-sequence). Of equal windows the shortest is
    taken.
    """
    if criterion not in ("loss", "crop"):
        raise InputError(f"there is no search criterion called {criterion!r}; use 'loss' or 'crop'.")
    settings, _ = resolve("default", None, options)
    model = network(model, scripted=True)
    clips = check_clips(model, clips)
    frames = clips.shape[2]
    if step < 1:
        raise InputError(f"step is {step}; windows move by at least one frame.")
    ends = sorted({*range(0, frames, step), frames})
    windows = torch.tensor(
        sorted(((a, b) for a in ends for b in ends if a < b), key=lambda ab: ab[1] - ab[0]), device=clips.device
    )
    steps = torch.arange(frames, device=clips.device)
    masks = ((steps >= windows[:, :1]) & (steps < windows[:, 1:])).float()
    with evaluating(model):
        logits = torch.cat([class_logits(model, part) for part in clips.split(batch_size)])
        settings = replace(settings, scores=scale(logits.shape[1], settings.scores))
        chosen = classes(logits, targets)
        values = torch.stack(
            [
                _values(model, clip, target, masks, windows, criterion, batch_size, settings)
                for clip, target in zip(clips, chosen, strict=True)
            ]
        )
    best = values.argmax(1) if criterion == "crop" else values.argmin(1)
    value = values.gather(1, best[:, None])[:, 0]
    return SearchResult(masks[best], windows[best, 0], windows[best, 1], value, values, windows, settings.scores)


def _values(model, clip, target, masks, windows, criterion, batch_size, settings):
    """Return the criterion of every window of one clip [windows]."""
    values = []
    for part, edges in zip(masks.split(batch_size), windows.split(batch_size), strict=True):
        if criterion == "crop":
            seen = clip[:, _crop(edges, clip.shape[1])].transpose(0, 1)
        else:
            seen = prepare(clip.expand(len(part), *clip.shape), settings.perturbation)(part)
        logits = model(seen).float()
        own = (logits if settings.logit else probabilities(logits, settings.scores))[:, target]
        if criterion == "loss":
            own = (
                own
                + settings.length_weight * part.sum(1)
                + settings.tv_weight * total_variation(part, settings.beta, settings.double_inner)
            )
        values.append(own)
    return torch.cat(values)


def _crop(windows, frames):
    """Return the frame indices [windows, frames] that stretch each window over the whole clip."""
    middle = (torch.arange(frames, device=windows.device) + 0.5) / frames
    return (windows[:, :1] + middle * (windows[:, 1:] - windows[:, :1])).long()
