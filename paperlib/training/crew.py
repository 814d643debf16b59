"""Several trainings at a time, a process of one thread each: what starts from a model waits for it, one that fails
does not stop the others, and two calls at once share the work.

Run as `python -m paperlib.training.crew` it is one of those processes.
"""

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import asdict, dataclass, field

from ..errors import InputError
from ..models import devices
from ..storage import processes
from . import progress, zoo
from .recipes import Recipe
from .remaining import remaining, words

TRAINER = [sys.executable, "-m", "paperlib.training.crew"]
LOOK = 0.2  # seconds between two looks at the trainings that run
NEWS = 60.0  # seconds after which it is said what runs
GRACE = 5.0  # seconds for a trainer to stop, or to end, by itself before it is made to
MADE, UNUSABLE, BUSY, THERE = 0, 2, 75, 76  # exit codes of a trainer; any other is a fault
ELSEWHERE = "trained by another call"
THREADS = dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"), "1")


@dataclass
class Crew:
    """Trains recipes {checkpoint: Recipe}, each after the one that it starts from; `failed` says what went wrong.

    missing: whether a model that has a checkpoint by its recipe is done. Keys of `chosen` are in an order in which
    they could be trained one after the other.
    """

    chosen: dict
    device: str
    jobs: int
    missing: bool = False
    waiting: list = field(default_factory=list)
    running: dict = field(default_factory=dict)  # checkpoint: its process
    elsewhere: set = field(default_factory=set)  # checkpoints that another call trains
    done: list = field(default_factory=list)
    failed: dict = field(default_factory=dict)  # checkpoint: one sentence

    def __post_init__(self):
        self.waiting, self.said = list(self.chosen), time.monotonic()
        self.finished = {key: _finished(key) for key in self.chosen}  # when each was last trained; clocks may be set
        self.paused = None  # since when

    def work(self):
        """Train everything; when interrupted, end the trainers, whose models go on from their last epoch next time."""
        self.say(f"{len(self.chosen)} to train, {self.jobs} at a time")
        try:
            while self.waiting or self.running:
                self.look()
                time.sleep(LOOK)
        except KeyboardInterrupt:
            self.say("interrupted: what is being trained goes on from its last epoch when it is trained again")
            raise
        finally:
            self.end()

    def look(self):
        """Take in what has ended, start what can be started, hold what is to be paused, and say how things stand."""
        for key, process in list(self.running.items()):
            if process.poll() is not None:
                del self.running[key]
                self.ended(key, process.returncode)
        self.hold()
        if self.paused is None:
            self.start()
        if time.monotonic() - self.said > NEWS:
            self.news()

    def start(self):
        """Start what can be started now, as far as there is room."""
        for key in list(self.waiting):
            parent = self.chosen[key].init_from
            if parent in self.failed:
                self.waiting.remove(key)
                self.fail(key, f"starts from {parent}, which was not trained")
            elif parent in self.waiting or parent in self.running:
                continue
            elif len(self.running) >= self.jobs and key not in self.elsewhere:
                continue
            elif progress.busy(key):
                if key not in self.elsewhere:
                    self.elsewhere.add(key)
                    self.say(f"{key} is being trained by another call; it is left to that one")
            elif self.made_elsewhere(key):
                self.waiting.remove(key)
                self.finish(key, ELSEWHERE)
            elif len(self.running) < self.jobs:
                self.waiting.remove(key)
                self.running[key] = self.trainer(key)

    def made_elsewhere(self, key):
        """Whether another call has trained a model since this one began."""
        if self.missing:
            return zoo.state(key, self.chosen[key]) == "trained"
        return _finished(key) not in (None, self.finished[key])

    def trainer(self, key):
        """Start the process that trains a model; what it prints goes to its log."""
        options = ["--missing"] if self.missing else []
        command = [*TRAINER, key, json.dumps(asdict(self.chosen[key])), "--device", str(self.device), *options]
        threads = THREADS if devices.device(self.device).type == "cpu" else {}
        file = progress.file(key, "log")
        file.parent.mkdir(parents=True, exist_ok=True)
        with open(file, "w", encoding="utf-8") as log:
            return subprocess.Popen(
                command,
                env={**os.environ, **threads},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,  # Ctrl-C reaches this process alone, which ends the trainers
                preexec_fn=processes.die_with_parent,
            )

    def ended(self, key, code):
        """Take in that a model's trainer has ended."""
        if code == BUSY:  # another call was faster
            self.waiting.append(key)
        elif code == THERE:
            self.finish(key, ELSEWHERE)
        elif code == MADE:
            there = zoo.header(key)
            made = {**there, **progress.read(key)}  # what was trained now may be worse than what is there
            how = f"{made['accuracy']:.1%} after {self.chosen[key].epochs} epochs, {words(made['seconds'])}"
            best = there.get("accuracy", 0)
            kept = f"; the one before, of {best:.1%}, is kept" * (best > made["accuracy"])
            self.finish(key, how + kept)
        else:
            self.fail(key, _reason(key, code))

    def finish(self, key, how):
        """Count a model as done and say so."""
        self.elsewhere.discard(key)
        self.done.append(key)
        self.say(f"{len(self.done)} of {len(self.chosen)}: {key}: {how}; {self.left()}")

    def fail(self, key, why):
        """Keep in one sentence why a model was not trained, and say so."""
        self.failed[key] = f"{key}: {why}"
        self.say(f"failed: {self.failed[key]}")

    def hold(self):
        """Say when a pause begins and ends; stop as a whole those trainers that are not at their batches yet."""
        if not progress.paused():
            if self.paused is not None:
                self.signal(signal.SIGCONT)
                self.say(f"training goes on: {', '.join(self.running) or 'nothing had begun'}")
            self.paused = None
        elif self.paused is None:
            self.paused = time.monotonic()
            self.say("paused; `paperlib zoo train --resume` lets training go on")
        elif time.monotonic() - self.paused > GRACE:
            self.signal(signal.SIGSTOP, [key for key in self.running if not progress.begun(key)])

    def signal(self, number, keys=None):
        """Send a signal to trainers (all, or those named) and to what they have started, say to render frames."""
        for key in self.running if keys is None else keys:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self.running[key].pid, number)

    def end(self):
        """End the trainers that run and wait until they have gone."""
        self.signal(signal.SIGINT)
        self.signal(signal.SIGCONT)
        until = time.monotonic() + GRACE
        for process in self.running.values():
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(max(0.0, until - time.monotonic()))
        self.signal(signal.SIGKILL)
        for process in self.running.values():
            process.wait()

    def news(self):
        """Say what runs, how many are done and how long is left."""
        at_work = []
        for key in self.running:
            noted = progress.read(key)
            of = f" ({noted['clips'] / noted['of']:.0%})" if noted.get("of") else ""
            at_work.append(key + of)
        state = "paused" if self.paused is not None else "training"
        self.say(f"{state}: {', '.join(at_work) or 'waiting for another call'}; {self.left()}")

    def left(self):
        """Say how many models are left and about how long they take."""
        todo = {key: self.chosen[key] for key in (*self.running, *self.waiting)}
        if not todo:
            return "none left"
        seconds = remaining(todo, self.jobs)
        return f"{len(todo)} left, " + ("no telling yet for how long" if seconds is None else f"about {words(seconds)}")

    def say(self, text):
        """Print a line now."""
        self.said = time.monotonic()
        print(text, flush=True)


