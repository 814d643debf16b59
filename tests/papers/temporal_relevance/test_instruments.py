"""The instruments that captum gives and the receptive field, on a network whose answer is known."""

import pytest
import torch
from torch import nn

from paperlib.papers.beyond import agreement
from paperlib.truth import instruments


class Weighted(nn.Module):
    """Class logit: frame means weighted 0, 1, 2, 3; output i of the features sees frames i - 1 to i + 1."""

    num_frames = 4

    def features(self, clip):
        mean = nn.functional.pad(clip.mean((1, 3, 4)), (1, 1))
        return (mean[:, :-2] + mean[:, 1:-1] + mean[:, 2:])[:, None, :, None, None]

    def forward(self, clip):
        weights = torch.arange(4.0)
        value = (clip.mean((1, 3, 4)) * weights).sum(1)
        return torch.stack([value, -value], 1)


@pytest.fixture
def clips():
    return torch.rand(2, 3, 4, 8, 8) + 0.5


def test_a_linear_network_gets_its_weights_back_from_every_instrument(clips):
    model, targets = Weighted(), torch.tensor([0, 0])
    shares = clips.mean((1, 3, 4)) * torch.arange(4.0)
    assert instruments.shapley(model, clips, targets, samples=2) == pytest.approx(shares, abs=1e-5)
    assert instruments.occlusion(model, clips, targets) == pytest.approx(shares, abs=1e-5)
    assert instruments.integrated_gradients(model, clips, targets, steps=4) == pytest.approx(shares, abs=1e-5)
    assert instruments.gradient(model, clips, targets) == pytest.approx(torch.arange(4.0).expand(2, 4), abs=1e-5)


def test_the_receptive_field_is_where_the_features_look(clips):
    field = agreement.receptive_field(Weighted(), clips)
    expected = torch.tensor([[1, 1, 0, 0], [1, 1, 1, 0], [0, 1, 1, 1], [0, 0, 1, 1.0]])
    assert (field > 0).float().tolist() == expected.expand(2, 4, 4).tolist()
