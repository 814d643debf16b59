"""Find fixture files that lie beside the repository and are never copied into it."""

import os
from pathlib import Path

import pytest

FOLDER = Path(os.environ.get("PAPERLIB_SHARED") or Path(__file__).resolve().parents[2] / "shared")


def path(relative):
    """Return the fixture's path, or skip the test where the folder is absent."""
    found = FOLDER / relative
    if not found.exists():
        pytest.skip(f"{relative} is not beside this checkout")
    return found
