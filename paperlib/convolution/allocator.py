"""What the C library does with freed memory."""

import ctypes
import os
import platform
from functools import cache

TRIM_THRESHOLD, MMAP_THRESHOLD = -1, -3  # glibc's numbers for its settings (malloc.h)


@cache
def keep_freed():
    """Let glibc keep up to 1 GB of freed memory for this process; elsewhere nothing happens.

    By default it returns every large block, and the system zeroes new pages for the next tensor: relevance and
    training on a CPU take a quarter longer. Settings in the environment (MALLOC_TRIM_THRESHOLD_ and the like) stay.
    """
    if platform.libc_ver()[0] == "glibc" and not any(name.startswith("MALLOC_") for name in os.environ):
        library = ctypes.CDLL(None)
        library.mallopt(TRIM_THRESHOLD, 2**30)
        library.mallopt(MMAP_THRESHOLD, 2**28)
