"""Grad-CAM over time, one saliency map per frame (Manttari, Broome et al., ACCV 2020, section 3.2, eq. 2)."""

import difflib
import re
import warnings
import weakref
from collections.abc import Callable, Sequence

import torch
from torch import nn
from torch.nn import functional as F

from ..errors import InputError, whole
from ..models.base import VideoModel
from ..models.clstm import CLSTM
from ..models.slowfast import SlowFast
from ..models.torchvision_video import TorchvisionVideo
from ..tracing.architecture import kept
from ..tracing.inputs import check_clips, class_logits, network, scale_of
from ..tracing.probing import classes, evaluating, in_float32, probabilities, rows, scale
from . import candidates

NORMALISATIONS = ("frame", "clip", None)
EVEN = 1e-5  # of its largest value: a map that differs by less is the same everywhere
_placed: weakref.WeakKeyDictionary = weakref.WeakKeyDictionary()  # which stage of a network has pixels left


def video_gradcam(
    model: nn.Module,
    clips: torch.Tensor,
    targets: torch.Tensor | Sequence[int] | int | None = None,
    layer: str | None = None,
    normalise: str | None = "frame",
    relu: bool = True,
    softmax: bool = False,
    per_step: bool = True,
    batch_size: int = 16,
    reshape: Callable | None = None,
    scores: str = "auto",
) -> torch.Tensor:
    """Return Grad-CAM maps [B, T, H, W] in [0, 1], one per input frame, for clips [B, 3, T, H, W].

    The maps of `raw_maps` (equation 2), their negative part cut off (`relu`, as in Grad-CAM; the equation
    has no such cut), interpolated linearly in space and time to the clip's size, then normalised: "frame"
    scales every frame's map to the range 0 to 1 (as the paper's code does), "clip" divides a clip's maps by
    their common maximum, so that frames can be compared, None leaves them as they are. A map without
    positive part is all zero, and so is by "frame" one that is the same everywhere.

        maps = gradcam.video_gradcam(model, clip, targets=[3], layer="layer4.2")  # [1, T, H, W]

    targets: class index or indices [B]; None: the predicted classes. layer: a name from `model.named_modules()`;
    None: `default_layer(model, clips)`. For a SlowFast network the layer chooses the pathway: "slow" (the default)
    and "fast" stand for the last stage of each. softmax: take the score (softmax or sigmoid, see scores) instead of the
    logit. scores, per_step, reshape: see `raw_maps`. batch_size: clips run at once.
    """
    _check(normalise)
    maps = raw_maps(model, clips, targets, layer, softmax, per_step, batch_size, reshape, scores)
    return over_frames(maps, clips.shape[2:], normalise, relu)


def over_frames(
    maps: torch.Tensor, size: Sequence[int], normalise: str | None = "frame", relu: bool = True
) -> torch.Tensor:
    """Return the maps of `raw_maps` scaled to the clip's size (T, H, W) and normalised: see `video_gradcam`."""
    _check(normalise)
    maps = maps.clamp(min=0) if relu else maps
    size = tuple(size)
    maps = F.interpolate(maps[:, None].float(), size=size, mode="trilinear", align_corners=False)[:, 0]
    if normalise == "frame":
        low, high = maps.amin((2, 3), keepdim=True), maps.amax((2, 3), keepdim=True)
        even = high - low <= EVEN * torch.maximum(low.abs(), high.abs())  # the rest is rounding
        return torch.where(even, 0, _divided(maps - low, high - low))
    if normalise == "clip":
        maps = maps if relu else maps - maps.amin((1, 2, 3), keepdim=True)
        return _divided(maps, maps.amax((1, 2, 3), keepdim=True))
    return maps


def _check(normalise):
    if normalise not in NORMALISATIONS:
        raise InputError(f"normalise is {normalise!r}; it must be 'frame', 'clip' or None.")


