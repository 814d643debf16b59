"""The numbers behind Table 1 and Figure 2, on relevance matrices whose answer is known."""

import numpy as np
import pandas as pd
import pytest

from paperlib.papers import report
from paperlib.papers.analysis import Explained
from paperlib.papers.temporal_relevance import datasets, heatmaps
from paperlib.storage import paths


def explained(matrix, avg=None, labels=None):
    """Wrap matrices [n, T', N] as if they had been computed from a data set with two classes."""
    n = len(matrix)
    avg = np.full(n, 3.0) if avg is None else np.asarray(avg, float)
    labels = np.arange(n) % 2 if labels is None else labels
    return Explained(
        matrix,
        np.ones(matrix.shape[:2]),
        np.ones(matrix.shape[:2]),
        avg,
        avg + 1,
        labels,
        np.arange(n),
        np.ones(n),
        2 * n,
        n,
        ["one", "two"],
        None,
    )


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


def test_claims_follow_the_numbers(tmp_path, monkeypatch):
    monkeypatch.setattr(paths, "FIGURES", tmp_path)
    run = report.start("temporal_relevance/table01_datasets", device="cpu")
    few, many = np.linspace(1, 2, 20), np.linspace(5, 6, 20)
    found = {
        f"{d}/{m}": explained(np.ones((20, 8, 8)), many if (d, m) == ("synth_ssv2", "I3D-R50-f8") else few)
        for d in ("synth_ssv2", "synth_kinetics")
        for m in ("I3D-R50-f8", "TAM2D-R50-f8")
    }
    table = datasets.claim_table(run, found, datasets.summary(found))
    assert table.verdict.tolist() == ["holds", "undecided", "holds", "undecided"]
    written = pd.read_csv(tmp_path / "temporal_relevance/table01_datasets.claims.csv")
    assert written.ours.iloc[0] == pytest.approx(4.0)
