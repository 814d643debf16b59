"""Decode exactly the frames that are asked for; they equal those of decoding the whole file."""

import bisect
import contextlib
import functools
import os
from dataclasses import dataclass
from pathlib import Path

import av
import numpy as np
from av.format import Flags

from ..errors import InputError
from . import extent, upright

# What FFmpeg would open further files or addresses for, run as a script, or paint from a text's letters.
REFUSED = set(
    "hls dash imf concat sdp vobsub webm_dash_manifest svg_pipe avisynth vapoursynth tty bin xbin adf idf".split()
)
MAX_PIXELS = 8192 * 8192  # a damaged header may announce any size
MPEG4_IN_AVI = ("mpeg4", "msmpeg4v1", "msmpeg4v2", "msmpeg4v3")
FAILURES = (av.FFmpegError, OSError, ValueError, MemoryError)


class VideoError(InputError):
    """One video cannot be read. `batches`, `readable` and a run in shards leave it out and list it."""


@dataclass(frozen=True)
class VideoInfo:
    """What `probe` found: frames as decoded, frames per second (or None), size as displayed in pixels.

    turned: the pictures are stored turned or mirrored. interlaced: the first one is, two moments in its lines in turn.
    """

    frames: int
    fps: float | None
    width: int
    height: int
    turned: bool
    interlaced: bool
    codec: str
    container: str


@dataclass(frozen=True)
class _Index:
    """Presentation times of all frames in order, and the positions among them of the key frames."""

    times: tuple
    keys: tuple


class _Unreliable(Exception):
    """The packets' times do not tell which frame is which: decode from the start."""


def probe(path):
    """Return the `VideoInfo` of a file, with the true frame count even where the file's is missing or wrong.

    Raises VideoError for a missing, empty, damaged or pictureless file.
    """
    path = existing(path)
    return _probe(path, *_version(path))


def decode(path, indices=None, short_side=None, backend="pyav"):
    """Decode frames `indices` (all frames if None; any order, repeats allowed) as a player shows them.

    They are turned and mirrored as the file says, have square pixels and are deinterlaced. With `short_side` they
    are scaled so that their shorter side has that many pixels. `backend="torchcodec"` uses torchcodec where it is
    installed and the frames are shown as they are stored: faster, pixels may differ by rounding.

    Returns uint8 [n, H, W, 3], RGB. Raises VideoError for a missing, empty, damaged or pictureless file, for a frame
    beyond the end, where the size of the frames changes before the last one asked for, and for an mp4, mov, avi, mkv,
    webm, wmv or flv file that ends before it says and lacks frames; others cut short are read as far as they go.
    """
    path = existing(path)
    if indices is not None:
        indices = np.asarray(indices)
        if indices.ndim != 1 or not len(indices) or indices.dtype.kind not in "iu" or indices.min() < 0:
            raise InputError(f"{path}: frame indices are a list of whole numbers from 0, not {indices!r}.")
    if backend not in ("pyav", "torchcodec"):
        raise InputError(f"there is no video decoder {backend!r}; known are 'pyav' and 'torchcodec'.")
    if backend == "torchcodec":
        form, interlaced = _opening(path, *_version(path))
        if form.plain and not interlaced:
            return _decode_torchcodec(path, indices, short_side)
    if indices is None:
        return _collect(path, None, None, short_side)
    wanted = sorted(set(indices.tolist()))
    frames = None
    index = _index(path, *_version(path))
    if index is not None and wanted[-1] < len(index.times):
        try:
            frames = _collect(path, wanted, index, short_side)
        except (_Unreliable, VideoError):
            pass  # what cannot be jumped to may still be read from the start
    if frames is None:
        frames = _collect(path, wanted, None, short_side)
    return frames[np.searchsorted(wanted, indices)]


