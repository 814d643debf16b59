"""What the notebooks compute and claim, on relevance whose answer is known."""

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
from scipy import stats

from paperlib import models
from paperlib.papers import published, report
from paperlib.papers.beyond import agreement
from paperlib.papers.statistics import bootstrap_interval
from paperlib.papers.temporal_relevance import (
    architectures,
    class_statistics,
    classes,
    dense,
    frame_count,
    method,
    pairs,
    rules,
    slowfast,
    trained,
)
from paperlib.storage import paths
from paperlib.training import checkpoints

from .explained import explained, flat


@pytest.fixture
def run(tmp_path, monkeypatch):
    monkeypatch.setattr(paths, "FIGURES", tmp_path / "figures")
    monkeypatch.setattr(paths, "CHECKPOINTS", tmp_path / "checkpoints")
    return report.start("temporal_relevance/fig03_i3d_vs_tam", device="cpu")


def test_a_missing_checkpoint_stops_the_notebook_with_the_command_that_trains_it(run):
    run.settings["models"] = ["synth_ssv2/I3D-R50-f8", "synth_ssv2/I3D-R50-f16"]
    with pytest.raises(report.Skipped, match=r"no checkpoint: synth_ssv2/I3D-R50-f8.*paperlib zoo train --missing"):
        trained(run)
    file = checkpoints.path("synth_ssv2/I3D-R50-f8")
    file.parent.mkdir(parents=True)
    file.touch()
    assert trained(run, at_least=1) == ["synth_ssv2/I3D-R50-f8"]
    with pytest.raises(report.Skipped):
        trained(run, at_least=2)


def test_number_of_frames_is_read_off_the_name():
    assert [
        frame_count(f"synth_ssv2/{name}")
        for name in (
            "I3D-R50-f8",
            "TAM2D-R50-f16-k5",
            "TAM2D-Inc-f32-dense",
            "SlowFast-R50-8x8",
            "SlowFast-R50-16x8",
        )
    ] == [8, 16, 32, 32, 64]


def test_gaps_are_differences_of_means_with_the_printed_ones_beside(run):
    found = {
        "synth_ssv2/I3D-R50-f8": flat(10, 6.0),
        "synth_ssv2/TAM2D-R50-f8": flat(10, 5.0),
        "synth_kinetics/I3D-R50-f8": flat(10, 6.0),
        "synth_kinetics/TAM2D-R50-f8": flat(10, 3.0),
    }
    ours = pairs.gaps(found, published.table(pairs.PRINTED)).set_index("dataset")
    assert ours.difference.to_dict() == pytest.approx({"synth_ssv2": 1, "synth_kinetics": 3})
    assert ours.paper.to_dict() == pytest.approx({"synth_ssv2": 0.5, "synth_kinetics": 1.3})
    plt.close(pairs.draw_gaps(ours.reset_index()))


def test_more_frames_a_smaller_part_of_the_clip(run):
    found = {f"synth_kinetics/I3D-R50-f{n}": flat(8, atr, n) for n, atr in ((8, 5.0), (16, 6.0), (32, 8.0))}
    ours = pairs.lengths(found, published.table("temporal_relevance_fig05a"))
    assert ours.share_of_clip.tolist() == pytest.approx([5 / 8, 6 / 16, 8 / 32]) and ours.paper.tolist() == [
        7,
        8,
        8.9,
    ]
    plt.close(pairs.draw_lengths(ours))


def test_the_table_of_both_methods_has_differences_clip_by_clip(run):
    found = {
        "clrp": {"synth_ssv2/I3D-R50-f16": flat(8, 6.0, 16, 1)},
        "lrp": {"synth_ssv2/I3D-R50-f16": flat(8, 5.8, 16, 1)},
    }
    ours = rules.table(found, published.table("temporal_relevance_table06")).set_index("metric")
    row = ours.loc["avg-ATR"]
    assert (row.clrp, row.lrp, row.lrp_minus_clrp) == pytest.approx((6.0, 5.8, -0.2))
    assert (row.clrp_paper, row.lrp_paper) == (8.2, 7.8)
    plt.close(rules.draw(ours.reset_index()))


def test_ratios_say_whether_rows_sum_to_their_logits():
    assert method.ratios(explained(np.full((5, 8, 8), 1 / 8))) == pytest.approx(np.ones(5))


def test_overlap_with_flags_that_follow_atr_and_against_it():
    names, flags = [f"c{k}" for k in range(8)], np.arange(8) < 4
    avg = np.where(np.arange(16) % 8 < 4, 6.0, 2.0) + 0.01 * np.arange(16)
    found = explained(np.ones((16, 4, 4)), avg, classes=names, temporal=flags)
    printed = published.table("temporal_relevance_table03")
    ours = classes.overlap({"synth_ssv2/I3D-R50-f16": found}, printed)
    row = ours[(ours.metric == "avg-ATR") & (ours.group == "temporal")].iloc[0]
    assert (row.overlap, row.chance, row.paper) == (100, 50, 22.2) and row.p == pytest.approx(1 / 70)
    against = explained(np.ones((16, 4, 4)), -avg, classes=names, temporal=flags)
    assert classes.overlap({"synth_ssv2/I3D-R50-f16": against}, printed).overlap.iloc[0] == 0


