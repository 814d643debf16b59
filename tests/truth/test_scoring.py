"""Scores against scikit-learn and Quantus where these have them, against all orders of the frames, and by hand."""

import dataclasses
import itertools

import numpy as np
import pandas as pd
import pytest
import torch

from paperlib import truth
from paperlib.errors import InputError
from paperlib.truth import scoring

COLUMNS = list(scoring.SCORES)


def examples(ties=False):
    rng = np.random.default_rng(3)
    for _ in range(30):
        n = int(rng.integers(3, 20))
        inside = np.zeros(n, bool)
        inside[rng.permutation(n)[: rng.integers(1, n)]] = True
        yield (rng.integers(0, 3, n).astype(float) if ties else rng.standard_normal(n)), inside


# Of the sizes of the first six examples: PointingGame and AttributionLocalisation of Quantus 0.6.0,
# average_precision_score and the best jaccard_score of all thresholds of scikit-learn 1.9.1
THEIRS = [
    [1.0, 0.796642, 0.782494, 0.75],
    [1.0, 0.380097, 0.74359, 0.666667],
    [0.0, 0.024613, 0.076923, 0.076923],
    [0.0, 0.100368, 0.2, 0.2],
    [1.0, 0.906647, 1.0, 1.0],
    [1.0, 0.903568, 0.926346, 0.909091],
]


def test_scores_are_those_that_the_libraries_gave():
    for (importance, inside), theirs in zip(examples(), THEIRS, strict=False):
        assert truth.scores([np.abs(importance)], [inside]).to_numpy()[0] == pytest.approx(theirs, abs=1e-6)


def test_precision_and_iou_are_scikit_learns():
    metrics = pytest.importorskip("sklearn.metrics", reason="scikit-learn is not installed")
    for importance, inside in examples():
        assert scoring.precision(importance, inside) == pytest.approx(
            metrics.average_precision_score(inside, importance)
        )
    for importance, inside in examples(ties=True):
        best = max(metrics.jaccard_score(inside, importance >= value) for value in importance)
        assert scoring.iou(importance, inside) == pytest.approx(best)


def test_pointing_and_mass_are_those_of_quantus():
    quantus = pytest.importorskip("quantus", reason="Quantus is not installed")
    net = torch.nn.Flatten()
    options = dict(abs=False, normalise=False, disable_warnings=True, display_progressbar=False)
    point, share = quantus.PointingGame(**options), quantus.AttributionLocalisation(**options)
    for importance, inside in examples():
        importance, n = np.abs(importance), len(inside)
        given = dict(
            model=net,
            channel_first=True,
            x_batch=np.zeros((1, 1, 1, n), np.float32),
            y_batch=np.zeros(1, int),
            a_batch=importance.reshape(1, 1, 1, n),
            s_batch=inside.reshape(1, 1, 1, n),
        )
        assert scoring.pointing(importance, inside) == float(point(**given)[0])
        assert scoring.mass(importance, inside) == pytest.approx(float(share(**given)[0]))


def test_chance_is_the_mean_over_all_orders():
    for right, n in ((1, 5), (2, 5), (3, 6), (5, 6)):
        inside = np.arange(n) < right
        every = [truth.scores([order], [inside]) for order in itertools.permutations(range(1, n + 1))]
        mean = np.mean([one.to_numpy()[0] for one in every], 0)
        assert truth.chance([inside]).to_numpy()[0] == pytest.approx(mean)


@pytest.mark.parametrize("values", [[3, 3, 3, 3, 3], [2, 2, 1, 1, 1], [5, 4, 4, 2, 2], [0, 0, -1, 0, 7]])
def test_chance_of_importance_with_ties_is_the_mean_over_all_orders_of_its_values(values):
    for right in (1, 2, 4):
        inside = np.arange(5) < right
        every = [truth.scores([order], [inside]) for order in itertools.permutations(values)]
        mean = np.mean([one.to_numpy()[0] for one in every], 0)
        assert truth.chance([inside], [values]).to_numpy()[0] == pytest.approx(mean)
    with pytest.raises(InputError, match="importance and inside must both be"):
        truth.chance([inside], [[1, 2]])


