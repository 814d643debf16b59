"""Grad-CAM against derivatives written out by hand, on every family of networks."""

import warnings

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from paperlib import gradcam, models
from paperlib.errors import InputError

from ..masks.networks import FrameNet, SmallVideoNet

pytestmark = pytest.mark.numerics


def by_hand(model, features, clips, targets, softmax=False):
    """Return equation 2 from autograd: features(clips) -> (maps [B, C, T, H, W], logits)."""
    maps, logits = features(clips)
    scores = logits.softmax(1) if softmax else logits
    rows = []
    for b, target in enumerate(targets):
        (gradient,) = torch.autograd.grad(scores[b, target], maps, retain_graph=True)
        gradient = gradient[b]
        per_step = []
        for t in range(maps.shape[2]):
            total = torch.zeros(maps.shape[3:])
            for k in range(maps.shape[1]):
                total += gradient[k, t].mean() * maps[b, k, t]
            per_step.append(total)
        rows.append(torch.stack(per_step))
    return torch.stack(rows).detach()


@pytest.mark.parametrize("softmax", [False, True])
def test_raw_maps_are_equation_2(softmax):
    torch.manual_seed(0)
    model, clips, targets = SmallVideoNet(), torch.randn(3, 3, 5, 10, 12), [2, 0, 1]

    def features(clips):
        maps = model.conv2(F.relu(model.conv1(clips)))
        return maps, model.head(F.relu(maps).mean((3, 4)).transpose(1, 2)).mean(1)

    expected = by_hand(model, features, clips, targets, softmax)
    found = gradcam.raw_maps(model, clips, targets, "conv2", softmax=softmax)
    assert found.shape == (3, 5, 5, 6)
    assert torch.allclose(found, expected, atol=1e-7, rtol=1e-5)
    in_parts = gradcam.raw_maps(model, clips, targets, "conv2", softmax=softmax, batch_size=2)
    assert torch.allclose(in_parts, expected, atol=1e-7, rtol=1e-5)


def test_a_linear_head_gives_the_class_activation_map():
    # where logits are the mean of head(maps), the gradient is head's row / (T H W): CAM up to that factor
    torch.manual_seed(1)
    model, clips = SmallVideoNet(), torch.randn(2, 3, 4, 8, 8)
    maps = torch.stack([clip for clip in model.features(clips)])
    activation = torch.einsum("bcthw,c->bthw", maps, model.head.weight[1]) / (4 * 4 * 4)

    class Exposed(SmallVideoNet):
        def __init__(self):
            super().__init__()
            self.identity = nn.Identity()

        def features(self, clips):
            return self.identity(super().features(clips))

    exposed = Exposed()
    exposed.load_state_dict(model.state_dict())
    assert torch.allclose(gradcam.raw_maps(exposed, clips, 1, "identity"), activation, atol=1e-7)


def test_maps_are_upsampled_and_lie_between_0_and_1():
    torch.manual_seed(2)
    model, clips = SmallVideoNet(stride=2), torch.randn(2, 3, 8, 10, 12)
    raw = gradcam.raw_maps(model, clips, 0, "conv2")
    assert raw.shape == (2, 4, 5, 6)  # half as many time steps
    found = gradcam.video_gradcam(model, clips, 0, "conv2")
    assert found.shape == (2, 8, 10, 12) and found.min() >= 0 and found.max() <= 1
    peak = found.flatten(2).amax(2)
    assert ((peak == 0) | (peak - 1 < 1e-6)).all() and (peak > 0).any()
    plain = gradcam.video_gradcam(model, clips, 0, "conv2", normalise=None)
    expected = F.interpolate(raw.clamp(min=0)[:, None], size=(8, 10, 12), mode="trilinear")[:, 0]
    assert torch.allclose(plain, expected)
    by_clip = gradcam.video_gradcam(model, clips, 0, "conv2", normalise="clip")
    assert torch.allclose(by_clip, plain / plain.amax((1, 2, 3), keepdim=True))
    signed = gradcam.video_gradcam(model, clips, 0, "conv2", normalise=None, relu=False)
    assert signed.min() < 0
    for normalise in ("clip", "frame"):
        shifted = gradcam.video_gradcam(model, clips, 0, "conv2", normalise, relu=False)
        assert shifted.min() == 0 and shifted.max() == pytest.approx(1)


@pytest.mark.parametrize("normalise", ["frame", "clip", None])
def test_maps_without_positive_part_are_zero_not_nan(normalise):
    model, clips = SmallVideoNet(), torch.randn(2, 3, 4, 8, 8)
    with torch.no_grad():
        model.head.weight[0] = -model.head.weight[0].abs()
        model.head.weight[1] = 0
    for target in (0, 1):
        assert gradcam.video_gradcam(model, clips, target, normalise=normalise).isfinite().all()
    assert (gradcam.video_gradcam(model, clips, 1, normalise=normalise) == 0).all()
    black = torch.zeros_like(clips)
    for module in (model.conv1, model.conv2):
        nn.init.zeros_(module.bias)
    assert (gradcam.video_gradcam(model, black, 2, normalise=normalise) == 0).all()