def test_classes_of_one_atr_overlap_as_far_as_chance_places_them():
    temporal, avg = np.array([True, True, False, False]), np.array([4.0, 3.0, 2.0, 1.0])
    same = np.full(4, 8.0)  # whatever the order by avg-ATR
    found = explained(np.ones((4, 8, 8)), avg, np.arange(4), list("abcd"), temporal, maximum=same)
    ours = classes.overlap({"synth_mit/x": found}, published.table("temporal_relevance_table03"))
    assert ours.groupby("metric").overlap.unique().map(list).to_dict() == {"avg-ATR": [100], "max-ATR": [50]}
    assert ours.p[ours.metric == "max-ATR"].tolist() == pytest.approx([5 / 6] * 2)  # one of two or more hits
    for metric, (share,) in ours.groupby("metric").overlap.unique().items():
        means = found.avg if metric == "avg-ATR" else found.max
        assert class_statistics.agreement(means, temporal) == pytest.approx((share / 100 - 0.5) / 0.5)


@pytest.mark.parametrize(
    ("name", "count"), [("I3D-R18-f8", 16), ("TAM2D-R18-f8", 8), ("TSN-R18-f8", 0), ("TAM2D-R50-f8", 16)]
)
def test_temporal_convolutions_are_counted_as_in_the_paper(name, count):
    assert architectures.temporal_convolutions(models.create(name, num_classes=2, width=4)) == count


def test_overlap_is_drawn_as_far_as_it_goes_beyond_chance():
    temporal = np.arange(12) < 6
    reach = np.where(temporal, 6.0, 2.0)  # frames: classes that reach far and classes that do not
    labels = np.arange(12)
    found = explained(np.ones((12, 8, 8)), avg=reach, classes=list("abcdefghijkl"), labels=labels, temporal=temporal)
    printed = published.table("temporal_relevance_table03")
    figure = classes.draw_overlap({"synth_mit/I3D-R50-f16": found}, printed)
    marks = {line.get_label(): line.get_ydata() for line in figure.axes[0].lines}
    paper = marks["paper, SSV2, temporal classes"]
    assert paper == pytest.approx([(0.222 - 18 / 174) / (1 - 18 / 174)])
    (ours,) = (box for box in figure.axes[0].containers if box.get_label().startswith("synth_mit"))
    assert ours.lines[0].get_ydata() == pytest.approx([1])


def over_models(x, y, ranks):
    """The correlation of two columns over the models of one data set."""
    table = pd.DataFrame({"dataset": "a", "model": [f"m{k}" for k in range(len(x))], "x": x, "y": y})
    return architectures.over_networks(table, lambda part: part.x, lambda part: part.y, ranks)


def test_correlations_and_their_intervals():
    x, rng = np.arange(15.0), np.random.default_rng(0)
    y = rng.normal(size=15)
    assert over_models(x, y, True).value == pytest.approx(stats.spearmanr(x, y).statistic)
    assert over_models(x, y, False).value == pytest.approx(stats.pearsonr(x, y).statistic)
    assert over_models(x, 2 * x + 1, False).value > 0.99 and over_models(x, np.ones(15), False).value == 0
    for ranks in (True, False):
        found = [over_models(x, rng.normal(size=15), ranks) for _ in range(60)]
        assert sum(f.low <= 0 <= f.high for f in found) >= 54  # 57 in theory
    line = x + rng.normal(scale=0.1, size=15)  # where the jackknife sees hardly any spread, Fisher's interval stays
    found, fisher = over_models(x, line, False), stats.pearsonr(x, line).confidence_interval(0.95)
    assert found.low <= fisher.low + 1e-9 and found.high >= fisher.high - 1e-9
    z = np.arctanh(1 - 6 / (15 * 224))  # in one order: half an exchange of two neighbours less than 1
    assert over_models(x, line, True).low == pytest.approx(np.tanh(z - 1.959964 * np.sqrt(1.06 / 12)))
    few = over_models(x[:3], y[:3], False)
    assert (few.low, few.high) == (-1, 1)  # of three networks nothing is known


def test_table_2_stands_beside_ours():
    names = ["TAM2D-R50-f8", "TAM2D-R50-f8-k5", "TAM2D-R50-f8-k7"]
    ours = pd.DataFrame({"model": names, "frames": 8, "kernel_size": [3, 5, 7], "avg_atr": [4, 5, 4.5]})
    beside = architectures.kernels_beside(ours, published.table("temporal_relevance_table02"))
    assert beside.avg_atr_paper.tolist() == [6.3, 7.8, 8.0]


