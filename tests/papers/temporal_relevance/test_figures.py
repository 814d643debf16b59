"""What the notebooks compute and claim, on relevance whose answer is known."""

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
from scipy import stats

from paperlib import models
from paperlib.papers import published, report
from paperlib.papers.beyond import agreement
from paperlib.papers.temporal_relevance import (
    architectures,
    classes,
    datasets,
    dense,
    frames_of,
    method,
    pairs,
    rules,
    slowfast,
    trained,
    videos,
)
from paperlib.storage import paths
from paperlib.training import checkpoints

from .explained import explained


@pytest.fixture
def run(tmp_path, monkeypatch):
    monkeypatch.setattr(paths, "FIGURES", tmp_path / "figures")
    monkeypatch.setattr(paths, "CHECKPOINTS", tmp_path / "checkpoints")
    return report.start("temporal_relevance/fig03_i3d_vs_tam", device="cpu")


def flat(n, avg, frames=8, spread=0.1, **more):
    """Explained with uniform matrices whose avg-ATR is spread evenly around `avg`."""
    return explained(np.ones((n, frames, frames)), avg + np.linspace(-spread, spread, n), **more)


def verdicts(table):
    return dict(zip(table.statement, table.verdict, strict=True))


def test_a_missing_checkpoint_stops_the_notebook_with_the_command_that_trains_it(run):
    run.settings["models"] = ["synth_ssv2/I3D-R50-f8", "synth_ssv2/I3D-R50-f16"]
    with pytest.raises(report.Skipped, match=r"no checkpoint: synth_ssv2/I3D-R50-f8.*paperlib zoo train --missing"):
        trained(run)
    file = checkpoints.path("synth_ssv2", "I3D-R50-f8")
    file.parent.mkdir(parents=True)
    file.touch()
    assert trained(run, at_least=1) == ["synth_ssv2/I3D-R50-f8"]
    with pytest.raises(report.Skipped):
        trained(run, at_least=2)


