"""Batches of clips: the sampled frames, in order, without the videos that cannot be read."""

import numpy as np
import pytest
import torch

from paperlib import data
from paperlib.data import sampling, video
from paperlib.data.loading import batches, in_turn, readable
from paperlib.errors import InputError
from tests.data import layouts


class Synthetic:
    """A dataset whose frames say which video and frame they are."""

    name, classes, labels, ids = "numbers", ["a", "b"], np.array([0, 1] * 5), [f"v{i}" for i in range(10)]
    bad = ()

    def __len__(self):
        return 10

    def num_frames(self, i):
        return 20 + i

    def frames(self, i, indices):
        if i in self.bad:
            raise video.VideoError(f"v{i} is damaged.")
        values = (np.asarray(indices) + 100 * (i % 2)).astype(np.uint8)
        return np.broadcast_to(values[:, None, None, None], (len(values), 8, 8, 3)).copy()


def numbers(clips):
    from paperlib.data.clips import to_frames

    return [to_frames(c)[:, 0, 0, 0].astype(int).tolist() for c in clips]


@pytest.mark.parametrize("workers", [0, 3])
def test_batches_hold_the_sampled_frames_in_order(workers):
    got = list(batches(Synthetic(), 4, 3, workers=workers))
    assert [len(i) for i, _, _ in got] == [3, 3, 3, 1]
    for indices, clips, labels in got:
        assert clips.dtype == torch.float32 and clips.shape == (len(indices), 3, 4, 8, 8)
        assert labels.tolist() == [i % 2 for i in indices]
        assert numbers(clips) == [(sampling.uniform(20 + i, 4) + 100 * (i % 2)).tolist() for i in indices]


@pytest.mark.parametrize("workers", [0, 2])
def test_bad_videos_are_skipped_counted_and_listed(workers):
    dataset = Synthetic()
    dataset.bad = (0, 4, 9)
    loader = batches(dataset, 4, 4, workers=workers)
    for _ in range(2):  # a second pass counts anew
        indices = np.concatenate([i for i, _, _ in loader])
        assert indices.tolist() == [1, 2, 3, 5, 6, 7, 8]
        assert loader.skipped == [(i, f"v{i}", f"v{i} is damaged.") for i in (0, 4, 9)]


def test_a_dataset_of_bad_videos_is_an_error():
    dataset = Synthetic()
    dataset.bad = range(10)
    with pytest.raises(InputError, match="none of the 10 videos of numbers can be read; the first: v0 is damaged"):
        list(batches(dataset, 4, 4))


def test_training_batches_depend_on_the_seed_alone():
    def content(**kwargs):
        return [(i.tolist(), numbers(c)) for i, c, _ in batches(Synthetic(), 4, 4, **kwargs)]

    assert content(seed=1) == content(seed=1, workers=3) != content(seed=2)
    assert sorted(sum((i for i, _ in content(seed=1)), [])) == list(range(10))
    assert content(seed=1) != content()


def test_several_clips_and_crops(tmp_path):
    root = layouts.kinetics(tmp_path)
    dataset = data.load("kinetics400", "val", size=32, root=root)
    ((_, clips, _),) = batches(dataset, 4, 2, views=(2, 3))
    assert clips.shape == (2, 6, 3, 4, 32, 32)
    ((_, dense, _),) = batches(dataset, 4, 2, sampling="dense", stride=3, views=(5, 1))
    assert dense.shape == (2, 5, 3, 4, 32, 32)
    with pytest.raises(InputError, match="crops"):
        batches(Synthetic(), 4, 2, views=(1, 3))
    (_, many, _), *_ = batches(Synthetic(), 4, 10, views=(3, 1))
    assert numbers(many[0]) == sampling.uniform(20, 4, clips=3).tolist()


def test_unreadable_videos_can_be_sorted_out_beforehand(tmp_path):
    root = layouts.kinetics(tmp_path)
    dataset = data.load("kinetics400", "val", size=16, root=root)
    assert readable(dataset, 4) == (dataset, [])
    dataset.path(0).write_bytes(b"nothing")
    good, skipped = readable(dataset, 4)
    assert good.ids == dataset.ids[1:] and good.labels.tolist() == dataset.labels[1:].tolist()
    ((index, identity, reason),) = skipped
    assert (index, identity) == (0, dataset.ids[0]) and "damaged or not a video" in reason
    assert readable(Synthetic(), 4)[1] == []
    good = data.load("kinetics400", "val", size=16, root=root).subset([1])
    assert readable(good, None) == (good, [])
    dataset = data.load("frames", "train", size=16, root=layouts.frames(tmp_path / "frames"))
    (tmp_path / "frames/videos/a b/00003.jpg").unlink()  # which only a dense clip shows
    assert readable(dataset, 4)[1] == []
    for looked in (readable(dataset, 4, sampling="dense", stride=2), readable(dataset, None, workers=2)):
        assert [i for i, *_ in looked[1]] == [0]


def test_it_is_found_in_the_package():
    assert data.batches is batches
    with pytest.raises(AttributeError):
        data.nothing  # noqa: B018


def test_classes_come_in_turn():
    labels = np.array([0] * 6 + [1] * 2 + [2] * 3)
    order = in_turn(labels)
    assert sorted(order) == list(range(11))
    assert [len(set(labels[order[k : k + 3]])) for k in (0, 3)] == [3, 3] and set(labels[order[8:]]) == {0}
