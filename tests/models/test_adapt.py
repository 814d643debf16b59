"""models.adapt: other people's networks as the project's, what is found out about them, and what is refused."""

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from paperlib import gradcam, masks, models, relevance
from paperlib.data.clips import MEAN, STD, to_clip, to_frames
from paperlib.errors import InputError
from tests.models import others
from tests.relevance.networks import clip

GIVEN = {  # what a network gets of a clip, written out once more
    "B C T H W": lambda x: x,
    "B T C H W": lambda x: x.permute(0, 2, 1, 3, 4),
    "(B T) C H W": lambda x: x[0].permute(1, 0, 2, 3),
    "B (T C) H W": lambda x: torch.cat([x[:, :, t] for t in range(x.shape[2])], 1),
    "pathways": lambda x: [x[:, :, [0, 7]], x],
}

# network: layout, which rows it has by itself, how many of them are time steps, whether a class token has one more
TABLE = {
    "r3d": ("B C T H W", "logits", 2, False),
    "mc3": ("B C T H W", "logits", 4, False),
    "r2plus1d": ("B C T H W", "logits", 2, False),
    "s3d": ("B C T H W", "logits", 2, False),
    "mvit_v1": ("B C T H W", "split", 4, True),
    "mvit_v2": ("B C T H W", "split", 4, True),
    "swin3d": ("B C T H W", "logits", 4, False),
    "slow": ("B C T H W", "logits", 4, False),
    "slowfast": ("pathways", "split", 8, False),
    "x3d": ("B C T H W", "split", 4, False),
    "csn": ("B C T H W", "logits", 2, False),
    "r2plus1d_pytorchvideo": ("B C T H W", "logits", 2, False),
    "mvit_pytorchvideo": ("B C T H W", "split", 4, True),
    "timesformer": ("B T C H W", "split", 8, True),
    "vivit": ("B T C H W", "split", 4, True),
    "videomae": ("B T C H W", "split", 4, False),
    "vjepa2": ("B T C H W", "split", 4, False),
    "timm_resnet": ("(B T) C H W", "logits", 4, False),
    "timm_vit": ("(B T) C H W", "logits", 4, False),
    "frames_in_channels": ("B (T C) H W", "logits", 4, False),
    "logits_per_step": ("B C T H W", "logits", 5, False),
}
ATTENDING = {"mvit_v1", "mvit_v2", "mvit_pytorchvideo", "timesformer", "vivit", "videomae", "vjepa2"}
SLOW = {"s3d", "swin3d", "r2plus1d", "csn", "slowfast", "x3d", "mvit_v1", "r3d"}  # recorded in ten seconds or more


class Whole(nn.Module):
    """A network whose clip logits are explained as one row."""

    def __init__(self, model):
        super().__init__()
        self.model = model

    def forward(self, x):
        return self.model(x)

    def frame_logits(self, x):
        return self.model(x)[:, None]


def written_out(out):
    """Return the logits [1, K] in what a network returns."""
    out = getattr(out, "logits", out)
    return out.mean(2) if out.dim() == 3 else out.mean(0, keepdim=True)


@pytest.mark.parametrize("name", [pytest.param(n, marks=[pytest.mark.slow] * (n in SLOW)) for n in TABLE])
def test_the_table_of_networks(name):
    layout, kind, steps, token = TABLE[name]
    torch.manual_seed(0)
    net, x = getattr(others, name)()
    adapted = models.adapt(net, x)
    assert adapted.layout == layout and adapted.frames == x.shape[2] and adapted.size == x.shape[3]
    with torch.no_grad():
        logits, alone = adapted(x), written_out(net(GIVEN[layout](x)))
    if adapted.output.softmax:
        logits = logits.softmax(1)
    assert torch.allclose(logits, alone, atol=1e-6) and logits.shape == (1, others.CLASSES)

    rows = relevance.rows_of(adapted, x, [1])
    assert (rows.kind, rows.steps, "class token" in rows.names) == (kind, steps, token)
    total = adapted(x)[0, 1]
    added = rows.values.sum() if kind == "split" else rows.values.mean()
    if kind == "logits" or name not in ATTENDING:  # rules for attention and norms need not conserve
        assert torch.isclose(added, total, rtol=1e-3, atol=1e-6)
    matrix = relevance.relevance_matrix(adapted, x, [1], "lrp")
    assert matrix.shape == (1, len(rows.names), x.shape[2]) and matrix.isfinite().all()
    if kind == "split":  # all rows together are the relevance of the logit, taken down in one piece
        piece = relevance.relevance_matrix(Whole(adapted), x, [1], "lrp")[:, 0]
        assert torch.allclose(matrix.sum(1), piece, atol=1e-4 * float(piece.abs().max()))
    else:
        assert relevance.coverage(adapted, x).attrs["rows"].startswith("logits: ")
    found = relevance.relevance_matrix(adapted, x, [1])
    assert (found >= 0).all() and found.any()


