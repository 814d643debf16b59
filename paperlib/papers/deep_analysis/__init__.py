"""Analyses of the CVPR 2021 paper, for its 288 published models and for any other table of models.

A table of models has one row per model and the columns dataset, module, backbone, num_frames,
temporal_pooling (0 or 1) and top1 (%); `benchmark()` returns the published one.
"""

import itertools

import numpy as np
import pandas as pd

from ...errors import InputError
from .. import published, statistics

DATASETS = ("mini-SSV2", "mini-Kinetics", "mini-MiT")
MODULES = ("I3D", "S3D", "TAM")
BASELINE = "TSN"
METRICS = ("phi", "psi_ta", "psi_ta_tp")
SETTING = ["dataset", "backbone", "num_frames"]
SHORT = {"InceptionV1": "Inc", "ResNet18": "R18", "ResNet50": "R50"}


def benchmark():
    """Return the 288 models of the paper's public benchmark page, in the order of `DATASETS`."""
    models = published.table("chen2021_mini_benchmark")
    order = {name: i for i, name in enumerate(DATASETS)}
    return models.sort_values("dataset", key=lambda c: c.map(order), kind="stable", ignore_index=True)


def name(module, backbone, num_frames, temporal_pooling=0):
    """Return the model's name in the papers' form, say I3D-R50-f16 or TSN-Inc-f8-tp."""
    return f"{module}-{SHORT.get(backbone, backbone)}-f{num_frames}" + ("-tp" if temporal_pooling else "")


def wide(models, column="top1"):
    """Return one column of a table of models with a row per (dataset, backbone, frames) and the columns
    (module, temporal_pooling); InputError where two models share a cell."""
    missing = {*SETTING, "module", "temporal_pooling", column} - set(models.columns)
    if missing:
        raise InputError(f"the table of models lacks the column {sorted(missing)[0]!r}")
    keys = [*SETTING, "module", "temporal_pooling"]
    twice = models[models.duplicated(keys)]
    if len(twice):
        raise InputError(f"the table of models has two rows for {twice.iloc[0][keys].to_dict()}")
    table = models.pivot(index=SETTING, columns=["module", "temporal_pooling"], values=column)
    present = [d for d in DATASETS if d in table.index.levels[0]]
    return table.reindex(present + [d for d in table.index.levels[0] if d not in present], level=0)


def spatial_contribution(accuracy, baseline):
    """Return Phi = S_TSN / max(S, S_TSN) of section 6.3, equation 1 (accuracies in percent)."""
    return baseline / np.maximum(accuracy, baseline)


def temporal_improvement(accuracy, baseline):
    """Return Psi = (S - S_TSN) / (100 - S_TSN) of section 6.3, equation 1 (accuracies in percent)."""
    return (accuracy - baseline) / (100 - baseline)


def contributions(models):
    """Return Phi and Psi of every model: dataset, backbone, num_frames, module, metric, value.

    The baseline of each model is TSN without temporal pooling on the same backbone and frame count.
    phi and psi_ta compare the module without temporal pooling to it, psi_ta_tp the module with it.
    Settings that lack the baseline or the module are left out.
    """
    accuracy = wide(models)
    if (BASELINE, 0) not in accuracy:
        raise InputError("the table of models has no TSN without temporal pooling, equation 1's baseline")
    baseline = accuracy[BASELINE, 0]
    parts = []
    for module in (m for m in accuracy.columns.unique(0) if m != BASELINE):
        for metric, pooling, function in (
            ("phi", 0, spatial_contribution),
            ("psi_ta", 0, temporal_improvement),
            ("psi_ta_tp", 1, temporal_improvement),
        ):
            if (module, pooling) in accuracy:
                values = function(accuracy[module, pooling], baseline).dropna()
                parts.append(values.rename("value").reset_index().assign(module=module, metric=metric))
    return pd.concat(parts, ignore_index=True)


def means(models):
    """Return the cells of Table 7 without intervals: dataset, metric, module, recomputed."""
    groups = contributions(models).groupby(["dataset", "metric", "module"], sort=False)
    return groups.value.mean().rename("recomputed").reset_index()


def table07(models, seed=0):
    """Return Table 7: the means over backbones and frame counts, with 95 % bootstrap intervals over them.

    Columns: dataset, metric, module, recomputed, low, high, models (how many were averaged).
    """
    rows = []
    for keys, part in contributions(models).groupby(["dataset", "metric", "module"], sort=False):
        value, low, high = statistics.bootstrap_interval(part.value, seed=seed)
        rows.append([*keys, value, low, high, len(part)])
    table = pd.DataFrame(rows, columns=["dataset", "metric", "module", "recomputed", "low", "high", "models"])
    order = {x: i for i, x in enumerate((*DATASETS, *METRICS, *MODULES))}
    rank = table[["dataset", "metric", "module"]].apply(lambda c: c.map(order).fillna(len(order)))
    return table.loc[rank.sort_values(list(rank), kind="stable").index].reset_index(drop=True)


