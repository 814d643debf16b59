"""Numbers that count and numbers that measure: one check of each, and a sentence that names the parameter."""

import numpy as np
import pytest
import torch
from torch import nn

from paperlib import gradcam, masks, models, relevance, truth
from paperlib.data import sampling
from paperlib.errors import InputError, number, whole
from paperlib.explanation import sliding
from paperlib.papers import statistics
from paperlib.relevance import rules

NO_COUNTS = [0, -3, 2.5, 2.0, True, np.bool_(True), "2", None, float("nan"), float("inf"), np.float64(2), torch.ones(2)]


class Small(nn.Module):
    """A network of any clip, with a layer that has maps."""

    def __init__(self):
        super().__init__()
        self.conv, self.fc = nn.Conv3d(3, 2, 1), nn.Linear(2, 3)

    def forward(self, x):
        return self.fc(self.conv(x).mean((2, 3, 4)))


NET, CLIPS = Small().eval(), torch.rand(2, 3, 4, 6, 6)
ORACLE, KNOWN = truth.oracle([(2, 4)], frames=6, clips=2)
COUNTS = {
    "gradcam.raw_maps batch_size": lambda n: gradcam.raw_maps(NET, CLIPS, 0, "conv", batch_size=n),
    "gradcam.video_gradcam batch_size": lambda n: gradcam.video_gradcam(NET, CLIPS, 0, "conv", batch_size=n),
    "masks.learn batch_size": lambda n: masks.learn(NET, CLIPS, iterations=1, batch_size=n),
    "masks.learn patience": lambda n: masks.learn(NET, CLIPS, iterations=1, patience=n),
    "masks.search step": lambda n: masks.search(NET, CLIPS, step=n),
    "masks.learn_from_window batch_size": lambda n: masks.learn_from_window(NET, CLIPS, iterations=1, batch_size=n),
    "relevance.sum_blocks size": lambda n: relevance.sum_blocks(torch.eye(4)[None], n),
    "truth.score batch_size": lambda n: truth.score(
        truth.CONTROLS["middle"], ORACLE, KNOWN.clips, KNOWN.inside, batch_size=n
    ),
    "truth.told_apart batch_size": lambda n: truth.told_apart(ORACLE, KNOWN, batch_size=n),
    "truth.planted clips": lambda n: truth.planted("synth_ssv2_hard", 4, clips=n),
    "truth.planted frames": lambda n: truth.planted("synth_ssv2_hard", frames=n, clips=1),
    "truth.spliced clips": lambda n: truth.spliced("synth_kth", 4, clips=n),
    "truth.spliced frames": lambda n: truth.spliced("synth_kth", frames=n, clips=1),
    "truth.oracle frames": lambda n: truth.oracle([(1, 2)], frames=n),
    "truth.oracle classes": lambda n: truth.oracle([(1, 2)], classes=n),
    "truth.oracle clips": lambda n: truth.oracle([(1, 2)], clips=n),
    "truth.shapley.sampled permutations": lambda n: truth.shapley.sampled(ORACLE, KNOWN.clips, KNOWN.targets, n),
    "truth.INSTRUMENTS steps": lambda n: truth.INSTRUMENTS["integrated gradients"](
        ORACLE, KNOWN.clips, KNOWN.targets, steps=n
    ),
    "truth.INSTRUMENTS samples": lambda n: truth.INSTRUMENTS["SmoothGrad"](
        ORACLE, KNOWN.clips, KNOWN.targets, samples=n
    ),
    "truth.sanity.permuted_labels classes": lambda n: truth.sanity.permuted_labels(
        truth.CONTROLS["middle"], ORACLE, KNOWN.clips, KNOWN.targets, n
    ),
    "sampling.uniform n": lambda n: sampling.uniform(20, n),
    "sampling.dense stride": lambda n: sampling.dense(20, 4, n),
    "explanation.sliding.plan clips": lambda n: sliding.plan(20, 4, clips=n),
    "models.create width": lambda n: models.create("TSN-R18-f8", 3, width=n),
    "models.create num_classes": lambda n: models.create("TSN-R18-f8", n),
    "statistics.bootstrap_interval resamples": lambda n: statistics.bootstrap_interval([1.0, 2, 4], resamples=n),
    "statistics.share_interval trials": lambda n: statistics.share_interval(0, n),
}


