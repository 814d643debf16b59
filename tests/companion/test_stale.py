"""What a notebook depends on, and when it has to be executed again."""

import json
import os
import shutil

import nbformat
import pytest

from paperlib.companion import execute, stale
from paperlib.errors import InputError

from . import projects

OPTIONS = stale.Options()


@pytest.fixture
def project(tmp_path, monkeypatch):
    """An empty project whose library is a small package of its own; returns its folder."""
    package = tmp_path / "library" / "paperlib"
    files = {
        "__init__.py": "",
        "paths.py": "",
        "storage/__init__.py": "",
        "storage/paths.py": "",
        "unused.py": "",
        "settings.py": "",
        "masks.py": "from . import paths\n",
        "report.py": "def f():\n    from .deep import inner\n",
        "deep/__init__.py": "",
        "deep/inner.py": "from ..masks import freeze\n",
        "deep/table.csv": "1",
        "loop_a.py": "import paperlib.loop_b",
        "loop_b.py": "from paperlib import loop_a",
    }
    for name, text in files.items():
        (package / name).parent.mkdir(parents=True, exist_ok=True)
        (package / name).write_text(text)
    monkeypatch.setattr(stale, "PACKAGE", package)
    projects.placed(monkeypatch, tmp_path)
    monkeypatch.setattr(stale, "settings", lambda name, profile: {"models": ["synth_ssv2/I3D"], "clips": 4})
    return tmp_path


def executed(project, name):
    """Write the record that executing the notebook now would leave."""
    content = {
        "status": "ok",
        "seconds": 1,
        "inputs": stale.inputs(name, OPTIONS),
        "outputs": stale.outputs(name, OPTIONS),
    }
    stale.record(name, OPTIONS).parent.mkdir(parents=True, exist_ok=True)
    stale.record(name, OPTIONS).write_text(json.dumps(content))
    assert stale.why_stale(name, OPTIONS) is None


def names(files):
    return {f.relative_to(stale.PACKAGE).as_posix() for f in files}


def test_imports_are_followed_through_functions_relative_names_and_circles(project):
    assert names(stale.library(["paperlib.report"])) == {
        "__init__.py",
        "report.py",
        "deep/__init__.py",
        "deep/inner.py",
        "deep/table.csv",
        "masks.py",
        "paths.py",
    }
    assert names(stale.library(["paperlib.masks.freeze"])) == {"__init__.py", "masks.py", "paths.py"}
    assert names(stale.library(["paperlib.loop_a"])) == {"__init__.py", "loop_a.py", "loop_b.py"}


def test_other_packages_are_no_dependency_and_magics_are_skipped(project):
    projects.notebook(project, "p/n", "%matplotlib inline\nimport numpy, torch.nn\nfrom paperlib import masks")
    assert names(stale.uses("p/n")) == {"__init__.py", "masks.py", "paths.py"}


@pytest.mark.parametrize("cell", ["files = !ls", "from . import helper"])
def test_a_cell_that_cannot_be_read_depends_on_the_whole_library_and_all_that_lies_beside(project, cell):
    projects.notebook(project, "p/n", f"{cell}\nvideos = load('folder')")
    projects.notebook(project, "p/other", "1")
    folder = project / "notebooks/p"
    compiled = ("papers/profiles/mini.yaml", "deep/__pycache__/inner.pyc", "deep/.inner.py.swp")
    for name in ("deep/front/page.js", *compiled):
        (stale.PACKAGE / name).parent.mkdir(parents=True, exist_ok=True)
        (stale.PACKAGE / name).write_text("")
    (folder / "parts").mkdir()
    for name in ("helper.py", "parts/table.csv"):
        (folder / name).write_text("")
    library = {f.relative_to(stale.PACKAGE).as_posix() for f in stale.PACKAGE.rglob("*") if f.is_file()}
    used = set(stale.uses("p/n"))
    assert {f for f in used if not f.is_relative_to(stale.PACKAGE)} == {
        folder / "helper.py",
        folder / "parts/table.csv",
    }
    assert names(f for f in used if f.is_relative_to(stale.PACKAGE)) == library - {*compiled}
    assert stale.public("p/n", OPTIONS) == ["folder"]
    executed(project, "p/n")
    (folder / "helper.py").write_text("x = 1")
    assert stale.why_stale("p/n", OPTIONS) == "notebooks/p/helper.py changed"


