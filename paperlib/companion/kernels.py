"""Notebook kernels that talk over Unix sockets in a private folder, so that none can collide with another.

jupyter_client picks free TCP ports, closes them and hopes that they are still free when the kernel binds
them; with several kernels starting at once that fails now and then (papermill issue 511). Socket files in a
folder of one's own cannot be taken by anybody else.
"""

import os
import shutil
import sys
import tempfile
from pathlib import Path

import psutil
from jupyter_client.kernelspec import KernelSpec
from jupyter_client.manager import AsyncKernelManager

from ..errors import InputError
from ..storage.processes import die_with_parent
from . import prefork

PREFIX = "paperlib-kernel-"
LONGEST = 80  # bytes; a socket's whole path must stay under about 104 (macOS) or 108 (Linux)


class IPCKernelManager(AsyncKernelManager):
    """Starts this very Python as the kernel, on sockets in a folder only we can enter."""

    def __init__(self, **arguments):
        super().__init__(**arguments)
        self.folder = private_folder()
        self.transport = "ipc"
        self.connection_file = f"{self.folder}/c.json"
        self.ip = f"{self.folder}/s"

    @property
    def kernel_spec(self):
        """The running interpreter: a `python3` kernel registered elsewhere must not step in."""
        return KernelSpec(
            argv=prefork.command("run", "paperlib.companion.kernels", "-f", "{connection_file}"),
            display_name="paperlib",
            language="python",
            env={"IPYTHONDIR": f"{self.folder}/ipython"},
        )

    async def _async_cleanup_resources(self, restart=False):
        await super()._async_cleanup_resources(restart=restart)
        if not restart:
            shutil.rmtree(self.folder, ignore_errors=True)

    cleanup_resources = _async_cleanup_resources


def private_folder():
    """Make a folder for one kernel's sockets whose path is short enough for them."""
    for base in (tempfile.gettempdir(), os.environ.get("XDG_RUNTIME_DIR"), "/tmp", "/var/tmp", "/dev/shm"):
        if base and len(os.fsencode(base)) + len(PREFIX) + 20 <= LONGEST and os.access(base, os.W_OK | os.X_OK):
            return tempfile.mkdtemp(prefix=f"{PREFIX}{os.getpid()}-", dir=base)
    raise InputError("no writable folder with a short path for kernel sockets; set TMPDIR to one of under 50 bytes")


def sweep():
    """Remove the socket folders of processes that were killed before they could do it themselves."""
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


if __name__ == "__main__":
    die_with_parent()
    del sys.path[0]  # the notebook's folder; ipykernel puts it back once its own imports are done
    from ipykernel.kernelapp import launch_new_instance

    launch_new_instance()
