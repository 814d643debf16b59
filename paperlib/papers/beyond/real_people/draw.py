"""The pictures of beyond/nagoya_fir and beyond/weizmann."""

import matplotlib.pyplot as plt
import numpy as np

from ....explanation import plotting
from . import COLOURS, explain
from .scores import WAYS, confusion

KINDS = {"all": "all classes", "motions": "motions", "postures": "postures"}
SHADES = {"forward": 1.0, "reversed": 0.55, "single": 0.25}
WORDS = {"forward": "forward", "reversed": "played backwards", "single": "middle frame alone"}


def accuracies(predicted, summary, chance, title, reference=()):
    """Draw accuracy per model and way, bars with intervals over people and a dot per person.

    reference: (name, percent) of up to two figures printed or reported elsewhere.
    """
    panels = list(dict.fromkeys(summary["classes"]))
    figure, axes = plt.subplots(
        1, len(panels), figsize=(3.0 + 2.6 * (len(panels) - 1), 3.2), sharey=True, squeeze=False
    )
    models = list(dict.fromkeys(summary["model"]))
    for axis, kind in zip(axes[0], panels, strict=True):
        people = predicted if kind == "all" else predicted[predicted["motion"] == (kind == "motions")]
        for k, model in enumerate(models):
            for w, way in enumerate(WAYS):
                row = summary.query("model == @model and way == @way and classes == @kind").iloc[0]
                x = k + 0.27 * (w - 1)
                height = row.accuracy, row.low, row.high
                plotting.bar_with_interval(axis, x, *height, 0.25, COLOURS[model], alpha=SHADES[way], lw=0)
                own = people[people["model"] == model]
                each = 100 * (own[way] == own["label"]).groupby(own["person"]).mean()
                axis.plot(np.full(len(each), x), each, ".", ms=2.5, color="0.2", alpha=0.6)
        line = axis.axhline(chance, ls=":", color="0.4", lw=1)
        axis.set_xticks(range(len(models)), models, rotation=30)
        axis.set(title=f"{title}: {KINDS[kind]}" if len(panels) > 1 else title, ylim=(0, 103))
    axes[0, 0].set_ylabel("accuracy on people never seen, %")
    handles = [plt.Rectangle((0, 0), 1, 1, color="0.3", alpha=SHADES[way], lw=0) for way in WAYS]
    handles += [
        axes[0, 0].axhline(value, ls=style, color=plotting.BLACK, lw=0.9)
        for (_, value), style in zip(reference, ("--", "-."), strict=False)
    ]
    handles.append(line)
    names = [*(WORDS[way] for way in WAYS), *(name for name, _ in reference), "chance"]
    figure.legend(handles, names, loc="outside lower center", ncols=3)
    return figure


def confusions(predicted, classes, models, ways=("forward", "reversed")):
    """Draw confusion matrices in percent of the true class: a row of panels per way, a column per model."""
    figure, axes = plt.subplots(
        len(ways),
        len(models),
        figsize=(2.1 * len(models) + 0.9, 2.3 * len(ways) + 0.4),
        squeeze=False,
        sharex=True,
        sharey=True,
    )
    for line, way in zip(axes, ways, strict=True):
        found = confusion(predicted, classes, way)
        for axis, model in zip(line, models, strict=True):
            share = 100 * found[model] / np.maximum(found[model].sum(1, keepdims=True), 1)
            image = axis.imshow(share, vmin=0, vmax=100, cmap=plotting.MAP)
            for (i, j), value in np.ndenumerate(share):
                if value >= 10:
                    axis.text(
                        j,
                        i,
                        f"{value:.0f}",
                        ha="center",
                        va="center",
                        fontsize=6,
                        color="white" if value < 60 else "black",
                    )
            axis.set_title(f"{model}, {WORDS[way]}", fontsize=7)
            axis.set_xticks(range(len(classes)), classes, rotation=90, fontsize=6)
            axis.set_yticks(range(len(classes)), classes, fontsize=6)
            axis.spines[:].set_visible(False)
        line[0].set_ylabel("true class")
    for axis in axes[-1]:
        axis.set_xlabel("predicted class", fontsize=7)
    figure.colorbar(image, ax=axes, label="% of the true class's videos", shrink=0.6)
    return figure


def matrices(found, classes, models):
    """Draw mean relevance matrices: a row of panels per model, a column per class, each on a scale of its own.

    From 0 to the panel's largest value, as square roots, so that what lies beside a bright spot can be seen too.
    """
    figure, axes = plt.subplots(
        len(models), len(classes), figsize=(1.25 * len(classes) + 0.8, 1.4 * len(models)), squeeze=False
    )
    for axis, name in zip(axes[0], classes, strict=True):
        axis.set_title(name, fontsize=8)
    for line, model in zip(axes, models, strict=True):
        for axis, name in zip(line, classes, strict=True):
            members = found.of(model=model, **{"class": name})
            axis.set(xticks=[], yticks=[])
            if len(members):
                axis.imshow(np.sqrt(np.maximum(0, explain.mean_matrix(found, model=model, **{"class": name}))), vmin=0)
                axis.set_xlabel(f"{found.table['avg_atr'].to_numpy()[members].mean():.1f}", fontsize=7)
            else:
                axis.text(
                    0.5, 0.5, "none right\nabove 0.5", ha="center", va="center", fontsize=6, transform=axis.transAxes
                )
            axis.spines[:].set_visible(False)
        line[0].set_ylabel(model)
    words = "input frame j; below each panel the class's mean avg-ATR in frames\n"
    figure.supxlabel(words + "brightness: square root of relevance, from 0 to each panel's largest", fontsize=8)
    figure.supylabel("frame logit i", fontsize=8)
    return figure


