"""Equation 1 and Table 7 against loops written out by hand, and what the comparison must report."""

import numpy as np
import pandas as pd
import pytest

from paperlib.errors import InputError
from paperlib.papers import deep_analysis


@pytest.fixture(scope="module")
def models():
    return deep_analysis.benchmark()


@pytest.fixture(scope="module")
def recomputed(models):
    return deep_analysis.table07(models)


def accuracy(models, dataset, module, backbone, frames, pooling):
    row = models[
        (models.dataset == dataset)
        & (models.module == module)
        & (models.backbone == backbone)
        & (models.num_frames == frames)
        & (models.temporal_pooling == pooling)
    ]
    assert len(row) == 1
    return row.top1.item()


def test_equation_1_of_one_model():
    assert deep_analysis.spatial_contribution(60.0, 30.0) == 0.5
    assert deep_analysis.temporal_improvement(60.0, 30.0) == pytest.approx(30 / 70)
    assert deep_analysis.spatial_contribution(20.0, 30.0) == 1
    assert deep_analysis.temporal_improvement(20.0, 30.0) == pytest.approx(-10 / 70)


def test_table_equals_a_plain_loop(models, recomputed):
    for row in recomputed.itertuples():
        values = []
        for backbone in ("InceptionV1", "ResNet18", "ResNet50"):
            for frames in (8, 16, 32, 64):
                base = accuracy(models, row.dataset, "TSN", backbone, frames, 0)
                pooling = int(row.metric == "psi_ta_tp")
                own = accuracy(models, row.dataset, row.module, backbone, frames, pooling)
                values.append(base / max(own, base) if row.metric == "phi" else (own - base) / (100 - base))
        assert row.recomputed == pytest.approx(sum(values) / 12, abs=1e-12)
        assert row.low < row.recomputed < row.high and row.models == 12
    assert len(recomputed) == 27


def test_comparison_finds_the_eight_cells_that_differ(recomputed):
    cells = deep_analysis.compare(recomputed, deep_analysis.printed_table07())
    differing = {tuple(x) for x in cells[cells.differs][["dataset", "metric", "module"]].to_numpy()}
    assert differing == {
        (d, m, x)
        for d, m in (("mini-SSV2", "psi_ta"), ("mini-Kinetics", "psi_ta"), ("mini-MiT", "phi"), ("mini-MiT", "psi_ta"))
        for x in ("I3D", "S3D")
    }


def test_one_exchange_of_columns_explains_all_cells(recomputed):
    found = deep_analysis.exchanges(recomputed, deep_analysis.printed_table07())
    assert found.agree.iloc[0] == 27 and found.agree.iloc[1] < 27
    assert found["columns"].iloc[0] == "I3D and S3D" and found["rows"].iloc[0] == "phi, psi_ta"
    assert found[found["columns"] == "none"].agree.item() == 19


def test_no_other_average_reproduces_the_table(models):
    found = deep_analysis.subsets(models, deep_analysis.printed_table07())
    assert len(found) == 2 * 7 * 15
    assert found.iloc[0].tolist() == ["top1", "InceptionV1, ResNet18, ResNet50", "8, 16, 32, 64", 19]
    assert found.agree.iloc[1] < 19


def test_contributions_take_tables_with_fewer_models(models):
    few = models[(models.module != "S3D") & (models.temporal_pooling == 0) & (models.num_frames == 8)]
    values = deep_analysis.contributions(few)
    assert set(values.module) == {"I3D", "TAM"} and set(values.metric) == {"phi", "psi_ta"}
    lone = deep_analysis.table07(few[few.backbone == "ResNet18"])
    assert lone.low.isna().all() and (lone.models == 1).all()


def test_unusable_tables_are_explained(models):
    with pytest.raises(InputError, match="no TSN without temporal pooling"):
        deep_analysis.contributions(models[models.module != "TSN"])
    with pytest.raises(InputError, match="lacks the column 'top1'"):
        deep_analysis.wide(models.drop(columns="top1"))
    with pytest.raises(InputError, match="two rows for"):
        deep_analysis.wide(pd.concat([models, models.iloc[:1]]))


def test_pooling_gain_of_one_model(models):
    gain = deep_analysis.pooling_gain(models)
    row = gain[
        (gain.dataset == "mini-MiT") & (gain.module == "TAM") & (gain.backbone == "ResNet50") & (gain.num_frames == 64)
    ]
    expected = accuracy(models, "mini-MiT", "TAM", "ResNet50", 64, 1) - accuracy(
        models, "mini-MiT", "TAM", "ResNet50", 64, 0
    )
    assert row.gain.item() == pytest.approx(expected)
    assert len(gain) == 144


def test_frame_gains_add_up(models):
    steps = deep_analysis.frame_gain(models)
    total = steps.groupby(["dataset", "module", "backbone", "temporal_pooling"]).gain.sum()
    first = models[models.num_frames == 8].set_index(total.index.names).top1
    last = models[models.num_frames == 64].set_index(total.index.names).top1
    np.testing.assert_allclose(total.sort_index(), (last - first).sort_index())
    assert set(zip(steps.from_frames, steps.to_frames, strict=True)) == {(8, 16), (16, 32), (32, 64)}


def test_names():
    assert deep_analysis.name("I3D", "ResNet50", 16) == "I3D-R50-f16"
    assert deep_analysis.name("TSN", "InceptionV1", 8, 1) == "TSN-Inc-f8-tp"
