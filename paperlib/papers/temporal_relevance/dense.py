"""Table 7 and Figure 13: clips of neighbouring frames (dense) beside clips spread over the video
(uniform)."""

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd

from ...explanation import plotting
from ..statistics import bootstrap_difference
from . import STANDS_FOR, ledger, split
from .datasets import summary
from .heatmaps import shares

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


def draw(ours):
    """Draw avg-ATR and max-ATR of every model, uniform and dense beside each other, the paper's values
    hollow."""
    figure, axes = plt.subplots(1, 2, figsize=(7.2, 3.1), sharey=True)
    models = list(dict.fromkeys(ours.model))
    for axis, name, title in zip(axes, ("avg_atr", "max_atr"), ("avg-ATR", "max-ATR"), strict=True):
        for k, sampling in enumerate(("uniform", "dense")):
            for row in ours[ours.sampling == sampling].itertuples():
                x, first = models.index(row.model) + 0.3 * (k - 0.5), row.model == models[0]
                plotting.interval_bar(
                    axis,
                    x,
                    *(getattr(row, name + end) for end in ("", "_low", "_high")),
                    plotting.COLOURS[k],
                    marker=plotting.MARKERS[k],
                    label=sampling if first else None,
                )
                axis.plot(
                    x + 0.12,
                    getattr(row, f"{name}_paper"),
                    plotting.MARKERS[k],
                    mfc="none",
                    ms=6,
                    color=plotting.COLOURS[k],
                    label=f"{sampling}, paper" if first else None,
                )
        axis.set_xticks(range(len(models)), [m.replace("-f", "\nf") for m in models])
        axis.set(title=title)
    top = ours[["avg_atr_high", "max_atr_high", "avg_atr_paper", "max_atr_paper"]].max().max()
    axes[0].set(ylabel="frames", ylim=(0, 1.06 * top))
    figure.legend(*axes[0].get_legend_handles_labels(), loc="outside lower center", ncols=4)
    return figure


def claim(run, explained, ours):
    """Decide whether dense sampling gives a smaller avg-ATR, a larger max-ATR and a lower accuracy (appendix
    B)."""
    for checkpoint, found in explained.items():
        dataset, model = split(checkpoint)
        if not model.endswith(SUFFIX):
            continue
        name = model.removesuffix(SUFFIX)
        uniform = explained[f"{dataset}/{name}"]
        rows = ours[(ours.model == name) & (ours.dataset == dataset)].set_index("sampling")
        for column, field, sign in (("avg-ATR", "avg", -1), ("max-ATR", "max", 1)):
            change = bootstrap_difference(getattr(found, field), getattr(uniform, field))
            theirs = rows[f"{field}_atr_paper"]
            holds = change.high < 0 if sign < 0 else change.low > 0
            run.claim(
                "Table 7",
                f"{name}: dense sampling gives a {'smaller' if sign < 0 else 'larger'} {column}",
                f"{column} with dense minus with uniform sampling, frames",
                f"{theirs['dense'] - theirs['uniform']:.1f}",
                change,
                holds,
                dataset,
            )
        lost = rows.accuracy["dense"] - rows.accuracy["uniform"]
        run.claim(
            "Table 7",
            f"{name}: one dense clip is less accurate than one uniform clip",
            "accuracy with dense minus with uniform sampling, points",
            f"{rows.accuracy_paper['dense'] - rows.accuracy_paper['uniform']:.1f}",
            float(lost),
            bool(lost < 0),
            dataset,
        )
    return ledger(run)


def claim_heatmaps(run, explained):
    """Decide what appendix B reads off Figure 13: the ends of the clip matter more, the middle less, when
    sampled densely."""
    rows = []
    for checkpoint, found in explained.items():
        dataset, model = split(checkpoint)
        rows.append(shares(found).mean().rename(checkpoint))
        if not model.endswith(SUFFIX):
            continue
        name = model.removesuffix(SUFFIX)
        change = bootstrap_difference(
            shares(found).ends.to_numpy(), shares(explained[f"{dataset}/{name}"]).ends.to_numpy()
        )
        run.claim(
            "Figure 13",
            f"{name}: the first and last frames contribute more with dense than with uniform sampling",
            "share of the first and last quarter of the frames, dense minus uniform",
            "read off the picture",
            change,
            change.low > 0,
            dataset,
        )
    return pd.DataFrame(rows)
