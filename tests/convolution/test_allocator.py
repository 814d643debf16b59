"""What the C library does with freed memory."""

import os
import platform
import subprocess
import sys

import pytest

# Prints how many bytes of new pages ten tensors of 64 MB take, one after the other, after twenty others.
TEN = """
import resource, sys, torch
from paperlib.convolution.allocator import keep_freed
if sys.argv[1] == "keep":
    keep_freed()
for _ in range(20):
    torch.ones(2 ** 24)
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(10):
    torch.ones(2 ** 24)
print((resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before) * resource.getpagesize())
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="other C libraries are left as they are")
def test_freed_memory_serves_the_next_tensor(monkeypatch):
    for name in [name for name in os.environ if name.startswith("MALLOC_")]:
        monkeypatch.delenv(name)

    def fresh(argument):
        done = subprocess.run([sys.executable, "-c", TEN, argument], capture_output=True, text=True, check=True)
        return int(done.stdout)

    assert fresh("keep") < 64 * 2**20 < fresh("leave")


def test_settings_of_the_environment_stay(monkeypatch):
    from paperlib.convolution import allocator

    monkeypatch.setenv("MALLOC_TRIM_THRESHOLD_", "1000000")
    monkeypatch.setattr(allocator.ctypes, "CDLL", lambda name: pytest.fail("the C library was asked"))
    allocator.keep_freed.__wrapped__()
