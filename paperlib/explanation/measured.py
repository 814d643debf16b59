"""The three instruments on one record: each puts what it finds into the record's arrays and says how in its info."""

import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict
from types import SimpleNamespace

import numpy as np
import torch
from torch import nn

from .. import gradcam, masks
from .. import relevance as propagation
from ..data.clips import to_clip
from ..errors import InputError
from ..tracing.inputs import check_frame_logits, class_logits, scale_of
from ..tracing.probing import evaluating, probabilities, scale
from . import sliding
from .record import GIVEN, Record

PORTION = 4  # clips of a video that are looked at together
TRIES = 40  # masks besides the learned one whose scores are kept, so that a page without the network can show them


def score(found: Record, net: nn.Module, scores: str = "auto", watch: Callable | None = None) -> None:
    """Put the scores and logits of every class into the record, and the predicted class.

    Of a video of several clips both are the mean over them. scores: "auto" is what the network carries as
    `scores`, else softmax, or sigmoid for a single logit.
    Raises InputError for another number of logits than there are names of classes.
    """
    classes = found.info.get("classes")
    rows: list[torch.Tensor] = []
    logits: list[torch.Tensor] = []
    for clip in portions(found, net, 1):
        with torch.inference_mode(), evaluating(net):
            frame_logits = getattr(net, "frame_logits", None)
            if callable(frame_logits):
                if not rows:
                    check_frame_logits(net, clip)
                rows.append(frame_logits(clip)[0].float().cpu())
                logits.append(rows[-1].mean(0))
            else:
                logits.append(class_logits(net, clip)[0].cpu())
        if watch:
            watch("scores")
    whole = torch.stack(logits)
    if classes is None:
        classes = found.info["classes"] = [f"class {k}" for k in range(whole.shape[1])]
    if whole.shape[1] != len(classes):
        raise InputError(
            f"{type(net).__name__} has logits of {whole.shape[1]} classes, but there are {len(classes)} names of "
            "classes; give one for each, in the network's order"
        )
    scores = scale_of(net, scores)
    values = probabilities(whole, scores)
    found.arrays.update(scores=values.mean(0).numpy(), logits=whole.mean(0).numpy())
    if len(whole) > 1:
        found.arrays["window_scores"] = values.numpy()
    elif rows:
        found.arrays["frame_logits"] = rows[0].numpy()
    found.info.update(predicted=int(values.mean(0).argmax()), scores=scale(len(classes), scores))


def relevance(
    found: Record,
    net: nn.Module,
    method: str = "clrp",
    sigma: float = 0.975,
    watch: Callable | None = None,
    **options,
) -> None:
    """Put the class's relevance matrix, its ATR and what its rows are into the record.

    method, and options such as rules and rows, as in `relevance.relevance_matrix`; sigma as in `relevance.atr`. Which
    rules, rows and split were asked for is kept, so that further classes can be asked in the same way.
    """
    blocks, values = [], []
    for clip in portions(found, net):
        targets = [found.target] * len(clip)
        blocks.append(propagation.relevance_matrix(net, clip, targets, method=method, **options).float().cpu())
        kept = {key: options[key] for key in ("rows", "split", "rules") if key in options}
        about = propagation.rows_of(net, clip, targets, **kept, input_bounds=options.get("input_bounds"))
        values.append(about.values.float().cpu())
        if watch:
            watch("relevance", len(clip))
    matrices, starting = torch.cat(blocks).numpy(), torch.cat(values).numpy()
    steps = about.steps
    if found.info.get("windows"):
        begin = np.array(found.info["windows"]["starts"])
        owners = sliding.row_owners(begin, matrices.shape[2], steps)
        matrix = sliding.joined_rows(matrices[:, :steps], begin, len(found.frames))
        found.arrays.update(matrix=matrix, row_values=starting[tuple(owners.T)])
        found.info["windows"]["steps"] = steps
    else:
        found.arrays.update(matrix=matrices[0, :steps], row_values=starting[0, :steps])
        if len(matrices[0]) > steps:  # what reaches the logit past all time steps
            found.arrays.update(beside=matrices[0, steps:], beside_values=starting[0, steps:])
    found.rules = options.get("rules")
    asked = {**kept, "rules": GIVEN} if isinstance(found.rules, Mapping) else kept
    found.info.update(method=method, rows=about.kind, rows_from=about.where, asked=asked)
    ranges(found, sigma)


