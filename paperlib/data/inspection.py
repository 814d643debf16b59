"""Look for everything that is wrong with one video file: cut short, damaged inside, or under a wrong name."""

import os

from . import upright, video

KINDS = {
    ".mp4": "mov",
    ".m4v": "mov",
    ".mov": "mov",
    ".webm": "matroska",
    ".mkv": "matroska",
    ".avi": "avi",
    ".mpg": "mpeg",
    ".mpeg": "mpeg",
}


def problems(path):
    """Decode a whole file strictly and return what is wrong with it, one sentence each; empty if nothing is.

    Finds more than decoding for use does, which forgives what a decoder can cover up. A flipped bit that
    still means some valid picture cannot be found.
    """
    try:
        path = video.existing(path)
    except video.VideoError as error:
        return [str(error)]
    found = []
    try:
        with video.opened(path, strict=True) as (container, stream):
            kind = container.format.name.split(",")[0]
            count = 0
            for count, (_, frame) in enumerate(video.sequential(container, stream), 1):
                if count == 1:
                    video.painter(path, upright.form(frame, stream))  # can its pictures be shown?
            promised = stream.frames if kind == "mov" else 0  # elsewhere it is an estimate
        if not count:
            found.append(f"{path} is damaged: it holds no frame that can be decoded.")
        elif count < promised:
            found.append(f"{path} is cut short: {count} of {promised} frames are there.")
        expected = KINDS.get(path.suffix.lower())
        if expected and expected != kind:
            found.append(f"{path} is mislabelled: a {path.suffix} name on a {kind} file.")
    except video.VideoError as error:
        found.append(str(error))
    announced, size = announced_size(path), path.stat().st_size
    if announced > size:
        found.append(f"{path} is cut short: {announced} bytes announced, {size} there.")
    return found


def announced_size(path):
    """Return the size in bytes that an avi, mp4 or Matroska file announces in itself; 0 if it does not."""
    with open(path, "rb") as file:
        start = file.read(12)
        if start[:4] == b"RIFF":
            return 8 + int.from_bytes(start[4:8], "little")
        if start[4:8] in (b"ftyp", b"moov", b"mdat", b"free", b"wide", b"skip"):
            return _boxes_end(file, os.path.getsize(path))
        if start[:4] == b"\x1a\x45\xdf\xa3":
            return _segment_end(file)
    return 0


def _boxes_end(file, size):
    """Walk the top-level boxes of an mp4 file to where the last one ends."""
    position = 0
    while position < size:
        file.seek(position)
        header = file.read(16)
        length = int.from_bytes(header[:4], "big")
        if length == 1:
            length = int.from_bytes(header[8:16], "big")
        if length < 8:  # 0: up to the end of the file; less is no box
            return position if length else size
        position += length
    return position


def _segment_end(file):
    """Skip the EBML header and return where the Matroska segment ends; 0 if it is of unknown length."""
    file.seek(4)
    length, _ = _ebml_number(file)
    file.seek(length, os.SEEK_CUR)
    if file.read(4) != b"\x18\x53\x80\x67":
        return 0
    length, unknown = _ebml_number(file)
    return 0 if unknown else file.tell() + length


def _ebml_number(file):
    """Read a variable-length number; the second value tells whether it stands for 'unknown'."""
    first = int.from_bytes(file.read(1), "big")
    extra = 8 - first.bit_length() if first else 7
    value = (first & (0x7F >> extra)) << 8 * extra | int.from_bytes(file.read(extra), "big")
    return value, value == (1 << 7 * (extra + 1)) - 1
