"""The numbers behind Table 1 and Figure 2, on relevance matrices whose answer is known."""

import numpy as np
import pandas as pd
import pytest

from paperlib.papers.temporal_relevance import datasets, heatmaps

from .explained import explained


def test_shares_of_a_uniform_matrix_are_what_chance_gives():
    found = heatmaps.shares(explained(np.ones((4, 8, 8))))
    for name in ("diagonal", "near", "middle", "ends"):
        assert found[name].to_numpy() == pytest.approx(found.attrs[name])
    assert found.attrs["diagonal"] == 8 / 64 and found.attrs["near"] == 22 / 64


def test_shares_of_a_diagonal_matrix():
    found = heatmaps.shares(explained(np.stack([np.eye(8), 5 * np.eye(8)])))
    assert found.diagonal.tolist() == [1, 1] and found.near.tolist() == [1, 1] and found.middle.tolist() == [0.5, 0.5]


def test_clips_count_alike_in_the_mean_whatever_their_scale():
    a, b = np.eye(4), np.ones((4, 4))
    table = heatmaps.table({"set/net": explained(np.stack([a, 100 * b]))})
    mean = table[table["class"] == "all"].share.to_numpy().reshape(4, 4)
    assert mean == pytest.approx((a / 4 + b / 16) / 2)
    assert table.groupby("class").share.sum().to_dict() == pytest.approx({"all": 1, "one": 1, "two": 1})


def test_summary_has_accuracy_in_percent_and_intervals_around_the_mean():
    row = datasets.summary({"synth_ssv2/I3D-R50-f8": explained(np.ones((5, 8, 8)), [2, 3, 4, 5, 6])}).iloc[0]
    assert (row.model, row.dataset, row.accuracy, row.avg_atr) == ("I3D-R50-f8", "synth_ssv2", 50, 4)
    assert row.avg_atr_low < 4 < row.avg_atr_high and row.avg_atr_sd == pytest.approx(np.std([2, 3, 4, 5, 6], ddof=1))


def test_printed_values_stand_beside_ours():
    from paperlib.papers import published

    ours = datasets.summary({"synth_ssv2/I3D-R50-f8": explained(np.ones((5, 8, 8)))})
    row = datasets.beside(ours, published.table("temporal_relevance_table01")).iloc[0]
    assert (row.accuracy_paper, row.avg_atr_paper, row.max_atr_paper) == (58.9, 6.5, 7.7)


def test_a_table_in_the_papers_form():
    ours = pd.DataFrame({"model": ["x"], "dataset": ["a"], "clips": [3], "runs": [1], "accuracy": [70.53]})
    ours = ours.assign(
        avg_atr=5.52, avg_atr_sd=0.41, max_atr=7.0, max_atr_sd=np.nan, avg_atr_paper=5.5, avg_atr_paper_sd=0.4
    )
    row = datasets.as_printed(ours).iloc[0]
    assert (row["accuracy, %"], row["avg-ATR"], row["max-ATR"], row["avg-ATR, paper"]) == (
        "70.5",
        "5.5 ± 0.4",
        "7.0",
        "5.5 ± 0.4",
    )


def test_the_frame_that_holds_least():
    even, gap = np.ones((4, 8, 8)), np.ones((4, 8, 8))
    gap[:, :, 2] = 0
    assert heatmaps.evenness(explained(even)) == pytest.approx(1) and heatmaps.evenness(explained(gap)) == 0
    assert heatmaps.frame_shares(explained(gap))[0, 3] == pytest.approx(1 / 7)
