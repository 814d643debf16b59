"""What an adapted network is: the one inside, with its numbers, its costs and its frame logits."""

import pytest
import torch
from torch import nn

from paperlib import gradcam, models, relevance
from paperlib.errors import InputError
from tests.models import others
from tests.relevance.networks import clip

from .test_adapt import Tiny


def _weight_norm_of_old():
    net = Tiny()
    net.conv = torch.nn.utils.weight_norm(net.conv)
    return net


def _weight_norm():
    net = Tiny()
    net.conv = torch.nn.utils.parametrizations.weight_norm(net.conv)
    return net


@pytest.mark.filterwarnings("ignore:.*weight_norm:FutureWarning")
@pytest.mark.parametrize("make", [lambda: torch.compile(Tiny()), _weight_norm, _weight_norm_of_old])
def test_wrappers_and_weight_norm_change_nothing(make):
    x = clip(5, 8)
    plain, adapted = models.adapt(Tiny(), x), models.adapt(make(), x)
    assert torch.allclose(adapted(x), plain(x), atol=1e-6)
    one, other = (relevance.relevance_matrix(net, x, [1]) for net in (plain, adapted))
    assert torch.allclose(one, other, atol=1e-5 * float(one.max()))
    assert torch.allclose(gradcam.raw_maps(adapted, x, [1]), gradcam.raw_maps(plain, x, [1]), atol=1e-6)


def test_half_precision_is_adapted_in_half_precision():
    x = clip(5, 8)
    adapted = models.adapt(Tiny().bfloat16(), x, mean=[0.5] * 3, std=[0.5] * 3)
    assert adapted(x.bfloat16()).dtype == torch.bfloat16
    found = relevance.relevance_matrix(adapted, x.bfloat16(), [1])
    whole = relevance.relevance_matrix(models.adapt(Tiny(), x, mean=[0.5] * 3, std=[0.5] * 3), x, [1])
    assert torch.allclose(found, whole, atol=0.02 * float(whole.max()))


def test_costs_and_receptive_field_are_those_of_the_network_inside():
    net, x = others.mc3()  # in time only the first convolution and the four of the first layer have an extent
    adapted = models.adapt(net, x)
    assert models.temporal_receptive_field(adapted) == models.temporal_receptive_field(net) == 11
    parameters, size = sum(p.numel() for p in net.parameters()), x.shape[3]
    assert models.count(adapted, size).parameters == parameters

    class Decides(Tiny):
        def forward(self, x):
            return super().forward(x if x.sum() > 0 else -x)

    with pytest.raises(InputError, match="receptive field of Decides cannot be read off its code"):
        models.temporal_receptive_field(Decides())


def test_own_frame_logits_are_kept():
    net = models.create("TSN-R18-f4", num_classes=3, width=4)
    x = clip(4, 32)
    adapted = models.adapt(net, x)
    assert torch.equal(adapted.eval().frame_logits(x), net.eval().frame_logits(x))
    assert relevance.rows_of(adapted, x).where == "the network's frame_logits"
    assert adapted.config["name"] == "TSN-R18-f4"


def test_values_of_frames_are_not_taken_for_classes_without_a_word():
    class Values(nn.Module):
        def __init__(self):
            super().__init__()
            self.layer = nn.Conv3d(3, 1, 3, padding=1)

        def forward(self, clip):
            return self.layer(clip).mean((1, 3, 4))

    (said,) = [x for x in models.adapt(Values(), clip(6, 16)).said if "frame_logits" in x]
    assert said.startswith(
        "its 6 logits are read as classes, though the clip has as many frames; where they are values"
    )
    named = models.adapt(Values(), clip(6, 16), classes=list("abcdef"))
    assert not any("read as classes" in x for x in named.said)


def test_adapted_again_it_keeps_what_is_not_told():
    x, half = clip(5, 8), [0.5] * 3
    once = models.adapt(Tiny(), x, mean=half, std=half, classes=["a", "b", "c"], layout="B C T H W")
    again = models.adapt(once, x)
    assert again.classes == ["a", "b", "c"] and again.mean == once.mean and again.layout == once.layout
    assert torch.equal(again(x), once(x))
    told = models.adapt(once, x, mean=[0.4] * 3, std=half, classes=["x", "y", "z"])
    assert told.classes == ["x", "y", "z"] and told.mean == (0.4, 0.4, 0.4)


def test_a_network_is_adapted_and_read_under_inference_mode():
    net, x, half = Tiny(), clip(5, 8), [0.5] * 3
    with torch.inference_mode():
        found = relevance.relevance_matrix(models.adapt(net, x, mean=half, std=half), x, [1])
    assert torch.equal(found, relevance.relevance_matrix(models.adapt(net, x, mean=half, std=half), x, [1]))
