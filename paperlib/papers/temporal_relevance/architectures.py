"""Figures 4, 7, 10 and 12, Table 2: backbone, depth, temporal kernel and ensemble against temporal
relevance."""

import matplotlib.pyplot as plt
import numpy as np
from scipy import stats

from ...explanation import plotting
from ...training import checkpoints
from ..statistics import Interval, bootstrap_difference
from . import STANDS_FOR, ledger, split
from .datasets import summary

METRICS = ("avg_atr", "max_atr")


def temporal_convolutions(model):
    """Return how many convolutions of a model, its first one left out, look beyond one frame (numbers of
    Figure 4 a)."""
    import torch

    return sum(
        isinstance(layer, torch.nn.Conv3d) and layer.kernel_size[0] > 1
        for name, layer in model.named_modules()
        if not name.startswith("conv1")
    )


def described(explained):
    """Return `datasets.summary` with what the architecture is: temporal convolutions, depth, kernel,
    ensemble."""
    table = summary(explained)
    models = [checkpoints.load(checkpoint) for checkpoint in explained]
    table["temporal_convolutions"] = [temporal_convolutions(model) for model, _ in models]
    table["kernel_size"] = [model.config.get("kernel_size", 3) for model, _ in models]
    table["ensemble"] = [header["recipe"].get("ensemble", 0) or model.num_frames for model, header in models]
    backbones = [model.config["name"].split("-")[1] for model, _ in models]
    table["backbone"] = backbones
    table["module"] = [model.config["name"].split("-")[0] for model, _ in models]
    table["depth"] = [int(b[1:]) if b[1:].isdigit() else np.nan for b in backbones]
    return table


def spread(row, name):
    """Return (below, above), the two arms of a table row's interval."""
    value = row[name]
    return value - row[f"{name}_low"], row[f"{name}_high"] - value


def draw_backbones(ours, printed=None):
    """Draw Figure 4 (a): avg-ATR sorted per data set; above each bar its temporal convolutions, inside its
    accuracy."""
    datasets = list(dict.fromkeys(ours.dataset))
    figure, axes = plt.subplots(1, len(datasets), figsize=(3.6 * len(datasets) + 0.4, 3.2), sharey=True, squeeze=False)
    for axis, dataset in zip(axes[0], datasets, strict=True):
        part = ours[ours.dataset == dataset].sort_values("avg_atr", ascending=False)
        for x, (_, row) in enumerate(part.iterrows()):
            colour = plotting.BLUE if row.module == "I3D" else plotting.ORANGE
            interval = row.avg_atr, row.avg_atr_low, row.avg_atr_high
            plotting.bar_with_interval(axis, x, *interval, 0.75, colour, capsize=3)
            axis.text(x, row.avg_atr_high + 0.15, f"{row.temporal_convolutions}", ha="center", fontsize=8)
            axis.text(
                x,
                0.25,
                f"{row.accuracy:.1f} %",
                ha="center",
                va="bottom",
                fontsize=7,
                rotation=90,
                color="white" if row.module == "I3D" else "black",
            )
        axis.set_xticks(range(len(part)), [m.rpartition("-")[0].replace("-", "\n") for m in part.model], fontsize=7)
        axis.set(
            title=f"{dataset} (for mini-{STANDS_FOR.get(dataset, dataset)})",
            ylim=(0, 1.15 * part.avg_atr_high.max()),
        )
    axes[0, 0].set_ylabel("avg-ATR, frames")
    figure.supxlabel("number above: temporal convolutions; inside: accuracy", fontsize=8)
    return figure


def claim_order(run, explained, where, dataset, larger, smaller, statement, published):
    """Decide that one model has a larger avg-ATR than another on a data set."""
    a, b = (explained.get(f"{dataset}/{name}") for name in (larger, smaller))
    if a is None or b is None:
        return
    ours = bootstrap_difference(a.avg, b.avg)
    run.claim(
        where,
        statement,
        f"avg-ATR of {larger} minus {smaller}, frames",
        published,
        ours,
        ours.low > 0,
        dataset,
    )


