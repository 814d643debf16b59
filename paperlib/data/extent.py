"""How long a video file says it is: one that was not copied or downloaded to its end is shorter."""

import os
import struct

ASF = bytes.fromhex("3026b2758e66cf11a6d900aa0062ce6c")  # what wmv and asf files begin with
FILE_PROPERTIES = bytes.fromhex("a1dcab8c47a9cf118ee400c00c205365")  # the object of their header that knows the size
HEADER = 1 << 16  # bytes in which these and an flv file's own description are looked for


def cut_short(path):
    """Return the sentence that says that a file ends before the end that it announces; '' where it does not."""
    announced, size = announced_size(path), os.path.getsize(path)
    return f"{path} is cut short: {announced} bytes announced, {size} there." if announced > size else ""


def announced_size(path):
    """Return the size in bytes that an avi, mp4, Matroska, wmv or flv file announces in itself; 0 if it does not."""
    with open(path, "rb") as file:
        start = file.read(16)
        if start[:4] == b"RIFF":
            return _riffs_end(file)
        if start[4:8] in (b"ftyp", b"moov", b"mdat", b"free", b"wide", b"skip"):
            return _boxes_end(file, os.path.getsize(path))
        if start[:4] == b"\x1a\x45\xdf\xa3":
            return _segment_end(file)
        if start == ASF:
            return _asf_size(file.read(HEADER))
        if start[:3] == b"FLV":
            return _flv_size(file.read(HEADER))
    return 0


def _asf_size(header):
    """Return the file size in the header of a wmv file; 0 if it was written to a stream."""
    properties = header.partition(FILE_PROPERTIES)[2][:76]
    if len(properties) < 76 or properties[72] & 1:  # live: the size means nothing
        return 0
    return int.from_bytes(properties[24:32], "little")


def _flv_size(header):
    """Return the file size in the description of an flv file; 0 if there is none."""
    number = header.partition(b"\x00\x08filesize\x00")[2][:8]
    return int(struct.unpack(">d", number)[0]) if len(number) == 8 else 0


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
