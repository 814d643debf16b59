"""Files that one process at a time may hold; without effect where files cannot be locked."""

import contextlib
import errno
import os
import random

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None

UNLOCKED = (errno.ENOSYS, errno.ENOLCK, errno.EOPNOTSUPP, errno.ENOTSUP)  # what file systems without locks answer


@contextlib.contextmanager
def only_one(file):
    """Wait until no other process holds `file`, and hold it."""
    with _opened(file) as opened:
        _lock(opened)
        yield


def own_order(items):
    """Return the items in an order of this process's own: two that need the same results share the work."""
    items = list(items)
    return random.Random(os.getpid()).sample(items, len(items))


def divided(items, file_of):
    """Yield each item while its `file_of(item)` is held, those first that no other process is at, else in `own_order`:
    processes that need the same results, and keep them, divide the work."""
    left = own_order(items)
    while left:
        left.sort(key=lambda item: busy(file_of(item)))
        item = left.pop(0)
        with only_one(file_of(item)):
            yield item


@contextlib.contextmanager
def if_free(file):
    """Hold `file` unless another process does; yields the opened file, or None where another one holds it."""
    with _opened(file) as opened:
        yield opened if _lock(opened, wait=False) else None


def busy(file):
    """Whether another process holds `file` now."""
    with if_free(file) as held:
        return held is None


def _lock(opened, wait=True):
    """Lock an opened file, where files can be; returns whether no other process holds it."""
    try:
        if fcntl is not None:
            fcntl.flock(opened, fcntl.LOCK_EX if wait else fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError as error:
        if error.errno not in UNLOCKED:
            raise
    return True


def _opened(file):
    file.parent.mkdir(parents=True, exist_ok=True)
    return open(file, "a")
