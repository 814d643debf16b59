"""What a reader needs to repeat a result: the revision of the code and the versions of the packages."""

import subprocess
from functools import cache
from importlib import metadata
from pathlib import Path

from . import paths

PACKAGES = ("torch", "torchvision", "numpy", "pandas", "scipy", "matplotlib", "captum", "opencv-python-headless", "av")


def revision():
    """Return the git revision of the code that runs, with `+` where files differ from it.

    `unknown` where that is no checkout, even if a folder above it is one of something else.
    """

    def git(*arguments):
        return subprocess.run(
            ["git", "-C", str(paths.CHECKOUT), *arguments], capture_output=True, text=True, check=True
        ).stdout.strip()

    try:
        if Path(git("rev-parse", "--show-toplevel")).resolve() != paths.CHECKOUT:
            return "unknown"
        changed = git("status", "--porcelain", "--untracked-files=no", "--", "paperlib", "notebooks", "data")
        return git("rev-parse", "--short=12", "HEAD") + ("+" if changed else "")
    except (OSError, subprocess.CalledProcessError):
        return "unknown"


@cache
def versions():
    """Return {package: installed version} of the packages that results depend on, as they were when first asked."""
    return {package: _version(package) for package in PACKAGES}


def _version(package):
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return "not installed"
