"""Figures 5 (b), 6 and 14: pictures, numbers and claims of partial uniform sampling (section 4.3)."""

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd

from ...errors import InputError
from ...explanation import plotting
from ..statistics import bootstrap_difference, bootstrap_interval
from . import STANDS_FOR, ledger, opened, split, trained, windows

SATURATED = {"Kinetics": 8, "SSV2": 10}  # frames, section 4.3
LOSS = 5  # points of accuracy that still count as saturated


def measure_all(run, at_least=None):
    """Return {checkpoint: windows.measure} for the notebook's models."""
    return {checkpoint: windows.measure(run, checkpoint) for checkpoint in trained(run, at_least=at_least)}


def right(scores, found):
    """Return 100 where these scores [.., n, K] give the clip's class, else 0: float [.., n]."""
    return 100.0 * (scores.argmax(-1) == found["labels"])


def table(measured):
    """Return accuracy and mean score of the true class per checkpoint, kind of window and width."""
    rows = []
    for checkpoint, found in measured.items():
        dataset, model = split(checkpoint)
        kinds = [
            ("whole clip", found["frames"], found["whole"]),
            ("frame-level ATR", found["width"].mean(), found["ranged"]),
        ]
        kinds += [("fixed", width, scores) for width, scores in zip(found["widths"], found["fixed"], strict=True)]
        kinds += [
            ("fixed, empty frames", width, scores)
            for width, scores in zip(found["empty_widths"], found["empty"], strict=True)
        ]
        for kind, width, scores in kinds:
            value, low, high = bootstrap_interval(right(scores, found))
            own = scores[np.arange(len(scores)), found["labels"]]
            rows.append(
                {
                    "model": model,
                    "dataset": dataset,
                    "frames": found["frames"],
                    "window": kind,
                    "width": float(width),
                    "clips": len(own),
                    "accuracy": value,
                    "low": low,
                    "high": high,
                    "score": own.mean(),
                }
            )
    return pd.DataFrame(rows)


def draw(ours):
    """Draw accuracy over window width, one panel per data set: lines fixed windows, diamonds ATR-sized
    ones."""
    datasets = list(dict.fromkeys(ours.dataset))
    figure, axes = plt.subplots(1, len(datasets), figsize=(3.6 * len(datasets), 3.1), sharey=True, squeeze=False)
    for axis, dataset in zip(axes[0], datasets, strict=True):
        for k, (model, part) in enumerate(ours[ours.dataset == dataset].groupby("model", sort=False)):
            colour, marker = plotting.COLOURS[k], plotting.MARKERS[k]
            fixed = part[part.window.isin(["fixed", "whole clip"])].drop_duplicates("width").sort_values("width")
            axis.plot(fixed.width, fixed.accuracy, f"{marker}-", color=colour, ms=4, lw=1.2, label=model)
            axis.fill_between(fixed.width, fixed.low, fixed.high, color=colour, alpha=0.12, lw=0)
            empty = part[part.window == "fixed, empty frames"]
            axis.plot(empty.width, empty.accuracy, "x", color=colour, ms=6, label=f"{model}, empty frames outside")
            sized = part[part.window == "frame-level ATR"].iloc[0]
            height = sized.accuracy, sized.low, sized.high
            look = {"marker": "D", "mec": "black", "ms": 8, "capsize": 3, "lw": 1.5, "zorder": 5}
            label = f"{model}, window = frame-level ATR"
            plotting.interval_bar(axis, sized.width, *height, colour, label, **look)
        name = STANDS_FOR.get(dataset, dataset)
        axis.axvline(SATURATED[name], ls=":", color="0.3", lw=1)
        axis.text(
            SATURATED[name] + 0.4,
            0.03,
            f"paper: saturated at {SATURATED[name]}",
            rotation=90,
            fontsize=7,
            color="0.3",
            transform=axis.get_xaxis_transform(),
        )
        axis.set_xticks(sorted({1, 4, 8, 12, 16, 24, 32} & set(range(1, int(ours.frames.max()) + 1))))
        axis.set(title=f"{dataset} (for {name})", xlabel="window width, frames", ylim=(0, 103))
    axes[0, 0].set_ylabel("accuracy, %")
    figure.legend(*axes[0, 0].get_legend_handles_labels(), loc="outside lower center", ncols=2, fontsize=7)
    return figure


def claim(run, measured, where):
    """Decide the statements of section 4.3 with paired differences over clips."""
    for checkpoint, found in measured.items():
        dataset, model = split(checkpoint)
        full = right(found["whole"], found)
        wide = SATURATED[STANDS_FOR.get(dataset, dataset)]
        at = int(np.abs(found["widths"] - wide).argmin())
        narrow = right(found["fixed"][at], found)
        ours = bootstrap_difference(narrow, full, paired=True)
        run.claim(
            where,
            f"{model}: accuracy is saturated with windows of {wide} of its {found['frames']} frames",
            f"accuracy with windows of {found['widths'][at]} frames minus with all, points; saturated if above -{LOSS}",
            f"saturated at {wide}",
            ours,
            ours.low > -LOSS,
            dataset,
        )
        sized = right(found["ranged"], found)
        near = between(found, found["width"].mean())
        ours = bootstrap_difference(sized, near, paired=True)
        run.claim(
            where,
            f"{model}: windows sized by each frame's ATR match fixed ones of the same mean width",
            "accuracy with ATR-sized windows minus with fixed ones, points; a match if zero is inside the "
            f"interval or it is within {LOSS}",
            "match well",
            ours,
            ours.low <= 0 <= ours.high or abs(ours.value) < LOSS,
            dataset,
        )
        same = np.isin(found["widths"], found["empty_widths"])
        black = right(found["empty"], found).mean(0)
        ours = bootstrap_difference(black, right(found["fixed"][same], found).mean(0), paired=True)
        run.claim(
            where,
            f"{model}: empty frames outside the window are worse than copies of its ends",
            "accuracy with empty frames minus with duplicated ones, points, mean over widths "
            + ", ".join(map(str, found["empty_widths"])),
            "worse",
            ours,
            "not testable here" if ours.low == ours.high == 0 else ours.high < 0,
            dataset,
        )
    return ledger(run)


