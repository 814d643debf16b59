"""`relevance_matrix`: which input frames each frame's logit rests on (section 3 of the paper)."""

import warnings
from collections.abc import Mapping, Sequence

import torch
from torch import nn

from ..convolution.allocator import keep_freed
from ..convolution.half import NUMBERS
from ..errors import InputError
from ..tracing.inputs import are_probabilities, check_clips, check_logits, class_logits, network, random_state
from ..tracing.probing import check_count, evaluating, in_float32, indices
from .engine import Pass
from .memory import largest_portion, portions
from .starts import origin, ranges, settle

MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


@in_float32
def relevance_matrix(
    model: nn.Module,
    clips: torch.Tensor,
    targets: torch.Tensor | Sequence[int],
    method: str = "clrp",
    rules: Mapping | str | None = None,
    input_bounds: tuple | None = None,
    memory: str | int | None = "auto",
    clip_at: str = "pixel",
    contrast: int = 2,
    normalise: bool = False,
    precision: str | torch.dtype | None = None,
    rows: str = "auto",
    split: str | None = None,
) -> torch.Tensor:
    """Return the temporal relevance matrices A [B, T', N] of clips: row i explains output step i.

    That is a frame logit or, of a network without any, a part of the clip's logit: see `rows`. Column j is frame j.

    model: any network of class logits [B, K]; evaluated as if in evaluation mode. One in half precision is held in
        float32 meanwhile, and so is the result.
    clips: [B, 3, N, H, W], normalised, in the network's numbers.
    targets: the class of each clip, [B] or one number for all.
    method: "clrp", contrastive relevance max(0, R - R_dual) (equation 2); "lrp", the relevance R alone, whose
        rows sum to the frame logits; "dual", R_dual alone.
    contrast: type of dual (Gu et al. 2018): 2, their CLRP2, negates the target's weights and starts from the same
        logit, as the paper does; 1, their CLRP1, keeps the weights and starts from all other logits, as in their code.
    normalise: divide R and R_dual by their starting sums before subtracting them, as Gu et al.'s code does.
    rules: a composite's name, "paper", "attnlrp", "cp-lrp" or "gamma", or {module class, module path or operation
        name: rule} in place of one's rules, which the entry "composite" may name; "auto" and None: "attnlrp" where
        the network holds attention (a matrix product of two tensors that depend on the clip, in a network that has
        other norms than batch norms, or none), else "paper". See `coverage` and composites.py. In "paper" z-beta takes
        the place of ZPlus at the layer that sees the clip, unless a rule names it by path. CLRP needs a rule that tells
        weights from negated ones: the last layer has ZPlus then, in every composite, and a rule given for it that does
        not is refused.
    input_bounds: (low, high) of the pixels, numbers or one per channel; by default what [0, 1] becomes after
        ImageNet normalisation. Only z-beta asks for them.
    memory: bytes that relevance may occupy, or "auto" for half of what is free; targets are processed in
        portions that fit.
    clip_at: where max(0, .) of CLRP is taken: "pixel" (each input element, then summed per frame) or "frame"
        (after summing; then A is linear in the last layer's relevance, see `frame_provenance`).
    precision: "bfloat16" takes relevance through convolutions in half precision, faster where the device has
        it; on a CPU only those that were seen to be right there (half.py). Activations, denominators and sums over
        frames stay in the network's numbers; entries were within 0.5 % of the largest one for 64 channels at 112
        pixels, within 4 % for networks of 8 channels at 64 pixels.
    rows: what row i explains. "logits": frame logit i, of the network's own frame_logits(clip) -> [B, T', K] or, where
        its head averages over time in front of a linear layer, of that head applied to each step. "split": the part of
        the clip's logit that passes through step i of the last tensor in front of the classifier that has a time axis;
        a class token's own way past the steps is one more, last row. "auto": logits where there are any. The two are
        different quantities, never to be mixed in one table; `rows_of` says which it is, and what each row starts from.
    split: path of the module whose output is cut into steps, which means rows="split".

    Raises InputError for NaN, a class out of range, a wrong shape or type, or a layer without a rule.
    """
    choose("method", method, ("clrp", "lrp", "dual"))
    choose("clip_at", clip_at, ("pixel", "frame"))
    choose("precision", precision, (None, "bfloat16", torch.bfloat16))
    low = torch.bfloat16 if precision else None
    clamps = method == "clrp" and clip_at == "pixel"

    def per_frame(r):  # [rows, B, 3, N, H, W] -> [rows, B, N]
        return (r.clamp_(min=0) if clamps else r).sum((2, 4, 5), dtype=clips.dtype)

    matrices = []
    for clip_part, target_part, width, plan in prepared(model, clips, targets, memory, rules, rows, split):
        sweep = begin(model, clip_part, plan, input_bounds, method, contrast, low)
        starts = origin(sweep, plan, target_part, method, contrast, normalise)
        A = torch.cat([starts.down(wanted, per_frame) for wanted in ranges(starts.count, width)]).transpose(0, 1)
        matrices.append(A.clamp(min=0) if method == "clrp" else A)
    return torch.cat(matrices)


