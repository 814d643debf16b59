"""Figure 1: from a clip to frame logits, from one frame's logit to relevance, from relevance to ATR."""

import matplotlib.pyplot as plt
import numpy as np
import torch

from ... import relevance
from ...data.clips import to_clip
from ...errors import InputError
from ...explanation import plotting
from .. import analysis
from . import opened, trained, windows


def example(run, found):
    """Return everything Figure 1 shows of one explained clip of the settings' class, as dict.

    frames [N, H, W, 3]; logits [T'] of the class; own, dual, matrix [T', N] relevance R, its dual and CLRP;
    segments [T', 2]; row, the output with the highest logit; name of the class; scores [K].
    """
    (checkpoint,) = trained(run)
    model, header, videos = opened(run, checkpoint)
    target = videos.classes.index(run.settings["class"])
    if not (found.labels == target).any():
        raise InputError(
            f"no clip of the class {run.settings['class']!r} is among the {len(found.labels)} explained "
            "ones; name another class in the settings, or raise `clips`"
        )
    at = int(np.flatnonzero(found.labels == target)[0])
    video = int(found.videos[at])
    frames = videos.frames(video, analysis.indices(videos.num_frames(video), header))
    clip = to_clip(frames)[None].to(run.device)
    own, dual = (
        relevance.relevance_matrix(model, clip, [target], method=method)[0].cpu().numpy() for method in ("lrp", "dual")
    )
    with torch.inference_mode():
        scores = model(clip).float().softmax(1)[0].cpu().numpy()
    logits = found.frame_logits[at]
    return {
        "frames": frames,
        "logits": logits,
        "own": own,
        "dual": dual,
        "matrix": found.matrix[at],
        "segments": windows.segments(found.matrix[at : at + 1], run.settings["sigma"])[0],
        "atr": found.atr[at],
        "avg": found.avg[at],
        "max": found.max[at],
        "row": int(logits.argmax()),
        "name": videos.classes[target],
        "scores": scores,
        "target": target,
        "checkpoint": checkpoint,
    }


def draw(one):
    """Draw the two halves of Figure 1: (a) frames, frame logits, prediction; (b) relevance of one frame, then
    of all."""
    count, row = len(one["frames"]), one["row"]
    figure = plt.figure(figsize=(7.2, 5.2), layout="constrained")
    top, bottom = figure.subfigures(2, 1, height_ratios=[1, 1.25])
    strip, bars = top.subplots(2, 1, height_ratios=[1.2, 1], sharex=True)
    strip.imshow(plotting.strip(one["frames"]), aspect="auto", extent=(0.5, count + 0.5, 0, 1))
    strip.set(
        yticks=[],
        title=f"(a) {one['checkpoint']}: frame logits of “{one['name']}”,\n"
        f"averaged to the prediction (score {one['scores'][one['target']]:.2f})",
    )
    strip.tick_params(bottom=False, labelbottom=False)
    x = np.arange(1, count + 1)
    bars.bar(
        x,
        one["logits"],
        color=[plotting.VERMILION if i == row else plotting.BLUE for i in range(count)],
        width=0.6,
    )
    bars.axhline(one["logits"].mean(), color="black", lw=1, ls="--")
    bars.text(count + 0.52, one["logits"].mean(), "mean", va="center", fontsize=8)
    bars.set(xlim=(0.5, count + 0.5), xlabel="frame i", ylabel="frame logit")
    bars.set_xticks(x)
    both, right = bottom.subfigures(1, 2, width_ratios=[1.25, 1])
    left, below = both.subplots(2, 1, height_ratios=[1.6, 1], sharex=True)
    left.bar(x - 0.2, one["own"][row], width=0.4, color=plotting.BLUE, label="R: target class")
    left.bar(x + 0.2, one["dual"][row], width=0.4, color=plotting.ORANGE, label="dual: its weights negated")
    left.set(ylabel="relevance", title=f"(b) relevance for frame logit {row + 1}")
    left.margins(y=0.3)
    left.legend(fontsize=7, loc="upper left", ncols=2)
    below.bar(x, one["matrix"][row], width=0.6, color="0.25")
    first, last = one["segments"][row]
    below.axvspan(first + 0.5, last + 1.5, color=plotting.VERMILION, alpha=0.15, lw=0)
    below.text(
        (first + last) / 2 + 1,
        0.97,
        f"ATR {last - first + 1} frames",
        ha="center",
        va="top",
        fontsize=8,
        color=plotting.VERMILION,
        transform=below.get_xaxis_transform(),
    )
    below.set(xlabel="input frame j", ylabel="CLRP")
    below.margins(y=0.3)
    below.set_xticks(x)
    right = right.subplots()
    image = plotting.heatmap(right, one["matrix"], f"all frames: avg-ATR {one['avg']:.1f}, max-ATR {one['max']:.0f}")
    for i, (first, last) in enumerate(one["segments"]):
        right.add_patch(plt.Rectangle((first - 0.5, i - 0.5), last - first + 1, 1, fill=False, ec="white", lw=0.8))
    right.figure.colorbar(image, ax=right, label="CLRP", shrink=0.72)
    right.set_title(right.get_title(), fontsize=8)
    return figure


def ratios(found):
    """Return per clip the sum of its relevance matrix over the sum of its frame logits [n]: 1 if conserved."""
    return found.matrix.sum((1, 2)) / found.frame_logits.sum(1)
