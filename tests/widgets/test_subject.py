"""What a widget holds: a record of its own, the network as it was, and every class asked in the same way."""

import copy

import numpy as np
import pytest
import torch
from torch import nn

import paperlib
from paperlib import masks, widgets
from paperlib.data import clips

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
    assert widget.set_mask([0, 1, 1, 0, 0, 0]) == pytest.approx(under(network, [0, 1, 1, 0, 0, 0], found.target), abs=1e-5)
    assert all(torch.equal(value, before[name]) for name, value in training.state_dict().items())
    assert all(module.training for module in training.modules())
