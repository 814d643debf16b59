"""The paper's comparisons with the literature (Figures 1, 2 and 7, Tables 2 to 6), from what it prints."""

import pandas as pd

from .. import published
from . import paired
from .findings import claim

PRINTED = "published numbers"
ON_PAR = 1.0  # two published accuracies are on par if they differ by less than this many points


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
    table["gmacs"] = [g if g == g and g else cost(m) for m, g in zip(table.model, table.gmacs, strict=True)]
    table.insert(2, "year", table.approach.map(year).astype(int))
    return table


def of_progress(table):
    """Return the claims of Figure 1; table: of `progress`."""
    top1 = table.set_index("model").top1
    best, i3d, tsn = top1.max(), top1["I3D-R50-f32"], top1["TSN-R50-f32-tp"]
    return [
        claim(
            "Figure 1",
            "With temporal pooling turned off, I3D is on par with the state of the art",
            f"I3D-R50 minus the best model with InceptionV1 or ResNet50, points; on par means above -{ON_PAR:g}",
            f"{i3d - best:.2f}",
            i3d - best,
            i3d - best > -ON_PAR,
            PRINTED,
            digits=2,
        ),
        claim(
            "Figure 1",
            "TSN with temporal pooling is only about 2 points shy of the state of the art",
            "points behind the best model with InceptionV1 or ResNet50; holds if 2 when rounded",
            "about 2.0",
            best - tsn,
            round(best - tsn) == 2,
            PRINTED,
            digits=2,
        ),
    ]


def of_sota():
    """Return the claims that Table 2 decides."""
    t = sota().set_index("row")
    i3d, tam, slowfast = (t.loc[row] for row in ("I3D-ResNet50", "TAM-ResNet50", "SlowFast-ResNet50-8x8 (retrained)"))
    fifty = t[t.index.str.contains("ResNet50") & ~t.index.str.startswith("I3D")].Kinetics.max()
    behind = i3d.Kinetics - fifty
    claims = [
        claim(
            "Table 2",
            "On Kinetics I3D stays on par with the best ResNet50 model",
            f"I3D minus the best other top-1 in points; on par means above -{ON_PAR:g}",
            f"{behind:.2f}",
            behind,
            behind > -ON_PAR,
            PRINTED,
            digits=2,
        )
    ]
    for dataset in ("Kinetics", "SSV2", "MiT"):
        gap = i3d[dataset] - max(tam[dataset], slowfast[dataset])
        claims.append(
            claim(
                "Table 2",
                f"I3D-R50 is on par with TAM and SlowFast on {dataset}, trained alike",
                f"I3D minus the better of the two in points; on par means above -{ON_PAR:g}",
                f"{gap:.2f}",
                gap,
                gap > -ON_PAR,
                PRINTED,
                digits=2,
            )
        )
    x3d = t.loc["X3D-L"]
    ratio, gain = i3d.FLOPs / x3d.FLOPs, x3d.Kinetics - i3d.Kinetics
    claims.append(
        claim(
            "Table 2",
            "The recent leap is in efficiency, not in accuracy",
            f"FLOPs of I3D-R50 over X3D-L; X3D-L gains {gain:.2f} points; holds if the ratio is "
            f"above 2 and the gain below {ON_PAR:g}",
            f"{ratio:.1f}",
            ratio,
            ratio > 2 and gain < ON_PAR,
            PRINTED,
            digits=1,
        )
    )
    gaps = (i3d.SSV2 - slowfast.SSV2, tam.SSV2 - slowfast.SSV2)
    claims.append(
        claim(
            "Table 2",
            "SlowFast, sampled uniformly, is 2 to 3 points below I3D and TAM on SSV2",
            f"points behind TAM; behind I3D {gaps[0]:.2f}; holds if both round to 2 or 3",
            "2 to 3",
            gaps[1],
            all(round(g) in (2, 3) for g in gaps),
            PRINTED,
            digits=2,
        )
    )
    return claims


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


def of_i3d_variants(models, seed=0):
    """Return the claims of Figure 7, decided by the same steps on the mini datasets (32 frames, and all)."""
    steps = mini_steps(models)
    claims = []
    for dataset, step, printed, statement in (
        ("mini-Kinetics", "InceptionV1 to ResNet50", "4.0", "A ResNet50 raises I3D on Kinetics"),
        ("mini-Kinetics", "temporal pooling removed", "1.1", "Without temporal pooling I3D gains on Kinetics"),
        ("mini-SSV2", "temporal pooling removed", "6", "Without temporal pooling I3D gains a lot on SSV2"),
    ):
        part = steps[(steps.dataset == dataset) & (steps.step == step)]
        *interval, _ = paired(part.gain, 0 * part.gain, seed)
        at32 = part[part.num_frames == 32].gain.item()
        quantity = (
            f"mean change of top-1 in points over 4 frame counts on {dataset}; at 32 frames, one run each: {at32:.2f}"
        )
        claims.append(claim("Figure 7", statement, quantity, printed, tuple(interval), interval[1] > 0))
    both = [
        steps[(steps.dataset == "mini-SSV2") & (steps.step == s) & (steps.num_frames == 32)].gain.item()
        for s in ("InceptionV1 to ResNet50", "temporal pooling removed")
    ]
    claims.append(
        claim(
            "Figure 7",
            "On SSV2 I3D gains less from the backbone than from no temporal pooling",
            "difference of the two changes at 32 frames in points, one run each",
            "> 0",
            both[1] - both[0],
            both[1] > both[0],
            digits=2,
        )
    )
    return claims


def of_counter(counted, models):
    """Return the claims that our own counter gives the published cost; counted: `structure.counted` with 87
    classes (those of mini-SSV2)."""
    keys = ["module", "backbone", "num_frames", "temporal_pooling"]
    published_cost = models.loc[models.dataset == "mini-SSV2", [*keys, "flops", "parameters"]]
    both = published_cost.merge(counted, on=keys, validate="1:1")
    error = (both.gmacs / (both.flops / 1e9) - 1).abs().max()
    same = int((both.parameters_counted == both.parameters).sum())
    return [
        claim(
            "Figure 4",
            "Our networks have the published FLOPs",
            f"largest relative difference of {len(both)} architectures",
            "0",
            float(error),
            error < 1e-6,
            digits=6,
        ),
        claim(
            "Figure 4",
            "Our networks have the published number of parameters",
            f"architectures with exactly the published number, of {len(both)}",
            str(len(both)),
            same,
            same == len(both),
            digits=0,
        ),
    ]