def claim_backbones(run, explained, ours, where):
    """Decide what the paper reads off the bars of Figures 4 (a) and 12."""
    for dataset, part in ours.groupby("dataset", sort=False):
        frames = part.frames.max()
        for larger, smaller in (("I3D-R18", "I3D-R50"), ("TAM2D-R50", "TAM2D-R18")):
            claim_order(
                run,
                explained,
                where,
                dataset,
                f"{larger}-f{frames}",
                f"{smaller}-f{frames}",
                f"{larger} has a larger avg-ATR than {smaller}",
                "above 0 in the picture",
            )
        if f"{dataset}/I3D-Inc-f{frames}" in explained:
            best = part.sort_values("avg_atr").iloc[-1]
            second = part[part.model != f"I3D-Inc-f{frames}"].sort_values("avg_atr").iloc[-1].model
            claim_order(
                run,
                explained,
                where,
                dataset,
                f"I3D-Inc-f{frames}",
                second,
                "I3D-Inception has the largest temporal relevance",
                f"largest (here {best.model})",
            )
        if len(part) >= 5:
            strength = ranks(part.avg_atr, part.accuracy)
            run.claim(
                where,
                "avg-ATR does not follow the strength of the backbone",
                f"Spearman correlation of avg-ATR and accuracy over {len(part)} models; holds if 0 is inside",
                "no strong correlation",
                strength,
                strength.low <= 0,
                dataset,
            )
            number = ranks(part.avg_atr, part.temporal_convolutions)
            run.claim(
                where,
                "the number of temporal convolutions explains avg-ATR better than accuracy does",
                f"Spearman correlation of avg-ATR with temporal convolutions; with accuracy {strength.value:.2f}",
                "explains better",
                number,
                number.value > abs(strength.value),
                dataset,
            )
    return ledger(run)


def ranks(x, y, seed=0, resamples=2000):
    """Return Spearman's rank correlation with its percentile bootstrap interval over pairs."""
    return _correlation(x, y, lambda values: stats.rankdata(values, axis=-1), seed, resamples)


def pearson(x, y, seed=0, resamples=2000):
    """Return Pearson's correlation with its percentile bootstrap interval over pairs."""
    return _correlation(x, y, lambda values: values, seed, resamples)


def _correlation(x, y, scale, seed, resamples):
    x, y = np.asarray(x, float), np.asarray(y, float)
    rows = np.random.default_rng(seed).integers(len(x), size=(resamples, len(x)))
    rows = np.concatenate([np.arange(len(x))[None], rows])  # first the sample itself
    a, b = (scale(values[rows]) for values in (x, y))
    a, b = (values - values.mean(1, keepdims=True) for values in (a, b))
    scatter = np.sqrt((a**2).sum(1) * (b**2).sum(1))
    if not scatter[0]:  # all values are the same: there is no correlation to speak of
        return Interval(np.nan, np.nan, np.nan)
    found = (a * b).sum(1)[scatter > 0] / scatter[scatter > 0]  # a constant resample has no correlation
    return Interval(float(found[0]), *(float(end) for end in np.percentile(found[1:], [2.5, 97.5])))


