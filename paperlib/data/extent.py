"""How long a video file says it is: one that was not copied or downloaded to its end is shorter."""

import os


def cut_short(path):
    """Return the sentence that says that a file ends before the end that it announces; '' where it does not."""
    announced, size = announced_size(path), os.path.getsize(path)
    return f"{path} is cut short: {announced} bytes announced, {size} there." if announced > size else ""


def announced_size(path):
    """Return the size in bytes that an avi, mp4 or Matroska file announces in itself; 0 if it does not."""
    with open(path, "rb") as file:
        start = file.read(12)
        if start[:4] == b"RIFF":
            return _riffs_end(file)
        if start[4:8] in (b"ftyp", b"moov", b"mdat", b"free", b"wide", b"skip"):
            return _boxes_end(file, os.path.getsize(path))
        if start[:4] == b"\x1a\x45\xdf\xa3":
            return _segment_end(file)
    return 0


def _riffs_end(file):
    """Walk the RIFF chunks of an avi file, of which a long one has several; 0 if it was written to a pipe."""
    position = 0
    while True:
        file.seek(position)
        header = file.read(8)
        if header[:4] != b"RIFF":
            return position
        length = int.from_bytes(header[4:], "little")
        if length == 0xFFFFFFFF:
            return 0
        position += 8 + length


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
