"""What holds for every notebook and every file of the repository."""

import ast
import json
import re
import subprocess

import nbformat
import pytest
import yaml

from paperlib.companion import stale
from paperlib.papers.settings import settings
from paperlib.storage import paths

ROOT = paths.ROOT
NOTEBOOKS = sorted(paths.NOTEBOOKS.glob("*/*.ipynb"))
PAPERS = ("temporal_relevance", "video_features", "deep_analysis")
NAMES = [f"{f.parent.name}/{f.stem}" for f in NOTEBOOKS]
LINES = 15
UNSAFE = ("read_pickle", "unsafe_load", "full_load", "system", "popen", "exec", "load_module")
INSTRUMENTS = {  # what shows one, by the call that a reader sees; behind it, the modules that hold them
    *("relevance.relevance_matrix", "relevance.pixel_relevance", "relevance.frame_provenance", "relevance.atr"),
    *("masks.learn", "masks.learn_from_window", "gradcam.raw_maps", "gradcam.video_gradcam"),
    *("sampling.partial_uniform", "truth.shapley.exact"),
}
BEHIND = ("relevance/matrix.py", "masks/learn.py", "gradcam/maps.py")
SHOWING = [name for name in NAMES if name.startswith(("temporal_relevance/", "video_features/", "beyond/"))]
PARAMETERS = {"profile": "mini", "data_root": "", "device": "auto", "seed": 0}


def tracked():
    try:
        listed = subprocess.run(["git", "-C", str(ROOT), "ls-files", "-z"], capture_output=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        pytest.skip("not a git checkout")
    return [ROOT / name for name in listed.stdout.decode().split("\0") if name and (ROOT / name).is_file()]


def read(file):
    return nbformat.read(file, as_version=4)


@pytest.mark.parametrize("file", NOTEBOOKS, ids=NAMES)
def test_notebook_is_valid_without_outputs_and_in_short_cells(file):
    notebook = read(file)
    nbformat.validate(notebook)
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    assert notebook.cells[0].cell_type == "markdown"
    assert [cell for cell in code if cell.outputs or cell.execution_count] == []
    longest = max(len([line for line in cell.source.splitlines() if line.strip()]) for cell in code)
    assert longest <= LINES


@pytest.mark.parametrize("file", NOTEBOOKS, ids=NAMES)
def test_notebook_shows_its_figure_and_settings_and_ends_with_something_to_try(file):
    cells = read(file).cells
    shown = re.findall(r"!\[[^]]+\]\(([^)]+)\)", cells[0].source)
    assert shown and all((file.parent / link).resolve().is_relative_to(ROOT / "figures") for link in shown)
    assert any("settings_table()" in cell.source for cell in cells)
    assert cells[-2].source.startswith("## Try it") and cells[-1].cell_type == "code"


@pytest.mark.parametrize("name", SHOWING)
def test_notebook_that_shows_an_instrument_calls_it_in_sight(name):
    trees = [ast.parse(source) for kind, source, _ in stale.cells(name) if kind == "code"]
    reached = stale.library(set().union(*(stale.imports(ast.unparse(tree)) for tree in trees)))
    if not {stale.PACKAGE / file for file in BEHIND} & set(reached):
        return  # architectures, printed tables or headers only: nothing it imports asks a network about a clip
    called = {ast.unparse(n.func) for tree in trees for n in ast.walk(tree) if isinstance(n, ast.Call)}
    assert called & INSTRUMENTS


@pytest.mark.parametrize("file", NOTEBOOKS, ids=NAMES)
def test_notebook_takes_the_four_parameters_and_reports_under_its_own_name(file):
    code = [cell for cell in read(file).cells if cell.cell_type == "code"]
    tagged = [cell for cell in code if "parameters" in cell.metadata.get("tags", [])]
    assert len(tagged) == 1 and tagged[0] is code[0]
    given = {node.targets[0].id: ast.literal_eval(node.value) for node in ast.parse(tagged[0].source).body}
    assert given == PARAMETERS
    source = "".join(cell.source for cell in code).replace("\n", "")
    assert re.search(rf'report\.start\( *"{file.parent.name}/{file.stem}"', source)


@pytest.mark.parametrize("file", NOTEBOOKS, ids=NAMES)
def test_notebook_does_not_ask_which_profile_it_runs_under(file):
    tree = ast.parse(
        "\n".join(
            cell.source
            for cell in read(file).cells
            if cell.cell_type == "code" and not cell.source.startswith(("%", "!"))
        )
    )
    compared = [
        node
        for node in ast.walk(tree)
        if isinstance(node, ast.Compare) and any(isinstance(n, ast.Name) and n.id == "profile" for n in ast.walk(node))
    ]
    assert not compared


def test_profiles_name_only_notebooks_and_checkpoints_that_exist():
    from paperlib.papers.settings import spelled_out
    from paperlib.training import zoo

    known = zoo.recipes()
    mini = yaml.safe_load((ROOT / "paperlib/papers/profiles/mini.yaml").read_text())
    assert set(mini["notebooks"]) <= set(NAMES)
    listed = [model for entry in mini["notebooks"].values() for model in (entry or {}).get("models", [])]
    assert [key for model in listed for key in spelled_out(model) if key not in known] == []


def test_files_are_small():
    assert [f for f in tracked() if f.stat().st_size > 6_000_000] == []


def test_modules_stay_readable():
    long = {
        f.relative_to(ROOT).as_posix(): n
        for f in sorted((ROOT / "paperlib").rglob("*.py"))
        if (n := len(f.read_text(encoding="utf-8").splitlines())) > 410
    }
    assert long == {}


def test_checkpoints_stay_small():
    size = {f"{f.parent.name}/{f.stem}": f.stat().st_size for f in paths.CHECKPOINTS.rglob("*.safetensors")}
    starts = stale.recipes()
    relevance = {
        key
        for name in NAMES
        if name.startswith("temporal_relevance/")
        for key in settings(name, "mini").get("models", [])
    }
    while more := {starts[key] for key in relevance if starts.get(key)} - relevance:
        relevance |= more
    people = {key for key in size if key.startswith(("nagoya_fir/", "weizmann/"))}  # 60 folds
    assert sum(size.get(key, 0) for key in relevance) < 110e6  # with all training runs of the core comparisons
    assert sum(size.values()) < 170e6  # while the harder sets stand beside those that they are to replace
    assert sum(size[key] for key in people) < 30e6


def test_pickles_are_never_loaded():
    # The one exception unpickles arrays of strings and refuses everything else; it has tests of its own.
    strings_only = ROOT / "paperlib/data/public/nagoya.py"
    for file in set((ROOT / "paperlib").rglob("*.py")) - {strings_only}:
        tree = ast.parse(file.read_text(encoding="utf-8"))
        for node in ast.walk(tree):
            if isinstance(node, ast.Import | ast.ImportFrom):
                names = [alias.name for alias in node.names] + [getattr(node, "module", "") or ""]
                assert "pickle" not in names, file
            if isinstance(node, ast.Call) and ast.unparse(node.func) in ("torch.load", "np.load", "numpy.load"):
                options = {k.arg: ast.unparse(k.value) for k in node.keywords}
                assert options.get("weights_only") == "True" or options.get("allow_pickle", "False") == "False", file
                if ast.unparse(node.func) == "torch.load":
                    assert options.get("weights_only") == "True", file
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute | ast.Name):
                called = node.func.attr if isinstance(node.func, ast.Attribute) else node.func.id
                if called in ("get_state_dict", "load_state_dict_from_url"):  # both unpickle what they download
                    assert "weights_only=True" in ast.unparse(node), file
                assert called not in UNSAFE, f"{file}: {called}"
                assert "shell=True" not in ast.unparse(node), file


