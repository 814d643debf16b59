"""The paper's comparisons with the literature (Figures 1, 2 and 7, Tables 2 to 6), from what it prints."""

import numpy as np
import pandas as pd
from scipy import stats

from .. import published, statistics
from ..findings import Check, Finding, of_several
from .findings import AS_PRINTED, SOURCE

PRINTED = "published numbers"


def validated(dataset):
    """Return how many validation videos a data set has: a printed accuracy is a share of so many."""
    name = dataset.replace("Mini-", "mini-")  # as Table 4 prints it
    return int(published.value("dataset_sizes", column="validation", dataset=name))


def over_videos(id, *terms, among=1):
    """Return the finding of a weighted sum of printed accuracies; terms: (weight, top-1 in percent, data set).

    among: of how many such sums this was chosen by its value; the interval then covers all of them at once. It is over
    videos, as if each model had seen its own: with the same videos it would be narrower. Each accuracy is one training
    run, and how far another run would differ is not known.
    """
    weights, accuracies = (np.array([term[k] for term in terms], float) for k in (0, 1))
    videos = np.array([validated(dataset) for *_, dataset in terms])
    value = float(weights @ accuracies)
    quantile = stats.norm.ppf((1 + statistics.at_once(among)) / 2)
    half = quantile * np.sqrt(np.sum(weights**2 * accuracies * (100 - accuracies) / videos))
    seen = " and ".join(f"{validated(name):,}" for name in dict.fromkeys(name for *_, name in terms))
    interval = statistics.Interval(value, value - half, value + half)
    return Finding(id, interval, of_several(f"1 run each, {seen} videos", among), PRINTED)


def sota():
    """Return Table 2 with one row per model: pretrain, origin, FLOPs (G), Kinetics, SSV2, MiT (top-1, %)."""
    table = published.table("deep_analysis_table02")
    table["key"] = table.dataset.where(table.dataset != "", table.column)
    wide = table.pivot(index=["row", "pretrain", "origin"], columns="key", values="value").reset_index()
    order = {row: i for i, row in enumerate(table.row.unique())}
    wide = wide.sort_values("row", key=lambda c: c.map(order), ignore_index=True).rename_axis(columns=None)
    return wide[["row", "pretrain", "origin", "FLOPs", "Kinetics", "SSV2", "MiT"]]


def i3d_variants():
    """Return Figure 7 as far as the text gives it: dataset, variant, top1, change, source.

    Table 2 prints I3D-R50; the other bars are it minus or plus the changes named in the text.
    """
    table2 = sota().set_index("row")

    def change(row, dataset):
        return published.value("deep_analysis_fig07", row=row, dataset=dataset)

    rows = []
    for dataset in ("Kinetics", "SSV2"):
        full = table2.loc["I3D-ResNet50", dataset]
        step = change("temporal pooling removed", dataset)
        rows += [
            [dataset, "I3D-R50-tp", full - step, None, "Table 2 minus the change in the text"],
            [dataset, "I3D-R50", full, step, "Table 2"],
        ]
    step = change("InceptionV1 to ResNet50", "Kinetics")
    small = ["Kinetics", "I3D-Inc-tp", rows[0][2] - step, None, "Table 2 minus the changes in the text"]
    rows.insert(0, small)
    rows[1][3] = step
    lead = change("I3D-SE-R50", "Kinetics")
    squeezed = table2.loc["SlowFast-ResNet50-8x8 (retrained)", "Kinetics"] + lead
    rows.append(
        [
            "Kinetics",
            "I3D-SE-R50",
            squeezed,
            squeezed - table2.loc["I3D-ResNet50", "Kinetics"],
            "SlowFast in Table 2 plus the lead in the text",
        ]
    )
    table = pd.DataFrame(rows, columns=["dataset", "variant", "top1", "change", "source"])
    return table.sort_values("dataset", kind="stable", ignore_index=True)


def progress(cost):
    """Return the models of Figure 1 whose accuracy the paper's text or Table 2 gives.

    cost: function from a model's name to the GMACs of one clip, for models that Table 2 gives no FLOPs of.
    Columns: model, approach, year (of the approach's publication), top1 (%), gmacs, retrained, source.
    """
    fig1 = published.table("deep_analysis_fig01")
    year = fig1[fig1.column == "year"].set_index("row").value
    number = {(r.row, r.column): r.value for r in fig1.itertuples()}
    tsn = number["TSN-R50-tp-f32", "top-1"]
    inception = number["I3D-InceptionV1", "top-1"]
    rows = [
        ("TSN-R50-f32-tp", "TSN", tsn, None, True, "text"),
        (
            "TSN-R50-f32",
            "TSN",
            tsn - number["TSN-R50-tp-f32", "gain over no temporal pooling"],
            None,
            True,
            "text, gain taken off",
        ),
        (
            "I3D-Inc-f64-tp",
            "I3D",
            inception - number["I3D-InceptionV1", "gain over the original paper"],
            None,
            False,
            "text, gain taken off",
        ),
        ("I3D-Inc-f64-tp (retrained)", "I3D", inception, None, True, "text, section 6"),
    ]
    variants = i3d_variants().query("dataset == 'Kinetics'").set_index("variant").top1
    rows += [
        (f"{variant.removesuffix('-tp')}-f32-tp", "I3D", variants[variant], None, True, "text, Figure 7")
        for variant in ("I3D-Inc-tp", "I3D-R50-tp")
    ]
    table2 = sota().set_index("row")
    for row, label in (
        ("I3D-ResNet50", "I3D-R50-f32"),
        ("TAM-ResNet50", "TAM-R50-f32"),
        ("SlowFast-ResNet50-8x8 (retrained)", "SlowFast-R50-8x8"),
        ("SlowFast-ResNet50-8x8", "SlowFast-R50-8x8 (reported)"),
        ("CorrNet-ResNet50", "CorrNet-R50"),
    ):
        rows.append(
            (
                label,
                label.split("-")[0],
                table2.Kinetics[row],
                table2.FLOPs[row],
                table2.origin[row] != "reported by the authors of the model",
                "Table 2",
            )
        )
    table = pd.DataFrame(rows, columns=["model", "approach", "top1", "gmacs", "retrained", "source"])
    table["gmacs"] = [
        g if g == g and g else cost(m.partition(" ")[0]) for m, g in zip(table.model, table.gmacs, strict=True)
    ]
    table.insert(2, "year", table.approach.map(year).astype(int))
    return table


