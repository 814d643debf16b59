"""Toy projects for the runner's tests: a folder with a few tiny notebooks, run in a process of its own."""

import json
import os
import subprocess
import sys
import time

import nbformat

from paperlib.storage import paths

PARAMETERS = 'profile = "mini"\ndata_root = ""\ndevice = "auto"\nseed = 0'
# Writes a CSV the way notebooks do, without the seconds that importing torch takes.
WRITES = """
from paperlib.storage import paths
with paths.atomic(paths.FIGURES / "{name}.csv") as temporary:
    temporary.write_text("a,b\\n1,{value}\\n")
"""
SKIPS = "class Skipped(Exception): pass\nraise Skipped('no data')"


def notebook(root, name, *cells, tagged=True):
    """Write a notebook with the given code cells after the parameters; returns its path."""
    content = nbformat.v4.new_notebook()
    if tagged:
        content.cells.append(nbformat.v4.new_code_cell(PARAMETERS, metadata={"tags": ["parameters"]}))
    content.cells += [nbformat.v4.new_code_cell(cell) for cell in cells]
    path = root / "notebooks" / f"{name}.ipynb"
    path.parent.mkdir(parents=True, exist_ok=True)
    nbformat.write(content, path)
    return path


def writer(root, name, value=2, extra=""):
    """Write a notebook that writes figures/<name>.csv."""
    return notebook(root, name, extra + WRITES.format(name=name, value=value))


def command(*arguments, module="paperlib.cli"):
    """Return the command line of a paperlib process."""
    return [sys.executable, "-m", module, *arguments]


def environment(root, **more):
    """Return the environment of a process that works on the toy project."""
    return {**os.environ, "PAPERLIB_HOME": str(root), **more}


def run(root, *arguments, timeout=300, **more):
    """Run `paperlib run` on the project; returns the finished process with its text output."""
    return subprocess.run(
        command("run", *arguments),
        env=environment(root, **more),
        capture_output=True,
        text=True,
        timeout=timeout,
    )


def record(root, name, profile="mini"):
    """Return the content of a notebook's run record."""
    return json.loads((root / "data" / "cache" / "runs" / profile / f"{name}.json").read_text())


def tables(root):
    """Return {name: content} of all CSVs under figures/."""
    return {f.relative_to(root).as_posix(): f.read_bytes() for f in sorted(root.glob("figures/**/*.csv"))}


def until(condition, seconds=300):
    """Wait for a condition."""
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.1)


def placed(monkeypatch, root):
    """Let this process take `root` for the project's folder; an empty project needs no more."""
    folders = {"NOTEBOOKS": "notebooks", "FIGURES": "figures", "CACHE": "data/cache", "CHECKPOINTS": "data/checkpoints"}
    for name, folder in {"ROOT": "", **folders}.items():
        monkeypatch.setattr(paths, name, root / folder)
