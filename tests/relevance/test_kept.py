"""Relevance held as quotients is what it was as relevance itself: the matrices of kept.npz."""

import numpy as np
import pytest

from .kept import CASES, FILE, compute

pytestmark = pytest.mark.numerics


@pytest.mark.parametrize("case", CASES)
def test_matrices_are_the_kept_ones(case):
    with np.load(FILE) as kept:
        before, error = kept[case], float(kept[f"{case} float32"])
    exact, single = compute(case)
    assert np.abs(exact - before).max() <= 1e-11 * np.abs(before).max()
    # Not 1.5 times, as where the errors were kept: with other instruction sets sums have another order, and where
    # denominators nearly cancel (gamma, epsilon) the error of one clip is chance
    assert single <= max(3 * error, 1e-4)
