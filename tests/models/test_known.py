"""What processors and configurations say about clips, as `models.adapt` reads them."""

import json
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from torch import nn

from paperlib import models
from paperlib.data.clips import to_clip
from paperlib.errors import InputError
from paperlib.models.known import known
from tests.models.test_adapt import Tiny, Turned
from tests.relevance.networks import clip

FRAMES = np.random.default_rng(0).integers(0, 256, (4, 16, 16, 3), dtype=np.uint8)
SWITCHES = {
    "as usual": {},
    "not normalised": dict(do_normalize=False),
    "not rescaled": dict(do_rescale=False, image_mean=[123.675, 116.28, 103.53], image_std=[58.395, 57.12, 57.375]),
    "from -1 to 1, then normalised": dict(rescale_factor=1 / 127.5, offset=True),
    "from -1 to 1, not normalised": dict(rescale_factor=1 / 127.5, offset=True, do_normalize=False),
}


def test_processors_and_configurations_are_read(tmp_path):
    from torchvision.models.video import R3D_18_Weights

    x = clip(4, 8)
    adapted = models.adapt(Tiny(400), x, processor=R3D_18_Weights.DEFAULT)
    assert adapted.mean == (0.43216, 0.394666, 0.37645) and adapted.classes[0] == "abseiling"
    assert "400 classes have names (from the weights)" in adapted.said

    class Configured(Turned):
        def __init__(self):
            super().__init__()
            self.config = Configuration()

    class Configuration:
        num_frames, image_size, id2label, _name_or_path = 6, 16, {0: "up", 1: "down", 2: "aside"}, str(tmp_path)

        def to_dict(self):
            return {}

    (tmp_path / "preprocessor_config.json").write_text(json.dumps({"image_mean": [0.5] * 3, "image_std": [0.5] * 3}))
    adapted = models.adapt(Configured())
    assert (adapted.frames, adapted.size, adapted.classes) == (6, 16, ["up", "down", "aside"])
    assert "6 frames (from its configuration) of 8 x 8 pixels (the clip has them)" in " ".join(
        models.adapt(Configured(), clip(6, 8)).said
    )
    assert adapted.mean == (0.5, 0.5, 0.5) and any("from preprocessor_config.json" in said for said in adapted.said)
    with pytest.raises(InputError, match=r"takes 6 frames \(from its configuration\), but the clip has 4: sample 6"):
        models.adapt(Configured(), x)
    assert models.adapt(Configured(), x, frames=4)(x).shape == (1, 3)


def processed(settings):
    """Return the frames [1, 3, N, H, W] as a processor with these settings gives them, step after step."""
    pixels = torch.tensor(FRAMES).double()
    if settings.get("do_rescale", True):
        pixels = pixels * settings["rescale_factor"] - (1 if settings.get("offset") else 0)
    if settings.get("do_normalize", True):
        pixels = (pixels - torch.tensor(settings["image_mean"])) / torch.tensor(settings["image_std"])
    return pixels.permute(3, 0, 1, 2)[None].float()


@pytest.mark.parametrize("changed", SWITCHES.values(), ids=SWITCHES)
def test_pixels_are_those_of_the_processor_whatever_it_switches_on(changed):
    settings = dict(rescale_factor=1 / 255, image_mean=[0.5, 0.4, 0.3], image_std=[0.5, 0.25, 0.2]) | changed
    shown = known(nn.Identity(), settings).normalised(to_clip(FRAMES)[None])
    assert torch.allclose(shown, processed(settings), atol=1e-5)


def test_means_of_a_processor_may_be_arrays():
    means, stds = [0.5, 0.4, 0.3], [0.5, 0.25, 0.2]
    for make in (np.array, torch.tensor, tuple):
        facts = known(nn.Identity(), {"image_mean": make(means), "image_std": make(stds)})
        assert facts.mean == pytest.approx(means) and facts.std == pytest.approx(stds)


