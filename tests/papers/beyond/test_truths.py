"""The truth notebooks: tables of a small network, curves from games, spoken words on a written corpus."""

import dataclasses
from itertools import pairwise
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import torch

from paperlib import data, models, relevance, truth
from paperlib.data.public import grid
from paperlib.papers import report
from paperlib.papers.beyond import truths
from paperlib.papers.beyond.truths import advice, built, draw, exact, planting, sanity, spoken
from paperlib.storage import paths
from paperlib.training import checkpoints, train
from paperlib.truth import scoring

from ...data import videos

pytestmark = pytest.mark.numerics

SETTINGS = {"clips": 2, "candidates": 16, "iterations": 2, "steps": 2, "samples": 2, "checked": 2}
KEY = "synth_kinetics/TAM2D-R18-f8"
EXACT = "model absent instrument rho rho_low rho_high margin margin_low margin_high clips".split()
FEW = ("occlusion", "LRP", "constant", "frame difference")  # instruments where all would take long


@pytest.fixture
def run(tmp_path, monkeypatch):
    monkeypatch.setattr(paths, "FIGURES", tmp_path / "figures")
    monkeypatch.setattr(paths, "CACHE", tmp_path / "cache")
    return report.start("beyond/planted")


def test_planted_truth_of_a_trained_network_in_a_table(run, monkeypatch):
    few = {name: one for name, one in truths.lineup(SETTINGS).items() if name in FEW}
    monkeypatch.setattr(planting, "lineup", lambda settings: few)
    run.settings = {**SETTINGS, "models": [KEY], "rendered": ["synth_ssv2_hard/None-R18-f8"]}
    rows = planting.everything(run)
    assert set(rows.asked) == {"class", "difference"} and set(rows["clip"]) == {0, 1} and set(rows.model) == {KEY}
    assert set(rows.instrument) == set(FEW) and set(rows.truth) == {"foreign frames"}
    monkeypatch.setitem(planting.MAKERS, planting.FOREIGN, None)  # from the cache, no clip is made
    pd.testing.assert_frame_equal(rows, planting.everything(run))
    table = truths.summary(rows)
    one = table[(table.instrument == "occlusion") & (table.asked == "class") & (table.score == "mass")].iloc[0]
    own = rows[(rows.instrument == "occlusion") & (rows.asked == "class")]
    assert one.value == pytest.approx(own.mass.mean()) and one.chance == pytest.approx(own.chance_mass.mean())
    assert one.low <= one.value <= one.high
    everything = advice.each(table, pd.DataFrame(columns=EXACT, dtype=float)).query("asked == 'class'")
    shown = everything[everything.instrument == "LRP"].set_index("score")
    expected = (shown.value.precision - shown.chance.precision) / (1 - shown.chance.precision)
    assert shown.value.gain == pytest.approx(expected)
    assert len(draw.scores(table, [(planting.FOREIGN, KEY)]).axes) == 1


def test_intervals_of_gains_draw_clips_with_their_chance_and_shares_of_clips_are_exact():
    inside = [2, 3, 5, 6, 2, 4]  # of 8 frames
    rows = pd.DataFrame([scoring._chance(n, 8, tuple(range(1, 9))) for n in inside], columns=scoring.SCORES)
    rows = rows.rename(columns=lambda name: f"chance_{name}").assign(instrument="blind", model="A", pointing=1.0)
    rows = rows.assign(**{name: rows[f"chance_{name}"] for name in ("mass", "precision", "iou")})
    seeing = rows.assign(instrument="sees", precision=[0.5, 0.6, 0.9, 1.0, 0.4, 0.8])
    table = truths.summary(pd.concat([rows, seeing]), ["model"]).set_index(["instrument", "score"])
    assert table.loc[("blind", "gain"), ["value", "low", "high", "chance"]].tolist() == [0, 0, 0, 0]
    assert table.loc[("blind", "pointing"), ["low", "high"]].tolist() == pytest.approx([0.025 ** (1 / 6), 1])
    rng = np.random.default_rng(1)
    drawn = rng.integers(0, 6, (20000, 6))
    precision, chance = seeing.precision.to_numpy()[drawn].mean(1), seeing.chance_precision.to_numpy()[drawn].mean(1)
    ends = np.percentile((precision - chance) / (1 - chance), [2.5, 97.5])
    one = table.loc[("sees", "gain")]
    assert [one.low, one.high] == pytest.approx(ends, abs=0.08) and one.low < one.value < one.high


