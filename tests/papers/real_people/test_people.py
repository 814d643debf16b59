"""Real people: folds that keep people apart, instruments on people never seen, notebooks without data."""

import json
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import scipy.io
import torch

import paperlib
from paperlib import models, widgets
from paperlib.errors import InputError
from paperlib.papers import analysis, published, report, statistics
from paperlib.papers.beyond import real_people
from paperlib.papers.beyond.real_people import claims, draw, explain, scores, when
from paperlib.papers.findings import declare
from paperlib.shards import compute
from paperlib.storage import paths, zoo_lists
from paperlib.training import checkpoints, folds, train, zoo

from ...data import layouts

LISTED = zoo_lists.location()  # of the project itself, not of the folder these tests work in
PEOPLE, ACTIONS = ("ann", "bob", "eve"), ("bend", "run", "walk", "wave1")
RECIPE = dict(dataset="weizmann", width=4, size=16, epochs=1, batch=4)


def silhouettes(folder):
    """Write a file as the Weizmann authors publish it: a block that moves in another way for each action."""
    content, rng = {}, np.random.default_rng(0)
    for person in PEOPLE:
        for k, action in enumerate(ACTIONS):
            mask = np.zeros((36, 45, 20), np.uint8)
            for t in range(20):
                x = int(rng.integers(4)) + (t if k % 2 else 8)
                mask[6 + 6 * k // 2 : 20, x : x + 6, t] = 1
            content[f"{person}_{action}"] = mask
    folder.mkdir(parents=True)
    scipy.io.savemat(folder / "classification_masks.mat", {"original_masks": content})


@pytest.fixture(scope="module")
def prepared(tmp_path_factory):
    """A project folder with data and untrained checkpoints of two models, each in three folds."""
    home = tmp_path_factory.mktemp("people")
    silhouettes(home / "data" / "weizmann")
    with pytest.MonkeyPatch.context() as patch:
        for name, value in (
            ("ROOT", home),
            ("CACHE", home / "cache"),
            ("CHECKPOINTS", home / "checkpoints"),
            ("FIGURES", home / "figures"),
        ):
            patch.setattr(paths, name, value)
        patch.setenv("PAPERLIB_DATA", str(home / "data"))
        for name, options in (("I3D-R18-f4", {}), ("C-LSTM-f4", {"size": 16, "layers": 2})):
            for person in PEOPLE:
                torch.manual_seed(0)
                model = models.create(name, num_classes=10, width=4, **options)
                recipe = train.Recipe(name=name, held_out=person, options=options, **RECIPE)
                checkpoints.save(
                    checkpoints.path(f"weizmann/{name}-{person}"),
                    model.eval(),
                    {"dataset": "weizmann", "recipe": vars(recipe), "classes": folds.weizmann.CLASSES},
                )
        settings = {
            "models": [f"weizmann/{name}-{p}" for name in ("I3D-R18-f4", "C-LSTM-f4") for p in PEOPLE],
            "each": 1,
            "min_score": 0.0,
            "sigma": 0.975,
            "explained": ["I3D", "C-LSTM"],
            "masked": ["I3D", "C-LSTM"],
            "mask": {"iterations": 4},
            "layer": "layer1.1",
            "widths": [1, 2],
            "saturated": 2,
        }
        patch.setattr(report, "settings", lambda name, profile: settings)
        yield report.start("beyond/weizmann", device="cpu")


def test_no_fold_is_asked_about_people_it_was_trained_on(prepared):
    training_part, held_out = folds.split("weizmann", "ann, eve", 16)
    assert set(training_part.people) == {"bob"} and set(held_out.people) == {"ann", "eve"}
    assert training_part.split != folds.split("weizmann", "ann", 16)[0].split
    for fold in real_people.opened(prepared):
        assert set(fold.videos.people) == {fold.name} and len(fold.videos) == len(ACTIONS)
    with pytest.raises(InputError, match="kinetics400 is not split by person"):
        folds.split("kinetics400", "ann", 16)
    with pytest.raises(InputError, match="no person zoe"):
        folds.split("weizmann", "zoe", 16)


def test_who_is_asked_about_the_validation_videos_of_a_fold_sees_those_held_out(prepared, capsys, tmp_path):
    recipe = {"held_out": "ann", "dataset": "weizmann"}
    folds._tell.cache_clear()
    for person in PEOPLE:
        checkpoint = f"weizmann/I3D-R18-f4-{person}"
        _, _, videos = analysis.opened(checkpoint, None, "val", None, "cpu", None)
        settings = compute.plan("gradcam", "weizmann", checkpoint, tmp_path / "t.parquet", device="cpu", limit=2)
        planned = compute.opened(settings, "cpu")[2]
        assert set(videos.people) == set(planned.people) == {person} and (len(videos), len(planned)) == (4, 2)
        assert widgets.validation_video(checkpoint, 1)[1] == videos.ids[1]
        trained = analysis.opened(checkpoint, None, "train", None, "cpu", None)[2]
        assert set(trained.people) == set(PEOPLE) - {person}
        assert capsys.readouterr().out.count(f"trained on everybody but {person} is validated on them") == 1
    assert folds.of(recipe, "synth_kth", "val", 16).split == "val"
    assert folds.same_people("nagoya_fir_context", "nagoya_fir") and not folds.same_people("weizmann", "nagoya_fir")
    with pytest.raises(InputError, match="limit must be a whole number"):
        folds.of(recipe, "weizmann", "val", 16, limit=-1)
    with pytest.raises(InputError, match="a split is 'train' or 'val'"):
        folds.of(recipe, "weizmann", "test", 16)


def test_a_fold_asked_about_a_numbered_video_says_whom_it_held_out(prepared, monkeypatch):
    monkeypatch.setattr(folds.weizmann, "VALIDATION", ("eve",))
    for person in ("bob", "eve"):
        found = paperlib.explain("weizmann/0", f"weizmann/I3D-R18-f4-{person}", device="cpu", mask=False, cam=False)
        assert [f"everybody but {person};" in note for note in found.notes].count(True) == 1


def test_lists_spell_out_folds(tmp_path):
    (tmp_path / "zoo.yaml").write_text("models:\n  - {model: TSN-R18-f8, dataset: synth_ssv2}\n")
    (tmp_path / zoo_lists.PEOPLE).write_text(
        "defaults: {epochs: 2}\ndatasets: {weizmann: {folds: {a: 'ann, bob', b: eve}}}\n"
        "models:\n  - {model: I3D-R18-f16, dataset: weizmann}\n"
    )
    found = zoo.recipes(tmp_path / "zoo.yaml")
    assert list(found) == ["synth_ssv2/TSN-R18-f8", "weizmann/I3D-R18-f16-a", "weizmann/I3D-R18-f16-b"]
    assert [r.held_out for r in found.values()] == ["", "ann, bob", "eve"]
    assert found["weizmann/I3D-R18-f16-b"].epochs == 2


def test_the_projects_folds_hold_everybody_out_once():
    weizmann = {"daria", "denis", "eli", "ido", "ira", "lena", "lyova", "moshe", "shahar"}
    for dataset, everyone in (("nagoya_fir", {f"human{k}" for k in range(1, 10)}), ("weizmann", weizmann)):
        found = {}
        for _, entry in zoo_lists.entries(LISTED):
            if entry["dataset"] == dataset:
                found.setdefault(entry["model"], []).extend(p.strip() for p in entry["held_out"].split(","))
        assert len(found) == 5 and all(sorted(held) == sorted(everyone) for held in found.values())


def test_training_holds_people_out(prepared, tmp_path):
    recipe = train.Recipe(name="TSN-R18-f4", held_out="bob", mirror=0.5, **{**RECIPE, "width": 4})
    meta = train.run(recipe, "cpu", resume=False, progress=False, out=tmp_path / "model.safetensors")
    assert meta["recipe"]["held_out"] == "bob" and meta["accuracy"] * len(ACTIONS) == pytest.approx(
        round(meta["accuracy"] * len(ACTIONS))
    )


def test_mirroring_turns_the_share_asked_for():
    frames = torch.zeros(200, 2, 8, 8, 3, dtype=torch.uint8)
    frames[..., 0, :] = 255
    clips = train.augment(frames, torch.Generator().manual_seed(0), shift=0, mirror=0.3)
    right = (clips[:, 0, 0, 0, -1] > clips[:, 0, 0, 0, 0]).float().mean().item()
    assert right == pytest.approx(0.3, abs=0.08)
    again = train.augment(frames, torch.Generator().manual_seed(0), shift=0)
    assert (again[..., 0] > again[..., -1]).all()


def test_predictions_are_those_of_the_fold_that_never_saw_the_person(prepared):
    opened = real_people.opened(prepared)
    table = scores.predict(opened)
    assert len(table) == 2 * len(PEOPLE) * len(ACTIONS) and (table["person"] == table["fold"]).all()
    fold = opened[0]
    clips = fold.clips(np.arange(len(fold.videos)))
    with torch.inference_mode():
        for way, seen in (
            ("forward", clips),
            ("reversed", clips.flip(2)),
            ("single", clips[:, :, 2:3].expand_as(clips)),
        ):
            own = table[(table["model"] == fold.model) & (table["fold"] == fold.name)]
            assert own[way].tolist() == fold.network(seen).argmax(1).tolist()
    accuracy = scores.by_fold(table)
    assert accuracy["videos"].tolist() == [4] * 6 and accuracy["people"].tolist() == list(PEOPLE) * 2
    counts = scores.confusion(table, opened[0].videos.classes)["I3D"]
    own = table[table["model"] == "I3D"]
    assert counts.sum() == len(own) and np.trace(counts) == (own["forward"] == own["label"]).sum()
    draw.confusions(table, opened[0].videos.classes, ["I3D", "C-LSTM"])
    draw.accuracies(table, scores.summary(table), 10, "toy", [("other", 50)])


def test_intervals_are_over_people_not_over_videos():
    values = np.repeat([0.0, 1.0, 0.5], [1, 100, 9])
    who = np.repeat(["a", "b", "c"], [1, 100, 9])
    found = real_people.over_people(values, who)
    assert found.value == pytest.approx(0.5) and found.low < 0.4 < 0.6 < found.high
    table = pd.DataFrame({"person": ["a", "a", "b"], "x": [1.0, 3.0, 4.0]})
    rows = pd.DataFrame({"person": list("aabcab"), "model": ["I3D"] * 4 + ["TSN"] * 2})
    decided = claims.finding("id", claims.means(table, "x"), "toy", rows)
    assert decided.interval == pytest.approx(statistics.mean_interval([2.0, 4.0]))
    assert decided.rests_on == "2 persons, 2 networks trained once per fold, 2 to 3 clips each"  # c has no value
    assert claims.finding("id", claims.means(table[:2], "x"), "toy", rows).interval is None
    pooled = claims.pooled([pd.Series({"a": 1.0, "b": 3.0}), pd.Series({"b": 1.0, "a": 5.0})])
    assert pooled.to_dict() == {"a": 3, "b": 2}


def test_two_models_are_compared_on_the_clips_that_are_explained_for_both():
    rows = [  # the clips *3 are explained for one model only, and their values would turn the difference round
        *[("I3D", who, f"{who}{k}", value) for who in "ab" for k, value in ((1, 5.0), (2, 7.0), (3, -90.0))],
        *[("C-LSTM", who, f"{who}{k}", value) for who in "ab" for k, value in ((1, 4.0), (2, 4.0), (4, 90.0))],
        *[("I3D", "c", "c1", 3.0), ("C-LSTM", "c", "c1", 1.0), ("I3D", "c", "c2", np.nan), ("C-LSTM", "c", "c2", 50.0)],
        *[("TSN", "a", "a3", 0.0), ("C-LSTM", "d", "d1", 99.0)],
    ]
    table = pd.DataFrame(rows, columns=["model", "person", "id", "mask_length"]).sample(frac=1, random_state=0)
    found = claims.paired("id", table, "mask_length", claims.BOTH, "toy")
    assert found.interval == pytest.approx(statistics.mean_interval([2.0, 2.0, 2.0]))  # (1 + 3) / 2, the same, 3 - 1
    assert found.rests_on == (
        "3 persons, 2 networks trained once per fold, 5 clips explained for both (1 left out: no value for one of them)"
    )
    of_both = claims.paired("id", table, "mask_length", claims.BOTH, "toy", lambda i3d, lstm: (i3d + lstm) / 2)
    assert of_both.interval == pytest.approx(statistics.mean_interval([5.0, 5.0, 2.0]))
    assert claims.paired("id", table[table["model"] != "I3D"], "mask_length", claims.BOTH, "toy").interval is None
    assert claims.paired("id", table, "drop_ratio", claims.BOTH, "toy").interval is None


def test_reversing_is_asked_of_actions_that_look_the_same_backwards_only():
    drops = {"bend": 0.01, "wave1": 0.03, "walk": 0.5, "jump": 0.4}  # the last two get somewhere
    rows = [
        {"person": person, "id": f"{person}-{name}", "model": model, "class": name, "reverse_drop": drop}
        for person in "ab"
        for name, drop in drops.items()
        for model in claims.BOTH
    ]
    table = pd.DataFrame(rows)
    table.loc[table["person"] == "b", "reverse_drop"] += 0.01
    (found,) = claims.cycles("weizmann", SimpleNamespace(table=table), "toy")
    assert found.interval.value == pytest.approx(np.mean([0.02, 0.03]))
    assert found.rests_on == "2 persons, 2 networks trained once per fold, 4 clips explained for both"


def test_an_empty_mask_has_no_length_and_no_drop():
    found = {
        "mask": np.array([[0.0, 1.0, 1.0], [0.01, 0.0, 0.0], [0.0, 1.0, 0.0]]),
        "original": np.array([0.9, 0.9, 0.9]),
        "freeze": np.array([0.3, 0.9, 0.3]),
        "reverse": np.array([0.7, 0.9, 0.9]),
    }
    table = explain._mask_measures(found)
    assert table.loc[1].isna().all()
    assert table.loc[0].to_dict() == pytest.approx(
        {"mask_length": 2, "reverse_drop": 0.2, "drop_ratio": 3, "drop_difference": 0.4}
    )
    assert table.loc[2, "mask_length"] == 1 and np.isnan(table.loc[2, "drop_ratio"])  # the paper's filter


def test_networks_that_single_frames_suffice_do_not_say_how_wide_a_window_must_be():
    right = {"blind": (1, 1, 1), "patient": (0, 0, 1), "quick": (0, 1, 1)}  # with windows of 1, 4 and all 8 frames
    rows = [
        {"person": person, "model": model, "width": width, "right": float(r)}
        for model, each in right.items()
        for width, r in zip((1, 4, 8), each, strict=True)
        for person in "abc"
    ]
    (found,) = claims.windows("nagoya", pd.DataFrame(rows), 4, "toy")
    assert found.interval.value == -50  # of patient and quick
    assert found.rests_on == "3 persons, 2 networks trained once per fold, 3 clips each"
    (found,) = claims.windows("nagoya", pd.DataFrame(rows[:9]), 4, "toy")
    assert found.interval is None  # nothing is left


def test_where_the_action_is_rests_on_the_clips_of_the_two_networks_that_are_asked():
    rows = [
        {"person": who, "model": model, "instrument": name, "pointing": at + (who == "b"), "chance_pointing": 0.5}
        for model, clips in (("I3D", 1), ("TAM2D", 2), ("S3D", 9))
        for name, at in (("relevance", 1), ("mask", 2), ("occlusion", 3))
        for who in "ab" * clips
    ]
    found = {one.id: one for one in claims.when("nagoya", pd.DataFrame(rows), "toy")}
    assert {one.rests_on for one in found.values()} == {
        "2 persons, 2 networks trained once per fold, 2 to 4 clips each"
    }
    assert found["nagoya.when-relevance"].interval == pytest.approx(statistics.mean_interval([0.5, 1.5]))
    assert [found[f"nagoya.{name}-occlusion"].interval.value for name in ("relevance", "mask")] == [-2, -1]


def test_reversal_takes_f1_from_classes_that_swap_only():
    part = pd.DataFrame(
        {
            "person": np.repeat(["a", "b", "c"], 4),
            "id": [f"{k:02d}" for k in range(12)],
            "motion": [True, True, False, False] * 3,
            "label": [0, 1, 2, 2] * 3,
            "forward": [0, 1, 2, 2] * 3,
            "reversed": [1, 0, 2, 2] * 3,
        }
    )
    both = pd.concat([part.assign(model=model) for model in ("I3D", "C-LSTM")])
    critical, rest = claims.reversing("nagoya", both, ["sit", "stand", "lie"], "toy", critical=["sit", "stand"])
    assert critical.interval.value == 1 and rest.interval.value == 0
    assert rest.rests_on == "3 persons, 2 networks trained once per fold, 12 clips each"
    assert critical.interval.low < 1  # three people who agree are not everybody
    (periodic,) = claims.reversing("weizmann", both, ["sit", "stand", "lie"], "toy")
    assert periodic.interval.value == pytest.approx(1 - 1 / 3)


def test_every_instrument_and_claim_comes_out(prepared):
    opened = real_people.opened(prepared)
    found = explain.explain(prepared, opened)
    n = len(found.table)
    assert n and found.matrix.shape == (n, 4, 4) and found.mask.shape == (n, 4)
    assert found.table["avg_atr"].between(1, 4).all() and found.table["mask_length"].dropna().between(1, 4).all()
    model = found.table["model"].iloc[0]
    matrix = explain.mean_matrix(found, model=model)
    assert matrix.sum() == pytest.approx(1, abs=1e-5) or matrix.sum() == 0
    per_class = explain.per_class(found)
    classes = opened[0].videos.classes
    for figure in (
        draw.matrices(found, classes, ["I3D", "C-LSTM"]),
        draw.ranges(per_class, classes),
        draw.features(per_class, classes),
    ):
        assert figure.axes
    table = scores.predict(opened)
    partial = scores.partial(opened, [1, 2], 1)
    whole = partial[partial["width"] == 4].set_index(["model", "id"])["right"]
    plain = table.set_index(["model", "id"])
    assert (whole == (plain["forward"] == plain["label"]).loc[whole.index]).all()
    draw.windows(scores.partial_summary(partial), [(2, "here")])
    decided = [
        *claims.reversing("weizmann", table, classes, "weizmann"),
        *claims.modules("weizmann", table, "weizmann"),
        *claims.ranges("weizmann", found, "weizmann"),
        *claims.windows("weizmann", partial, 2, "weizmann"),
        *claims.features("weizmann", found, "weizmann"),
        *claims.cycles("weizmann", found, "weizmann"),
    ]
    ledger = declare(prepared, decided)
    assert len(ledger) == 11 and (ledger.verdict != "").all()
    assert {one.id for one in decided} == {id for id in published.statements().id if id.startswith("weizmann.")}


def test_a_model_without_all_folds_is_left_out(prepared, monkeypatch):
    wanted = prepared.settings["models"]
    assert real_people.complete([w for w in wanted if w != "weizmann/C-LSTM-f4-bob"], wanted) == wanted[:3]


def test_without_data_a_notebook_is_skipped_and_what_is_committed_stays(prepared, tmp_path, monkeypatch):
    monkeypatch.delenv("PAPERLIB_DATA")
    file = prepared.path("claims.csv")
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text("kept\n")
    for root in ("", str(tmp_path)):
        run = report.start("beyond/weizmann", data_root=root, device="cpu")
        with pytest.raises(report.Skipped, match="no data: .*wisdom.weizmann.ac.il"):
            real_people.opened(run)
        assert file.read_text() == "kept\n"
        assert json.loads(run.path("json").read_text())["status"] == "skipped"


def test_clips_with_context_hold_the_segment_and_some_of_both_sides(tmp_path, monkeypatch):
    layouts.nagoya(tmp_path / "nagoya_fir", np.random.default_rng(0))
    monkeypatch.setenv("PAPERLIB_DATA", str(tmp_path))
    videos = folds.everybody("nagoya_fir_context", 16)
    fold = real_people.Fold("", "I3D", "a", models.create("I3D-R18-f8", num_classes=7, width=4), videos)
    clips, inside = when.clips_with_context(fold, np.arange(len(videos)))
    assert clips.shape == (len(videos), 3, 8, 16, 16) and inside.any(1).all()
    for i in range(len(videos)):
        first, end = when.window(videos, i)
        start, stop = videos.boundaries[i]
        assert 0 <= first <= start and stop <= end <= videos.num_frames(i)
        assert start - first >= min(when.LEAST, start) and end - stop >= min(when.LEAST, videos.num_frames(i) - stop)
    assert len({when.window(videos, 0, seed) for seed in range(20)}) > 3


def test_pointing_and_overlap_against_counted_values():
    inside = np.array([[0, 0, 1, 1, 0, 0]], bool)
    found = when.compare(np.array([[0.1, 0, 0.2, 0.9, 0.3, 0]]), inside)
    assert found["pointing"] == 1 and found["iou"] == pytest.approx(1 / 3)  # frames 4 and 5 hold most
    assert found["chance_pointing"] == pytest.approx(1 / 3) and found["centre_iou"] == 1
    assert found["chance_iou"] == pytest.approx(np.mean([0, 1 / 3, 1, 1 / 3, 0]))
    mask = when.compare(np.array([[0, 0.05, 1, 1, 1, 1.0]]), inside, is_mask=True)
    assert mask["iou"] == pytest.approx(0.5) and mask["pointing"] == 0.5  # four frames share the first place
    assert when.compare(np.zeros((1, 6)), inside, is_mask=True)["iou"] == 0
