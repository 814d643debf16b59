"""2,000 truncated, bit-flipped and mislabelled files: no crash, no hang, no leak, every one reported."""

import gc
import json
import os
import subprocess
import sys
import time
from fractions import Fraction
from pathlib import Path

import numpy as np
import psutil
import pytest

from paperlib.data import check, inspection, video
from tests.data import layouts, videos

FRAMES = 8
KINDS = {
    "h264.mp4": {},
    "h264.mkv": {"bframes": 3},
    "mpeg4.avi": {"codec": "mpeg4", "bframes": 0},
    "mjpeg.avi": {"codec": "mjpeg", "pix_fmt": "yuvj420p"},
    "vp9.webm": layouts.VP9,
    "ffv1.mkv": {"codec": "ffv1", "pix_fmt": "bgr0"},
    # those do not say how long they are: one cut between two frames cannot be told from a whole one
    "endless_h264.h264": {},
    "endless_vp9.ivf": layouts.VP9,
    "endless_raw.y4m": {"codec": "rawvideo"},
    "endless_mpeg2.mxf": {"codec": "mpeg2video", "options": {"b": "4M"}},
    "endless_gif.gif": {"codec": "gif", "pix_fmt": "rgb8"},
    "endless_mpeg2.ts": {"codec": "mpeg2video", "aspect": Fraction(4, 3), "options": {"flags": "+ilme+ildct"}},
    "turned.mp4": {"matrix": ((0, 1), (1, 0)), "aspect": Fraction(4, 3)},
}


def damage(folder, count, seed=0):
    """Write `count` damaged files as one class folder each of three ways; returns the folder."""
    rng = np.random.default_rng(seed)
    whole = {}
    for name, settings in KINDS.items():
        path = videos.write(folder.parent / "whole" / name, n=FRAMES, width=48, height=32, **settings)
        assert inspection.problems(path) == []
        whole[name] = path.read_bytes()
    sound = videos.write_sound(folder.parent / "whole" / "sound.mp4", seconds=0.1).read_bytes()
    other = [
        sound,
        b"plain text\n" * 50,
        b"#EXTM3U\nwhole/h264.mp4\n",
        b"\x89PNG\r\n\x1a\n" + bytes(200),
        b"GIF89a" + bytes(50),
        b"PK\x03\x04" + bytes(100),
        b"RIFF\x10\0\0\0WAVEfmt " + bytes(20),
        b"",
    ]
    names = list(whole)
    for k in range(count):
        how = ("truncated", "flipped", "mislabelled")[k % 3]
        name = names[rng.integers(len(names))]
        content, suffix = whole[name], name.rpartition(".")[2]
        if how == "truncated":
            content = content[: rng.integers(len(content))]
        elif how == "flipped":
            bits = np.unpackbits(np.frombuffer(content, np.uint8))
            reach = len(bits) if k % 2 else min(len(bits), 2000)  # every second one in the headers
            bits[rng.integers(reach, size=rng.integers(1, 12))] ^= 1
            content = np.packbits(bits).tobytes()
        elif k % 2:
            content = other[rng.integers(len(other))]
        else:  # a real video under another container's name
            suffix = {"mp4": "avi", "avi": "webm"}.get(suffix, "mp4")
        path = folder / how / f"{k:04d}_{name.partition('.')[0]}.{suffix}"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    return folder


def examine(folder):
    """Look at every file in turn; returns verdicts, the slowest file's seconds and what is left behind."""
    process, paths = psutil.Process(), sorted(folder.rglob("*.*"))
    verdicts, slowest, memory, opened = {}, 0, [], len(process.open_files())
    for k, path in enumerate(paths):
        if k in (len(paths) // 4, len(paths) - 1):
            gc.collect()
            memory.append(process.memory_info().rss)
        began = time.process_time()
        try:
            frames = video.decode(path)
            some = video.decode(path, [len(frames) - 1, 0], short_side=16)
            verdict = f"{len(frames)} frames" if len(some) == 2 and frames.dtype == np.uint8 else "wrong"
        except video.VideoError as error:
            verdict = str(error)
        found = inspection.problems(path)
        verdicts[f"{path.parent.name}/{path.name}"] = [verdict, found]
        slowest = max(slowest, time.process_time() - began)
    return {
        "verdicts": verdicts,
        "slowest": slowest,
        "grown": memory[-1] - memory[0],
        "open": len(process.open_files()) - opened,
        "threads": process.num_threads(),
    }


def run(folder):
    """Examine in a process of its own: a crash of the decoder is then a failed test and not their end."""
    done = subprocess.run(
        [sys.executable, "-m", "tests.data.test_fuzz", str(folder)],
        capture_output=True,
        text=True,
        timeout=800,
        cwd=Path(__file__).parents[2],
    )
    assert done.returncode == 0, done.stderr[-2000:]
    return json.loads(done.stdout.splitlines()[-1])


def judge(result, count):
    assert len(result["verdicts"]) == count
    assert result["slowest"] < 5
    assert result["open"] == 0
    reported = judged = 0
    for name, (verdict, found) in result["verdicts"].items():
        for sentence in found + ([] if verdict.endswith(" frames") else [verdict]):
            assert sentence.endswith(".") and "\n" not in sentence and Path(name).name in sentence, sentence
        if not name.startswith("flipped") and not ("endless" in name and name.startswith("truncated")):
            assert found, f"{name} is not reported: {verdict}"
        assert found or verdict.endswith(" frames"), f"{name}: decoding fails, the inspection finds nothing"
        if "endless" not in name:
            judged += 1
            reported += bool(found)
    return reported / judged


def test_some_damaged_files(tmp_path):
    judge(run(damage(tmp_path / "bad", 90)), 90)


@pytest.mark.slow
def test_two_thousand_damaged_files(tmp_path):
    result = run(damage(tmp_path / "bad", 2000))
    assert judge(result, 2000) > 0.75  # of those that say how long they are
    assert result["grown"] < 60e6  # bytes between the five-hundredth file and the last
    assert result["threads"] < 40


@pytest.mark.slow
def test_damaged_files_do_not_stop_a_check(tmp_path):
    """The same kind of files as somebody's dataset: every one has its place in the report."""
    damage(tmp_path / "bad", 300, seed=1)
    reports = check.check(tmp_path / "bad", ["folder"], depth="all", workers=2)
    assert sum(r.present for r in reports) == 300
    unreadable = [identity for r in reports for identity, _ in r.unreadable]
    assert len(unreadable) == len(set(unreadable))
    must = [f for how in ("truncated", "mislabelled") for f in (tmp_path / "bad" / how).iterdir()]
    must = {f"{f.parent.name}/{f.name}" for f in must if "endless" not in f.name or f.parent.name == "mislabelled"}
    assert len(must) > 140 and must <= set(unreadable)


if __name__ == "__main__":
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    print(json.dumps(examine(Path(sys.argv[1]))))
