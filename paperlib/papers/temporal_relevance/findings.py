"""What the relevance paper says in words in sections 3 and 4.2, decided from networks' relevance and answers.

Each function returns the findings of one notebook; those of sections 4.3 and 4.4 are in questions.py, those of the
appendix in appendix.py. Intervals are over clips and, where a network was trained more than once, over its runs;
statements about classes or networks have intervals over those.
"""

import numpy as np

from ..findings import Check, Finding, declare
from . import architectures, class_statistics, heatmaps, method, pairs, pooled, split
from .pooled import (
    UNTRAINED,
    across,
    compared,
    datasets_of,
    largest,
    level,
    networks,
    of_means,
    of_role,
    only,
    rests_on,
    right,
    role_of,
    same_but,
)

__all__ = ["Check", "Finding", "declare"]


def of_method(contrastive, plain):
    """Return the finding of section 3.2 on a network's rows, and the check that plain LRP conserves."""
    kept = int((np.abs(method.ratios(next(iter(plain.values()))) - 1) < 0.01).sum())
    clips = len(next(iter(plain.values())).videos)
    check = Check(
        "clips whose relevance by plain LRP sums to their frame logits within 1 %", clips, kept, kept == clips
    )
    of = level("tr.sec3.row-sums", contrastive, list(networks(contrastive)), lambda found: method.ratios(found) - 1)
    return [of], [check]


def of_table01(explained):
    """Return the findings of Table 1: data sets, and the accuracy of TAM2D."""
    sets = across(explained, "SSV2", "Kinetics")
    modules = [(tam, i3d) for i3d, tam in pairs.both_modules(explained)]
    return [
        compared("tr.table1.avg-datasets", explained, sets),
        compared("tr.table1.max-datasets", explained, sets, largest),
        compared("tr.table1.tam-on-par", explained, modules, right),
    ]


def of_heatmaps(explained):
    """Return what section 4.2 reads off the heatmaps of Figure 2, and what section 3.2 says of their diagonals."""
    ssv2, kinetics = (of_role(explained, role) for role in ("SSV2", "Kinetics"))
    return [
        _self_dependence(explained, ssv2 + kinetics),
        level("tr.fig2.local", explained, ssv2 + kinetics, share_of_frames),
        compared("tr.fig2.diagonal", explained, across(explained, "SSV2", "Kinetics"), heatmaps.share("diagonal")),
        level("tr.fig2.middle-ssv2", explained, ssv2, heatmaps.share("middle")),
        level("tr.fig2.ends-kinetics", explained, kinetics, heatmaps.share("ends")),
        _all_contribute(explained, kinetics),
        _classes_vary(explained),
    ]


def _self_dependence(explained, names):
    """Return whether frames that rest on themselves have shorter ranges, of networks in which frames differ at all."""
    id = "tr.sec3.self-dependence"
    known = [
        name
        for name, runs in networks(only(explained, names)).items()
        if all(np.isfinite(heatmaps.self_dependence(one)).any() for one in runs)
    ]
    if names and not known:
        return Finding(id, None, "in no clip do the frames' ATRs or diagonals differ")
    return level(id, explained, known, heatmaps.self_dependence)


def _all_contribute(explained, names):
    """Return whether the least relevant frame contributes: of each run the minimum over frames of the clips' mean."""
    if not names:
        return Finding("tr.fig2.all-contribute", None, UNTRAINED)
    chosen = only(explained, names)

    def least(shares):
        return np.nanmean(shares, axis=0).min() * shares.shape[1]

    interval = pooled.pool(pooled.tables(chosen, heatmaps.frame_shares), of_run=least)
    return Finding("tr.fig2.all-contribute", interval, rests_on(chosen), datasets_of(chosen))


def _classes_vary(explained):
    """Return whether heatmaps of one class are more alike than those of different ones."""
    chosen = {key: found for key, found in explained.items() if len(np.unique(found.labels)) < len(found.labels)}
    if not chosen:
        return Finding("tr.fig2.classes-vary", None, "no class has two explained clips")
    return Finding(
        "tr.fig2.classes-vary", class_statistics.heatmaps_vary(chosen), rests_on(chosen), datasets_of(chosen)
    )


