"""`adapt`: a network of any layout as one that takes the project's clips and gives class logits."""

from collections.abc import Mapping, Sequence

import torch
from torch import nn

from ..data.clips import MEAN, STD
from ..errors import InputError
from ..tracing.inputs import first_line, network
from ..tracing.outputs import Output, check_batch, read
from ..tracing.probing import evaluating
from . import base
from .base import VideoModel
from .known import Known, known

LAYOUTS = ("B C T H W", "B T C H W", "(B T) C H W", "B (T C) H W", "pathways")
ALPHAS = (4, 8, 2)  # of published two-pathway networks, the usual first


@torch.inference_mode(False)
def adapt(
    model: nn.Module,
    clip: torch.Tensor | None = None,
    *,
    layout: str | None = None,
    alpha: int | None = None,
    mean: Sequence[float] | None = None,
    std: Sequence[float] | None = None,
    frames: int | None = None,
    size: int | tuple[int, int] | None = None,
    classes: Sequence[str] | None = None,
    processor: object = None,
) -> "Adapted":
    """Return `model` as a network for clips [B, 3, N, H, W], normalised as `data.clips.to_clip` does, to logits [B, K].

    How the network wants its clips is found out by running it, and told in `.said` of the result; each can be given.

    clip: float [B, 3, N, H, W] to try it on; without one, noise of the number of frames and the size that are given
        or stand in the network's configuration.
    layout: "B C T H W", "B T C H W", "(B T) C H W" (frame by frame; its logits are averaged over a clip's frames),
        "B (T C) H W", or "pathways": a list of the frames as a slow pathway (every alpha-th) and a fast one (all).
    mean, std: three numbers each, with which the network's pixels in 0 to 1 are normalised; clips are turned from
        ImageNet's into these inside. Without them, what the network's configuration or processor says, else ImageNet's.
    classes: names, one per logit (see `known.class_names`), by default those in the network's configuration.
    processor: what prepares this network's clips elsewhere, to read size, mean and std from: an image or video
        processor of transformers, or weights or their transforms of torchvision.

    torch.compile and wrappers for several GPUs come off; what is not told of a network that was adapted before stays as
    it is. Raises InputError for TorchScript, and where no layout runs, where the output holds no class logits, or where
    frames, size, mean, std or classes do not fit.
    """
    before = model if isinstance(model, Adapted) else None
    if before:
        model, classes = before.net, before.classes if classes is None else classes
        layout, alpha = (layout, alpha) if layout or alpha else (before.layout, before.alpha)
    net = network(model)
    said = [] if net is model else [f"the wrapper {type(model).__name__} around it is taken off"]
    facts = known(net, processor)
    if before and processor is None:
        facts = Known().learn("how it was adapted before", mean=before.mean, std=before.std).learn_from(facts)
    facts = facts.given(frames=frames, size=size, mean=mean, std=std, classes=classes)
    clip, given = _checked(net, clip, facts), clip is not None
    if isinstance(net, VideoModel) and clip.shape[2] != net.num_frames:
        raise InputError(f"{_name(net)} takes {net.num_frames} frames, not {clip.shape[2]}")
    facts = facts.seen(clip, "clip" if given else None)
    if layout not in (None, *LAYOUTS):
        raise InputError(f"layout must be one of {', '.join(map(repr, LAYOUTS))}, not {layout!r}")
    way, output = _found(net, facts.normalised(clip), layout, alpha, facts, said)
    said += facts.said()
    kind = AdaptedRows if way.layout == LAYOUTS[0] and callable(getattr(net, "frame_logits", None)) else Adapted
    return kind(net, way, output, facts, said)


