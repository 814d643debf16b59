"""Intervals, tests and effect sizes against textbook formulas and simulated coverage."""

import numpy as np
import pytest
from scipy import stats

from paperlib.errors import InputError
from paperlib.papers import statistics, verdicts


def test_interval_of_a_mean_agrees_with_the_t_interval():
    values = np.random.default_rng(0).normal(3, 2, 400)
    found = statistics.bootstrap_interval(values)
    expected = stats.t.interval(0.95, 399, values.mean(), values.std(ddof=1) / 20)
    assert found.value == pytest.approx(values.mean())
    assert found.low == pytest.approx(expected[0], abs=0.03)
    assert found.high == pytest.approx(expected[1], abs=0.03)


@pytest.mark.parametrize("method", ["BCa", "percentile"])
def test_interval_covers_the_truth_about_as_often_as_it_says(method):
    rng = np.random.default_rng(1)
    hits = 0
    for _ in range(300):
        found = statistics.bootstrap_interval(rng.normal(1, 1, 40), level=0.8, method=method, resamples=400)
        hits += found.low <= 1 <= found.high
    assert 0.73 <= hits / 300 <= 0.87


def test_interval_is_reproducible_and_seeded():
    values = np.random.default_rng(2).exponential(size=30)
    assert statistics.bootstrap_interval(values) == statistics.bootstrap_interval(values, seed=0)
    assert statistics.bootstrap_interval(values, seed=1) != statistics.bootstrap_interval(values, seed=0)


def test_units_widen_the_interval_as_the_number_of_independent_clips_demands():
    rng = np.random.default_rng(3)
    clip = rng.normal(size=50)
    values = np.repeat(clip, 16)  # sixteen identical frames per clip carry the information of one
    units = np.repeat(np.arange(50), 16)
    alone = statistics.bootstrap_interval(clip, resamples=2000)
    clustered = statistics.bootstrap_interval(values, units=units, resamples=2000)
    naive = statistics.bootstrap_interval(values, resamples=2000)
    assert clustered.value == pytest.approx(alone.value)
    assert clustered.high - clustered.low == pytest.approx(alone.high - alone.low, rel=0.1)
    assert clustered.high - clustered.low > 3 * (naive.high - naive.low)


def test_units_of_different_sizes_are_pooled_not_averaged():
    values, units = [1.0, 1.0, 1.0, 5.0], ["a", "a", "a", "b"]
    assert statistics.bootstrap_interval(values, units=units, resamples=200).value == pytest.approx(2.0)


def test_degenerate_samples():
    assert statistics.bootstrap_interval([2, 2, 2]) == (2, 2, 2)
    one = statistics.bootstrap_interval([2.0])
    assert one.value == 2 and np.isnan(one.low) and np.isnan(one.high)
    same = statistics.bootstrap_interval([1, 2, 1, 2], units=[0, 0, 1, 1], resamples=200)
    assert same == (1.5, 1.5, 1.5)


@pytest.mark.parametrize("values", [[], [1.0, np.nan], [[1.0, 2.0]]])
def test_unusable_samples_are_named(values):
    with pytest.raises(InputError):
        statistics.bootstrap_interval(values)


def test_bad_arguments_are_named():
    with pytest.raises(InputError, match="BCa"):
        statistics.bootstrap_interval([1, 2], method="jackknife")
    with pytest.raises(InputError, match="level"):
        statistics.bootstrap_interval([1, 2], level=95)
    with pytest.raises(InputError, match="units"):
        statistics.bootstrap_interval([1, 2], units=[0])
    with pytest.raises(InputError, match="one length"):
        statistics.bootstrap_difference([1, 2], [1, 2, 3], paired=True)


def test_difference_of_means_agrees_with_the_normal_interval_and_pairing_narrows_it():
    rng = np.random.default_rng(4)
    clip = rng.normal(0, 3, 200)
    a, b = clip + rng.normal(1, 0.2, 200), clip + rng.normal(0, 0.2, 200)
    free = statistics.bootstrap_difference(a, b, resamples=2000)
    half = 1.96 * np.sqrt(a.var(ddof=1) / 200 + b.var(ddof=1) / 200)
    assert free.value == pytest.approx(a.mean() - b.mean())
    assert free.high - free.value == pytest.approx(half, rel=0.1)
    paired = statistics.bootstrap_difference(a, b, paired=True, resamples=2000)
    assert paired.value == pytest.approx(free.value)
    assert paired.high - paired.low < 0.2 * (free.high - free.low)


def test_difference_by_units():
    rng = np.random.default_rng(5)
    a, b = np.repeat(rng.normal(1, 1, 30), 8), np.repeat(rng.normal(0, 1, 40), 8)
    units = (np.repeat(np.arange(30), 8), np.repeat(np.arange(40), 8))
    clustered = statistics.bootstrap_difference(a, b, units=units, resamples=1000)
    alone = statistics.bootstrap_difference(a[::8], b[::8], resamples=1000)
    assert clustered.high - clustered.low == pytest.approx(alone.high - alone.low, rel=0.15)


