"""Figures 5 (b), 6 and 14: pictures, numbers and claims of partial uniform sampling (section 4.3)."""

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd

from ...errors import InputError
from ...explanation import plotting
from ..stand_ins import STANDS_FOR
from ..statistics import accuracy_interval
from . import opened, pooled, split, trained, windows

SATURATED = {"Kinetics": 8, "SSV2": 10}  # frames, section 4.3
LOSS = 1.3  # points of accuracy that the paper calls on par at most (Table 1): losing less counts as nothing lost


def measure_all(run, at_least=None):
    """Return {checkpoint: windows.measure} for the notebook's models."""
    return {checkpoint: windows.measure(run, checkpoint) for checkpoint in trained(run, at_least=at_least)}


def right(scores, found):
    """Return 100 where these scores [.., n, K] give the clip's class, else 0: float [.., n]."""
    return 100.0 * (scores.argmax(-1) == found["labels"])


def table(measured):
    """Return accuracy and mean score of the true class per network, kind of window and width."""
    rows = []
    for network, runs in pooled.networks(measured).items():
        dataset, model = split(network)
        one = runs[0]
        kinds = [
            ("whole clip", one["frames"], [found["whole"] for found in runs]),
            ("frame-level ATR", np.mean([found["width"].mean() for found in runs]), [f["ranged"] for f in runs]),
        ]
        for kind, widths, name in (("fixed", "widths", "fixed"), ("fixed, empty frames", "empty_widths", "empty")):
            kinds += [(kind, width, [found[name][k] for found in runs]) for k, width in enumerate(one[widths])]
        for kind, width, scores in kinds:
            correct = np.stack([right(s, found) > 0 for s, found in zip(scores, runs, strict=True)])
            own = [s[np.arange(len(s)), found["labels"]].mean() for s, found in zip(scores, runs, strict=True)]
            row = {"model": model, "dataset": dataset, "frames": one["frames"], "window": kind, "width": float(width)}
            row |= {"clips": correct.shape[1], "runs": len(runs)}
            row |= dict(zip(("accuracy", "low", "high"), accuracy_interval(correct), strict=True))
            rows.append({**row, "score": float(np.mean(own))})
    return pd.DataFrame(rows)


def values(measured, quantity):
    """Return {network: [runs, clips]} of quantity(measured, width), as `pooled.pool` takes them.

    width: where the paper says that accuracy on this data set is saturated. Models of different lengths see the same
    videos in the same order, some fewer of them.
    """
    wide = {network: SATURATED[STANDS_FOR.get(split(network)[0], "SSV2")] for network in pooled.networks(measured)}
    return {
        network: np.stack([quantity(found, wide[network]) for found in runs])
        for network, runs in pooled.networks(measured).items()
    }


def change(found, width):
    """Return the points of accuracy that windows of about `width` frames gain over the whole clip, per clip [n]."""
    at = int(np.abs(found["widths"] - width).argmin())
    return right(found["fixed"][at], found) - right(found["whole"], found)


def sized(found, _):
    """Return the points that windows sized by ATR gain over fixed ones of the same mean width, per clip [n]."""
    return right(found["ranged"], found) - between(found, found["width"].mean())


def narrowed(found, _):
    """Return the points that windows sized by ATR gain over the whole clip, per clip [n]."""
    return right(found["ranged"], found) - right(found["whole"], found)


def emptied(found, _):
    """Return the points that empty frames outside the window gain over repeated ones per clip [n], mean over widths."""
    same = np.isin(found["widths"], found["empty_widths"])
    return right(found["empty"], found).mean(0) - right(found["fixed"][same], found).mean(0)


def needing_windows(measured):
    """Return those measured whose accuracy falls with single frames by more than `LOSS` points, interval and all.

    Where single frames suffice every window does, and nothing about windows can be learned.
    """
    kept = set()
    for network, alone in values(measured, lambda found, _: change(found, 1)).items():
        _, _, high = pooled.pool({network: alone}, span=100.0)
        if high < -LOSS:
            kept.add(network)
    return pooled.only(measured, kept)


