"""Masks and maps of the studied clips: from where they are learned, in which order, and that they are kept."""

import numpy as np
import pytest
import torch

from paperlib.papers import report
from paperlib.papers.video_features import study
from paperlib.storage import paths

from .test_notebook_code import studied


@pytest.fixture
def run(monkeypatch, tmp_path):
    monkeypatch.setattr(paths, "FIGURES", tmp_path)
    return report.start("video_features/table04_masks", device="cpu")


def test_masks_are_learned_from_the_best_window():
    """The network needs frames 11 and 12 alone; a mask that starts in the middle is learned from there."""

    class Late(torch.nn.Module):
        num_frames = 16

        def forward(self, x):
            moved = (x[:, :, 11:13] - x[:, :, 10:12]).abs().mean((1, 2, 3, 4))
            return torch.stack([20 * moved, torch.zeros_like(moved)], 1)

    video = torch.arange(16.0).view(1, 1, 16, 1, 1).expand(2, 3, 16, 8, 8)
    found = study.from_the_best_window(Late(), video, np.array([0, 0]), "default", {"iterations": 20})
    assert set(study.FIELDS) <= set(found) and found["whole"].shape == (2,)
    assert found["window"][0].nonzero()[0].tolist() == [11, 12]
    assert (found["mask"][0] > 0.5).nonzero()[0].tolist() == [11, 12]
    released = study.masks.learn(Late(), video, 0, preset="as_released", iterations=20)
    assert (found["loss"] < released.loss[-1].numpy()).all()
    pair = {"a": studied("I3D-original"), "b": studied("I3D-original", frames=32)}
    pair["b"].released_loss[5:] = np.nan  # not compared
    table = study.starts(pair)
    assert len(table) == 12 + 5 and (table.overlap == 1).all() and (table.released > table.kept).all()


def test_a_batch_that_another_process_is_at_comes_last(monkeypatch, run, tmp_path):
    """And what has been learned is not learned again."""
    monkeypatch.setattr(paths, "CACHE", tmp_path)
    order, checkpoint = [], "synth_kth/I3D-original-f32"
    run.settings.update(clips=3, presets={}, mask={"iterations": 1}, compared=0)
    monkeypatch.setattr(study, "BATCH", 1)
    busy, learn, held = study.locks.busy, study.masks.learn_from_window, []
    files = [tmp_path / "video_features" / f"synth_kth-I3D-original-f32.{number}.lock" for number in range(3)]
    monkeypatch.setattr(study.locks, "busy", lambda file: file == files[0])

    def watched(model, clips, **more):
        order.append(clips)
        held.append([number for number, file in enumerate(files) if busy(file)])
        return learn(model, clips, **more)

    monkeypatch.setattr(study.masks, "learn_from_window", watched)
    first = study.study(run, checkpoint)
    videos = study.open_checkpoint(run, checkpoint)[2]
    assert sorted(map(tuple, held)) == [(0,), (1,), (2,)] and held[-1] == [0]
    for clip, (number,) in zip(order, held, strict=True):
        assert torch.equal(clip, study.evaluation.load_clips(videos, [first.videos[number]], clip.shape[2]))
    again = study.study(run, checkpoint)
    assert len(order) == len(first.videos) and np.array_equal(again.mask, first.mask)
    assert np.isnan(first.released_loss).all()
    monkeypatch.setattr(study.masks, "learn_from_window", learn)
    monkeypatch.setattr(study, "BATCH", 2)
    run.settings["compared"] = 1
    assert np.isfinite(study.study(run, checkpoint).released_loss).tolist() == [True, False, False]
