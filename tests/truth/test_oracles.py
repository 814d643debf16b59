"""On networks that read known frames every right instrument scores 1, and those that know nothing score by chance."""

import numpy as np
import pytest
import torch

from paperlib import models, relevance, truth
from paperlib.errors import InputError
from paperlib.papers.statistics import bootstrap_interval
from paperlib.truth import instruments
from tests.relevance.networks import clip

pytestmark = pytest.mark.numerics

ONE, TWO = [(5, 9)], [(2, 5), (11, 13)]
RIGHT = [name for name in truth.INSTRUMENTS if name not in ("mask, reverse", "ATR's ranges")]


def scored(instrument, events, clips=3):
    net, known = truth.oracle(events, clips=clips)
    return truth.score(instrument, net, known.clips, known.inside, known.targets)


@pytest.mark.parametrize("events", [ONE, TWO], ids=["one", "two"])
def test_an_oracle_reads_the_frames_inside_alone(events):
    net, known = truth.oracle(events)
    assert torch.equal(net(known.clips).argmax(1), known.targets)
    assert torch.equal(net(known.twins).argmax(1), known.others)
    assert torch.equal((known.clips != known.twins).any(1).flatten(2).any(2), known.inside)
    noise = torch.where(known.inside[:, None, :, None, None], known.clips, torch.rand_like(known.clips))
    assert torch.equal(net(noise), net(known.clips))
    for t in known.inside[0].nonzero()[:, 0].tolist():  # every frame inside counts
        without = known.clips.clone()
        without[:, :, t] = known.clips[:, :, 0]
        assert (net(without) != net(known.clips)).any(1).all()


@pytest.mark.parametrize("events", [ONE, TWO], ids=["one", "two"])
@pytest.mark.parametrize("name", RIGHT)
def test_right_instruments_score_one(name, events):
    found = scored(truth.INSTRUMENTS[name], events)
    assert found[["pointing", "mass", "precision", "iou"]].to_numpy() == pytest.approx(1, abs=1e-6)
    assert np.shape(found.attrs["importance"]) == (3, 16)


def test_the_same_through_the_difference_of_two_classes():
    net, known = truth.oracle(ONE)
    against, pairs = truth.versus(net, known.targets, known.others, known.clips)
    for name in ("CLRP", "LRP", "freeze-occlusion", "integrated gradients", "mask, freeze"):
        found = truth.score(truth.INSTRUMENTS[name], against, known.clips, known.inside, pairs)
        assert found[["pointing", "mass", "precision", "iou"]].to_numpy() == pytest.approx(1, abs=1e-6), name


def test_what_reads_runs_of_frames_fails_where_the_truth_is_no_run():
    """A range of ATR is one run, so it holds what lies between two events, and so must a mask that reverses."""
    assert scored(instruments.atr_support, ONE).precision.to_numpy() == pytest.approx(1)
    between = np.asarray(scored(instruments.atr_support, TWO).attrs["importance"])
    assert (between[:, 2:13] == 1).all() and (between[:, [0, 1, 13, 14, 15]] == 0).all()
    one, two = (scored(truth.INSTRUMENTS["mask, reverse"], events) for events in (ONE, TWO))
    assert (one.iou == 1).all() and (two.pointing == 1).all() and (two.iou < 1).all()


@pytest.mark.parametrize("name", [*truth.INSTRUMENTS, *truth.CONTROLS])
def test_what_is_said_of_a_clip_is_its_own_whatever_the_batch(name):
    torch.manual_seed(0)
    net = models.create("TAM2D-R18-f8", num_classes=5, width=4).eval()
    clips, targets = torch.rand(3, 3, 8, 16, 16) * torch.tensor([1.0, 0.5, 0.1]).view(3, 1, 1, 1, 1), [3, 0, 1]
    instrument = {**truth.INSTRUMENTS, **truth.CONTROLS}[name]
    alone = torch.cat([instrument(net, clips[k : k + 1], targets[k : k + 1]) for k in range(3)])
    assert torch.allclose(instrument(net, clips, targets), alone, rtol=1e-4, atol=1e-4 * float(alone.abs().max()))


def test_random_numbers_are_other_ones_for_every_clip_and_seed():
    clips = torch.rand(5, 3, 16, 4, 4)
    found = truth.CONTROLS["random"](None, clips, None)
    assert len(found.unique()) == 5 * 16 and not torch.equal(found, instruments.random(None, clips, None, seed=1))


def test_controls_score_by_chance():
    rng = np.random.default_rng(0)
    for name in ("random", "constant"):
        rows = []
        for k in range(40):
            first = int(rng.integers(1, 12))
            net, known = truth.oracle([(first, first + int(rng.integers(1, 5)))], clips=3, seed=k)
            options = {"seed": k} if name == "random" else {}
            importance = truth.CONTROLS[name](net, known.clips, known.targets, **options)
            gap = truth.scores(importance, known.inside) - truth.chance(known.inside)
            rows.append(gap.mean())
        for score in ("pointing", "mass", "precision") + (("iou",) if name == "random" else ()):
            interval = bootstrap_interval([row[score] for row in rows])
            assert interval.low - 1e-9 <= 0 <= interval.high + 1e-9, (name, score, interval)
        if name == "constant":  # whatever the threshold, it takes all frames
            assert all(row.iou <= 0 for row in rows)


