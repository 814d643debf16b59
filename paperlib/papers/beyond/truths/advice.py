"""All truths in one table, and what every instrument costs: what `beyond/which_instrument` sums up."""

import functools

import pandas as pd
import torch

from .... import truth
from ....storage import cache
from ... import analysis, needs
from ...settings import settings
from ...statistics import mean_of_independent
from . import key_of, lineup, planting, summary
from .exact import exact, exact_summary

COLUMNS = "instrument network truth asked score value low high chance clips runs".split()


def measured(run):
    """Return (summaries of planted, exact and spoken truth) as their notebooks compute and cache them.

    Spoken words are read from the table that their notebook left; None where there is none.
    """
    planted = summary(planting.everything(run, settings("beyond/planted", run.profile)), seed=run.seed)
    own = settings("beyond/exact_shapley", run.profile)
    keys, _ = needs.there(own["models"], run.data_root)
    found = {key: exact(run, key, own) for key in analysis.own_order(keys)}
    computed = exact_summary(pd.concat([found[key] for key in keys]), seed=run.seed)
    file = run.path("csv").with_name("spoken_words.csv")
    if not file.is_file():
        print("spoken words are left out: beyond/spoken_words has not been run (paperlib data where: grid)")
    return planted, computed, pd.read_csv(file) if file.is_file() else None


def costs(run, checkpoint, settings=None):
    """Return {instrument: `truth.cost`} of a network, for two clips at once, their classes asked. Cached."""
    settings = settings or run.settings
    model, header, dataset = analysis.opened(checkpoint, None, "val", None, run.device, run.data_root)
    clips = analysis.clips_of(dataset, [0, 1], header).to(run.device)
    targets = torch.as_tensor(dataset.labels[:2]).to(clips.device)
    key = {**key_of(checkpoint, settings, "cost", dataset), "own": cache.code("truth/costs")}

    def compute(instrument):
        return {"cost": truth.cost(instrument, model, clips, targets)}

    chosen = lineup(settings)
    found = {
        name: cache.fetch("truth", {**key, "instrument": name}, functools.partial(compute, chosen[name]))
        for name in analysis.own_order(chosen)
    }
    return {name: float(found[name]["cost"]) for name in chosen}


def each(planted, exact, spoken=None):
    """Return the summaries that `measured` returns as one table: a row per instrument, network, truth, asked and score.

    Columns: `COLUMNS`; value, low and high over the clips. `gain` is the average precision on a scale where 0 is chance
    and 1 perfect; `rho` and `margin` are those of `exact`.
    """
    parts = [planted]
    for score, part in (("rho", exact), ("margin", exact[exact.absent == "freeze"])):  # margins are of freeze curves
        part = part.rename(columns={"absent": "asked", score: "value", f"{score}_low": "low", f"{score}_high": "high"})
        parts.append(part.assign(truth="exact Shapley", score=score, chance=0.0))
    if spoken is not None:
        parts.append(spoken.rename(columns={"question": "asked"}).assign(truth="spoken words"))
    rows = pd.concat(parts, ignore_index=True).rename(columns={"model": "network"})
    return rows.assign(runs=1)[COLUMNS]


def pooled(rows):
    """Return a row per instrument and truth, means over the networks (and questions) of `each`, with `COLUMNS`.

    Truths: static, temporal (gain on planted truth, of the difference of classes, on networks of static and of temporal
    data sets), planted (both), "Shapley, freeze" and "Shapley, mean" (rho), words (gain on spoken words). Intervals
    follow from the networks' own, over clips; those of networks or questions that saw the same clips (one data set, one
    truth) may err together. `clips` are summed, `runs` are the networks.
    """
    planted = rows[(rows.asked == "difference") & (rows.score == "gain")]
    static, exact = planted.network.str.contains("kinetics"), rows[rows.score == "rho"]
    parts = {"static": planted[static], "temporal": planted[~static], "planted": planted}
    parts |= {f"Shapley, {absent}": exact[exact.asked == absent] for absent in ("freeze", "mean")}
    parts["words"] = rows[(rows.truth == "spoken words") & (rows.score == "gain")]
    found = []
    for name, part in parts.items():
        for instrument, own in part.groupby("instrument", sort=False):
            same = own.network.str.split("/").str[0] + ", " + own.truth
            found.append(
                {
                    "instrument": instrument,
                    "network": "all",
                    "truth": name,
                    "asked": "",
                    "score": own.score.iloc[0],
                    **mean_of_independent(own[["value", "low", "high"]].itertuples(index=False), same)._asdict(),
                    "chance": own.chance.mean(),
                    "clips": own.clips.sum(),
                    "runs": own.network.nunique(),
                }
            )
    return pd.DataFrame(found, columns=COLUMNS)


def together(pooled, costs):
    """Return one row per instrument: the values of `pooled`, a column per truth, and cost in forward passes.

    costs: a dict of `costs` per network.
    """
    mean = pd.DataFrame(costs).mean()
    found = pooled.pivot(index="instrument", columns="truth", values="value")
    found = found.reindex(index=mean.index, columns=pooled.truth.unique())
    return found.assign(cost=mean).rename_axis(index="instrument", columns=None).reset_index()
