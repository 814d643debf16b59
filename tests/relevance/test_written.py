"""What is written over takes no relevance, nor does what only decides which values are taken."""

import pytest
import torch
from torch import nn

from paperlib import relevance
from paperlib.errors import InputError

from .networks import clip


class Written(nn.Module):
    """Features of which the last frame's, or the first channel's, are written over by a constant."""

    def __init__(self, how):
        super().__init__()
        torch.manual_seed(1)
        self.how = how
        self.conv = nn.Conv3d(3, 8, (1, 3, 3), padding=(0, 1, 1))
        self.mix = nn.Conv3d(8, 8, (3, 1, 1), padding=(1, 0, 0))
        self.head = nn.Linear(8, 3)
        self.token = nn.Parameter(torch.rand(8) + 0.5)

    def frame_logits(self, clip):
        x, token = torch.relu(self.conv(clip)).clone(), self.token[None, :, None, None]
        if self.how == "a token":
            x[:, :, -1] = token
        elif self.how == "a token, joined":
            x = torch.cat([x[:, :, :-1], token[:, :, None].expand(len(x), -1, 1, *x.shape[3:])], 2)
        elif self.how == "zero":
            x[:, :, -1] = 0
        elif self.how == "zero in place":
            x[:, :, -1].zero_()
        elif self.how == "zero, multiplied":
            x = x * (torch.arange(x.shape[2]) < x.shape[2] - 1).to(x)[:, None, None]
        elif self.how == "another frame":
            x[:, :, -1] = x[:, :, 0]
        elif self.how == "another frame, joined":
            x = torch.cat([x[:, :, :-1], x[:, :, :1]], 2)
        return self.head(torch.relu(self.mix(x)).mean((3, 4)).transpose(1, 2))

    def forward(self, clip):
        return self.frame_logits(clip).mean(1)


@pytest.mark.parametrize(
    "how, same",
    [
        ("a token", "a token, joined"),
        ("zero", "zero, multiplied"),
        ("zero in place", "zero, multiplied"),
        ("another frame", "another frame, joined"),
    ],
)
@pytest.mark.parametrize("method", ["lrp", "clrp"])
def test_what_is_written_over_takes_no_relevance(how, same, method):
    net, x = Written(how).eval(), clip(4, size=8, batch=2)
    A = relevance.relevance_matrix(net, x, [0, 2], method=method)
    assert torch.allclose(A, relevance.relevance_matrix(Written(same).eval(), x, [0, 2], method=method), atol=1e-6)
    leaf = x.clone().requires_grad_()
    (gradient,) = torch.autograd.grad(net(leaf)[:, 0].sum(), leaf)
    seen = gradient.abs().sum((0, 1, 3, 4)) > 0
    assert torch.equal(A.abs().sum((0, 1)) > 0, seen) and not seen[-1]


class Scaled(Written):
    """A layer in the middle that scales its product and its bias, or one of weights that are scaled."""

    def frame_logits(self, clip):
        x, layer = torch.relu(self.mix(self.conv(clip)).mean((3, 4)).transpose(1, 2)), self.head.requires_grad_(False)
        shape, wide = x.shape, torch.cat([layer.weight, -layer.weight[:1]]).T
        if self.how == "linear":
            x = nn.functional.linear(x, -0.3 * wide.T, 2 * self.token[:4])
        elif self.how == "addmm":
            x = torch.addmm(self.token[:4], x.flatten(0, 1), wide, alpha=-0.3, beta=2).view(*shape[:2], 4)
        elif self.how == "baddbmm":
            x = torch.baddbmm(self.token[:4], x, wide.expand(len(x), -1, -1), alpha=-0.3, beta=2)
        return nn.functional.linear(torch.relu(x), layer.weight[:, :4], layer.bias)


@pytest.mark.parametrize("how", ["addmm", "baddbmm"])
@pytest.mark.parametrize("rules", ["paper", "attnlrp", "gamma"])
def test_factors_of_a_product_and_of_its_bias_belong_to_the_layer(how, rules):
    x = clip(4, size=8, batch=2)
    found, expected = (
        relevance.relevance_matrix(Scaled(form).eval(), x, [0, 2], rules=rules) for form in (how, "linear")
    )
    assert expected.abs().max() > 0 and torch.allclose(found, expected, atol=1e-5 * float(expected.abs().max()))


