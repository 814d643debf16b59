"""What a profile (`paperlib/papers/profiles/*.yaml`) says about one notebook."""

import copy
import itertools
import os
import re
from functools import cache
from importlib import resources
from pathlib import Path

import yaml

from ..errors import InputError, meant
from ..storage import paths, zoo_lists

READ = ("models", "public", "rests_on", "runs")  # settings that the library itself reads, of any notebook
KINDS = {str: "text", bool: "true or false", dict: "a mapping", type(None): "nothing"}
KINDS |= dict.fromkeys((int, float), "a number")


def settings(name, profile="mini"):
    """Return a notebook's settings: the profile's `defaults` updated with the notebook's own entry.

    `profile` is the name of a file in `paperlib/papers/profiles/` or the path of a YAML file of one's own. A file that
    `extends` another profile changes that one's settings: by its `defaults` for every notebook, then by its entry; a
    file that it names is sought beside it first, then in the project's folder.
    A file of one's own is refused if it names a notebook or a setting that there is not, or a value of another kind.
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
    base = _base(content, profile)
    if base in (*above, profile):
        raise InputError(f"profile {profile!r} extends {base!r}, which extends it in turn")
    found = _settings(name, base, (*above, profile)) if base else {}
    return {**found, **(content.get("defaults") or {}), **((content.get("notebooks") or {}).get(name) or {})}


def _base(content, profile):
    """Return the profile that one extends, a file beside it as its whole path; "" for none."""
    base = str(content.get("extends") or "")
    beside = (paths.ROOT / profile).parent / base
    return os.path.realpath(beside) if _is_own(base) and beside.is_file() else base


def where(profile):
    """Return the file of a profile as one would name it to a reader."""
    return profile if _is_own(profile) else f"paperlib/papers/profiles/{profile}.yaml"


def named(profile):
    """Return a profile as settings and records call it: a file in the working folder by its path from the project."""
    own = Path(os.path.abspath(profile))
    return paths.relative(own) if _is_own(profile) and own.is_file() else profile


def _is_own(profile):
    return profile.endswith((".yaml", ".yml"))


@cache
def _released():
    """Return {name: content} of the profiles that come with the library."""
    folder = resources.files("paperlib.papers") / "profiles"
    files = sorted((f for f in folder.iterdir() if f.name.endswith(".yaml")), key=lambda file: file.name)
    return {file.name.removesuffix(".yaml"): yaml.safe_load(file.read_text(encoding="utf-8")) for file in files}


def _read(profile):
    """Return the content of a profile's file."""
    file = paths.ROOT / profile
    if not _is_own(profile) or not file.is_file():
        if profile not in _released():
            known = ", ".join(_released())
            raise InputError(f"profile {profile!r} does not exist; there are {known}, or give a .yaml file")
        return _released()[profile]
    if file.stem in _released():
        raise InputError(f"profile {file} has the name of a released one, whose results it would replace; rename it")
    return _own(file.read_bytes(), file)


@cache
def _own(written, file):
    """Return the content of a profile of one's own; a run asks for the same profile several times per notebook."""
    try:
        content = zoo_lists.parsed(written.decode()) or {}
    except (yaml.YAMLError, ValueError) as error:  # the latter: no text, or no date
        raise InputError(f"profile {file} is not YAML: {' '.join(str(error).split())}") from None
    if not isinstance(content, dict):
        raise InputError(f"profile {file} holds no settings; it takes extends, defaults and notebooks")
    _refuse_unknown(content, file)
    return content


def _refuse_unknown(content, file):
    """Raise InputError for a part, a notebook or a setting that a profile of one's own names and there is not."""

    def check(what, names, known):
        for name in names:
            if known and name not in known:
                raise InputError(f"profile {file} names the {what} {name!r}, which there is not{meant(name, known)}")

    check("part", content, ("extends", "defaults", "notebooks"))
    defaults, notebooks = content.get("defaults") or {}, content.get("notebooks") or {}
    for part in (defaults, notebooks, *(notebooks.values() if isinstance(notebooks, dict) else ())):
        if not isinstance(part, dict | None):
            raise InputError(f"profile {file} has {part!r} where settings should be, such as {{clips: 8}}")
    there = [f.relative_to(paths.NOTEBOOKS).with_suffix("").as_posix() for f in paths.NOTEBOOKS.glob("*/*.ipynb")]
    check("notebook", notebooks, there)
    released = {"", *(name for one in _released().values() for name in one.get("notebooks") or ())}
    kinds = _kinds()
    for name, entry in [("", defaults), *notebooks.items()]:
        if name in released:  # a notebook of one's own has whatever settings it likes, but for those in READ
            check("setting", entry or (), sorted(kinds))
        for setting, value in (entry or {}).items():
            # an empty list fits where any list does
            fits = [kind for kind in kinds.get(setting, ()) if kind.startswith(_kind(value))]
            if (name in released or setting in READ) and not fits:
                raise InputError(
                    f"profile {file} has {setting}: {value!r}, {_kind(value)}; it should be "
                    f"{' or '.join(sorted(kinds[setting]))}"
                )


@cache
def _kinds():
    """Return {setting: the kinds of its values, in words} of all settings of the released profiles."""
    found = {}
    for one in _released().values():
        for entry in [one.get("defaults"), *(one.get("notebooks") or {}).values()]:
            for setting, value in (entry or {}).items():
                found.setdefault(setting, set()).add(_kind(value))
    return found


def _kind(value):
    """Return in words of what kind a setting's value is."""
    if isinstance(value, list):
        return " and ".join(sorted({f"a list, each {_kind(item)}" for item in value})) or "a list"
    return KINDS.get(type(value), f"a {type(value).__name__}")
