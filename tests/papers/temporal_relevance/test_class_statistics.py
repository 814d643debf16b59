"""How far classes differ beyond noise, and whether people's flags go with it, where the answer is known."""

import numpy as np
import pytest

from paperlib.papers.temporal_relevance import class_statistics, classes, pooled

from .explained import explained


def clips(rng, classes, each, between, within):
    """Draw avg-ATR of `each` clips of classes whose true means vary by `between`, clips by `within`."""
    labels = np.repeat(np.arange(classes), each)
    avg = 8 + between * rng.normal(size=classes)[labels] + within * rng.normal(size=len(labels))
    return explained(np.ones((len(labels), 4, 4)), avg, labels, [f"c{k}" for k in range(classes)])


def test_components_are_those_of_the_textbook_table():
    values, labels = np.array([1.0, 3, 4, 6, 8]), np.array([0, 0, 1, 1, 1])
    within = (2 * 1 + 2**2 + 2**2) / 3  # sums of squares 2 and 8, three degrees of freedom
    between = 2 * (2 - 4.4) ** 2 + 3 * (6 - 4.4) ** 2  # one degree of freedom
    size = 5 - (4 + 9) / 5
    assert class_statistics.components(values, labels) == pytest.approx(((between - within) / size, within))
    both = class_statistics.components(np.stack([values, 2 * values], 1), labels)
    assert both == pytest.approx((5 * (between - within) / size, 5 * within))
    assert np.isnan(class_statistics.components(values, np.arange(5))).all()


def test_noise_of_few_clips_does_not_count_as_a_difference_between_classes():
    rng = np.random.default_rng(0)
    noise = [
        class_statistics.components(one.avg, one.labels)[0] for one in (clips(rng, 30, 3, 0, 1) for _ in range(60))
    ]
    assert abs(np.mean(noise)) < 0.05  # the plain variance of class means would be 1 / 3
    apart = clips(rng, 200, 3, 0.5, 1.0)
    found = class_statistics.spread([apart], pooled.avg)
    assert found.low < 0.5 < found.high and found.high - found.low < 0.3
    assert class_statistics.spread([clips(rng, 40, 3, 0.0, 0.3)], pooled.avg).high < 0.15


def test_the_range_of_normal_values():
    assert class_statistics.expected_range(2) == pytest.approx(2 / np.sqrt(np.pi))
    drawn = np.ptp(np.random.default_rng(0).normal(size=(20000, 32)), axis=1).mean()
    assert class_statistics.expected_range(32) == pytest.approx(drawn, rel=0.01)


def test_heatmaps_that_differ_by_class_and_those_that_do_not():
    rng, labels = np.random.default_rng(0), np.repeat(np.arange(4), 8)
    own = explained(rng.random((4, 5, 5))[labels] + 0.1 * rng.random((32, 5, 5)), labels=labels)
    assert class_statistics.heatmaps_vary({"m/x": own}).low > 0.8
    alike = class_statistics.heatmaps_vary({"m/x": explained(rng.random((32, 5, 5)), labels=labels)})
    assert alike.low < 0 < alike.high


def test_clips_that_several_runs_explain_count_once():
    rng, labels = np.random.default_rng(0), np.repeat(np.arange(4), 4)
    one = explained(rng.random((16, 5, 5)), labels=labels)
    runs = {"m/x": one, "m/x-s1": one, "m/x-s2": one, "m/y": one}
    alone = class_statistics.heatmaps_vary({"m/x": one})
    assert class_statistics.heatmaps_vary(runs) == pytest.approx(alone)  # no run says more than the first
    flat = one.matrix.reshape(16, -1) / one.matrix.reshape(16, -1).sum(1, keepdims=True)
    between, within = class_statistics.components(flat, labels)
    assert alone.value == pytest.approx(between / (between + within))
    other = explained(
        rng.random((12, 5, 5)), labels=labels[:12]
    )  # explains twelve of the clips, the others are missing
    assert class_statistics.heatmaps_vary({"m/x": one, "n/y": other}).value == pytest.approx(
        (alone.value + class_statistics.heatmaps_vary({"n/y": other}).value) / 2
    )
    assert np.isfinite(class_statistics.heatmaps_vary({"m/x": one, "m/x-s1": other})).all()


def test_agreement_is_one_for_equal_orders_zero_by_chance_and_ties_count_by_halves():
    temporal = np.arange(8) < 4
    assert class_statistics.agreement(-np.arange(8.0), temporal) == 1
    assert class_statistics.agreement(np.arange(8.0), temporal) == -1
    assert class_statistics.agreement(np.ones(8), temporal) == 0
    rng = np.random.default_rng(0)
    by_chance = [class_statistics.agreement(rng.normal(size=174), np.arange(174) < 18) for _ in range(2000)]
    assert np.mean(by_chance) == pytest.approx(0, abs=0.01)
    k, n, printed = 18, 174, 0.389
    assert (printed - k / n) / (1 - k / n) == pytest.approx(0.32, abs=0.005)  # the margin in statements.csv


def test_shares_of_classes_by_flag():
    temporal = np.array([True, True, False, False])
    assert class_statistics.larger_than_static(np.array([4.0, 3, 2, 1]), temporal) == 1
    assert class_statistics.larger_than_static(np.ones(4), temporal) == 0.5
    assert class_statistics.static_above_median(np.array([1.0, 2, 3, 4]), temporal) == 1
    assert class_statistics.static_above_median(np.ones(4), temporal) == 0.5


def test_intervals_over_classes_hold_the_truth_and_need_both_kinds():
    rng, flags = np.random.default_rng(0), np.arange(24) < 12
    names, labels = [f"c{k}" for k in range(24)], np.repeat(np.arange(24), 2)

    def one(shift):
        avg = 5 + rng.normal(size=24)[labels] + shift * flags[labels]
        return explained(np.ones((48, 4, 4)), avg, labels, names, flags)

    even = class_statistics.over_classes({"m/x": one(0.0)}, class_statistics.larger_than_static)
    apart = class_statistics.over_classes({"m/x": one(2.0)}, class_statistics.larger_than_static)
    assert even.low < 0.5 < even.high and 0.7 < apart.low < apart.value < apart.high <= 1
    static = explained(np.ones((48, 4, 4)), None, labels, names, np.arange(24) < 2)
    assert list(
        class_statistics.with_both_kinds({"a/x": one(0.0), "b/x": static, "c/x": explained(np.ones((2, 4, 4)))})
    ) == ["a/x"]


def test_classes_are_sorted_and_their_spread_is_between_clips():
    table = classes.per_class(explained(np.ones((6, 4, 4)), [1, 5, 2, 6, 3, 7]))
    assert table["class"].tolist() == ["two", "one"] and table.avg_atr.tolist() == [6, 2]
    assert table.avg_atr_sd.tolist() == [1, 1] and table.clips.tolist() == [3, 3]
