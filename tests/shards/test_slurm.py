"""`paperlib dataset` on a real Slurm: what is refused, killed and tried again, always with the same table.

Two clusters of one node, without and with accounting, are started where they can be. The runs go on side by side, as
most of their time is waiting; all of it is some 200 seconds of processor time.
"""

import importlib.util
import os
import re
import signal
import subprocess
import sys
import time
import tomllib
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from pathlib import Path

import pytest

from paperlib.errors import InputError
from paperlib.shards import shard_files, slurm
from tests.companion import projects

from . import cluster, runs
from .front import KIND, Front

ROOT = Path(__file__).parents[2]
CLIPS = 28  # seven blocks of four
pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def plugin(tmp_path_factory):
    """The Python path that has the plugin: ours, or a folder where the extra `cluster` was installed."""
    if importlib.util.find_spec(slurm.PLUGIN):
        yield os.environ.get("PYTHONPATH", "")
        return
    folder = str(tmp_path_factory.mktemp("plugin"))
    extra = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]["cluster"]
    call = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--target", folder]
    done = subprocess.run([*call, *extra, "snakemake-executor-plugin-slurm-jobstep<1"], capture_output=True, text=True)
    if done.returncode:
        pytest.skip("snakemake-executor-plugin-slurm is not there and cannot be installed")
    sys.path.append(folder)
    yield os.pathsep.join(filter(None, [os.environ.get("PYTHONPATH"), str(ROOT), folder]))
    sys.path.remove(folder)


@pytest.fixture(scope="module")
def network(tmp_path_factory):
    return runs.checkpoint(tmp_path_factory.mktemp("network"))


@pytest.fixture(scope="module")
def local(tmp_path_factory, network):
    """The bytes of the table, computed in one shard in this process."""
    settings = runs.finish(runs.planned(tmp_path_factory.mktemp("local"), network, KIND, shards=1, limit=CLIPS))
    return Path(settings["out"]).read_bytes()


def started(*options):
    """Yield a running cluster, or skip; nothing of it is left afterwards."""
    why = cluster.lacking(*options[:1])
    if why:
        pytest.skip(why)
    made = cluster.Cluster(*options)
    try:
        yield made.start()
    finally:
        made.stop()
        assert not made.processes() and not made.folder.exists()


@pytest.fixture(scope="module")
def plain(plugin):
    """A cluster without accounting and without GPUs; it has room for four jobs of profiles/slurm-cpu."""
    yield from started(False, 17000)


@pytest.fixture(scope="module")
def accounted(plugin):
    """A cluster with accounting, where only known accounts may be used, and with two (pretended) GPUs."""
    yield from started(True)


def changed(folder, shipped, *replacements):
    """Write a copy of a shipped profile with some lines changed; returns its folder."""
    text = (ROOT / "profiles" / shipped / "config.yaml").read_text()
    for pattern, new in replacements:
        text, count = re.subn(pattern, new, text, flags=re.MULTILINE)
        assert count
    folder.mkdir(parents=True)
    (folder / "config.yaml").write_text(text)
    return folder


QUICK = (r"^slurm-init-.*", "slurm-init-seconds-before-status-checks: 1")
SEVEN, TWO = 7, 2  # shards


def node_and_run_are_killed(front, made):
    """kill -9 of slurmd, then of the command in front, each followed by the same command."""
    first = front()
    first.until(first.shards)
    made.kill_slurmd()
    said, there = first.ends(2), first.shards()
    made.start_slurmd()
    second = front()
    second.until(lambda: [job for job in second.jobs() if job[2] == "RUNNING"])
    second.kill()
    left, last = second.jobs(), front()
    last.ends()
    return said, there, left, last


def job_is_killed(front):
    """kill -9 of the process of one of the two jobs."""
    first = front()
    first.until(lambda: first.worker(1)).kill()
    first.ends()
    return first


