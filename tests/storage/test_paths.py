"""Files are whole or not there, and what killed processes left is cleared away."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from paperlib.companion import runner
from paperlib.errors import InputError
from paperlib.storage import paths


def test_a_file_appears_whole_or_not_at_all(tmp_path):
    file = tmp_path / "a b é" / "n.csv"
    with paths.atomic(file) as temporary:
        temporary.write_text("first")
        assert not file.exists()
    with pytest.raises(ZeroDivisionError), paths.atomic(file) as temporary:
        temporary.write_text("half")
        raise ZeroDivisionError
    assert file.read_text() == "first" and [f.name for f in file.parent.iterdir()] == ["n.csv"]


def test_a_link_stays_and_the_file_it_leads_to_is_written(tmp_path):
    (tmp_path / "kept").mkdir()
    (tmp_path / "kept/old.csv").write_text("old")
    for name in ("old.csv", "new.csv"):  # the latter leads nowhere yet
        link = tmp_path / name
        link.symlink_to(f"kept/{name}")
        paths.check_writable(link)
        with paths.atomic(link) as temporary:
            temporary.write_text("new")
        assert link.is_symlink() and (tmp_path / "kept" / name).read_text() == "new"


def test_what_is_no_regular_file_is_refused_and_left_alone(tmp_path):
    os.mkfifo(tmp_path / "pipe.csv")
    (tmp_path / "link.csv").symlink_to("pipe.csv")
    for file in (tmp_path / "pipe.csv", tmp_path / "link.csv", Path("/dev/null")):
        with pytest.raises(InputError, match=rf"^{file} cannot be written \(it is no regular file\)"):
            paths.check_writable(file)
    assert (tmp_path / "pipe.csv").is_fifo()


@pytest.mark.parametrize("stem", ["a" * 246, "a" * 251, "é" * 125])
def test_a_file_can_have_the_longest_name_that_there_is(tmp_path, stem):
    file = tmp_path / f"{stem}.csv"
    paths.check_writable(file)
    with paths.atomic(file) as temporary:
        temporary.write_text("1")
    assert file.read_text() == "1" and temporary.suffix == ".csv"
    with pytest.raises(InputError, match="cannot be written"):
        paths.check_writable(tmp_path / f"{stem}{'b' * 6}.csv")
    assert [f.name for f in tmp_path.iterdir()] == [file.name]


def test_a_relative_project_folder_is_the_same_one_to_processes_started_elsewhere(tmp_path):
    (tmp_path / "project").mkdir()
    code = "from paperlib.storage import paths; print(paths.ROOT)"
    start = (
        f"import subprocess, sys; {code}; sys.stdout.flush(); subprocess.run([sys.executable, '-c', {code!r}], cwd='/')"
    )
    done = subprocess.run(
        [sys.executable, "-c", start],
        cwd=tmp_path,
        env={**os.environ, "PAPERLIB_HOME": "project", "PYTHONPATH": str(paths.CHECKOUT)},
        capture_output=True,
        text=True,
    )
    assert done.stdout.splitlines() == [str(tmp_path / "project")] * 2, done.stderr


def test_a_user_without_a_home_can_work_in_a_project(tmp_path):
    nobody = "import os, pwd\ndef unlisted(uid): raise KeyError\npwd.getpwuid = unlisted\n"
    code = f"{nobody}from paperlib.storage import paths\nprint(paths.ROOT, sorted(paths.caches()))"
    env = {name: value for name, value in os.environ.items() if name not in ("HOME", "XDG_CACHE_HOME")}
    env |= {"PAPERLIB_HOME": str(tmp_path), "PYTHONPATH": str(paths.CHECKOUT)}
    done = subprocess.run([sys.executable, "-c", code], env=env, capture_output=True, text=True)
    assert done.stdout == f"{tmp_path} ['MPLCONFIGDIR', 'XDG_CACHE_HOME']\n", done.stderr


def test_the_folder_of_the_data_sets_is_absolute(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PAPERLIB_DATA", "")
    assert paths.data_root() == ""
    monkeypatch.setenv("PAPERLIB_DATA", "data")
    assert paths.data_root() == str(tmp_path / "data") and paths.data_root("other") == str(tmp_path / "other")


def test_caches_move_into_the_project_only_where_home_takes_none(tmp_path, monkeypatch):
    for name in ("XDG_CACHE_HOME", "MPLCONFIGDIR"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path / "to be made"))
    assert paths.caches() == {}
    own = str(paths.CACHE / "programs")
    (tmp_path / "file").touch()
    (tmp_path / "lost").symlink_to(tmp_path / "nowhere" / "at all")
    for home in ("/dev/null", str(tmp_path / "file" / "x"), str(tmp_path / "lost"), "/proc/1/x", "relative"):
        monkeypatch.setenv("HOME", home)
        assert paths.caches() == {"XDG_CACHE_HOME": own, "MPLCONFIGDIR": f"{own}/matplotlib"}, home
    monkeypatch.setenv("MPLCONFIGDIR", "/mine")
    assert paths.caches()["MPLCONFIGDIR"] == "/mine"
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert paths.caches() == {}


def test_what_a_killed_process_leaves_is_hidden_and_swept_after_a_day(tmp_path):
    program = (
        "import os, signal\nfrom paperlib.storage import paths\n"
        f"with paths.atomic({str(tmp_path / 'deep' / 'n.claims.csv')!r}) as f:\n"
        "    f.write_text('half')\n    os.kill(os.getpid(), signal.SIGKILL)"
    )
    assert subprocess.run([sys.executable, "-c", program]).returncode == -signal.SIGKILL
    (left,) = (tmp_path / "deep").iterdir()
    assert left.name.startswith(".") and not list(tmp_path.glob("*/*.claims.csv"))
    (tmp_path / ".gitkeep").touch()
    paths.sweep([tmp_path, tmp_path / "absent"])
    assert left.exists()  # somebody may still be writing it
    for file in (left, tmp_path / ".gitkeep"):
        os.utime(file, (time.time() - 90_000,) * 2)
    paths.sweep([tmp_path])
    assert not left.exists() and (tmp_path / ".gitkeep").exists()


def test_a_run_keeps_the_last_logs_of_snakemake(tmp_path, monkeypatch):
    monkeypatch.setattr(paths, "ROOT", tmp_path)
    monkeypatch.setattr(paths, "FIGURES", tmp_path / "figures")
    runner.tidy()
    folder = tmp_path / ".snakemake" / "log"
    folder.mkdir(parents=True)
    names = [f"2026-01-{day:02}T101010.snakemake.log" for day in range(1, 31)]
    for name in names:
        (folder / name).touch()
    runner.tidy()
    assert sorted(f.name for f in folder.iterdir()) == names[-runner.LOGS :]
