"""What every frame of a procedural video is known to show, and whether maps and masks keep to it (section 5)."""

from dataclasses import dataclass

import numpy as np

from ... import data
from ...data import sampling
from ...gradcam import blobs


@dataclass
class Shown:
    """What the frames of n clips show: before (the first event begins) and person, bool [n, T]; hands and objects, bool
    [n, T, H, W], the boxes of those that take part; centres [n, T, 2, 2], x and y of the first two objects, NaN where
    there is none."""

    before: np.ndarray
    person: np.ndarray
    hands: np.ndarray
    objects: np.ndarray
    centres: np.ndarray


def shown(each, root=None):
    """Return what the clips of a `Studied` show; None where its data set does not know."""
    side, frames = each.cams.shape[-1], each.cams.shape[1]
    videos = data.load(each.dataset, split="val", size=side, root=root or None)
    if not hasattr(videos, "timeline"):
        return None
    parts = [_of_video(videos, int(i), frames, side) for i in each.videos]
    return Shown(*map(np.stack, zip(*parts, strict=True)))


def _of_video(videos, i, frames, side):
    """Return the fields of `Shown` for one video, without the axis of clips."""
    steps = sampling.uniform(videos.num_frames(i), frames)
    truth = data.truth(videos, i)
    centres = np.full((frames, 2, 2), np.nan)
    for k in range(2):
        if f"object{k}" in truth.tracks:
            track = truth.tracks[f"object{k}"]
            seen = np.isfinite(track.box[steps]).all(1)
            centres[seen, k] = track.position[steps][seen]
    regions = [_boxes(truth.tracks, kind, steps, side) for kind in ("hand", "object", "person")]
    hands, objects, person = regions
    return steps < truth.spans[0][0], person.any((1, 2)), hands, objects, centres


def _boxes(tracks, kind, steps, side):
    """Return the pixels that lie in a box of a kind's tracks, bool [T, side, side]."""
    found = np.zeros((len(steps), side, side), bool)
    for name, track in tracks.items():
        if not name.removeprefix(kind).isdigit():
            continue
        for region, box in zip(found, track.box[steps], strict=True):
            if np.isfinite(box).all():
                left, top, right, bottom = box.astype(int)
                region[top:bottom, left:right] = True
    return found


def intensity_before(each, known):
    """Return the share of a map's intensity in frames before the event minus the share of such frames, [n].

    NaN where there is no such frame or no intensity.
    """
    total = each.intensity.sum(1)
    with np.errstate(invalid="ignore", divide="ignore"):
        share = (each.intensity * known.before).sum(1) / total
    return np.where(known.before.any(1) & (total > 0), share - known.before.mean(1), np.nan)


def hands_over_objects(each, known):
    """Return how much higher a map is on hands than on objects, in units of its mean, [n]; NaN where one is not there.

    Pixels that lie in boxes of both tell nothing and are left out.
    """
    cams, values = each.cams.astype(np.float64), []
    for cam, hands, objects in zip(cams, known.hands & ~known.objects, known.objects & ~known.hands, strict=True):
        there = hands.any() and objects.any() and cam.mean() > 0
        values.append((cam[hands].mean() - cam[objects].mean()) / cam.mean() if there else np.nan)
    return np.array(values)


def one_blob_on_both(each, known):
    """Return the share of frames with two objects in which one blob covers the centres of both, [n]."""
    both = np.isfinite(known.centres).all((2, 3))
    covered = np.zeros_like(both)
    for blob in blobs.detect(each.cams.astype(np.float32)).itertuples():
        away = np.linalg.norm(known.centres[blob.clip, blob.frame] - (blob.x + 0.5, blob.y + 0.5), axis=1)
        covered[blob.clip, blob.frame] |= bool((away <= blob.size / 2).all())
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.where(both.any(1), (covered & both).sum(1) / both.sum(1), np.nan)


def masked_frames_with_person(each, known, label):
    """Return the share of masked frames that show the person minus that of all frames, [n].

    NaN for other classes than `label`, without a mask, and where the person is in all frames or none.
    """
    on, seen = each.mask > 0.1, known.person
    tells = (each.labels == label) & on.any(1) & seen.any(1) & ~seen.all(1)
    with np.errstate(invalid="ignore", divide="ignore"):
        share = (on & seen).sum(1) / on.sum(1)
    return np.where(tells, share - seen.mean(1), np.nan)


def cycles(each, videos):
    """Return how many cycles of the action the longest run of masked frames lasts, per clip [n]."""
    found = []
    for on, video in zip(each.mask > 0.1, each.videos, strict=True):
        edges = np.flatnonzero(np.diff(np.concatenate([[0], on, [0]])))
        longest = max((edges[1::2] - edges[::2]).tolist(), default=0)
        seconds = longest / len(on) * videos.num_frames(int(video)) / videos.fps
        found.append(seconds / videos.cycle(int(video)))
    return np.array(found)
