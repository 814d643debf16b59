"""The engine against LRP written out as dense matrices in float64."""

import pytest
import torch
from torch import nn

from paperlib import relevance
from paperlib.relevance.matrix import pixel_bounds

from . import dense
from .networks import Frames, Residual, clip, plain, settle

pytestmark = pytest.mark.numerics


def layers_of(net):
    return [*net.trunk, dense.SpatialMean(), net.fc]


class Added(nn.Module):
    def __init__(self, *layers):
        super().__init__()
        self.layers = nn.Sequential(*layers)

    def forward(self, x):
        y = self.layers(x)
        y += x
        return y


def residual():
    block = Added(nn.Conv3d(3, 3, 3, padding=1), nn.BatchNorm3d(3))
    net = Frames(nn.Sequential(nn.Conv3d(3, 3, 3, padding=1), nn.ReLU(), block, nn.ReLU()), 3)
    return net, [net.trunk[0], net.trunk[1], (list(block.layers),), net.trunk[3], dense.SpatialMean(), net.fc]


def pooled():
    dilated = nn.Conv3d(3, 4, (3, 1, 1), dilation=(2, 1, 1), padding=(2, 0, 0))
    net = Frames(
        nn.Sequential(
            nn.Conv3d(3, 3, (1, 3, 3), groups=3),
            nn.BatchNorm3d(3),
            nn.ReLU(),
            nn.MaxPool3d(3, 1, 1),
            dilated,
            nn.ReLU(),
            nn.AvgPool3d((1, 2, 2)),
        ),
        4,
    )
    return net, layers_of(net)


def stack():
    net = plain(3)
    return net, layers_of(net)


@pytest.mark.parametrize("build", [stack, pooled, residual])
@pytest.mark.parametrize("method", ["lrp", "clrp"])
def test_every_pixel_equals_the_dense_matrices(build, method):
    torch.manual_seed(3)
    net, layers = build()
    settle(net.double())
    x = clip(frames=3, size=6, dtype=torch.float64, seed=1)
    low, high = pixel_bounds(x)
    steps, classes = net.frame_logits(x).shape[1:]
    for k in range(classes):
        ours = relevance.pixel_relevance(net, x, k, method=method)[0]
        with torch.no_grad():
            expected = torch.stack(
                [dense.relevance(layers, x, low, high, i * classes + k, method)[0] for i in range(steps)]
            )
        scale = expected.abs().max()
        assert method == "lrp" or k or scale > 0
        assert torch.allclose(ours, expected, rtol=1e-9, atol=1e-11 * float(scale))
        A = relevance.relevance_matrix(net, x, k, method=method)[0]
        assert torch.allclose(A, expected.sum((1, 3, 4)), rtol=1e-9, atol=1e-10 * float(scale))


def test_dual_is_lrp_of_the_network_with_negated_target_weights():
    torch.manual_seed(0)
    net = settle(plain().double())
    x = clip(dtype=torch.float64)
    own = relevance.pixel_relevance(net, x, 1, method="lrp")
    dual = relevance.pixel_relevance(net, x, 1, method="dual")
    contrast = relevance.pixel_relevance(net, x, 1, method="clrp")
    logits = net.frame_logits(x)[0, :, 1]
    assert torch.allclose(own.sum((2, 3, 4, 5))[0], logits)
    assert torch.allclose(dual.sum((2, 3, 4, 5))[0], logits)
    assert torch.allclose(contrast, (own - dual).clamp(min=0))
    with torch.no_grad():
        net.fc.weight[1] *= -1
        net.fc.bias[1] += logits.mean() - net.frame_logits(x)[0, :, 1].mean()
    negated = relevance.pixel_relevance(net, x, 1, method="lrp")
    shape = (1, -1, 1, 1, 1, 1)
    scale = (logits / net.frame_logits(x)[0, :, 1]).view(shape)
    assert torch.allclose(negated * scale, dual)


def test_type_one_starts_from_all_other_logits():
    torch.manual_seed(0)
    net = settle(plain().double())
    x = clip(dtype=torch.float64)
    parts = [relevance.pixel_relevance(net, x, k, method="lrp") for k in range(4)]
    expected = (parts[2] - parts[0] - parts[1] - parts[3]).clamp(min=0)
    assert torch.allclose(relevance.pixel_relevance(net, x, 2, contrast=1), expected)
    logits = net.frame_logits(x)[:, :, :, None, None, None, None].detach()
    own = parts[2] / logits[:, :, 2]
    others = (parts[0] + parts[1] + parts[3]) / (logits.sum(2) - logits[:, :, 2])
    ours = relevance.pixel_relevance(net, x, 2, contrast=1, normalise=True)
    assert torch.allclose(ours, (own - others).clamp(min=0))


def test_residual_block_of_a_known_class_is_handled():
    net = settle(Frames(nn.Sequential(nn.Conv3d(3, 4, 3, padding=1), nn.ReLU(), Residual(4)), 4).double())
    x = clip(dtype=torch.float64)
    A = relevance.relevance_matrix(net, x, 0, method="lrp")
    assert torch.allclose(A.sum(2), net.frame_logits(x)[..., 0])
