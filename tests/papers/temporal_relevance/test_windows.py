"""Partial uniform sampling: ranges, windows and what a frame's logit may depend on."""

import numpy as np
import pytest
import torch

from paperlib import models, relevance
from paperlib.papers.temporal_relevance import partial, windows

pytestmark = pytest.mark.numerics


def brute_force(row, i, sigma):
    """Shortest segment around i with sigma of the row; of equals the one with most relevance."""
    n = len(row)
    best = min(
        (r - l + 1, -row[l : r + 1].sum(), l, r)
        for l in range(i + 1)
        for r in range(i, n)
        if row[l : r + 1].sum() >= (sigma - 1e-9) * row.sum()
    )
    return best[2], best[3]


@pytest.mark.parametrize("sigma", [0.5, 0.9, 0.975, 1.0])
def test_segments_are_the_shortest_around_their_frame(sigma):
    rng = np.random.default_rng(0)
    matrix = rng.random((6, 9, 9)) ** 6
    found = windows.segments(matrix, sigma)
    atr = relevance.atr(torch.from_numpy(matrix), torch.ones(6, 9), sigma=sigma)
    assert np.array_equal(found[..., 1] - found[..., 0] + 1, atr.frames.numpy())
    for b in range(6):
        for i in range(9):
            assert tuple(found[b, i]) == brute_force(matrix[b, i], i, sigma)


def test_segments_with_fewer_outputs_than_frames_match_atr_too():
    matrix = np.random.default_rng(1).random((4, 3, 8)) ** 4
    found = windows.segments(matrix, 0.9)
    atr = relevance.atr(torch.from_numpy(matrix), torch.ones(4, 3), sigma=0.9)
    assert np.array_equal(found[..., 1] - found[..., 0] + 1, atr.frames.numpy())


def test_a_row_without_relevance_has_no_segment():
    matrix = np.zeros((1, 2, 4))
    matrix[0, 0, 0] = 1
    assert windows.segments(matrix).tolist() == [[[0, 0], [-1, -1]]]


@pytest.fixture(scope="module")
def network():
    torch.manual_seed(0)
    return models.create("TAM2D-R18-f8", num_classes=3, width=4).eval()


def test_frame_logits_are_those_of_the_clip_with_everything_outside_the_window_replaced(network):
    clip = torch.rand(3, 8, 32, 32)
    found = windows.frame_logits(network, clip, windows.fixed(8, 3))
    for i in range(8):
        left, right = windows.fixed(8, 3)[i]
        seen = clip.clone()
        seen[:, :left], seen[:, right:] = clip[:, left : left + 1], clip[:, right : right + 1]
        with torch.no_grad():
            assert found[i] == pytest.approx(network.frame_logits(seen[None])[0, i], abs=1e-5)


def test_the_widest_window_is_the_whole_clip_and_nothing_outside_a_window_matters(network):
    clip = torch.rand(3, 8, 32, 32)
    with torch.no_grad():
        whole = network.frame_logits(clip[None])[0]
    assert torch.allclose(windows.frame_logits(network, clip, windows.fixed(8, 8)), whole, atol=1e-5)
    other = clip.clone()
    other[:, 5:] = torch.rand(3, 3, 32, 32)
    for empty in (False, True):
        a, b = (windows.frame_logits(network, x, windows.fixed(8, 2), empty) for x in (clip, other))
        assert torch.allclose(a[:4], b[:4], atol=1e-6) and not torch.allclose(a[6:], b[6:], atol=1e-6)


def test_frames_that_share_a_window_share_a_pass(network, monkeypatch):
    seen = []
    real = network.frame_logits
    monkeypatch.setattr(network, "frame_logits", lambda clips: seen.append(len(clips)) or real(clips), raising=False)
    windows.frame_logits(network, torch.rand(3, 8, 32, 32), windows.fixed(8, 6))
    assert sum(seen) == 3


def test_a_window_per_frame_is_needed(network):
    with pytest.raises(ValueError, match="2 windows for 8 frames"):
        windows.frame_logits(network, torch.rand(3, 8, 32, 32), [[0, 1], [0, 2]])


def scored(labels, predicted):
    """Return scores [n, 3] that predict these classes."""
    return np.eye(3)[predicted] * 0.8 + 0.1, np.asarray(labels)


def test_accuracy_between_two_measured_widths_is_linear():
    right, labels = scored([0, 1], [0, 1])
    wrong, _ = scored([0, 1], [0, 2])
    found = {
        "labels": labels,
        "frames": 8,
        "widths": np.array([2, 4]),
        "whole": right,
        "fixed": np.stack([wrong, right]),
    }
    assert partial.between(found, 2).tolist() == [100, 0]
    assert partial.between(found, 3).tolist() == [100, 50]
    assert partial.between(found, 7.5).tolist() == [100, 100]
