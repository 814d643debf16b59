"""The paper's tables with our own models beside the printed numbers (Tables 4 to 7, Figures 4 and 6)."""

import pandas as pd

from ... import models
from ...training import checkpoints
from .. import published
from . import own
from .findings import claim

SINGLE = "one run each"


def printed(name, panel, x, series):
    """Return a printed table for `draw_own.dots`; panel, x, series: names of its columns, or a text."""
    table = published.table(name).dropna(subset="value")

    def column(key):
        return table[key] if key in table else key

    table = table.assign(panel=column(panel), x=column(x), series=column(series))
    table["series"] = table.series.str.replace(r"-ResNet.*", "", regex=True)
    return table[["panel", "x", "series", "value"]]


def dots(rows):
    """Return rows (panel, x, series, value, low, high) as the table that `draw_own.dots` takes."""
    return pd.DataFrame(rows, columns=["panel", "x", "series", "value", "low", "high"])


def scored_dots(scored, x, series):
    """Return scored checkpoints for `draw_own.dots`, one panel per data set; x, series: row -> label."""
    return dots(
        [
            (row["dataset"], x(row), series(row), row["top1"], row["low"], row["high"])
            for row in own.table(scored).to_dict("records")
        ]
    )


def of_placement(scored):
    """Return the claims of Table 6 for our own TAM2D-R18-f8, those whose models are trained."""
    claims = []
    for dataset in own.datasets(scored, "mini-SSV2", "mini-Kinetics"):
        key = f"{dataset}/TAM2D-R18-f8"
        claims += own.better(
            scored,
            f"{key}-top",
            f"{key}-bottom",
            "Table 6",
            f"Temporal modules in the top half beat those in the bottom half on {dataset}",
            "3.2" if own.STANDS_FOR[dataset] == "mini-SSV2" else "-0.06",
        )
    return claims


def of_aggregation(scored):
    """Return the claims of Table 5 for our own models, those whose models are trained."""
    claims = []
    for dataset in own.datasets(scored, "mini-SSV2", "mini-Kinetics"):
        for backbone in ("ResNet18", "ResNet50", "InceptionV1"):

            def one(module, dataset=dataset, backbone=backbone):
                return dict(
                    dataset=dataset,
                    backbone=backbone,
                    module=module,
                    num_frames=8,
                    temporal_pooling=0,
                    placement="all",
                    sampling="uniform",
                    init_from="",
                )

            claims += own.better(
                scored,
                one("TAM"),
                one("TSN"),
                "Table 5",
                f"Temporal modeling helps on {dataset} ({backbone})",
                "better",
            )
            claims += own.better(
                scored, one("TAM"), one("I3D"), "Table 5", f"TAM is better than I3D on {dataset} ({backbone})", "better"
            )
            claims += own.better(
                scored,
                one("TAM"),
                one("NLN"),
                "Table 5",
                f"TAM is better than non-local modules on {dataset} ({backbone})",
                "better",
            )
    return claims


def of_own_pooling(scored):
    """Return the claims of Figure 6 for our own models: what temporal pooling costs or brings."""
    claims = []
    for one in scored.values():
        if not one.row["temporal_pooling"]:
            continue
        row = {k: one.row[k] for k in ("dataset", "module", "backbone", "num_frames")}
        plain = own.find(scored, **row, temporal_pooling=0, placement="all", sampling="uniform", init_from="")
        if plain is None:
            continue
        name = one.row["model"].removesuffix("-tp")
        helps = row["module"] == own.BASELINE
        claims += own.better(
            scored,
            *((one.key, plain.key) if helps else (plain.key, one.key)),
            "Figure 6",
            f"Temporal pooling {'helps' if helps else 'hurts'} {name} on {row['dataset']}",
            "helps" if helps else "hurts",
            f"top-1 {'with minus without' if helps else 'without minus with'} temporal pooling",
        )
    return claims


def beside(printed, ours):
    """Return the printed and our own values as one table with the column origin."""
    parts = [printed.assign(origin="published")] + ([ours.assign(origin="own")] if len(ours) else [])
    return pd.concat(parts, ignore_index=True)


def transfer_dots(scored):
    """Return the fine-tuned checkpoints for `draw_own.dots`: x is the target data set."""
    moved = {k: s for k, s in scored.items() if own.from_kinetics(s.row)}
    return scored_dots(moved, lambda row: row["dataset"], lambda row: row["module"]).assign(panel="top-1")


def of_transfer(scored):
    """Return the claims of Table 4 for our own models: I3D and TAM2D transfer alike."""
    claims = []
    for dataset in sorted({s.row["dataset"] for s in scored.values()}):
        moved = {
            s.row["module"]: s for s in scored.values() if s.row["dataset"] == dataset and own.from_kinetics(s.row)
        }
        if not {"I3D", "TAM"} <= set(moved):
            continue
        interval = own.gain(moved["I3D"], moved["TAM"])
        start = moved["I3D"].row["init_from"].partition("/")[0]
        claims.append(
            claim(
                "Table 4",
                f"I3D and TAM transfer alike from {start} to {dataset}",
                f"I3D minus TAM in points, holds if below 2 in size, {SINGLE}",
                "< 2",
                interval,
                abs(interval[0]) < 2,
                dataset,
                digits=1,
            )
        )
    return claims


def printed_table05():
    """Return Table 5 for `draw_own.dots`: panels are data sets, series backbone and frames."""
    table = published.table("deep_analysis_table05").dropna(subset="value")
    short = table.backbone.map({"InceptionV1": "Inc", "ResNet50": "R50"})
    return pd.DataFrame(
        {
            "panel": table.dataset,
            "x": table.column,
            "series": short + "-f" + table.num_frames.astype(str),
            "value": table.value,
        }
    )


