"""The command in front of a run on a cluster, and what the run has on it."""

import contextlib
import os
import subprocess
import sys
import time

import psutil

from paperlib.shards import run, shard_files, slurm

KIND = "gradcam"  # the cheapest: what is tried here is the same for all
# `paperlib dataset` that loses patience sooner.
HASTY = """
import sys
from paperlib import cli
from paperlib.shards import slurm
slurm.POLL, slurm.PATIENCE = 1, 5
sys.exit(cli.main())
"""
# Snakemake's plugin looks for its jobs 10 s later each time; with this as sitecustomize.py it is 2 s at most.
LOOKS = """
import sys
if "--slurm-jobname-prefix" in sys.orig_argv:
    from snakemake_interface_executor_plugins.executors.remote import RemoteExecutor
    def shorter(self, value):
        self._next_seconds_between_status_checks = min(value, 2)
    RemoteExecutor.next_seconds_between_status_checks = property(
        lambda self: self._next_seconds_between_status_checks, shorter
    )
"""


class Front:
    """A `paperlib dataset --profile` on a cluster, over `clips` clips in blocks of four.

    hasty: do not wait as long as users do between looks at the jobs.
    """

    def __init__(self, made, plugin, network, out, profile, shards, clips, hasty=True):
        self.log, self.out, self.made = out.with_suffix(".out"), out, made
        call = ["dataset", KIND, "synth_ssv2", network, "--out", out, "--limit", clips, "--batch", 4]
        call += ["--shards", shards, "--device", "cpu", "--target", "predicted", "--profile", profile]
        if hasty:
            (out.parent / "looks").mkdir(exist_ok=True)
            (out.parent / "looks" / "sitecustomize.py").write_text(LOOKS)
            plugin = os.pathsep.join([str(out.parent / "looks"), plugin])
        with open(self.log, "a") as log:
            self.process = subprocess.Popen(
                [sys.executable, *(["-c", HASTY] if hasty else ["-m", "paperlib.cli"]), *map(str, call)],
                stdout=log,
                stderr=log,
                env={**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": plugin, **made.environment},
                start_new_session=True,
            )

    def said(self):
        return self.log.read_text()

    def ends(self, code=0):
        """Wait for the end; returns what was said."""
        assert self.process.wait(600) == code, self.said()
        return self.said()

    def until(self, condition):
        """Return the condition's value as soon as it has one, while the command runs."""
        end = time.monotonic() + 600
        while time.monotonic() < end:
            found = condition()
            if found:
                return found
            assert self.process.poll() is None, self.said()
            time.sleep(0.4)
        raise AssertionError(self.said())

    def worker(self, number):
        """Return the process that computes a shard, or None."""
        folder = shard_files.folder(self.out)
        if list(folder.glob(f"logs/{number:05d}-*.log")):  # looking through all processes takes a while
            for process in psutil.process_iter():
                with contextlib.suppress(psutil.Error):
                    words = process.cmdline()
                    ours = words[1:4] == ["-m", "paperlib.shards", str(folder / "settings.json")]
                    if ours and words[-1] == f"{number:05d}":
                        return process
        return None

    def shards(self):
        """Return {file: inode} of the shards that are there."""
        return {file.name: file.stat().st_ino for file in shard_files.folder(self.out).glob("[0-9]*.parquet")}

    def jobs(self):
        """Return [(id, name, state, reason)] of the run's jobs in the queue."""
        name = slurm.Run(run.profile_folder("slurm"), self.out).name
        return [job for job in self.made.jobs() if job[1].startswith(name)]

    def kill(self):
        """kill -9 of the command in front."""
        self.process.kill()
        self.process.wait()
