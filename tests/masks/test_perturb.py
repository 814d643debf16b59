"""Perturbations against the paper's pseudo-code and example, and their invariants."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from paperlib import masks
from paperlib.data.clips import to_clip
from paperlib.errors import InputError

pytestmark = pytest.mark.numerics


def numbered(frames):
    """Return a clip [1, 3, frames, 2, 2] whose frame t is filled with t + 1."""
    return torch.arange(1.0, frames + 1)[None, None, :, None, None].expand(1, 3, frames, 2, 2).contiguous()


def order(clips):
    """Return the frame numbers of clips made by `numbered`."""
    return clips[:, 0, :, 0, 0].round().int().tolist()


def paper_freeze(clip, mask):
    """Return the clip [C, T, H, W] frozen by the paper's pseudo-code (section 3.1)."""
    perturbed = clip.clone()
    for i in range(1, clip.shape[1]):
        original_component = (1 - mask[i]) * clip[:, i]
        perturbed_component = mask[i] * perturbed[:, i - 1]
        perturbed[:, i] = original_component + perturbed_component
    return perturbed


def paper_reverse(frames, mask, threshold=0.1):
    """Return a list with the runs of masked entries reversed, run by run."""
    frames, run = list(frames), []
    for i in range(len(mask) + 1):
        if i < len(mask) and mask[i] > threshold:
            run.append(i)
            continue
        for a, b in zip(run, [frames[k] for k in reversed(run)], strict=True):
            frames[a] = b
        run = []
    return frames


def test_reverse_gives_the_papers_example():
    mask = [0, 0, 0, 1, 1, 1, 1, 1, 0, 0, 0, 0, 0, 1, 1, 0]
    assert order(masks.reverse(numbered(16), mask)) == [[1, 2, 3, 8, 7, 6, 5, 4, 9, 10, 11, 12, 13, 15, 14, 16]]


@settings(max_examples=60, deadline=None)
@given(st.lists(st.lists(st.floats(0, 1, width=32), min_size=7, max_size=7), min_size=1, max_size=4))
def test_reverse_reverses_every_run_of_every_clip_and_undoes_itself(rows):
    mask, tenth = torch.tensor(rows), torch.tensor(0.1).item()  # 0.1 as float32, like the mask
    clips = numbered(7).expand(len(rows), -1, -1, -1, -1)
    found = masks.reverse(clips, mask)
    assert order(found) == [paper_reverse(range(1, 8), row, tenth) for row in mask.tolist()]
    assert torch.equal(masks.reverse(found, mask), clips)


def test_reverse_threshold_is_exclusive_and_adjustable():
    mask = torch.tensor([0.1, 0.1, 0.3, 0.3])
    assert order(masks.reverse(numbered(4), mask)) == [[1, 2, 4, 3]]
    assert order(masks.reverse(numbered(4), mask, threshold=0.05)) == [[4, 3, 2, 1]]
    assert order(masks.reverse(numbered(4), mask, threshold=0.5)) == [[1, 2, 3, 4]]


def test_soft_reverse_blends_both_frames_with_the_earlier_ones_value():
    clips, mask = numbered(5), torch.tensor([0.0, 0.8, 0.5, 0.3, 0.0])
    found = masks.reverse(clips, mask, soft=True)[0, 0, :, 0, 0]
    # frames 2 and 4 change places with the value of frame 2, frame 3 is its own partner
    assert found.tolist() == pytest.approx([1, 0.2 * 2 + 0.8 * 4, 3, 0.2 * 4 + 0.8 * 2, 5])


def test_soft_reverse_is_differentiable_in_the_mask():
    mask = torch.tensor([[0.2, 0.6, 0.9, 0.05]], requires_grad=True)
    masks.reverse(numbered(4), mask, soft=True)[0, 0, 0].sum().backward()
    assert mask.grad[0, 0] != 0 and mask.grad[0, 1:].abs().sum() == 0


