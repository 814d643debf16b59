"""What relevance, masks and Grad-CAM are given: one check of networks and of clips, the same sentences from each."""

import contextlib
import re
import sys
import weakref

import torch
from torch import nn

from ..errors import InputError
from .architecture import architecture, kept
from .probing import SCORES, evaluating

PASSED_ON = {"Clone", "Mean", "Select", "Slice", "Squeeze", "ToCopy", "Transpose", "Unsqueeze", "UnsafeView", "View"}
LOOSE = {torch.float16: 0.05, torch.bfloat16: 0.05}  # rounding that a mean over frames may show; else 1e-3

_alone = weakref.WeakKeyDictionary()  # network -> the shapes of clips whose logits other clips do not change
_without = weakref.WeakKeyDictionary()  # network -> its architecture, with which it did not end in a sigmoid


def network(model, scripted=False):
    """Return the network itself, without torch.compile or wrappers for several GPUs around it.

    scripted: whether TorchScript will do, whose modules cannot be looked into.
    Raises InputError for TorchScript, for what is no module, and for weights made under inference mode.
    """
    if not isinstance(model, nn.Module):
        raise InputError(f"the network must be a torch.nn.Module, not {type(model).__name__}")
    while (inside := _wrapped(model)) is not None:
        model = inside
    compiled = [path for path, module in model.named_modules() if isinstance(module, torch.jit.ScriptModule)]
    if compiled and not scripted:
        where = f"'{compiled[0]}' of " if compiled[0] else ""
        raise InputError(
            f"{where}{type(model).__name__} is TorchScript, whose layers cannot be looked into; give the Python "
            "network that torch.jit.script or torch.jit.trace was called with (only masks work with TorchScript)"
        )
    if not compiled and any(weight.is_inference() for weight in (*model.parameters(), *model.buffers())):
        raise InputError(
            f"the weights of {type(model).__name__} were made under torch.inference_mode(), so nothing can be traced "
            "back through them; build the network outside of it, or give copy.deepcopy(network) made outside of it"
        )
    return model


def _wrapped(model):
    """Return the network inside a wrapper, None where `model` is no wrapper."""
    if isinstance(model, (nn.DataParallel, nn.parallel.DistributedDataParallel)):
        return model.module
    compiler = sys.modules.get("torch._dynamo")  # not imported: nothing is compiled
    return model._orig_mod if compiler and isinstance(model, compiler.OptimizedModule) else None


def scale_of(model, scores="auto"):
    """Return `scores`, for "auto" those that the network carries as `scores` (see `readout.versus`), or "auto"."""
    said = getattr(network(model, scripted=True), "scores", None)  # a layer may have that name
    return said if scores == "auto" and isinstance(said, str) and said in SCORES else scores


def check_clips(model, clips):
    """Return `clips` detached, outside of inference mode and in memory row by row, since networks take views of them.

    Raises InputError if the network cannot be explained for them. Right are finite floating point clips
    [B, C, T, H, W] of the numbers and on the device of the network's weights. Once per network and shape of a clip, one
    clip is run alone and beside noise.
    """
    if not isinstance(clips, torch.Tensor) or not clips.is_floating_point():
        kind = clips.dtype if isinstance(clips, torch.Tensor) else type(clips).__name__
        raise InputError(
            f"clips must be a normalised float tensor [B, 3, T, H, W], not {kind}; "
            f"paperlib.data.clips.to_clip turns uint8 frames into one"
        )
    if clips.dim() == 5 and not len(clips):
        raise InputError(f"there is no clip: clips must be [B, 3, T, H, W], not of shape {tuple(clips.shape)}")
    if clips.dim() != 5 or 0 in clips.shape:
        raise InputError(f"clips must be [B, 3, T, H, W], not of shape {tuple(clips.shape)}")
    _check_layout(model, clips)
    if not torch.isfinite(clips).all():
        bad = [i for i, clip in enumerate(clips) if not torch.isfinite(clip).all()]
        raise InputError(f"clip {bad[0]} has NaN or infinite values")
    weight = next((p for p in model.parameters() if p.is_floating_point()), None)
    if weight is not None and weight.dtype != clips.dtype:
        raise InputError(
            f"clips are {clips.dtype}, but the network's weights are {weight.dtype}; give clips.to({weight.dtype})"
        )
    if weight is not None and weight.device != clips.device:
        raise InputError(f"clips are on {clips.device}, but the network is on {weight.device}")
    clips = (clips.clone() if clips.is_inference() else clips.detach()).contiguous()
    kept(_alone, model, tuple(clips.shape[1:]), lambda: _check_beside(model, clips[:1]))
    return clips