@pytest.mark.parametrize("name", ["mvit_v2", "vivit", "timm_resnet", "frames_in_channels", "logits_per_step"])
def test_masks_and_maps_take_adapted_networks(name):
    torch.manual_seed(0)
    net, x = getattr(others, name)()
    adapted = models.adapt(net, x)
    assert masks.learn(adapted, x, [1], iterations=2).mask.shape == x[:, 0, :, 0, 0].shape
    assert gradcam.video_gradcam(adapted, x, [1]).shape == x[:, 0].shape


class Tiny(nn.Module):
    """A network for clips [B, C, T, H, W]; subclasses differ in what they return."""

    def __init__(self, classes=3):
        super().__init__()
        torch.manual_seed(0)
        self.conv, self.fc = nn.Conv3d(3, 6, 3, padding=1), nn.Linear(6, classes)

    def per_step(self, x):
        return self.fc(F.relu(self.conv(x)).mean((3, 4)).transpose(1, 2))

    def forward(self, x):
        return self.per_step(x).mean(1)


class Turned(Tiny):
    def forward(self, x):
        return super().forward(x.transpose(1, 2))


class Viewed(Tiny):
    """Folds clips [B, T, C, H, W] with view, which only a tensor that lies in memory as it is read allows."""

    def forward(self, x):
        return super().forward(x.view(-1, *x.shape[2:]).view(x.shape).transpose(1, 2))


class Stacked(Tiny):
    """Folds clips [B, C, T, H, W] with view."""

    def forward(self, x):
        return super().forward(x.view(len(x), -1, *x.shape[3:]).view(x.shape))


class Dictionary(Tiny):
    def forward(self, x):
        return {"features": x, "logits": super().forward(x)}


class Pair(Tiny):
    def forward(self, x):
        return super().forward(x), x


class Features(Tiny):
    """Features stand in front of the logits, which are as wide as the last layer."""

    def forward(self, x):
        features = F.relu(self.conv(x)).mean((2, 3, 4))
        return features, self.fc(features)


class PerStep(Tiny):
    def forward(self, x):
        return self.per_step(x)


class PerClass(Tiny):
    def forward(self, x):
        return self.per_step(x).transpose(1, 2)


class Probabilities(Tiny):
    def __init__(self):
        super().__init__()
        self.soft = nn.Softmax(1)

    def forward(self, x):
        return self.soft(super().forward(x))


class Attending(Probabilities):
    """One softmax both weighs time steps and makes the probabilities."""

    def logits(self, x):
        steps = self.per_step(x)
        return (self.soft(steps) * steps).mean(1)

    def forward(self, x):
        return self.soft(self.logits(x))


class Sharpened(Probabilities):
    """Its probabilities are not those that its softmax gives."""

    def forward(self, x):
        squares = super().forward(x) ** 2
        return squares / squares.sum(1, keepdim=True)


class FrameMajor(Tiny):
    """Returns a row of logits per frame, the first frames of all clips first."""

    def forward(self, x):
        return self.per_step(x).transpose(0, 1).flatten(0, 1)


class OneByOne(Tiny):
    """Cannot run two clips together."""

    def forward(self, x):
        return super().forward(x.view(1, 3, *x.shape[2:]))


KINDS = [Tiny, Turned, Viewed, Stacked, Dictionary, Pair, Features, PerStep, PerClass, Probabilities]


@pytest.mark.parametrize("kind", KINDS)
def test_whatever_forward_takes_and_returns_the_logits_are_those(kind):
    x = clip(5, 8, batch=2)
    adapted = models.adapt(kind(), x)
    assert torch.allclose(adapted(x), Tiny()(x), atol=1e-6)
    assert torch.allclose(adapted(x[:1]), adapted(x)[:1], atol=1e-6)
    assert torch.allclose(models.adapt(adapted, x)(x), adapted(x))  # once more changes nothing
    assert relevance.rows_of(adapted, x).kind == "logits"
    matrix, plain = (relevance.relevance_matrix(net, x, [0, 1]) for net in (adapted, Tiny()))
    assert torch.allclose(matrix, plain, atol=1e-6)


def test_a_softmax_that_serves_twice_is_left_out_at_the_end_alone():
    x, net = clip(5, 8, batch=2), Attending()
    adapted = models.adapt(net, x)
    assert torch.allclose(adapted(x), net.logits(x), atol=1e-6) and adapted.output.softmax == "soft"


def test_a_network_for_single_clips_is_said_to_be_one():
    adapted = models.adapt(OneByOne(), clip(5, 8))
    assert any(said.startswith("it does not run two clips together") for said in adapted.said)
    assert torch.allclose(adapted(clip(5, 8)), Tiny()(clip(5, 8)))


