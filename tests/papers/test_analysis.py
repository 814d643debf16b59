"""Relevance of a data set: the paper's filter, the clips chosen, the cache, and that it follows the files."""

import os

import numpy as np
import pytest
import torch

from paperlib import data, models
from paperlib.data import clips
from paperlib.errors import InputError
from paperlib.papers import analysis
from paperlib.training import checkpoints, evaluation, train

from .. import toy
from ..data import videos


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    folder = tmp_path_factory.mktemp("zoo")
    with pytest.MonkeyPatch.context() as patch:
        toy.project(folder, patch)
        recipe = train.Recipe("TAM2D-R18-f8", "toy_bars", width=4, size=32, epochs=6, batch=16, lr=0.05)
        train.run(recipe, device="cpu", progress=False)
        yield "toy_bars/TAM2D-R18-f8"


def test_only_clear_correct_predictions_are_explained(trained):
    found = analysis.explain(trained, clips=10)
    scored = analysis.predictions(trained)
    assert found.matrix.shape == (10, 8, 8) and found.frame_logits.shape == (10, 8)
    assert (found.scores > 0.5).all() and found.considered == 32
    assert scored["correct"][found.videos].all()
    assert np.bincount(found.labels).tolist() == [5, 5]
    assert ((found.avg >= 1) & (found.avg <= 8) & (found.max >= found.avg)).all()


def test_an_impossible_filter_is_an_error(trained):
    with pytest.raises(InputError, match="above 1.1"):
        analysis.explain(trained, min_score=1.1)


def test_second_call_reads_the_cache_and_another_checkpoint_does_not(trained, monkeypatch):
    first = analysis.explain(trained, clips=4)
    calls = []
    real = analysis.relevance.relevance_matrix
    monkeypatch.setattr(analysis.relevance, "relevance_matrix", lambda *a, **k: calls.append(1) or real(*a, **k))
    assert np.array_equal(analysis.explain(trained, clips=4).matrix, first.matrix) and not calls
    analysis.explain(trained, clips=4, method="lrp")
    assert calls
    model, header = checkpoints.load(trained)
    before, _, videos = analysis.opened(trained, None, "val", None, "cpu", None)
    assert analysis.opened(trained, None, "val", None, "cpu", None)[0] is before
    keys = analysis.key_of(trained, videos)
    model.fc.weight.data += 0.01
    checkpoints.save(checkpoints.find(trained), model, {k: v for k, v in header.items() if k != "config"})
    after, _, videos = analysis.opened(trained, None, "val", None, "cpu", None)
    assert analysis.key_of(trained, videos) != keys
    assert before.fc.weight.abs().max() < 0.5  # below that, 16 bits are 2 ** -12 apart
    assert torch.allclose(after.fc.weight, before.fc.weight + 0.01, rtol=0, atol=2**-12)


def test_explained_clips_are_the_first_that_are_right_in_an_order_that_all_checkpoints_share(trained):
    found = analysis.explain(trained, clips=3, min_score=0.0)
    order = analysis.in_turn(np.asarray(analysis.opened(trained, None, "val", None, "cpu", None)[2].labels))
    assert sorted(found.videos) == sorted([i for i in order if found.correct[i]][:3])
    assert found.correct.sum() == found.right and len(found.correct) == found.considered


def test_results_are_those_of_the_pictures_that_a_data_set_without_files_gives_now(trained, monkeypatch):
    before, real = analysis.predictions(trained)["scores"], toy.Bars.frames
    monkeypatch.setattr(toy.Bars, "frames", lambda self, i, indices: 255 - real(self, i, indices))
    now = analysis.predictions(trained)["scores"]
    expected = evaluation.class_scores(checkpoints.load(trained)[0], toy.load("toy_bars", "val", size=32))
    assert np.allclose(now, expected, atol=1e-5) and not np.allclose(now, before, atol=1e-2)


@pytest.fixture
def own(tmp_path, monkeypatch):
    """A data root with the videos of two classes, and an untrained network for them."""
    toy.project(tmp_path / "project", monkeypatch)
    monkeypatch.setenv("PAPERLIB_DATA", str(tmp_path / "root"))
    for label in ("jump", "sit"):
        for k in range(3):
            videos.write(tmp_path / f"root/videos/val/{label}/{k}.mp4", n=12, first=3 * k)
    torch.manual_seed(0)
    about = {"dataset": "folder", "classes": ["jump", "sit"], "recipe": {"size": 32}}
    checkpoints.save(
        checkpoints.path("folder/TSN-R18-f4"), models.create("TSN-R18-f4", num_classes=2, width=4).eval(), about
    )
    return tmp_path / "root/videos/val"


def anew(indices=(1, 4, 7, 10)):
    """Return (scores [n, K], labels [n]) of the videos as they are on disk, without anything that is kept."""
    dataset = data.load("folder", split="val", size=32)
    model = checkpoints.load("folder/TSN-R18-f4")[0]
    seen = torch.stack([clips.to_clip(dataset.frames(i, np.array(indices))) for i in range(len(dataset))])
    with torch.no_grad():
        return model(seen).softmax(1).numpy(), dataset.labels


def same(found):
    scores, labels = anew()
    return np.array_equal(found["labels"], labels) and np.allclose(found["scores"], scores, atol=1e-5)


def test_results_are_those_of_the_files_as_they_are_now(own):
    first = analysis.predictions("folder/TSN-R18-f4")
    assert same(first)
    model, header, opened = analysis.opened("folder/TSN-R18-f4", None, "val", None, "cpu", None)
    assert analysis.opened("folder/TSN-R18-f4", None, "val", None, "cpu", None)[2] is opened  # nothing has changed
    videos.write(own / "jump/1.mp4", n=12, colour=(250, 20, 20))
    os.utime(own / "jump/1.mp4", (1e9, 1e9))
    replaced = analysis.predictions("folder/TSN-R18-f4")
    assert same(replaced) and not np.allclose(replaced["scores"][1], first["scores"][1])
    (own / "jump/0.mp4").rename(own / "sit/9.mp4")
    relabelled = analysis.predictions("folder/TSN-R18-f4")
    assert same(relabelled) and relabelled["labels"].tolist() == [0, 0, 1, 1, 1, 1]


def test_videos_shorter_than_a_clip_are_told(own, capsys):
    videos.write(own / "sit/2.mp4", n=3)
    assert len(analysis.predictions("folder/TSN-R18-f4")["labels"]) == 6
    assert "folder: 1 of 6 videos have fewer than 4 frames; a clip shows some of them more than once" in (
        capsys.readouterr().out
    )
    file = checkpoints.find("folder/TSN-R18-f4")
    model, header = checkpoints.load(file)
    dense = {"size": 32, "sampling": "dense", "stride": 2}
    checkpoints.save(file, model, {**{k: v for k, v in header.items() if k != "config"}, "recipe": dense})
    analysis.predictions("folder/TSN-R18-f4")
    assert "1 of 6 videos have fewer than 7 frames; a clip starts over at their end" in capsys.readouterr().out
