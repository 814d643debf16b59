"""Faults during a run: what is said, and that the next run ends as if nothing had happened."""

import os
import shutil
import signal
import subprocess
import sys
import time

import pytest

from . import projects
from .test_runner import rows

pytestmark = pytest.mark.slow

BIG = """
from paperlib.storage import paths
with paths.atomic(paths.FIGURES / "p/big.csv") as temporary:
    temporary.write_text("a\\n" + "1\\n" * 3_000_000)
"""


@pytest.fixture
def small_disk(tmp_path):
    """A file system of 4 MB at tmp_path / "disk"; skips where we may not mount one."""
    disk = tmp_path / "disk"
    disk.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=4m", "none", disk], capture_output=True)
    if mounted.returncode:
        pytest.skip("mounting a small file system is not allowed here")
    yield disk
    subprocess.run(["umount", "-l", disk], check=True)


def remount(disk, options):
    subprocess.run(["mount", "-o", f"remount,{options}", disk], check=True)


@pytest.mark.skipif(sys.platform != "linux" or os.geteuid() != 0, reason="only root mounts")
def test_a_full_disk_fails_in_words_and_leaves_no_half_file(small_disk):
    projects.notebook(small_disk, "p/big", BIG)
    projects.writer(small_disk, "p/small")
    first = projects.run(small_disk, "--jobs", "1")
    assert first.returncode == 1 and rows(first.stdout) == {"p/big": "failed", "p/small": "ok"}
    assert "No space left on device" in first.stdout
    assert list(projects.tables(small_disk)) == ["figures/claims.csv", "figures/p/small.csv"]
    assert not [f for f in small_disk.glob("figures/p/.*")]

    remount(small_disk, "size=64m")
    second = projects.run(small_disk)
    assert second.returncode == 0 and rows(second.stdout) == {"p/big": "ok", "p/small": "up to date"}
    assert (small_disk / "figures/p/big.csv").stat().st_size == 6_000_002


@pytest.mark.skipif(sys.platform != "linux" or os.geteuid() != 0, reason="only root mounts")
def test_a_project_that_cannot_be_written_is_one_sentence(small_disk):
    projects.writer(small_disk, "p/n")
    remount(small_disk, "ro")
    done = projects.run(small_disk)
    assert done.returncode == 2 and "Traceback" not in done.stderr
    assert "Read-only file system" in done.stderr


@pytest.mark.skipif(sys.platform != "linux" or os.geteuid() != 0, reason="only root mounts")
def test_read_only_figures_fail_each_notebook_in_words(tmp_path, small_disk):
    projects.writer(tmp_path, "p/n")
    (tmp_path / "figures").symlink_to(small_disk)
    remount(small_disk, "ro")
    done = projects.run(tmp_path)
    assert done.returncode == 1 and rows(done.stdout) == {"p/n": "failed"}, done.stdout + done.stderr
    assert "Read-only file system" in done.stdout and "Traceback" not in done.stdout + done.stderr
    remount(small_disk, "rw")
    assert rows(projects.run(tmp_path).stdout) == {"p/n": "ok"}


@pytest.mark.skipif(sys.platform != "linux" or os.geteuid() != 0, reason="only root mounts")
def test_no_room_for_the_kept_frames_is_an_error_not_a_dead_process(small_disk, monkeypatch):
    from paperlib.data import store
    from paperlib.storage import paths
    from tests import toy

    monkeypatch.setattr(paths, "CACHE", small_disk)
    videos = toy.load("toy_bars", "train", size=64, limit=96)  # 38 MB
    with pytest.raises(OSError, match="No space left on device"):
        store.stored(videos, progress=False)
    assert not [f for f in small_disk.rglob("*") if f.is_file() and f.suffix != ".lock"]


DIES = "import os, pathlib, signal\nif not pathlib.Path('go').exists():\n    os.kill(os.getpid(), signal.SIGKILL)\n"


def test_a_kernel_killed_from_outside_fails_its_notebook_and_the_next_run_repairs_it(tmp_path):
    projects.writer(tmp_path, "p/dies", extra=DIES)
    projects.writer(tmp_path, "p/other", value=3)
    first = projects.run(tmp_path)
    assert first.returncode == 1 and rows(first.stdout) == {"p/dies": "failed", "p/other": "ok"}
    assert "failed: p/dies: the kernel died (killed, or out of memory?)" in first.stdout
    assert list(projects.tables(tmp_path)) == ["figures/claims.csv", "figures/p/other.csv"]
    (tmp_path / "notebooks/p/go").touch()
    assert rows(projects.run(tmp_path).stdout) == {"p/dies": "ok", "p/other": "up to date"}
    assert projects.tables(tmp_path)["figures/p/dies.csv"] == b"a,b\n1,2\n"


