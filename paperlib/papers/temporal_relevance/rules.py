"""Table 6: the contrastive relevance beside plain LRP on the same clips, and what the difference depends on."""

import itertools

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import torch
from torch import nn

from ... import relevance
from ...explanation import plotting
from ...storage import cache
from .. import analysis
from ..stand_ins import STANDS_FOR
from . import opened, pooled, split

METHODS = ("clrp", "lrp")
METRICS = {"avg-ATR": "avg", "max-ATR": "max"}
# How an addition may share relevance. Captum hands all of it to both branches where the addition is no module of its
# own; every path through a residual network crosses the same additions, so that equal halves give the same shares.
ADDITIONS = {
    "in proportion": lambda epsilon: relevance.Proportional(epsilon),
    "addends of the sum's sign": lambda epsilon: relevance.Proportional(epsilon, signed=False),
    "equally (captum's plain +)": lambda epsilon: relevance.EqualShares(),
}
# Added to the size of every denominator of z+ and of additions; captum adds the second. It changes no share that is to
# be seen, but an output that no input contributes to then loses its relevance, which is shared by size of weights else.
EPSILONS = (0.0, 1e-9)


def changes(explained, metric):
    """Return {network: [runs, videos]}: a metric by LRP minus by CLRP on each clip.

    explained: {method: {checkpoint: Explained}} of the same clips; metric: "avg" or "max".
    """
    both = [pooled.tables(explained[method], lambda found: getattr(found, metric)) for method in ("lrp", "clrp")]
    return {network: both[0][network] - both[1][network] for network in both[0]}


def table(explained, printed):
    """Return avg-ATR and max-ATR per network by both methods, LRP minus CLRP with its interval, and the printed values.

    explained: {method: {checkpoint: Explained}} of the same clips.
    """
    rows = []
    for title, metric in METRICS.items():
        for network, change in changes(explained, metric).items():
            dataset, model = split(network)
            row = {"model": model, "dataset": dataset, "metric": title, "clips": int(np.isfinite(change[0]).sum())}
            for method in METHODS:
                runs = pooled.networks(explained[method])[network]
                row[method] = float(np.mean([getattr(found, metric).mean() for found in runs]))
            interval = pooled.pool({network: change})
            row |= dict(zip(("lrp_minus_clrp", "low", "high"), interval, strict=True))
            for method in METHODS:
                row[f"{method}_paper"] = _printed(printed, model, title, dataset, method)
            rows.append(row)
    return pd.DataFrame(rows)


def _printed(printed, model, column, dataset, method):
    """Return the value of Table 6, NaN where it has none."""
    theirs = STANDS_FOR.get(dataset, dataset)
    found = printed[(printed.row == model) & (printed.column == column) & (printed.dataset == theirs)]
    found = found[found.method == method].value
    return float(found.iloc[0]) if len(found) else float("nan")


def draw(ours):
    """Draw LRP minus CLRP of every model, one panel per metric: ours with intervals, the paper's as diamonds."""
    figure, axes = plt.subplots(1, 2, figsize=(7.4, 3.3), sharey=True)
    cases = list(dict.fromkeys(zip(ours.model, ours.dataset, strict=True)))
    for axis, metric in zip(axes, METRICS, strict=True):
        for k, row in enumerate(ours[ours.metric == metric].itertuples()):
            values = row.lrp_minus_clrp, row.low, row.high
            plotting.interval_bar(axis, k - 0.1, *values, label="ours, 95 % interval" if k == 0 else None)
            theirs = row.lrp_paper - row.clrp_paper
            plotting.published_mark(axis, k + 0.1, theirs, label="paper, of the printed values" if k == 0 else None)
        axis.axhline(0, color="black", lw=0.8)
        names = ["\n".join([model, *dataset.rsplit("_", 1)]) for model, dataset in cases]
        axis.set_xticks(range(len(cases)), names, fontsize=6.5)
        axis.set(title=metric, xlim=(-0.5, len(cases) - 0.5))
    axes[0].set_ylabel("LRP minus CLRP, frames")
    figure.legend(*axes[0].get_legend_handles_labels(), loc="outside lower center", ncols=2)
    return figure


def variants(run, explained):
    """Return avg-ATR by LRP and CLRP on a few explained clips of every network under each variant of the method.

    One row per network, rule for additions (`ADDITIONS`), epsilon in the denominators (`EPSILONS`), place where CLRP is
    clipped at 0, and kind of contrast (2 as in the paper: the dual negates the target's weights; 1: it starts from all
    other logits). The setting `variant_clips` says how many clips.
    """
    rows = []
    for network, found in pooled.first(explained).items():
        for addition, epsilon in itertools.product(ADDITIONS, EPSILONS):
            plain = _avg_atr(run, network, found, addition, epsilon, method="lrp")
            for clip_at, contrast in itertools.product(("pixel", "frame"), (2, 1)):
                contrastive = _avg_atr(run, network, found, addition, epsilon, clip_at=clip_at, contrast=contrast)
                row = {"model": network, "additions": addition, "epsilon": epsilon}
                row |= {"clip_at": clip_at, "contrast": contrast, "clips": len(plain)}
                row |= {"lrp": plain.mean(), "clrp": contrastive.mean()}
                rows.append({**row, "lrp_minus_clrp": (plain - contrastive).mean()})
    return pd.DataFrame(rows)


def with_epsilon(addition, epsilon):
    """Return the `rules` of a variant: those of the paper, with a rule for additions and epsilon in denominators.

    Z-beta, in the layer that sees the clip, keeps its own: its denominators are never near 0.
    """
    weighted = relevance.ZPlus()
    weighted.epsilon = epsilon
    return {"add": ADDITIONS[addition](epsilon), **dict.fromkeys((nn.Conv2d, nn.Conv3d, nn.Linear), weighted)}


def _avg_atr(run, network, found, addition, epsilon, **how):
    """Return the avg-ATR [n] of a network's first few explained clips under one variant, cached."""
    model, header, videos = opened(run, network)
    some = slice(0, run.settings["variant_clips"])
    chosen, targets = found.videos[some], found.labels[some]
    about = {
        **analysis.key_of(network, videos),
        "engine": cache.code("relevance"),
        "videos of the batch": chosen.tolist(),
    }

    def compute():
        clips = analysis.clips_of(videos, chosen, header).to(run.device)
        rules = with_epsilon(addition, epsilon)
        matrix = relevance.relevance_matrix(model, clips, torch.as_tensor(targets), rules=rules, **how)
        logits = torch.from_numpy(found.frame_logits[some])
        return {"avg": relevance.atr(matrix.cpu(), logits, sigma=run.settings["sigma"]).avg.numpy()}

    key = {**about, "addition": addition, "epsilon": epsilon, "sigma": run.settings["sigma"], **how}
    return cache.fetch("variants", key, compute)["avg"]
