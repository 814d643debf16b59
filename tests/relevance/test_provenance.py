"""All classes or all rows at once give what `relevance_matrix` gives one by one."""

import pytest
import torch
from torch import nn

from paperlib import relevance
from paperlib.errors import InputError

from .networks import Folded, Frames, Pools, Recurrent, Residual, ShiftInPlace, SqueezeExcitation, Twice, clip, settle

pytestmark = pytest.mark.numerics


def everything():
    return Frames(
        nn.Sequential(
            nn.Conv3d(3, 4, (3, 3, 3), (1, 2, 2), 1),
            nn.BatchNorm3d(4),
            nn.ReLU(inplace=True),
            ShiftInPlace(),
            Folded(4, 3),
            Residual(4, groups=2),
            SqueezeExcitation(4),
            Twice(4),
            Pools(),
        ),
        4,
        5,
    )


@pytest.mark.parametrize(
    "build, method, contrast",
    [
        *((everything, method, contrast) for method in ("lrp", "dual", "clrp") for contrast in (1, 2)),
        (Recurrent, "clrp", 2),
    ],
)
def test_equals_the_backward_computation_for_every_class(build, method, contrast):
    torch.manual_seed(2)
    net = settle(build().double())
    x = clip(3, size=12, batch=2, dtype=torch.float64)
    up = relevance.frame_provenance(net, x, method=method, contrast=contrast)
    classes = net.frame_logits(x).shape[2]
    assert up.shape == (2, 3, classes, 3)
    for k in range(classes):
        down = relevance.relevance_matrix(net, x, k, method=method, clip_at="frame", contrast=contrast)
        assert torch.allclose(up[:, :, k], down, rtol=1e-7, atol=1e-10 * float(up.abs().max()))


def test_lrp_over_all_classes_sums_to_the_logits_in_any_portion():
    torch.manual_seed(2)
    net = settle(everything().double())
    x = clip(3, size=12, dtype=torch.float64)
    whole = relevance.frame_provenance(net, x, method="lrp")
    assert torch.allclose(whole.sum(3), net.frame_logits(x))
    assert torch.allclose(relevance.frame_provenance(net, x, method="lrp", memory=1), whole)


def test_inference_mode_is_no_obstacle():
    torch.manual_seed(2)
    net = settle(everything())
    x = clip(3, size=12)
    expected = relevance.relevance_matrix(net, x, 1), relevance.frame_provenance(net, x)
    with torch.inference_mode():
        inside = clip(3, size=12)
        assert torch.allclose(relevance.relevance_matrix(net, inside, 1), expected[0])
        assert torch.allclose(relevance.frame_provenance(net, inside), expected[1])


class Classified(nn.Module):
    """Frame features that a head averages over time behind an activation: rows are parts of the clip's logit."""

    def __init__(self):
        super().__init__()
        self.body = nn.Sequential(
            nn.Conv3d(3, 4, 3, padding=1), nn.ReLU(), nn.Conv3d(4, 6, (3, 1, 1), padding=(1, 0, 0))
        )
        self.fc = nn.Linear(6, 5)

    def forward(self, x):
        return self.fc(self.body(x).mean((3, 4)).transpose(1, 2).mean(1).relu())


@pytest.mark.parametrize("build, kind", [(everything, "logits"), (Recurrent, "logits"), (Classified, "split")])
def test_the_rows_of_a_clip_at_once(build, kind):
    torch.manual_seed(2)
    net = settle(build().double())
    x = clip(3, size=12, batch=2, dtype=torch.float64)
    assert relevance.rows_of(net, x, 1).kind == kind
    together = torch.mean if kind == "logits" else torch.sum  # the clip's logit is the mean of frame logits
    logits = net(x) if kind == "split" else net.frame_logits(x).mean(1)
    asked = logits.topk(2).indices  # with evidence for them, without which R of CLRP is zero
    for method in ("lrp", "dual"):
        rows = [together(relevance.relevance_matrix(net, x, column, method), 1) for column in asked.T]
        found = relevance.clip_relevance(net, x, asked, method)
        assert found.shape == (2, 2, 3)
        assert torch.allclose(found, torch.stack(rows, 1), rtol=1e-7, atol=1e-10 * float(found.abs().max()))
        assert torch.allclose(relevance.clip_relevance(net, x, asked[:, 1], method, memory=1), rows[1], rtol=1e-7)
    rules = {nn.Linear: relevance.ZPlus()}  # what CLRP has at the last layer, where LRP has another rule
    for contrast in (1, 2):
        how = dict(rules=rules, contrast=contrast)
        own, dual = (relevance.pixel_relevance(net, x, asked[:, 0], method=way, **how) for way in ("lrp", "dual"))
        expected = together(own - dual, 1).clamp(min=0).sum((1, 3, 4))
        found = relevance.clip_relevance(net, x, asked, **how)[:, 0]
        assert contrast == 1 or float(expected.max()) > 0
        assert torch.allclose(found, expected, rtol=1e-7, atol=1e-10 * float(expected.max()))


def test_a_single_class_and_classes_that_there_are_not():
    net, x = settle(everything()), clip(3, size=12, batch=2)
    assert torch.equal(relevance.clip_relevance(net, x, 1), relevance.clip_relevance(net, x, [1, 1]))
    for targets, words in (
        ([[0, 9], [1, 0]], "class 9 is out of range"),
        ([0, 1, 2], "2 clips"),
        ([[0, 1]], "2 clips"),
        (torch.zeros(2, 0, dtype=torch.long), r"\[B\] or \[B, Q\]"),
        (torch.zeros(2, 1, 1, dtype=torch.long), r"\[B\] or \[B, Q\]"),
    ):
        with pytest.raises(InputError, match=words):
            relevance.clip_relevance(net, x, targets)