def test_data_files_in_folders_of_a_package_count_but_not_those_of_packages_below(project):
    for name in (
        "front/page.js",
        "front/deeper/page.css",
        "below/__init__.py",
        "below/table.csv",
        "front/__pycache__/a.pyc",
    ):
        (stale.PACKAGE / "deep" / name).parent.mkdir(parents=True, exist_ok=True)
        (stale.PACKAGE / "deep" / name).write_text("")
    used = names(stale.library(["paperlib.deep"]))
    assert used == {
        "__init__.py",
        *(f"deep/{f}" for f in ("__init__.py", "table.csv", "front/page.js", "front/deeper/page.css")),
    }


def test_touching_files_or_saving_outputs_in_a_notebook_changes_nothing(project):
    path = projects.writer(project, "p/n")
    executed(project, "p/n")
    os.utime(path, (1, 1))
    os.utime(stale.PACKAGE / "storage/paths.py", (2e9, 2e9))
    content = nbformat.read(path, 4)
    content.cells[-1].outputs = [nbformat.v4.new_output("stream", text="hello")]
    content.cells[-1].execution_count = 7
    content.metadata["kernelspec"] = {"name": "other", "display_name": "Other"}
    nbformat.write(content, path)
    assert stale.why_stale("p/n", OPTIONS) is None


@pytest.mark.parametrize(
    "change, reason",
    [
        (lambda p: projects.writer(p, "p/n", value=3), "the notebook changed"),
        (lambda p: (stale.PACKAGE / "storage/paths.py").write_text("x = 1"), "paperlib/storage/paths.py changed"),
        (
            lambda p: (p / "data/checkpoints/synth_ssv2/I3D.safetensors").write_bytes(b"weights of yesterday"),
            "data/checkpoints/synth_ssv2/I3D.safetensors changed",
        ),
        (lambda p: shutil.rmtree(p / "figures"), "n.csv is missing"),
        (
            lambda p: (p / "figures/p/n.csv").write_text("edited by hand"),
            "n.csv is not the file that was written",
        ),
        (lambda p: stale.record("p/n", OPTIONS).write_text('{"half'), "not executed yet"),
        (lambda p: stale.record("p/n", OPTIONS).write_text("[]"), "not executed yet"),
    ],
)
def test_whatever_a_result_depends_on_makes_it_stale(project, change, reason):
    projects.writer(project, "p/n")
    weights = project / "data/checkpoints/synth_ssv2/I3D.safetensors"
    weights.parent.mkdir(parents=True)
    weights.write_bytes(b"weights")
    (project / "figures/p").mkdir(parents=True)
    (project / "figures/p/n.csv").write_text("a\n1\n")
    executed(project, "p/n")
    (stale.PACKAGE / "unused.py").write_text("not used by this notebook")
    assert stale.why_stale("p/n", OPTIONS) is None
    change(project)
    assert stale.why_stale("p/n", OPTIONS) == reason


def test_settings_options_and_packages_make_it_stale(project, monkeypatch):
    projects.writer(project, "p/n")
    executed(project, "p/n")
    assert stale.why_stale("p/n", stale.Options(device="cuda")) == "the options changed"
    with monkeypatch.context() as patched:
        patched.setattr(stale, "settings", lambda name, profile: {"clips": 5})
        assert stale.why_stale("p/n", OPTIONS) == "its settings changed"
    with monkeypatch.context() as patched:
        patched.setattr(stale.software, "versions", lambda: {"torch": "0.0"})
        assert stale.why_stale("p/n", OPTIONS) == "installed packages changed"
    assert stale.why_stale("p/n", OPTIONS) is None


