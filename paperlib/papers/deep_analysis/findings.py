"""What the CVPR 2021 paper says about its benchmark in words, decided from its 288 published accuracies.

Every accuracy is one training run. The models of one module and backbone are trained in turn, each from the one with
fewer frames: such a chain is one unit, and intervals are Student's t over chains. For contributions (equation 1) the
modules of a backbone share their baseline and are one unit together.
"""

import math

from .. import statistics
from ..findings import Check, Finding, declare, of_several
from . import (
    BASELINE,
    DATASETS,
    MODULES,
    compare,
    contributions,
    exchange,
    frame_gain,
    means,
    pooling_gain,
    printed_table07,
)

__all__ = ["Check", "Finding", "declare"]
SOURCE = "288 published models"
CHAIN = ["dataset", "module", "backbone"]
AS_PRINTED = "1 run each, no videos: printed numbers"


def over_chains(id, values, levels, among=1):
    """Return the finding of a series' mean, its values averaged over everything but these index levels first.

    among: of how many such series this was chosen by its value; the interval then covers all of them at once.
    """
    units = values.groupby(level=levels).mean()
    seen = of_several(f"{len(units)} chains of models, {AS_PRINTED}", among)
    return Finding(id, statistics.mean_interval(units, statistics.at_once(among)), seen, SOURCE)


def of_benchmark(models):
    """Return the findings of section 6.1 about backbones and input length (Figure 4)."""
    plain = models[models.temporal_pooling == 0]
    backbone = plain.pivot(index=["dataset", "module", "num_frames"], columns="backbone", values="top1")
    steps = frame_gain(plain).set_index([*CHAIN, "to_frames"]).gain
    early = steps[steps.index.get_level_values("to_frames") <= 32].groupby(level=CHAIN).sum()
    late = steps.xs(64, level="to_frames")
    most = late.groupby(level="dataset").mean().idxmax()
    pair = ["dataset", "module"]
    return [
        over_chains("da.fig4.r50-inception", backbone.ResNet50 - backbone.InceptionV1, pair),
        over_chains("da.fig4.inception-r18", backbone.InceptionV1 - backbone.ResNet18, pair),
        over_chains("da.fig4.longer", early, CHAIN),
        over_chains("da.fig4.not-after-32", late.xs(most), CHAIN[1:], len(DATASETS)),
    ]


def of_pooling(models):
    """Return the findings of section 6.1 about temporal pooling (Figure 6)."""
    gain = pooling_gain(models).set_index([*CHAIN, "num_frames"]).gain
    others, tsn = gain.drop(BASELINE, level="module"), gain.xs(BASELINE, level="module")
    ssv2, kinetics, mit = (tsn.xs(dataset) for dataset in DATASETS)
    rivals = others.xs("mini-Kinetics")
    least = [
        over_chains("da.fig6.tsn-least", kinetics - rivals.xs(module, level="module"), "backbone", len(MODULES))
        for module in MODULES
    ]
    long, short = tsn.xs(64, level="num_frames"), tsn.xs(8, level="num_frames")
    return [
        over_chains("da.fig6.hurts", others, CHAIN),
        over_chains("da.fig6.tsn-ssv2", ssv2, "backbone"),
        over_chains("da.fig6.tsn-mit", mit, "backbone"),
        over_chains("da.fig6.tsn-more-frames", long - short, ["dataset", "backbone"]),
        min(least, key=lambda one: one.interval.value),
        over_chains("da.fig6.tsn-after-32", kinetics.xs(64, level="num_frames"), "backbone"),
    ]


def of_table07(models):
    """Return the findings of section 6.3 about spatial and temporal contributions."""
    index = ["dataset", "metric", "module", "backbone", "num_frames"]
    value = contributions(models).set_index(index).value
    ssv2, kinetics, mit = DATASETS

    def of(metric, dataset=None):
        found = value.xs(metric, level="metric")
        return found if dataset is None else found.xs(dataset)

    psi = of("psi_ta")
    three_d = psi[psi.index.get_level_values("module") != "TAM"].groupby(level=["dataset", "backbone"]).mean()
    two_d = psi.xs("TAM", level="module").groupby(level=["dataset", "backbone"]).mean()
    phi = of("phi").groupby(level=["dataset", "backbone", "module"]).mean().unstack("module")[list(MODULES)]
    low, high = phi.mean().idxmin(), phi.mean().idxmax()
    return [
        over_chains("da.table7.space-ssv2", of("phi", ssv2), "backbone"),
        over_chains("da.table7.space-mit", of("phi", mit) - of("phi", ssv2), "backbone"),
        over_chains("da.table7.space-kinetics", of("phi", kinetics) - of("phi", mit), "backbone"),
        over_chains("da.table7.alike", phi[high] - phi[low], ["dataset", "backbone"], math.comb(len(MODULES), 2)),
        over_chains("da.table7.2d-3d", two_d - three_d, ["dataset", "backbone"]),
        over_chains("da.table7.kinetics-mit", of("psi_ta", kinetics) - of("psi_ta", mit), "backbone"),
        over_chains("da.table7.pooling-deters", of("psi_ta_tp") - psi, ["dataset", "backbone"]),
        over_chains("da.table7.negative", of("psi_ta_tp", kinetics), "backbone"),
    ]


def of_printed_cells(models):
    """Return the two checks about the agreement of the printed with the recomputed cells of Table 7."""
    recomputed, printed = means(models), printed_table07()
    swapped = exchange(printed, "I3D", "S3D", ("phi", "psi_ta"))
    checks = []
    for table, what in (
        (printed, "cells of Table 7 that follow, at two decimals, from equation 1 and the published accuracies"),
        (swapped, "the same once I3D and S3D are exchanged in the rows without pooling"),
    ):
        agree = int((~compare(recomputed, table).differs).sum())
        checks.append(Check(what, 27, agree, agree == 27))
    return checks
