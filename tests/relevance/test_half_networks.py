"""Networks in half precision: what they rest on is what the same rounded weights rest on in float32."""

import copy
import warnings

import pytest
import torch

from paperlib import models, relevance
from paperlib.errors import InputError

from .networks import Recurrent, clip, plain, settle

pytestmark = pytest.mark.numerics
FAMILIES = ["TSN-R18-f4", "I3D-R18-f4", "TAM2D-R18-f4", "C-LSTM-f4", "LSTM"] + [
    pytest.param(name, marks=pytest.mark.slow)
    for name in (
        "I3D-Inc-f4",
        "S3D-R18-f4-tp",
        "TSM-R18-f4",
        "NLN-R18-f4",
        "Conv1D-R18-f4",
        "I3D-original-f16",
        "SlowFast-R50-2x8",
        "r3d_18-f4",
    )
]
NUMBERS = [torch.float16, torch.bfloat16]


def network(name):
    torch.manual_seed(0)
    if name == "LSTM":
        return settle(Recurrent()), 4
    options = {"size": 32, "layers": 2} if name.startswith("C-LSTM") else {}
    options |= {} if name.startswith("r3d") else {"width": 8}
    net = settle(models.create(name, num_classes=3, **options))
    return net, net.num_frames


@pytest.mark.parametrize("name", FAMILIES)
def test_relevance_is_that_of_the_rounded_weights_in_float32(name):
    net, frames = network(name)
    weights = copy.deepcopy(net.state_dict())
    for number in NUMBERS:
        net.float().load_state_dict(weights)
        net, x = net.to(number), clip(frames, size=32).to(number)
        before = {key: value.clone() for key, value in net.state_dict().items()}
        with warnings.catch_warnings():
            warnings.simplefilter("error")  # pixels at a bound are rounded past it
            found = [relevance.relevance_matrix(net, x, 1, method=method) for method in ("lrp", "clrp")]
        for key, value in net.state_dict().items():
            assert value.dtype == before[key].dtype and torch.equal(value, before[key])
        net.float()
        for A, method in zip(found, ("lrp", "clrp"), strict=True):
            truth = relevance.relevance_matrix(net, x.float(), 1, method=method)
            largest = truth.abs().amax(2, keepdim=True)
            assert A.dtype == torch.float32 and (largest > 0).any()
            assert ((A - truth).abs() <= 0.02 * largest).all()


@pytest.mark.parametrize("number", NUMBERS, ids=str)
def test_rows_sum_to_what_the_half_precision_network_itself_says(number):
    torch.manual_seed(0)
    net, x = plain(8).eval().to(number), clip(4, batch=2).to(number)
    logits = net.frame_logits(x)[..., 2].detach().float()
    A = relevance.relevance_matrix(net, x, 2, method="lrp")
    assert ((A.sum(2) - logits).abs() <= 0.03 * logits.abs().max()).all()
    maps = relevance.pixel_relevance(net, x, 2, method="lrp")
    assert torch.allclose(maps.sum((2, 4, 5)), A, rtol=1e-4, atol=1e-6)
    ways = relevance.frame_provenance(net, x, method="lrp")[:, :, 2]
    assert torch.allclose(ways, A, rtol=1e-3, atol=1e-5)
    book = relevance.ledger(net, x, 2)
    assert book.attrs["clip"] == pytest.approx(book.attrs["logits"], rel=1e-4)
    assert net.fc.weight.dtype == number
    assert list(relevance.coverage(net, x).rule) == list(relevance.coverage(net.float(), x.float()).rule)


def test_weights_are_narrow_again_after_an_error_and_other_mixtures_are_named():
    net = plain(8).eval().half()
    with pytest.raises(InputError, match="class 9"):
        relevance.relevance_matrix(net, clip().half(), 9)
    assert net.fc.weight.dtype == torch.float16
    with pytest.raises(InputError, match="float32.*float16"):
        relevance.relevance_matrix(net, clip(), 0)
    with pytest.warns(UserWarning, match="outside input_bounds"):
        relevance.relevance_matrix(net, 1.1 * clip().half(), 0)