def test_what_a_notebook_takes_up_from_others_makes_it_stale(project, monkeypatch):
    of = {"p/sum": {"rests_on": ["p/part"]}, "p/part": {"clips": 2, "models": ["toy/I3D"]}}
    monkeypatch.setattr(stale, "settings", lambda name, profile: of.get(name, {}))
    for name in ("p/sum", "p/part", "p/other"):
        projects.notebook(project, name, "1")
    table, weights = project / "figures/p/part.csv", stale.checkpoint("toy/I3D")
    for file in (table, weights):
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text("before")
    for name in ("p/sum", "p/other"):
        executed(project, name)
    for file, said in (
        (table, "the table of p/part changed"),
        (weights, "data/checkpoints/toy/I3D.safetensors changed"),
    ):
        file.write_text("after it")
        assert stale.why_stale("p/sum", OPTIONS) == said and stale.why_stale("p/other", OPTIONS) is None
        executed(project, "p/sum")
    of["p/part"]["clips"] = 3
    assert stale.why_stale("p/sum", OPTIONS) == "the settings of p/part changed"


def on_data(root, label="sit"):
    """Put a video of one's own under a data root."""
    (root / "videos" / label).mkdir(parents=True)
    (root / "videos" / label / "a.mp4").write_bytes(b"video")
    return root


def test_a_notebook_on_public_data_depends_on_the_data_root_and_the_files_there(project, monkeypatch):
    def why(name, **options):
        stale._state_of.cache_clear()  # as in another run
        return stale.why_stale(name, stale.Options(**options))

    here, there = on_data(project / "here"), on_data(project / "there")
    monkeypatch.setenv("PAPERLIB_DATA", str(here))
    projects.notebook(project, "p/settings", "1")
    projects.notebook(project, "p/code", "from paperlib import data\ndata.load('folder')")
    projects.notebook(project, "p/none", "folder = {'folder': 1}['folder']")
    of = {"p/settings": {"models": ["folder/I3D"]}}
    monkeypatch.setattr(stale, "settings", lambda name, profile: of.get(name, {"frames": 8}))
    for name in ("p/settings", "p/code", "p/none"):
        executed(project, name)
    for name in ("p/settings", "p/code"):
        assert why(name, data_root=str(here)) is None  # named either way
        assert why(name, data_root=str(there)).startswith("the data root changed")
    with monkeypatch.context() as patched:
        patched.delenv("PAPERLIB_DATA")
        assert why("p/code") == "the data root changed, and 1 more" and why("p/none") is None
    (here / "videos/sit/b.mp4").write_bytes(b"one more")
    assert why("p/code") == why("p/settings") == "the data set folder changed" and why("p/none") is None
    executed(project, "p/code")
    shutil.rmtree(here)
    assert why("p/code") == "the data set folder changed"


def test_modules_beside_a_notebook_count_with_what_they_import(project):
    folder = project / "notebooks/p"
    code = "import helper, numpy\nfrom parts.inner import f\nfrom paperlib import loop_a"
    projects.notebook(project, "p/n", code)
    projects.notebook(project, "p/other", "x = 1")
    (folder / "parts").mkdir()
    files = {
        "helper.py": "import further\nfrom paperlib import masks",
        "further.py": "import helper",
        "parts/__init__.py": "",
        "parts/inner.py": "from .deeper import f",
        "parts/deeper.py": "f = 1",
        "parts/table.csv": "1",
        "unused.py": "",
        "masks.py": "",
    }
    for name, text in files.items():
        (folder / name).write_text(text)
    used = stale.uses("p/n")
    assert {f.relative_to(folder).as_posix() for f in used if f.is_relative_to(folder)} == files.keys() - {
        *("unused.py", "masks.py")  # of the library, by another name
    }
    assert {"masks.py", "loop_b.py"} <= names(f for f in used if not f.is_relative_to(folder))
    assert stale.uses("p/other") == stale.library(["paperlib"])
    projects.notebook(project, "p/other", "import report")  # not paperlib.report, nor a module beside it
    assert stale.uses("p/other") == stale.library(["paperlib"])
    executed(project, "p/n")
    (folder / "parts/deeper.py").write_text("f = 2")
    assert stale.why_stale("p/n", OPTIONS) == "notebooks/p/parts/deeper.py changed"
    for text in (b"no Python", b"from . import further", b"word = '\xe9'"):  # out of a package, not UTF-8
        (folder / "helper.py").write_bytes(text)
        assert {folder / "helper.py", folder / "parts/deeper.py", stale.PACKAGE / "unused.py"} <= set(stale.uses("p/n"))


