"""What masks do with the networks, clips and arguments that they are given."""

import pytest
import torch

from paperlib import masks
from paperlib.errors import InputError

from .networks import SmallVideoNet

pytestmark = pytest.mark.numerics


def test_the_model_is_left_as_it_was_and_used_in_evaluation_mode():
    model = torch.nn.Sequential(SmallVideoNet(), torch.nn.Dropout(0.5))
    model.train()
    model[0].eval()
    before = {k: v.clone() for k, v in model.state_dict().items()}
    clips = torch.randn(2, 3, 4, 8, 8)
    with torch.no_grad():  # wherever it is called from
        a, b = (masks.learn(model, clips, 0, iterations=5).mask for _ in range(2))
    assert torch.equal(a, b)
    assert model.training and model[1].training and not model[0].training and not model[0].conv1.training
    assert all(torch.equal(v, before[k]) for k, v in model.state_dict().items())
    assert all(p.grad is None and p.requires_grad for p in model.parameters())


@pytest.mark.parametrize(
    "arguments, message",
    [
        ({"targets": 7}, "class 7"),
        ({"targets": [0, -1]}, "class -1"),
        ({"targets": [0, 1, 2]}, "one class index"),
        ({"labels": [0, 9]}, "label class 9"),
        ({"preset": "theirs"}, "as_published"),
        ({"lambda1": 1}, "lambda1"),
        ({"initial": "left"}, "left"),
        ({"iterations": -1}, "iterations"),
        ({"perturbation": "melt"}, "melt"),
        ({"initial": torch.ones(5)}, "initial mask"),
        ({"initial": torch.tensor(1.0)}, "initial mask has shape"),
        ({"initial": [0, 1, 1.5, 0]}, "initial mask has the value 1.5; values go from 0"),
        ({"initial": torch.tensor([0, -0.1, 1, 1])}, "has the value -0.1"),
        ({"initial": [[0, 1, float("nan"), 0]] * 2}, "has the value nan"),
        ({"initial": ["on", "off"]}, "the initial mask should be numbers from 0 to 1"),
        ({"logit": "no"}, "logit of a mask should be True or False, not 'no'"),
        ({"double_inner": 1}, "double_inner of a mask"),
    ],
)
def test_unusable_arguments_are_named(arguments, message):
    with pytest.raises(InputError, match=message):
        masks.learn(SmallVideoNet(), torch.randn(2, 3, 4, 8, 8), **{"iterations": 2, **arguments})


def test_clips_of_one_frame_have_no_time_to_mask_and_those_of_two_have():
    net, clips = SmallVideoNet().eval(), torch.rand(2, 3, 2, 8, 8)
    calls = [lambda clips, p=preset: masks.learn(net, clips, 0, iterations=2, preset=p) for preset in masks.PRESETS]
    calls += [lambda clips, c=criterion: masks.search(net, clips, 0, c) for criterion in ("loss", "crop")]
    calls += [lambda clips: masks.learn_from_window(net, clips, 0, iterations=2)[0]]
    for call in calls:
        assert call(clips).mask.shape == (2, 2)
        with pytest.raises(InputError, match=r"\[2, 3, 1, 8, 8\] have one frame, so no time to mask"):
            call(clips[:, :, :1])
    with pytest.raises(InputError, match="no time to mask"):
        masks.central_mask(net, clips[:, :, :1], torch.tensor([0, 0]), released=True)


class Overwriting(SmallVideoNet):
    """Normalises the clip that it is given in place."""

    def forward(self, x):
        return super().forward(x.sub_(0.5).div_(0.25))


@pytest.mark.parametrize("instrument", [masks.learn, masks.search])
def test_a_network_that_overwrites_its_clip_is_refused(instrument):
    clips = torch.rand(1, 3, 8, 16, 16)
    before = clips.clone()
    with pytest.raises(InputError, match=r"Overwriting overwrites the clip.*x.sub\(mean\)"):
        instrument(Overwriting().eval(), clips, 0)
    assert torch.equal(clips, before)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"targets": [0] * 6}, "4 clips but 6 targets"),
        ({"targets": [0] * 2}, "4 clips but 2 targets"),
        ({"targets": 0, "labels": [0] * 9}, "4 clips but 9 labels"),
        ({"targets": 0, "initial": torch.ones(6, 4)}, "4 clips but 6 initial masks"),
    ],
)
def test_one_value_per_clip_whatever_the_batch(arguments, message):
    with pytest.raises(InputError, match=message):
        masks.learn(SmallVideoNet().eval(), torch.rand(4, 3, 4, 16, 16), batch_size=2, iterations=1, **arguments)


def test_the_central_mask_takes_what_learning_takes():
    model, clips = SmallVideoNet().eval(), torch.rand(3, 3, 4, 16, 16)
    with torch.no_grad():
        predicted = model(clips).argmax(1)
    expected = masks.central_mask(model, clips, predicted)
    assert torch.equal(masks.central_mask(model, clips, None), expected)
    assert torch.equal(masks.central_mask(model, clips, predicted.tolist()), expected)
    assert torch.equal(masks.central_mask(model, clips, 1), masks.central_mask(model, clips, torch.tensor([1, 1, 1])))
    for targets, given, message in (
        ([9, 0, 0], clips, "class 9 does not exist"),
        ([0, 0], clips, "3 clips but 2 targets"),
        (0, clips.numpy(), "clips must be a normalised float tensor .*not ndarray"),
    ):
        with pytest.raises(InputError, match=message):
            masks.central_mask(model, given, targets)


def test_the_central_mask_leaves_a_training_network_as_it_was():
    model = torch.nn.Sequential(torch.nn.BatchNorm3d(3), SmallVideoNet()).train()
    masks.central_mask(model, torch.rand(2, 3, 4, 16, 16) + 2, torch.tensor([0, 1]))
    assert model.training and model[0].num_batches_tracked == 0 and (model[0].running_mean == 0).all()


class OfChanges(torch.nn.Module):
    """Divides changes between frames by how much they vary, as networks for pulses do: NaN where nothing changes."""

    def __init__(self):
        super().__init__()
        self.weight = torch.nn.Parameter(torch.tensor([1.0, -1.0]))

    def forward(self, x):
        changes = x.diff(dim=2).mean((1, 3, 4))
        return (changes / changes.std(1, keepdim=True)).square().mean(1, keepdim=True) * self.weight


def test_a_frozen_clip_without_finite_logits_is_named():
    clips = torch.randn(1, 3, 4, 8, 8)
    with pytest.raises(InputError, match="OfChanges gives NaN or infinite logits; all its weights and the clips, as"):
        masks.search(OfChanges(), clips, 0)
    with pytest.raises(InputError, match="starts from a window that it looks for"):
        masks.learn_from_window(SmallVideoNet(), torch.randn(1, 3, 4, 8, 8), 0, initial="full")
