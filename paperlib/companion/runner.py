"""Regenerate the figures: choose the notebooks, let Snakemake execute what is not up to date, report."""

import json
import os
import queue
import shutil
import signal
import subprocess
import sys
import threading
import time
from contextlib import contextmanager
from dataclasses import dataclass
from fnmatch import fnmatch

from ..errors import InputError
from ..storage import paths, processes
from . import kernels, prefork, stale
from .execute import MARK, environment

SNAKEFILE = stale.PACKAGE.parent / "Snakefile"
QUIET = 60  # seconds without news after which the user is told what is running
MANY = 4  # notebooks from which on it pays to import what they need once, for all of them
LOGS = 20  # of Snakemake's own logs are kept


@dataclass
class Result:
    """How one notebook ended: `ok`, `up to date`, `skipped` or `failed`, with a message for the last two."""

    name: str
    status: str
    seconds: float | None = None
    message: str = ""


def select(patterns):
    """Return the notebooks that match any of the names or globs (none: all), in order."""
    known = stale.notebooks()
    if not known:
        paths.need_project("the notebooks")
        raise InputError(f"there are no notebooks in {paths.NOTEBOOKS}")
    chosen = set()
    for pattern in patterns:
        pattern = pattern.removeprefix("notebooks/").removesuffix(".ipynb")
        found = {
            name
            for name in known
            if fnmatch(name, pattern) or fnmatch(name.split("/")[1], pattern) or name.split("/")[0] == pattern
        }
        if not found:
            near = [name for name in known if pattern in name][:4]
            hint = f"; did you mean {' or '.join(near)}?" if near else "; run_all.sh --list shows their names"
            raise InputError(f"no notebook matches {pattern!r}{hint}")
        chosen |= found
    return sorted(chosen) if patterns else known


def useful_jobs():
    """Return how many notebooks to execute at a time: one per core, as far as there are notebooks."""
    return max(1, min(processes.cores(), len(stale.notebooks())))


