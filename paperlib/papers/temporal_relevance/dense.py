"""Table 7 and Figure 13: clips of neighbouring frames (dense) beside clips spread over the video (uniform)."""

import matplotlib.pyplot as plt
import numpy as np

from ...explanation import plotting
from ..stand_ins import STANDS_FOR
from . import pooled
from .datasets import heading, summary

SUFFIX = "-dense"


def table(explained, printed):
    """Return `datasets.summary` with the sampling, the difference to uniform and the printed values."""
    ours = summary(explained)
    ours["sampling"] = np.where(ours.model.str.endswith(SUFFIX), "dense", "uniform")
    ours["model"] = ours.model.str.removesuffix(SUFFIX)
    for ours_name, theirs in (("accuracy", "accuracy"), ("avg_atr", "avg-ATR"), ("max_atr", "max-ATR")):
        found = [
            printed[
                (printed.row == row.model)
                & (printed.column == theirs)
                & (printed.sampling == row.sampling)
                & (printed.dataset == STANDS_FOR.get(row.dataset, row.dataset))
            ].value
            for row in ours.itertuples()
        ]
        ours[f"{ours_name}_paper"] = [x.iloc[0] if len(x) else np.nan for x in found]
    return ours


def both_samplings(explained):
    """Return [(dense network, uniform network)] of the same data set and architecture."""
    names = pooled.networks(explained)
    found = [(name, name.removesuffix(SUFFIX)) for name in names if name.endswith(SUFFIX)]
    return [(dense, uniform) for dense, uniform in found if uniform in names]


def draw(ours):
    """Draw accuracy, avg-ATR and max-ATR of every model, uniform and dense beside each other, the paper's hollow."""
    figure, axes = plt.subplots(1, 3, figsize=(9.2, 3.3))
    models = list(dict.fromkeys(ours.model))
    titles = {"accuracy": "accuracy of one clip, %", "avg_atr": "avg-ATR, frames", "max_atr": "max-ATR, frames"}
    for axis, (name, title) in zip(axes, titles.items(), strict=True):
        for k, sampling in enumerate(("uniform", "dense")):
            colour, marker = plotting.COLOURS[k], plotting.MARKERS[k]
            for row in ours[ours.sampling == sampling].itertuples():
                x, first = models.index(row.model) + 0.36 * (k - 0.5), row.model == models[0]
                values = [getattr(row, name + end) for end in ("", "_low", "_high")]
                label = f"{sampling}, 95 % interval" if first else None
                plotting.interval_bar(axis, x - 0.06, *values, colour, marker=marker, label=label)
                label = f"{sampling}, paper" if first else None
                axis.plot(x + 0.1, getattr(row, f"{name}_paper"), marker, mfc="none", ms=6, color=colour, label=label)
        axis.set_xticks(range(len(models)), [m.replace("-f", "\nf") for m in models], fontsize=7.5)
        top = ours[[name, f"{name}_high", f"{name}_paper"]].max().max()
        axis.set(title=title, ylim=(0, 1.06 * top))
    figure.suptitle(heading(ours), fontsize=9)
    figure.legend(*axes[0].get_legend_handles_labels(), loc="outside lower center", ncols=4)
    return figure