def draw(ours):
    """Draw accuracy over window width, one panel per data set: lines fixed windows, hollow diamonds ATR-sized ones."""
    datasets = list(dict.fromkeys(ours.dataset))
    figure, axes = plt.subplots(1, len(datasets), figsize=(3.7 * len(datasets), 3.6), sharey=True, squeeze=False)
    for axis, dataset in zip(axes[0], datasets, strict=True):
        for k, (model, part) in enumerate(ours[ours.dataset == dataset].groupby("model", sort=False)):
            _draw_model(axis, part, model, k)
        name = STANDS_FOR.get(dataset, dataset)
        axis.axvline(SATURATED[name], ls=":", color="0.3", lw=1)
        look = {"rotation": 90, "fontsize": 7, "color": "0.3", "transform": axis.get_xaxis_transform()}
        axis.text(SATURATED[name] + 0.4, 0.03, f"paper: saturated at {SATURATED[name]}", **look)
        axis.set_xticks(sorted({1, 4, 8, 12, 16, 24, 32} & set(range(1, int(ours.frames.max()) + 1))))
        axis.set(title=f"{dataset} (for {name})", xlabel="window width, frames", ylim=(0, 107))
    axes[0, 0].set_ylabel("accuracy, %")
    figure.legend(*axes[0, 0].get_legend_handles_labels(), loc="outside lower center", ncols=2, fontsize=7)
    return figure


def _draw_model(axis, part, model, k):
    """Draw one model's curve, moved a little sideways so that the marks of two models at 100 % are both seen."""
    colour, marker, aside = plotting.colour_of(model, k), plotting.MARKERS[k], 0.3 * k
    fixed = part[part.window.isin(["fixed", "whole clip"])].drop_duplicates("width").sort_values("width")
    axis.plot(fixed.width + aside, fixed.accuracy, f"{marker}-", color=colour, ms=4, lw=1.2, label=model)
    axis.fill_between(fixed.width + aside, fixed.low, fixed.high, color=colour, alpha=0.12, lw=0)
    empty = part[part.window == "fixed, empty frames"]
    axis.plot(empty.width + aside, empty.accuracy, "x", color=colour, ms=7, label=f"{model}, empty frames outside")
    sized = part[part.window == "frame-level ATR"].iloc[0]
    height = sized.accuracy, sized.low, sized.high
    look = {"marker": "D", "mfc": "none", "ms": 9, "capsize": 3, "lw": 1.5, "zorder": 5}
    label = f"{model}, window = frame-level ATR"
    plotting.interval_bar(axis, sized.width + aside, *height, colour, label, **look)


def between(found, width):
    """Return each clip's accuracy with fixed windows of a fractional width, linear between the measured ones."""
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

    Frames count from 1 in the settings. Dict: frames [N, H, W, 3]; seen [N, H, W, 3]; frame and window (left, right)
    counted from 0; class, checkpoint; whole [N] and alone [N] frame logits of the class on the full clip and with
    windows of that width around every frame.
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
    frame, left, right_end = (counted - 1 for counted in (run.settings["frame"], *run.settings["window"]))
    seen = frames[sampling.partial_uniform(count, frame, left, right_end)]
    clip, target = to_clip(frames).to(run.device), int(videos.labels[chosen])
    around = windows.fixed(count, right_end - left + 1)
    everything = np.tile([0, count - 1], (count, 1))
    return {
        "frames": frames,
        "seen": seen,
        "window": (left, right_end),
        "frame": frame,
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
        axis.imshow(plotting.strip(frames), aspect="auto", extent=(0.5, count + 0.5, 0, 1))
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
    look = {"ms": 10, "mfc": "none", "mec": "black", "ls": "none", "label": f"frame {at + 1}, the window above"}
    axes[2].plot([at + 1], [found["alone"][at]], "s", **look)
    axes[2].set(
        xlabel="frame",
        ylabel="frame logit of the class",
        xlim=(0.5, count + 0.5),
        title=f"“{found['class']}”, {found['checkpoint']}",
    )
    axes[2].set_xticks(x)
    figure.legend(*axes[2].get_legend_handles_labels(), loc="outside lower center", ncols=3)
    return figure
