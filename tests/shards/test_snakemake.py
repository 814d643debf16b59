"""`paperlib dataset` from outside: workers, kills, damage and GPUs, always with the same table."""

import contextlib
import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest
import torch

from paperlib.errors import InputError
from paperlib.shards import run, shard_files, slurm

from . import runs

RUN = ("--limit", 24, "--batch", 4, "--shards", 3, "--device", "cpu", "--target", "predicted")
CHEAP = "gradcam"  # for what does not depend on the kind


@pytest.fixture(scope="module")
def network(tmp_path_factory):
    return runs.checkpoint(tmp_path_factory.mktemp("network"))


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory, network):
    """{kind: bytes of the table}, computed in one shard in this process."""
    made = {}
    for kind in ("relevance", CHEAP):
        folder = tmp_path_factory.mktemp("undisturbed")
        made[kind] = Path(runs.finish(runs.planned(folder, network, kind, shards=1, limit=24))["out"]).read_bytes()
    return made


def arguments(network, out, *more, kind="relevance"):
    return (kind, "synth_ssv2", network, "--out", out, *RUN, *more)


@pytest.mark.slow
def test_two_workers_give_the_table_of_one_and_damage_is_repaired(tmp_path, network, undisturbed):
    """One worker's table is compared where workers are killed."""
    out = tmp_path / "run {1} it's" / "a tablé.parquet"
    out.parent.mkdir()
    done = runs.command(*arguments(network, out, "--jobs", 2, kind=CHEAP), HOME="/dev/null/home")  # none is needed
    assert done.returncode == 0, done.stdout + done.stderr
    assert out.read_bytes() == undisturbed[CHEAP]
    again = runs.command(*arguments(network, out, kind=CHEAP))
    assert again.returncode == 0 and "is up to date" in again.stdout

    settings = runs.settings_of(out)
    before = [runs.shard(settings, k).stat().st_ino for k in range(3)]
    runs.shard(settings, 1).write_bytes(runs.shard(settings, 1).read_bytes()[:-50])
    out.unlink()
    repaired = runs.command(*arguments(network, out, "--jobs", 1, kind=CHEAP))
    assert repaired.returncode == 0, repaired.stderr
    assert "is damaged or was not written by paperlib: computed again" in repaired.stdout + repaired.stderr
    assert out.read_bytes() == undisturbed[CHEAP]
    after = [runs.shard(settings, k).stat().st_ino for k in range(3)]
    assert [a == b for a, b in zip(before, after, strict=True)] == [True, False, True]


def start(network, out, kind="relevance"):
    """Start a run with one worker; returns (its process, the worker that is in the middle of a shard)."""
    log = open(out.with_suffix(".out"), "w")
    process = subprocess.Popen(
        [sys.executable, "-m", "paperlib.cli", "dataset", *map(str, arguments(network, out, "--jobs", 1, kind=kind))],
        stdout=log,
        stderr=log,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )
    end = time.monotonic() + 800
    while time.monotonic() < end:
        logs = shard_files.folder(out).glob("logs/*.log")
        if any("of 8 clips" in log.read_text() for log in logs):
            for child in psutil.Process(process.pid).children(recursive=True):
                with contextlib.suppress(psutil.Error):  # it has just ended
                    if {"--compute", "paperlib.shards"} <= set(child.cmdline()) and "python" in child.name():
                        return process, child
        assert process.poll() is None, out.with_suffix(".out").read_text()
        time.sleep(0.02)
    raise AssertionError("no worker started")


def finished(out):
    """Return {file: (inode, time of change)} of the shards that are there."""
    return {f.name: (f.stat().st_ino, f.stat().st_mtime_ns) for f in shard_files.folder(out).glob("[0-9]*.parquet")}


@pytest.mark.slow
def test_kill_9_of_a_worker_in_mid_shard_costs_only_that_shard(tmp_path, network, undisturbed):
    out = tmp_path / "table.parquet"
    process, worker = start(network, out)
    os.kill(worker.pid, signal.SIGKILL)
    assert process.wait(800) == 1
    said = out.with_suffix(".out").read_text()
    assert "1 of 3 shards are missing" in said and not out.exists()
    before = finished(out)
    assert len(before) == 2
    done = runs.command(*arguments(network, out, "--jobs", 1))
    assert done.returncode == 0, done.stdout + done.stderr
    assert out.read_bytes() == undisturbed["relevance"]
    assert {name: when for name, when in finished(out).items() if name in before} == before
    assert not list(tmp_path.rglob(".*.parquet"))


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells a process that its parent died")
def test_kill_9_of_the_run_ends_its_workers_and_the_next_run_goes_on(tmp_path, network, undisturbed):
    out = tmp_path / "table.parquet"
    process, worker = start(network, out, CHEAP)
    process.kill()
    process.wait()
    psutil.wait_procs([worker], timeout=300)
    assert not worker.is_running() or worker.status() == psutil.STATUS_ZOMBIE
    before = finished(out)
    done = runs.command(*arguments(network, out, "--jobs", 1, kind=CHEAP))
    assert done.returncode == 0, done.stdout + done.stderr
    assert out.read_bytes() == undisturbed[CHEAP]
    assert {name: when for name, when in finished(out).items() if name in before} == before