def test_number_of_frames_is_read_off_the_name():
    assert [
        frames_of(f"synth_ssv2/{name}")
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
    table = pairs.claim_gaps(run, found, ours.reset_index())
    assert table.ours.astype(float).tolist() == [2.0] and table.verdict.tolist() == ["holds"]
    plt.close(pairs.draw_gaps(ours.reset_index()))


def test_a_double_difference_contains_its_value_and_shrinks_with_more_clips():
    rng = np.random.default_rng(0)
    wide, narrow = (pairs.double_difference(*(rng.normal(m, 1, n) for m in (5, 3, 4, 3))) for n in (20, 2000))
    assert wide.low < wide.value < wide.high and narrow.high - narrow.low < (wide.high - wide.low) / 5
    assert narrow.value == pytest.approx(1, abs=0.2)


def test_more_frames_a_smaller_part_of_the_clip(run):
    found = {f"synth_kinetics/I3D-R50-f{n}": flat(8, atr, n) for n, atr in ((8, 5.0), (16, 6.0), (32, 8.0))}
    ours = pairs.lengths(found, published.table("temporal_relevance_fig05a"))
    assert ours.share_of_clip.tolist() == pytest.approx([5 / 8, 6 / 16, 8 / 32]) and ours.paper.tolist() == [
        7,
        8,
        8.9,
    ]
    assert pairs.claim_lengths(run, found).verdict.tolist() == ["holds", "holds"]
    plt.close(pairs.draw_lengths(ours))


def test_lrp_is_compared_with_clrp_on_the_same_clips(run):
    found = {
        "clrp": {"synth_ssv2/I3D-R50-f16": flat(8, 6.0, 16, 1)},
        "lrp": {"synth_ssv2/I3D-R50-f16": flat(8, 5.8, 16, 1)},
    }
    ours = rules.table(found, published.table("temporal_relevance_table06"))
    row = ours[(ours.metric == "avg-ATR") & (ours.method == "lrp")].iloc[0]
    assert row.minus_clrp == pytest.approx(-0.2) and row.paper == 7.8
    assert row.minus_clrp_high - row.minus_clrp_low < 1e-9  # paired: the clips' own spread cancels
    assert rules.claim(run, ours).verdict.tolist() == ["holds", "holds"]
    plt.close(rules.draw(ours))


def test_ratios_say_whether_rows_sum_to_their_logits(run):
    found = explained(np.full((5, 8, 8), 1 / 8))
    assert method.ratios(found) == pytest.approx(np.ones(5))
    doubled = explained(np.full((5, 8, 8), 2 / 8))
    assert method.claim(run, doubled, found, "toy").verdict.tolist() == ["holds", "contradicted"]


def test_classes_are_sorted_and_their_spread_is_between_clips():
    table = classes.per_class(explained(np.ones((6, 4, 4)), [1, 5, 2, 6, 3, 7]))
    assert table["class"].tolist() == ["two", "one"] and table.avg_atr.tolist() == [6, 2]
    assert table.avg_atr_sd.tolist() == [1, 1] and table.clips.tolist() == [3, 3]


def test_variance_between_classes_is_zero_by_chance_and_one_without_noise():
    rng = np.random.default_rng(0)
    labels = np.repeat(np.arange(20), 6)
    chance, p = classes.variance_between(rng.normal(size=120), labels)
    assert abs(chance) < 0.15 and p > 0.01
    share, p = classes.variance_between(labels + rng.normal(0, 0.01, 120), labels)
    assert share > 0.99 and p < 1e-10


def test_share_near_the_median_and_fullest_range():
    assert classes.share_near_median(np.array([1.0, 1.1, 1.2, 3.0])) == 0.75
    assert classes.fullest(np.array([9.0, 9.5, 10.0, 12.0])) == 0.75


def test_overlap_with_flags_that_follow_atr_and_against_it():
    names, flags = [f"c{k}" for k in range(8)], np.arange(8) < 4
    avg = np.where(np.arange(16) % 8 < 4, 6.0, 2.0) + 0.01 * np.arange(16)
    found = explained(np.ones((16, 4, 4)), avg, classes=names, temporal=flags)
    printed = published.table("temporal_relevance_table03")
    ours = classes.overlap({"synth_ssv2/I3D-R50-f16": found}, printed)
    row = ours[(ours.metric == "avg-ATR") & (ours.group == "temporal")].iloc[0]
    assert (row.overlap, row.chance, row.paper) == (100, 50, 22.2) and row.p == pytest.approx(1 / 70)
    assert classes.separation(found).value == 1
    against = explained(np.ones((16, 4, 4)), -avg, classes=names, temporal=flags)
    assert classes.separation(against).value == 0
    assert classes.overlap({"synth_ssv2/I3D-R50-f16": against}, printed).overlap.iloc[0] == 0


def test_scattered_classes_hold_and_separated_ones_do_not(run):
    names, flags = [f"c{k}" for k in range(12)], np.arange(12) % 2 == 0
    even = explained(np.ones((24, 4, 4)), np.arange(24) // 2 % 6 * 1.0, classes=names, temporal=flags)
    apart = explained(np.ones((24, 4, 4)), np.where(np.arange(24) % 2 == 0, 5.0, 1.0), classes=names, temporal=flags)
    static_only = explained(np.ones((24, 4, 4)), classes=names, temporal=np.zeros(12, bool))
    assert classes.claim_sorted(run, {"synth_mit/a": even}).verdict.tolist() == ["holds", "holds"]
    assert classes.claim_sorted(run, {"synth_mit/b": apart}).verdict.tolist()[2:] == [
        "contradicted",
        "undecided",
    ]
    assert classes.claim_sorted(run, {"synth_kinetics/c": static_only}).verdict.tolist()[4:] == ["not testable here"]


@pytest.mark.parametrize(
    ("name", "count"), [("I3D-R18-f8", 16), ("TAM2D-R18-f8", 8), ("TSN-R18-f8", 0), ("TAM2D-R50-f8", 16)]
)
def test_temporal_convolutions_are_counted_as_in_the_paper(name, count):
    assert architectures.temporal_convolutions(models.create(name, num_classes=2, width=4)) == count


def test_correlations_and_their_intervals():
    x, rng = np.arange(15.0), np.random.default_rng(0)
    assert architectures.pearson(x, 2 * x + 1) == pytest.approx((1, 1, 1))
    y = rng.normal(size=15)
    assert architectures.ranks(x, y).value == pytest.approx(stats.spearmanr(x, y).statistic)
    assert architectures.pearson(x, y).value == pytest.approx(stats.pearsonr(x, y).statistic)
    for correlation in (architectures.ranks, architectures.pearson):
        found = [correlation(x, rng.normal(size=15)) for _ in range(60)]
        assert sum(f.low <= 0 <= f.high for f in found) >= 48  # 57 in theory; few pairs make it too sure


def described(values, **columns):
    """A table as `architectures.described` gives it."""
    table = pd.DataFrame({"dataset": "synth_ssv2", "avg_atr": values, **columns})
    return table.assign(avg_atr_low=table.avg_atr - 0.1, avg_atr_high=table.avg_atr + 0.1)


def test_larger_kernels_claims_follow_the_numbers(run):
    names = ["TAM2D-R50-f8", "TAM2D-R50-f8-k5", "TAM2D-R50-f8-k7"]
    found = {f"synth_ssv2/{n}": flat(10, v) for n, v in zip(names, (4, 5, 4.5), strict=True)}
    ours = architectures.kernels_beside(
        described([4, 5, 4.5], model=names, frames=8, kernel_size=[3, 5, 7], accuracy=[90, 91, 92.0], max_atr=6),
        published.table("temporal_relevance_table02"),
    )
    assert ours.avg_atr_paper.tolist() == [6.3, 7.8, 8.0]
    assert architectures.claim_kernels(run, found, ours).verdict.tolist() == [
        "holds",
        "contradicted",
        "undecided",
    ]


def test_ensemble_and_depth_claims(run):
    names = ["TAM2D-R50-f16-e1", "TAM2D-R50-f16-e4", "TAM2D-R50-f16"]
    found = {f"synth_ssv2/{n}": flat(10, v, 16) for n, v in zip(names, (8, 7, 5), strict=True)}
    ours = described([8, 7, 5], model=names, ensemble=[1, 4, 16])
    assert architectures.claim_ensemble(run, found, ours).verdict.tolist() == ["holds", "holds"]
    deep = {f"synth_ssv2/I3D-R{d}-f16": flat(10, v, 16) for d, v in ((50, 6.0), (101, 6.1), (152, 6.3))}
    assert architectures.claim_depth(run, deep).verdict.tolist()[2:] == ["holds", "holds"]


def test_the_mixed_data_set_is_compared_with_both_others(run):
    found = {
        f"{d}/I3D-R50-f8": flat(10, v) for d, v in (("synth_mit", 5.0), ("synth_kinetics", 4.0), ("synth_ssv2", 4.5))
    }
    printed = datasets.with_mit(published.table("temporal_relevance_table01"))
    table = datasets.claim_between(run, found, printed)
    assert table.published.tolist() == ["0.2", "-0.8"] and table.verdict.tolist() == [
        "holds",
        "contradicted",
    ]


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
    table = dense.claim(run, found, ours)
    assert table.verdict.tolist() == ["holds", "contradicted", "undecided"] and table.published.iloc[0] == "-0.6"
    plt.close(dense.draw(ours))


def test_few_frames_and_uneven_logits():
    even, one = np.ones((1, 8, 8)), np.zeros((1, 8, 8))
    one[:, :, 3] = 1
    assert videos.few_frames(explained(even)) == pytest.approx([0.25])
    assert videos.few_frames(explained(one)) == pytest.approx([1.0])
    assert videos.logit_spread(explained(even)).tolist() == [0]


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


def test_shortest_run():
    assert agreement.shortest_run(np.array([0, 1, 1, 0, 0.0])) == 2
    assert agreement.shortest_run(np.ones(8), 0.5) == 4
