"""Many trainings at once, in real processes: order, failures, kills, interruption, pauses, two calls."""

import io
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from paperlib import cli, data, models
from paperlib.errors import InputError
from paperlib.storage import paths
from paperlib.training import checkpoints, crew, progress, remaining, zoo
from paperlib.training.recipes import Recipe


@pytest.fixture
def project(tmp_path, monkeypatch):
    """A project folder of its own, here and in the processes that are started."""
    for name, folder in (("ROOT", "."), ("CACHE", "data/cache"), ("CHECKPOINTS", "data/checkpoints")):
        monkeypatch.setattr(paths, name, tmp_path / folder)
    monkeypatch.setenv("PAPERLIB_HOME", str(tmp_path))
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parents[2]))
    monkeypatch.setitem(data.LOADERS, "toy_bars", ("tests.toy", "load"))
    monkeypatch.setattr(crew, "TRAINER", [sys.executable, "-m", "tests.training.toy_crew", "--trainer"])
    return tmp_path


def listed(project, *entries):
    """Write the zoo's list."""
    (project / "data").mkdir(exist_ok=True)
    defaults = "defaults: {dataset: toy_bars, width: 4, size: 32, epochs: 1, batch: 16}\n"
    lines = "\n".join(f"  - {{dataset: toy_bars, {entry}}}" for entry in entries)
    (project / "data" / "zoo.yaml").write_text(f"{defaults}models:\n{lines}\n")