class Adapted(nn.Module):
    """`net`, whatever its layout, as a network for clips float [B, 3, N, H, W] that gives logits [B, K].

    layout: how the network takes its clips, one of LAYOUTS; alpha: frames per frame of the slow pathway, None without
    pathways. frames: N. size: H, or (H, W) where they differ. mean, std: what the network's own pixels are normalised
    by; clips always come as `data.clips.to_clip` makes them. classes: names of the classes, None where unknown.
    said: what was found out, a sentence each.
    """

    scale: torch.Tensor
    shift: torch.Tensor

    def __init__(self, net: nn.Module, way: "Way", output: Output, facts: Known, said: list[str]):
        super().__init__()
        self.net, self.way, self.output = net, way, output
        self.layout, self.alpha = way.layout, way.alpha
        self.frames, self.size, self.classes = facts.frames or 1, facts.size, facts.classes
        self.mean, self.std = facts.mean or MEAN, facts.std or STD
        self.said = said
        self.config = {"name": _name(net)}
        self.renormalises = (self.mean, self.std) != (MEAN, STD)
        if self.renormalises:
            weight = next(iter(net.parameters()), torch.zeros(()))
            scale, shift = (value.to(weight) for value in _renormalisation(self.mean, self.std))
            self.register_buffer("scale", scale, persistent=False)
            self.register_buffer("shift", shift, persistent=False)

    @property
    def num_frames(self) -> int:
        """The number of frames of its clips."""
        return self.frames

    def given(self, clip: torch.Tensor) -> torch.Tensor:
        """Return clips [B, 3, N, H, W] normalised as the network wants them."""
        base.check_clip(clip, self.frames)
        return clip * self.scale + self.shift if self.renormalises else clip

    def forward(self, clip: torch.Tensor) -> torch.Tensor:
        """Clips [B, 3, N, H, W] -> class logits [B, K]."""
        return self.output.run(self.net, self.way(self.given(clip)), len(clip))

    def extra_repr(self) -> str:
        return f"layout={self.layout!r}, frames={self.frames}, size={self.size}"


class AdaptedRows(Adapted):
    """An adapted network that has frame logits of its own."""

    net: VideoModel

    def frame_logits(self, clip: torch.Tensor) -> torch.Tensor:
        """Clips [B, 3, N, H, W] -> logits of every output step [B, T', K]."""
        return self.net.frame_logits(self.given(clip))


