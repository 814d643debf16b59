"""Learn temporal masks by gradient descent (ACCV 2020, section 3.1, equation 1).

Where the paper's text, its released PyTorch code and its project page disagree (`PRESETS` has the outer two:
`as_published` is text and project page, `as_released` and `as_released_kth` are the code):

                         text                     released code                   project page
lambda 1, lambda 2       not given                0.01, 0.02; KTH 0.02, 0.04      0.01, 0.02
iterations               300                      300; KTH 100                    300
Adam's learning rate     not given                0.2 (TensorFlow code 0.001)     0.001
initial mask             "centered in the middle" first centred mask that fails   -
                                                  the 90 % criterion
TV norm                  |m|_beta^beta            beta 3, inner edges twice       -
early stop               none                     at 1e-5, but never fires: the   -
                                                  old loss is not updated
reverse                  whole frames             blend by the earlier frame's    -
                                                  mask value

At a learning rate of 0.001 a logit moves by at most about 0.3 in 300 iterations, so that with
`as_published` the mask stays where it was initialised; MaskResult.moved and .flipped say so for each mask.
The default is the code's optimiser with the text's initialisation, a plain TV norm, an early stop that works,
whole frames when reversing, and lambda 2 = 0.003. With the paper's 0.02 the optimum of equation 1 has a
shoulder of 0.42 on the frame at each side of every window (the root v of lambda1 + 3 lambda2 (v^2 - (1 -
v)^2) = 0), which counts as masked at the threshold of 0.1: every window comes out two frames too long. There
is no shoulder where lambda2 < lambda1 / 3.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields, replace

import numpy as np
import pandas as pd
import torch
from torch import nn

from ..convolution.allocator import keep_freed
from ..convolution.transposes import fast_gradients
from ..errors import InputError, number, whole
from ..models.inputs import check_clips, class_logits, network
from ..models.probing import classes, evaluating, probabilities, rows, scale, score
from .perturb import THRESHOLD, freeze, perturb, prepare, reverse


@dataclass(frozen=True)
class Settings:
    """Everything that decides which mask is learned; the defaults are ours, see PRESETS for the paper's."""

    iterations: int = 300
    length_weight: float = 0.01  # lambda 1, of the mask's sum
    tv_weight: float = 0.003  # lambda 2, of its total variation
    beta: float = 3  # exponent of the total variation
    learning_rate: float = 0.2  # of Adam, on the mask's logits
    tolerance: float = 1e-5  # a clip stops when its loss moves less than this; 0: never
    patience: int = 5  # in so many iterations one after the other
    start: float = 5.0  # mask logits start within plus or minus this; masks of zeros and ones at its ends
    initial: str = "central"  # or "central_released", "full"; see `central_mask`
    coverage: float = 0.9  # share of the full mask's drop that the initial mask keeps
    double_inner: bool = False  # count inner edges twice in the variation, as the released code does
    soft_reverse: bool = False  # blend when reversing, as the released code does
    perturbation: str = "freeze"  # what the mask is learned with
    logit: bool = False  # lower the class's logit instead of its score
    scores: str = "auto"  # or "softmax", "sigmoid"; a result says which it was, see `probing.scale`
    keep: str = "last"  # or "best": the mask of the lowest loss on the way, where steps can leave an optimum for good


NUMBERS = {  # of the settings: what they should be
    "length_weight": ("of at least 0", lambda weight: weight >= 0),
    "tv_weight": ("of at least 0", lambda weight: weight >= 0),
    "beta": ("of at least 1", lambda beta: beta >= 1),
    "learning_rate": ("above 0", lambda rate: rate > 0),
    "tolerance": ("of at least 0", lambda tolerance: tolerance >= 0),
    "start": ("above 0", lambda start: start > 0),
    "coverage": ("from 0 to 1", lambda share: 0 <= share <= 1),
}
AS_RELEASED = Settings(tv_weight=0.02, tolerance=0, initial="central_released", double_inner=True, soft_reverse=True)
PRESETS = {
    "default": Settings(),
    "as_published": Settings(tv_weight=0.02, learning_rate=0.001, tolerance=0),
    "as_released": AS_RELEASED,
    "as_released_kth": replace(AS_RELEASED, iterations=100, length_weight=0.02, tv_weight=0.04),
}