def test_curves_from_a_game_are_those_of_its_clips(run):
    model, _ = checkpoints.load(KEY)
    known = truth.spliced("synth_kinetics", 8, 2)
    importance = torch.rand(2, 8).mul(3).round()  # with ties
    curves = truth.curves(model, known.clips, known.targets, importance)
    every = truth.shapley.coalitions(8)
    values = truth.shapley.players.values(model, known.clips, known.targets, every, value="score")
    assert exact._deletion(values, exact._order(importance)) == pytest.approx(curves.deletion.to_numpy(), abs=1e-5)
    margin = exact._deletion(values, exact._order(-importance)) - exact._deletion(values, exact._order(importance))
    assert margin == pytest.approx(curves.margin.to_numpy(), abs=1e-5)
    best, worst = (exact._deletion(values, truth.shapley.best_orders(values, w)) for w in (False, True))
    assert (best <= curves.deletion + 1e-9).all() and (worst >= curves.deletion - 1e-9).all()


def test_exact_values_agree_with_themselves_and_checks_know_what_is_blind(run, monkeypatch):
    few, asked = {name: one for name, one in truths.lineup(SETTINGS).items() if name in FEW}, []
    for module in (exact, sanity, planting, advice):
        monkeypatch.setattr(module, "lineup", lambda settings: few)
    rows = exact.exact(run, KEY, SETTINGS)
    score = truth.score
    monkeypatch.setattr(truth, "score", lambda *a: asked.append(a) or score(*a))
    planted, *_ = planting.planted(run, KEY, planting.FOREIGN, SETTINGS)
    assert len(asked) == len(FEW)  # for the difference alone: for the class they come from the exact values' notebook
    own = rows[rows.instrument == "exact Shapley"]
    assert own[own.absent == "freeze"].rho.to_numpy() == pytest.approx(1)
    assert rows.margin.between(-1.001, 1.001).all()
    summed = exact.exact_summary(rows)
    assert set(summed.columns) >= {"rho", "rho_low", "margin_high", "clips"}
    pooled = advice.pooled(advice.each(truths.summary(planted), summed))
    table = advice.together(pooled, [advice.costs(run, KEY, SETTINGS)]).set_index("instrument")
    assert table.cost[["occlusion", "constant"]].tolist() == [9, 0] and 1 < table.cost["LRP"] < 5
    assert len(draw.cost(table.reset_index(), pooled, {"static": "photos", "planted": "all"}).axes) == 2
    checked = sanity.checks(run, KEY, SETTINGS)
    pairs = checked[checked.clips == 2]  # whose median lies in the middle of their range
    assert len(pairs) > 10 and (pairs.low < pairs.high).any()
    assert pairs.value.tolist() == pytest.approx(((pairs.low + pairs.high) / 2).tolist())
    medians = checked.pivot(index="instrument", columns="check", values="value")
    assert medians.loc["frame difference", ["half", "all", "other"]].tolist() == pytest.approx([1, 1, 1])
    assert medians.loc["occlusion", "all"] < 0.9 and medians.loc["constant", "twice"] == pytest.approx(2)


def test_all_truths_are_one_table_and_what_saw_the_same_clips_is_pooled_as_one():
    networks = ["synth_kinetics_hard/A", "synth_kinetics_hard/B", "synth_ssv2_hard/A"]
    ends = pd.DataFrame({"score": ["gain", "mass"], "value": [0.5, 0.6], "low": [0.3, 0.5], "high": [0.6, 0.7]})
    planted = pd.concat(
        ends.assign(model=model, truth="foreign frames", asked=asked, instrument="CLRP", chance=0.0, clips=8)
        for model in networks
        for asked in ("class", "difference")
    )
    exact = pd.DataFrame([[networks[0], "freeze", "CLRP", 0.5, 0.3, 0.6, 0.2, 0.1, 0.3, 8]], columns=EXACT)
    words = pd.concat(ends.assign(model="grid/A", question=q, instrument="CLRP", chance=0.0, clips=7) for q in "ab")
    rows = advice.each(planted, exact, words)
    assert len(rows) == 3 * 2 * 2 + 2 + 2 * 2 and not rows.drop(columns="asked").isna().any(axis=None)
    pooled = advice.pooled(rows).set_index("truth")
    both = np.sqrt(2**2 + 1) / 3  # two that err together, and another
    expected = {
        "static": (0.5, 0.3, 0.6, 16, 2),
        "temporal": (0.5, 0.3, 0.6, 8, 1),
        "planted": (0.5, 0.5 - 0.2 * both, 0.5 + 0.1 * both, 24, 3),
        "Shapley, freeze": (0.5, 0.3, 0.6, 8, 1),
        "words": (0.5, 0.3, 0.6, 14, 1),
    }
    assert list(pooled.index) == list(expected)
    for name, row in expected.items():
        assert pooled.loc[name, ["value", "low", "high", "clips", "runs"]].tolist() == pytest.approx(row), name
    wide = advice.together(pooled.reset_index(), [{"CLRP": 13.0}, {"CLRP": 15.0}])
    assert wide.columns.tolist() == ["instrument", *expected, "cost"] and wide.cost.tolist() == [14]


