"""Every instrument behind one signature: (model, clips [B, 3, N, H, W], targets [B]) -> importance of frames [B, N].

Larger is more important; instruments with a sign count what speaks against the class below zero. `INSTRUMENTS` names
all with their defaults; a function of your own of the same signature is one more.
"""

import contextlib
import functools

import torch
from captum import attr

from .. import gradcam, masks, relevance
from ..errors import number, whole
from ..tracing.inputs import check_clips, network
from ..tracing.probing import check_count, classes, evaluating, in_float32, indices
from . import players
from . import shapley as exact


def clrp(model, clips, targets, **options):
    """Return contrastive relevance, the rows of `relevance_matrix` summed where what they start from is positive.

    Row i starts from frame logit i, so the logits' weights are in the rows; as in the avg-ATR only positive ones count.
    options: those of `relevance.relevance_matrix`.
    """
    rows = relevance.relevance_matrix(model, clips, targets, **options)
    asked = ("rows", "split", "rules", "input_bounds")  # what rows start from
    same = {key: options[key] for key in asked if key in options}
    return (rows * (relevance.rows_of(model, clips, targets, **same).values > 0)[..., None]).sum(1)


def lrp(model, clips, targets, **options):
    """Return relevance by LRP: what every frame adds to the clip's logit, which is what the rows come to together."""
    return relevance.clip_relevance(model, clips, targets, method="lrp", **options)


def atr_support(model, clips, targets, sigma=0.975):
    """Return the share of the positive frame logits whose range of `relevance.atr` holds a frame."""
    found = relevance.rows_of(model, clips, targets)
    rows, logits = relevance.relevance_matrix(model, clips, targets)[:, : found.steps], found.values[:, : found.steps]
    total = rows.sum(2, keepdim=True)
    usable = torch.where(total > 0, rows, torch.ones_like(rows))  # a row without relevance has weight 0 below
    segments = relevance.atr(usable, logits, sigma).segments
    steps = torch.arange(rows.shape[2], device=rows.device)
    held = (steps >= segments[..., :1]) & (steps <= segments[..., 1:])
    weights = logits.clamp(min=0) * (total[..., 0] > 0)
    return (held * weights[..., None]).sum(1) / weights.sum(1, keepdim=True).clamp(min=1e-12)


def learned_mask(model, clips, targets, **options):
    """Return temporal masks (ACCV 2020) learned from the best window: 0 where a frame is not masked, at or below 0.1.

    options: those of `masks.learn_from_window`; `perturbation="reverse"` reverses frames instead of freezing them. The
    window is near an optimum of equation 1, so a few steps suffice, from logits that these can turn.
    """
    few = {"iterations": 20, "start": 2.5, "learning_rate": 0.25, "keep": "best"}
    found, _ = masks.learn_from_window(model, clips, targets, **{**few, **options})
    return torch.where(found.active, found.mask, 0.0)


def grad_cam(model, clips, targets, **options):
    """Return Grad-CAM over time, its positive part summed over the pixels of every frame."""
    return gradcam.video_gradcam(model, clips, targets, normalise=None, **options).sum((2, 3))


def still(function):
    """Decorate an instrument that only runs the network: clips and targets checked, evaluation mode, no graph kept."""

    @functools.wraps(function)
    @torch.inference_mode(False)
    def wrapped(model, clips, targets, **options):
        model = network(model, scripted=True)
        clips = check_clips(model, clips)
        targets = indices(targets, clips.device).long()
        targets = targets.expand(len(clips)) if targets.ndim == 0 else targets
        check_count(targets, len(clips))
        ends = torch.stack([targets.min(), targets.max()])

        def logits(shown):
            found = model(shown)
            classes(found[:1].expand(2, -1), ends)  # names a class that there is not
            return found

        with evaluating(model):
            return function(logits, clips, targets, **options).detach()

    return wrapped


@contextlib.contextmanager
def _seeded(seed, clip):
    """Draw by a seed and a clip [1, 3, N, H, W]; afterwards random numbers go on as if nothing had been drawn."""
    with torch.random.fork_rng(devices=[clip.device] if clip.device.type == "cuda" else []):
        torch.manual_seed(players.generator_for(clip[0], seed).initial_seed())
        yield


@still
def occlusion(model, clips, targets):
    """Return how much the class logit drops when a frame becomes the mean colour (captum's Occlusion)."""
    found = attr.Occlusion(model).attribute(
        clips, target=targets, baselines=0, sliding_window_shapes=(3, 1, *clips.shape[3:])
    )
    return found.mean((1, 3, 4))


@still
def freeze_occlusion(model, clips, targets):
    """Return how much the class logit drops when a frame repeats the one before it, the first one that after it.

    Such a clip could have been filmed, which one with a grey frame could not.
    """
    frames = clips.shape[2]
    own = _logits(model, clips, targets)
    drops = []
    for k in range(frames):
        order = torch.arange(frames)
        order[k] = k - 1 if k else min(1, frames - 1)
        drops.append(own - _logits(model, clips[:, :, order], targets))
    return torch.stack(drops, 1)


