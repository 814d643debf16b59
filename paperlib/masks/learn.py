"""Learn temporal masks by gradient descent (ACCV 2020, section 3.1, equation 1); `presets` says by which settings."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields, replace

import numpy as np
import pandas as pd
import torch
from torch import nn

from ..convolution.allocator import keep_freed
from ..convolution.transposes import fast_gradients
from ..errors import InputError, number, whole
from ..tracing.inputs import check_clips, check_finite, class_logits, gradients_pass, network, scale_of
from ..tracing.probing import classes, evaluating, probabilities, rows, scale, score
from .perturb import THRESHOLD, freeze, of_clips, perturb, prepare, reverse
from .presets import NUMBERS, Settings, resolve


@dataclass
class MaskResult:
    """Learned masks of B clips with T frames, and the scores of the class explained under them.

    mask [B, T]: from 0 to 1; initial [B, T]: where it started; targets int64 [B]: the class explained; labels int64
    [B] or None: the true class, where it was given.
    Scores [B], from 0 to 1, by settings.scores, with the paper's names: original (OS): of the clip as it is; freeze
    (FS): frozen by the mask; reverse (RS): reversed by the mask above 0.1; perturbed: under the perturbation that the
    mask was learned with; truth (CS): of the true class where it is not the target, else NaN.
    value [B]: equation 1 of the mask; loss [iterations, B]: equation 1 before each step, held after a clip stops;
    iterations int64 [B]: steps taken. settings: those that the masks were learned by.
    """

    mask: torch.Tensor
    initial: torch.Tensor
    targets: torch.Tensor
    labels: torch.Tensor | None
    original: torch.Tensor
    freeze: torch.Tensor
    reverse: torch.Tensor
    truth: torch.Tensor
    perturbed: torch.Tensor
    value: torch.Tensor
    loss: torch.Tensor
    iterations: torch.Tensor
    settings: Settings

    @property
    def active(self):
        """The masks thresholded at 0.1, bool [B, T]: for display and for mask lengths."""
        return self.mask > THRESHOLD

    @property
    def length(self):
        """Number of active frames per clip [B]."""
        return self.active.sum(1)

    @property
    def moved(self):
        """Largest change of a mask value since the start [B]; near 0: the start decided the mask."""
        return (self.mask - self.initial).abs().amax(1)

    @property
    def flipped(self):
        """Number of frames per clip [B] that were switched on or off since the start."""
        return (self.active != (self.initial > THRESHOLD)).sum(1)

    def changed(self, clips):
        """Return the clips as the masks change them, by the perturbation that they were learned with."""
        kind = self.settings.perturbation
        soft = {"soft": self.settings.soft_reverse} if kind == "reverse" else _soft(kind)
        return perturb(clips, self.mask, kind, **soft)

    def whole_reverse(self, model, clips):
        """Return RS [B] with the masked frames reversed whole, as the paper's text has it, whatever `soft_reverse`."""
        with evaluating(model), torch.no_grad():
            return score(model, reverse(clips, self.mask), self.targets, self.settings.scores)

    @property
    def named(self):
        """The scores by the paper's names, and by the perturbation's where the mask was learned with another one."""
        scores = {"OS": self.original, "FS": self.freeze, "RS": self.reverse}
        kind = self.settings.perturbation
        return scores if kind in ("freeze", "reverse") else {**scores, kind: self.perturbed}

    def table(self):
        """Return a DataFrame, one row per clip: classes, scores, mask length, movement, iterations, equation 1."""
        columns = {
            "target": self.targets,
            **self.named,
            "CS": self.truth,
            "mask_length": self.length,
            "moved": self.moved,
            "flipped": self.flipped,
            "iterations": self.iterations,
            "loss": self.value,
        }
        table = pd.DataFrame({name: value.cpu().numpy() for name, value in columns.items()})
        table.insert(0, "clip", np.arange(len(table)))
        table.insert(2, "label", -1 if self.labels is None else self.labels.cpu().numpy())
        table.attrs["scores"] = self.settings.scores
        return table


