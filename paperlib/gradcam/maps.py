"""Grad-CAM over time, one saliency map per frame (Manttari, Broome et al., ACCV 2020, section 3.2, eq. 2)."""

import difflib
import re

import torch
from torch.nn import functional as F

from ..errors import InputError
from ..models.clstm import CLSTM
from ..models.probing import classes, evaluating, rows
from ..models.slowfast import SlowFast
from ..models.torchvision_video import TorchvisionVideo

NORMALISATIONS = ("frame", "clip", None)


def video_gradcam(
    model, clips, targets=None, layer=None, normalise="frame", relu=True, softmax=False, per_step=True, batch_size=16
):
    """Return Grad-CAM maps [B, T, H, W] in [0, 1], one per input frame, for clips [B, 3, T, H, W].

    The maps of `raw_maps` (equation 2), their negative part cut off (`relu`, as in Grad-CAM; the equation
    has no such cut), interpolated linearly in space and time to the clip's size, then normalised: "frame"
    scales every frame's map to the range 0 to 1 (as the paper's code does), "clip" divides a clip's maps by
    their common maximum, so that frames can be compared, None leaves them as they are. A map without
    positive part is all zero.

    targets: class index or indices [B]; None: the predicted classes. layer: a name from
    `model.named_modules()`;
    None: `default_layer(model)`. For a SlowFast network the layer chooses the pathway: "slow" (the default)
    and "fast" stand for the last stage of each. softmax, per_step: see `raw_maps`. batch_size: clips run at
    once.
    """
    if normalise not in NORMALISATIONS:
        raise InputError(f"normalise is {normalise!r}; it must be 'frame', 'clip' or None.")
    maps = raw_maps(model, clips, targets, layer, softmax, per_step, batch_size)
    return over_frames(maps, clips.shape[2:], normalise, relu)


def over_frames(maps, size, normalise="frame", relu=True):
    """Return the maps of `raw_maps` scaled to the clip's size (T, H, W) and normalised: see `video_gradcam`."""
    maps = maps.clamp(min=0) if relu else maps
    size = tuple(size)
    maps = F.interpolate(maps[:, None].float(), size=size, mode="trilinear", align_corners=False)[:, 0]
    if normalise == "frame":
        maps = maps - maps.amin((2, 3), keepdim=True)
        return _divided(maps, maps.amax((2, 3), keepdim=True))
    if normalise == "clip":
        maps = maps if relu else maps - maps.amin((1, 2, 3), keepdim=True)
        return _divided(maps, maps.amax((1, 2, 3), keepdim=True))
    return maps


def raw_maps(model, clips, targets=None, layer=None, softmax=False, per_step=True, batch_size=16):
    """Return equation 2 at the layer's own size [B, T', H', W']: sum over k of w[k, t] A[k, t, i, j].

    w[k, t] is the mean over the pixels i, j of the gradient of the target's score with respect to A[k, t, i,
    j]. The score is the class's logit, or its softmax value where softmax=True (the paper's PyTorch code;
    its TensorFlow code takes the logit). per_step=False averages the weights over time too, as the PyTorch
    code does; a network that treats frames alike then gives every frame the same weights.

    The layer may give [B, C, T', H', W'], frames folded into the batch [B * T', C, H', W'] (2D networks), or
    one map for the clip [B, C, H', W']. A layer that runs several times in one forward pass counts as its
    last run. Raises InputError for a layer that does not exist, does not run, has no maps, or does not reach
    the score.
    """
    layer = default_layer(model, clips[:1]) if layer is None else layer
    module, layer = _module(model, layer)
    maps = []
    with evaluating(model), torch.enable_grad():
        for begin in range(0, len(clips), batch_size):
            part = slice(begin, begin + batch_size)
            maps.append(_maps(model, clips[part], rows(targets, part), module, layer, softmax, per_step))
    if not maps:
        raise InputError("there are no clips to explain; clips must be [B, 3, T, H, W] with B > 0.")
    return torch.cat(maps)


