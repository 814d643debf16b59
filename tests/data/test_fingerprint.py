"""A data set's fingerprint: the same for the same files, another after anything that changes a video or its label."""

import os
import shutil

import numpy as np
import pytest

from paperlib import data
from paperlib.data import store
from paperlib.data.fingerprint import entry, fingerprint
from paperlib.data.public import grid, nagoya
from paperlib.data.video import VideoError
from paperlib.storage import paths
from tests.data import layouts
from tests.data import videos as encoded


def of_folder(root):
    return fingerprint(data.load("folder", root=root, split="train", size=32))


def videos(root, *names):
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(name.encode())
    return root


def replace(root):
    (root / "train/sit/a.mp4").write_bytes(b"another video")


def replace_by_as_many_bytes(root):
    before = os.stat(root / "train/sit/a.mp4").st_mtime_ns
    os.utime(root / "train/sit/a.mp4", ns=(before, before + 1))


def relabel(root):
    (root / "train/sit/a.mp4").rename(root / "train/jump/a.mp4")


CHANGES = {
    "replaced": replace,
    "replaced by as many bytes": replace_by_as_many_bytes,
    "relabelled": relabel,
    "added": lambda root: videos(root, "train/sit/c.mp4"),
    "removed": lambda root: (root / "train/sit/b.mp4").unlink(),
    "class renamed": lambda root: (root / "train/sit").rename(root / "train/stand"),
}


@pytest.mark.parametrize("change", CHANGES.values(), ids=list(CHANGES))
def test_it_changes_with_a_video_and_with_nothing_else(tmp_path, change):
    root = videos(tmp_path, "train/sit/a.mp4", "train/sit/b.mp4", "train/jump/c.mp4", "val/sit/d.mp4")
    before = of_folder(root)
    assert of_folder(root) == before
    videos(root, "val/sit/d.mp4", "val/sit/e.mp4")  # of another split
    os.utime(root / "train/sit")
    assert of_folder(root) == before
    change(root)
    assert of_folder(root) != before


def test_it_belongs_to_what_is_asked_for_not_to_where_the_files_lie(tmp_path):
    root = videos(tmp_path / "here", "train/sit/a.mp4", "train/jump/c.mp4", "val/sit/a.mp4", "val/jump/c.mp4")
    shutil.copytree(root, tmp_path / "there")  # with its times
    assert of_folder(root) == of_folder(tmp_path / "there")
    others = [
        fingerprint(data.load("folder", root=root, split="val", size=32)),
        fingerprint(data.load("folder", root=root, split="train", size=64)),
        fingerprint(data.load("folder", root=root, split="train", size=32).subset([0])),
    ]
    assert len({of_folder(root), *others}) == 4


def test_every_image_of_a_folder_counts_and_so_does_the_range(tmp_path):
    root = layouts.frames(tmp_path / "frames")

    def now():
        return fingerprint(data.load("frames", root=root, split="train", size=32))

    before = now()
    (root / "videos/c/.DS_Store").write_bytes(b"a file manager was here")
    assert now() == before
    image = root / "videos/c/00005.jpg"
    image.write_bytes((root / "videos/c/00006.jpg").read_bytes())
    replaced = now()
    (root / "train.txt").write_text((root / "train.txt").read_text().replace("3 10", "3 9"))
    assert len({before, replaced, now()}) == 3
    shutil.rmtree(root / "videos/c")  # gone after the list was read
    assert now() != replaced


def test_words_and_what_is_held_in_memory_count_by_their_content(tmp_path):
    words = np.arange(12.0).reshape(6, 2)
    (tmp_path / "a.mpg").write_bytes(b"video")
    spoken = [grid.Grid(tmp_path, [("s1/a", "a.mpg", [0] * 6, times)], 32) for times in (words, words, words + 1)]
    assert fingerprint(spoken[0]) == fingerprint(spoken[1]) != fingerprint(spoken[2])
    root, recordings = layouts.nagoya(tmp_path / "nagoya_fir", np.random.default_rng(0))

    def held(person):
        return fingerprint(nagoya.everything(root).without(person)[1])

    before = {person: held(person) for person in ("human1", "human3")}
    name, degrees = next(iter(recordings.items()))  # of human1 and human2
    file = root / name[:8] / "raw" / name
    file.write_text(file.read_text().replace(str(degrees[5, 7]), "35.0"))
    assert {person for person in before if held(person) != before[person]} == {"human1"}


def test_of_procedural_ones_name_split_and_size_are_all():
    def one(name="synth_ssv2", split="val", size=32, limit=16):
        return data.load(name, split=split, size=size, limit=limit)

    assert fingerprint(one()) == fingerprint(one())
    assert entry(one()) == {}
    others = [one("synth_mit"), one(split="train"), one(size=64), one(limit=8)]
    assert len({fingerprint(other) for other in [one(), *others]}) == 5


class Drawn:
    """Grey videos of two classes that no file and no procedural set makes; `grey[i]` is how bright video i is."""

    name, classes, labels, size = "drawn", ["a", "b"], np.array([0, 1, 0, 1, 0, 1]), 8

    def __init__(self, grey=(10, 20, 30, 40, 50, 60)):
        self.grey = grey

    def num_frames(self, i):
        return 5

    def frames(self, i, indices):
        if self.grey[i] is None:
            raise VideoError(f"video {i} is damaged.")
        return np.full((len(indices), 8, 8, 3), self.grey[i], np.uint8)


def test_of_data_sets_without_a_source_the_pictures_count():
    now = fingerprint(Drawn())
    assert fingerprint(Drawn()) == now and entry(Drawn()) == {"data": now}
    changed = [Drawn(tuple(v + (k == i) for k, v in enumerate(Drawn().grey))) for i in range(6)]
    prints = [fingerprint(one) for one in changed]
    assert [one != now for one in prints] == [True, True, False, False, True, True]  # first and last of both classes
    damaged = [fingerprint(Drawn((None, 20, 30, 40, last, 60))) for last in (50, 51)]
    assert len({now, *damaged}) == 3  # and what lies behind a damaged one is looked at


def test_frames_kept_for_training_are_those_of_the_files_as_they_are_now(tmp_path, monkeypatch):
    monkeypatch.setattr(paths, "CACHE", tmp_path / "cache")
    root = tmp_path / "root"
    for k in range(3):
        encoded.write(root / f"train/sit/{k}.mp4", n=store.KEPT)

    def kept():
        return store.stored(data.load("folder", root=root, split="train", size=32), progress=False).array

    before = kept()
    encoded.write(root / "train/sit/1.mp4", n=store.KEPT, colour=(250, 20, 20))  # neither the first nor the last
    now = data.load("folder", root=root, split="train", size=32)
    assert np.array_equal(kept(), [now.frames(i, np.arange(store.KEPT)) for i in range(3)])
    assert not np.array_equal(kept(), before)