@pytest.mark.parametrize("content", [b"{broken", b"\xff\xfe{", b"[1, 2]", b""])
def test_a_damaged_file_of_a_processor_is_named(tmp_path, content):
    file = tmp_path / "preprocessor_config.json"
    file.write_bytes(content)
    net = nn.Identity()
    net.config = SimpleNamespace(to_dict=dict, _name_or_path=str(tmp_path))
    with pytest.raises(InputError, match=f"^{file} (is not readable JSON|holds no settings of a processor)"):
        known(net)


@pytest.mark.parametrize("kind", ["VivitImageProcessor", "VivitVideoProcessor", "VideoMAEImageProcessor"])
@pytest.mark.parametrize("settings", [{}, dict(do_normalize=False)])
def test_pixels_are_those_of_transformers_processors(kind, settings):
    make = getattr(pytest.importorskip("transformers"), kind)
    processor = make(do_resize=False, do_center_crop=False, **settings)
    frames = list(FRAMES) if "Image" in kind else torch.tensor(FRAMES).permute(0, 3, 1, 2)
    theirs = processor(frames, return_tensors="pt")["pixel_values"].transpose(1, 2)
    for one in (processor, processor.to_dict()):
        assert torch.allclose(known(nn.Identity(), one).normalised(to_clip(FRAMES)[None]), theirs, atol=1e-5)


def test_clips_are_as_large_as_what_comes_out_of_the_processor():
    from torchvision.models import video

    for weights, size in (("R3D_18", 112), ("MC3_18", 112), ("R2Plus1D_18", 112), ("S3D", 224), ("Swin3D_T", 224)):
        assert known(nn.Identity(), getattr(video, f"{weights}_Weights").DEFAULT).size == size
    crop, whole = {"crop_size": {"height": 224, "width": 224}}, {"size": {"shortest_edge": 256}}
    assert known(nn.Identity(), crop | whole).size == 224
    assert known(nn.Identity(), crop | whole | {"do_center_crop": False}).size == 256
    assert known(nn.Identity(), crop | whole | {"do_center_crop": False, "do_resize": False}).size is None


@pytest.mark.parametrize(
    "told, pixels",
    [
        *((told, (8, 8)) for told in (8, np.int64(8), (8,), [8, np.int64(8)], (np.int64(8),) * 2)),
        *((told, (6, 8)) for told in ((6, 8), [np.int64(6), np.uint8(8)])),
        *((told, None) for told in ("8", 0, -3, 8.0, 8.7, True, (1, 2, 3), (), (8, 0), (8, True), np.array([8, 8]))),
    ],
)
def test_the_size_that_is_told_is_taken_or_refused(told, pixels):
    if pixels is None:
        with pytest.raises(InputError, match="^size must be "):
            models.adapt(Tiny(), frames=np.int64(4), size=told)
        return
    adapted = models.adapt(Tiny(), frames=np.int64(4), size=told)
    assert f"4 frames (told) of {pixels[0]} x {pixels[1]} pixels (told)" in " ".join(adapted.said)
    assert json.dumps([adapted.frames, adapted.size]) == json.dumps([4, 8 if pixels == (8, 8) else pixels])


def test_numbers_in_configurations_may_be_numpys():
    net = nn.Identity()
    net.num_frames, net.pretrained_cfg = np.int64(6), dict(input_size=(3, *np.array([8, 8])), mean=np.float32(0.5))
    facts = known(net)
    assert (facts.frames, facts.size, facts.mean) == (6, 8, (0.5,) * 3)
    assert type(facts.frames) is type(facts.size) is int


def test_of_two_layouts_the_usual_one_of_transformers_is_taken():
    class Configured(Turned):
        class Configuration:
            num_frames, image_size = 3, 8

            def to_dict(self):
                return {}

        def __init__(self):
            super().__init__()
            self.config = self.Configuration()

    assert models.adapt(Configured()).layout == "B T C H W"  # as many frames as colours
