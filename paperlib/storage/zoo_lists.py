"""What `data/zoo.yaml` and, beside it, `data/zoo_people.yaml` list: one entry per checkpoint."""

import copy
from functools import cache

import yaml

from . import paths

PEOPLE = "zoo_people.yaml"  # models that are trained once per fold of people


def location():
    """Return the project's list, wherever the project is now: a constant would keep the folder of the first import."""
    paths.need_project("the zoo's networks")
    return paths.ROOT / "data" / "zoo.yaml"


def entries(file=None):
    """Return [(`<dataset>/<checkpoint>`, entry)] of a list and of the people's list beside it, in their order.

    `defaults` and `datasets.<name>` fill in what an entry leaves open, `suffix` is appended to the checkpoint's
    name. `folds`, {name: people held out}, makes one entry per fold, with the fold's name at its end.
    """
    found, file = [], file or location()
    for path in (file, file.with_name(PEOPLE)):
        content = (copy.deepcopy(_parsed(path.read_text(encoding="utf-8"))) or {}) if path.is_file() else {}
        for entry in content.get("models") or []:
            common = (content.get("defaults") or {}), (content.get("datasets") or {}).get(entry["dataset"]) or {}
            entry = {**common[0], **common[1], **entry}
            key = f"{entry['dataset']}/{entry['model']}{entry.pop('suffix', '')}"
            folds = entry.pop("folds", None)
            if folds is None:
                found.append((key, entry))
            else:
                found += [(f"{key}-{fold}", {**entry, "held_out": people}) for fold, people in folds.items()]
    return found


@cache
def _parsed(text):
    """Return what YAML holds; the lists are asked for once per notebook, and reading them takes a while."""
    return yaml.safe_load(text)
