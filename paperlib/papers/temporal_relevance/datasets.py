"""Table 1: accuracy, avg-ATR and max-ATR of the same models on a temporal and on a static data set."""

import matplotlib.pyplot as plt
import pandas as pd

from ...explanation import plotting
from .. import published
from ..statistics import bootstrap_difference, bootstrap_interval
from . import STANDS_FOR, dataset_for, explain_all, ledger, split

__all__ = ["explain_all", "summary", "beside", "with_mit", "draw_table", "claim_table", "claim_between"]


def summary(explained):
    """Return one row per checkpoint: accuracy, and mean, interval and spread over clips of avg-ATR and
    max-ATR."""
    rows = []
    for checkpoint, found in explained.items():
        dataset, model = split(checkpoint)
        row = {
            "model": model,
            "dataset": dataset,
            "frames": found.matrix.shape[2],
            "clips": len(found.avg),
            "accuracy": 100 * found.right / found.considered,
        }
        for name, values in (("avg_atr", found.avg), ("max_atr", found.max)):
            value, low, high = bootstrap_interval(values)
            row |= {name: value, f"{name}_low": low, f"{name}_high": high, f"{name}_sd": values.std(ddof=1)}
        rows.append(row)
    return pd.DataFrame(rows)


def beside(ours, printed):
    """Return our table with the paper's printed values of the same model and data set beside each number."""
    table = ours.copy()
    for ours_name, theirs in (("accuracy", "accuracy"), ("avg_atr", "avg-ATR"), ("max_atr", "max-ATR")):
        table[f"{ours_name}_paper"] = [
            _printed(printed, row.model, theirs, row.dataset)[0] for row in ours.itertuples()
        ]
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
    """Draw avg-ATR and max-ATR per model, one panel each: ours with intervals, the paper's as diamonds."""
    figure, axes = plt.subplots(1, 2, figsize=(7.2, 3.2), sharey=True)
    models, names = (list(dict.fromkeys(ours[column])) for column in ("model", "dataset"))
    for axis, name, title in zip(axes, ("avg_atr", "max_atr"), ("avg-ATR", "max-ATR"), strict=True):
        for k, dataset in enumerate(names):
            colour, marker = plotting.COLOURS[k], plotting.MARKERS[k]
            part = ours[ours.dataset == dataset]
            for row in part.itertuples():
                x = models.index(row.model) + 0.72 / len(names) * (k - (len(names) - 1) / 2)
                first = row.Index == part.index[0]
                values = [getattr(row, name + end) for end in ("", "_low", "_high")]
                plotting.interval_bar(
                    axis,
                    x - 0.07,
                    *values,
                    colour=colour,
                    marker=marker,
                    label=dataset if first else None,
                )
                value, spread = _printed(printed, row.model, title, dataset)
                axis.errorbar(
                    x + 0.07,
                    value,
                    yerr=spread,
                    fmt=marker,
                    mfc="none",
                    color=colour,
                    ms=6,
                    capsize=2,
                    lw=0.8,
                    label=f"{STANDS_FOR.get(dataset, dataset)}, paper (mean ± spread)" if first else None,
                )
        for k, model in enumerate(models):
            frames = ours.frames[ours.model == model].iloc[0]
            axis.hlines(frames, k - 0.4, k + 0.4, ls=":", color="0.4", lw=1)
        labels = [model.replace("-", "\n", 1) for model in models]
        axis.set_xticks(range(len(models)), labels, fontsize=8 if len(models) < 6 else 6.5)
        axis.set_title(title)
    axes[0].set(ylabel="frames", ylim=(0, 1.06 * max(ours.frames)))
    figure.legend(*axes[0].get_legend_handles_labels(), loc="outside lower center", ncols=2 * min(len(names), 2))
    return figure


def claim_table(run, explained, ours):
    """Decide the statements of section 4.2 on data sets and modules, with intervals of differences over
    clips."""

    def difference(a, b):
        return bootstrap_difference(explained[a].avg, explained[b].avg)

    names = list(dict.fromkeys(ours.model))
    temporal, static = (dataset_for(role, list(ours.dataset)) for role in ("SSV2", "Kinetics"))
    printed = {"I3D-R50-f8": "1.0", "TAM2D-R50-f8": "1.8", "I3D-R50-f16": "1.6", "TAM2D-R50-f16": "2.4"}
    gaps = {
        ("I3D-R50-f8", "SSV2"): "0.5",
        ("I3D-R50-f8", "Kinetics"): "1.3",
        ("I3D-R50-f16", "SSV2"): "0.9",
        ("I3D-R50-f16", "Kinetics"): "1.7",
    }
    for name in names:
        found = difference(f"{temporal}/{name}", f"{static}/{name}")
        run.claim(
            "Table 1",
            f"{name}: temporal relevance is larger on the temporal data set than on the static one",
            "avg-ATR on the temporal minus on the static data set, frames",
            printed.get(name, ""),
            found,
            found.low > 0,
            f"{temporal} vs {static}",
        )
    for dataset in (temporal, static):
        for i3d in (name for name in names if name.startswith("I3D")):
            tam = i3d.replace("I3D", "TAM2D")
            found = difference(f"{dataset}/{i3d}", f"{dataset}/{tam}")
            run.claim(
                "Table 1, Figure 3",
                f"{i3d} has a larger temporal relevance than {tam} on {dataset}",
                "avg-ATR of I3D minus TAM2D, frames",
                gaps.get((i3d, STANDS_FOR[dataset]), ""),
                found,
                found.low > 0,
                dataset,
            )
    return run.verdicts()


def claim_between(run, explained, printed):
    """Decide whether the mixed data set's avg-ATR lies between those of the static and the temporal one
    (appendix A)."""
    names = {role: dataset_for(role, [split(key)[0] for key in explained]) for role in ("MiT", "Kinetics", "SSV2")}
    for key in [key for key in explained if split(key)[0] == names["MiT"]]:
        model = split(key)[1]
        for role, sign, word in (
            ("Kinetics", 1, "higher than on the static"),
            ("SSV2", -1, "lower than on the temporal"),
        ):
            found = bootstrap_difference(explained[key].avg, explained[f"{names[role]}/{model}"].avg)
            theirs = (
                _printed(printed, model, "avg-ATR", names["MiT"])[0]
                - _printed(printed, model, "avg-ATR", names[role])[0]
            )
            run.claim(
                "Table 5",
                f"{model}: avg-ATR on the mixed data set is {word} one",
                "difference of avg-ATR, frames",
                f"{theirs:.1f}",
                found,
                found.low > 0 if sign > 0 else found.high < 0,
                f"{names['MiT']} vs {names[role]}",
            )
    return ledger(run)
