"""README and docs: what they link to is there, what they show runs, what follows from other files is up to date."""

import argparse
import ast
import importlib
import io
import re
import shlex
import subprocess
import sys
import types

import numpy as np
import pandas as pd
import pytest
import torch

from paperlib import cli
from paperlib.companion import readme
from paperlib.errors import InputError
from paperlib.storage import paths

PAGES = [paths.ROOT / name for name in ("README.md", "CONTRIBUTING.md", "data/README.md", "data/public.md")]
PAGES += sorted((paths.ROOT / "docs").glob("*.md"))
NAMES = [f.relative_to(paths.ROOT).as_posix() for f in PAGES]


def blocks(page, language):
    """Return the fenced code blocks of a page."""
    return re.findall(rf"^```{language}\n(.*?)^```", page.read_text(encoding="utf-8"), re.DOTALL | re.MULTILINE)


def committed_claims():
    """Return claims.csv as staged in git (figures made anew elsewhere do not count), or the file outside of git."""
    command = ["git", "-C", str(paths.ROOT), "show", ":figures/claims.csv"]
    shown = subprocess.run(command, capture_output=True, text=True)
    text = shown.stdout if shown.returncode == 0 else (paths.FIGURES / "claims.csv").read_text(encoding="utf-8")
    return pd.read_csv(io.StringIO(text), dtype=str, keep_default_na=False)


@pytest.mark.parametrize("part", ["results", "notebooks", "widgets"])
def test_readme_says_what_the_claims_and_the_folders_say(part):
    text = (paths.ROOT / "README.md").read_text(encoding="utf-8")
    now = readme.put(text, part, readme.parts(committed_claims())[part])
    assert text == now, f"the part {part!r} of README.md is out of date: run `paperlib gallery --readme`"


def test_every_notebook_is_in_the_readme_and_counts_add_up():
    found = readme.parts(committed_claims())
    linked = set(re.findall(r"\(notebooks/([\w/]+)\.ipynb\)", found["notebooks"]))
    assert linked == {
        f.relative_to(paths.NOTEBOOKS).with_suffix("").as_posix() for f in paths.NOTEBOOKS.glob("*/*.ipynb")
    }
    counts = re.findall(r"(?<=\| )(\d+), (\d+), (\d+), (\d+)(?= \|)", found["results"])
    assert sum(int(n) for row in counts for n in row) == len(committed_claims())


def test_the_readme_says_why_statements_are_not_decided():
    ledger, found = committed_claims(), readme.parts(committed_claims())["results"]
    reasons = re.findall(r"\*([^*]+)\* \((\d+)\)", found.splitlines()[-1])
    untested = ledger[ledger.verdict == "not testable here"].groupby("rests_on").size()
    assert {reason: int(count) for reason, count in reasons} == untested.to_dict()
    row = {"id": readme.FINDINGS[0], "paper": "temporal_relevance", "statement": "more", "quantity": "gain"}
    row |= {"criterion": "within ±2", "published": "1", "ours": "1.5", "low": "0.9", "high": "2.4"}
    row |= {"verdict": "undecided", "rests_on": "3 runs, 32 clips", "dataset": "synth_ssv2"}
    alone = readme.results(pd.DataFrame([row])).splitlines()
    why = "? undecided: the interval reaches across 2, an end of what is allowed"
    assert alone[-1] == f"| more: gain, within ±2 | 1 | 1.5 [0.9, 2.4], 3 runs, 32 clips, synth_ssv2 | {why} |"


def test_readme_is_rewritten_between_its_marks_only(tmp_path):
    file = tmp_path / "README.md"
    marks = [f"<!-- {name}: made -->\nout-of-date\n<!-- end of {name} -->\n" for name in readme.parts()]
    file.write_text("above\n" + "between\n".join(marks) + "below\n")
    readme.update(file)
    text = file.read_text()
    assert text.startswith("above\n<!--") and text.endswith("-->\nbelow\n") and text.count("between\n") == 2
    assert "out-of-date" not in text and "fig01_method.ipynb" in text
    readme.update(file)
    assert file.read_text() == text
    with pytest.raises(InputError, match="no part between"):
        readme.put("nothing", "results", "")


def test_pictures_of_widgets_appear_in_the_readme_once_they_are_there(tmp_path, monkeypatch):
    monkeypatch.setattr(readme, "FOLDER", tmp_path)
    assert readme.widgets() == ""
    (tmp_path / "scrub_masks.png").touch()
    assert "docs/images/scrub_masks.png" in readme.widgets() and "scrub_relevance" not in readme.widgets()


