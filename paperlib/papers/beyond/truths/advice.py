"""All truths in one table, and what every instrument costs: what `beyond/which_instrument` sums up."""

import functools

import pandas as pd
import torch

from .... import truth
from ....storage import cache
from ... import analysis, needs
from ...settings import settings
from . import key_of, lineup, planting, summary
from .exact import exact, exact_summary


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


def together(planted, exact, costs, spoken=None):
    """Return one row per instrument, means over networks.

    Columns: static, temporal (average precision over chance, of the difference of classes, on networks of static and of
    temporal data sets), planted (both), freeze and mean (rank correlation with exact Shapley values), words (as the
    first ones, on spoken words), cost in forward passes. costs: a dict of `costs` per network.
    """
    found = pd.DataFrame(index=pd.Index(planted.instrument.unique(), name="instrument"))
    part = planted[(planted.score == "precision") & (planted.asked == "difference")]
    static = part.model.str.contains("kinetics")
    for name, rows in (("static", part[static]), ("temporal", part[~static]), ("planted", part)):
        found[name] = over_chance(rows)
    for absent in ("freeze", "mean"):
        found[f"Shapley, {absent}"] = exact[exact.absent == absent].groupby("instrument").rho.mean()
    if spoken is not None:
        found["words"] = over_chance(spoken[spoken.score == "precision"])
    found["cost"] = pd.DataFrame(costs).mean()
    return found.reset_index()


def over_chance(rows):
    """Return the mean per instrument of scores put on a scale where 0 is chance and 1 perfect."""
    return rows.assign(gain=(rows.value - rows.chance) / (1 - rows.chance)).groupby("instrument").gain.mean()
