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
ENDING = re.compile(r"-[\w.+-]+")
SECTIONS = {  # of a list: (type, in words)
    "defaults": (dict, "fields of recipes"),
    "datasets": (dict, "data sets with fields of recipes"),
    "stages": (dict, "stages with fields of recipes"),
    "models": (list, "a list of entries, each behind a -"),
}


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

    Raises InputError naming the list, the entry, and what would be right.
    """
    return [(key, entry) for _, key, entry in listed(file)]


def listed(file=None):
    """Return [(name of the list, `<dataset>/<checkpoint>`, entry)], see `entries`."""
    found, file = [], file or location()
    for path in (file, file.with_name(PEOPLE)):
        for entry in _each_dataset(_content(path), path.name):
            suffix = _ending("suffix", entry.pop("suffix", ""), entry, path.name)
            key = f"{entry['dataset']}/{entry['model']}{suffix}"
            for one in _folds(key, entry, path.name):
                _check_seed(*one, path.name)
                found += [(path.name, *seeded) for seeded in _seeds(*one, path.name)]
    keys = {key for _, key, _ in found}
    return [(name, key, _from_the_same_seed(key, entry, keys)) for name, key, entry in found]


def _content(path):
    """Return {section: content} of a list, empty sections where it has none; InputError where it is no such list."""
    try:
        content = copy.deepcopy(parsed(path.read_text(encoding="utf-8"))) if path.is_file() else None
    except (yaml.YAMLError, ValueError) as error:  # the latter: no text, or no date
        raise InputError(f"{path.name} is not YAML: {' '.join(str(error).split())}") from None
    content = {} if content is None else content
    wrong = [str(name) for name in content if name not in SECTIONS] if isinstance(content, dict) else [repr(content)]
    if wrong:
        raise InputError(
            f"{path.name} holds {_short(', '.join(wrong))}; it should hold {', '.join(SECTIONS)} and nothing else"
        )

    def checked(what, value, kind, right):
        if not isinstance(value, kind):
            raise InputError(f"{path.name}: {what} is {_short(value)}; it should be {right}")
        return value

    found = {name: checked(name, content.get(name) or kind(), kind, right) for name, (kind, right) in SECTIONS.items()}
    for section in ("datasets", "stages"):
        for name, fields in found[section].items():
            checked(f"{name} of {section}", fields, dict | None, "fields of recipes")
    return found


def _short(value):
    """Return a value as a sentence can hold it."""
    text = value if isinstance(value, str) else repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."


def _each_dataset(content, file):
    """Return the entries of a list with all that it says about them elsewhere, one for each of an entry's data sets."""
    found, stages = [], content["stages"]
    for place, entry in enumerate(content["models"], 1):
        given = {**content["defaults"], **entry} if isinstance(entry, dict) else {}
        model, datasets, stage = given.get("model"), given.get("dataset"), given.get("stage")
        datasets = [datasets] if isinstance(datasets, str) else datasets
        named = isinstance(datasets, list) and datasets and all(isinstance(one, str) and one for one in datasets)
        if not (isinstance(model, str) and model and named):
            raise InputError(
                f"{file}: entry {place} of models is {_short(entry)}; it should name a model and a dataset or several, "
                "as {model: I3D-R18-f8, dataset: synth_ssv2}"
            )
        if stage is not None and stage not in list(stages):
            raise InputError(f"{file}: {model} has stage {stage!r}; listed are {', '.join(map(str, stages)) or 'none'}")
        for dataset in datasets:
            own, of_stage = content["datasets"].get(dataset) or {}, (stages[stage] if stage is not None else {}) or {}
            full = {**content["defaults"], **own, **of_stage, **entry, "dataset": dataset, "model": model}
            full.pop("stage", None)
            start = full.get("init_from")
            if isinstance(start, str) and start and "/" not in start:
                full["init_from"] = f"{dataset}/{start}"
            found.append(full)
    return found


def with_seed(key, seed):
    """Return the name of the checkpoint `key` as trained with a seed; seed 0 has the plain name."""
    return f"{key}-s{seed}" if seed else key


def without_seed(key):
    """Return (plain name, seed) of a checkpoint's name."""
    found = SEED.search(key)
    return (key[: found.start()], int(found[1])) if found else (key, 0)


def _ending(what, text, entry, file):
    """Return what is appended to a checkpoint's name; InputError unless it is text that a file's name can end with."""
    if text == "" or isinstance(text, str) and ENDING.fullmatch(text):
        return text
    raise InputError(
        f"{file}: {what} of {entry['model']} is {text!r}; it should be text that begins with - and goes on with "
        "letters and digits, in quotes where it would be a number"
    )


def _folds(key, entry, file):
    """Return [(key, entry)], one per fold of people where an entry has `folds`."""
    folds = entry.pop("folds", None)
    if folds is None:
        return [(key, entry)]
    if not (isinstance(folds, dict) and folds and all(isinstance(people, str) and people for people in folds.values())):
        raise InputError(
            f"{file}: folds of {key} is {_short(folds)}; it should be people, by names, as {{a: 'bob, eve'}}"
        )
    names = [_ending("a fold", f"-{fold}" if isinstance(fold, str) else fold, entry, file) for fold in folds]
    return [(key + name, {**entry, "held_out": people}) for name, people in zip(names, folds.values(), strict=True)]


def _check_seed(key, entry, file):
    """Raise InputError where a checkpoint's name would be taken for that of another seed."""
    plain, seed = without_seed(key)
    if plain != key and seed != entry.get("seed", 0):
        raise InputError(f"{file}: {key} ends as seed {seed} of {plain} does; give it another suffix, or `seeds`")


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
def parsed(text):
    """Return what YAML holds, read once as that takes a while; YAMLError where a name stands twice in one place."""
    return yaml.load(text, _Once)


class _Once(yaml.SafeLoader):
    """Plain YAML, in which no name stands twice in one place: the latter would quietly replace the former."""

    def construct_mapping(self, node, deep=False):
        names = [key.value for key, _ in node.value if isinstance(key, yaml.ScalarNode)]
        for name in names:
            if names.count(name) > 1:
                raise yaml.constructor.ConstructorError(None, None, f"{name} stands there twice", node.start_mark)
        return super().construct_mapping(node, deep)