def of_progress(table):
    """Return the findings of Figure 1 and of section 6's check of the implementation; table: of `progress`."""
    top1 = table.set_index("model").top1
    best, i3d, tsn = top1.max(), top1["I3D-R50-f32"], top1["TSN-R50-f32-tp"]
    k, others = "Kinetics", len(top1) - 1
    why = "the accuracy of the original is known from the stated difference alone"
    return [
        over_videos("da.fig1.i3d-on-par", (1, i3d, k), (-1, best, k), among=others),
        over_videos("da.fig1.tsn-shy", (1, best, k), (-1, tsn, k), among=others),
        Finding("da.sec6.implementation", None, why, PRINTED),
    ]


def of_sota():
    """Return the findings that Table 2 decides."""
    t = sota().set_index("row")
    i3d, tam, slowfast = (t.loc[row] for row in ("I3D-ResNet50", "TAM-ResNet50", "SlowFast-ResNet50-8x8 (retrained)"))
    better = {name: max(tam[name], slowfast[name]) for name in ("Kinetics", "SSV2", "MiT")}
    farthest = max(better, key=lambda name: abs(i3d[name] - better[name]))
    k = "Kinetics"
    leap = [(1 / 2, t.Kinetics["X3D-L"], k), (1 / 2, t.Kinetics["X3D-XL"], k), (-1, i3d.Kinetics, k)]
    behind = [(1 / 2, i3d.SSV2, "SSV2"), (1 / 2, tam.SSV2, "SSV2"), (-1, slowfast.SSV2, "SSV2")]
    return [
        over_videos(
            "da.table2.on-par", (1, i3d[farthest], farthest), (-1, better[farthest], farthest), among=2 * len(better)
        ),
        over_videos("da.table2.not-in-accuracy", *leap),
        over_videos("da.table2.slowfast-ssv2", *behind),
    ]


def of_habits():
    """Return the findings of Figure 2: nobody but a reader of the same papers can count again."""
    reason = "the count is of 37 papers, which are not here"
    aspects = ("backbone", "input-length", "training", "evaluation")
    return [Finding(f"da.fig2.{aspect}", None, reason, "37 papers, 2015 to 2020") for aspect in aspects]


def mini_steps(models):
    """Return the steps of Figure 7 on the mini datasets: dataset, step, num_frames, gain (points)."""
    i3d = models[models.module == "I3D"]
    wide = i3d.pivot(index=["dataset", "num_frames"], columns=["backbone", "temporal_pooling"], values="top1")
    steps = {
        "InceptionV1 to ResNet50": wide["ResNet50", 1] - wide["InceptionV1", 1],
        "temporal pooling removed": wide["ResNet50", 0] - wide["ResNet50", 1],
    }
    parts = [gain.rename("gain").reset_index().assign(step=step) for step, gain in steps.items()]
    return pd.concat(parts, ignore_index=True)


def of_i3d_variants(models):
    """Return the findings of Figure 7, decided by the same steps on the mini datasets at each input length."""
    steps = mini_steps(models).set_index(["dataset", "step", "num_frames"]).gain

    def finding(id, values):
        return Finding(
            id, statistics.mean_interval(values), f"{len(values)} frame counts of one chain, {AS_PRINTED}", SOURCE
        )

    backbone, pooling = "InceptionV1 to ResNet50", "temporal pooling removed"
    kinetics, ssv2 = steps.xs("mini-Kinetics"), steps.xs("mini-SSV2")
    return [
        finding("da.fig7.backbone", kinetics.xs(backbone)),
        finding("da.fig7.pooling-kinetics", kinetics.xs(pooling)),
        finding("da.fig7.pooling-ssv2", ssv2.xs(pooling)),
        finding("da.fig7.backbone-ssv2", ssv2.xs(backbone) - ssv2.xs(pooling)),
    ]


def of_counter(counted, models):
    """Return the checks that our own counter gives the published cost; counted: `structure.counted` with 87
    classes (those of mini-SSV2)."""
    keys = ["module", "backbone", "num_frames", "temporal_pooling"]
    published_cost = models.loc[models.dataset == "mini-SSV2", [*keys, "flops", "parameters"]]
    both = published_cost.merge(counted, on=keys, validate="1:1")
    error = float((both.gmacs / (both.flops / 1e9) - 1).abs().max())
    same = int((both.parameters_counted == both.parameters).sum())
    return [
        Check(
            f"largest relative difference of our FLOPs to the published, {len(both)} networks", 0, error, error < 1e-6
        ),
        Check("networks with exactly the published number of parameters", len(both), same, same == len(both)),
    ]
