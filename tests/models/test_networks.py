"""What every network promises, and each family against a calculation written differently."""

import math

import pytest
import torch
from torch import nn

from paperlib import models
from paperlib.errors import InputError
from paperlib.models import vit
from paperlib.training.train import prediction

from .tiny import tiny

pytestmark = pytest.mark.numerics

TINY = [  # name, options, output steps
    ("TSN-R18-f8", {}, 8),
    ("TSN-R50-f8-tp", {}, 1),
    ("I3D-R18-f8", {}, 8),
    ("I3D-R50-f16-tp", {}, 2),
    ("S3D-R34-f4", {}, 4),
    ("S3D-R18-f8-tp", {}, 1),
    ("TAM2D-R18-f8", {"kernel_size": 7}, 8),
    ("TAM2D-R50-f4", {"placement": "top"}, 4),
    ("TSM-R18-f4", {}, 4),
    ("NLN-R18-f4", {}, 4),
    ("Conv1D-R18-f4", {"kernel_size": 5}, 4),
    ("TSN-Inc-f8-tp", {}, 1),
    ("I3D-Inc-f8", {}, 8),
    ("I3D-Inc-f8", {"last_pool": 2}, 7),
    ("I3D-Inc-f8-tp", {}, 1),
    ("S3D-Inc-f8", {}, 7),
    ("S3D-Inc-f8-tp", {}, 1),
    ("TAM2D-Inc-f4", {"placement": "uniform"}, 4),
    ("NLN-Inc-f4", {}, 4),
    ("I3D-original-f16", {}, 1),
    ("I3D-original-f16", {"reduced_strides": True}, 8),
    ("C-LSTM-f6", {"size": 64}, 6),
    ("C-LSTM-f4", {"size": 64, "layers": 2}, 4),
    ("SlowFast-R50-2x8", {}, 8),
    ("ViT-joint-f8", {}, 8),
    ("ViT-joint-f8", {"tubelet": 2, "patch": 8, "depth": 1, "positions": "none"}, 4),
    ("ViT-divided-f8", {"tubelet": 2}, 4),
    ("Swin3D-f8", {}, 4),
    ("Swin3D-f8", {"tubelet": 1, "window": 2}, 8),
]


@pytest.mark.parametrize("name, options, steps", TINY)
def test_every_network_keeps_its_promises(name, options, steps):
    model = tiny(name, **options)
    clips = torch.randn(2, 3, model.num_frames, 64, 64)
    with torch.no_grad():
        frames, logits = model.frame_logits(clips), model(clips)
        alone = model(clips[1:])
    scale = logits.abs().max()
    assert frames.shape == (2, steps, 5)
    assert torch.allclose(frames.mean(1), logits, rtol=1e-4, atol=1e-5 * scale)
    assert torch.allclose(logits[1:], alone, rtol=1e-4, atol=1e-5 * scale)  # clips do not mix
    again = models.create(**model.config)
    again.load_state_dict(model.state_dict())
    with torch.no_grad():
        assert torch.equal(again.eval()(clips), logits)
    assert again.config == model.config


@pytest.mark.parametrize("options", [{}, {"tubelet": 1}])
def test_an_mvit_gives_logits_of_whole_clips_of_its_own_size(options):
    model = tiny("MViT-f8", size=64, **options)
    clips = torch.randn(2, 3, 8, 64, 64)
    with torch.no_grad():
        logits = model(clips)
        assert torch.allclose(model(clips[1:]), logits[1:], rtol=1e-4, atol=1e-5)
        again = models.create(**model.config)
        again.load_state_dict(model.state_dict())
        assert torch.equal(again.eval()(clips), logits)
        with pytest.raises(InputError, match=r"takes 64 x 64 pixels, but the clip has \[48, 48\]"):
            model(clips[..., :48, :48])
    assert not hasattr(model, "frame_logits") and prediction(model, clips).shape == (2, 5)
    with pytest.raises(InputError, match="has no frame logits, so there is no ensemble=4"):
        prediction(model, clips, ensemble=4)


def test_the_transformers_attend_as_they_say():
    """Joint: every frame changes every step. Divided without its time part, and one window a step: its own only."""

    def seen(model):
        clips = torch.randn(1, 3, 8, 32, 32, requires_grad=True)
        rows = model.eval().frame_logits(clips)[0, :, 0]
        reach = [torch.autograd.grad(row, clips, retain_graph=True)[0].abs().sum((0, 1, 3, 4)) > 0 for row in rows]
        return torch.stack(reach)

    assert seen(tiny("ViT-joint-f8")).all() and seen(tiny("ViT-divided-f8")).all()
    alone = tiny("ViT-divided-f8")
    for block in alone.blocks:
        nn.init.zeros_(block.time.out.weight)
    assert torch.equal(seen(alone), torch.eye(8) > 0)
    assert torch.equal(seen(tiny("Swin3D-f8", window=1)), torch.eye(4).repeat_interleave(2, 1) > 0)


