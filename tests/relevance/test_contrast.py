"""Rules of one's own at the last layer, whose weights CLRP compares with negated ones."""

import pytest
import torch
from torch import nn

from paperlib import relevance
from paperlib.errors import InputError
from paperlib.relevance.rules import Weighted

from .networks import clip, plain


class Magnitude(Weighted):
    def parts(self, a, w):
        return [(a.abs(), w.abs())]


ALIKE = [relevance.Epsilon(1e-6), relevance.Flat(), relevance.WSquare(), Magnitude()]


@pytest.fixture(scope="module")
def network():
    torch.manual_seed(0)
    return plain().eval()


@pytest.mark.parametrize("rule", ALIKE, ids=str)
def test_a_rule_that_shares_alike_for_negated_weights_is_refused_under_contrast_alone(network, rule):
    message = r"of the last layer, 'fc', shares alike .*; leave the last layer out of rules"
    for method in ("clrp", "dual"):
        with pytest.raises(InputError, match=message):
            relevance.relevance_matrix(network, clip(), 0, method, rules={nn.Linear: rule})
    with pytest.raises(InputError, match=message):
        relevance.frame_provenance(network, clip(), rules={"fc": rule})
    logits = network.frame_logits(clip())[:, :, 0].detach()
    A = relevance.relevance_matrix(network, clip(), 0, "lrp", rules={nn.Linear: rule})
    assert torch.allclose(A.sum(2), logits, rtol=1e-3)
    below = relevance.relevance_matrix(network, clip(), 0, rules={nn.Conv3d: rule})  # no last layer among them
    assert below.max() > 0


@pytest.mark.parametrize("rule", [relevance.ZPlus(), relevance.Gamma(0.25)], ids=str)
def test_a_rule_that_tells_them_apart_serves_even_where_classes_mirror_each_other(network, rule):
    torch.manual_seed(0)
    net = plain().eval()
    net.fc = nn.Linear(8, 2)
    net.fc.weight.data[1] = -net.fc.weight.data[0]
    A = relevance.relevance_matrix(net, clip(), 0, rules={"fc": rule})
    assert A.max() > 0 and torch.isfinite(A).all()


@pytest.mark.parametrize("contrast", [0, 3, "2", None])
def test_a_type_of_contrast_that_there_is_not_is_refused(network, contrast):
    for function in (relevance.relevance_matrix, relevance.pixel_relevance):
        with pytest.raises(InputError, match="contrast must be one of 1, 2, not"):
            function(network, clip(), 0, contrast=contrast)
    with pytest.raises(InputError, match="contrast must be one of 1, 2, not"):
        relevance.frame_provenance(network, clip(), contrast=contrast)


def test_one_logit_has_no_others_for_type_one_to_start_from():
    net = plain()
    net.fc = nn.Linear(8, 1)
    net.eval()
    for method in ("clrp", "dual"):
        for normalise in (False, True):
            with pytest.raises(InputError, match="has one logit, so there are no others for contrast=1"):
                relevance.relevance_matrix(net, clip(), 0, method, contrast=1, normalise=normalise)
        with pytest.raises(InputError, match="has one logit"):
            relevance.frame_provenance(net, clip(), method, contrast=1)
    own = relevance.relevance_matrix(net, clip(), 0, "lrp", contrast=1)  # which compares with nothing
    assert torch.equal(own, relevance.relevance_matrix(net, clip(), 0, "lrp"))
