"""The models the notebooks need: `data/zoo*.yaml` list their recipes, `data/checkpoints/` holds what was trained."""

from dataclasses import asdict, fields
from fnmatch import fnmatch

from ..errors import InputError
from ..storage.zoo_lists import entries, location
from . import checkpoints, progress
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
            f"suffix, stage, folds, seeds, {', '.join(sorted(known - {'name'}))}"
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


def matching(names=(), file=None):
    """Return the recipes whose key, or what follows the data set in it, matches one of `names` (globs; none: all)."""
    file = file or location()
    known = recipes(file)
    matches = {name: [key for key in known if fnmatch(key, name) or fnmatch(key, f"*/{name}")] for name in names}
    for name, keys in matches.items():
        if not keys:
            raise InputError(f"no model of {file.name} matches {name!r}; paperlib zoo status lists them")
    chosen = set().union(*matches.values()) if names else known.keys()
    return {key: recipe for key, recipe in known.items() if key in chosen}


def select(names=(), missing=False, file=None):
    """Return the recipes to train for `names` (see `matching`), only untrained ones if `missing`, in training order.

    What they start from is among them where that is untrained.
    """
    known = recipes(file)
    chosen = {key for key in matching(names, file) if not missing or state(key, known[key]) != "trained"}
    for key in reversed(known):  # in `known`, what a model starts from comes before it
        start = known[key].init_from
        if key in chosen and start and state(start, known[start]) != "trained":
            chosen.add(start)
    return {key: recipe for key, recipe in known.items() if key in chosen}


def header(key):
    """Return the header of a checkpoint of the zoo, {} where it is not there."""
    file = checkpoints.path(*key.split("/"))
    return checkpoints.meta(file) if file.is_file() else {}


def state(key, recipe):
    """Return `trained`, `missing`, or `other recipe` when the file was trained by another recipe than listed."""
    file = checkpoints.path(*key.split("/"))
    if not file.is_file():
        return "missing"
    trained_by = checkpoints.meta(file).get("recipe", {})
    same = {**asdict(Recipe("", "")), **trained_by} == asdict(recipe)  # fields younger than the file: their default
    return "trained" if same else "other recipe"


def train_one(key, recipe, device="auto", missing=False, progress_bar=True, wait=False):
    """Train one checkpoint in this process; one that is there by this recipe is replaced only by a better one.

    missing: where it is there by this recipe, do nothing. Returns whether it was trained. Raises progress.Busy where
    another process trains it, or waits for that one.
    """
    file = checkpoints.path(*key.split("/"))
    with progress.alone(key, wait):
        if missing and state(key, recipe) == "trained":
            return False
        fresh = progress.file(key, "pt").parent / "fresh" / recipe.dataset / file.name
        try:
            meta = run(recipe, device, progress=progress_bar, out=fresh, held=True)
            if state(key, recipe) != "trained" or meta["accuracy"] > header(key)["accuracy"]:
                file.parent.mkdir(parents=True, exist_ok=True)
                fresh.replace(file)
            return True
        finally:
            fresh.unlink(missing_ok=True)
