"""The cache gives back what was computed or computes again; nothing else, whatever happens to its files."""

import pickle
import shutil
import subprocess
import sys

import numpy as np
import pytest

from paperlib.companion import stale
from paperlib.storage import cache, paths

VALUES = {"x": np.arange(20), "y": np.linspace(0, 1, 6, dtype=np.float32).reshape(2, 3)}


@pytest.fixture
def stored(tmp_path, monkeypatch):
    """A cache that holds VALUES under the key {"a": 1}; gives (its file, fetch() -> (arrays, computed?))."""
    monkeypatch.setattr(paths, "CACHE", tmp_path)

    def fetch(key=1):
        computed = []
        return cache.fetch("kind", {"a": key}, lambda: computed.append(1) or VALUES), bool(computed)

    assert fetch()[1]
    (file,) = (tmp_path / "kind").iterdir()
    return file, fetch


def whole(found):
    return found.keys() == VALUES.keys() and all(
        np.array_equal(found[name], array) and found[name].dtype == array.dtype for name, array in VALUES.items()
    )


def test_an_equal_key_is_not_computed_again(stored):
    _, fetch = stored
    found, computed = fetch()
    assert whole(found) and not computed
    assert fetch(key=2)[1]


def test_whatever_bit_is_flipped_the_values_are_right(stored):
    file, fetch = stored
    good, noticed = file.read_bytes(), 0
    for i in range(len(good)):
        file.write_bytes(good[:i] + bytes([good[i] ^ (1 << i % 8)]) + good[i + 1 :])
        found, computed = fetch()
        assert whole(found), f"byte {i}"
        noticed += computed
    assert noticed > len(good) / 2  # not all bytes matter: dates, say


@pytest.mark.parametrize("rest", [0, 1, 100, 0.5, -1])
def test_a_truncated_file_is_computed_again(stored, rest):
    file, fetch = stored
    content = file.read_bytes()
    file.write_bytes(content[: int(rest * len(content)) if isinstance(rest, float) else rest])
    found, computed = fetch()
    assert whole(found) and computed
    assert not fetch()[1] and file.read_bytes() == content


def test_the_content_of_another_key_or_a_forged_one_is_not_used(stored):
    file, fetch = stored
    cache.fetch("kind", {"a": 3}, lambda: {"x": np.zeros(20), "y": VALUES["y"]})
    (other,) = set(file.parent.iterdir()) - {file}
    shutil.copy(other, file)
    found, computed = fetch()
    assert whole(found) and computed

    with np.load(file) as content:
        forged = {**content, "x": np.zeros(20, int)}  # a sound archive with the old digest
    np.savez(file, **forged)
    found, computed = fetch()
    assert whole(found) and computed


def test_a_pickle_in_the_cache_is_not_loaded(stored, tmp_path):
    class Bomb:
        def __reduce__(self):
            return (open, (str(tmp_path / "executed"), "w"))

    file, fetch = stored
    np.savez(file, x=np.array([Bomb()], object))
    assert whole(fetch()[0])
    file.write_bytes(pickle.dumps(Bomb()))
    assert whole(fetch()[0])
    assert not (tmp_path / "executed").exists()


def test_the_code_that_counts_is_that_of_the_start(tmp_path):
    """A module edited while a process runs does not change what that process writes its results under."""
    package = tmp_path / "paperlib"
    for room in ("relevance", "storage"):
        (package / room).mkdir(parents=True)
    for name in ("__init__.py", "errors.py", "storage/__init__.py", "storage/paths.py", "storage/cache.py"):
        shutil.copy(cache.PACKAGE / name, package / name)
    (package / "relevance" / "rules.py").write_text("old")
    for name in ("masks.py", "convolution.py"):
        (package / name).write_text("")
    program = (
        "from paperlib.storage import cache, paths\nfile = cache.PACKAGE / 'relevance' / 'rules.py'\n"
        "first = cache.code('relevance')\nfile.write_text('new')\n"
        "print(first == cache.code('relevance'), first, cache.code('masks'))"
    )
    said = [
        subprocess.run([sys.executable, "-c", program], cwd=tmp_path, capture_output=True, text=True).stdout.split()
        for _ in range(2)
    ]
    assert said[0][0] == said[1][0] == "True" and said[0][1] != said[1][1] and said[0][2] == said[1][2]
    with pytest.raises(ValueError, match="no module nonsense"):
        cache.code("nonsense")


@pytest.mark.parametrize("package", ["relevance", "masks"])
def test_results_depend_on_the_convolutions_they_are_made_of(package, monkeypatch):
    before = cache.code(package)
    monkeypatch.setattr(cache, "code", cache.code.__wrapped__)
    monkeypatch.setitem(cache.SOURCES, "convolution/transposes.py", b"another")
    assert cache.code(package) != before


def test_a_method_imports_no_other_computation_than_its_key_knows():
    """Beside its own files: errors, the data, models and tracing that every key names, and BUILT_ON."""
    for package, more in cache.BUILT_ON.items():
        files = [name for name in stale.library([f"paperlib.{package}"]) if name.parent.name == package]
        found = {
            name.removeprefix("paperlib.")
            for file in files
            for name in stale.imports(file.read_text(encoding="utf-8"), f"paperlib.{package}")
            if stale.module_file(name) and name.count(".")
        }
        rooms = {package, "errors", "data", "models", "tracing"} | more
        assert [name for name in found if name.split(".")[0] not in rooms] == [], package
