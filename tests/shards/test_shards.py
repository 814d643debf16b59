"""Shards and the table gathered from them: right values, the same bits however they are cut, nothing foreign in."""

import argparse
import json
import os
import shutil
import signal
import subprocess
import sys

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch

from paperlib import data, gradcam, masks, relevance, shards
from paperlib.commands import dataset_command
from paperlib.errors import InputError
from paperlib.gradcam import blobs
from paperlib.papers import analysis
from paperlib.shards import compute, run, shard_files
from paperlib.training import checkpoints

from ..data import videos
from . import runs


@pytest.fixture(scope="module")
def network(tmp_path_factory):
    return runs.checkpoint(tmp_path_factory.mktemp("network"))


def clips_of(file, count):
    """The first clips of the run, loaded here."""
    model, header = checkpoints.load(file)
    videos = data.load("synth_ssv2", "val", size=32, limit=10)
    return model, analysis.clips_of(videos, range(count), {**header, "num_frames": 4}), videos


def test_a_worker_imports_nothing_that_it_does_not_need():
    """Every shard is a process: what draws and what counts costs come with a second of imports."""
    call = [sys.executable, "-X", "importtime", "-c", "import paperlib.shards.compute"]
    done = subprocess.run(call, capture_output=True, text=True)
    imported = {line.rpartition("|")[2].strip() for line in done.stderr.splitlines()}
    assert done.returncode == 0 and "paperlib.papers.analysis" in imported
    assert not imported & {"captum", "matplotlib", "torch.utils.flop_counter"}


def test_relevance_is_that_of_each_clip_alone(tmp_path, network):
    table = shards.load(runs.finish(runs.planned(tmp_path, network))["out"])
    model, clips, videos = clips_of(network, 10)
    assert table["video"].tolist() == list(range(10)) and table["id"].tolist() == videos.ids
    assert table["label"].tolist() == videos.labels.tolist() and set(table["note"]) == {""}
    with torch.no_grad():
        scores = model(clips).softmax(1)
    assert table["predicted"].tolist() == table["target"].tolist() == scores.argmax(1).tolist()
    np.testing.assert_allclose(table["score"], scores.amax(1), rtol=1e-5)
    for k in (0, 5, 9):
        target = int(table["target"][k])
        alone = relevance.relevance_matrix(model, clips[k : k + 1], target)
        np.testing.assert_allclose(table["matrix"][k], alone[0], rtol=1e-4, atol=1e-7)
        with torch.no_grad():
            logits = model.frame_logits(clips[k : k + 1])[..., target]
        ranges = relevance.atr(alone, logits)
        np.testing.assert_allclose(table["atr"][k], ranges.frames[0])
        assert table["avg_atr"][k] == pytest.approx(float(ranges.avg), nan_ok=True)
        assert table["max_atr"][k] == pytest.approx(float(ranges.max), nan_ok=True)


def test_masks_and_cams_are_those_of_each_clip_alone(tmp_path, network):
    model, clips, _ = clips_of(network, 10)
    learned = shards.load(runs.finish(runs.planned(tmp_path, network, "mask", iterations=5))["out"])
    alone = masks.learn(model, clips[6:7], int(learned["target"][6]), 5)
    np.testing.assert_allclose(learned["mask"][6], alone.mask[0], atol=1e-4)
    assert learned["freeze"][6] == pytest.approx(float(alone.freeze), abs=1e-5)
    cams = shards.load(runs.finish(runs.planned(tmp_path, network, "gradcam", out="cams.parquet"))["out"])
    maps = gradcam.over_frames(torch.from_numpy(np.stack(cams["maps"])), clips.shape[2:])
    wanted = gradcam.video_gradcam(model, clips, torch.tensor(cams["target"].tolist()))
    torch.testing.assert_close(maps, wanted, rtol=1e-4, atol=1e-4)
    counted = blobs.per_clip(blobs.measure(maps))
    np.testing.assert_allclose(cams["blob_count"], counted["count"], rtol=1e-6)


@pytest.mark.parametrize("kind, options", [("relevance", {}), ("mask", {"iterations": 8}), ("gradcam", {})])
def test_any_number_of_shards_gives_the_same_file(tmp_path, network, kind, options):
    content = set()
    for count in (1, 2, 3):
        settings = runs.finish(runs.planned(tmp_path, network, kind, f"{count}.parquet", shards=count, **options))
        assert settings["shards"] == count
        content.add((tmp_path / f"{count}.parquet").read_bytes())
    assert len(content) == 1


