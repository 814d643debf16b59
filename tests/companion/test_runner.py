"""`paperlib run` from outside: what is executed, what is said, and what survives faults."""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time

import pytest

from paperlib import cli
from paperlib.companion import runner, schedule, stale
from paperlib.errors import InputError

from . import projects


@pytest.fixture
def project(tmp_path):
    """Four notebooks, one failing and one without data, in a folder with a space and an accent."""
    root = tmp_path / "my projét"
    projects.writer(root, "deep_analysis/table01 x")
    projects.notebook(root, "temporal_relevance/fig02", "1 / 0")
    projects.notebook(root, "temporal_relevance/table01", projects.SKIPS)
    projects.writer(root, "video_features/fig01", value=5)
    return root


def rows(output):
    """Return {notebook: status} of the closing table."""
    lines = output.splitlines()
    start = next(i for i, line in enumerate(lines) if line.startswith("---"))
    found = [[cell for cell in line.split("  ") if cell] for line in lines[start + 1 :]]
    return {cells[0]: cells[1].strip() for cells in found[: found.index([])]}


@pytest.mark.slow
def test_one_run_the_next_and_what_changes_in_between(project):
    """One long story, because each run of Snakemake takes seconds."""
    first = projects.run(project, "--jobs", "2", SNAKEMAKE_PROFILE="slurm")  # which is for the user's own workflows
    assert first.returncode == 1, first.stdout + first.stderr
    assert rows(first.stdout) == {
        "deep_analysis/table01 x": "ok",
        "temporal_relevance/fig02": "failed",
        "temporal_relevance/table01": "skipped: no data",
        "video_features/fig01": "ok",
    }
    assert "4 of 4 notebooks to execute" in first.stdout and "4/4" in first.stdout
    assert len(re.findall(r"^  [123]/4  .*; (?:less than a|about \d+) minutes? left$", first.stdout, re.MULTILINE)) == 3
    assert "failed: temporal_relevance/fig02: ZeroDivisionError: division by zero (cell 3)" in first.stdout
    assert "data/cache/runs/mini/temporal_relevance/fig02.log" in first.stdout
    assert (project / "figures/index.html").is_file() and (project / "figures/claims.csv").is_file()
    made = projects.tables(project)
    assert made["figures/deep_analysis/table01 x.csv"] == b"a,b\n1,2\n"

    projects.writer(project, "temporal_relevance/fig02")  # repaired
    done = projects.record(project, "video_features/fig01")
    second = projects.run(project)
    assert second.returncode == 0 and rows(second.stdout) == {
        "deep_analysis/table01 x": "up to date",
        "temporal_relevance/fig02": "ok",
        "temporal_relevance/table01": "skipped: no data",
        "video_features/fig01": "up to date",
    }
    assert projects.record(project, "video_features/fig01") == done

    (project / "notebooks/temporal_relevance/table01.ipynb").unlink()
    third = projects.run(project)
    assert set(rows(third.stdout).values()) == {"up to date"} and "to execute" not in third.stdout
    assert third.returncode == 0

    shutil.rmtree(project / "figures")
    fourth = projects.run(project)
    assert set(rows(fourth.stdout).values()) == {"ok"} and fourth.returncode == 0
    regenerated = projects.tables(project)
    assert {key: regenerated[key] for key in made} == made

    forced = projects.run(project, "--force", "fig01")
    assert rows(forced.stdout) == {"video_features/fig01": "ok"}
    listed = projects.run(project, "--list")
    assert [line.split("  ")[-1].strip() for line in listed.stdout.splitlines()] == ["up to date"] * 3


def test_a_notebook_comes_after_those_that_it_rests_on_and_again_when_they_changed(tmp_path):
    (tmp_path / "own.yaml").write_text("extends: mini\nnotebooks: {p/a_sum: {rests_on: [p/part]}}\n")
    into = 'from paperlib.storage import paths\nfolder = paths.figures(profile) / "p"\n'
    reads = into + '(folder / "a_sum.csv").write_text((folder / "part.csv").read_text())'
    projects.notebook(tmp_path, "p/a_sum", reads)
    for value in ("1", "2"):
        projects.notebook(tmp_path, "p/part", into + f'(folder / "part.csv").write_text("{value}")')
        done = projects.run(tmp_path, "--profile", "own.yaml", "--jobs", "2")
        assert done.returncode == 0, done.stdout + done.stderr
        assert (tmp_path / "figures-own/p/a_sum.csv").read_text() == value
    assert set(rows(projects.run(tmp_path, "--profile", "own.yaml").stdout).values()) == {"up to date"}