class Way:
    """How clips [B, 3, N, H, W] become what a network takes.

    alpha: N frames are N / alpha of the slow pathway, None for a list of a single pathway.
    """

    def __init__(self, layout, frames, alpha=None):
        self.layout, self.alpha = layout, alpha
        # as pytorchvideo and the code of SlowFast pick them; numbers, since a recording takes no others
        self.slow = torch.linspace(0, frames - 1, frames // alpha, device="cpu").long().tolist() if alpha else None

    def __call__(self, clip):
        """Return the clips in this layout, in memory row by row: networks take views of them."""
        clip = clip.contiguous()
        if self.layout == "pathways":
            return [clip] if self.slow is None else [clip[:, :, self.slow], clip]
        turned = clip if self.layout == "B C T H W" else clip.transpose(1, 2).contiguous()
        if self.layout == "(B T) C H W":
            return turned.flatten(0, 1)
        return turned.flatten(1, 2) if self.layout == "B (T C) H W" else turned

    def __str__(self):
        if self.layout != "pathways":
            return "[" + self.layout.replace("(B T)", "B*T").replace("(T C)", "T*C").replace(" ", ", ") + "]"
        if self.slow is None:
            return "a list of one clip [B, C, T, H, W]"
        return f"a list of two pathways, every {self.alpha}th frame and all frames"


def _ways(frames, layout, alpha):
    """Yield the ways to try, the usual first."""
    for name in LAYOUTS if layout is None else [layout]:
        if name != "pathways":
            if alpha is None or layout is not None:
                yield Way(name, frames)
            continue
        divisors = [*ALPHAS, *(n for n in range(2, frames + 1) if n not in ALPHAS)]
        yield from (Way(name, frames, n) for n in ([alpha] if alpha else divisors) if n <= frames and frames % n == 0)
        if alpha is None:
            yield Way(name, frames)


@torch.no_grad()
def _found(net, clip, layout, alpha, facts, said):
    """Return (the Way that runs, its Output), and say which it is; InputError where none does."""
    name, good, failed = type(net).__name__, [], []
    classes = facts.classes and len(facts.classes)
    for way in _ways(clip.shape[2], layout, alpha):
        if way.layout == "pathways" and good:  # what takes tensors takes no list
            break
        batch = clip.repeat(2, 1, 1, 1, 1) if way.layout == "(B T) C H W" else clip  # else frames could be clips
        try:
            with evaluating(net):
                output = read(net, way(batch), len(batch), classes)
                check_batch(net, way, clip, output)
            good.append((way, output))
        except torch.OutOfMemoryError:
            raise
        except Exception as error:
            failed.append((way, error))
    if not good:
        raise InputError(_refusal(name, tuple(clip.shape), failed))
    good.sort(key=lambda found: found[0].layout != facts.layout)  # stable: else the first that ran
    way, output = good[0]
    said.append(f"{name} takes clips as {way}" + (", as told" if layout else ""))
    if len(good) > 1:
        said.append(f"it also runs with {' and '.join(str(other) for other, _ in good[1:])}; layout= decides")
    said += output.said
    if classes is None and output.width == clip.shape[2] > 1:
        said.append(
            f"its {output.width} logits are read as classes, though the clip has as many frames; where they are values "
            "of frames, give it a frame_logits that returns them as [B, T, 1]"
        )
    return way, output


def _refusal(name, shape, failed):
    """Say why no layout ran: what the network says of each, or what is wrong with its output where it did run."""
    told = [error for _, error in failed if isinstance(error, InputError)]
    if told and len({str(error) for error in told}) == 1:
        return str(told[0])
    tried = {}
    for way, error in failed:
        tried.setdefault(way.layout, f"{way}: {first_line(error)[:160]}")
    return (
        f"{name} runs a clip of shape {shape} in none of the layouts that were tried ({'; '.join(tried.values())}); "
        "say its layout with layout= and its number of frames and size with frames= and size=, or give a module whose "
        "forward takes [B, 3, T, H, W]"
    )


def noise(frames, high, wide):
    """Return a clip [1, 3, N, H, W] of noise, the same every time, to try a network on."""
    return torch.rand(1, 3, frames, high, wide, generator=torch.Generator().manual_seed(0))


def _checked(net, clip, facts):
    """Return the clip to try the network on, of its numbers and on its device."""
    weight = next((p for p in net.parameters() if p.is_floating_point()), torch.zeros(()))
    if clip is None:
        if facts.frames is None:
            raise InputError(f"how many frames {type(net).__name__} takes stands in no configuration; give frames=N")
        high, wide = facts.size if isinstance(facts.size, tuple) else (facts.size or 224,) * 2
        return noise(facts.frames, high, wide).to(weight)
    if not isinstance(clip, torch.Tensor) or not clip.is_floating_point() or clip.dim() != 5 or clip.shape[1] != 3:
        kind = f"{clip.dtype} {list(clip.shape)}" if isinstance(clip, torch.Tensor) else type(clip).__name__
        raise InputError(f"a clip is a float tensor [B, 3, T, H, W], normalised as by data.clips.to_clip, not {kind}")
    if facts.frames not in (None, clip.shape[2]):
        raise InputError(
            f"{type(net).__name__} takes {facts.frames} frames ({facts.source('frames')}), but the clip has "
            f"{clip.shape[2]}: sample {facts.frames} of them, or give frames={clip.shape[2]}"
        )
    return clip[:1].detach().to(weight)


def _renormalisation(mean, std):
    """Return (scale, shift) [3, 1, 1, 1] that turn ImageNet's normalisation into that by `mean` and `std`."""
    ours, spread, theirs, other = (torch.tensor(v).double().view(3, 1, 1, 1) for v in (MEAN, STD, mean, std))
    return spread / other, (ours - theirs) / other


def _name(net):
    """Return the network's name: what the project calls it, else its class."""
    config = getattr(net, "config", None)
    return (config.get("name") if isinstance(config, Mapping) else None) or type(net).__name__
