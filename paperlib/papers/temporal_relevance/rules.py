"""Table 6: the contrastive relevance beside plain LRP on the same clips."""

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd

from ...explanation import plotting
from ..statistics import bootstrap_difference, bootstrap_interval
from . import STANDS_FOR, ledger, split

METHODS = ("clrp", "lrp")


def table(explained, printed):
    """Return avg-ATR and max-ATR per checkpoint and method, with intervals, differences and the printed
    values.

    explained: {method: {checkpoint: Explained}} of the same clips.
    """
    rows = []
    for checkpoint, contrastive in explained["clrp"].items():
        dataset, model = split(checkpoint)
        for column, name in (("avg-ATR", "avg"), ("max-ATR", "max")):
            for method in METHODS:
                values = getattr(explained[method][checkpoint], name)
                value, low, high = bootstrap_interval(values)
                change = bootstrap_difference(values, getattr(contrastive, name), paired=True)
                rows.append(
                    {
                        "model": model,
                        "dataset": dataset,
                        "metric": column,
                        "method": method,
                        "clips": len(values),
                        "value": value,
                        "low": low,
                        "high": high,
                        "minus_clrp": change.value,
                        "minus_clrp_low": change.low,
                        "minus_clrp_high": change.high,
                        "paper": value_printed(printed, model, column, dataset, method),
                    }
                )
    return pd.DataFrame(rows)


def value_printed(printed, model, column, dataset, method):
    """Return the value of Table 6, NaN where it has none."""
    found = printed[
        (printed.row == model)
        & (printed.column == column)
        & (printed.method == method)
        & (printed.dataset == STANDS_FOR.get(dataset, dataset))
    ]
    return found.value.iloc[0] if len(found) else float("nan")


def draw(ours):
    """Draw avg-ATR and max-ATR of every model under both methods, joined by a line; the paper's beside,
    hollow."""
    figure, axes = plt.subplots(1, 2, figsize=(7.2, 3.1), sharey=True)
    cases = list(dict.fromkeys(zip(ours.model, ours.dataset, strict=True)))
    for axis, metric in zip(axes, ("avg-ATR", "max-ATR"), strict=True):
        part = ours[ours.metric == metric].set_index(["model", "dataset", "method"])
        for k, case in enumerate(cases):
            pair = [part.loc[(*case, method)] for method in METHODS]
            axis.plot([k - 0.2, k + 0.05], [row.value for row in pair], color="0.6", lw=1)
            axis.plot([k - 0.05, k + 0.2], [row.paper for row in pair], color="0.6", lw=1, ls=":")
            for row, colour, marker, x in zip(pair, plotting.COLOURS, plotting.MARKERS, (-0.2, 0.05), strict=False):
                plotting.interval_bar(
                    axis,
                    k + x,
                    row.value,
                    row.low,
                    row.high,
                    colour,
                    marker=marker,
                    label=f"{row.name[2].upper()}, ours" if k == 0 else None,
                )
                axis.plot(
                    k + x + 0.15,
                    row.paper,
                    marker,
                    mfc="none",
                    color=colour,
                    ms=6,
                    label=f"{row.name[2].upper()}, paper" if k == 0 else None,
                )
        axis.set_xticks(range(len(cases)), [f"{m}\n{d}" for m, d in cases], fontsize=6.5)
        axis.set(title=metric)
    axes[0].set(ylabel="frames", ylim=(0, 1.06 * max(ours.high.max(), ours.paper.max())))
    figure.legend(*axes[0].get_legend_handles_labels(), loc="outside lower center", ncols=4)
    return figure


def claim(run, ours):
    """Decide whether plain LRP gives a smaller ATR than CLRP, model by model."""
    for row in ours[ours.method == "lrp"].itertuples():
        contrastive = ours[
            (ours.method == "clrp")
            & (ours.model == row.model)
            & (ours.dataset == row.dataset)
            & (ours.metric == row.metric)
        ].iloc[0]
        theirs = row.paper - contrastive.paper
        run.claim(
            "Table 6",
            f"{row.model}: LRP gives a smaller {row.metric} than CLRP",
            f"{row.metric} by LRP minus by CLRP on the same clips, frames",
            "" if np.isnan(theirs) else f"{theirs:.1f}",
            (row.minus_clrp, row.minus_clrp_low, row.minus_clrp_high),
            row.minus_clrp_high < 0,
            row.dataset,
        )
    return ledger(run)
