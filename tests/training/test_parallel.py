"""Training in two processes, as torchrun starts them: the steps of one, killed and resumed, refusals."""

import contextlib
import json
import os
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import psutil
import pytest
import torch

from paperlib.training import checkpoints

from ..data import videos

TORCHRUN = [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node", "2", "--standalone"]
TRAIN = [
    "train",
    "--model",
    "TAM2D-R18-f4",
    "--dataset",
    "folder",
    "--width",
    "4",
    "--size",
    "32",
    "--batch",
    "8",
    "--lr",
    "0.05",
    "--epochs",
    "6",
    "--zoom",
    "1.25",
    "--device",
    "cpu",
]


@pytest.fixture
def project(tmp_path):
    """A project folder with own videos of two classes: dark and bright."""
    for name, colour in (("dark", (10, 20, 30)), ("bright", (240, 220, 210))):
        for k in range(11):
            videos.write(tmp_path / "videos" / name / f"{k}.mp4", n=12, width=48, height=48, colour=colour)
    (tmp_path / "videos" / "dark" / "broken.mp4").write_bytes(b"nothing")
    return tmp_path


def start(root, *arguments):
    environment = {
        **os.environ,
        "PAPERLIB_HOME": str(root),
        "OMP_NUM_THREADS": "1",
        "PYTHONPATH": str(Path(__file__).parents[2]),
    }
    return subprocess.Popen(
        [*TORCHRUN, *arguments],
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )


def train(root, name):
    process = start(root, "-m", "paperlib.cli", *TRAIN, "--data-root", str(root), "--out", str(root / name))
    return process, root / name


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_one_step_of_two_processes_is_the_step_of_one(tmp_path):
    process = start(tmp_path, str(Path(__file__).with_name("parallel_steps.py")), str(tmp_path / "out"))
    output = process.communicate(timeout=1500)[0]
    assert process.returncode == 0, output
    found = [json.loads((tmp_path / f"out.{rank}").read_text()) for rank in range(2)]
    assert sorted(found[0]["indices"] + found[1]["indices"]) == list(range(8))
    for one in found:
        assert max(one["gradient"], one["statistics"], one["evaluation"]) < 1e-9
        assert one["names"] and one["shared"] == "from 0" and one["total"] == 3


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_two_processes_learn_and_go_on_after_a_kill(project):
    process, whole = train(project, "whole.safetensors")
    output = process.communicate(timeout=1500)[0]
    assert process.returncode == 0, output
    header = checkpoints.meta(whole)
    assert header["processes"] == 2 and 0 <= header["accuracy"] <= 1
    assert header["history"][-1]["loss"] < header["history"][0]["loss"]
    assert len(header["skipped"]) == 1 and "broken" in header["skipped"][0]
    assert output.count("is left out") == 1 and output.count("validation accuracy") == 1

    process, parts = train(project, "parts.safetensors")
    runs = project / "data" / "runs"
    for _ in range(30_000):  # ten minutes
        if list(runs.glob("folder-parts-*.pt")) or process.poll() is not None:
            break
        time.sleep(0.02)
    for worker in psutil.Process(process.pid).children(recursive=True):
        with contextlib.suppress(psutil.NoSuchProcess):
            worker.kill()  # torchrun sees it and ends
    process.communicate(timeout=1500)
    (state,) = runs.glob("folder-parts-*.pt")
    assert not parts.exists()
    process, parts = train(project, "parts.safetensors")
    output = process.communicate(timeout=1500)[0]
    assert process.returncode == 0, output
    assert "epoch 1," not in output and "epoch 6," in output
    one, other = (checkpoints.load(file)[0].state_dict() for file in (whole, parts))
    assert all(torch.equal(one[key], other[key]) for key in one)
    losses = [[row["loss"] for row in checkpoints.meta(file)["history"]] for file in (whole, parts)]
    assert losses[0] == losses[1] and np.isfinite(losses[0]).all() and not state.exists()


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_a_batch_that_cannot_be_shared_is_refused(project):
    process = start(project, "-m", "paperlib.cli", *TRAIN, "--batch", "7", "--data-root", str(project))
    output = process.communicate(timeout=1500)[0]
    assert process.returncode != 0
    assert "batch 7 cannot be shared among 2 processes; give a multiple" in output