def crops(frames, size, count=1):
    """Cut `count` (1 or 3) squares of `size` pixels out of frames [..., H, W, 3].

    One is the centre; three lie at the start, centre and end of the longer side (multi-crop evaluation).
    Returns [count, ..., size, size, 3], views of `frames`.
    """
    height, width = frames.shape[-3:-1]
    if min(height, width) < size or count not in (1, 3):
        raise InputError(
            f"crops: {count} crops of {size} pixels do not fit frames of {width} x {height}; "
            "1 or 3 are possible, no larger than the shorter side."
        )
    down, across = height - size, width - size
    corners = [(round(down / 2), round(across / 2))]
    if count == 3:
        start, end = (
            ((0, corners[0][1]), (down, corners[0][1]))
            if down > across
            else ((corners[0][0], 0), (corners[0][0], across))
        )
        corners = [start, corners[0], end]
    return np.stack([frames[..., y : y + size, x : x + size, :] for y, x in corners])


def existing(path):
    path = Path(path).absolute()  # with its `..`, which follow links
    if os.path.isdir(path):
        raise VideoError(f"{path} is a folder; a video file is needed.")
    if not os.path.isfile(path):  # as where Path.is_file raises: a name may be too long, a folder not be looked into
        raise VideoError(f"{path}: there is no such video file.")
    if not path.stat().st_size:
        raise VideoError(f"{path} is empty (0 bytes); copy or download it again.")
    return path


@functools.cache
def _containers():
    """Return the names of the formats that FFmpeg reads from one file of video, as its option wants them."""
    readable = []
    for name in av.formats_available:
        try:
            if not av.ContainerFormat(name, "r").flags & Flags.no_file.value:  # no devices, networks, image%d.png
                readable.append(name)
        except ValueError:  # it is only written
            pass
    return ",".join(sorted(set(",".join(readable).split(",")) - REFUSED))


def _version(path):
    status = path.stat()
    return status.st_size, status.st_mtime_ns


class opened:
    """Context manager: (container, video stream) of a file, with every failure turned into a VideoError.

    `strict` makes the decoder fail at errors that it would otherwise cover up.
    """

    def __init__(self, path, strict=False):
        self.path, self.container = path, None
        self.options = {"max_pixels": str(MAX_PIXELS)}
        if strict:
            self.options["err_detect"] = "crccheck+bitstream+buffer+explode"

    def __enter__(self):
        try:
            self.container = _container(self.path)
        except av.ArgumentError:  # a format that is not on the list, or one that has to be told the size
            what = "a playlist, a script, a text, or pictures without a header that tells their size"
            raise VideoError(f"{self.path} is not opened as a video: it seems to be {what}.") from None
        except FAILURES as error:
            what = extent.cut_short(self.path) or f"{self.path} is damaged or not a video ({_reason(error)})."
            raise VideoError(what) from None
        pictures = [s for s in self.container.streams.video if not s.disposition & 0x400]  # 0x400: cover art
        if not pictures or pictures[0].codec_context is None:
            self.container.close()
            what = "its codec is unknown" if pictures else "it holds sound or data only"
            what = f"{self.path} has no pictures to decode: {what}."
            raise VideoError(extent.cut_short(self.path) or what)
        # an animation's first picture may be a stream beside it
        stream = next((s for s in pictures if s.frames != 1), pictures[0])
        what = extent.cut_short(self.path)
        if what and not 0 < stream.frames <= packets(self.path, stream.index):
            self.container.close()  # else its frames up to there would be taken for all
            raise VideoError(what)
        stream.thread_type = "NONE"  # clips are decoded side by side, not frames
        stream.codec_context.options = self.options
        return self.container, stream

    def __exit__(self, kind, error, trace):
        self.container.close()
        if kind is not None and issubclass(kind, FAILURES) and not issubclass(kind, InputError):
            if _animated_webp(self.path):
                raise VideoError(
                    f"{self.path} is an animated WebP, which FFmpeg cannot decode; make it a GIF."
                ) from None
            what = f"{self.path} is damaged and cannot be decoded ({_reason(error)})."
            raise VideoError(extent.cut_short(self.path) or what) from None


