"""Quantities of several networks with intervals over clips and runs, against the textbook's."""

import numpy as np
import pytest
from scipy import stats

from paperlib.papers import statistics
from paperlib.papers.temporal_relevance import pooled

from .explained import explained, flat


def random(seed, n, mean=5.0, **more):
    return explained(np.ones((n, 4, 4)), np.random.default_rng(seed).normal(mean, 1, n), **more)


def test_one_network_has_the_t_interval_of_its_clips():
    one = random(0, 12)
    found = pooled.pool(pooled.tables({"a/x": one}, pooled.avg), lambda mean: mean("a/x"))
    assert found == pytest.approx(statistics.mean_interval(one.avg))


def test_networks_on_different_data_sets_have_welchs_interval():
    a, b = random(0, 12), random(1, 30, 4.0)
    found = pooled.pool(pooled.tables({"a/x": a, "b/x": b}, pooled.avg), lambda mean: mean("a/x") - mean("b/x"))
    welch = stats.ttest_ind(a.avg, b.avg, equal_var=False)
    assert found.value == pytest.approx(a.avg.mean() - b.avg.mean())
    assert found[1:] == pytest.approx(welch.confidence_interval())


def test_videos_that_two_networks_share_are_compared_one_by_one():
    a = random(0, 20)
    b = explained(a.matrix, a.avg - 0.5 + 0.01 * np.random.default_rng(1).normal(size=20))
    paired = pooled.pool(pooled.tables({"a/x": a, "a/y": b}, pooled.avg), lambda mean: mean("a/x") - mean("a/y"))
    assert paired[1:] == pytest.approx(stats.ttest_rel(a.avg, b.avg).confidence_interval())
    b.videos = b.videos + 20  # other videos of the same data set: nothing cancels
    apart = pooled.pool(pooled.tables({"a/x": a, "a/y": b}, pooled.avg), lambda mean: mean("a/x") - mean("a/y"))
    assert apart.value == pytest.approx(paired.value) and apart.high - apart.low > 20 * (paired.high - paired.low)


def test_a_video_that_one_run_does_not_explain_is_missing_there():
    one, other = flat(3, 4.0), flat(2, 6.0, correct=[True] * 6)
    other.videos = np.array([1, 5])
    table = pooled.table([one, other], pooled.avg)
    assert np.isnan(table).tolist() == [[False] * 3 + [True] * 3, [True, False, True, True, True, False]]
    assert table[1, [1, 5]].tolist() == other.avg.tolist()
    assert pooled.table([one], pooled.right).tolist() == [[100, 100, 100, 0, 0, 0]]


def test_runs_of_one_network_widen_its_interval():
    runs = {f"a/x{suffix}": flat(40, avg) for suffix, avg in (("", 5.0), ("-s1", 6.0), ("-s2", 4.0))}
    assert {name: len(found) for name, found in pooled.networks(runs).items()} == {"a/x": 3}
    assert list(pooled.first(runs)) == ["a/x"] and pooled.first(runs)["a/x"] is runs["a/x"]
    found = pooled.pool(pooled.tables(runs, pooled.avg), lambda mean: mean("a/x"))
    t = stats.t.ppf(0.975, 2) * 1 / np.sqrt(3)  # of the runs' means 4, 5, 6; the clips hardly vary
    assert found.value == 5 and found.high - 5 == pytest.approx(t, rel=0.02)
    assert pooled.rests_on(runs) == "3 runs each of 1 network, 40 clips each"
    mixed = pooled.rests_on(runs | {"a/y": flat(40, 4.0)})
    assert mixed == "1 to 3 runs each of 2 networks (those of 1 run as varied as the others), 40 clips each"
    long = runs | {"a/z": flat(40, 9.0, frames=32)}  # its relevance in frames varies more than that of 8 frames
    assert "(those of 1 run as varied as the others, of another length)" in pooled.rests_on(long)
    assert "(those of 1 run as varied as the others)" in pooled.rests_on(long, pooled.right)
    both = long | {f"a/w{suffix}": flat(40, 9.0, frames=32) for suffix in ("", "-s1")}
    assert "(those of 1 run as varied as the others)" in pooled.rests_on(both)
    assert pooled.rests_on({"a/x": flat(3, 4.0), "a/y": flat(5, 4.0)}) == "1 run each of 2 networks, 3 to 5 clips each"


def test_pairs_are_found_by_name():
    names = [
        "synth_ssv2/TAM2D-R50-f8",
        "synth_ssv2/TAM2D-R50-f8-k7",
        "synth_kinetics/TAM2D-R50-f8",
        "synth_mit/I3D-R18-f8",
    ]
    found = {name: flat(3, 4.0) for name in names}
    assert pooled.across(found, "SSV2", "Kinetics") == [(names[0], names[2])]
    assert pooled.same_but(found, "-k7", "") == [(names[1], names[0])]
    assert pooled.same_but(found, "R18", "R50") == []
    assert pooled.of_role(found, "MiT") == [names[3]]
