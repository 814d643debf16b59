"""Constants and signals: recurrent networks as modules and written out, and any expression made of both."""

import pytest
import torch
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from torch import nn
from torch.nn import functional as F

from paperlib import relevance
from paperlib.errors import InputError

from .networks import clip

pytestmark = pytest.mark.numerics


def lstm(x, h, c, w, u, b, d):
    i, f, g, o = (F.linear(x, w, b) + F.linear(h, u, d)).chunk(4, -1)
    c = f.sigmoid() * c + i.sigmoid() * g.tanh()
    return o.sigmoid() * c.tanh(), c


def gru(x, h, c, w, u, b, d):
    """A GRU's step with `1 - z` as its inventors write it."""
    (r, z, n), (s, y, m) = F.linear(x, w, b).chunk(3, -1), F.linear(h, u, d).chunk(3, -1)
    z = (z + y).sigmoid()
    return (1 - z) * (n + (r + s).sigmoid() * m).tanh() + z * h, c


def rnn(x, h, c, w, u, b, d):
    return (F.linear(x, w, b) + F.linear(h, u, d)).tanh(), c


STEPS = {nn.LSTM: lstm, nn.GRU: gru, nn.RNN: rnn}


class Recurrent(nn.Module):
    """A recurrent layer over the frames' mean features: torch's module, or its weights in a loop in Python."""

    def __init__(self, kind, layers, both, written):
        super().__init__()
        self.conv = nn.Conv3d(3, 6, (1, 3, 3), padding=(0, 1, 1))
        self.layer = kind(6, 5, layers, batch_first=True, bidirectional=both)
        self.fc = nn.Linear(10 if both else 5, 3)
        self.step, self.written = STEPS[kind], written

    def recur(self, x, suffix):
        weights = [getattr(self.layer, f"{name}_{suffix}") for name in ("weight_ih", "weight_hh", "bias_ih", "bias_hh")]
        h = c = x.new_zeros(len(x), self.layer.hidden_size)
        steps = []
        for t in reversed(range(x.shape[1])) if suffix.endswith("reverse") else range(x.shape[1]):
            h, c = self.step(x[:, t], h, c, *weights)
            steps.append(h)
        return torch.stack(steps[::-1] if suffix.endswith("reverse") else steps, 1)

    def frame_logits(self, x):
        x = F.relu(self.conv(x)).mean((3, 4)).transpose(1, 2)
        if not self.written:
            return self.fc(self.layer(x)[0])
        for number in range(self.layer.num_layers):
            ways = ["", "_reverse"] if self.layer.bidirectional else [""]
            x = torch.cat([self.recur(x, f"l{number}{way}") for way in ways], -1)
        return self.fc(x)


def row_error(model, x, target=1, **options):
    """Return the largest difference between row sums and logits, as a share of the largest logit."""
    A = relevance.relevance_matrix(model, x, target, method="lrp", **options)
    logits = model.frame_logits(x)[..., target].detach()
    return ((A.sum(2) - logits).abs().max() / logits.abs().max()).item()


@pytest.mark.parametrize("written", [False, True], ids=["module", "written"])
@pytest.mark.parametrize("both", [False, True], ids=["forward", "both"])
@pytest.mark.parametrize("layers", [1, 2])
@pytest.mark.parametrize("kind", STEPS)
def test_rows_of_recurrent_networks_sum_to_the_logits(kind, layers, both, written):
    torch.manual_seed(0)
    model, x = Recurrent(kind, layers, both, written).double().eval(), clip(3, size=6, batch=2, dtype=torch.float64)
    with torch.no_grad():
        if written:
            y = F.relu(model.conv(x)).mean((3, 4)).transpose(1, 2)
            assert torch.allclose(model.fc(model.layer(y)[0]), model.frame_logits(x))
    assert row_error(model, x) < 1e-6
    A = relevance.relevance_matrix(model, x, 1, method="lrp")
    assert (A[:, -1] != 0).all() and (both or torch.equal(A, A.tril()))


class Mean(Recurrent):
    """The mean over time in front of the classifier, and no frame logits."""

    frame_logits = None

    def forward(self, x):
        return self.fc(self.layer(F.relu(self.conv(x)).mean((3, 4)).transpose(1, 2))[0].mean(1))


CELLS = {nn.LSTM: nn.LSTMCell, nn.GRU: nn.GRUCell, nn.RNN: nn.RNNCell}


