"""What the adapters of file-based datasets share: finding files safely, and the dataset made of them."""

import csv
import os
from dataclasses import dataclass, replace
from importlib import resources
from pathlib import Path, PurePosixPath, PureWindowsPath

import numpy as np

from ...errors import InputError
from .. import video

# In order of preference, where one video is there twice.
VIDEOS = tuple(
    ".mp4 .webm .avi .mkv .mov .m4v .mpg .mpeg .ts .mts .m2ts .m2v .vob .wmv .asf .flv .f4v .ogv .3gp .3g2 .mxf .dv "
    ".h264 .264 .hevc .h265 .265 .ivf .obu .y4m .mjpeg .mjpg .nut .rm .rmvb .gif .apng .webp".split()
)
SYSTEM = ("thumbs.db", "desktop.ini", "__macosx", "@eadir", "$recycle.bin", "system volume information")
LOST = 2  # frames that may be missing at the end of a recording of which a list names the last one
SCALE = 0.875  # the papers scale the shorter side to size / 0.875 (256 for 224) and cut out the centre


@dataclass(frozen=True)
class Video:
    """One listed video: its path in the dataset's folder, label, and frames [start, stop) if a part."""

    path: str
    label: int
    id: str
    start: int = 0
    stop: int | None = None


class VideoFiles:
    """A dataset of video files, decoded on demand: shorter side scaled, centre square of `size` pixels.

    `missing` lists what the official list names and the disk lacks, `left_out` pairs (path, reason) of what lies in
    the folder and is not read. A file that cannot be decoded raises `video.VideoError` when it is asked for.
    """

    temporal = None

    def __init__(self, name, folder, classes, videos, size, missing=(), left_out=()):
        self.name, self.folder, self.size = name, Path(folder), size
        self.classes, self.videos, self.missing = list(classes), list(videos), list(missing)
        self.left_out = list(left_out)
        self.labels = np.array([v.label for v in self.videos], np.int64)
        self.ids = [v.id for v in self.videos]

    def __len__(self):
        return len(self.videos)

    def subset(self, positions):
        """Return the dataset with only the videos at `positions`."""
        videos = [self.videos[i] for i in positions]
        return type(self)(self.name, self.folder, self.classes, videos, self.size, self.missing, self.left_out)

    def path(self, i):
        """Return the file of video `i`; raises VideoError if a link leads out of the dataset's folder."""
        return contained(self.folder, self.videos[i].path)

    def source(self, i):
        """Return what video `i` is cut from: its file (or folder of images), first frame and one past the last."""
        return [self.folder / self.videos[i].path, self.videos[i].start, self.videos[i].stop]

    def num_frames(self, i):
        """Return the number of frames of video `i`, of its range alone where the list gives one.

        A range that ends up to two frames after the recording (old encoders lose the last ones) ends with it.
        """
        item, available = self.videos[i], video.probe(self.path(i)).frames
        stop = available if item.stop is None else min(item.stop, available)
        if stop <= item.start or item.stop is not None and available < item.stop - LOST:
            end = "starts" if stop <= item.start else "ends"
            raise video.VideoError(f"{self.path(i)} ends before {item.id} {end}: it has {available} frames.")
        return stop - item.start

    def frames(self, i, indices):
        """Return uint8 [len(indices), size, size, 3]: the centre crop of the frames asked for."""
        return self.views(i, indices, 1)[0]

    def views(self, i, indices, crops):
        """Return uint8 [crops, len(indices), size, size, 3]: the centre, or three along the longer side.

        Three crops take the whole shorter side, as in the papers' multi-crop evaluation.
        """
        indices, n = np.asarray(indices), self.num_frames(i)
        if indices.size and not 0 <= indices.min() <= indices.max() < n:  # else of what the file has around its part
            raise InputError(f"{self.ids[i]} has {n} frames, not {indices.tolist()}.")
        short = self.size if crops > 1 else short_side(self.size)
        return video.crops(self._decode(i, indices, short), self.size, crops)

    def _decode(self, i, indices, short):
        return video.decode(self.path(i), np.asarray(indices) + self.videos[i].start, short_side=short)


