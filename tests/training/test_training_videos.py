"""What is trained on and what it is validated on: how many, how large, and classes that only one of both has."""

import numpy as np
import pytest

from paperlib import data
from paperlib.errors import InputError
from paperlib.training import training_videos
from paperlib.training.recipes import Recipe
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