def between(found, width):
    """Return each clip's accuracy with fixed windows of a fractional width, linear between the measured
    ones."""
    widths = np.append(found["widths"], found["frames"])
    values = np.concatenate([right(found["fixed"], found), right(found["whole"], found)[None]])
    widths, first = np.unique(widths, return_index=True)
    values = values[first]
    above = int(np.clip(np.searchsorted(widths, width), 1, len(widths) - 1))
    part = np.clip((width - widths[above - 1]) / (widths[above] - widths[above - 1]), 0, 1)
    return (1 - part) * values[above - 1] + part * values[above]


def example(run):
    """Return one clip with the window of the settings: frames, frames as the window's frames see them,
    logits.

    Dict: frames [N, H, W, 3]; seen [N, H, W, 3]; window (left, right); target, classes; whole [N] and alone
    [N] frame logits of the class on the full clip and with windows of that width around every frame.
    """
    from ...data import sampling
    from ...data.clips import to_clip
    from .. import analysis

    (checkpoint,) = trained(run)
    model, header, videos = opened(run, checkpoint)
    count = model.num_frames
    scored = analysis.predictions(checkpoint, limit=run.settings.get("scored"), device=run.device, root=run.data_root)
    sure = scored["scores"][np.arange(len(videos)), videos.labels] > run.settings["min_score"]
    wanted = np.asarray(videos.labels) == videos.classes.index(run.settings["class"])
    if not (scored["correct"] & sure & wanted).any():
        raise InputError(
            f"{checkpoint} gets no clip of the class {run.settings['class']!r} right with a score above "
            f"{run.settings['min_score']}; name another class in the settings"
        )
    chosen = int(np.flatnonzero(scored["correct"] & sure & wanted)[0])
    frames = videos.frames(chosen, analysis.indices(videos.num_frames(chosen), header))
    left, right_end = run.settings["window"]
    seen = frames[sampling.partial_uniform(count, run.settings["frame"], left, right_end)]
    clip, target = to_clip(frames).to(run.device), int(videos.labels[chosen])
    around = windows.fixed(count, right_end - left + 1)
    everything = np.tile([0, count - 1], (count, 1))
    return {
        "frames": frames,
        "seen": seen,
        "window": (left, right_end),
        "frame": run.settings["frame"],
        "class": videos.classes[target],
        "checkpoint": checkpoint,
        "whole": windows.frame_logits(model, clip, everything)[:, target].numpy(),
        "alone": windows.frame_logits(model, clip, around)[:, target].numpy(),
    }


def draw_example(found):
    """Draw the clip, the clip that the window leaves, and the frame logits of both."""
    count = len(found["frames"])
    (left, last), at = found["window"], found["frame"]
    figure, axes = plt.subplots(3, 1, figsize=(7.2, 3.0), height_ratios=[1, 1, 2.6], layout="constrained")
    for axis, frames, label in (
        (axes[0], found["frames"], "input"),
        (axes[1], found["seen"], f"for frame {at + 1}"),
    ):
        axis.imshow(np.concatenate(frames, 1), aspect="auto", extent=(0.5, count + 0.5, 0, 1))
        axis.add_patch(plt.Rectangle((left + 0.5, 0), last - left + 1, 1, fill=False, ec=plotting.VERMILION, lw=2.5))
        axis.set(xticks=[], yticks=[], xlim=(0.5, count + 0.5))
        axis.set_ylabel(label, rotation=0, ha="right", va="center", fontsize=8)
        axis.spines[:].set_visible(False)
    x = np.arange(1, count + 1)
    axes[2].plot(x, found["whole"], "o-", color=plotting.BLUE, ms=4, label="whole clip")
    axes[2].plot(
        x,
        found["alone"],
        "s--",
        color=plotting.VERMILION,
        ms=4,
        label=f"window of {last - left + 1} frames around each frame",
    )
    axes[2].axvspan(left + 0.5, last + 1.5, color=plotting.VERMILION, alpha=0.07, lw=0)
    axes[2].plot([at + 1], [found["alone"][at]], "s", ms=10, mfc="none", mec="black")
    axes[2].set(
        xlabel="frame",
        ylabel="frame logit of the class",
        xlim=(0.5, count + 0.5),
        title=f"“{found['class']}”, {found['checkpoint']}",
    )
    axes[2].set_xticks(x)
    axes[2].legend(loc="best")
    return figure
