"""Splits by person: everybody in a data set of people, and who trains and who is held out."""

from functools import partial

from ..data import public
from ..data.public import grid, nagoya, weizmann
from ..errors import InputError

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