@pytest.mark.parametrize("what", COUNTS)
def test_what_counts_is_a_whole_number_and_named(what):
    for value in NO_COUNTS:
        with pytest.raises(InputError, match=rf"\b{what.split()[-1]} must be a whole number of at least [12], not"):
            COUNTS[what](value)


def test_whole_numbers_are_those_of_any_kind():
    for value in (3, np.int64(3), np.uint8(3)):
        assert whole("n", value) == 3 and type(whole("n", value)) is int
    assert whole("n", 0, least=0) == 0
    for value in NO_COUNTS[1:]:
        with pytest.raises(InputError, match="^n must be a whole number of at least 0, not "):
            whole("n", value, least=0)


NO_NUMBERS = [float("nan"), float("inf"), -float("inf"), -0.5, "0.5", None, True, 1j, torch.ones(2), [0.5]]
NUMBERS = {
    "relevance.atr sigma": lambda x: relevance.atr(torch.eye(4)[None], torch.ones(1, 4), x),
    "relevance.relevance_matrix memory": lambda x: relevance.relevance_matrix(NET, CLIPS, 0, memory=x),
    "rules.Epsilon epsilon": rules.Epsilon,
    "rules.Gamma gamma": rules.Gamma,
    "rules.Gamma epsilon": lambda x: rules.Gamma(epsilon=x),
    "masks.learn length_weight": lambda x: masks.learn(NET, CLIPS, iterations=1, length_weight=x),
    "masks.learn tv_weight": lambda x: masks.learn(NET, CLIPS, iterations=1, tv_weight=x),
    "masks.learn beta": lambda x: masks.learn(NET, CLIPS, iterations=1, beta=x),
    "masks.learn learning_rate": lambda x: masks.learn(NET, CLIPS, iterations=1, learning_rate=x),
    "masks.learn tolerance": lambda x: masks.learn(NET, CLIPS, iterations=1, tolerance=x),
    "masks.learn start": lambda x: masks.learn(NET, CLIPS, iterations=1, start=x),
    "masks.learn coverage": lambda x: masks.learn(NET, CLIPS, iterations=1, coverage=x),
    "masks.central_mask coverage": lambda x: masks.central_mask(NET, CLIPS, [0, 0], coverage=x),
    "masks.reverse threshold": lambda x: masks.reverse(CLIPS, torch.ones(4), threshold=x),
    "masks.shuffle threshold": lambda x: masks.shuffle(CLIPS, torch.ones(4), threshold=x),
    "masks.blur sigma of the blur": lambda x: masks.blur(CLIPS, torch.ones(4), sigma=x),
    "models.create dropout": lambda x: models.create("TSN-R18-f8", 3, dropout=x),
    "statistics.bootstrap_interval level of the interval": lambda x: statistics.bootstrap_interval([1.0, 2], level=x),
    "truth.INSTRUMENTS noise": lambda x: truth.INSTRUMENTS["SmoothGrad"](ORACLE, KNOWN.clips, KNOWN.targets, noise=x),
}


@pytest.mark.parametrize("what", NUMBERS)
def test_what_measures_is_a_finite_number_in_its_range_and_named(what):
    for value in NO_NUMBERS:
        if value is None and what.startswith("masks.blur"):  # its default
            continue
        with pytest.raises(
            InputError, match=rf"^{what.partition(' ')[2]} must be a number (of|from|above|between) .*, not"
        ):
            NUMBERS[what](value)


def test_numbers_are_those_of_any_kind():
    for value in (1, 0.5, np.float32(0.5), np.int64(1)):
        same = number("n", value, "above 0", lambda x: x > 0)
        assert same == value and type(same) is float  # which json can write
