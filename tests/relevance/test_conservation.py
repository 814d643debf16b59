"""Nothing is lost: rows of the LRP matrix sum to the frame logits, on every network and odd operation."""

import pytest
import torch
import torchvision
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from torch import nn

from paperlib import models, relevance

from .networks import (
    Folded,
    Frames,
    Pools,
    Recurrent,
    Residual,
    ShiftInPlace,
    SqueezeExcitation,
    Torchvision,
    TorchvisionS3D,
    Twice,
    clip,
    plain,
    settle,
)

pytestmark = pytest.mark.numerics


def row_error(model, x, targets, **options):
    """Return the largest difference between row sums and logits, as a share of the largest logit."""
    with torch.no_grad():
        logits = model.frame_logits(x)[torch.arange(len(x)), :, torch.tensor(targets)]
    A = relevance.relevance_matrix(model, x, targets, method="lrp", **options)
    assert A.shape == (*logits.shape, x.shape[2])
    return ((A.sum(2) - logits).abs().max() / logits.abs().max()).item()


NAMES = [
    "I3D-R18-f4",
    "TAM2D-R18-f4",
    "S3D-R18-f8-tp",
    *(
        pytest.param(name, marks=pytest.mark.slow)
        for name in ("TAM2D-R50-f4", "TSM-R50-f4", "NLN-R50-f4", "TSN-R18-f4-tp", "TAM2D-Inc-f4", "I3D-Inc-f8-tp")
    ),
]


@pytest.mark.parametrize("name", NAMES)
def test_rows_of_the_projects_networks_sum_to_the_logits(name):
    torch.manual_seed(0)
    model = settle(models.create(name, num_classes=5, width=8))
    x = clip(model.num_frames, size=48, batch=2)
    assert row_error(model, x, [1, 3]) < 1e-3


@pytest.mark.parametrize(
    "name",
    ["r3d_18", pytest.param("mc3_18", marks=pytest.mark.slow), pytest.param("r2plus1d_18", marks=pytest.mark.slow)],
)
def test_rows_of_torchvision_networks_sum_to_the_logits(name):
    torch.manual_seed(0)
    model = settle(Torchvision(getattr(torchvision.models.video, name)(num_classes=6)))
    assert row_error(model, clip(8, size=24), [2]) < 1e-3


@pytest.mark.slow
def test_rows_of_torchvision_s3d_sum_to_the_logits():
    torch.manual_seed(0)
    model = settle(TorchvisionS3D(torchvision.models.video.s3d(num_classes=6)))
    assert row_error(model, clip(16, size=64), [2]) < 1e-3


def test_rows_of_a_plain_network_sum_to_the_logits():
    torch.manual_seed(0)
    assert row_error(plain(8).eval(), clip(6, size=20, batch=3), [0, 1, 2]) < 1e-4


def test_rows_of_an_lstm_sum_to_the_logits():
    torch.manual_seed(0)
    model = Recurrent().double().eval()
    x = clip(5, dtype=torch.float64)
    assert row_error(model, x, [1]) < 1e-9
    A = relevance.relevance_matrix(model, x, 1, method="lrp")[0]
    assert torch.equal(A, A.tril()) and (A[-1, :-1] != 0).all()  # past frames count, future ones do not


def test_the_maps_of_a_contrast_conserve_separately():
    torch.manual_seed(0)
    model = plain(8).eval()
    x = clip(4)
    logits = model.frame_logits(x)[0, :, 2]
    for method in ("lrp", "dual"):
        R = relevance.pixel_relevance(model, x, 2, method=method)
        assert torch.allclose(R.sum((2, 3, 4, 5))[0], logits, rtol=1e-4, atol=1e-6)


BLOCKS = {
    "residual": lambda c: Residual(c),
    "grouped": lambda c: Residual(c, groups=2),
    "dilated": lambda c: Residual(c, dilation=2),
    "twice": lambda c: Twice(c),
    "gate": lambda c: SqueezeExcitation(c),
    "shift": lambda c: ShiftInPlace(),
    "folded": lambda c: Folded(c, 3),
    "pools": lambda c: Pools(),
    "activation": lambda c: nn.GELU(),
    "norm": lambda c: nn.GroupNorm(2, c),
    "up": lambda c: nn.Upsample(scale_factor=(1, 2, 2), mode="trilinear"),
    "transposed": lambda c: nn.ConvTranspose3d(c, c, (1, 2, 2), stride=(1, 2, 2)),
    "same": lambda c: nn.Conv3d(c, c, (2, 3, 3), padding="same"),
    "dropout": lambda c: nn.Dropout3d(0.5),
}


