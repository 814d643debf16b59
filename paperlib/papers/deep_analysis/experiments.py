"""The paper's tables with our own models beside the printed numbers (Tables 4 to 7, Figures 4 and 6)."""

import math

import numpy as np
import pandas as pd

from ... import models
from ...training import checkpoints
from .. import published
from . import own
from .own import SIZE


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
    """Return the findings of Table 6 for our own TAM networks."""
    scored = own.trained(scored)
    placed = [s for s in scored.values() if s.row["module"] == "TAM" and s.row["sampling"] == "uniform"]
    ssv2, kinetics = (
        [s for s in placed if own.STANDS_FOR.get(s.row["dataset"]) == role] for role in ("mini-SSV2", "mini-Kinetics")
    )
    ssv2 = own.complete(ssv2, "placement")
    at = {place: [s for s in ssv2 if s.row["placement"] == place] for place in ("top", "all", "bottom", "uniform")}
    top = at.pop("top")
    pairs, among = farthest(kinetics, "placement")
    return [
        own.smallest("da.table6.top-half.own", [own.matched(top, others, *SIZE) for others in at.values()]),
        own.finding("da.table6.insensitive.own", pairs, among=among, family=kinetics),
    ]


def farthest(chosen, entry):
    """Return the pairs of the two values of a description's entry (module, placement) whose networks, matched by data
    set and backbone, lie farthest apart in mean accuracy, the better one first; and among how many pairs of values.

    Only of sizes in which all values are there."""
    chosen = own.complete(chosen, entry)
    values = dict.fromkeys(s.row[entry] for s in chosen)

    def pairs(a, b):
        first, second = ([s for s in chosen if s.row[entry] == value] for value in (a, b))
        return own.matched(first, second, *SIZE)

    def apart(a, b):
        found = pairs(a, b)
        return np.mean([x.correct.mean() - y.correct.mean() for x, y in found]) if found else -np.inf

    ends = max(((a, b) for a in values for b in values if a != b), key=lambda ends: apart(*ends), default=None)
    return pairs(*ends) if ends else [], math.comb(len(values), 2)


def of_aggregation(scored):
    """Return the findings of Table 5 for our own networks of 8 frames without temporal pooling: each of the data sets
    and backbones with which all modules that it compares are trained."""
    plain = own.plain(own.trained(scored), temporal_pooling=0, num_frames=8)

    def pairs(better, worse, role=None, besides=()):
        there = own.complete(plain, "module", [*better, *worse, *besides])
        sides = ([s for s in there if s.row["module"] in modules] for modules in (better, worse))
        found = own.matched(*sides, *SIZE)
        return [pair for pair in found if role in (None, own.STANDS_FOR.get(pair[0].row["dataset"]))]

    light, heavy = ["TAM", "TSM"], ["I3D", "Conv1D", "NLN"]
    return [
        own.finding("da.table5.needed.own", pairs(["I3D", "Conv1D", "TAM"], ["TSN"], "mini-Kinetics")),
        own.smallest("da.table5.light.own", [pairs(light, [rival], besides=heavy) for rival in heavy]),
        own.finding("da.table5.nln.own", pairs(["NLN"], ["I3D"], "mini-SSV2")),
    ]


def of_own_pooling(scored):
    """Return the findings of Figure 6 for our own networks: what temporal pooling costs or brings."""
    scored = own.trained(scored)
    with_, without = (own.plain(scored, temporal_pooling=t) for t in (1, 0))
    pairs = own.matched(with_, without, "dataset", "module", "backbone", "num_frames")
    tsn = [pair for pair in pairs if pair[0].row["module"] == own.BASELINE]
    ssv2 = [pair for pair in tsn if own.STANDS_FOR.get(pair[0].row["dataset"]) == "mini-SSV2"]
    return [
        own.finding("da.fig6.hurts.own", [pair for pair in pairs if pair not in tsn]),
        own.finding("da.fig6.tsn-ssv2.own", ssv2),
        least_hurt([pair for pair in pairs if own.STANDS_FOR.get(pair[0].row["dataset"]) == "mini-Kinetics"]),
    ]