@in_float32
def pixel_relevance(
    model: nn.Module,
    clips: torch.Tensor,
    targets: torch.Tensor | Sequence[int],
    method: str = "clrp",
    rules: Mapping | str | None = None,
    input_bounds: tuple | None = None,
    memory: str | int | None = "auto",
    contrast: int = 2,
    normalise: bool = False,
    steps: Sequence[int] | None = None,
    rows: str = "auto",
    split: str | None = None,
) -> torch.Tensor:
    """Return relevance per input element, [B, T', 3, N, H, W]: the maps that `relevance_matrix` sums.

    Arguments as there; method "lrp" gives R, "dual" R_dual, "clrp" max(0, R - R_dual).
    steps: which output steps to explain (the second dimension), all by default.
    """
    choose("method", method, ("clrp", "lrp", "dual"))
    maps = []
    for clip_part, target_part, width, plan in prepared(model, clips, targets, memory, rules, rows, split):
        wanted = list(range(plan.count)) if steps is None else indices(steps, "cpu", "step").flatten().tolist()
        if not wanted or any(not 0 <= step < plan.count for step in wanted):
            raise InputError(f"steps must lie between 0 and {plan.count - 1}, not {wanted}")
        sweep = begin(model, clip_part, plan, input_bounds, method, contrast)
        starts = origin(sweep, plan, target_part, method, contrast, normalise)
        found = []
        for part in ranges(len(wanted), width):
            r = starts.down([wanted[i] for i in part])
            found.append(r.clamp(min=0) if method == "clrp" else r)
        maps.append(torch.cat(found).transpose(0, 1))
    return torch.cat(maps)


def begin(model, clips, plan, input_bounds=None, method="lrp", contrast=2, precision=None):
    """Run the forward pass of `clips` and return it as a Pass, ready to take relevance down or up.

    plan: of the network for clips of this shape, see `settle`.
    """
    choose("contrast", contrast, (1, 2))
    keep_freed()
    model = network(model)
    if contrast == 1 and method != "lrp" and plan.graph.output.meta["val"].shape[-1] == 1:
        raise InputError(
            f"{type(model).__name__} has one logit, so there are no others for contrast=1 to start from; use contrast=2"
        )
    if method != "lrp" and not any(step.last for step in plan.steps):
        raise InputError(
            f"{type(model).__name__} has no layer with weights in front of its logits, so there "
            f"is nothing to contrast; use method='lrp'"
        )
    kind = {"lrp": None, "clrp": "difference", "dual": "dual"}[method] if contrast == 2 else None
    state = random_state(clips.device)
    bounds = pixel_bounds(clips, input_bounds) if any(step.bounded for step in plan.steps) else None
    found = Pass(model, plan.graph, plan.steps, clips, bounds, kind, precision)
    if not torch.equal(state, random_state(clips.device)):
        with evaluating(model):
            class_logits(model, clips)  # refuses a network that is another one at every run
    logits = check_logits(model, found.logits.flatten(0, -2))
    if are_probabilities(logits.exp()):
        raise InputError(
            f"forward of {type(model).__name__} returns log-probabilities, which are never positive; let it "
            "return what its log_softmax is given"
        )
    return found