@in_float32
def raw_maps(
    model: nn.Module,
    clips: torch.Tensor,
    targets: torch.Tensor | Sequence[int] | int | None = None,
    layer: str | None = None,
    softmax: bool = False,
    per_step: bool = True,
    batch_size: int = 16,
    reshape: Callable | None = None,
    scores: str = "auto",
) -> torch.Tensor:
    """Return equation 2 at the layer's own size [B, T', H', W']: sum over k of w[k, t] A[k, t, i, j].

    w[k, t] is the mean over the pixels i, j of the gradient of the target's score with respect to A[k, t, i,
    j]. By default that is the class's logit (as in the paper's TensorFlow code); softmax=True takes the score (softmax
    or sigmoid, see scores) instead of the logit, as its PyTorch code does. scores: "softmax", "sigmoid" or "auto":
    what the network carries as `scores`, else softmax, or sigmoid for a single logit.
    per_step=False averages the weights over time too, as the PyTorch code does; a network that treats frames alike
    then gives every frame the same weights.

    Where batch, features, time, height and width stand in the layer's values is found out from what the network does
    with them: [B, C, T', H', W'], channels last [B, T', H', W', C], frames folded into the batch, tokens [B, N, C] with
    or without a class token, one map for the clip. reshape: a function from the layer's values to [B, C, T', H', W']
    that says it instead (as `reshape_transform` of pytorch-grad-cam does). A layer that runs several times in one
    forward pass counts as its last run, but one that runs once for every frame, in order, has their maps; where it runs
    as often without doing so, a warning says it. A clip whose score does not depend on the layer's places gets maps of
    zeros and a warning. A network in half precision is held in float32 meanwhile, and so are the maps. Raises
    InputError for unusable clips and for a layer that does not exist, does not run, has no maps, or does not reach the
    score.
    """
    model, batch_size = network(model), whole("batch_size", batch_size)
    clips = check_clips(model, clips)
    scores = scale_of(model, scores)
    scale(2, scores)  # an unknown name is an error before anything runs
    layer = default_layer(model, clips[:1]) if layer is None else layer
    module, layer = at(model, layer)
    by_axes, known = _by_axes(model, clips, layer) if reshape is None else (_reshaped(reshape, layer), True)
    maps = []
    with evaluating(model), torch.enable_grad():
        for begin in range(0, len(clips), batch_size):
            part = slice(begin, begin + batch_size)
            maps.append(
                _maps(
                    model,
                    clips[part],
                    rows(targets, part, len(clips)),
                    module,
                    layer,
                    scores if softmax else None,
                    per_step,
                    by_axes,
                    known,
                )
            )
    found, zero = (torch.cat(parts) for parts in zip(*maps, strict=True))
    if zero.any():
        which = ", ".join(str(i) for i in zero.nonzero()[:, 0].tolist())
        warnings.warn(
            f"the score's gradient at layer {layer} is zero for clip(s) {which}, so their maps are empty: the score "
            "does not depend on the layer's places there (behind the last attention "
            "only a class token counts); an earlier layer may say more",
            stacklevel=6,
        )
    return found


@torch.inference_mode(False)
def default_layer(model: nn.Module, clip: torch.Tensor | None = None) -> str:
    """Return the name of the layer that a model family is explained by.

    I3D and other Inception networks: the last Inception module (ACCV 2020, section 4.2). C-LSTM: the last
    cell. ResNets: the last block. SlowFast: the last stage of the slow pathway. torchvision's networks: the
    last stage. Where the given clip [1, 3, T, H, W] is so small that this has one pixel, the last stage before it that
    has more. Any other model: the last layer that, for the clip, has maps in space and time and is not behind the head,
    see `candidates.default`.
    """
    model = network(model)
    stages = _stages(model)
    if clip is None:
        if not stages:
            raise InputError(f"{type(model).__name__} has no default layer; name one of model.named_modules().")
        return stages[-1]
    clip = check_clips(model, clip)
    if not stages:
        return candidates.default(model, clip)
    place = tuple(clip.shape[1:])
    return kept(_placed, model, place, lambda: _last_of_places(model, clip[:1], stages))


