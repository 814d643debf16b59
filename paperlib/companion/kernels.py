"""Notebook kernels that talk over Unix sockets in a private folder, so that none can collide with another.

Why not jupyter_client's own: it picks free TCP ports, closes them and hopes that they are still free when the kernel
binds them. It remembers what it gave away within one process, and our kernels start from many; of several starting at
once one fails now and then (papermill issue 511). Its transport `ipc` has no such gap. What is left to us is to tell it
the folder, and to start this very Python by `prefork` rather than whichever `python3` is registered.
"""

import shutil
import sys

from jupyter_client.kernelspec import KernelSpec
from jupyter_client.manager import AsyncKernelManager

from ..storage.processes import die_with_parent
from . import prefork, sockets


class IPCKernelManager(AsyncKernelManager):
    """Starts this very Python as the kernel, on sockets in a folder only we can enter."""

    def __init__(self, **arguments):
        super().__init__(**arguments)
        self.folder = sockets.private_folder()
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


if __name__ == "__main__":
    die_with_parent()
    del sys.path[0]  # the notebook's folder; ipykernel puts it back once its own imports are done
    from ipykernel.kernelapp import launch_new_instance

    launch_new_instance()