def test_row_groups_of_the_table_do_not_follow_the_shards(tmp_path, network, monkeypatch):
    monkeypatch.setattr(shard_files, "GROUP", 3)
    monkeypatch.setattr(shard_files.regrouped, "__defaults__", (3,))
    settings = runs.finish(runs.planned(tmp_path, network, shards=3))
    meta = pq.read_metadata(settings["out"])
    assert [meta.row_group(k).num_rows for k in range(meta.num_row_groups)] == [3, 3, 3, 1]
    assert shards.load(settings["out"])["video"].tolist() == list(range(10))


def test_shards_are_whole_blocks_and_cover_every_clip_once():
    for total, batch, count in ((10, 4, 3), (20_000, 8, 64), (7, 1, 7), (1, 8, 1)):
        key = {"videos": total, "batch": batch}
        spans = [shard_files.span(key, k, count) for k in range(count)]
        assert [i for first, last in spans for i in range(first, last)] == list(range(total))
        assert all(first % batch == 0 and last > first for first, last in spans)


def test_more_shards_than_blocks_are_not_made(tmp_path, network):
    assert runs.planned(tmp_path, network, shards=50)["shards"] == 3
    assert runs.planned(tmp_path, network)["shards"] == 1


def test_damaged_foreign_and_misplaced_shards_are_noticed(tmp_path, network):
    settings = runs.finish(runs.planned(tmp_path, network, shards=3), [0, 1, 2])
    key, file = settings["key"], runs.shard(settings, 1)
    good = file.read_bytes()

    def why():
        return shard_files.why_unusable(file, key, *shard_files.span(key, 1, 3))

    assert why() is None
    middle = bytearray(good)
    video = pq.read_metadata(file).row_group(0).column(0)
    middle[video.dictionary_page_offset + video.total_compressed_size - 1] ^= 255  # the last byte of its page
    for bad in (good[:200], good[:-9], b"", b"PAR1", bytes(middle)):
        file.write_bytes(bad)
        assert why() == "is damaged or was not written by paperlib"
    file.write_bytes(runs.shard(settings, 0).read_bytes())
    assert why() == "holds the clips 0 to 3, not 4 to 7"
    other = runs.finish(runs.planned(tmp_path, network, out="other.parquet", shards=3, method="lrp"), [1])
    file.write_bytes(runs.shard(other, 1).read_bytes())
    assert why() == "is of another run (options differ)"
    with pytest.raises(InputError, match="of another run .*; remove it and start the run again"):
        shard_files.gather(settings, settings["out"], [runs.shard(settings, k) for k in range(3)])
    assert not (tmp_path / "table.parquet").exists()
    shard_files.forget_unusable(settings)
    assert [runs.shard(settings, k).exists() for k in range(3)] == [True, False, True]
    runs.finish(settings, [1])
    assert file.read_bytes() == good


def test_another_checkpoint_is_another_run_and_a_change_in_mid_run_stops_it(tmp_path, network):
    copied = tmp_path / "copy.safetensors"
    copied.write_bytes(network.read_bytes())
    settings = runs.planned(tmp_path, copied)
    assert settings["key"] == runs.planned(tmp_path, network)["key"]
    model, header = checkpoints.load(copied)
    model.fc.weight.data += 0.01
    checkpoints.save(copied, model, {k: v for k, v in header.items() if k != "config"})
    assert runs.planned(tmp_path, copied)["key"] != settings["key"]
    with pytest.raises(InputError, match="checkpoint changed since the run was planned"):
        runs.finish(settings, [0])
    assert not list(shard_files.folder(settings["out"]).glob("*.parquet"))


