"""Where the project's own files are, and how to write one without leaving half of it."""

import contextlib
import errno
import os
import stat
import tempfile
import time
from pathlib import Path

from ..errors import InputError

CHECKOUT = Path(__file__).resolve().parents[2]
# Whether only the library is installed: no clone of the project around it, and none named.
ALONE = not os.environ.get("PAPERLIB_HOME") and not (CHECKOUT / "data" / "zoo.yaml").is_file()


def _root():
    """Return the project's folder; the library alone keeps what it fetches with what other programs keep."""
    named = os.environ.get("PAPERLIB_HOME")
    if named and not os.path.isdir(named):
        raise InputError(f"PAPERLIB_HOME names {named}, which is no folder; it should name a clone of the project")
    if not ALONE:
        return Path(named or CHECKOUT).absolute()
    usual = os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache")
    if usual.startswith("~"):
        raise InputError("there is no home folder to keep files in; let XDG_CACHE_HOME name one, or HOME")
    return Path(usual) / "paperlib"


ROOT = _root()
if os.environ.get("PAPERLIB_HOME"):
    os.environ["PAPERLIB_HOME"] = str(ROOT)  # processes that are started in another folder mean the same one
CHECKPOINTS = ROOT / "data" / "checkpoints"
CACHE = ROOT / "data" / "cache"
FIGURES = ROOT / "figures"
NOTEBOOKS = ROOT / "notebooks"


def need_project(what):
    """Raise InputError where only the library is installed: `what` comes with the project."""
    if ALONE:
        raise InputError(
            f"{what} come with a clone of the project and only the library is installed here; work in a clone, or let "
            "PAPERLIB_HOME name one"
        )


def of_project(name):
    """Return a file or folder of the project: beside the library in a clone, else where PAPERLIB_HOME names one."""
    beside = CHECKOUT / name
    return beside if beside.exists() else ROOT / name


def data_root(given=""):
    """Return the folder of the public data sets as an absolute path: `given`, else PAPERLIB_DATA; "" for none."""
    root = given or os.environ.get("PAPERLIB_DATA", "")
    return str(Path(root).resolve()) if root else ""


def use_data_root(given=""):
    """Return `data_root`, which from now on also holds for what opens data sets without being told where."""
    root = data_root(given)
    if root:
        os.environ["PAPERLIB_DATA"] = root  # which processes that are started from here are given, too
    return root


def relative(path):
    """Return a path as the user would type it from the project's folder."""
    return path.relative_to(ROOT).as_posix() if path.is_relative_to(ROOT) else str(path)


def figures(profile="mini"):
    """Return where results of a profile go: `figures/` for the default one, `figures-<profile>/` for any other."""
    return FIGURES if profile == "mini" else FIGURES.with_name(f"{FIGURES.name}-{Path(profile).stem}")


def caches():
    """Return the environment variables that keep other programs' caches in the project, where HOME takes none.

    Empty where it does: then they share what is there, fonts found and weights fetched.
    """
    usual = os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache")
    if os.path.isabs(usual) and _takes_files(Path(usual)):
        return {}
    own = str(CACHE / "programs")
    return {"XDG_CACHE_HOME": own, "MPLCONFIGDIR": os.environ.get("MPLCONFIGDIR") or os.path.join(own, "matplotlib")}


def _takes_files(folder):
    """Whether a folder, which may have to be made first, can be written to."""
    there = next(f for f in (folder, *folder.parents) if os.path.lexists(f))
    return there.is_dir() and os.access(there, os.W_OK | os.X_OK)


def check_writable(file):
    """Raise InputError where `atomic` could not write a file, or make its folder."""
    try:
        target = Path(os.path.realpath(file))  # there is none where the working folder was deleted
        there = next(f for f in target.parents if os.path.lexists(f))
        with contextlib.suppress(FileNotFoundError):
            kind = stat.S_IFMT(os.stat(target).st_mode)  # another OSError where its name is too long, say
            if kind != stat.S_IFREG:
                raise OSError(errno.EEXIST, f"it is {'a folder' if kind == stat.S_IFDIR else 'no regular file'}")
        _temporary(target, there).unlink()
    except OSError as error:
        raise InputError(f"{file} cannot be written ({error.strerror}); name a file in a folder that can") from None


@contextlib.contextmanager
def atomic(path):
    """Yield a temporary path beside `path` that is renamed to `path` on success, removed on failure.

    Where `path` is a link, the file that it leads to is meant. Only a killed process leaves the temporary file behind,
    hidden and marked `.part`; see `sweep`.
    """
    path = Path(os.path.realpath(path))
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = _temporary(path, path.parent)
    try:
        yield temporary
        umask = os.umask(0)
        os.umask(umask)
        temporary.chmod(0o666 & ~umask)  # mkstemp makes files private; results are for everyone
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def _temporary(path, folder):
    """Return a new file in a folder, with a name like that of `path` that is no longer than a name may be."""
    handle, name = tempfile.mkstemp(prefix=f".{path.stem[:40]}.", suffix=f".part{path.suffix}", dir=folder)
    os.close(handle)
    return Path(name)


def sweep(folders, older=24 * 3600):
    """Remove what killed processes left half-written in these folders more than `older` seconds ago."""
    for folder in folders:
        for file in Path(folder).rglob(".*.part*"):
            with contextlib.suppress(OSError):
                if time.time() - file.stat().st_mtime > older:
                    file.unlink()
