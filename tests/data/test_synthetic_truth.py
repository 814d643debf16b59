"""Ground truth of the hard sets: events, twins, and where things are, each checked against the pixels."""

import numpy as np
import pytest

from paperlib import data
from paperlib.data.synthetic import props
from paperlib.data.synthetic.canvas import Canvas, Draw
from paperlib.data.synthetic.events import PAUSE, Timeline
from paperlib.data.synthetic.figure import Figure
from paperlib.data.synthetic.planted import Record
from paperlib.errors import InputError

HARD = ("synth_ssv2_hard", "synth_kinetics_hard", "synth_mit_hard", "synth_kth_hard")


def box_of(mask):
    """Bounding box x0, y0, x1, y1 of a picture's True pixels, or NaN."""
    lines, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
    if not len(lines):
        return np.full(4, np.nan)
    return np.array([columns[0], lines[0], columns[-1] + 1, lines[-1] + 1], float)


@pytest.mark.parametrize("name", HARD)
def test_a_video_as_any_class_is_the_same_outside_of_its_events(name):
    dataset = data.load(name, "val", size=24)
    for i in range(3):
        n = dataset.num_frames(i)
        own, seconds = dataset.frames(i, range(n)), (np.arange(n) + 0.5) / dataset.fps
        inside = np.zeros(n, bool)
        for onset, end in dataset.timeline(i).events:
            inside |= (onset <= seconds) & (seconds < end)
        assert 0 < inside.sum() < n
        for label in range(0, len(dataset.classes), 1 + len(dataset.classes) // 8):
            other = dataset.frames_as(i, label, range(n))
            assert np.array_equal(own[~inside], other[~inside])
            assert np.array_equal(own, other) == (label == dataset.labels[i])


@pytest.mark.parametrize("name", HARD)
def test_truth_names_the_frames_in_which_a_video_and_its_twin_differ(name):
    dataset = data.load(name, "val", size=32)
    twins = [dataset.twin(i) for i in range(len(dataset.classes))]
    assert all(a != b for a, b in zip(twins, dataset.labels, strict=False)) and len(set(twins)) == len(twins)
    for i in range(0, 12, 3):
        found, n = data.truth(dataset, i), dataset.num_frames(i)
        other = dataset.frames_as(i, found.twin, range(n))
        assert np.array_equal(found.differs, (other != dataset.frames(i, range(n))).any((1, 2, 3)))
        assert not found.differs[~found.inside].any() and found.differs.sum() > 0.4 * found.inside.sum()
        for (first, after), (onset, end) in zip(found.spans, found.events, strict=True):
            assert found.inside[first:after].all() and not found.inside[first - 1] and not found.inside[after]
            assert np.isclose(first / dataset.fps, onset) and np.isclose(after / dataset.fps, end)


@pytest.mark.parametrize("name", HARD[:3])
def test_the_events_box_is_where_the_event_changes_the_picture(name, monkeypatch):
    """Against the same video rendered without any event. A class that moves the camera changes the whole picture."""
    dataset = data.load(name, "val", size=48)
    still = [i for i, label in enumerate(dataset.labels[:20]) if "camera" not in dataset.classes[label]][::3]
    found = {i: data.truth(dataset, i) for i in still}
    shown = {i: dataset.frames_as(i, dataset.labels[i], range(dataset.num_frames(i))) for i in still}
    for i in still:
        line = dataset.timeline(i)
        line.events = []
        monkeypatch.setattr(dataset, "timeline", lambda _, line=line: line)
        empty = dataset.frames_as(i, dataset.labels[i], range(dataset.num_frames(i)))
        monkeypatch.undo()
        boxes = np.array([box_of((a != b).any(-1)) for a, b in zip(shown[i], empty, strict=True)])
        given = found[i].tracks["event"].box
        assert not np.isfinite(boxes[~found[i].inside]).any() and not np.isfinite(given[~found[i].inside]).any()
        both = np.isfinite(boxes).all(1)
        assert both.any() and np.isfinite(given[both]).all()
        # changes below one grey level and the light over a scene make at most a pixel of difference, rarely
        assert (np.abs(given[both] - boxes[both]).max(1) <= 1).mean() > 0.8


def test_an_objects_box_is_where_leaving_it_out_changes_the_picture(monkeypatch):
    dataset = data.load("synth_ssv2_hard", "val", size=64)
    label, checked, paint = dataset.classes.index("Moving something up"), 0, props.Thing.paint
    for i in np.flatnonzero(dataset.labels == label)[:4]:
        found, frames = data.truth(dataset, i), dataset.frames_as(i, label, range(dataset.num_frames(i)))
        box = found.tracks["object0"].box
        with monkeypatch.context() as patch:
            patch.setattr(props.Thing, "paint", lambda s, c, *a, **k: None if c.role == "" else paint(s, c, *a, **k))
            without = dataset.frames_as(i, label, range(len(frames)))
        for k in np.flatnonzero(found.inside):
            seen = box_of((np.abs(frames[k].astype(int) - without[k]) > 12).any(-1))  # not the softest rim
            if np.isfinite(seen).all() and np.isfinite(box[k]).all():
                assert (seen[:2] >= box[k, :2] - 1.01).all() and (seen[2:] <= box[k, 2:] + 1.01).all()
                checked += np.abs(seen - box[k]).max() <= 1.01  # the hand hides a part of it in other frames
    assert checked > 30


def test_a_persons_box_and_wrists_are_where_the_pixels_say(monkeypatch):
    dataset = data.load("synth_kth_hard", "val", size=96)
    for i in range(6):
        found, frames = data.truth(dataset, i), dataset.frames(i, range(dataset.num_frames(i))).astype(int)
        with monkeypatch.context() as patch:
            patch.setattr(Figure, "paint", lambda *_, **__: None)
            empty = dataset.frames_as(i, dataset.labels[i], range(len(frames)))
        seen, person = (frames != empty).any(-1), found.tracks["person0"]
        away = np.abs(np.array([box_of(mask) for mask in seen]) - person.box)
        assert away.max() <= 3 and away.mean() < 1  # the rim is soft, and hair is not in the box
        for name in ("hand0", "hand1"):
            track = found.tracks[name]
            assert np.abs((track.box[:, :2] + track.box[:, 2:]) / 2 - track.position).max() <= 1
            x, y = np.clip(track.position.astype(int), 0, 95).T
            assert seen[np.arange(len(frames)), y, x].mean() > 0.9


def test_boxes_and_positions_of_a_shape_on_an_empty_canvas():
    for seed in range(8):
        thing, hand = props.Thing(Draw(seed)), props.Hand(Draw(seed))
        for what in (thing, hand):
            canvas, rows = Canvas(3, 64, 0.1, 0.0, 0.9), np.array([0, 2])
            canvas.image[:] = 0
            canvas.record = Record(3, 64)
            with canvas.part(rows, 0.2, -0.1, 0.8) as part:
                what.paint(part, [0.1, -0.4], 0.2, angle=[0.0, 0.7])
            (track,) = canvas.record.tracks.values()
            x, y = (np.array([0.1, -0.4]) * 0.8 + 0.2 - 0.1) * 0.9, (0.2 * 0.8 - 0.1) * 0.9
            assert np.allclose(track.position[rows], (np.stack([x, [y, y]], 1) + 1) * 32, atol=0.01)
            assert np.isnan(track.position[1]).all() and np.isnan(track.box[1]).all()
            if what is thing:
                seen = [box_of(picture.any(-1)) for picture in canvas.frames()[rows]]
                assert np.abs(track.box[rows] - seen).max() <= 1


@pytest.mark.parametrize("name", HARD)
def test_events_are_anywhere_whatever_the_class(name):
    dataset = data.load(name, "train", size=16)
    share, length, middle = [], [], []
    for i in range(len(dataset)):
        line, total = dataset.timeline(i), dataset.duration(i)
        assert line.events[0][0] >= PAUSE - 1e-9 and line.events[-1][1] <= total - PAUSE + 1e-9
        assert all(a[1] < b[0] for a, b in zip(line.events, line.events[1:], strict=False))
        share.append(sum(end - onset for onset, end in line.events) / total)
        length.append(line.events[0][1] - line.events[0][0])
        middle.append(sum(line.events[0]) / 2 / total)
    assert 0.3 < np.mean(share) < 0.75 and np.std(length) > 0.2
    assert np.quantile(middle, 0.1) < 0.42 and np.quantile(middle, 0.9) > 0.55
    means = [np.mean(np.array(middle)[dataset.labels == k]) for k in range(len(dataset.classes))]
    spread = np.std(middle) / np.sqrt(len(middle) / len(means))
    assert np.abs(np.array(means) - np.mean(middle)).max() < 4 * spread


def test_two_events_fit_or_there_is_one():
    for seed in range(50):
        line = Timeline(Draw(seed), 6.0, 25, (2.0, 3.5), twice=0.5)
        assert all(round(25 * edge, 6).is_integer() for event in line.events for edge in event)
        assert 1 <= len(line.events) <= 2 and line.events[-1][1] <= 6.0 - PAUSE


def test_what_has_no_truth_says_so_and_wrong_labels_are_named():
    with pytest.raises(InputError, match="synth_ssv2 has no ground truth"):
        data.truth(data.load("synth_ssv2", limit=1), 0)
    dataset = data.load("synth_ssv2_hard", limit=1)
    with pytest.raises(InputError, match="classes 0 to 39, not 40"):
        dataset.frames_as(0, 40, [0])
    with pytest.raises(InputError, match="frames 0 to"):
        dataset.frames_as(0, 1, [1000])
    assert dataset.frames_as(0, 1, []).shape == (0, 64, 64, 3)