def dry_run(settings):
    """Return what Snakemake says it would do."""
    folder = shard_files.folder(settings["out"])
    folder.mkdir(exist_ok=True)
    (folder / "settings.json").write_text(json.dumps(settings))
    call = run.command(settings)
    call = [word for word in call if word not in ("--quiet", "host", "reason", "rules")]
    done = subprocess.run([*call, "--dry-run", "--printshellcmds"], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr


@pytest.mark.slow
def test_a_dry_run_leaves_what_cannot_be_used(tmp_path, network):
    settings = runs.planned(tmp_path, network, limit=16, shards=2)
    damaged = runs.shard(settings, 1)
    damaged.parent.mkdir(parents=True, exist_ok=True)
    damaged.write_bytes(b"half")
    dry_run(settings)
    assert damaged.read_bytes() == b"half"


@pytest.mark.slow
def test_each_job_sees_one_gpu_and_no_gpu_has_two_jobs(tmp_path, network):
    said = dry_run(runs.planned(tmp_path, network, limit=16, shards=4, gpus=["5", "7"]))
    seen = {int(k): gpu for gpu, k in re.findall(r"CUDA_VISIBLE_DEVICES=(\w+) .*--compute (\d+)", said)}
    assert seen == {0: "5", 1: "7", 2: "5", 3: "7"}
    for block in said.split("rule shard:")[1:]:
        number = int(block.split("wildcards: number=")[1].split()[0])
        resources = block.split("resources:")[1].splitlines()[0]
        assert f"gpu{number % 2}=1" in resources and f"gpu{1 - number % 2}=0" in resources
    call = run.command(runs.planned(tmp_path, network, limit=16, shards=4, gpus=["5", "7"]))
    limits = call[call.index("--resources") + 1 :][:2]
    assert limits == ["gpu0=1", "gpu1=1"]  # so that Snakemake runs one job at a time on each


@pytest.mark.parametrize(
    "device, gpus, seen, words",
    [
        ("cpu", ["0"], 2, "--device should be auto or cuda, not cpu"),
        ("cuda:1", ["0"], 2, "--device should be auto or cuda, not cuda:1"),
        ("auto", ["a"], 2, "--gpus has 'a', which torch does not see; it sees 0, 1"),
        ("auto", ["0", "2"], 2, "--gpus has '2', which torch does not see; it sees 0, 1"),
        ("auto", ["0"], 0, "--gpus has '0', which torch does not see; it sees no GPU"),
        ("auto", ["GPU-5"], 0, "it sees no GPU"),
        ("cuda", [], 0, "torch sees no GPU"),
        ("auto", ["1", "0"], 2, None),
        ("cuda", ["GPU-5"], 2, None),
        ("cpu", [], 0, None),
    ],
)
def test_gpus_that_this_machine_lacks_are_refused_before_anything_is_computed(
    tmp_path, network, monkeypatch, device, gpus, seen, words
):
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: seen)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: seen > 0)
    monkeypatch.setattr(run, "command", lambda *_: ["true"])
    settings = runs.planned(tmp_path, network, limit=4, gpus=gpus) | {"device": device}
    if words is None:
        assert run.run(settings) == 0
        return
    with pytest.raises(InputError, match=re.escape(words)):
        run.run(settings)
    assert list(tmp_path.iterdir()) == []


def test_gpus_are_named_as_the_environment_shows_them(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "5,7")
    run.check_devices("auto", ["7"])
    with pytest.raises(InputError, match="--gpus has '0', which torch does not see; it sees 5, 7"):
        run.check_devices("auto", ["0"])


def test_an_unknown_profile_is_refused():
    with pytest.raises(InputError, match="no Snakemake profile nonsense"):
        run.profile_folder("nonsense")


def test_a_machine_without_slurm_or_its_plugin_is_told_what_it_lacks(tmp_path, monkeypatch):
    queued = slurm.Run(run.profile_folder("slurm"), tmp_path / "table.parquet")
    monkeypatch.setattr(slurm, "PLUGIN", "no_such_plugin")
    with pytest.raises(InputError, match=r"needs no-such-plugin: pip install -e ...cluster.."):
        queued.options()
    monkeypatch.setattr(slurm, "PLUGIN", "json")
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(InputError, match="there is no sbatch; start on a machine that takes jobs"):
        queued.options()


def test_what_a_job_asks_for_at_first_is_read_from_the_profile():
    gpu = slurm.asked(slurm.read(run.profile_folder("slurm") / "config.yaml"), threads=8)
    assert gpu == {"cpus_per_task": 4, "runtime": 240, "mem_mb": 16000, "gpu": 1}
    cpu = slurm.asked(slurm.read(run.profile_folder("slurm-cpu") / "config.yaml"), threads=8)
    assert cpu == {"cpus_per_task": 8, "runtime": 240, "mem_mb": 4000}
    own = {
        "default-resources": {"mem_mb": "input.size_mb"},
        "set-resources": {"shard": {"gpu": 2, "gpu_model": "a100"}},
    }
    assert slurm.asked(own, threads=1) == {"cpus_per_task": 1, "gpu": "a100:2", "gpu_model": "a100"}


@pytest.mark.parametrize("text, words", [("a: [", "is no YAML"), ("- slurm", "is no Snakemake profile")])
def test_a_broken_profile_is_named(tmp_path, text, words):
    (tmp_path / "config.yaml").write_text(text)
    with pytest.raises(InputError, match=f"config.yaml {words}"):
        slurm.is_for(tmp_path)
