"""Figure 2: mean relevance matrices of data sets and of single classes, and which frames they say matter."""

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from scipy import stats

from ...explanation import plotting
from . import explain_all, split

__all__ = [
    "draw",
    "evenness",
    "explain_all",
    "frame_shares",
    "over_even_share",
    "self_dependence",
    "share",
    "shares",
    "table",
]


def normalised(found):
    """Return the clips' matrices [n, T', N], each divided by its sum, so that every clip counts alike."""
    return found.matrix / found.matrix.sum((1, 2), keepdims=True)


def over_even_share(found):
    """Return the clips' matrices [n, T', N] with 1 where an entry holds as much as if all mattered alike."""
    return normalised(found) * found.matrix[0].size


def shares(found):
    """Return per clip the share of relevance on the diagonal, within one frame of it, and of the middle half.

    DataFrame with columns diagonal, near, middle, ends (first and last quarter), chance values in `.attrs`.
    """
    matrix = normalised(found)
    rows, columns = matrix.shape[1:]
    distance = np.abs(np.arange(rows)[:, None] * columns / rows - np.arange(columns)[None])
    per_frame = matrix.sum(1)
    quarter = columns // 4
    middle = per_frame[:, quarter : columns - quarter].sum(1)
    masks = {"diagonal": distance < 0.5, "near": distance < 1.5}
    frame = pd.DataFrame({name: (matrix * mask).sum((1, 2)) for name, mask in masks.items()})
    frame["middle"], frame["ends"] = middle, 1 - middle
    frame.attrs = {name: mask.mean() for name, mask in masks.items()} | {"middle": 0.5, "ends": 0.5}
    return frame


def share(name):
    """Return the quantity `shares(found)[name]` as a function of an Explained."""
    return lambda found: shares(found)[name].to_numpy()


def self_dependence(found):
    """Return per clip Spearman's correlation, over its frames i, of a_ii's share of row i with the row's ATR.

    NaN where either is the same in all rows; rows without a relevance are left out.
    """
    shares = np.diagonal(found.matrix, axis1=1, axis2=2) / found.matrix.sum(2)
    return np.array([_spearman(*clip) for clip in zip(shares, found.atr, strict=True)])


def _spearman(a, b):
    known = np.isfinite(a) & np.isfinite(b)
    if min(len(np.unique(a[known])), len(np.unique(b[known]))) < 2:
        return np.nan
    return stats.spearmanr(a[known], b[known]).statistic


def frame_shares(found):
    """Return per clip how much of its relevance each input frame holds, [n, N]; 1 / N each if all mattered alike."""
    return normalised(found).sum(1)


def evenness(found):
    """Return the relevance of the frame that holds least, on average over clips, over that of an even share."""
    return float(frame_shares(found).mean(0).min() * found.matrix.shape[2])


def table(explained):
    """Return the mean matrices in long form: data set, class (or `all`), output i, frame j, share of relevance."""
    rows = []
    for checkpoint, found in explained.items():
        dataset, model = split(checkpoint)
        matrices = normalised(found)
        members = {"all": slice(None)} | {found.classes[k]: found.labels == k for k in np.unique(found.labels)}
        for name, chosen in members.items():
            mean = matrices[chosen].mean(0)
            i, j = np.indices(mean.shape)
            rows.append(
                pd.DataFrame(
                    {
                        "dataset": dataset,
                        "model": model,
                        "class": name,
                        "clips": len(matrices[chosen]),
                        "output": i.ravel() + 1,
                        "frame": j.ravel() + 1,
                        "share": mean.ravel(),
                    }
                )
            )
    return pd.concat(rows, ignore_index=True)


def draw(explained, classes):
    """Draw one row per checkpoint: the mean over its data set, then the given classes ({dataset: [names]}).

    Colours are relevance over that of an even share, one scale for all.
    """
    columns = 1 + max(len(names) for names in classes.values())
    figure, axes = plt.subplots(len(explained), columns, figsize=(1.75 * columns, 2.15 * len(explained)), squeeze=False)
    rows = []
    for checkpoint, found in explained.items():
        dataset, model = split(checkpoint)
        matrices = over_even_share(found)
        shown = [(f"{dataset}\n{model}, {len(matrices)} clips", matrices.mean(0))]
        for name in classes[dataset]:
            mine = matrices[found.labels == found.classes.index(name)]
            clips = "1 clip" if len(mine) == 1 else f"{len(mine)} clips"
            shown.append((f"{_wrap(name)}\n({clips})", mine.mean(0) if len(mine) else None))
        rows.append(shown)
    top = max(matrix.max() for shown in rows for _, matrix in shown if matrix is not None)
    for line, shown in zip(axes, rows, strict=True):
        for axis, (title, matrix) in zip(line, shown, strict=False):
            if matrix is None:
                axis.axis("off")
                axis.set_title(title, fontsize=8)
                continue
            image = plotting.heatmap(axis, matrix, vmax=top, labels=axis is line[0])
            axis.set_title(title, fontsize=8)
    figure.colorbar(image, ax=axes, label="relevance over an even share", shrink=0.6)
    return figure


def _wrap(name, width=20):
    import textwrap

    return "\n".join(textwrap.wrap(name, width))