def test_unusable_options_are_one_sentence_and_exit_code_2(project):
    for arguments, words in {
        ("nonsense",): "no notebook matches 'nonsense'; run_all.sh --list",
        ("--profile", "nonsense"): "profile 'nonsense' does not exist; there are full, mini, paper",
        ("--data-root", "/does/not/exist"): "--data-root /does/not/exist is not a folder",
        ("--jobs", "0"): "--jobs 0",
        ("--device", "gpu"): "device 'gpu' is not one of auto, cpu, cuda, cuda:N",
    }.items():
        done = projects.run(project, *arguments)
        assert done.returncode == 2 and words in done.stderr and "Traceback" not in done.stderr
        assert len(done.stderr.splitlines()) == 1


def test_names_globs_folders_and_paths_choose_notebooks(project, monkeypatch):
    monkeypatch.setattr(stale.paths, "NOTEBOOKS", project / "notebooks")
    assert runner.select(["fig0*"]) == ["temporal_relevance/fig02", "video_features/fig01"]
    for folder in ("temporal_relevance", "temporal_relevance/", "notebooks/temporal_relevance/", "./notebooks/temp*/"):
        assert runner.select([folder]) == ["temporal_relevance/fig02", "temporal_relevance/table01"]
    assert runner.select(["notebooks/video_features/fig01.ipynb", "fig01"]) == ["video_features/fig01"]
    assert len(runner.select([])) == 4
    with pytest.raises(InputError, match="no notebook matches 'fig9'"):
        runner.select(["fig01", "fig9"])
    with pytest.raises(InputError, match="did you mean .*temporal_relevance/table01[?]"):
        runner.select(["able0"])
    with pytest.raises(InputError, match="did you mean 'temporal_relevance/table01'?"):
        runner.select(["tabel01"])


def test_the_folder_that_another_run_holds_is_named(tmp_path, monkeypatch, capsys):
    projects.placed(monkeypatch, tmp_path)

    def holds(file):
        file.parent.mkdir(parents=True)
        file.write_text("7")
        return True

    monkeypatch.setattr(runner.locks, "busy", holds)
    with runner.lock(tmp_path / "t.shards"), runner.lock():
        said = capsys.readouterr().out.splitlines()
    assert said == [
        f"another run (7) is at work in {tmp_path}/t.shards; waiting for it to end",
        "another run (7) is at work in this checkout; waiting for it to end",
    ]


def test_trainings_are_told_the_data_root_and_one_that_fails_is_no_mistake_in_an_option(tmp_path, monkeypatch, capsys):
    projects.placed(monkeypatch, tmp_path)
    projects.writer(tmp_path, "p/n")
    monkeypatch.setenv("PAPERLIB_DATA", "elsewhere")
    monkeypatch.setattr(stale, "checkpoints", lambda name, options: ["weizmann/I3D"])
    monkeypatch.setattr(stale, "recipes", lambda: {"weizmann/I3D": None})
    ended, seen = [1, 2], []

    def trains(call, **more):
        seen.append(os.environ["PAPERLIB_DATA"])
        return subprocess.CompletedProcess(call, ended[len(seen) - 1])

    monkeypatch.setattr(runner.subprocess, "run", trains)
    call = ["run", "--retrain", "--data-root", str(tmp_path)]
    with pytest.raises(SystemExit, match="training failed"):  # words: exit code 1
        cli.main(call)
    assert cli.main(call) == 2 and "training failed" in capsys.readouterr().err
    assert seen == [str(tmp_path)] * 2


