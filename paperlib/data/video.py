"""Decode exactly the frames that are asked for; they equal those of decoding the whole file."""

import bisect
import functools
import math
import os
from dataclasses import dataclass
from pathlib import Path

import av
import numpy as np
from av.video.reformatter import Interpolation, VideoReformatter

from ..errors import InputError

# Only containers of video: without this list FFmpeg would play text files, and open what playlists point to.
CONTAINERS = "mov,matroska,avi,mpeg,mpegts,flv,asf,ogg,gif,wav,mp3,flac"
MAX_PIXELS = 8192 * 8192  # a damaged header may announce any size
# Bilinear with antialiasing is what the papers' code uses; the flags give the same pixels on every processor.
SCALING = Interpolation.BILINEAR | Interpolation.ACCURATE_RND | Interpolation.BITEXACT
MPEG4_IN_AVI = ("mpeg4", "msmpeg4v1", "msmpeg4v2", "msmpeg4v3")
FAILURES = (av.FFmpegError, OSError, ValueError, MemoryError)


class VideoError(InputError):
    """One video cannot be read. Evaluation skips the video, counts it and lists it."""


@dataclass(frozen=True)
class VideoInfo:
    """What `probe` found: frames as decoded, frames per second (or None), size as displayed in pixels."""

    frames: int
    fps: float | None
    width: int
    height: int
    rotation: int
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
    """Decode frames `indices` (all frames if None; any order, repeats allowed) as displayed, upright.

    With `short_side` the frames are scaled so that their shorter side has that many pixels.
    `backend="torchcodec"` uses torchcodec where it is installed: faster, pixels may differ by rounding.

    Returns uint8 [n, H, W, 3], RGB. Raises VideoError for a missing, empty, damaged or pictureless file
    and for a frame beyond the end.
    """
    path = existing(path)
    if indices is not None:
        indices = np.asarray(indices)
        if indices.ndim != 1 or not len(indices) or indices.dtype.kind not in "iu" or indices.min() < 0:
            raise InputError(f"{path}: frame indices are a list of whole numbers from 0, not {indices!r}.")
    if backend == "torchcodec":
        return _decode_torchcodec(path, indices, short_side)
    if backend != "pyav":
        raise InputError(f"there is no video decoder {backend!r}; known are 'pyav' and 'torchcodec'.")
    if indices is None:
        return _collect(path, None, None, short_side)
    wanted = sorted(set(indices.tolist()))
    frames = None
    index = _index(path, *_version(path))
    if index is not None and wanted[-1] < len(index.times):
        try:
            frames = _collect(path, wanted, index, short_side)
        except _Unreliable:
            pass
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
    path = Path(os.path.abspath(path))
    if path.is_dir():
        raise VideoError(f"{path} is a folder; a video file is needed.")
    if not path.is_file():
        raise VideoError(f"{path}: there is no such video file.")
    if not path.stat().st_size:
        raise VideoError(f"{path} is empty (0 bytes); copy or download it again.")
    return path


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
            self.container = av.open(
                f"file:{self.path}",
                metadata_errors="ignore",
                container_options={"format_whitelist": CONTAINERS, "protocol_whitelist": "file"},
            )
        except FAILURES as error:
            raise VideoError(f"{self.path} is damaged or not a video ({_reason(error)}).") from None
        pictures = [s for s in self.container.streams.video if not s.disposition & 0x400]  # 0x400: cover art
        if not pictures or pictures[0].codec_context is None:
            self.container.close()
            what = "its codec is unknown" if pictures else "it holds sound or data only"
            raise VideoError(f"{self.path} has no pictures to decode: {what}.")
        stream = pictures[0]
        stream.thread_type = "NONE"  # clips are decoded side by side, not frames
        stream.codec_context.options = self.options
        return self.container, stream

    def __exit__(self, kind, error, trace):
        self.container.close()
        if kind is not None and issubclass(kind, FAILURES) and not issubclass(kind, InputError):
            raise VideoError(f"{self.path} is damaged and cannot be decoded ({_reason(error)}).") from None


def _reason(error):
    return str(error).split("]")[-1].split(": '")[0].strip() or type(error).__name__


@functools.lru_cache(maxsize=4096)
def _probe(path, size, modified):
    index = _index(path, size, modified)
    with opened(path) as (container, stream):
        first = next(sequential(container, stream), (None, None))[1]
        if first is None:
            raise VideoError(f"{path} is damaged: it holds no frame that can be decoded.")
        count = len(index.times) if index else 1 + sum(1 for _ in container.decode(stream))
        width, height = first.width, first.height
        if _quarters(first) % 2:
            width, height = height, width
        rate = stream.average_rate or stream.guessed_rate
        return VideoInfo(
            count,
            float(rate) if rate else None,
            width,
            height,
            int(first.rotation),
            stream.codec_context.name,
            container.format.name,
        )


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
    with opened(path) as (container, stream):
        if index is None:
            found = sequential(container, stream, wanted)
        else:
            found = _seeking(container, stream, wanted, index)
        scaler, size, frames = VideoReformatter(), None, []
        for _, frame in found:
            size = size or _scaled(path, frame, short_side)
            how = None if size == (frame.width, frame.height) else SCALING  # unscaled: PyAV's own to_ndarray
            picture = scaler.reformat(frame, *size, format="rgb24", interpolation=how, threads=1)
            frames.append(np.rot90(picture.to_ndarray(), _quarters(frame)))
    if wanted is not None and len(frames) < len(wanted):
        raise VideoError(f"{path} ends before frame {wanted[len(frames)]} (frames count from 0).")
    if not frames:
        raise VideoError(f"{path} is damaged: it holds no frame that can be decoded.")
    if len({f.shape for f in frames}) > 1:
        raise VideoError(f"{path} is damaged: the frames' orientation changes within it.")
    return np.stack(frames)


def sequential(container, stream, wanted=None):
    """Yield (position, frame) from the start of the file; refuses frames that the decoder had to make up."""
    wanted_set = None if wanted is None else set(wanted)
    for position, frame in enumerate(container.decode(stream)):
        if frame.is_corrupt:
            raise VideoError(f"{container.name.removeprefix('file:')} is damaged at frame {position}.")
        if wanted_set is None or position in wanted_set:
            yield position, frame
        if wanted is not None and position >= wanted[-1]:
            return


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


def _scaled(path, frame, short_side):
    width, height = frame.width, frame.height
    if short_side is not None:
        scale = short_side / min(width, height)
        width, height = max(short_side, round(width * scale)), max(short_side, round(height * scale))
    if width * height > MAX_PIXELS:
        raise VideoError(f"{path} is damaged: {frame.width} x {frame.height} pixels are implausible.")
    return width, height


def _quarters(frame):
    """Counterclockwise quarter turns that put a frame upright."""
    return round(frame.rotation / 90) % 4 if math.isfinite(frame.rotation) else 0


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
