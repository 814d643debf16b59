"""Locks between processes."""

import errno
import os
import subprocess
import sys
from pathlib import Path

import pytest

from paperlib.companion import bootstrap
from paperlib.storage import locks

HOLD = """
import sys, pathlib
from paperlib.storage import locks
with locks.only_one(pathlib.Path(sys.argv[1])):
    print("held", flush=True)
    sys.stdin.read()
"""


@pytest.fixture
def holder(tmp_path):
    """A process that holds a file in a folder nobody has made."""
    process = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(tmp_path / "new" / "a.lock")],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout.readline() == "held\n"
    yield process
    process.kill()
    process.stdout.close()
    process.wait()


def test_a_held_file_is_busy_and_no_other(holder, tmp_path):
    assert locks.busy(tmp_path / "new" / "a.lock") and not locks.busy(tmp_path / "new" / "b.lock")
    with locks.only_one(tmp_path / "new" / "b.lock"):
        assert locks.busy(tmp_path / "new" / "b.lock")
    assert not locks.busy(tmp_path / "new" / "b.lock")


@pytest.mark.parametrize("end", [lambda process: process.stdin.close(), lambda process: process.kill()])
def test_the_next_one_gets_it_when_its_holder_ends(end, holder, tmp_path):
    end(holder)
    with locks.only_one(tmp_path / "new" / "a.lock"):
        assert holder.wait() is not None


def test_items_that_nobody_is_at_come_first_each_held(holder, tmp_path):
    file_of = (tmp_path / "new" / "{}.lock").as_posix().format
    seen = []
    for item in locks.divided("abc", lambda item: Path(file_of(item))):
        assert locks.busy(Path(file_of(item)))
        seen.append(item)
        if len(seen) == 2:
            holder.kill()  # until it ends, its item is waited for
    assert seen in (["b", "c", "a"], ["c", "b", "a"])
    assert not any(locks.busy(Path(file_of(item))) for item in "abc")


@pytest.mark.parametrize("code", ["ENOSYS", "ENOLCK", "EOPNOTSUPP"])
def test_a_file_system_without_locks_holds_nothing_up(code, tmp_path, monkeypatch):
    """A cluster's file system, mounted without locks, ended every locked step in a traceback."""

    def refused(opened, how):
        raise OSError(getattr(errno, code), os.strerror(getattr(errno, code)))

    monkeypatch.setattr("fcntl.flock", refused)
    file = tmp_path / "a.lock"
    with locks.only_one(file), locks.only_one(file), bootstrap.only_one(file), locks.if_free(file) as opened:
        assert opened is not None and not locks.busy(file)
    assert sorted(locks.divided("abc", lambda item: tmp_path / item)) == ["a", "b", "c"]


def test_what_goes_wrong_with_a_lock_is_not_hidden(tmp_path, monkeypatch):
    def broken(opened, how):
        raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr("fcntl.flock", broken)
    for hold in (locks.only_one, locks.if_free, bootstrap.only_one):
        with pytest.raises(OSError, match="Input/output error"), hold(tmp_path / "a.lock"):
            pass
