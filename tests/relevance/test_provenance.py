"""The upward sweep gives what the downward one gives, for all classes at once."""

import pytest
import torch
from torch import nn

from paperlib import relevance

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
