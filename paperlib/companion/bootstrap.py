"""Find or make the Python environment and print its interpreter (run by run_all.sh).

In order: the interpreter that PAPERLIB_PYTHON names; an active conda environment that has the pins of
environment.yml; `.venv`, made from requirements.lock (every file checked against its SHA-256) where it does
not hold exactly those versions. What is there is compared, not remembered, so a changed lock, a package that
somebody upgraded and an installation that was killed half-way are all put right.

Why not `uv sync` or pip-tools: they do the same but would have to be installed first; here a Python with its venv and
pip is all a newcomer needs. Hence the standard library only, and nothing of paperlib.
"""

import errno
import json
import os
import re
import shutil
import subprocess
import sys
import threading
import time
from contextlib import contextmanager
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
GIGABYTES = 9  # free disk an installation needs, pip's unpacking included
PIN = re.compile(r"^ *(?:- )?([A-Za-z0-9._-]+)(?:\[[^]]*\])?==([^\s;\\]+)(?: *; *([^\\\n]*))?", re.MULTILINE)

# Runs in the environment that is looked at: prints {pin: what is there instead} of those that do not match.
COMPARE = """
import json, sys
from importlib import metadata
try:
    from packaging.markers import Marker
except ImportError:
    from pip._vendor.packaging.markers import Marker
wrong = {}
for name, version, marker in json.load(sys.stdin):
    if marker and not Marker(marker).evaluate():
        continue
    try:
        there = metadata.distribution(name)
        if there.version != version or there.read_text("RECORD") is None:
            wrong[name + "==" + version] = there.version
    except metadata.PackageNotFoundError:
        wrong[name + "==" + version] = "nothing"
print(json.dumps(wrong))
"""


class SetupError(Exception):
    """The environment could not be made; the message says what to do."""


def say(text):
    """Tell the user; standard output is for the interpreter's path alone."""
    print(text, file=sys.stderr, flush=True)


def pins(file):
    """Return [(name, version, marker)] of a lock file or an environment.yml."""
    return [(name, version, (marker or "").strip()) for name, version, marker in PIN.findall(file.read_text("utf-8"))]


def differences(python, wanted):
    """Return what an environment lacks as one phrase, or None if it has every pin."""
    try:
        done = subprocess.run([python, "-I", "-c", COMPARE], input=json.dumps(wanted), capture_output=True, text=True)
    except OSError as error:
        return f"{python} does not start ({error.strerror})"
    if done.returncode:
        return (done.stderr.strip().splitlines() or [f"{python} does not start"])[-1]
    wrong = json.loads(done.stdout)
    if not wrong:
        return None
    pin, there = next(iter(wrong.items()))
    return f"{pin} is wanted and {there} is there" + (f", and {len(wrong) - 1} more differ" if len(wrong) > 1 else "")


def conda(root):
    """Return the interpreter of the active conda environment if it is one made from environment.yml."""
    prefix = os.environ.get("CONDA_PREFIX")
    python = Path(prefix or "", "bin", "python")
    if not prefix or not python.is_file():
        return None
    reason = differences(python, pins(root / "environment.yml"))
    if reason is None:
        return python
    say(f"the conda environment {Path(prefix).name} is not one of environment.yml ({reason}); using .venv")
    return None


def venv(root):
    """Return the interpreter of `.venv`, made or mended first where it does not hold what the lock lists."""
    folder, lock = root / ".venv", root / "requirements.lock"
    python = folder / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
    unfinished = folder / "installing"  # there from before the first package until after the last
    with only_one(root / "data" / "cache" / "setup.lock"):
        whole = python.exists() and not unfinished.exists()
        reason = differences(python, pins(lock)) if whole else "it is not there or was left half-made"
        if reason:
            say(f"setting up .venv: {reason}")
            free = shutil.disk_usage(root).free / 1e9
            if not whole and free < GIGABYTES:
                raise SetupError(f"{root} has {free:.1f} GB free; the environment needs {GIGABYTES} GB")
            if not whole or "does not start" in reason:
                create(folder)
            unfinished.write_text("removed when all packages are in\n")
            log = root / "data" / "cache" / "setup.log"
            pip(python, log, "--require-hashes", "-r", str(lock), packages=len(pins(lock)))
            reason = differences(python, pins(lock))
            if reason:
                raise SetupError(f"the packages are installed but {reason}; see {log}")
            unfinished.unlink()
        if not editable(python, root):
            pip(
                python,
                root / "data" / "cache" / "setup-paperlib.log",
                "--no-deps",
                "--no-build-isolation",
                "-e",
                str(root),
            )
    return python