@settings(max_examples=60, deadline=None)
@given(st.integers(1, 9), st.integers(0, 10_000))
def test_freeze_equals_the_papers_recursion(frames, seed):
    generator = torch.Generator().manual_seed(seed)
    clips = torch.randn(3, 2, frames, 3, 4, generator=generator)
    mask = torch.rand(3, frames, generator=generator)
    mask[0], mask[1] = mask[0].round(), 0.999
    expected = torch.stack([paper_freeze(c, m) for c, m in zip(clips, mask, strict=True)])
    assert (masks.freeze(clips, mask) - expected).abs().max() < 1e-5


def test_freeze_of_64_frames_stays_exact():
    clips, mask = torch.randn(2, 3, 64, 4, 4), torch.rand(2, 64)
    expected = torch.stack([paper_freeze(c, m) for c, m in zip(clips, mask, strict=True)])
    assert (masks.freeze(clips, mask) - expected).abs().max() < 1e-5


def test_freeze_gradient_is_that_of_the_recursion_also_at_zero_and_one():
    clips = torch.randn(2, 2, 6, 2, 2, dtype=torch.double)
    for values in (
        torch.rand(2, 6, dtype=torch.double),
        torch.tensor([[0, 1, 0, 1, 1, 0], [1, 1, 1, 0, 0, 0]], dtype=torch.double),
    ):
        ours, theirs = (values.clone().requires_grad_() for _ in range(2))
        weight = torch.randn(2, 2, 6, 2, 2, dtype=torch.double)
        (masks.freeze(clips, ours) * weight).sum().backward()
        pieces = []
        for clip, row in zip(clips, theirs, strict=True):
            steps = [clip[:, 0]]
            for t in range(1, 6):
                steps.append((1 - row[t]) * clip[:, t] + row[t] * steps[-1])
            pieces.append(torch.stack(steps, 1))
        (torch.stack(pieces) * weight).sum().backward()
        assert torch.allclose(ours.grad, theirs.grad, atol=1e-10)
        assert ours.grad[:, 0].abs().max() == 0  # the first frame has no predecessor


def test_freeze_repeats_the_frame_before_a_hard_mask():
    assert order(masks.freeze(numbered(6), [1, 0, 1, 1, 0, 1])) == [[1, 2, 2, 2, 5, 5]]
    assert order(masks.freeze(numbered(4).int(), [0, 1, 1, 1])) == [[1, 1, 1, 1]]


@pytest.mark.parametrize("kind", sorted(masks.PERTURBATIONS))
def test_every_perturbation_keeps_clips_with_an_empty_mask_and_frames_outside_the_mask(kind):
    clips = torch.randn(2, 3, 6, 8, 10)
    assert torch.allclose(masks.perturb(clips, torch.zeros(6), kind), clips, atol=1e-6)
    mask = torch.tensor([[0, 0, 1, 1, 1, 0], [0, 1, 1, 1, 1, 0]], dtype=torch.float)
    found = masks.perturb(clips, mask, kind)
    assert found.shape == clips.shape
    assert torch.allclose(found[:, :, [0, 5]], clips[:, :, [0, 5]], atol=1e-6)
    assert (found[:, :, 3] - clips[:, :, 3]).abs().max() > 0.1 or kind == "reverse"
    assert torch.equal(masks.prepare(clips, kind)(mask), found)
    assert torch.equal(masks.PERTURBATIONS[kind](clips, mask), found)


