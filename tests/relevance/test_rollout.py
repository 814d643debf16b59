"""Attention rollout and gradient-weighted attention over time, against products of matrices."""

import pytest
import torch
from torch import nn

from paperlib import models, relevance
from paperlib.errors import InputError
from paperlib.relevance.cut import Parts

from .attending import Encoder, Fused, Plain, Whole, causal, unsettle
from .networks import clip, plain
from .test_rows import Tokens
from .test_transformers import swin

pytestmark = pytest.mark.numerics


class Watched(Plain):
    """Keeps the attention weights [B, heads, tokens, tokens] of every layer."""

    seen: list = []

    @classmethod
    def softmax(cls, x):
        cls.seen.append(x.softmax(-1))
        return cls.seen[-1]


def encoder(**options):
    torch.manual_seed(1)
    return Encoder(**options).double().eval()


def weights(net, x):
    """Return (frame logits, attention weights of every layer) with their graph."""
    net.ops, Watched.seen = Watched, []
    rows = net.frame_logits(x.clone().requires_grad_())
    net.ops = Plain
    return rows, Watched.seen


def over_frames(tokens, frames):
    """[tokens, tokens] -> [T', N]: the mean over a step's tokens, the sum over a frame's."""
    return tokens.unflatten(1, (frames, -1)).sum(2).unflatten(0, (frames, -1)).mean(1)


@pytest.mark.parametrize("masked", [False, True])
def test_rollout_equals_the_product_of_attention_matrices(masked):
    net, x = encoder(mask=causal(3, 4) if masked else None), clip(3, size=4, dtype=torch.float64)
    rolled = torch.eye(12, dtype=torch.float64)
    for A in weights(net, x)[1]:
        rolled = (A[0].mean(0) + torch.eye(12)) / 2 @ rolled
    expected = over_frames(rolled, 3)
    for ops in (Plain, Fused):
        net.ops = ops
        ours = relevance.attention_rollout(net, x)[0]
        assert torch.allclose(ours, expected) and torch.allclose(ours.sum(1), torch.ones(3, dtype=torch.float64))
    assert not masked or torch.equal(ours, ours.tril())


def test_gradient_attention_weighs_every_layer_by_the_logits_gradient():
    net, x = encoder(), clip(3, size=4, dtype=torch.float64, batch=2)
    ours = relevance.gradient_attention(net, x, [2, 0])
    for b, target in enumerate((2, 0)):
        rows, seen = weights(net, x[b : b + 1])
        for i in range(3):
            slopes = torch.autograd.grad(rows[0, i, target], seen, retain_graph=True)
            rolled = torch.eye(12, dtype=torch.float64)
            for A, slope in zip(seen, slopes, strict=True):
                rolled = ((A * slope).clamp(min=0)[0].mean(0) + torch.eye(12)) / 2 @ rolled
            assert torch.allclose(ours[b, i], over_frames(rolled.detach(), 3)[i])


def test_baselines_hold_for_windows_and_divided_attention():
    net, small = swin()
    x = clip(4, size=32)
    padded = relevance.attention_rollout(net, small.float()).sum()  # maps of 3 x 3 in windows of 2 x 2
    assert 0.5 < float(padded) < 0.9
    torch.manual_seed(0)
    model = models.create("ViT-divided-f4", num_classes=3, width=4, patch=8).eval()
    for rows in (relevance.attention_rollout(net, x), relevance.attention_rollout(model, clip(4, size=16))):
        assert torch.allclose(rows.sum(2), torch.ones(())) and (rows >= 0).all()
    weighed = relevance.gradient_attention(model, clip(4, size=16), 1)
    assert torch.isfinite(weighed).all() and (weighed.sum(2) > 0).all()
    for block in model.blocks:  # without attention over time every step sees its own frame
        nn.init.constant_(block.time.qkv.bias, 0)
        nn.init.zeros_(block.time.qkv.weight)
    even = relevance.attention_rollout(model, clip(4, size=16))[0]  # over time each part averages all four frames
    own = torch.eye(4)
    for _ in model.blocks:
        own = own @ (torch.eye(4) / 2 + torch.full((4, 4), 1 / 8))
    assert torch.allclose(even, own, atol=1e-6)


def test_a_class_tokens_attention_is_split_over_the_steps():
    torch.manual_seed(0)
    net, x = unsettle(models.create("MViT-f8", num_classes=3, width=8, size=32)), clip(8, size=32)
    rolled = relevance.attention_rollout(net, x)[0]  # a row for each of four pairs of frames, and the token's own
    assert rolled.shape == (5, 8) and 0.5 < float(rolled.sum()) < 1  # the rest stays with the token, which is learned
    assert (rolled > 0).all()  # in the blocks below the cut the token attends to frames, too
    whole = Whole(net)
    assert torch.allclose(relevance.attention_rollout(whole, x)[0, 0], rolled.sum(0), atol=1e-6)
    ours, expected = (relevance.gradient_attention(model, x, 1)[0].sum(0) for model in (net, whole))
    assert torch.allclose(ours, expected, rtol=1e-4) and (ours > 0).all()


def test_rows_that_do_not_fit_go_down_one_after_the_other(monkeypatch):
    net, x, taken, down = Tokens().eval(), clip(6, size=8), [], Parts.down

    def watched(self, wanted, *rest):
        taken.append(list(wanted))
        return down(self, wanted, *rest)

    monkeypatch.setattr(Parts, "down", watched)
    together, alone = (relevance.gradient_attention(net, x, 1, memory=memory) for memory in ("auto", 1))
    assert taken == [[0, 1, 2, 3], [0], [1], [2], [3]]
    assert torch.allclose(together, alone, atol=1e-6 * float(together.max())) and float(together.max()) > 0


def test_a_network_without_attention_has_nothing_to_roll_out():
    for function in (relevance.attention_rollout, lambda net, x: relevance.gradient_attention(net, x, 0)):
        with pytest.raises(InputError, match="Frames has no attention"):
            function(plain().eval(), clip())
