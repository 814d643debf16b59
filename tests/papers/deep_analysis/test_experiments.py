"""What the notebooks conclude from own models, on answers that are made up to be known."""

from types import SimpleNamespace

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest

from paperlib.papers import deep_analysis
from paperlib.papers.beyond import relevance_link
from paperlib.papers.deep_analysis import draw_own, experiments, literature_tables, multi_clip, own


def scored(key, share, videos=100, **row):
    """Return a model that gets the first `share` of the videos right."""
    name = key.partition("/")[2]
    base = dict(
        model=name,
        dataset=key.partition("/")[0],
        module=name.split("-")[0].replace("TAM2D", "TAM"),
        backbone="ResNet18",
        num_frames=8,
        temporal_pooling=0,
        placement="all",
        sampling="uniform",
        init_from="",
        kernel_size=3,
        ensemble=0,
    )
    return {key: own.Scored(key, np.arange(videos) < share * videos, {**base, **row})}


@pytest.fixture
def zoo():
    found = {}
    for dataset, tsn in (("synth_ssv2", 0.4), ("synth_kinetics", 0.8)):
        found |= scored(f"{dataset}/TSN-R18-f8", tsn) | scored(f"{dataset}/I3D-R18-f8", 0.85)
        found |= scored(f"{dataset}/TAM2D-R18-f8", 0.9)
        found |= scored(f"{dataset}/I3D-R18-f8-tp", 0.6, temporal_pooling=1)
        for place, share in (("top", 0.9), ("bottom", 0.7), ("uniform", 0.88)):
            found |= scored(f"{dataset}/TAM2D-R18-f8-{place}", share, placement=place)
    return found


def test_contribution_is_equation_1_with_an_interval_over_videos(zoo):
    model, base = zoo["synth_ssv2/TAM2D-R18-f8"], zoo["synth_ssv2/TSN-R18-f8"]
    psi, low, high = own.contribution(model, base)
    assert psi == pytest.approx((90 - 40) / 60) and low < psi < high
    assert own.contribution(model, base, "phi")[0] == pytest.approx(4 / 9)


def test_contributions_compare_within_a_dataset_and_skip_what_has_no_baseline(zoo):
    table = experiments.own_contributions(zoo | scored("synth_mit/I3D-R18-f8", 0.5))
    assert set(table.dataset) == {"synth_ssv2", "synth_kinetics"}
    assert set(table.metric[table.model == "I3D-R18-f8-tp"]) == {"psi_ta_tp"}


def test_contribution_claims_compare_the_datasets(zoo):
    claims = {c["statement"].split()[-1]: c for c in experiments.of_own_contributions(zoo)}
    assert set(claims) == {
        "I3D-R18-f8",
        "TAM2D-R18-f8",
        "TAM2D-R18-f8-top",
        "TAM2D-R18-f8-bottom",
        "TAM2D-R18-f8-uniform",
    }
    assert claims["TAM2D-R18-f8"]["verdict"]
    assert claims["TAM2D-R18-f8"]["ours"][0] == pytest.approx(50 / 60 - 10 / 20)
    assert experiments.of_own_contributions({}) == []


def test_the_closest_baseline_is_taken(zoo):
    long = scored("synth_ssv2/I3D-R18-f16", 0.9, num_frames=16)
    assert own.baseline_of(zoo, long["synth_ssv2/I3D-R18-f16"]).key == "synth_ssv2/TSN-R18-f8"
    with_long = zoo | scored("synth_ssv2/TSN-R18-f16", 0.5, num_frames=16)
    assert own.baseline_of(with_long, long["synth_ssv2/I3D-R18-f16"]).key == "synth_ssv2/TSN-R18-f16"
    other = scored("synth_ssv2/I3D-R50-f8", 0.9, backbone="ResNet50")["synth_ssv2/I3D-R50-f8"]
    assert own.baseline_of(zoo, other) is None


def test_placement_and_aggregation_claims(zoo):
    claims = experiments.of_placement(zoo)
    assert len(claims) == 2 and all(c["verdict"] for c in claims)
    assert claims[0]["ours"][0] == pytest.approx(20)
    claims = {c["statement"]: c for c in experiments.of_aggregation(zoo)}
    assert claims["Temporal modeling helps on synth_ssv2 (ResNet18)"]["ours"][0] == pytest.approx(50)
    assert not any("non-local" in s or "InceptionV1" in s for s in claims)  # those are not trained


