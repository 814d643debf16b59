"""Unpack the archives that datasets come in, and nothing that would land outside the folder."""

import shutil
import stat
import tarfile
import zipfile
import zlib
from pathlib import Path

from ..errors import InputError
from .public import files

DAMAGE = (OSError, EOFError, zipfile.BadZipFile, tarfile.TarError, zlib.error, RuntimeError)


def unpack(archive, folder):
    """Unpack a zip or tar archive into `folder` and return the number of files.

    Refused before anything is written: entries that lead out of the folder, links, and archives that are
    larger than the disk has room for.
    """
    archive, folder = Path(archive), Path(folder)
    if not archive.is_file():
        raise InputError(f"{archive}: there is no such archive.")
    folder.mkdir(parents=True, exist_ok=True)
    try:
        if zipfile.is_zipfile(archive):
            with zipfile.ZipFile(archive) as content:
                return _unpack(archive, folder, _zip_entries(content))
        with tarfile.open(archive) as content:
            return _unpack(archive, folder, _tar_entries(content))
    except InputError:
        raise
    except DAMAGE as error:
        raise InputError(f"{archive} is damaged or not a zip or tar archive ({error}).") from None


def _zip_entries(content):
    """List (name, bytes, is a plain file, function that opens it), without folders."""
    return [
        (
            entry.filename,
            entry.file_size,
            not stat.S_ISLNK(entry.external_attr >> 16),
            lambda entry=entry: content.open(entry),
        )
        for entry in content.infolist()
        if not entry.is_dir()
    ]


def _tar_entries(content):
    return [
        (entry.name, entry.size, entry.isreg(), lambda entry=entry: content.extractfile(entry))
        for entry in content.getmembers()
        if not entry.isdir()
    ]


def _unpack(archive, folder, entries):
    for name, _, plain, _ in entries:
        files.safe(name, archive)
        if not plain:
            raise InputError(f"{archive}: the entry {name!r} is a link or a device; only files are unpacked.")
        if not (folder / name).resolve().is_relative_to(folder.resolve()):
            raise InputError(f"{archive}: the entry {name!r} leads out of {folder} through a link there.")
    total, free = sum(size for _, size, _, _ in entries), shutil.disk_usage(folder).free
    if total > free:
        raise InputError(f"{archive} needs {total / 1e9:.1f} GB; {folder} has {free / 1e9:.1f} GB free.")
    for name, size, _, source in entries:
        target = folder / name
        target.parent.mkdir(parents=True, exist_ok=True)
        with source() as reader, target.open("wb") as writer:
            shutil.copyfileobj(reader, writer)
        if target.stat().st_size != size:
            raise InputError(f"{archive} is damaged: the entry {name!r} is not as long as announced.")
    return len(entries)
