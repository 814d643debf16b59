"""Action temporal relevance against brute force, and its corner cases."""

import warnings
from fractions import Fraction

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from paperlib import relevance
from paperlib.errors import InputError

pytestmark = pytest.mark.numerics


def brute_force(row, i, sigma):
    """The paper's definition, segment by segment."""
    total, best = row.sum(), None
    for left in range(i + 1):
        for right in range(i, len(row)):
            if row[left : right + 1].sum() / total >= sigma - 1e-9:
                best = min(best or len(row) + 1, right - left + 1)
    return best


@settings(max_examples=60, deadline=None)
@given(st.integers(1, 9), st.integers(0, 10**6), st.sampled_from([0.5, 0.9, 0.975, 1.0]))
def test_equals_brute_force(frames, seed, sigma):
    rng = np.random.default_rng(seed)
    A = rng.random((2, frames, frames)) * (rng.random((2, frames, frames)) < 0.7) + np.eye(frames) * 1e-3
    logits = rng.normal(size=(2, frames))
    found = relevance.atr(torch.tensor(A), torch.tensor(logits), sigma)
    expected = np.array([[brute_force(A[b, i], i, sigma) for i in range(frames)] for b in range(2)])
    assert np.array_equal(found.frames.numpy(), expected)
    assert np.array_equal(found.max.numpy(), expected.max(1))
    for b, i in np.ndindex(2, frames):
        left, right = found.segments[b, i].tolist()
        assert left <= i <= right and right - left + 1 == expected[b, i]
        assert A[b, i, left : right + 1].sum() / A[b, i].sum() >= sigma - 1e-9
    for b in range(2):
        weights = logits[b].clip(min=0)
        if weights.sum():
            assert np.isclose(found.avg[b], (weights * expected[b]).sum() / weights.sum())
        else:
            assert np.isnan(found.avg[b])


def exactly(row, i, sigma):
    """The paper's definition in whole numbers and fractions, without any rounding."""
    fits = (
        right - left + 1
        for left in range(i + 1)
        for right in range(i, len(row))
        if sum(row[left : right + 1]) >= sigma * sum(row)
    )
    return min(fits)


@pytest.mark.parametrize("kind", [torch.float32, torch.float64])
@pytest.mark.parametrize("unit", [Fraction(1), Fraction(1, 3), Fraction(1, 10), Fraction(7, 1000)])
def test_a_sum_that_reaches_sigma_exactly_reaches_it_in_any_kind_of_number(kind, unit):
    rng = np.random.default_rng(5)
    for sigma in (Fraction(39, 40), Fraction(9, 10), Fraction(1, 2), Fraction(1)):
        rows = rng.multinomial(40, np.ones(7) / 7, size=(12, 7))  # of forty units: sigma is so many of them
        expected = [[exactly([unit * int(n) for n in row], i, sigma) for i, row in enumerate(A)] for A in rows]
        A = torch.tensor([[[float(unit * int(n)) for n in row] for row in one] for one in rows], dtype=kind)
        assert relevance.atr(A, torch.ones(A.shape[:2]), float(sigma)).frames.tolist() == expected
        below = torch.tensor(rows, dtype=kind)
        below[..., 0] += 1e-4  # what is short of sigma by more than rounding still falls short
        least = [[exactly([Fraction(float(n)) for n in row], i, sigma) for i, row in enumerate(one)] for one in below]
        assert relevance.atr(below, torch.ones(A.shape[:2]), float(sigma)).frames.tolist() == least


def test_identity_has_range_one_and_uniform_rows_the_whole_clip():
    logits = torch.ones(1, 4)
    assert relevance.atr(torch.eye(4)[None], logits).frames.tolist() == [[1, 1, 1, 1]]
    assert relevance.atr(torch.ones(1, 4, 4), logits).frames.tolist() == [[4, 4, 4, 4]]
    assert relevance.atr(torch.ones(1, 4, 4), logits, sigma=0.5).frames.tolist() == [[2, 2, 2, 2]]


def test_the_segment_contains_the_frame_itself():
    A = torch.zeros(1, 5, 5)
    A[0, :, 4] = 1  # all relevance on the last frame
    found = relevance.atr(A, torch.ones(1, 5))
    assert found.frames.tolist() == [[5, 4, 3, 2, 1]]
    assert found.segments[0].tolist() == [[0, 4], [1, 4], [2, 4], [3, 4], [4, 4]]


def test_of_equally_short_segments_the_one_that_holds_most_is_taken():
    A = torch.tensor([[[0.0, 4, 5, 6, 0], [0, 4, 5, 6, 0], [0, 4, 5, 6, 0], [0, 4, 5, 6, 0], [0, 4, 5, 6, 0]]])
    assert relevance.atr(A, torch.ones(1, 5), sigma=0.6).segments[0, 2].tolist() == [2, 3]