def test_a_run_goes_on_with_the_same_videos_alone(tmp_path, monkeypatch):
    for k in range(4):
        videos.write(tmp_path / "data/train" / "ab"[k % 2] / f"{k}.mp4", n=8, width=32, height=32)
    network = runs.checkpoint(tmp_path, dataset="folder", classes=["a", "b"])
    of_files = {"dataset": "folder", "data_root": str(tmp_path / "data"), "split": "train", "batch": 1, "shards": 2}

    def begun():
        settings = runs.planned(tmp_path, network, **of_files)
        runs.finish(settings, [0])
        return settings

    def replace(k):
        videos.write(tmp_path / "data/train" / "ab"[k % 2] / f"{k}.mp4", n=8, width=32, height=32, colour=(k, 9, 99))

    settings = begun()
    replace(3)
    with pytest.raises(InputError, match="^data changed since the run was planned; start it again$"):
        runs.finish(settings, [1])
    shard_files.forget_unusable(runs.planned(tmp_path, network, **of_files))  # as the same command does
    assert not runs.shard(settings, 0).exists()
    settings, real = begun(), compute.explained
    monkeypatch.setattr(compute, "explained", lambda *arguments: (replace(1), real(*arguments))[1])
    with pytest.raises(InputError, match="^data changed"):
        runs.finish(settings, [1])
    assert not runs.shard(settings, 1).exists()


def test_a_shard_that_fails_leaves_no_file(tmp_path, network, monkeypatch):
    settings = runs.planned(tmp_path, network)
    real, calls = compute.explained, []

    def breaks(*arguments):
        calls.append(1)
        if len(calls) == 2:
            raise MemoryError
        return real(*arguments)

    monkeypatch.setattr(compute, "explained", breaks)
    with pytest.raises(MemoryError):
        runs.finish(settings, [0])
    assert not list(tmp_path.rglob("*.parquet"))


def test_unreadable_videos_are_rows_with_a_note(tmp_path):
    for k in range(5):
        videos.write(tmp_path / "data" / "ab"[k % 2] / f"{k}.mp4", n=8, width=32, height=32)
    (tmp_path / "data/a/0.mp4").write_bytes(b"no video")
    network = runs.checkpoint(tmp_path, dataset="folder", classes=["a", "b"])
    options = {"dataset": "folder", "data_root": str(tmp_path / "data"), "split": "train", "limit": None}
    found = []
    for count in (1, 2):
        settings = runs.planned(tmp_path, network, out=f"{count}.parquet", batch=1, shards=count, **options)
        found.append(shards.load(runs.finish(settings)["out"]))
    table = found[0]
    bad = table["note"].str.startswith("cannot be read: ")
    assert bad.tolist() == [file.endswith("0.mp4") for file in table["id"]] and bad.sum() <= 1
    assert all((cell is None) == one for cell, one in zip(table["matrix"], bad, strict=True))
    assert table["predicted"].isna().tolist() == bad.tolist()
    assert table.drop(columns=["matrix", "atr", "frame_logits"]).equals(
        found[1].drop(columns=["matrix", "atr", "frame_logits"])
    )


def test_names_that_are_no_text_are_written_out(tmp_path):
    for k in range(2):
        videos.write(tmp_path / "data/train" / "ab"[k] / f"{k}.mp4", n=8, width=32, height=32)
    named = os.fsdecode(b"caf\xe9.mp4")
    (tmp_path / "data/train/a/0.mp4").rename(tmp_path / "data/train/a" / named)
    (tmp_path / "data/train/b" / named).write_bytes(b"no video")
    network = runs.checkpoint(tmp_path, dataset="folder", classes=["a", "b"])
    settings = runs.planned(
        tmp_path, network, "gradcam", dataset="folder", split="train", data_root=str(tmp_path / "data")
    )
    table = shards.load(runs.finish(settings)["out"])
    assert table["id"].tolist() == ["a/caf\\udce9.mp4", "b/1.mp4", "b/caf\\udce9.mp4"]
    assert [r"b/caf\udce9.mp4 is" in note for note in table["note"]] == [False, False, True]


def test_min_score_explains_only_what_is_clearly_right(tmp_path, network):
    everything = shards.load(runs.finish(runs.planned(tmp_path, network, limit=32, target="label"))["out"])
    right = everything["predicted"] == everything["label"]
    least = float(everything["score"][right].median()) if right.any() else 0.5
    passing = right & (everything["score"] > least)
    some = shards.load(
        runs.finish(runs.planned(tmp_path, network, out="some.parquet", limit=32, target="label", min_score=least))[
            "out"
        ]
    )
    assert [cell is not None for cell in some["matrix"]] == passing.tolist()
    assert (some["note"] == "").tolist() == passing.tolist()