@pytest.mark.parametrize("page", PAGES, ids=NAMES)
def test_links_lead_somewhere(page):
    text = page.read_text(encoding="utf-8")
    links = re.findall(r"\]\(([^)\s]+)\)", text) + re.findall(r'(?:src|href)="([^"]+)"', text)
    made = re.compile(r"figures/index\.html")  # by run_all.sh
    missing = [
        link
        for link in links
        if not link.startswith(("http", "#"))
        and not made.fullmatch(link)
        and not (page.parent / link.partition("#")[0]).exists()
    ]
    assert missing == []


@pytest.mark.parametrize("page", PAGES, ids=NAMES)
def test_functions_named_as_file_and_function_exist(page):
    text = page.read_text(encoding="utf-8")
    named = re.findall(r"\[`([\w/]+\.py):(\w+)`\]\(([^)]+)\)", text)
    assert page.name != "methods.md" or len(named) > 30
    for file, name, link in named:
        code = paths.ROOT / "paperlib" / file
        assert (page.parent / link).resolve() == code.resolve(), link
        defined = {
            node.name
            for node in ast.parse(code.read_text(encoding="utf-8")).body
            if isinstance(node, ast.FunctionDef | ast.ClassDef)
        }
        assert name in defined, f"{file} has no {name}"


def parser_of(arguments):
    """Parse a command line of paperlib without running it; returns the exit code, 0 if it can be parsed."""
    with pytest.MonkeyPatch.context() as patch:
        module = importlib.import_module(f"paperlib.commands.{arguments[0]}_command")
        patch.setattr(module, "main", lambda args: 0)
        try:
            return cli.main(arguments)
        except SystemExit as stop:
            return stop.code


@pytest.mark.parametrize("page", PAGES, ids=NAMES)
def test_command_lines_can_be_parsed(page):
    lines = [line for block in blocks(page, "bash") for line in block.splitlines()]
    for line in lines:
        words = shlex.split(line, comments=True)
        if words[:1] == ["paperlib"]:
            assert parser_of(words[1:]) == 0, line
        elif words[:1] == ["./run_all.sh"] and "--tests" not in words:
            assert parser_of(["run", *words[1:]]) == 0, line


@pytest.mark.parametrize("command", sorted(cli.commands()))
def test_help_of_every_command_shows_an_example_that_can_be_parsed(command):
    doc = cli.commands()[command]
    examples = doc[doc.find("example") :] if "example" in doc else ""
    shown = re.findall(rf"^(?:example: | *)paperlib ({command}\b.*)$", examples, re.MULTILINE)
    assert shown, f"paperlib {command} --help shows no example"
    for line in shown:
        assert parser_of(shlex.split(re.split(r"\s{3,}", line)[0])) == 0, line


def subparsers(command):
    """Return {action: its parser} of a command, none of one without."""
    parser = argparse.ArgumentParser()
    importlib.import_module(f"paperlib.commands.{command}_command").arguments(parser)
    actions = [action for action in parser._actions if isinstance(action, argparse._SubParsersAction)]
    return {name: sub for action in actions for name, sub in action.choices.items()}


def test_help_of_every_action_of_a_command_says_what_it_does_with_an_example_that_can_be_parsed():
    actions = [(command, name, sub) for command in cli.commands() for name, sub in subparsers(command).items()]
    assert {("dataset", "mask"), ("data", "check"), ("weights", "adopt"), ("zoo", "train")} <= {a[:2] for a in actions}
    for command, name, sub in actions:
        told, _, examples = (sub.description or "").partition("example")
        shown = re.findall(rf"^(?:s?: | *)paperlib ({command} {name}\b.*)$", examples, re.MULTILINE)
        assert len(told.split()) > 4 and shown, f"paperlib {command} {name} --help says too little"
        assert all(parser_of(shlex.split(line)) == 0 for line in shown)


@pytest.mark.parametrize("command", sorted(cli.commands()))
def test_an_unknown_option_exits_with_2(command, capsys):
    with pytest.raises(SystemExit) as stop:
        cli.main([command, "--no-such-option"])
    assert stop.value.code == 2 and f"usage: paperlib {command}" in capsys.readouterr().err


def film(file, frames=40):
    """Write a short video: a ball that falls."""
    import av

    with av.open(str(file), "w") as container:
        stream = container.add_stream("mpeg4", rate=25)
        stream.width, stream.height, stream.pix_fmt = 160, 120, "yuv420p"
        for t in range(frames):
            picture = np.full((120, 160, 3), 190, np.uint8)
            picture[2 * t : 2 * t + 24, 60:84] = (200, 60, 40)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        container.mux(stream.encode())