OTHERWISE = {  # an operation, and what it is made of
    "diff": (lambda x: x.diff(dim=2, prepend=x[:, :, :1]), lambda x: x - torch.cat([x[:, :, :1], x[:, :, :-1]], 2)),
    "tensordot": (
        lambda x: torch.tensordot(x, torch.eye(8).roll(1, 0), ([1], [0])).movedim(-1, 1),
        lambda x: x.roll(-1, 1),
    ),
    "lerp": (lambda x: torch.lerp(x, x.flip(2), 0.3), lambda x: 0.7 * x + 0.3 * x.flip(2)),
    "addcmul": (lambda x: torch.addcmul(x, x, x.sigmoid(), value=0.5), lambda x: x + 0.5 * x * x.sigmoid()),
    "square": (torch.square, lambda x: x**2),
    "rot90": (lambda x: x.rot90(1, (3, 4)), lambda x: x.flip(4).transpose(3, 4)),
    "unfold": (lambda x: x.unfold(2, 2, 1).sum(-1), lambda x: x[:, :, 1:] + x[:, :, :-1]),
    "inner": (lambda x: torch.inner(x, torch.eye(8) + 1), lambda x: x @ (torch.eye(8) + 1)),
    "inner of three axes": (
        lambda x: torch.inner(x, torch.ones(2, 3, 8)).flatten(-2)[:, :, :, :, :1],
        lambda x: x.sum(-1, keepdim=True),
    ),
    "tile": (lambda x: x.tile(1, 1, 2), lambda x: x.repeat(1, 1, 1, 1, 2)),
    "take_along_dim": (lambda x: x.take_along_dim(x.argsort(3), 3), lambda x: x.gather(3, x.argsort(3))),
    "take_along_dim, broadcast": (
        lambda x: x.take_along_dim(torch.tensor([5, 1, 2]).view(1, 1, 1, 3, 1), -2),
        lambda x: x[:, :, :, [5, 1, 2]],
    ),
    "nan_to_num": (
        lambda x: x.masked_fill(torch.arange(8) < 2, torch.nan).nan_to_num(0.5),
        lambda x: x.masked_fill(torch.arange(8) < 2, 0.5),
    ),
    "other names of products": (
        lambda x: torch.divide(torch.multiply(torch.special.expit(x), x), 2).true_divide(3),
        lambda x: x.sigmoid() * x / 2 / 3,
    ),
    "other names of sums": (
        lambda x: torch.subtract(x, torch.negative(x.absolute()), alpha=0.5).clip(0.1, 2),
        lambda x: torch.sub(x, -x.abs(), alpha=0.5).clamp(0.1, 2),
    ),
    "other names of views": (
        lambda x: torch.moveaxis(x.swapdims(1, 2).ravel().view(-1, 4, 8, 8, 8), (1, 3), (2, 4)),
        lambda x: x.transpose(3, 4),
    ),
    "other names of cat": (
        lambda x: torch.dstack([torch.hstack([x, -x])[:, :8], torch.concat([x, x], 1)[:, 8:]]),
        lambda x: torch.cat([x, x], 2),
    ),
}


@pytest.mark.parametrize("name", OTHERWISE)
@pytest.mark.filterwarnings("error")
def test_an_operation_gives_what_those_give_that_it_is_made_of(name):
    class Does(Written):
        def frame_logits(self, clip):
            return self.head(torch.relu(self.how(torch.relu(self.conv(clip)))).mean((3, 4)).transpose(1, 2))

    x = clip(4, size=8, batch=2)
    for rules in ("paper", "attnlrp"):
        found, expected = (
            relevance.relevance_matrix(Does(how).eval(), x, [0, 2], "lrp", rules) for how in OTHERWISE[name]
        )
        assert expected.abs().max() > 0
        assert torch.allclose(found, expected, atol=1e-5 * float(expected.abs().max()))


@pytest.mark.parametrize(
    "put, message",
    [
        (lambda x, at: torch.zeros_like(x).index_put((at,), x, accumulate=True), "adds up what it puts in one place"),
        (
            lambda x, at: torch.zeros_like(x).scatter(0, at.view(-1, 1, 1, 1, 1).expand_as(x), x, reduce="add"),
            "adds up what it puts in one place",
        ),
        (lambda x, at: torch.clamp(x, min=x.flip(2)), "has no relevance rule in this form"),
        (
            lambda x, at: x - torch.stack([one.amax() for one in x]).view(-1, 1, 1, 1, 1),
            "has no relevance rule in this form",
        ),
        (
            lambda x, at: x.mT.as_strided(x.shape, x.mT.stride()).clone(),
            "reads memory in another order than the tensor's",
        ),
    ],
)
def test_what_several_values_make_up_together_is_refused(put, message):
    net = Written("").eval()
    net.mix = nn.Sequential(Puts(put), net.mix)
    with pytest.raises(InputError, match=f"{message}; register one"):
        relevance.relevance_matrix(net, clip(4, size=8, batch=2), [0, 2])