def test_trainings_are_not_counted_as_notebooks_and_name_what_they_left_out(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(stale, "recipes", lambda: {"d/a": "d/b", "d/b": "d/c", "d/c": None, "d/e": None})
    monkeypatch.setattr(stale, "checkpoints", lambda name, options: {"p/n": ["d/a"], "p/m": ["d/e"]}[name])
    events = [("start", "d/c"), ("end", "d/c", "failed", "2.0", "no videos"), ("start", "d/e"), ("start", "p/m")]
    events += [("end", "p/m", "ok", "3.0", "")]
    said = "".join("\t".join((runner.MARK, *event)) + "\n" for event in events)
    process = subprocess.Popen(["printf", "%s", said], stdout=subprocess.PIPE, text=True)
    with open(tmp_path / "log", "w") as log:
        results = runner.follow(process, log, schedule.Clock({"p/n": 1, "p/m": 1}, 1))
    lines = capsys.readouterr().out.splitlines()
    assert lines[1].startswith("  training  d/c: failed, 2.0 s  no videos;") and lines[-1].startswith("  1/2  p/m: ok")
    assert runner.lacking("p/n", results, stale.Options()) == ["d/c failed to train (no videos)"]
    assert runner.lacking("p/m", results, stale.Options()) == ["d/e failed to train (its process was killed)"]
    assert "end\td/c\tfailed\t2.0\tno videos\n" in (tmp_path / "log").read_text()


@pytest.mark.slow
def test_a_dry_run_says_what_would_be_done_and_changes_nothing(tmp_path, monkeypatch):
    projects.placed(monkeypatch, tmp_path)
    (tmp_path / "own.yaml").write_text("notebooks: {p/uses: {models: [synth_ssv2/TSN-R18-f8]}}")
    checkpoint = tmp_path / "data/checkpoints/synth_ssv2/TSN-R18-f8.safetensors"
    checkpoint.parent.mkdir(parents=True)
    (tmp_path / "data/zoo.yaml").write_text("models: [{model: TSN-R18-f8, dataset: synth_ssv2}]")
    options = stale.Options("own.yaml", str(tmp_path))
    for name in ("p/uses", "p/new", "p/old"):
        projects.writer(tmp_path, name)
    for name, now in {"p/new": stale.inputs("p/new", options), "p/old": {}}.items():
        stale.record(name, options).parent.mkdir(parents=True, exist_ok=True)
        stale.record(name, options).write_text(json.dumps({"status": "ok", "seconds": 1, "inputs": now, "outputs": {}}))

    def dry_run():
        before = {f: f.read_bytes() for f in tmp_path.rglob("*") if f.is_file() and ".snakemake" not in f.parts}
        config = ["--config", "profile=own.yaml", f"data_root={tmp_path}", "train=true"]
        call = [sys.executable, "-m", "snakemake", "-s", runner.SNAKEFILE, "-d", tmp_path, "-c", "1", "-n", "-p"]
        done = subprocess.run([*call, *config], env=projects.environment(tmp_path), capture_output=True, text=True)
        after = {f: f.read_bytes() for f in tmp_path.rglob("*") if f.is_file() and ".snakemake" not in f.parts}
        assert done.returncode == 0 and after == before, done.stderr
        jobs = re.findall(rf"companion.execute (?:--train )?(\S+) .*--data-root={tmp_path} ", done.stdout + done.stderr)
        return set(jobs), set(re.findall(r"^to be executed: (\S+) \(", done.stderr, re.MULTILINE))

    assert dry_run() == ({"synth_ssv2/TSN-R18-f8", "p/uses"}, {"p/uses", "p/old"})
    checkpoint.write_bytes(b"damaged")
    assert dry_run() == ({"p/uses"}, {"p/uses", "p/old"})


@pytest.mark.slow
def test_missing_checkpoints_are_trained_first_and_a_bad_recipe_stops_only_its_notebook(tmp_path):
    profile = tmp_path / "own.yaml"
    profile.write_text("notebooks: {p/uses: {models: [synth_ssv2/nonsense]}}")
    (tmp_path / "data").mkdir()
    (tmp_path / "data/zoo.yaml").write_text("models: [{model: nonsense, dataset: synth_ssv2, unknown: 1}]")
    projects.writer(tmp_path, "p/uses")
    projects.writer(tmp_path, "p/other")
    done = projects.run(tmp_path, "--profile", str(profile), "--train")
    assert done.returncode == 1 and rows(done.stdout) == {"p/other": "ok", "p/uses": "failed"}
    assert "training  synth_ssv2/nonsense: failed" in done.stdout and "2/1" not in done.stdout
    line = r"failed: p/uses: was not executed; synth_ssv2/nonsense failed to train \((.*)\), see (.*)"
    ((reason, log),) = re.findall(line, done.stdout)
    assert "unknown" in reason and reason in (tmp_path / log).read_text()


WAITS = """
import pathlib, time
pathlib.Path('started').touch()
while not pathlib.Path('go').exists():
    time.sleep(0.1)
"""


@pytest.fixture
def waiting(tmp_path):
    """A running project whose notebook waits for a file `go`; gives (root, process), ends it afterwards."""
    projects.writer(tmp_path, "p/n", extra=WAITS)
    process = subprocess.Popen(
        projects.command("run"),
        env=projects.environment(tmp_path),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # tests in the background ignore it
    )
    wait_for(tmp_path / "notebooks/p/started")
    yield tmp_path, process
    (tmp_path / "notebooks/p/go").touch()
    process.kill()
    process.wait()


def wait_for(path, seconds=300):
    end = time.monotonic() + seconds
    while not path.exists():
        assert time.monotonic() < end, f"{path} does not appear"
        time.sleep(0.1)


def test_a_second_run_in_the_same_checkout_waits_and_says_so(waiting):
    root, process = waiting
    second = subprocess.Popen(
        projects.command("run"), env=projects.environment(root), stdout=subprocess.PIPE, text=True
    )
    line = second.stdout.readline()
    assert line.startswith(f"another run (process {process.pid}, since ") and "waiting" in line
    (root / "notebooks/p/go").touch()
    assert rows(process.communicate(timeout=300)[0]) == {"p/n": "ok"}
    assert rows(second.communicate(timeout=300)[0]) == {"p/n": "up to date"}

    # with nothing to do, nothing is imported that only doing something takes
    third = projects.run(root, PYTHONPROFILEIMPORTTIME="1")
    assert rows(third.stdout) == {"p/n": "up to date"} and "gallery: figures/index.html" in third.stdout
    imported = {line.rpartition("|")[2].strip() for line in third.stderr.splitlines()}
    assert "paperlib.companion.stale" in imported
    assert not imported & {"snakemake", "papermill", "jupyter_client", "torch", "pandas", "numpy", "matplotlib"}


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells a process that its parent died")
def test_after_kill_9_the_next_run_finishes_with_the_same_result(waiting):
    root, process = waiting
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert projects.tables(root) == {} and [f.name for f in root.glob("figures/p/*")] == ["n.json"]
    assert projects.run(root, "--list").stdout == "p/n  has not ended\n"
    (root / "notebooks/p/go").touch()
    done = projects.run(root)
    # the orphan may come to its end just before it notices that it is one: then there is nothing left to do
    assert done.returncode == 0 and rows(done.stdout)["p/n"] in ("ok", "up to date"), done.stdout
    assert projects.tables(root)["figures/p/n.csv"] == b"a,b\n1,2\n"
    assert all(".part" in file.name for file in root.rglob(".n.*"))  # what it was writing stays hidden, and is swept


def test_ctrl_c_stops_everything_and_the_next_run_goes_on(waiting):
    root, process = waiting
    process.send_signal(signal.SIGINT)
    output = process.communicate(timeout=300)[0]
    assert process.returncode == 130 and "interrupted" in output and "Traceback" not in output
    assert projects.tables(root) == {}
    (root / "notebooks/p/go").touch()
    assert rows(projects.run(root).stdout) == {"p/n": "ok"}


@pytest.mark.slow
def test_two_runs_give_the_same_bits_whatever_the_number_of_jobs(tmp_path):
    code = """
import numpy as np
from paperlib.storage import paths
x = np.random.default_rng(0).normal(size=(300, 300))
with paths.atomic(paths.FIGURES / '{name}.csv') as temporary:
    temporary.write_text(repr((x @ x).sum()) + str({{'a', 'b'}}))
"""
    for name in ("p/a", "p/b"):
        projects.notebook(tmp_path, name, code.format(name=name))
    made = []
    for jobs in ("1", "2"):
        assert projects.run(tmp_path, "--force", "--jobs", jobs).returncode == 0
        made.append(projects.tables(tmp_path))
    assert made[0] == made[1] and len(made[0]) == 3


@pytest.mark.slow
def test_30_notebooks_four_at_a_time_without_one_failure(tmp_path):
    """papermill issue 511: on TCP a few percent of kernels that start at the same time fail."""
    for i in range(30):
        projects.notebook(tmp_path, f"p/n{i:03}", f"print({i})", tagged=False)
    done = projects.run(tmp_path, "--jobs", "4")
    assert list(rows(done.stdout).values()) == ["ok"] * 30, done.stdout
    assert done.returncode == 0 and os.listdir(tmp_path / "figures/p")


@pytest.mark.slow
def test_snakemake_called_directly_executes_and_builds_the_gallery(tmp_path):
    """With a HOME that cannot be written; `paperlib run` does without it as well."""
    home = {"HOME": "/dev/null/home"}
    plot = "import matplotlib.pyplot as plt\nplt.figure().text(0, 0, 'a')\n"
    projects.writer(tmp_path, "p/n", extra=plot)
    command = [sys.executable, "-m", "snakemake", "-s", runner.SNAKEFILE, "-d", tmp_path, "-c", "1"]
    for wanted in ("Finished jobid", "Nothing to be done"):
        done = subprocess.run(command, env=projects.environment(tmp_path, **home), capture_output=True, text=True)
        assert done.returncode == 0 and wanted in done.stdout + done.stderr, done.stderr
    assert (tmp_path / "figures/index.html").is_file() and projects.record(tmp_path, "p/n")["status"] == "ok"
    assert rows(projects.run(tmp_path, **home).stdout) == {"p/n": "up to date"}
    again = projects.run(tmp_path, "--force", **home)
    assert rows(again.stdout) == {"p/n": "ok"} and "null" not in again.stdout + again.stderr
    assert "null" not in (tmp_path / "data/cache/runs/mini/p/n.log").read_text(encoding="utf-8")
    assert list((tmp_path / "data/cache/programs/matplotlib").iterdir())


@pytest.mark.slow
def test_a_checkpoint_that_is_missing_is_trained_and_its_notebook_executed_once(tmp_path):
    (tmp_path / "data").mkdir()
    (tmp_path / "data/zoo.yaml").write_text(
        "models: [{model: TSN-R18-f8, dataset: synth_ssv2, width: 4, size: 32, limit: 64, epochs: 1}]"
    )
    (tmp_path / "own.yaml").write_text("notebooks: {p/uses: {models: [synth_ssv2/TSN-R18-f8]}}")
    projects.notebook(
        tmp_path,
        "p/uses",
        "from paperlib.storage import paths\nfrom paperlib.training import checkpoints\n"
        "_, meta = checkpoints.load('synth_ssv2/TSN-R18-f8')\n"
        "with paths.atomic(paths.FIGURES / 'p/uses.csv') as f:\n    f.write_text(meta['config']['name'])",
    )
    without = projects.run(tmp_path, "--profile", "own.yaml")
    assert rows(without.stdout) == {"p/uses": "failed"} and "trained  " not in without.stdout
    assert "synth_ssv2/TSN-R18-f8 does not exist" in without.stdout
    first = projects.run(tmp_path, "--profile", "own.yaml", "--train", timeout=800)
    assert rows(first.stdout) == {"p/uses": "ok"}, first.stdout
    assert "trained  synth_ssv2/TSN-R18-f8" in first.stdout
    assert (tmp_path / "data/checkpoints/synth_ssv2/TSN-R18-f8.safetensors").is_file()
    assert (tmp_path / "figures/p/uses.csv").read_text() == "TSN-R18-f8"
    assert rows(projects.run(tmp_path, "--profile", "own.yaml").stdout) == {"p/uses": "up to date"}
    checkpoint = tmp_path / "data/checkpoints/synth_ssv2/TSN-R18-f8.safetensors"
    whole = checkpoint.read_bytes()
    checkpoint.write_bytes(whole[: len(whole) // 2])
    again = projects.run(tmp_path, "--profile", "own.yaml", "--train", timeout=800)
    assert rows(again.stdout) == {"p/uses": "ok"} and "trained  synth_ssv2/TSN-R18-f8" in again.stdout, again.stdout
    assert "TSN-R18-f8.safetensors is not a readable safetensors file" in again.stdout
    assert len(checkpoint.read_bytes()) == len(whole)
