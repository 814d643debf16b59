"""Everything that decides which mask is learned.

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

from dataclasses import dataclass, fields, replace

from ..errors import InputError, number, whole
from ..tracing.probing import scale
from .perturb import check_kind, numbers


@dataclass(frozen=True)
class Settings:
    """Everything that decides which mask is learned; the defaults are ours, see PRESETS for the paper's.

    iterations: most steps of Adam; learning_rate: of it, on the mask's logits.
    length_weight: lambda 1, of the mask's sum; tv_weight: lambda 2, of its total variation, whose exponent is beta.
    tolerance, patience: a clip stops when its loss moves less than `tolerance` in `patience` iterations one after the
    other; with a tolerance of 0 never.
    start: mask logits start within plus or minus this; masks of zeros and ones at its ends.
    initial: "central", "central_released" (see `central_mask`) or "full"; coverage: share of the full mask's drop that
    a central one keeps.
    double_inner: count inner edges twice in the variation; soft_reverse: blend when reversing; both as the released
    code does.
    perturbation: what the mask is learned with, a name of PERTURBATIONS.
    logit: lower the class's logit instead of its score. scores: "softmax", "sigmoid" or "auto": what the network
    carries as `scores`, else softmax, or sigmoid for a single logit; a result says which it was.
    keep: "last", or "best": the mask of the lowest loss on the way, where steps can leave an optimum for good.
    """

    iterations: int = 300
    length_weight: float = 0.01
    tv_weight: float = 0.003
    beta: float = 3
    learning_rate: float = 0.2
    tolerance: float = 1e-5
    patience: int = 5
    start: float = 5.0
    initial: str = "central"
    coverage: float = 0.9
    double_inner: bool = False
    soft_reverse: bool = False
    perturbation: str = "freeze"
    logit: bool = False
    scores: str = "auto"
    keep: str = "last"


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
        given = _from_0_to_1(given)
    elif given not in (None, "central", "central_released", "full"):
        raise InputError(f"there is no initial mask called {given!r}; use central, central_released, full or numbers.")
    else:
        given = None
    settings = replace(PRESETS[preset], **options)
    scale(2, settings.scores)  # an unknown name is an error before anything runs
    check_kind(settings.perturbation)
    if settings.keep not in ("last", "best"):
        raise InputError(f"keep={settings.keep!r} of a mask should be 'last' or 'best'.")
    for name in ("double_inner", "soft_reverse", "logit"):
        if not isinstance(getattr(settings, name), bool):
            raise InputError(f"{name} of a mask should be True or False, not {getattr(settings, name)!r}.")
    checked = {name: number(name, getattr(settings, name), *NUMBERS[name]) for name in NUMBERS}
    checked["iterations"] = whole("iterations", settings.iterations, 0)
    checked["patience"] = whole("patience", settings.patience)
    return replace(settings, **checked), given


def _from_0_to_1(mask):
    """Return a given initial mask as a tensor; InputError where its values are not all numbers from 0 to 1."""
    mask = numbers(mask, "the initial mask")
    wrong = mask[~((mask >= 0) & (mask <= 1))]  # NaN, too
    if len(wrong):
        raise InputError(f"the initial mask has the value {float(wrong[0]):g}; values go from 0, unmasked, to 1.")
    return mask
