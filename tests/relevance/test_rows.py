"""Rows of networks without frame_logits: a mean moved behind the classifier, or the logit cut into time steps."""

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from paperlib import models, relevance
from paperlib.errors import InputError
from paperlib.models.torchvision_video import TorchvisionVideo
from tests.models import others
from tests.models.test_adapt import Whole
from tests.relevance.networks import clip, plain, settle

pytestmark = pytest.mark.numerics

NETWORKS = {  # name: (frames, size, options): one of every kind that averages over time
    "TSN-R18-f4": (4, 32, {}),
    "TAM2D-R18-f4": (4, 32, {}),
    "TSM-R18-f4-tp": (4, 32, {}),
    "I3D-R18-f4": (4, 32, {}),
    "S3D-R18-f4": (4, 32, {}),
    "I3D-Inc-f8": (8, 64, {}),
    "NLN-R18-f4": (4, 32, {}),
    "I3D-original-f16": (16, 64, {}),
    "C-LSTM-f4": (4, 32, dict(size=32, layers=2)),
}


class Hidden(nn.Module):
    """A network without its frame_logits."""

    def __init__(self, net):
        super().__init__()
        self.net = net

    def forward(self, x):
        return self.net(x)


class MeanFirst(Hidden):
    """A network that averages over time and space in front of its classifier, as most others do."""

    def forward(self, x):
        return self.net.fc(self.net.features(x).mean((2, 3, 4)))


def network(name):
    frames, size, options = NETWORKS[name]
    torch.manual_seed(0)
    net = settle(models.create(name, num_classes=5, width=8, **options))
    return net, clip(frames, size)


LARGE = {"I3D-Inc-f8", "I3D-original-f16"}  # recorded in ten seconds or more


@pytest.mark.parametrize("name", [pytest.param(n, marks=[pytest.mark.slow] * (n in LARGE)) for n in NETWORKS])
def test_rows_are_the_frame_logits_that_were_written_by_hand(name):
    net, x = network(name)
    expected = net.frame_logits(x).detach()
    forms = [Hidden] if name == "C-LSTM-f4" else [Hidden, MeanFirst]  # whose classifier sees the whole sequence
    for form in forms:
        for k in (0, 3):
            rows = relevance.rows_of(form(net).eval(), x, [k])
            assert rows.kind == "logits" and rows.steps == expected.shape[1]
            assert torch.allclose(rows.values, expected[..., k], atol=1e-6 * float(expected.abs().max()))


@pytest.mark.parametrize("method", ["clrp", "lrp", "dual"])
def test_a_mean_in_front_of_the_classifier_gives_the_matrix_of_the_frame_logits(method):
    torch.manual_seed(0)
    net, x = plain(), clip(5, 12, batch=2)

    class First(nn.Module):
        def __init__(self):
            super().__init__()
            self.net, self.drop = net, nn.Dropout()

        def forward(self, x):
            pooled = F.adaptive_avg_pool3d(self.net.trunk(x), 1).flatten(1)
            return F.linear(self.drop(pooled), self.net.fc.weight, self.net.fc.bias)

    one, other = (relevance.relevance_matrix(n, x, [1, 2], method) for n in (net, First()))
    assert torch.allclose(one, other, atol=1e-6 * float(one.abs().max()))
    maps = [relevance.pixel_relevance(n, x, [1, 2], method) for n in (net, First())]
    assert torch.allclose(*maps, atol=1e-6 * float(maps[0].abs().max()))
    parts = [relevance.frame_provenance(n, x, method) for n in (net, First())]
    assert torch.allclose(*parts, atol=1e-6 * float(parts[0].abs().max()))


@pytest.mark.slow
def test_torchvisions_s3d_has_the_rows_of_its_adapter():
    net, x = others.s3d()
    adapter = TorchvisionVideo(net, 24).eval()
    rows = relevance.rows_of(net, x, [2])
    assert rows.steps == 2  # of three steps, neighbours are averaged
    assert torch.allclose(rows.values, adapter.frame_logits(x)[..., 2], atol=1e-6)


