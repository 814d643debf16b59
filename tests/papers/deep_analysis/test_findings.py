"""Verdicts follow the numbers: on the published accuracies, and on tables in which a statement is false."""

import matplotlib.pyplot as plt
import pytest

from paperlib import models
from paperlib.papers import claims as ledger
from paperlib.papers import deep_analysis, published
from paperlib.papers.deep_analysis import draw, draw_literature, findings, literature, structure


@pytest.fixture(scope="module")
def table():
    return deep_analysis.benchmark()


def verdict(claims, start):
    found = [c for c in claims if c["statement"].startswith(start)]
    assert len(found) == 1, [c["statement"] for c in claims]
    return found[0]["verdict"]


def test_all_claims_are_rows_of_the_ledger(table):
    claims = (
        findings.of_table07(table)
        + findings.of_pooling(table)
        + findings.of_benchmark(table)
        + literature.of_sota()
        + literature.of_i3d_variants(table)
    )
    rows = [ledger.row("deep_analysis/x", **c) for c in claims]
    assert len(rows) >= 30 and len({(r["where"], r["statement"]) for r in rows}) == len(rows)
    for row, claim in zip(rows, claims, strict=True):
        assert row["quantity"] and row["published"] and row["ours"] not in ("", "nan")
        if isinstance(claim["ours"], tuple):
            assert float(row["low"]) <= float(row["ours"]) <= float(row["high"])


def test_pooling_claims_turn_around_when_pooling_helps(table):
    claims = findings.of_pooling(table)
    assert verdict(claims, "Temporal pooling hurts I3D, S3D and TAM on mini-MiT")
    assert not verdict(claims, "Temporal pooling gives TSN 3 to 5 points")
    turned = table.assign(temporal_pooling=1 - table.temporal_pooling)
    claims = findings.of_pooling(turned)
    assert not verdict(claims, "Temporal pooling hurts I3D, S3D and TAM on mini-MiT")
    assert not verdict(claims, "Temporal pooling gives TSN more than 20")


def test_benchmark_claims_turn_around_when_backbones_are_exchanged(table):
    assert verdict(findings.of_benchmark(table), "ResNet50 is better than InceptionV1")
    swap = {"ResNet50": "InceptionV1", "InceptionV1": "ResNet50"}
    swapped = table.assign(backbone=table.backbone.replace(swap))
    assert not verdict(findings.of_benchmark(swapped), "ResNet50 is better than InceptionV1")


def test_contribution_claims_turn_around_with_the_datasets(table):
    swap = {"mini-SSV2": "mini-Kinetics", "mini-Kinetics": "mini-SSV2"}
    swapped = table.assign(dataset=table.dataset.replace(swap))
    assert verdict(findings.of_table07(table), "Space contributes more on mini-Kinetics")
    assert not verdict(findings.of_table07(swapped), "Space contributes more on mini-Kinetics")
    assert not verdict(findings.of_table07(swapped), "The printed cells follow from")


def test_claims_use_table_2(table):
    claims = literature.of_sota()
    assert verdict(claims, "The recent leap is in efficiency")
    behind = next(c for c in claims if c["statement"].startswith("SlowFast, sampled uniformly"))
    assert behind["ours"] == pytest.approx(63.83 - 60.10) and not behind["verdict"]


def test_figure_7_is_rebuilt_from_the_text():
    table = literature.i3d_variants().set_index(["dataset", "variant"]).top1
    assert table["Kinetics", "I3D-R50"] == 76.61
    assert table["Kinetics", "I3D-R50-tp"] == pytest.approx(76.61 - 1.1)
    assert table["Kinetics", "I3D-Inc-tp"] == pytest.approx(76.61 - 1.1 - 4.0)
    assert table["Kinetics", "I3D-SE-R50"] == pytest.approx(76.40 + 0.8)
    assert table["SSV2", "I3D-R50-tp"] == pytest.approx(62.84 - 6)


def test_progress_uses_our_count_only_where_table_2_has_none():
    asked = []
    table = literature.progress(lambda name: asked.append(name) or 1.0).set_index("model")
    assert set(asked) == {"TSN-R50-f32-tp", "TSN-R50-f32", "I3D-Inc-f64-tp", "I3D-Inc-f32-tp", "I3D-R50-f32-tp"}
    assert table.gmacs["I3D-R50-f32"] == 335.3 and table.year["TSN-R50-f32"] == 2016
    assert table.top1["TSN-R50-f32"] == pytest.approx(69.8)


def test_structure_equals_what_the_papers_say():
    counts = structure.counts(["I3D-R18-f8", "TAM-R18-f8", "TSN-R18-f8", "TSM-R18-f8", "NLN-R50-f8"])
    counts = counts.set_index("model")
    text = published.table("temporal_relevance_fig04a").query("column == 'temporal convolutions'")
    text = text.set_index("row").value
    assert counts.temporal["I3D-R18-f8"] == text["I3D-R18-f16"] + 1  # the text leaves the stem out
    assert counts.temporal["TAM-R18-f8"] == text["TAM2D-R18-f16"]
    assert counts.temporal["TSN-R18-f8"] == 0 and counts["shift"]["TSM-R18-f8"] == 8
    assert counts["non-local"]["NLN-R50-f8"] == 5  # 2 at stage 2 and 3 at stage 3


def test_stages_halve_the_frames_three_times_with_pooling():
    for module in ("I3D", "TSN"):
        frames = [shape[1] for _, shape in structure.stages(f"{module}-R18-f16-tp")]
        assert frames[0] == 16 and frames[-1] == 2 and sorted(frames, reverse=True) == frames
    assert {shape[1] for _, shape in structure.stages("TAM-R18-f16")} == {16}


def test_blocks_name_their_kernels():
    assert structure.block(structure.build("S3D-R18-f8")) == [("1x3x3", "2D"), ("3x1x1", "1D")] * 2
    assert structure.block(structure.build("TAM-R18-f8"))[0] == ("3x1x1", "1D depthwise")


def test_counted_cost_is_the_published_one(table):
    few = table[(table.backbone == "ResNet18") & (table.num_frames == 8)]
    claims = literature.of_counter(structure.counted(few), few)
    assert all(c["verdict"] for c in claims) and claims[0]["ours"] < 1e-9


def test_cost_of_table_2_is_that_of_256_pixels():
    model = structure.build("TAM-R50-f32")
    assert structure.cost("TAM-R50-f32") == pytest.approx(171.5, abs=0.05)
    assert models.count(model, 224).flops / 1e9 < 140


def test_figures_show_every_model(table):
    cells = deep_analysis.compare(deep_analysis.table07(table), deep_analysis.printed_table07())
    assert len(draw.table07(cells, cells).axes) == 6
    points = sum(
        len(line.get_xdata()) for axis in draw.accuracy(table.assign(gmacs=table.flops)).axes for line in axis.lines
    )
    assert points == 2 * 144
    gain = deep_analysis.pooling_gain(table)
    marks = [line for axis in draw.pooling(gain).axes for line in axis.lines if line.get_marker() not in (None, "None")]
    assert sum(len(line.get_xdata()) for line in marks) == 144
    assert len(draw_literature.progress(literature.progress(lambda _: 50.0)).axes[0].texts) == 10 + 5
    plt.close("all")


def test_a_claim_without_a_measured_value_stays_untestable():
    one = findings.claim("Figure 2", "x", "y", "1", None, "not testable here", "z")
    assert ledger.row("deep_analysis/x", **one)["verdict"] == "not testable here"
