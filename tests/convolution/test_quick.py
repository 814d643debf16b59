"""A copy of a network for running it alone gives what the network gives."""

import copy

import pytest
import torch
from torch import nn

from paperlib import models
from paperlib.convolution.quick import ByFrame, Pointwise, quick

pytestmark = pytest.mark.numerics


def settled(net):
    """Return the network in evaluation mode, its norms with statistics of their own."""
    torch.manual_seed(0)
    for module in net.modules():
        if isinstance(module, nn.modules.batchnorm._BatchNorm):
            module.running_mean.normal_(0, 0.3)
            module.running_var.uniform_(0.5, 2)
            nn.init.uniform_(module.weight, 0.5, 1.5)
            nn.init.normal_(module.bias, 0, 0.3)
    return net.eval()


NETWORKS = [
    *(f"{kind}-R18-f8" for kind in ("TSN", "TSM", "I3D", "S3D", "TAM2D", "Conv1D", "NLN")),
    *("TAM2D-R50-f8-tp", "I3D-Inc-f8", "SlowFast-R50-8x8", "C-LSTM-f8", "I3D-original-f16", "ViT-joint-f8"),
]


@pytest.mark.parametrize("name", NETWORKS)
def test_it_gives_the_networks_logits_and_leaves_the_network_as_it_is(name):
    size = {"size": 64} if name.startswith("C-LSTM") else {}
    net = settled(models.create(name, num_classes=5, width=8, **size))
    before, clips = copy.deepcopy(net.state_dict()), torch.randn(2, 3, net.num_frames, 64, 64)
    made, given = quick(net), clips.clone()
    with torch.no_grad():
        for ask in ("forward", "frame_logits"):
            expected = getattr(net, ask)(clips)
            assert torch.allclose(getattr(made, ask)(given), expected, atol=1e-4 * float(expected.abs().max()))
    assert torch.equal(given, clips) and made.num_frames == net.num_frames
    assert all(torch.equal(value, net.state_dict()[key]) for key, value in before.items())
    norms = [module for module in made.modules() if isinstance(module, nn.modules.batchnorm._BatchNorm)]
    assert not norms or name.startswith(("S3D", "SlowFast", "C-LSTM"))  # which have norms behind other things


def test_gradients_by_the_clip_are_the_networks():
    net = settled(models.create("TAM2D-R50-f8", num_classes=5, width=8))
    clips = torch.randn(1, 3, 8, 64, 64, requires_grad=True)
    own, other = (torch.autograd.grad(each(clips)[0, 1], clips)[0] for each in (net, quick(net)))
    assert torch.allclose(own, other, atol=1e-4 * float(own.abs().max()))


@pytest.mark.parametrize("channels, size, stride", [(1, (5, 7, 7), (1, 2, 2)), (2, (3, 1, 1), 1), (2, (7, 3, 3), 1)])
@pytest.mark.parametrize("frames", [1, 2, 9])
def test_few_channels_frame_by_frame(channels, size, stride, frames):
    layer = nn.Conv3d(3, channels, size, stride, [n // 2 for n in size])
    x = torch.randn(2, 3, frames, 12, 12)
    assert torch.allclose(ByFrame(layer)(x), layer(x), atol=1e-5)


@pytest.mark.parametrize("kind, stride", [(nn.Conv3d, (1, 2, 2)), (nn.Conv3d, 1), (nn.Conv2d, 2), (nn.Conv1d, 3)])
@pytest.mark.parametrize("bias", [True, False])
def test_single_pixels_as_a_matrix_product(kind, stride, bias):
    layer = kind(4, 6, 1, stride, bias=bias)
    x = torch.randn(2, 4, 8, 9, 7)[(..., *(0,) * (5 - layer.weight.dim()))]
    assert torch.allclose(Pointwise(layer)(x), layer(x), atol=1e-5)


class Reads(nn.Module):
    """What nothing may be written over or folded into: read twice, a view, a convolution run twice."""

    def __init__(self):
        super().__init__()
        self.conv, self.twice = nn.Conv3d(3, 4, 1), nn.Conv3d(4, 4, 1)
        self.norm, self.other = nn.BatchNorm3d(4), nn.BatchNorm3d(4)
        self.relu, self.last, self.fc = nn.ReLU(), nn.ReLU(), nn.Linear(4, 5)

    def forward(self, clip):
        x = self.norm(self.conv(clip))
        y = self.relu(x) + x  # x is read again
        y = self.twice(self.other(self.twice(y)))
        z = self.last(y.flatten(3))  # a view of y
        return self.fc((z.mean(3) + y.mean((3, 4))).mean(2))


def test_what_is_read_again_is_not_written_over():
    net = settled(Reads())
    made, x = quick(net), torch.randn(2, 3, 4, 6, 6)
    assert torch.allclose(made(x), net(x), atol=1e-5)
    assert isinstance(made.norm, nn.Identity) and isinstance(made.other, nn.BatchNorm3d)
    assert not made.relu.inplace and not made.last.inplace


class Decides(nn.Module):
    """A network whose way depends on values."""

    def __init__(self):
        super().__init__()
        self.fc = nn.Linear(3, 5)

    def forward(self, clip):
        x = clip.mean((2, 3, 4))
        return self.fc(x if x.sum() > 0 else -x)


def test_what_cannot_be_traced_or_is_not_for_running_is_the_network_itself():
    assert quick(net := Decides().eval()) is net
    for net in (models.create("TSN-R18-f8", num_classes=5, width=8), Reads().eval().double()):
        assert quick(net) is net