def aggregation_dots(scored):
    """Return the plain checkpoints for `draw_own.dots`: x is the temporal aggregation."""
    label = {"TSN": "None", "Conv1D": "Conv."}
    table = own.benchmark(scored)
    order = ["None", "I3D", "S3D", "Conv.", "TAM", "TSM", "NLN"]
    if table.empty:
        return dots([])
    table = table[table.temporal_pooling == 0].assign(x=lambda t: t.module.replace(label))
    table = table.sort_values("x", key=lambda c: c.map(order.index), kind="stable")
    series = table.model.str.split("-", n=1).str[1]
    return pd.DataFrame(
        {
            "panel": table.dataset,
            "x": table.x,
            "series": series,
            "value": table.top1,
            "low": table.low,
            "high": table.high,
        }
    )


def placement_dots(scored):
    """Return our own TAM placements for `draw_own.dots`."""
    label = {"all": "All", "top": "Top-half", "bottom": "Bottom-half", "uniform": "Uniform-half"}
    chosen = {k: s for k, s in scored.items() if s.row["module"] == "TAM" and s.row["sampling"] == "uniform"}
    return scored_dots(chosen, lambda row: label[row["placement"]], lambda row: "TAM-R18")


def benchmark_with_cost(scored):
    """Return our own benchmark table with gmacs by our own counter, at each model's width and resolution."""
    table = own.benchmark(scored)
    if table.empty:
        return table
    cost = []
    for row in table.itertuples():
        model, header = checkpoints.load(f"{row.dataset}/{row.model}")
        cost.append(models.count(model, header["recipe"]["size"]).flops / 1e9)
    columns = [
        "dataset",
        "stands_for",
        "model",
        "module",
        "backbone",
        "num_frames",
        "temporal_pooling",
        "top1",
        "low",
        "high",
        "videos",
    ]
    return table[columns].assign(gmacs=cost)


def of_backbones(scored):
    """Return the claims of Figure 4 for our own models: backbones and input length."""
    claims = []
    for one in scored.values():
        row = one.row
        if row["temporal_pooling"] or row["placement"] != "all" or row["module"] == own.BASELINE:
            continue
        pairs = [("-R50-", "-R18-", "ResNet50 is better than ResNet18")] if "-R50-" in one.key else []
        if row["num_frames"] == 16:
            pairs.insert(0, ("-f16", "-f8", "16 frames are better than 8"))
        for more, less, statement in pairs:
            said = f"{statement}: {row['model']} on {row['dataset']}"
            claims += own.better(scored, one.key, one.key.replace(more, less), "Figure 4", said, "better")
    return claims


def own_contributions(scored, seed=0):
    """Return Phi and Psi of every own model that has a TSN to compare with, with 95 % intervals."""
    rows = []
    for one in scored.values():
        baseline = own.baseline_of(scored, one)
        if one.row["module"] == own.BASELINE or baseline is None:
            continue
        pooled = one.row["temporal_pooling"]
        for metric in ("psi_ta_tp",) if pooled else ("phi", "psi_ta"):
            values = own.contribution(one, baseline, metric, seed)
            row = [one.row[name] for name in ("dataset", "model", "module")]
            rows.append([*row, metric, *values, baseline.key])
    return pd.DataFrame(rows, columns=["dataset", "model", "module", "metric", "value", "low", "high", "baseline"])


def of_own_contributions(scored, seed=0):
    """Return the claims of Table 7 for our own models: time matters more where the data were built for it."""
    claims = []
    for key, one in scored.items():
        dataset, static = one.row["dataset"], one.row["dataset"].replace("ssv2", "kinetics")
        other = scored.get(key.replace("ssv2/", "kinetics/"))
        if static == dataset or other is None or one.row["module"] == own.BASELINE:
            continue
        pairs = [(model, own.baseline_of(scored, model)) for model in (one, other)]
        if one.row["temporal_pooling"] or any(baseline is None for _, baseline in pairs):
            continue
        interval = own.contribution_difference(*pairs, seed=seed)
        model = one.row["model"]
        claims.append(
            claim(
                "Table 7",
                f"Time matters more on {dataset} than on {static} to {model}",
                f"difference of Psi, {SINGLE}; interval over videos",
                "0.4",
                interval,
                interval[1] > 0,
                f"{dataset}, {static}",
                digits=2,
            )
        )
    return claims


def pooling_dots(scored):
    """Return our own models with and without temporal pooling for `draw_own.dots`."""
    table = own.benchmark(scored)
    if table.empty:
        return dots([])
    series = table.temporal_pooling.map({0: "no temporal pooling", 1: "temporal pooling"})
    return pd.DataFrame(
        {
            "panel": table.dataset,
            "x": table.module,
            "series": series,
            "value": table.top1,
            "low": table.low,
            "high": table.high,
        }
    )


def contribution_dots(ours):
    """Return `own_contributions` for `draw_own.dots`: one panel per metric, data sets as series."""
    title = {"phi": "spatial contribution", "psi_ta": "temporal improvement", "psi_ta_tp": "with pooling"}
    names = ours.model.str.replace("-f8.*", "", regex=True).str.replace("-", "\n")
    return pd.DataFrame(
        {
            "panel": ours.metric.map(title),
            "x": names,
            "series": ours.dataset,
            "value": ours.value,
            "low": ours.low,
            "high": ours.high,
        }
    )
