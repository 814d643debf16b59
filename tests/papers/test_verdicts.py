"""Verdicts from criteria and intervals; the ledger: a row follows from itself, a statement is decided once."""

import math
import re

import pandas as pd
import pytest

from paperlib.errors import InputError
from paperlib.papers import claims, published, report, verdicts
from paperlib.storage import paths


@pytest.mark.parametrize(
    ("criterion", "low", "high", "expected"),
    [
        ("> 0", 0.1, 2, "holds"),
        ("> 0", -2, -0.1, "contradicted"),
        ("> 0", -0.1, 2, "undecided"),
        ("> 0", 0, 2, "undecided"),  # 0 itself is not above 0
        ("< 0.25", 0.1, 0.2, "holds"),
        ("< 0.25", 0.3, 0.4, "contradicted"),
        ("within ±0.5", -0.5, 0.4, "holds"),
        ("within ±0.5", -0.6, 0.4, "undecided"),  # the lack of a difference is not shown by a lack of power
        ("within ±0.5", 0.6, 0.9, "contradicted"),
        ("in [4, 8]", 4, 8, "holds"),
        ("in [4, 8]", 3.9, 8, "undecided"),
        ("in [4, 8]", -1, 3, "contradicted"),
        ("in [-0.12, -0.08]", -0.11, -0.09, "holds"),
        ("> 0", 1, 1, "undecided"),  # no width: nothing varied, so nothing is known of what was not measured
        ("within ±0.5", 0, 0, "undecided"),
        ("> 0", math.nan, math.nan, "undecided"),
    ],
)
def test_verdict_follows_from_the_criterion_and_the_interval(criterion, low, high, expected):
    assert verdicts.verdict(criterion, ((low + high) / 2, low, high)) == expected


@pytest.mark.parametrize(
    ("criterion", "low", "high", "why"),
    [
        ("> 0", -0.1, 2, "reaches across 0"),
        ("> 0.43", 0.43, 2, "reaches 0.43"),
        ("< 0", -1, 0, "reaches 0"),
        ("within ±0.03", 0.004, 0.0303, "reaches across 0.03, an end of what is allowed"),
        ("within ±0.5", -0.6, 0.5, "reaches across -0.5, an end of what is allowed"),
        ("in [4, 8]", 8, 9, "reaches 8, an end of what is allowed"),
        ("in [4, 8]", 3.9, 8.1, "reaches across 4 and 8, both ends of what is allowed"),
        ("> 0", 1, 1, "has no width"),
        ("> 0", math.nan, math.nan, "has no ends"),
    ],
)
def test_why_nothing_is_decided(criterion, low, high, why):
    interval = ((low + high) / 2, low, high)
    assert verdicts.verdict(criterion, interval) == verdicts.UNDECIDED
    assert verdicts.undecided_because(criterion, interval) == f"the interval {why}"


@pytest.mark.parametrize("text", ["", "0", "larger", "> zero", "within 0.3", "in [8, 4]", "in (4, 8)", ">0"])
def test_what_is_no_criterion_is_refused(text):
    with pytest.raises(InputError, match="criterion"):
        verdicts.criterion(text)


def test_p_values_are_those_of_the_normal_test_on_both_sides():
    z = 1.959963984540054
    for at, expected in ((z, 0.05), (2.5758293035489004, 0.01), (0.0, 1.0), (-z, 0.05)):
        assert verdicts.p_value("> 0", (at, at - z, at + z)) == pytest.approx(expected)
    margin = verdicts.p_value("within ±3", (0.0, -3.0, 3.0))  # an interval that just fits
    assert margin == pytest.approx(0.05)
    assert verdicts.p_value("> 0", (1, math.nan, math.nan)) == verdicts.p_value("> 0", (1, 1, 1)) == 1


def test_verdicts_by_chance_are_counted_over_the_ledger():
    intervals = [(5.0, 4.0, 6.0)] * 3 + [(1.0, -1.0, 3.0)] * 36 + [(2.0, 0.01, 4.0)]
    rows = [
        {"ours": v, "low": lo, "high": hi, "criterion": "> 0", "verdict": verdicts.verdict("> 0", (v, lo, hi))}
        for v, lo, hi in intervals
    ]
    rows.append({"ours": "", "low": "", "high": "", "criterion": "> 0", "verdict": verdicts.UNTESTABLE})
    tested, decided, expected, kept = claims.by_chance(pd.DataFrame(rows))
    assert (tested, decided, kept) == (40, 4, 3)  # the one that just excludes 0 does not survive 40 tests
    assert expected == pytest.approx(2)