def test_the_readmes_example_runs_as_printed(tmp_path, monkeypatch):
    from torchvision.models.video import R3D_18_Weights, r3d_18

    film(tmp_path / "jump.mp4")
    monkeypatch.chdir(tmp_path)
    # Weights are drawn, not downloaded; all else that torchvision says of them is theirs.
    drawn = r3d_18(num_classes=len(R3D_18_Weights.DEFAULT.meta["categories"])).state_dict()
    monkeypatch.setattr(R3D_18_Weights, "get_state_dict", lambda *_, **__: drawn)
    (code,) = blocks(paths.ROOT / "README.md", "python")
    assert len([line for line in code.splitlines() if line]) == 5
    names = {}
    exec(code, names)
    found = names["found"]
    said = " ".join(found.notes)
    assert "400 classes have names" in said and "(0.43216, 0.394666, 0.37645)" in said and "assumed" not in said
    assert min(found.info["indices"]) == 1 and "16 were seen: 2, 4," in said  # from 0 in arrays, from 1 in text
    assert found.matrix.shape == (2, 16) and (found.matrix >= 0).all() and found.cam.shape == (16, 112, 112)
    assert 1 <= found.info["avg_atr"] <= found.info["max_atr"] <= 16
    assert not any("single row" in note for note in found.notes)
    assert "r3d_18" in repr(found) or "VideoResNet" in repr(found)
    found.save("jump.npz")
    (opened,) = re.findall(
        r"`(paperlib\.artifact\.load\(.*?\))`", (paths.ROOT / "README.md").read_text(encoding="utf-8")
    )
    assert (eval(opened, names).matrix == found.matrix).all()
    assert b"<canvas" not in (tmp_path / "jump.html").read_bytes() and (tmp_path / "jump.html").stat().st_size < 3e6


def test_what_the_readme_showed_before_still_runs(tmp_path):
    """`artifact.of_video` and the arrays of its record, as earlier versions printed them."""
    from paperlib import artifact, checkpoints, relevance

    film(tmp_path / "jump.mp4")
    model, header = checkpoints.load("synth_ssv2/TAM2D-R50-f8")
    found = artifact.of_video(tmp_path / "jump.mp4", model, header)
    matrix = relevance.relevance_matrix(model, found.clip, [found.info["target"]])
    result = relevance.atr(matrix, found.arrays["frame_logits"][None, :, found.info["target"]])
    assert matrix.shape == (1, 8, 8) and 1 <= float(result.avg[0]) <= float(result.max[0]) <= 8


def test_extending_runs_from_top_to_bottom(tmp_path, monkeypatch):
    from paperlib import data, relevance
    from paperlib.models import modules
    from paperlib.training import evaluation

    monkeypatch.setattr(paths, "FIGURES", tmp_path / "figures")
    monkeypatch.setattr(data, "LOADERS", dict(data.LOADERS))
    for name in ("jump/a", "jump/b", "turn/c", "turn/d"):
        (tmp_path / "DATA_ROOT/videos" / name).parent.mkdir(parents=True, exist_ok=True)
        film(tmp_path / "DATA_ROOT/videos" / f"{name}.mp4", frames=12)
    monkeypatch.chdir(tmp_path)
    torch.manual_seed(1)
    monkeypatch.setattr(modules, "MODULES", modules.MODULES)
    module = types.ModuleType("documented")
    monkeypatch.setitem(sys.modules, "documented", module)
    try:
        for code in blocks(paths.ROOT / "docs/extending.md", "python"):
            exec(code, module.__dict__)
    finally:
        modules.MODULES.pop("Blur", None)
    assert module.matrix.shape == (1, 8, 8) and module.mask.shape == (1, 8) and module.maps.shape == (1, 8, 32, 32)
    assert module.blur.frame_logits(module.clip).shape == (1, 8, 10)
    covered = relevance.coverage(module.Mine(), module.clip, module.rules)
    assert covered.rule.str.startswith(("Magnitude", "Epsilon")).sum() == 2
    assert len(module.waves) == 50 and module.waves.frames(1, [0, 5]).shape == (2, 32, 32, 3)
    kept = pd.read_csv(tmp_path / "atr.csv")
    assert set(kept.id) == set(module.videos.ids) and len(kept) == 2
    for row, logits, said in zip(module.A.numpy(), module.rows.values.numpy(), kept.avg_atr, strict=True):
        weight = np.maximum(logits, 0)  # of each row; its length: the shortest run that holds 97.5 % around its frame
        lengths = [
            min(r - l + 1 for l in range(i + 1) for r in range(i, 8) if a[l : r + 1].sum() >= 0.975 * a.sum())
            for i, a in enumerate(row)
        ]
        if weight.any():
            assert said == pytest.approx((weight * lengths).sum() / weight.sum(), rel=1e-4)
        else:
            assert np.isnan(said)
    assert kept.avg_atr.notna().any()
    table = evaluation.evaluate(module.Mine(classes=2), module.waves, frames=8)
    assert len(table) == 50
    saved = {f.name for f in (tmp_path / "figures/explore").iterdir()}
    assert saved == {"mine.csv", "mine.png", "mine.checks.csv", "mine.json"}


