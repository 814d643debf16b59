"""One notebook executed by papermill on a kernel of our own."""

import io
import json
import os
import re
import signal
import subprocess
import sys
import threading
from pathlib import Path

import nbformat
import psutil
import pytest

from paperlib.companion import execute, sockets, stale

from . import projects
from .projects import until


@pytest.fixture
def project(tmp_path, monkeypatch):
    """An empty project in a folder whose name is hard on careless code; returns the folder."""
    root = tmp_path / "a b é {x} '$HOME'"
    projects.placed(monkeypatch, root)
    monkeypatch.setenv("PAPERLIB_HOME", str(root))
    return root


def printed(root, name):
    """Return what the executed copy in figures/ printed."""
    cells = nbformat.read(root / "figures" / f"{name}.ipynb", 4).cells
    return "".join(output.get("text", "") for cell in cells for output in cell.get("outputs", []))


def test_results_record_and_executed_copy_lie_where_they_should(project):
    projects.writer(
        project, "p/n b", extra="import os, sys\nprint(os.getcwd(), os.environ['OMP_NUM_THREADS'], profile)"
    )
    source = (project / "notebooks/p/n b.ipynb").read_bytes()
    assert execute.execute("p/n b", stale.Options(), threads=3) == ("ok", "")
    assert projects.tables(project) == {"figures/p/n b.csv": b"a,b\n1,2\n"}
    assert printed(project, "p/n b") == f"{project / 'notebooks/p'} 3 mini\n"
    done = projects.record(project, "p/n b")
    assert done["status"] == "ok" and set(done["outputs"]) == {"n b.csv", "n b.ipynb"}
    assert stale.why_stale("p/n b", stale.Options()) is None
    assert (project / "notebooks/p/n b.ipynb").read_bytes() == source
    assert not list(project.glob("figures/p/.*"))


def test_parameters_are_data_never_code(project):
    evil = '"); import pathlib; pathlib.Path(\'hacked\').touch() #\n\'\\"""{x}'
    projects.notebook(project, "p/n", "print(data_root, end='')\nprint(device, end='')")
    assert execute.execute("p/n", stale.Options(data_root=evil, device="'+str(1/0)+'"))[0] == "ok"
    assert printed(project, "p/n") == evil + "'+str(1/0)+'"
    assert not list(project.rglob("hacked")) and not Path("hacked").exists()


def test_kernels_talk_over_sockets_in_a_short_private_folder(project, tmp_path, monkeypatch):
    deep = tmp_path / ("long" * 30)
    deep.mkdir()
    monkeypatch.setenv("TMPDIR", str(deep))
    monkeypatch.setattr(sockets.tempfile, "tempdir", None)
    code = (
        "import json, os\nfrom IPython import get_ipython\n"
        "file = get_ipython().kernel.config.IPKernelApp.connection_file\ncontent = json.load(open(file))\n"
        "folder = os.path.dirname(file)\n"
        "sockets = [f'{content[\"ip\"]}-{content[name]}' for name in content if name.endswith('_port')]\n"
        "there = all(map(os.path.exists, sockets))\n"
        "print(content['transport'], len(sockets), there, len(sockets[0]) < 100,\n"
        "      os.stat(folder).st_mode & 0o077, folder)"
    )
    projects.notebook(project, "p/n", code)
    assert execute.execute("p/n", stale.Options()) == ("ok", "")
    transport, count, there, short, permissions, folder = printed(project, "p/n").split()
    assert (transport, count, there, short, permissions) == ("ipc", "5", "True", "True", "0")
    assert sockets.PREFIX in folder and not os.path.exists(folder)


def test_a_failure_keeps_its_log_and_copy_but_no_record(project):
    projects.writer(project, "p/n")
    assert execute.execute("p/n", stale.Options())[0] == "ok"
    before = {f.name: f.read_bytes() for f in (project / "figures/p").iterdir()}
    assert "n.json" not in before
    projects.notebook(project, "p/n", "x = 1", "raise ValueError('no clip\\nhas more than 3 frames')")
    stale.forget_if_stale("p/n", stale.Options())
    status, message = execute.execute("p/n", stale.Options())
    assert (status, message) == ("failed", "ValueError: no clip (cell 4)")
    folder = project / "data/cache/runs/mini/p"
    assert not (folder / "n.json").exists()
    assert "ValueError" in (folder / "n.ipynb").read_text() and (folder / "n.log").stat().st_size
    after = {f.name: f.read_bytes() for f in (project / "figures/p").iterdir()}
    said = json.loads(after.pop("n.json"))
    assert after == before and (said["status"], said["reason"]) == ("failed", message)
    assert stale.why_stale("p/n", stale.Options()) == f"failed: {message}"
    projects.writer(project, "p/n")
    assert execute.execute("p/n", stale.Options())[0] == "ok"
    assert stale.why_stale("p/n", stale.Options()) is None and not (project / "figures/p/n.json").exists()


