"""Private folders for the sockets of kernels and of the process they are forked from.

Why not tempfile alone: a socket's path must be short, and a killed process's folder has to go. Apart from `kernels`,
because a run that has nothing to execute sweeps too and need not import Jupyter.
"""

import os
import shutil
import tempfile
from pathlib import Path

from ..errors import InputError

PREFIX = "paperlib-kernel-"
LONGEST = 80  # bytes; a socket's whole path must stay under about 104 (macOS) or 108 (Linux)


def private_folder():
    """Make a folder for one process's sockets whose path is short enough for them."""
    for base in (tempfile.gettempdir(), os.environ.get("XDG_RUNTIME_DIR"), "/tmp", "/var/tmp", "/dev/shm"):
        if base and len(os.fsencode(base)) + len(PREFIX) + 20 <= LONGEST and os.access(base, os.W_OK | os.X_OK):
            return tempfile.mkdtemp(prefix=f"{PREFIX}{os.getpid()}-", dir=base)
    raise InputError("no writable folder with a short path for kernel sockets; set TMPDIR to one of under 50 bytes")


def sweep():
    """Remove the folders of processes that were killed before they could do it themselves."""
    import psutil

    for base in {
        tempfile.gettempdir(),
        os.environ.get("XDG_RUNTIME_DIR") or "/tmp",
        "/tmp",
        "/var/tmp",
        "/dev/shm",
    }:
        for folder in Path(base).glob(f"{PREFIX}*"):
            owner = folder.name.removeprefix(PREFIX).partition("-")[0]
            if owner.isdigit() and not psutil.pid_exists(int(owner)):
                shutil.rmtree(folder, ignore_errors=True)