def test_instruments_leave_the_network_as_it_was():
    net, known = truth.oracle(ONE, clips=2)
    net.train()
    for name, instrument in {**truth.INSTRUMENTS, **truth.CONTROLS}.items():
        state = torch.get_rng_state()
        found = instrument(net, known.clips, known.targets)
        assert found.shape == (2, 16) and not found.requires_grad, name
        assert torch.equal(state, torch.get_rng_state()), name
        assert net.training and all(p.requires_grad and p.grad is None for p in net.parameters()), name


@pytest.mark.parametrize("number", [torch.float16, torch.bfloat16])
@pytest.mark.parametrize("name", ["gradient", "gradient_x_input", "integrated_gradients", "smooth_grad"])
def test_gradients_in_half_precision_are_those_of_the_rounded_weights_in_float32(name, number):
    """A pixel's gradient is that of a mean over 65,536 of them, next to the 6e-8 at which float16 ends."""
    torch.manual_seed(0)
    net = torch.nn.Sequential(
        torch.nn.Conv3d(3, 4, 1),
        torch.nn.Tanh(),
        torch.nn.AdaptiveAvgPool3d(1),
        torch.nn.Flatten(),
        torch.nn.Linear(4, 3),
    ).to(number)
    clips = clip(16, 64).to(number)
    found = getattr(instruments, name)(net, clips, [1])
    assert net[0].weight.dtype == number and found.dtype == torch.float32
    assert torch.allclose(found, getattr(instruments, name)(net.float(), clips.float(), [1]), rtol=1e-5)


def test_events_that_an_oracle_cannot_read_are_named():
    with pytest.raises(InputError, match="frames 1 to 15, not from 0 to before 3"):
        truth.oracle([(0, 3)])
    for events in ([], (3, 5), [3, 5], {3: 5}, "35"):
        with pytest.raises(InputError, match=r"events must be a list of \(first, after\)"):
            truth.oracle(events)
    with pytest.raises(InputError, match="an event's end must be a whole number of at least 1, not 4.5"):
        truth.oracle([(2, 4.5)])


@pytest.mark.parametrize("name", truth.INSTRUMENTS)
def test_every_instrument_refuses_targets_that_do_not_fit(name):
    net, known = truth.oracle([(3, 5)], frames=8, clips=3)
    for targets, message in (
        ([0, 1], "3 clips but 2 targets"),
        ([0, 1, 9], "class 9 "),
        ([0, -1, 1], "class -1 "),
        ({0: 1}, "class indices, one per clip"),
        ([0.0, 1.0, 2.0], "class indices, one per clip"),
    ):
        with pytest.raises(InputError, match=message):
            truth.INSTRUMENTS[name](net, known.clips, targets)
    one, each = (truth.INSTRUMENTS[name](net, known.clips, targets) for targets in (1, [1, 1, 1]))
    assert torch.equal(one, each)


def test_networks_without_frame_logits_are_asked_as_well():
    net, known = truth.oracle(ONE, clips=2)

    class Bare(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.inner = net

        def forward(self, clip):
            return self.inner.frame_logits(clip).mean(1)

    for name in ("CLRP", "LRP", "ATR's ranges"):
        found = truth.score(truth.INSTRUMENTS[name], Bare(), known.clips, known.inside, known.targets)
        assert found[["pointing", "mass", "precision"]].to_numpy() == pytest.approx(1, abs=1e-6), name


def test_contrastive_relevance_takes_its_own_rows_where_they_start_above_zero():
    torch.manual_seed(1)
    net = torch.nn.Sequential(
        torch.nn.Conv3d(3, 8, 3, padding=1, bias=False),
        torch.nn.ReLU(),
        torch.nn.Conv3d(8, 16, 3, padding=1, bias=False),
        torch.nn.ReLU(),
        torch.nn.AdaptiveAvgPool3d(1),
        torch.nn.Flatten(),
        torch.nn.Linear(16, 3, bias=False),
    ).eval()
    clips, targets, signs = clip(6, 8, batch=3), [0, 1, 2], []
    for options in ({}, dict(rows="split", split="0")):
        matrix = relevance.relevance_matrix(net, clips, targets, **options)
        begun = relevance.relevance_matrix(net, clips, targets, "lrp", **options).sum(2)  # kept: there are no biases
        found = instruments.clrp(net, clips, targets, **options)
        assert torch.allclose(found, (matrix * (begun > 0)[..., None]).sum(1), atol=1e-6)
        signs.append(begun > 0)
    assert not torch.equal(*signs)