def short_side(size):
    """Return the shorter side to which a video is scaled before the centre of `size` pixels is cut out."""
    return int(size / SCALE + 0.5)


def safe(relative, where):
    """Return a relative path from a list file; refuses one that is absolute or climbs out of the folder."""
    posix, windows = PurePosixPath(relative), PureWindowsPath(relative)
    if (
        not relative
        or "\0" in relative
        or posix.is_absolute()
        or windows.is_absolute()
        or windows.drive
        or ".." in posix.parts
        or ".." in windows.parts
    ):
        raise InputError(
            f"{where}: the path {relative!r} leads out of the dataset's folder; only paths inside it are read."
        )
    return relative


def contained(folder, relative):
    """Return folder / relative; raises VideoError if, links followed, that is outside the folder."""
    path = Path(folder) / relative
    if not path.resolve().is_relative_to(Path(folder).resolve()):
        raise video.VideoError(f"{path} is a link to outside {folder}; only files inside it are read.")
    return path


def of_system(name):
    """Whether a file or folder of this name is one that an operating system or a program keeps for itself."""
    return name.startswith(".") or name.lower() in SYSTEM


def find_videos(folder, called=lambda inside, stem: stem):
    """Return {name: path inside `folder`} of all videos under it, and what is not looked into.

    A video's name is what `called` makes of its folder inside `folder` and its file name without extension, which it is
    by default; None leaves it out. The second are pairs (path, reason): links to folders, which may lead out of the
    folder or back into it.
    """
    found, linked = {}, []

    def rank(path):  # of files of one name
        file = os.path.join(folder, path)
        extension = os.path.splitext(path)[1].lower()
        return not (os.path.isfile(file) and os.path.getsize(file)), VIDEOS.index(extension)

    for parent, folders, files in os.walk(folder):
        folders[:] = sorted(name for name in folders if not of_system(name))
        inside = os.path.relpath(parent, folder)
        for name in folders:
            if os.path.islink(os.path.join(parent, name)):
                linked.append((os.path.normpath(os.path.join(inside, name)), "links to folders are not followed"))
        for file in sorted(files):
            stem, extension = os.path.splitext(file)
            name = called(inside, stem)
            if name is not None and extension.lower() in VIDEOS and not of_system(file):
                path = os.path.normpath(os.path.join(inside, file))
                found[name] = min(found[name], path, key=rank) if name in found else path
    return found, linked


def first_file(folder, names):
    """Return the first of `names` that exists in `folder`, or None."""
    return next((Path(folder) / n for n in names if (Path(folder) / n).is_file()), None)


def read_text(path):
    """Return a list file's lines; one sentence instead of a traceback where it cannot be read."""
    try:
        return Path(path).read_text(encoding="utf-8-sig").split("\n")  # not at U+2028, which texts of lists contain
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{path} cannot be read as a text file ({error}).") from None


def rows(path):
    """Yield (path:line, fields) of the rows of a comma-separated list; one sentence where quotation marks are wrong."""
    reader = csv.reader(read_text(path), strict=True)
    while True:
        where = f"{path}:{reader.line_num + 1}"
        try:
            row = next(reader, None)
        except csv.Error as error:
            raise InputError(f"{where}: a row of comma-separated values cannot be read ({error}).") from None
        if row is None:
            return
        if row:
            yield where, row


def class_list(name):
    """Return the classes of a mini dataset, from `<name>.txt beside this file`, in label order."""
    lines = (resources.files("paperlib.data.public") / f"{name}.txt").read_text(encoding="utf-8").splitlines()
    return [line for line in lines if line and not line.startswith("#")]


def split_present(videos, folder):
    """Split listed videos (their path is a file name without extension) into (present ones, missing ids).

    The third is what is not looked into, as of `find_videos`.
    """
    (found, linked), present, missing = find_videos(folder), [], []
    for item in videos:
        if item.path in found:
            present.append(replace(item, path=found[item.path]))
        else:
            missing.append(item.id)
    return present, missing, linked