@torch.no_grad()
def _check_beside(model, clip):
    """Raise InputError where a clip [1, C, T, H, W] has other logits beside another clip than alone.

    A network that runs single clips only is left to give one each, one that cannot run them to `class_logits`.
    """
    try:
        with evaluating(model):
            changed = others_count(model, clip, model(clip.clone()))
    except Exception:
        return
    if changed:
        raise InputError(
            f"{type(model).__name__} gives a clip other logits beside other clips than alone, in evaluation mode too: "
            "something in it is computed from all clips at hand; batch norm, for example, takes running statistics "
            "(track_running_stats=True, and training=self.training)"
        )


def others_count(run, clip, alone):
    """Whether another clip beside a clip [1, C, T, H, W] changes its logits [1, K], which are `alone` without one.

    run(clips): their logits. False for a network that gives NaN or draws at random, None for one that gives two clips
    other than two rows. Batches of two sizes may be rounded in two ways, which in half precision reaches the logits: so
    where they differ, the clip is run beside other noise, too.
    """
    state = random_state(clip.device)
    noise = 4 * torch.rand(clip.shape, generator=torch.Generator().manual_seed(0)).to(clip)  # beyond what clips hold
    found, bound = [alone.float()], LOOSE.get(clip.dtype, 1e-3)
    for other in (noise, -noise):
        pair = run(torch.cat([other, clip])).float()
        if pair.shape != (2, alone.shape[1]):
            return None
        if not pair[1].isfinite().all() or not torch.equal(state, random_state(clip.device)):
            return False
        found.append(pair[1:])
        if (found[-1] - found[-2]).abs().max() <= bound * found[0].abs().max():
            return False
    return True


def _check_layout(model, clips):
    """Raise InputError where the colours stand in another place than the second, as far as that can be told."""
    shape = tuple(clips.shape)
    if shape[1] == 3 or shape[1] in {m.in_channels for m in model.modules() if isinstance(m, nn.modules.conv._ConvNd)}:
        return
    for axis, layout, order in ((2, "[B, T, 3, H, W]", "0, 2, 1, 3, 4"), (4, "[B, T, H, W, 3]", "0, 4, 1, 2, 3")):
        if shape[axis] == 3:
            raise InputError(
                f"clips must be [B, 3, T, H, W], but those of shape {shape} look like {layout}: give "
                f"clips.permute({order}), and turn them back in the network's forward where it takes {layout}"
            )


def class_logits(model, clips):
    """Return the network's logits float [B, K]; InputError where it cannot run the clips or returns something else."""
    name, state, own = type(model).__name__, random_state(clips.device), clips.clone()
    try:
        with gradients_pass(model):
            logits = model(own)
            again = logits if torch.equal(state, random_state(clips.device)) else model(clips.clone())
    except (InputError, torch.OutOfMemoryError):
        raise
    except Exception as error:
        hint = "; models.adapt(network, clips) finds out what layout it takes" if "channels" in str(error) else ""
        raise InputError(f"{name} cannot run clips of shape {tuple(clips.shape)}: {first_line(error)}{hint}") from error
    if not own.is_inference() and own._version:
        raise InputError(
            f"forward of {name} overwrites the clip that it is given, so that a second run would see another one; let "
            "it make a new tensor, for example x = x.sub(mean) instead of x.sub_(mean)"
        )
    if not isinstance(logits, torch.Tensor) or logits.dim() != 2 or len(logits) != len(clips):
        found = f"of shape {tuple(logits.shape)}" if isinstance(logits, torch.Tensor) else type(logits).__name__
        raise InputError(
            f"forward of {name} must return class logits [B, K], here [{len(clips)}, K], but it returns {found}"
        )
    found = check_logits(model, logits)
    if again is not logits and bool((found - again.detach().float()).abs().max() > 1e-3 * found.abs().max()):
        raise InputError(
            f"{name} gives other logits at every run, in evaluation mode too: something in it is drawn at random; "
            "dropout, for example, takes training=self.training"
        )
    if bool(((found >= 0) & (found <= 1)).all()) and _from_a_sigmoid(model, clips, logits):
        raise InputError(
            f"forward of {name} returns what a sigmoid gives, not logits; let it return what its sigmoid is given"
            + ("" if found.shape[1] == 1 else ", and say scores='sigmoid'")
        )
    return logits.float()


@contextlib.contextmanager
def gradients_pass(model):
    """Raise InputError where what the network computes under inference mode lets no gradient pass."""
    try:
        yield
    except RuntimeError as error:
        if "Inference tensors cannot be saved for backward" not in str(error):
            raise
        raise InputError(
            f"{type(model).__name__} computes under torch.inference_mode() in its forward, so that no gradient can be "
            "traced back through it; use torch.no_grad() there"
        ) from error


