"""The gallery page: complete, self-contained, the same for the same results, and usable in a browser."""

import json
import re
import shutil
from html.parser import HTMLParser
from types import SimpleNamespace

import matplotlib
import nbformat
import numpy as np
import pandas as pd
import pytest

from paperlib import cli
from paperlib.commands import gallery_command as command
from paperlib.companion import gallery, readme, runner
from paperlib.errors import InputError
from paperlib.papers import claims
from paperlib.storage import paths

matplotlib.use("Agg")
import matplotlib.pyplot as plt  # noqa: E402

HOSTILE = "<script>alert(1)</script> & “quotes”"
INTERVALS = [("1.9", "1.1", "2.8"), ("-0.2", "-0.3", "-0.1"), ("0.1", "-1", "1"), ("", "", "")]
NAMES = [
    "deep_analysis/fig04",
    "temporal_relevance/fig02",
    "temporal_relevance/table01",
    "explore/own",
]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A project with four notebooks: three with figures, tables and claims, one that never ran."""
    root = tmp_path_factory.mktemp("gallery")
    for number, name in enumerate(NAMES):
        notebook = nbformat.v4.new_notebook()
        text = f"# Figure {number}: title of {name}\n\nIt finds **more** in [Table 1](x).\n\nSecond paragraph."
        notebook.cells = [nbformat.v4.new_markdown_cell(text)]
        for kind in ("notebooks", "figures"):
            (root / kind / name).parent.mkdir(parents=True, exist_ok=True)
            nbformat.write(notebook, root / kind / f"{name}.ipynb")
        if name.startswith("explore"):
            (root / "figures" / f"{name}.ipynb").unlink()
            continue
        stem = root / "figures" / name
        figure, axes = plt.subplots(figsize=(12, 3))
        axes.imshow(np.random.default_rng(number).random((8, 40)))
        figure.savefig(f"{stem}.png", dpi=150)
        figure.savefig(f"{stem}.second.png", dpi=50)
        plt.close(figure)
        table = {"model": ["I3D", HOSTILE] * 40, "ATR": np.arange(80) / 7}
        pd.DataFrame(table).to_csv(f"{stem}.csv", index=False)
        rows = [
            dict.fromkeys(claims.COLUMNS, "")
            | {"id": f"{name}.{k}", "paper": name.partition("/")[0], "where": "Table 1", "quantity": "difference"}
            | {"statement": f"{verdict} {HOSTILE}", "criterion": "> 0", "published": "2.3", "verdict": verdict}
            | {"dataset": "synth_ssv2", "notebook": name}
            | dict(zip(("ours", "low", "high"), ours, strict=True))
            for k, (verdict, ours) in enumerate(zip(claims.VERDICTS, INTERVALS, strict=True))
        ]
        pd.DataFrame(rows[: 4 - number]).to_csv(f"{stem}.claims.csv", index=False)
        provenance = {"status": "ok", "profile": "mini", "revision": "abc123def456", "seed": 0}
        provenance |= {"device": "cpu", "python": "3.11.7", "versions": {"torch": "2.14.1"}, "seconds": 12.3}
        provenance |= {"finished": "2026-01-02T03:04:05+00:00"}
        stem.with_suffix(".json").write_text(json.dumps(provenance))
    return root


@pytest.fixture
def project(folder, tmp_path, monkeypatch):
    """A copy of it that a test may change, with paperlib working in it."""
    root = tmp_path / "project é"
    shutil.copytree(folder, root)
    for name in ("notebooks", "figures"):
        monkeypatch.setattr(paths, name.upper(), root / name)
    return root


class Page(HTMLParser):
    """Collects what the tests ask about: tags with attributes, the text, and unclosed or crossed tags."""

    VOID = {"meta", "link", "img", "br"}

    def __init__(self, text):
        super().__init__()
        self.tags, self.open, self.text = [], [], ""
        self.feed(text)
        assert self.open == []

    def handle_starttag(self, tag, attributes):
        self.tags.append((tag, dict(attributes)))
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if self.open and self.open[-1] not in ("style", "script"):
            self.text += data


def test_the_page_is_whole_and_needs_nothing_but_itself(project, capsys):
    command.main(SimpleNamespace(profile="mini", readme=False, seconds=False))
    path = project / "figures/index.html"
    assert capsys.readouterr().out.strip() == str(path)
    text = path.read_text(encoding="utf-8")
    page = Page(text)
    images = [attributes for tag, attributes in page.tags if tag == "img"]
    assert all(i["src"].startswith("data:image/") for i in images)
    small = [image for image in images if image.get("class") == "thumbnail"]
    full = [image for image in images if image not in small]
    assert len(full) == 6 and all(i["alt"] for i in full) and len(small) == 3
    embedded = sum(len(image["src"]) - 40 for image in full)
    assert embedded <= 4 / 3 * sum(f.stat().st_size for f in project.glob("figures/*/*.png"))
    assert not re.search(r"(src|href)=\"(https?:)?//", text) and "@import" not in text and "url(" not in text
    assert "<script>alert" not in text and text.count("<script>") == 1
    links = [a["href"] for tag, a in page.tags if tag == "a"]
    ids = {a["id"] for _, a in page.tags if "id" in a}
    for link in links:
        assert link[1:] in ids if link.startswith("#") else (path.parent / link).is_file(), link
    for name in NAMES:
        assert f"title of {name}" in page.text
    assert "It finds more in Table 1." in page.text and "Second paragraph" not in page.text
    assert "No result here: 1 notebook" in page.text and "Not executed yet" in page.text
    assert "20 more rows in the file" in page.text
    assert "abc123def456, seed 0, cpu, Python 3.11.7, torch 2.14.1" in re.sub(r"\s+", " ", page.text)
    assert "paper 2.3, ours 1.9 [1.1, 2.8]" in re.sub(r"\s+", " ", page.text)


def test_papers_come_in_order_and_claims_are_merged_in_order(project):
    gallery.build()
    page = Page((project / "figures/index.html").read_text(encoding="utf-8"))
    assert [a["id"] for tag, a in page.tags if tag == "section"] == [
        "temporal_relevance",
        "deep_analysis",
        "explore",
    ]
    merged = pd.read_csv(project / "figures/claims.csv", dtype=str, keep_default_na=False)
    assert list(merged.columns) == claims.COLUMNS
    assert list(merged.notebook) == ["deep_analysis/fig04"] * 4 + ["temporal_relevance/fig02"] * 3 + [NAMES[2]] * 2
    assert "3 hold, 3 are contradicted, 2 are undecided, 1 cannot" in re.sub(r"\s+", " ", page.text)


def test_a_folder_of_ones_own_comes_behind_the_papers_in_the_page_and_in_the_readme(project):
    (project / "notebooks/another").mkdir()
    shutil.copy(project / "notebooks/explore/own.ipynb", project / "notebooks/another/mine.ipynb")
    gallery.build()
    page = Page((project / "figures/index.html").read_text(encoding="utf-8"))
    order = ["temporal_relevance", "deep_analysis", "explore", "another"]
    assert [a["id"] for tag, a in page.tags if tag == "section"] == order
    lines = readme.notebooks().splitlines()
    assert re.findall(r"^\| \[`(\w+)`\]", "\n".join(lines), re.MULTILINE) == order
    assert lines[-1].endswith("| [mine](notebooks/another/mine.ipynb) |")


def test_the_same_results_give_the_same_bytes_and_are_not_drawn_again(project, monkeypatch):
    path = gallery.build()
    first = path.read_bytes()
    with monkeypatch.context() as patched:
        patched.setattr(gallery, "render", lambda *_: pytest.fail("drawn again"))
        gallery.build()
    path.unlink()
    assert gallery.build().read_bytes() == first
    (project / "figures/explore/own.csv").write_text("a\n1\n")
    assert gallery.build().read_bytes() != first


def test_half_files_and_skipped_notebooks_do_not_break_it(project):
    (project / "figures/deep_analysis/fig04.json").write_text('{"half')
    (project / "figures/deep_analysis/fig04.csv").write_text("")
    (project / "figures/explore/own.json").write_text('{"status": "skipped", "reason": "no video"}')
    page = Page(gallery.build().read_text(encoding="utf-8"))
    assert "The last run skipped this (no video)" in page.text


@pytest.mark.parametrize(
    "name, content",
    [
        ("fig04.png", None),
        ("fig04.csv", "word\ncafé".encode("latin-1")),
        ("fig04.claims.csv", b""),
        ("fig04.claims.csv", 'a,b\n"é'.encode("latin-1")),
        ("fig04.checks.csv", b'a,b\n"no end'),
    ],
)
def test_a_damaged_result_is_named_and_stops_no_run(project, name, content, monkeypatch, capsys):
    file = project / "figures/deep_analysis" / name
    file.write_bytes(file.read_bytes()[:1000] if content is None else content)
    with pytest.raises(InputError, match=rf"{name} cannot be read \(.*\); execute its notebook anew, or remove it$"):
        gallery.build()
    with monkeypatch.context() as patched:
        patched.setattr(runner, "run", lambda *_: [])
        patched.setattr(runner, "table", lambda *_: "the table of results")
        assert cli.main(["run", "explore/own", "--data-root", str(project)]) == 1
    said = capsys.readouterr().out
    assert "the table of results" in said
    assert re.search(rf"^failed: gallery: .*{name} cannot be read", said, re.MULTILINE)
    file.unlink()
    assert gallery.build().is_file()


def test_claims_of_a_table_without_some_columns_are_shown(project):
    (project / "figures/deep_analysis/fig04.claims.csv").write_text("id,statement,criterion\nx,They differ.,> 0\n")
    assert claims.merge(project / "figures").verdict.tolist()[0] == ""
    assert "They differ." in Page(gallery.build().read_text(encoding="utf-8")).text


def test_a_picture_of_an_earlier_run_is_not_shown_as_if_it_were_this_ones(project):
    file = project / "figures/temporal_relevance/fig02.json"
    shown = {}
    for status in ("ok", "failed", "running"):
        file.write_text(json.dumps({"status": status, "reason": "ValueError: no clip" if status == "failed" else ""}))
        shown[status] = gallery.build().read_text(encoding="utf-8")
    assert "last run" not in Page(shown["ok"]).text
    said = {"failed": "The last run failed (ValueError: no clip)", "running": "The last run has not ended"}
    for status, words in said.items():
        assert Page(shown[status]).text.count(words) == 2, status  # above the picture, and in the list of contents
        assert f"{words}; what it shows is from an earlier one." in Page(shown[status]).text


def test_files_are_shown_with_their_own_notebook_and_those_of_a_gone_one_by_their_name(project):
    shutil.copy(project / "notebooks/explore/own.ipynb", project / "notebooks/explore/own.2.ipynb")
    for file in ("own.2.csv", "own.more.csv", "gone.3.csv"):
        (project / "figures/explore" / file).write_text("a\n1\n")
    (explore,) = (paper for paper in gallery.sections(project / "figures") if paper["key"] == "explore")
    found = {entry["name"]: [table["file"] for table in entry["tables"]] for entry in explore["entries"]}
    assert found == {
        "explore/own": ["own.more.csv"],
        "explore/own.2": ["own.2.csv"],
        "explore/gone": ["gone.3.csv"],
    }
    assert explore["absent"] == []


@pytest.mark.parametrize("profile", ["papr", "", "../evil"])
def test_a_profile_that_there_is_not_has_no_page(project, profile, capsys):
    assert cli.main(["gallery", "--profile", profile]) == 2
    assert f"profile {profile!r} does not exist" in capsys.readouterr().err
    assert sorted(f.name for f in project.iterdir()) == ["figures", "notebooks"]


def test_an_empty_project_has_an_empty_page(tmp_path, monkeypatch):
    monkeypatch.setattr(paths, "NOTEBOOKS", tmp_path / "notebooks")
    assert "0 claims" in gallery.build(tmp_path / "figures").read_text(encoding="utf-8")


@pytest.mark.browser
@pytest.mark.slow
def test_filtering_and_folding_in_a_real_browser(project, browser):
    page = browser.new_page()
    said, asked = [], []
    page.on("console", lambda message: said.append(message.text))
    page.on("pageerror", lambda error: said.append(str(error)))
    page.on("request", lambda request: asked.append(request.url))
    page.goto(gallery.build().as_uri())

    def shown(selector):
        return page.locator(f"{selector}:visible").count()

    assert shown("article") == 3 and shown("li[data-verdict]") == 9 and shown("figure img") == 6
    assert shown(".contents a") == 3 and shown(".absent") == 1
    page.get_by_role("button", name="undecided").click()
    assert shown("article") == 2 and shown("li[data-verdict]") == 2
    assert shown(".contents a") == 2 and shown(".absent") == 0
    assert page.locator("[aria-pressed=true]").inner_text() == "? undecided (2)"
    page.get_by_role("button", name="all", exact=True).focus()
    page.keyboard.press("Enter")
    assert shown("article") == 3
    assert shown("article table") == 0
    page.locator("article summary").first.click()
    assert shown("article table") == 1
    page.locator(".contents a").last.click()
    top = page.locator("article").last.bounding_box()["y"]
    assert 0 <= top < page.viewport_size["height"]
    widths = page.eval_on_selector_all("img", "all => all.map(image => image.naturalWidth)")
    assert min(widths) > 100 and page.evaluate("document.documentElement.scrollWidth <= innerWidth")

    backgrounds = []
    for scheme in ("light", "dark"):
        page.emulate_media(color_scheme=scheme)
        backgrounds.append(page.evaluate("getComputedStyle(document.body).backgroundColor"))
    assert backgrounds == ["rgb(251, 251, 250)", "rgb(22, 24, 27)"]
    page.locator("#theme").click()  # the system says dark, the reader prefers light
    assert page.evaluate("getComputedStyle(document.body).backgroundColor") == backgrounds[0]
    page.set_viewport_size({"width": 390, "height": 800})
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    page.close()
    assert said == [] and [url for url in asked if not url.startswith(("file:", "data:"))] == []
