"""Exhaustive search over contiguous windows: the baseline that the ACCV paper compares its masks with."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import torch
from torch import nn

from ..errors import InputError, whole
from ..tracing.inputs import check_clips, check_finite, class_logits, network, scale_of
from ..tracing.probing import at_once, classes, evaluating, probabilities, scale
from .learn import MaskResult, learn, total_variation, with_time
from .perturb import prepare
from .presets import resolve

COARSE = 8  # parts of a clip at whose ends `learn_from_window` looks for windows first
DECISIVE = ("length_weight", "tv_weight", "beta", "double_inner", "perturbation", "logit", "scores")  # for equation 1


@dataclass
class SearchResult:
    """The best window of each of B clips with T frames.

    mask [B, T]: one inside the window, zero outside; start, stop int64 [B]: its first frame, counted from 0, and one
    past its last; value [B]: the criterion's value of it; values [B, windows]: of every window of `windows` int64
    [windows, 2], which holds start and stop of each, shortest first. scores: "softmax" or "sigmoid", what the
    criterion's scores are.
    """

    mask: torch.Tensor
    start: torch.Tensor
    stop: torch.Tensor
    value: torch.Tensor
    values: torch.Tensor
    windows: torch.Tensor
    scores: str = "softmax"


@torch.inference_mode(False)
@torch.no_grad()
def search(
    model: nn.Module,
    clips: torch.Tensor,
    targets: torch.Tensor | Sequence[int] | int | None = None,
    criterion: str = "loss",
    batch_size: int | None = None,
    step: int = 1,
    refine: bool = False,
    **options,
) -> SearchResult:
    """Try all T (T + 1) / 2 contiguous windows of each clip and return the best, as `SearchResult`.

    batch_size: clips run at once, by default as many as suit the device.
    step: only windows whose ends are multiples of it (or the clip's end), which are fewer by its square.
    refine: then halve the step as long as it is above one frame, and try the windows whose ends lie that far from those
    of the best one so far; `windows` and `values` are those of the first step.

    criterion "loss": the window whose hard mask has the lowest value of the ACCV paper's equation 1 (the
    optimum that `learn` looks for, among contiguous binary masks); `options` are fields of `masks.Settings`.
    criterion "crop": the window that alone, repeated to the clip's number of frames, has the highest score
    (Satkin and Hebert, ECCV 2010: the most discriminative sub-sequence). Of equal windows the shortest is
    taken. Raises InputError for an unknown criterion or option, unusable clips and clips of one frame.
    """
    if criterion not in ("loss", "crop"):
        raise InputError(f"there is no search criterion called {criterion!r}; use 'loss' or 'crop'.")
    settings, _ = resolve("default", None, options)
    model = network(model, scripted=True)
    clips = with_time(check_clips(model, clips))
    frames = clips.shape[2]
    batch_size = at_once(frames, clips.device) if batch_size is None else whole("batch_size", batch_size)
    step = whole("step", step)
    ends = sorted({*range(0, frames, step), frames})
    windows = torch.tensor(
        sorted(((a, b) for a in ends for b in ends if a < b), key=lambda ab: ab[1] - ab[0]), device=clips.device
    )
    best_of = torch.argmax if criterion == "crop" else torch.argmin
    with evaluating(model):
        logits = torch.cat([class_logits(model, part) for part in clips.split(batch_size)])
        settings = replace(settings, scores=scale(logits.shape[1], scale_of(model, settings.scores)))
        chosen = classes(logits, targets)

        def tried(at, edges):
            return _values(model, clips[at], chosen[at], edges, criterion, batch_size, settings)

        values = torch.stack([tried(at, windows) for at in range(len(clips))])
        places = best_of(values, 1)
        edges, value = windows[places], values.gather(1, places[:, None])[:, 0]
        while refine and step > 1:
            step //= 2
            for at in range(len(clips)):
                beside = _beside(edges[at], step, frames)
                found = tried(at, beside)
                place = best_of(found)
                edges[at], value[at] = beside[place], found[place]
    return SearchResult(_inside(edges, frames), edges[:, 0], edges[:, 1], value, values, windows, settings.scores)


def learn_from_window(
    model: nn.Module,
    clips: torch.Tensor,
    targets: torch.Tensor | Sequence[int] | int | None = None,
    iterations: int | None = None,
    labels: torch.Tensor | Sequence[int] | None = None,
    preset: str = "default",
    batch_size: int = 32,
    watch: Callable | None = None,
    **options,
) -> tuple[MaskResult, SearchResult]:
    """Learn masks as `learn` does, from the best window of `search`, among eighths of the clip first; returns both.

    A mask stays near where it starts: one from the middle says as much about its start as about the network. Arguments
    are `learn`'s; options: fields of `masks.Settings` except `initial`.
    """
    if "initial" in options:
        raise InputError("learn_from_window starts from a window that it looks for; give initial= to masks.learn")
    settings, _ = resolve(preset, iterations, dict(options))
    alike = {key: getattr(settings, key) for key in DECISIVE}
    window = search(model, clips, targets, step=max(1, clips.shape[2] // COARSE), refine=True, **alike)
    more = {"batch_size": batch_size, "watch": watch, "initial": window.mask, **options}
    return learn(model, clips, targets, iterations, labels, preset, **more), window


def _beside(edges, step, frames):
    """Return the windows [n, 2] that differ from one [2] by `step` frames at either end, both or (itself) none."""
    start, stop = edges.tolist()
    moved = [(start + a, stop + b) for a in (0, -step, step) for b in (0, -step, step)]
    return edges.new_tensor([(a, b) for a, b in moved if 0 <= a < b <= frames])


def _inside(windows, frames):
    """Return masks [windows, T] that are one inside the windows [windows, 2]."""
    steps = torch.arange(frames, device=windows.device)
    return ((steps >= windows[:, :1]) & (steps < windows[:, 1:])).float()


def _values(model, clip, target, windows, criterion, batch_size, settings):
    """Return the criterion of windows [windows, 2] of one clip."""
    values = []
    for edges in windows.split(batch_size):
        part = _inside(edges, clip.shape[1])
        if criterion == "crop":
            seen = clip[:, _crop(edges, clip.shape[1])].transpose(0, 1)
        else:
            seen = prepare(clip.expand(len(part), *clip.shape), settings.perturbation)(part)
        logits = check_finite(model, model(seen).float())
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
