"""gpu.sh and gpu_zoo.sh, tried on a CPU in a copy that holds only what they say they need; what they find is kept."""

import csv
import json
import os
import shutil
import subprocess
import sys
import tarfile

import pytest
import torch

from paperlib import relevance
from paperlib.storage import paths

from . import floor, gpu_results


def call(script, *arguments, root=paths.ROOT, code=0):
    """Run a script as a user does and return what it prints."""
    done = subprocess.run(
        [root / "tests" / "benchmarks" / script, *arguments],
        capture_output=True,
        text=True,
        env={**os.environ, "PAPERLIB_PYTHON": sys.executable, "OMP_NUM_THREADS": "1", "PYTHONPATH": ""},
    )
    assert done.returncode == code, done.stdout + done.stderr
    return done.stdout


@pytest.fixture
def travelled(tmp_path):
    """A copy of what gpu.sh needs, without git, data or figures."""
    for name in call("gpu.sh", "--needs").split():
        source, copy = paths.ROOT / name, tmp_path / "project" / name
        copy.parent.mkdir(parents=True, exist_ok=True)
        if source.is_dir():
            shutil.copytree(source, copy, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(source, copy)
    return tmp_path / "project"


@pytest.mark.slow
def test_gpu_script_measures_in_a_copy_of_what_it_needs(travelled, tmp_path):
    assert sum(f.stat().st_size for f in travelled.rglob("*") if f.is_file()) < 8e6
    out = tmp_path / "out"
    said = call("gpu.sh", "--dry", out, root=travelled)
    found = json.loads((out / "results.json").read_text())
    assert [(step["step"], step["ended"]) for step in found["steps"]] == [
        (name, "ok") for name in ("about", "tests", "relevance", "masks", "zoo")
    ], said
    assert sum(step["limit"] for step in found["steps"]) <= 480
    assert "needs an NVIDIA GPU" in found["steps"][1]["log"] and "failed" not in found["steps"][1]["log"]
    assert found["steps"][2]["found"]["profile of I3D-R18-f4 in tf32"]["longest"]
    with open(out / "results.csv", newline="") as opened:
        rows = {(row["test"].partition("::")[2], row["quantity"]): row["value"] for row in csv.DictReader(opened)}
    for case in ("bfloat16", "tf32", "float32"):
        case = f"relevance[I3D-R18-f4-{case}]"
        assert 0 < float(rows[case, "error"]) < 0.1
        assert float(rows[case, "times_floor"]) > 1 and float(rows[case, "forward_passes"]) > 1
    for library in ("zennit", "captum"):
        assert float(rows[f"relevance[I3D-R18-f4-{library}]", "times_slower"]) > 0
    assert float(rows["masks[TAM2D-R18-f4]", "largest difference of a mask"]) < 1e-3
    assert float(rows["zoo[synth_ssv2/TAM2D-R18-f8]", "difference"]) == 0
    with pytest.raises(SystemExit, match="nothing in it was measured on a GPU"):
        gpu_results.take(out / "results.csv", tmp_path / "kept.csv")


def test_a_step_that_fails_or_is_stopped_does_not_lose_the_others(tmp_path):
    parts, kept = tmp_path / "parts", tmp_path / "kept.csv"
    parts.mkdir()
    header = "test,device,quantity,value\n"
    (parts / "steps.csv").write_text("relevance,190,191,124\nmasks,55,3,1\n")
    (parts / "relevance.csv").write_text(header + 'gpu.sh::relevance[I3D],"Card, 80GB",times_floor,1.4\n')
    (parts / "masks.log").write_text("out of memory")
    gpu_results.gather(parts, tmp_path)
    steps = json.loads((tmp_path / "results.json").read_text())["steps"]
    assert [step["ended"] for step in steps] == ["stopped at its limit", "failed: 1"]
    assert steps[1]["log"] == "out of memory"

    kept.write_text(
        header
        + 'gpu.sh::relevance[I3D],"Card, 80GB",times_floor,9\n'
        + "gpu.sh::relevance[I3D],Another card,times_floor,7\n"
    )
    assert gpu_results.take(tmp_path / "results.csv", kept) == 1
    assert kept.read_text().splitlines()[1:] == [
        "gpu.sh::relevance[I3D],Another card,times_floor,7",
        'gpu.sh::relevance[I3D],"Card, 80GB",times_floor,1.4',
    ]


def test_the_floor_is_of_the_convolutions_that_relevance_computes():
    """In a network without windows: as many multiply-accumulates per target as its forward pass has."""
    layers = [torch.nn.Conv3d(3, 4, (1, 3, 3), (1, 2, 2), (0, 1, 1), bias=False), torch.nn.ReLU()]
    layers += [torch.nn.Conv3d(4, 6, 3, padding=1, groups=2, bias=False), torch.nn.ReLU()]

    class Network(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.layers, self.fc = torch.nn.Sequential(*layers), torch.nn.Linear(6, 2)

        def frame_logits(self, clip):
            return self.fc(self.layers(clip).mean((2, 3, 4)))[:, None]

    torch.manual_seed(0)
    model, clip = Network().eval(), torch.rand(1, 3, 4, 8, 8)
    with floor.recorded() as calls:
        relevance.relevance_matrix(model, clip, 1)
    outputs = 4 * 4 * 4  # frames, rows, columns
    parts = 2  # z-beta takes the first layer's positive and negative weights, each with its own activation
    assert floor.macs(calls) == parts * outputs * 4 * 3 * 9 + outputs * 6 * 2 * 27
    assert floor.floor(calls, "cpu") > 0 and floor.floor(calls, "cpu", channels_last=True) > 0


@pytest.mark.slow
def test_zoo_script_trains_what_is_missing_and_goes_on(tmp_path):
    first, second = tmp_path / "first", tmp_path / "second"
    call("gpu_zoo.sh", "--dry", first)
    (archive,) = first.iterdir()
    assert archive.name == "checkpoints-1.tar" and archive.stat().st_size < 16e6
    with tarfile.open(archive) as opened:
        names = opened.getnames()
    assert names == [f"data/checkpoints/synth_ssv2/TSN-R18-f{n}.safetensors" for n in (4, 8)]
    call("gpu_zoo.sh", "--dry", "--from", first, second)
    assert list(second.iterdir()) == []  # nothing was missing


@pytest.mark.parametrize("script", ["gpu.sh", "gpu_zoo.sh"])
def test_a_call_that_makes_no_sense_is_told_what_would(script):
    call(script, code=2)
    call(script, "--wet", "out", code=2)
    assert "--dry" in call(script, "--help")
