"""The datasheet: facts, pictures and treatments of the procedural datasets."""

import numpy as np
import pytest
import torch
from PIL import Image

from paperlib import data
from paperlib.data.synthetic import ssv2
from paperlib.papers import datasheet
from paperlib.storage import paths


def test_facts_are_those_of_the_data():
    table = datasheet.facts(["synth_mit", "synth_kth"]).set_index("dataset")
    dataset = data.load("synth_mit", "val")
    lengths = [dataset.num_frames(i) for i in range(len(dataset))]
    row = table.loc["synth_mit"]
    assert (row["classes"], row["temporal classes"], row["val videos"]) == (24, 12, len(dataset))
    assert (row["frames, shortest"], row["frames, longest"]) == (min(lengths), max(lengths))
    assert table.loc["synth_kth", "train videos"] + table.loc["synth_kth", "val videos"] == 2391


def test_every_class_has_a_small_animation_that_moves(tmp_path, monkeypatch):
    monkeypatch.setattr(paths, "FIGURES", tmp_path)
    dataset = data.load("synth_ssv2", "val", size=48, limit=32)
    written = datasheet.animate(dataset, frames=6)
    assert list(written) == dataset.classes and len(set(written.values())) == 32
    for text, file in written.items():
        assert file.is_relative_to(tmp_path / "explore" / "datasets" / "synth_ssv2")
        with Image.open(file) as picture:
            assert picture.size == (48, 48) and picture.n_frames == 6, text
            first = np.asarray(picture.convert("RGB")).astype(int)
            picture.seek(3)
            assert np.abs(np.asarray(picture.convert("RGB")).astype(int) - first).max() > 30
        assert file.stat().st_size < 30_000
    assert datasheet.wall(written).count("<img") == 32


def test_animations_are_written_the_same_twice(tmp_path, monkeypatch):
    dataset, found = data.load("synth_kth", "val", size=32, limit=6), []
    for folder in ("one", "two"):
        monkeypatch.setattr(paths, "FIGURES", tmp_path / folder)
        found.append([file.read_bytes() for file in datasheet.animate(dataset, frames=4).values()])
    assert found[0] == found[1]


@pytest.mark.parametrize("treatment", datasheet.TREATMENTS)
def test_treatments_keep_each_clips_frames_and_change_their_order(treatment):
    clips = torch.arange(8.0).view(1, 1, 8, 1, 1).expand(5, 3, 8, 2, 2)
    clips = clips + 100 * torch.arange(5).view(5, 1, 1, 1, 1)
    seen = datasheet.treat(clips, treatment, np.random.RandomState(0))[:, 0, :, 0, 0]
    seen = seen - 100 * torch.arange(5)[:, None]
    order = {"as filmed": list(range(8)), "reversed": list(range(7, -1, -1)), "one frame": [4] * 8}
    for row in seen.tolist():
        assert row == order[treatment] if treatment in order else sorted(row) == list(range(8))
    if treatment == "shuffled":
        assert len({tuple(row) for row in seen.tolist()}) > 1, "every clip has its own order"


def test_partners_are_mutual():
    found = datasheet.partners(ssv2.CLASSES, ssv2.REVERSED)
    paired = np.flatnonzero(found >= 0)
    assert len(paired) == 24 and (found[found[paired]] == paired).all() and (found[paired] != paired).all()


def test_a_model_that_reads_order_is_told_by_its_scores(monkeypatch):
    """A hand-made "model" that knows whether brightness rises or falls over the clip."""

    class Rising(torch.nn.Module):
        num_frames = 4

        def forward(self, clips):
            change = (clips[:, :, -1] - clips[:, :, 0]).mean((1, 2, 3))
            return torch.stack([change, -change], 1)

    class Ramps:
        name, classes, labels = "ramps", ["rising", "falling"], np.array([0, 1] * 8)

        def __len__(self):
            return 16

        def num_frames(self, i):
            return 9

        def frames(self, i, indices):
            levels = np.asarray(indices) * 20 + 10
            levels = levels if self.labels[i] == 0 else 200 - levels
            return np.broadcast_to(levels[:, None, None, None], (len(indices), 8, 8, 3)).astype(np.uint8)

    monkeypatch.setattr(datasheet, "at_once", lambda *about: 5)  # several portions, the last one smaller
    found = datasheet.scores(Rising(), Ramps())
    right = {k: (v.argmax(1).numpy() == Ramps.labels).mean() for k, v in found.items()}
    assert right["as filmed"] == 1 and right["reversed"] == 0 and right["one frame"] == 0.5