def _container(path, **options):
    options = {"format_whitelist": _containers(), "protocol_whitelist": "file", **options}
    return av.open(f"file:{path}", metadata_errors="ignore", container_options=options)


def packets(path, stream):
    """Count the whole packets of stream number `stream` in a file, with those that an edit list cuts off."""
    count = 0
    with _container(path, ignore_editlist="1") as container, contextlib.suppress(*FAILURES):
        for packet in container.demux(container.streams[stream]):
            count += bool(packet.size) and not packet.is_corrupt
    return count


def _animated_webp(path):
    with open(path, "rb") as file:
        start = file.read(64)
    return start[8:12] == b"WEBP" and b"ANIM" in start


def _reason(error):
    return str(error).split("]")[-1].split(": '")[0].strip() or type(error).__name__


@functools.lru_cache(maxsize=4096)
def _probe(path, size, modified):
    index = _index(path, size, modified)
    form, interlaced = _opening(path, size, modified)
    with opened(path) as (container, stream):
        count = len(index.times) if index else sum(1 for _ in container.decode(stream))
        rate = stream.average_rate or stream.guessed_rate
        return VideoInfo(
            count,
            float(rate) if rate else None,
            *form.shown,
            form.transposed or form.mirrored or form.upended,
            interlaced,
            stream.codec_context.name,
            container.format.name,
        )


@functools.lru_cache(maxsize=4096)
def _opening(path, size, modified):
    """Return (upright.Form, whether it is interlaced) of a file's first frame."""
    with opened(path) as (container, stream):
        for _, frame in sequential(container, stream):
            return upright.form(frame, stream), bool(frame.interlaced_frame)
    raise VideoError(extent.cut_short(path) or f"{path} is damaged: it holds no frame that can be decoded.")


@functools.lru_cache(maxsize=4096)
def _index(path, size, modified):
    """Read the times of all frames from the packets, without decoding; None where they do not tell."""
    times, keys = [], []
    with opened(path) as (container, stream):
        codec = stream.codec_context.name
        packed = "avi" in container.format.name and codec in MPEG4_IN_AVI
        for packet in container.demux(stream):
            if not packet.size or packet.is_discard:  # the end, or cut off by the container's edit list
                continue
            if codec == "vp8" and not bytes(packet)[0] & 0x10:  # a reference picture that is never shown
                continue
            if packet.pts is None or packet.is_corrupt or packed and packet.size < 16:
                return None  # the last: a placeholder of DivX's packed B-frames
            times.append(packet.pts)
            if packet.is_keyframe:
                keys.append(packet.pts)
    ordered = sorted(times)
    if not keys or keys[0] != ordered[0] or times[0] != ordered[0] or len(set(times)) < len(times):
        return None
    return _Index(tuple(ordered), tuple(bisect.bisect_left(ordered, k) for k in sorted(keys)))


def _collect(path, wanted, index, short_side):
    """Return the upright, scaled frames at the sorted positions `wanted` (None: all)."""
    painting, frames = None, []
    first = None if index is None else _opening(path, *_version(path))[0]
    with opened(path) as (container, stream):
        found = sequential(container, stream, wanted) if first is None else _seeking(container, stream, wanted, index)
        for _, frame in found:
            form = upright.form(frame, stream)
            if form != (first or form):  # decoding from the start finds where they begin to differ
                raise _Unreliable
            painting = painting or painter(path, form, short_side)
            frames.append(painting.picture(frame))
    if wanted is not None and len(frames) < len(wanted):
        raise VideoError(f"{path} ends before frame {wanted[len(frames)]} (frames count from 0).")
    if not frames:
        raise VideoError(extent.cut_short(path) or f"{path} is damaged: it holds no frame that can be decoded.")
    return np.stack(frames)