def of_modules(explained):
    """Return the findings of Figure 3: I3D against TAM2D, and where they lie farther apart."""
    modules = pairs.both_modules(explained)
    by_frames = {}
    for i3d, tam in modules:
        by_frames.setdefault(split(i3d)[1], {})[role_of(i3d)] = (i3d, tam)
    gaps = [pair for sets in by_frames.values() if {"SSV2", "Kinetics"} <= set(sets) for pair in sets.items()]
    both = [pair for _, pair in gaps]
    weights = [(1 if role == "Kinetics" else -1) / (len(gaps) / 2) for role, _ in gaps]
    return [
        compared("tr.fig3.i3d-larger", explained, modules),
        compared("tr.fig3.gap-kinetics", explained, both, weights=weights),
    ]


def of_backbones(explained, ours):
    """Return the findings of Figure 4 (a); the rank correlations are over networks. ours: `architectures.described`."""
    inception = same_but(explained, "I3D-Inc", "I3D-R50")
    figure = [name for name in networks(explained) if not split(name)[1].startswith("TAM2D-Inc")]  # the paper's five
    rivals = {split(name)[1] for name in figure if not split(name)[1].startswith("I3D-Inc")}
    sets = {dataset: part.model.tolist() for dataset, part in ours.groupby("dataset", sort=False)}
    enough = len(sets) == 2 and min(map(len, sets.values())) >= 4

    def of_networks(id, interval):
        if not enough:
            return Finding(id, None, "fewer than 4 networks of two data sets are trained here")
        count = len(set.intersection(*map(set, sets.values())))
        runs, clips = (pooled.counted(ours[f"{what}s"], what) for what in ("run", "clip"))
        seen = f"{count} architectures, {runs} each, on 2 data sets, {clips} each"
        return Finding(id, interval(), seen, ", ".join(sets))

    def ahead(mean):
        others = {name: mean(name) for name in figure if not split(name)[1].startswith("I3D-Inc")}
        best = {
            d: max(value for name, value in others.items() if split(name)[0] == d)
            for d in {split(name)[0] for name, _ in inception}
        }
        return np.mean([mean(name) - best[split(name)[0]] for name, _ in inception])

    return [
        of_networks("tr.fig4a.similar-order", lambda: architectures.two_orders(ours)),
        of_networks(
            "tr.fig4a.strength",
            lambda: architectures.over_networks(ours, lambda part: part.avg_atr, lambda part: part.accuracy),
        ),
        of_networks("tr.fig4a.convolutions", lambda: architectures.explains_better(ours)),
        of_means("tr.fig4a.inception-largest", explained, figure if inception else [], ahead, among=len(rivals)),
        compared("tr.fig4a.inception-r50", explained, inception),
        compared("tr.fig4a.inception-accuracy", explained, inception, right),
    ]


def of_depth(explained):
    """Return the findings of Figure 4 (b)."""
    deeper = same_but(explained, "R152", "R50")
    return [compared("tr.fig4b.deeper", explained, deeper), compared("tr.fig4b.insignificant", explained, deeper)]


def of_kernels(explained):
    """Return the findings of Table 2: temporal kernels of 7 against 3."""
    wider = same_but(explained, "-k7", "")
    long = [pair for pair in wider if "-f16" in pair[0]]
    return [
        compared("tr.table2.avg", explained, wider),
        compared("tr.table2.max", explained, wider, largest),
        compared("tr.table2.pronounced", explained, long),
        compared("tr.table2.accuracy", explained, wider, right),
    ]


def of_lengths(explained):
    """Return the findings of Figure 5 (a): 32 frames against 8."""
    longer = same_but(explained, "-f32", "-f8")
    return [
        compared("tr.fig5a.grows", explained, longer),
        compared("tr.fig5a.slow", explained, longer),
        compared("tr.fig5a.shorter", explained, longer, share_of_frames),
    ]


def share_of_frames(found):
    """Return the avg-ATR of each clip as a share of its frames [n]."""
    return found.avg / found.matrix.shape[2]
