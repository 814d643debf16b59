"""Videos extracted to images, with `path start end label` lists as the CVPR 2021 paper's code makes them."""

import functools
import os

import numpy as np
from PIL import Image
from PIL.Image import Transpose

from ...errors import InputError
from .. import video
from . import files

WHERE = (
    "put train.txt and val.txt (or mini_train.txt and mini_val.txt), one `folder first last label` per "
    "line, separated by blanks or semicolons, beside the folders of images 00001.jpg, 00002.jpg, ..."
)
FOLDERS = ("frames", "extracted_frames", "rawframes")
TEMPLATES = tuple(
    prefix + number + extension
    for extension in (".jpg", ".png", ".jpeg")
    for prefix in ("", "img_", "image_", "frame_", "frame")
    for number in ("{:05d}", "{:06d}", "{:04d}")
)

EXIF_ORIENTATION = 0x0112
TURNS = {
    2: Transpose.FLIP_LEFT_RIGHT,
    3: Transpose.ROTATE_180,
    4: Transpose.FLIP_TOP_BOTTOM,
    5: Transpose.TRANSPOSE,
    6: Transpose.ROTATE_270,
    7: Transpose.TRANSVERSE,
    8: Transpose.ROTATE_90,
}


EXPECTED = "`folder first last label`"


def recognise(folder, name):
    return len(left_out(folder)) < len(_lists(folder))


def left_out(folder):
    """Return pairs (list, reason) of those lists that begin as no list of frames does."""
    begin = [(path, next(filter(str.strip, files.read_text(path)), "")) for path in _lists(folder)]
    return [(path.name, f"it begins with {line[:80]!r}, not {EXPECTED}") for path, line in begin if not _fields(line)]


def load(name, folder, split, size):
    """Read the list of `split`; class names come from classes.txt, one per line, where there is one."""
    rows, highest = _rows(folder, split), 0
    other = "val" if split == "train" else "train"
    for row in rows + (_rows(folder, other) if _list(folder, other) else []):
        highest = max(highest, row.label)
    names = files.first_file(folder, ["classes.txt", "labels.txt"])
    classes = [line.strip() for line in files.read_text(names)] if names else map(str, range(highest + 1))
    classes = [c for c in classes if c]
    if len(classes) <= highest:
        raise InputError(f"{names} names {len(classes)} classes, but the lists use label {highest}.")
    there = [os.path.isdir(folder / row.path) for row in rows]
    present = [row for row, is_there in zip(rows, there, strict=True) if is_there]
    missing = [row.id for row, is_there in zip(rows, there, strict=True) if not is_there]
    return ImageFolders(name, folder, classes, present, size, missing)


class ImageFolders(files.VideoFiles):
    """A dataset of folders of numbered images; frame 0 of a video is the image with its first number."""

    def num_frames(self, i):
        return self.videos[i].stop - self.videos[i].start

    def _decode(self, i, indices, short):
        parent = files.contained(self.folder, self.videos[i].path)
        template = _template(parent, self.videos[i].start, parent.stat().st_mtime_ns if parent.is_dir() else 0)
        numbers = np.asarray(indices) + self.videos[i].start
        images = {n: _image(parent / template.format(n), self.folder, short) for n in sorted(set(numbers.tolist()))}
        if len({image.shape for image in images.values()}) > 1:
            raise video.VideoError(f"{parent}: the images differ in size; one video's have to agree.")
        return np.stack([images[n] for n in numbers.tolist()])


def _lists(folder):
    return [path for path in (_list(folder, split) for split in ("train", "val")) if path]


def _list(folder, split):
    return files.first_file(folder, [f"{split}.txt", f"mini_{split}.txt", f"{split}_400.txt"])


def _fields(line):
    """Return (path, first, last, label) of a list's line, or None."""
    fields = line.rsplit(";", 3) if line.count(";") >= 3 else line.rsplit(None, 3)
    try:
        path, first, last, label = fields[0].strip(), int(fields[1]), int(fields[2]), float(fields[3])
    except (ValueError, IndexError):
        return None
    return (path, first, last, int(label)) if 0 <= first <= last and label >= 0 and label.is_integer() else None


def _rows(folder, split):
    path = _list(folder, split)
    if path is None:
        raise InputError(f"{folder} has no list {split}.txt; {WHERE}.")
    rows = []
    for line, text in enumerate(files.read_text(path), 1):
        if not text.strip():
            continue
        fields = _fields(text)
        if fields is None:
            raise InputError(f"{path}:{line}: expected {EXPECTED}, not {text[:80]!r}.")
        relative, first, last, label = fields
        rows.append(files.Video(files.safe(relative, f"{path}:{line}"), label, relative, first, last + 1))
    return rows


@functools.lru_cache(maxsize=65536)
def _template(folder, first, modified):
    """Find how a video's images are named from the first one; again where the folder was modified since."""
    for template in TEMPLATES:
        if (folder / template.format(first)).is_file():
            return template
    raise video.VideoError(f"{folder} has no image number {first}, such as {TEMPLATES[0].format(first)}.")


def _image(path, root, short):
    path = files.contained(root, path.relative_to(root))
    try:
        with Image.open(path) as image:
            if image.width * image.height > video.MAX_PIXELS:
                raise ValueError(f"{image.width} x {image.height} pixels")
            turn = TURNS.get(image.getexif().get(EXIF_ORIENTATION))
            if image.mode.startswith("I"):  # grey of 16 bits, which PIL would clip at 255
                image = Image.fromarray(np.round(np.asarray(image).clip(0, 65535) / 257).astype(np.uint8))
            upright = image if turn is None else image.transpose(turn)  # stored as the camera was held
            scale = short / min(upright.size)
            size = [max(short, round(side * scale)) for side in upright.size]
            return np.asarray(upright.convert("RGB").resize(size, Image.Resampling.BILINEAR))
    except FileNotFoundError:
        raise video.VideoError(f"{path}: there is no such image.") from None
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        raise video.VideoError(f"{path} is damaged or not an image ({error}).") from None