@dataclass
class MaskResult:
    """Learned masks of B clips with T frames, and the scores under them ([B], by settings.scores)."""

    mask: torch.Tensor  # [B, T], values in [0, 1]
    initial: torch.Tensor  # [B, T], where the masks started
    targets: torch.Tensor  # [B] int64, the class explained
    labels: torch.Tensor | None  # [B] int64, the true class, where it was given
    original: torch.Tensor  # OS: score of the target class on the clip as it is
    freeze: torch.Tensor  # FS: on the clip frozen by the mask
    reverse: torch.Tensor  # RS: on the clip reversed by the thresholded mask
    truth: torch.Tensor  # CS: score of the true class where it is not the target, else NaN
    perturbed: torch.Tensor  # score under the perturbation that the mask was learned with
    loss: torch.Tensor  # [iterations, B], equation 1 before each step; held after a clip stops
    iterations: torch.Tensor  # [B] int64, steps taken
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

    def whole_reverse(self, model, clips):
        """Return RS [B] with the masked frames reversed whole, as the paper's text has it, whatever `soft_reverse`."""
        with evaluating(model), torch.no_grad():
            return score(model, reverse(clips, self.mask), self.targets, self.settings.scores)

    def table(self):
        """Return a DataFrame, one row per clip: classes, scores, mask length, movement, iterations, loss."""
        columns = {
            "target": self.targets,
            "OS": self.original,
            "FS": self.freeze,
            "RS": self.reverse,
            "CS": self.truth,
            "mask_length": self.length,
            "moved": self.moved,
            "flipped": self.flipped,
            "iterations": self.iterations,
            "loss": self.loss[-1] if len(self.loss) else torch.full_like(self.original, np.nan),
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

    Minimises equation 1, lambda1 |m|_1 + lambda2 TV_beta(m) + F_c, over the logits of the mask with Adam;
    F_c is the score of the target class (softmax, or sigmoid for a single logit or where scores="sigmoid" is given)
    on the clip perturbed (frozen) by the mask. All clips of a batch are perturbed and run together, but each has its
    own mask, optimiser state and early stop, so that a clip's mask does not depend on its neighbours (up to rounding).
    The model is used in evaluation mode and left as it was.

    model: a module from clips [b, C, T, H, W] to class logits [b, K]. clips: [B, C, T, H, W] on the model's
    device. A network in half precision computes in it, but its masks are learned and returned in float32.
    targets: class index or indices [B] to explain; None: the predicted classes, as in the paper.
    labels: true classes [B], for the score CS of misclassified clips. batch_size: clips run at once.
    preset: "default", "as_published", "as_released" or "as_released_kth" (the module's docstring
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
    edges = (mask[:, 1:] - mask[:, :-1]).abs() ** beta
    if double_inner:
        return 2 * edges.sum(1) - edges[:, 0] - edges[:, -1]
    return edges.sum(1)


@torch.no_grad()
def central_mask(model, clips, targets, perturbation="freeze", coverage=0.9, released=False, scores="auto"):
    """Return initial masks [B, T] of zeros and ones: the smallest centred one that keeps most of the drop.

    The drop is the original score minus the score under the perturbation; a mask qualifies if its drop is at
    least `coverage` times that of the full mask. A clip whose score the full mask does not lower starts with
    the full mask. released=True does as the released code: shrink from the full mask and return the first
    one that fails.
    """
    number("coverage", coverage, *NUMBERS["coverage"])
    frames = with_time(clips).shape[2]
    apply = prepare(clips, perturbation, **_soft(perturbation))
    centred = torch.ones((frames + 1) // 2, frames, device=clips.device)
    for cut, mask in enumerate(centred):
        mask[:cut] = 0
        mask[frames - cut :] = 0
    with evaluating(model):
        original = score(model, clips, targets, scores)
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
    settings = replace(settings, scores=scale(logits.shape[1], settings.scores))
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
    soft = _soft(settings.perturbation)
    return MaskResult(
        mask=mask,
        initial=began.sigmoid(),
        targets=targets,
        labels=labels,
        original=own,
        freeze=score(model, freeze(clips, mask), targets, settings.scores),
        reverse=score(model, reverse(clips, mask, soft=settings.soft_reverse), targets, settings.scores),
        truth=truth,
        perturbed=score(model, perturb(clips, mask, settings.perturbation, **soft), targets, settings.scores),
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
        with fast_gradients():
            loss = _loss(model, apply, logits[running].sigmoid(), targets[running], settings)
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


def _loss(model, apply, mask, targets, settings):
    """Return equation 1 for each clip [B]."""
    logits = model(apply(mask)).float()
    own = (logits if settings.logit else probabilities(logits, settings.scores)).gather(1, targets[:, None])[:, 0]
    penalty = settings.length_weight * mask.sum(1)
    return penalty + settings.tv_weight * total_variation(mask, settings.beta, settings.double_inner) + own


def _soft(perturbation):
    """Options that make a perturbation differentiable in the mask."""
    return {"soft": True} if perturbation in ("reverse", "shuffle") else {}


def resolve(preset, iterations, options):
    """Return (the preset's `Settings` with the options applied, the initial mask where given as numbers)."""
    if preset not in PRESETS:
        raise InputError(f"there is no mask preset called {preset!r}; there are {', '.join(PRESETS)}.")
    known = [field.name for field in fields(Settings)]
    unknown = sorted(set(options) - set(known))
    if unknown:
        raise InputError(f"masks.learn does not know {', '.join(unknown)}; its options are {', '.join(known)}.")
    if iterations is not None:
        options["iterations"] = iterations
    given = options.get("initial")
    if given is not None and not isinstance(given, str):
        options["initial"] = "given"
        given = _checked(given)
    elif given not in (None, "central", "central_released", "full"):
        raise InputError(f"there is no initial mask called {given!r}; use central, central_released, full or numbers.")
    else:
        given = None
    settings = replace(PRESETS[preset], **options)
    scale(2, settings.scores)  # an unknown name is an error before anything runs
    if settings.keep not in ("last", "best"):
        raise InputError(f"keep={settings.keep!r} of a mask should be 'last' or 'best'.")
    checked = {name: number(name, getattr(settings, name), *NUMBERS[name]) for name in NUMBERS}
    checked["iterations"] = whole("iterations", settings.iterations, 0)
    checked["patience"] = whole("patience", settings.patience)
    return replace(settings, **checked), given


def _checked(mask):
    """Return a given initial mask as a tensor; InputError where its values are not all numbers from 0 to 1."""
    try:
        mask = torch.as_tensor(mask)
        wrong = mask[~((mask >= 0) & (mask <= 1))]  # NaN, too
    except (TypeError, ValueError, RuntimeError) as error:
        raise InputError(f"the initial mask should be numbers from 0 to 1, not {mask!r}") from error
    if len(wrong):
        raise InputError(f"the initial mask has the value {float(wrong[0]):g}; values go from 0, unmasked, to 1.")
    return mask


def _initial(given, part, count):
    if given is None or given.ndim < 2:
        return given
    if len(given) != count:
        raise InputError(f"there are {count} clips but {len(given)} initial masks")
    return given[part]