def train(chosen, device="auto", jobs=None, missing=False):
    """Train recipes {checkpoint: Recipe} in processes of their own; returns {checkpoint: why it failed}.

    jobs: at a time, by default one per core, or one on a GPU. missing: leave out those that have a checkpoint by their
    recipe; else one of the same recipe, classes and videos is replaced by a better one only.
    """
    if jobs is not None and jobs < 1:
        raise InputError(f"--jobs {jobs} is not a number of trainings at a time; give 1 or more")
    on_gpu = devices.device(device).type != "cpu"
    crew = Crew(dict(chosen), device, jobs or (1 if on_gpu else processes.cores()), missing)
    if chosen:
        crew.work()
    return crew.failed


def _finished(key):
    """Return what the latest training of a checkpoint noted as its end, None where it has not ended."""
    return progress.read(key).get("finished")


def _reason(key, code):
    """Return in part of a sentence why a model's trainer ended with this exit code."""
    log = progress.file(key, "log")
    if code < 0:
        return f"its process was killed by {signal.Signals(-code).name}" + (
            ", perhaps for want of memory" if -code == signal.SIGKILL else ""
        )
    lines = [line for line in log.read_text(encoding="utf-8", errors="replace").splitlines() if line.strip()]
    last = lines[-1] if lines else f"its process ended with {code}"
    return last if code == UNUSABLE else f"{last} (see {log})"


def main(argv=None):
    """Train the one checkpoint named on the command line, by the recipe given as JSON; returns the exit code."""
    import argparse

    parser = argparse.ArgumentParser(prog=" ".join(TRAINER[1:]), description=main.__doc__)
    parser.add_argument("key")
    parser.add_argument("recipe")
    parser.add_argument("--device", default="auto")
    parser.add_argument("--missing", action="store_true")
    args = parser.parse_args(argv)
    processes.print_any_name()
    try:
        recipe = Recipe(**json.loads(args.recipe))
        made = zoo.train_one(args.key, recipe, args.device, args.missing, progress_bar=False)
        return MADE if made else THERE
    except progress.Busy:
        return BUSY
    except KeyboardInterrupt:
        return 130
    except InputError as error:
        message = str(error)
    except OSError as error:  # disk full, folder not writable
        message = f"{error.strerror}: {error.filename or 'while writing'}"
    print(message, flush=True)
    return UNUSABLE


if __name__ == "__main__":
    sys.exit(main())