def test_comparison_is_welch_with_the_textbook_effect_size():
    rng = np.random.default_rng(6)
    a, b = rng.normal(6.2, 3.3, 150), rng.normal(9.9, 4.1, 90)
    found = statistics.compare(a, b)
    va, vb = a.var(ddof=1) / 150, b.var(ddof=1) / 90
    t = (a.mean() - b.mean()) / np.sqrt(va + vb)
    df = (va + vb) ** 2 / (va**2 / 149 + vb**2 / 89)
    assert found.t == pytest.approx(t) and found.df == pytest.approx(df)
    assert found.p == pytest.approx(2 * stats.t.sf(abs(t), df))
    pooled = np.sqrt((149 * a.var(ddof=1) + 89 * b.var(ddof=1)) / 238)
    assert found.cohen_d == pytest.approx((a.mean() - b.mean()) / pooled)
    assert abs(found.hedges_g) < abs(found.cohen_d)
    assert (found.n_a, found.n_b) == (150, 90)


def test_comparison_without_spread_or_data():
    assert statistics.compare([1, 1], [1, 1]).p == 1
    assert statistics.compare([2, 2], [1, 1]).p == 0
    with pytest.raises(InputError, match="two values"):
        statistics.compare([1], [1, 2])


def test_a_share_that_never_varied_is_not_certain():
    found = statistics.share_interval(0, 8)
    assert found.value == found.low == 0
    assert found.high == pytest.approx(1 - 0.025 ** (1 / 8))  # the share with which 0 of 8 has a chance of 2.5 %
    assert statistics.share_interval(np.int64(3), np.int32(11)) == statistics.share_interval(3, 11)


@pytest.mark.parametrize(
    "arguments, message",
    [
        ((2.7, 11), "successes must be a whole number of at least 0, not 2.7"),
        ((2, 11.5), "trials must be a whole number of at least 1, not 11.5"),
        ((-1, 11), "successes must be"),
        ((0, 0), "trials must be a whole number of at least 1, not 0"),
        ((12, 11), "12 successes of 11 trials"),
        ((2, 11, 95), "level of the interval must be .*, not 95"),
    ],
)
def test_counts_that_are_no_share_are_refused(arguments, message):
    with pytest.raises(InputError, match=message):
        statistics.share_interval(*arguments)


@pytest.mark.parametrize("units", [[0, 0, 1, 1], np.arange(2), "ab", {0: 1, 1: 2}, ([0, 0, 1, 1],), 3])
def test_units_of_several_samples_are_given_for_each(units):
    values = [1.0, 2.0, 3.0, 5.0]
    with pytest.raises(InputError, match="units must be a list of 2: the labels of a and those of b"):
        statistics.bootstrap_difference(values, values, units=units)
    with pytest.raises(InputError, match="units must be a list of 2: labels or None for each entry"):
        statistics.crossed_interval(lambda blocks: blocks[0][0].mean(), [[np.ones((1, 4))]] * 2, units)
    with pytest.raises(InputError, match="flat list of 4 labels, one per value"):
        statistics.bootstrap_interval(values, units=[[0, 0, 1, 1]])


def test_the_interval_of_few_values_is_that_of_student():
    found = statistics.mean_interval([1.0, 2.0, 6.0])
    assert found.value == 3 and found.high - 3 == pytest.approx(4.302652729749 * np.sqrt(7 / 3))
    assert np.isnan(statistics.mean_interval([1.0]).low)


def difference(blocks):
    return float(np.mean([a.mean() - b.mean() for a, b in blocks]))


def test_estimates_that_err_together_are_no_surer_for_being_several():
    one, other = np.random.default_rng(0).normal(0, (0.1, 0.2), (100000, 2)).T
    ends = [(0.5, 0.5 - 0.196, 0.5 + 0.196)] * 2 + [(0.8, 0.8 - 0.392, 0.8 + 0.392)]
    for labels, drawn in (
        (None, (one + np.roll(one, 1) + other) / 3),
        (["a", "a", "b"], (one + one + other) / 3),
        (["a", "a", "a"], (one + one + 2 * one) / 3),
    ):
        found = statistics.mean_of_independent(ends, labels)
        assert found == pytest.approx((0.6, *(0.6 + np.quantile(drawn, (0.025, 0.975)))), abs=0.004)
    single = statistics.mean_of_independent([(0.5, 0.1, 0.6)] * 4, list("aaaa"))
    assert single == pytest.approx((0.5, 0.1, 0.6))


