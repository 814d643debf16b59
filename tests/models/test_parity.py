"""Same function as the public code: the parity fixtures, and networks rebuilt from torchvision's 2D ones."""

import json

import numpy as np
import pytest
import torch
import torchvision

from paperlib import models

from .. import shared
from . import published_layouts as layouts

pytestmark = pytest.mark.numerics

BIG = ("i3d_original_k400", "slowfast_r50_8x8")
NAMES = (
    "i3d_resnet18_f8",
    "i3d_resnet50_f8",
    "i3d_resnet50_tp_f8",
    "tam_resnet50_f8",
    "tam_resnet18_k5_f8",
    "tsn_resnet18_tp_f8",
    "s3d_resnet18_f8",
    "i3d_inception_v1_f8",
    "s3d_inception_v1_f8",
    "tam_inception_v1_f8",
)


def load(name):
    cases = json.loads(shared.path("parity/public.json").read_text())
    return next(case for case in cases if case["name"] == name)


@pytest.mark.parametrize("name", [*NAMES, *(pytest.param(n, marks=pytest.mark.slow) for n in BIG)])
def test_public_layout_gives_the_published_logits(name):
    case = load(name)
    kind, options = layouts.network(case)
    model = models.create(kind, num_classes=case["num_classes"], **options).eval()
    stored = {"state_dict": {f"module.{key}": value for key, value in layouts.weights(case["keys"]).items()}}
    models.load_published(model, stored)
    assert sum(p.numel() for p in model.parameters()) == case["parameters"]
    with torch.no_grad():
        clip = layouts.clip(case)
        frames, logits = model.frame_logits(clip), model(clip)[0].numpy()
    expected = np.array(case["logits"] if "logits" in case else case["logits_class_mean"])
    assert np.abs(logits - expected).max() < 1e-4 * np.abs(expected).max()
    assert torch.allclose(frames.mean(1)[0], torch.tensor(logits), rtol=1e-4, atol=1e-4)


def settled(network):
    """Give a fresh torchvision network batch statistics other than 0 and 1."""
    torch.manual_seed(0)
    for layer in network.modules():
        if isinstance(layer, torch.nn.BatchNorm2d):
            layer.running_mean.normal_(std=0.1)
            layer.running_var.uniform_(0.5, 1.5)
    return network.eval()


@pytest.mark.parametrize("ours, theirs", [("R18", "resnet18"), ("R34", "resnet34"), ("R101", "resnet101")])
def test_tsn_is_torchvisions_resnet_on_every_frame(ours, theirs):
    image = settled(getattr(torchvision.models, theirs)(weights=None, num_classes=7))
    video = models.create(f"TSN-{ours}-f2", num_classes=7).eval()
    assert models.inflate(video, image.state_dict()) == []
    clip = torch.randn(2, 3, 2, 64, 64)
    with torch.no_grad():
        expected = torch.stack([image(clip[:, :, t]) for t in range(2)], 1)
        assert torch.allclose(video.frame_logits(clip), expected, rtol=1e-4, atol=1e-4 * expected.abs().max())


def test_tsn_inception_is_torchvisions_googlenet_on_every_frame():
    image = torchvision.models.googlenet(weights=None, num_classes=7, aux_logits=False, init_weights=False)
    image = settled(image)
    video = models.create("TSN-Inc-f3", num_classes=7).eval()
    assert models.inflate(video, image.state_dict()) == []
    clip = torch.randn(1, 3, 3, 96, 96)
    with torch.no_grad():
        expected = torch.stack([image(clip[:, :, t]) for t in range(3)], 1)
        assert torch.allclose(video.frame_logits(clip), expected, rtol=1e-4, atol=1e-4 * expected.abs().max())


def test_inflated_i3d_gives_a_still_clip_what_the_2d_network_gives_the_picture():
    image = settled(torchvision.models.resnet18(weights=None, num_classes=5))
    for rescale in (True, False):
        video = models.create("I3D-R18-f40", num_classes=5).eval()
        assert models.inflate(video, image.state_dict(), rescale=rescale) == []
        picture = torch.randn(1, 3, 32, 32)
        with torch.no_grad():
            middle = video.frame_logits(picture.unsqueeze(2).expand(-1, -1, 40, -1, -1))[:, 20]
            same = torch.allclose(middle, image(picture), rtol=1e-3, atol=1e-3)
        assert same == rescale  # frame 20 sees 35 frames, none of them beyond the ends of the clip


def test_inflation_leaves_what_2d_weights_do_not_have():
    image = torchvision.models.resnet18(weights=None)
    video = models.create("TAM2D-R18-f4", num_classes=5)
    fresh = models.inflate(video, image.state_dict())
    assert {key for key in fresh if "temporal" not in key} == {"fc.weight", "fc.bias"}
    assert sum("temporal" in key for key in fresh) == 8


def test_torchvision_adapters_compute_what_torchvision_computes():
    torch.manual_seed(0)
    for name, size in (("r3d_18-f4", 32), ("mc3_18-f4", 32), ("r2plus1d_18-f4", 32), ("s3d-f16", 224)):
        model = models.create(name, num_classes=6).eval()
        clip = torch.randn(1, 3, model.num_frames, size, size)
        with torch.no_grad():
            expected = model.net(clip)
            assert torch.allclose(model(clip), expected, rtol=1e-4, atol=1e-4 * expected.abs().max()), name
