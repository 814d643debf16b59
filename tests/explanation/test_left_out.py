"""`paperlib.explain` leaves out what a network or a clip has nothing for, and says so."""

import numpy as np
import pytest
import torch
from torch import nn

import paperlib
from paperlib import models
from paperlib.errors import InputError

NAMES = ["left", "right", "still"]
FRAMES = np.random.default_rng(0).integers(0, 255, (4, 32, 32, 3), np.uint8)


class Brightness(nn.Module):
    """Has no maps: the mean of each frame goes through two linear layers."""

    def __init__(self):
        super().__init__()
        self.first, self.fc = nn.Linear(3, 5), nn.Linear(5, 3)

    def forward(self, clip):
        return self.fc(self.first(clip.mean((3, 4)).transpose(1, 2)).relu().mean(1))


class Mapped(nn.Module):
    """Has maps of space and time."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.conv, self.fc = nn.Conv3d(3, 4, 1), nn.Linear(4, 3)

    def forward(self, clip):
        return self.fc(self.conv(clip).relu().mean((2, 3, 4)))


def test_a_clip_of_one_frame_is_explained_without_a_mask_in_time():
    clip, net = torch.rand(1, 3, 1, 16, 16, generator=torch.Generator().manual_seed(0)), Mapped().eval()
    found = paperlib.explain(clip, net, 1)
    assert "mask" not in found.arrays and found.atr.tolist() == [1] and found.cam.shape == (1, 16, 16)
    with pytest.raises(InputError, match="no time to mask"):
        paperlib.explain(clip, net, 1, mask=True)


def test_a_network_without_maps_is_explained_without_grad_cam(tmp_path):
    torch.manual_seed(0)
    found = paperlib.explain(FRAMES, Brightness().eval(), classes=NAMES, iterations=2)
    assert found.matrix.shape[1] == 4 and found.mask is not None and "cam" not in found.arrays
    assert any(note.startswith("Grad-CAM is left out: no layer of Brightness") for note in found.notes)
    found.save(tmp_path / "a.html")
    assert "Grad-CAM is left out" in (tmp_path / "a.html").read_text("utf-8")
    with pytest.raises(InputError, match="no layer of Brightness"):
        paperlib.explain(FRAMES, Brightness().eval(), classes=NAMES, relevance=False, mask=False, cam=True)


@pytest.mark.parametrize("cam", [False, True])
def test_what_was_not_computed_is_not_drawn(tmp_path, cam):
    found = paperlib.explain(FRAMES, Mapped(), relevance=False, mask=False, cam=cam)
    (block,) = found.figure().subfigs
    assert [axis.child_axes for axis in block.axes] == [[]] and "mask" not in found.arrays
    names = [tick.get_text() for tick in block.axes[0].get_yticklabels()]
    assert names == (["frames", "Grad-CAM"] if cam else ["frames"])
    for ending in ("png", "gif", "html", "npz"):
        found.save(tmp_path / f"a.{ending}")
    learned = paperlib.explain(FRAMES, Mapped(), relevance=False, mask=True, cam=False, iterations=1)
    assert [axis.get_xlabel()[:4] for axis in learned.figure().subfigs[0].axes[0].child_axes] == ["mask"]


def test_settings_that_are_numpys_are_saved_and_wrong_ones_refused_before_anything_is_computed(tmp_path, monkeypatch):
    torch.manual_seed(0)
    net, given = Brightness().eval(), dict(sigma=np.float32(0.75), iterations=np.int64(2), top=np.int64(1), title=5)
    found = paperlib.explain(FRAMES, net, **given)
    for name in ("a.npz", "a.html"):
        found.save(tmp_path / name)
    again = paperlib.artifact.load(tmp_path / "a.npz").info
    assert (again["sigma"], again["mask_settings"]["iterations"], again["video"]) == (0.75, 2, "5")
    monkeypatch.setattr("paperlib.explanation.networks.opened", lambda *_, **__: pytest.fail("work began"))
    for wrong in (dict(sigma=1.5), dict(iterations=2.5), dict(top=0)):
        with pytest.raises(InputError, match=next(iter(wrong))):
            paperlib.explain(FRAMES, net, **wrong)


@pytest.mark.parametrize(
    "classes, names",
    [
        (np.array(NAMES), NAMES),
        (torch.tensor([3, 5, 7]), ["3", "5", "7"]),
        (list(np.array([3, 5, 7])), ["3", "5", "7"]),
        ({"right": 1, "still": 2, "left": 0}, NAMES),  # class_to_idx
        ({"5": 1, "7": 2, "3": np.int64(0)}, ["3", "5", "7"]),
        ({2: "still", 0: "left", 1: "right"}, NAMES),  # id2label
        ({"2": "still", "0": "left", "1": "right"}, NAMES),  # the same read from JSON
        (dict.fromkeys(NAMES).keys(), NAMES),
        (set(NAMES), None),
        ({"left": 1, "right": 2, "still": 3}, None),
        ({"left": 0, "right": 1, "still": 1}, None),
        ("abc", None),
        (torch.tensor(3), None),
    ],
)
def test_names_of_classes_come_in_the_networks_order_or_are_refused(tmp_path, classes, names):
    torch.manual_seed(0)
    network = Brightness().eval()
    if names is None:
        with pytest.raises(InputError, match="classes"):
            paperlib.explain(FRAMES, network, classes=classes, mask=False)
        return
    found = paperlib.explain(FRAMES, network, classes=classes, mask=False)
    assert found.classes == names
    found.save(tmp_path / "found.npz")
    assert paperlib.artifact.load(tmp_path / "found.npz").classes == names
    assert models.adapt(network, torch.zeros(1, 3, 4, 8, 8), classes=classes).classes == names
