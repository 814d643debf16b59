"""Networks of other questions give what their name says, share the rest with the original, and are refused else."""

import pytest
import torch
from torch import nn

from paperlib import gradcam, masks, models, truth
from paperlib.errors import InputError
from paperlib.tracing import inputs, readout

pytestmark = pytest.mark.numerics


@pytest.mark.parametrize("name", ["TAM2D-R18-f8", "I3D-Inc-f8", "C-LSTM-f8", "SlowFast-R50-8x8"])
def test_a_difference_of_classes_and_a_question_are_networks_of_the_same_features(name):
    options = {"size": 32, "layers": 2} if name.startswith("C-LSTM") else {}
    model = models.create(name, num_classes=5, width=8, **options).eval()
    torch.manual_seed(0)
    with torch.no_grad():
        model.fc.weight.normal_()
    clips = torch.randn(3, 3, model.num_frames, 32, 32)
    targets, others = torch.tensor([4, 1, 4]), torch.tensor([0, 2, 0])
    against, pairs = truth.versus(model, targets, others, clips)
    part = truth.question(model, 1, 4, clips)
    with torch.no_grad():
        logits, rows = model(clips), model.frame_logits(clips)
        wanted = logits.gather(1, targets[:, None]) - logits.gather(1, others[:, None])
        assert torch.allclose(against(clips).gather(1, pairs[:, None]), wanted, atol=1e-4)
        assert torch.allclose(against.frame_logits(clips)[0, :, pairs[0]], rows[0, :, 4] - rows[0, :, 0], atol=1e-3)
        assert torch.allclose(part(clips), logits[:, 1:4], atol=1e-4)
    one, first = truth.versus(model, 4, [0, 0, 0], clips)  # one class for all
    assert first.tolist() == [0, 0, 0] and torch.allclose(one(clips)[:, 0], logits[:, 4] - logits[:, 0], atol=1e-4)
    for wrong, message in (((0, 5), "class 5 does not exist"), (([0, 1], 2), "3 clips but 2"), ((None, 1), "not None")):
        with pytest.raises(InputError, match=message):
            truth.versus(model, *wrong, clips)
    assert against(clips).shape == (3, 2) and model.fc.out_features == 5 and against.scores == "sigmoid"
    own = {id(weight) for weight in model.parameters()}
    assert len([weight for weight in part.parameters() if id(weight) not in own]) == 2  # the last layer's


def test_the_scores_that_a_network_carries_are_those_of_masks_and_maps():
    torch.manual_seed(0)
    clips = torch.randn(2, 3, 4, 16, 16)
    against, pairs = truth.versus(Convolutional(), [1, 2], [0, 3], clips)
    for net in (against, nn.DataParallel(against)):
        assert inputs.scale_of(net) == "sigmoid" and inputs.scale_of(net, "softmax") == "softmax"
        learned = masks.learn(net, clips, pairs, iterations=1)
        assert learned.settings.scores == "sigmoid"
        own = against(clips).sigmoid().gather(1, pairs[:, None])[:, 0]
        assert torch.allclose(learned.original, own)
        assert masks.search(net, clips, pairs).scores == "sigmoid"
        (found, window), start = masks.learn_from_window(net, clips, pairs, 1), masks.central_mask(net, clips, pairs)
        assert found.settings.scores == window.scores == "sigmoid"
        assert torch.equal(start, masks.central_mask(net, clips, pairs, scores="sigmoid"))
        maps = gradcam.raw_maps(net, clips, pairs, "layers.0", softmax=True)
        slope = (own * (1 - own)).view(2, 1, 1, 1)  # of the sigmoid
        assert torch.allclose(maps, slope * gradcam.raw_maps(net, clips, pairs, "layers.0"), atol=1e-6)
    against.scores = "cosine"  # a network's own word for something else
    assert inputs.scale_of(against) == "auto" == inputs.scale_of(nn.Linear(1, 1))


class Convolutional(nn.Module):
    """A network whose last layer is a convolution that it knows by two names."""

    def __init__(self, after=None, groups=1):
        super().__init__()
        self.layers = nn.Sequential(nn.Conv3d(3, 4, 3, padding=1), nn.ReLU(), nn.Conv3d(4, 4, 1, groups=groups))
        self.head, self.after = self.layers[2], after or (lambda x: x)

    def forward(self, clips):
        return self.after(self.head(self.layers[:2](clips)).mean((2, 3, 4)))


@pytest.mark.parametrize("number", [torch.float32, torch.float16, torch.bfloat16])
def test_the_last_layer_may_be_a_convolution_and_of_half_precision(number):
    torch.manual_seed(0)
    net, clips = Convolutional().to(number).eval(), torch.randn(2, 3, 4, 8, 8).to(number)
    before = {name: value.clone() for name, value in net.state_dict().items()}
    with torch.no_grad():
        logits, found = net(clips).float(), readout.difference(net, clips, 2, 0)(clips).float()
    close = 1e-5 if number == torch.float32 else 0.02
    assert torch.allclose(found[:, 2], logits[:, 2] - logits[:, 0], atol=close)
    assert torch.allclose(found[:, [0, 1, 3]], logits[:, [0, 1, 3]], atol=close)
    assert all(torch.equal(value, before[name]) for name, value in net.state_dict().items())


@pytest.mark.parametrize("net", [Convolutional(lambda x: x.roll(1, 1)), Convolutional(groups=2), nn.Flatten()])
def test_logits_that_no_last_layer_gives_are_refused(net):
    clips, message = torch.randn(1, 3, 4, 8, 8), f"{type(net).__name__} has no linear layer or convolution of"
    for asked in (
        lambda: readout.difference(net, clips, 0, 1),
        lambda: readout.versus(net, [1], [0], clips),
        lambda: readout.question(net, 1, 3, clips),
    ):
        with pytest.raises(InputError, match=message):
            asked()
    with pytest.raises(InputError, match="and itself is nothing"):
        readout.difference(net, clips, 1, 1)
