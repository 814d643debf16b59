"""The models the notebooks need: `data/zoo*.yaml` list their recipes, `data/checkpoints/` holds what was trained."""

import shutil
from dataclasses import asdict, fields
from fnmatch import fnmatch

from .. import data
from ..data import public
from ..data.fingerprint import fingerprint
from ..errors import InputError
from ..storage import paths
from ..storage.zoo_lists import listed, location
from . import checkpoints, folds, progress
from .recipes import Recipe, check
from .train import run
from .training_videos import datasets


def recipes(file=None):
    """Return {`<dataset>/<checkpoint>`: Recipe} as listed, but what a model starts from comes before it.

    An entry of the YAML list names `model` and `dataset`, optionally `suffix`, `folds` and `seeds` (see
    `zoo_lists.entries`), and any field of Recipe.
    """
    file = file or location()
    found = {}
    for name, key, entry in listed(file):
        if key in found:
            raise InputError(f"{name} lists {key} twice; give one of them a suffix")
        found[key] = _recipe(entry, f"{name}: {key}")
    ordered = {}
    for key in found:
        _add(key, found, ordered, file)
    return ordered


def _recipe(entry, where):
    """Return the Recipe of an entry of the list; where: its list and key."""
    known = {field.name for field in fields(Recipe)} - {"name"}
    unknown = sorted(str(field) for field in entry.keys() - known - {"model"})
    if unknown:
        raise InputError(
            f"{where} has unknown fields {', '.join(unknown)}; allowed are model, "
            f"suffix, stage, folds, seeds, {', '.join(sorted(known))}"
        )
    if entry["dataset"] not in data.LOADERS:
        raise InputError(f"{where}: there is no such data set; known are {', '.join(sorted(data.LOADERS))}")
    try:
        return check(Recipe(**{"name" if field == "model" else field: value for field, value in entry.items()}))
    except InputError as error:
        raise InputError(f"{where}: {error}") from None


def _add(key, found, ordered, file, above=()):
    """Put a recipe into `ordered`, and before it the one that it starts from; above: what starts from it in turn."""
    if key in above:
        raise InputError(f"{file.name}: init_from goes round in a circle among {', '.join(sorted(above))}")
    start = found[key].init_from
    if start and start not in found:
        raise InputError(f"{file.name}: {key} starts from {start}, which is not listed")
    if key not in ordered:
        if start:
            _add(start, found, ordered, file, (*above, key))
        ordered[key] = found[key]


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
    """Return the header of a checkpoint of the zoo, {} where it is not there or damaged."""
    file = checkpoints.path(key)
    try:
        return checkpoints.meta(file) if file.is_file() else {}
    except checkpoints.Damaged:
        return {}


def state(key, recipe):
    """Return `trained`, `missing`, `damaged` (no checkpoint under its name), `other recipe` or `other videos`.

    The last two: it was trained, but not by the listed recipe, or not on what that recipe trains on now (`now`).
    """
    found = header(key)
    if not found:
        return "damaged" if checkpoints.path(key).is_file() else "missing"
    if not by_recipe(found, recipe):
        return "other recipe"
    known = now(recipe)
    if found.get("skipped"):
        known.pop("fingerprints", None)  # the file's are of those videos alone that could be read
    return "trained" if same_videos(found, known) else "other videos"


def by_recipe(found, recipe):
    """Whether a header is of a training by this recipe; fields younger than the file have their default."""
    return {**asdict(Recipe("", "")), **found.get("recipe", {})} == asdict(recipe)


def now(recipe):
    """Return what a header would say of the videos of a recipe at this moment, as far as that is known at once.

    Of public data sets these are the classes, where lists and folders tell them; nothing of one that is not there. Of a
    layout of anybody's videos (`folder`, `frames`) they are the videos, too.
    """
    if recipe.dataset in folds.EVERYBODY:  # their classes are in the code, and to open them is to read all videos
        return {}
    try:
        videos = dict(zip(("train", "val"), datasets(recipe), strict=True))
    except InputError:
        return {}
    known = {"classes": list(videos["train"].classes)}
    if recipe.dataset not in public.ADAPTERS or recipe.dataset in public.ANYBODYS:
        known["fingerprints"] = {split: fingerprint(part) for split, part in videos.items()}
    return known


def same_videos(one, other):
    """Whether two headers, as far as both say so, are of the same classes and of the same videos."""
    both = one.keys() & other.keys() & {"classes", "fingerprints"}
    return all(one[what] == other[what] for what in both)


def train_one(key, recipe, device="auto", missing=False, progress_bar=True, wait=False):
    """Train one checkpoint in this process; one that is there by this recipe is replaced only by a better one.

    Accuracies are compared where both answered the same videos: one of other classes or other videos is replaced, and
    so is one whose header has none.
    missing: where it is there by this recipe, do nothing. Returns whether it was trained. Raises progress.Busy where
    another process trains it, or waits for that one.
    """
    file = checkpoints.path(key)
    with progress.alone(key, wait):
        if missing and state(key, recipe) == "trained":
            return False
        paths.check_writable(file)
        fresh = progress.file(key, "pt").parent / "fresh" / recipe.dataset / file.name
        meta = run(recipe, device, progress=progress_bar, out=fresh, held=True)
        before = header(key)
        equal = state(key, recipe) == "trained" and same_videos(before, meta)
        if not equal or meta["accuracy"] > before.get("accuracy", -1):
            try:
                with paths.atomic(file) as temporary:
                    shutil.copyfile(fresh, temporary)  # not renamed: the checkpoints may be on another disk
            except OSError as error:  # it took hours
                raise InputError(
                    f"{key} is trained and lies in {fresh}, but cannot be copied to {file} ({error.strerror}); "
                    "move it there before it is trained anew"
                ) from error
        fresh.unlink()
        return True
