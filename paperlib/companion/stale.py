"""Which notebooks there are, what each one depends on, and whether its results are up to date.

A run leaves one record per notebook in `data/cache/runs/<profile>/` with the SHA-256 of everything that went
in (notebook, settings, checkpoints, the library modules it imports, package versions) and of every figure and
table that came out. A notebook is up to date when both still match. Modification times play no part, so a
fresh clone, a branch switch or a touched file does the right thing.

Why not Snakemake's own triggers: they compare times, or checksums of small files listed as inputs; they do not follow
a notebook into the modules it imports, nor leave its outputs and editor metadata out of account. And why not the
standard library's modulefinder: it follows every import into torch, and misses what is imported by name.
"""

import ast
import glob
import hashlib
import importlib.util
import json
import re
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from .. import MODULES, NAMES
from ..data.public import ADAPTERS, locate
from ..errors import InputError
from ..papers.settings import settings
from ..storage import paths, software, zoo_lists

PACKAGE = Path(__file__).parents[1]
# what `paperlib.name` is, for names that are no module of the package itself
PUBLIC = {f"paperlib.{name}": f"paperlib.{place}" for name, place in {**MODULES, **NAMES}.items()}
UNREADABLE = (SyntaxError, ValueError, ImportError)  # no Python, no text, relative imports out of a package


@dataclass(frozen=True)
class Options:
    """What a run was asked for, as far as results depend on it."""

    profile: str = "mini"
    data_root: str = ""
    device: str = "auto"


def notebooks():
    """Return the names `<paper>/<notebook>` of all notebooks, sorted."""
    files = paths.NOTEBOOKS.glob("*/*.ipynb")
    return sorted(
        f.relative_to(paths.NOTEBOOKS).with_suffix("").as_posix()
        for f in files
        if not any(part.startswith(".") for part in f.relative_to(paths.NOTEBOOKS).parts)
    )


def source(name):
    """Return the path of a notebook."""
    return paths.NOTEBOOKS / f"{name}.ipynb"


def cells(name):
    """Return a notebook's cells as (type, source, tags); outputs and editor metadata do not count."""
    try:
        content = json.loads(source(name).read_text(encoding="utf-8"))
        return [
            (cell["cell_type"], "".join(cell["source"]), cell.get("metadata", {}).get("tags", []))
            for cell in content["cells"]
        ]
    except (ValueError, KeyError, TypeError) as error:
        raise InputError(f"{source(name)} is not a notebook in format 4 ({error!r})") from None


def records(options):
    """Return the folder of the profile's run records."""
    return paths.CACHE / "runs" / Path(options.profile).stem


def record(name, options):
    """Return the path of a notebook's run record."""
    return records(options) / f"{name}.json"


@cache
def imports(code, package=""):
    """Return the names of modules that a piece of Python imports, anywhere in it, and of what it imports from them.

    Where it calls import_module, every string in it counts that could name a module of its own package.
    """
    found, tree = set(), ast.parse(code)
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:
                base = importlib.util.resolve_name("." * node.level + base, package)
            found.add(base)
            found.update(f"{base}.{alias.name}" for alias in node.names)
        elif isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == "paperlib":
            found.add(f"paperlib.{node.attr}")
    if "import_module" in code:
        strings = {node.value for node in ast.walk(tree) if isinstance(node, ast.Constant)} - {None}
        dotted = {text for text in strings if isinstance(text, str) and text.replace(".", "_").isidentifier()}
        found.update(dotted, {f"{package}.{text}" for text in dotted})
    return frozenset(found)


def module_file(name, folder=None):
    """Return the file of a module, by default of paperlib, or None where the name is not a module (a function, say)."""
    base = (folder or PACKAGE.parent).joinpath(*name.split("."))
    return next((f for f in (base / "__init__.py", base.with_suffix(".py")) if f.is_file()), None)


def library(names, beside=None):
    """Return the files of the given modules of paperlib, or of the folder `beside`, and of all that they import.

    Data files of a package count, other packages do not; where ast cannot read a module the whole library does, and
    whatever lies in the folder `beside`.
    """
    files, seen, queue = set(), set(), list(names)
    places = {f.stem: beside for f in beside.iterdir()} if beside else {}
    places["paperlib"] = PACKAGE.parent
    while queue:
        parts = queue.pop().split(".")
        for name in (".".join(parts[:i]) for i in range(1, len(parts) + 1)):  # importing a.b runs a/__init__ first
            if name in seen or parts[0] not in places:
                continue
            seen.add(name)
            file = module_file(name, places[parts[0]])
            if file is None and name in PUBLIC:
                queue.append(PUBLIC[name])
            if file is None or file in files:
                continue
            files.add(file)
            if file == PACKAGE / "__init__.py":  # it imports what it is asked for
                continue
            if file.name == "__init__.py" and file.parent != PACKAGE:
                files.update(_data(file.parent))
            package = name if file.name == "__init__.py" else name.rpartition(".")[0]
            try:
                queue.extend(imports(file.read_text(encoding="utf-8"), package))
            except UNREADABLE:
                files.update(_everything(beside))
    return sorted(files)