def test_one_run_each_gives_the_paired_t_interval_over_clips():
    a, b = np.random.default_rng(0).normal(size=(2, 40))
    found = statistics.crossed_interval(difference, [(a, b)])
    expected = stats.ttest_rel(a, b).confidence_interval()
    assert found[1:] == pytest.approx((expected.low, expected.high))


def test_runs_widen_the_interval_as_much_as_they_differ():
    clips = np.random.default_rng(0).normal(size=200)
    runs = np.array([[-1.0], [0.0], [1.0]]) + clips
    found = statistics.crossed_interval(lambda blocks: blocks[0][0].mean(), [(runs,)])
    only_runs = statistics.mean_interval(runs.mean(1))
    assert found.high - found.low == pytest.approx(only_runs.high - only_runs.low, rel=0.05)


def test_interval_over_runs_and_clips_covers_the_truth():
    rng, hits = np.random.default_rng(4), 0
    for _ in range(300):  # two architectures of 4 runs each, 30 clips; the truth is no difference
        clip = rng.normal(size=30)
        a, b = (clip + rng.normal(0, 0.4, (4, 1)) + rng.normal(0, 0.5, (4, 30)) for _ in range(2))
        found = statistics.crossed_interval(difference, [(a, b)])
        hits += found.low <= 0 <= found.high
    assert 0.92 <= hits / 300 <= 0.99


def mean_difference(means):
    return float(np.mean([a - b for a, b in zip(means[0][::2], means[0][1::2], strict=True)]))


def test_networks_trained_once_vary_as_those_trained_more_often():
    rng, hits = np.random.default_rng(0), 0
    for pairs in (1, 2) * 200:  # of networks of 3 runs and of 1, 16 clips; the truth is no difference
        clip = rng.normal(0, 0.6, 16)
        models = [clip + rng.normal(0, 0.2, (n, 1)) + rng.normal(0, 0.3, (n, 16)) for _ in range(pairs) for n in (3, 1)]
        found = statistics.crossed_interval(mean_difference, [models], of_run=np.mean)
        hits += found.low <= 0 <= found.high
    assert 0.93 <= hits / 400 <= 0.98


def test_what_a_network_trained_once_adds_is_the_others_variance():
    ends = np.array([0.0, 1e-9])  # clips that all but agree
    three, one = (np.array(runs)[:, None] + ends for runs in ([4.0, 5.0, 9.0], [2.0]))
    found = statistics.crossed_interval(mean_difference, [[three, one]], of_run=np.mean)
    half = stats.t.ppf(0.975, 2) * np.sqrt(7 / 3 + 7)  # 7: the variance of 4, 5 and 9
    assert found == pytest.approx((4, 4 - half, 4 + half))
    alone = statistics.crossed_interval(mean_difference, [[one, one + [0.0, 1.0]]], of_run=np.mean)
    assert alone == pytest.approx(statistics.crossed_interval(difference, [(one, one + [0.0, 1.0])]))


def test_blocks_are_pooled_and_persons_are_left_out_whole():
    rng = np.random.default_rng(5)
    a, b = rng.normal(size=(2, 24))
    two = statistics.crossed_interval(difference, [(a[:12], b[:12]), (a[12:], b[12:])])
    assert two.value == pytest.approx((a - b).mean())
    person = np.repeat(np.arange(6), 4)
    found = statistics.crossed_interval(difference, [(a, b)], units=[person])
    means = (a - b).reshape(6, 4).mean(1)
    assert found[1:] == pytest.approx(statistics.mean_interval(means)[1:])


def test_answers_that_never_differ_have_the_interval_of_a_share():
    same = np.full(96, 100.0)
    found = statistics.crossed_interval(difference, [(same, same)], span=100)
    assert found == pytest.approx((0, -100 * (1 - 0.025 ** (1 / 96)), 100 * (1 - 0.025 ** (1 / 96))))
    assert np.isnan(statistics.crossed_interval(difference, [(same, same)]).low)
    with pytest.raises(InputError, match="same clips"):
        statistics.crossed_interval(difference, [(same, same[:5])])


def test_without_spread_units_count_and_not_their_clips():
    right, people = [[np.ones((1, 60))]], [np.repeat(range(6), 10)]
    found = statistics.crossed_interval(lambda blocks: 100 * blocks[0][0].mean(), right, units=people, span=100)
    assert found.low == pytest.approx(100 - 100 * statistics.share_interval(0, 6).high)


def test_what_differs_by_rounding_has_no_spread():
    b, units = np.array([0.1, 0.2, 0.3, 0.4, 0.7]), [0, 1, 1, 1, 2, 2, 2, 2]
    for found in (
        statistics.bootstrap_difference(b + 0.3, b, paired=True),
        statistics.mean_interval([0.1] * 3),
        statistics.bootstrap_interval([0.1] * 8, units=units),
    ):
        assert found.low == found.high and verdicts.verdict("> 0", found) == "undecided"
