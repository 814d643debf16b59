"""What a model without any exchange between frames can and cannot tell (trained TSN of the zoo)."""

import numpy as np
import pytest

from paperlib.data.synthetic import ssv2
from paperlib.errors import InputError
from paperlib.papers import analysis
from paperlib.training import checkpoints


def predictions(checkpoint):
    try:
        checkpoints.find(checkpoint)
    except InputError:
        pytest.skip(f"{checkpoint} is not trained")
    return analysis.predictions(checkpoint)


@pytest.mark.slow
def test_single_frames_do_not_tell_reversed_pairs_apart():
    found = predictions("synth_ssv2/TSN-R18-f8")
    right = total = 0
    for pair in ssv2.REVERSED:
        a, b = (found["classes"].index(name) for name in pair)
        members = np.isin(found["labels"], (a, b))
        chosen = np.where(found["scores"][members][:, a] > found["scores"][members][:, b], a, b)
        right += (chosen == found["labels"][members]).sum()
        total += members.sum()
    # half a standard error of a fair coin is 0.5 / sqrt(total); four of them are allowed
    assert total >= 500
    assert abs(right / total - 0.5) < 4 * 0.5 / np.sqrt(total)


@pytest.mark.slow
def test_single_frames_solve_the_static_data_set():
    assert predictions("synth_kinetics/TSN-R18-f8")["correct"].mean() > 0.9
