"""Execute one notebook with papermill, keep its executed copy beside its figures, and write its run record.

Why not papermill's command: the copy in `figures/` must always be whole, figures of an earlier version must go, a
notebook that lacks its data is skipped rather than failed, and the record says by content what went in and came out.

Run by the Snakefile as `python -m paperlib.companion.execute <paper>/<notebook>`; says on standard output, in lines for
`paperlib run` to read, when it starts and how it ended.
"""

import argparse
import json
import logging
import os
import re
import shutil
import sys
import time
import traceback
from contextlib import contextmanager
from datetime import UTC, datetime

from ..errors import InputError
from ..storage import locks, paths, processes
from . import stale

MARK = "::paperlib::"
ANSI = re.compile(r"\x1b\[[0-9;]*m")


def train(key, device):
    """Train the zoo's checkpoint `<dataset>/<name>`; a killed training goes on where it stopped."""
    from ..training import zoo

    for one, recipe in zoo.select([key], missing=True).items():
        zoo.train_one(one, recipe, device, missing=True, progress_bar=False, wait=True)
    return "trained", ""


def say(*fields):
    """Print one event for `paperlib run`: start NAME, or end NAME STATUS SECONDS MESSAGE.

    In one piece: `print` writes the line's end on its own, and another notebook's line may come between.
    """
    sys.stdout.write("\t".join([MARK, *(re.sub(r"\s+", " ", str(field)) for field in fields)]) + "\n")
    sys.stdout.flush()


def execute(name, options, threads=1):
    """Execute a notebook; returns (status, message) with status `ok`, `skipped` or `failed`.

    The executed copy is written while it runs into the folder of run records and moved to `figures/` only
    when the notebook has come to its end, so that what lies in `figures/` is always whole.
    """
    record = stale.record(name, options)
    working, log = record.with_suffix(".ipynb"), record.with_suffix(".log")
    record.parent.mkdir(parents=True, exist_ok=True)
    began, inputs = time.monotonic(), stale.inputs(name, options)
    figures = paths.figures(options.profile)
    # What is left of a killed run ends before its successor writes the figures.
    with locks.only_one(record.with_suffix(".lock")), environment(threads), logging_to(log):
        stamp(name, figures, "running")
        before = _written(name, figures)
        try:
            status, message = run_papermill(name, options, working)
        except Exception as error:  # say a kernel that died before it answered, or a notebook that is none
            status, message = "failed", reason(error)
        if status == "ok":
            for file, written in _written(name, figures).items():
                if before.get(file) == written:
                    file.unlink()  # an earlier version of the notebook wrote it, this one does not
            with paths.atomic(figures / f"{name}.ipynb") as temporary:
                shutil.copyfile(working, temporary)  # not renamed: figures/ may be on another disk
            working.unlink()
        if status != "ok" or stale.provenance(name, figures):
            stamp(name, figures, status, message)
        if status != "failed":
            content = {
                "notebook": name,
                "status": status,
                "message": message,
                "seconds": round(time.monotonic() - began, 2),
                "finished": datetime.now(UTC).isoformat(timespec="seconds"),
                "inputs": inputs,
                "outputs": stale.outputs(name, options),
            }
            with paths.atomic(record) as temporary:
                temporary.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
    return status, message


def stamp(name, figures, status, reason=None):
    """Write beside a notebook's results how its execution ended, or that it is `running`: a killed one stays so."""
    said = {"notebook": name, **stale.provenance(name, figures), "status": status, "reason": reason or None}
    content = {key: value for key, value in said.items() if value is not None or key != "reason"}
    with paths.atomic(figures / f"{name}.json") as temporary:
        temporary.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")


