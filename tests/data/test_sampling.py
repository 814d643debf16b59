"""Sampling: every length from one frame up, against the definitions in the papers."""

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from paperlib.data import sampling
from paperlib.errors import InputError

LENGTHS = [*range(1, 70), 250, 251, 300, 303]
CLIPS = (1, 2, 3, 8, 16, 32, 64)


@pytest.mark.parametrize("n", CLIPS)
def test_uniform_takes_the_centre_of_every_segment(n):
    for n_video in LENGTHS:
        got = sampling.uniform(n_video, n)
        centres = [int(Fraction(n_video, n) * (s + Fraction(1, 2))) for s in range(n)]
        assert got.tolist() == centres and got.dtype == np.int64
        assert got.min() >= 0 and got.max() < n_video and (np.diff(got) >= 0).all()
        assert n_video > n or set(got.tolist()) == set(range(n_video))  # short: repeated, nothing left out


def test_uniform_is_the_identity_where_lengths_agree():
    for n in CLIPS:
        assert (sampling.uniform(n, n) == np.arange(n)).all()


def test_uniform_agrees_with_the_papers_formula():
    """int(tick / 2 + tick * x) in floats, as the code does for every video longer than the clip."""
    for n in (8, 16, 32):
        for n_video in range(n + 1, 400):
            tick = n_video / n
            assert sampling.uniform(n_video, n).tolist() == [int(tick / 2 + tick * x) for x in range(n)]


@pytest.mark.parametrize("n", CLIPS)
def test_training_picks_stay_in_their_segment_and_reach_all_of_it(n):
    rng = np.random.default_rng(0)
    for n_video in (1, 2, n, n + 1, 5 * n, 5 * n + 3):
        draws = np.stack([sampling.uniform(n_video, n, rng) for _ in range(300)])
        assert draws.min() >= 0 and draws.max() < n_video and (np.diff(draws, axis=1) >= 0).all()
        position = (draws + 1) * n / n_video  # the frame's end, in segments
        assert (position > np.arange(n)).all() and (draws * n / n_video < np.arange(n) + 1).all()
        assert set(draws.ravel().tolist()) == set(range(n_video))


def test_training_picks_repeat_with_the_same_seed():
    a, b = (sampling.uniform(100, 8, np.random.default_rng(3)) for _ in range(2))
    assert (a == b).all() and (a != sampling.uniform(100, 8)).any()


def test_several_uniform_clips_are_shifted_inside_their_segments():
    shifted = [(np.arange(8) * 10 + 5 + d).tolist() for d in (-1, 0, 1)]
    assert sampling.uniform(80, 8, clips=3).tolist() == shifted
    assert (sampling.uniform(80, 8, clips=1)[0] == sampling.uniform(80, 8)).all()
    for n_video in LENGTHS:
        many = sampling.uniform(n_video, 8, clips=10)
        assert many.shape == (10, 8) and many.min() >= 0 and many.max() < n_video
        assert (np.diff(many, axis=1) >= 0).all()


@pytest.mark.parametrize("stride", [1, 2, 3, 8])
def test_dense_centre_clip(stride):
    for n_video in LENGTHS:
        got = sampling.dense(n_video, 8, stride)
        assert got.shape == (8,) and got.dtype == np.int64
        if n_video >= 8 * stride:
            assert (np.diff(got) == stride).all()
            before, after = got[0], n_video - (got[0] + 8 * stride)
            assert after - before in (0, 1)
        else:
            assert got.tolist() == [k * stride % n_video for k in range(8)]


def test_dense_training_clips_reach_every_start():
    rng = np.random.default_rng(0)
    draws = np.stack([sampling.dense(30, 8, 3, rng) for _ in range(300)])
    assert set(draws[:, 0].tolist()) == set(range(7)) and (np.diff(draws, axis=1) == 3).all()
    assert draws.max() < 30


def test_dense_clips_cover_the_video_evenly():
    many = sampling.dense(300, 8, 8, clips=10)
    assert many.shape == (10, 8) and many[0, 0] == 0 and many[-1, 0] == 300 - 64
    assert np.ptp(np.diff(many[:, 0])) <= 1
    assert (sampling.dense(300, 8, 8, clips=1)[0] == sampling.dense(300, 8, 8)).all()
    assert (sampling.dense(5, 8, 8, clips=4) == sampling.dense(5, 8, 8)).all()


def test_partial_uniform_is_the_papers_example():
    """TRA figure 5 (b): f7 with the window f4 to f11 of 16 frames, counted from one there."""
    got = sampling.partial_uniform(16, 6, 3, 10) + 1
    assert got.tolist() == [4, 4, 4, 4, 5, 6, 7, 8, 9, 10, 11, 11, 11, 11, 11, 11]


@settings(deadline=None)
@given(st.data())
def test_partial_uniform_changes_nothing_inside_the_window(data):
    n = data.draw(st.integers(1, 64))
    i = data.draw(st.integers(0, n - 1))
    left, right = data.draw(st.integers(0, i)), data.draw(st.integers(i, n - 1))
    got = sampling.partial_uniform(n, i, left, right)
    assert len(got) == n and got[i] == i and (got[left : right + 1] == np.arange(left, right + 1)).all()
    assert (got[:left] == left).all() and (got[right:] == right).all()


def test_partial_uniform_with_the_whole_clip_is_the_identity():
    assert (sampling.partial_uniform(8, 3, 0, 7) == np.arange(8)).all()


def test_windows_have_their_width_and_hold_their_frame():
    for n in (1, 8, 16):
        for width in range(1, n + 1):
            for i in range(n):
                left, right = sampling.window(n, i, width)
                assert 0 <= left <= i <= right < n and right - left + 1 == width


@pytest.mark.parametrize(
    "call",
    [
        lambda: sampling.uniform(0, 8),
        lambda: sampling.uniform(8, 0),
        lambda: sampling.uniform(8, 2.5),
        lambda: sampling.dense(8, 8, 0),
        lambda: sampling.dense(8, 8, 1, clips=0),
        lambda: sampling.uniform(True, 8),
        lambda: sampling.partial_uniform(8, 3, 4, 6),
        lambda: sampling.partial_uniform(8, 3, 0, 8),
        lambda: sampling.partial_uniform(8, 3, -1, 5),
        lambda: sampling.window(8, 2, 9),
        lambda: sampling.window(8, 8, 1),
    ],
)
def test_impossible_requests_are_refused_in_a_sentence(call):
    with pytest.raises(InputError, match=r"^\w+: [^\n]+$"):
        call()
