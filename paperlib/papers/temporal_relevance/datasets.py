"""Tables 1, 4 and 5: accuracy, avg-ATR and max-ATR of the same models on data sets of different kinds."""

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd

from ...explanation import plotting
from .. import published
from ..stand_ins import STANDS_FOR
from ..statistics import accuracy_interval
from . import explain_all, look_of, pooled, split

__all__ = ["as_printed", "beside", "draw_table", "explain_all", "heading", "summary", "with_mit"]


def summary(explained):
    """Return one row per network: accuracy and means over clips of avg-ATR and max-ATR, each with its 95 % interval
    over clips and runs; `_sd` is the standard deviation over clips, as the paper prints it."""
    rows = []
    for network, runs in pooled.networks(explained).items():
        dataset, model = split(network)
        row = {"model": model, "dataset": dataset, "frames": runs[0].matrix.shape[2], "runs": len(runs)}
        row["clips"] = len(runs[0].avg)
        correct = np.stack([found.correct for found in runs])
        row |= dict(zip(("accuracy", "accuracy_low", "accuracy_high"), accuracy_interval(correct), strict=True))
        for name, quantity in (("avg_atr", pooled.avg), ("max_atr", pooled.largest)):
            values = pooled.table(runs, quantity)
            value, low, high = pooled.pool({network: values})
            row |= {name: value, f"{name}_low": low, f"{name}_high": high, f"{name}_sd": np.nanstd(values, ddof=1)}
        rows.append(row)
    return pd.DataFrame(rows)


def heading(ours):
    """Return in words which data set the networks of a summary are trained on, how many runs and clips there are."""
    known = ours.dropna(subset=["runs", "clips"])
    runs, clips = (pooled.counted(known[f"{what}s"].astype(int), what) for what in ("run", "clip"))
    return f"{', '.join(dict.fromkeys(ours.dataset))}: {runs} of each network, {clips} explained of each run"


def as_printed(ours):
    """Return a summary in the paper's form, 5.5 ± 0.4: mean and standard deviation over clips, ours and the paper's."""
    shown = ours[["model", "dataset", "clips", "runs"]].copy()
    for name, title in (("accuracy", "accuracy, %"), ("avg_atr", "avg-ATR"), ("max_atr", "max-ATR")):
        spread = ours.get(f"{name}_sd", ours[name] * np.nan)
        shown[title] = [_cell(*row) for row in zip(ours[name], spread, strict=True)]
        if f"{name}_paper" in ours:
            theirs = ours.get(f"{name}_paper_sd", ours[name] * np.nan)
            shown[f"{title}, paper"] = [_cell(*row) for row in zip(ours[f"{name}_paper"], theirs, strict=True)]
    return shown


def _cell(value, spread):
    """Return `5.5 ± 0.4`, without what is not there."""
    return "" if np.isnan(value) else f"{value:.1f}" + ("" if np.isnan(spread) else f" ± {spread:.1f}")


def beside(ours, printed):
    """Return our table with the paper's printed values of the same model and data set beside each number."""
    table = ours.copy()
    for ours_name, theirs in (("accuracy", "accuracy"), ("avg_atr", "avg-ATR"), ("max_atr", "max-ATR")):
        found = [_printed(printed, row.model, theirs, row.dataset) for row in ours.itertuples()]
        table[f"{ours_name}_paper"] = [value for value, _ in found]
        if theirs != "accuracy":
            table[f"{ours_name}_paper_sd"] = [spread for _, spread in found]
    return table


def _printed(printed, model, column, dataset):
    found = printed[
        (printed.row == model) & (printed.column == column) & (printed.dataset == STANDS_FOR.get(dataset, dataset))
    ]
    return (found.value.iloc[0], found.spread.iloc[0]) if len(found) else (float("nan"), float("nan"))


def with_mit(printed):
    """Return Table 1 with the rows of Table 5 (mini-MiT) added."""
    return pd.concat([printed, published.table("temporal_relevance_table05").assign(dataset="MiT")], ignore_index=True)


def draw_table(ours, printed):
    """Draw accuracy, avg-ATR and max-ATR per model, one panel each: ours filled, the paper's values hollow."""
    figure, axes = plt.subplots(1, 3, figsize=(9.6, 3.4))
    models, names = (list(dict.fromkeys(ours[column])) for column in ("model", "dataset"))
    panels = (("accuracy", "accuracy", "%"), ("avg_atr", "avg-ATR", "frames"), ("max_atr", "max-ATR", "frames"))
    for axis, (name, title, unit) in zip(axes, panels, strict=True):
        for k, dataset in enumerate(names):
            _draw_dataset(axis, ours[ours.dataset == dataset], printed, models, name, (k, len(names)))
        if unit == "frames":
            for k, model in enumerate(models):
                frames = ours.frames[ours.model == model].iloc[0]
                axis.hlines(
                    frames,
                    k - 0.4,
                    k + 0.4,
                    ls=":",
                    color="0.4",
                    lw=1,
                    label="all frames of the clip" if not k else None,
                )
        labels = [model.replace("-", "\n", 1).replace("-f", "\nf") for model in models]
        axis.set_xticks(range(len(models)), labels, fontsize=8 if len(models) < 6 else 6.5)
        axis.set(title=f"{title}, {unit}", ylim=(0, 103 if unit == "%" else 1.06 * max(ours.frames)))
    figure.legend(*axes[1].get_legend_handles_labels(), loc="outside lower center", ncols=4, fontsize=7)
    return figure


def _draw_dataset(axis, part, printed, models, name, place):
    """Draw one data set's marks: ours with 95 % intervals, the paper's with its standard deviation over clips."""
    k, datasets = place
    dataset = part.dataset.iloc[0]
    colour, marker = look_of(dataset)
    column = {"accuracy": "accuracy", "avg_atr": "avg-ATR", "max_atr": "max-ATR"}[name]
    for row in part.itertuples():
        x = models.index(row.model) + 0.72 / datasets * (k - (datasets - 1) / 2)
        first = row.Index == part.index[0]
        values = [getattr(row, name + end) for end in ("", "_low", "_high")]
        label = f"{dataset}, 95 % interval" if first else None
        plotting.interval_bar(axis, x - 0.07, *values, colour=colour, marker=marker, label=label)
        value, spread = _printed(printed, row.model, column, dataset)
        deviation = "" if column == "accuracy" else " ± sd of clips"
        label = f"paper, {STANDS_FOR.get(dataset, dataset)}{deviation}" if first else None
        look = {"fmt": marker, "mfc": "none", "color": colour, "ms": 6, "capsize": 2, "lw": 0.8}
        axis.errorbar(x + 0.07, value, yerr=None if np.isnan(spread) else spread, label=label, **look)
