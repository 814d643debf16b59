"""Own checkpoints as rows of a benchmark: untrained tiny networks stand in for trained ones."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch

from paperlib import models
from paperlib.errors import InputError
from paperlib.papers.deep_analysis import multi_clip, own
from paperlib.storage import paths
from paperlib.training import checkpoints


def save(name, dataset="synth_ssv2", suffix="", classes=32, **recipe):
    options = recipe.get("options") or {}
    torch.manual_seed(0)
    model = models.create(name, num_classes=classes, width=8 if "SlowFast" in name else 4, **options)
    recipe = {"size": 32, "sampling": "uniform", "stride": 4, "init_from": "", "ensemble": 0, **recipe}
    checkpoints.save(
        checkpoints.path(dataset, name + suffix),
        model,
        {"dataset": dataset, "recipe": recipe, "classes": ["x"] * classes},
    )
    return f"{dataset}/{name}{suffix}"


@pytest.fixture
def run(tmp_path, monkeypatch):
    monkeypatch.setattr(paths, "CHECKPOINTS", tmp_path / "checkpoints")
    monkeypatch.setattr(paths, "CACHE", tmp_path / "cache")
    keys = [
        save("I3D-R18-f8"),
        save("TSN-R18-f8"),
        save("TAM2D-R18-f8-tp"),
        save("TAM2D-R18-f8", suffix="-top", options={"placement": "top"}),
        save("I3D-R18-f8", suffix="-dense", sampling="dense"),
        save("I3D-R18-f16", init_from="synth_ssv2/I3D-R18-f8"),
        save("I3D-R18-f8", suffix="-transfer", init_from="synth_kinetics/I3D-R18-f8"),
    ]
    settings = {"models": [*keys, "synth_ssv2/NLN-R18-f8"], "videos": 32}
    return SimpleNamespace(settings=settings, device="cpu", data_root="")


def test_description_of_checkpoints(run):
    top = own.describe("synth_ssv2/TAM2D-R18-f8-top")
    assert (top["module"], top["backbone"], top["num_frames"]) == ("TAM", "ResNet18", 8)
    assert top["placement"] == "top"
    assert own.describe("synth_ssv2/TAM2D-R18-f8-tp")["temporal_pooling"] == 1
    assert own.describe("synth_ssv2/I3D-R18-f8-dense")["sampling"] == "dense"
    assert own.missing(run) == ["synth_ssv2/NLN-R18-f8"] and len(own.listed(run)) == 7


def test_benchmark_keeps_only_what_is_comparable(run):
    scored = own.score(run)
    table = own.benchmark(scored)
    assert sorted(table.model) == ["I3D-R18-f16", "I3D-R18-f8", "TAM2D-R18-f8-tp", "TSN-R18-f8"]
    assert set(table.stands_for) == {"mini-SSV2"} and set(table.videos) == {32}
    for row in table.itertuples():
        correct = scored[f"synth_ssv2/{row.model}"].correct
        assert row.top1 == pytest.approx(100 * correct.mean()) and row.low <= row.top1 <= row.high
    assert own.benchmark({}).empty


def test_gain_is_paired():
    def scored(correct):
        return own.Scored("x", np.array(correct, bool), {})

    value, low, high = own.gain(scored([1, 1, 1, 0] * 10), scored([1, 1, 0, 0] * 10))
    assert value == 25 and 0 < low < 25 < high
    same = scored([1, 0, 1])
    assert own.gain(same, same) == (0, 0, 0)


def test_find_names_ambiguities(run):
    scored = own.score(run, own.listed(run)[:2])
    assert own.find(scored, module="TSN").key == "synth_ssv2/TSN-R18-f8"
    assert own.find(scored, module="NLN") is None
    with pytest.raises(InputError, match="2 checkpoints"):
        own.find(scored, backbone="ResNet18")


def test_views_average_to_the_models_own_scores(run):
    from paperlib import data
    from paperlib.data import clips, sampling

    key = "synth_ssv2/I3D-R18-f8-dense"
    found = multi_clip.views(key, clips=3, crops=2, limit=4)
    assert found["scores"].shape == (4, 3, 2, 32)
    model, _ = checkpoints.load(key)
    videos = data.load("synth_ssv2", split="val", size=36, limit=4)
    steps = sampling.dense(videos.num_frames(2), 8, 4, clips=3)[1]
    right = clips.to_clip(videos.frames(2, steps)[:, 2:34, 4:36])
    with torch.inference_mode():
        expected = model(right[None]).softmax(1)[0]
    np.testing.assert_allclose(found["scores"][2, 1, 1], expected, rtol=1e-4, atol=1e-6)
    again = multi_clip.views(key, clips=3, crops=2, limit=4)
    assert (again["scores"] == found["scores"]).all()


def test_more_clips_average_evenly_spread_ones():
    scores = np.zeros((1, 10, 1, 2))
    scores[0, :, 0, 0] = 0.5
    scores[0, 5, 0, 1] = 1.0
    found = {"scores": scores, "labels": np.array([1])}
    assert multi_clip.multi_clip(found, 1).tolist() == [True]
    assert multi_clip.multi_clip(found, 10).tolist() == [False]
    with pytest.raises(InputError, match="11 clips"):
        multi_clip.multi_clip(found, 11)