def least_hurt(pairs):
    """Return the finding of TSN's change by temporal pooling minus that of the module that it hurts least.

    pairs: (with, without temporal pooling) of networks; taken are the sizes in which all modules are there.
    """
    there = {one.key for one in own.complete([without for _, without in pairs], "module")}
    of = {}
    for pair in pairs:
        if pair[1].key in there:
            of.setdefault(pair[0].row["module"], []).append(pair)
    tsn = of.pop(own.BASELINE, [])
    rivals = [
        [pair for a in tsn for b in others if own.size(a[0]) == own.size(b[0]) for pair in (a, b)]
        for others in of.values()
    ]
    weights = [sign / len(tsn) for _ in tsn for sign in (1, -1)]
    return own.smallest("da.fig6.tsn-least.own", rivals, weights=weights, span=200.0)


def beside(printed, ours):
    """Return the printed and our own values as one table with the column origin."""
    parts = [printed.assign(origin="published")] + ([ours.assign(origin="own")] if len(ours) else [])
    return pd.concat(parts, ignore_index=True)


def transfer_dots(scored):
    """Return the fine-tuned checkpoints for `draw_own.dots`: x is the target data set."""
    moved = {k: s for k, s in scored.items() if own.from_kinetics(s.row)}
    return scored_dots(moved, lambda row: row["dataset"], lambda row: row["module"]).assign(panel="top-1")


def of_transfer(scored):
    """Return the finding of Table 4 for our own networks: I3D and TAM transfer alike, where transfer was trained to
    its end, that is to within `own.SIMILAR` points of the same network from scratch (which has to be there to tell)."""
    moved = [s for s in scored.values() if own.from_kinetics(s.row)]
    same = (*SIZE, "module", "temporal_pooling")
    scratch = {tuple(s.row[name] for name in same): s for s in own.plain(scored)}
    done, behind = [], []
    for one in moved:
        alone = scratch.get(tuple(one.row[name] for name in same))
        if alone is None:
            behind.append(f"{one.key} (none from scratch to tell by)")
        elif 100 * one.correct.mean() < 100 * alone.correct.mean() - own.SIMILAR:
            percent = f"{100 * one.correct.mean():.0f} % against {100 * alone.correct.mean():.0f} %"
            behind.append(f"{one.key} ({percent} from scratch)")
        else:
            done.append(one)
    modules = ([s for s in done if s.row["module"] == m] for m in ("I3D", "TAM"))
    pairs = own.matched(*modules, *SIZE, "temporal_pooling")
    why = f"fine-tuning was stopped too early, or nothing tells whether: {', '.join(behind)}"
    return [own.finding("da.table4.alike.own", pairs, why if behind else own.EARLY)]


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
    """Return the findings of Figure 4 for our own networks: backbones and input length."""
    scored = own.trained(scored)
    plain = own.plain(scored, temporal_pooling=0)

    def pairs(entry, more, less, *same):
        first, second = ([s for s in plain if s.row[entry] == value] for value in (more, less))
        return own.matched(first, second, "dataset", "module", *same)

    return [
        own.finding("da.fig4.r50-r18.own", pairs("backbone", "ResNet50", "ResNet18", "num_frames")),
        own.finding("da.fig4.r50-inception.own", pairs("backbone", "ResNet50", "InceptionV1", "num_frames")),
        own.finding("da.fig4.inception-r18.own", pairs("backbone", "InceptionV1", "ResNet18", "num_frames")),
        own.finding("da.fig4.longer.own", pairs("num_frames", 16, 8, "backbone")),
    ]


# Share of the videos that TSN gets wrong at least in the paper's benchmark, so that its errors can be a denominator
# (equation 1, Psi): with 8 to 64 frames and no temporal pooling it reaches 73.5 % on Mini-Kinetics.
ROOM = 0.265
NO_ROOM = f"TSN leaves less than {100 * ROOM:g} % of the videos wrong, or its networks are not trained here"


def own_contributions(scored):
    """Return Phi and Psi of every own network that has a TSN to compare with, with 95 % intervals.

    Psi divides by what TSN gets wrong; where that is less than `ROOM` of the videos, it is left out.
    """
    rows = []
    for one in scored.values():
        baseline = own.baseline_of(scored, one)
        if one.row["module"] == own.BASELINE or baseline is None:
            continue
        pooled = one.row["temporal_pooling"]
        for metric in ("psi_ta_tp",) if pooled else ("phi", "psi_ta"):
            if metric != "phi" and baseline.correct.mean() > 1 - ROOM:
                continue
            values = own.contribution(one, baseline, metric)
            row = [one.row[name] for name in ("dataset", "model", "module")]
            rows.append([*row, metric, *values, baseline.key])
    return pd.DataFrame(rows, columns=["dataset", "model", "module", "metric", "value", "low", "high", "baseline"])


