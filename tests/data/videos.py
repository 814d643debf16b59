"""Write tiny videos whose frames carry their own numbers: decoding is checked by reading them."""

from fractions import Fraction

import av
import numpy as np

BITS = 8


def picture(number, width=64, height=48, colour=(40, 90, 160)):
    """A frame uint8 [height, width, 3] with `number` as eight black or white blocks along its upper half."""
    frame = np.empty((height, width, 3), np.uint8)
    frame[:] = colour
    edges = np.linspace(0, width, BITS + 1).astype(int)
    for bit in range(BITS):
        frame[: height // 2, edges[bit] : edges[bit + 1]] = 235 if number >> bit & 1 else 20
    frame[height // 2 :, : 2 + number % (width - 2)] //= 2  # something that moves
    return frame


def number(frame):
    """Read the number back from a decoded frame of any size."""
    height, width = frame.shape[:2]
    edges = np.linspace(0, width, BITS + 1)
    blocks = [
        frame[height // 8 : 3 * height // 8, round(a + (b - a) / 4) : round(b - (b - a) / 4)].mean() > 128
        for a, b in zip(edges[:-1], edges[1:], strict=True)
    ]
    return sum(1 << bit for bit, on in enumerate(blocks) if on)


def write(
    path,
    n=20,
    width=64,
    height=48,
    codec="libx264",
    pix_fmt="yuv420p",
    rate=25,
    gop=8,
    bframes=2,
    times=None,
    rotation=None,
    matrix=None,
    aspect=None,
    options=None,
    colour=(40, 90, 160),
    container=None,
    first=0,
    muxing=None,
    sound=False,
):
    """Encode frames number `first` to `first + n - 1`; `times` are in milliseconds.

    matrix: where steps to the right and down lead when the pictures are shown; aspect: a pixel's width over height;
    muxing: options of the container; sound: with a tone of half a second.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with av.open(str(path), "w", format=container, options=muxing or {}) as out:
        stream = out.add_stream(codec, rate=rate, options={"g": str(gop), **(options or {})})
        stream.codec_context.thread_count = 1  # else a picture has as many parts as the machine has cores
        stream.width, stream.height, stream.pix_fmt = width, height, pix_fmt
        tone = _tone(out) if sound else []
        if times is not None:
            stream.time_base = stream.codec_context.time_base = Fraction(1, 1000)
        if codec in ("libx264", "mpeg4") and bframes:
            stream.codec_context.max_b_frames = bframes
        if rotation is not None:
            stream.set_display_rotation(rotation)
        if matrix is not None:
            (a, b), (c, d) = [[round(65536 * entry) for entry in step] for step in matrix]
            stream.set_display_matrix([a, b, 0, c, d, 0, 0, 0, 1 << 30])
        if aspect is not None:
            stream.codec_context.sample_aspect_ratio = aspect
        for k in range(n):
            frame = av.VideoFrame.from_ndarray(picture(first + k, width, height, colour), format="rgb24")
            if times is not None:
                frame.pts, frame.time_base = times[k], Fraction(1, 1000)
            out.mux(stream.encode(frame))
        out.mux(stream.encode(None))
        for packet in tone:
            out.mux(packet)
    return path


def write_sound(path, codec="aac", seconds=0.5):
    """Encode a tone without any picture."""
    with av.open(str(path), "w") as out:
        for packet in _tone(out, codec, seconds):
            out.mux(packet)
    return path


def _tone(out, codec="aac", seconds=0.5):
    """Add a stream of sound to a file and return its packets."""
    stream = out.add_stream(codec, rate=16000, layout="mono")
    samples = (8000 * np.sin(np.arange(int(16000 * seconds)) / 6)).astype(np.int16)[None]
    frame = av.AudioFrame.from_ndarray(samples, format="s16", layout="mono")
    frame.sample_rate = 16000
    return [*stream.encode(frame), *stream.encode(None)]
