"""What the ACCV notebooks compute and claim, on results whose answer is known."""

import numpy as np
import pandas as pd
import pytest
import torch

from paperlib import masks
from paperlib.papers import claims, report
from paperlib.papers.video_features import architectures, clips, features, performance, study
from paperlib.storage import paths
from paperlib.training import evaluation


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


def studied(model, dataset="synth_ssv2", frames=16, seed=0, length=6, peaks=1, **scores):
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
    return study.Studied(
        f"{dataset}/{model}-f{frames}",
        "C-LSTM" if model == "C-LSTM" else "I3D",
        dataset,
        Videos.classes,
        np.arange(n) % 5,
        np.arange(n),
        mask,
        np.ones_like(mask),
        np.arange(n) % 5,
        original,
        found["freeze"],
        found["reverse"],
        np.full(n, np.nan),
        np.full(n, 100),
        rng.uniform(0, 0.1, n) + length / 100,
        np.broadcast_to(cam, (n, frames, 32, 32)).astype(np.float16),
        masks.Settings(),
    )


@pytest.fixture
def run(monkeypatch, tmp_path):
    monkeypatch.setattr(paths, "FIGURES", tmp_path)
    return report.start("video_features/table04_masks", device="cpu")


def verdicts(run):
    return {row["statement"]: row["verdict"] for row in run.claims}


def test_both_networks_have_the_papers_parameters():
    table = architectures.parameters()
    assert table.equal.all() and table.parameters.tolist() == [12_465_614, 1_324_014]


def test_figure_1_shows_the_shapes_of_the_paper():
    i3d, lstm = (architectures.layers(model).set_index("layer") for model in ("I3D", "C-LSTM"))
    assert i3d.output["inception5b"] == "1024 x 8 x 7 x 7"  # L/2 steps
    assert lstm.output["cells.2"] == "32 x 16 x 7 x 7" and lstm.parameters["fc"] == 801_966
    assert i3d.parameters.sum() == 12_465_614
    assert lstm.parameters.sum() + 64 == 1_324_014  # the shared batch norm is not drawn
    assert len(architectures.draw([i3d.reset_index(), lstm.reset_index()]).axes) == 2


def test_clips_come_in_turn_from_the_papers_classes():
    assert study.eleven(Videos.classes) == [0, 2, 3, 4]
    assert study.eleven(["boxing", "running"]) == [0, 1]
    assert study.choose(Videos(), 4, [0, 2, 3, 4]).tolist() == [0, 2, 3, 4]
    assert study.choose(Videos(), 6, [0, 2, 3, 4]).tolist() == [0, 2, 3, 4, 5, 7]
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


def test_claims_of_table_1_follow_the_share_of_f1_lost(run):
    performance.claim01(
        run,
        {
            "synth_ssv2/I3D-original-f16": (predicted(0.8), predicted(0.1)),
            "synth_ssv2/C-LSTM-f16": (predicted(0.8), predicted(0.6)),
            "synth_kth/I3D-original-f32": (predicted(0.9), predicted(0.85)),
            "synth_kth/C-LSTM-f32": (predicted(0.9), predicted(0.3)),
        },
    )
    assert [row["verdict"] for row in run.claims] == ["holds", "does not hold", "holds", "does not hold"]
    assert float(run.claims[0]["ours"]) == pytest.approx(1 - 0.1 / 0.8, abs=1e-3)
    assert run.claims[0]["published"] == "0.79"


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
    assert sizes.share.tolist() == pytest.approx((sizes["mean"] / 32).tolist())
    assert sizes.share_paper.iloc[0] == pytest.approx(33.7 / 224)
    table = features.table04(pair)
    lengths = table[table.measure == "mask_length"]
    assert (lengths["mean"].to_numpy() > [6, 9]).all() and lengths.paper.tolist() == [6.2, 9.9]
    assert (lengths.moved == 1).all() and table.removed.dropna().tolist() == [0, 0]
    assert len(features.draw_means(table, ["mask_length", "drop_ratio"]).axes) == 2


def test_claims_hold_where_the_interval_excludes_zero_on_the_right_side(run):
    pair = {
        "a": studied("I3D-original", length=5, peaks=1),
        "b": studied("C-LSTM", length=9, peaks=3, seed=1),
    }
    table = features.measure_all(pair)
    features.claim_differences(run, table, ["blob_count", "mask_length"])
    features.claim_losses(run, table)
    assert set(verdicts(run).values()) == {"holds"} and len(run.claims) == 3
    run.claims.clear()
    swapped = table.assign(model=table.model.map({"I3D": "C-LSTM", "C-LSTM": "I3D"}))
    features.claim_differences(run, swapped, ["blob_count", "mask_length"])
    assert set(verdicts(run).values()) == {"does not hold"}
    assert list(run.claims[0]) == claims.COLUMNS