def ranges(found: Record, sigma: float = 0.975) -> None:
    """Put the ATR of the record's matrix at `sigma` into it."""
    with warnings.catch_warnings():
        warnings.simplefilter(
            "ignore", UserWarning
        )  # rows without relevance, or of both signs: whoever shows the ATR says so
        result = measured(found, sigma)
    found.arrays.update(atr=result.frames, segments=result.segments)
    found.info.update(sigma=float(sigma), avg_atr=result.avg, max_atr=result.max)


def measured(found: Record, sigma: float):
    """Return the ATR of the record's matrix: frames [T'], segments [T', 2], avg and max, of NumPy and plain numbers."""
    matrix, values, several = found.arrays["matrix"], found.row_values, found.info.get("windows")
    if not several:
        one = propagation.atr(torch.tensor(matrix[None]), torch.tensor(values[None]), sigma=sigma)
        return SimpleNamespace(
            frames=one.frames[0].numpy(),
            segments=one.segments[0].numpy(),
            avg=float(one.avg[0]),
            max=float(one.max[0]),
        )
    starts, frames, steps = np.array(several["starts"]), several["frames"], several["steps"]
    owners = tuple(sliding.row_owners(starts, frames, steps).T)
    blocks = np.zeros((len(starts), steps, frames), matrix.dtype)
    for row, (window, step) in enumerate(zip(*owners, strict=True)):
        blocks[window, step] = matrix[row, starts[window] : starts[window] + frames]
    each = propagation.atr(torch.tensor(blocks), torch.ones(blocks.shape[:2]), sigma=sigma)
    lengths, segments = each.frames.numpy()[owners], each.segments.numpy()[owners]
    segments = np.where(segments < 0, -1, segments + starts[owners[0]][:, None])
    there = ~np.isnan(lengths)
    weights = np.clip(values, 0, None)[there]  # as in `atr`, over the rows of all windows
    avg = float((weights * lengths[there]).sum() / weights.sum()) if weights.sum() else float("nan")
    return SimpleNamespace(
        frames=lengths, segments=segments, avg=avg, max=float(lengths[there].max()) if there.any() else float("nan")
    )


def mask(
    found: Record, net: nn.Module, watch: Callable | None = None, tries: int = TRIES, **options
) -> masks.MaskResult:
    """Put the temporal mask learned for the class into the record, with the scores under it; returns `learn`'s result.

    Of a video of several clips one mask is learned for each, and the scores are means. options as in `masks.learn`;
    watch as there. tries: so many windows nearest to the learned mask are scored as well (`tried_masks` [M, N],
    `tried_scores` [M, 2]: frozen, reversed).
    """
    several = found.info.get("windows")
    chosen = sliding.apart(several["starts"], several["frames"]) if several else [0]
    every = windows(found, net, chosen)
    options = {"scores": "sigmoid" if found.info.get("against") is not None else found.info["scores"], **options}
    result = masks.learn(net, every, found.target, watch=watch, **options)

    def whole(values):
        values = values.cpu().numpy()
        if not several:
            return values[0]
        starts = np.array(several["starts"])[chosen]
        joined = np.zeros(len(found.frames), values.dtype)
        for start, part in reversed(list(zip(starts, values, strict=True))):  # where they overlap, the first counts
            joined[start : start + several["frames"]] = part
        return joined

    steps = int(result.iterations.max())
    found.arrays.update(
        mask=whole(result.mask),
        mask_initial=whole(result.initial),
        mask_loss=result.loss[:steps].mean(1).cpu().numpy(),
    )
    found.info.update(
        mask_settings=asdict(result.settings),
        mask_moved=float(result.moved.max()),
        mask_windows=len(chosen),
        mask_scores={name: float(value.mean()) for name, value in result.named.items()},
    )
    if tries and not several and options.get("perturbation", "freeze") == "freeze":
        _try(found, net, every, result, tries)
    return result


