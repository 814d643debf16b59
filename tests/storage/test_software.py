"""What results say of the code that made them."""

import subprocess

import pytest

from paperlib.storage import paths, software


@pytest.fixture
def somebodys(tmp_path):
    """A repository with one commit: (its folder, the whole name of the commit)."""
    folder = (tmp_path / "home").resolve()
    (folder / "paperlib").mkdir(parents=True)
    (folder / "paperlib" / "code.py").write_text("1\n")

    def git(*arguments):
        identity = ("-c", "user.name=a", "-c", "user.email=a@b.example", "-c", "commit.gpgsign=false")
        done = subprocess.run(["git", "-C", folder, *identity, *arguments], capture_output=True, text=True, check=True)
        return done.stdout.strip()

    git("init", "-q")
    git("add", ".")
    git("commit", "-qm", "one")
    return folder, git("log", "-1", "--format=%H")


def test_the_revision_is_that_of_the_code_not_of_what_lies_around_it_or_is_named(somebodys, tmp_path, monkeypatch):
    """With the library alone, a home folder under git gave results its own commit."""
    folder, commit = somebodys
    monkeypatch.setattr(paths, "ROOT", tmp_path)  # what PAPERLIB_HOME names
    monkeypatch.setattr(paths, "CHECKOUT", folder)
    assert software.revision() == commit[:12]
    (folder / "paperlib" / "code.py").write_text("2\n")
    assert software.revision() == f"{commit[:12]}+"
    monkeypatch.setattr(paths, "ROOT", folder)
    for installed in (folder / "lib" / "python3", tmp_path / "site-packages"):
        installed.mkdir(parents=True)
        monkeypatch.setattr(paths, "CHECKOUT", installed.resolve())
        assert software.revision() == "unknown"