@settings(
    max_examples=12,
    deadline=None,
    derandomize=True,
    phases=[Phase.explicit, Phase.generate],
    suppress_health_check=list(HealthCheck),
)
@given(st.lists(st.sampled_from(sorted(BLOCKS)), min_size=1, max_size=4), st.integers(0, 10**6))
def test_rows_of_any_small_network_sum_to_the_logits(names, seed):
    torch.manual_seed(seed)
    blocks = [BLOCKS[name](4) for name in names]
    trunk = nn.Sequential(nn.Conv3d(3, 4, (1, 3, 3), padding=(0, 1, 1)), nn.ReLU(), *blocks)
    model = settle(Frames(trunk, 4, 3).double(), seed)
    x = clip(3, size=6, seed=seed, batch=2, dtype=torch.float64)
    if {"folded", "shift"} & set(names):  # their padding may share where all is zero, and the ledger knows
        ledger = relevance.ledger(model, x, [0, 2])
        assert ledger.stabiliser.abs().max() < 1e-9
        assert ledger.attrs["logits"] - ledger.attrs["clip"] == pytest.approx(ledger.bias.sum(), abs=1e-9)
    else:
        assert row_error(model, x, [0, 2]) < 1e-6


@pytest.mark.parametrize("name", sorted(BLOCKS))
def test_every_kind_of_block_conserves_alone(name):
    torch.manual_seed(1)
    trunk = nn.Sequential(nn.Conv3d(3, 4, 3, padding=1), nn.ReLU(), BLOCKS[name](4))
    model = settle(Frames(trunk, 4, 3).double())
    assert row_error(model, clip(3, size=6, batch=2, dtype=torch.float64), [0, 2]) < 1e-9


def test_training_mode_is_used_as_evaluation_mode_and_restored():
    torch.manual_seed(0)
    model = settle(
        Frames(nn.Sequential(nn.Conv3d(3, 4, 3, padding=1), nn.BatchNorm3d(4), nn.ReLU(), nn.Dropout(0.5)), 4)
    )
    x = clip()
    expected = relevance.relevance_matrix(model, x, 1)
    model.train()
    model.trunk[1].eval()
    assert torch.equal(relevance.relevance_matrix(model, x, 1), expected)
    assert model.training and model.trunk[3].training and not model.trunk[1].training


def test_weights_are_read_live():
    torch.manual_seed(0)
    model = plain().eval()
    x = clip()
    before = relevance.relevance_matrix(model, x, 1, method="lrp")
    with torch.no_grad():
        for p in model.parameters():
            p.add_(0.05)
    assert not torch.allclose(relevance.relevance_matrix(model, x, 1, method="lrp"), before)
    assert row_error(model, x, [1]) < 1e-4
    model.fc = nn.Linear(8, 2)
    assert row_error(model, x, [1]) < 1e-4


def test_portions_and_batches_do_not_change_the_result():
    torch.manual_seed(0)
    model = settle(Frames(nn.Sequential(nn.Conv3d(3, 4, 3, padding=1), nn.ReLU(), Residual(4)), 4).double())
    x = clip(5, batch=4, dtype=torch.float64)
    targets = torch.tensor([0, 3, 1, 2])
    A = relevance.relevance_matrix(model, x, targets)
    for memory in (1, 300_000, 5_000_000):
        assert torch.allclose(relevance.relevance_matrix(model, x, targets, memory=memory), A)
    order = torch.tensor([2, 0, 3, 1])
    assert torch.allclose(relevance.relevance_matrix(model, x[order], targets[order]), A[order])
    for b in range(4):
        assert torch.allclose(relevance.relevance_matrix(model, x[b : b + 1], [targets[b]])[0], A[b])


@pytest.mark.parametrize(
    "make",
    [
        lambda: models.create("SlowFast-R50-8x8", num_classes=3, width=8),
        lambda: Frames(nn.Sequential(Pools(), Residual(3)), 3),
        lambda: models.create("C-LSTM-f8", num_classes=3, width=4, size=24, layers=2),
        lambda: models.create("I3D-R18-f8", num_classes=3, width=4),
    ],
    ids=["SlowFast", "pools", "C-LSTM", "I3D"],
)
def test_targets_that_go_on_in_halves_do_not_change_the_result(make, monkeypatch):
    """As they do on a CPU where their relevance gets large, with or without a branch that waits beside."""
    from paperlib.relevance import engine, held

    torch.manual_seed(0)
    model = settle(make()).double()
    x = clip(getattr(model, "num_frames", 4), size=24, batch=2, dtype=torch.float64)
    whole = relevance.relevance_matrix(model, x, 1)
    seen, halves = [], held.halves
    monkeypatch.setattr(engine, "halves", lambda r: seen.append(r) or halves(r))
    monkeypatch.setattr(held, "CPU_COMFORT", 1000)
    assert torch.allclose(relevance.relevance_matrix(model, x, 1), whole)
    assert seen