def more_is_needed(front, made):
    """One job needs more memory than it asks for at first, the other is stopped until its time is over."""
    first = front()
    first.until(lambda: first.worker(1)).suspend()
    number = next(each[0] for each in first.jobs() if note(made, each[0]) == "rule_shard_wildcards_00001")
    made.call("scontrol", "update", f"JobId={number}", "EndTime=now+2")  # its limit is hours
    first.ends()
    return first


def note(made, number):
    """Return what the plugin notes of a job: its rule and wildcards."""
    return made.call("squeue", "-h", "-j", number, "-o", "%k").strip()


def is_interrupted(front, made):
    """Ctrl-C when some jobs run and some wait; returns what was in the queue before and after."""

    def running_and_waiting():
        jobs = first.jobs()
        return {"RUNNING", "PENDING"} <= {state for _, _, state, _ in jobs} and jobs

    first = front()
    before = first.until(running_and_waiting)
    first.process.send_signal(signal.SIGINT)
    first.process.wait(600)
    return before, first.jobs(), first


def cannot_start(front):
    """A partition that is not in service."""
    first = front()
    return first.ends(2), first


def notebooks(made, plugin, root):
    """Three notebooks through the Snakefile of `paperlib run`; returns what was said and the tables."""
    for number, name in enumerate(("one", "two", "three")):
        projects.writer(root, f"paper/{name}", number)
    call = [sys.executable, "-m", "snakemake", "--snakefile", ROOT / "Snakefile", "--directory", root]
    call += ["--profile", ROOT / "profiles" / "slurm-cpu", "--config", "profile=mini"]
    environment = {**os.environ, "PYTHONPATH": plugin, "PAPERLIB_HOME": str(root), **made.environment}
    done = subprocess.run(list(map(str, call)), env=environment, capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stderr, projects.tables(root)


@pytest.fixture(scope="module")
def pool():
    """Threads for what goes on at the same time."""
    with ThreadPoolExecutor() as pool:
        yield pool


@pytest.fixture(scope="module")
def begin(pool, plugin, network, tmp_path_factory):
    """Start a run on a cluster beside what goes on; returns a future of what came of it."""
    where, fronts = tmp_path_factory.mktemp("runs"), []

    def begin(story, made, profile, shards, *more, hasty=True):
        def front():
            out = where / f"{story.__name__} é.parquet"
            fronts.append(Front(made, plugin, network, out, profile, shards, CLIPS, hasty))
            return fronts[-1]

        return pool.submit(story, front, *more)

    yield begin
    for front in fronts:  # those that a failed test left
        front.kill()


@pytest.fixture(scope="module")
def seven(begin, plain, tmp_path_factory):
    two_at_a_time = (r"mem_mb: 4000 \* attempt.*", "mem_mb: 8000 * attempt")
    profile = changed(tmp_path_factory.mktemp("profile") / "slurm-cpu", "slurm-cpu", QUICK, two_at_a_time)
    return begin(node_and_run_are_killed, plain, profile, SEVEN, plain)


@pytest.fixture(scope="module")
def others(seven, begin, pool, accounted, plugin, tmp_path_factory):
    where = tmp_path_factory.mktemp("profiles")
    project = tmp_path_factory.mktemp("project")
    small = changed(where / "small", "slurm-cpu", QUICK, (r"mem_mb: 4000 \* attempt.*", "mem_mb: 650 * attempt"))
    large = changed(where / "large", "slurm-cpu", QUICK, (r"mem_mb: 4000 \* attempt.*", "mem_mb: 30000"))
    closed = changed(where / "closed", "slurm-cpu", ("# slurm_partition.*", "slurm_partition: closed"))
    shipped = changed(where / "shipped", "slurm", QUICK)
    return {
        "two": begin(job_is_killed, accounted, shipped, TWO),
        "more": begin(more_is_needed, accounted, small, TWO, accounted),
        "interrupted": begin(is_interrupted, accounted, large, SEVEN, accounted),
        "closed": begin(cannot_start, accounted, closed, TWO, hasty=False),
        "notebooks": pool.submit(notebooks, accounted, plugin, project),
    }


@pytest.fixture
def on(monkeypatch):
    """Let this process's commands find a cluster."""
    return lambda made: [monkeypatch.setenv(name, value) for name, value in made.environment.items()]


def options(folder, shipped, *replacements):
    """Return what the shipped profile, changed, makes of the cluster."""
    return slurm.Run(changed(folder, shipped, *replacements), "table.parquet").options()


@pytest.mark.parametrize(
    "line, new, words",
    [
        ("# slurm_account.*", "slurm_account: theirs", "account theirs may not be used there; set slurm_account"),
        ("gpu: 1 ", "gpu: 3 ", "no node has 4 cores, 16000 MB, 3 GPUs; the nodes have 16 cores, 64000 MB, GPUs: gpu:2"),
    ],
)
def test_what_a_cluster_with_accounting_does_not_allow_is_said(accounted, others, on, tmp_path, line, new, words):
    on(accounted)
    with pytest.raises(InputError, match=words):
        options(tmp_path / "profile", "slurm", (line, new))
    assert options(tmp_path / "shipped", "slurm")[-1] == "sacct"


@pytest.mark.parametrize(
    "shipped, line, new, words",
    [
        ("slurm", "", "", "no resource gpu:1; leave out the line gpu or take --profile slurm-cpu"),
        (
            "slurm-cpu",
            "# slurm_partition.*",
            "slurm_partition: fast",
            "no partition fast; set .* to one of closed, main",
        ),
        (
            "slurm-cpu",
            "mem_mb: 4000 .*",
            "mem_mb: 90000",
            "no node has 1 core, 90000 MB; the nodes have 16 cores, 17000 MB",
        ),
    ],
)
def test_what_a_plain_cluster_cannot_give_is_said(plain, seven, on, tmp_path, shipped, line, new, words):
    on(plain)
    with pytest.raises(InputError, match=words):
        options(tmp_path / "profile", shipped, (line, new))


def test_without_its_line_about_gpus_the_gpu_profile_fits_a_cluster_that_has_none(plain, on, tmp_path):
    on(plain)
    found = options(tmp_path / "profile", "slurm", (r"^ +gpu: 1 .*\n", ""), ("mem_mb: 16000 ", "mem_mb: 4000 "))
    assert found[-2:] == ["--slurm-status-command", "squeue"]  # there is no accounting to ask


def test_a_cluster_that_forgets_its_jobs_too_soon_or_keeps_to_its_limits_refuses_the_run(plugin, on, tmp_path):
    for made in started(False, 17000, "MinJobAge=30\nEnforcePartLimits=ALL\n"):
        on(made)
        with pytest.raises(InputError, match="forgets a job 30 s after its end, .* MinJobAge .* should be 240 or more"):
            options(tmp_path / "short", "slurm-cpu")
        with pytest.raises(InputError, match="no partition lets a job run for 6000 minutes; lower runtime"):
            options(tmp_path / "long", "slurm-cpu", (r"runtime: 240 \*.*", "runtime: 6000"))


def test_jobs_that_can_never_start_stop_the_run_and_others_wait(accounted, on, tmp_path, monkeypatch, capsys):
    on(accounted)
    monkeypatch.setattr(slurm, "PATIENCE", 0)
    queued = slurm.Run(ROOT / "profiles" / "slurm-cpu", tmp_path / "table.parquet")

    def submit(word, reason):
        call = ["sbatch", "--parsable", f"--job-name={queued.name}_x", "--output=/dev/null", word, "--wrap=true"]
        number, end = accounted.call(*call).strip(), time.monotonic() + 300
        while [number, reason] not in [[each, why] for each, _, _, why in accounted.jobs()]:
            assert time.monotonic() < end, accounted.jobs()
            time.sleep(0.1)
        return number

    for word, reason, wrong in (
        ("--partition=closed", "PartitionDown", "the partition is not in service"),
        ("--time=6000", "PartitionTimeLimit", "it asks for more time than the partition allows"),
        ("--hold", "JobHeldUser", "it is held"),
    ):
        number = submit(word, reason)
        with pytest.raises(InputError, match=f"no job .* can start: {wrong} .Slurm says {reason} of {number}.; "):
            queued.watch()
        assert queued.cancel(20)
    other = accounted.call("sbatch", "--parsable", "--hold", "--output=/dev/null", "--wrap=true").strip()
    number = submit(f"--dependency=afterok:{other}", "Dependency")
    queued.watch()
    assert capsys.readouterr().out == f"all of 1 jobs wait in the queue; Slurm says Dependency of {number}\n"
    assert queued.cancel(20) and other in [each[0] for each in accounted.jobs()]  # nobody else's jobs
    accounted.call("scancel", other)


def test_a_run_whose_jobs_never_start_ends_within_a_minute(others, accounted):
    said, front = others["closed"].result()
    assert said.splitlines()[-1].startswith("paperlib dataset: no job of the 2 in the queue can start: the partition")
    assert not front.jobs() and not front.shards()
    times = accounted.call("sacct", "-X", "-n", "-P", "--partition=closed", "-o", "Submit,End").splitlines()
    waited = [[datetime.fromisoformat(time) for time in line.split("|")] for line in times]
    assert waited and max((end - submitted).total_seconds() for submitted, end in waited) < 60


def test_ctrl_c_cancels_what_runs_and_what_is_queued(others):
    before, after, front = others["interrupted"].result()
    assert before and front.process.returncode == 130
    assert [job for job in after if job[2] != "COMPLETING"] == []


def test_two_shards_with_gpus_and_accounting_are_the_local_table_also_after_kill_9_of_a_job(others, accounted, local):
    front = others["two"].result()
    assert front.out.read_bytes() == local
    rows = accounted.call("sacct", "-X", "-n", "-P", "-o", "State,AllocTRES%80").splitlines()
    states = sorted(row.split("|")[0] for row in rows if "gres/gpu=1" in row)
    assert states == ["COMPLETED", "COMPLETED", "FAILED"]


def test_a_job_that_runs_out_of_memory_or_time_is_tried_again_with_more(others, local):
    front = others["more"].result()
    assert front.out.read_bytes() == local
    listed = front.made.call("squeue", "-h", "-t", "all", "-o", "%k|%m|%l|%T").splitlines()
    rows = [row.split("|") for row in listed if "|650M|" in row or "|1300M|" in row]
    memory, runtime = (sorted(row[1:] for row in rows if row[0].endswith(number)) for number in ("00000", "00001"))
    assert [row[::2] for row in sorted(memory, key=lambda row: len(row[0]))] == [
        ["650M", "FAILED"],
        ["1300M", "COMPLETED"],
    ]
    assert [row[1:] for row in sorted(runtime, key=lambda row: len(row[0]))][1] == ["8:00:00", "COMPLETED"]


def test_three_notebooks_run_as_jobs(others):
    said, tables = others["notebooks"].result()
    wanted = {f"figures/paper/{name}.csv": f"a,b\n1,{k}\n".encode() for k, name in enumerate(("one", "two", "three"))}
    assert wanted.items() <= tables.items()
    assert len(re.findall("has been submitted with SLURM jobid", said)) == 3  # the gallery is made in front


def test_seven_shards_are_the_local_table_also_after_kill_9_of_the_node_and_of_the_run(seven, local):
    said, there, left, front = seven.result()
    assert re.search(r"paperlib dataset: no job of the \d in the queue can start: the nodes .* are down", said)
    assert left and not front.jobs()  # the killed command left jobs, and they were not left to run beside the new ones
    assert there and there.items() <= front.shards().items()  # whole shards stay
    assert front.out.read_bytes() == local
    assert not list(shard_files.folder(front.out).rglob(".*.part*"))