def test_a_2d_network_gets_one_map_per_frame():
    torch.manual_seed(3)
    model, clips = FrameNet(), torch.randn(2, 3, 5, 8, 8)
    found = gradcam.raw_maps(model, clips, [0, 2], "conv2")
    assert found.shape == (2, 5, 4, 4)
    # frames do not see each other: each one's map is that of the frame alone, at a fifth of the score
    for b, target in enumerate([0, 2]):
        for t in range(5):
            alone = gradcam.raw_maps(model, clips[b : b + 1, :, t : t + 1], target, "conv2")[0, 0] / 5
            assert torch.allclose(found[b, t], alone, atol=1e-7)
    shared = gradcam.raw_maps(model, clips, [0, 2], "conv2", per_step=False)
    assert not torch.allclose(shared, found)
    assert gradcam.video_gradcam(model, clips).shape == (2, 5, 8, 8)


def test_a_layer_behind_which_time_is_gone_gives_one_map_for_all_frames():
    class Collapsed(SmallVideoNet):
        def __init__(self):
            super().__init__()
            self.last = nn.Conv2d(4, 4, 3, padding=1)

        def forward(self, clips):
            return self.head(F.relu(self.last(self.features(clips).mean(2))).mean((2, 3)))

    found = gradcam.video_gradcam(Collapsed(), torch.randn(2, 3, 6, 8, 8), 0, "last")
    assert found.shape == (2, 6, 8, 8)
    assert torch.allclose(found, found[:, :1].expand_as(found), atol=1e-6)


FAMILIES = {
    "TSN-R18-f4": ({}, "layer4.1", 4),
    "TAM2D-R50-f4": ({}, "layer4.2", 4),
    "I3D-R18-f8-tp": ({}, "layer4.1", 1),
    "S3D-Inc-f8": ({}, "inception5b", 7),
    "I3D-original-f8": ({"reduced_strides": True}, "inception5b", 4),
    "C-LSTM-f4": ({"size": 64}, "cells.2", 4),
    "SlowFast-R50-4x8": ({}, "slow.4", 4),
}


@pytest.mark.parametrize("name", FAMILIES)
def test_every_family_has_a_default_layer_and_maps(name):
    options, layer, steps = FAMILIES[name]
    model = models.create(name, num_classes=3, width=8, **options)
    clips = torch.randn(1, 3, model.num_frames, 64, 64)
    assert gradcam.default_layer(model) == layer
    assert gradcam.raw_maps(model, clips, 1).shape == (1, steps, 2, 2)
    found = gradcam.video_gradcam(model, clips, 1)
    assert found.shape == (1, model.num_frames, 64, 64) and found.isfinite().all()
    assert 0 <= found.min() and found.max() <= 1


def test_a_stage_that_a_small_clip_leaves_one_pixel_gives_way_to_the_one_before():
    model = models.create("TSN-R18-f4", num_classes=3, width=8).eval()
    for side, layer in ((33, "layer4.1"), (32, "layer3.1"), (8, "layer1.1"), (4, "layer4.1")):  # half of 33 is 17
        clips = torch.randn(2, 3, 4, side, side)
        assert gradcam.default_layer(model, clips) == layer
        assert torch.equal(gradcam.raw_maps(model, clips, 1), gradcam.raw_maps(model, clips, 1, layer))
    video = models.create("r3d_18-f8", num_classes=2).eval()
    assert gradcam.default_layer(video, torch.randn(1, 3, 8, 16, 16)) == "net.layer3"


def test_the_maps_of_a_c_lstm_are_those_of_its_last_cell():
    torch.manual_seed(4)
    model = models.create("C-LSTM-f5", num_classes=3, width=10, size=32, layers=2).eval()  # T = filters = 5
    clips = torch.randn(2, 3, 5, 32, 32)

    def features(clips):
        maps = model.cells[1](model.pool(model.bn[0](model.cells[0](clips))))
        return maps, model.fc(model.pool(model.bn[1](maps)).transpose(1, 2).flatten(1))

    assert torch.allclose(features(clips)[1], model(clips), atol=1e-5)
    expected = by_hand(model, features, clips, [0, 2])
    assert torch.allclose(gradcam.raw_maps(model, clips, [0, 2]), expected, atol=1e-7, rtol=1e-4)