def pixel_bounds(clips, bounds=None):
    """Return the lowest and highest value of every pixel, two tensors shaped like `clips`."""
    if bounds is None:
        bounds = [[(end - m) / s for m, s in zip(MEAN, STD, strict=True)] for end in (0, 1)]
        if clips.shape[1] != 3:
            raise InputError(f"clips have {clips.shape[1]} channels, so give input_bounds=(low, high)")
    try:
        as_clips = dict(dtype=clips.dtype, device=clips.device)
        low, high = (torch.as_tensor(end, **as_clips).reshape(-1, 1, 1, 1) for end in bounds)
        ends = low.expand(clips.shape).contiguous(), high.expand(clips.shape).contiguous()  # networks take views
    except (TypeError, ValueError, RuntimeError) as error:
        raise InputError(
            f"input_bounds must be (low, high), each a number or one per channel, not {bounds!r}"
        ) from error
    if not (low < high).all():
        raise InputError(f"input_bounds must be (low, high) with low below high, not {bounds!r}")
    beyond, slack = torch.maximum(low - clips, clips - high), 1e-4 * (high - low)
    if (beyond > slack).any() and any(torch.equal(clips.to(narrow).to(clips), clips) for narrow in NUMBERS):
        slack = torch.maximum(low.abs(), high.abs()) / 128  # bounds are rounded as any pixel
    if (beyond > slack).any():
        warnings.warn(
            "clips have values outside input_bounds, for which z-beta gives some pixels relevance "
            "of the wrong sign; give input_bounds=(low, high)",
            stacklevel=6,
        )
    return ends


def prepared(model, clips, targets, memory, rules=None, rows="auto", split=None):
    """Check the input and yield (clips, targets, rows at once, Plan) in portions that fit the memory.

    Raises InputError where the rows of one portion are another quantity than those of another.
    """
    model = network(model)
    clips = check_clips(model, clips)
    sample = largest_portion(clips)
    with evaluating(model):
        plan = settle(model, sample, rules, rows, split)
    targets = check_targets(targets, len(clips), plan.graph.output.meta["val"].shape[-1], clips.device)
    at_once, width = portions(plan.graph, plan.count, len(sample), clips.device, memory)
    for first in range(0, len(clips), at_once):
        part = slice(first, first + at_once)
        if len(clips[part]) != len(sample):
            with evaluating(model):
                other = settle(model, clips[part], rules, rows, split)
            if (other.about, other.names) != (plan.about, plan.names):
                raise InputError(
                    f"the rows of {type(model).__name__} are {plan.about} for {len(sample)} clips at once, but "
                    f"{other.about} for {len(clips[part])}; ask about one clip after the other, or name a layer with "
                    "split="
                )
            plan = other
        sample = clips[part]
        yield clips[part], targets[part], width, plan


def check_targets(targets, batch, classes, device):
    """Return the targets as a tensor [B], or raise InputError."""
    targets = indices(targets, device)
    if targets.dim() > 1:
        raise InputError(f"targets must be class indices, one per clip, not of shape {tuple(targets.shape)}")
    if targets.dim() == 0:
        targets = targets.expand(batch)
    check_count(targets, batch)
    if batch and not (0 <= int(targets.min()) and int(targets.max()) < classes):
        wrong = int(targets.max()) if int(targets.max()) >= classes else int(targets.min())
        raise InputError(f"class {wrong} is out of range: the network has classes 0 to {classes - 1}")
    return targets.long()


def choose(what, value, allowed):
    if value not in allowed:
        raise InputError(f"{what} must be one of {', '.join(map(str, allowed))}, not {value!r}")
