"""Grad-CAM of networks with other layouts, against hooks on the layer and axes moved by hand."""

import math
import random
import warnings

import pytest
import torch
from torch import nn

from paperlib import gradcam, models
from paperlib.errors import InputError
from paperlib.gradcam import candidates

from . import layouts


def frames_of(values, b):
    """[B * T, ...] -> [B, T, ...]."""
    return values.reshape(b, len(values) // b, *values.shape[1:])


def frames_of_maps(values, b):  # [B * T, C, H, W]
    return frames_of(values, b).transpose(1, 2)


def last(values, b):  # [B, T, H, W, C]
    return values.permute(0, 4, 1, 2, 3)


def tokens(values, b, order="thw", size=(3, 4, 4), skip=1):
    """[B, skip + N, C] with N in the given order -> [B, C, T, H, W]."""
    length = dict(zip("thw", size, strict=True))
    values = values[:, skip:].reshape(len(values), *(length[axis] for axis in order), -1)
    return torch.einsum(f"b{order}c->bcthw", values)


# network, layer, the layer's values -> [B, C, T, H, W] by hand; the last one is what the network is explained by
CASES = {
    "Swin": (layouts.Swin, {"blocks.0": last, "blocks": last, "merge": last, "norm": last}),
    "Swin by frames": (
        layouts.FrameSwin,
        {layer: lambda x, b: frames_of(x, b).permute(0, 4, 1, 2, 3) for layer in ("blocks.1", "last", "norm")},
    ),
    "ViT with class token": (layouts.ViT, {"blocks.0.norm1": tokens, "blocks.0": tokens, "blocks.1": tokens}),
    "ViT, fused": (lambda: layouts.ViT(fused=True), {"blocks.1.mlp": tokens, "blocks.1": tokens}),
    "ViT without": (
        lambda: layouts.ViT(token=False),
        {layer: lambda x, b: tokens(x, b, skip=0) for layer in ("blocks.1", "blocks.2", "norm")},
    ),
    "ViT by frames": (
        layouts.FrameViT,
        {
            layer: lambda x, b: frames_of(x[:, 1:], b).reshape(b, 3, 4, 4, -1).permute(0, 4, 1, 2, 3)
            for layer in ("blocks.0", "blocks.1")
        },
    ),
    "time fastest": (layouts.TimeFastest, {"blocks.1": lambda x, b: tokens(x, b, "hwt")}),
    "TimeSformer": (
        layouts.TimeSformer,
        {layer: lambda x, b: tokens(x, b, "hwt") for layer in ("blocks.0", "blocks.1")},
    ),
    "MViT": (layouts.MViT, {"blocks.0": tokens, "blocks.1": tokens}),
    "time first": (
        layouts.TimeFirst,
        {layer: lambda x, b: x.reshape(6, b, -1, 8, 8).permute(1, 2, 0, 3, 4) for layer in ("conv1", "conv2")},
    ),
    "mask of the mean frame": (layouts.MeanFrame, {"looks": lambda x, b: x[:, :, None], "motion": frames_of_maps}),
    "loop": (layouts.Looped, {"after": lambda x, b: x}),
    "fixed pool": (layouts.Classify, {"trunk.0": lambda x, b: x, "trunk": lambda x, b: x}),
}


def make(name):
    torch.manual_seed(0)
    return CASES[name][0]().eval()


def clips(batch=2):
    return torch.randn(batch, 3, 6, 16, 16, generator=torch.Generator().manual_seed(1))


def by_hand(net, x, target, layer, move):
    """Return equation 2 from a hook on the layer and `move(values, B)` -> [B, C, T, H, W]."""
    kept = []

    def keep(module, inputs, output):
        kept.append(output[0] if isinstance(output, tuple) else output)

    handle = net.get_submodule(layer).register_forward_hook(keep)
    score = net(x)[:, target].sum()
    handle.remove()
    (gradient,) = torch.autograd.grad(score, kept[-1])
    values, gradient = (move(t, len(x)) for t in (kept[-1].detach(), gradient))
    return torch.einsum("bct,bcthw->bthw", gradient.mean((3, 4)), values)


@pytest.mark.parametrize("name, layer", [(name, layer) for name, (_, moves) in CASES.items() for layer in moves])
@pytest.mark.parametrize("batch", [1, 2])
def test_maps_are_those_of_axes_moved_by_hand(name, layer, batch):
    net, x = make(name), clips(batch)
    expected = by_hand(net, x, 1, layer, CASES[name][1][layer])
    found = gradcam.raw_maps(net, x, 1, layer)
    assert expected.any() and found.shape == expected.shape
    assert torch.allclose(found, expected, rtol=1e-4, atol=1e-7)


@pytest.mark.parametrize(
    ("name", "options", "layer"),
    [
        ("ViT-joint-f4", {}, "norm"),
        ("ViT-joint-f4", {"tubelet": 2}, "blocks.0"),
        ("ViT-divided-f4", {}, "norm"),
        ("Swin3D-f4", {}, "net.norm"),
    ],
)
def test_the_projects_transformers_have_their_tokens_last(name, options, layer):
    torch.manual_seed(0)
    net = models.create(name, num_classes=3, width=8, **options).eval()
    x = torch.randn(2, 3, 4, 32, 32)

    def move(values, batch):  # [B, T', H W, C] or [B, T', H, W, C]
        steps, side = values.shape[1], round(math.prod(values.shape[2:-1]) ** 0.5)
        return values.reshape(batch, steps, side, side, -1).permute(0, 4, 1, 2, 3)

    expected = by_hand(net, x, 1, layer, move)
    assert expected.any() and torch.allclose(gradcam.raw_maps(net, x, 1, layer), expected, rtol=1e-4, atol=1e-7)
    assert gradcam.default_layer(net, x[:1]) == {"ViT": "norm"}.get(name[:3], "net.norm")


@pytest.mark.parametrize("name", CASES)
def test_the_default_is_the_last_layer_with_space_and_time_in_front_of_the_head(name):
    expected = {"time first": "conv2"}.get(name, list(CASES[name][1])[-1])
    assert gradcam.default_layer(make(name), clips(1)) == expected
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = gradcam.video_gradcam(make(name), clips())
    assert found.shape == (2, 6, 16, 16) and found.flatten(1).amax(1).min() > 0.99


def test_a_layer_behind_the_last_attention_says_that_nothing_comes_from_its_places():
    with pytest.warns(UserWarning, match=r"gradient at layer blocks.2 is zero for clip\(s\) 0, 1, so .*class token"):
        found = gradcam.video_gradcam(make("ViT with class token"), clips(), 1, "blocks.2")
    assert not found.any()


def test_layers_without_places_are_refused_by_name():
    net = make("ViT with class token")
    for layer, kind in (("blocks.0.attn.softmax", "Softmax"), ("head", "Linear")):
        with pytest.raises(InputError, match=rf"layer {layer} \({kind}\) returns .*no axes of maps .*reshape="):
            gradcam.raw_maps(net, clips(), 1, layer)

    class Mirrored(layouts.TimeFirst):
        def __init__(self):
            super().__init__()
            self.turned = nn.Identity()

        def forward(self, x):
            return super().forward(self.turned(x.flip(4)))

    with pytest.raises(InputError, match="layer conv2 .*no axes of maps"):
        gradcam.raw_maps(Mirrored(), clips(), 1, "conv2")


def test_reshape_says_how_values_are_laid_out():
    net, x = make("ViT with class token"), clips()
    found = gradcam.raw_maps(net, x, 1, "blocks.1", reshape=lambda values: tokens(values, 2))
    assert torch.equal(found, gradcam.raw_maps(net, x, 1, "blocks.1"))
    other = gradcam.raw_maps(net, x, 1, "blocks.1", reshape=lambda values: tokens(values, 2, "hwt"))
    assert not torch.allclose(other, found)  # it is taken at its word
    with pytest.raises(
        InputError, match=r"reshape must turn the values of layer blocks.1, here \[2, 49, 8\], into \[2,"
    ):
        gradcam.raw_maps(net, x, 1, "blocks.1", reshape=lambda values: values[:, 1:])


class Unrecordable(layouts.Swin):
    def forward(self, x):
        return super().forward(x / x.abs().max().item())


def test_a_network_that_cannot_be_recorded_has_maps_where_it_says_how():
    torch.manual_seed(0)
    net = Unrecordable().eval()
    with pytest.raises(InputError, match=r"layer norm \(LayerNorm\) .*cannot be found out.*reshape=.*tensor values"):
        gradcam.raw_maps(net, clips(), 1, "norm")
    found = gradcam.raw_maps(net, clips(), 1, "norm", reshape=lambda x: x.permute(0, 4, 1, 2, 3))
    assert torch.allclose(found, by_hand(net, clips(), 1, "norm", last), rtol=1e-4, atol=1e-7)
    found = gradcam.raw_maps(net, clips(), 1, "embed")  # a convolution has its features in the second axis
    assert torch.allclose(found, by_hand(net, clips(), 1, "embed", lambda x, b: x), rtol=1e-4, atol=1e-7)


class Unrecordable2D(nn.Module):
    """A picture's network over frames, folded clip after clip or step after step, whose forward looks at values."""

    def __init__(self, steps_first):
        super().__init__()
        self.steps_first, self.conv, self.fc = steps_first, nn.Conv2d(3, 4, 3, padding=1), nn.Linear(4, 3)

    def forward(self, x):
        assert x.abs().max().item() < 1e3
        order = (2, 0, 1, 3, 4) if self.steps_first else (0, 2, 1, 3, 4)
        frames = x.permute(order)
        seen = self.conv(frames.flatten(0, 1)).relu().mean((2, 3)).unflatten(0, frames.shape[:2])
        seen = seen if self.steps_first else seen.transpose(0, 1)
        return self.fc((seen * torch.linspace(1, 2, len(seen))[:, None, None]).mean(0))


@pytest.mark.parametrize("steps_first", [True, False])
def test_clips_are_not_mixed_where_it_is_unknown_how_frames_are_folded(steps_first):
    torch.manual_seed(0)
    net, targets = Unrecordable2D(steps_first).eval(), [2, 0, 1]

    def move(values, b):
        return values.unflatten(0, (-1, b)).permute(1, 2, 0, 3, 4) if steps_first else frames_of_maps(values, b)

    expected = torch.stack([by_hand(net, clips(3), k, "conv", move)[i] for i, k in enumerate(targets)])
    found = gradcam.raw_maps(net, clips(3), targets, "conv", batch_size=2)
    assert expected.any() and torch.allclose(found, expected, rtol=1e-4, atol=1e-7)


class UnrecordableSegments(Unrecordable):
    """Folds parts of three frames into the batch of 3D convolutions."""

    def forward(self, x):
        parts = x.unflatten(2, (-1, 3)).transpose(1, 2)
        return super().forward(parts.flatten(0, 1)).unflatten(0, parts.shape[:2]).mean(1)


def test_parts_of_clips_that_are_folded_are_not_taken_for_clips():
    with pytest.raises(InputError, match=r"layer embed returns \[2, .* for 1 clip.*reshape="):
        gradcam.raw_maps(UnrecordableSegments().eval(), clips(2), 1, "embed")


def test_a_network_of_one_logit_has_a_probability_that_moves():
    torch.manual_seed(0)
    net = layouts.Classify(classes=1).eval()
    logits = net(clips())
    slope = (logits.sigmoid() * (1 - logits.sigmoid()))[:, :, None, None]  # of the sigmoid, which scales the gradient
    expected = by_hand(net, clips(), 0, "trunk", lambda x, b: x) * slope
    found = gradcam.raw_maps(net, clips(), 0, "trunk", softmax=True)
    assert expected.any() and torch.allclose(found, expected, rtol=1e-4, atol=1e-7)
    with pytest.raises(InputError, match="softmax of a single logit is always 1"):
        gradcam.raw_maps(net, clips(), 0, "trunk", softmax=True, scores="softmax")


def torchvision(name):
    video = pytest.importorskip("torchvision.models.video")
    if name != "mvit":
        return getattr(video, name)(weights=None, num_classes=3)
    block = video.mvit.MSBlockConfig
    blocks = [block(2, 8, 8, [3, 3, 3], [3, 3, 3], [1, 1, 1], [1, 2, 2])] * 2
    blocks += [block(2, 8, 16, [3, 3, 3], [3, 3, 3], [1, 2, 2], [1, 2, 2])] * 1
    blocks += [block(2, 16, 16, [3, 3, 3], [3, 3, 3], [1, 1, 1], [1, 1, 1])] * 2
    options = dict(residual_pool=False, residual_with_cls_embed=False, rel_pos_embed=False, proj_after_attn=False)
    return video.MViT((32, 32), 8, blocks, num_classes=3, **options)


@pytest.mark.parametrize(
    "name, layer, move",
    [
        ("r3d_18", "layer4", lambda x, b: x),
        ("mvit", "blocks.3", lambda x, b: tokens(x, b, size=(4, 4, 4))),
        pytest.param("s3d", "features", lambda x, b: x, marks=pytest.mark.slow),
        pytest.param("swin3d_t", "norm", last, marks=pytest.mark.slow),
    ],
)
def test_torchvisions_networks(name, layer, move):
    torch.manual_seed(0)
    net = torchvision(name).eval()
    size = {"s3d": 224, "mvit": 32}.get(name, 64)
    x = torch.randn(1, 3, 16 if name == "s3d" else 8, size, size)
    assert gradcam.default_layer(net, x) == layer
    assert torch.allclose(gradcam.raw_maps(net, x, 1), by_hand(net, x, 1, layer, move), rtol=1e-3, atol=1e-7)


def timm_vit():
    timm = pytest.importorskip("timm")
    options = dict(img_size=32, patch_size=8, depth=3, embed_dim=24, num_heads=2, num_classes=3)
    return (
        layouts.ByFrames(timm.create_model("vit_tiny_patch16_224", **options)),
        "net.blocks.1",
        lambda x, b: frames_of(x[:, 1:], b).reshape(b, 8, 4, 4, -1).permute(0, 4, 1, 2, 3),
    )


def timm_swin():
    timm = pytest.importorskip("timm")
    options = dict(img_size=32, patch_size=2, window_size=4, depths=(2, 2, 2), embed_dim=8, num_heads=(1, 2, 2))
    net = timm.create_model("swin_tiny_patch4_window7_224", num_classes=3, **options)
    return layouts.ByFrames(net), "net.norm", lambda x, b: frames_of(x, b).permute(0, 4, 1, 2, 3)


def timesformer():
    transformers = pytest.importorskip("transformers")
    sizes = dict(hidden_size=16, num_hidden_layers=3, num_attention_heads=2, intermediate_size=16)
    config = transformers.TimesformerConfig(image_size=32, patch_size=8, num_frames=8, num_labels=3, **sizes)
    net = layouts.FramesFirst(transformers.TimesformerForVideoClassification(config))
    return net, "net.timesformer.encoder.layer.1", lambda x, b: tokens(x, b, "hwt", (8, 4, 4))


def videomae():
    transformers = pytest.importorskip("transformers")
    sizes = dict(hidden_size=16, num_hidden_layers=3, num_attention_heads=2, intermediate_size=16)
    config = transformers.VideoMAEConfig(image_size=32, patch_size=8, num_frames=8, num_labels=3, **sizes)
    net = layouts.FramesFirst(transformers.VideoMAEForVideoClassification(config))
    return net, "net.videomae.encoder.layer.2", lambda x, b: tokens(x, b, size=(4, 4, 4), skip=0)


def x3d():
    pytest.importorskip("pytorchvideo")
    from pytorchvideo.models.x3d import create_x3d

    net = create_x3d(input_clip_length=8, input_crop_size=64, model_num_class=3, head_activation=None)
    return net, "blocks.5.pool.pre_act", lambda x, b: x


def slow_r50():
    pytest.importorskip("pytorchvideo")
    from pytorchvideo.models.resnet import create_resnet

    net = create_resnet(model_depth=50, model_num_class=3, head_pool_kernel_size=(8, 2, 2))
    return net, "blocks.4", lambda x, b: x


@pytest.mark.parametrize("build", [timm_vit, timm_swin, timesformer, videomae, x3d, slow_r50])
def test_networks_of_other_packages(build):
    torch.manual_seed(0)
    net, layer, move = build()
    net.eval()
    size = 64 if build in (x3d, slow_r50) else 32
    x = torch.randn(2, 3, 8, size, size)
    assert gradcam.default_layer(net, x) == layer
    assert torch.allclose(gradcam.raw_maps(net, x, 1), by_hand(net, x, 1, layer, move), rtol=1e-3, atol=1e-7)


class Moved(nn.Module):
    """Permutes, joins, splits and rolls the axes of a clip at random; every value goes on saying where it was."""

    def __init__(self, seed):
        super().__init__()
        self.seed, self.seen, self.last = seed, nn.Identity(), nn.LazyLinear(2)

    def forward(self, x):
        choose = random.Random(self.seed)
        x = x * torch.ones(1, 3, 1, 1, 1)
        for _ in range(8):
            kind, dim = choose.choice([0, 0, 1, 1, 2, 2, 3, 4]), choose.randrange(x.dim())
            if kind == 0:
                x = x.permute(choose.sample(range(x.dim()), x.dim()))
            elif kind == 1 and x.dim() > 2 and dim < x.dim() - 1:
                x = x.flatten(dim, dim + 1)
            elif kind == 2 and x.dim() < 8 and x.shape[dim] > 2:
                divisors = [n for n in range(2, x.shape[dim]) if x.shape[dim] % n == 0]
                x = x.unflatten(dim, (choose.choice(divisors), -1)) if divisors else x
            elif kind == 3:
                token = torch.zeros_like(x.narrow(dim, 0, 1))  # gone again
                x = torch.cat([token, x], dim).narrow(dim, 1, x.shape[dim])
            elif kind == 4 and x.shape[dim] > 2:
                front, back = x.split([2, x.shape[dim] - 2], dim)
                x = torch.cat([front, back] if choose.random() < 0.8 else [back, front], dim)
        return self.last(self.seen(x).flatten().repeat(2, 1)[:, :9])


def test_axes_are_found_again_however_they_were_moved():
    x = torch.arange(2 * 4 * 6 * 8.0).reshape(2, 1, 4, 6, 8).expand(2, 3, 4, 6, 8)
    refused = 0  # right, too, where a reshape or a cut went across what belongs together
    for seed in range(16):
        net, kept = Moved(seed), []
        handle = net.seen.register_forward_hook(lambda module, inputs, output, kept=kept: kept.append(output))
        net(x)
        handle.remove()
        layout = candidates.layers(net, x)["seen"].layout
        if layout is None:
            refused += 1
        else:
            assert (layout.steps, layout.height, layout.width) == (4, 6, 8)
            assert torch.equal(layout.maps(kept[0], 2), x), seed
    assert refused <= 8
