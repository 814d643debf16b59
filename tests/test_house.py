"""The house: which rooms the package has, which way its imports run, what its files are called and how they look."""

import ast
import dataclasses
import importlib
import re
import subprocess
import sys
from collections import defaultdict
from functools import cache
from pathlib import Path

import pytest

import paperlib
from paperlib.storage import paths

PACKAGE = paths.ROOT / "paperlib"
# Top floor first; a room imports from lower floors and from itself.
FLOORS = [
    {"cli", "commands"},
    {"companion", "shards", "widgets"},
    {"papers"},
    {"explanation", "truth"},
    {"relevance", "masks", "gradcam"},
    {"training"},
    {"models"},
    {"data", "tracing"},
    {"storage", "convolution"},
    {"errors"},
]
LONGEST = 400  # lines of a file


def room(module):
    """Return the room of a module, its name's second part."""
    return (module.split(".") + [""])[1]


def floor(name):
    """Return the floor a room is on, 1 being the ground."""
    return len(FLOORS) - next(k for k, rooms in enumerate(FLOORS) if name in rooms)


@cache
def modules():
    """Return {module: file} of the package."""
    files = [f for f in sorted(PACKAGE.rglob("*.py")) if "__pycache__" not in f.parts]
    return {".".join(f.relative_to(paths.ROOT).with_suffix("").parts).removesuffix(".__init__"): f for f in files}


@cache
def arrows():
    """Return {(importing module, imported module): names taken} of the whole package, imports in functions too."""
    found = defaultdict(set)
    for module, file in modules().items():
        package = module if file.name == "__init__.py" else module.rpartition(".")[0]
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Import):
                taken = [(alias.name, "") for alias in node.names]
            elif isinstance(node, ast.ImportFrom):
                above = package.split(".")[: len(package.split(".")) - node.level + 1] if node.level else []
                base = ".".join([*above, *([node.module] if node.module else [])])
                taken = [(base, alias.name) for alias in node.names]
            else:
                continue
            for base, name in taken:
                target = f"{base}.{name}" if f"{base}.{name}" in modules() else base
                if target in modules() and target != module:
                    found[module, target].add(name or base)
    return dict(found)


def test_every_room_is_on_a_floor_and_there_are_few():
    rooms = {f.stem for f in PACKAGE.iterdir() if not f.name.startswith("__")}
    assert rooms - set().union(*FLOORS) == set()
    assert len(list(f for f in PACKAGE.iterdir() if f.name != "__pycache__")) <= 20


def test_no_import_runs_upwards():
    wrong = [
        f"{modules()[a].relative_to(paths.ROOT)} imports {', '.join(sorted(names))} from "
        f"{modules()[b].relative_to(paths.ROOT)}, which is on floor {floor(room(b))}, not below {floor(room(a))}"
        for (a, b), names in arrows().items()
        if room(a) and room(b) and room(a) != room(b) and floor(room(b)) >= floor(room(a))
    ]
    assert wrong == []


def test_no_imports_go_round_in_a_circle():
    ahead = defaultdict(set)
    for a, b in arrows():
        ahead[a].add(b)

    def reached(start):
        seen, queue = set(), [start]
        while queue:
            for b in ahead[queue.pop()] - seen:
                seen.add(b)
                queue.append(b)
        return seen

    far = {module: reached(module) for module in modules()}
    # A package's face that hands on what lies inside is no circle: its files import each other, not the face.
    circles = [
        f"{modules()[a].relative_to(paths.ROOT)} <-> {modules()[b].relative_to(paths.ROOT)} "
        f"({', '.join(sorted(arrows()[a, b]))})"
        for a, b in arrows()
        if a in far[b]
    ]
    assert circles == []


def test_no_two_modules_outside_the_papers_share_a_name():
    named = defaultdict(list)
    for module, file in modules().items():
        if room(module) != "papers" and file.name not in ("__init__.py", "__main__.py"):
            named[file.stem].append(module)
    assert {name: twice for name, twice in named.items() if len(twice) > 1} == {}


def test_the_package_shows_its_public_names_and_no_others():
    rooms = {"data", "explanation", "gradcam", "masks", "models", "relevance", "shards", "truth", "widgets"}
    public = {"artifact", "blobs", "checkpoints", "explain", "Explanation", "report", *rooms}
    assert set(dir(paperlib)) == {*public, "__version__"}
    taken = {}
    exec("from paperlib import *", taken)
    assert set(taken) - {"__builtins__"} == public - {"shards", "widgets"}  # these need more than the library
    for name in public:
        assert getattr(paperlib, name).__name__.rpartition(".")[2] == name
    with pytest.raises(AttributeError, match="'paperlib' has no attribute 'importlib_'"):
        _ = paperlib.importlib_


def test_every_room_says_what_it_is_for_and_what_it_may_import():
    for folder in [f for f in PACKAGE.iterdir() if f.is_dir() and f.name != "__pycache__"]:
        said = ast.get_docstring(ast.parse((folder / "__init__.py").read_text(encoding="utf-8"))) or ""
        assert "May import" in said or "Imports no other room" in said, folder.name


def test_what_a_public_result_holds_is_said_where_help_shows_it():
    rooms = [importlib.import_module(f"paperlib.{name}") for name in ("relevance", "masks", "truth", "data")]
    kinds = [getattr(room, name) for room in rooms for name in room.__all__]
    kinds = [k for k in kinds if isinstance(k, type) and (dataclasses.is_dataclass(k) or issubclass(k, tuple))]
    assert len(kinds) > 4
    for kind in kinds:
        fields = getattr(kind, "_fields", None) or [field.name for field in dataclasses.fields(kind)]
        said = set(re.findall(r"\w+", kind.__doc__))
        assert set(fields) - said == set(), kind.__name__


def test_what_the_rooms_name_is_there():
    wrong = []
    for folder in [f for f in PACKAGE.iterdir() if f.is_dir() and f.name != "__pycache__"]:
        said = ast.get_docstring(ast.parse((folder / "__init__.py").read_text(encoding="utf-8")))
        for named in re.findall(r"`([a-zA-Z_][\w.]*)`", said):
            first, *rest = named.removeprefix("paperlib.").split(".")
            places = (f"paperlib.{folder.name}", "paperlib")
            wrong += [] if named == "paperlib" or any(leads_to(p, [first, *rest]) for p in places) else [named]
    assert wrong == []


def leads_to(module, names):
    """Whether the names lead from a module to one inside of it, or to a name that it has, one after the other."""
    found = importlib.import_module(module)
    for name in names:
        inside = f"{getattr(found, '__name__', '')}.{name}"
        found = importlib.import_module(inside) if inside in modules() else getattr(found, name, None)
    return found is not None


def test_files_stay_short():
    files = [*modules().values(), *Path(__file__).parent.rglob("*.py")]
    long = {f.relative_to(paths.ROOT).as_posix(): f.read_text(encoding="utf-8").count("\n") for f in files}
    assert {name: lines for name, lines in long.items() if lines > LONGEST} == {}


@pytest.mark.parametrize("arguments", [("check",), ("format", "--check")], ids=["check", "format"])
def test_ruff_is_content(arguments):
    done = subprocess.run(
        [sys.executable, "-m", "ruff", *arguments, "."], cwd=paths.ROOT, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.slow
def test_types_of_public_functions_hold():
    done = subprocess.run([sys.executable, "-m", "mypy"], cwd=paths.ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout
