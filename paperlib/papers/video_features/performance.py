"""Tables 1 and 2: F1 scores forward and reversed, and per class."""

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd

from ...explanation import plotting
from ...training import evaluation
from .. import published
from ..statistics import Interval
from . import COLOURS, paper_name, short, study

RESAMPLES = 999


def predict_all(run):
    """Return {checkpoint: (forward table, reversed table)} for the `models` of a notebook's settings."""
    return {
        checkpoint: (study.predictions(run, checkpoint), study.predictions(run, checkpoint, reverse=True))
        for checkpoint in study.available(run)
    }


def table01(predicted, seed=0):
    """Return our Table 1: macro F1, top-1 and top-5, forward and reversed, with 95 % intervals over clips.

    One row per checkpoint, direction and k. The intervals draw clips within each class (F1 per class needs
    all classes in every draw). Top-5 F1 is that of `evaluation.f1_per_class`; it is left out for six
    classes.
    """
    rows = []
    for checkpoint, tables in predicted.items():
        model, dataset = short(checkpoint)
        for table, direction in zip(tables, ("forward", "reversed"), strict=True):
            for k in (1, 5) if len(table.attrs["classes"]) > 10 else (1,):
                found = f1_interval(table, k, seed)
                rows.append(
                    {
                        "model": model,
                        "dataset": dataset,
                        "direction": direction,
                        "k": k,
                        "f1": found.value,
                        "low": found.low,
                        "high": found.high,
                        "accuracy": evaluation.accuracy(table, k),
                        "clips": len(table),
                        "paper": printed01(model, dataset, direction, k),
                    }
                )
    return pd.DataFrame(rows)


def f1_interval(table, k=1, seed=0):
    """Return the macro F1 score with a percentile bootstrap interval, clips drawn within their class."""
    values = [_f1(table, k, rows) for rows in _draws(table, seed)]
    return Interval(evaluation.f1_macro(table, k), *np.percentile(values, (2.5, 97.5)))


def _draws(table, seed):
    """Yield row numbers of resamples in which every class keeps its number of clips."""
    rng = np.random.default_rng(seed)
    members = [np.flatnonzero(table["label"] == label) for label in np.unique(table["label"])]
    for _ in range(RESAMPLES):
        yield np.concatenate([rng.choice(own, len(own)) for own in members])


def _f1(table, k, rows):
    """Return the macro F1 score of some rows."""
    labels, predicted = table["label"].to_numpy()[rows], evaluation.within(table, k)[rows]
    return np.nanmean(evaluation.f1_scores(labels, predicted, len(table.attrs["classes"])))


def printed01(model, dataset, direction, k):
    """Return the paper's Table 1 entry, NaN where it has none."""
    table = published.table("video_features_table01")
    row = model + (" (rev.)" if direction == "reversed" else "")
    found = table[(table.row == row) & (table.column == f"top-{k}") & (table.dataset == paper_name(dataset))]
    return float(found.value.iloc[0]) if len(found) else float("nan")


def draw01(table):
    """Draw forward and reversed F1 scores per data set: ours as bars with intervals, the paper's diamonds."""
    panels = list(dict.fromkeys(zip(table.dataset, table.k, strict=True)))
    figure, axes = plt.subplots(1, len(panels), figsize=(2.6 * len(panels), 2.8), sharey=True, squeeze=False)
    for axis, (dataset, k) in zip(axes[0], panels, strict=True):
        shown = table[(table.dataset == dataset) & (table.k == k)]
        models = list(dict.fromkeys(shown.model))
        for row in shown.itertuples():
            x = models.index(row.model) + (0.2 if row.direction == "reversed" else -0.2)
            shade = 0.45 if row.direction == "reversed" else 1
            plotting.bar_with_interval(axis, x, row.f1, row.low, row.high, 0.38, COLOURS[row.model], alpha=shade)
            plotting.published_mark(axis, x + 0.1, row.paper, label="paper" if row.Index == shown.index[0] else None)
        axis.set_xticks(range(len(models)), [f"{m}\nforward | reversed" for m in models], fontsize=7)
        axis.set_title(f"{dataset} (for {paper_name(dataset)}), top-{k}")
        axis.set_ylim(0, 1.02)
    axes[0, 0].set_ylabel("macro F1")
    axes[0, 0].legend()
    return figure


def table02(predicted):
    """Return our Table 2: F1 per class (the mean over runs) of both models on the paper's eleven classes, and the
    printed ones."""
    printed = published.table("video_features_table02")
    columns = {model: mean_f1(runs) for model, runs in forward(predicted).items()}
    classes = next(iter(predicted.values()))[0].attrs["classes"]
    rows = []
    for k in study.eleven(classes):
        own = printed[printed.row.str.lower() == classes[k].lower()].set_index("column").value
        rows.append(
            {
                "class": classes[k],
                **{model: f1[k] for model, f1 in columns.items()},
                **{f"{model} (paper)": own.get(model, np.nan) for model in columns},
            }
        )
    return pd.DataFrame(rows)


def forward(predicted):
    """Return {model: [forward table of each of its runs]} of `predict_all`."""
    found = {}
    for checkpoint, tables in predicted.items():
        found.setdefault(short(checkpoint)[0], []).append(tables[0])
    return found


def mean_f1(runs):
    """Return the F1 score of each class, the mean over a model's runs; NaN where a class is in none of their tables."""
    scores = np.array([evaluation.f1_per_class(table) for table in runs])
    there = np.isfinite(scores)
    return np.where(there, scores, 0).sum(0) / np.where(there.any(0), there.sum(0), np.nan)


def draw02(table):
    """Draw F1 per class: ours filled, the paper's open, one colour per model."""
    figure, axis = plt.subplots(figsize=(7, 0.34 * len(table) + 1))
    for model, colour in COLOURS.items():
        offset = 0.14 if model == "C-LSTM" else -0.14
        y = np.arange(len(table)) + offset
        axis.plot(table[model], y, "o", color=colour, label=model, ms=5)
        axis.plot(table[f"{model} (paper)"], y, "o", mfc="none", color=colour, label=f"{model}, paper", ms=5)
    axis.set_yticks(range(len(table)), table["class"], fontsize=7)
    axis.set(xlim=(-0.02, 1.02), xlabel="F1 score")
    axis.invert_yaxis()
    axis.grid(axis="y", lw=0.3)
    figure.legend(loc="outside lower center", ncols=4)
    return figure