@pytest.mark.parametrize(
    "options, words",
    [
        ({"shards": 0}, "shards must be a whole number of at least 1, not 0"),
        ({"batch": 0}, "batch must be a whole number"),
        ({"memory": 0}, "memory must be a number of gigabytes"),
        ({"limit": 0}, "limit must be a whole number"),
        ({"sigma": 97.5}, "sigma must be a number above 0 and at most 1, not 97.5"),
        ({"min_score": 50.0}, "min_score must be a number from 0 to below 1, a softmax score, not 50.0"),
        ({"memory": float("nan")}, "memory must be a number of gigabytes above 0, not nan"),
        ({"min_score": float("nan")}, "min_score must be a number from 0 to below 1, a softmax score"),
        ({"dataset": "nonsense"}, "no dataset called 'nonsense'"),
        ({"dataset": "synth_kth", "target": "label"}, "knows 32 classes and synth_kth has 6"),
        ({"kind": "gradcam", "layer": "layer9"}, "no layer 'layer9'"),
        ({"kind": "mask", "preset": "mine"}, "no mask preset called 'mine'"),
        ({"kind": "mask", "perturbation": "melt"}, "no perturbation called 'melt'"),
    ],
)
def test_a_run_that_makes_no_sense_is_refused_before_it_starts(tmp_path, network, options, words):
    with pytest.raises(InputError, match=words):
        runs.planned(tmp_path, network, **options)


def test_a_data_set_of_other_classes_is_explained_without_the_score_of_its_labels(tmp_path, network):
    """Labels from 0 to 5 of KTH are no classes of a network of 32, nor are 32 labels of one of two."""
    of_two = runs.checkpoint(tmp_path, classes=["a", "b"])
    for out, file, dataset in (("kth", network, "synth_kth"), ("two", of_two, "synth_ssv2"), ("own", network, None)):
        options = {"dataset": dataset or "synth_ssv2", "iterations": 2, "limit": 6}
        settings = runs.planned(tmp_path, file, "mask", out=f"{out}.parquet", **options)
        table = shards.load(runs.finish(settings)["out"])
        wrong = table["label"] != table["predicted"]
        assert table["freeze"].notna().all() and wrong.any()
        assert table["truth"].notna().tolist() == [bool(one) and dataset is None for one in wrong]


def test_a_relative_folder_of_the_data_sets_is_that_of_the_command(tmp_path, monkeypatch):
    """Workers run in the folder of the shards."""
    for k in range(2):
        videos.write(tmp_path / "data" / "train" / "ab"[k] / f"{k}.mp4", n=8, width=32, height=32)
    network = runs.checkpoint(tmp_path, dataset="folder", classes=["a", "b"])
    monkeypatch.chdir(tmp_path)
    for given, said in (("", "data"), ("data", "elsewhere")):
        monkeypatch.setenv("PAPERLIB_DATA", said)
        settings = runs.planned(tmp_path, network, dataset="folder", split="train", data_root=given)
        assert settings["data_root"] == str(tmp_path / "data")
    monkeypatch.chdir("/")
    assert len(compute.opened(settings, "cpu")[2]) == 2


def test_load_names_a_file_that_is_no_table(tmp_path):
    (tmp_path / "x.parquet").write_bytes(b"x")
    with pytest.raises(InputError, match="x.parquet is not a table written by paperlib dataset"):
        shards.load(tmp_path / "x.parquet")


def test_a_file_that_is_no_table_is_not_overwritten(tmp_path, network):
    settings = runs.planned(tmp_path, network)
    (tmp_path / "table.parquet").write_bytes(b"somebody's work")
    with pytest.raises(InputError, match="table.parquet is there and is no whole table of paperlib dataset"):
        run.run(settings)
    assert (tmp_path / "table.parquet").read_bytes() == b"somebody's work"


@pytest.mark.parametrize("whole", [True, False])
def test_results_of_another_run_are_not_replaced(tmp_path, network, whole):
    """Neither a table nor, of a run that was stopped, its shards."""
    made = runs.finish(runs.planned(tmp_path, network, "gradcam", shards=3), None if whole else [0, 1])
    before = {file: file.read_bytes() for file in tmp_path.rglob("*.parquet")}
    (tmp_path / "other").mkdir()
    other = runs.checkpoint(tmp_path / "other", seed=1)
    for file, differ, options in (
        (other, "checkpoint", {}),
        (network, "split", {"split": "train"}),
        (network, "options", {"normalise": "clip"}),
        (network, "target", {"target": "label"}),
        (network, "limit", {"limit": 9}),
    ):
        settings = runs.planned(tmp_path, file, "gradcam", shards=2, **options)
        with pytest.raises(InputError, match=f"parquet is of a run with another {differ}; give another --out"):
            run.run(settings)
    assert before == {file: file.read_bytes() for file in tmp_path.rglob("*.parquet")}
    state = dict.fromkeys(("code", "engine", "torch", "data", "ids"), "another")
    shard_files.refuse_others({**made, "key": {**made["key"], **state, "videos": 11}})  # of the same run, computed anew