class Cells(Mean):
    """The same by torch's cells in a loop."""

    def __init__(self, kind):
        super().__init__(kind, 1, False, False)
        self.cell = CELLS[kind](6, 5)
        self.cell.load_state_dict({name[:-3]: value for name, value in self.layer.state_dict().items()})

    def forward(self, x):
        state, found = None, []
        for part in F.relu(self.conv(x)).mean((3, 4)).transpose(1, 2).unbind(1):
            state = self.cell(part, state)
            found.append(state[0] if isinstance(state, tuple) else state)
        return self.fc(torch.stack(found, 1).mean(1))


@pytest.mark.parametrize("kind", STEPS)
def test_a_mean_behind_a_recurrent_layer_is_moved_behind_the_classifier_and_cells_are_such_layers(kind):
    torch.manual_seed(0)
    cells = Cells(kind).double().eval()
    mean, own = Mean(kind, 1, False, False).double().eval(), Recurrent(kind, 1, False, False).double().eval()
    for net in (mean, own):
        net.load_state_dict(cells.state_dict(), strict=False)
    x = clip(4, size=6, batch=2, dtype=torch.float64)
    wanted = relevance.relevance_matrix(own, x, 1)
    assert torch.allclose(cells(x), mean(x)) and (wanted - wanted.diagonal(dim1=1, dim2=2).diag_embed()).max() > 0
    for net in (mean, cells):
        assert relevance.rows_of(net, x, 1).kind == "logits"
        assert torch.allclose(relevance.relevance_matrix(net, x, 1), wanted, atol=1e-9)


class Written(nn.Module):
    """Frame logits by an expression of four signals and constants, given as a function."""

    def __init__(self, function):
        super().__init__()
        self.conv, self.fc, self.function = nn.Conv3d(3, 20, (1, 3, 3), padding=(0, 1, 1)), nn.Linear(5, 3), function

    def signals(self, clip):
        return self.conv(clip).mean((3, 4)).transpose(1, 2).chunk(4, -1)  # [B, T, 5] each

    def frame_logits(self, clip):
        return self.fc(self.function(*self.signals(clip)))


C = torch.tensor([0.5, -2.0, 0.0, 3.0, 1.0], dtype=torch.float64)
TAKES_ALL = {  # the same value written in two ways has the same relevance: the constant takes nothing
    "c - x": (lambda a, *_: C - a, lambda a, *_: -a + C),
    "2 - x": (lambda a, *_: 2 - a, lambda a, *_: torch.add(-a, 2)),
    "rsub": (lambda a, *_: torch.rsub(a, C, alpha=3), lambda a, *_: -3 * a + C),
    "alpha": (lambda a, *_: torch.add(C, a, alpha=-2), lambda a, *_: C + a * -2),
    "broadcast": (lambda a, *_: C - a[..., :1], lambda a, *_: (-a[..., :1]).expand(a.shape) + C),
    "x - y": (lambda a, b, *_: torch.sub(a, b, alpha=-2), lambda a, b, *_: a + 2 * b),
    "gate": (lambda a, b, *_: (1 - b.sigmoid()) * a, lambda a, b, *_: (-b).sigmoid() * a),
    "gates": (
        lambda a, b, c, _: a * (3 - b.sigmoid() - c.sigmoid()) / 2,
        lambda a, b, c, _: 0.5 * ((1 - c.sigmoid()) + (2 - b.sigmoid())) * a,
    ),
    "share of gates": (
        lambda a, b, *_: a * (0.5 * b.sigmoid() / b.sigmoid().mean(1, keepdim=True)),
        lambda a, b, *_: b.sigmoid() * a / b.sigmoid().sum(1, keepdim=True) * (0.5 * b.shape[1]),
    ),
}


@pytest.mark.parametrize("name", TAKES_ALL)
def test_a_constant_takes_nothing_whatever_the_sign_of_the_signal(name):
    found = []
    for function in TAKES_ALL[name]:
        torch.manual_seed(0)
        model, x = Written(function).double().eval(), clip(3, size=5, dtype=torch.float64)
        found.append(relevance.pixel_relevance(model, x, 1, method="lrp"))
        assert row_error(model, x) < 1e-9
        logits = model.frame_logits(x)[..., 1]
        provenance = relevance.frame_provenance(model, x, method="lrp")[:, :, 1]
        assert torch.allclose(provenance.sum(2), logits)
    assert torch.allclose(found[0], found[1], rtol=1e-9, atol=1e-12)


number = st.floats(-3, 3).filter(lambda c: abs(c) > 0.1)
constant = st.one_of(number, st.sampled_from(["C", "C[:1]"]))