def test_what_is_saved_before_a_failure_or_a_kill_does_not_count_as_a_whole_run(project):
    begins = "import pandas as pd\nfrom paperlib.papers import report\nreport.settings = lambda name, profile: {}\n"
    begins += "run = report.start('p/n', device='cpu')\nrun.save_table(pd.DataFrame({'a': [1]}))"
    ends = {"ok": "run.data_root", "failed": "1 / 0", "running": "import os\nos.kill(os.getppid(), 9)"}
    found = {}
    for status, end in ends.items():
        projects.notebook(project, "p/n", begins, end)
        call = projects.command("p/n", module="paperlib.companion.execute")
        subprocess.run(call, env=projects.environment(project), timeout=300, stdout=subprocess.DEVNULL)
        said = json.loads((project / "figures/p/n.json").read_text())
        found[status] = said["status"], stale.why_stale("p/n", stale.Options())
        assert {"seed", "versions"} <= said.keys()
        stale.record("p/n", stale.Options()).unlink(missing_ok=True)
    assert found == {
        "ok": ("ok", None),
        "failed": ("failed", "failed: ZeroDivisionError: division by zero (cell 4)"),
        "running": ("running", "has not ended"),
    }


def test_claims_and_checks_stay_after_a_failure_and_go_when_a_notebook_makes_none(project):
    (project / "figures/p").mkdir(parents=True)
    for what in ("claims", "checks"):
        (project / f"figures/p/n.{what}.csv").write_text("from an earlier run")
    before = projects.tables(project)
    begins = "from paperlib.papers import report\nreport.settings = lambda name, profile: {}\n"
    projects.notebook(project, "p/n", f"{begins}run = report.start('p/n', device='cpu')", "1 / 0")
    assert execute.execute("p/n", stale.Options())[0] == "failed"
    assert projects.tables(project) == before and len(before) == 2
    projects.notebook(project, "p/n", "x = 1")
    assert execute.execute("p/n", stale.Options())[0] == "ok"
    assert projects.tables(project) == {}


def test_a_notebook_may_skip_itself(project):
    projects.notebook(project, "p/n", projects.SKIPS)
    assert execute.execute("p/n", stale.Options()) == ("skipped", "no data")
    assert projects.record(project, "p/n")["status"] == "skipped"


def test_a_result_that_is_no_longer_written_is_removed(project):
    projects.writer(project, "p/n", extra="paths = 0\n")
    (project / "figures/p").mkdir(parents=True)
    for other in ("n.claims.csv", "n2.csv"):
        (project / "figures/p" / other).write_text("from an earlier version")
    assert execute.execute("p/n", stale.Options())[0] == "ok"
    assert {f.name for f in (project / "figures/p").iterdir()} == {"n.csv", "n.ipynb", "n2.csv"}


def test_a_notebook_leaves_the_results_of_one_whose_name_begins_alike(project):
    names = ("n", "n.2", "n[1]")
    for name in names:
        projects.writer(project, f"p/{name}")
    (project / "figures/p").mkdir(parents=True)
    for other in ("n.old.png", "n.2.csv", "n.2.old.png", "n[1].old.png"):
        (project / "figures/p" / other).write_text("from an earlier version")
    assert execute.execute("p/n", stale.Options())[0] == "ok"
    assert {f.name for f in (project / "figures/p").iterdir()} == {
        *("n.csv", "n.ipynb"),
        *("n.2.csv", "n.2.old.png", "n[1].old.png"),
    }
    found = {name: set(stale.outputs(f"p/{name}", stale.Options())) for name in names}
    assert found == {"n": {"n.csv", "n.ipynb"}, "n.2": {"n.2.csv", "n.2.old.png"}, "n[1]": {"n[1].old.png"}}