def _stages(model):
    """Return the names of a model family's stages, the last one last; none of a network of no family."""
    if isinstance(model, CLSTM):
        return [f"cells.{k}" for k in range(len(model.cells))]
    if isinstance(model, SlowFast):
        return [f"slow.{k}" for k in range(len(model.slow))]
    if isinstance(model, TorchvisionVideo):
        if hasattr(model.net, "layer4"):
            return [f"net.layer{k}" for k in range(1, 5)]
        return [f"net.features.{k}" for k in range(len(model.net.features))]
    if not isinstance(model, VideoModel):
        return []
    inception = [name for name, _ in model.named_children() if re.fullmatch(r"inception\w+", name)]
    blocks = {name: stage for name, stage in model.named_children() if re.fullmatch(r"layer\d", name)}
    residual = all(isinstance(stage, nn.Sequential) for stage in blocks.values())
    return inception or [f"{name}.{len(stage) - 1}" for name, stage in blocks.items() if residual]


@torch.no_grad()
def _last_of_places(model, clip, stages):
    """Return the last of the stages whose maps of a clip have more than one pixel; the last of all where none has."""
    pixels, modules = {}, dict(model.named_modules())

    def count(path):
        return lambda module, inputs, output: pixels.update({path: output.shape[-2:].numel()})

    handles = [modules[path].register_forward_hook(count(path)) for path in stages]
    try:
        with evaluating(model):
            class_logits(model, clip)
    finally:
        for handle in handles:
            handle.remove()
    return ([path for path in stages if pixels.get(path, 1) > 1] or stages)[-1]


def at(model, layer):
    """Return (module, full name) of a layer; 'slow' and 'fast' are short for a SlowFast pathway's last stage."""
    if isinstance(model, SlowFast) and layer in ("slow", "fast"):
        layer = f"{layer}.{len(getattr(model, layer)) - 1}"
    modules = {name: module for name, module in model.named_modules() if name}
    if layer in modules:
        return modules[layer], layer
    near = difflib.get_close_matches(str(layer), modules, n=5, cutoff=0.3) or list(modules)[:5]
    stages = [name for name, _ in model.named_children() if name not in near]
    raise InputError(
        f"{type(model).__name__} has no layer {layer!r}; there are, for example, {', '.join(near + stages)}."
    )


def _maps(model, clips, targets, module, layer, scores, per_step, by_axes, known):
    """Return (equation 2 [b, T', H', W'], whether the gradient is zero [b]) for one batch.

    known: whether `by_axes` knows which of the layer's values are whose, where clips and frames are folded into one
    axis; else every clip is run alone.
    """
    seen = []

    def cut(module, inputs, output):
        # a fresh leaf: the gradient is needed from here on only, and nothing below keeps a graph
        tensor, place = candidates.tensor_of(output)
        if tensor is None:
            raise InputError(f"layer {layer} returns {type(output).__name__}, not one tensor of maps; choose another.")
        seen.append(tensor.detach().requires_grad_())
        return place(seen[-1].clone())

    handle = module.register_forward_hook(cut)
    try:
        logits = class_logits(model, clips)
        if not seen:
            raise InputError(f"layer {layer} does not run when {type(model).__name__} scores a clip; choose another.")
        targets = classes(logits, targets)
        leaves, gradients = _runs(seen, model, clips, layer), None
        if not known and len(clips) > 1 and len(leaves[-1]) != len(clips):
            handle.remove()
            options = module, layer, scores, per_step, by_axes, known
            alone = [_maps(model, clips[i : i + 1], targets[i : i + 1], *options) for i in range(len(clips))]
            return tuple(torch.cat(parts) for parts in zip(*alone, strict=True))
        own = (probabilities(logits, scores) if scores else logits).gather(1, targets[:, None])
        if own.requires_grad:  # the hook stays, since checkpointing runs the layer once more
            gradients = torch.autograd.grad(own.sum(), leaves, allow_unused=True)
    finally:
        handle.remove()
    if gradients is None or all(one is None for one in gradients):
        raise InputError(f"the class score does not depend on layer {layer}; choose another.")
    gradients = [torch.zeros_like(leaf) if one is None else one for leaf, one in zip(leaves, gradients, strict=True)]
    activation = torch.cat([by_axes(leaf.detach(), len(clips)) for leaf in leaves], 2)
    gradient = torch.cat([by_axes(one, len(clips)) for one in gradients], 2)
    weights = gradient.mean((3, 4) if per_step else (2, 3, 4), keepdim=True)
    return (weights * activation).sum(1), ~gradient.flatten(1).any(1)