def signal(inner):
    """Grow strategies for expressions that hold a signal, as Python source."""
    one = [
        st.builds("({} - {})".format, constant, inner),
        st.builds("({} - {})".format, inner, constant),
        st.builds("({} + {})".format, constant, inner),
        st.builds("torch.rsub({}, C, alpha={})".format, inner, number),
        st.builds("({} * {})".format, constant.filter(lambda c: c != "C"), inner),
        st.builds("({} / {})".format, inner, number),
        st.builds("(-{})".format, inner),
        st.builds("{}.tanh()".format, inner),
    ]
    two = [
        st.builds("({} + {})".format, inner, inner),
        st.builds("({} - {})".format, inner, inner),
        st.builds("torch.sub({}, {}, alpha={})".format, inner, inner, number),
        st.builds("torch.rsub({}, {}, alpha={})".format, inner, inner, number),
        st.builds("({} * {}.sigmoid())".format, inner, inner),
        st.builds("((1 - {}.sigmoid()) * {})".format, inner, inner),
        st.builds("torch.cat([{}, {}], -1)[..., 2:7]".format, inner, inner),
    ]
    return st.one_of(*one, *two)


@settings(
    max_examples=30,
    deadline=None,
    derandomize=True,
    phases=[Phase.explicit, Phase.generate],
    suppress_health_check=list(HealthCheck),
)
@given(st.recursive(st.sampled_from(["a", "b", "c", "d"]), signal, max_leaves=7), st.integers(0, 10**6))
def test_rows_of_any_expression_of_constants_and_signals_sum_to_the_logits(source, seed):
    torch.manual_seed(seed)
    function = eval(f"lambda a, b, c, d: {source}", {"torch": torch, "C": C})
    model, x = Written(function).double().eval(), clip(2, size=4, seed=seed, dtype=torch.float64)
    with torch.no_grad():
        values = model.function(*model.signals(x))
    ledger = relevance.ledger(model, x, 1)
    lost = ledger[["bias", "dead"]].abs().to_numpy().sum()
    assert lost == pytest.approx(0, abs=1e-6 * ledger["in"].abs().max()), values
    assert row_error(model, x) < 1e-6 * max(1, ledger["in"].abs().max() / abs(ledger.attrs["logits"]))


class Attending(nn.Module):
    """Attention over frames, fused or written out."""

    def __init__(self, fused):
        super().__init__()
        self.conv, self.fc, self.fused = nn.Conv3d(3, 4, 1), nn.Linear(4, 3), fused

    def frame_logits(self, clip):
        x = self.conv(clip).mean((3, 4)).transpose(1, 2)
        if self.fused:
            return self.fc(F.scaled_dot_product_attention(x, x, x))
        return self.fc((x @ x.transpose(1, 2) / 2).softmax(-1) @ x)


def test_fused_attention_has_the_rules_of_attention_written_out():
    torch.manual_seed(0)
    fused, written, x = Attending(True).eval(), Attending(False).eval(), clip()
    written.load_state_dict(fused.state_dict())
    assert torch.allclose(written.frame_logits(x), fused.frame_logits(x), atol=1e-6)
    for rules in ("auto", "paper"):
        A, B = (relevance.relevance_matrix(net, x, 0, method="lrp", rules=rules) for net in (fused, written))
        assert torch.allclose(A, B, atol=1e-4 * float(A.abs().max()))
    assert row_error(fused, x, rules="paper") < 1e-4 and row_error(written, x, rules="paper") < 1e-4
    with pytest.raises(InputError, match="taken apart into matmul, softmax and matmul"):
        relevance.relevance_matrix(fused, x, 0, rules={"scaled_dot_product_attention": relevance.Identity()})


def test_identity_is_only_advised_where_one_input_has_the_outputs_shape():
    class Two(nn.Module):
        def __init__(self, function):
            super().__init__()
            self.function, self.conv, self.fc = function, nn.Conv3d(3, 4, 1), nn.Linear(4, 3)

        def frame_logits(self, clip):
            x = self.conv(clip).mean((3, 4)).transpose(1, 2)
            return self.fc(self.function(x, x.cos()))

    advised = {
        lambda x, y: torch.sort(x, 1).values: True,
        lambda x, y: torch.hypot(x, y): False,
        lambda x, y: x * y: False,
        lambda x, y: torch.atan2(x, y): False,
    }
    for function, expected in advised.items():
        with pytest.raises(InputError, match="Exclude") as said:
            relevance.coverage(Two(function).eval(), clip())
        assert ("Identity()" in str(said.value)) == expected