def test_names_of_instruments_do_not_cover_each_other_and_marks_stay_near_their_cost():
    costs = np.array([0, 0, 0, 0, 1, 2, 2, 9, 9, 13, 15, 15, 16, 32, 65, 72, 84, 87])
    table = pd.DataFrame({"instrument": [f"instrument {k:02}" for k in range(len(costs))], "cost": costs})
    gains = np.random.default_rng(0).uniform(0, 0.6, len(costs))
    pooled = table.assign(truth="all", value=gains, low=gains - 0.2, high=gains + 0.3).drop(columns="cost")
    figure = draw.cost(table, pooled, {"all": "all"})
    figure.draw_without_rendering()
    (axis,) = figure.axes
    names = axis.child_axes[0].get_xticklabels()
    boxes = sorted((text.get_window_extent() for text in names), key=lambda box: box.x0)
    assert len(boxes) == len(costs) and not any(a.overlaps(b) for a, b in pairwise(boxes))
    places = {text.get_text(): text.get_position()[0] for text in names}
    for name, cost in zip(table.instrument, costs, strict=True):
        assert places[name] == pytest.approx(cost, rel=0.25) if cost else places[name] < 1
    assert places["instrument 04"] == pytest.approx(1) and places["instrument 13"] == pytest.approx(32)
    assert places["instrument 05"] * places["instrument 06"] == pytest.approx(4)  # beside their cost, evenly
    bars = [line for c in axis.collections for line in c.get_segments() if len(line) == 2 and line[0][0] == line[1][0]]
    shown = {tuple(np.round([x, a, b], 6)) for (x, a), (_, b) in bars}
    for row in pooled.itertuples():
        assert tuple(np.round([places[row.instrument], row.low, row.high], 6)) in shown


def test_built_networks_tell_right_instruments_from_those_that_know_nothing():
    table = built.oracles({**SETTINGS, "iterations": 20}).set_index("instrument")
    right = table.drop(index=["ATR's ranges", "mask, reverse", *truth.CONTROLS])
    assert len(right) == 26 and right[list(truths.SCORES)].to_numpy() == pytest.approx(1, abs=1e-6)
    blind = table.loc[["random", "constant"]]
    assert ((blind.low - 1e-9 <= blind.chance) & (blind.chance <= blind.high + 1e-9)).all()
    runs = table.loc[["ATR's ranges", "mask, reverse"]].set_index("oracle").precision  # of frames, with no gap in them
    assert runs["one event"].to_numpy() == pytest.approx(1) and (runs["two events"] < 1).all()


def test_clips_of_built_networks_and_training_clips_of_a_control_are_drawn_from_the_seed(monkeypatch):
    random, means = truth.CONTROLS["random"], []
    monkeypatch.setattr(built, "lineup", lambda settings: {"random": random})
    for seed in (0, 4):
        means.append(built.oracles({}, seed=seed).precision.tolist())
        for events, mean in zip(built.EVENTS.values(), means[-1], strict=True):
            net, known = truth.oracle(events, clips=60, seed=seed)
            each = truth.scores(random(net, known.clips, known.targets), known.inside).precision
            assert mean == pytest.approx(each.mean())
    assert means[0] != means[1]

    asked, network, videos = [], SimpleNamespace(num_frames=40), SimpleNamespace(size=32)
    monkeypatch.setattr(spoken, "opened", lambda run, checkpoint: (network, videos, None))
    monkeypatch.setattr(spoken.data, "load", lambda *given, **more: "training clips")
    monkeypatch.setattr(truth, "spoken", lambda *given: asked.append(given) or {})
    assert spoken._priors(SimpleNamespace(data_root="", seed=7), "grid/any") == {}
    assert asked == [("training clips", 40, 100, 7, None)]


