"""Costs are counted: by hand for those that run the network, by the rules' own operations for relevance."""

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from paperlib import models, truth
from paperlib.errors import InputError
from paperlib.truth.costs import Counted

pytestmark = pytest.mark.numerics

N = 8  # frames


@pytest.fixture(scope="module")
def asked():
    torch.manual_seed(0)
    model = models.create("TAM2D-R18-f8", num_classes=5, width=4).eval()
    return model, torch.randn(2, 3, N, 32, 32), torch.tensor([3, 0])


# Weights are held still, so a backward pass to the clip costs what the forward pass does. Permutations of captum's
# sampling share the clip without frames; ours run N + 1 sets each.
PASSES = {
    "occlusion": N + 1,
    "freeze-occlusion": N + 1,
    "gradient": 2,
    "gradient x input": 2,
    "integrated gradients": 2 * 16,
    "SmoothGrad": 2 * 8,
    "Shapley sampling": 8 * N + 1,
    "Shapley, freeze": 8 * (N + 1),
    "random": 0,
    "constant": 0,
    "middle": 0,
    "frame difference": 0,
}


@pytest.mark.parametrize("name", PASSES)
def test_instruments_that_run_the_network_cost_so_many_passes(asked, name):
    instrument = {**truth.INSTRUMENTS, **truth.CONTROLS}[name]
    assert truth.cost(instrument, *asked) == pytest.approx(PASSES[name], rel=1e-3)


def test_operations_are_those_of_torchs_own_counter_with_and_without_autograd(asked):
    model, clips, targets = asked
    relevance = truth.INSTRUMENTS["CLRP"]
    relevance(*asked)  # records the network
    for context in (torch.no_grad, torch.inference_mode, torch.enable_grad):
        for work in (lambda: model(clips), lambda: relevance(model, clips, targets)):
            with context(), FlopCounterMode(display=False) as torchs:
                work()
            with context(), Counted() as ours:
                work()
            assert ours.total == torchs.get_total_flops() > 0


def test_relevance_costs_less_than_three_passes_a_row_and_four_for_all_rows_together(asked):
    names = ("LRP", "CLRP of the clip", "CLRP", "ATR's ranges")
    found = {name: truth.cost(truth.INSTRUMENTS[name], *asked) for name in names}
    assert N < found["CLRP"] == found["ATR's ranges"] < 3 * N
    assert 1 < found["LRP"] < found["CLRP of the clip"] < 5  # a forward pass, denominators, one way down


def test_grad_cam_goes_back_through_the_last_layer_alone(asked):
    model, clips, targets = asked
    grad_cam, larger = truth.INSTRUMENTS["Grad-CAM"], clips.repeat(1, 1, 1, 2, 2)  # whose last stage is not one pixel
    assert truth.cost(grad_cam, model, larger, targets) == pytest.approx(1, abs=0.01)


def test_what_cannot_be_counted_is_said():
    class Still(torch.nn.Module):
        def forward(self, clip):
            return clip.mean((2, 3, 4))

    with pytest.raises(InputError, match="Still has no convolution or matrix product"):
        truth.cost(truth.CONTROLS["constant"], Still(), torch.randn(1, 3, 4, 8, 8), torch.tensor([0]))