def test_the_layer_chooses_the_slowfast_pathway():
    model = models.create("SlowFast-R50-4x8", num_classes=3, width=8)
    clips = torch.randn(1, 3, 16, 64, 64)
    assert gradcam.raw_maps(model, clips, 0, "slow").shape[1] == 4
    assert gradcam.raw_maps(model, clips, 0, "fast").shape[1] == 16
    assert torch.equal(gradcam.raw_maps(model, clips, 0, "fast"), gradcam.raw_maps(model, clips, 0, "fast.4"))
    slow, fast = (gradcam.video_gradcam(model, clips, 0, path) for path in ("slow", "fast"))
    assert slow.shape == fast.shape == (1, 16, 64, 64)


def test_the_model_is_left_as_it_was():
    model = SmallVideoNet().train()
    gradcam.video_gradcam(model, torch.randn(1, 3, 4, 8, 8))
    assert model.training and all(p.requires_grad and p.grad is None for p in model.parameters())
    assert not any(module._forward_hooks for module in model.modules())


def test_predicted_classes_are_the_default_targets():
    model, clips = SmallVideoNet(), torch.randn(3, 3, 4, 8, 8)
    assert torch.equal(gradcam.raw_maps(model, clips), gradcam.raw_maps(model, clips, model(clips).argmax(1)))


@pytest.mark.parametrize(
    "arguments, message",
    [
        ({"layer": "conv3"}, "conv2"),
        ({"layer": ""}, "no layer ''; there are, for example, [a-z]"),
        ({"reshape": 3}, "reshape must be a function from a layer's values .* not 3"),
        ({"scores": "logit"}, "scores must be one of auto, softmax, sigmoid, not 'logit'"),
        ({"layer": "head"}, "no axes of maps"),
        ({"targets": 3}, "class 3"),
        ({"normalise": "max"}, "normalise"),
    ],
)
def test_unusable_arguments_are_named(arguments, message):
    with pytest.raises(InputError, match=message):
        gradcam.video_gradcam(SmallVideoNet(), torch.randn(2, 3, 4, 8, 8), **arguments)


def test_a_wrong_normalisation_is_refused_before_the_work(monkeypatch):
    monkeypatch.setattr(gradcam.maps, "raw_maps", lambda *_: pytest.fail("the maps are computed first"))
    with pytest.raises(InputError, match="normalise is 'max'"):
        gradcam.video_gradcam(SmallVideoNet(), torch.randn(2, 3, 4, 8, 8), normalise="max")


def test_layers_that_do_not_run_or_do_not_matter_are_named():
    class Odd(SmallVideoNet):
        def __init__(self):
            super().__init__()
            self.unused, self.aside = nn.Conv3d(3, 2, 1), nn.Conv3d(3, 2, 1)

        def forward(self, clips):
            self.aside(clips)
            return super().forward(clips)

    for layer, message in (("unused", "does not run"), ("aside", "does not depend")):
        with pytest.raises(InputError, match=message):
            gradcam.raw_maps(Odd(), torch.randn(1, 3, 4, 8, 8), 0, layer)
    with pytest.raises(InputError, match="no layer"):
        gradcam.raw_maps(nn.Sequential(nn.Flatten(), nn.Linear(3 * 4 * 8 * 8, 2)), torch.randn(1, 3, 4, 8, 8))


class PerFrame(nn.Module):
    """A 2D network on every frame, folded into the batch or one after the other, perhaps behind what mixes frames."""

    def __init__(self, looped, front=None):
        super().__init__()
        torch.manual_seed(0)
        self.conv, self.fc, self.looped = nn.Conv2d(3, 6, 3, stride=2, padding=1), nn.Linear(6, 3), looped
        self.front = {"stem": nn.Conv3d(3, 3, 3, padding=1), "norm": nn.GroupNorm(1, 3)}.get(front, nn.Identity())

    def forward(self, x):
        x = self.front(x)
        if self.looped:
            steps = torch.stack([self.conv(frame).relu().mean((2, 3)) for frame in x.unbind(2)], 1)
        else:
            steps = self.conv(x.transpose(1, 2).flatten(0, 1)).relu().mean((2, 3)).unflatten(0, (len(x), -1))
        return self.fc(steps.mean(1))


@pytest.mark.parametrize("layer, front", [(None, None), ("conv", None), ("conv", "stem"), ("conv", "norm")])
def test_a_layer_that_runs_for_frame_after_frame_has_their_maps(layer, front):
    clips = torch.randn(2, 3, 6, 16, 20)
    loop, folded = (gradcam.video_gradcam(PerFrame(x, front).eval(), clips, 1, layer=layer) for x in (True, False))
    assert (folded[:, 1:] - folded[:, :1]).abs().amax() > 0.5
    assert torch.allclose(loop, folded, atol=1e-5)


