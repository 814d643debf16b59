"""What a profile (`paperlib/profiles/*.yaml`) says about one notebook."""

from importlib import resources

import yaml

from . import paths
from .errors import InputError


def settings(name, profile="mini"):
    """Return a notebook's settings: the profile's `defaults` updated with the notebook's own entry.

    `profile` is the name of a file in `paperlib/profiles/` or the path of a YAML file of one's own.
    """
    folder = resources.files("paperlib") / "profiles"
    file = folder / f"{profile}.yaml"
    if profile.endswith((".yaml", ".yml")):
        file = paths.ROOT / profile
    if not file.is_file():
        known = sorted(f.name.removesuffix(".yaml") for f in folder.iterdir() if f.name.endswith(".yaml"))
        raise InputError(
            f"profile {profile!r} does not exist; there are {', '.join(known)}, or give a .yaml file"
        )
    try:
        content = yaml.safe_load(file.read_text(encoding="utf-8")) or {}
    except yaml.YAMLError as error:
        raise InputError(f"profile {file} is not YAML: {error}") from None
    return {**(content.get("defaults") or {}), **((content.get("notebooks") or {}).get(name) or {})}