def test_a_table_of_videos_from_another_split_or_folder_is_not_replaced(tmp_path):
    """Of videos in files the two differ in what also differs where a file of the same run was replaced."""
    for k in range(4):
        place = tmp_path / "data" / ("train", "val")[k // 2] / "ab"[k % 2]
        videos.write(place / f"{k}.mp4", n=8, width=32, height=32)
    network = runs.checkpoint(tmp_path, dataset="folder", classes=["a", "b"])
    of_files = {"dataset": "folder", "data_root": str(tmp_path / "data"), "batch": 1}
    made = runs.finish(runs.planned(tmp_path, network, split="train", **of_files))
    before = (tmp_path / "table.parquet").read_bytes()
    assert shards.load(made["out"]).attrs["split"] == "train"
    shutil.copytree(tmp_path / "data", tmp_path / "copy", copy_function=shutil.copy2)
    moved = {**of_files, "data_root": str(tmp_path / "copy"), "split": "train"}
    assert run.run(runs.planned(tmp_path, network, **moved)) == 0  # the same videos elsewhere: up to date
    videos.write(tmp_path / "copy/train/a/0.mp4", n=8, width=32, height=32, colour=(9, 9, 99))
    for differ, options in (("split", {**of_files, "split": "val"}), ("data folder", moved)):
        with pytest.raises(InputError, match=f"parquet is of a run with another {differ}; give another --out"):
            run.run(runs.planned(tmp_path, network, **options))
    assert (tmp_path / "table.parquet").read_bytes() == before


def test_the_usual_name_of_a_table_tells_runs_apart():
    def name(*words):
        parser = argparse.ArgumentParser()
        dataset_command.arguments(parser)
        return str(dataset_command.usual_name(parser.parse_args(words)))

    assert name("mask", "synth_kth", "synth_kth/TSN-R18-f8") == "synth_kth-val-TSN-R18-f8-mask.parquet"
    assert name("mask", "synth_kth", "kth/TSN-R18-f8") == "synth_kth-val-kth-TSN-R18-f8-mask.parquet"
    assert name("gradcam", "D", "a/net-w1.5", "--split", "train") == "D-train-a-net-w1.5-gradcam.parquet"
    assert name("gradcam", "D", "../net-w1.5.safetensors") == "D-val-net-w1.5-gradcam.parquet"


def test_settings_are_json(tmp_path, network):
    settings = runs.planned(tmp_path, network)
    assert json.loads(json.dumps(settings)) == settings


KILLED = """
import json, os, signal, sys
from pathlib import Path
from paperlib.shards import compute
real = compute.explained
def then_killed(*arguments):
    table = real(*arguments)
    if arguments[-1][0][0] == 8:  # the second of the shard's two blocks; the first is written
        os.kill(os.getpid(), signal.SIGKILL)
    return table
compute.explained = then_killed
compute.compute(json.loads(Path(sys.argv[1]).read_text()), 1, sys.argv[2])
"""


def test_kill_9_in_mid_shard_leaves_no_shard_and_the_next_try_gives_the_same(tmp_path, network):
    settings = runs.finish(runs.planned(tmp_path, network, shards=2), [0])
    runs.finish(runs.planned(tmp_path, network, out="whole.parquet", shards=1))
    first = runs.shard(settings, 0).stat().st_mtime_ns
    (tmp_path / "settings.json").write_text(json.dumps(settings))
    killed = subprocess.run([sys.executable, "-c", KILLED, tmp_path / "settings.json", runs.shard(settings, 1)])
    assert killed.returncode == -signal.SIGKILL
    assert not runs.shard(settings, 1).exists() and list(shard_files.folder(settings["out"]).glob(".*.parquet"))
    shard_files.forget_unusable(settings)
    assert runs.shard(settings, 0).stat().st_mtime_ns == first
    runs.finish(settings, [1])
    shard_files.gather(settings, settings["out"], [runs.shard(settings, k) for k in range(2)])
    assert (tmp_path / "table.parquet").read_bytes() == (tmp_path / "whole.parquet").read_bytes()