def run_papermill(name, options, out):
    """Run the notebook's cells and write the executed copy to `out`; returns (status, message)."""
    # jsonschema would import this to check addresses; it compiles a grammar, which takes a second.
    sys.modules.setdefault("rfc3987_syntax", None)
    from nbclient.exceptions import DeadKernelError
    from papermill import PapermillExecutionError, execute_notebook

    tagged = any("parameters" in tags for _, _, tags in stale.cells(name))
    parameters = {"profile": options.profile, "data_root": options.data_root, "device": options.device}
    try:
        execute_notebook(
            _escape(stale.source(name)),
            _escape(out),
            parameters if tagged else {},
            kernel_name="python3",
            language="python",
            progress_bar=False,
            log_output=True,
            cwd=str(stale.source(name).parent),
            start_timeout=300,
            iopub_timeout=300,
            raise_on_iopub_timeout=True,
            kernel_manager_class="paperlib.companion.kernels.IPCKernelManager",
        )
        return "ok", ""
    except PapermillExecutionError as error:
        if error.ename == "Skipped":
            return "skipped", error.evalue
        lines = [line for line in ANSI.sub("", error.evalue or "").splitlines() if line.strip()]
        return (
            "failed",
            f"{error.ename}: {lines[0] if lines else ''} (cell {error.exec_count or error.cell_index})",
        )
    except DeadKernelError:
        return "failed", "the kernel died (killed, or out of memory?)"


@contextmanager
def environment(threads):
    """Set for kernels started inside: number of threads, and what makes the same run give the same bits."""
    wanted = {
        "PYTHONHASHSEED": "0",
        "PAPERLIB_EXECUTED": "1",  # whether a notebook came to its end is then said here, not when it saves (report)
        "CUBLAS_WORKSPACE_CONFIG": ":4096:8",
        "PYDEVD_DISABLE_FILE_VALIDATION": "1",
        **paths.caches(),
        **dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"), str(threads)),
    }
    before = {key: os.environ.get(key) for key in wanted}
    os.environ.update(wanted)
    try:
        yield
    finally:
        for key, value in before.items():
            os.environ.pop(key) if value is None else os.environ.update({key: value})


@contextmanager
def logging_to(file):
    """Send what papermill and the notebook's cells say to a log file."""
    handler = logging.FileHandler(file, mode="w", encoding="utf-8")
    handler.setFormatter(logging.Formatter("%(asctime)s %(message)s"))
    logger = logging.getLogger("papermill")
    logger.addHandler(handler)
    logger.setLevel(logging.INFO)
    logger.propagate = False
    try:
        yield
    finally:
        logger.removeHandler(handler)
        handler.close()


def reason(error):
    """Return in one sentence what went wrong."""
    if isinstance(error, InputError):
        return str(error)
    if isinstance(error, OSError) and error.strerror:  # disk full, folder not writable
        return f"{error.strerror}: {error.filename or 'while writing'}"
    return f"{type(error).__name__}: {(str(error).splitlines() or [''])[0]}"


def _written(name, figures):
    """Return {file: (time of change, inode)} of a notebook's figures: tells rewritten from left over."""
    return {f: (f.stat().st_mtime_ns, f.stat().st_ino) for f in stale.results(name, figures)}


def _escape(path):
    """Return the path as papermill wants it: it takes braces for parameters to fill in."""
    return str(path).replace("{", "{{").replace("}", "}}")


def main(argv=None):
    """Execute the notebook named on the command line; exit code 1 if it failed."""
    parser = argparse.ArgumentParser(
        prog="python -m paperlib.companion.execute", description=__doc__.partition("\n")[0]
    )
    parser.add_argument("name", help="<paper>/<notebook>, or <dataset>/<checkpoint> with --train")
    parser.add_argument("--train", action="store_true", help="train a checkpoint instead")
    parser.add_argument("--profile", default="mini")
    parser.add_argument("--data-root", default="")
    parser.add_argument("--device", default="auto")
    parser.add_argument("--threads", type=int, default=1)
    args = parser.parse_args(argv)
    processes.print_any_name()
    if os.environ.get("PAPERLIB_RUNNER"):
        processes.watch(int(os.environ["PAPERLIB_RUNNER"]))
    options = stale.Options(args.profile, paths.use_data_root(args.data_root), args.device)
    say("start", args.name)
    began = time.monotonic()
    try:
        status, message = train(args.name, args.device) if args.train else execute(args.name, options, args.threads)
    except KeyboardInterrupt:
        status, message = "failed", "interrupted"
    except Exception as error:
        if not isinstance(error, InputError | OSError):  # a mistake of the project's own: where, goes to the log
            traceback.print_exc()
        status, message = "failed", reason(error)
    say("end", args.name, status, f"{time.monotonic() - began:.1f}", message)
    return status == "failed"


if __name__ == "__main__":
    sys.exit(main())
