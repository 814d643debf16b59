"""What a widget holds: a record of its own, the network as it was, and every class asked in the same way."""

import copy

import numpy as np
import pytest
import torch
from torch import nn

import paperlib
from paperlib import masks, widgets
from paperlib.data import clips
from paperlib.errors import InputError

NAMES = ["a", "b", "c"]
FRAMES = np.random.default_rng(0).integers(0, 255, (6, 16, 16, 3), np.uint8)


class Net(nn.Module):
    """Convolutions, a batch norm and dropout: training mode gives other numbers and changes the network."""

    def __init__(self):
        super().__init__()
        self.conv, self.norm = nn.Conv3d(3, 8, 3, padding=1, stride=(1, 2, 2)), nn.BatchNorm3d(8)
        self.relu, self.conv2, self.relu2 = nn.ReLU(), nn.Conv3d(8, 16, 3, padding=1), nn.ReLU()
        self.drop, self.fc = nn.Dropout(0.5), nn.Linear(16, 3)

    def forward(self, clip):
        features = self.relu2(self.conv2(self.relu(self.norm(self.conv(clip)))))
        return self.fc(self.drop(features.mean((2, 3, 4))))


def made(seed=0):
    torch.manual_seed(seed)
    net = Net()
    with torch.no_grad():
        net.fc.weight.mul_(8)
        net(torch.randn(4, 3, 6, 16, 16))
    return net.eval()


@pytest.fixture
def network():
    return made()


def explained(network, *arguments, **options):
    return paperlib.explain(FRAMES, network, *arguments, **{"classes": NAMES, "iterations": 3, **options})


def content(found):
    """Everything in a record, to compare."""
    arrays = {name: value.tobytes() for name, value in found.arrays.items()}
    return copy.deepcopy((found.info, arrays)), {k: content(one) for k, one in found.others.items()}


def under(network, mask, target):
    """Return the scores of a class on the clip, frozen and reversed by a mask, by softmax."""
    clip, mask = clips.to_clip(FRAMES)[None], torch.tensor(mask, dtype=torch.float32)[None]
    every = torch.cat([clip, masks.freeze(clip, mask), masks.reverse(clip, mask)])
    with torch.no_grad():
        return dict(zip(("OS", "FS", "RS"), network(every).softmax(1)[:, target].tolist(), strict=True))


def test_a_network_in_training_is_asked_as_in_evaluation_and_stays_as_it_is(network):
    training = copy.deepcopy(network).train()
    before = {name: value.clone() for name, value in training.state_dict().items()}
    found = explained(training)
    said = dict(found.info["mask_scores"])
    found._repr_mimebundle_()
    widget = widgets.scrub_masks(FRAMES, training, classes=NAMES)
    assert found.info["mask_scores"] == said == pytest.approx(under(network, found.mask, found.target), abs=1e-5)
    assert widget.set_mask([0, 1, 1, 0, 0, 0]) == pytest.approx(
        under(network, [0, 1, 1, 0, 0, 0], found.target), abs=1e-5
    )
    assert all(torch.equal(value, before[name]) for name, value in training.state_dict().items())
    assert all(module.training for module in training.modules())


def test_a_widget_shows_a_record_and_leaves_it_as_it_is(network):
    found = explained(network, mask=False, top=2)
    before, second = content(found), next(iter(found.others))
    found._repr_mimebundle_()
    for widget in (widgets.show(found), widgets.scrub_masks(found, network)):
        widget.explain(target=second)
        widget.set_mask([1, 1, 0, 0, 0, 0])
        widget.learn(iterations=2)
        assert widget.subjects[0].artifact.mask is not None
    assert content(found) == before and found.mask is None and not any("masked" in line for line in found.summary())


def test_a_class_has_what_was_found_about_it_and_nothing_of_another(network, tmp_path):
    found = explained(network, top=2)
    (second,), first = found.others, found.target
    third = ({0, 1, 2} - {first, second}).pop()
    widget = widgets.scrub_relevance(found, network)
    here = widget.subjects[0]
    widget.explain(target=second)
    assert content(here.artifact)[0] == content(found.others[second])[0]
    widget.explain(target=third)
    bare = {"scores", "logits", "matrix", "row_values", "atr", "segments", "mask"}
    assert here.artifact.arrays.keys() <= bare and not here.artifact.info.keys() & {"mask_scores", "layer"}
    assert np.array_equal(here.mask, found.others[second].mask)  # the one that was on the screen
    for k in (first, second):
        assert content(here.artifact.of(k))[0] == content(found.of(k))[0]
    here.artifact.save(tmp_path / "third.npz")
    assert content(paperlib.artifact.load(tmp_path / "third.npz"))[1].keys() == {first, second}
    here.artifact.save(tmp_path / "third.html")
    widget.explain(target=first)
    assert content(here.artifact)[0] == content(found)[0]


def test_scores_and_losses_belong_to_the_mask_that_they_were_found_for(network, tmp_path):
    found = explained(network)
    found.save(tmp_path / "found.npz")
    widget = widgets.scrub_masks(tmp_path / "found.npz")
    assert widget.masks[0]["scores"] == found.info["mask_scores"] and widget.masks[0]["loss"]
    assert widget.set_mask([1, 0, 0, 0, 0, 0]) is None
    assert widget.masks[0]["scores"] is None and widget.masks[0]["loss"] == []
    live = widgets.show(found)
    live.learn(iterations=4)
    learned = live.subjects[0].artifact
    assert learned.info["mask_settings"]["iterations"] == 4 and len(learned.arrays["mask_loss"]) <= 4
    assert learned.info["mask_scores"] == pytest.approx(under(network, learned.mask, found.target), abs=1e-5)


def test_a_clip_of_one_frame_and_several_clips_are_shown_without_scores_of_masks(network):
    one = paperlib.explain(FRAMES[:1], network, classes=NAMES)
    several = explained(network, frames=4, clips=2)
    for found in (one, several):
        assert found.cam is not None and found.mask is None
        widget = widgets.show(found)
        assert len(widget.maps[0]) == len(found.frames) and widget.masks[0]["scores"] is None
        assert widget.set_mask([1] * len(found.frames)) is None
        with pytest.raises(InputError, match="one clip of two frames"):
            widget.subjects[0].learn()
        widget.explain(target=(found.target + 1) % 3)
        again = paperlib.explain(
            FRAMES[: len(found.frames)] if found is one else FRAMES,
            network,
            widget.subjects[0].target,
            classes=NAMES,
            **({} if found is one else {"frames": 4, "clips": 2}),
        )
        np.testing.assert_allclose(widget.subjects[0].artifact.cam, again.cam, atol=1e-5)
