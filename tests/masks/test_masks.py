"""Learned masks on networks whose critical frames are known, and the invariants of learning in a batch."""

import numpy as np
import pytest
import torch

from paperlib import masks
from paperlib.errors import InputError

from .networks import KnownWindow, SmallVideoNet

pytestmark = pytest.mark.numerics


def random_windows(count, frames, runs, generator):
    """Return bool [count, frames] masks of `runs` separate windows of two or more frames, none at frame 0."""
    found = []
    while len(found) < count:
        mask = torch.zeros(frames, dtype=torch.bool)
        for _ in range(runs):
            length = int(torch.randint(2, frames // 2 // runs + 1, (1,), generator=generator))
            start = int(torch.randint(1, frames - length + 1, (1,), generator=generator))
            mask[start : start + length] = True
        if (mask[1:] & ~mask[:-1]).sum() == runs:
            found.append(mask)
    return torch.stack(found)


def overlap(a, b):
    return (a & b).sum(1) / (a | b).sum(1)


@pytest.mark.parametrize("how", ["sum", "any"])
@pytest.mark.parametrize("runs", [1, 2])
@pytest.mark.parametrize("frames", [16, 32])
def test_learned_mask_finds_the_known_windows(how, runs, frames):
    generator = torch.Generator().manual_seed(runs)
    windows = random_windows(50, frames, runs, generator)
    clips = torch.randn(50, 3, frames, 4, 4, generator=generator)
    result = masks.learn(KnownWindow(windows, how), clips, 0, batch_size=50, tolerance=0)
    assert overlap(result.active, windows).min() >= 0.8
    assert overlap(result.mask > 0.5, windows).min() >= 0.8
    assert (result.original > 0.95).all() and (result.freeze < 0.2).all()


def test_where_the_mask_does_not_find_the_window():
    generator = torch.Generator().manual_seed(0)
    windows = random_windows(50, 16, 1, generator)
    clips = torch.randn(50, 3, 16, 4, 4, generator=generator)
    # one still frame is enough for a network that needs all of them, and the mask is no longer than it must
    # be
    needs_all = masks.learn(KnownWindow(windows, "all"), clips, 0, batch_size=50, tolerance=0)
    assert (needs_all.length <= 2).all() and (needs_all.freeze < 0.05).all()
    assert (needs_all.active & windows).any(1).all()
    # the first frame cannot be frozen: a window there is found without it
    first = torch.arange(16) < 4
    result = masks.learn(KnownWindow(first), clips[:4], 0)
    assert not result.active[:, 0].any() and result.active[:, 1:4].all()
    # the released weights put a shoulder above the threshold on each side
    released = masks.learn(
        KnownWindow(windows, "any"),
        clips,
        0,
        batch_size=50,
        preset="as_released",
        initial="central",
        double_inner=False,
    )
    assert (released.length - windows.sum(1)).float().mean() > 1.5
    shoulder = released.mask[torch.arange(50), windows.int().argmax(1) - 1]
    inside = windows.int().argmax(1) > 2
    assert shoulder[inside].median() == pytest.approx(0.42, abs=0.03)


def test_result_has_the_scores_of_its_masks():
    torch.manual_seed(0)
    model, clips = SmallVideoNet(), torch.randn(4, 3, 8, 8, 8)
    with torch.no_grad():
        model.head.weight.mul_(30)
        softmax = model(clips).softmax(1)
    labels = torch.tensor([0, 1, 2, 0])
    result = masks.learn(model, clips, iterations=30, labels=labels)
    assert torch.equal(result.targets, softmax.argmax(1))
    rows = torch.arange(4)
    assert torch.allclose(result.original, softmax[rows, result.targets])
    with torch.no_grad():
        frozen = model(masks.freeze(clips, result.mask)).softmax(1)[rows, result.targets]
        reversed_ = model(masks.reverse(clips, result.mask)).softmax(1)[rows, result.targets]
    assert torch.allclose(result.freeze, frozen) and torch.allclose(result.reverse, reversed_)
    assert torch.equal(result.perturbed, result.freeze)
    wrong = labels != result.targets
    assert torch.equal(result.truth.isnan(), ~wrong)
    assert torch.allclose(result.truth[wrong], softmax[rows, labels][wrong])
    assert result.mask.shape == (4, 8) and ((result.mask >= 0) & (result.mask <= 1)).all()
    assert result.loss.shape == (30, 4)
    table = result.table()
    assert list(table.columns) == [
        "clip",
        "target",
        "label",
        "OS",
        "FS",
        "RS",
        "CS",
        "mask_length",
        "moved",
        "flipped",
        "iterations",
        "loss",
    ]
    assert np.allclose(table.OS, result.original) and list(table.mask_length) == result.length.tolist()


def test_loss_is_equation_1():
    torch.manual_seed(1)
    model, clips = SmallVideoNet(), torch.randn(3, 3, 6, 8, 8)
    start = torch.tensor([[0, 0, 1, 1, 0, 1.0]]).expand(3, 6)
    result = masks.learn(model, clips, [0, 1, 2], iterations=1, initial=start, length_weight=0.3, tv_weight=0.7, beta=2)
    mask = torch.sigmoid(start * 10 - 5)
    with torch.no_grad():
        own = model(masks.freeze(clips, mask)).softmax(1)[torch.arange(3), torch.arange(3)]
    for b in range(3):
        m = mask[b].tolist()
        variation = sum(abs(m[t + 1] - m[t]) ** 2 for t in range(5))
        expected = 0.3 * sum(m) + 0.7 * variation + own[b].item()
        assert result.loss[0, b].item() == pytest.approx(expected, rel=1e-5)
    m = [0, 0.2, 0.9, 1.0]
    released = sum(abs(m[t] - m[t - 1]) ** 3 + abs(m[t] - m[t + 1]) ** 3 for t in (1, 2))
    assert masks.total_variation(torch.tensor([m]), 3, double_inner=True).item() == pytest.approx(released)


@pytest.mark.parametrize("options", [{}, {"keep": "best"}, {"perturbation": "reverse"}, {"logit": True}])
@pytest.mark.parametrize("steps", [0, 12])
def test_the_loss_in_the_table_is_that_of_the_mask_in_its_row(steps, options):
    torch.manual_seed(2)
    model, clips = SmallVideoNet().eval(), torch.randn(3, 3, 6, 8, 8)
    with torch.no_grad():
        model.head.weight.mul_(30)
    result = masks.learn(model, clips, [0, 1, 2], iterations=steps, tolerance=0, **options)
    seen = (
        masks.reverse(clips, result.mask, soft=True) if "perturbation" in options else masks.freeze(clips, result.mask)
    )
    with torch.no_grad():
        own = model(seen) if "logit" in options else model(seen).softmax(1)
    expected = own.diagonal() + 0.01 * result.mask.sum(1) + 0.003 * result.mask.diff(dim=1).abs().pow(3).sum(1)
    assert result.table()["loss"].tolist() == pytest.approx(expected.tolist(), abs=1e-6)


def test_a_mask_given_as_numbers_is_where_learning_starts():
    model, clips = SmallVideoNet(), torch.randn(2, 3, 6, 8, 8)
    given = [0, 0.1, 0.2, 0.5, 0.95, 1]
    edge = 1 / (1 + np.exp(2.5))
    for initial in (given, [given, given]):
        result = masks.learn(model, clips, [0, 1], iterations=0, initial=initial, start=2.5)
        for found in (*result.initial, *result.mask):
            assert found.tolist() == pytest.approx([edge, 0.1, 0.2, 0.5, 1 - edge, 1 - edge])
    assert (result.active == torch.tensor(given).gt(0.1)).all() and (result.flipped == 0).all()


def test_learning_from_a_constant_mask_has_a_finite_gradient():
    # the released code takes the root of the TV sum, whose gradient is not a number where the sum is zero
    model, clips = SmallVideoNet(), torch.randn(2, 3, 5, 8, 8)
    for preset in masks.PRESETS:
        assert masks.learn(model, clips, iterations=3, initial="full", preset=preset).mask.isfinite().all()


def test_clips_of_a_batch_do_not_influence_each_other():
    torch.manual_seed(2)
    windows = torch.arange(12).sub(6).abs() < 3
    model, clips = KnownWindow(windows), torch.randn(7, 3, 12, 4, 4)
    seen = []
    together = masks.learn(model, clips, 0, watch=lambda step, mask, loss: seen.append(loss))
    alone = [masks.learn(model, clip[None], 0) for clip in clips]
    assert torch.allclose(together.mask, torch.cat([r.mask for r in alone]), atol=1e-3)
    assert torch.equal(together.active, torch.cat([r.active for r in alone]))
    assert len({int(n) for n in together.iterations}) > 1  # they stop at different times
    for b, steps in enumerate(together.iterations.tolist()):  # and one who watches sees what each had last
        watched = torch.stack(seen)[:, b]
        assert watched.isfinite().all() and (watched[steps - 1 :] == watched[steps - 1]).all()
        assert torch.equal(watched, together.loss[: len(seen), b])
    assert torch.allclose(masks.learn(model, clips, 0, batch_size=3).mask, together.mask, atol=1e-3)
    order = torch.randperm(7)
    assert torch.allclose(masks.learn(model, clips[order], 0).mask, together.mask[order], atol=1e-3)


def test_a_clip_stops_when_its_loss_stays_put_and_its_loss_is_held():
    model, clips = KnownWindow(torch.arange(8) > 4), torch.randn(3, 3, 8, 4, 4)
    result = masks.learn(model, clips, 0, iterations=400)
    full = masks.learn(model, clips, 0, iterations=400, tolerance=0)
    assert (result.iterations < 400).all() and (full.iterations == 400).all()
    for b, stop in enumerate(result.iterations.tolist()):
        change = result.loss[1:, b].diff(dim=0).abs()
        assert (result.loss[stop - 5 : stop, b].diff() < 1e-5).all()
        assert (change[stop - 1 :] == 0).all()
    assert torch.equal(result.active, full.active)
    assert (result.loss[-1] <= result.loss[0]).all()


def test_learning_can_be_watched_and_ended():
    torch.manual_seed(0)
    clips, seen = torch.rand(2, 3, 6, 8, 8), []
    model = KnownWindow(torch.tensor([0, 0, 1, 1, 0, 0], dtype=torch.bool))

    def watch(step, mask, loss):
        seen.append((step, mask, loss))
        return step == 3

    result = masks.learn(model, clips, 0, iterations=20, watch=watch)
    assert [step for step, _, _ in seen] == [0, 1, 2, 3]
    assert torch.equal(seen[-1][1], result.mask) and torch.equal(torch.stack([x for *_, x in seen]), result.loss[:4])
    assert result.iterations.tolist() == [4, 4] and (result.loss[4:] == result.loss[3]).all()


def test_presets_are_the_papers_and_the_published_one_does_not_move():
    assert {
        (p.length_weight, p.tv_weight, p.iterations, p.learning_rate, p.beta, p.start)
        for p in (masks.PRESETS["as_released"],)
    } == {(0.01, 0.02, 300, 0.2, 3, 5)}
    kth = masks.PRESETS["as_released_kth"]
    assert (kth.length_weight, kth.tv_weight, kth.iterations) == (0.02, 0.04, 100)
    model, clips = KnownWindow(torch.arange(16) > 11), torch.randn(2, 3, 16, 4, 4)
    published = masks.learn(model, clips, 0, preset="as_published")
    assert (published.moved < 0.05).all() and (published.flipped == 0).all()
    assert torch.equal(published.active, published.initial > 0.1)
    released = masks.learn(model, clips, 0, preset="as_released")
    assert (released.moved > 0.9).all() and (released.flipped > 0).all()


def test_central_mask_is_the_smallest_that_keeps_90_percent_of_the_drop():
    clips = torch.randn(1, 3, 16, 4, 4)
    targets = torch.zeros(1, dtype=torch.long)
    # of eight equal frames 4..11 the centred masks 3..12, 4..11 and so on hide 8, 8, 6, 4 ... of them
    model = KnownWindow((torch.arange(16) >= 4) & (torch.arange(16) < 12), sharpness=50)
    assert masks.central_mask(model, clips, targets)[0].tolist() == [0] * 4 + [1] * 8 + [0] * 4
    assert masks.central_mask(model, clips, targets, released=True)[0].tolist() == [0] * 5 + [1] * 6 + [0] * 5
    # a clip that freezing cannot hurt starts with the full mask
    assert masks.central_mask(KnownWindow(torch.arange(16) == 3), clips, targets + 1)[0].tolist() == [1] * 16
    odd = masks.central_mask(KnownWindow(torch.arange(5) == 2, sharpness=50), clips[:, :, :5], targets)
    assert odd[0].tolist() == [0, 0, 1, 0, 0]
    # a network that needs every frame: the released loop ends after T/2 - 1 steps
    single = KnownWindow(torch.arange(16) == 8, sharpness=50)
    assert masks.central_mask(single, clips, targets, released=True)[0].tolist() == [0] * 7 + [1, 1] + [0] * 7


@pytest.mark.parametrize("kind", ["reverse", "shuffle", "blur", "black", "mean"])
def test_masks_can_be_learned_with_every_perturbation(kind):
    torch.manual_seed(3)
    model, clips = SmallVideoNet(), torch.randn(2, 3, 6, 8, 8)
    with torch.no_grad():
        model.head.weight.mul_(100)
    result = masks.learn(model, clips, iterations=40, perturbation=kind)
    soft = {"soft": True} if kind in ("reverse", "shuffle") else {}
    with torch.no_grad():
        expected = model(masks.perturb(clips, result.mask, kind, **soft)).softmax(1)
    assert torch.allclose(result.perturbed, expected[torch.arange(2), result.targets], atol=1e-6)
    assert result.mask.isfinite().all() and (result.moved > 0).all()
    assert (result.loss[-1] <= result.loss[0]).all()


@pytest.mark.parametrize("number", [torch.float16, torch.bfloat16], ids=str)
def test_masks_of_half_precision_networks_are_learned_in_float32(number):
    torch.manual_seed(3)
    model, clips = SmallVideoNet().to(number), torch.randn(2, 3, 6, 8, 8).to(number)
    with torch.no_grad():
        model.head.weight.mul_(100)
    half = masks.learn(model, clips, iterations=100, tolerance=0)
    found = masks.search(model, clips)
    exact = masks.learn(model.float(), clips.float(), half.targets, iterations=100, tolerance=0)
    assert half.mask.dtype == half.loss.dtype == found.mask.dtype == torch.float32
    assert (half.moved > 0.9).all() and (half.loss[-1] < 0.9 * half.loss[0]).all()
    again = masks.learn(model, clips.float(), half.targets, iterations=1, initial=exact.initial > 0.5).loss[0]
    assert torch.allclose(half.loss[0], again, rtol=0.02)
    assert torch.allclose(half.loss[-1], exact.loss[-1], rtol=0.02)
    assert torch.equal(found.start, masks.search(model, clips.float()).start)


def test_gradients_that_float16_would_lose_reach_the_mask():
    """A score so flat that its gradient to a pixel is below the 6e-8 at which float16 ends."""
    torch.manual_seed(0)
    model, clips = SmallVideoNet(), torch.randn(1, 3, 4, 32, 32).half()
    with torch.no_grad():
        model.head.weight.mul_(0.03)
    options = dict(iterations=20, tolerance=0, length_weight=0.0, tv_weight=0.0)
    half = masks.learn(model.half(), clips, 0, **options)
    exact = masks.learn(model.float(), clips.float(), 0, **options)
    assert exact.moved > 0.2
    assert torch.allclose(half.mask, exact.mask, atol=5e-4)  # 1.3e-3 where they are lost


class Odds(torch.nn.Module):
    """The same scores as `KnownWindow` from one logit, whose sigmoid they are; of several windows, as many labels."""

    def __init__(self, *windows):
        super().__init__()
        self.networks = [KnownWindow(window) for window in windows]

    def forward(self, clips):
        pairs = [network(clips) for network in self.networks]
        return torch.stack([yes - no for yes, no in (pair.unbind(1) for pair in pairs)], 1)


def test_one_logit_is_scored_as_the_two_classes_that_it_stands_for():
    torch.manual_seed(6)
    window, other, clips = (torch.arange(8) % 8 > 4), (torch.arange(8) < 3), torch.randn(2, 3, 8, 4, 4)
    for model, target, options in (
        (Odds(window), 0, {}),
        (Odds(other, window), 1, {"scores": "sigmoid"}),  # labels that do not exclude each other
    ):
        found = masks.learn(model, clips, target, iterations=30, **options)
        expected = masks.learn(KnownWindow(window), clips, 0, iterations=30)
        assert (found.settings.scores, expected.settings.scores) == ("sigmoid", "softmax")
        assert found.table().attrs["scores"] == "sigmoid"
        assert expected.moved.min() > 0.1  # a softmax over one class would leave it where it started
        for name in ("mask", "initial", "original", "freeze", "reverse", "perturbed"):
            assert torch.allclose(getattr(found, name), getattr(expected, name), atol=1e-4), name
        for criterion in ("loss", "crop"):
            one = masks.search(model, clips, target, criterion, **options)
            two = masks.search(KnownWindow(window), clips, 0, criterion)
            assert (one.scores, two.scores) == ("sigmoid", "softmax")
            assert torch.allclose(one.values, two.values, atol=1e-5)
    assert masks.learn(Odds(other, window), clips, 1, iterations=1).settings.scores == "softmax"
    with pytest.raises(InputError, match="softmax of a single logit is always 1"):
        masks.learn(Odds(window), clips, 0, scores="softmax")
    with pytest.raises(InputError, match="scores must be one of auto, softmax, sigmoid, not 'logit'"):
        masks.learn(Odds(window), clips, 0, scores="logit")


def test_search_finds_the_window_and_tries_them_all():
    torch.manual_seed(4)
    windows = random_windows(6, 10, 1, torch.Generator().manual_seed(5))
    clips = torch.randn(6, 3, 10, 4, 4)
    for clip, window in zip(clips, windows, strict=True):
        model = KnownWindow(window, "any")
        found = masks.search(model, clip[None], 0, batch_size=20)
        assert torch.equal(found.mask[0].bool(), window)
        assert found.values.shape == (1, 55) and found.value == found.values.min()
        assert window[found.start[0]] and int(found.stop - found.start) == int(window.sum())
        learned = masks.learn(model, clip[None], 0)
        assert learned.loss[-1, 0] == pytest.approx(found.value.item(), abs=2e-3)
    few = masks.search(model, clips[:1], 0, step=4)  # ends 0, 4, 8 and 10
    assert few.windows.tolist() == [[8, 10], [0, 4], [4, 8], [4, 10], [0, 8], [0, 10]]
    finer = masks.search(model, clips[-1:], 0, step=4, refine=True)
    assert torch.equal(finer.mask, found.mask) and finer.value == found.value
    assert finer.windows.tolist() == few.windows.tolist() and finer.value < finer.values.min()
    with pytest.raises(InputError, match="step must be a whole number of at least 1, not 0"):
        masks.search(model, clips[:1], 0, step=0)


def test_masks_learned_from_the_best_window_are_better_than_from_the_middle():
    """Where reversing is what the network notices, and the frames that it notices are not in the middle."""

    class Late(torch.nn.Module):
        def forward(self, clips):
            moved = (clips[:, 0, 12:15] - clips[:, 0, 11:14]).clamp(min=0).mean((1, 2, 3))
            return torch.stack([8 * moved, torch.full_like(moved, 4.0)], 1)

    clips = torch.arange(16.0).view(1, 1, 16, 1, 1).expand(2, 3, 16, 4, 4)
    options = {"iterations": 20, "perturbation": "reverse", "length_weight": 0.02}
    found, window = masks.learn_from_window(Late(), clips, 0, labels=[0, 1], **options)
    whole = masks.search(Late(), clips, 0, perturbation="reverse", length_weight=0.02)
    assert torch.equal(window.value, whole.value) and torch.equal(found.initial > 0.5, window.mask > 0.5)
    assert found.settings.iterations == 20 and found.labels.tolist() == [0, 1]
    middle = masks.learn(Late(), clips, 0, **options)
    assert (found.perturbed < 0.1).all() and (found.length < middle.length).all()
    assert (found.loss[-1] < middle.loss[-1]).all()
    options["iterations"] = 60  # all values sink below the threshold at once, and then nothing is reversed
    assert (masks.learn_from_window(Late(), clips, 0, **options)[0].perturbed > 0.9).all()
    steps = []
    kept, _ = masks.learn_from_window(
        Late(), clips, 0, keep="best", batch_size=1, watch=lambda step, *more: steps.append(step), **options
    )
    assert steps.count(0) == 2  # once for each clip
    assert (kept.perturbed < 0.1).all()
    at = kept.loss.min(0).values  # the kept mask is that of the lowest loss on the way
    assert kept.value.tolist() == pytest.approx(at.tolist(), abs=1e-5)
    with pytest.raises(InputError, match="keep='first' of a mask should be 'last' or 'best'"):
        masks.learn(Late(), clips, 0, keep="first")


def test_search_by_cropping_finds_the_frames_that_alone_score_highest():
    class Bright(torch.nn.Module):
        def forward(self, clips):
            return torch.stack([clips.mean((1, 2, 3, 4)), torch.zeros(len(clips))], 1)

    clips = torch.zeros(2, 3, 9, 2, 2)
    clips[0, :, 3:6] = 1
    clips[1, :, 8] = 1
    found = masks.search(Bright(), clips, 0, criterion="crop")
    # the shortest of the equally bright crops
    assert found.mask[1].tolist() == [0] * 8 + [1]
    assert found.mask[0].sum() == 1 and found.mask[0, 3:6].sum() == 1
    assert found.value.tolist() == pytest.approx([1 / (1 + np.exp(-1))] * 2)
    with pytest.raises(InputError, match="crop"):
        masks.search(Bright(), clips, 0, criterion="best")
    with pytest.raises(InputError, match="tv"):
        masks.search(Bright(), clips, 0, tv=3)