@pytest.mark.parametrize("width", [1, 7, 8, 11, 14, 20])
def test_transformers_run_at_any_width_with_heads_that_share_the_channels_evenly(width):
    for channels in (width, 12 * width, 16 * width):
        allowed = [n for n in range(1, channels + 1) if channels % n == 0 and channels / n >= 32]
        assert vit.heads(channels) == max(allowed, default=1)
    for name, options in (("ViT-joint-f2", {"depth": 1}), ("Swin3D-f2", {}), ("MViT-f2", {"size": 32})):
        model = models.create(name, num_classes=3, width=width, **options).eval()
        with torch.no_grad():
            assert model(torch.zeros(1, 3, 2, 32, 32)).shape == (1, 3)


@pytest.mark.parametrize(
    ("name", "options", "said"),
    [
        ("ViT-joint-f7", {"tubelet": 2}, "tubelet=2 .* an even number of frames"),
        ("ViT-joint-f8", {"patch": 0}, "patch of ViT-joint-f8 must be a whole number of at least 1, not 0"),
        ("ViT-divided-f8", {"positions": "learned"}, "one of sine, none"),
        ("Swin3D-f8", {"tubelet": 3}, "tubelet=3 .* 1 or 2"),
        ("Swin3D-f7", {}, "frames in pairs.*tubelet=1"),
        ("Swin3D-f8", {"size": 64}, "no option 'size'; it has width, dropout, tubelet, window"),
        ("mvit_v2_s-f8", {}, "takes 16 frames"),
        ("MViT-f8", {"size": 50}, "size=50 for MViT-f8: it should be a multiple of 4 of at least 16"),
        ("MViT-f8", {"size": 12}, "size=12 for MViT-f8: it should be .* of at least 16"),
    ],
)
def test_options_of_transformers_that_cannot_be_are_named(name, options, said):
    with pytest.raises(InputError, match=said):
        models.create(name, num_classes=3, **options)


@pytest.mark.parametrize(
    "name, counts",
    [
        ("TAM2D-R18-f4", "kernel_size"),
        ("I3D-Inc-f4", "last_pool"),
        ("I3D-original-f8", "spatial_stride"),
        ("C-LSTM-f2", "size layers spatial_stride"),
        ("SlowFast-R50-2x1", "alpha"),
        ("ViT-joint-f2", "tubelet patch depth"),
        ("Swin3D-f2", "tubelet window"),
        ("MViT-f2", "tubelet size"),
    ],
)
def test_options_that_count_are_whole_numbers(name, counts):
    for count in counts.split():
        for wrong in (0, -1, "4", 16.0, True):
            said = rf"^{count}( of {name})? must be a whole number of at least 1, not {wrong!r}"
            with pytest.raises(InputError, match=said), torch.device("meta"):
                models.create(name, num_classes=3, **{count: wrong})


@pytest.mark.parametrize(
    "name",
    "i3d-r18-f8 I3d-ORIGINAL-f16 c-lstm-f8 SLOWFAST-r50-4X8 R3D_18 Mc3_18-f8 S3D-f16 vit-JOINT-f8 SWIN3D-F8".split(),
)
def test_a_network_is_meant_whatever_the_case_of_its_name(name):
    with torch.device("meta"):
        model = models.create(name, num_classes=2)
        assert model.config["name"].lower().startswith(name.lower())
        assert models.create(**model.config).config == model.config


@pytest.mark.parametrize(
    "name",
    [
        "I3D-R18-f{}",
        "TAM2D-Inc-f{}",
        "S3D-R50-f{}-tp",
        "TSM-R18-f{}",
        "NLN-R50-f{}",
        "Conv1D-R18-f{}",
        "I3D-original-f{}",
        "r3d_18-f{}",
        "ViT-joint-f{}",
        "swin3d_t-f{}",
    ],
)
def test_weights_do_not_depend_on_the_number_of_frames(name):
    with torch.device("meta"):
        few, many = (models.create(name.format(n), num_classes=3).state_dict() for n in (8, 16))
    assert {k: v.shape for k, v in few.items()} == {k: v.shape for k, v in many.items()}