def test_a_mean_that_is_no_plain_mean_is_not_moved():
    class Weighted(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv, self.fc = nn.Conv3d(3, 4, (1, 4, 4), (1, 4, 4)), nn.Linear(4, 3)

        def forward(self, x):
            x = self.pooled(F.relu(self.conv(x)).mean((3, 4)))
            return self.fc(x)

    class Twice(Weighted):
        def pooled(self, x):  # the steps in the middle count twice as much
            return F.avg_pool1d(x, 2, 1).mean(2)

    class Normed(Weighted):
        def pooled(self, x):
            return F.layer_norm(x.mean(2), (4,))

    class Last(Weighted):
        def pooled(self, x):
            return x[:, :, -1]

    torch.manual_seed(0)
    x = clip(4, 8)
    rows = relevance.rows_of(Twice(), x, [1])  # of the averaged pairs, all count the same
    assert (rows.kind, rows.steps) == ("logits", 3)
    for kind in (Normed, Last):
        rows = relevance.rows_of(kind(), x, [1])
        assert (rows.kind, rows.steps) == ("split", 4)
        with pytest.raises(InputError, match=f"{kind.__name__} has no frame logits: .*use rows='split'"):
            relevance.relevance_matrix(kind(), x, [1], rows="logits")
        with pytest.raises(InputError, match="has no frame logits"):
            relevance.frame_provenance(kind(), x)
    assert (rows.values[:, :3] == 0).all() and rows.values[:, 3].abs() > 0  # only the last step counts


class Small(nn.Module):
    """A convolution per frame, a ReLU, the mean over time and space, a linear layer; no biases."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.conv, self.fc = nn.Conv3d(3, 4, (1, 2, 2), (1, 2, 2), bias=False), nn.Linear(4, 3, bias=False)

    def forward(self, x):
        return self.fc(F.relu(self.conv(x)).mean((2, 3, 4)))


def test_split_rows_equal_the_definition_written_out():
    net, x = Small().double(), clip(4, 4, dtype=torch.float64)
    low, high = (
        (torch.tensor([end] * 3) - torch.tensor([0.485, 0.456, 0.406])) / torch.tensor([0.229, 0.224, 0.225])
        for end in (0, 1)
    )
    low, high = (bound.double().view(3, 1, 1, 1) for bound in (low, high))
    a = F.relu(net.conv(x))[0]  # [C, T, H, W]
    mean = a.mean((1, 2, 3))
    logit = net.fc.weight[1] @ mean
    positive = mean * net.fc.weight[1].clamp(min=0)
    at_mean = positive / positive.sum() * logit  # z+ at the classifier, [C]
    each = at_mean[:, None, None, None] * a / a.sum((1, 2, 3), keepdim=True)  # shares of an average
    expected = torch.zeros(4, 4, dtype=torch.float64)
    w = net.conv.weight[:, :, 0]  # [C, 3, 2, 2]
    for t in range(4):
        for c in range(4):
            for i in range(2):
                for j in range(2):  # z-beta; kernels do not overlap
                    part = x[0, :, t, 2 * i : 2 * i + 2, 2 * j : 2 * j + 2]
                    share = part * w[c] - low[:, 0] * w[c].clamp(min=0) - high[:, 0] * w[c].clamp(max=0)
                    expected[t, t] += (share / share.sum() * each[c, t, i, j]).sum()
    found = relevance.relevance_matrix(net, x, [1], "lrp", rows="split")
    assert torch.allclose(found[0], expected.detach(), atol=1e-9)
    rows = relevance.rows_of(net, x, [1], rows="split")
    assert torch.allclose(rows.values[0], each.sum((0, 2, 3)).detach()) and torch.isclose(rows.values.sum(), logit)


def test_both_definitions_agree_for_the_epsilon_rule_without_biases_only():
    net, x = Small().double(), clip(5, 8, dtype=torch.float64)
    epsilon = {nn.Linear: relevance.Epsilon(), nn.Conv3d: relevance.Epsilon()}
    logits, split = (relevance.relevance_matrix(net, x, [1], "lrp", epsilon, rows=rows) for rows in ("logits", "split"))
    assert torch.allclose(logits / 5, split, atol=1e-9 * float(split.abs().max()))
    logits, split = (relevance.relevance_matrix(net, x, [1], rows=rows) for rows in ("logits", "split"))
    assert not torch.allclose(logits / 5, split, rtol=0.02)


def test_a_network_that_classifies_each_step_has_both_the_same_up_to_the_number_of_steps():
    net, x = network("TAM2D-R18-f4")
    logits, split = (relevance.relevance_matrix(net, x, [1], rows=rows) for rows in ("logits", "split"))
    assert torch.allclose(logits / 4, split, atol=1e-5 * float(split.max()))


class Tokens(nn.Module):
    """Tokens of frame pairs with a class token in front (or behind), one attention, the token's logits."""

    def __init__(self, front=True):
        super().__init__()
        torch.manual_seed(0)
        self.front = front
        self.embed = nn.Conv3d(3, 6, (2, 4, 4), (2, 4, 4), bias=False)
        self.token = nn.Parameter(torch.randn(1, 1, 6))
        self.mix, self.qk, self.v = (nn.Linear(6, 6, bias=False) for _ in range(3))
        self.fc = nn.Linear(6, 3, bias=False)

    def forward(self, x):
        x = F.relu(self.embed(x)).flatten(2).transpose(1, 2)
        token = self.token.expand(len(x), 1, 6)
        x = torch.cat([token, x] if self.front else [x, token], 1)
        x = x + F.relu(self.mix(x))
        keys = self.qk(x)
        x = x + (keys @ keys.transpose(1, 2)).softmax(2) @ self.v(x)
        x = x + F.relu(self.mix(x))
        return self.fc(x[:, 0 if self.front else -1])


VALUES = {"matmul": relevance.SignalTakesAll(1)}  # attention's values take all, so that nothing is lost


class Sequence(nn.Module):
    """A class token and one token per frame, or these alone, through torch's own layers; `order` of the axes inside."""

    def __init__(self, kind, token=False):
        super().__init__()
        torch.manual_seed(0)
        self.conv, self.fc = nn.Conv3d(3, 6, (1, 4, 4), (1, 4, 4)), nn.Linear(6, 3)
        self.token = nn.Parameter(torch.randn(1, 1, 6)) if token else None
        if kind == "encoder":  # time first, its default
            layer = nn.TransformerEncoderLayer(6, 2, 8)
            self.inside, self.first = nn.TransformerEncoder(layer, 2, enable_nested_tensor=False), True
        else:
            self.inside, self.first = getattr(nn, kind)(6, 6, batch_first=True), False

    def forward(self, x):
        x = F.relu(self.conv(x)).mean((3, 4)).transpose(1, 2)
        if self.token is not None:
            x = torch.cat([self.token.expand(len(x), 1, 6), x], 1)
        x = self.inside(x.transpose(0, 1)).transpose(0, 1) if self.first else self.inside(x)[0]
        return self.fc(x[:, 0] if self.token is not None else x.amax(1) if self.first else x[:, -1])


class TimeFirst(Sequence):
    """A class token in front of the frames' tokens, [T + 1, B, C] from there on."""

    def forward(self, x):
        x = F.relu(self.conv(x)).mean((3, 4)).permute(2, 0, 1)
        return self.fc(self.inside(torch.cat([self.token.expand(1, x.shape[1], 6), x]))[0])


@pytest.mark.parametrize("kind", ["LSTM", "GRU", "encoder", "token"])
@pytest.mark.parametrize("frames", [4, 5])
def test_what_rows_start_from_is_that_of_each_clip_wherever_the_batch_axis_is(kind, frames):
    net = TimeFirst("encoder", True).eval() if kind == "token" else Sequence(kind).eval()
    x = clip(frames, 8, batch=3)
    together = relevance.rows_of(net, x, [0, 1, 2]).values
    alone = torch.cat([relevance.rows_of(net, x[k : k + 1], [k]).values for k in range(3)])
    assert torch.allclose(together, alone, atol=1e-6) and not torch.allclose(together[0], together[1], atol=1e-3)


@pytest.mark.parametrize("views", ["cat", "stack", "repeat"])
def test_views_of_a_clip_in_the_batch_are_views_of_it(views):
    class Averaging(Sequence):
        def forward(self, x):
            if views == "cat":
                return super().forward(torch.cat([x, x.flip(-1)])).view(2, len(x), 3).mean(0)
            if views == "stack":
                return super().forward(torch.stack([x, x.flip(-1)], 1).flatten(0, 1)).view(len(x), 2, 3).mean(1)
            return super().forward(x.repeat(2, 1, 1, 1, 1)).view(2, len(x), 3).mean(0)

    net, x = Averaging("encoder").eval(), clip(4, 8, batch=3)
    together = relevance.rows_of(net, x, [0, 1, 2])
    alone = torch.cat([relevance.rows_of(net, x[k : k + 1], [k]).values for k in range(3)])
    assert together.steps == 4 and torch.allclose(together.values, alone, atol=1e-6)
    assert not torch.allclose(alone[0], alone[1], atol=1e-3)
    if views == "repeat":  # twice the same
        once = relevance.rows_of(Sequence("encoder").eval(), x, [0, 1, 2]).values
        assert torch.allclose(together.values, once, atol=1e-6)


def test_a_class_token_beside_one_token_per_frame_is_no_time_step():
    net, x = Sequence("encoder", token=True).eval(), clip(5, 8, batch=2)
    rows = relevance.rows_of(net, x, [0, 1])
    assert rows.steps == 5 and rows.names[-1] == "class token"
    matrix = relevance.relevance_matrix(net, x, [0, 1])
    assert matrix.shape == (2, 6, 5) and (matrix[:, :5].sum(2) > 0).any()


@pytest.mark.parametrize("front", [True, False])
@pytest.mark.parametrize("batch", [1, 3])
def test_a_class_tokens_own_way_is_a_row_of_its_own(front, batch):
    net, x = Tokens(front), clip(6, 8, batch=batch)
    rows = relevance.rows_of(net, x, rules=VALUES)
    assert rows.names == ("step 0", "step 1", "step 2", "class token") and rows.steps == 3
    targets = net(x).argmax(1)
    assert torch.allclose(rows.values.sum(1), net(x).amax(1), atol=1e-5)
    matrix = relevance.relevance_matrix(net, x, targets, "lrp", VALUES)
    piece = relevance.relevance_matrix(Whole(net), x, targets, "lrp", VALUES)[:, 0]
    assert torch.allclose(matrix.sum(1), piece, atol=1e-5)
    for i in range(3):  # in front of the attention nothing mixes time: a pair of frames per step
        assert matrix[:, i, 2 * i : 2 * i + 2].abs().sum() > 0
        assert torch.allclose(matrix[:, i].sum(1), matrix[:, i, 2 * i : 2 * i + 2].sum(1), atol=1e-6)
    assert not matrix[:, 3].any()  # the token is a constant there
    found = relevance.atr(matrix[:, : rows.steps], rows.values[:, : rows.steps])
    assert (found.frames <= 2).all()


EMBEDDINGS = {  # what stands in front of the first mixing of time, and the frames per step
    "videomae": ("net.videomae.embeddings", 2),
    "timesformer": ("net.timesformer.embeddings", 1),
    "vjepa2": ("net.vjepa2.encoder.embeddings", 2),
    "vivit": ("net.vivit.embeddings", 2),
    "swin3d": ("net.patch_embed", 2),
}


@pytest.mark.parametrize("name", [pytest.param(n, marks=[pytest.mark.slow] * (n == "swin3d")) for n in EMBEDDINGS])
def test_steps_are_their_own_frames_however_a_network_lays_them_out(name):
    torch.manual_seed(0)
    net, x = getattr(others, name)()
    adapted = models.adapt(net, x)
    path, size = EMBEDDINGS[name]
    rows = relevance.rows_of(adapted, x, [1], split=path)
    assert rows.steps == 8 // size and path in rows.where
    matrix = relevance.relevance_matrix(adapted, x, [1], "lrp", split=path)[0]
    belongs = torch.zeros_like(matrix, dtype=torch.bool)
    for i in range(rows.steps):
        belongs[i, i * size : (i + 1) * size] = True
    assert matrix[belongs].abs().min() > 0 and not matrix[~belongs].any()


def test_the_last_state_of_a_recurrent_network_is_the_row_of_its_last_step():
    class Recurrent(nn.Module):
        def __init__(self):
            super().__init__()
            torch.manual_seed(0)
            self.conv, self.lstm = nn.Conv3d(3, 6, (1, 4, 4), (1, 4, 4)), nn.LSTM(6, 5, batch_first=True)
            self.fc = nn.Linear(5, 3)

        def forward(self, x):
            x = F.relu(self.conv(x)).mean((3, 4)).transpose(1, 2)
            return self.fc(self.lstm(x)[0][:, -1])

    net, x = Recurrent(), clip(4, 8)
    rows = relevance.rows_of(net, x, [1])
    assert (rows.kind, rows.steps, len(rows.names)) == ("split", 4, 4)
    matrix = relevance.relevance_matrix(net, x, [1], "lrp")[0]
    assert not matrix[:3].any() and (matrix[3] != 0).all()
    assert torch.allclose(rows.values, torch.tensor([[0, 0, 0, 1.0]]) * net(x)[0, 1], atol=1e-6)
    apart = relevance.relevance_matrix(net, x, [1], "lrp", split="conv")[0]  # in front of it steps are frames
    assert torch.allclose(apart, apart.diag().diag(), atol=1e-7) and (apart.diag() != 0).all()
    assert torch.allclose(apart.sum(0), matrix.sum(0), atol=1e-6)


def test_reports_say_which_definition_the_rows_follow():
    net, x = Small().requires_grad_(False), clip(4, 8)
    report = relevance.coverage(net, x)
    assert report.attrs["rows"].startswith("logits: ") and "in front of fc" in report.attrs["rows"]
    report = relevance.coverage(net, x, split="conv")
    assert report.attrs["rows"].startswith("split: ") and report.attrs["rows"].endswith("what conv returns")
    assert report.role.tolist()[0] == "input layer, rows"
    assert relevance.coverage(net, x, rows="split").query("role == 'rows'").operation.tolist() == ["relu"]
    for kind, total in (("logits", 4 * net(x)[0, 1]), ("split", net(x)[0, 1])):
        ledger = relevance.ledger(net, x, [1], rows=kind)
        assert ledger.attrs["rows"].startswith(kind) and ledger.attrs["logits"] == pytest.approx(float(total), rel=1e-5)
        assert ledger.attrs["clip"] == pytest.approx(float(total), rel=1e-4)
        assert ledger.stabiliser.abs().max() < 1e-4
        rows = relevance.rows_of(net, x, [1], rows=kind)
        assert list(ledger.attrs["each"]) == list(rows.names)
        starts, ends = torch.tensor(list(ledger.attrs["each"].values())).T
        assert torch.allclose(starts, rows.values[0], atol=1e-6) and torch.allclose(starts, ends, atol=1e-5)


@pytest.mark.parametrize(
    "options, message",
    [
        (dict(rows="frames"), "rows must be one of auto, logits, split"),
        (dict(split="nowhere"), "split names 'nowhere', but Tokens has no module of that path"),
        (dict(split="mix", rows="logits"), "which rows='logits' does not do"),
        (dict(split="fc"), r"what 'fc' returns, \[1, 3\], has no time axis"),
        (dict(split="v"), "relevance also goes around 'v'"),
    ],
)
def test_rows_that_there_are_not_are_refused(options, message):
    for function in (relevance.rows_of, relevance.relevance_matrix, relevance.pixel_relevance, relevance.ledger):
        with pytest.raises(InputError, match=message):
            function(Tokens(), clip(6, 8), [1], **options)


def test_batches_in_portions_give_the_same_rows():
    net, x = Tokens(), clip(6, 8, batch=3)
    whole = relevance.relevance_matrix(net, x, [0, 1, 2])
    parts = torch.cat([relevance.relevance_matrix(net, x[i : i + 1], [i], memory=10_000) for i in range(3)])
    assert torch.allclose(whole, parts, atol=1e-6 * float(whole.max()))


def test_log_probabilities_are_no_logits():
    pool = nn.AdaptiveAvgPool3d(1), nn.Flatten()
    net = nn.Sequential(nn.Conv3d(3, 4, 3), nn.ReLU(), *pool, nn.Linear(4, 3), nn.LogSoftmax(1))
    with pytest.raises(InputError, match="returns log-probabilities, which are never positive"):
        relevance.relevance_matrix(net, clip(4, 8), [1])
