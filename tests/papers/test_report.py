"""Notebook reports: settings, claims, saved files, provenance."""

import json
import re
from pathlib import Path

import matplotlib.pyplot as plt
import pandas as pd
import pytest
import torch
import yaml

from paperlib.errors import InputError
from paperlib.papers import claims, report, settings
from paperlib.storage import paths, zoo_lists
from paperlib.training import parallel


@pytest.fixture
def run(tmp_path, monkeypatch):
    monkeypatch.setattr(paths, "FIGURES", tmp_path)
    return report.start("paper/figure", profile="mini", device="cpu", seed=3)


def test_settings_are_defaults_updated_by_the_notebooks_entry(tmp_path, monkeypatch):
    monkeypatch.setattr(paths, "NOTEBOOKS", tmp_path)
    file = tmp_path / "own.yaml"
    file.write_text("defaults: {size: 64, clips: 8}\nnotebooks: {paper/figure: {clips: 2}}\n")
    assert report.settings("paper/figure", str(file)) == {"size": 64, "clips": 2}
    assert report.settings("paper/other", str(file)) == {"size": 64, "clips": 8}
    with pytest.raises(InputError, match="'huge' does not exist.*mini.*paper"):
        report.settings("paper/figure", "huge")


def test_all_runs_of_a_model_are_those_that_the_zoo_lists(tmp_path, monkeypatch):
    monkeypatch.setattr(paths, "NOTEBOOKS", tmp_path)
    file = tmp_path / "own.yaml"
    file.write_text("notebooks: {p/n: {models: [d/A, d/B], runs: all}}\n")
    listed = [("d/A", {}), ("d/A-s1", {}), ("d/A-s2", {}), ("d/B", {}), ("d/C-s1", {})]
    monkeypatch.setattr(zoo_lists, "entries", lambda: listed)
    assert report.settings("p/n", str(file))["models"] == ["d/A", "d/A-s1", "d/A-s2", "d/B"]


@pytest.mark.parametrize(
    "text, words",
    [
        ("notbooks: {}", "names the part 'notbooks', which there is not; did you mean 'notebooks'?"),
        ("notebooks: {fig01_method: {}}", "notebook 'fig01_method', which there is not; did you mean 'temporal_rel"),
        ("notebooks: {temporal_relevance/fig1_method: {}}", "did you mean 'temporal_relevance/fig01_method'?"),
        ("notebooks: {temporal_relevance/fig01_method: {clip: 3}}", "the setting 'clip', .*; did you mean 'clips'?"),
        ("defaults: {modles: []}", "the setting 'modles', which there is not; did you mean 'models'?"),
        ("defaults: {clips: 2, clips: 3}", "is not YAML: clips stands there twice"),
        ("defaults: 8", "has 8 where settings should be"),
        ("notebooks: {temporal_relevance/fig01_method: [8]}", r"has \[8\] where settings should be"),
        ("defaults: {size: 2024-13-45}", "is not YAML: month must be in 1..12"),
        ("# caf\xe9", "is not YAML: 'utf-8' codec can't decode"),
        ("defaults: {models: a/I3D}", "has models: 'a/I3D', text; it should be a list, each text"),
        ("defaults: {models: null}", "has models: None, nothing; it should be a list, each text"),
        ("defaults: {models: [1]}", r"has models: \[1\], a list, each a number; it should be a list, each text"),
        ("notebooks: {beyond/planted: {rests_on: p/part}}", "has rests_on: 'p/part', text; it should be a list, each"),
        ("defaults: {clips: '8'}", "has clips: '8', text; it should be a number"),
        ("defaults: {clips: true}", "has clips: True, true or false; it should be a number"),
        ("defaults: {clips: []}", r"has clips: \[\], a list; it should be a number"),
    ],
)
def test_what_a_profile_names_and_there_is_not_is_refused_with_what_was_meant(tmp_path, text, words):
    (tmp_path / "own.yaml").write_bytes(text.encode("latin-1"))
    with pytest.raises(InputError, match=f"^profile {tmp_path}/own.yaml .*{words}") as refused:
        report.settings("temporal_relevance/fig02_heatmaps", str(tmp_path / "own.yaml"))
    assert "\n" not in str(refused.value)


