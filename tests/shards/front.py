"""The command in front of a run on a cluster, and what the run has on it."""

import contextlib
import os
import subprocess
import sys
import time

import psutil

from paperlib.shards import run, shard_files, slurm


class Front:
    """A `paperlib dataset --profile` on a cluster, over `clips` clips in blocks of four."""

    def __init__(self, made, plugin, network, out, profile, shards, clips):
        self.log, self.out, self.made = out.with_suffix(".out"), out, made
        call = ["relevance", "synth_ssv2", network, "--out", out, "--limit", clips, "--batch", 4, "--shards", shards]
        call += ["--device", "cpu", "--target", "predicted", "--profile", profile]
        with open(self.log, "a") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "paperlib.cli", "dataset", *map(str, call)],
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
