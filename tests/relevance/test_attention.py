"""Rules for attention: every form of it, against gradients times inputs, dense sums, and another package."""

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from torch import nn
from torch.nn import functional as F

from paperlib import models, relevance
from paperlib.errors import InputError
from paperlib.relevance import attention
from paperlib.relevance.table import Step

from . import dense_encoder
from .attending import Conservative, Encoder, Fused, Gradients, Plain, causal, package
from .networks import clip, plain

pytestmark = pytest.mark.numerics


def encoder(**options):
    torch.manual_seed(1)
    return Encoder(**options).double().eval()


def pixels(size=4, frames=3, seed=0):
    return clip(frames, size=size, dtype=torch.float64, seed=seed)


EXACT = {"composite": "attnlrp", nn.Linear: relevance.Epsilon(0, bias=True)}  # without stabiliser


def largest(x):
    return float(x.abs().max())


@pytest.mark.parametrize("masked", [False, True])
@pytest.mark.parametrize(("rules", "ops"), [("attnlrp", Gradients), ("cp-lrp", Conservative)])
def test_explicit_propagation_equals_gradient_times_input(rules, ops, masked):
    net, x = encoder(mask=causal(3, 4) if masked else None), pixels()
    expected = net.times_input(ops, x, 1)
    ours = relevance.pixel_relevance(net, x, 1, method="lrp", rules=EXACT | {"composite": rules})[0]
    assert largest(ours - expected) < 1e-9 * largest(expected)
    stabilised = relevance.pixel_relevance(net, x, 1, method="lrp", rules=rules)[0]
    assert largest(stabilised - expected) < 1e-5 * largest(expected)
    if masked:  # no frame's logit rests on later frames
        assert not torch.triu(ours.abs().sum((1, 3, 4)), 1).any()


@pytest.mark.parametrize("masked", [False, True])
def test_a_random_transformer_equals_the_package_of_attnlrps_authors(masked):
    pytest.importorskip("lxt")
    net, x = encoder(mask=causal(3, 4) if masked else None), pixels()
    ours = relevance.pixel_relevance(net, x, 2, method="lrp", rules=EXACT)[0]
    net.ops, leaf, theirs = package(), x.clone().requires_grad_(), []
    for row in range(3):  # a forward pass each: its layer norm can be gone through once
        logit = net.frame_logits(leaf)[0, row, 2]
        theirs.append(torch.autograd.grad(logit, leaf, logit.detach())[0][0])
    theirs = torch.stack(theirs)
    assert largest(ours - theirs) < 1e-9 * largest(theirs)


@pytest.mark.parametrize("rules", [EXACT, EXACT | {"composite": "cp-lrp"}], ids=["attnlrp", "cp-lrp"])
def test_a_whole_encoder_equals_dense_matrices_of_shares(rules):
    torch.manual_seed(4)
    net = Encoder(frames=2, size=4, dim=6, heads=2, layers=2).double().eval()
    x = pixels(frames=2)
    for target in range(3):
        ours = relevance.pixel_relevance(net, x, target, method="lrp", rules=rules)[0]
        expected = dense_encoder.relevance(net, x, target, halves=rules is EXACT)
        assert largest(ours - expected) < 1e-9 * largest(expected)


@pytest.mark.parametrize("rules", ["paper", "attnlrp", "cp-lrp", "gamma"])
def test_fused_attention_equals_attention_written_out(rules):
    for mask in (None, causal(3, 4)):
        net, x = encoder(mask=mask), pixels()
        for method in ("lrp", "clrp"):
            written = relevance.relevance_matrix(net, x, 2, method=method, rules=rules)
            net.ops = Fused
            fused = relevance.relevance_matrix(net, x, 2, method=method, rules=rules)
            net.ops = Plain
            assert torch.isfinite(written).all() and largest(written) > 0
            assert largest(written - fused) < 1e-9 * largest(written)


F64 = torch.float64
SIZES = st.tuples(st.integers(1, 3), st.integers(2, 4), st.integers(1, 5))
HYPOTHESIS = dict(max_examples=25, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))


class Node:
    """Stands for an operation of a recorded graph with the arguments of `call`."""

    def __init__(self, target, *args, **kwargs):
        self.target, self.args, self.kwargs, self.meta = target, args, kwargs, {"val": torch.zeros(())}

    def __call__(self, *tensors):
        return self.target(*tensors, *self.args[len(tensors) :], **self.kwargs)