def test_rows_without_relevance_are_nan_left_out_and_reported():
    A = torch.eye(3)[None].clone()
    A[0, 1] = 0
    with pytest.warns(UserWarning, match="1 of 3 rows have no relevance"):
        found = relevance.atr(A, torch.ones(1, 3))
    assert torch.isnan(found.frames[0]).tolist() == [False, True, False]
    assert found.segments[0].tolist() == [[0, 0], [-1, -1], [2, 2]]
    assert found.avg.item() == 1 and found.max.item() == 1
    with pytest.warns(UserWarning, match="3 of 3"):
        found = relevance.atr(torch.zeros(1, 3, 3), torch.ones(1, 3))
    assert torch.isnan(found.avg).all() and torch.isnan(found.max).all()


def test_average_is_weighted_by_positive_logits_only():
    A = torch.stack([torch.eye(4)[0], torch.eye(4)[1], torch.ones(4), torch.ones(4)])[None]
    found = relevance.atr(A, torch.tensor([[3.0, 0.0, 1.0, -50.0]]))
    assert found.avg.item() == pytest.approx((3 * 1 + 1 * 4) / 4)
    assert torch.isnan(relevance.atr(A, -torch.ones(1, 4)).avg).all()


def test_relevance_of_negative_logits_has_a_range_too():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert relevance.atr(-torch.eye(3)[None], torch.ones(1, 3)).frames.tolist() == [[1, 1, 1]]


def test_rows_of_both_signs_are_reported():
    """A single entry holds more than the sum of such a row; rounding, and rows of opposite signs, are no such thing."""
    A = torch.tensor([[[3.0, -2.9, 0.1], [1, 2, 3], [-1, -2, -3]]])
    assert A[0, 0, 0] > 0.975 * A[0, 0].sum()
    with pytest.warns(UserWarning, match="1 of 3 rows hold relevance of both signs.*ATR means little"):
        found = relevance.atr(A, torch.ones(1, 3))
    assert found.frames[0, 0] == 1
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        relevance.atr(torch.tensor([[[1, 2, -1e-6], [-1, 1e-6, -2]]]), torch.ones(1, 2))
        relevance.atr(torch.rand(2, 4, 8), torch.ones(2, 4))


def test_output_steps_of_a_pooled_network_stand_for_several_frames():
    A = torch.zeros(1, 2, 8)
    A[0, 0, 1], A[0, 1, 0] = 1, 1
    found = relevance.atr(A, torch.ones(1, 2))
    assert found.frames.tolist() == [[1, 5]]  # step 0 is frames 0-3, step 1 is frames 4-7


@settings(max_examples=40, deadline=None)
@given(st.sampled_from([(4, 8), (1, 8), (1, 5), (3, 12), (3, 7)]), st.integers(0, 10**6), st.sampled_from([0.5, 0.975]))
def test_tubelets_and_single_rows_equal_brute_force(sizes, seed, sigma):
    steps, frames = sizes
    A = np.random.default_rng(seed).random((steps, frames)) ** 4
    found = relevance.atr(torch.tensor(A)[None], torch.ones(1, steps), sigma)
    for i in range(steps):
        # the shortest windows that hold any frame of which a part falls into step i of `steps` equal ones
        own = [j for j in range(frames) if j * steps < (i + 1) * frames and (j + 1) * steps > i * frames]
        assert found.frames[0, i] == min(brute_force(A[i], j, sigma) for j in own)
    assert ("anywhere in the clip" in found.about) == (steps == 1)


def test_keeps_the_kind_of_its_input():
    assert relevance.atr(torch.ones(1, 2, 2), torch.ones(1, 2)).avg.dtype == torch.float32
    assert relevance.atr(torch.ones(1, 2, 2).double(), torch.ones(1, 2)).avg.dtype == torch.float64


@pytest.mark.parametrize(
    "A, logits, sigma, message",
    [
        (torch.ones(2, 2), torch.ones(2), 0.9, "relevance matrices"),
        (torch.ones(1, 2, 2), torch.ones(1, 3), 0.9, r"\[B, T'\] = \(1, 2\)"),
        (torch.ones(1, 2, 2), torch.ones(1, 2), 0, "sigma"),
        (torch.ones(1, 2, 2), torch.ones(1, 2), 1.5, "sigma"),
        (torch.full((1, 2, 2), float("nan")), torch.ones(1, 2), 0.9, "A has NaN"),
        (torch.ones(1, 2, 2), torch.tensor([[1, float("nan")]]), 0.9, "frame_logits_of_target has NaN"),
        (torch.ones(1, 9, 8), torch.ones(1, 9), 0.9, r"9 rows for 8 frames; .*\.steps"),
    ],
)
def test_bad_input_is_named(A, logits, sigma, message):
    with pytest.raises(InputError, match=message):
        relevance.atr(A, logits, sigma)
