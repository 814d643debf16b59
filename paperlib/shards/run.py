"""Call Snakemake for a planned run."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import torch

from ..errors import InputError
from ..models import devices
from ..storage import paths, processes
from . import shard_files, slurm

SNAKEFILE = Path(__file__).with_name("Snakefile")


def run(settings, jobs=None, profile=None):
    """Let Snakemake bring the table of a run up to date; returns 0, or 1 where shards failed.

    jobs: shards at a time. profile: None for this machine, else the folder of a Snakemake profile or the name of
    one in profiles/.
    """
    out, key = Path(settings["out"]), settings["key"]
    folder = shard_files.folder(out)
    if out.exists() and not shard_files.is_ours(out):
        raise InputError(f"{out} is there and is no whole table of paperlib dataset; remove it or give another --out")
    if out.is_file() and shard_files.why_unusable(out, key, 0, key["videos"]) is None:
        print(f"{out} is up to date")
        return 0
    shard_files.refuse_others(settings)
    if not profile:
        check_devices(settings["device"], settings["gpus"])
    place = profile_folder(profile) if profile else None
    cluster = slurm.Run(place, out, settings["asked"]["threads"]) if place and slurm.is_for(place) else None
    more = cluster.options() if cluster else []
    # what killed workers left behind; on another cluster some may still be at work
    if cluster.cancel(seconds=45) if cluster else not profile:
        for file in [*folder.glob(".*.parquet"), *out.parent.glob(f".{out.stem}.*.parquet")]:
            file.unlink(missing_ok=True)
    with paths.atomic(folder / "settings.json") as temporary:
        temporary.write_text(json.dumps(settings, indent=1), encoding="utf-8")
    environment = {**os.environ, "PYTHONUNBUFFERED": "1"}
    if profile:
        environment.pop("PAPERLIB_RUNNER", None)
    else:
        environment["PAPERLIB_RUNNER"] = str(os.getpid())  # workers end when we do
    process = subprocess.Popen(
        [*command(settings, jobs, profile), *more],
        env=environment,
        start_new_session=True,
        preexec_fn=processes.die_with_parent,
    )
    try:
        failed = wait(process, cluster)
    except (KeyboardInterrupt, InputError):  # Snakemake then stops its workers, or cancels what it gave a cluster
        os.killpg(process.pid, signal.SIGINT)
        try:
            process.wait(10 if cluster else None)
        except subprocess.TimeoutExpired:  # it sleeps until its next look at the queue, which is emptied below
            process.kill()
            process.wait()
        raise
    finally:
        if cluster:  # what Snakemake was just handing in it does not cancel
            cluster.cancel()
    if failed:
        missing = sum(
            not (folder / shard_files.name(k, settings["shards"])).is_file() for k in range(settings["shards"])
        )
        print(
            f"{missing} of {settings['shards']} shards are missing; {folder / 'logs'} says why. The same command "
            "goes on with them.",
            file=sys.stderr,
        )
    return int(failed != 0)


def check_devices(device, gpus):
    """Raise InputError for a device, or for `gpus` as CUDA_VISIBLE_DEVICES names them, that this machine lacks."""
    devices.device(device)
    if gpus and device not in ("auto", "cuda"):
        raise InputError(f"--gpus gives each job a GPU of its own, so --device should be auto or cuda, not {device}")
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    there = visible.split(",") if visible else list(map(str, range(torch.cuda.device_count())))
    there = there if torch.cuda.is_available() else []
    for gpu in gpus:
        if gpu not in there and not (there and gpu.startswith(("GPU-", "MIG-"))):
            raise InputError(f"--gpus has {gpu!r}, which torch does not see; it sees {', '.join(there) or 'no GPU'}")


def wait(process, cluster=None):
    """Return the exit code of Snakemake when it ends; InputError as soon as its jobs on a cluster cannot go on."""
    while True:
        try:
            return process.wait(slurm.POLL if cluster else None)
        except subprocess.TimeoutExpired:
            cluster.watch()


def command(settings, jobs=None, profile=None):
    """Return the call of Snakemake."""
    folder, gpus, threads = shard_files.folder(settings["out"]), settings["gpus"], settings["asked"]["threads"]
    # Shards are whole or absent and say what they are, so Snakemake's own notes on that are not needed.
    call = [
        *processes.snakemake(
            SNAKEFILE, folder, folder / "settings.json", profile_folder(profile) if profile else "none"
        ),
        "--keep-going",
        "--ignore-incomplete",
        "--rerun-triggers",
        "input",
        "--shared-fs-usage",  # all but source-cache, which would be kept in HOME: that may not be there to write to
        *"input-output persistence software-deployment software-deployment-cache sources storage-local-copies".split(),
        "--scheduler",
        "greedy",
        "--show-failed-logs",
        "--quiet",
        "host",
        "reason",
        "rules",
    ]
    if profile:
        return call + (["--jobs", str(jobs)] if jobs else [])
    jobs = jobs or (len(gpus) if gpus else max(1, processes.cores() // threads))
    if gpus:
        call += ["--resources", *(f"gpu{place}=1" for place in range(len(gpus)))]
    return [*call, "--cores", str(jobs * threads)]


def profile_folder(profile):
    """Return the folder of a Snakemake profile given by path or by its name in profiles/."""
    for folder in (Path(profile), paths.of_project("profiles") / profile):
        if (folder / "config.yaml").is_file():
            return folder.resolve()
    raise InputError(f"there is no Snakemake profile {profile}; give slurm, slurm-cpu or a folder with a config.yaml")
