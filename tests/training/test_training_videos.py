"""What is trained on and what it is validated on: how many, how large, and what only one of both has or can read."""

import numpy as np
import pytest

from paperlib import data
from paperlib.data import store, video
from paperlib.errors import InputError
from paperlib.training import parallel, training_videos
from paperlib.training.recipes import Recipe
from tests import toy
from tests.data import layouts


class Part:
    name = "own"

    def __init__(self, classes, labels):
        self.classes, self.labels = list(classes), np.array(labels)


def test_classes_that_only_one_part_has_are_named_once():
    train, val = Part("abcd", [0, 0, 1, 3]), Part("abcd", [0, 2, 2, 3])
    assert training_videos.one_sided(train, val) == [
        "own has no training video, so that the network cannot learn c",
        "own has no validation video, so that the accuracy leaves out b",
    ]
    assert training_videos.one_sided(train, train) == []
    questions = Part("abcd", [[0, 2], [1, 3]])  # of which each has two answers
    assert training_videos.one_sided(questions, Part("abcd", [[1, 2], [0, 2]])) == [
        "own has no validation video, so that the accuracy leaves out d"
    ]
    many = [f"c{k}" for k in range(20)]
    (sentence,) = training_videos.one_sided(Part(many, range(20)), Part(many, [0]))
    assert sentence.endswith("c1, c2, c3, c4, c5, c6, c7, c8, c9, c10 and 9 more")


@pytest.mark.parametrize("classes, named", [("abd", "c, d"), ("acb", "their order")])
def test_parts_that_number_their_classes_differently_are_refused(classes, named):
    with pytest.raises(InputError, match=f"of own differ in their classes \\({named}\\)"):
        training_videos.one_sided(Part("abc", [0]), Part(classes, [0]))


@pytest.mark.parametrize("divided", [True, False])
def test_folders_of_ones_own_have_one_list_of_classes_for_both_parts(tmp_path, monkeypatch, divided):
    """Videos are not opened to learn which there are: empty files will do."""
    places = {"train": ("run", "jump"), "val": ("run", "Jump")} if divided else {"": ("run", "jump", "Jump")}
    for part, classes in places.items():
        for name in classes:
            (tmp_path / part / name).mkdir(parents=True)
            for i in range(1 if name == "Jump" else 5):
                (tmp_path / part / name / f"{i}.mp4").touch()
    parts = [data.load("folder", part, size=32, root=str(tmp_path)) for part in ("train", "val")]
    assert parts[0].classes == parts[1].classes == ["Jump", "jump", "run"]
    said = training_videos.one_sided(*parts)
    if divided:
        assert said == [
            "folder has no training video, so that the network cannot learn Jump",
            "folder has no validation video, so that the accuracy leaves out jump",
        ]
    else:
        assert said == ["folder has no validation video, so that the accuracy leaves out Jump"]


@pytest.mark.parametrize("limit, zoom", [(0, 1.0), (3, 1.0), (0, 1.5), (3, 1.5)])
def test_people_held_out_change_neither_how_many_train_nor_how_large_they_are(tmp_path, monkeypatch, limit, zoom):
    layouts.nagoya(tmp_path / "nagoya_fir", np.random.default_rng(0))
    monkeypatch.setenv("PAPERLIB_DATA", str(tmp_path))
    recipe = Recipe("TSN-R18-f4", "nagoya_fir", size=16, held_out="human1", limit=limit, zoom=zoom)
    train, val = training_videos.datasets(recipe)
    assert (train.size, val.size) == (round(16 * zoom), 16)
    assert set(val.people) == {"human1"} and "human1" not in train.people and len(val) == 2
    everybody = training_videos.folds.everybody("nagoya_fir", 16)
    classes = [everybody.classes[k] for k in everybody.labels[everybody.people != "human1"]]
    assert len(train) == len(set(train.ids)) == (limit or len(classes))
    if limit:  # one of each class before a second of any
        assert len({train.classes[k] for k in train.labels}) == min(limit, len(set(classes)))
    assert (train.split, val.split) == ("without human1", "only human1")


class Films(Part):
    """Videos of 640 frames of which one cannot be decoded: of video i frame `damaged[i]`, or none."""

    size = 8

    def __init__(self, damaged):
        super().__init__("ab", [k % 2 for k in range(len(damaged))])
        self.damaged, self.ids = list(damaged), [f"damaged at {frame}" for frame in damaged]

    def __len__(self):
        return len(self.damaged)

    def num_frames(self, i):
        return 640

    def frames(self, i, indices):
        if self.damaged[i] in list(indices):
            raise video.VideoError(f"{self.ids[i]} is damaged.")
        return np.zeros((len(indices), 8, 8, 3), np.uint8)

    def subset(self, positions):
        return Films([self.damaged[i] for i in positions])


@pytest.mark.parametrize(
    "sampling, size, left_out",
    [
        # frames are kept from the middle of every twentieth: 10, 30, ..., 630
        ("uniform", 8, ([30, 630], [30, 630])),
        # a clip of 4 begins anywhere, or in validation at 312, and its frames are 4 apart
        ("dense", 8, ([0, 30, 255, 256, 316, 630, 639], [316])),
        # too large to be kept: a frame of each quarter, in validation the middle one
        ("uniform", 1e5, ([0, 30, 255, 256, 316, 630, 639], [])),
    ],
)
def test_videos_are_left_out_that_are_damaged_where_a_clip_may_be_taken(
    tmp_path, monkeypatch, capsys, sampling, size, left_out
):
    toy.project(tmp_path, monkeypatch)
    monkeypatch.setattr(Films, "size", size)
    damaged = [None, 0, 30, 255, 256, 316, 630, 639, None]
    recipe = Recipe("TSN-R18-f4", "own", sampling=sampling)
    with parallel.group("cpu") as ranks:
        kept, names = training_videos.without_unreadable([Films(damaged), Films(damaged)], 4, recipe, ranks)
    assert [part.damaged for part in kept] == [[one for one in damaged if one not in some] for some in left_out]
    assert names == [f"damaged at {one}" for some in left_out for one in some]
    assert capsys.readouterr().out.splitlines() == [f"own: {one} is left out: {one} is damaged." for one in names]
    train, val = (store.clips_of(part, 4, sampling, progress=False) for part in kept)
    rng = np.random.default_rng(0)
    for _ in range(300):
        train.clips(range(len(train)), 4, sampling, 4, rng)
    assert val.clips(range(len(val)), 4, sampling, 4).shape == (len(val), 4, 8, 8, 3)