def test_jupyter_is_only_started_on_this_machine_and_behind_a_token():
    for file in tracked():
        if file.suffix in (".py", ".sh") or file.parent.name == ".ci":
            text = file.read_text(encoding="utf-8")
            for address in re.findall(r"(?:ServerApp\.|--)ip=([^\s\"',]+)", text):
                assert address in ("127.0.0.1", "localhost", "::1"), file
            assert not re.search(r"(token|password)=(''|\"\"|[\"'\s,])", text, re.MULTILINE), file
            for command in re.findall(r"\[[^]]*[\"'](?:jupyterlab|jupyter|jupyter-lab)[\"'][^]]*\]", text):
                if "subprocess" in text and "no-browser" in command:
                    assert "ServerApp.ip=" in command and "token={" in command, file


def test_every_figure_in_the_repository_belongs_to_a_notebook():
    stems = {
        f"{f.parent.name}/{f.name.partition('.')[0]}"
        for f in tracked()
        if f.is_relative_to(paths.FIGURES) and len(f.relative_to(paths.FIGURES).parts) == 2
    }
    assert stems <= set(NAMES)


def test_claims_in_the_repository_are_the_merge_of_the_notebooks_claims(tmp_path):
    import shutil

    from paperlib.papers import claims

    merged = paths.FIGURES / "claims.csv"
    if not merged.is_file():
        pytest.skip("no claims yet")
    for file in paths.FIGURES.glob("*/*.claims.csv"):
        (tmp_path / file.parent.name).mkdir(exist_ok=True)
        shutil.copy(file, tmp_path / file.parent.name)
    claims.merge(tmp_path)
    assert (tmp_path / "claims.csv").read_bytes() == merged.read_bytes()


def test_notebook_metadata_asks_for_plain_python():
    for file in NOTEBOOKS:
        assert json.loads(file.read_text(encoding="utf-8"))["metadata"]["kernelspec"]["name"] == "python3", file