def test_ties_count_as_the_mean_over_their_orders():
    inside = np.array([True, False, True, False, False])
    importance = np.array([2.0, 2.0, 1.0, 1.0, 1.0])
    tiny = [importance + 1e-3 * np.array(order) for order in itertools.permutations(range(5))]
    for score in (scoring.pointing, scoring.precision):
        assert score(importance, inside) == pytest.approx(np.mean([score(one, inside) for one in tiny]))
    nothing = truth.scores(np.zeros((1, 5)), inside[None]).iloc[0]
    assert nothing[["pointing", "mass"]].tolist() == [0.4, 0.4]
    assert nothing.precision == pytest.approx(truth.chance(inside[None]).precision[0])


def test_scores_by_hand():
    table = truth.scores([[0.0, 3, 1, -1, 1]], [[False, True, False, True, False]]).iloc[0]
    assert table[["pointing", "mass"]].tolist() == [1, 0.6] and table.iou == 0.5
    assert table.precision == pytest.approx((1 + 2 / 5) / 2)


@pytest.mark.parametrize(
    "importance, inside, message",
    [
        (np.zeros((1, 4)), np.ones((1, 4)), "no frame inside or none outside"),
        (np.zeros((1, 4)), np.zeros((1, 5)), "must both be"),
        (np.full((2, 4), np.nan), np.eye(4)[:2], "clip 0 is not finite"),
        (np.zeros(4), np.eye(4)[:2], r"importance must be numbers \[B, N\].* not of shape \[4\]"),
        ({0: 1}, np.eye(4)[:2], r"importance must be numbers \[B, N\].* not dict"),
        (np.zeros((2, 4)), [True, False, False, True], r"inside must be numbers \[B, N\]"),
        (np.zeros((1, 4)), [[0, 1, 0.2, 0]], "inside must be truth values, or 0 and 1, not 0.2"),
        (np.zeros((1, 4)), torch.tensor([[0, 1, float("nan"), 0]]), "not nan"),
        (np.zeros((1, 4)), [[0, 1, -1, 0]], "not -1"),
        (np.zeros((1, 2)), [["yes", "no"]], "inside must be"),
    ],
)
def test_what_cannot_be_scored_is_one_sentence(importance, inside, message):
    with pytest.raises(InputError, match=message):
        truth.scores(importance, inside)
    with pytest.raises(InputError, match="clip 1 has no frame inside or none outside"):
        truth.chance([[True, False], [True, True]])


def test_frames_inside_may_be_zeros_and_ones():
    importance, inside = [[0.0, 3, 1, -1, 1]], [[False, True, False, True, False]]
    for given in (torch.tensor(inside), torch.tensor(inside).half(), np.array(inside, int), [[0, 1, 0, 1, 0]]):
        assert truth.scores(importance, given).equals(truth.scores(importance, inside))


def test_importance_in_half_precision_is_scored():
    importance, inside = torch.tensor([[0.0, 3, 1, -1, 1]]), [[False, True, False, True, False]]
    for number in (torch.bfloat16, torch.float16):
        assert truth.scores(importance.to(number), inside).equals(truth.scores(importance, inside))


