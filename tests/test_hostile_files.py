"""No file makes the project run code, whatever its name says it is: every way in which one is read.

The caches, the kept frames and the state of a training have such a test beside their own (test_cache.py,
test_training.py), and so has the one data set that is published as a pickle (data/test_public_people.py).
"""

import io
import pickle
import shutil

import numpy as np
import pytest
import torch
from safetensors.torch import save

from paperlib import data, models
from paperlib.companion import bootstrap
from paperlib.errors import InputError
from paperlib.explanation import artifact
from paperlib.papers import settings
from paperlib.training import checkpoints


class Bomb:
    """Unpickled, it makes a file `executed` in the working folder."""

    def __reduce__(self):
        return (open, ("executed", "w"))


def written(write, content):
    """Return the bytes that `write(file, content)` writes."""
    file = io.BytesIO()
    write(file, content)
    return file.getvalue()


HOSTILE = {
    "plain pickle": pickle.dumps(Bomb()),
    "old pickle": pickle.dumps(Bomb(), protocol=0),
    "torch": written(lambda f, c: torch.save(c, f), {"state_dict": {"fc.weight": torch.zeros(3, 4), "x": Bomb()}}),
    "old torch": written(lambda f, c: torch.save(c, f, _use_new_zipfile_serialization=False), {"x": Bomb()}),
    "npy": written(lambda f, c: np.save(f, c), np.array([Bomb()], object)),
    "npz": written(lambda f, c: np.savez(f, frames=c, info=c, original_masks=c), np.array([Bomb()], object)),
    "safetensors": save(
        {"a": torch.frombuffer(bytearray(pickle.dumps(Bomb())), dtype=torch.uint8)},
        {"config": "!!python/object/apply:os.system ['touch executed']"},
    ),
}


def network():
    return models.create("TSN-R18-f8", num_classes=3, width=4)


READERS = {
    "model.safetensors": [
        checkpoints.load,
        checkpoints.meta,
        lambda f: checkpoints.initialise(network(), f),
        lambda f: models.load_published(network(), f),
    ],
    "weights.pth": [lambda f: models.load_published(network(), f)],
    "weights.pth.tar": [lambda f: models.load_published(network(), f)],
    "weights.pyth": [lambda f: models.load_published(network(), f)],
    "found.npz": [artifact.load],
}


@pytest.mark.filterwarnings("error")  # one sentence of ours, and no advice of torch's
@pytest.mark.parametrize("kind", HOSTILE)
@pytest.mark.parametrize("name", READERS)
def test_it_is_refused_by_name_and_nothing_is_executed(tmp_path, monkeypatch, name, kind):
    monkeypatch.chdir(tmp_path)
    file = tmp_path / name
    file.write_bytes(HOSTILE[kind])
    for read in READERS[name]:
        with pytest.raises(InputError, match=name):
            read(file)
    assert not (tmp_path / "executed").exists()


def test_the_files_would_execute_if_they_were_loaded(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for kind in ("plain pickle", "old pickle"):
        pickle.loads(HOSTILE[kind]).close()
        (tmp_path / "executed").unlink()
    for kind in ("torch", "old torch"):
        torch.load(io.BytesIO(HOSTILE[kind]), weights_only=False)
        (tmp_path / "executed").unlink()


@pytest.mark.parametrize("kind", ["plain pickle", "npy", "npz", "torch"])
def test_a_matlab_file_is_not_unpickled(tmp_path, monkeypatch, kind):
    from paperlib.data.public import weizmann

    monkeypatch.chdir(tmp_path)
    for name in weizmann.FILES:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(HOSTILE[kind])
    with pytest.raises(InputError):
        data.load("weizmann", "train", root=tmp_path)
    assert not (tmp_path / "executed").exists()


def test_a_profile_is_data(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "own.yaml").write_text("defaults: !!python/object/apply:os.system ['touch executed']\n")
    with pytest.raises(InputError, match="own.yaml is not YAML"):
        settings.settings("p/n", str(tmp_path / "own.yaml"))
    assert not (tmp_path / "executed").exists()


def test_parquet_is_read_by_a_version_that_does_not_unpickle():
    versions = {name: version for name, version, _ in bootstrap.pins(bootstrap.ROOT / "requirements.lock")}
    assert tuple(map(int, versions["pyarrow"].split("."))) >= (14, 0, 1)  # CVE-2023-47248


def test_packages_are_installed_only_with_their_hashes(tmp_path, monkeypatch):
    asked = []
    (tmp_path / "requirements.lock").write_text("tiny==1 \\\n    --hash=sha256:00\n")
    monkeypatch.setattr(bootstrap, "create", lambda folder: (folder / "bin").mkdir(parents=True))
    monkeypatch.setattr(bootstrap, "differences", lambda python, pins: None)
    monkeypatch.setattr(bootstrap, "editable", lambda python, root: False)
    monkeypatch.setattr(bootstrap, "pip", lambda python, log, *arguments, **more: asked.append(arguments))
    monkeypatch.setattr(shutil, "disk_usage", lambda root: type("", (), {"free": 1e12}))
    bootstrap.venv(tmp_path)
    first, second = asked
    assert first[0] == "--require-hashes" and first[1:] == ("-r", str(tmp_path / "requirements.lock"))
    assert "--no-deps" in second and second[-2:] == ("-e", str(tmp_path))  # the checkout itself, nothing else