@torch.inference_mode(False)
def learn(
    model: nn.Module,
    clips: torch.Tensor,
    targets: torch.Tensor | Sequence[int] | int | None = None,
    iterations: int | None = None,
    labels: torch.Tensor | Sequence[int] | None = None,
    preset: str = "default",
    batch_size: int = 32,
    watch: Callable | None = None,
    **options,
) -> MaskResult:
    """Learn one mask per clip, short and contiguous, that lowers the class score; returns a `MaskResult`.

        found = masks.learn(model, clip, targets=[3])
        found.mask, found.table()  # [1, T], and one row of scores

    Minimises equation 1, lambda1 |m|_1 + lambda2 TV_beta(m) + F_c, over the logits of the mask with Adam;
    F_c is the score of the target class (softmax, or sigmoid for a single logit or where scores="sigmoid" is given)
    on the clip perturbed (frozen) by the mask. All clips of a batch are perturbed and run together, but each has its
    own mask, optimiser state and early stop, so that a clip's mask does not depend on its neighbours (up to rounding).
    The model is used in evaluation mode and left as it was.

    model: a module from clips [b, C, T, H, W] to class logits [b, K]. clips: [B, C, T, H, W] on the model's
    device. A network in half precision computes in it, but its masks are learned and returned in float32.
    targets: class index or indices [B] to explain; None: the predicted classes, as in the paper.
    labels: true classes [B], for the score CS of misclassified clips. batch_size: clips run at once.
    preset: "default", "as_published", "as_released" or "as_released_kth" (`presets`
    lists where the paper's text and code disagree); `iterations` and any field of `Settings` given by name
    override it. `initial` may also be a mask [B, T] or [T] with values from 0 to 1, from which the learned ones start;
    the sigmoid of plus or minus `start` stands for values nearer to 0 or 1, which no step would leave.
    watch: called as watch(step, mask [b, T], loss [b]) after every step of a batch of b clips, with copies, of clips
    that have stopped those of their last step; learning ends early where it returns True.
    Raises InputError for unknown presets or options, unusable clips, clips of one frame and classes out of range.
    """
    settings, given = resolve(preset, iterations, options)
    whole("batch_size", batch_size)
    model = network(model, scripted=True)
    clips = with_time(check_clips(model, clips))
    keep_freed()
    with evaluating(model), torch.enable_grad():
        parts = []
        for begin in range(0, len(clips), batch_size):
            part = slice(begin, begin + batch_size)
            own = rows(targets, part, len(clips)), rows(labels, part, len(clips), "label")
            parts.append(_learn(model, clips[part], *own, _initial(given, part, len(clips)), settings, watch))
    joined = {
        name: torch.cat([getattr(p, name) for p in parts], 1 if name == "loss" else 0)
        for name in (f.name for f in fields(MaskResult))
        if torch.is_tensor(getattr(parts[0], name))
    }
    labels = joined.pop("labels", None)
    return MaskResult(labels=labels, settings=parts[0].settings, **joined)


def with_time(clips):
    """Return the clips; InputError where they are of one frame, which nothing in time can change."""
    if clips.shape[2] < 2:
        raise InputError(f"clips {list(clips.shape)} have one frame, so no time to mask; it takes two frames or more.")
    return clips


def total_variation(mask, beta=3, double_inner=False):
    """Return the sum over t of |m[t+1] - m[t]|^beta for masks [B, T], as [B].

    double_inner=True counts every edge but the first and the last twice, as the released code does.
    """
    mask = of_clips(mask)
    edges = (mask[:, 1:] - mask[:, :-1]).abs() ** beta
    if double_inner and mask.shape[1] > 1:
        return 2 * edges.sum(1) - edges[:, 0] - edges[:, -1]
    return edges.sum(1)


