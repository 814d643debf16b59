"""Relevance of a data set: the paper's filter, the clips chosen, the cache."""

import numpy as np
import pytest
import torch

from paperlib.errors import InputError
from paperlib.papers import analysis
from paperlib.training import checkpoints, train

from .. import toy


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
