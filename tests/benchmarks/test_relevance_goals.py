"""The script that measures what relevance costs, on tiny cases."""

import pandas as pd
import pytest

from paperlib.training import checkpoints

from . import relevance_goals

NETWORK = "synth_ssv2_hard/TSN-R18-f8"


@pytest.mark.parametrize("name", [*relevance_goals.HALF, NETWORK])
def test_the_networks_asked_are_there(name):
    assert checkpoints.find(name).is_file()  # found here and not by the slow test, when the zoo's list changes


@pytest.mark.slow
def test_every_part_leaves_its_rows(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("PAPERLIB_BENCHMARKS", str(tmp_path / "benchmarks.csv"))
    monkeypatch.setattr(relevance_goals, "MEMORY", [("TSN-R18-f4", 8, 32, 1)])
    here = str(relevance_goals.ROOT)
    relevance_goals.main(["memory", "half", "--before", here, "--clips", "3", "--networks", NETWORK])
    kept = pd.read_csv(tmp_path / "benchmarks.csv").set_index(["test", "quantity"])["value"].astype(float)
    name = "tests/benchmarks/relevance_goals.py::{}"
    memory = kept[name.format("memory[TSN-R18-f4-8-32-1]")]
    assert 50 < memory["peak MB"] < 4000 and memory["peak MB before"] == pytest.approx(memory["peak MB"], rel=0.2)
    half = kept[name.format(f"half[{NETWORK}]")]
    assert half["clips"] == 3 and half["speedup"] > 0
    assert 0 <= half["mean change of avg-ATR"] <= half["95th percentile of the change"] < 8
    assert "peak MB" in capsys.readouterr().out