def test_a_layer_called_scores_says_nothing_about_the_scores():
    net, known = truth.oracle([(5, 9)], clips=2)
    importance = torch.rand(2, 16)
    before = truth.curves(net, known.clips, known.targets, importance)
    net.scores = torch.nn.Linear(1, 1)
    assert truth.curves(net, known.clips, known.targets, importance).equals(before)
    del net.scores
    net.scores = "sigmoid"
    assert not truth.curves(net, known.clips, known.targets, importance).equals(before)


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_importance_that_is_not_finite_is_not_ranked(bad):
    net, known = truth.oracle([(5, 9)], clips=3)
    importance = torch.rand(3, 16, requires_grad=True)
    assert truth.ranks(importance, 2 * importance) == pytest.approx(1)
    holed = importance.detach().clone()
    holed[1, 3] = bad
    for call in (
        lambda: truth.curves(net, known.clips, known.targets, holed),
        lambda: truth.ranks(holed, importance),
        lambda: truth.score(lambda *of: holed, net, known.clips, known.inside),
    ):
        with pytest.raises(InputError, match="importance.* of clip 1 is not finite"):
            call()
    with pytest.raises(InputError, match="exact value of clip 1 is not finite"):
        truth.ranks(importance, holed)


@pytest.mark.parametrize(
    "change, message",
    [
        ({"importance": torch.rand(3, 5)}, r"not \[3, 5\] and \[3, 16\]"),
        ({"importance": torch.rand(2, 16)}, r"not \[2, 16\] and \[3, 16\]"),
        ({"importance": torch.rand(16)}, r"not of shape \[16\]"),
        ({"targets": [0, 1, 9]}, "class 9 does not exist"),
        ({"targets": [0, 1, -1]}, "class -1 does not exist"),
        ({"targets": [0, 1]}, "3 clips but 2 targets"),
        ({"targets": None}, "class indices, one per clip, not None"),
        ({"clips": torch.zeros(3, 3, 16, 20, 64, dtype=torch.uint8)}, "normalised float tensor"),
    ],
)
def test_curves_of_what_does_not_fit_are_refused(change, message):
    net, known = truth.oracle([(5, 9)], clips=3)
    right = {"clips": known.clips, "targets": known.targets, "importance": torch.rand(3, 16)}
    with pytest.raises(InputError, match=message):
        truth.curves(net, **{**right, **change})


def test_curves_of_an_oracle_by_hand():
    """The frames inside go first, one by one, each replaced by the one before them; nothing changes after that."""
    net, known = truth.oracle([(5, 9)], clips=2)
    importance = 100 * known.inside - torch.arange(16.0)  # no ties
    right, wrong = (truth.curves(net, known.clips, known.targets, x) for x in (importance, -importance))
    scores, shown = [], known.clips[:1].clone()
    for t in (5, 6, 7, 8):
        scores.append(net(shown).softmax(1)[0, 0].item())
        shown[:, :, t] = known.clips[:1, :, 4]
    assert right.deletion[0] == pytest.approx(np.mean(scores + [1 / 3] * 13), abs=1e-6)
    assert (right.margin > 0.4).all() and np.allclose(right.margin, -wrong.margin)
    assert np.allclose(wrong.deletion, right.deletion + right.margin) and (right.insertion > right.deletion).all()
    assert (truth.curves(net, known.clips, known.targets, torch.ones(2, 16)).margin == 0).all()  # it chooses nothing


def test_scoring_takes_the_predicted_classes_by_default_and_batches_alike():
    net, known = truth.oracle([(5, 9)], clips=5)
    whole = truth.score(truth.INSTRUMENTS["CLRP"], net, known.clips, known.inside, known.targets, batch_size=5)
    parts = truth.score(truth.INSTRUMENTS["CLRP"], net, known.clips, known.inside, batch_size=2)
    assert np.allclose(whole.attrs["importance"], parts.attrs["importance"], atol=1e-5)


def test_tables_of_scores_can_be_joined_and_saved(tmp_path):
    net, known = truth.oracle([(5, 9)], clips=2)
    names = ["constant", "middle"]
    tables = {name: truth.score(truth.CONTROLS[name], net, known.clips, known.inside) for name in names}
    joined = pd.concat(tables, names=["instrument"])
    assert joined.loc["middle"].equals(tables["middle"]) and pd.concat(list(tables.values()), axis=1).shape == (2, 16)
    tables["middle"].to_parquet(tmp_path / "table.parquet")
    kept = pd.read_parquet(tmp_path / "table.parquet")
    centre = 8 - np.abs(np.arange(16) - 7.5)
    assert kept.equals(tables["middle"]) and np.array_equal(kept.attrs["importance"], [centre, centre])