def _data(package):
    """Return the data files of a package, also those in folders below it that are no packages themselves."""
    others = [f for f in package.iterdir() if f.suffix not in (".py", ".pyc")]
    below = [f for f in others if f.is_dir() and not (f / "__init__.py").exists()]
    return {f for f in others if _counts(f)}.union(*map(_data, below))


def _everything(beside):
    """Return the files of the library and of the folder `beside`, unless it is None, but no other notebooks."""
    found = {*PACKAGE.rglob("*"), *(beside.rglob("*") if beside else ())}
    return sorted(f for f in found if _counts(f) and f.suffix != ".ipynb")


def _counts(file):
    """Whether results may depend on a file as it is; on a profile they depend by what their settings say."""
    hidden = file.suffix == ".pyc" or file.name.startswith(".") or file.parent == PACKAGE / "papers" / "profiles"
    return not hidden and file.is_file()


def uses(name):
    """Return the files that a notebook's code uses: modules of the library and beside the notebook, see `library`."""
    try:
        names = {"paperlib"}.union(*map(imports, code(name)))
    except UNREADABLE:
        return _everything(source(name).parent)
    return library(names, source(name).parent)


def code(name):
    """Return the code cells of a notebook without IPython's own lines; [] for a file that is no notebook."""
    try:
        found = cells(name)
    except InputError:
        return []  # executing it will say what is wrong
    lines = (text.splitlines() for kind, text, _ in found if kind == "code")
    return ["\n".join(line for line in cell if not line.startswith(("%", "!", "?"))) for cell in lines]


def public(name, options):
    """Return the names of the public data sets that a notebook's settings or its code name."""
    texts = set(_strings(list(settings(name, options.profile).values()))).union(*map(_said, code(name)))
    return sorted({text.partition("/")[0] for text in texts} & ADAPTERS.keys())


@cache
def _said(text):
    """Return the strings in a piece of Python but its keys: "frames" may be a data set, settings["frames"] is none."""
    try:
        nodes = list(ast.walk(ast.parse(text)))
    except UNREADABLE:
        return frozenset(re.findall(r"\w+", text))  # every word
    keys = {id(node.slice) for node in nodes if isinstance(node, ast.Subscript)}
    keys |= {id(key) for node in nodes if isinstance(node, ast.Dict) for key in node.keys}
    constants = (node for node in nodes if isinstance(node, ast.Constant) and id(node) not in keys)
    return frozenset(node.value for node in constants if isinstance(node.value, str))


@cache
def _state_of(dataset, root):
    """Return a digest of a public data set's files, as they are when this process first asks."""
    from ..data import fingerprint  # many notebooks need none

    try:
        return fingerprint.of_folder(locate(dataset, root, explain=False)) if root else "missing"
    except InputError:
        return "missing"


def recipes():
    """Return {`<dataset>/<checkpoint>`: what it starts from, or None} of the models in the lists of the zoo."""
    return {key: entry.get("init_from") for key, entry in zoo_lists.entries()}


def checkpoint(key):
    """Return the file of the checkpoint `<dataset>/<name>`."""
    return paths.CHECKPOINTS / f"{key}.safetensors"


def checkpoints(name, options):
    """Return the keys of the checkpoints that a notebook's settings name and that exist or can be trained."""
    known = recipes()
    return sorted(
        {
            text
            for text in _strings(settings(name, options.profile))
            if text.count("/") == 1 and (text in known or checkpoint(text).is_file())
        }
    )


def rests_on(name, options):
    """Return the notebooks whose settings or table a notebook takes up, as its settings say (`rests_on`)."""
    return settings(name, options.profile).get("rests_on", [])


def files(name, options):
    """Return every file a notebook's result depends on: itself, its checkpoints, the library code it uses."""
    return [source(name), *(checkpoint(key) for key in checkpoints(name, options)), *uses(name)]


def needed(name, options, train=False):
    """Return the files that must be there before a notebook is executed.

    A checkpoint that is missing counts only where it may be trained; otherwise the notebook itself says what it
    lacks and is listed as skipped.
    """
    return [file for file in files(name, options) if train or file.is_file()]