def _runs(seen, model, clips, layer):
    """Return what a layer returned when it last ran, or for every frame where it runs once for each.

    Layers in a row that share one module may run as often as there are frames, so the network runs twice more: where
    the first frame alone is another, the first of the runs for frames changes more than the last, and where the last
    frame is, the last one does. A stem in front may mix neighbouring frames, a normalisation all of them.
    """
    runs, alike = list(seen), {one.shape for one in seen} == {seen[-1].shape} and len(seen[-1]) == len(clips)
    if not alike or len(runs) == 1 or len(runs) != clips.shape[2] or runs[-1].dim() != 4:
        return runs[-1:]
    # not a constant, which normalisation may take away
    ramp = torch.linspace(0, 1, clips.shape[3:].numel()).view(clips.shape[3:]).to(clips)
    for frame in (0, -1):
        other = clips.clone()
        other[:, :, frame] += ramp
        seen.clear()
        with torch.no_grad():
            model(other)  # the hook puts what the layer returns into `seen`
        first, last = (_change(runs[end], seen[end]) for end in (0, -1))
        if len(seen) != len(runs) or not (last > first if frame else first > last):
            warnings.warn(
                f"layer {layer} runs {len(runs)} times, as often as the clip has frames, but not once for each in "
                "order: its map is that of the last run",
                stacklevel=8,
            )
            return runs[-1:]
    return runs


def _change(before, after):
    return (after - before).float().norm() / before.float().norm().clamp(min=1e-12)


def _by_axes(model, clips, layer):
    """Return (a function from the layer's values and the number of clips to [b, C, T', H', W'], see `_maps` for known).

    The papers' networks, all convolutions, have their features in the second axis and fold frames clip after clip; in
    layers of which nothing is known the features are in the second axis too, but frames may be folded step after step.
    """
    ours = isinstance(model, VideoModel) and not getattr(model, "attends", False)
    found = None if ours else candidates.layout_of(model, clips, layer)
    return (found.maps, True) if found else (lambda values, batch: _features_second(values, layer, batch), ours)


def _reshaped(reshape, layer):
    """Return `reshape` with its result checked."""
    if not callable(reshape):
        raise InputError(f"reshape must be a function from a layer's values to [B, C, T, H, W], not {reshape!r}")

    def by_axes(values, batch):
        found = reshape(values)
        if not torch.is_tensor(found) or found.dim() != 5 or len(found) != batch:
            shape = list(found.shape) if torch.is_tensor(found) else type(found).__name__
            raise InputError(
                f"reshape must turn the values of layer {layer}, here {list(values.shape)}, into "
                f"[{batch}, C, T, H, W], not into {shape}"
            )
        return found

    return by_axes


def _features_second(values, layer, batch):
    """Return values [b, C, T', H', W'] or [b * T', C, H', W'] as [b, C, T', H', W']."""
    if values.ndim == 5 and len(values) == batch:
        return values
    if values.ndim == 4 and len(values) % batch == 0:
        return values.unflatten(0, (batch, len(values) // batch)).transpose(1, 2)
    raise InputError(
        f"layer {layer} returns {list(values.shape)} for {batch} clip(s); Grad-CAM needs maps [B, C, T, H, W] or "
        "[B * T, C, H, W]: choose another layer, or say from Python, with reshape=, how its values become "
        "[B, C, T, H, W]."
    )


def _divided(maps, largest):
    """Divide by the largest value; maps that are all zero stay zero."""
    return maps / torch.where(largest > 0, largest, 1)
