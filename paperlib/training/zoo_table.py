"""The one table of the zoo: of each model the recipe, how long it was trained and how well it does, over its seeds."""

from dataclasses import asdict
from functools import lru_cache

import pandas as pd

from .. import data
from ..errors import InputError
from ..storage.zoo_lists import entries, without_seed
from . import checkpoints, convergence, zoo
from .recipes import Recipe

# Fields of a recipe that have a column of their own, or that the model's name says.
NAMED = {"name", "dataset", "width", "size", "epochs", "lr", "seed", "init_from", "inflate", "held_out", "options"}
COLUMNS = {  # of the table in words: column of `summary` -> title
    "model": "model",
    "state": "state",
    "recipe": "recipe",
    "epochs": "epochs",
    "lr": "learning rate",
    "loss": "final loss",
    "runs": "runs",
    "accuracy": "accuracy",
    "spread": "spread",
    "converged": "converged",
    "videos": "videos",
    "minutes": "minutes",
}

# Of `status`, which has them without a row, too.
OF_A_CHECKPOINT = "checkpoint model state recipe epochs lr loss accuracy converged train val seconds device MB".split()


def status(file=None):
    """Return one row per listed checkpoint, trained or not.

    checkpoint, model (its name without the seed), state (see `zoo.state`), recipe (in words),
    epochs, lr, loss (training loss of the last epoch), accuracy (share of the validation videos), converged, train and
    val (numbers of videos), seconds, device (on which it was trained), MB.
    """
    return pd.DataFrame([_row(key, recipe) for key, recipe in zoo.recipes(file).items()], columns=OF_A_CHECKPOINT)


def _row(key, recipe):
    """Return `status`'s row of one checkpoint."""
    path, header = checkpoints.path(key), zoo.header(key)
    history = header.get("history") or [{}]
    sizes = header.get("videos") or _sizes(recipe.dataset, recipe.size, recipe.limit, bool(recipe.held_out))
    return {
        "checkpoint": key,
        "model": without_seed(key)[0],
        "state": zoo.state(key, recipe),
        "recipe": in_words(recipe),
        "epochs": recipe.epochs,
        "lr": recipe.lr,
        "loss": history[-1].get("loss"),
        "accuracy": header.get("accuracy"),
        "converged": not convergence.doubts(header) if header else None,
        "train": sizes.get("train"),
        "val": sizes.get("val"),
        "seconds": header.get("seconds"),
        "device": header.get("device"),
        "MB": path.stat().st_size / 1e6 if path.is_file() else None,
    }


def in_words(recipe):
    """Return what a recipe starts from, and what differs from `Recipe`'s own values and has no column."""
    dataset, _, start = recipe.init_from.partition("/")
    if start:
        start = f"from {start}" if dataset == recipe.dataset else f"from {recipe.init_from}"
    else:
        start = f"from {recipe.inflate}" if recipe.inflate else "from scratch"
    usual = asdict(Recipe("", ""))
    own = {field: value for field, value in asdict(recipe).items() if field not in NAMED and value != usual[field]}
    own |= {} if recipe.held_out else recipe.options or {}
    return ", ".join([start, *(f"{field.replace('_', ' ')} {value}" for field, value in own.items())])


@lru_cache(maxsize=256)
def _sizes(dataset, size, limit, held_out):
    """Return {split: number of videos} of a data set for headers that do not say; {} where that cannot be told."""
    if held_out:
        return {}
    try:
        return {
            split: len(data.load(dataset, split, size=size, limit=limit or None if split == "train" else None))
            for split in ("train", "val")
        }
    except InputError:
        return {}