def test_settings_of_ones_own_notebook_are_free_but_for_those_that_the_library_reads(tmp_path, monkeypatch):
    monkeypatch.setattr(paths, "NOTEBOOKS", tmp_path)
    file = tmp_path / "own.yaml"
    file.write_text("notebooks: {p/n: {clips: many, mine: [1, a], models: [], sigma: 1}}")
    assert report.settings("p/n", str(file)) == {"clips": "many", "mine": [1, "a"], "models": [], "sigma": 1}
    file.write_text("notebooks: {p/n: {public: a/I3D}}")
    with pytest.raises(InputError, match="has public: 'a/I3D', text"):
        report.settings("p/n", str(file))


def test_a_profile_extends_one_that_lies_beside_it_or_in_the_project(tmp_path, monkeypatch):
    monkeypatch.setattr(paths, "ROOT", tmp_path)
    (tmp_path / "sets").mkdir()
    for name, text in {
        "sets/mine.yaml": "extends: base.yaml\ndefaults: {frames: 4}",
        "sets/base.yaml": "defaults: {clips: 1}",
        "base.yaml": "defaults: {clips: 2}",
        "sets/other.yaml": "extends: far.yaml",
        "far.yaml": "defaults: {clips: 3}",
        "sets/a.yaml": "extends: ../sets/b.yaml",
        "sets/b.yaml": "extends: ../sets/a.yaml",
    }.items():
        (tmp_path / name).write_text(text)
    assert report.settings("p/n", "sets/mine.yaml") == {"clips": 1, "frames": 4}
    assert report.settings("p/n", "sets/other.yaml") == {"clips": 3}
    with pytest.raises(InputError, match="which extends it in turn"):
        report.settings("p/n", "sets/a.yaml")


def test_a_profile_of_ones_own_is_named_as_given_and_cannot_take_a_released_ones_place(tmp_path, monkeypatch):
    for name in ("mini", "mine"):
        (tmp_path / f"{name}.yaml").write_text("extends: mini\ndefaults: {clips: 2}")
    with pytest.raises(InputError, match="mini.yaml has the name of a released one"):
        report.settings("explore/your_video", str(tmp_path / "mini.yaml"))
    monkeypatch.setattr(paths, "FIGURES", tmp_path / "figures")
    for profile, clips in (("mini", 32), (str(tmp_path / "mine.yaml"), 2)):
        (shown,) = report.start("explore/your_video", profile=profile, device="cpu").settings_table().columns
        file = Path(re.fullmatch(r"setting \((.*)\)", shown)[1])
        assert yaml.safe_load((paths.CHECKOUT / file).read_text())["defaults"]["clips"] == clips


def test_both_profiles_know_the_same_defaults():
    assert report.settings("none/none", "mini").keys() == report.settings("none/none", "paper").keys()


def test_the_full_profile_asks_for_more_of_the_same_and_knows_nothing_else():
    full = yaml.safe_load((Path(settings.__file__).parent / "profiles" / "full.yaml").read_text())
    known = {path.parent.name + "/" + path.stem for path in paths.NOTEBOOKS.rglob("*.ipynb")}
    assert full["notebooks"].keys() <= known
    for name in sorted(known):
        mini, more = (report.settings(name, profile) for profile in ("mini", "full"))
        assert mini.keys() == more.keys(), name
        for key in mini.keys() & full["notebooks"].get(name, {}).keys():
            few, many = (each[key] if isinstance(each[key], dict) else {"": each[key]} for each in (mini, more))
            assert few.keys() == many.keys(), (name, key)
            assert all(many[k] is None or many[k] >= few[k] for k in few), (name, key)  # None: all there are
        assert {key for key in mini if mini[key] != more[key]} <= full["notebooks"].get(name, {}).keys(), name


def test_tables_and_figures_are_the_same_bytes_every_time(run, tmp_path):
    def save():
        run.save_table(pd.DataFrame({"a": [1 / 3, 2e-9], "b": ["x", "ü"]}))
        figure, axis = plt.subplots()
        axis.plot([0, 1])
        run.save_figure(figure)
        plt.close(figure)
        return (tmp_path / "paper/figure.csv").read_bytes(), (tmp_path / "paper/figure.png").read_bytes()

    assert save() == save()
    assert save()[0] == "a,b\n0.3333,x\n2e-09,ü\n".encode()