def of_own_contributions(scored):
    """Return the findings of Table 7 for our own networks."""
    scored = own.trained(scored)

    def with_baseline(**wanted):
        found = [
            (s, own.baseline_of(scored, s)) for s in own.plain(scored, **wanted) if s.row["module"] != own.BASELINE
        ]
        return [pair for pair in found if pair[1] is not None]

    def of(pairs, role):
        return [pair for pair in pairs if own.STANDS_FOR.get(pair[0].row["dataset"]) == role]

    plain = with_baseline(temporal_pooling=0)
    space = {role: of(plain, role) for role in ("mini-SSV2", "mini-Kinetics")}
    both = [*space["mini-Kinetics"], *space["mini-SSV2"]] if all(space.values()) else []
    weights = [sign / len(space[role]) for role, sign in (("mini-Kinetics", 1), ("mini-SSV2", -1)) for _ in space[role]]
    phi, psi = own.EQUATION_1["phi"], own.EQUATION_1["psi_ta_tp"]
    pooling = with_room(of(with_baseline(temporal_pooling=1), "mini-Kinetics"))
    return [
        own.finding("da.table7.space-ssv2.own", space["mini-SSV2"], function=phi, span=1.0),
        own.finding("da.table7.space-kinetics.own", both, function=phi, weights=weights, span=1.0),
        alike(plain),
        two_and_three_d(plain),
        damage(scored),
        own.finding("da.table7.negative.own", pooling, NO_ROOM, function=psi, span=1.0),
    ]


def with_room(pairs):
    """Return those (network, its TSN) pairs of which TSN leaves as many videos wrong as in the paper's benchmark."""
    return [pair for pair in pairs if pair[1].correct.mean() <= 1 - ROOM]


def alike(plain):
    """Return the finding that I3D, S3D and TAM have about the same Phi, from (network, its TSN) pairs, where TSN leaves
    room: Phi ends at 1, so that near the ceiling it is the same for every module."""
    plain = with_room(plain)
    modules = [pair[0] for pair in plain if pair[0].row["module"] in ("I3D", "S3D", "TAM")]
    base = {pair[0].key: pair[1] for pair in plain}
    ends, among = farthest(modules, "module")
    pairs = [(one, base[one.key]) for one in [s for pair in ends for s in reversed(pair)]]
    weights = [sign / len(ends) for _ in ends for sign in (1, -1)]  # the more accurate network has the smaller Phi
    phi = own.EQUATION_1["phi"]
    return own.finding(
        "da.table7.alike.own",
        pairs,
        function=phi,
        weights=weights,
        span=1.0,
        among=among,
        family=[*modules, *base.values()],
    )


def two_and_three_d(plain):
    """Return the finding of TAM's Psi minus that of I3D and S3D, from (network, its TSN) pairs, where TSN leaves room
    and all three are there."""
    base = {one.key: tsn for one, tsn in with_room(plain)}
    there = own.complete([one for one, _ in plain if one.key in base], "module", ("TAM", "I3D", "S3D"))
    weights = [(3 if one.row["module"] == "TAM" else -1.5) / len(there) for one in there]
    pairs, psi = [(one, base[one.key]) for one in there], own.EQUATION_1["psi_ta"]
    return own.finding("da.table7.2d-3d.own", pairs, NO_ROOM, function=psi, weights=weights, span=1.0)


def damage(scored):
    """Return the finding of Psi with minus without temporal pooling, where TSN leaves room for it."""
    pooling, without = (own.plain(scored, temporal_pooling=t) for t in (1, 0))
    same = ("dataset", "module", "backbone", "num_frames")
    pairs, weights = [], []
    for tp, ta in own.matched(pooling, without, *same):
        base = own.baseline_of(scored, ta)
        if ta.row["module"] != own.BASELINE and base is not None and base.correct.mean() <= 1 - ROOM:
            pairs += [(tp, base), (ta, base)]
            weights += [1, -1]
    weights = [2 * w / len(pairs) for w in weights]
    psi = own.EQUATION_1["psi_ta"]
    return own.finding("da.table7.pooling-deters.own", pairs, NO_ROOM, function=psi, weights=weights, span=1.0)


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