def corpus(folder, sentences=6):
    """Write recordings and alignments as GRID's authors publish them: words of six frames from frame 15 on."""
    for k in range(sentences):
        words = [words[k % len(words)] for words in grid.QUESTIONS.values()]
        edges = [15000 + 6000 * j for j in range(7)]
        lines = [f"{a} {b} {w}\n" for a, b, w in zip(edges, edges[1:], words, strict=False)]
        align = folder / "grid/align/s1" / f"sentence{k}.align"
        align.parent.mkdir(parents=True, exist_ok=True)
        align.write_text(f"0 15000 sil\n{''.join(lines)}51000 74500 sil\n")
        videos.write(folder / "grid/s1" / f"sentence{k}.mp4", 75, 128, 96, bframes=0)


def test_spoken_words_of_an_untrained_network(run, tmp_path, monkeypatch):
    corpus(tmp_path)
    whole = grid.everything(tmp_path / "grid", 32)
    monkeypatch.setattr(grid, "load", lambda name, folder, split, size: whole)
    run.data_root, run.settings = str(tmp_path), {**SETTINGS, "questions": ["colour", "digit"], "scored": 3, "clips": 4}
    known = truth.spoken(whole, 40, clips=4)
    assert list(known) == list(grid.QUESTIONS) and torch.equal(known["letter"].clips, known["digit"].clips)
    first = whole.span(0)[0] + (whole.num_frames(0) - 40) // 2
    for q, one in enumerate(known.values()):
        assert one.inside.sum(1).tolist() == [6] * 4
        assert one.inside[0].nonzero()[:, 0].tolist() == [15 + 6 * q + k - first for k in range(6)]
        assert (one.targets >= 0).all() and (one.targets < len(list(grid.QUESTIONS.values())[q])).all()
    later = truth.spoken(whole, 40, clips=4, shift=2)
    assert torch.equal(later["digit"].inside[:, :-2], known["digit"].inside[:, 2:])
    drawn, fewer = (truth.spoken(whole, 40, clips=clips, shift=None) for clips in (6, 3))
    starts = drawn["digit"].inside.int().argmax(1)
    assert len(set(starts.tolist())) > 2 and torch.equal(drawn["digit"].inside[:3], fewer["digit"].inside)
    assert all(one.inside.any(1).all() for one in drawn.values())
    for k, name in enumerate(drawn["digit"].ids):  # pictures and words of the same frames
        i, first = whole.ids.index(name), 15 + 6 * 4 - whole.span(0)[0] - int(starts[k])
        shown = data.clips.to_clip(whole.frames(i, first + np.arange(40)))
        assert torch.equal(drawn["digit"].clips[k], shown)
    prior = truth.position_prior(known["colour"])
    assert prior(None, known["colour"].clips[:2], None).tolist() == [known["colour"].inside[0].float().tolist()] * 2

    monkeypatch.setattr(paths, "CHECKPOINTS", tmp_path / "checkpoints")
    torch.manual_seed(0)
    model = models.create("TAM2D-R18-f40", num_classes=51, width=4)
    recipe = train.Recipe("TAM2D-R18-f40", "grid", width=4, size=32, sampling="dense", stride=1)
    header = {"dataset": "grid", "classes": whole.classes, "recipe": vars(recipe), "seed": 0, "heads": whole.heads}
    checkpoints.save(checkpoints.path("grid/TAM2D-R18-f40"), model, header)
    key = "grid/TAM2D-R18-f40"
    accuracy = spoken.accuracy(run, key)
    assert accuracy.question.tolist() == list(grid.QUESTIONS) and accuracy.accuracy.between(0, 1).all()
    found = spoken.moving(run, key)
    assert found["profiles"].shape == (2, 40) and found["frames"].shape == (40, 32, 32, 3)
    assert np.allclose(found["profiles"].sum(1), 1, atol=1e-5) and found["questions"] == ["colour", "digit"]
    assert len(draw.moving(found, face=True).axes) == 3 and not any(axis.images for axis in draw.moving(found).axes)
    chosen = {"CLRP": truth.CONTROLS["random"], "position prior": prior}
    rows = pd.concat(
        truths.evaluated(lambda q=q: (model, known[q]), chosen, {"question": q})[0].assign(model=key, question=q)
        for q in found["questions"]
    )
    table = truths.summary(rows, ("model", "question"))
    assert table[(table.instrument == "position prior") & (table.score == "pointing")].value.tolist() == [
        1,
        0,
    ]  # of colours
    assert len(draw.moving(found, table).axes) == 4 and len(draw.scores(table, ["digit"], by=["question"]).axes) == 1
    found = spoken.profiles(run, [key])
    centres = spoken.centres(found)
    known = truth.spoken(whole, 40, 3, 0, None)
    assert centres.word.is_monotonic_increasing and (centres.clips == 3).all()
    assert centres.chance.tolist() == pytest.approx([float(one.inside.float().mean()) for one in known.values()])
    digits = relevance.clip_relevance(
        checkpoints.load(key)[0], known["digit"].clips, whole.heads["digit"][0] + known["digit"].targets
    )
    each = truth.scores(digits, known["digit"].inside).precision
    usual = truth.position_prior(truth.spoken(whole, 40, 100, 0, None)["digit"])
    prior = truth.scores(usual(None, known["digit"].clips, None), known["digit"].inside).precision
    some = _answering(found[key], {"digit": [1, 1, 0]})
    row = spoken.ranked(run, {key: some, f"{key}-s1": some}).set_index("question").loc[["digit"]].reset_index().iloc[0]
    assert row.precision == pytest.approx(each[:2].mean(), rel=1e-4) and row.runs == 2 and row.low <= row.precision
    assert row.right == pytest.approx(2 / 3) and row.prior == pytest.approx(prior[:2].mean()) and row.model == key
    assert len(draw.networks(spoken.ranked(run, {key: some})).axes) == 1

    checkpoints.save(checkpoints.path(f"{key}-s1"), model, {**header, "seed": 1})  # a clip is put to one of two runs
    run.settings["scored"] = None
    first, second = spoken.profiles(run, [key, f"{key}-s1"]).values()
    assert first.asked.tolist() == [0, 2, 4] and second.asked.tolist() == [1, 3, 5]
    assert torch.equal(first.known["digit"].clips[:3], known["digit"].clips)
    shared = found[key].relevance["digit"]  # of the clips 0, 1, 2
    assert np.allclose(first.relevance["digit"][:2], shared[[0, 2]]) and np.allclose(
        second.relevance["digit"][0], shared[1]
    )
    row = spoken.ranked(run, {key: _answering(first, {"digit": [1, 1, 0]}), f"{key}-s1": second}).set_index("question")
    assert row.clips["digit"] == 2 + second.right["digit"].sum() and row.runs["digit"] == 2
    both = {key: _answering(first, {"digit": [1, 1, 0]}), f"{key}-s1": _answering(second, {"digit": [0, 0, 1]})}
    table = spoken.over_all_clips(run, both)
    assert set(table.question) == {"digit"} and (table.clips == 3).all() and (table.runs == 2).all()
    table = table.set_index(["instrument", "score"]).value
    last = relevance.clip_relevance(checkpoints.load(key)[0], drawn["digit"].clips[5:], 37 + drawn["digit"].targets[5:])
    last = truth.scores(last, drawn["digit"].inside[5:]).precision
    assert table["CLRP of the clip", "precision"] == pytest.approx(np.mean([each[0], each[2], last[0]]), rel=1e-4)
    net, three = checkpoints.load(key)[0], [0, 2, 5]
    lrp = relevance.relevance_matrix(net, drawn["digit"].clips[three], 37 + drawn["digit"].targets[three], "lrp").sum(1)
    inside = drawn["digit"].inside[three]
    assert table["LRP", "mass"] == pytest.approx(truth.scores(lrp, inside).mass.mean(), rel=1e-4)
    assert table["position prior", "mass"] == pytest.approx(
        truth.scores(usual(None, drawn["digit"].clips[[0, 2, 5]], None), inside).mass.mean()
    )
    assert 0 <= table["Grad-CAM", "pointing"] <= 1


def _answering(found, right):
    """Return `spoken.Profiles` with these right answers alone."""
    return dataclasses.replace(
        found, right={q: np.array(right.get(q, [0] * len(answers)), bool) for q, answers in found.right.items()}
    )