def test_a_kernel_that_dies_is_a_failure_in_words(project):
    projects.notebook(project, "p/n", "import os, signal\nos.kill(os.getpid(), signal.SIGKILL)")
    assert execute.execute("p/n", stale.Options()) == (
        "failed",
        "the kernel died (killed, or out of memory?)",
    )


def test_a_file_that_is_no_notebook_fails_by_name(project, capsys):
    (project / "notebooks/p").mkdir(parents=True)
    (project / "notebooks/p/n.ipynb").write_text("not even JSON")
    assert execute.main(["p/n"]) == 1
    end = capsys.readouterr().out.splitlines()[-1].split("\t")
    assert end[1:4] == ["end", "p/n", "failed"] and "n.ipynb is not a notebook" in end[5]


def test_whatever_else_stops_an_execution_is_a_failure_that_is_written_down(project, monkeypatch, capsys):
    path = projects.writer(project, "p/n")

    def dies(*arguments, **options):
        raise RuntimeError("Kernel died before replying to kernel_info\nsecond line")

    def ends():
        assert execute.main(["p/n"]) == 1
        event = capsys.readouterr().out.splitlines()[-1].split("\t")
        said = json.loads((project / "figures/p/n.json").read_text())
        assert event[1:4] == ["end", "p/n", "failed"] and (said["status"], said["reason"]) == ("failed", event[5])
        return event[5]

    with monkeypatch.context() as patched:
        patched.setattr("papermill.execute_notebook", dies)
        assert ends() == "RuntimeError: Kernel died before replying to kernel_info"
    path.write_text('{"nbformat": 99, "nbformat_minor": 0, "metadata": {}, "cells": []}')
    assert ends().endswith("Unsupported nbformat version 99")


def test_trainings_look_for_videos_under_the_data_root(project, tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("PAPERLIB_DATA", "elsewhere")
    monkeypatch.setattr(execute, "train", lambda key, device: ("trained", os.environ["PAPERLIB_DATA"]))
    assert execute.main(["weizmann/I3D-R18-f16", "--train", "--data-root", str(tmp_path)]) == 0
    assert capsys.readouterr().out.splitlines()[-1].split("\t")[5] == str(tmp_path)


def test_a_name_that_is_no_text_is_printed_all_the_same(project, monkeypatch):
    monkeypatch.setattr(execute, "train", lambda key, device: ("trained", "caf\udce9"))
    with io.TextIOWrapper(io.BytesIO(), encoding="utf-8") as out:
        monkeypatch.setattr(sys, "stdout", out)
        assert execute.main(["weizmann/I3D-R18-f16", "--train"]) == 0
        assert rb"caf\udce9" in out.buffer.getvalue()


def test_a_figures_folder_that_cannot_be_written_is_a_failure_in_words(project, capsys):
    projects.writer(project, "p/n")
    (project / "figures").write_text("a file where the folder should be")
    assert execute.main(["p/n"]) == 1
    message = capsys.readouterr().out.splitlines()[-1].split("\t")[5]
    assert re.search(r"(File exists|Not a directory): .*figures", message)


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells a process that its parent died")
@pytest.mark.parametrize("victim", ["execute", "runner"])
def test_nothing_survives_a_kill(project, victim):
    """Killed -9, the process that executes takes its kernel along; so does the death of the whole run."""
    projects.notebook(project, "p/n", "import os, time\nopen('started', 'w').write(str(os.getpid()))\ntime.sleep(800)")
    runner = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(800)"])
    process = subprocess.Popen(
        projects.command("p/n", module="paperlib.companion.execute"),
        stdout=subprocess.DEVNULL,
        env=projects.environment(project, PAPERLIB_RUNNER=str(runner.pid)),
    )
    threading.Thread(target=runner.wait, daemon=True).start()  # so that it is gone, not a zombie
    mark = project / "notebooks/p/started"
    try:
        until(lambda: mark.exists() and mark.read_text())
        kernel = int(mark.read_text())
        os.kill({"execute": process, "runner": runner}[victim].pid, signal.SIGKILL)
        until(lambda: process.poll() is not None)
        until(lambda: not psutil.pid_exists(kernel))
    finally:
        process.kill()
        runner.kill()
    assert not (project / "figures/p/n.ipynb").exists()
    (said,) = project.rglob("n.json")  # no record
    assert said == project / "figures/p/n.json" and json.loads(said.read_text())["status"] == "running"
    sockets.sweep()
    assert not list(Path(sockets.tempfile.gettempdir()).glob(f"{sockets.PREFIX}{process.pid}-*"))