def test_as_many_steps_as_classes_are_told_apart_by_the_last_layer():
    x = clip(3, 8)  # a linear layer has its classes last, a convolution second
    assert torch.allclose(models.adapt(PerStep(), x)(x), Tiny()(x), atol=1e-6)
    net, _ = others.logits_per_step()
    x = clip(others.CLASSES + 1, 16)
    assert torch.allclose(models.adapt(net, x)(x), net(x).mean(2), atol=1e-6)


def test_what_was_found_out_is_said():
    x = clip(6, 8)
    adapted = models.adapt(nn.DataParallel(Turned()), x, classes=["a", "b", "c"])
    said = ". ".join(adapted.said)
    for part in (
        "the wrapper DataParallel around it is taken off",
        "Turned takes clips as [B, T, C, H, W]",
        "clips have 6 frames (the clip has them) of 8 x 8 pixels (the clip has them)",
        "normalised by ImageNet's mean and std (assumed",
        "3 classes have names (told)",
    ):
        assert part in said, said
    assert adapted.classes == ["a", "b", "c"] and (adapted.mean, adapted.std) == (MEAN, STD)
    assert adapted.num_frames == 6 and adapted.config["name"] == "Turned"
    assert models.adapt(Turned(), clip(1, 8)).said[1].startswith("clips have 1 frame (")


def test_two_layouts_that_run_are_both_named_and_layout_decides():
    x = clip(3, 8)  # as many frames as colours
    adapted = models.adapt(Tiny(), x)
    assert adapted.layout == "B C T H W" and any("it also runs with [B, T, C, H, W]" in said for said in adapted.said)
    turned = models.adapt(Turned(), x, layout="B T C H W")
    assert torch.allclose(turned(x), adapted(x))
    assert not torch.allclose(models.adapt(Turned(), x)(x), adapted(x))


def test_pixels_are_normalised_as_the_network_wants_them():
    mean, std = (0.5, 0.4, 0.3), (0.2, 0.25, 0.3)
    x = clip(4, 8)
    frames = to_frames(x[0])
    adapted = models.adapt(Tiny(), x, mean=mean, std=std)
    pixels = torch.tensor(frames).permute(3, 0, 1, 2)[None] / 255
    theirs = (pixels - torch.tensor(mean).view(3, 1, 1, 1)) / torch.tensor(std).view(3, 1, 1, 1)
    assert torch.allclose(adapted(to_clip(frames)[None]), Tiny()(theirs), atol=1e-6)
    lrp = relevance.relevance_matrix(adapted, x, [1], "lrp")  # the bounds of pixels go through the scaling
    assert torch.allclose(lrp.sum(2), relevance.rows_of(adapted, x, [1]).values, atol=1e-5)
    assert torch.allclose(adapted.double()(x.double()), adapted.float()(x).double(), atol=1e-5)


@pytest.mark.parametrize(
    "make, options, message",
    [
        (Tiny, dict(layout="B H W"), "layout must be one of 'B C T H W'"),
        (Tiny, dict(layout="B T C H W"), r"\[B, T, C, H, W\]: Given groups=1"),
        (Tiny, dict(mean=[0.5] * 3), "give mean and std together"),
        (Tiny, dict(mean=[0.5] * 3, std=[0, 1, 1]), "std must be three numbers above 0"),
        (Tiny, dict(frames=7), r"takes 7 frames \(told\), but the clip has 5"),
        (Tiny, dict(classes=["a"]), "1 names of classes are given, but Tiny gives 3 logits"),
        (lambda: nn.Conv3d(3, 3, 1), {}, "no axis of classes is found"),
        (lambda: torch.jit.trace(Tiny(), clip(5, 8)), {}, "is TorchScript.*give the Python network"),
        (lambda: nn.Sequential(Tiny(), nn.Softmax(0)), {}, "other logits beside another clip than alone"),
        (FrameMajor, {}, "all frames of a clip must come before those of the next clip"),
        (Sharpened, {}, r"goes on behind its softmax \(soft\)"),
    ],
)
def test_what_cannot_be_adapted_is_one_sentence(make, options, message):
    with pytest.raises(InputError, match=message) as error:
        models.adapt(make(), clip(5, 8), **options)
    assert "\n" not in str(error.value)


def test_no_clip_and_no_number_of_frames_is_an_error_and_clips_are_checked():
    with pytest.raises(InputError, match="give frames=N"):
        models.adapt(Tiny())
    assert models.adapt(Tiny(), frames=5, size=8).frames == 5
    with pytest.raises(InputError, match=r"a clip is a float tensor \[B, 3, T, H, W\]"):
        models.adapt(Tiny(), clip(5, 8)[0])
    with pytest.raises(InputError, match="takes 5 frames, but the clip has 4"):
        models.adapt(Tiny(), clip(5, 8))(clip(4, 8))

    class Soft(Tiny):
        def forward(self, x):
            return super().forward(x).softmax(1)

    with pytest.raises(InputError, match="returns probabilities that sum to one"):
        models.adapt(Soft(), clip(5, 8))
