"""Keep computed arrays on disk under the digest of everything that decides them."""

import functools
import hashlib
import json

import numpy as np

from . import paths

PACKAGE = paths.Path(__file__).parents[1]
# Read when the process starts: an edit while it runs must not pass for the code that computed a result.
SOURCES = {file.relative_to(PACKAGE).as_posix(): file.read_bytes() for file in sorted(PACKAGE.rglob("*.py"))}
BUILT_ON = {"relevance": {"convolution"}, "masks": {"convolution"}}  # whose results depend on more than themselves


@functools.cache
def code(*packages):
    """Return a digest of the source of these subpackages or modules of paperlib: results of old code are not reused.

    It is the source as it was when this process started.
    """
    digest = hashlib.sha256()
    for package in sorted(set(packages).union(*(BUILT_ON.get(package, ()) for package in packages))):
        files = [name for name in SOURCES if name == f"{package}.py" or name.startswith(f"{package}/")]
        if not files:
            raise ValueError(f"paperlib has no module {package}")
        for name in files:
            digest.update(name.encode() + SOURCES[name])
    return digest.hexdigest()


def fetch(kind, key, compute):
    """Return `compute()`, a dict of arrays, or what an earlier call with an equal `key` (JSON-able) returned.

    A file that is damaged or holds another key is computed again.
    """
    about = json.dumps(key, sort_keys=True, default=str)
    file = paths.CACHE / kind / f"{hashlib.sha256(about.encode()).hexdigest()[:32]}.npz"
    found = _read(file, about)
    if found is not None:
        return found
    arrays = {name: np.asarray(value) for name, value in compute().items()}
    digest = np.frombuffer(_digest(about, arrays), np.uint8)
    with paths.atomic(file) as temporary:
        np.savez(temporary, digest=digest, **arrays)
    return arrays


def _read(file, about):
    """Return the arrays of a cache file, or None unless they are exactly what was written for this key."""
    try:
        with np.load(file, allow_pickle=False) as content:
            arrays = {name: content[name] for name in content.files}
        return arrays if arrays.pop("digest").tobytes() == _digest(about, arrays) else None
    except Exception:  # numpy and zipfile raise whatever a damaged file leads them to
        return None


def _digest(about, arrays):
    """Return the SHA-256 of a key and its arrays; the zip's own checksums cover neither names nor shapes."""
    digest = hashlib.sha256(about.encode())
    for name in sorted(arrays):
        array = arrays[name]
        digest.update(f"\n{name} {array.dtype.str} {array.shape}\n".encode())
        digest.update(np.ascontiguousarray(array).tobytes())
    return digest.digest()
