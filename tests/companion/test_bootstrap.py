"""The environment is made from the lock, mended when it differs, and never taken half-made."""

import hashlib
import os
import subprocess
import sys
import zipfile

import pytest

from paperlib.companion import bootstrap


def wheel(folder, name, version, code="value = 1\n"):
    """Write a wheel of one module by hand; returns its SHA-256."""
    file = folder / f"{name}-{version}-py3-none-any.whl"
    info = f"{name}-{version}.dist-info"
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr(f"{name}.py", code)
        archive.writestr(f"{info}/METADATA", f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n")
        archive.writestr(f"{info}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        archive.writestr(f"{info}/RECORD", "".join(f"{n},,\n" for n in archive.namelist()) + f"{info}/RECORD,,\n")
    return hashlib.sha256(file.read_bytes()).hexdigest()


@pytest.fixture
def checkout(tmp_path, monkeypatch):
    """A checkout whose lock lists one tiny package that pip finds in a folder; gives (root, write_lock)."""
    root, store = tmp_path / "check out é", tmp_path / "store"
    root.mkdir()
    store.mkdir()
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(store))
    monkeypatch.setattr(bootstrap, "editable", lambda python, root: True)
    monkeypatch.setattr(bootstrap, "GIGABYTES", 0.1)

    def write_lock(version, digest=None):
        digest = digest or wheel(store, "tiny", version)
        (root / "requirements.lock").write_text(
            f"# comment\ntiny=={version} \\\n    --hash=sha256:{digest}\n    # via nothing\n"
            f"other==9 ; python_full_version < '3' \\\n    --hash=sha256:{'0' * 64}\n"
        )

    write_lock("1.0")
    return root, write_lock


def version(python):
    """Return the version of the tiny package in an environment."""
    code = "import tiny; from importlib import metadata; print(metadata.version('tiny'))"
    return subprocess.run([python, "-c", code], capture_output=True, text=True).stdout.strip()


def test_pins_are_read_with_their_markers(tmp_path):
    file = tmp_path / "requirements.lock"
    file.write_text(
        "# a==1\na-b==1.0.2 \\\n    --hash=sha256:00\n    # via\n    #   c==3\n"
        "d[x]==4 ; sys_platform == 'win32' \\\n    --hash=sha256:00\n"
    )
    assert bootstrap.pins(file) == [("a-b", "1.0.2", ""), ("d", "4", "sys_platform == 'win32'")]


def test_differences_name_what_is_there(tmp_path):
    import pytest as installed

    good = [("pytest", installed.__version__, ""), ("nonsense", "1", "python_full_version < '3'")]
    assert bootstrap.differences(sys.executable, good) is None
    bad = [*good, ("pytest", "0.1", ""), ("nonsense", "1", "")]
    said = bootstrap.differences(sys.executable, bad)
    assert said == f"pytest==0.1 is wanted and {installed.__version__} is there, and 1 more differ"
    assert "does not start" in bootstrap.differences(tmp_path / "python", good)


@pytest.mark.slow
def test_an_environment_is_made_once_and_mended_when_the_lock_changes(checkout, capsys):
    root, write_lock = checkout
    python = bootstrap.venv(root)
    assert python == root / ".venv/bin/python" and version(python) == "1.0"
    assert "setting up .venv" in capsys.readouterr().err
    untouched = os.stat(root / ".venv/pyvenv.cfg").st_mtime_ns

    assert bootstrap.venv(root) == python and capsys.readouterr().err == ""
    write_lock("1.1")
    assert version(bootstrap.venv(root)) == "1.1"
    assert "tiny==1.1 is wanted and 1.0 is there" in capsys.readouterr().err
    assert os.stat(root / ".venv/pyvenv.cfg").st_mtime_ns == untouched

    # killed between two packages: the mark is still there, whatever pip thinks is installed
    (root / ".venv/installing").touch()
    (root / ".venv/rubbish").touch()
    assert version(bootstrap.venv(root)) == "1.1" and not (root / ".venv/rubbish").exists()

    # killed before the last file of a package was written
    next((root / ".venv").rglob("tiny-1.1.dist-info/RECORD")).unlink()
    assert "is wanted" in bootstrap.differences(python, [("tiny", "1.1", "")])

    write_lock("1.2", digest="0" * 64)
    wheel(root.parent / "store", "tiny", "1.2", "value = 'not what the lock means'\n")
    with pytest.raises(bootstrap.SetupError, match=r"(?s)pip could not install.*HASHES"):
        bootstrap.venv(root)
    assert version(python) != "1.2" and (root / ".venv/installing").exists()


def test_a_python_of_ones_own_is_named_for_any_folder(tmp_path, monkeypatch, capsys):
    (tmp_path / "py").symlink_to(sys.executable)
    monkeypatch.chdir(tmp_path)
    for chosen, found in {"./py": tmp_path / "py", sys.executable: sys.executable}.items():
        monkeypatch.setenv("PAPERLIB_PYTHON", chosen)
        assert bootstrap.main() == 0 and capsys.readouterr().out == f"{found}\n"
    monkeypatch.setenv("PAPERLIB_PYTHON", "ls")
    assert bootstrap.main() == 3 and "PAPERLIB_PYTHON is ls, which is no Python" in capsys.readouterr().err
    monkeypatch.setenv("PAPERLIB_PYTHON", "./none")
    assert bootstrap.main() == 3 and "./none, which cannot be run" in capsys.readouterr().err


def test_what_is_in_the_way_or_too_small_is_said(checkout, monkeypatch):
    root, _ = checkout
    (root / ".venv").mkdir()
    (root / ".venv/my notes").touch()
    with pytest.raises(bootstrap.SetupError, match="is no virtual environment"):
        bootstrap.venv(root)
    assert (root / ".venv/my notes").exists()
    monkeypatch.setattr(bootstrap, "GIGABYTES", 1e9)
    with pytest.raises(bootstrap.SetupError, match="GB free"):
        bootstrap.venv(root)


def test_a_conda_environment_is_used_only_if_it_has_the_pins(tmp_path, monkeypatch, capsys):
    (tmp_path / "conda/bin").mkdir(parents=True)
    python = tmp_path / "conda/bin/python"
    python.write_text(f'#!/bin/sh\nexec "{sys.executable}" "$@"\n')
    python.chmod(0o755)
    monkeypatch.setenv("CONDA_PREFIX", str(tmp_path / "conda"))
    (tmp_path / "environment.yml").write_text(
        f"dependencies:\n  - python=3.11\n  - pip:\n    - pytest=={pytest.__version__}\n"
    )
    assert bootstrap.conda(tmp_path) == python
    (tmp_path / "environment.yml").write_text("dependencies:\n  - pip:\n    - pytest==0.1\n")
    assert bootstrap.conda(tmp_path) is None
    assert "conda environment conda is not one of environment.yml (pytest==0.1 is wanted" in capsys.readouterr().err
    monkeypatch.delenv("CONDA_PREFIX")
    assert bootstrap.conda(tmp_path) is None and capsys.readouterr().err == ""