@settings(**HYPOTHESIS)
@given(SIZES, st.integers(0, 10**6))
def test_each_factor_of_a_product_takes_half(sizes, seed):
    torch.manual_seed(seed)
    a, b = torch.randn(sizes[0], 3, sizes[1], dtype=F64), torch.randn(sizes[0], sizes[1], sizes[2], dtype=F64)
    r = torch.randn(2, sizes[0], 3, sizes[2], dtype=F64)
    node = Node(torch.ops.aten.matmul.default)
    node.node = node
    product = attention.HalvedProduct(node, [a, b])
    parts = product.down(r)
    each = torch.einsum("bji,bip,tbjp->tbjip", a, b, r / (2 * (a @ b)))  # the equation, written out
    assert torch.allclose(parts[0], each.sum(4)) and torch.allclose(parts[1], each.sum(2))
    for part in parts:
        assert torch.allclose(part.sum((1, 2, 3)), r.sum((1, 2, 3)) / 2)
    x, y, r = torch.randn(3, 1, dtype=F64), torch.randn(1, 4, dtype=F64), torch.randn(2, 3, 4, dtype=F64)
    parts = attention.Halved([x, y]).down(r)
    assert torch.allclose(parts[0], r.sum(2, keepdim=True) / 2) and torch.allclose(parts[1], r.sum(1, keepdim=True) / 2)


@settings(**HYPOTHESIS)
@given(SIZES, st.floats(-5, 5), st.booleans(), st.integers(0, 10**6))
def test_the_softmax_leaks_what_its_equation_says(sizes, shift, masked, seed):
    torch.manual_seed(seed)
    x, r = torch.randn(*sizes, dtype=F64), torch.randn(2, *sizes, dtype=F64)
    if masked:
        x[..., 0] = -torch.inf  # nothing can be left of a row of one
    node = Node(torch.ops.aten._safe_softmax.default, None, -1)
    shares, s = attention.Softmax(node, x, -1), node(x)
    parts = shares.down(r)[0]
    finite = torch.where(torch.isinf(x), 0, x)
    expected = torch.stack([finite[..., i] * (r[..., i] - s[..., i] * r.sum(-1)) for i in range(sizes[2])], -1)
    assert torch.isfinite(parts).all() and torch.allclose(parts, expected)
    assert shares.losses(r)["leak"] == pytest.approx(float(r.sum() - expected.sum()), abs=1e-9)
    moved = attention.Softmax(node, x + shift, -1).down(r)[0]  # the same softmax, another rule
    assert torch.allclose(moved - parts, shift * (r - s * r.sum(-1, keepdim=True)) * ~torch.isinf(x), atol=1e-9)


def norm(name, w, b):
    """A norm of [3, 4, 5] with weight and bias [4], which may be None."""
    if name == "layer":
        w, b = (v if v is None else v[:, None].expand(4, 5) for v in (w, b))
        return Node(torch.ops.aten.layer_norm.default, None, [4, 5], w, b)
    if name == "group":
        return Node(torch.ops.aten.group_norm.default, None, 2, w, b)
    if name == "instance":
        return Node(torch.ops.aten.instance_norm.default, None, w, b, None, None, True, 0.1, 1e-5, False)
    running = torch.randn(4, dtype=F64), torch.rand(4, dtype=F64) + 0.1
    return Node(torch.ops.aten.batch_norm.default, None, w, b, *running, False, 0.1, 1e-5, False)


@pytest.mark.parametrize("name", ["layer", "group", "instance", "batch"])
@pytest.mark.parametrize("affine", [True, False])
def test_a_norm_takes_its_bias_part_and_hands_on_the_rest(name, affine):
    torch.manual_seed(2)
    x, r = torch.randn(3, 4, 5, dtype=F64), torch.randn(2, 3, 4, 5, dtype=F64)
    w, b = (torch.rand(4, dtype=F64) + 0.5, torch.randn(4, dtype=F64)) if affine else (None, None)
    node = norm(name, w, b)
    shares = attention.Norm(node, x, {})
    scale, bias, mean = attention.fixed_norm(node, x, {})
    y = node(x)
    assert torch.allclose((x - (mean(x) if mean else 0)) * scale + bias, y)
    leaf = x.clone().requires_grad_()  # with the deviation held fixed, gradient times input
    linear = (leaf - (mean(leaf) if mean else 0)) * scale + bias
    parts = shares.down(r)[0]
    assert torch.allclose(parts[0], x * torch.autograd.grad(linear, leaf, r[0] / y)[0])
    kept = (y if name != "batch" else scale * x) - (b[:, None] if affine and name != "batch" else 0)
    assert float(parts.sum()) == pytest.approx(float((r * kept / y).sum()), rel=1e-9)
    lost = shares.losses(r)
    assert lost["dead"] == 0 and lost["bias"] == pytest.approx(float(r.sum() - parts.sum()), abs=1e-9)


