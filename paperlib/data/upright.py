"""A decoded frame as a player shows it: upright, with square pixels, without the comb of interlacing."""

import math
from dataclasses import dataclass
from fractions import Fraction

import numpy as np
from av.filter import Graph
from av.sidedata.sidedata import Type
from av.video.reformatter import Interpolation, VideoReformatter

# Bilinear with antialiasing is what the papers' code uses; the flags give the same pixels on every processor.
SCALING = Interpolation.BILINEAR | Interpolation.ACCURATE_RND | Interpolation.BITEXACT
TILT = math.sin(math.radians(1))  # of a display matrix, up to which FFmpeg takes it for one of quarter turns


def _nameless(cls, value):
    kind = object.__new__(cls)
    kind._name_, kind._value_ = f"UNKNOWN_{value}", value
    return kind


Type._missing_ = classmethod(_nameless)  # FFmpeg has kinds of side data (EXIF) that PyAV cannot name: it raised


@dataclass(frozen=True)
class Form:
    """What is the same in all frames of a video: how pictures are stored, and what puts them upright.

    width, height: of the stored picture, in pixels. aspect: a pixel's width over its height; coded: the one that the
    coded pictures name, if any. Rows and columns are exchanged if `transposed`; then left and right if `mirrored`, top
    and bottom if `upended`. tilted: the picture is to be shown at another angle than a quarter turn's.
    """

    width: int
    height: int
    aspect: Fraction
    coded: Fraction | None
    transposed: bool = False
    mirrored: bool = False
    upended: bool = False
    tilted: bool = False

    @property
    def square(self):
        """Size [width, height] in square pixels, before it is put upright; the height stays, as in FFmpeg."""
        return max(1, math.floor(self.width * self.aspect + Fraction(1, 2))), self.height

    @property
    def shown(self):
        """Size [width, height] in square pixels, upright."""
        return self.square[::-1] if self.transposed else self.square

    @property
    def plain(self):
        """Whether pictures are shown as they are stored."""
        return self.aspect == 1 and not (self.transposed or self.mirrored or self.upended)


def form(frame, stream):
    """Return the `Form` of a frame that was just decoded from a stream."""
    coded = stream.codec_context.sample_aspect_ratio or None
    aspect = stream.sample_aspect_ratio or coded or Fraction(1)
    stored = (frame.width, frame.height, aspect, coded)
    matrix = next((bytes(d) for d in frame.side_data if d.type == Type.DISPLAYMATRIX), None)
    return Form(*stored) if matrix is None else Form(*stored, *_directions(matrix))


def _directions(matrix):
    """Return (transposed, mirrored, upended, tilted) of a display matrix.

    Its entries a, b and c, d say where a step to the right and a step down lead: to (a, b) and (c, d), the second
    number counting downwards. An empty matrix says nothing, as in FFmpeg.
    """
    a, b, _, c, d = np.frombuffer(matrix, "<i4")[:5].tolist()
    transposed = abs(b) > abs(a)
    right, down = (c, b) if transposed else (a, d)
    tilted = min(abs(a), abs(b)) > TILT * math.hypot(a, b)
    return transposed, right < 0, down < 0, tilted


def difference(first, other, position):
    """Return in words what changes from the first form to that of frame `position`, and where.

    What the coded pictures say of their pixels is known when they are read, a few frames before they are shown.
    """
    if (first.width, first.height) != (other.width, other.height):
        sizes = f"from {first.width} x {first.height} to {other.width} x {other.height} pixels"
        return f"the size of its pictures, {sizes}, at frame {position}"
    if (first.aspect, first.coded) != (other.aspect, other.coded):
        return f"the shape of its pixels, from {first.coded or 1} to {other.coded or 1}, near frame {position}"
    return f"the orientation of its pictures at frame {position}"


class Painter:
    """Makes upright RGB pictures of one size of the frames of one form.

    An interlaced frame's lines belong in turn to two moments. Those of the earlier one are kept and the others filled
    in between them (FFmpeg's estdif, which needs no frame but this one: any frame can be decoded by itself).
    """

    def __init__(self, form, short_side=None):
        self.form, self.scaler, self.graph = form, VideoReformatter(), None
        width, height = form.square
        if short_side is not None:
            scale = short_side / min(width, height)
            width, height = max(short_side, round(width * scale)), max(short_side, round(height * scale))
        self.size = width, height

    def picture(self, frame):
        """Return uint8 [H, W, 3] of a frame."""
        if frame.interlaced_frame:
            frame = self._deinterlaced(frame)
        how = None if self.size == (frame.width, frame.height) else SCALING  # unscaled: PyAV's own to_ndarray
        picture = self.scaler.reformat(frame, *self.size, format="rgb24", interpolation=how, threads=1).to_ndarray()
        if self.form.transposed:
            picture = picture.swapaxes(0, 1)
        return picture[:: -1 if self.form.upended else 1, :: -1 if self.form.mirrored else 1]

    def _deinterlaced(self, frame):
        if self.graph is None:
            self.graph = Graph()
            source = self.graph.add_buffer(
                width=frame.width, height=frame.height, format=frame.format.name, time_base=Fraction(1, 1000)
            )
            self.graph.link_nodes(source, self.graph.add("estdif", "mode=frame"), self.graph.add("buffersink"))
            self.graph.configure()
        for _ in range(2):  # the filter gives a frame when it is given the next one, so here the same again
            self.graph.push(frame)
            try:
                while True:
                    result = self.graph.pull()
            except BlockingIOError:
                pass
        return result
