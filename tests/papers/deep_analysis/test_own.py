"""Own checkpoints as rows of a benchmark: untrained tiny networks stand in for trained ones."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch
from scipy import stats

from paperlib import data, models
from paperlib.errors import InputError
from paperlib.papers.deep_analysis import own, view_scores
from paperlib.storage import paths
from paperlib.training import checkpoints


def save(name, dataset="synth_ssv2", suffix="", **recipe):
    options, classes = recipe.get("options") or {}, data.load(dataset, limit=1).classes
    torch.manual_seed(0)
    model = models.create(name, num_classes=len(classes), width=8 if "SlowFast" in name else 4, **options)
    recipe = {"size": 32, "sampling": "uniform", "stride": 4, "init_from": "", "ensemble": 0, **recipe}
    checkpoints.save(
        checkpoints.path(f"{dataset}/{name}{suffix}"),
        model,
        {"dataset": dataset, "recipe": recipe, "classes": list(classes), "seed": recipe.get("seed", 0)},
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
        assert row.top1 == pytest.approx(100 * correct.mean()) and row.low <= row.top1 <= row.high and row.runs == 1
    assert own.benchmark({}).empty


def network(key, correct, **row):
    return own.Scored(key, np.atleast_2d(np.array(correct, bool)), {"dataset": "d", **row})


def test_pairs_are_compared_video_by_video():
    a, b = network("a", [1, 1, 1, 0] * 10), network("b", [1, 1, 0, 0] * 10)
    found = own.pooled([(a, b)])
    expected = stats.ttest_rel(100.0 * a.correct[0], 100.0 * b.correct[0]).confidence_interval()
    assert found == pytest.approx((25, expected.low, expected.high))
    value, low, high = own.pooled([(a, a)])  # never different on 40 videos: not certain
    assert value == 0 and high == -low == pytest.approx(100 * (1 - 0.025 ** (1 / 40)))
    assert own.rests_on([a, b]) == "1 run each of 2 networks, 40 videos"


def test_more_runs_are_seen_and_pairs_and_data_sets_pooled():
    rng = np.random.default_rng(0)
    a, b = (network(name, rng.random((3, 50)) < share) for name, share in (("a", 0.9), ("b", 0.6)))
    c, d = (network(name, rng.random((3, 80)) < 0.5, dataset="e") for name in "cd")
    found = own.pooled([(a, b), (c, d)])
    gaps = [100 * (x.correct.mean() - y.correct.mean()) for x, y in ((a, b), (c, d))]
    assert found.value == pytest.approx(np.mean(gaps)) and found.low < found.value < found.high
    assert own.rests_on([a, b, c, d]) == "3 runs each of 4 networks, 50 and 80 videos a data set"
    assert own.finding("x", []).interval is None


def test_a_run_asked_twice_is_left_out_of_both():
    videos, later = np.arange(40), np.arange(40) >= 34  # more clips bring every run the same six videos
    once = np.stack([videos < right for right in (10, 20, 30)])
    one, many = network("a", once), network("a (all clips)", once | later)
    apart = stats.ttest_1samp(100.0 * later, 0).confidence_interval()
    assert own.pooled([(many, one)]) == pytest.approx((15, apart.low, apart.high))
    assert own.rests_on([one, many]) == "3 runs each of 1 network, 40 videos"


def test_runs_of_one_network_are_scored_together(run, monkeypatch):
    keys = [save("S3D-R18-f8", suffix=f"-s{seed}" if seed else "", seed=seed) for seed in range(3)]
    scored = own.score(run, keys)
    assert list(scored) == ["synth_ssv2/S3D-R18-f8"] and scored[keys[0]].correct.shape == (3, 32)
    run.settings["models"] = [*keys, "synth_ssv2/S3D-R18-f8-s3", "synth_ssv2/NLN-R18-f8-s1"]
    assert own.missing(run) == ["synth_ssv2/NLN-R18-f8-s1"]  # of the other network a run is there
    history = [{"epoch": 1, "accuracy": 0.5}, {"epoch": 2, "accuracy": 0.7}]
    monkeypatch.setattr(own.checkpoints, "meta", lambda file: {"history": history})
    assert own.steep(keys[0])  # by 20 points
    header = {"history": history, "videos": {"train": 400}}
    for videos, expected in (
        (400, True),
        (30, False),
    ):  # of 30 videos, 20 points and 24 to either side: it may be chance
        header["videos"]["val"] = videos
        monkeypatch.setattr(own.checkpoints, "meta", lambda file: header)
        assert own.steep(keys[0]) is expected
    history[1]["accuracy"] = 0.515  # a difference that the paper calls very similar
    header["videos"]["val"] = 10**6
    assert not own.steep(keys[0])
    early = own.Scored("x", np.ones((1, 3), bool), {}, steep=True)
    assert own.trained({"x": early}) == {}


def test_find_names_ambiguities(run):
    scored = own.score(run, own.listed(run)[:2])
    assert own.find(scored, module="TSN").key == "synth_ssv2/TSN-R18-f8"
    assert own.find(scored, module="NLN") is None
    with pytest.raises(InputError, match="2 checkpoints"):
        own.find(scored, backbone="ResNet18")


def test_views_average_to_the_models_own_scores(run):
    from paperlib import data
    from paperlib.data import clips, sampling

    key, other = "synth_ssv2/I3D-R18-f8-dense", "synth_ssv2/TSN-R18-f8"
    together = view_scores.views([other, key], clips=3, crops=2, limit=4)
    assert list(together) == [other, key] and together[other]["labels"].tolist() == [0, 1, 2, 3]
    found = together[key]
    assert found["scores"].shape == (4, 3, 2, 32)
    model, _ = checkpoints.load(key)
    videos = data.load("synth_ssv2", split="val", size=36, limit=4)
    steps = sampling.dense(videos.num_frames(2), 8, 4, clips=3)[1]
    right = clips.to_clip(videos.frames(2, steps)[:, 2:34, 4:36])
    with torch.inference_mode():
        expected = model(right[None]).softmax(1)[0]
    np.testing.assert_allclose(found["scores"][2, 1, 1], expected, rtol=1e-4, atol=1e-6)
    model, _ = checkpoints.load(other)
    right = clips.to_clip(videos.frames(2, sampling.uniform(videos.num_frames(2), 8, clips=3)[2])[:, 2:34, :32])
    with torch.inference_mode():
        expected = model(right[None]).softmax(1)[0]
    np.testing.assert_allclose(together[other]["scores"][2, 2, 0], expected, rtol=1e-4, atol=1e-6)
    again = view_scores.views([key], clips=3, crops=2, limit=4)[key]
    assert (again["scores"] == found["scores"]).all()


def test_more_clips_average_evenly_spread_ones():
    scores = np.zeros((1, 10, 1, 2))
    scores[0, :, 0, 0] = 0.5
    scores[0, 5, 0, 1] = 1.0
    found = {"scores": scores, "labels": np.array([1])}
    assert view_scores.multi_clip(found, 1).tolist() == [True]
    assert view_scores.multi_clip(found, 10).tolist() == [False]
    with pytest.raises(InputError, match="11 clips"):
        view_scores.multi_clip(found, 11)