def test_the_first_claim_of_a_new_run_replaces_the_old_ones_which_stay_until_then(run, tmp_path):
    for id in ("da.fig2.backbone", "da.fig2.training"):
        run.not_testable(id, "the papers that were counted are not here")
    assert claims.merge(tmp_path).id.tolist() == ["da.fig2.backbone", "da.fig2.training"]
    again = report.start("paper/figure", device="cpu")  # and say it fails here, or is killed
    assert claims.merge(tmp_path).id.tolist() == ["da.fig2.backbone", "da.fig2.training"]
    again.not_testable("da.fig2.training", "the papers that were counted are not here")
    assert claims.merge(tmp_path).id.tolist() == ["da.fig2.training"] and (tmp_path / "claims.csv").exists()


def test_provenance_says_how_to_repeat_the_run(run, tmp_path):
    run.stamp()
    stamp = json.loads((tmp_path / "paper/figure.json").read_text())
    assert stamp["seed"] == 3 and stamp["device"].startswith("cpu") and stamp["status"] == "ok"
    assert stamp["versions"]["torch"] == torch.__version__.partition("+")[0] or stamp["versions"]["torch"]
    assert {"revision", "seconds", "dtype", "python"} <= stamp.keys()


def test_skipping_is_recorded_with_its_reason(run, tmp_path):
    with pytest.raises(report.Skipped, match="no data"):
        run.skip("no data")
    stamp = json.loads((tmp_path / "paper/figure.json").read_text())
    assert (stamp["status"], stamp["reason"]) == ("skipped", "no data")


def test_a_skipped_notebook_keeps_the_claims_and_checks_of_an_earlier_run(run, tmp_path):
    run.not_testable("da.fig2.backbone", "the papers that were counted are not here")
    run.check("cells that follow", 27, 27, True)
    files = [tmp_path / f"paper/figure.{what}.csv" for what in ("claims", "checks")]
    before = [file.read_bytes() for file in files]
    with pytest.raises(report.Skipped):
        report.start("paper/figure", device="cpu").skip("no data")
    assert [file.read_bytes() for file in files] == before
    again = report.start("paper/figure", device="cpu")
    again.check("cells that follow", 27, 26, False)
    with pytest.raises(report.Skipped):
        again.skip("no data behind the first cell")
    assert files[0].read_bytes() == before[0] and files[1].read_bytes() != before[1]  # what this run found stays


def test_devices_are_checked(monkeypatch):
    assert report.device("cpu") == report.device(torch.device("cpu")) == torch.device("cpu")
    for wrong in ("tpu5", "meta", "mps", torch.device("meta"), None, "cudax", "cuda:-1", ""):
        with pytest.raises(InputError, match=f"device '{wrong}' is not one of auto, cpu, cuda, cuda:N"):
            report.device(wrong)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    for gpu in ("cuda", "cuda:0", torch.device("cuda")):
        with pytest.raises(InputError, match="no GPU"):
            report.device(gpu)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    assert [report.device(gpu).index for gpu in ("auto", "cuda", "cuda:0", "cuda:1")] == [None, None, 0, 1]
    with pytest.raises(InputError, match="GPU 2 was asked for but torch sees 2, counted from 0; .* --nproc-per-node"):
        report.device("cuda:2")
    monkeypatch.setenv("WORLD_SIZE", "3")
    monkeypatch.setenv("LOCAL_RANK", "2")
    with pytest.raises(InputError, match="GPU 2 was asked for"), parallel.group():
        pytest.fail("a process without a GPU of its own began")


def test_tables_are_shown_with_few_digits_and_intervals_beside_their_numbers(run):
    table = pd.DataFrame({"name": ["a", "b", "c"], "value": [0.123456, 1.0, None], "low": [0.1, None, "nan"]})
    table = table.assign(high=[0.21987, None, None], n=[12345.6, 3.0, 2.0])
    shown = report.short(table)
    assert list(shown.columns) == ["name", "value", "n"]
    assert list(shown.value) == ["0.123 [0.1, 0.22]", "1", ""]
    assert list(report.short(table, "n").n) == ["12,346 [0.1, 0.22]", "3", "2"]
    assert [report.number(value) for value in (999.4, 999.5, -999.7, 1e-3)] == ["999", "1,000", "-1,000", "0.001"]
    assert report.short(table[["name", "n"]]).equals(table[["name", "n"]])
    assert "12,346" in shown.to_html() and "12345" not in shown.to_html()