def test_shuffle_moves_every_frame_of_a_run_and_loses_none():
    mask = torch.tensor([[0, 1, 1, 1, 1, 0, 1, 1, 0, 1], [1] * 10, [0] * 10, [0, 0, 1, 0, 1, 1, 1, 1, 1, 1]])
    clips = numbered(10).expand(4, -1, -1, -1, -1)
    for seed in range(20):
        found = order(masks.shuffle(clips, mask, seed=seed))
        for row, on in zip(found, mask.tolist(), strict=True):
            assert sorted(row) == list(range(1, 11))
            runs = "".join(map(str, on))
            for t in range(10):
                alone = on[t] and not (runs[max(t - 1, 0) : t] + runs[t + 1 : t + 2]).count("1")
                assert (row[t] == t + 1) == (not on[t] or bool(alone))
        assert sorted(found[0][1:5]) == [2, 3, 4, 5] and found[0][6:8] == [8, 7]
    assert order(masks.shuffle(clips, mask, seed=3)) == order(masks.shuffle(clips, mask, seed=3))
    assert len({tuple(order(masks.shuffle(clips, mask, seed=s))[1]) for s in range(10)}) > 5


def test_black_is_a_black_frame_and_mean_the_mean_frame():
    clips = torch.randn(1, 3, 4, 5, 5)
    black = to_clip(np.zeros((1, 5, 5, 3), np.uint8))[:, 0]
    assert torch.allclose(masks.black(clips, [0, 1, 0, 0])[0, :, 1], black)
    assert torch.allclose(masks.mean(clips, [0, 1, 0, 0])[0, :, 1], clips[0].mean(1), atol=1e-6)
    half = masks.mean(clips, [0, 0.5, 0, 0])[0, :, 1]
    assert torch.allclose(half, (clips[0, :, 1] + clips[0].mean(1)) / 2, atol=1e-6)


def test_blur_removes_detail_and_keeps_the_level():
    board = (torch.arange(64)[:, None] + torch.arange(64)) % 2 * 2.0 - 1
    clips = board.expand(1, 3, 2, 64, 64) + 5
    found = masks.blur(clips, [0, 1])[0, :, 1]
    assert (found - 5).abs().max() < 1e-3
    assert torch.equal(masks.blur(clips, [0, 0.0]), clips)
    assert masks.blur(torch.randn(1, 3, 2, 1, 7), [1, 1]).shape == (1, 3, 2, 1, 7)


@pytest.mark.parametrize(
    "mask, message",
    [
        ([0.0] * 5, "shape"),
        ([[0.0] * 4] * 3, "shape"),
        ([0, 1.5, 0, 0], "between 0 and 1"),
        ([0, float("nan"), 0, 0], "between 0 and 1"),
        (None, "a mask should be numbers from 0 to 1, not None"),
        ("abc", "not 'abc'"),
        ([0, 1j, 0, 0], "should be numbers"),
    ],
)
def test_unusable_masks_are_named(mask, message):
    with pytest.raises(InputError, match=message):
        masks.freeze(torch.randn(2, 3, 4, 2, 2), mask)


def test_unusable_clips_kinds_and_options_are_named():
    with pytest.raises(InputError, match="B, C, T, H, W"):
        masks.freeze(torch.randn(3, 4, 2, 2), [0] * 4)
    holed = numbered(4).clone()
    holed[0, :, 2] = float("nan")
    with pytest.raises(InputError, match="clips have NaN or infinite values"):
        masks.freeze(holed, [0] * 4)
    with pytest.raises(InputError, match="freeze, reverse"):
        masks.perturb(numbered(4), [0] * 4, "melt")
    with pytest.raises(InputError, match="sigma"):
        masks.perturb(numbered(4), [0] * 4, "freeze", sigma=3)
    with pytest.raises(InputError, match="sigma"):
        masks.blur(numbered(4), [0] * 4, sigma=-1)
    with pytest.raises(InputError, match="seed of a shuffle must be a whole number"):
        masks.perturb(numbered(4), [1] * 4, "shuffle", seed=1.5)


@pytest.mark.parametrize("function", [masks.freeze_matrix, masks.segments, masks.total_variation])
def test_what_takes_a_mask_for_each_clip_says_so(function):
    with pytest.raises(InputError, match=r"masks must be \[B, T\], one for each clip, not of shape \[4\]"):
        function(torch.ones(4))