def test_scoring_an_instrument_of_ones_own_runs_as_printed_in_ten_lines():
    ours, against = blocks(paths.ROOT / "docs/truth.md", "python")
    assert len([line for line in ours.splitlines() if line]) <= 10
    names = {}
    exec(ours, names)
    assert 0 < len(names["table"]) == len(names["known"]) and names["table"].precision.between(0, 1).all()
    result = eval(against.splitlines()[-1], names) if exec(against, names) is None else None
    assert (result.precision.mean() > names["table"].precision.mean()) and result.precision.mean() > 0.9


def table_below(page, heading):
    """Return the first table below a heading as a frame of strings; an empty first cell repeats the one above."""
    below = page.read_text(encoding="utf-8").split(f"## {heading}\n")[1]
    lines = re.search(r"(?:^\|.*\n)+", below, re.MULTILINE)[0].splitlines()
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]
    return pd.DataFrame(rows[2:], columns=rows[0]).replace("", np.nan).ffill()


def test_what_the_page_on_scale_says_of_a_gpu_was_measured():
    kept = pd.read_csv(paths.FIGURES / "benchmarks.csv").set_index(["test", "quantity"]).value
    page = paths.ROOT / "docs" / "scale.md"
    speed = {}  # clips per second
    for row in table_below(page, "On a GPU").itertuples(index=False):
        found = kept[f"tests/benchmarks/gpu.sh::relevance[{row[0]}-{row[1]}]"]
        speed[row[0], row[1]] = float(found["clips_per_second"])
        for said, quantity in zip(row[2:5], ("clips_per_second", "forward_passes", "times_floor"), strict=True):
            assert float(said) == pytest.approx(float(found[quantity]), rel=0.03, abs=0.05), (row, quantity)
    for row in table_below(page, "Kinetics-400 validation: 20,000 clips").itertuples(index=False):
        kind, _, network = row[0].partition(", ")
        for frames, seconds, hours in ((16, row[3], row[4]), (32, row[5], row[6])):
            if kind != "relevance" or seconds == "not measured":
                continue
            per_clip = 1 / speed[f"{network}-f{frames}", row[2]]
            assert float(seconds) == pytest.approx(per_clip, rel=0.05), row
            assert float(hours) == pytest.approx(20_000 * per_clip / 3600, rel=0.05), row


def test_what_the_page_on_scale_says_of_a_cpu_was_measured():
    kept = pd.read_csv(paths.FIGURES / "benchmarks.csv")
    kept = kept[kept.device.str.startswith("Intel")].set_index(["test", "quantity"]).value
    quantities = ["of_plain_gradients", "forward_passes", "times_floor", "needed_times_floor"]
    quantities += [f"{part}_times_floor" for part in ("products", "sums", "inverses")]
    test = "tests/benchmarks/test_relevance.py::test_cost_against_plain_gradients_and_against_transposed"
    test += "_convolutions_alone"
    for row in table_below(paths.ROOT / "docs" / "scale.md", "On a CPU").itertuples(index=False):
        for said, quantity in zip(row[1:], quantities, strict=True):
            assert float(said) == pytest.approx(float(kept[f"{test}[{row[0]}]"][quantity]), rel=0.04, abs=0.006)


def test_the_citation_file_names_all_that_tools_need():
    import yaml

    import paperlib

    cited = yaml.safe_load((paths.ROOT / "CITATION.cff").read_text(encoding="utf-8"))
    assert {"cff-version", "title", "message", "authors"} <= set(cited) and cited["version"] == paperlib.__version__
    titles = [reference["title"].lower() for reference in cited["references"]]
    text = (paths.ROOT / "README.md").read_text(encoding="utf-8").lower()
    assert len(titles) == 3 and all(title in text for title in titles)
    assert all(reference["authors"] and reference["year"] for reference in cited["references"])