def inputs(name, options):
    """Return {what: digest} of everything a notebook's result depends on."""
    notebook, *others = files(name, options)
    found = {
        "the notebook": _notebook_sha(name),
        "its settings": _settings_sha(name, options),
        "the options": _sha(json.dumps([options.profile, options.device]).encode()),
        "installed packages": _sha(json.dumps(software.versions()).encode()),
    }
    below = rests_on(name, options)
    for other in below:
        found[f"the settings of {other}"] = _settings_sha(other, options)
        found[f"the table of {other}"] = _digest(paths.figures(options.profile) / f"{other}.csv")
        others += [checkpoint(key) for key in checkpoints(other, options)]
    used = sorted({dataset for one in (name, *below) for dataset in public(one, options)})
    root = paths.data_root(options.data_root)
    found |= {"the data root": root} if used else {}
    found |= {f"the data set {dataset}": _state_of(dataset, root) for dataset in used}
    for file in others:
        shown = file.relative_to(PACKAGE.parent if file.is_relative_to(PACKAGE) else paths.ROOT).as_posix()
        found[shown] = _digest(file)
    return found


def results(name, figures):
    """Return the files that lie in a figures folder for a notebook, sorted; those of a notebook `n.2` are not `n`'s."""
    place, beside = glob.escape(source(name).stem), source(name).parent
    longer = tuple(f"{other.stem}." for other in beside.glob(f"{place}.*.ipynb"))
    return sorted(f for f in (figures / name).parent.glob(f"{place}.*") if not f.name.startswith(longer))


def outputs(name, options):
    """Return {file name: digest} of what lies in the profile's figures folder for a notebook."""
    return {f.name: _digest(f) for f in results(name, paths.figures(options.profile)) if f.is_file()}


def read_record(name, options):
    """Return a notebook's run record, or None where there is none that can be read."""
    try:
        content = json.loads(record(name, options).read_text(encoding="utf-8"))
        return content if {"status", "seconds", "inputs", "outputs"} <= content.keys() else None
    except (OSError, ValueError, AttributeError):
        return None


def provenance(name, figures):
    """Return what lies beside a notebook's results (`<notebook>.json`); {} where nothing does that can be read."""
    try:
        content = json.loads((figures / f"{name}.json").read_text(encoding="utf-8"))
        return content if isinstance(content, dict) else {}
    except (OSError, ValueError):
        return {}


def why_stale(name, options):
    """Return in words why a notebook has to be executed, or None when its results are up to date."""
    done, ending = read_record(name, options), provenance(name, paths.figures(options.profile))
    if ending.get("status") == "failed":
        return f"failed: {ending.get('reason')}"
    if ending.get("status") == "running":
        return "has not ended"
    if done is None:
        return "not executed yet"
    if done["status"] != "ok":
        return f"was {done['status']}"
    now = inputs(name, options)
    changed = sorted(key for key in now.keys() | done["inputs"].keys() if now.get(key) != done["inputs"].get(key))
    if changed:
        return f"{changed[0]} changed" + (f", and {len(changed) - 1} more" if changed[1:] else "")
    there = outputs(name, options)
    for file, digest in done["outputs"].items():
        if file not in there:
            return f"{file} is missing"
        if there[file] != digest and not file.endswith((".ipynb", ".json")):  # people open those and save them
            return f"{file} is not the file that was written"
    return None


def forget_if_stale(name, options):
    """Remove the run record of a notebook that has to be executed; Snakemake then sees a missing file."""
    if why_stale(name, options):
        record(name, options).unlink(missing_ok=True)


def page_digest(figures):
    """Return a digest of everything that the gallery of a figures folder is made from, the gallery's code included."""
    digest = hashlib.sha256()
    made_by = [PACKAGE / "companion/gallery.py", PACKAGE / "companion/gallery.html.j2", PACKAGE / "papers/claims.py"]
    merged = [figures / "claims.csv", figures / "checks.csv"]
    shown = [f for f in sorted([*merged, *figures.glob("*/*")]) if not f.name.startswith(".")]
    for file in [*made_by, *shown, *(source(name) for name in notebooks())]:
        if file.is_file():
            digest.update(f"{file.parent.name}/{file.name} {_digest(file)}\n".encode())
    return digest.hexdigest()


def page_is_current(figures):
    """Whether the gallery of a figures folder, and its ledger of all claims, show what is there now."""
    page = figures / "index.html"
    try:
        with open(page, encoding="utf-8") as opened:
            return f'content="{page_digest(figures)}"' in opened.read(2000)
    except OSError:
        return False


def _strings(value):
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for key, item in value.items():
            yield from _strings(key)
            yield from _strings(item)
    elif isinstance(value, list):
        for item in value:
            yield from _strings(item)


def _notebook_sha(name):
    try:
        return _sha(json.dumps(cells(name)).encode())
    except InputError:
        return _sha(source(name).read_bytes())


def _settings_sha(name, options):
    return _sha(json.dumps(settings(name, options.profile), sort_keys=True, default=str).encode())


def _digest(file):
    """Return the digest of a file's content, or "missing"."""
    stat = file.stat() if file.is_file() else None
    return _file_sha(file, stat.st_mtime_ns, stat.st_size) if stat else "missing"


def _sha(content):
    return hashlib.sha256(content).hexdigest()


@cache
def _file_sha(file, mtime_ns, size):
    return _sha(file.read_bytes())
