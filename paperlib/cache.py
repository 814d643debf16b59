"""Keep computed arrays on disk under the digest of everything that decides them."""

import hashlib
import json
import zipfile

import numpy as np

from . import paths


def code(*packages):
    """Return a digest of the source of these subpackages or modules of paperlib: results of old code are not reused."""
    digest = hashlib.sha256()
    root = paths.Path(__file__).parent
    for package in sorted(packages):
        files = sorted((root / package).rglob("*.py")) if (root / package).is_dir() else [root / f"{package}.py"]
        for file in files:
            digest.update(file.relative_to(root).as_posix().encode() + file.read_bytes())
    return digest.hexdigest()


def fetch(kind, key, compute):
    """Return `compute()`, a dict of arrays, or what an earlier call with an equal `key` (JSON-able) returned.

    A file that is damaged or holds another key is computed again.
    """
    about = json.dumps(key, sort_keys=True, default=str)
    file = paths.CACHE / kind / f"{hashlib.sha256(about.encode()).hexdigest()[:32]}.npz"
    try:
        with np.load(file, allow_pickle=False) as content:  # the zip's checksums catch damage
            arrays = {name: content[name] for name in content.files}
        if arrays.pop("key").tobytes().decode() == about:
            return arrays
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile):
        pass
    arrays = {name: np.asarray(value) for name, value in compute().items()}
    with paths.atomic(file) as temporary:
        np.savez(temporary, key=np.frombuffer(about.encode(), np.uint8), **arrays)
    return arrays