def _try(found, net, clip, result, tries):
    """Score the windows nearest to a learned mask, and the mask that it started from."""
    frames = len(found.frames)
    learned = found.arrays["mask"] > masks.THRESHOLD
    tried = [np.zeros(frames, bool), np.ones(frames, bool), learned, found.arrays["mask_initial"] > masks.THRESHOLD]
    times = np.arange(frames)
    contiguous = [(times >= a) & (times <= b) for a in range(frames) for b in range(a, frames)]
    contiguous.sort(key=lambda window: int((window != learned).sum()))
    tried = np.unique(np.array(tried + contiguous[:tries]), axis=0)
    values = []
    for part in torch.tensor(tried, dtype=torch.float32, device=clip.device).split(PORTION):
        same = clip.expand(len(part), *clip.shape[1:])
        both = torch.cat([masks.freeze(same, part), masks.reverse(same, part)])
        with torch.inference_mode(), evaluating(net):
            scored = probabilities(class_logits(net, both), result.settings.scores)[:, found.target]
        values.append(scored.view(2, -1).T.cpu().numpy())
    found.arrays.update(tried_masks=tried.astype(np.uint8), tried_scores=np.concatenate(values).astype(np.float32))


def cam(
    found: Record,
    net: nn.Module,
    layer: str | None = None,
    normalise: str | None = "frame",
    softmax: bool = False,
    watch: Callable | None = None,
) -> None:
    """Put the class's Grad-CAM maps into the record; arguments as in `gradcam.video_gradcam`."""
    several, maps = found.info.get("windows"), []
    layer = layer or gradcam.default_layer(net, windows(found, net, [0]))
    for clip in portions(found, net):
        found_maps = gradcam.video_gradcam(
            net, clip, found.target, layer, normalise, softmax=softmax, scores=found.info["scores"]
        )
        maps.append(found_maps.cpu().numpy())
        if watch:
            watch("Grad-CAM", len(clip))
    joined = np.concatenate(maps)
    found.arrays["cam"] = (
        sliding.joined_frames(joined, np.array(several["starts"]), len(found.frames)) if several else joined[0]
    )
    found.info.update(layer=layer, normalise=normalise, softmax=softmax)


def windows(found: Record, net: nn.Module, chosen: Sequence[int] | None = None) -> torch.Tensor:
    """Return the record's clips [W, 3, N, H, W], in the network's numbers and on its device; chosen: of these numbers.

    Only their frames are made numbers of the network: all windows of a long video are twice as much as the video.
    """
    weight = next((p for p in net.parameters() if p.is_floating_point()), torch.zeros(()))
    several = found.info.get("windows") or {"starts": [0], "frames": len(found.frames)}
    parts = []
    for number in range(len(several["starts"])) if chosen is None else chosen:
        at = slice(several["starts"][number], several["starts"][number] + several["frames"])
        part = to_clip(found.frames[at])[None] if found.given is None else found.given[:, :, at]
        parts.append(part.to(weight))
    return torch.cat(parts)


def portions(found: Record, net: nn.Module, count: int = PORTION) -> Iterator[torch.Tensor]:
    """Yield the record's clips, `count` at a time, as `windows` returns them."""
    total = len(found.info["windows"]["starts"]) if "windows" in found.info else 1
    for first in range(0, total, count):
        yield windows(found, net, range(first, min(first + count, total)))
