"""Clips that go through a network in portions, or alone, give what they give together."""

import pytest
import torch
from torch import nn

from paperlib import relevance
from paperlib.errors import InputError

from .networks import clip, plain, settle


class FramesFirst(nn.Module):
    """Frames folded into the batch in front of the clips, [T * B, C, H, W], as networks with a time-major core do."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(3)
        self.conv, self.mix, self.head = nn.Conv2d(3, 4, 3, padding=1), nn.Conv2d(4, 4, 1), nn.Linear(4, 3)

    def forward(self, clip):
        b, _, t, _, _ = clip.shape
        x = torch.relu(self.conv(clip.permute(2, 0, 1, 3, 4).flatten(0, 1)))
        return self.head(torch.relu(self.mix(x)).mean((2, 3))).view(t, b, -1).mean(0)

    def by_hand(self, clip):
        """The same network frame by frame: logits [B, T, K]."""
        frames = [self.mix(torch.relu(self.conv(clip[:, :, i]))) for i in range(clip.shape[2])]
        return torch.stack([self.head(torch.relu(x).mean((2, 3))) for x in frames], 1)


@pytest.mark.parametrize("rows", ["auto", "split"])
def test_one_clip_has_the_rows_that_it_has_among_others(rows):
    net, x, targets = FramesFirst().eval(), clip(32, size=4, batch=3), [0, 1, 2]  # portions of two and one
    logits = torch.stack([clip_logits[:, k] for clip_logits, k in zip(net.by_hand(x).detach(), targets, strict=True)])
    expected = logits if rows == "auto" else logits / 32
    for part in (slice(0, 3), slice(0, 2), slice(2, 3)):
        A = relevance.relevance_matrix(net, x[part], targets[part], method="lrp", rows=rows)
        found = relevance.rows_of(net, x[part], targets[part], rows=rows)
        assert found.kind == ("logits" if rows == "auto" else "split")
        assert torch.allclose(found.values, expected[part], atol=1e-6)
        assert torch.allclose(A, torch.diag_embed(expected[part]), atol=1e-6)  # a row sees its own frame only


@pytest.mark.parametrize("targets", [None, [2, 0, 1, 1, 0]])
def test_rows_run_no_more_clips_at_once_than_the_matrix_does(targets):
    net, x, seen = FramesFirst().eval(), clip(32, size=4, batch=5), []
    net.conv.register_forward_pre_hook(lambda _, given: seen.append(len(given[0]) // 32))
    found = relevance.rows_of(net, x, targets)
    assert max(seen) == 2  # as many as CPU_FRAMES allows
    logits = net.by_hand(x).detach()
    wanted = logits.mean(1).argmax(1).tolist() if targets is None else targets
    expected = torch.stack([clip_logits[:, k] for clip_logits, k in zip(logits, wanted, strict=True)])
    assert torch.allclose(found.values, expected, atol=1e-6)


def test_rows_that_are_something_else_in_the_last_portion_are_refused():
    class Alone(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv, self.head = nn.Conv3d(3, 4, 3, padding=1), nn.Linear(4, 3)

        def forward(self, clip):
            x = torch.relu(self.conv(clip)).mean((3, 4))
            return self.head(x.amax(2) if len(clip) == 1 else x.mean(2))

    with pytest.raises(InputError, match="rows of Alone are logits: .* for 2 clips at once, but split: .* for 1;"):
        relevance.relevance_matrix(Alone().eval(), clip(32, size=4, batch=3), 0)


def test_the_ledger_sums_over_all_portions():
    torch.manual_seed(0)
    net, x, targets = settle(plain()), clip(32, size=8, batch=3), [0, 1, 2]  # portions of two and one
    together = relevance.ledger(net, x, targets)
    alone = [relevance.ledger(net, x[i : i + 1], targets[i : i + 1]) for i in range(3)]
    for column in ("in", "out", "dead", "stabiliser"):
        expected = sum(each[column] for each in alone)
        assert list(together[column]) == pytest.approx(list(expected), rel=1e-4, abs=1e-4)
    assert together["in"][0] == pytest.approx(together.attrs["logits"], rel=1e-5)
    assert together["out"].iloc[-1] == pytest.approx(together.attrs["clip"], rel=1e-5)