def draw_lines(ours, x, label, xlabel, limit=None):
    """Draw avg-ATR over the column `x` with intervals, one line per value of `label`; accuracy written in."""
    figure, axis = plt.subplots(figsize=(4.6, 3.1))
    families = ours[label].nunique()
    apart = 0.05 if families <= 2 else 0.2  # room for the accuracies of many lines side by side
    for k, (name, part) in enumerate(ours.groupby(label, sort=False)):
        part = part.sort_values(x)
        arms = np.array([spread(row, "avg_atr") for _, row in part.iterrows()]).T
        places = np.searchsorted(np.unique(ours[x]), part[x]) + apart * (k - (families - 1) / 2)
        axis.errorbar(
            places,
            part.avg_atr,
            yerr=arms,
            fmt=f"{plotting.MARKERS[k]}-",
            color=plotting.COLOURS[k],
            ms=5,
            capsize=2,
            lw=1.2,
            label=name,
        )
        above = part.avg_atr.mean() >= ours.avg_atr.mean()
        drawn = part.reindex(columns=["avg_atr_low", "avg_atr_high", "avg_atr_paper"])
        heights = drawn.max(axis=1) if above else drawn.min(axis=1)
        for place, y, accuracy in zip(places, heights, part.accuracy, strict=True):
            axis.annotate(
                f"{accuracy:.1f} %",
                (place, y),
                xytext=(0, 5 if above else -11),
                textcoords="offset points",
                fontsize=6.5,
                ha="center",
                color=plotting.COLOURS[k],
            )
        if "avg_atr_paper" in part:
            axis.errorbar(
                places,
                part.avg_atr_paper,
                fmt="D:",
                mfc="none",
                color=plotting.COLOURS[k],
                lw=1,
                label=f"{name}, paper",
            )
        if limit:
            axis.axhline(limit(part), ls=":", color=plotting.COLOURS[k], lw=0.8, label="all frames of the clip")
    levels = np.unique(ours[x])
    axis.set_xticks(range(len(levels)), [f"{v:g}" for v in levels])
    axis.set(xlabel=xlabel, ylabel="avg-ATR, frames", xlim=(-0.4, len(levels) - 0.6), ylim=(0, None))
    figure.legend(loc="outside lower center", ncols=2, fontsize=7)
    return figure


def claim_depth(run, explained):
    """Decide what section 4.2 says on Figure 4 (b): avg-ATR grows with depth, by less than half a frame."""
    families = {}
    for checkpoint in explained:
        dataset, model = split(checkpoint)
        module, backbone, frames = model.split("-")
        families.setdefault((dataset, module, frames), {})[int(backbone[1:])] = checkpoint
    for (dataset, module, frames), by_depth in families.items():
        shallow, deep = min(by_depth), max(by_depth)
        if shallow == deep:
            continue
        ours = bootstrap_difference(explained[by_depth[deep]].avg, explained[by_depth[shallow]].avg)
        quantity = f"avg-ATR with ResNet-{deep} minus with ResNet-{shallow}, frames"
        run.claim(
            "Figure 4 (b)",
            f"{module}-{frames}: avg-ATR increases with depth",
            quantity,
            "above 0 in the picture",
            ours,
            ours.low > 0,
            dataset,
        )
        run.claim(
            "Figure 4 (b)",
            f"{module}-{frames}: the increase with depth is marginal (below 0.5 frames)",
            quantity,
            "< 0.5",
            ours,
            ours.value < 0.5,
            dataset,
        )
    return ledger(run)


def claim_kernels(run, explained, ours):
    """Decide what section 4.2 says on Table 2."""
    for frames, part in ours.groupby("frames"):
        part = part.sort_values("kernel_size")
        keys = {row.kernel_size: f"{row.dataset}/{row.model}" for row in part.itertuples()}
        sizes = sorted(keys)
        for small, large in zip(sizes[:-1], sizes[1:], strict=True):
            change = bootstrap_difference(explained[keys[large]].avg, explained[keys[small]].avg)
            theirs = (
                part.avg_atr_paper[part.kernel_size == large].iloc[0]
                - part.avg_atr_paper[part.kernel_size == small].iloc[0]
            )
            run.claim(
                "Table 2",
                f"TAM2D-R50-f{frames}: a temporal kernel of {large} gives a larger avg-ATR than {small}",
                "difference of avg-ATR, frames",
                f"{theirs:.1f}",
                change,
                change.low > 0,
                part.dataset.iloc[0],
            )
        best = part.sort_values("accuracy").iloc[-1].kernel_size
        run.claim(
            "Table 2",
            f"TAM2D-R50-f{frames}: larger kernels do not bring better accuracy",
            "accuracy with the largest kernel minus with the smallest, points; holds if not above 1",
            f"{part.accuracy_paper.iloc[-1] - part.accuracy_paper.iloc[0]:.1f}",
            float(part.accuracy.iloc[-1] - part.accuracy.iloc[0]),
            bool(part.accuracy.iloc[-1] - part.accuracy.iloc[0] <= 1),
            f"{part.dataset.iloc[0]} (best: {best})",
        )
    return ledger(run)


