"""Processes that end with whoever started them, and how many of them there is room for."""

import ctypes
import io
import os
import signal
import sys
import threading
import time


def cores():
    """Return how many cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()


def print_any_name():
    """Let standard output, as standard error does, write out what is no text in the name of a file."""
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")


def die_with_parent():
    """Ask Linux to kill this process when its parent dies, however it dies; does nothing elsewhere."""
    if sys.platform == "linux":
        set_parent_death_signal = 1
        ctypes.CDLL(None).prctl(set_parent_death_signal, signal.SIGKILL)


def snakemake(snakefile, folder, configfile, profile="none"):
    """Return how a call of this Python's Snakemake begins; options of its own follow.

    folder: which it works in, without Snakemake's own lock on it: who calls holds one, or needs none. profile: folder
    of the only one that counts, whatever SNAKEMAKE_PROFILE names and lies in the working folder.
    """
    places = ["--snakefile", str(snakefile), "--directory", str(folder), "--configfile", str(configfile)]
    profiles = ["--profile", "none", "--workflow-profile", str(profile)]
    return [sys.executable, "-m", "snakemake", *places, *profiles, "--nolock"]


def watch(runner):
    """End this process, and so its kernel, soon after the process `runner` has gone."""
    import psutil

    def wait():
        while psutil.pid_exists(runner):
            time.sleep(0.5)
        os._exit(1)

    threading.Thread(target=wait, daemon=True).start()
