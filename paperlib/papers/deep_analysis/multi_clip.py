"""What uniform and dense sampling give with one clip of a video and with many (Figures 5 and 8, Table 3)."""

import functools

import numpy as np
import pandas as pd

from ... import models
from ...storage.zoo_lists import without_seed
from ...training import checkpoints
from .. import published, statistics
from . import own
from .experiments import dots
from .view_scores import multi_clip, views


def scored(run):
    """Return one row per listed network, its training runs together (Figures 5 and 8, Table 3).

    Columns: key, dataset, model (without "-dense"), module, sampling, correct: {clips: [runs, n]}, the answers from
    the mean score of so many clips and all crops; one: [runs, n], those of the middle clip and crop alone; cost: GMACs
    of one clip with all crops.
    """
    options = run.settings.get("views")
    keys, rows = own.listed(run), {}
    viewed = views(
        keys, options["clips"], options["crops"], limit=options["videos"], device=run.device, root=run.data_root
    )
    for key in keys:
        found = viewed[key]
        middle = found["scores"][:, options["clips"] // 2, options["crops"] // 2].argmax(1) == found["labels"]
        many = {k: multi_clip(found, k) for k in range(1, options["clips"] + 1)}
        network = without_seed(key)[0]
        if network not in rows:
            row, (model, header) = own.describe(key), checkpoints.load(key)
            rows[network] = {name: row[name] for name in ("dataset", "sampling")}
            rows[network]["module"] = row["module"].partition("-")[0]
            rows[network] |= {"key": network, "model": without_seed(row["model"])[0].removesuffix("-dense")}
            rows[network] |= {"one": [], "correct": {k: [] for k in many}, "steep": False}
            rows[network]["cost"] = models.count(model, header["recipe"]["size"]).flops / 1e9 * options["crops"]
        rows[network]["one"].append(middle)
        rows[network]["steep"] |= own.steep(key)
        for k, answers in many.items():
            rows[network]["correct"][k].append(answers)
    for row in rows.values():
        row["one"] = np.stack(row["one"])
        row["correct"] = {k: np.stack(answers) for k, answers in row["correct"].items()}
    return pd.DataFrame(list(rows.values()))


def bars(found):
    """Return `scored` as Figure 5's bars: top-1 of one clip and its interval, and of all clips."""
    rows = []
    for row in found.to_dict("records"):
        single, low, high = statistics.accuracy_interval(row["one"])
        multi, multi_low, multi_high = statistics.accuracy_interval(row["correct"][max(row["correct"])])
        shown = {name: row[name] for name in ("key", "dataset", "model", "module", "sampling")}
        shown |= {"single": single, "low": low, "high": high, "multi": multi}
        rows.append({**shown, "multi_low": multi_low, "multi_high": multi_high, "runs": len(row["one"])})
    return pd.DataFrame(rows)


def printed_gains(table):
    """Return {data set: (least, most)} points that the paper's text says 10 clips add to dense sampling there."""
    printed = published.table("deep_analysis_fig05").set_index(["dataset", "column"]).value
    return {
        name: tuple(
            printed[own.STANDS_FOR[name], f"{end} gain of 10 clips over one"] for end in ("smallest", "largest")
        )
        for name in dict.fromkeys(table.dataset)
        if (own.STANDS_FOR.get(name), "smallest gain of 10 clips over one") in printed.index
    }


def multi_clip_dots(table):
    """Return the multi-clip accuracies of `bars` for `draw_own.dots`."""
    columns = ["dataset", "sampling", "module", "multi", "multi_low", "multi_high"]
    return dots(table[columns].to_numpy().tolist() if len(table) else [])


def curves(found):
    """Return `scored` as Figure 8's curves: model, dataset, sampling, clips, value (top-1, %), its interval, gmacs."""
    rows = []
    for row in found.to_dict("records"):
        for k, answers in row["correct"].items():
            value, low, high = statistics.accuracy_interval(answers)
            shown = {name: row[name] for name in ("model", "dataset", "sampling")}
            rows.append({**shown, "clips": k, "value": value, "low": low, "high": high, "gmacs": row["cost"] * k})
    return pd.DataFrame(rows)


def answers(found, which):
    """Return {(dataset, model, sampling): Scored} of trained networks; which: row -> its answers [runs, n]."""
    early = [] if found.empty else list(found.key[found.steep.astype(bool)])
    if early:
        print(f"shown but not compared, training was stopped early: {', '.join(early)}")
    rows = [] if found.empty else found[~found.steep.astype(bool)].to_dict("records")
    scored = {}
    for row in rows:
        described = {name: row[name] for name in ("dataset", "module", "sampling")}
        scored[row["dataset"], row["model"], row["sampling"]] = own.Scored(row["key"], which(row), described)
    return scored


def between(first, second, sampling=("uniform", "dense"), modules=None, role=None):
    """Return the pairs of two `answers` that differ in sampling as said and agree in data set and model."""
    pairs = []
    for (dataset, model, how), one in first.items():
        other = second.get((dataset, model, sampling[1]))
        if how != sampling[0] or other is None or (modules and one.row["module"] not in modules):
            continue
        if role in (None, own.STANDS_FOR.get(dataset)):
            pairs.append((one, other))
    return pairs


def of_sampling(found):
    """Return the findings of Figure 5 for our own networks: uniform against dense clips, one against several."""
    one, many = (answers(found, which) for which in (lambda row: row["one"], lambda row: last(row)))
    again = {key: renamed(s) for key, s in many.items()}
    dense = ("dense", "dense")
    return [
        own.finding("da.fig5.uniform-better", between(one, one)),
        own.finding("da.fig5.clips-kinetics", between(again, one, dense, role="mini-Kinetics")),
        own.finding("da.fig5.clips-ssv2", between(again, one, dense, role="mini-SSV2")),
    ]


def of_flexibility(found):
    """Return the findings of Table 3 for our own networks: uniform minus dense with all clips."""
    many = answers(found, last)
    pairs = between(many, many, modules=("I3D", "TAM"))
    modules = dict.fromkeys(a.row["module"] for a, _ in pairs)
    by_module = [[pair for pair in pairs if pair[0].row["module"] == m] for m in modules]
    farther = max(by_module, key=lambda some: abs(own.pooled(some).value), default=[])
    return [
        own.finding("da.table3.flexible.own", farther, among=len(by_module), family=own.networks_of(by_module)),
        own.finding("da.table3.slowfast.own", between(many, many, modules=("SlowFast",))),
    ]


def of_clips(found, enough=5):
    """Return the findings of Figure 8: what more clips than `enough` (dense) or one (uniform) bring, and what
    SlowFast reaches at the cost of one uniform clip of I3D."""
    all_, few, single = (
        answers(found, which)
        for which in (last, lambda row: row["correct"][min(enough, max(row["correct"]))], lambda row: row["correct"][1])
    )
    more = {key: renamed(s) for key, s in all_.items()}
    both = ("I3D", "SlowFast")
    return [
        own.finding("da.fig8.dense-saturates", between(more, few, ("dense", "dense"), both)),
        own.finding("da.fig8.uniform-little", between(more, single, ("uniform", "uniform"), both)),
        own.finding("da.fig8.same-efficiency", at_equal_cost(found)),
    ]


def at_equal_cost(found):
    """Return the pairs (dense SlowFast, uniform I3D with one clip) at as many clips as cost about the same."""
    pairs = []
    for i3d in answers(found, lambda row: row["correct"][1]).values():
        if (i3d.row["module"], i3d.row["sampling"]) != ("I3D", "uniform"):
            continue
        fast = answers(found, functools.partial(afforded, cost=found.cost[found.key == i3d.key].iloc[0]))
        wanted = i3d.row["dataset"], "SlowFast", "dense"
        same = [one for one in fast.values() if (one.row["dataset"], one.row["module"], one.row["sampling"]) == wanted]
        pairs += [(renamed(one, f"for {i3d.key}"), i3d) for one in same]
    return pairs


def afforded(row, cost):
    """Return a row's answers with as many clips as cost about so many GMACs."""
    return row["correct"][min(row["correct"], key=lambda k: abs(k - cost / row["cost"]))]


def last(row):
    """Return a row's answers with all clips."""
    return row["correct"][max(row["correct"])]


def renamed(one, clips="all clips"):
    """Return a network's answers under another name, to be told from its answers with other clips."""
    return own.Scored(f"{one.key} ({clips})", one.correct, one.row)