def test_a_network_starts_from_one_with_fewer_frames():
    few, many = tiny("TAM2D-R18-f4"), tiny("TAM2D-R18-f8")
    assert models.inflate(many, few.state_dict()) == []
    other = models.create("TAM2D-R18-f8", num_classes=9, width=8)
    assert models.inflate(other, few.state_dict()) == ["fc.weight", "fc.bias"]
    assert torch.equal(many.layer1[0].temporal.conv.weight, few.layer1[0].temporal.conv.weight)


@pytest.mark.parametrize("name", ["TAM2D-R18-f4", "I3D-R50-f4", "S3D-Inc-f4", "TSN-R18-f8-tp", "ViT-divided-f4"])
def test_first_weights_know_nothing_and_their_gradient_leads_down(name):
    """The loss falls by what the gradient says, in float64: what it falls to after some steps is up to rounding."""
    torch.manual_seed(0)
    model = models.create(name, num_classes=2, width=8).double()
    clips, labels = torch.randn(4, 3, model.num_frames, 48, 48).double(), torch.tensor([0, 1, 0, 1])
    weights = list(model.parameters())

    def loss():
        return nn.functional.cross_entropy(model(clips), labels)

    first = loss()
    assert abs(first.item() - math.log(2)) < 0.3
    gradients = torch.autograd.grad(first, weights)
    steepness = sum(g.square().sum().item() for g in gradients)
    assert steepness > 0.01
    with torch.no_grad():
        for weight, gradient in zip(weights, gradients, strict=True):
            weight -= 1e-6 / steepness * gradient
        assert (first - loss()).item() == pytest.approx(1e-6, rel=0.01)


@pytest.mark.parametrize("name", ["TAM2D-R18-f4", "TSN-R18-f8-tp"])
def test_a_network_can_be_trained_from_its_first_weights(name):
    torch.manual_seed(0)
    model = models.create(name, num_classes=2, width=8)
    clips, labels = torch.randn(4, 3, model.num_frames, 48, 48), torch.tensor([0, 1, 0, 1])
    optimizer = torch.optim.SGD(model.parameters(), lr=0.05, momentum=0.9)
    losses = []
    for _ in range(8):
        loss = nn.functional.cross_entropy(model(clips), labels)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < 0.7 * losses[0]


@pytest.mark.parametrize(
    "shape, word", [((3, 8, 32, 32), "5 dimensions"), ((1, 1, 8, 32, 32), "3 colour"), ((1, 3, 7, 32, 32), "8 frames")]
)
@pytest.mark.parametrize("name", ["TSN-R18-f8", "S3D-Inc-f8", "SlowFast-R50-2x8", "C-LSTM-f8", "r3d_18-f8"])
def test_a_clip_of_the_wrong_shape_is_refused(name, shape, word):
    with torch.device("meta"):
        model = models.create(name, num_classes=2)
        with pytest.raises(InputError, match=word):
            model(torch.zeros(shape))


@pytest.mark.parametrize(
    "name, options, word",
    [
        ("I3D-R19-f8", {}, "R19.*R18, R34"),
        ("X3D-R18-f8", {}, "X3D.*I3D, S3D"),
        ("I3D-R18-8", {}, "frames"),
        ("I3D-R18-f0", {}, "frames"),
        ("I3D-R18-f8-pt", {}, "tp"),
        ("nonsense", {}, "I3D-R50-f16"),
        ("TAM2D-R18-f8", {"kernel_size": 4}, "3, 5, 7"),
        ("TSN-R18-f8", {"kernel_size": 5}, "kernel_size"),
        ("TAM2D-R18-f8", {"placement": "middle"}, "top"),
        ("I3D-R18-f8", {"placement": "top"}, "TAM2D"),
        ("I3D-R18-f8", {"depth": 3}, "depth"),
        ("I3D-Inc-f8", {"last_pool": 4}, "last_pool"),
        ("TSN-R18-f8", {"last_pool": 2}, "last_pool"),
        ("C-LSTM-f8", {"size": 32}, "size"),
        ("SlowFast-R50-8x8", {"width": 20}, "multiple of 8"),
        ("SlowFast-R50-8x8", {"placement": "top"}, "placement"),
        ("SlowFast-R50-8x8", {"std": [1, 1, 1]}, "give mean and std together, not std alone"),
        ("SlowFast-R50-8x8", {"mean": [1, 1, 1]}, "give mean and std together, not mean alone"),
        ("SlowFast-R50-8x8", {"mean": [1, 1], "std": [1, 1, 1]}, "mean must be three numbers"),
        ("SlowFast-R50-8x8", {"mean": [1, 1, math.nan], "std": [1, 1, 1]}, "mean must be three numbers"),
        ("SlowFast-R50-8x8", {"mean": [1, 1, 1], "std": [1, 0, 1]}, "std must be three numbers above 0"),
        ("I3D-original-f16", {"reduced_strides": "no"}, "reduced_strides='no' .* should be True or False"),
        ("r3d_18", {"width": 32}, "width"),
        ("TSN-R18-f8", {"width": 0}, "width"),
        ("S3D-Inc-f1", {}, "frames"),
        ("TSN-R18-f8", {"dropout": 1.5}, "dropout"),
        ("TSN-R18-f8", {"num_classes": 2.5}, "num_classes"),
    ],
)
def test_names_and_options_that_make_no_sense_are_explained(name, options, word):
    with torch.device("meta"), pytest.raises(InputError, match=word):
        models.create(name, **{"num_classes": 5, **options})