def summary(table):
    """Return one row per model of `status()`: numbers are means over its trained runs, minutes and MB their sums.

    runs: how many are trained. spread: the standard deviation of the accuracy over runs, NaN for one. converged:
    how many are. state: `trained` if all are, else what they are.
    """
    rows = []
    for model, listed in table.groupby("model", sort=False):
        trained = listed[listed.state == "trained"]
        states = listed.state.value_counts()
        row = listed.iloc[0][["recipe", "epochs", "lr", "train", "val"]].to_dict()
        rows.append(
            {
                "model": model,
                "state": states.index[0] if len(states) == 1 else f"{len(trained)} of {len(listed)} trained",
                **row,
                "loss": trained.loss.astype(float).mean(),
                "runs": len(trained),
                "accuracy": trained.accuracy.astype(float).mean(),
                "spread": trained.accuracy.astype(float).std(ddof=1),
                "converged": int(trained.converged.sum()) if len(trained) else None,
                "minutes": trained.seconds.astype(float).sum() / 60,
                "MB": trained.MB.astype(float).sum(),
            }
        )
    return pd.DataFrame(rows)


def text(table):
    """Return the table of `status()` for a terminal: one line per model, and the totals."""
    if table.empty:
        return "no model is listed"
    models = summary(table)
    shown = pd.DataFrame([_in_words(row) for row in models.to_dict("records")]).rename(columns=COLUMNS)
    trained = table[table.state == "trained"]
    totals = f"{len(trained)} of {len(table)} trained, {models.MB.sum():.1f} MB, {models.minutes.sum() / 60:.1f} hours"
    damaged = table.checkpoint[table.state == "damaged"]
    if len(damaged):
        totals += (
            f"\n{', '.join(damaged)}: no checkpoint is in the file; `paperlib zoo train --missing` trains it again"
        )
    return f"{shown.to_string(index=False)}\n{totals}"


def markdown(table):
    """Return the table of `status()` in Markdown, of what is trained, data set by data set, and the hours of all.

    Models trained in folds of people have no row: what they reach is in figures/beyond/.
    """
    in_folds = table.checkpoint.isin([key for key, entry in entries() if "held_out" in entry])
    models = summary(table[(table.state == "trained") & ~in_folds])
    if models.empty:
        return "Nothing is trained yet."
    order = list(dict.fromkeys(models.model.str.partition("/")[0]))
    models = models.sort_values("model", key=lambda m: m.str.partition("/")[0].map(order.index), kind="stable")
    rows = [_in_words(row) for row in models.to_dict("records")]
    titles = {column: title for column, title in COLUMNS.items() if column != "state"}
    left = ["---" if column in ("model", "recipe") else "---:" for column in titles]
    lines = [f"| {' | '.join(titles.values())} |", f"| {' | '.join(left)} |"]
    lines += [f"| {' | '.join(row[column] for column in titles)} |" for row in rows]
    on_gpu = table.device == "cuda"
    own, more, shared = (
        table.seconds[(table.state == "trained") & some].astype(float).sum() / 3600
        for some in (~in_folds & ~on_gpu, in_folds & ~on_gpu, on_gpu)
    )
    together = f"Together: {own:.1f} hours of one core, and {more:.1f} for the folds of people"
    together += f"; {shared:.1f} hours on a GPU that several trainings shared." if shared else "."
    return "\n".join([*lines, "", together])


def _of_runs(number, runs):
    """Return `yes` where it is true of all runs, `no` of none, `2 of 3` else, and nothing where there is none."""
    if not runs:
        return ""
    return {0: "no", runs: "yes"}.get(number, f"{number} of {runs}")


def _in_words(row):
    """Return the cells of a row of `summary`, as people read them."""
    known = {key: value for key, value in row.items() if value is not None and not (value != value)}  # NaN

    def cell(key, form):
        return form.format(known[key]) if key in known and row["runs"] else ""

    return {
        "model": row["model"],
        "state": row["state"],
        "recipe": row["recipe"],
        "epochs": str(row["epochs"]),
        "lr": f"{row['lr']:g}",
        "loss": cell("loss", "{:.3f}"),
        "runs": str(row["runs"]),
        "accuracy": cell("accuracy", "{:.1%}").replace("%", " %"),
        "spread": f"{100 * row['spread']:.1f}" if row["runs"] > 1 else "one run" if row["runs"] else "",
        "converged": _of_runs(known.get("converged"), row["runs"]),
        "videos": f"{known['train']:.0f} + {known['val']:.0f}" if {"train", "val"} <= known.keys() else "",
        "minutes": cell("minutes", "{:.0f}"),
    }
