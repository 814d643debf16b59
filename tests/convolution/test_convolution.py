"""Gradients of convolutions: PyTorch's own are the truth."""

import pytest
import torch
from torch import nn

from paperlib import models
from paperlib.convolution.transposes import CONVOLVE, fast_gradients, transposed

pytestmark = pytest.mark.numerics

# kernel, stride, padding, dilation, groups, input channels
GEOMETRIES = [
    ((1, 1, 1), 1, 0, 1, 1, 6),
    ((1, 1, 1), (1, 2, 2), 0, 1, 1, 6),
    ((1, 1, 1), 3, 1, 1, 1, 6),
    ((1, 1, 1), 1, 0, 1, 2, 6),
    ((3, 3, 3), 1, 1, 1, 1, 6),
    ((3, 3, 3), 1, 1, 1, 3, 6),
    ((2, 4, 3), 1, 0, (2, 1, 1), 1, 6),
    ((3, 1, 1), 1, (4, 0, 0), 1, 1, 6),
    ((5, 7, 7), (1, 2, 2), (2, 3, 3), 1, 1, 3),
    ((3, 3, 3), (2, 3, 1), (0, 1, 2), (1, 2, 1), 1, 3),
    ((3, 3, 3), 2, 1, 1, 1, 20),
    ((3, 3, 3), 2, 1, 1, 6, 6),
    ((1, 5), (1, 2), (0, 2), 1, 1, 4),
    ((4,), 3, 2, 1, 1, 4),
    ((3, 1, 1), 1, (4, 0, 0), (2, 1, 1), 12, 12),
    ((3, 2), 1, (0, 1), 1, 12, 12),
]


def layer(kernel, stride, padding, dilation, groups, channels):
    """Return a convolution in double precision and an input for it."""
    torch.manual_seed(0)
    kind = {1: nn.Conv1d, 2: nn.Conv2d, 3: nn.Conv3d}[len(kernel)]
    made = kind(channels, 12, kernel, stride, padding, dilation, groups).double()
    return made, torch.randn(2, channels, *(9, 11, 10)[: len(kernel)], dtype=torch.float64, requires_grad=True)


@pytest.mark.parametrize("geometry", GEOMETRIES, ids=str)
def test_the_transpose_is_the_input_gradient(geometry):
    made, x = layer(*geometry)
    out = made(x)
    s = torch.randn_like(out)
    (truth,) = torch.autograd.grad(out, x, s)
    found = transposed(s, made.weight, x.shape, made.stride, made.padding, made.dilation, made.groups)
    assert torch.allclose(found, truth, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("geometry", GEOMETRIES, ids=str)
def test_all_gradients_are_those_without_the_context(geometry):
    made, x = layer(*geometry)
    wanted = [x, made.weight, made.bias]
    truth = torch.autograd.grad(made(x).square().sum(), wanted)
    with fast_gradients():
        out = made(x)
    assert type(out.grad_fn).__name__ == "_ConvolutionBackward" and torch.equal(out, made(x))
    for found, true in zip(torch.autograd.grad(out.square().sum(), wanted), truth, strict=True):
        assert torch.allclose(found, true, rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("name", ["I3D-R18-f8", "TAM2D-R18-f8", "C-LSTM-f8"])
def test_a_networks_gradient_is_the_same(name):
    torch.manual_seed(0)
    options = {"width": 8, **({"size": 32, "layers": 2} if name.startswith("C-LSTM") else {})}
    model = models.create(name, num_classes=5, **options).double().eval()
    clip = torch.randn(2, 3, 8, 32, 32, dtype=torch.float64, requires_grad=True)
    (truth,) = torch.autograd.grad(model(clip)[:, 1].sum(), clip)
    with fast_gradients():
        score = model(clip)[:, 1].sum()
    (found,) = torch.autograd.grad(score, clip)
    assert torch.allclose(found, truth, rtol=1e-8, atol=1e-8 * truth.abs().max())


def test_what_it_does_not_know_is_left_to_pytorch():
    x = torch.randn(1, 4, 8, 8, requires_grad=True)
    w = torch.randn(4, 4, 3, 3)
    with fast_gradients():
        same = torch.conv2d(x, w, padding="same")
        unbatched = torch.conv2d(x[0], w, padding=1)
        flipped = torch.conv_transpose2d(x, w)
        with torch.no_grad():
            still = torch.conv2d(x, w)
    assert "_ConvolutionBackward" not in {type(out.grad_fn).__name__ for out in (same, unbatched, flipped)}
    assert still.grad_fn is None and torch.allclose(same[0], unbatched, atol=1e-5)


def test_nothing_stays_behind_after_the_context():
    x = torch.randn(1, 2, 5, requires_grad=True)
    with pytest.raises(ZeroDivisionError), fast_gradients():
        raise ZeroDivisionError
    assert type(CONVOLVE[1](x, torch.randn(2, 2, 3)).grad_fn).__name__ == "ConvolutionBackward0"
