"""Write each public dataset's official layout in miniature, with real encoded videos."""

import csv
import json

import numpy as np
from PIL import Image

from tests.data import videos

VP9 = {"codec": "libvpx-vp9", "options": {"deadline": "realtime", "cpu-used": "8"}}


def kinetics(root):
    """Two classes of the official CSV lists, mp4 in class folders; one listed video is missing."""
    rows = {
        "train": [
            ("abseiling", "aaaaaaaaaaa", 10),
            ("air drumming", "bbbbbbbbbbb", 0),
            ("yoga", "ccccccccccc", 3),
        ],
        "val": [("abseiling", "-_dddddddd", 7), ("yoga", "eeeeeeeeeee", 1), ("yoga", "missing1234", 5)],
    }
    for split, entries in rows.items():
        root.mkdir(parents=True, exist_ok=True)
        with open(root / f"{split}.csv", "w", newline="") as file:
            writer = csv.writer(file)
            writer.writerow(["label", "youtube_id", "time_start", "time_end", "split"])
            for label, video_id, start in entries:
                writer.writerow([label, video_id, start, start + 10, split])
                if video_id != "missing1234":
                    videos.write(root / split / label / f"{video_id}_{start:06d}_{start + 10:06d}.mp4", n=20)
    return root


def something(root):
    """Official JSON lists of four classes, webm by number."""
    root.mkdir(parents=True)
    labels = {
        "Approaching something with your camera": "0",
        "Bending something until it breaks": "1",
        "Closing something": "2",
        "Holding something": "3",
    }
    entries = {
        "train": [
            ("101", "Bending [something] until it breaks"),
            ("7", "Closing [something]"),
            ("78687", "Approaching [something] with your camera"),
        ],
        "validation": [("20", "Approaching [something] with your camera"), ("21", "Holding [something]")],
    }
    (root / "something-something-v2-labels.json").write_text(json.dumps(labels))
    for split, listed in entries.items():
        content = [{"id": i, "label": "x", "template": t, "placeholders": ["x"]} for i, t in listed]
        (root / f"something-something-v2-{split}.json").write_text(json.dumps(content))
        for i, _ in listed:
            videos.write(root / "20bn-something-something-v2" / f"{i}.webm", n=12, **VP9)
    return root


def moments(root):
    """Official category file, CSV lists and class folders of mp4."""
    root.mkdir(parents=True)
    (root / "moments_categories.txt").write_text("clapping,0\nadult+female+singing,1\nbaking,2\n")
    listed = {
        "trainingSet.csv": ("training", ["clapping/yt-a.mp4", "baking/yt-b_1.mp4"]),
        "validationSet.csv": ("validation", ["adult+female+singing/fl-c.mp4", "baking/absent.mp4"]),
    }
    for name, (folder, paths) in listed.items():
        (root / name).write_text("".join(f"{p},{p.split('/')[0]},3,0\n" for p in paths))
        for path in paths:
            if "absent" not in path:
                videos.write(root / folder / path, n=15)
    return root


def kth(root):
    """The official sequence list's format, with its oddities, and avi recordings."""
    root.mkdir(parents=True)
    (root / "00sequences.txt").write_text(
        "\nThis database contains sequences of six classes of actions performed by\n25 subjects\n\n"
        "Training:   person11, 12\nTest:       person22, 02\n\n"
        "person01_boxing_d1\t\tframes\t1-5, 6-10, 11-16, 12-20\n"
        "person13_handclapping_d3\t*missing*\n"
        "person16_walking_d2    \tframes\t1-8, 9-20\n\n"
        "person17_walking_d1\t\tframes\t1-4, 15-20, 5-14\n"
        "person22_running_d4\t\tframes\t3-9\n"
        "person25_jogging_d4\t\tframes\t1-9\n"
    )
    for name in ("person01_boxing_d1", "person16_walking_d2", "person17_walking_d1", "person22_running_d4"):
        videos.write(
            root / name.split("_")[1] / f"{name}_uncomp.avi",
            n=20,
            width=160,
            height=120,
            codec="mpeg4",
            bframes=0,
            options={"b": "2M"},
        )
    return root


def frames(root, separator=" "):
    """Extracted jpg frames with `path start end label` lists."""
    lists = {"train": [("videos/a b", 1, 12, 1), ("videos/c", 3, 10, 0)], "val": [("videos/d", 1, 6, 1)]}
    root.mkdir(parents=True)
    for split, rows in lists.items():
        (root / f"{split}.txt").write_text("".join(separator.join(map(str, row)) + "\n" for row in rows))
        for path, _, last, _ in rows:
            (root / path).mkdir(parents=True)
            for k in range(1, last + 1):
                Image.fromarray(videos.picture(k)).save(root / path / f"{k:05d}.jpg", quality=95)
    return root


def folder(root):
    """One's own videos, one folder per class, several containers."""
    for label in ("jump", "sit"):
        for k in range(4):
            videos.write(root / label / f"{k}.mp4", n=10)
        videos.write(root / label / "x.webm", n=10, **VP9)
        (root / label / "notes.txt").write_text("not a video")
    return root


def nagoya(root, rng):
    """The authors' files: recordings in degrees, annotation by person. Returns (root, degrees by name)."""
    recordings = {}
    for day, people in (("20170203", ("human1", "human2")), ("20170206", ("human3", "human4"))):
        name = f"{day}_p9_light1.csv"
        degrees = np.round(24 + rng.normal(0, 0.4, (60, 256)), 6)
        (root / day / "raw").mkdir(parents=True)
        with open(root / day / "raw" / name, "w") as file:
            file.write("2017/02/03 16:03:46\nTime (sec),PTAT," + ",".join(f"P{k:03d}" for k in range(256)) + "\n")
            for k, row in enumerate(degrees):
                file.write(f"{k / 9:.3f},25.1," + ",".join(map(str, row)) + "\n")
        (root / "annotation").mkdir(exist_ok=True)
        (root / "annotation" / f"annotation_{day}_human.csv").write_text(
            f"{name},4,10,walk1,{people[0]}\n{name},12,20,sitdown,{people[0]}\n"
            f"{name},30,40,falling2,{people[1]}\n{name},45,58,lie,{people[1]}\n"
        )
        recordings[name] = degrees
    return root, recordings