def test_a_measure_that_is_nowhere_defined_is_not_testable(run):
    same = studied("I3D-original")
    same.freeze[:] = same.original  # nothing drops: every ratio is filtered
    pair = {"a": same, "b": studied("C-LSTM", seed=1)}
    table = features.measure_all(pair)
    features.claim_differences(run, table, ["drop_ratio"])
    features.claim_tests(run, table)
    found = {row["statement"]: row["verdict"] for row in run.claims}
    assert found["I3D's drop ratio is higher than C-LSTM's (SSV2)"] == "not testable here"
    assert found["the models' mean drop ratio differs significantly"] == "not testable here"
    assert len(features.draw_histograms(table, "synth_ssv2").axes) == 6


def test_cycles_are_counted_on_the_longest_run_of_masked_frames():
    each = studied("I3D-original", "synth_kth", frames=32, length=8)
    each.mask[:] = 0
    each.mask[0, 4:12], each.mask[0, 20:22] = 1, 1  # 8 of 32 frames of 2 seconds: half a second, one cycle
    each.mask[1, 0:4] = 1
    assert features.cycles(each, Videos())[:3].tolist() == [1, 0.5, 0]


def test_examples_are_the_first_studied_clip_of_each_class(run, monkeypatch):
    pair = {"a": studied("I3D-original"), "b": studied("C-LSTM", seed=1)}
    for each in pair.values():
        each.targets[2] = 0  # the second example is misclassified
        each.truth[2] = 0.25
    monkeypatch.setattr(clips.data, "load", lambda *a, **k: None)
    monkeypatch.setattr(
        clips.evaluation, "load_clips", lambda videos, rows, frames: clips.torch.zeros(1, 3, frames, 32, 32)
    )
    found = clips.pairs(run, pair, ["moving something up", "burying"])
    assert [(a.model, b.model, a.label) for a, b in found] == [
        ("I3D", "C-LSTM", Videos.classes[0]),
        ("I3D", "C-LSTM", Videos.classes[2]),
    ]
    table = clips.table(found)
    assert table.CS.tolist()[2:] == [0.25, 0.25] and table.CS.isna().tolist()[:2] == [True, True]
    assert table["mask"][0].count("1") == pair["a"].length[0]
    assert all(file.is_file() for file in clips.animate(run, found))
    clips.claim_centre(run, pair)
    clips.claim_long_masks(run, pair)
    assert len(run.claims) == 2


def test_predictions_of_two_directions_share_their_clips():
    # the paired resamples take the same clips of both tables: no difference, no interval
    lost = performance.loss_by_reversing(predicted(0.7), predicted(0.7))
    assert lost.value == 0 and lost.low == lost.high == 0
    assert evaluation.f1_macro(predicted(0.7)) == pytest.approx(0.7)


def test_learned_masks_stand_beside_the_best_window(run, monkeypatch, tmp_path):
    from paperlib.masks import SearchResult

    each, long = studied("I3D-original"), studied("I3D-original", frames=32)
    window = np.zeros((8, 16), np.float32)
    window[:, 3:9] = 1
    found = SearchResult(*(clips.torch.tensor(x) for x in (window, 3, 9, np.full(8, 0.2), 0, 0)))
    monkeypatch.setattr(paths, "CACHE", tmp_path)
    monkeypatch.setattr(study, "open_checkpoint", lambda *a: (type("Model", (), {"num_frames": 16}), None, Videos()))
    monkeypatch.setattr(study.checkpoints, "digest", lambda checkpoint: "abc")
    monkeypatch.setattr(study.evaluation, "load_clips", lambda *a: clips.torch.zeros(8, 3, 16, 4, 4))
    monkeypatch.setattr(study.masks, "search", lambda *a, **options: found)
    table = study.search_all(run, {"a": each, "b": long})
    assert len(table) == 8 and (table.window == 0.2).all()
    assert table.learned_length.tolist() == each.length[:8].tolist() and (table.window_length == 6).all()
    assert table.overlap.to_numpy() == pytest.approx(6 / each.length[:8])


def test_a_batch_that_another_process_is_at_comes_last(monkeypatch, run, tmp_path):
    """And what has been learned is not learned again."""
    monkeypatch.setattr(paths, "CACHE", tmp_path)
    order, checkpoint = [], "synth_ssv2/I3D-original-f16"
    run.settings.update(clips=3, presets={}, mask={"iterations": 1})
    monkeypatch.setattr(study, "BATCH", 1)
    busy, learn, held = study.locks.busy, study.masks.learn, []
    files = [tmp_path / "video_features" / f"synth_ssv2-I3D-original-f16.{number}.lock" for number in range(3)]
    monkeypatch.setattr(study.locks, "busy", lambda file: file == files[0])

    def watched(model, clips, **more):
        order.append(clips)
        held.append([number for number, file in enumerate(files) if busy(file)])
        return learn(model, clips, **more)

    monkeypatch.setattr(study.masks, "learn", watched)
    first = study.study(run, checkpoint)
    videos = study.open_checkpoint(run, checkpoint)[2]
    for clip, number in zip(order, [*first.videos[1:], first.videos[0]], strict=True):
        assert torch.equal(clip, study.evaluation.load_clips(videos, [number], clip.shape[2]))
    assert held == [[1], [2], [0]]
    again = study.study(run, checkpoint)
    assert len(order) == len(first.videos) and np.array_equal(again.mask, first.mask)
