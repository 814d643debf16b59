"""The temporal modules of networks, each against a calculation written differently."""

import pytest
import torch
from torch import nn

from paperlib import models
from paperlib.models.base import TimeConv
from paperlib.models.modules import MODULES, TSN, NonLocal

from .tiny import tiny

pytestmark = pytest.mark.numerics


def test_a_new_temporal_module_is_one_class_and_one_line():
    class Blur(TSN):
        """Averages three neighbouring frames in front of every block."""

        def at_input(self, channels):
            """Average pool over time."""
            return nn.AvgPool3d((3, 1, 1), stride=1, padding=(1, 0, 0))

    MODULES["Blur"] = Blur
    try:
        model = tiny("Blur-R18-f8")
        assert model.frame_logits(torch.randn(1, 3, 8, 32, 32)).shape == (1, 8, 5)
        assert models.temporal_receptive_field(model) == 17
    finally:
        del MODULES["Blur"]


@pytest.mark.parametrize("groups, stride", [(1, 1), (6, 1), (1, 2)])
def test_time_convolution_equals_conv3d(groups, stride):
    layer = TimeConv(6, 12, 5, stride, groups, bias=True)
    x = torch.randn(2, 6, 8, 3, 4)
    expected = nn.functional.conv3d(x, layer.weight, layer.bias, (stride, 1, 1), (2, 0, 0), groups=groups)
    assert torch.allclose(layer(x), expected, atol=1e-6)


def test_tam_is_a_weighted_sum_of_shifted_frames():
    layer = tiny("TAM2D-R18-f8", kernel_size=5).layer1[0].temporal
    x = torch.randn(1, 8, 6, 2, 2)
    expected = torch.zeros_like(x)
    for t in range(6):
        for k in range(5):
            if 0 <= t + k - 2 < 6:
                expected[:, :, t] += layer.conv.weight[:, 0, k] * x[:, :, t + k - 2]
    assert torch.allclose(layer(x), expected.clamp(min=0), atol=1e-6)


def test_tsm_takes_an_eighth_from_each_neighbour():
    layer = models.create("TSM-R18-f8", num_classes=2, width=16).layer1[0].temporal
    x = torch.randn(1, 16, 5, 1, 1)
    y = layer(x)
    assert torch.equal(y[:, :2, :-1], x[:, :2, 1:]) and not y[:, :2, -1].any()
    assert torch.equal(y[:, 2:4, 1:], x[:, 2:4, :-1]) and not y[:, 2:4, 0].any()
    assert torch.equal(y[:, 4:], x[:, 4:])


def test_non_local_block_attends_to_all_frames():
    torch.manual_seed(0)
    block = NonLocal(4).eval()
    x = torch.randn(1, 4, 3, 2, 2)
    flat = block.theta(x)[0].flatten(1).T  # queries, one per position
    pooled = [layer(x)[0].amax((2, 3)) for layer in (block.phi, block.g)]  # [C, T]: 2 x 2 pooled to one
    attention = torch.softmax(flat @ pooled[0], 1)
    mixed = (attention @ pooled[1].T).T.reshape(1, 2, 3, 2, 2)
    assert torch.allclose(block(x), x + block.bn(block.out(mixed)), atol=1e-5)


def test_a_new_non_local_block_is_the_identity():
    fresh = models.create("NLN-R18-f3", num_classes=2, width=8).layer2[0].after.eval()
    x = torch.randn(1, 16, 3, 2, 2)
    assert torch.equal(fresh(x), x)


def test_the_convolutional_lstm_steps_through_time():
    def conv(x, layer, stride):
        return nn.functional.conv2d(x, layer.weight.squeeze(2), layer.bias, stride, 2)

    model = tiny("C-LSTM-f3", size=64, layers=2)
    clip = torch.randn(1, 3, 3, 64, 64)
    states = [None, None]
    outputs = []
    for t in range(3):
        x = clip[:, :, t]
        for i, cell in enumerate(model.cells):
            hidden, state = states[i] or (torch.zeros(1, 4, x.shape[2] // 2, x.shape[3] // 2),) * 2
            gate_i, gate_f, new, gate_o = (conv(x, cell.input, 2) + conv(hidden, cell.hidden, 1)).split(4, 1)
            state = gate_f.sigmoid() * state + gate_i.sigmoid() * new.tanh()
            hidden = gate_o.sigmoid() * state.tanh()
            states[i] = hidden, state
            x = nn.functional.max_pool2d(model.bn[i](hidden.unsqueeze(2)).squeeze(2), 2)
        outputs.append(x.flatten(1))
    with torch.no_grad():
        assert torch.allclose(model(clip), model.fc(torch.cat(outputs, 1)), atol=1e-5)


def test_layers_of_the_convolutional_lstm_share_the_weights_of_a_norm_but_not_its_statistics():
    torch.manual_seed(0)
    model = tiny("C-LSTM-f4", size=64, layers=2)
    clip = torch.randn(16, 3, 4, 64, 64)
    for norm in model.bn:
        norm.momentum = None  # statistics: the mean over what is seen, here one batch
    with torch.no_grad():
        trained = model.train()(clip)
        evaluated = model.eval()(clip)
    assert torch.allclose(trained, evaluated, atol=0.02 * trained.std())
    assert not torch.allclose(model.bn[0].running_mean, model.bn[1].running_mean, rtol=0.1)
    assert model.bn[0].weight is model.bn[1].weight and model.bn[0].bias is model.bn[1].bias


def test_slowfast_pathways_add_up():
    model = tiny("SlowFast-R50-4x8")
    clip = torch.randn(1, 3, 16, 64, 64)
    with torch.no_grad():
        slow, fast = model.pathway_logits(clip)
        frames = model.frame_logits(clip)
        assert slow.shape == (1, 4, 5) and fast.shape == (1, 16, 5)
        assert torch.allclose(slow.mean(1) + fast.mean(1), model(clip), atol=1e-4)
        seen = [0, 5, 10, 15]  # linspace(0, 15, 4)
        unseen = [t for t in range(16) if t not in seen]
        assert torch.equal(frames[:, unseen], fast[:, unseen])
        assert torch.allclose(frames[:, seen] - fast[:, seen], 4 * slow, atol=1e-4)
        slow_maps, fast_maps = model.features(clip)
        pooled = torch.cat([slow_maps.mean((2, 3, 4)), fast_maps.mean((2, 3, 4))], 1)
        assert torch.allclose(model.fc(pooled), model(clip), atol=1e-4)
