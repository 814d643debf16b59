"""Max pooling: relevance goes to the largest input of a window, in turns where windows overlap."""

import itertools
import math

import pytest
import torch
from torch import nn

from paperlib import relevance
from paperlib.models.base import max_pool, max_pool_by_frames
from paperlib.relevance import pooling

from .networks import clip

pytestmark = pytest.mark.numerics
ORDER = ("kernel_size", "stride", "padding", "dilation")


@pytest.mark.parametrize(
    "dims, options",
    [
        (1, dict(kernel_size=3, stride=2, padding=1)),
        (1, dict(kernel_size=2)),
        (2, dict(kernel_size=3, stride=2, ceil_mode=True)),
        (2, dict(kernel_size=2, dilation=2, stride=1)),
        (3, dict(kernel_size=(1, 3, 3), stride=(1, 2, 2), padding=(0, 1, 1))),
        (3, dict(kernel_size=2, ceil_mode=True)),
    ],
    ids=str,
)
def test_a_pools_relevance_goes_where_its_gradient_goes(dims, options):
    """Where no two inputs are equal; `windows` finds the winners without autograd."""
    torch.manual_seed(0)
    pool = getattr(nn, f"MaxPool{dims}d")(**options)

    class Pooled(nn.Module):
        def frame_logits(self, x):
            x = x.movedim(2, 1).flatten(0, 1)  # [frames, 3, H, W]
            x = x.flatten(2) if dims == 1 else x if dims == 2 else x.movedim(0, 1)[None]
            y = pool(x)
            return (y.movedim(2, 1).flatten(2)[0] if dims == 3 else y.flatten(1))[None]

    model, x = Pooled(), clip(4, size=7)
    logits = model.frame_logits(x)
    steps = logits.shape[1]
    expected = []
    for step in range(steps):
        leaf = x.clone().requires_grad_()
        out = model.frame_logits(leaf)[0, step, 5]
        expected.append((torch.autograd.grad(out, leaf)[0] * out.detach())[0].sum((0, 2, 3)))
    found = relevance.relevance_matrix(model, x, 5, method="lrp")[0]
    assert torch.allclose(found, torch.stack(expected))


@pytest.mark.parametrize(
    "options, turns",
    [
        (dict(kernel_size=(1, 3, 3), stride=(1, 2, 2), padding=(0, 1, 1)), 4),
        (dict(kernel_size=3, stride=1, padding=1), 27),
        (dict(kernel_size=2, stride=1, dilation=(1, 2, 3)), 24),
        (dict(kernel_size=2, stride=2), 1),
    ],
    ids=str,
)
def test_windows_that_take_turns_hand_each_input_one_relevance_at_a_time(options, turns):
    """So that a GPU, which adds in any order, has nothing to add within a turn."""
    torch.manual_seed(0)
    x = torch.randint(3, (1, 2, 4, 7, 7)).double()  # with ties, which all give to the first
    given = {"stride": 1, "padding": 0, "dilation": 1} | options
    top = nn.MaxPool3d(**options)(x)
    geometry = [[n] * 3 if isinstance(n, int) else list(n) for n in map(given.get, ORDER)]
    found = pooling.Windows(x, *geometry, False, top.shape[2:])
    assert math.prod(found.apart) == turns
    for offset in itertools.product(*map(range, found.apart)):
        steps = (slice(first, None, step) for first, step in zip(offset, found.apart, strict=True))
        own = found.winner[(..., *steps)].flatten(2)
        assert all(len(places.unique()) == len(places) for places in own.flatten(0, 1))
    r = torch.randn(2, *top.shape, dtype=torch.float64)
    assert torch.allclose(found._scatter(r, found.apart), found._scatter(r), atol=1e-12)


@pytest.mark.parametrize("geometry", [((1, 3, 3), (1, 2, 2), (0, 1, 1), 1, False), ((1, 2, 2), (1, 2, 2), 0, 1, True)])
def test_pools_that_mix_no_frames_are_pools_of_single_pictures(geometry):
    torch.manual_seed(0)
    x = torch.randn(2, 3, 4, 7, 9, requires_grad=True)
    found = [pool(x, *geometry) for pool in (max_pool, max_pool_by_frames, torch.nn.functional.max_pool3d)]
    weights = torch.randn_like(found[0])
    slopes = [torch.autograd.grad((out * weights).sum(), x)[0] for out in found]
    for out, slope in zip(found[1:], slopes[1:], strict=True):
        assert torch.equal(out, found[0]) and torch.allclose(slope, slopes[0])
    assert "MaxPool2D" in str(found[1].grad_fn.next_functions[0][0])