class Stacked(nn.Module):
    """Convolutions of the mean frame, one after the other or beside each other, with one ReLU for all."""

    def __init__(self, beside):
        super().__init__()
        torch.manual_seed(0)
        self.convs = nn.ModuleList([nn.Conv2d(3, 3, 3, padding=1) for _ in range(4)])
        self.relu, self.fc, self.beside = nn.ReLU(), nn.Linear(3, 3), beside

    def forward(self, x):
        x = x.mean(2)
        if self.beside:
            return self.fc(sum(self.relu(conv(x)) for conv in self.convs).mean((2, 3)))
        for conv in self.convs:
            x = self.relu(conv(x))
        return self.fc(x.mean((2, 3)))


@pytest.mark.parametrize("beside", [False, True])
@pytest.mark.parametrize("frames", [3, 4, 5])
def test_a_layer_that_runs_as_often_as_there_are_frames_is_not_taken_for_one_of_frames(frames, beside):
    model, clips = Stacked(beside).eval(), torch.randn(2, 3, 1, 8, 10).expand(-1, -1, frames, -1, -1)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        found = gradcam.raw_maps(model, clips, 1, "relu")
    said = ["layer relu runs 4 times, as often as the clip has frames, but not once for each in order"]
    assert [str(one.message).partition(":")[0] for one in caught] == (said if frames == 4 else [])
    assert found.shape == (2, 1, 8, 10) and torch.allclose(found, gradcam.raw_maps(model, clips[:, :, :1], 1, "relu"))


class Recurrent(nn.Module):
    """A convolution that sees a frame and what it returned for the frame before; time may run backwards."""

    def __init__(self, backwards=False):
        super().__init__()
        torch.manual_seed(0)
        self.conv, self.fc, self.backwards = nn.Conv2d(7, 4, 3, padding=1), nn.Linear(4, 3), backwards

    def forward(self, x):
        state, states = x.new_zeros(len(x), 4, *x.shape[3:]), []
        for frame in (x.flip(2) if self.backwards else x).unbind(2):
            state = self.conv(torch.cat([frame, state], 1))
            states.append(state.relu().mean((2, 3)))
        return self.fc(torch.stack(states).mean(0))


def test_a_layer_that_carries_what_it_saw_from_frame_to_frame_has_their_maps():
    clips = torch.randn(2, 3, 5, 8, 10)
    assert gradcam.raw_maps(Recurrent().eval(), clips, 1, "conv").shape == (2, 5, 8, 10)
    with pytest.warns(UserWarning, match="layer conv runs 5 times, .* not once for each in order: its map"):
        found = gradcam.raw_maps(Recurrent(backwards=True).eval(), clips, 1, "conv")
    assert found.shape == (2, 1, 8, 10)


@pytest.mark.parametrize("value", [1.7, 0.034, 1e-6, 3e4])
def test_a_map_that_is_the_same_everywhere_is_not_blown_up(value):
    even = gradcam.over_frames(torch.full((1, 4, 1, 1), value), (8, 224, 224))
    assert (even == 0).all()
    uneven = torch.full((1, 1, 2, 2), value)
    uneven[0, 0, 0, 0] *= 1.001
    assert gradcam.over_frames(uneven, (1, 8, 8)).amax() == 1
    with pytest.raises(InputError, match="normalise"):
        gradcam.over_frames(uneven, (1, 8, 8), normalise="Clip")


@pytest.mark.parametrize("softmax", [False, True])
def test_maps_in_half_precision_are_those_of_the_rounded_weights_in_float32(softmax):
    """A place's gradient is divided by their number and, where the class is sure, by thousands more: below float16."""

    class Means(nn.Module):
        def __init__(self):
            super().__init__()
            torch.manual_seed(0)
            self.conv, self.fc = nn.Conv3d(3, 4, 1), nn.Linear(4, 3)
            self.fc.bias.data[0] += 10

        def forward(self, x):
            return self.fc(torch.relu(self.conv(x)).mean((2, 3, 4)))

    net, clips = Means().eval().half(), torch.rand(1, 3, 8, 56, 56, generator=torch.Generator().manual_seed(0)).half()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        maps = gradcam.raw_maps(net, clips, [0], "conv", softmax=softmax)
    assert maps.dtype == torch.float32 and net.fc.weight.dtype == torch.float16
    net, clips = net.float(), clips.float()
    weights = net.fc.weight[0] / (8 * 56 * 56)  # equation 2 by hand: through the mean, and the softmax's derivative
    if softmax:
        p = net(clips).softmax(1)[0]
        weights = p[0] * (net.fc.weight[0] - p @ net.fc.weight) / (8 * 56 * 56)
    features = net.conv(clips)
    on = (features > 0).float().mean((3, 4), keepdim=True)
    expected = (weights.view(1, 4, 1, 1, 1) * on * features).sum(1)
    assert torch.allclose(maps, expected, rtol=1e-3, atol=1e-3 * float(expected.detach().abs().max()))
