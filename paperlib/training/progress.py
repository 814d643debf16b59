"""Trainings that run now, whoever started them: one per model, how far each one is, and a pause for all of them.

`data/runs/` holds, for each checkpoint, a lock (held by the process that trains it), what is written here every two
seconds while it trains, the state it can go on from, and a log.
"""

import contextlib
import json
import os
import time

import psutil

from ..errors import InputError
from ..storage import locks, paths

EVERY = 2.0  # seconds between two notes of how far a training is
LOOK = 0.3  # seconds between two looks at whether a pause is over


class Busy(InputError):
    """Another process trains this model now."""


def file(key, kind):
    """Return where the `kind` (lock, json, pt, log) of a checkpoint `<dataset>/<name>` lies while it is trained."""
    return paths.ROOT / "data" / "runs" / f"{key.replace('/', '-')}.{kind}"


@contextlib.contextmanager
def alone(key, wait=False):
    """Have the training of a checkpoint to this process; raises Busy, or waits, where another process has it."""
    tries = 4  # not one: who asks whether it is `busy` holds the lock for an instant
    while True:
        with locks.if_free(file(key, "lock")) as held:
            if held is not None:
                held.truncate(0)
                held.write(str(os.getpid()))
                held.flush()
                yield
                return
        tries -= 1
        if not (wait or tries):
            raise Busy(f"{key} is being trained by another process; wait for it, or end that one")
        time.sleep(LOOK)


def busy(key):
    """Whether a process trains the checkpoint now."""
    lock = file(key, "lock")
    return lock.is_file() and locks.busy(lock)


def read(key):
    """Return what the latest training of a checkpoint last said about itself (see `Watch`), {} if nothing."""
    try:
        return json.loads(file(key, "json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}


class Watch:
    """Counts the clips of one training, notes how far it is, and holds it between batches while it is paused.

    key: checkpoint; about: what else to note; total: clips of the whole training; done, seconds: clips seen and
    seconds computed by an earlier process. `seconds` goes on while batches are trained, not while they are paused.
    """

    def __init__(self, key, about, total, done=0, seconds=0.0):
        self.key, self.about, self.total, self.done, self.seconds = key, about, total, done, seconds
        self.noted = -EVERY
        self.note()

    def batches(self, batches, clips=0):
        """Yield from `batches`, each of so many clips of the training; waits between two while training is paused.

        Batches of 0 clips, of validation, are not timed.
        """
        self.wait()
        begun = time.monotonic()
        for batch in batches:
            yield batch
            if clips:
                self.done, self.seconds = self.done + clips, self.seconds + time.monotonic() - begun
            if time.monotonic() - self.noted > EVERY:
                self.note()
            self.wait()
            begun = time.monotonic()

    def wait(self):
        """Return when training is not, or no longer, paused."""
        if not paused():
            return
        self.note(paused=True)
        print("paused; `paperlib zoo train --resume` lets training go on", flush=True)
        while paused():
            time.sleep(LOOK)
        print("training goes on", flush=True)
        self.note()

    def note(self, **more):
        """Write down how far the training is."""
        self.noted = time.monotonic()
        content = {"pid": os.getpid(), "clips": self.done, "of": self.total, "seconds": self.seconds}
        with paths.atomic(file(self.key, "json")) as temporary:
            temporary.write_text(json.dumps({**self.about, **content, **more}), encoding="utf-8")


class Unwatched:
    """Stands in for `Watch` in the processes of a training that do not write."""

    seconds = 0.0

    def batches(self, batches, clips=0):
        """Yield from `batches`."""
        return batches

    def note(self, **more):
        """Do nothing."""


def pause_file():
    """Return the file that is there while training is paused."""
    return paths.ROOT / "data" / "runs" / "paused"


def paused():
    """Whether all training in this project is to wait."""
    return pause_file().is_file()


def pause(patience=60.0):
    """Let all training wait between two batches; returns (checkpoints that now wait, those that still compute).

    patience: seconds to wait for those that compute. What is started from now on waits as well.
    """
    pause_file().parent.mkdir(parents=True, exist_ok=True)
    pause_file().touch()
    until = time.monotonic() + patience
    while True:
        at_work = running()
        computing = [key for key in at_work if not _waits(key)]
        if not computing or time.monotonic() > until:
            return [key for key in at_work if key not in computing], computing
        time.sleep(LOOK)


def go_on():
    """End the pause; returns the checkpoints whose training goes on."""
    pause_file().unlink(missing_ok=True)
    return running()


def running():
    """Return the checkpoints that are being trained now, in order."""
    folder = pause_file().parent
    locked = [lock for lock in sorted(folder.glob("*.lock")) if locks.busy(lock)] if folder.is_dir() else []
    return [lock.stem.replace("-", "/", 1) for lock in locked]


def _waits(key):
    """Whether the process that trains a checkpoint waits between two batches, or was stopped before it came there."""
    try:
        if psutil.Process(_trainer(key)).status() == psutil.STATUS_STOPPED:
            return True
    except psutil.Error:
        return False
    return begun(key) and bool(read(key).get("paused"))


def begun(key):
    """Whether the process that trains a checkpoint is past preparing its data and model."""
    return read(key).get("pid") == _trainer(key)


def _trainer(key):
    """Return the process number in a checkpoint's lock, -1 if there is none."""
    try:
        return int(file(key, "lock").read_text())
    except (OSError, ValueError):
        return -1
