"""Pictures of what the notebook on video transformers measures."""

import matplotlib.pyplot as plt
import numpy as np

from ....explanation import plotting
from ...temporal_relevance import pooled, split
from . import FAMILIES, ROLLOUT, attends, plain


def matrices(found, dataset):
    """Draw each network's mean matrix, rows divided by their sums: a column per network, a row per composite."""
    networks = pooled.networks(found["paper"])
    shown = [name for name in networks if split(name)[0] == dataset and plain(name)]
    shown.sort(key=lambda name: not attends(name))  # transformers first
    figure, axes = plt.subplots(len(found), len(shown), figsize=(1.9 * len(shown), 2.1 * len(found)), squeeze=False)
    means = {
        (rules, name): _mean_share(runs)
        for rules, explained in found.items()
        for name, runs in pooled.networks(explained).items()
        if name in shown
    }
    largest = max(share.max() for share in means.values())
    for line, rules in zip(axes, found, strict=True):
        for axis, name in zip(line, shown, strict=True):
            if (rules, name) not in means:
                axis.axis("off")
                continue
            title = f"{split(name)[1]}\n{rules}"
            plotting.heatmap(axis, means[rules, name], title, vmax=largest, labels=axis is line[0])
            if axis is line[0]:
                axis.set_ylabel("step i of the last layer")
            axis.set_aspect("auto")
    figure.suptitle(dataset)
    figure.colorbar(axes[0, 0].images[0], ax=axes, shrink=0.6, label="share of a row")
    return figure


def _mean_share(runs):
    """Return the mean matrix [T', N] of all clips of a network's runs, rows divided by their sums."""
    every = np.concatenate([one.matrix for one in runs])
    return (every / np.maximum(every.sum(2, keepdims=True), 1e-30)).mean(0)


def ranges(rows):
    """Draw avg-ATR over accuracy, a column per data set, a row per composite: transformers full, CNNs hollow."""
    rows = rows[rows.rules != ROLLOUT]
    datasets, composites = (list(dict.fromkeys(values)) for values in (rows.dataset, rows.rules))
    size = (4.2 * len(datasets), 2.8 * len(composites) + 0.6)
    figure, axes = plt.subplots(len(composites), len(datasets), figsize=size, sharey=True, sharex=True, squeeze=False)
    models = list(dict.fromkeys(rows.model))
    for (i, k), axis in np.ndenumerate(axes):
        part = rows[(rows.dataset == datasets[k]) & (rows.rules == composites[i])]
        for row in part.itertuples():
            at = models.index(row.model)
            look = {"marker": plotting.MARKERS[at % 8], "colour": plotting.colour_of(row.model, at), "capsize": 0}
            hollow = {} if row.model.startswith(FAMILIES) else {"mfc": "none"}
            interval = row.avg_atr, row.avg_atr_low, row.avg_atr_high
            plotting.interval_bar(axis, row.accuracy, *interval, label=row.model, **look, **hollow)
        axis.set_title(f"{datasets[k]}, rules “{composites[i]}”")
    for axis in axes[:, 0]:
        axis.set_ylabel("avg-ATR, frames")
    for axis in axes[-1]:
        axis.set_xlabel("accuracy, %")
    named = {name: mark for axis in axes.flat for mark, name in zip(*axis.get_legend_handles_labels(), strict=True)}
    figure.legend(named.values(), named.keys(), loc="outside lower center", ncols=4, fontsize=7)
    return figure


def attention(rows):
    """Draw how far attention reaches (rollout) and relevance does, a pair of bars per transformer and data set."""
    rows = rows[rows.model.str.startswith(FAMILIES) & rows.rules.isin([ROLLOUT, "attnlrp"])]
    places = list(dict.fromkeys(zip(rows.dataset, rows.model, strict=True)))
    figure, axis = plt.subplots(figsize=(max(3.6, 1.2 + 0.75 * len(places)), 3.6))
    for side, (rules, colour) in enumerate(((ROLLOUT, plotting.SKY), ("attnlrp", plotting.BLUE))):
        for row in rows[rows.rules == rules].itertuples():
            x = places.index((row.dataset, row.model)) + 0.4 * side - 0.2
            interval = row.avg_atr, row.avg_atr_low, row.avg_atr_high
            plotting.bar_with_interval(axis, x, *interval, 0.36, colour)
    axis.set_xticks(range(len(places)), [f"{model}\n{dataset}" for dataset, model in places], rotation=60, fontsize=6)
    marks = [plt.Rectangle((0, 0), 1, 1, color=colour) for colour in (plotting.SKY, plotting.BLUE)]
    named = ["attention (rollout)", "relevance (attnlrp)"]
    figure.legend(marks, named, loc="outside upper center", ncols=2, fontsize=8)
    axis.set_ylabel("avg-ATR, frames")
    return figure