def test_lines_of_two_families_are_told_apart_and_the_picture_names_the_data_set():
    atr, known = [4.0, 5.0, 6.0, 7.0], {"dataset": "synth_ssv2_hard", "runs": [1, 1, 3, np.nan], "clips": [32, 8, 9, 9]}
    ours = pd.DataFrame({**known, "frames": [8, 8, 16, 16], "kernel_size": [3, 5, 3, 5]})
    for column in ("avg_atr", "accuracy"):
        for end in ("", "_low", "_high", "_paper"):
            ours[column + end] = atr
    ours["family"] = "TAM2D-R50-f" + ours.frames.astype(str)
    figure = architectures.draw_lines(ours, "kernel_size", "family", "temporal kernel, frames")
    legend = {
        text.get_text(): mark for text, mark in zip(figure.legends[0].texts, figure.axes[0].containers, strict=True)
    }
    looks = {
        name: (mark[0].get_linestyle(), mark[0].get_marker(), mark[0].get_color()) for name, mark in legend.items()
    }
    assert len(set(looks.values())) == len(looks) == 4  # ours and the paper's, of 8 and of 16 frames
    assert looks["TAM2D-R50-f16, paper"][0] == looks["TAM2D-R50-f16"][0] != looks["TAM2D-R50-f8"][0]
    title = figure.get_suptitle()
    assert title == "synth_ssv2_hard: 1 to 3 runs of each network, 8 to 32 clips explained of each run"
    plt.close(figure)


def test_slowfast_matrices_are_summed_in_blocks():
    matrix = np.random.default_rng(0).random((3, 8, 8))
    found = slowfast.reduced(explained(matrix), 4, sigma=0.5)
    assert found.matrix.shape == (3, 2, 2) and found.frame_logits.tolist() == [[4, 4]] * 3
    assert found.matrix[1, 0, 1] == pytest.approx(matrix[1, :4, 4:].sum())
    assert ((found.avg >= 1) & (found.avg <= 2)).all() and (found.max >= found.avg).all()


def test_dense_rows_stand_beside_uniform_ones(run):
    found = {"synth_kinetics/I3D-R50-f8": flat(10, 5.0), "synth_kinetics/I3D-R50-f8-dense": flat(10, 4.0)}
    ours = dense.table(found, published.table("temporal_relevance_table07"))
    assert ours.sampling.tolist() == ["uniform", "dense"] and ours.avg_atr_paper.tolist() == [5.5, 4.9]
    figure = dense.draw(ours)
    assert figure.get_suptitle().startswith("synth_kinetics: 1 run of each network, 10 clips")
    plt.close(figure)


def test_instruments_that_give_the_same_ranks_agree():
    x = np.random.default_rng(0).random((6, 8))
    per_frame = {name: x ** (k + 1) for k, name in enumerate(agreement.INSTRUMENTS)}
    per_frame["gradient"] = -x
    table = agreement.agreement(per_frame).set_index(["a", "b"])
    assert table.loc[("CLRP", "temporal mask"), "rho"] == pytest.approx(1)
    assert table.loc[("CLRP", "gradient"), "rho"] == pytest.approx(-1)
    per_frame["Shapley sampling"] = np.ones((6, 8))  # tells no frame from another
    row = agreement.agreement(per_frame).set_index(["a", "b"]).loc[("CLRP", "Shapley sampling")]
    assert row.clips == 0 and np.isnan(row.rho)


def test_what_is_resampled_follows_the_seed():
    rng = np.random.default_rng(0)
    per_frame = {name: rng.random((9, 8)) for name in agreement.INSTRUMENTS}
    measured, ends = {"a/x": (flat(9, 4.0), per_frame, rng.random((9, 8, 8)))}, []
    for seed in (0, 3):
        table = agreement.tables(measured, 0.9, seed)
        first = table.iloc[0]
        rho = [stats.spearmanr(x, y).statistic for x, y in zip(per_frame[first.a], per_frame[first.b], strict=True)]
        assert (first.low, first.high) == pytest.approx(bootstrap_interval(rho, seed=seed)[1:])
        ends.append(table.groupby("question").low.sum().tolist())
    assert all(a != b for a, b in zip(*ends, strict=True))  # of both questions


def test_correlation_over_clips_is_that_of_scipy_with_an_interval_around_it():
    rng = np.random.default_rng(0)
    x = rng.normal(size=40)
    y = x + rng.normal(size=40)
    found = agreement.ranks(x, y)
    assert found.value == pytest.approx(stats.spearmanr(x, y).statistic) and found.low < found.value < found.high
    assert np.isnan(agreement.ranks(x, np.ones(40))).all()


def test_shortest_run():
    assert agreement.shortest_run(np.array([0, 1, 1, 0, 0.0])) == 2
    assert agreement.shortest_run(np.ones(8), 0.5) == 4