def _from_a_sigmoid(model, clips, logits):
    """Whether what the network gives for clips is a sigmoid's, part of that or its mean; looked up until it changes."""
    now = architecture(model)
    if _without.get(model) == now:
        return False
    if logits.grad_fn is None:
        with torch.inference_mode(False), torch.enable_grad():
            logits = model(clips[:1].clone().requires_grad_())
    step = logits.grad_fn
    while step is not None and re.sub(r"Backward\d*$", "", step.name()) in PASSED_ON:
        step = step.next_functions[0][0]
    if step is not None and step.name().startswith("Sigmoid"):
        return True
    _without[model] = now
    return False


def random_state(device):
    """Return the state of the random numbers that a network on a device draws from."""
    return torch.cuda.get_rng_state(device) if torch.device(device).type == "cuda" else torch.get_rng_state()


def check_finite(model, logits):
    """Return logits as they are, or raise InputError for some that are not finite."""
    if not torch.isfinite(logits).all():
        state = [pair for pair in model.state_dict().items() if pair[1].is_floating_point()]
        bad = next((f"{path} holds such values" for path, value in state if not torch.isfinite(value).all()), None)
        whole = "all its weights and the clips, as they are or with frames put in place of others, are finite"
        raise InputError(f"{type(model).__name__} gives NaN or infinite logits; {bad or whole}")
    return logits


def check_logits(model, logits):
    """Return logits [B, K] detached, or raise InputError for some that are not finite or are probabilities."""
    name, logits = type(model).__name__, check_finite(model, logits.detach())
    if are_probabilities(logits):
        raise InputError(
            f"forward of {name} returns probabilities that sum to one, not logits; let it return what its softmax is "
            "given, as models.adapt(network, clips) does where the softmax is a layer"
        )
    return logits.float()


def are_probabilities(logits):
    """Whether rows [B, K] of more than one class are not negative and sum to one."""
    close = 1e-2 if logits.dtype in LOOSE else 1e-4
    logits = logits.float()
    told = len(logits) > 0 and logits.shape[1] > 1
    return told and bool((logits >= 0).all()) and bool(((logits.sum(1) - 1).abs() < close).all())


def needs_frame_logits(model):
    """Raise InputError for a network without frame_logits."""
    if not callable(getattr(model, "frame_logits", None)):
        raise InputError(
            f"{type(model).__name__} has no frame_logits(clip) -> [B, T', K]; give the network one, with "
            "forward(clip) its mean over time"
        )


@torch.no_grad()
def check_frame_logits(model, clips):
    """Raise InputError unless `frame_logits(clips)` is [B, T', K] with forward(clips) as its mean over time.

    A network without a forward of its own has nothing to compare with; then the shape decides.
    """
    needs_frame_logits(model)
    name = type(model).__name__
    with evaluating(model):
        try:
            rows = model.frame_logits(clips)
        except (InputError, torch.OutOfMemoryError):
            raise
        except Exception as error:
            raise InputError(
                f"{name}.frame_logits cannot run a clip of shape {tuple(clips.shape)}: {first_line(error)}"
            ) from error
        whole = None if type(model).forward is nn.Module.forward else class_logits(model, clips)
    if not isinstance(rows, torch.Tensor):
        raise InputError(f"frame_logits of {name} must return a tensor [B, T', K], not {type(rows).__name__}")
    shapes = f"frame_logits of {name} is of shape {list(rows.shape)}" + (
        "" if whole is None else f" and forward of shape {list(whole.shape)}"
    )
    if rows.dim() != 3 or len(rows) != len(clips) or (whole is not None and rows.shape[2] != whole.shape[1]):
        raise InputError(
            f"{shapes}; right are frame logits [B, T', K], one row of class logits per time step, and their mean over "
            "time, [B, K]"
        )
    if whole is None:
        return
    rows = rows.float()
    apart = float((rows.mean(1) - whole).abs().max())
    if not apart <= LOOSE.get(clips.dtype, 1e-3) * float(rows.abs().max()):
        raise InputError(
            f"{shapes}, but the mean of frame_logits over time differs from forward by up to {apart:.3g} on this clip; "
            "forward(clip) must be frame_logits(clip).mean(1), [B, K] from [B, T', K], and the same at every call"
        )


def first_line(error):
    """Return the first line of what an exception says."""
    return (str(error).strip() or type(error).__name__).splitlines()[0]