def call(*arguments, command=("zoo", "train")):
    """Start `paperlib zoo train`, or another command, with the toy data set."""
    return subprocess.Popen(
        [sys.executable, "-m", "tests.training.toy_crew", *command, "--device", "cpu", *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def until(condition, process, seconds=600):
    """Wait until a condition holds while a process runs, and return what it gives."""
    end = time.monotonic() + seconds
    while not (found := condition()):
        assert process.poll() is None and time.monotonic() < end, process.communicate()
        time.sleep(0.05)
    return found


def test_each_after_what_it_starts_from_and_one_that_fails_stops_only_what_starts_from_it(project, capsys):
    listed(
        project,
        "model: TSN-R18-f4, batch: 1000",
        "model: TSN-R18-f8, init_from: toy_bars/TSN-R18-f4",
        "model: TAM2D-R18-f8, init_from: toy_bars/TAM2D-R18-f4",
        "model: TAM2D-R18-f4, seeds: 2",
    )
    assert cli.main(["zoo", "train", "--device", "cpu", "--missing", "--jobs", "2"]) == 1
    out, err = capsys.readouterr()
    assert err.splitlines() == [
        "paperlib zoo: not trained: toy_bars/TSN-R18-f4: batch 1000 is larger than the 96 training videos of toy_bars",
        "paperlib zoo: not trained: toy_bars/TSN-R18-f8: starts from toy_bars/TSN-R18-f4, which was not trained",
    ]
    lines = [line for line in out.splitlines() if " of 5: toy_bars" in line]
    names = [line.split(": ")[1] for line in lines]
    assert sorted(names) == [f"toy_bars/TAM2D-R18-{end}" for end in ("f4", "f4-s1", "f8")]
    assert names.index("toy_bars/TAM2D-R18-f4") < names.index("toy_bars/TAM2D-R18-f8")
    assert lines[-1].startswith("3 of 5") and lines[-1].endswith("none left") and "left, about" in lines[0] + lines[1]
    assert zoo.select(missing=True).keys() == {"toy_bars/TSN-R18-f4", "toy_bars/TSN-R18-f8"}
    one, other = (checkpoints.load(f"toy_bars/TAM2D-R18-f4{end}") for end in ("", "-s1"))
    assert (one[1]["seed"], other[1]["seed"]) == (0, 1) and not one[0].fc.weight.equal(other[0].fc.weight)
    assert not list((project / "data" / "runs").glob("*.pt"))


@pytest.mark.slow
def test_paused_killed_and_interrupted_training_goes_on(project):
    key = "toy_bars/TAM2D-R18-f8"
    listed(project, "model: TAM2D-R18-f8, epochs: 30")  # long enough not to end before it is interrupted
    state = progress.file(key, "pt")

    process = call("--missing")
    until(state.is_file, process)
    trainers = psutil.Process(process.pid).children(recursive=True)
    assert progress.pause() == ([key], [])
    before, cpu = progress.read(key), sum(trainers[0].cpu_times()[:2])
    time.sleep(1.5)
    assert progress.read(key) == before and before["paused"] and 0 < before["clips"] < before["of"]
    assert sum(trainers[0].cpu_times()[:2]) - cpu < 0.3
    first = kept_rows(state)[0]
    process.send_signal(signal.SIGKILL)
    assert process.wait() and psutil.wait_procs(trainers, timeout=300)[1] == []

    process = call("--missing")  # waits, as nothing is to be trained now
    assert until(process.stdout.readline, process).startswith("1 to train")
    assert until(process.stdout.readline, process).startswith("paused; `paperlib zoo train --resume`")
    assert psutil.Process(process.pid).children() == []
    progress.go_on()
    assert until(process.stdout.readline, process).startswith("training goes on")
    until(lambda: progress.busy(key) and progress.begun(key), process)
    trainers = psutil.Process(process.pid).children(recursive=True)
    assert trainers
    process.send_signal(signal.SIGINT)
    out, err = process.communicate()
    assert process.returncode == 130 and "goes on from its last epoch" in out and "interrupted" in err
    assert psutil.wait_procs(trainers, timeout=0)[1] == []

    assert crew.train(zoo.select(missing=True), "cpu", missing=True) == {}
    history = checkpoints.meta(checkpoints.path(key))["history"]
    assert [row["epoch"] for row in history] == list(range(1, 31)) and history[0] == first
    assert not state.exists() and progress.read(key)["clips"] == 30 * 96


@pytest.mark.slow
def test_a_training_of_its_own_is_kept_apart_from_others_and_is_paused_with_them(project):
    key, own = "toy_bars/TAM2D-R18-f8", ("--model", "TAM2D-R18-f8", "--dataset", "toy_bars", "--width", "4", "--size")
    listed(project, "model: TAM2D-R18-f8, epochs: 15")
    options = (*own, "32", "--batch", "16", "--epochs", "15")
    process = call(*options, command=("train",))
    until(progress.file(key, "pt").is_file, process)
    assert progress.running() == [key] and progress.begun(key)
    assert progress.pause() == ([key], [])
    before = progress.read(key)
    assert before["paused"]
    second = call(*options, command=("train",))
    assert "is being trained by another process; wait for it" in second.communicate()[1] and second.returncode == 2
    zoo_call = call("--missing")
    until(lambda: zoo_call.stdout.readline().startswith("paused"), zoo_call)
    assert progress.read(key) == before and progress.go_on() == [key]
    said, err = process.communicate()
    assert process.returncode == 0 and "\npaused; `paperlib zoo train --resume`" in said, err
    said = zoo_call.communicate()[0]
    assert f"{key} is being trained by another call" in said and f"{key}: trained by another call" in said
    assert zoo.state(key, zoo.recipes()[key]) == "trained" and progress.running() == []


def kept_rows(state):
    """Return the history in a state file."""
    import json

    import torch

    return json.loads(torch.load(state, weights_only=True)["history"])


@pytest.mark.slow
def test_two_calls_at_once_share_the_work(project, capsys):
    listed(project, *(f"model: TSN-R18-f{frames}, epochs: 3" for frames in (2, 3, 4)))
    other = call("--missing", "--jobs", "1")
    assert until(other.stdout.readline, other) == "3 to train, 1 at a time\n"
    assert crew.train(zoo.select(missing=True), "cpu", jobs=1, missing=True) == {}
    said = [other.communicate()[0], capsys.readouterr().out]
    assert other.returncode == 0, said
    assert sum(out.count("after 3 epochs") for out in said) == 3, said  # each was trained once
    assert all("trained by another call; " in out for out in said), said
    assert all(len(zoo.header(f"toy_bars/TSN-R18-f{frames}")["history"]) == 3 for frames in (2, 3, 4))


def test_what_is_told_of_a_training_is_its_own_not_that_of_a_better_one_that_stays(project, capsys):
    key, recipe = "toy_bars/TSN-R18-f4", Recipe("TSN-R18-f4", "toy_bars", width=4, epochs=3)
    about = {"recipe": vars(recipe), "dataset": "toy_bars", "seconds": 600}
    model = models.create("TSN-R18-f4", num_classes=2, width=4)
    at_work = crew.Crew({key: recipe}, "cpu", 1)
    at_work.waiting.clear()
    for before, accuracy, kept in ((0.9, 0.5, "; the one before, of 90.0%, is kept"), (0.9, 0.9, ""), (None, 0.5, "")):
        checkpoints.save(checkpoints.path(key), model, about | ({"accuracy": before} if before else {}))
        progress.Watch(key, {}, total=96, done=96, seconds=30.0).note(finished=1.0, accuracy=accuracy)
        at_work.ended(key, crew.MADE)
        said = f": {key}: {accuracy:.1%} after 3 epochs, 30 s{kept}; none left\n"
        assert capsys.readouterr().out.endswith(said)


def test_what_was_trained_before_is_trained_again_whatever_the_clock_said_then(project, monkeypatch):
    """A note from a clock that ran ahead had `zoo train` report a training by another call, and train nothing."""
    key, before = "toy_bars/TSN-R18-f4", time.time() + 3600
    begun = []
    monkeypatch.setattr(crew.Crew, "trainer", lambda self, key: begun.append(key))
    progress.Watch(key, {}, total=96).note(finished=before)
    first, second = (crew.Crew({key: Recipe("TSN-R18-f4", "toy_bars")}, "cpu", 1) for _ in range(2))
    first.start()
    assert begun == [key] and first.done == []
    progress.Watch(key, {}, total=96).note(finished=before - 7200)  # trained meanwhile, the clock put right
    second.start()
    assert begun == [key] and second.done == [key] and second.waiting == []


def test_one_process_at_a_time_trains_a_model(project):
    with progress.alone("a/b"):
        assert progress.busy("a/b") and progress.running() == ["a/b"]
        with pytest.raises(progress.Busy, match="a/b is being trained by another process"), progress.alone("a/b"):
            pass
    with progress.alone("a/b"):
        pass
    assert not progress.busy("a/b") and not progress.busy("a/c") and progress.running() == []


def test_what_is_left_is_told_from_the_clips_seen_so_far(project):
    new = Recipe("TSN-R18-f8", "synth_kth", size=32, epochs=10, limit=96)
    assert remaining.remaining({"synth_kth/TSN-R18-f8": new}, 1) is None
    about = {"network": "TSN-R18-f8", "dataset": "synth_kth", "size": 32, "epochs": 10}
    watch = progress.Watch("synth_kth/TSN-R18-f8-s1", about, total=960, done=480, seconds=48.0)
    progress.file("synth_kth/TSN-R18-f8-s1", "pt").touch()
    todo = {"synth_kth/TSN-R18-f8-s1": new, "synth_kth/TSN-R18-f8": new}
    assert remaining.remaining(todo, 2) == pytest.approx(96.0)  # the new one alone takes that
    assert remaining.remaining(todo, 1) == pytest.approx(48.0 + 96.0)
    watch.note(finished=1.0)
    assert remaining.remaining(todo, 1) == pytest.approx(2 * 96.0)  # to be trained anew
    longer = Recipe("TSN-R18-f16", "synth_kth", size=32, epochs=10, limit=96)  # not met yet; twice the frames
    assert remaining.remaining({"synth_kth/TSN-R18-f16": longer}, 1) == pytest.approx(2 * 96.0)
    assert [remaining.words(s) for s in (40, 600, 7000)] == ["40 s", "10 min", "1 h 57 min"]


def test_a_name_that_is_no_text_does_not_end_a_training(project, monkeypatch):
    monkeypatch.setattr(zoo, "train_one", lambda *_, **__: print("caf\udce9 is left out", flush=True) is None)
    with io.TextIOWrapper(io.BytesIO(), encoding="utf-8") as out:
        monkeypatch.setattr(sys, "stdout", out)
        assert crew.main(["synth_kth/TSN-R18-f8", '{"name": "TSN-R18-f8", "dataset": "synth_kth"}']) == crew.MADE
        assert out.buffer.getvalue() == b"caf\\udce9 is left out\n"


def test_impossible_calls_are_refused(project):
    with pytest.raises(InputError, match="--jobs 0"):
        crew.train({}, jobs=0)
    done = subprocess.run(
        [sys.executable, "-m", "tests.training.toy_crew", "zoo", "train", "--pause", "x"],
        capture_output=True,
        text=True,
        env={**os.environ},
        check=False,
    )
    assert done.returncode == 2 and "give no names" in done.stderr and not progress.paused()