@pytest.fixture
def run(tmp_path, monkeypatch):
    monkeypatch.setattr(paths, "FIGURES", tmp_path)
    line = {"id": "a", "paper": "p", "where": "Table 1", "statement": "more", "published": "2.3", "quantity": "gain"}
    table = pd.DataFrame([{**line, "unit": "points", "criterion": "> 0", "resampled": "videos"}])
    monkeypatch.setattr(published, "statements", lambda: table)
    return report.start("p/n", device="cpu")


def test_a_notebook_decides_a_statement_by_its_id_and_only_once(run, tmp_path):
    run.decide("a", (0.123456, 0.000012345, 0.2), "3 runs, 320 videos", "synth_ssv2")
    run.check("cells that agree", 27, 26, False)
    with pytest.raises(InputError, match="decided twice"):
        run.decide("a", (1, 0, 2), "", "")
    with pytest.raises(InputError, match="no statement 'aa'.*did you mean 'a'"):
        run.decide("aa", (1, 0, 2), "", "")
    row = claims.merge(tmp_path).iloc[0]
    assert list(row.index) == claims.COLUMNS
    assert row.tolist()[:6] == ["a", "p", "Table 1", "more", "gain (points)", "> 0"]
    assert row[["published", "ours", "low", "high"]].tolist() == ["2.3", "0.1235", "1.234e-05", "0.2"]
    assert row[["verdict", "rests_on", "notebook"]].tolist() == ["holds", "3 runs, 320 videos", "p/n"]
    checks = pd.read_csv(tmp_path / "checks.csv", dtype=str)
    assert checks.values.tolist() == [["p/n", "cells that agree", "27", "26", "no"]]


def test_what_cannot_be_tested_says_why(run):
    with pytest.raises(InputError, match="say why"):
        run.not_testable("a", "")
    run.not_testable("a", "the papers that were counted are not here")
    assert run.claims[0]["verdict"] == verdicts.UNTESTABLE and run.claims[0]["ours"] == ""
    assert run.claims[0]["rests_on"] == "the papers that were counted are not here"


def committed():
    """Return the committed ledger."""
    file = paths.FIGURES / "claims.csv"
    if not file.is_file():
        pytest.skip("no claims yet")
    return pd.read_csv(file, dtype=str, keep_default_na=False)


def test_every_verdict_in_the_ledger_follows_from_its_own_row():
    ledger = committed()
    for row in ledger[ledger.criterion != ""].itertuples():
        if row.verdict == verdicts.UNTESTABLE:
            assert row.rests_on and row.ours == row.low == row.high == "", row
            continue
        value, low, high = (float(x) for x in (row.ours, row.low, row.high))
        assert row.verdict == verdicts.verdict(row.criterion, (value, low, high)), row
        assert row.rests_on and row.dataset, row
        assert not (value < low or value > high), row  # NaN ends are no ends


def test_what_is_decided_says_on_how_many_clips_and_persons_it_rests_or_why_on_none():
    ledger = committed()
    for row in ledger[ledger.ours != ""].itertuples():
        counted = re.search(r"\d (clip|video)s?\b", row.rests_on)
        assert counted or (", no videos: " in row.rests_on and "published" in row.dataset), (row.id, row.rests_on)
        people = {"nagoya_fir", "weizmann", "synth_kth"} & set(row.dataset.split(", "))
        assert not people or re.search(r"\d persons\b", row.rests_on), (row.id, row.rests_on)


def test_where_networks_have_several_runs_these_are_said_to_be_resampled():
    resampled = published.statements().set_index("id").resampled
    several = committed().query("id != '' and rests_on.str.contains(r'\\b(?:[2-9]|[1-9]\\d+) runs')", engine="python")
    assert len(several) > 50
    for row in several.itertuples():
        assert {"runs", "networks"} & set(resampled[row.id].split(", ")), (row.id, row.rests_on)


def test_every_statement_is_decided_by_exactly_one_notebook():
    ledger, table = committed(), published.statements()
    assert table.id.is_unique and (table[["id", "paper", "where", "statement", "quantity"]] != "").all().all()
    for text in table.criterion[table.criterion != ""]:  # empty: nothing in the paper gives one
        verdicts.criterion(text)
    known = ledger[ledger.id != ""]
    times = known.id.value_counts()
    assert (times == 1).all(), times[times > 1]
    both = known.merge(table, on="id", how="left", suffixes=("", "_said"))
    assert both.criterion.tolist() == both.criterion_said.tolist(), both.id[both.criterion != both.criterion_said]
    before = set(ledger.paper[ledger.id == ""])  # papers with notebooks last executed before statements were a table
    assert "deep_analysis" not in before
    missing = set(table.id[~table.paper.isin(before)]) - set(known.id)
    assert not missing
