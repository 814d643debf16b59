"""All truths in one table: what `beyond/which_instrument` sums up."""

import pandas as pd

from ... import analysis, needs
from ...settings import settings
from . import planting, summary
from .exact import exact, exact_summary


def measured(run):
    """Return (summaries of planted, exact and spoken truth) as their notebooks compute and cache them.

    Spoken words are read from the table that their notebook left; None where there is none.
    """
    tables = []
    for name, compute, shorten in (
        ("planted", lambda *a: planting.planted(*a)[0], summary),
        ("exact_shapley", exact, exact_summary),
    ):
        own = settings(f"beyond/{name}", run.profile)
        keys = [*own["models"], *own.get("rendered", [])]
        lacking = needs.lacking(keys, run.data_root)
        found = {key: compute(run, key, own) for key in analysis.own_order(keys) if key not in lacking}
        rows = pd.concat([found[key] for key in keys if key in found])
        if rows.empty:
            run.skip("no network tells clips from their twins; train longer")
        tables.append(shorten(rows, seed=run.seed))
    file = run.path("csv").with_name("spoken_words.csv")
    if not file.is_file():
        print("spoken words are left out: beyond/spoken_words has not been run (paperlib data where: grid)")
    return *tables, pd.read_csv(file) if file.is_file() else None


def together(planted, exact, spoken=None):
    """Return one row per instrument, means over networks.

    Columns: single, frames (average precision over chance, of the difference of classes, on networks of static and of
    temporal data sets), freeze and mean (rank correlation with exact Shapley values), words (as the first ones, on
    spoken words), cost in forward passes.
    """
    found = pd.DataFrame(index=pd.Index(planted.instrument.unique(), name="instrument"))
    part = planted[(planted.score == "precision") & (planted.asked == "difference")]
    static = part.model.str.contains("kinetics")
    for name, rows in (("static", part[static]), ("temporal", part[~static])):
        found[name] = over_chance(rows)
    for absent in ("freeze", "mean"):
        found[f"Shapley, {absent}"] = exact[exact.absent == absent].groupby("instrument").rho.mean()
    if spoken is not None:
        found["words"] = over_chance(spoken[spoken.score == "precision"])
    found["cost"] = part.groupby("instrument").cost.mean()
    return found.reset_index()


def over_chance(rows):
    """Return the mean per instrument of scores put on a scale where 0 is chance and 1 perfect."""
    return rows.assign(gain=(rows.value - rows.chance) / (1 - rows.chance)).groupby("instrument").gain.mean()
