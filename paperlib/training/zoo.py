"""The models the notebooks need: `data/zoo*.yaml` list their recipes, `data/checkpoints/` holds what was trained."""

from dataclasses import asdict, fields
from fnmatch import fnmatch

import pandas as pd

from ..errors import InputError
from ..storage.zoo_lists import entries, location
from . import checkpoints
from .recipes import Recipe
from .train import run


def recipes(file=None):
    """Return {`<dataset>/<checkpoint>`: Recipe} as listed, but what a model starts from comes before it.

    An entry of the YAML list names `model` and `dataset`, optionally `suffix`, `folds` and `seeds` (see
    `zoo_lists.entries`), and any field of Recipe.
    """
    file = file or location()
    listed = {}
    for key, entry in entries(file):
        if key in listed:
            raise InputError(f"{file.name} lists {key} twice; give one of them a suffix")
        listed[key] = _recipe(entry, file)
    ordered = {}
    for key in listed:
        _add(key, listed, ordered, file)
    return ordered


def _recipe(entry, file):
    """Return the Recipe of an entry of the list."""
    name, known = entry["model"], {field.name for field in fields(Recipe)}
    unknown = sorted(entry.keys() - known - {"model"})
    if unknown:
        raise InputError(
            f"{file.name}: {name} has unknown fields {', '.join(unknown)}; allowed are model, "
            f"suffix, folds, seeds, {', '.join(sorted(known - {'name'}))}"
        )
    return Recipe(**{"name" if field == "model" else field: value for field, value in entry.items()})


def _add(key, listed, ordered, file, above=()):
    """Put a recipe into `ordered`, and before it the one that it starts from; above: what starts from it in turn."""
    if key in above:
        raise InputError(f"{file.name}: init_from goes round in a circle among {', '.join(sorted(above))}")
    start = listed[key].init_from
    if start and start not in listed:
        raise InputError(f"{file.name}: {key} starts from {start}, which is not listed")
    if key not in ordered:
        if start:
            _add(start, listed, ordered, file, (*above, key))
        ordered[key] = listed[key]


def select(names=(), missing=False, file=None):
    """Return the recipes whose key matches one of `names` (globs; none: all), only untrained ones if `missing`."""
    file = file or location()
    known = recipes(file)
    for name in names:
        if not any(fnmatch(key, name) or fnmatch(key, f"*/{name}") for key in known):
            raise InputError(f"no model of {file.name} matches {name!r}; paperlib zoo status lists them")
    chosen = {
        key: recipe
        for key, recipe in known.items()
        if not names or any(fnmatch(key, name) or fnmatch(key, f"*/{name}") for name in names)
    }
    if missing:
        chosen = {key: recipe for key, recipe in chosen.items() if state(key, recipe) != "trained"}
    return chosen


def state(key, recipe):
    """Return `trained`, `missing`, or `other recipe` when the file was trained by another recipe than listed."""
    file = checkpoints.path(*key.split("/"))
    if not file.is_file():
        return "missing"
    trained_by = checkpoints.meta(file).get("recipe", {})
    same = {**asdict(Recipe("", "")), **trained_by} == asdict(recipe)  # fields younger than the file: their default
    return "trained" if same else "other recipe"


def status(file=None):
    """Return a table of every listed model: state, accuracy, epochs, training seconds, device, file size in MB."""
    rows = []
    for key, recipe in recipes(file).items():
        path = checkpoints.path(*key.split("/"))
        header = checkpoints.meta(path) if path.is_file() else {}
        rows.append(
            {
                "model": key,
                "state": state(key, recipe),
                "accuracy": header.get("accuracy"),
                "epochs": recipe.epochs,
                "seconds": header.get("seconds"),
                "device": header.get("device"),
                "MB": round(path.stat().st_size / 1e6, 2) if path.is_file() else None,
            }
        )
    return pd.DataFrame(rows)


def markdown(table):
    """Return a Markdown table of the trained models of `status()`, accuracy per data set and minutes of training,
    and the hours of all of them.

    Models trained in folds of people have no row: what they reach is in figures/beyond/.
    """
    in_folds = table.model.isin([key for key, entry in entries() if "held_out" in entry])
    trained = table[(table.state == "trained") & ~in_folds]
    model = trained.model.str.split("/")
    datasets = list(dict.fromkeys(model.str[0]))
    lines = ["| model | " + " | ".join(datasets) + " | minutes |", "| --- |" + " ---: |" * (len(datasets) + 1)]
    for name, rows in trained.groupby(model.str[1], sort=False):
        accuracy = dict(zip(rows.model.str.split("/").str[0], rows.accuracy, strict=True))
        cells = [f"{100 * accuracy[d]:.1f} %" if d in accuracy else "" for d in datasets]
        lines.append(f"| {name} | " + " | ".join(cells) + f" | {rows.seconds.sum() / 60:.0f} |")
    hours, more = trained.seconds.sum() / 3600, table.seconds[in_folds].sum() / 3600
    return "\n".join([*lines, "", f"Together: {hours:.1f} hours of one core, and {more:.1f} for the folds of people."])


def train(chosen, device="auto", progress=True):
    """Train the given recipes one after the other; an existing checkpoint is replaced only by a better one."""
    for key, recipe in chosen.items():
        file = checkpoints.path(*key.split("/"))
        if not file.is_file():
            run(recipe, device, progress=progress, out=file)
            continue
        fresh = file.with_name(f"{file.stem}.new.safetensors")
        try:
            meta = run(recipe, device, progress=progress, out=fresh)
            if meta["accuracy"] > checkpoints.meta(file)["accuracy"] or state(key, recipe) == "other recipe":
                fresh.replace(file)
        finally:
            fresh.unlink(missing_ok=True)
