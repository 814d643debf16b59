"""What the ACCV notebooks compute and claim, on results whose answer is known."""

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from paperlib import masks
from paperlib.papers import claims, report, statistics
from paperlib.papers.video_features import architectures, clips, features, findings, performance, study
from paperlib.storage import paths


class Videos:
    """Ten videos of five classes, four of them among the paper's eleven."""

    name, fps = "synth_ssv2", 25
    classes = [
        "Moving something up",
        "Opening something",
        "Burying something in something",
        "Turning the camera left while filming something",
        "Turning the camera right while filming something",
    ]
    labels = np.arange(10) % 5

    def __len__(self):
        return 10

    def num_frames(self, i):
        return 50

    def cycle(self, i):
        return 0.5


def studied(model, dataset="synth_ssv2", frames=16, seed=0, length=6, peaks=1, side=8, **scores):
    """Return a `Studied` with masks of `length` frames and maps of `peaks` discs."""
    rng = np.random.default_rng(seed)
    n = 12
    y, x = np.mgrid[:32, :32]
    cam = np.zeros((32, 32))
    for k in range(peaks):
        cam = np.maximum(cam, np.hypot(x - 8 - 15 * (k % 2), y - 8 - 15 * (k // 2)) < 4)
    mask = np.zeros((n, frames))
    for row in mask:
        row[3 : 3 + length + rng.integers(0, 2)] = 1
    original = rng.uniform(0.8, 1, n)
    found = {
        "freeze": original - rng.uniform(0.5, 0.7, n),
        "reverse": original - rng.uniform(0.1, 0.3, n),
        **scores,
    }
    loss = rng.uniform(0, 0.1, n) + length / 100
    return study.Studied(
        f"{dataset}/{model}-f{frames}",
        "C-LSTM" if model == "C-LSTM" else "I3D",
        dataset,
        Videos.classes,
        np.arange(n) % 5,
        np.arange(n),
        np.arange(n) // 2,
        mask,
        np.ones_like(mask),
        np.arange(n) % 5,
        original,
        found["freeze"],
        found["reverse"],
        found["reverse"],
        np.full(n, np.nan),
        np.full(n, 100),
        loss,
        mask,
        loss + 0.1,
        mask,
        loss + 0.01,
        np.broadcast_to(cam, (n, frames, 32, 32)).astype(np.float16),
        np.ones((n, frames)),
        side,
        masks.Settings(),
    )


@pytest.fixture
def run(monkeypatch, tmp_path):
    monkeypatch.setattr(paths, "FIGURES", tmp_path)
    return report.start("video_features/table04_masks", device="cpu")


def decided(found):
    """Return {id: verdict} of findings as the ledger gives them."""
    return {
        one.id: "not testable here" if one.interval is None else claims.decide("video_features/x", *one)["verdict"]
        for one in found
    }


def test_both_networks_have_the_papers_parameters():
    table = architectures.parameters()
    assert table.equal.all() and table.parameters.tolist() == [12_465_614, 1_324_014]


def test_figure_1_shows_the_shapes_of_the_paper():
    i3d, lstm = (architectures.layers(model).set_index("layer") for model in ("I3D", "C-LSTM"))
    assert i3d.output["inception5b"] == "1024 x 8 x 7 x 7"  # L/2 steps
    assert lstm.output["cells.2"] == "32 x 16 x 3 x 3"
    assert lstm.parameters["fc"] == 801_966 == 174 * (32 * 16 * 3 * 3 + 1)
    assert i3d.parameters.sum() == 12_465_614
    assert lstm.parameters.sum() == 1_324_014
    assert len(architectures.draw([i3d.reset_index(), lstm.reset_index()]).axes) == 2


def test_clips_come_in_turn_from_the_papers_classes():
    assert study.eleven(Videos.classes) == [0, 2, 3, 4]
    assert study.eleven(["boxing", "running"]) == [0, 1]
    assert sorted(Videos.labels[study.choose(Videos(), 4, [0, 2, 3, 4])]) == [0, 2, 3, 4]
    first, second = (study.choose(Videos(), 6, [0, 2, 3, 4], seed).tolist() for seed in (0, 1))
    assert first == study.choose(Videos(), 6, [0, 2, 3, 4]).tolist() != second and sorted(first) == first
    assert len(study.choose(Videos(), 99, [0, 2, 3, 4])) == 8


def predicted(right, top5=None):
    """Return a prediction table in which a share of each class's twenty clips is right."""
    labels = np.repeat(np.arange(12), 20)
    hit = np.tile(np.arange(20) < round(20 * right), 12)
    table = pd.DataFrame(
        {"label": labels, "predicted": np.where(hit, labels, (labels + 1) % 12), "rank": np.where(hit, 1, 2)}
    )
    table.attrs["classes"] = [f"class {k}" for k in range(12)]
    return table


def test_table_1_has_f1_with_intervals_and_the_printed_values():
    table = performance.table01({"synth_ssv2/I3D-original-f16": (predicted(0.8), predicted(0.2))})
    assert table.direction.tolist() == ["forward", "forward", "reversed", "reversed"]
    assert table.f1.tolist() == pytest.approx([0.8, 1, 0.2, 1]) and table.paper.tolist() == [
        0.43,
        0.73,
        0.09,
        0.27,
    ]
    assert (table.low <= table.f1).all() and (table.f1 <= table.high).all()
    assert 0.05 < table.high[0] - table.low[0] < 0.2  # 240 clips: about 4 sqrt(0.16 / 240)
    assert len(performance.draw01(table).axes) == 2


def test_findings_of_table_1_follow_the_share_of_f1_lost(run, monkeypatch):
    monkeypatch.setattr(findings, "_persons", lambda run, models: None)
    predictions = {
        "synth_ssv2/I3D-original-f16": (predicted(0.8), predicted(0.1)),
        "synth_ssv2/C-LSTM-f16": (predicted(0.6), predicted(0.2)),
        "synth_kth/I3D-original-f32": (predicted(0.9), predicted(0.45)),
        "synth_kth/C-LSTM-f32": (predicted(0.9), predicted(0.3)),
    }
    found = {one.id: one for one in findings.of_reversing(run, predictions)}
    lost = {"ssv2": np.mean([1 - 0.1 / 0.8, 1 - 0.2 / 0.6]), "kth": np.mean([1 - 0.45 / 0.9, 1 - 0.3 / 0.9])}
    for name, share in lost.items():
        assert found[f"vf.table1.reversed-{name}"].interval.value == pytest.approx(share)
    assert found["vf.table1.time-critical"].interval.value == pytest.approx(lost["ssv2"] - lost["kth"])
    assert found["vf.table1.i3d-higher"].interval.value == pytest.approx(0.2)
    assert decided(found.values()) == {
        "vf.table1.reversed-ssv2": "holds",
        "vf.table1.reversed-kth": "contradicted",
        "vf.table1.time-critical": "holds",
        "vf.table1.i3d-higher": "holds",
    }
    assert found["vf.table1.i3d-higher"].rests_on == "1 run each, 240 clips"
    assert found["vf.table1.time-critical"].rests_on == "1 run each, 240 clips; 1 run each, 240 clips"


def test_table_1_takes_all_runs_of_both_models_and_leaves_a_run_out_both_ways(run, monkeypatch):
    monkeypatch.setattr(findings, "_persons", lambda run, models: None)
    shares = {"I3D-original": (0.3, 0.8, 0.85), "C-LSTM": (0.5, 0.45, 0.4)}
    predictions = {
        f"synth_ssv2/{model}-f16{suffix}": (predicted(share), predicted(share / 2))
        for model, each in shares.items()
        for share, suffix in zip(each, ("", "-s1", "-s2"), strict=True)
    }
    found = {one.id: one for one in findings.of_reversing(run, predictions)}
    higher, lost = found["vf.table1.i3d-higher"], found["vf.table1.reversed-ssv2"]
    assert higher.interval.value == pytest.approx(0.65 - 0.45) and higher.rests_on == "3 runs each, 240 clips"
    assert higher.interval.low < 0 < higher.interval.high  # the first runs alone, 0.3 and 0.5, would contradict
    # of every run reversing takes about half, however good it is: runs add next to nothing to what clips vary
    alone = {name: tables for name, tables in predictions.items() if name.endswith("f16")}
    (first,) = [one for one in findings.of_reversing(run, alone) if one.id == "vf.table1.reversed-ssv2"]
    assert lost.interval.value == pytest.approx(0.5, abs=0.02)
    assert lost.interval.high - lost.interval.low < first.interval.high - first.interval.low


def test_table_2_is_the_mean_over_runs():
    tables = {
        f"synth_ssv2/{model}-f16{suffix}": (predicted(share), None)
        for model, each in (("I3D-original", (0.9, 0.7)), ("C-LSTM", (0.9, 0.4)))
        for share, suffix in zip(each, ("", "-s1"), strict=True)
    }
    table = performance.table02(tables)
    assert table["I3D"].tolist() == pytest.approx([0.8] * 12) and table["C-LSTM"].tolist() == pytest.approx([0.65] * 12)
    above, similar = findings.of_classes(tables, table)
    assert above.interval.value == pytest.approx(0.65 * 12) and above.rests_on.startswith("2 runs, 20 clips")
    assert similar.interval.value == pytest.approx(0.15) and similar.rests_on == "2 runs each, 12 classes, 240 clips"


def test_the_lowest_class_is_held_against_chance():
    tables = {f"synth_ssv2/{m}-f16": (predicted(share), None) for m, share in (("I3D-original", 0.9), ("C-LSTM", 0.7))}
    table = pd.DataFrame({"class": list("abc"), "I3D": [0.9, 0.8, 0.7], "C-LSTM": [0.8, 0.7, 0.7]})
    above, similar = findings.of_classes(tables, table)
    assert above.interval.value == pytest.approx(0.7 * 12) and above.interval.low < above.interval.value
    assert similar.interval.value == pytest.approx(0.2 / 3) and "3 classes" in similar.rests_on


def test_measures_have_one_row_per_clip_and_the_papers_filter():
    each = studied("I3D-original", peaks=2)
    each.reverse[0] = each.original[0] - 0.0005  # the denominator is too small
    table = study.measures(each)
    assert len(table) == 12 and np.isnan(table.drop_ratio[0]) and table.drop_ratio[1:].notna().all()
    assert table.drop_ratio[1] == pytest.approx(
        (each.original[1] - each.freeze[1]) / (each.original[1] - each.reverse[1])
    )
    assert table.drop_difference.to_numpy() == pytest.approx(each.reverse - each.freeze)
    assert set(table.mask_length) <= {6, 7} and (table.blob_count == 2).all() and (table.start_length == 16).all()


def test_tables_3_and_4_stand_beside_the_papers():
    pair = {"a": studied("I3D-original"), "b": studied("C-LSTM", peaks=3, length=9)}
    table = features.table03(pair)
    counts = table[table.measure == "blob_count"]
    assert counts["mean"].tolist() == [1, 3] and counts.paper.tolist() == [1.6, 3.6]
    sizes = table[table.measure == "blob_size"]
    assert set(sizes.scale) == {32} and set(sizes.scale_paper) == {224} and sizes.paper.iloc[0] == 33.7
    assert len(features.draw_means(table, ["blob_count", "one_grid", "blob_size"]).axes) == 3
    assert "1.6 ± 0.97" in set(features.as_printed(table).paper)
    pair["a"].mask[0] = 0  # a clip whose score no freezing lowers
    table = features.table04(pair)
    lengths = table[table.measure == "mask_length"]
    assert (lengths["mean"].to_numpy() > [6, 9]).all() and lengths.paper.tolist() == [6.2, 9.9]
    assert lengths["values"].tolist() == [11, 12] and lengths["empty"].tolist() == [1, 0]
    assert table.removed.dropna().tolist() == [0, 0]
    lengths, ratios = features.draw_means(table, ["mask_length", "drop_ratio"]).axes
    assert ratios.get_yscale() == "log"
    drawn = np.concatenate([line.get_ydata() for line in ratios.lines])
    low, high = ratios.get_ylim()
    assert 0 < low < np.nanmin(drawn) and np.nanmax(drawn) < high


def test_sizes_are_held_against_the_papers_only_where_it_says_of_how_many_pixels():
    """It gives 224 x 224 for Something-Something; for KTH 160 x 120, which is what the videos have."""
    pair = {name: studied("I3D-original", name) for name in ("synth_kth", "synth_ssv2")}
    table = features.table03(pair)
    sizes = table[table.measure == "blob_size"].set_index("dataset")
    assert sizes.paper.to_dict() == {"synth_kth": 44.0, "synth_ssv2": 33.7}
    assert np.isnan(sizes.scale_paper["synth_kth"]) and sizes.scale_paper["synth_ssv2"] == 224
    marks = {}
    for measure in ("blob_count", "blob_size"):
        (axis,) = features.draw_means(table, [measure]).axes
        marks[measure] = [y for line in axis.lines if line.get_marker() == "D" for y in line.get_ydata()]
    assert marks["blob_count"] == [1.1, 1.6] and marks["blob_size"] == pytest.approx([33.7 / 224])


def test_maps_on_one_grid_lose_what_the_grid_gave():
    y, x = np.mgrid[:32, :32]
    cams = np.zeros((1, 1, 32, 32), np.float32)
    for at in ((4, 4), (12, 4), (4, 12), (12, 12)):
        cams[0, 0] = np.maximum(cams[0, 0], np.hypot(x - at[0], y - at[1]) < 3)
    assert features.blobs.measure(cams)["count"].tolist() == [4]
    assert features.blobs.measure(features.on_grid(cams, 2))["count"].tolist() == [1]  # all in one quarter


def test_blobs_are_compared_on_the_coarser_of_the_two_grids():
    """The C-LSTM's maps are I3D's with four times the pixels: what differs is the grid alone, and decides nothing."""
    fine, coarse = studied("C-LSTM", peaks=4), studied("I3D-original", side=4)
    coarse.cams[:] = features.on_grid(fine.cams.astype(np.float32), 4)
    pair = {each.checkpoint: each for each in (coarse, fine)}
    same = features.on_one_grid(pair)
    assert {each.side for each in same.values()} == {4} and same[fine.checkpoint] is not fine
    table = features.table03(pair).set_index(["measure", "model"])["mean"]
    assert table["blob_count", "C-LSTM"] > table["blob_count", "I3D"]
    for found in findings.of_blobs(pair):
        if found.id.endswith("-ssv2"):
            assert found.interval is None or abs(found.interval.value) < 0.1


def pair_of():
    """Return both models' studies on 12 clips: I3D with shorter masks and fewer blobs."""
    models = [studied("I3D-original", length=5, peaks=1), studied("C-LSTM", length=9, peaks=3, seed=1)]
    return {each.checkpoint: each for each in models}


def test_masks_and_blobs_are_compared_clip_by_clip():
    pair = pair_of()
    i3d, lstm = pair.values()
    found = {one.id: one for one in findings.of_masks(pair)}
    assert decided(found.values())["vf.table4.length-ssv2"] == "holds"
    assert decided(found.values())["vf.table4.length-kth"] == "not testable here"
    length = found["vf.table4.length-ssv2"].interval
    expected = stats.ttest_rel(i3d.length, lstm.length)
    by_unit = (i3d.length - lstm.length).reshape(6, 2).mean(1)  # two clips of a person each
    assert length.value == pytest.approx((i3d.length - lstm.length).mean()) and expected.pvalue < 1e-3
    assert length[1:] == pytest.approx(statistics.mean_interval(by_unit)[1:])
    lstm.cams = lstm.cams.copy()
    lstm.cams[0] = i3d.cams[0]
    blobs = findings.of_blobs(pair)
    assert decided(blobs)["vf.table3.count-ssv2"] == "holds"


def test_clips_that_no_freezing_lowers_are_left_out_and_counted():
    pair = pair_of()
    next(iter(pair.values())).mask[:2] = 0
    found = {one.id: one for one in findings.of_masks(pair)}["vf.table4.length-ssv2"]
    assert "10 clips" in found.rests_on and "2 left out" in found.rests_on


def test_maps_of_two_pixels_decide_nothing(run):
    pair = {each.checkpoint: each for each in (studied("I3D-original", side=2), studied("C-LSTM", side=2, seed=1))}
    found = [*findings.of_blobs(pair), *findings.of_examples(run, pair)]
    assert set(decided(found).values()) == {"not testable here"}
    assert "2 x 2 pixels" in found[0].rests_on


def test_a_measure_that_is_nowhere_defined_is_not_testable():
    pair = pair_of()
    same = next(iter(pair.values()))
    same.freeze[:] = same.original  # nothing drops: every ratio is filtered
    assert decided(findings.of_masks(pair))["vf.table4.ratio-ssv2"] == "not testable here"
    assert decided(findings.of_tests(pair))["vf.fig4.ttest"] == "not testable here"
    assert len(features.draw_histograms(features.measure_all(pair), "synth_ssv2").axes) == 6


def test_figure_4_draws_the_clips_that_it_tests():
    """A clip whose score freezing lowers in one model alone has no part in the masks' bars, nor in their tests."""
    pair = pair_of()
    first, second = pair.values()
    first.mask[0] = 0
    clips = features.measure_all(pair)
    lengths = features.per_clip(clips, "synth_ssv2", "mask_length")
    assert {model: len(own) for model, own in lengths.items()} == {model: len(first.videos) - 1 for model in lengths}
    assert first.videos[0] not in lengths["I3D"].index
    tested = features.differences(clips, "synth_ssv2", ["mask_length"]).iloc[0]
    assert tested.clips == f"{len(first.videos) - 1} and {len(first.videos) - 1}"
    axis = next(a for a in features.draw_histograms(clips, "synth_ssv2").axes if "mask length" in a.get_title())
    assert f"n = {len(first.videos) - 1} and {len(first.videos) - 1}" in axis.get_title()
    for bars in axis.containers:  # whole frames, each in the middle of its bar
        heights = {round(bar.get_x() + bar.get_width() / 2): bar.get_height() for bar in bars if bar.get_height()}
        assert sum(heights.values()) == pytest.approx(1) and set(heights) <= set(range(1, 17))


def test_the_footnotes_threshold_is_the_means_change():
    pair = pair_of()
    for each in pair.values():
        each.whole[0] = each.original[0] - 1e-6  # kept by 1e-9 alone
    found = {one.id: one for one in findings.of_masks(pair)}["vf.table4.footnote"].interval
    change = [each.drops(1e-9).ratio.mean() - each.drops(1e-3).ratio.mean() for each in pair.values()]
    assert found.value == pytest.approx(np.mean(change))


def test_examples_are_the_first_studied_clip_of_each_class_that_has_masks(run, monkeypatch, capsys):
    pair = {"a": studied("I3D-original"), "b": studied("C-LSTM", seed=1)}
    for each in pair.values():
        each.targets[2] = 0  # the second example is misclassified
        each.truth[2] = 0.25
        each.whole = each.reverse - 0.05  # whole frames reversed, as in the tables
    monkeypatch.setattr(clips.data, "load", lambda *a, **k: None)
    monkeypatch.setattr(
        clips.evaluation, "load_clips", lambda videos, rows, frames: clips.torch.zeros(1, 3, frames, 32, 32)
    )
    found = clips.pairs(run, pair | {"later": studied("I3D-original", seed=2)}, ["moving something up", "burying"])
    assert [(a.model, b.model, a.label) for a, b in found] == [
        ("I3D", "C-LSTM", Videos.classes[0]),
        ("I3D", "C-LSTM", Videos.classes[2]),
    ]
    table = clips.table(found)
    assert table.CS.tolist()[2:] == [0.25, 0.25] and table.CS.isna().tolist()[:2] == [True, True]
    assert table["mask"][0].count("1") == pair["a"].length[0]
    assert table.RS.tolist() == pytest.approx([pair[model].reverse[row] - 0.05 for row in (0, 2) for model in "ab"])
    assert all(file.is_file() for file in clips.animate(run, found))
    assert not capsys.readouterr().out
    first, later = np.flatnonzero(pair["a"].labels == 0)[:2]
    pair["b"].mask[first] = 0  # the other model's is not
    pair["a"].original[later] = 0.123
    ((one, _),) = clips.pairs(run, pair, ["moving something up"])
    assert one.scores["OS"] == 0.123
    pair["a"].mask[pair["a"].labels == 0] = 0  # now the first that one of them has a mask of, which is the same
    pair["b"].original[later] = 0.321
    assert clips.pairs(run, pair, ["moving something up"])[0][1].scores["OS"] == 0.321
    pair["b"].mask[pair["b"].labels == 0] = 0
    ((one, other),) = clips.pairs(run, pair, ["moving something up"])
    assert one.scores["OS"] == pair["a"].original[first] and not one.mask.any() and not other.mask.any()
    assert "the score of no clip of 'moving something up'" in capsys.readouterr().out
