"""Figure 10: models that predict from few of their rows, against the model of all of them on the same rows."""

import numpy as np
import pandas as pd

from ...training import checkpoints
from .. import analysis
from . import architectures, pooled, split


def rows_used(explained):
    """Return {network: rows of its matrix that it predicts from}, all or its recipe's ensemble."""
    found = {}
    for network, runs in pooled.networks(explained).items():
        found[network] = analysis.outputs(runs[0].matrix.shape[1], checkpoints.meta(checkpoints.find(network)))
    return found


def of_all(used):
    """Return the network that predicts from most rows."""
    return max(used, key=lambda network: len(used[network]))


def avg_over(found, rows):
    """Return avg-ATR over some rows of the clips' matrices only [n], weighted by their positive logits."""
    weights = np.maximum(found.frame_logits[:, rows], 0)
    total = weights.sum(1)
    return np.where(total > 0, (weights * found.atr[:, rows]).sum(1) / np.where(total > 0, total, 1), np.nan)


def values(explained, used):
    """Return {network: [runs, videos]} of avg-ATR, and under `same_rows` those of the model of all rows on each one's.

    Rows near the ends of a clip reach fewer frames, so that a mean over other rows would differ for that alone.
    """
    found = pooled.tables(explained, pooled.avg)
    runs = pooled.networks(explained)[of_all(used)]
    for network in [name for name in used if name != of_all(used)]:
        found[same_rows(network)] = pooled.table(runs, lambda one, rows=used[network]: avg_over(one, rows))
    return found


def same_rows(network):
    """Return the name in `values` of the model of all rows, on the rows of this network."""
    return f"{network}, model of all frames"


def table(explained, used):
    """Return `architectures.described` with the model of all rows on each network's rows as a second family."""
    ours = architectures.described(explained).assign(family="trained on the ensemble")
    found, full = values(explained, used), of_all(used)
    dataset, model = split(full)
    rows = []
    for network in [name for name in used if name != full]:
        own = {same_rows(network): found[same_rows(network)]}
        interval = pooled.pool(own, lambda mean, network=network: mean(same_rows(network)))
        row = {"model": model, "dataset": dataset, "ensemble": len(used[network]), "family": "model of all, same rows"}
        rows.append({**row, **dict(zip(("avg_atr", "avg_atr_low", "avg_atr_high"), interval, strict=True))})
    return pd.concat([ours, pd.DataFrame(rows)], ignore_index=True)