def painter(path, form, short_side=None):
    """Return the `upright.Painter` of a file's frames; VideoError for those that make no upright pictures."""
    if form.tilted:
        raise VideoError(f"{path} is to be shown at an angle that is no quarter turn; turn its pictures first.")
    found = upright.Painter(form, short_side)
    if found.size[0] * found.size[1] > MAX_PIXELS:
        raise VideoError(f"{path} is damaged: {form.shown[0]} x {form.shown[1]} pixels are implausible.")
    return found


def sequential(container, stream, wanted=None):
    """Yield (position, frame) from the start of the file.

    Raises VideoError at frames that the decoder had to make up or of which the file holds a part only, and where frames
    change their size, the shape of their pixels or their orientation.
    """
    wanted_set, first = None if wanted is None else set(wanted), None
    for position, (frame, damaged) in enumerate(_decoded(container, stream)):
        path, form = container.name.removeprefix("file:"), upright.form(frame, stream)
        if damaged:
            raise VideoError(f"{path} is damaged at frame {position}.")
        first = first or form
        if form != first:
            changed = upright.difference(first, form, position)
            raise VideoError(f"{path} changes {changed}; cut it there into two files.")
        if wanted_set is None or position in wanted_set:
            yield position, frame
        if wanted is not None and position >= wanted[-1]:
            return


def _decoded(container, stream):
    """Yield (frame, whether it is damaged).

    A decoder of single pictures, as MJPEG's, fills up what is missing without a word, but an AVI tells of the frame
    that its end cuts off. Transport streams also tell of gaps between whole recordings that were joined.
    """
    incomplete, joined = set(), container.format.name == "mpegts"
    for packet in container.demux(stream):
        if packet.is_corrupt and not joined:
            incomplete.add(packet.pts)
        for frame in packet.decode():
            yield frame, frame.is_corrupt or frame.pts in incomplete


def _seeking(container, stream, wanted, index):
    """Yield (position, frame), jumping to the key frame before a wanted frame where that saves work."""
    frames, position = container.decode(stream), -1
    for target in wanted:
        key = index.keys[bisect.bisect_right(index.keys, target) - 1]
        if key > position + 1:
            container.seek(index.times[target], stream=stream)  # lands on a key frame not after it
            frames, position = container.decode(stream), None
        while position != target:
            frame = next(frames, None)
            if frame is None or frame.pts is None or frame.is_corrupt:
                raise _Unreliable
            if position is None:  # the first frame after a jump: any key frame not after the target will do
                position = bisect.bisect_left(index.times, frame.pts)
                if position > target or not frame.key_frame:
                    raise _Unreliable
            else:
                position += 1
            if index.times[position] != frame.pts:
                raise _Unreliable
        yield target, frame


def _decode_torchcodec(path, indices, short_side):
    def unusable(error):
        return InputError(
            f"the decoder 'torchcodec' cannot be used ({str(error).splitlines()[0]}); "
            "install torchcodec with FFmpeg, or use backend='pyav'."
        )

    try:
        from torchcodec.decoders import VideoDecoder
    except (ImportError, RuntimeError, OSError) as error:  # the last two: FFmpeg missing
        raise unusable(error) from None
    from torchvision.transforms.v2.functional import resize

    try:
        decoder = VideoDecoder(str(path), dimension_order="NCHW", num_ffmpeg_threads=1)
        wanted = range(len(decoder)) if indices is None else indices.tolist()
        frames = decoder.get_frames_at(list(wanted)).data
    except (RuntimeError, ValueError, IndexError) as error:
        if "libtorchcodec" in str(error):  # newer versions look for FFmpeg only now
            raise unusable(error) from None
        raise VideoError(f"{path} cannot be decoded ({str(error).splitlines()[0]}).") from None
    if short_side is not None:
        frames = resize(frames, [short_side], antialias=True)
    return np.ascontiguousarray(frames.permute(0, 2, 3, 1).numpy())
