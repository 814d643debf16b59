"""In which order notebooks start, and how many minutes a run says are left."""

import json
import random
import statistics
import subprocess
import sys

import pytest

from paperlib.commands import gallery_command
from paperlib.companion import execute, runner, schedule, stale
from paperlib.errors import InputError
from paperlib.storage import paths

OPTIONS = stale.Options()


def test_quick_ones_come_first_then_the_longest():
    seconds = {"a": 300, "b": 5, "c": 290, "d": 8, "e": 60, "f": 70, "g": 4}
    assert schedule.order(seconds, 2) == ["g", "b", "d", "a", "c", "f", "e"]
    assert schedule.order(seconds, 1) == ["g", "b", "d", "a", "c", "f", "e"]
    assert schedule.order({"long": 100, "quick": 1}, 2) == ["quick", "long"]
    assert schedule.order({"long": 100, "a": 20, "b": 20, "c": 20}, 2) == ["c", "long", "a", "b"]
    assert schedule.order({}, 2) == [] and schedule.order({"only": 7}, 1) == ["only"]


@pytest.mark.parametrize("jobs", [1, 2, 4])
def test_the_whole_takes_hardly_longer_than_with_the_longest_first(jobs):
    for seed in range(50):
        draw = random.Random(seed)
        seconds = {f"n{k}": draw.choice([4, 6, 10, 30, 90, 300]) * draw.uniform(0.8, 1.2) for k in range(40)}
        chosen, free, ends = schedule.order(seconds, jobs), [0.0] * jobs, []
        for name in chosen:  # each where a place is free first
            place = free.index(min(free))
            free[place] += seconds[name]
            ends.append(free[place])
        assert sorted(chosen) == sorted(seconds)
        assert schedule.whole(seconds, chosen, jobs) == pytest.approx(max(ends))
        longest_first = sorted(seconds, key=seconds.get, reverse=True)
        assert max(ends) <= 1.01 * (schedule.whole(seconds, longest_first, jobs) + min(seconds.values()))
        assert min(ends) == min(seconds.values())  # the first figure comes as early as can be


def test_what_is_left_follows_what_was_seen():
    time = [0.0]
    clock = schedule.Clock({"a": 20, "b": 60, "c": 100, "d": 40}, 2, now=lambda: time[0])
    assert clock.left() == 110  # 220 seconds of work in two places
    clock.start("a")
    clock.start("b")
    time[0] = 40.0
    clock.end("a", 60)  # three times as long as expected; 20 seconds of doubt make it twice
    assert clock.since() == {"b": 40.0}
    assert clock.left() == 2 * 100  # b has 80 left, d 80: the place beside c is done with them before
    clock.end("b")  # failed: says nothing about the others
    clock.start("d")
    clock.end("d", None)
    assert clock.left() == pytest.approx(2 * 100)  # one is left, and a second place does not help it
    clock.start("synth_ssv2/I3D")  # a training that nobody expected
    clock.end("synth_ssv2/I3D")
    clock.end("c", 200)
    assert clock.left() == 0 and clock.since() == {}


def test_one_that_computes_what_others_share_says_nothing_of_the_others_nor_does_one_that_finds_it():
    clock = schedule.Clock({"shares": 3, "finds": 235, "a": 20, "b": 20, "rest": 100}, 1, now=lambda: 0.0)
    clock.end("shares", 300)
    clock.end("finds", 10)
    assert clock.left() == 140
    clock.end("a", 40)
    clock.end("b", 40)
    assert clock.left() == 200


def test_the_weighted_median_is_the_median_of_values_repeated():
    assert schedule.weighted_median([(5, 1), (1, 2), (9, 2)]) == statistics.median([1, 1, 5, 9, 9]) == 5
    assert schedule.weighted_median([(1, 2), (4, 2)]) == statistics.median([1, 1, 4, 4]) == 2.5


@pytest.mark.parametrize(
    "seconds, words",
    [(10, "less than a minute"), (55, "about 1 minute"), (100, "about 2 minutes"), (725, "about 12 minutes")],
)
def test_durations_are_said_in_minutes(seconds, words):
    assert schedule.minutes(seconds) == words


def test_times_come_from_the_last_run_else_from_the_table(tmp_path, monkeypatch):
    for name, folder in {"ROOT": "", "CACHE": "data/cache", "NOTEBOOKS": "notebooks", "FIGURES": "figures"}.items():
        monkeypatch.setattr(paths, name, tmp_path / folder)
    table = tmp_path / "seconds.csv"
    table.write_text("notebook,seconds\np/a,10\np/b,20\np/gone,3\n")
    monkeypatch.setattr(schedule, "SHIPPED", table)
    for name, status in {"p/b": "ok", "p/c": "skipped"}.items():
        record = stale.record(name, OPTIONS)
        record.parent.mkdir(parents=True, exist_ok=True)
        record.write_text(json.dumps({"status": status, "seconds": 31.4, "inputs": {}, "outputs": {}}))
    for name in "abc":
        (tmp_path / "notebooks/p").mkdir(parents=True, exist_ok=True)
        (tmp_path / f"notebooks/p/{name}.ipynb").write_text('{"cells": []}')
    expected = {"p/a": 10.0, "p/b": 31.4, "p/c": schedule.UNKNOWN}
    assert schedule.expected(["p/a", "p/b", "p/c"], OPTIONS) == expected
    before = table.read_text()
    arguments = {"readme": False, "seconds": True}
    for place, profile in ((tmp_path, "full"), (tmp_path / "elsewhere", "mini")):  # what the table does not hold
        monkeypatch.setattr(paths, "CHECKOUT", place)
        with pytest.raises(InputError, match="seconds.csv holds times of the profile mini in the clone"):
            gallery_command.main(type("Arguments", (), {"profile": profile, **arguments}))
        assert table.read_text() == before
    monkeypatch.setattr(paths, "CHECKOUT", tmp_path)
    gallery_command.main(type("Arguments", (), {"profile": "mini", **arguments}))
    assert table.read_text() == "notebook,seconds\np/a,10\np/b,31\n"


def test_the_table_names_notebooks_that_there_are_and_has_quick_ones_and_long_ones():
    table = schedule.shipped()
    assert set(table) <= set(stale.notebooks()) and len(table) > len(stale.notebooks()) / 4
    assert min(table.values()) > 0
    first = schedule.order(schedule.expected(stale.notebooks(), stale.Options("none")), 2)[0]
    assert table[first] < 15  # seconds: the first figure is there within the first minute


def test_an_event_behind_the_beginning_of_another_line_counts(tmp_path, capsys):
    """Snakemake writes the end of a line by itself; a notebook's event may come in between."""
    said = f"Execute 1 jobs...{execute.MARK}\tend\tp/a\tok\t1.5\t\n\n{execute.MARK}\tstart\tp/b\nrest\n"
    process = subprocess.Popen([sys.executable, "-c", f"print({said!r}, end='')"], stdout=subprocess.PIPE, text=True)
    log = tmp_path / "log"
    with open(log, "w", encoding="utf-8") as opened:
        results = runner.follow(process, opened, schedule.Clock({"p/a": 1, "p/b": 1}, 2))
    assert results["p/a"].status == "ok" and results["p/b"].message == "its process was killed"
    assert log.read_text(encoding="utf-8") == "Execute 1 jobs...\nend\tp/a\tok\t1.5\t\n\nstart\tp/b\nrest\n"
    assert "1/2  p/a: ok, 1.5 s" in capsys.readouterr().out
