"""What the paper's text says about its Tables 2 to 6, decided from what the tables print."""

import math

from .. import published
from ..findings import Check
from . import table05_beside_benchmark
from .literature import over_videos, sota


def of_table2_cost(cost):
    """Return the checks of Table 2's FLOPs: how far efficiency went, and that our counter gives them.

    cost: as in `progress`.
    """
    table2 = sota().set_index("row").FLOPs
    names = {
        "I3D-ResNet50": "I3D-R50-f32",
        "I3D-ResNet101": "I3D-R101-f32",
        "TAM-ResNet50": "TAM-R50-f32",
        "TAM-ResNet101": "TAM-R101-f32",
    }
    error = max(abs(cost(ours) - table2[row]) for row, ours in names.items())
    checks = [
        Check(
            "GMACs of I3D and TAM with 32 frames of 256 x 256, ours minus printed, largest of 4", 0, error, error < 0.05
        )
    ]
    for name in ("X3D-L", "X3D-XL"):
        ratio = table2["I3D-ResNet50"] / table2[name]
        checks.append(
            Check(f"GMACs of I3D-ResNet50 over {name}: a large leap in efficiency", "above 2", ratio, ratio > 2)
        )
    return checks


def of_table3():
    """Return the findings of Table 3 that its printed numbers decide."""
    table = published.table("deep_analysis_table03").pivot(index="row", columns="column", values="value")
    flexible = ["I3D-ResNet50", "TAM-ResNet50"]
    farther = (table.uniform - table.dense)[flexible].abs().idxmax()

    def change(id, model, among=1):
        terms = ((sign, table.loc[model, way], "Kinetics") for sign, way in ((1, "uniform"), (-1, "dense")))
        return over_videos(id, *terms, among=among)

    slowfast = "SlowFast-ResNet50-8x8"
    return [
        change("da.table3.flexible", farther, len(flexible)),
        change("da.table3.slowfast", slowfast),
        change("da.table3.slowfast-number", slowfast),
    ]


def of_table4():
    """Return the findings of Table 4 that its printed numbers decide."""
    table = published.table("deep_analysis_table04").pivot(index="dataset", columns="row", values="value")
    farthest = (table.max(axis=1) - table.min(axis=1)).idxmax()
    apart, first = table.loc[farthest].sort_values(), table.loc["UCF101"]
    others, pairs = first.drop("I3D-ResNet50"), len(table) * math.comb(len(first), 2)
    i3d = (1, first["I3D-ResNet50"], "UCF101")
    return [
        over_videos("da.table4.alike", (1, apart.iloc[-1], farthest), (-1, apart.iloc[0], farthest), among=pairs),
        over_videos("da.table4.ucf101", i3d, (-1, others.max(), "UCF101"), among=len(others)),
    ]


def of_table5():
    """Return the findings of Table 5 that its printed numbers decide, pooled over its settings."""
    table = published.table("deep_analysis_table05").dropna(subset="value")
    cells = table.set_index(["dataset", "backbone", "num_frames", "column"]).value
    settings = list(dict.fromkeys(key[:3] for key in cells.index))

    def contrast(id, better, worse, chosen, among=1):
        terms = []
        for setting in chosen:
            for sign, columns in ((1, better), (-1, worse)):
                there = [c for c in columns if (*setting, c) in cells.index]
                weight = sign / len(there) / len(chosen)
                terms += [(weight, cells[(*setting, c)], setting[0]) for c in there]
        return over_videos(id, *terms, among=among)

    kinetics = [s for s in settings if s[0] == "mini-Kinetics"]
    fifty, rivals = [s for s in settings if s[1] == "ResNet50"], ["I3D", "Conv.", "NLN"]
    light = [contrast("da.table5.light", ["TAM", "TSM"], [rival], fifty, len(rivals)) for rival in rivals]
    return [
        contrast("da.table5.needed", ["I3D", "Conv.", "TAM"], ["None"], kinetics),
        min(light, key=lambda one: one.interval.value),
        contrast("da.table5.nln", ["NLN"], ["I3D"], [s for s in fifty if s[0] == "mini-SSV2"]),
    ]


def of_table5_cells(models):
    """Return the checks that Table 5 prints the accuracies of the benchmark page, to one decimal."""
    cells = table05_beside_benchmark(models)
    same = cells.difference.abs() < 0.05 + 1e-9
    checks = []
    for name, part in (("None, I3D and TAM", cells.column != "Conv."), ("Conv. (as S3D)", cells.column == "Conv.")):
        what = f"cells of Table 5's columns {name} that are those of the benchmark page at one decimal"
        checks.append(Check(what, int(part.sum()), int(same[part].sum()), same[part].all()))
    return checks


def of_table6():
    """Return the findings of Table 6 that its printed numbers decide."""
    table = published.table("deep_analysis_table06").pivot(index="row", columns="dataset", values="value")
    ssv2, kinetics = table["mini-SSV2"], table["mini-Kinetics"].sort_values()
    others = ssv2.drop("Top-half")
    top = [(1, ssv2["Top-half"], "mini-SSV2"), (-1, others.max(), "mini-SSV2")]
    ends = [(1, kinetics.iloc[-1], "mini-Kinetics"), (-1, kinetics.iloc[0], "mini-Kinetics")]
    return [
        over_videos("da.table6.top-half", *top, among=len(others)),
        over_videos("da.table6.insensitive", *ends, among=math.comb(len(kinetics), 2)),
    ]