def ranges(per_class, classes):
    """Draw avg-ATR per class and model with intervals over people."""
    return _per_class(per_class, classes, ("avg_atr",), (6.4, 2.8))


def features(per_class, classes):
    """Draw mask length, drop difference, blob count and size per class and model with intervals over people."""
    return _per_class(per_class, classes, ("mask_length", "drop_difference", "blob_count", "blob_size"), (8.6, 5.2))


def _per_class(per_class, classes, measures, size):
    columns = min(2, len(measures))
    figure, axes = plt.subplots(len(measures) // columns, columns, figsize=size, squeeze=False)
    everyone = [model for model in COLOURS if model in set(per_class["model"])]
    markers = dict(zip(everyone, plotting.MARKERS, strict=False))
    for axis, measure in zip(axes.flat, measures, strict=True):
        part = per_class[per_class["measure"] == measure]
        models = [model for model in everyone if model in set(part["model"])]
        for k, model in enumerate(models):
            for row in part[part["model"] == model].itertuples():
                x = classes.index(row[2]) + 0.8 * ((k + 0.5) / len(models) - 0.5)
                plotting.interval_bar(axis, x, row.value, row.low, row.high, COLOURS[model], marker=markers[model])
        axis.set_xticks(range(len(classes)), classes, rotation=30, fontsize=7)
        axis.set_ylabel(explain.MEASURES[measure])
    handles = [plt.Line2D([], [], ls="", marker=markers[model], color=COLOURS[model]) for model in everyone]
    figure.legend(handles, everyone, loc="outside lower center", ncols=max(1, len(everyone)))
    return figure


def windows(summary, marked=()):
    """Draw accuracy over window width per model; marked: (frames, words) of widths that a paper names."""
    figure, axis = plt.subplots(figsize=(4.6, 3.1))
    for k, (model, part) in enumerate(summary.groupby("model", sort=False)):
        part = part.sort_values("width")
        axis.plot(part.width, part.accuracy, f"{plotting.MARKERS[k]}-", color=COLOURS[model], ms=4, label=model)
        axis.fill_between(part.width, part.low, part.high, color=COLOURS[model], alpha=0.12, lw=0)
    for frames, words in marked:
        axis.axvline(frames, ls=":", color="0.3", lw=1)
        axis.text(frames + 0.2, 2, words, rotation=90, fontsize=7, color="0.3")
    axis.set(xlabel="window width, frames", ylabel="accuracy, %", ylim=(0, 103))
    axis.set_xticks(sorted(set(summary.width)))
    axis.legend(ncols=2)
    return figure


def when(summary, models):
    """Draw pointing accuracy and IoU per model and instrument with their baselines."""
    figure, axes = plt.subplots(2, 3, figsize=(8.6, 4.8), sharex=True, sharey="row")
    instruments = list(dict.fromkeys(summary["instrument"]))
    for line, measure, others in zip(
        axes, ("pointing", "iou"), (("chance_pointing",), ("chance_iou", "centre_iou")), strict=True
    ):
        for axis, kind in zip(line, ("all", "motions", "postures"), strict=True):
            part = summary[summary["classes"] == kind].set_index(["model", "instrument", "measure"])
            for k, model in enumerate(models):
                for j, name in enumerate(instruments):
                    x = j + 0.7 * ((k + 0.5) / len(models) - 0.5)
                    if (model, name, measure) not in part.index:
                        continue
                    row = part.loc[(model, name, measure)]
                    plotting.interval_bar(
                        axis, x, row.value, row.low, row.high, COLOURS[model], marker=plotting.MARKERS[k]
                    )
                    for other, style in zip(others, ("_", "x"), strict=False):
                        size = 16 if style == "_" else 8  # chance is wider than the marks in front of it
                        axis.plot(x, part.loc[(model, name, other)].value, style, color="0.4", ms=size, zorder=1)
            axis.set_xticks(range(len(instruments)), instruments)
            axis.set(title=KINDS[kind], ylim=(0, 1.03))
        line[0].set_ylabel("pointing accuracy" if measure == "pointing" else "IoU with the annotated part")
    for k, model in enumerate(models):
        axes[0, 0].plot([], [], plotting.MARKERS[k], color=COLOURS[model], label=model)
    axes[0, 0].plot([], [], "_", color="0.4", ms=16, label="chance")
    axes[0, 0].plot([], [], "x", color="0.4", ms=8, label="middle of the clip")
    figure.legend(*axes[0, 0].get_legend_handles_labels(), loc="outside lower center", ncols=len(models) + 2)
    return figure