# Computes 40 cached parts one after the other and writes their sum.
PARTS = """
import time
import numpy as np
from paperlib.storage import cache, paths

def part(i):
    time.sleep(0.1)
    return {{"x": np.random.default_rng(i).normal(size=5000)}}

total = sum(cache.fetch("parts", {{"part": i}}, lambda: part(i))["x"].sum() for i in range(40))
with paths.atomic(paths.FIGURES / "{name}.csv") as temporary:
    temporary.write_text(f"total\\n{{total!r}}\\n")
"""


def test_killed_again_and_again_it_ends_with_the_same_table(tmp_path):
    whole, killed = tmp_path / "whole", tmp_path / "kílled"
    for root in (whole, killed):
        projects.notebook(root, "p/n", PARTS.format(name="p/n"))
    assert projects.run(whole).returncode == 0
    for parts in (3, 15):  # so that seconds are left for the kill
        process = subprocess.Popen(
            projects.command("run"), env=projects.environment(killed), stdout=subprocess.DEVNULL, start_new_session=True
        )
        while len(list(killed.glob("data/cache/parts/*"))) < parts:
            assert process.poll() is None
            time.sleep(0.01)
        process.send_signal(signal.SIGKILL)
        process.wait()
    assert projects.run(killed).returncode == 0
    assert projects.tables(killed) == projects.tables(whole)
    stored = {root: {f.name: f.read_bytes() for f in root.glob("data/cache/parts/[!.]*")} for root in (whole, killed)}
    assert stored[whole] == stored[killed] and len(stored[whole]) == 40


USES = """
from paperlib.training import checkpoints
from paperlib.storage import paths
model, header = checkpoints.load("synth_ssv2/{model}")
with paths.atomic(paths.FIGURES / "{name}.csv") as temporary:
    temporary.write_text(header["config"]["name"] + repr(model.fc.weight.double().sum().item()))
"""


def test_a_truncated_checkpoint_or_another_network_fails_its_notebook_alone(tmp_path):
    from paperlib import models
    from paperlib.training import checkpoints

    folder, names = tmp_path / "data/checkpoints/synth_ssv2", ("TSN-R18-f8", "I3D-R18-f8")
    (tmp_path / "own.yaml").write_text(
        "".join(
            f"{'notebooks:' if not i else ''}\n  p/n{i}: {{models: [synth_ssv2/{name}]}}"
            for i, name in enumerate(names)
        )
    )
    for i, name in enumerate(names):
        checkpoints.save(
            folder / f"{name}.safetensors", models.create(name, num_classes=3, width=4), {"dataset": "synth_ssv2"}
        )
        projects.notebook(tmp_path, f"p/n{i}", USES.format(model=name, name=f"p/n{i}"))
    projects.writer(tmp_path, "p/other")
    expected = [
        f"{name}{checkpoints.load(folder / f'{name}.safetensors')[0].fc.weight.double().sum().item()!r}"
        for name in names
    ]

    shutil.copytree(folder, tmp_path / "good")
    shutil.copy(folder / f"{names[0]}.safetensors", folder / f"{names[1]}.safetensors")
    os.truncate(folder / f"{names[0]}.safetensors", 5000)
    said = projects.run(tmp_path, "--profile", "own.yaml").stdout
    assert rows(said) == {"p/n0": "failed", "p/n1": "failed", "p/other": "ok"}
    assert "synth_ssv2/TSN-R18-f8.safetensors is not a readable safetensors file" in said
    assert "fetch or train it again" in said
    assert "synth_ssv2/I3D-R18-f8.safetensors holds TSN-R18-f8 trained on synth_ssv2" in said
    assert not list(tmp_path.rglob("n?.csv"))

    shutil.copytree(tmp_path / "good", folder, dirs_exist_ok=True)
    assert projects.run(tmp_path, "--profile", "own.yaml").returncode == 0
    assert [(tmp_path / f"figures/p/n{i}.csv").read_text() for i in range(2)] == expected


def test_no_name_of_a_folder_becomes_a_command_or_code(tmp_path):
    """From the command line through Snakemake's shell and papermill's parameters into the notebook."""
    evil = tmp_path / "a'; touch hacked; echo \"$(touch hacked)`touch hacked`\" {x} {{y}} \\ #é\n__import__('os')"
    evil.mkdir()
    name = "p/it's a $(touch hacked)"
    projects.notebook(
        tmp_path,
        name,
        "from paperlib.storage import paths\n"
        f"with paths.atomic(paths.FIGURES / {name + '.csv'!r}) as temporary:\n"
        "    temporary.write_text(data_root)",
    )
    done = projects.run(tmp_path, "--data-root", str(evil))
    assert done.returncode == 0, done.stdout + done.stderr
    assert (tmp_path / "figures" / f"{name}.csv").read_text() == str(evil)
    assert not list(tmp_path.rglob("hacked")) and not os.path.exists("hacked")