def test_a_skipped_notebook_is_tried_again(project):
    projects.writer(project, "p/n")
    executed(project, "p/n")
    done = json.loads(stale.record("p/n", OPTIONS).read_text())
    stale.record("p/n", OPTIONS).write_text(json.dumps({**done, "status": "skipped"}))
    assert stale.why_stale("p/n", OPTIONS) == "was skipped"


def test_a_file_that_is_no_notebook_is_named_and_does_not_stop_the_others(project):
    projects.writer(project, "p/good")
    (project / "notebooks/p/bad.ipynb").write_text("{}")
    assert stale.notebooks() == ["p/bad", "p/good"]
    assert stale.why_stale("p/bad", OPTIONS) == "not executed yet"
    assert execute.stale.files("p/bad", OPTIONS)
    with pytest.raises(InputError, match=r"bad\.ipynb is not a notebook"):
        stale.cells("p/bad")


def test_jupyter_checkpoints_are_no_notebooks(project):
    projects.writer(project, "p/n")
    projects.writer(project, ".ipynb_checkpoints/n-checkpoint")
    assert stale.notebooks() == ["p/n"]


def test_checkpoints_come_from_the_settings_and_the_zoo(project):
    projects.writer(project, "p/n")
    assert stale.checkpoints("p/n", OPTIONS) == []  # neither there nor known: the notebook will say so itself
    (project / "data").mkdir()
    (project / "data/zoo.yaml").write_text(
        "models:\n- {model: I3D, dataset: synth_ssv2, init_from: synth_ssv2/small}\n"
        "- {model: I3D, dataset: synth_ssv2, suffix: '-16', epochs: 1, seeds: 2}\n"
    )
    sixteen = {"synth_ssv2/I3D-16": None, "synth_ssv2/I3D-16-s1": None}
    assert stale.recipes() == {"synth_ssv2/I3D": "synth_ssv2/small", **sixteen}
    assert stale.checkpoints("p/n", OPTIONS) == ["synth_ssv2/I3D"]


def test_modules_imported_by_name_count(project):
    (stale.PACKAGE / "deep/__init__.py").write_text(
        'import importlib\nPLACES = {"a": "paperlib.loop_a", "b": "inner"}\n'
        'def load(name):\n    return importlib.import_module(f"{__name__}.{PLACES[name]}")\n'
    )
    assert {"loop_a.py", "loop_b.py", "deep/inner.py"} <= names(stale.library(["paperlib.deep"]))


def test_public_names_stand_for_what_they_are_and_count_only_where_they_are_used():
    def used(code):
        return names(stale.library({"paperlib", *stale.imports(code)}))

    assert used("import paperlib\npaperlib.__version__") == {"__init__.py"}
    assert "explanation/explaining.py" in used("import paperlib\nfound = paperlib.explain(video, model)")
    assert "explanation/explaining.py" in used("from paperlib import explain")
    assert {"masks/__init__.py", "masks/learn.py"} <= used("import paperlib\npaperlib.masks.learn")
    assert "gradcam/blobs.py" in used("from paperlib import blobs") and "gradcam/blobs.py" not in used(
        "import paperlib"
    )


def test_the_real_library_is_followed_into_its_datasets():
    used = {f.relative_to(stale.PACKAGE).as_posix() for f in stale.library(["paperlib.data.public"])}
    there = {f.relative_to(stale.PACKAGE).as_posix() for f in (stale.PACKAGE / "data/public").rglob("*.py")}
    assert there and there <= used and "cli.py" not in used
    shown = names(stale.library(["paperlib.explanation.page", "paperlib.papers.published"]))
    assert {"explanation/front/page.js", "explanation/front/page.css", "papers/published/statements.csv"} <= shown
    assert not any(name.startswith("papers/profiles/") for name in shown)
