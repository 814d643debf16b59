"""What `data/zoo.yaml` and, beside it, `data/zoo_people.yaml` list: one entry per checkpoint."""

import copy
import re
from functools import cache

import yaml

from ..errors import InputError
from . import paths

PEOPLE = "zoo_people.yaml"  # models that are trained once per fold of people
SEED = re.compile(r"-s(\d+)$")
MOST_SEEDS = 10  # of an entry: names sort as numbers do


def location():
    """Return the project's list, wherever the project is now: a constant would keep the folder of the first import."""
    paths.need_project("the zoo's networks")
    return paths.ROOT / "data" / "zoo.yaml"


def entries(file=None):
    """Return [(`<dataset>/<checkpoint>`, entry)] of a list and of the people's list beside it, in their order.

    `defaults`, `datasets.<name>` and `stages.<name>`, of the stage that an entry names, fill in what it leaves open;
    `suffix` is appended to the checkpoint's name. `dataset: [a, b]` makes one entry per data set; `init_from` without
    a data set means the entry's own. `folds`, {name: people held out}, makes one entry per fold, with the fold's name
    at its end. `seeds`, a number, makes one per seed: seed 0 has the plain name, seed 2 ends in -s2 and starts from the
    model of `init_from` with seed 2 where that is listed, else from the plain one.
    """
    found, file = [], file or location()
    for path in (file, file.with_name(PEOPLE)):
        content = (copy.deepcopy(_parsed(path.read_text(encoding="utf-8"))) or {}) if path.is_file() else {}
        for entry in _each_dataset(content, path.name):
            key = f"{entry['dataset']}/{entry['model']}{entry.pop('suffix', '')}"
            found += [seeded for fold in _folds(key, entry) for seeded in _seeds(*fold, path.name)]
    listed = {key for key, _ in found}
    return [(key, _from_the_same_seed(key, entry, listed)) for key, entry in found]


def _each_dataset(content, file):
    """Return the entries of a list with all that it says about them elsewhere, one for each of an entry's data sets."""
    found, stages = [], content.get("stages") or {}
    for entry in content.get("models") or []:
        stage = entry.get("stage")
        if stage is not None and stage not in stages:
            raise InputError(f"{file}: {entry['model']} has stage {stage!r}; listed are {', '.join(stages) or 'none'}")
        for dataset in [entry["dataset"]] if isinstance(entry["dataset"], str) else entry["dataset"]:
            own = (content.get("datasets") or {}).get(dataset) or {}
            full = {**(content.get("defaults") or {}), **own, **stages.get(stage, {}), **entry, "dataset": dataset}
            full.pop("stage", None)
            if full.get("init_from") and "/" not in full["init_from"]:
                full["init_from"] = f"{dataset}/{full['init_from']}"
            found.append(full)
    return found


def with_seed(key, seed):
    """Return the name of the checkpoint `key` as trained with a seed; seed 0 has the plain name."""
    return f"{key}-s{seed}" if seed else key


def without_seed(key):
    """Return (plain name, seed) of a checkpoint's name."""
    found = SEED.search(key)
    return (key[: found.start()], int(found[1])) if found else (key, 0)


def _folds(key, entry):
    """Return [(key, entry)], one per fold of people where an entry has `folds`."""
    folds = entry.pop("folds", None)
    if folds is None:
        return [(key, entry)]
    return [(f"{key}-{fold}", {**entry, "held_out": people}) for fold, people in folds.items()]


def _seeds(key, entry, file):
    """Return [(key, entry)], one per seed where an entry has `seeds`."""
    if "seeds" not in entry:
        return [(key, entry)]
    entry = dict(entry)
    seeds = entry.pop("seeds")
    if not (type(seeds) is int and 1 <= seeds <= MOST_SEEDS) or "seed" in entry:
        wrong = "a `seed` as well" if "seed" in entry else f"{seeds!r}"
        raise InputError(f"{file}: seeds of {key} is a number of runs from 1 to {MOST_SEEDS}, not {wrong}")
    return [(with_seed(key, seed), {**entry, "seed": seed} if seed else entry) for seed in range(seeds)]


def _from_the_same_seed(key, entry, listed):
    """Return the entry with `init_from` of its own seed, where that is listed."""
    start = with_seed(entry.get("init_from", ""), without_seed(key)[1])
    return {**entry, "init_from": start} if start in listed else entry


@cache
def _parsed(text):
    """Return what YAML holds; the lists are asked for once per notebook, and reading them takes a while."""
    return yaml.safe_load(text)