def default_layer(model, clip=None):
    """Return the name of the layer that a model family is explained by.

    I3D and other Inception networks: the last Inception module (ACCV 2020, section 4.2). C-LSTM: the last
    cell. ResNets: the last block. SlowFast: the last stage of the slow pathway. torchvision's networks: the
    last stage. Any other model: the last module that, for the given clip, returns maps of more than one
    pixel.
    """
    if isinstance(model, CLSTM):
        return f"cells.{len(model.cells) - 1}"
    if isinstance(model, SlowFast):
        return f"slow.{len(model.slow) - 1}"
    if isinstance(model, TorchvisionVideo):
        return "net.layer4" if hasattr(model.net, "layer4") else f"net.features.{len(model.net.features) - 1}"
    names = [name for name, _ in model.named_children()]
    inception = [name for name in names if re.fullmatch(r"inception\w+", name)]
    if inception:
        return inception[-1]
    if "layer4" in names and isinstance(model.layer4, torch.nn.Sequential):
        return f"layer4.{len(model.layer4) - 1}"
    return _last_with_maps(model, clip)


def _last_with_maps(model, clip):
    """Return the name of the last module to return maps of more than one pixel."""
    if clip is None:
        raise InputError(f"{type(model).__name__} has no default layer; name one of model.named_modules().")
    found = []

    def look(name):
        def hook(module, inputs, output):
            if torch.is_tensor(output) and output.ndim in (4, 5) and output.shape[-1] * output.shape[-2] > 1:
                found.append(name)

        return hook

    handles = [module.register_forward_hook(look(name)) for name, module in model.named_modules() if name]
    try:
        with evaluating(model), torch.no_grad():
            model(clip)
    finally:
        for handle in handles:
            handle.remove()
    if not found:
        raise InputError(f"no layer of {type(model).__name__} returns maps [.., C, H, W], as Grad-CAM needs.")
    return found[-1]


def _module(model, layer):
    """Return (module, full name); 'slow' and 'fast' are short for a SlowFast pathway's last stage."""
    if isinstance(model, SlowFast) and layer in ("slow", "fast"):
        layer = f"{layer}.{len(getattr(model, layer)) - 1}"
    modules = dict(model.named_modules())
    if layer in modules and layer:
        return modules[layer], layer
    near = difflib.get_close_matches(str(layer), modules, n=5, cutoff=0.3) or list(modules)[1:6]
    stages = [name for name, _ in model.named_children() if name not in near]
    raise InputError(
        f"{type(model).__name__} has no layer {layer!r}; there are, for example, {', '.join(near + stages)}."
    )


def _maps(model, clips, targets, module, layer, softmax, per_step):
    """Return equation 2 [b, T', H', W'] for one batch."""
    seen = []

    def cut(module, inputs, output):
        # a fresh leaf: the gradient is needed from here on only, and nothing below keeps a graph
        if not torch.is_tensor(output) or not output.is_floating_point():
            raise InputError(f"layer {layer} returns {type(output).__name__}, not a tensor of maps; choose another.")
        seen.append(output.detach().requires_grad_())
        return seen[-1].clone()

    handle = module.register_forward_hook(cut)
    try:
        logits = model(clips).float()
    finally:
        handle.remove()
    if not seen:
        raise InputError(f"layer {layer} does not run when {type(model).__name__} scores a clip; choose another.")
    targets = classes(logits, targets)
    own = (logits.softmax(1) if softmax else logits).gather(1, targets[:, None])
    gradient = None
    if own.requires_grad:
        (gradient,) = torch.autograd.grad(own.sum(), seen[-1], allow_unused=True)
    if gradient is None:
        raise InputError(f"the class score does not depend on layer {layer}; choose another.")
    activation = _by_time(seen[-1].detach(), layer, len(clips))
    gradient = _by_time(gradient, layer, len(clips))
    weights = gradient.mean((3, 4) if per_step else (2, 3, 4), keepdim=True)
    return (weights * activation).sum(1)


def _by_time(values, layer, batch):
    """Return a layer's values as [b, C, T', H', W']."""
    if values.ndim == 5:
        return values
    if values.ndim == 4 and len(values) % batch == 0:
        return values.unflatten(0, (batch, len(values) // batch)).transpose(1, 2)
    raise InputError(
        f"layer {layer} returns {list(values.shape)}; Grad-CAM needs maps [B, C, T, H, W] or [B * T, C, H, W]."
    )


def _divided(maps, largest):
    """Divide by the largest value; maps that are all zero stay zero."""
    return maps / torch.where(largest > 0, largest, 1)
