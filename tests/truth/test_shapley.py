"""Exact Shapley values: efficient, equal to the mean over all orders, and what the sampled ones converge to."""

import itertools

import numpy as np
import pytest
import torch
from torch import nn

from paperlib import truth
from paperlib.errors import InputError
from paperlib.truth import instruments, players, shapley

pytestmark = pytest.mark.numerics


class Net(nn.Module):
    """A small network in which frames act on each other."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.net = nn.Sequential(nn.Conv3d(3, 8, 3, padding=1), nn.ReLU(), nn.Conv3d(8, 8, (3, 3, 3)), nn.ReLU())
        self.fc = nn.Linear(8, 3)

    def forward(self, clip):
        return self.fc(self.net(clip).amax((2, 3, 4)))


@pytest.fixture
def clips():
    return torch.randn(2, 3, 5, 8, 8, generator=torch.Generator().manual_seed(1))


def test_absent_frames_hold_the_one_before_or_turn_grey():
    clips = torch.arange(1.0, 6).view(1, 1, 5, 1, 1).expand(4, 3, 5, 2, 2)
    on = torch.tensor([[1, 0, 1, 0, 0], [0, 0, 1, 0, 1], [0, 0, 0, 0, 0], [1, 1, 1, 1, 1]], dtype=torch.bool)
    held = [[1, 1, 3, 3, 3], [3, 3, 3, 3, 5], [0] * 5, [1, 2, 3, 4, 5]]
    assert players.present(clips, on)[:, 0, :, 0, 0].tolist() == held
    grey = [[1, 0, 3, 0, 0], [0, 0, 3, 0, 5], [0] * 5, [1, 2, 3, 4, 5]]
    assert players.present(clips, on, "mean")[:, 2, :, 1, 1].tolist() == grey
    with pytest.raises(InputError, match="freeze or mean"):
        players.present(clips, on, "black")


@pytest.mark.parametrize("absent", players.ABSENT)
def test_exact_values_are_the_mean_over_all_orders_and_efficient(clips, absent):
    net, targets = Net(), torch.tensor([2, 0])
    found = shapley.exact(net, clips, targets, absent)
    orders = torch.tensor(list(itertools.permutations(range(5))))
    given = players.values(net, clips, targets, shapley.arriving(orders).flatten(0, 1), absent)
    gains = given.view(2, len(orders), 6).diff(dim=2)
    mean = torch.zeros(2, len(orders), 5, dtype=torch.float64).scatter_(2, orders.expand(2, -1, -1), gains).mean(1)
    assert torch.allclose(found.double(), mean, atol=1e-5)
    ends = players.values(net, clips, targets, torch.tensor([[False] * 5, [True] * 5]), absent)
    assert torch.allclose(found.double().sum(1), ends[:, 1] - ends[:, 0], atol=1e-5)


def test_the_sampled_values_converge_to_the_exact_ones(clips):
    net, targets = Net(), torch.tensor([2, 0])
    for absent, sample in (
        ("freeze", lambda n, seed: shapley.sampled(net, clips, targets, n, seed=seed)),
        ("mean", lambda n, seed: instruments.shapley(net, clips, targets, samples=n, seed=seed)),
    ):
        exact = shapley.exact(net, clips, targets, absent)
        few, many = (np.mean([float((sample(n, s) - exact).abs().mean()) for s in range(3)]) for n in (4, 256))
        assert many < few / 4 and many < 0.1 * float(exact.abs().mean())  # 64 times as many: an eighth, expected


def test_every_clip_is_sampled_by_draws_of_its_own_the_same_whatever_the_batch(clips):
    class Pairs(torch.nn.Module):  # frames that count together alone: what one gets depends on the order
        num_frames = 5

        def forward(self, clip):
            bright = clip.mean((1, 3, 4))
            return torch.stack([bright.cumprod(1).sum(1), bright.sum(1)], 1)

    shown = torch.rand(1, 3, 5, 2, 2).add(0.5).expand(2, -1, -1, -1, -1).clone()
    shown[1, 0, 0, 0, 0] += 1e-6  # another clip, which differs by nothing but its draws
    for sample in (instruments.shapley, instruments.smooth_grad, instruments.freeze_shapley):
        options = {"permutations": 1} if sample is instruments.freeze_shapley else {"samples": 1}
        both = sample(Pairs(), shown, torch.tensor([0, 0]), **options)
        assert not torch.allclose(both[0], both[1], rtol=1e-3)
        assert torch.allclose(both[1:], sample(Pairs(), shown[1:], torch.tensor([0]), **options), atol=1e-6)


def test_the_best_orders_and_windows_are_the_best_of_all():
    values = torch.rand(3, 32, generator=torch.Generator().manual_seed(2), dtype=torch.float64)

    def sum_on_the_way(order, row):
        left, total = 31, float(values[row, 31])
        for k in order:
            left ^= 1 << k
            total += float(values[row, left])
        return total

    for largest, pick in ((False, min), (True, max)):
        found = shapley.best_orders(values, largest)
        for row in range(3):
            every = [sum_on_the_way(order, row) for order in itertools.permutations(range(5))]
            assert sum_on_the_way(found[row].tolist(), row) == pytest.approx(pick(every))
    for row, (first, after) in enumerate(shapley.best_windows(values).tolist()):
        runs = [(a, b) for a in range(5) for b in range(a + 1, 6)]
        best = max(runs, key=lambda run: float(values[row, sum(1 << k for k in range(*run))]))
        assert (first, after) == best


def test_too_many_frames_are_refused():
    net, known = truth.oracle([(3, 5)], clips=1)
    with pytest.raises(InputError, match="16 frames cannot be tried"):
        shapley.exact(net, known.clips, known.targets)


def test_what_is_no_game_is_named():
    net, known = truth.oracle([(3, 5)], frames=6, clips=2)
    for function in (shapley.exact, shapley.sampled):
        with pytest.raises(InputError, match="worth a logit or a score, not 'probability'"):
            function(net, known.clips, known.targets, value="probability")
        with pytest.raises(InputError, match="class -1 does not exist"):
            function(net, known.clips, [0, -1])
    for values in (torch.rand(2, 6), torch.rand(8), torch.rand(2, 1)):
        for function in (shapley.of_values, shapley.best_orders, shapley.best_windows):
            with pytest.raises(InputError, match=r"values must be \[B, 2\^N\].* not \["):
                function(values)