def kernels_beside(ours, printed):
    """Return our table with Table 2's values of the same frames and kernel beside each number."""
    table = ours.copy()
    for name, column in (("accuracy", "accuracy"), ("avg_atr", "avg-ATR"), ("max_atr", "max-ATR")):
        table[f"{name}_paper"] = [
            printed[
                (printed.row == f"TAM2D-R50-f{row.frames}")
                & (printed.column == column)
                & (printed.kernel_size.astype(str) == str(row.kernel_size))
            ].value.squeeze()
            for row in ours.itertuples()
        ]
    return table


def claim_ensemble(run, explained, ours):
    """Decide what section 4.4 says on Figure 10."""
    part = ours.sort_values("ensemble")
    keys = [f"{row.dataset}/{row.model}" for row in part.itertuples()]
    few, many = keys[0], keys[-1]
    change = bootstrap_difference(explained[few].avg, explained[many].avg)
    run.claim(
        "Figure 10",
        "avg-ATR increases as fewer frames are used for prediction",
        f"avg-ATR predicting from {part.ensemble.iloc[0]} frame minus from {part.ensemble.iloc[-1]}, frames",
        "above 0 in the picture",
        change,
        change.low > 0,
        part.dataset.iloc[0],
    )
    steps = [bootstrap_difference(explained[a].avg, explained[b].avg) for a, b in zip(keys[:-1], keys[1:], strict=True)]
    rising = sum(step.value > 0 for step in steps)
    run.claim(
        "Figure 10",
        "avg-ATR rises with every halving of the ensemble",
        f"number of the {len(steps)} halvings that raise avg-ATR",
        f"{len(steps)}",
        float(rising),
        rising == len(steps),
        part.dataset.iloc[0],
        digits=0,
    )
    return ledger(run)


def draw_correlation(ours):
    """Draw Figure 7: accuracy over avg-ATR, one panel per data set, with Pearson's r and its interval."""
    datasets = list(dict.fromkeys(ours.dataset))
    figure, axes = plt.subplots(1, len(datasets), figsize=(3.6 * len(datasets), 3.3), squeeze=False)
    kinds = list(dict.fromkeys(ours.module))
    sizes = {8: 22, 16: 45, 32: 80}
    for axis, dataset in zip(axes[0], datasets, strict=True):
        part = ours[ours.dataset == dataset]
        for row in part.itertuples():
            k = kinds.index(row.module)
            axis.scatter(
                row.avg_atr,
                row.accuracy,
                s=sizes.get(row.frames, 60),
                marker=plotting.MARKERS[k],
                color=plotting.COLOURS[k],
                alpha=0.85,
                lw=0.4,
                ec="white",
            )
            axis.annotate(
                row.model.split("-", 1)[1],
                (row.avg_atr, row.accuracy),
                xytext=(3, 3),
                fontsize=5.5,
                textcoords="offset points",
                color="0.3",
            )
        r = pearson(part.avg_atr, part.accuracy)
        axis.set(
            xlabel="avg-ATR, frames",
            title=f"{dataset}, {len(part)} models\nPearson r = {r.value:.2f} [{r.low:.2f}, {r.high:.2f}]",
        )
    axes[0, 0].set_ylabel("accuracy, %")
    marks = [
        plt.Line2D([], [], marker=plotting.MARKERS[k], color=plotting.COLOURS[k], ls="", label=kind)
        for k, kind in enumerate(kinds)
    ]
    figure.legend(handles=marks, loc="outside lower center", ncols=len(marks))
    return figure


def claim_correlation(run, ours):
    """Decide whether accuracy and avg-ATR are correlated over models (section 4.4, question 1)."""
    for dataset, part in ours.groupby("dataset", sort=False):
        r = pearson(part.avg_atr, part.accuracy)
        run.claim(
            "Figure 7",
            "there is no correlation between accuracy and avg-ATR over models",
            f"Pearson correlation over {len(part)} models; holds if the interval has 0 and |r| is below 0.3",
            "close to zero",
            None if np.isnan(r.value) else r,
            "not testable here" if np.isnan(r.value) else r.low <= 0 <= r.high and abs(r.value) < 0.3,
            dataset,
        )
    return ledger(run)