def test_networks_and_clips_that_cannot_be_scored_are_named():
    net, known = truth.oracle([(5, 9)], clips=2)
    bright, says = truth.CONTROLS["constant"], net.forward
    with pytest.raises(InputError, match="normalised float tensor .*not torch.uint8"):
        truth.score(bright, net, known.clips.to(torch.uint8), known.inside)
    net.forward = lambda clip: {"logits": says(clip)}
    with pytest.raises(InputError, match="must return class logits .* but it returns dict"):
        truth.score(bright, net, known.clips, known.inside)
    net.forward = says
    with pytest.raises(InputError, match="an instrument is a function.* not 'CLRP'"):
        truth.score("CLRP", net, known.clips, known.inside)
    with pytest.raises(InputError, match="these clips have no twins"):
        truth.told_apart(net, truth.Known(known.clips, known.targets, known.inside))
    with pytest.raises(InputError, match="other class 9 does not exist; the model has classes 0 to 2"):
        truth.told_apart(net, dataclasses.replace(known, others=torch.tensor([9, 0])))
    with pytest.raises(InputError, match="inside and the clips' frames must both be"):
        truth.score(bright, net, known.clips, known.inside[:, 1:])
    none = known.subset([False, False])
    for ask in (lambda: truth.told_apart(net, none), lambda: truth.score(bright, net, none.clips, none.inside)):
        with pytest.raises(InputError, match="there is no clip"):
            ask()


def test_what_an_instrument_returns_is_checked_for_each_of_its_clips():
    net, known = truth.oracle([(5, 9)], clips=3)

    def asked(answer):
        truth.score(answer, net, known.clips, known.inside, known.targets, batch_size=1)

    with pytest.raises(InputError, match="returns of clip 2 is not finite"):
        asked(lambda model, clips, targets: torch.full((1, 16), 1 / (targets[0] - 2.0)))
    for shape in ((1, 15), (3, 16)):
        with pytest.raises(InputError, match=rf"both be \[B, N\], not \[{shape[0]}, {shape[1]}\] and \[1, 16\]"):
            asked(lambda model, clips, targets, shape=shape: torch.ones(shape))
    with pytest.raises(InputError, match=r"returns must be numbers \[B, N\]"):
        asked(lambda model, clips, targets: torch.ones(1, 16, dtype=torch.complex64))


def test_what_an_instrument_writes_into_its_clips_is_not_seen_by_the_next():
    net, known = truth.oracle([(5, 9)], clips=2)
    before = known.clips.clone(), known.targets.clone()

    def careless(model, clips, targets):
        importance = truth.INSTRUMENTS["occlusion"](model, clips, targets)
        clips.zero_(), targets.zero_()
        return importance

    table = truth.score(careless, net, known.clips, known.inside, known.targets)
    assert torch.equal(known.clips, before[0]) and torch.equal(known.targets, before[1]) and (table.iou == 1).all()


def test_an_instrument_is_asked_in_evaluation_mode():
    network, known = truth.oracle([(3, 6)], frames=8, clips=3)
    noisy = torch.nn.Sequential(torch.nn.Dropout(0.9), network).train()

    def gradient(model, clips, targets):
        clips = clips.clone().requires_grad_()
        own = model(clips).gather(1, targets[:, None]).sum()
        return torch.autograd.grad(own, clips)[0].abs().sum((1, 3, 4))

    found = [truth.score(gradient, noisy, known.clips, known.inside, known.targets) for _ in range(2)]
    assert np.array_equal(*(one.attrs["importance"] for one in found)) and noisy.training
