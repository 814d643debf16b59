"""What single frames of the procedural datasets give away, seen by a linear classifier on small pictures."""

import numpy as np
import pytest

from paperlib import data
from paperlib.data.synthetic import ssv2


def pictures(dataset, videos, rng):
    """One random frame of each video as a vector: colours on 12 x 12 cells and their local contrast."""
    rows = []
    for i in videos:
        frame = dataset.frames(i, [rng.randint(dataset.num_frames(i))])[0].astype(np.float32) / 255
        cells = frame.reshape(12, 4, 12, 4, 3)
        rows.append(np.concatenate([cells.mean((1, 3)).ravel(), cells.std((1, 3)).ravel()]))
    return np.array(rows)


def motions(dataset, videos):
    """Signed change of brightness from the first to the second half of each video, on 12 x 12 cells."""
    rows = []
    for i in videos:
        n = dataset.num_frames(i)
        grey = dataset.frames(i, (np.arange(8) * 2 + 1) * n // 16).astype(np.float32).mean(-1) / 255
        contrast = grey.reshape(8, 12, 4, 12, 4).std((2, 4))
        rows.append((contrast[4:].mean(0) - contrast[:4].mean(0)).ravel())
    return np.array(rows)


def accuracy(train, labels, test, truth, penalty):
    """Top-1 accuracy of ridge regression onto one-hot labels."""
    mean, scale = train.mean(0), train.std(0) + 1e-3
    a, b = (train - mean) / scale, (test - mean) / scale
    targets = np.eye(labels.max() + 1)[labels]
    kernel = a @ a.T + penalty * len(a) * np.eye(len(a))
    guess = (b @ a.T @ np.linalg.solve(kernel, targets - targets.mean(0)) + targets.mean(0)).argmax(1)
    return (guess == truth).mean()


def both(name, classes, features, per_class):
    """Features and labels of the training and the validation videos of these classes."""
    found = []
    for split, count in (("train", per_class), ("val", 25)):
        dataset = data.load(name, split, size=48)
        rows = [np.flatnonzero(dataset.labels == dataset.classes.index(c))[:count] for c in classes]
        labels = np.repeat(np.arange(len(classes)), [len(r) for r in rows])
        found += [features(dataset, np.concatenate(rows)), labels]
    return found


@pytest.mark.slow
@pytest.mark.parametrize("name", ("synth_ssv2", "synth_ssv2_hard"))
def test_single_frames_do_not_tell_the_members_of_a_reversed_pair_apart(name):
    rng = np.random.RandomState(0)
    pairs = data.load(name, limit=1).module.REVERSED
    right = [accuracy(*both(name, pair, lambda d, v: pictures(d, v, rng), 125), 1.0) for pair in pairs]
    # 560 validation videos in all at least: the mean has a standard error of 2 % under chance
    assert 0.44 < np.mean(right) < 0.56


@pytest.mark.slow
@pytest.mark.parametrize("name, low, high", (("synth_kth", 0.33, 1.0), ("synth_kth_hard", 0.0, 1 / 6 + 0.04)))
def test_single_frames_tell_kths_actions_apart_in_the_plain_set_only(name, low, high):
    """Chance is 1/6, its standard error 0.013 for the 863 sequences of the validation persons."""
    rng, rows = np.random.RandomState(0), []
    for split in ("train", "val"):
        dataset = data.load(name, split, size=48)
        rows += [pictures(dataset, range(len(dataset)), rng), dataset.labels]
    assert low < accuracy(*rows, 1.0) < high


@pytest.mark.slow
def test_change_over_time_does_tell_some_of_them_apart():
    plain = ("Moving something up", "Pushing something from left to right", "Pushing something from right to left")
    pairs = [p for p in ssv2.REVERSED if p[0] in plain]
    right = [accuracy(*both("synth_ssv2", pair, motions, 125), 1.0) for pair in pairs]
    assert np.mean(right) > 0.8


@pytest.mark.slow
def test_single_frames_tell_the_scenes_of_kinetics():
    rng = np.random.RandomState(0)
    classes = data.load("synth_kinetics", limit=1).classes
    right = accuracy(*both("synth_kinetics", classes, lambda d, v: pictures(d, v, rng), 60), 1.0)
    assert right > 0.5  # chance is 0.05