@settings(**HYPOTHESIS)
@given(st.sampled_from(["add", "sub", "rsub"]), st.booleans(), st.sampled_from([1, 2, -3]), st.integers(0, 10**6))
def test_a_constant_addend_takes_its_part_of_the_sum(name, first, alpha, seed):
    torch.manual_seed(seed)
    x, c, r = torch.randn(3, 4, dtype=F64), torch.randn(4, dtype=F64), torch.randn(2, 3, 4, dtype=F64)
    target = getattr(torch.ops.aten, name).Tensor
    marker = object()
    node = Node(target, *((marker, c) if first else (c, marker)), alpha=alpha)
    step = Step(node, relevance.Proportional(bias=True), [marker], [0], "sum")

    def call(x):
        return target(*((x, c) if first else (c, x)), alpha=alpha)

    shares = attention.Offset(step, x, call)
    parts = shares.down(r)[0]
    factor = (call(x) - call(torch.zeros_like(x))) / x
    assert torch.allclose(parts, r * factor * x / call(x))
    assert shares.losses(r)["bias"] == pytest.approx(float((r * call(torch.zeros_like(x)) / call(x)).sum()))


def test_the_gamma_rule_favours_contributions_of_the_outputs_sign():
    torch.manual_seed(3)

    class Mixing(nn.Module):
        def __init__(self):
            super().__init__()
            self.layer, self.head = nn.Linear(6, 4), nn.Linear(4, 2)

        def frame_logits(self, clip):
            return self.head(F.gelu(self.layer(clip.flatten(2)[:, :1, :6])))

    net, x, gamma = Mixing().double().eval(), pixels(), 0.3
    rules = {"composite": "attnlrp", "layer": relevance.Gamma(gamma, 0, True, by_sign=True)}
    ours = relevance.pixel_relevance(net, x, 1, method="lrp", rules=rules)[0, 0].flatten()[:6]
    with torch.no_grad():
        a, w, b = x.flatten()[:6], net.layer.weight, net.layer.bias
        y = a @ w.T + b
        above, shares = net.head.weight[1] * F.gelu(y), torch.zeros(4, 6, dtype=F64)
        for j, sign in enumerate(y.sign()):
            favoured, bias = (c + gamma * sign * (sign * c).clamp(min=0) for c in (a * w[j], b[j]))
            shares[j] = favoured / (favoured.sum() + bias)
    assert (y < 0).any() and (y > 0).any() and torch.allclose(ours, above @ shares, rtol=1e-6)


@settings(**HYPOTHESIS | dict(max_examples=6))
@given(
    st.sampled_from(["attnlrp", "cp-lrp", "gamma"]), st.sampled_from([1, 2, 4]), st.booleans(), st.integers(0, 10**6)
)
def test_the_ledger_of_any_encoder_balances(rules, heads, masked, seed):
    torch.manual_seed(seed)
    net = Encoder(frames=2, heads=heads, layers=1, mask=causal(2, 4) if masked else None).double().eval()
    ledger = relevance.ledger(net, pixels(frames=2, seed=seed), 1, rules)
    lost = ledger[["bias", "dead", "excluded", "leak"]].sum(axis=1)
    scale = ledger[["in", "out"]].abs().to_numpy().max()
    assert (ledger["in"] - ledger["out"] - lost).abs().max() < 1e-4 * scale  # epsilons, and nothing else
    assert ledger.attrs["logits"] - ledger.attrs["clip"] == pytest.approx((ledger["in"] - ledger["out"]).sum())
    assert set(ledger[ledger.leak != 0].operation) == (set() if rules == "cp-lrp" else {"softmax"})
    norms = ledger[ledger.operation == "layer_norm"]
    assert (norms.bias != 0).all() and norms.bias.to_numpy() == pytest.approx((norms["in"] - norms["out"]).to_numpy())


@pytest.mark.parametrize("rules", ["paper", "attnlrp", "cp-lrp", "gamma"])
def test_all_classes_at_once_equal_one_class_after_the_other(rules):
    net, x = encoder(mask=causal(3, 4)), pixels()
    for method in ("lrp", "clrp"):
        at_once = relevance.frame_provenance(net, x, method, rules)
        for target in range(3):
            A = relevance.relevance_matrix(net, x, target, method, rules, clip_at="frame")
            assert largest(at_once[:, :, target] - A) < 1e-9 * largest(A)


