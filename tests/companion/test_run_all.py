"""run_all.sh itself: its help, its errors, its pins, and that shellcheck has nothing to say."""

import argparse
import os
import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from paperlib.commands import run_command
from paperlib.companion import bootstrap
from paperlib.papers import settings

from . import projects

ROOT = bootstrap.ROOT


@pytest.fixture
def tools(tmp_path):
    """A search path with what the script needs of the system, but no Python; returns the folder."""
    for tool in ("bash", "cat", "dirname", "env"):
        (tmp_path / tool).symlink_to(shutil.which(tool))
    return tmp_path


def call(*arguments, script=ROOT / "run_all.sh", **environment):
    """Run the script; the Python of these tests stands in for the environment it would set up."""
    return subprocess.run(
        [script, *arguments],
        env={**os.environ, "PAPERLIB_PYTHON": sys.executable, **environment},
        capture_output=True,
        text=True,
        timeout=800,
    )


def canonical(requirement):
    """Return a requirement's package name in its canonical spelling."""
    return re.sub(r"[-_.]+", "-", re.match(r"[A-Za-z0-9._-]+", requirement).group()).lower()


def test_help_names_every_option_and_needs_no_environment(tools):
    parser = argparse.ArgumentParser()
    run_command.arguments(parser)
    options = {option for action in parser._actions for option in action.option_strings}
    done = call("fig02", "--help", PATH=str(tools))
    assert done.returncode == 0, done.stderr
    assert {option for option in options if len(option) > 2} <= set(re.findall(r"--[a-z-]+", done.stdout))


def test_without_a_new_enough_python_it_says_so(tools):
    (tools / "python3").write_text("#!/bin/sh\nexit 1\n")  # a pyenv shim of a version that is not installed
    (tools / "python3").chmod(0o755)
    done = call("--list", PATH=str(tools))
    assert done.returncode == 3 and "Python 3.11 or newer is needed and none was found" in done.stderr
    done = call("--list", PAPERLIB_PYTHON="/no/such/python")
    assert done.returncode == 3 and "/no/such/python, which cannot be run" in done.stderr


def test_paths_are_those_of_the_folder_it_is_called_in(tmp_path):
    (tmp_path / "bin").mkdir()
    python = tmp_path / "bin" / "py"
    python.write_text(f'#!/bin/sh\nexec "{sys.executable}" "$@"\n')
    python.chmod(0o755)
    (tmp_path / "videos").mkdir()
    (tmp_path / "mine.yaml").write_text("extends: mini\n")
    (tmp_path / "yaml.py").write_text("raise SystemExit('not ours')")
    call = [ROOT / "run_all.sh", "fig01_method", "--list", "--profile", "mine.yaml", "--data-root", "videos"]
    environment = {**os.environ, "PAPERLIB_PYTHON": "bin/py"}
    done = subprocess.run(call, cwd=tmp_path, env=environment, capture_output=True, text=True)
    assert done.stdout == "temporal_relevance/fig01_method  not executed yet\n", done.stderr
    (tmp_path / "videos").rmdir()
    done = subprocess.run(call, cwd=tmp_path, env=environment, capture_output=True, text=True)
    assert done.returncode == 2 and "--data-root videos is not a folder" in done.stderr


def test_a_profile_has_one_name_wherever_the_run_is_called(tmp_path, monkeypatch):
    root = tmp_path / "project"
    projects.placed(monkeypatch, root)
    (root / "mine").mkdir(parents=True)
    for file in (root / "own.yaml", root / "mine/own.yaml", tmp_path / "other.yaml"):
        file.write_text("extends: mini\n")
    found = {
        root: {"own.yaml": "own.yaml", "mine/own.yaml": "mine/own.yaml", "../other.yaml": f"{tmp_path}/other.yaml"},
        root / "mine": {"own.yaml": "mine/own.yaml", "../own.yaml": "own.yaml", "mini": "mini"},
        tmp_path: {"own.yaml": "own.yaml", str(root / "own.yaml"): "own.yaml"},  # not here: the project's
    }
    for folder, names in found.items():
        monkeypatch.chdir(folder)
        assert {name: settings.named(name) for name in names} == names


@pytest.mark.slow
def test_it_runs_notebooks_from_any_folder_through_a_link(tmp_path):
    root = tmp_path / "a b é"
    shutil.copytree(ROOT / "paperlib", root / "paperlib", ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("run_all.sh", "Snakefile"):
        shutil.copy(ROOT / name, root)
    shutil.copytree(ROOT / "profiles", root / "profiles")
    (root / "data").mkdir()
    (root / "data/zoo.yaml").write_text(
        "models: []\n"
    )  # by which a clone of the project is told from the library alone
    projects.writer(root, "p/fig 1é")
    done = subprocess.run(
        [root / "run_all.sh", "--jobs", "1"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        env={**os.environ, "PAPERLIB_PYTHON": sys.executable},
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert (root / "figures/p/fig 1é.csv").read_text() == "a,b\n1,2\n"

    # library code the notebook uses: executed again; code it does not use: not
    for file, status in {"masks/__init__.py": "up to date", "storage/paths.py": "ok"}.items():
        with open(root / "paperlib" / file, "a") as opened:
            opened.write("# changed\n")
        done = subprocess.run(
            [root / "run_all.sh"],
            capture_output=True,
            text=True,
            env={**os.environ, "PAPERLIB_PYTHON": sys.executable},
        )
        assert re.search(rf"fig 1é +{status}", done.stdout), done.stdout


def test_tests_are_handed_to_pytest(tmp_path):
    (tmp_path / "test_x.py").write_text("def test_x():\n    assert False\n")
    done = call("--tests", "-q", "-p", "no:cacheprovider", str(tmp_path))
    assert done.returncode == 1 and "1 failed" in done.stdout


SCRIPTS = ("run_all.sh", ".ci/run", "tests/processors.sh", "tests/benchmarks/gpu.sh", "tests/benchmarks/gpu_zoo.sh")


@pytest.mark.parametrize("script", SCRIPTS)
def test_shellcheck_is_content(script):
    done = subprocess.run([Path(sys.executable).parent / "shellcheck", ROOT / script], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout


def test_the_three_lists_of_packages_agree():
    direct = {
        canonical(line)
        for line in (ROOT / "requirements.in").read_text().splitlines()
        if line.strip() and not line.startswith("#")
    }
    lock = {}
    for name, version, marker in bootstrap.pins(ROOT / "requirements.lock"):
        lock.setdefault(canonical(name), []).append((version, marker))
    conda = {canonical(name): version for name, version, _ in bootstrap.pins(ROOT / "environment.yml")}
    assert set(conda) == direct <= set(lock)
    for name, version in conda.items():
        assert version in [v for v, _ in lock[name]], f"{name}=={version} is not what the lock pins"
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    needed = {
        canonical(r)
        for r in project["dependencies"]
        + project["optional-dependencies"]["companion"]
        + project["optional-dependencies"]["tests"]
    }
    assert needed <= direct


def test_every_package_of_the_lock_is_hashed():
    text = (ROOT / "requirements.lock").read_text()
    entries = re.split(r"^(?=[A-Za-z0-9])", text, flags=re.MULTILINE)[1:]
    assert len(entries) == len(bootstrap.pins(ROOT / "requirements.lock")) > 100
    assert all("--hash=sha256:" in entry for entry in entries)
    assert "http" not in re.sub(r"^[a-z0-9-]*http[a-z0-9-]*==|#.*", "", text, flags=re.MULTILINE)