class Puts(nn.Module):
    def __init__(self, put):
        super().__init__()
        self.put = put

    def forward(self, x):
        return self.put(x, torch.zeros(len(x), dtype=torch.long))


class Picked(nn.Module):
    """Values of which the clip decides which go on: a form of it, or the same written otherwise."""

    def __init__(self, how, picks=None):
        super().__init__()
        torch.manual_seed(2)
        self.how, self.picks = how, picks  # picks: frames that were picked before, [B, 2]
        self.conv = nn.Conv3d(3, 8, (1, 3, 3), padding=(0, 1, 1))
        self.mix = nn.Conv3d(8, 8, (3, 1, 1), padding=(1, 0, 0))
        self.score, self.head = nn.Linear(8, 1), nn.Linear(8, 3)

    def frame_logits(self, clip):
        x, clips = self.conv(clip), torch.arange(len(clip))
        x = {
            "leaky": lambda: torch.where(x > 0, x, 0.1 * x),
            "leaky, by torch": lambda: nn.functional.leaky_relu(x, 0.1),
            "filled": lambda: x.masked_fill(x < 0.3, 0),
            "multiplied": lambda: x * (x > 0.3),
            "multiplied by numbers": lambda: (x > 0.3).to(x) * x,
            "threshold": lambda: nn.functional.threshold(x, 0.3, 0),
        }.get(self.how, lambda: torch.relu(x))()
        f = torch.relu(self.mix(x)).mean((3, 4)).transpose(1, 2)
        if self.how == "transposed":
            f = torch.relu(self.mix(x)).mean((3, 4)).mT
        scores = self.score(f)[..., 0]
        if self.how == "largest":
            f = f.gather(1, scores.topk(2, 1).indices[..., None].expand(-1, -1, 8))
        elif self.how == "first":
            f = f[clips[:, None], torch.stack([scores.argmax(1), scores.argmin(1)], 1)]
        elif self.picks is not None:
            f = torch.stack([steps[picked] for steps, picked in zip(f, self.picks, strict=True)])
        return self.head(f)

    def forward(self, clip):
        return self.frame_logits(clip).mean(1)

    def ranked(self, clip):
        """The clip's frames by their scores, largest first, [B, T]."""
        f = torch.relu(self.mix(torch.relu(self.conv(clip)))).mean((3, 4)).transpose(1, 2)
        return self.score(f)[..., 0].argsort(1, descending=True)


@pytest.mark.parametrize(
    "how, same",
    [
        ("leaky", "leaky, by torch"),
        ("filled", "threshold"),
        ("multiplied", "threshold"),
        ("multiplied by numbers", "threshold"),
        ("largest", lambda ranked: ranked[:, :2]),
        ("first", lambda ranked: ranked[:, [0, -1]]),
        ("transposed", ""),
    ],
)
@pytest.mark.parametrize("rules", ["paper", "attnlrp"])
def test_a_mask_or_an_index_made_of_the_clip_only_decides(how, same, rules):
    net, x = Picked(how).eval(), clip(8, size=8, batch=2)  # as many frames as features: a square to transpose
    other = Picked(same) if isinstance(same, str) else Picked("", same(net.ranked(x)))
    assert torch.equal(net(x), other.eval()(x))
    A, B = (relevance.relevance_matrix(n, x, [0, 1], method="lrp", rules=rules) for n in (net, other))
    assert A.abs().max() > 0 and torch.allclose(A, B, atol=1e-5 * float(B.abs().max()))


def test_a_network_that_only_compares_has_nothing_to_explain():
    class Compares(nn.Module):
        def forward(self, clip):
            return (clip.mean((2, 3, 4)) > 0).float() * 2 - 1

    with pytest.raises(InputError, match="by comparisons and indices alone"):
        relevance.relevance_matrix(Compares(), clip(4), 0, method="lrp")


def test_the_ledger_books_what_a_written_constant_takes():
    net, x = Written("a token").eval(), clip(4, size=8)
    report = relevance.ledger(net, x, 0)
    written = report[report.operation == "select_scatter"]
    assert written.bias.abs().sum() > 0
    total = float(relevance.relevance_matrix(net, x, 0, method="lrp").sum())
    assert report.attrs["clip"] == pytest.approx(total, rel=1e-5)
    assert report["in"].sum() == pytest.approx((report.out + report.bias + report.dead).sum(), rel=1e-4)
