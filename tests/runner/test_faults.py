"""Disk full and folders that cannot be written: what is said, and that the next run repairs everything."""

import os
import subprocess
import sys

import pytest

from . import projects
from .test_runner import rows

pytestmark = pytest.mark.slow

BIG = """
from paperlib import paths
with paths.atomic(paths.FIGURES / "p/big.csv") as temporary:
    temporary.write_text("a\\n" + "1\\n" * 3_000_000)
"""


@pytest.fixture
def small_disk(tmp_path):
    """A file system of 4 MB at tmp_path / "disk"; skips where we may not mount one."""
    disk = tmp_path / "disk"
    disk.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=4m", "none", disk], capture_output=True)
    if mounted.returncode:
        pytest.skip("mounting a small file system is not allowed here")
    yield disk
    subprocess.run(["umount", "-l", disk], check=True)


def remount(disk, options):
    subprocess.run(["mount", "-o", f"remount,{options}", disk], check=True)


@pytest.mark.skipif(sys.platform != "linux" or os.geteuid() != 0, reason="only root mounts")
def test_a_full_disk_fails_in_words_and_leaves_no_half_file(small_disk):
    projects.notebook(small_disk, "p/big", BIG)
    projects.writer(small_disk, "p/small")
    first = projects.run(small_disk, "--jobs", "1")
    assert first.returncode == 1 and rows(first.stdout) == {"p/big": "failed", "p/small": "ok"}
    assert "No space left on device" in first.stdout
    assert list(projects.tables(small_disk)) == ["figures/claims.csv", "figures/p/small.csv"]
    assert not [f for f in small_disk.glob("figures/p/.*")]

    remount(small_disk, "size=64m")
    second = projects.run(small_disk)
    assert second.returncode == 0 and rows(second.stdout) == {"p/big": "ok", "p/small": "up to date"}
    assert (small_disk / "figures/p/big.csv").stat().st_size == 6_000_002


@pytest.mark.skipif(sys.platform != "linux" or os.geteuid() != 0, reason="only root mounts")
def test_a_project_that_cannot_be_written_is_one_sentence(small_disk):
    projects.writer(small_disk, "p/n")
    remount(small_disk, "ro")
    done = projects.run(small_disk)
    assert done.returncode == 2 and "Traceback" not in done.stderr
    assert "Read-only file system" in done.stderr


@pytest.mark.skipif(sys.platform != "linux" or os.geteuid() != 0, reason="only root mounts")
def test_read_only_figures_fail_each_notebook_in_words(tmp_path, small_disk):
    projects.writer(tmp_path, "p/n")
    (tmp_path / "figures").symlink_to(small_disk)
    remount(small_disk, "ro")
    done = projects.run(tmp_path)
    assert done.returncode == 1 and rows(done.stdout) == {"p/n": "failed"}, done.stdout + done.stderr
    assert "Read-only file system" in done.stdout and "Traceback" not in done.stdout + done.stderr
    remount(small_disk, "rw")
    assert rows(projects.run(tmp_path).stdout) == {"p/n": "ok"}
