"""Predictions, F1 scores and drops against counts made by hand."""

import numpy as np
import pandas as pd
import pytest
import torch

from paperlib.data.clips import MEAN, STD
from paperlib.errors import InputError
from paperlib.training import evaluation

pytestmark = pytest.mark.numerics


class Ramps:
    """Videos whose brightness rises (class 0), falls (class 1), or stays dark (2) or bright (3)."""

    name, classes, temporal = "ramps", ["rise", "fall", "dark", "bright"], None

    def __init__(self, count=12):
        self.labels = np.arange(count) % 4
        self.ids = [f"video{i}" for i in range(count)]

    def __len__(self):
        return len(self.labels)

    def num_frames(self, i):
        return 20 + i

    def frames(self, i, indices):
        t = np.asarray(indices) / (self.num_frames(i) - 1)
        value = [t, 1 - t, 0 * t, 0 * t + 1][self.labels[i]] * 255
        return np.broadcast_to(value[:, None, None, None], (len(t), 4, 4, 3)).astype(np.uint8)


class Slope(torch.nn.Module):
    """Knows the four classes of Ramps from the first and the last frame."""

    num_frames = 8

    def __init__(self):
        super().__init__()
        self.scale = torch.nn.Parameter(torch.tensor(20.0))

    def forward(self, clips):
        level = clips * torch.tensor(STD)[:, None, None, None] + torch.tensor(MEAN)[:, None, None, None]
        first, last = level.mean((1, 3, 4))[:, 0], level.mean((1, 3, 4))[:, -1]
        return self.scale * torch.stack(
            [last - first - 0.5, first - last - 0.5, 0.4 - first - last, first + last - 1.6], 1
        )


def test_a_network_is_shown_the_frames_that_its_recipe_validates_on():
    asked = []

    class Noted(Ramps):
        def frames(self, i, indices):
            asked.append(list(indices))
            return super().frames(i, indices)

    dense = {"sampling": "dense", "stride": 2}
    evaluation.evaluate(Slope(), Noted(), indices=[0, 5], recipe=dense)
    assert asked == [list(range(2, 18, 2)), list(range(4, 20, 2))]  # the centre 16 of 20 and of 25 frames
    asked.clear()
    clips = [evaluation.load_clips(Noted(), [0], 8, recipe) for recipe in (None, {"sampling": "uniform"}, dense)]
    assert asked[0] == asked[1] == [1, 3, 6, 8, 11, 13, 16, 18]
    assert torch.equal(clips[0], clips[1]) and not torch.equal(clips[0], clips[2])


def test_evaluate_forward_and_reversed():
    forward = evaluation.evaluate(Slope(), Ramps())
    assert (forward.predicted == forward.label).all() and evaluation.accuracy(forward) == 1
    assert forward.id.tolist()[:2] == ["video0", "video1"] and len(forward) == 12
    backward = evaluation.evaluate(Slope(), Ramps(), reverse=True, batch_size=5)
    swapped = forward.label.replace({0: 1, 1: 0})
    assert (backward.predicted == swapped).all() and evaluation.accuracy(backward) == 0.5
    assert backward.attrs["reverse"] and not forward.attrs["reverse"]
    some = evaluation.evaluate(Slope(), Ramps(), indices=[3, 8])
    assert some["clip"].tolist() == [3, 8] and some.label.tolist() == [3, 0]


def test_scores_and_ranks_are_those_of_the_softmax():
    scores = np.array([[0.1, 0.6, 0.2, 0.1], [0.4, 0.3, 0.2, 0.1], [0.1, 0.2, 0.3, 0.4]])
    table = evaluation.predictions(scores, Ramps(), np.array([0, 1, 2]), top=3)
    assert table.predicted.tolist() == [1, 0, 3] and table["rank"].tolist() == [3, 2, 2]
    assert table.score.tolist() == [0.6, 0.4, 0.4] and table.label_score.tolist() == [0.1, 0.3, 0.3]
    assert table[["top1", "top2", "top3"]].values.tolist() == [[1, 2, 0], [0, 1, 2], [3, 2, 1]]
    assert [evaluation.accuracy(table, k) for k in (1, 2, 3)] == pytest.approx([0, 2 / 3, 1])


def test_scores_are_sigmoids_where_that_is_asked_for():
    softmax = evaluation.evaluate(Slope(), Ramps())
    sigmoid = evaluation.evaluate(Slope(), Ramps(), scores="sigmoid")
    assert (softmax.attrs["scores"], sigmoid.attrs["scores"]) == ("softmax", "sigmoid")
    clips = evaluation.load_clips(Ramps(), [0, 1, 2], 8)
    scores = evaluation.class_scores(Slope(), Ramps(), indices=[0, 1, 2], scores="sigmoid")
    assert np.allclose(scores, Slope()(clips).sigmoid().detach(), atol=1e-6)
    assert not np.allclose(scores, Slope()(clips).softmax(1).detach(), atol=1e-6)


