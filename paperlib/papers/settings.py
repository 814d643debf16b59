"""What a profile (`paperlib/papers/profiles/*.yaml`) says about one notebook."""

import copy
import itertools
import re
from functools import cache
from importlib import resources

import yaml

from ..errors import InputError
from ..storage import paths, zoo_lists


def settings(name, profile="mini"):
    """Return a notebook's settings: the profile's `defaults` updated with the notebook's own entry.

    `profile` is the name of a file in `paperlib/papers/profiles/` or the path of a YAML file of one's own. A file that
    `extends` another profile changes that one's settings: by its `defaults` for every notebook, then by its entry.
    `runs: all` adds to the `models` of an entry their runs from other seeds, as far as the zoo lists them.
    """
    found = copy.deepcopy(_settings(name, profile, ()))  # whoever gets them may change them
    for key in ("models", "public"):
        if key in found:
            found[key] = [text for pattern in found[key] for text in spelled_out(pattern)]
    if found.get("runs") == "all":
        found["models"] = with_further_runs(found.get("models", []))
    return found


def with_further_runs(models):
    """Return the models, each followed by the training runs from other seeds that the zoo lists of it."""
    listed = {key for key, _ in zoo_lists.entries()}
    runs = [[zoo_lists.with_seed(key, seed) for seed in range(1, zoo_lists.MOST_SEEDS)] for key in models]
    return [key for plain, more in zip(models, runs, strict=True) for key in (plain, *(m for m in more if m in listed))]


def spelled_out(pattern):
    """Return the names that `a/{b,c}-d` stands for, as a shell would: a/b-d and a/c-d; {1..4} counts from 1 to 4.

    All five seeds of a model are `a/b` and `a/b-s{1..4}`.
    """
    parts = [_choices(part) if k % 2 else [part] for k, part in enumerate(re.split(r"[{}]", pattern))]
    return ["".join(chosen) for chosen in itertools.product(*parts)]


def _choices(braced):
    """Return what stands between braces: alternatives with commas, or the numbers from one to another."""
    numbers = re.fullmatch(r"(\d+)\.\.(\d+)", braced)
    return [str(k) for k in range(int(numbers[1]), int(numbers[2]) + 1)] if numbers else braced.split(",")


def _settings(name, profile, above):
    content = _read(profile)
    base = content.get("extends")
    if base in (*above, profile):
        raise InputError(f"profile {profile!r} extends {base!r}, which extends it in turn")
    found = _settings(name, str(base), (*above, profile)) if base else {}
    return {**found, **(content.get("defaults") or {}), **((content.get("notebooks") or {}).get(name) or {})}


def _read(profile):
    """Return the content of a profile's file."""
    folder = resources.files("paperlib.papers") / "profiles"
    file = folder / f"{profile}.yaml"
    if profile.endswith((".yaml", ".yml")):
        file = paths.ROOT / profile
    if not file.is_file():
        known = sorted(f.name.removesuffix(".yaml") for f in folder.iterdir() if f.name.endswith(".yaml"))
        raise InputError(f"profile {profile!r} does not exist; there are {', '.join(known)}, or give a .yaml file")
    try:
        content = _parsed(file.read_text(encoding="utf-8")) or {}
    except yaml.YAMLError as error:
        raise InputError(f"profile {file} is not YAML: {error}") from None
    if not isinstance(content, dict):
        raise InputError(f"profile {file} holds no settings; it takes extends, defaults and notebooks")
    return content


@cache
def _parsed(text):
    """Return what YAML holds; a run asks for the same profile once per notebook, and reading it takes a while."""
    return yaml.safe_load(text)
