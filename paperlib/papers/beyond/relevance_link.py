"""What a model looks at (ATR) against what it gains from time (temporal improvement), over our own models."""

import numpy as np
import pandas as pd

from ...training import checkpoints
from .. import statistics
from ..deep_analysis import own
from ..deep_analysis.experiments import ROOM
from ..deep_analysis.structure import TEMPORAL, layers
from ..findings import Finding
from ..temporal_relevance import explain_all, pooled


def relevance_points(run):
    """Return one row per listed spatio-temporal checkpoint: what it looks at and what it gains from time.

    atr: mean avg-ATR as a share of the input frames, psi: temporal improvement over the TSN of its data set
    and backbone, both with 95 % intervals over clips and training runs; layers: temporal layers; top1.
    """
    scored, rows = own.score(run), []
    for one in scored.values():
        baseline = own.baseline_of(scored, one)
        if one.row["module"] == own.BASELINE or one.row["temporal_pooling"] or baseline is None:
            continue
        if baseline.correct.mean() > 1 - ROOM:  # a few errors of TSN are no denominator
            continue
        explained = explain_all(run, models=list(one.runs), limit=run.settings.get("videos"))
        frames = pooled.tables(explained, pooled.avg)[one.key]
        atr = pooled.pool({one.key: frames / one.row["num_frames"]})
        psi = own.contribution(one, baseline)
        kinds = layers(checkpoints.load(one.runs[0])[0])
        rows.append(
            {
                "dataset": one.row["dataset"],
                "model": one.row["model"],
                "module": one.row["module"],
                "num_frames": one.row["num_frames"],
                "atr": atr.value,
                "atr_low": atr.low,
                "atr_high": atr.high,
                "psi": psi[0],
                "psi_low": psi[1],
                "psi_high": psi[2],
                "layers": sum(kind in TEMPORAL for kind in kinds),
                "top1": 100 * one.correct.mean(),
                "runs": len(one.correct),
                "baseline": baseline.key,
                "explained": min(len(found.avg) for found in explained.values()),
            }
        )
    return pd.DataFrame(rows)


def partial_correlation(x, y, covariates):
    """Return Pearson's correlation of what a linear fit on the covariates [n, k] leaves of x and y [n]."""
    design = np.column_stack([np.ones(len(x)), *np.atleast_2d(np.asarray(covariates, float).T)])
    left = [
        v - design @ np.linalg.lstsq(design, v, rcond=None)[0] for v in (np.asarray(x, float), np.asarray(y, float))
    ]
    scale = np.sqrt((left[0] ** 2).sum() * (left[1] ** 2).sum())
    return float(left[0] @ left[1] / scale) if scale > 1e-12 else float("nan")


def correlations(points, seed=0):
    """Return how ATR and temporal improvement go together: measure, value, low, high, models.

    Pearson's and Spearman's correlation, and Pearson's partial correlation given the number of temporal
    layers; data sets are removed as an indicator in all three. Intervals are bootstrap over models.
    """
    groups = pd.get_dummies(points.dataset, drop_first=True).to_numpy(float)
    x, y = points.atr.to_numpy(), points.psi.to_numpy()
    ranks = [points[c].rank().to_numpy() for c in ("atr", "psi")]
    given = np.column_stack([groups, points.layers.to_numpy(float)])
    rows = []
    for measure, a, b, covariates in (
        ("Pearson", x, y, groups),
        ("Spearman", *ranks, groups),
        ("partial, given temporal layers", x, y, given),
    ):

        def statistic(index, a=a, b=b, covariates=covariates):
            index = np.asarray(index, int)
            value = partial_correlation(a[index], b[index], covariates[index])
            return 0.0 if np.isnan(value) else value

        value, low, high = statistics.bootstrap_interval(
            np.arange(len(x)), statistic=statistic, seed=seed, method="percentile", resamples=1999
        )
        rows.append([measure, value, low, high, len(x)])
    return pd.DataFrame(rows, columns=["measure", "value", "low", "high", "models"])


def of_relevance(points, table):
    """Return the finding about ATR and temporal improvement, by their rank correlation; table: of `correlations`."""
    row = table.set_index("measure").loc["Spearman"]
    dataset = ", ".join(dict.fromkeys(points.dataset))
    interval = (row["value"], row.low, row.high)
    runs, clips = pooled.counted(points.runs, "run"), pooled.counted(points.explained, "clip")
    return [Finding("beyond.atr-psi", interval, f"{runs} each of {int(row.models)} networks, {clips} each", dataset)]
