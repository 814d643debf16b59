"""The library alone: its wheel, without the companion's packages, in an environment and a folder of its own."""

import subprocess
import sys
import sysconfig
import venv
import zipfile
from email.parser import Parser

import pytest
from PIL import Image

from paperlib.storage import paths

COMPANION = ("jupyterlab", "papermill", "snakemake", "ipywidgets", "anywidget", "pooch", "pyarrow", "jinja2")
USE = """
import torch
import paperlib
from paperlib import *
from paperlib.errors import InputError

network = models.create("TAM2D-R18-f4", num_classes=3, width=8).eval()
clips = torch.rand(1, 3, 4, 32, 32)
matrix = relevance.relevance_matrix(network, clips, [0])
learned = masks.learn(network, clips, [0], iterations=2)
cams = gradcam.video_gradcam(network, clips, [0])
print(tuple(matrix.shape), tuple(learned.mask.shape), tuple(cams.shape), len(blobs.measure(cams)) > 0)
print(tuple(relevance.atr(matrix, network.frame_logits(clips)[..., 0]).avg.shape))
found = paperlib.explain(clips[0], network, iterations=2)
found.save("found.html")
print(found._repr_mimebundle_().keys() >= {"image/png"}, b"createElement" in open("found.html", "rb").read())
"""
ABSENT = """
import sys
from importlib.abc import MetaPathFinder

class Absent(MetaPathFinder):
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {names}:
            raise ModuleNotFoundError(f"No module named {{name!r}}", name=name)

sys.meta_path.insert(0, Absent())
"""


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    folder = tmp_path_factory.mktemp("wheel")
    build = ["pip", "wheel", "--quiet", "--no-deps", "--no-build-isolation", "-w", folder, paths.ROOT]
    subprocess.run([sys.executable, "-m", *map(str, build)], check=True, cwd=folder)
    (file,) = folder.glob("*.whl")
    return file


@pytest.fixture(scope="module")
def python(wheel, tmp_path_factory):
    """An interpreter that has the wheel and, but for the companion's, this environment's packages."""
    folder = tmp_path_factory.mktemp("alone")
    venv.create(folder, with_pip=False)
    site = next(folder.glob("lib/python*/site-packages"))
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(site)
    (site / "absent.py").write_text(ABSENT.format(names=COMPANION))
    (site / "others.pth").write_text(f"{sysconfig.get_paths()['purelib']}\nimport absent\n")
    return folder / "bin" / "python"


def alone(python, folder, *arguments):
    """Run Python with the library alone, in another folder, with a home that is that folder."""
    environment = {"HOME": str(folder), "PATH": "/usr/bin:/bin", "OMP_NUM_THREADS": "1"}
    return subprocess.run([python, *arguments], cwd=folder, env=environment, capture_output=True, text=True)


def test_the_wheel_asks_for_what_the_library_needs_and_no_more(wheel):
    with zipfile.ZipFile(wheel) as archive:
        (name,) = (name for name in archive.namelist() if name.endswith("/METADATA"))
        about = Parser().parsestr(archive.read(name).decode())
    needed = [entry for entry in about.get_all("Requires-Dist") if "extra ==" not in entry]
    assert about["Name"] == "paperlib-video" and any(entry.startswith("captum") for entry in needed)
    assert [entry for entry in needed if entry.startswith(COMPANION)] == []
    assert {"companion", "pretrained", "tests"} <= set(about.get_all("Provides-Extra"))


@pytest.mark.slow
def test_the_instruments_work_from_the_wheel(python, tmp_path):
    done = alone(python, tmp_path, "-c", USE)
    assert done.stdout.splitlines() == ["(1, 4, 4) (1, 4) (1, 4, 32, 32) True", "(1,)", "True True"], done.stderr
    where = alone(python, tmp_path, "-c", "import paperlib; print(paperlib.__file__)").stdout
    assert str(python.parents[1]) in where


@pytest.mark.slow
@pytest.mark.parametrize(
    "arguments, said",
    [
        (["relevance", "--video", "a.png", "--model", "synth_ssv2/TAM2D-R50-f8"], "the zoo's checkpoints come with"),
        (["zoo", "status"], "the zoo's networks come with a clone"),
        (["run"], "come with a clone of the project"),
        (["dataset", "--help"], "usage"),
    ],
)
def test_what_comes_with_the_project_is_said(python, tmp_path, arguments, said):
    Image.new("RGB", (64, 64)).save(tmp_path / "a.png")
    done = alone(python, tmp_path, "-m", "paperlib.cli", *arguments)
    assert said in done.stdout + done.stderr and "Traceback" not in done.stderr, done.stderr
    assert done.returncode == (0 if "--help" in arguments else 2)


@pytest.mark.slow
@pytest.mark.parametrize(
    "code, packages",
    [("import paperlib.widgets", "anywidget ipywidgets"), ("import paperlib.shards.compute", "pyarrow")],
)
def test_absent_packages_are_named(python, tmp_path, code, packages):
    done = alone(python, tmp_path, "-c", code)
    assert done.returncode == 1 and done.stderr.rstrip().endswith(f"pip install {packages}"), done.stderr