def printed_table07():
    """Return Table 7 as printed: dataset, metric, module, printed."""
    table = published.table("deep_analysis_table07")
    return table.rename(columns={"row": "metric", "column": "module", "value": "printed"})[
        ["dataset", "metric", "module", "printed"]
    ]


def compare(recomputed, printed, decimals=2):
    """Return the cells of both tables side by side, `differs` where they disagree at so many decimals."""
    both = recomputed.merge(printed, on=["dataset", "metric", "module"], how="left", validate="1:1")
    both["differs"] = (both.recomputed.round(decimals) - both.printed).abs() > 10.0**-decimals / 2
    return both


def exchange(table, a, b, metrics):
    """Return a Table 7 (column `printed`) with modules a and b exchanged in the rows of these metrics."""
    swap = {a: b, b: a}
    module = [swap.get(m, m) if metric in metrics else m for m, metric in zip(table.module, table.metric, strict=True)]
    return table.assign(module=module)


def exchanges(recomputed, printed):
    """Return how many printed cells agree under every exchange of two columns in every set of rows.

    Columns: columns (`none`, `I3D and S3D`, ...), rows (the metrics concerned), agree, cells; best first.
    """
    rows = [["none", "none", int((~compare(recomputed, printed).differs).sum()), len(printed)]]
    subsets = [s for n in (1, 2, 3) for s in itertools.combinations(METRICS, n)]
    for (a, b), metrics in itertools.product(itertools.combinations(MODULES, 2), subsets):
        agree = int((~compare(recomputed, exchange(printed, a, b, metrics)).differs).sum())
        rows.append([f"{a} and {b}", ", ".join(metrics), agree, len(printed)])
    table = pd.DataFrame(rows, columns=["columns", "rows", "agree", "cells"])
    return table.sort_values("agree", ascending=False, kind="stable", ignore_index=True)


def subsets(models, printed):
    """Return how many printed cells agree when only some backbones, frame counts or top-5 are averaged.

    Columns: metric, backbones, frames, agree; best first: a check that no other reading of the average
    reproduces the table.
    """
    rows = []
    for column, backbones, frames in itertools.product(
        ("top1", "top5"), _subsets(models.backbone), _subsets(models.num_frames)
    ):
        part = models[models.backbone.isin(backbones) & models.num_frames.isin(frames)]
        recomputed = means(part.assign(top1=part[column]))
        agree = int((~compare(recomputed, printed).differs).sum())
        rows.append([column, ", ".join(backbones), ", ".join(map(str, frames)), agree])
    table = pd.DataFrame(rows, columns=["metric", "backbones", "frames", "agree"])
    return table.sort_values("agree", ascending=False, kind="stable", ignore_index=True)


def _subsets(column):
    """Return all non-empty subsets of a column's values."""
    values = sorted(column.unique())
    return [s for n in range(1, len(values) + 1) for s in itertools.combinations(values, n)]


def pooling_gain(models):
    """Return top-1 with minus without temporal pooling of every module and setting (Figure 6): `gain`."""
    accuracy = wide(models)
    with_pooling, without = (accuracy.xs(p, axis=1, level="temporal_pooling") for p in (1, 0))
    gain = (with_pooling - without).stack().rename("gain").reset_index()
    return gain[[*SETTING[:1], "module", *SETTING[1:], "gain"]]


def frame_gain(models):
    """Return the change of top-1 from each frame count to the next: columns from_frames, to_frames, gain."""
    accuracy = models.pivot(
        index=["dataset", "module", "backbone", "temporal_pooling"], columns="num_frames", values="top1"
    )
    steps = accuracy.diff(axis=1).iloc[:, 1:]
    gain = steps.rename_axis(columns="to_frames").stack().rename("gain").reset_index()
    previous = dict(zip(accuracy.columns[1:], accuracy.columns[:-1], strict=True))
    return gain.assign(from_frames=gain.to_frames.map(previous))


def table05_beside_benchmark(models):
    """Return the cells of Table 5 that the benchmark holds too, with the difference printed - benchmark.

    Columns: dataset, backbone, num_frames, column (as printed: None, I3D, Conv., TAM), value, top1,
    difference (points).
    """
    module = {"None": "TSN", "I3D": "I3D", "Conv.": "S3D", "TAM": "TAM"}
    printed = published.table("deep_analysis_table05").dropna(subset="value")
    printed = printed[printed.column.isin(list(module))].assign(module=lambda t: t.column.map(module))
    both = printed.merge(models[models.temporal_pooling == 0], on=[*SETTING, "module"], validate="1:1")
    both["difference"] = both.value - both.top1
    return both[[*SETTING, "column", "value", "top1", "difference"]]