def threads_each():
    """Return the threads of one kernel: its share of the cores with `useful_jobs()` running.

    It does not follow --jobs: sums in another order differ in the last bits, and the tables should not.
    """
    return max(1, processes.cores() // useful_jobs())


@contextmanager
def lock(folder=None):
    """Hold the checkout for one run; a second one waits and says so. The system drops it if we are killed."""
    import fcntl

    folder = folder or paths.CACHE / "runs"
    folder.mkdir(parents=True, exist_ok=True)
    with open(folder / "lock", "a+", encoding="utf-8") as opened:
        try:
            fcntl.flock(opened, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            opened.seek(0)
            other = opened.read().strip() or "just started"
            print(f"another run ({other}) is at work in this checkout; waiting for it to end", flush=True)
            fcntl.flock(opened, fcntl.LOCK_EX)
        opened.truncate(0)
        opened.write(f"process {os.getpid()}, since {time.strftime('%H:%M:%S')}")
        opened.flush()
        yield


def run(names, options, jobs=None, force=False, retrain=False, train=False):
    """Bring the given notebooks up to date; prints progress and returns one Result per notebook.

    train: also train the checkpoints that are missing; retrain: train all that are used anew, first.
    """
    with lock():
        tidy()
        if retrain:
            train_again(names, options)
        for name in names if force else []:
            stale.record(name, options).unlink(missing_ok=True)
        outdated = [name for name in names if stale.why_stale(name, options)]
        results = {name: Result(name, "up to date") for name in names if name not in outdated}
        if outdated:
            jobs = min(jobs or useful_jobs(), len(outdated))
            print(f"{len(outdated)} of {len(names)} notebooks to execute, {jobs} at a time", flush=True)
            results.update(snakemake(outdated, options, jobs, train))
        return [results[name] for name in names]


def tidy():
    """Remove what killed runs left behind, and all of Snakemake's logs but the last LOGS."""
    kernels.sweep()
    paths.sweep([*paths.ROOT.glob(f"{paths.FIGURES.name}*"), paths.ROOT / "data"])
    for log in sorted((paths.ROOT / ".snakemake" / "log").glob("*.log"))[:-LOGS]:
        log.unlink(missing_ok=True)


def train_again(names, options):
    """Train anew every checkpoint that the given notebooks use; one is replaced only by a better one."""
    keys = sorted({key for name in names for key in stale.checkpoints(name, options)} & stale.recipes().keys())
    if not keys:
        print("the chosen notebooks use no checkpoint of data/zoo.yaml; nothing to train", flush=True)
        return
    done = subprocess.run(
        [sys.executable, "-m", "paperlib.cli", "zoo", "train", *keys, "--device", options.device],
        cwd=paths.ROOT,
        check=False,
    )
    if done.returncode:
        raise InputError(f"training failed (see above); {len(keys)} checkpoints are as they were or better")


def snakemake(outdated, options, jobs, train=False):
    """Let Snakemake execute the stale notebooks, and train what they lack if asked to; returns {name: Result}."""
    folder = stale.records(options)
    folder.mkdir(parents=True, exist_ok=True)
    config = {
        "profile": options.profile,
        "data_root": options.data_root,
        "device": options.device,
        "threads": threads_each(),
        "notebooks": outdated,
        "train": train,
    }
    with paths.atomic(folder / "options.json") as temporary:
        temporary.write_text(json.dumps(config), encoding="utf-8")
    targets = [stale.record(name, options).relative_to(paths.ROOT).as_posix() for name in outdated]
    command = [
        sys.executable,
        "-m",
        "snakemake",
        "--snakefile",
        str(SNAKEFILE),
        "--directory",
        str(paths.ROOT),
        "--configfile",
        str(folder / "options.json"),
        "--cores",
        str(jobs),
        "--nocolor",
        "--nolock",
        # Each finished job leaves a timer that looks for work once per timespan: at its one second, 15 % of a core
        # after 40 notebooks. The process ends one timespan after its last job.
        "--max-jobs-per-timespan",
        "1000/4s",
        *targets,
    ]
    log = folder / "snakemake.log"
    with prefork_server(len(outdated)) as address, open(log, "w", encoding="utf-8") as opened:
        process = subprocess.Popen(
            command,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            encoding="utf-8",
            errors="replace",
            env={**os.environ, **address, "PAPERLIB_RUNNER": str(os.getpid()), "PYTHONUNBUFFERED": "1"},
            preexec_fn=processes.die_with_parent,
            start_new_session=True,
        )
        results = follow(process, opened, len(outdated))
    for name in outdated:
        if name not in results:
            results[name] = Result(name, "failed", None, f"was not executed, see {relative(log)}")
    return {name: results[name] for name in outdated}


@contextmanager
def prefork_server(notebooks):
    """Start the process that many notebooks are forked from; yields the variables by which they find it.

    On Linux only: elsewhere system libraries do not survive a fork.
    """
    if notebooks < MANY or sys.platform != "linux":
        yield {}
        return
    folder = kernels.private_folder()
    address = f"{folder}/prefork"
    with environment(threads_each()):  # as the forks' own: part of it counts when Python or a library starts
        server = subprocess.Popen(
            prefork.command("serve", address),
            cwd=paths.ROOT,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            preexec_fn=processes.die_with_parent,
            start_new_session=True,
        )
    try:
        yield {prefork.ADDRESS: address}
    finally:
        server.kill()
        server.wait()
        shutil.rmtree(folder, ignore_errors=True)


def follow(process, log, total):
    """Print progress from the events in a process's output until it ends; returns {name: Result}."""
    lines = queue.Queue()

    def read():
        for line in process.stdout:
            lines.put(line)
        lines.put(None)

    threading.Thread(target=read, daemon=True).start()
    results, running, interrupted = {}, {}, False
    while True:
        try:
            line = lines.get(timeout=QUIET)
        except queue.Empty:
            now = time.monotonic()
            print(
                "  running: " + ", ".join(f"{name} ({now - began:.0f} s)" for name, began in running.items()),
                flush=True,
            )
            continue
        except KeyboardInterrupt:
            os.killpg(process.pid, signal.SIGKILL if interrupted else signal.SIGINT)
            interrupted = True
            print("\ninterrupted: stopping the notebooks that run (Ctrl-C again to kill them)", flush=True)
            continue
        if line is None:
            break
        if not line.startswith(MARK):
            log.write(line)
            log.flush()
            continue
        _, event, name, *rest = line.rstrip("\n").split("\t")
        if event == "start":
            running[name] = time.monotonic()
            print(f"  start  {name}", flush=True)
        else:
            status, seconds, message = rest
            running.pop(name, None)
            if status == "trained":
                print(f"  trained  {name}  {float(seconds):.1f} s", flush=True)
                continue
            results[name] = Result(name, status, float(seconds), message)
            print(
                f"  {len(results)}/{total}  {name}: {status}, {float(seconds):.1f} s"
                + (f"  {message}" if message else ""),
                flush=True,
            )
    process.wait()
    for name in running:
        results[name] = Result(name, "failed", None, "interrupted" if interrupted else "its process was killed")
    if interrupted:
        raise KeyboardInterrupt
    return results


def table(results, options):
    """Return the closing table: notebook, status, seconds, figure, log."""
    rows = [("notebook", "status", "seconds", "figure", "log")]
    for result in results:
        folder, log = (
            (paths.figures(options.profile) / result.name).parent,
            stale.record(result.name, options).with_suffix(".log"),
        )
        figures = sorted(folder.glob(f"{result.name.split('/')[1]}.*png")) if folder.is_dir() else []
        why = result.message.split(": ")[0]  # "no checkpoint"; the whole sentence was printed when it was skipped
        status = f"skipped: {why}" if result.status == "skipped" else result.status
        seconds = "" if result.seconds is None else f"{result.seconds:.1f}"
        shown = [relative(file) if file and file.is_file() else "-" for file in (*figures[:1], log)]
        rows.append((result.name, status, seconds, *["-"] * (2 - len(shown)), *shown))
    widths = [max(len(row[i]) for row in rows) for i in range(5)]
    rows.insert(1, tuple("-" * width for width in widths))
    return "\n".join(
        "  ".join(f"{cell:<{width}}" for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows
    )


def relative(path):
    """Return a path as the user would type it from the project's folder."""
    return path.relative_to(paths.ROOT).as_posix() if path.is_relative_to(paths.ROOT) else str(path)
