"""Networks that give a clip other logits beside other clips: refused, once and whatever makes them do so."""

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from paperlib.errors import InputError
from paperlib.tracing.inputs import check_clips
from tests.tracing.test_inputs import INSTRUMENTS, Net, clips, instruments, make


class OfTheBatch(Net):
    """Takes its statistics from the clips at hand, by a function of torch."""

    frame_logits = None

    def forward(self, x):
        return self.fc(F.batch_norm(self.trunk(x), None, None, training=True).relu().mean((2, 3, 4)))


class ByHand(Net):
    """Divides by the largest of all clips."""

    frame_logits = None

    def forward(self, x):
        y = self.trunk(x)
        return self.fc((y / y.amax((0, 2, 3, 4), keepdim=True)).mean((2, 3, 4)))


class Kept(Net):
    """Its norm stays in training mode, whatever is asked."""

    frame_logits = None

    def __init__(self):
        super().__init__()
        self.norm = nn.BatchNorm3d(6)

    def train(self, mode=True):
        super().train(mode)
        self.norm.train()
        return self

    def forward(self, x):
        return self.fc(self.norm(self.trunk(x)).relu().mean((2, 3, 4)))


OTHERS_COUNT = {
    "a norm without running statistics": lambda: nn.Sequential(nn.BatchNorm3d(3, track_running_stats=False), make()),
    "a function's statistics": lambda: make(OfTheBatch),
    "the batch's largest": lambda: make(ByHand),
    "a norm that trains": lambda: make(Kept),
}


@pytest.mark.parametrize("kind", OTHERS_COUNT)
@instruments
def test_networks_to_which_other_clips_count_are_refused_by_every_instrument(instrument, kind):
    with pytest.raises(InputError, match="gives a clip other logits beside other clips.*track_running_stats=True"):
        INSTRUMENTS[instrument](OTHERS_COUNT[kind](), clips())


@instruments
def test_what_a_network_has_and_does_not_run_is_no_reason_to_refuse_it(instrument):
    net = make()
    net.spare = nn.BatchNorm3d(6, track_running_stats=False)
    assert torch.equal(INSTRUMENTS[instrument](net, clips()), INSTRUMENTS[instrument](make(), clips()))


class Rounds(Net):
    """Rounds the clips of a batch in another way than a single one, as kernels in half precision may."""

    def frame_logits(self, x):
        return super().frame_logits(x) * (1 + 0.05 * (len(x) > 1))


class Singly(Net):
    """Runs single clips alone."""

    def frame_logits(self, x):
        assert len(x) == 1
        return super().frame_logits(x)


@pytest.mark.parametrize("kind", [Rounds, Singly])
@pytest.mark.parametrize("instrument", ["relevance", "masks", "gradcam"])
def test_how_a_batch_is_rounded_and_whether_it_runs_is_no_reason_to_refuse_single_clips(instrument, kind):
    found, expected = (INSTRUMENTS[instrument](make(k), clips(1)) for k in (kind, Net))
    assert torch.allclose(found, expected, atol=1e-6)


def test_clips_are_looked_at_beside_others_once_per_network():
    net, seen = make(), []
    trunk = net.trunk
    net.trunk = lambda x: seen.append(len(x)) or trunk(x)
    for batch in (5, 5, 1):
        check_clips(net, clips(batch))
    assert seen == [1, 2]