def create(folder):
    """Make an empty virtual environment, in place of whatever half-made one is there."""
    if folder.exists() and not (folder / "pyvenv.cfg").exists() and any(folder.iterdir()):
        raise SetupError(f"{folder} is in the way and is no virtual environment; move it elsewhere")
    done = subprocess.run([sys.executable, "-m", "venv", "--clear", str(folder)], capture_output=True, text=True)
    if done.returncode:
        raise SetupError(
            f"{sys.executable} cannot make a virtual environment (on Debian and Ubuntu: install the "
            f"package python3-venv): {(done.stdout + done.stderr).strip()}"
        )


def editable(python, root):
    """Tell whether this checkout, and not another, is installed in the environment."""
    code = (
        "from importlib import metadata; d = metadata.distribution('paperlib-video'); "
        "print(d.version, d.read_text('direct_url.json'))"
    )
    done = subprocess.run([python, "-I", "-c", code], capture_output=True, text=True)
    return done.returncode == 0 and json.dumps(root.as_uri()) in done.stdout


def pip(python, log, *arguments, packages=0):
    """Run `pip install`, its words to a log file; says every now and then how far it is."""
    log.parent.mkdir(parents=True, exist_ok=True)
    environment = {key: value for key, value in os.environ.items() if key not in ("PYTHONPATH", "PYTHONHOME")}
    done = threading.Event()
    began = time.monotonic()

    def report():
        while packages and not done.wait(15):
            text = log.read_text("utf-8", errors="replace")
            fetched = len(re.findall(r"^ *(?:Downloading|Using cached) \S+\.(?:whl|tar\.gz)", text, re.MULTILINE))
            phase = "unpacking" if "Installing collected packages" in text else f"{fetched} packages fetched"
            say(f"  {time.monotonic() - began:.0f} s: {phase}")

    threading.Thread(target=report, daemon=True).start()
    try:
        with open(log, "w", encoding="utf-8") as opened:
            code = subprocess.run(
                [
                    python,
                    "-m",
                    "pip",
                    "install",
                    "--no-input",
                    "--progress-bar",
                    "off",
                    "--disable-pip-version-check",
                    *arguments,
                ],
                env=environment,
                stdout=opened,
                stderr=subprocess.STDOUT,
                stdin=subprocess.DEVNULL,
            ).returncode
    finally:
        done.set()
    if code:
        last = "\n".join("  " + line for line in log.read_text("utf-8", errors="replace").splitlines()[-8:])
        raise SetupError(f"pip could not install the packages (is the network there?); the end of {log}:\n{last}")
    if packages:
        say(f"  {time.monotonic() - began:.0f} s: environment ready")


@contextmanager
def only_one(file):
    """Let one process at a time set up the environment; the others wait."""
    file.parent.mkdir(parents=True, exist_ok=True)
    with open(file, "w") as opened:
        try:
            import fcntl

            fcntl.flock(opened, fcntl.LOCK_EX)
        except ImportError:  # not a Unix: nothing waits
            pass
        except OSError as error:  # nor does it on a file system without locks
            if error.errno not in (errno.ENOSYS, errno.ENOLCK, errno.EOPNOTSUPP, errno.ENOTSUP):
                raise
        yield


def main(root=ROOT):
    """Print the path of the interpreter to use; returns the exit code."""
    try:
        chosen = os.environ.get("PAPERLIB_PYTHON")
        found = shutil.which(chosen) if chosen else conda(root) or venv(root)
        if not found:
            raise SetupError(f"PAPERLIB_PYTHON is {chosen}, which cannot be run")
        if chosen and subprocess.run([found, "-c", "print(3)"], capture_output=True).stdout != b"3\n":
            raise SetupError(f"PAPERLIB_PYTHON is {chosen}, which is no Python that runs")
        print(os.path.abspath(found))  # which holds in any folder; links stay, by them a venv knows itself
    except (SetupError, OSError) as error:
        say(f"run_all.sh: {error}")
        return 3
    except KeyboardInterrupt:
        say("run_all.sh: interrupted; the next run goes on from here")
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