def test_pooling_claims_say_the_right_direction(zoo):
    claims = experiments.of_own_pooling(zoo)
    assert [c["statement"] for c in claims] == [
        "Temporal pooling hurts I3D-R18-f8 on synth_ssv2",
        "Temporal pooling hurts I3D-R18-f8 on synth_kinetics",
    ]
    assert claims[0]["verdict"] and claims[0]["ours"][0] == pytest.approx(25)


def test_transfer_claims_need_both_models():
    start = "synth_kinetics/x"
    one = scored("synth_kth/I3D-R18-f8-transfer", 0.8, init_from=start)
    assert experiments.of_transfer(one) == []
    both = one | scored("synth_kth/TAM2D-R18-f8-transfer", 0.81, init_from=start)
    assert experiments.of_transfer(both)[0]["verdict"]
    assert set(experiments.transfer_dots(both).x) == {"synth_kth"}


def test_sampling_claims():
    right, wrong = np.ones(50, bool), np.arange(50) < 30
    bars = pd.DataFrame(
        [["synth_ssv2", "I3D-R18-f8", "uniform", right, right], ["synth_ssv2", "I3D-R18-f8", "dense", wrong, right]],
        columns=["dataset", "model", "sampling", "one", "many"],
    )
    claims = multi_clip.of_sampling(bars)
    assert [c["verdict"] for c in claims] == [True, True] and claims[0]["ours"][0] == pytest.approx(40)
    assert multi_clip.of_sampling(bars[:1]) == []


def test_saturation_claims():
    better = [np.arange(40) < 20 + 2 * k for k in range(10)]
    curves = pd.DataFrame(
        [
            {"model": "I3D", "dataset": "d", "sampling": how, "clips": k + 1, "correct": c}
            for how in ("dense", "uniform")
            for k, c in enumerate(better if how == "uniform" else [better[-1]] * 10)
        ]
    )
    dense, uniform = multi_clip.of_clips(curves)
    assert dense["verdict"] and not uniform["verdict"] and uniform["ours"][0] == pytest.approx(45)


def test_partial_correlation_removes_a_common_cause():
    rng = np.random.default_rng(0)
    cause = rng.normal(size=500)
    x, y = cause + 0.1 * rng.normal(size=500), cause + 0.1 * rng.normal(size=500)
    assert np.corrcoef(x, y)[0, 1] > 0.95
    assert abs(relevance_link.partial_correlation(x, y, cause[:, None])) < 0.15
    none = np.empty((500, 0))
    assert relevance_link.partial_correlation(x, y, none) == pytest.approx(np.corrcoef(x, y)[0, 1])
    # the textbook formula for one covariate
    r = np.corrcoef([x, y, cause])
    expected = (r[0, 1] - r[0, 2] * r[1, 2]) / np.sqrt((1 - r[0, 2] ** 2) * (1 - r[1, 2] ** 2))
    assert relevance_link.partial_correlation(x, y, cause[:, None]) == pytest.approx(expected)


def test_relevance_points_and_correlations(zoo, monkeypatch):
    monkeypatch.setattr(own, "score", lambda run: zoo)
    monkeypatch.setattr(relevance_link.checkpoints, "load", lambda key: (None, {}))
    monkeypatch.setattr(relevance_link, "layers", lambda model: ["3D", "2D", "1D"])
    monkeypatch.setattr(
        relevance_link.analysis, "explain", lambda key, **_: SimpleNamespace(avg=np.linspace(2, 4, 9) + len(key) % 3)
    )
    run = SimpleNamespace(settings={"clips": 4, "sigma": 0.975, "min_score": 0.5}, device="cpu", data_root="")
    points = relevance_link.relevance_points(run)
    assert "TSN-R18-f8" not in set(points.model) and "I3D-R18-f8-tp" not in set(points.model)
    assert (points.layers == 2).all() and (points.atr <= 1).all()
    table = relevance_link.correlations(points)
    assert len(table) == 3 and ((table.low <= table.value) & (table.value <= table.high)).all()
    draw_own.relevance(points)
    plt.close("all")


def test_claims_of_the_printed_tables():
    verdicts = {
        c["statement"]: c["verdict"]
        for c in (
            *literature_tables.of_table3(),
            *literature_tables.of_table4(),
            *literature_tables.of_table5(),
            *literature_tables.of_table6(),
        )
    }
    assert not verdicts["The three models differ by less than 2 points on every target dataset"]
    assert verdicts["The top half of the temporal modules gives the best accuracy on mini-SSV2"]
    cells = literature_tables.of_table5_cells(deep_analysis.benchmark())
    assert [c["ours"] for c in cells] == [22, 0]


def test_figures_take_missing_own_models():
    printed = experiments.printed_table05()
    assert len(draw_own.dots(printed, experiments.dots([])).axes) == 2
    plt.close("all")