def test_contrast_asks_z_plus_of_the_last_layer_whatever_lies_below():
    net, x = encoder(), pixels()
    own, dual = (
        relevance.pixel_relevance(net, x, 1, method, {"composite": "attnlrp", "head": relevance.ZPlus()})
        for method in ("lrp", "dual")
    )
    assert largest(own - dual) > 0.1 * largest(own)
    contrast = relevance.pixel_relevance(net, x, 1, "clrp", "attnlrp")
    assert torch.allclose(contrast, (own - dual).clamp(min=0))
    report = relevance.coverage(net, x, "attnlrp").set_index("role")
    assert report.loc["last layer", "rule"] == "Epsilon(epsilon=1e-09, bias=True); ZPlus() under CLRP"


def test_composites_are_chosen_by_name_and_said():
    net, x = encoder(), pixels()
    cnn = plain().eval()
    for rules, name in (
        ("auto", "attnlrp"),
        (None, "attnlrp"),
        ({}, "attnlrp"),
        ("paper", "paper"),
        ("gamma", "gamma"),
    ):
        assert relevance.coverage(net, x, rules).attrs["composite"] == name
    assert relevance.coverage(cnn, clip()).attrs["composite"] == "paper"
    mixed = relevance.coverage(net, x, {"composite": "cp-lrp", "embed": relevance.ZBeta(), "add": relevance.Epsilon()})
    assert mixed.attrs["composite"] == "cp-lrp"
    assert list(mixed[mixed.layer == "embed"].rule) == ["ZBeta()"]
    assert "SignalTakesAll(signal=1, signed=True)" in set(mixed.rule)
    A = relevance.relevance_matrix(net, x, 0, "lrp", {"embed": relevance.ZBeta()})
    assert torch.isfinite(A).all() and not torch.allclose(A, relevance.relevance_matrix(net, x, 0, "lrp"))
    for rules in ("lrp", {"composite": "lrp"}, 3):
        with pytest.raises(InputError, match=r"must be one of auto, paper, attnlrp, cp-lrp, gamma, rollout"):
            relevance.relevance_matrix(net, x, 0, rules=rules)
    with pytest.raises(InputError, match=r"head .*does not see the clip, so ZBeta\(\) has no bounds"):
        relevance.coverage(net, x, {"head": relevance.ZBeta()})


SOFTMAXES = {
    "exp": lambda x: x.exp() / x.exp().sum(-1, keepdim=True),
    "amax": lambda x: Shares.of((x - x.amax(-1, keepdim=True)).exp()),  # of the axis that is summed by its number
    "max": lambda x: Shares.of((x - x.max(-1, keepdim=True).values.detach()).exp()),
}


class Shares(Plain):
    @staticmethod
    def of(x):
        return x / torch.sum(x, x.dim() - 1, keepdim=True)


@pytest.mark.parametrize("form", SOFTMAXES)
@pytest.mark.parametrize("rules", ["auto", "paper", "cp-lrp"])
def test_a_softmax_written_out_is_a_softmax(form, rules):
    written = encoder()
    written.ops = type("Written", (Plain,), {"softmax": staticmethod(SOFTMAXES[form])})
    found, expected = (relevance.relevance_matrix(net, pixels(), 1, "lrp", rules) for net in (written, encoder()))
    assert largest(found - expected) < 1e-9 * largest(expected)


def test_products_of_two_signals_are_attention_but_in_cnns():
    linear, groups = encoder(), encoder()
    linear.ops = type("Relu", (Plain,), {"softmax": staticmethod(F.relu)})
    for name, module in list(groups.named_modules()):
        if isinstance(module, nn.LayerNorm):
            groups.set_submodule(name, nn.GroupNorm(1, 12, dtype=torch.float64))
    for net in (linear, groups):
        assert relevance.coverage(net, pixels()).attrs["composite"] == "attnlrp"
    with pytest.raises(InputError, match="neither of them a sigmoid or softmax gate; take rules='attnlrp', where each"):
        relevance.relevance_matrix(linear, pixels(), 1, rules="paper")


def test_non_local_blocks_of_a_cnn_keep_the_papers_rules():
    net = models.create("NLN-R18-f2", num_classes=3, width=4).eval()
    assert relevance.coverage(net, clip(2, size=32)).attrs["composite"] == "paper"
