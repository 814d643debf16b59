"""Each family under torch.compile, channels_last_3d, tracing, and mixed precision."""

import pytest
import torch
from torch.fx.experimental.proxy_tensor import make_fx

from paperlib import models

pytestmark = pytest.mark.numerics

FAMILIES = [
    ("TSN-R18-f4-tp", {}),
    ("I3D-R50-f4", {}),
    ("S3D-R18-f4", {}),
    ("TAM2D-R18-f4", {}),
    ("TSM-R18-f4", {}),
    ("NLN-R18-f4", {}),
    ("I3D-Inc-f4", {}),
    ("I3D-original-f16", {}),
    ("C-LSTM-f4", {"size": 64}),
    ("SlowFast-R50-2x8", {"width": 8}),
    ("r3d_18-f8", {"width": 64}),
]


def tiny(name, width=4, **options):
    torch.manual_seed(0)
    model = models.create(name, num_classes=3, width=width, **options).eval()
    return model, torch.randn(1, 3, model.num_frames, 64, 64)


def close(a, b):
    return torch.allclose(a, b, rtol=1e-3, atol=1e-4 * b.abs().max().item())


@pytest.mark.parametrize("name, options", FAMILIES)
def test_channels_last_gives_the_same_logits(name, options):
    model, clip = tiny(name, **options)
    with torch.no_grad():
        expected = model(clip)
        fast = model.to(memory_format=torch.channels_last_3d)
        assert close(fast(clip.to(memory_format=torch.channels_last_3d)), expected)


@pytest.mark.parametrize("name, options", FAMILIES)
def test_graphs_of_every_family_can_be_captured(name, options):
    model, clip = tiny(name, **options)
    with torch.no_grad():
        expected = model(clip)
        assert close(torch.fx.symbolic_trace(model)(clip), expected)
        assert close(make_fx(model)(clip)(clip), expected)
        torch.compiler.reset()  # families share code, of which only so many versions are compiled in one process
        assert close(torch.compile(model, fullgraph=True, backend="aot_eager")(clip), expected)


@pytest.mark.slow  # what is captured is torch's to translate: one network of convolutions and one with a loop suffice
@pytest.mark.parametrize("name, options", [("TAM2D-R18-f4", {}), ("C-LSTM-f4", {"size": 64})])
def test_compiled_networks_give_the_same_logits(name, options):
    model, clip = tiny(name, **options)
    with torch.no_grad():
        expected = model(clip)
        assert close(torch.compile(model)(clip), expected)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs an NVIDIA GPU")
@pytest.mark.parametrize("name, options", FAMILIES)
def test_mixed_precision_gives_the_same_top1(name, options):
    model, _ = tiny(name, **options)
    clips = torch.randn(16, 3, model.num_frames, 64, 64)
    with torch.no_grad():
        full = model.cuda()(clips.cuda())
        margin = full.sort(1).values.diff(dim=1)[:, -1] > 0.02 * full.abs().max()  # no coin tosses
        with torch.autocast("cuda", torch.float16):
            mixed = model(clips.cuda())
    assert (mixed.argmax(1) == full.argmax(1))[margin].all()