@in_float32
@still
def gradient(model, clips, targets):
    """Return the size of the class logit's gradient (captum's Saliency), summed over the pixels of a frame."""
    return attr.Saliency(model).attribute(clips.clone().requires_grad_(), target=targets).sum((1, 3, 4))


@in_float32
@still
def gradient_x_input(model, clips, targets):
    """Return gradient times input (captum's InputXGradient), summed over the pixels of a frame."""
    return attr.InputXGradient(model).attribute(clips.clone().requires_grad_(), target=targets).sum((1, 3, 4))


@in_float32
@still
def integrated_gradients(model, clips, targets, steps=16):
    """Return integrated gradients from the mean colour, summed per frame; a frame may speak against."""
    found = attr.IntegratedGradients(model).attribute(
        clips, target=targets, baselines=0, n_steps=whole("steps", steps), internal_batch_size=len(clips)
    )
    return found.sum((1, 3, 4))


@in_float32
@still
def smooth_grad(model, clips, targets, samples=8, noise=0.15, seed=0):
    """Return the gradient's size, averaged over clips with noise (captum's NoiseTunnel), summed over a frame's pixels.

    noise: its standard deviation as a share of a clip's range of values (Smilkov et al. 2017: 0.1 to 0.2). Clips are
    explained one by one, so that neither range nor noise of one depends on what it comes with.
    """
    number("noise", noise, "of at least 0", lambda share: share >= 0)
    tunnel = attr.NoiseTunnel(attr.Saliency(model))
    found = []
    for clip, target in zip(clips.split(1), targets.split(1), strict=True):
        with _seeded(seed, clip):
            found.append(
                tunnel.attribute(
                    clip.clone().requires_grad_(),
                    target=target,
                    nt_type="smoothgrad",
                    nt_samples=whole("samples", samples),
                    nt_samples_batch_size=1,
                    stdevs=noise * float(clip.max() - clip.min()),
                )
            )
    return torch.cat(found).sum((1, 3, 4))


@still
def shapley(model, clips, targets, samples=8, seed=0):
    """Return each frame's sampled Shapley value for the class logit: absent frames are the mean colour.

    captum's sampling goes through a feature mask pixel by pixel, so frames are switched by numbers, not a mask.
    """

    def switched(on, clips):
        return model(clips * on[:, None, :, None, None])

    found = []
    for clip, target in zip(clips.split(1), targets.split(1), strict=True):  # each with orders of its own
        with torch.no_grad(), _seeded(seed, clip):
            found.append(
                attr.ShapleyValueSampling(switched).attribute(
                    clips.new_ones(1, clips.shape[2]),
                    baselines=0,
                    target=target,
                    additional_forward_args=clip,
                    n_samples=whole("samples", samples),
                )
            )
    return torch.cat(found)


@torch.inference_mode(False)
def freeze_shapley(model, clips, targets, permutations=8, seed=0):
    """Return each frame's sampled Shapley value for the class logit: absent frames hold the one before."""
    return exact.sampled(model, clips, targets, permutations, "freeze", seed=seed)


def random(model, clips, targets, seed=0):
    """Return random numbers, other ones for every clip and always the same for one: the control that knows nothing."""
    rows = [torch.rand(clip.shape[1], generator=players.generator_for(clip, seed)) for clip in clips]
    return torch.stack(rows).to(clips)


def constant(model, clips, targets):
    """Return ones: the control that does not choose."""
    return clips.new_ones(len(clips), clips.shape[2])


def middle(model, clips, targets):
    """Return how near a frame is to the middle of the clip: the control that knows where events usually are."""
    frames = clips.shape[2]
    away = (torch.arange(frames) - (frames - 1) / 2).abs()
    return (frames / 2 - away).to(clips).expand(len(clips), -1)


def frame_difference(model, clips, targets):
    """Return how much the pixels of a frame differ from its neighbours: the control that sees the video alone."""
    change = (clips[:, :, 1:] - clips[:, :, :-1]).abs().mean((1, 3, 4))
    both = torch.stack([torch.cat([change[:, :1], change], 1), torch.cat([change, change[:, -1:]], 1)])
    return both.mean(0)


INSTRUMENTS = {
    "CLRP": clrp,
    "CLRP of the clip": relevance.clip_relevance,
    "LRP": lrp,
    "ATR's ranges": atr_support,
    "mask, freeze": learned_mask,
    "mask, reverse": functools.partial(learned_mask, perturbation="reverse"),
    "Grad-CAM": grad_cam,
    "occlusion": occlusion,
    "freeze-occlusion": freeze_occlusion,
    "gradient": gradient,
    "gradient x input": gradient_x_input,
    "integrated gradients": integrated_gradients,
    "SmoothGrad": smooth_grad,
    "Shapley sampling": shapley,
    "Shapley, freeze": freeze_shapley,
}
CONTROLS = {"random": random, "constant": constant, "middle": middle, "frame difference": frame_difference}


@torch.no_grad()
def _logits(model, clips, targets):
    """Return the class logits [B] of targets [B]."""
    return model(clips).gather(1, targets[:, None])[:, 0]
