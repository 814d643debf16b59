"""Networks whose operations cannot be recorded: one sentence with the line, and what does without a recording."""

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F

from paperlib import gradcam, relevance
from paperlib.errors import InputError
from tests.tracing.test_inputs import INSTRUMENTS, Net, clips, make


class Picked(Net):
    def __init__(self):
        super().__init__()
        self.register_buffer("keep", torch.tensor([True, False, True, True, True, True]))
        self.fc = nn.Linear(5, 4)

    def trunk(self, x):
        return super().trunk(x)[:, self.keep]


class Item(Net):
    def trunk(self, x):
        y = self.first(x)
        return F.relu(self.second(y / y.abs().max().item()))


class Decides(Net):
    def trunk(self, x):
        y = super().trunk(x)
        return y if y.mean() > 0 else -y


class Data(Net):
    def trunk(self, x):
        self.first.weight.data.clamp_(-1, 1)
        return super().trunk(x)


class Numpy(Net):
    def trunk(self, x):
        return torch.from_numpy(np.maximum(self.second(self.first(x)).numpy(), 0))


@pytest.mark.parametrize(
    "kind, message",
    [
        (Picked, r"the size of a tensor depends on tensor values.* as in y\[:, mask\]; index with numbers"),
        (Item, r"depends on tensor values( in| at line \d+ of test_recording.py \(.*item\(\)\)\)).*; use torch.where"),
        (Decides, r"depends on tensor values at line \d+ of test_recording.py \(return y if y.mean"),
        (Data, r"since Data uses .data, which hides .*; use .detach\(\)"),
        (Numpy, r"leaves torch for numpy at line \d+ of test_recording.py"),
    ],
)
def test_what_cannot_be_recorded_is_one_sentence_with_the_line(kind, message, capfd):
    with pytest.raises(InputError, match=message) as error:
        relevance.relevance_matrix(make(kind), clips(), 0)
    assert "\n" not in str(error.value) and not str(error.value).endswith(".")
    assert error.value.__cause__ is None and error.value.__context__ is None  # torch's own account stays away
    printed = "".join(capfd.readouterr())
    for text in (str(error.value), printed):
        assert "file an issue" not in text and "aten." not in text and "arg0_1" not in text
    assert not printed


class Counts(Net):
    """Keeps what it saw, and counts its runs."""

    def __init__(self):
        super().__init__()
        self.register_buffer("bank", torch.ones(6))
        self.register_buffer("runs", torch.tensor(0))

    def trunk(self, x):
        y = super().trunk(x)
        self.bank.mul_(0.9).add_(y.detach().mean((0, 2, 3, 4)))
        self.runs += 1
        return y


class Switches(Net):
    """Runs parts in half precision of its own, or with gradients, as if nobody had said anything else."""

    def trunk(self, x):
        with torch.autocast("cpu", torch.bfloat16):
            y = self.first(x)
            with torch.autocast("cpu", enabled=False):
                y = F.relu(y.float())
        with torch.enable_grad():
            return F.relu(self.second(y))


class Casts(Net):
    """Brings what is its own to the numbers that its autocast gives, as the code of transformers does."""

    def __init__(self):
        super().__init__()
        self.same = nn.Parameter(torch.eye(6))

    def trunk(self, x):
        with torch.autocast("cpu", torch.bfloat16):
            y = F.relu(self.second(F.relu(self.first(x)))).movedim(1, -1)
            return (y @ self.same.to(y.dtype).mT).movedim(-1, 1).float()


@pytest.mark.parametrize("kind, within", [(Counts, 1e-6), (Switches, 0.02), (Casts, 0.02)])
@pytest.mark.parametrize("instrument", INSTRUMENTS)
def test_what_a_network_writes_down_or_switches_changes_no_explanation(instrument, kind, within):
    run, net = INSTRUMENTS[instrument], make(kind)
    state = {name: value.clone() for name, value in net.state_dict().items()}
    found, expected = run(net, clips()), run(make(), clips())
    assert torch.allclose(found, expected, atol=within * float(expected.abs().max()))
    assert all(torch.equal(value, state[name]) for name, value in net.state_dict().items())


class Attends(Net):
    """Attention over time as transformers writes it out, all in autocast or not at all."""

    own = True

    def __init__(self):
        super().__init__()
        self.qkv = nn.Linear(6, 18)

    def frame_logits(self, x):
        with torch.autocast("cpu", torch.bfloat16, enabled=self.own):
            q, k, v = self.qkv(self.trunk(x).mean((3, 4)).transpose(1, 2)).chunk(3, -1)
            shares = (q @ k.mT).softmax(-1, dtype=torch.float32).to(q.dtype)
            return self.fc(shares @ v).float()


def test_attention_under_its_own_autocast_is_explained_in_the_numbers_of_its_weights(capfd):
    alike = make(Attends)
    alike.own = False
    found, expected = (relevance.relevance_matrix(net, clips(), 1) for net in (make(Attends), alike))
    assert torch.equal(found, expected) and expected.any()
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.ones(2, 2).matmul(torch.ones(2, 2)).dtype == torch.bfloat16  # which works again afterwards
    assert not "".join(capfd.readouterr())


class Inferring(Net):
    """Multiplies what it computes by what it computes under inference mode."""

    def trunk(self, x):
        with torch.inference_mode():
            gate = self.first(x).mean((2, 3, 4), keepdim=True).sigmoid()
        return F.relu(self.second(F.relu(self.first(x)) * gate))


@pytest.mark.parametrize("instrument", ["masks", "gradcam"])
def test_inference_mode_inside_of_a_network_is_named_where_gradients_pass_it(instrument):
    run = INSTRUMENTS[instrument] if instrument == "masks" else lambda *given: gradcam.video_gradcam(*given, 1, "first")
    with pytest.raises(InputError, match=r"^Inferring computes under torch.inference_mode\(\).*use torch.no_grad\(\)"):
        run(make(Inferring), clips())
    assert INSTRUMENTS["relevance"](make(Inferring), clips()).isfinite().all()


@pytest.mark.parametrize("kind", [Picked, Item, Decides, Data])
def test_what_cannot_be_recorded_has_masks_and_the_maps_of_convolutions_all_the_same(kind):
    assert INSTRUMENTS["masks"](make(kind), clips()).shape == (2, 5)
    found = gradcam.raw_maps(make(kind), clips(), 1, "second")
    assert found.shape == (2, 5, 5, 5) and found.any()
    if kind is not Picked:  # whose mask does not stand in the way of Grad-CAM
        with pytest.raises(InputError, match=r"name one with layer= \(the operations of .*forward cannot be recorded"):
            gradcam.raw_maps(make(kind), clips(), 1)