@torch.no_grad()
def central_mask(model, clips, targets, perturbation="freeze", coverage=0.9, released=False, scores="auto"):
    """Return initial masks [B, T] of zeros and ones: the smallest centred one that keeps most of the drop.

    The drop is the original score minus the score under the perturbation; a mask qualifies if its drop is at
    least `coverage` times that of the full mask. A clip whose score the full mask does not lower starts with
    the full mask. released=True does as the released code: shrink from the full mask and return the first
    one that fails. clips, targets, scores: as in `learn`.
    """
    number("coverage", coverage, *NUMBERS["coverage"])
    model = network(model, scripted=True)
    clips, scores = with_time(check_clips(model, clips)), scale_of(model, scores)
    frames = clips.shape[2]
    apply = prepare(clips, perturbation, **_soft(perturbation))
    centred = torch.ones((frames + 1) // 2, frames, device=clips.device)
    for cut, mask in enumerate(centred):
        mask[:cut] = 0
        mask[frames - cut :] = 0
    with evaluating(model):
        logits = class_logits(model, clips)
        targets = classes(logits, targets)
        original = probabilities(logits, scores).gather(1, targets[:, None])[:, 0]
        kept = [score(model, apply(mask.expand(len(clips), -1)), targets, scores) for mask in centred]
    drops = torch.stack([original - one for one in kept])
    keeps = drops >= coverage * drops[0]
    if released:
        fails = drops / drops[0] < coverage
        tried = torch.arange(1, max(2, frames // 2)).clamp(max=len(centred) - 1).to(fails.device)
        fails = fails[tried]
        fails[-1] = True  # the loop ends there whatever the score
        return centred[tried[fails.int().argmax(0)]]
    keeps[1:] &= drops[0] > 0
    cuts = torch.arange(len(centred), device=clips.device)[:, None]
    return centred[torch.where(keeps, cuts, 0).amax(0)]


def _learn(model, clips, targets, labels, initial, settings, watch=None):
    """Learn the masks of one batch."""
    with torch.no_grad():
        logits = class_logits(model, clips)
    settings = replace(settings, scores=scale(logits.shape[1], scale_of(model, settings.scores)))
    targets = classes(logits, targets)
    scores = probabilities(logits, settings.scores)
    labels = None if labels is None else classes(logits, labels, "label")
    if initial is None:
        initial = _start(model, clips, targets, settings)
    if initial.shape not in ((clips.shape[2],), (len(clips), clips.shape[2])):
        raise InputError(f"the initial mask has shape {list(initial.shape)}; the clips have {clips.shape[2]} frames.")
    wide = torch.promote_types(clips.dtype, torch.float32)  # whatever the network computes in
    initial = initial.to(clips.device, wide).expand(len(clips), -1)
    began = torch.logit(initial).clamp(-settings.start, settings.start)
    final, loss, steps = _descend(model, clips, targets, began, settings, watch)
    mask = final.sigmoid()
    own = scores.gather(1, targets[:, None])[:, 0]
    truth = torch.full_like(own, float("nan"))
    if labels is not None:
        truth = torch.where(labels == targets, truth, scores.gather(1, labels[:, None])[:, 0])
    with torch.no_grad():
        logits = model(perturb(clips, mask, settings.perturbation, **_soft(settings.perturbation))).float()
    perturbed, value = _scored(check_finite(model, logits), mask, targets, settings)
    return MaskResult(
        mask=mask,
        initial=began.sigmoid(),
        targets=targets,
        labels=labels,
        original=own,
        freeze=score(model, freeze(clips, mask), targets, settings.scores),
        reverse=score(model, reverse(clips, mask, soft=settings.soft_reverse), targets, settings.scores),
        truth=truth,
        perturbed=perturbed,
        value=value,
        loss=loss,
        iterations=steps,
        settings=settings,
    )


def _start(model, clips, targets, settings):
    if settings.initial == "full":
        return torch.ones(clips.shape[2], device=clips.device)
    released = settings.initial == "central_released"
    return central_mask(model, clips, targets, settings.perturbation, settings.coverage, released, settings.scores)


def _descend(model, clips, targets, began, settings, watch=None):
    """Run Adam from logits [B, T]; returns the final logits, the losses [iterations, B], the steps taken [B].

    A clip that has stopped leaves the batch, so that the rest runs faster.
    """
    logits = began.clone().requires_grad_()
    optimiser = torch.optim.Adam([logits], lr=settings.learning_rate)
    final, steps = began.clone(), torch.zeros(len(clips), dtype=torch.long, device=clips.device)
    best, lowest = began.clone(), torch.full((len(clips),), float("inf"), device=clips.device)
    numbers = torch.promote_types(clips.dtype, torch.float32)  # scores are float32 at least
    losses = torch.full((settings.iterations, len(clips)), float("nan"), device=clips.device, dtype=numbers)
    running = torch.arange(len(clips), device=clips.device)
    still = torch.zeros_like(running)
    soft = _soft(settings.perturbation)
    apply = prepare(clips, settings.perturbation, **soft)
    # what a pixel adds to the gradient is often below the 6e-8 at which float16 ends
    lift = 1024 if clips.dtype == torch.float16 else 1
    for step in range(settings.iterations):
        with fast_gradients(), gradients_pass(model):
            mask = logits[running].sigmoid()
            _, loss = _scored(check_finite(model, model(apply(mask)).float()), mask, targets[running], settings)
        (gradient,) = torch.autograd.grad(lift * loss.sum(), logits)
        logits.grad = gradient / lift
        losses[step:, running] = loss.detach()  # a stopped clip keeps its last loss
        lower = running[loss.detach() < lowest[running]]
        best[lower], lowest[lower] = logits.detach()[lower], losses[step, lower].to(lowest)
        optimiser.step()
        final[running] = logits.detach()[running]
        steps[running] = step + 1
        if watch and watch(step, final.sigmoid(), losses[step].clone()):
            break
        if step and settings.tolerance:
            quiet = (losses[step, running] - losses[step - 1, running]).abs() < settings.tolerance
            still = torch.where(quiet, still + 1, 0)
            going = still < settings.patience
            if not going.all():
                running, still = running[going], still[going]
                if not len(running):
                    break
                apply = prepare(clips[running], settings.perturbation, **soft)
    return (best if settings.keep == "best" else final), losses, steps


def _scored(logits, mask, targets, settings):
    """Return (the score of the target, equation 1) for each clip [B], from the logits under the mask."""
    own = probabilities(logits, settings.scores).gather(1, targets[:, None])[:, 0]
    lowered = logits.gather(1, targets[:, None])[:, 0] if settings.logit else own
    penalty = settings.length_weight * mask.sum(1)
    variation = total_variation(mask, settings.beta, settings.double_inner)
    return own, penalty + settings.tv_weight * variation + lowered


def _soft(perturbation):
    """Options that make a perturbation differentiable in the mask."""
    return {"soft": True} if perturbation in ("reverse", "shuffle") else {}


def _initial(given, part, count):
    if given is None or given.ndim < 2:
        return given
    if len(given) != count:
        raise InputError(f"there are {count} clips but {len(given)} initial masks")
    return given[part]