def reached(model, size=32):
    """Frames that reach the middle output step, found by putting NaN into one frame at a time."""
    clips = torch.zeros(model.num_frames, 3, model.num_frames, size, size)
    for t in range(model.num_frames):
        clips[t, :, t] = math.nan
    with torch.no_grad():
        logits = model.frame_logits(clips)
    return logits[:, logits.shape[1] // 2].isnan().any(1).sum().item()


@pytest.mark.parametrize(
    "name, options, field",
    [
        ("TSN-R18-f4", {}, 1),
        ("TSN-R18-f32-tp", {}, 15),
        ("TAM2D-R18-f24", {}, 17),
        ("TAM2D-R18-f24", {"placement": "top"}, 9),
        ("TAM2D-R18-f24", {"placement": "bottom", "kernel_size": 5}, 17),
        ("TSM-R18-f24", {}, 17),
        ("I3D-R18-f40", {}, 35),
        ("S3D-R18-f40", {}, 35),
        ("I3D-Inc-f40", {}, 33),
        ("S3D-Inc-f40", {}, 28),
    ],
)
def test_theoretical_receptive_field_is_what_frames_reach(name, options, field):
    model = tiny(name, **options)
    assert models.temporal_receptive_field(model) == field == reached(model)


def test_global_exchange_has_no_bounded_receptive_field():
    assert models.temporal_receptive_field(tiny("NLN-R18-f8")) == math.inf
    assert models.temporal_receptive_field(tiny("C-LSTM-f8", size=64)) == math.inf


@pytest.mark.parametrize(
    "name, options, cells",
    [
        ("I3D-original-f16", {"reduced_strides": True}, 2),
        ("I3D-original-f16", {"reduced_strides": True, "spatial_stride": 16}, 4),
        ("C-LSTM-f16", {"size": 64}, 1),
        ("C-LSTM-f16", {"size": 64, "spatial_stride": 16}, 4),
        ("C-LSTM-f32", {"size": 64, "layers": 2, "spatial_stride": 8}, 8),
    ],
)
def test_last_maps_have_as_many_cells_as_the_spatial_stride_says(name, options, cells):
    model = models.create(name, num_classes=3, width=8, **options).eval()
    clip = torch.randn(1, 3, model.num_frames, 64, 64)
    assert model.features(clip).shape[3:] == (cells, cells)
    again = models.create(**model.config)
    assert [tuple(p.shape) for p in again.parameters()] == [tuple(p.shape) for p in model.parameters()]
    assert again.features(clip).shape[3:] == (cells, cells)


@pytest.mark.parametrize("size, cells", [(112, 2), (96, 1), (127, 2), (128, 2)])
def test_a_c_lstm_has_weights_for_the_cells_that_its_last_maps_have(size, cells):
    model = models.create("C-LSTM-f2", num_classes=3, width=4, size=size).eval()
    clip = torch.randn(1, 3, 2, size, size)
    assert model.features(clip).shape[3:] == (cells, cells) and model(clip).shape == (1, 3)


@pytest.mark.parametrize("name, right", [("I3D-original-f16", "16 or 32"), ("C-LSTM-f16", "8, 16, 32, 64")])
def test_spatial_strides_that_do_not_exist_are_refused(name, right):
    with pytest.raises(InputError, match=rf"spatial_stride=12 for {name}.*{right}"):
        models.create(name, num_classes=3, spatial_stride=12)
