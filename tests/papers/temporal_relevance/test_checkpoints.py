"""Checkpoints analysed in their own way: ensembles, dense clips, SlowFast; untrained, on toy videos."""

from dataclasses import asdict
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from paperlib.data import sampling
from paperlib.papers import analysis
from paperlib.papers.beyond import agreement, transformers
from paperlib.papers.temporal_relevance import explain_all, slowfast, windows
from paperlib.training import checkpoints, train

from ... import toy


@pytest.fixture
def zoo(tmp_path, monkeypatch):
    """Write the untrained checkpoint of a recipe on toy videos and return its name."""
    toy.project(tmp_path, monkeypatch)

    def write(name, **options):
        recipe = train.Recipe(name, "toy_bars", width=8, size=32, **options)
        model = train.build(recipe, 2)
        with torch.no_grad():  # a class that is always right for half of the videos, with logits above zero
            model.fc.weight.abs_()
            model.fc.weight[1] *= 0.5
        checkpoints.save(
            checkpoints.path(f"toy_bars/{name}"),
            model.eval(),
            {"recipe": asdict(recipe), "dataset": "toy_bars", "classes": ["left", "right"]},
        )
        return f"toy_bars/{name}"

    return write


def test_an_ensemble_is_scored_and_averaged_over_its_own_frames(zoo):
    key = zoo("TAM2D-R18-f8", ensemble=2)
    used = sampling.uniform(8, 2)
    found = analysis.explain(key, clips=3, min_score=0.0)
    assert (found.frame_logits[:, used] > 0).all()
    assert (np.delete(found.frame_logits, used, 1) == 0).all()
    weights = found.frame_logits[:, used] / found.frame_logits[:, used].sum(1, keepdims=True)
    assert found.avg == pytest.approx((weights * found.atr[:, used]).sum(1), rel=1e-5)
    assert found.max.tolist() == found.atr[:, used].max(1).tolist()
    model, header = checkpoints.load(key)
    videos = toy.load("toy_bars", "val", 32)
    clip = analysis.clips_of(videos, [int(found.videos[0])], {**header, "num_frames": 8})
    with torch.no_grad():
        score = model.frame_logits(clip)[:, used].mean(1).softmax(1)[0, found.labels[0]]
    assert found.scores[0] == pytest.approx(float(score), abs=1e-5)


def test_dense_checkpoints_see_neighbouring_frames(zoo):
    _, header = checkpoints.load(zoo("TAM2D-R18-f8", sampling="dense", stride=2))
    assert analysis.indices(24, {**header, "num_frames": 8}).tolist() == list(range(4, 20, 2))


def test_more_clips_reuse_the_batches_that_are_there(zoo, monkeypatch):
    key = zoo("TAM2D-R18-f8")
    few = analysis.explain(key, clips=2, min_score=0.0)
    sizes = []
    real = analysis.relevance.relevance_matrix
    monkeypatch.setattr(
        analysis.relevance,
        "relevance_matrix",
        lambda m, c, *a, **k: sizes.append(len(c)) or real(m, c, *a, **k),
    )
    model, header = checkpoints.load(key)
    header["num_frames"] = 8
    videos = toy.load("toy_bars", "val", 32)
    chosen = np.concatenate([few.videos, np.setdiff1d(np.arange(4), few.videos)])[:3]
    both = analysis.relevance_of(key, model, header, videos, chosen, videos.labels[chosen], batch=2)
    assert sizes == [1] and np.allclose(both["matrix"][:2], few.matrix, rtol=1e-4)


def test_slowfast_is_reduced_to_its_slow_frames(zoo):
    key = zoo("SlowFast-R50-2x8")
    run = SimpleNamespace(
        settings={"models": [key], "clips": 2, "sigma": 0.975, "min_score": 0.0},
        device="cpu",
        data_root="",
        seed=0,
        skip=lambda reason: pytest.fail(reason),
    )
    found = slowfast.explain_reduced(run)[key]
    assert found.matrix.shape == (2, 2, 2) and ((found.avg >= 1) & (found.max <= 2)).all()
    shares = slowfast.pathway_shares(run, key, found)
    assert shares.shape == (2,) and ((shares > 0) & (shares < 1)).all()


def test_the_seed_of_a_notebook_draws_the_clips_of_everything_that_explains_some(zoo):
    key, drawn = zoo("TAM2D-R18-f8"), []
    more = {"videos": 2, "widths": [8], "empty": [8], "iterations": 1, "steps": 1, "samples": 1}
    for seed in (0, 5):
        settings = {"models": [key], "clips": 2, "sigma": 0.975, "min_score": 0.0, **more}
        run = SimpleNamespace(settings=settings, device="cpu", data_root="", seed=seed)
        order = np.random.default_rng(seed).permutation(32).tolist()  # of the videos, of which the even ones are right
        drawn.append(sorted([i for i in order if i % 2 == 0][:2]))
        for found in (
            explain_all(run)[key],
            agreement.measure(run, key)[0],
            transformers.reach(run, key, ("attnlrp",))["attnlrp"],
        ):
            assert found.videos.tolist() == drawn[-1]
        either = sorted((next(i for i in order if i % 2 == label) for label in (0, 1)), key=order.index)
        whole = windows.measure(run, key)["whole"]
        assert whole == pytest.approx(analysis.predictions(key)["scores"][either], abs=1e-5)
    assert drawn[0] != drawn[1]
