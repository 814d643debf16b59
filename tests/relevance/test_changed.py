"""A network that was explained and then changed is explained as it is now, and recorded once as long as it stays."""

import copy

import pytest
import torch
from torch import nn

from paperlib import gradcam, relevance
from paperlib.errors import InputError
from paperlib.relevance import graph
from paperlib.tracing.architecture import architecture
from paperlib.tracing.inputs import class_logits

from .networks import clip


class Switched(nn.Module):
    """Two convolutions of which the second can be left out, and tensors that are no buffers."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.conv = nn.Conv3d(3, 6, 3, stride=(1, 4, 4), padding=1)
        self.mid = nn.Conv3d(6, 6, 3, padding=1)
        self.head = nn.Linear(6, 3)
        self.use_mid, self._twice, self.gain, self.shifts = True, False, torch.ones(6, 1, 1, 1), [torch.zeros(1)]
        self.act = torch.relu

    def frame_logits(self, clip):
        x = torch.relu(self.conv(clip)) * self.gain
        if self.use_mid:
            x = self.act(self.mid(x))
        x = 2 * x if self._twice else x
        return self.head(x.mean((3, 4)).transpose(1, 2) + self.shifts[0].abs())

    def forward(self, clip):
        return self.frame_logits(clip).mean(1)


def wider(net):
    """A convolution with holes, its padding as fits."""
    net.mid.dilation = net.mid.padding = (2, 1, 1)


CHANGES = {
    "a switch": lambda net: setattr(net, "use_mid", False),
    "one of its own": lambda net: setattr(net, "_twice", True),
    "a hook": lambda net: net.mid.register_forward_hook(lambda module, inputs, output: output * 0 + 1),
    "a hook in front": lambda net: net.head.register_forward_pre_hook(lambda module, inputs: (3 * inputs[0],)),
    "a layer's settings": wider,
    "a tensor": lambda net: setattr(net, "gain", torch.linspace(0, 2, 6).view(6, 1, 1, 1)),
    "a tensor in a list": lambda net: net.shifts.__setitem__(0, torch.ones(1)),
    "a function": lambda net: setattr(net, "act", torch.sigmoid),
    "a layer's forward": lambda net: setattr(net.mid, "forward", lambda x: x),
    "another layer": lambda net: setattr(net, "mid", nn.Conv3d(6, 6, 1)),
    "weights of another shape": lambda net: setattr(net.mid, "weight", nn.Parameter(net.mid.weight[:, :, 1:2] + 0.1)),
}


@pytest.mark.parametrize("change", CHANGES)
def test_a_changed_network_is_explained_as_it_is_now(change):
    net, x = Switched().eval(), clip(4)
    before = relevance.relevance_matrix(net, x, 0, method="lrp")
    if change == "weights of another shape":
        net.mid.padding = (0, 1, 1)
    CHANGES[change](net)
    after = relevance.relevance_matrix(net, x, 0, method="lrp")
    assert torch.equal(after, relevance.relevance_matrix(copy.deepcopy(net), x, 0, method="lrp"))
    assert not torch.allclose(after, before)
    logits = net.frame_logits(x)[:, :, 0].detach()
    assert torch.allclose(relevance.rows_of(net, x, 0).values, logits, atol=1e-6)


def test_a_network_is_recorded_once_as_long_as_only_weights_change(monkeypatch):
    recorded, record = [], graph.record
    monkeypatch.setattr(graph, "record", lambda model, *more: recorded.append(model) or record(model, *more))
    net, x = Switched().eval(), clip(4)
    found = [relevance.relevance_matrix(net, x, 0, method="lrp")]
    for change in (
        lambda: net.head.weight.data.mul_(2),
        lambda: net.gain.mul_(torch.linspace(0, 2, 6).view(6, 1, 1, 1)),
        lambda: setattr(net, "gain", torch.ones(6, 1, 1, 1)),
        lambda: setattr(net.conv, "weight", nn.Parameter(net.conv.weight.flip(0))),
        lambda: net.train(),
    ):
        change()
        found.append(relevance.relevance_matrix(net, x, 0, method="lrp"))
        assert torch.equal(found[-1], relevance.relevance_matrix(copy.deepcopy(net).eval(), x, 0, method="lrp"))
    assert sum(model is net for model in recorded) == 1
    assert not torch.allclose(found[1], found[2]) and torch.allclose(found[1], found[3])


def test_weights_that_are_no_longer_the_same_ones_make_another_architecture():
    net = Switched()
    net.other = nn.Conv3d(6, 6, 3)
    net.other.weight = net.mid.weight
    tied = architecture(net)
    assert tied == architecture(net)
    net.other.weight = nn.Parameter(net.mid.weight.detach().clone())
    assert tied != architecture(net)
    net.second = net.gain
    tied = architecture(net)
    net.second = net.gain.clone()
    assert tied != architecture(net)


def test_the_layers_of_a_changed_network_are_looked_up_again():
    net, x = Switched().eval(), clip(4)
    assert gradcam.default_layer(net, x) == "mid"
    net.use_mid = False
    assert gradcam.default_layer(net, x) == "conv"


def test_a_sigmoid_that_is_put_behind_a_network_later_is_refused():
    net, x = Switched().eval(), clip(4)
    net.head.weight.data.zero_(), net.head.bias.data.fill_(0.5)  # logits from 0 to 1
    assert torch.equal(class_logits(net, x), torch.full((1, 3), 0.5))
    net.head.register_forward_hook(lambda module, inputs, output: output.sigmoid())
    with pytest.raises(InputError, match="a sigmoid"):
        class_logits(net, x)
