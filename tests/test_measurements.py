"""What GPU tests and benchmarks measure is kept with its device; without a GPU, or unasked, they do not run."""

import os
import subprocess
import sys

import pandas as pd

from paperlib.storage import paths

TESTS = """
import pytest, torch

if {gpu}:
    torch.cuda.is_available = lambda: True
    torch.cuda.get_device_name = lambda: "A GPU, of sorts"

@pytest.mark.gpu
def test_on_gpu(record_property):
    record_property("error", 0.000123456)

def test_speed(benchmark):
    benchmark.pedantic(int, rounds=2)
    benchmark.extra_info["speedup"] = {speedup}

def test_plain(record_property):
    record_property("not", "kept")
"""


def run(folder, *arguments, gpu=False, speedup=2.5):
    (folder / "test_these.py").write_text(TESTS.format(gpu=gpu, speedup=speedup))
    command = [
        sys.executable,
        "-m",
        "pytest",
        "-q",
        "-rs",
        "-p",
        "tests.conftest",
        "-p",
        "no:cacheprovider",
        "-c",
        paths.ROOT / "pyproject.toml",
        "--rootdir",
        folder,
        *arguments,
        folder / "test_these.py",
    ]
    # a worker of pytest-xdist measures no time, and neither would what it starts
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PYTEST_XDIST")}
    return subprocess.run(
        command,
        cwd=paths.ROOT,
        env={**environment, "PAPERLIB_HOME": str(folder)},
        capture_output=True,
        text=True,
        timeout=800,
    ).stdout


def test_measurements_are_kept_by_test_and_device(tmp_path):
    kept = tmp_path / "figures" / "benchmarks.csv"
    said = run(tmp_path)
    assert "1 passed, 2 skipped" in said and "needs an NVIDIA GPU" in said and "quiet machine" in said, said
    assert not kept.exists()

    assert "3 passed" in run(tmp_path, "--benchmark-enable", gpu=True)
    first = pd.read_csv(kept).set_index(["test", "quantity"])
    assert first.value["test_these.py::test_on_gpu", "error"] == "0.0001235"
    assert first.value["test_these.py::test_on_gpu", "outcome"] == "passed"
    assert first.device["test_these.py::test_on_gpu", "error"] == "A GPU, of sorts"
    assert first.value["test_these.py::test_speed", "speedup"] == "2.5"
    assert ("test_these.py::test_speed", "median seconds") in first.index
    assert not first.index.get_level_values("test").str.contains("plain").any()

    run(tmp_path, "--benchmark-enable", speedup=3.5)  # without the GPU: its rows stay
    second = pd.read_csv(kept).set_index(["test", "quantity"])
    assert second.value["test_these.py::test_speed", "speedup"] == "3.5" and len(second) == len(first)
    assert second.value["test_these.py::test_on_gpu", "error"] == "0.0001235"
