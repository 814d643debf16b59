"""The same machine and seed give the same bits; other arithmetic and other devices agree within stated tolerances."""

import contextlib
import shutil

import numpy as np
import pandas as pd
import pytest
import torch
import yaml

from paperlib import models, relevance
from paperlib.companion import execute, runner, stale

from .companion import projects

pytestmark = pytest.mark.numerics

# A notebook of each paper, asked little enough to take seconds.
NOTEBOOKS = {
    "temporal_relevance/fig08_per_class": {"models": ["synth_ssv2/TAM2D-R18-f8"], "clips": 20, "scored": 32},
    "deep_analysis/table03_sampling": {
        "models": ["synth_kinetics_hard/TSN-R18-f8"],
        "views": {"clips": 2, "crops": 1, "videos": 8},
    },
    "video_features/fig01_architectures": {},
}
# Largest error against float64, relative to the largest value: float32 on the CPU, and on a GPU without TF32.
TOLERANCES = {"frame logits": 1e-4, "relevance": 2e-3, "atr": 2e-3}
DEVICES = ["cpu", pytest.param("cuda", marks=pytest.mark.gpu)]


def tables(name, root, patch, device="cpu"):
    """Execute one of NOTEBOOKS in a new project with empty caches; returns {file: content} of its CSVs."""
    projects.placed(patch, root)
    patch.setenv("PAPERLIB_HOME", str(root))
    (root / "notebooks" / name).parent.mkdir(parents=True)
    shutil.copy(runner.SNAKEFILE.parent / "notebooks" / f"{name}.ipynb", root / "notebooks" / f"{name}.ipynb")
    (root / "data").mkdir()
    for file in ("zoo.yaml", "checkpoints"):
        (root / "data" / file).symlink_to(runner.SNAKEFILE.parent / "data" / file)
    (root / "again.yaml").write_text(yaml.safe_dump({"extends": "mini", "notebooks": {name: NOTEBOOKS[name]}}))
    options = stale.Options("again.yaml", device=device)
    assert execute.execute(name, options, runner.threads_each()) == ("ok", "")
    return {f.name: f.read_bytes() for f in root.glob("figures*/*/*.csv")}


@pytest.mark.slow
@pytest.mark.parametrize("name", NOTEBOOKS)
def test_a_notebook_executed_twice_writes_the_same_bits(name, tmp_path, monkeypatch):
    first, second = (tables(name, tmp_path / turn, monkeypatch) for turn in ("first", "second"))
    assert first == second and any(content.count(b"\n") > 1 for content in first.values())


@pytest.mark.gpu
def test_a_notebook_gives_the_same_table_on_cpu_and_gpu(tmp_path, monkeypatch, record_property):
    name = "temporal_relevance/fig08_per_class"
    cpu, gpu = (tables(name, tmp_path / device, monkeypatch, device) for device in ("cpu", "cuda"))
    file = "fig08_per_class.csv"
    one, other = ((tmp_path / turn / file) for turn in ("cpu", "cuda"))
    one.write_bytes(cpu[file])
    other.write_bytes(gpu[file])
    numbers = [pd.read_csv(f).select_dtypes("number").to_numpy() for f in (one, other)]
    record_property("largest difference", float(np.nanmax(np.abs(numbers[0] - numbers[1]))))
    np.testing.assert_allclose(*numbers, rtol=1e-2, atol=1e-2)


@contextlib.contextmanager
def without_tf32():
    """Let convolutions on a GPU keep all bits of float32."""
    before = torch.backends.cuda.matmul.allow_tf32, torch.backends.cudnn.allow_tf32
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = False
    try:
        yield
    finally:
        torch.backends.cuda.matmul.allow_tf32, torch.backends.cudnn.allow_tf32 = before


def results(model, clips, device, dtype):
    """Return {name of TOLERANCES: float64 array} of one model on one device."""
    model, clips = model.to(device, dtype), clips.to(device, dtype)
    targets = torch.arange(len(clips), device=device) % 3
    with torch.no_grad():
        logits = model.frame_logits(clips)
    matrix = relevance.relevance_matrix(model, clips, targets)
    chosen = logits[torch.arange(len(clips)), :, targets]
    found = {"frame logits": logits, "relevance": matrix, "atr": relevance.atr(matrix.cpu(), chosen.abs().cpu()).avg}
    return {key: value.detach().double().cpu().numpy() for key, value in found.items()}


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("name", ["I3D-R18-f8", "TAM2D-R18-f8"])
def test_float32_agrees_with_float64(name, device, record_property):
    torch.manual_seed(0)
    model = models.create(name, num_classes=3, width=8).eval()
    clips = torch.rand(2, 3, 8, 48, 48) * 4 - 2  # what normalised pixels can be
    exact = results(model, clips, "cpu", torch.float64)
    with without_tf32():
        found = results(model, clips, device, torch.float32)
    for key, tolerance in TOLERANCES.items():
        error = np.abs(found[key] - exact[key]).max() / np.abs(exact[key]).max()
        record_property(f"{name} {key} error", float(error))
        assert error <= tolerance, key
