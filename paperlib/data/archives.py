"""Unpack the archives that datasets come in, whole or not at all, and nothing that would land outside the folder."""

import contextlib
import lzma
import os
import shutil
import stat
import tarfile
import tempfile
import zipfile
import zlib
from pathlib import Path

from ..errors import InputError
from ..storage import locks
from .public import files

STAGING, LOCK = ".unpacking-", "lock"
DAMAGE = (OSError, EOFError, zipfile.BadZipFile, tarfile.TarError, zlib.error, lzma.LZMAError, RuntimeError)


def unpack(archive, folder):
    """Unpack a zip or tar archive into `folder` and return the number of files.

    Refused before anything is written: entries that lead out of the folder, links, and archives that are
    larger than the disk has room for. Files appear in the folder when all of them are unpacked; what a killed
    process leaves is hidden (`STAGING`), read by nobody, and removed by the next call.
    """
    archive, folder = Path(archive), Path(folder)
    if not archive.is_file():
        raise InputError(f"{archive}: there is no such archive.")
    try:
        folder.mkdir(parents=True, exist_ok=True)
        if zipfile.is_zipfile(archive):
            with zipfile.ZipFile(archive) as content:
                return _unpack(archive, folder, _zip_entries(content))
        with tarfile.open(archive) as content:
            return _unpack(archive, folder, _tar_entries(content))
    except InputError:
        raise
    except DAMAGE as error:
        if getattr(error, "errno", None):  # the disk's fault, not the archive's
            what = f"{error.strerror}: {error.filename or folder}"
            raise InputError(f"{archive} could not be unpacked, nothing of it is there ({what}).") from None
        raise InputError(f"{archive} is damaged or not a zip or tar archive ({error}).") from None


def _zip_entries(content):
    """List (name, bytes, is a plain file, function that opens it), without folders.

    Some programs of Windows write names with backslashes, against what the format says.
    """
    named = [(entry.filename.replace("\\", "/"), entry) for entry in content.infolist()]
    return [
        (name, entry.file_size, not stat.S_ISLNK(entry.external_attr >> 16), lambda entry=entry: content.open(entry))
        for name, entry in named
        if not name.endswith("/")
    ]


def _tar_entries(content):
    """List what `_zip_entries` does; tarfile.TarError and the like unless the archive is whole up to its last byte."""
    entries = [
        (entry.name, entry.size, entry.isreg(), lambda entry=entry: content.extractfile(entry))
        for entry in content.getmembers()
        if not entry.isdir()
    ]
    # tarfile stops where the entries seem to end: at the first header that it cannot read, and in front of the
    # checksums that gzip, bzip2 and xz have at their end and compare when that is read
    content.fileobj.seek(content.offset)
    if content.fileobj.read(tarfile.BLOCKSIZE) != bytes(tarfile.BLOCKSIZE):
        raise tarfile.ReadError(f"behind {len(entries)} files there is neither an entry nor the mark of the end")
    while content.fileobj.read(2**20):
        pass
    return entries


def _unpack(archive, folder, entries):
    for name, _, plain, _ in entries:
        files.safe(name, archive)
        if not plain:
            raise InputError(f"{archive}: the entry {name!r} is a link or a device; only files are unpacked.")
        target = folder / name
        if not target.resolve().is_relative_to(folder.resolve()):
            raise InputError(f"{archive}: the entry {name!r} leads out of {folder} through a link there.")
        if target.is_dir() or any(parent.is_file() for parent in target.parents):
            raise InputError(f"{archive}: the entry {name!r} finds a folder or file in its place in {folder}.")
    total, free = sum(size for _, size, _, _ in entries), shutil.disk_usage(folder).free
    if total > free:
        raise InputError(f"{archive} needs {total / 1e9:.1f} GB; {folder} has {free / 1e9:.1f} GB free.")
    with _staging(folder) as place:
        for name, size, _, source in entries:
            part = place / name
            part.parent.mkdir(parents=True, exist_ok=True)
            with source() as reader, part.open("wb") as writer:
                shutil.copyfileobj(reader, writer)
            if part.stat().st_size != size:
                raise InputError(f"{archive} is damaged: the entry {name!r} is not as long as announced.")
        for name, *_ in entries:
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
        for name in dict.fromkeys(name for name, *_ in entries):
            os.replace(place / name, folder / name)
    return len(entries)


@contextlib.contextmanager
def _staging(folder):
    """Yield a hidden folder inside `folder` that is removed at the end, with those that killed processes left."""
    for left in folder.glob(f"{STAGING}*"):
        if (left / LOCK).is_file() and not locks.busy(left / LOCK):
            shutil.rmtree(left, ignore_errors=True)
    place = Path(tempfile.mkdtemp(prefix=STAGING, dir=folder))
    try:
        with locks.only_one(place / LOCK):
            (place / "files").mkdir()
            yield place / "files"
    finally:
        shutil.rmtree(place, ignore_errors=True)
