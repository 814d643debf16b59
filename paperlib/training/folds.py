"""Splits by person: everybody in a data set of people, and who trains and who is held out."""

from functools import cache, partial

from .. import data
from ..data import public
from ..data.public import grid, nagoya, weizmann
from ..errors import InputError, whole

EVERYBODY = {
    "nagoya_fir": nagoya.everything,
    "nagoya_fir_context": partial(nagoya.everything, name="nagoya_fir_context"),
    "weizmann": weizmann.everything,
    "grid": grid.everything,
}


def everybody(name, size, root=None):
    """Return all people's videos, with frames of `size` pixels; root as in `data.load`."""
    if name not in EVERYBODY:
        raise InputError(f"{name} is not split by person; {', '.join(EVERYBODY)} are.")
    found = EVERYBODY[name](public.locate(name, root), size)
    public.tell(found)
    return found


def split(name, held_out, size, root=None, limit=None):
    """Return (training, held-out) videos; held_out: names of people, separated by commas.

    limit: train on so many videos, balanced over the classes. InputError for a person whom the data set does not have.
    """
    people = [person.strip() for person in held_out.split(",")]
    training, rest = everybody(name, size, root).without(*people)
    if limit is not None:
        training = training.subset(public.balanced(training.labels, limit))
    training.split, rest.split = f"without {held_out}", f"only {held_out}"  # caches tell folds apart by this
    return training, rest


def of(recipe, name, part, size, limit=None, root=None):
    """Return the "train" or "val" part of data set `name` for a network trained by `recipe` (a dict): as `data.load`.

    Where people were held out of its training and `name` shows the same ones, it is its own fold, and who validates is
    said once: the usual validation part would hold people whom it was trained on.
    """
    held_out = recipe.get("held_out")
    if not held_out or part not in ("train", "val") or not same_people(name, recipe["dataset"]):
        return data.load(name, part, size, limit, root)
    found = split(name, held_out, size, root)[part == "val"]
    _tell(f"{name}: a network that was trained on everybody but {held_out} is validated on them")
    return found if limit is None else found.subset(public.balanced(found.labels, whole("limit", limit)))


def same_people(name, other):
    """Whether two data sets show the same people: one may have more frames of them."""
    return name in EVERYBODY and name.removesuffix("_context") == other.removesuffix("_context")


@cache
def _tell(sentence):
    print(sentence)
