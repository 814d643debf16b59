"""What a reader needs to repeat a result: the revision of the code and the versions of the packages."""

import subprocess
from functools import cache
from importlib import metadata

from . import paths

PACKAGES = ("torch", "torchvision", "numpy", "pandas", "scipy", "matplotlib", "captum", "opencv-python-headless", "av")


def revision():
    """Return the git revision of the checkout, with `+` where files differ from it, or `unknown` outside git."""

    def git(*arguments):
        return subprocess.run(
            ["git", "-C", str(paths.ROOT), *arguments], capture_output=True, text=True, check=True
        ).stdout.strip()

    try:
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