@pytest.mark.parametrize("number", [torch.float64, torch.bfloat16, torch.float16])
def test_networks_are_shown_clips_of_their_own_numbers(number):
    network, shown = (
        torch.nn.Sequential(torch.nn.Conv3d(3, 4, 3), torch.nn.AdaptiveMaxPool3d(1), torch.nn.Flatten()),
        [],
    )
    wide = evaluation.class_scores(network, Ramps(), frames=4)
    network.to(number).register_forward_pre_hook(lambda _, given: shown.append(given[0].dtype))
    found = evaluation.class_scores(network, Ramps(), frames=4)
    assert shown == [number] and found.dtype == np.float32
    assert np.allclose(found, wide, atol=0.02)


def test_f1_and_confusion_by_hand():
    table = pd.DataFrame({"label": [0, 0, 0, 1, 1, 2], "predicted": [0, 0, 1, 1, 2, 0], "rank": [1, 1, 2, 1, 3, 2]})
    table.attrs["classes"] = ["a", "b", "c", "d"]
    assert evaluation.confusion(table).tolist() == [[2, 1, 0, 0], [0, 1, 1, 0], [1, 0, 0, 0], [0, 0, 0, 0]]
    # precision and recall: a 2/3 and 2/3, b 1/2 and 1/2, c 0 and 0
    f1 = evaluation.f1_per_class(table)
    assert f1[:3] == pytest.approx([2 / 3, 1 / 2, 0]) and np.isnan(f1[3])
    assert evaluation.f1_macro(table) == pytest.approx((2 / 3 + 1 / 2) / 3)
    # with the two best counted: only the fifth stays wrong
    assert evaluation.f1_per_class(table, k=2)[:3] == pytest.approx([1, 2 / 3, 2 / 3])


def test_answers_that_the_data_set_does_not_have_are_wrong_and_no_other_class():
    """A network of six classes asked about three: its answers 3, 4 and 5 are none of the data set's."""
    labels, predicted = np.array([0, 0, 0, 0, 1, 1, 2, 2]), np.array([0, 4, 4, 5, 1, 0, 2, 3])
    table = pd.DataFrame({"label": labels, "predicted": predicted, "rank": 1 + (labels != predicted)})
    table.attrs["classes"] = ["a", "b", "c"]
    matrix = evaluation.confusion(table)
    assert matrix.tolist() == [[1, 0, 0, 0, 2, 1], [1, 1, 0, 0, 0, 0], [0, 0, 1, 1, 0, 0]]
    precision, recall = np.array([1 / 2, 1, 1]), np.array([1 / 4, 1 / 2, 1 / 2])
    assert evaluation.f1_per_class(table) == pytest.approx(2 * precision * recall / (precision + recall))
    assert evaluation.f1_macro(table) == pytest.approx((1 / 3 + 2 / 3 + 2 / 3) / 3)
    with pytest.raises(InputError, match="class 2; classes has to be more than that, not 2"):
        evaluation.confusion(table, classes=2)


def test_drops_follow_the_papers_definition_and_filter():
    original = np.array([0.9, 0.8, 0.5, 0.9, 0.2])
    freeze = np.array([0.1, 0.2, 0.5, 0.3, 0.3])
    reverse = np.array([0.5, 0.8, 0.1, 0.8995, 0.1])
    found = evaluation.drops(original, freeze, reverse)
    # the second and fourth do not drop when reversed, the third and fifth not when frozen
    assert found.kept.tolist() == [True, False, False, False, False] and found.removed == 4
    assert found.ratio == pytest.approx([0.8 / 0.4])
    assert found.difference == pytest.approx((original - freeze) - (original - reverse))
    assert evaluation.drops(original, freeze, reverse, threshold=1e-9).removed == 3
    with pytest.raises(InputError, match="as many"):
        evaluation.drops(original, freeze[:3], reverse)


def test_unusable_models_and_data_are_named():
    with pytest.raises(InputError, match="frames="):
        evaluation.evaluate(torch.nn.Linear(1, 1), Ramps())
    with pytest.raises(InputError, match="no video"):
        evaluation.evaluate(Slope(), Ramps(), indices=[])
    with pytest.raises(InputError, match="2 classes"):
        evaluation.predictions(np.ones((4, 2)) / 2, Ramps(), np.arange(4))
