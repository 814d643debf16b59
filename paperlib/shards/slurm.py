"""What a run asks of Slurm: whether its jobs are let in, why they do not start, and that none is left behind.

Snakemake's plugin submits the jobs and asks for their states. It leaves open what happens on a cluster without
accounting, to a job that can never start, and to jobs whose run was killed; that is what is here.
"""

import getpass
import hashlib
import importlib.util
import re
import shutil
import subprocess
import time

import yaml

from ..errors import InputError

PLUGIN = "snakemake_executor_plugin_slurm"
POLL = 5  # seconds between looks at the queue
PATIENCE = 20  # seconds that jobs may stand for a reason that waiting does not mend
# The plugin looks up to 180 s apart and waits for ever for a job that it finds in no list.
REMEMBERED = 240  # seconds for which a cluster without accounting has to remember a finished job

# resource of a profile: option of sbatch
OPTIONS = {
    "slurm_partition": "--partition",
    "slurm_account": "--account",
    "runtime": "--time",
    "mem_mb": "--mem",
    "mem_mb_per_cpu": "--mem-per-cpu",
    "cpus_per_task": "--cpus-per-task",
    "gpu": "--gpus",
    "gres": "--gres",
    "constraint": "--constraint",
    "qos": "--qos",
}
SIZES = ("runtime", "mem_mb", "mem_mb_per_cpu", "cpus_per_task", "gpu")

# what sbatch says: what is wrong, and what to do; {names} are those of the profile's resources
REFUSALS = {
    r"partition name": ("there is no partition {slurm_partition}", "set slurm_partition to one of {partitions}"),
    r"[Aa]ccount": ("account {slurm_account} may not be used there", "set slurm_account to one of yours"),
    r"generic resource": ("the cluster has no resource {gpus}", "leave out the line gpu or take --profile slurm-cpu"),
    r"node configuration is not available": ("no node has {wanted}; {nodes}", "ask for less"),
    r"feature": ("no node is {constraint}", "change constraint"),
    r"qos|QOS": ("quality of service {qos} may not be used there", "change qos"),
    r"[Tt]ime limit": ("no partition lets a job run for {runtime} minutes", "lower runtime"),
}
# why a job is pending, as squeue names it: what is wrong, and what to do. Anything else is the queue's usual course.
HOPELESS = {
    r"PartitionTimeLimit": ("it asks for more time than the partition allows", "lower runtime"),
    r"PartitionNodeLimit|PartitionConfig|BadConstraints": (
        "no node of the partition has what it asks for",
        "ask for less",
    ),
    r"PartitionDown|PartitionInactive": ("the partition is not in service", "set another slurm_partition"),
    r"Nodes required for job are DOWN|NodeDown|ReqNodeNotAvail, ?UnavailableNodes": (
        "the nodes that could run it are down",
        "start again when they are back, or set another slurm_partition",
    ),
    r"InvalidAccount|AccountNotAllowed": ("the account may not be used there", "set slurm_account"),
    r"InvalidQOS|QOSNotAllowed": ("the quality of service may not be used there", "change qos"),
    r"(Assoc|QOS).*(PerJob|TimeLimit|WallDuration)": (
        "it asks for more than one job of yours may have",
        "ask for less",
    ),
    r"[Hh]eld": ("it is held", "scontrol release lets it go"),
}


class Run:
    """The jobs of one run on the cluster that the profile in `folder` sends them to.

    threads: cores of a job where the profile does not say. out: the table, which the jobs are named after.
    """

    def __init__(self, folder, out, threads=1):
        self.file = folder / "config.yaml"
        self.profile = read(self.file)
        self.asked = asked(self.profile, threads)
        self.name = "paperlib-" + hashlib.sha256(str(out).encode()).hexdigest()[:16]
        self.stuck_since = self.told = None

    def options(self):
        """Return Snakemake's options for the cluster as it is; InputError where the jobs would not get in."""
        if importlib.util.find_spec(PLUGIN) is None:
            raise InputError(f'{self.file} needs {PLUGIN.replace("_", "-")}: pip install -e ".[cluster]"')
        if not shutil.which("sbatch"):
            raise InputError(f"{self.file} needs Slurm and there is no sbatch; start on a machine that takes jobs")
        self.check()
        named = ["--slurm-jobname-prefix", self.name]
        if self.profile.get("slurm-status-command"):
            return named
        return [*named, "--slurm-status-command", self.status_command()]

    def check(self):
        """Ask Slurm whether it would take a shard's first job; InputError says why not."""
        words = [f"{OPTIONS[name]}={value}" for name, value in self.asked.items() if name in OPTIONS]
        done = ask("sbatch", "--test-only", *words, "--wrap=true", seconds=30)
        if done is None or not done.returncode:  # a busy controller may not foresee the start in that time
            return
        said = re.sub(r"^(sbatch: )?(error: |allocation failure: )*", "", done.stderr.strip().splitlines()[-1])
        if re.search("[Uu]nable to contact", said):
            raise InputError("Slurm's controller does not answer; try again when it does (scontrol ping)")
        for pattern, (why, remedy) in REFUSALS.items():
            if re.search(pattern, said):
                names = Words(self.asked, partitions=partitions(), wanted=self.wanted(), nodes=self.nodes())
                names["gpus"] = self.asked.get("gres") or f"gpu:{self.asked.get('gpu')}"
                words = f"{why}; {remedy}".format_map(names)
                raise InputError(f"Slurm takes no job of {self.file}: {words}")
        raise InputError(f"Slurm takes no job of {self.file}: {said}")

    def wanted(self):
        """Return in words what a job asks a node for."""
        shown = {"cpus_per_task": "core", "mem_mb": "MB", "mem_mb_per_cpu": "MB a core", "gpu": "GPU"}
        parts = []
        for name, what in shown.items():
            if name in self.asked:
                many = what in ("core", "GPU") and str(self.asked[name]) != "1"
                parts.append(f"{self.asked[name]} {what}{'s' * many}")
        return ", ".join([*parts, *filter(None, [self.asked.get("gres")])])

    def nodes(self):
        """Return in words what the nodes of the partition (all, where none is named) have, or that none is up."""
        place = self.asked.get("slurm_partition")
        shown = ["-o", "%t|%c cores, %m MB, GPUs: %G"]
        done = ask("sinfo", "-h", "-e", *shown, *([f"--partition={place}"] if place else []))
        rows = [line.strip().split("|", 1) for line in done.stdout.splitlines()] if done else []
        up = {what.replace("GPUs: (null)", "no GPU") for state, what in rows if re.match("idle|mix|alloc|comp", state)}
        where = f"the nodes of {place}" if place else "the nodes"
        return f"{where} have {' or '.join(sorted(up))}" if up else f"{where} are {', '.join({s for s, _ in rows})}"

    def status_command(self):
        """Return the command that can say how a job ended: sacct where it answers, squeue where accounting is off."""
        done = ask("sacct", "-n", "-X", "--starttime=now")
        if done and not done.returncode:
            return "sacct"
        done = ask("scontrol", "show", "config")
        age = re.search(r"MinJobAge\s*=\s*(\d+)", done.stdout if done else "")
        if age and int(age[1]) < REMEMBERED:
            raise InputError(
                f"this Slurm keeps no accounts and forgets a job {age[1]} s after its end, before it is asked; "
                f"MinJobAge in slurm.conf should be {REMEMBERED} or more"
            )
        return "squeue"

    def jobs(self):
        """Return [(id, state, reason)] of the jobs in the queue, or None where Slurm does not answer."""
        done = ask("squeue", "-h", f"--user={getpass.getuser()}", "-o", "%i|%j|%T|%r")
        if done is None or done.returncode:
            return None
        rows = [line.split("|", 3) for line in done.stdout.splitlines()]
        return [(number, state, why) for number, name, state, why in rows if name.startswith(f"{self.name}_")]

    def watch(self):
        """Tell why all jobs wait; InputError once they have for a while and cannot start as things are."""
        jobs = self.jobs()
        if jobs is None and self.told != "nothing":
            print("Slurm does not answer (squeue); the run goes on when it does", flush=True)
            self.told = "nothing"
        if not jobs:
            self.stuck_since = None
            return
        waiting = [(number, why) for number, state, why in jobs if state == "PENDING" and why != "None"]
        if len(waiting) < len(jobs):
            self.stuck_since = None
            return
        self.stuck_since = self.stuck_since or time.monotonic()
        if time.monotonic() - self.stuck_since < PATIENCE:
            return
        stuck = [(number, why, hopeless(why)) for number, why in waiting if hopeless(why)]
        if stuck:
            number, why, (wrong, remedy) = stuck[0]
            raise InputError(
                f"no job of the {len(jobs)} in the queue can start: {wrong} (Slurm says {why} of {number}); "
                f"{remedy} ({self.file})"
            )
        number, why = waiting[0]
        if self.told != why:
            print(f"all of {len(jobs)} jobs wait in the queue; Slurm says {why} of {number}", flush=True)
            self.told = why

    def cancel(self, seconds=0):
        """Cancel the run's jobs and wait up to `seconds` for their end; returns whether none is left."""
        jobs, end = self.jobs(), time.monotonic() + seconds
        if jobs:
            ask("scancel", *[number for number, _, _ in jobs])
        while jobs and time.monotonic() < end:
            time.sleep(0.5)
            jobs = self.jobs()
        return jobs == []


class Words(dict):
    """Names to fill into a sentence; those that are not known stand for the cluster's default."""

    def __missing__(self, name):
        return "of the cluster's default"


def is_for(folder):
    """Return whether a Snakemake profile sends jobs to Slurm."""
    return read(folder / "config.yaml").get("executor") == "slurm"


def read(file):
    """Return the content of a Snakemake profile."""
    try:
        found = yaml.safe_load(file.read_text(encoding="utf-8"))
    except yaml.YAMLError as error:
        raise InputError(f"{file} is no YAML: {' '.join(str(error).split())}") from None
    if not isinstance(found, dict):
        raise InputError(f"{file} is no Snakemake profile; it should have lines such as executor: slurm")
    return found


def asked(profile, threads):
    """Return {resource: value} of a shard's first job; leaves out what only Snakemake can work out."""
    resources = {
        **(profile.get("default-resources") or {}),
        **((profile.get("set-resources") or {}).get("shard") or {}),
    }
    found = {"cpus_per_task": threads}
    for name, value in resources.items():
        if name in SIZES:
            value = re.sub(r"\s*\*\s*attempt$", "", str(value))  # which is 1
            if not value.isdigit():
                found.pop(name, None)
                continue
            value = int(value)
        found[name] = value
    if found.get("gpu_model") and "gpu" in found:
        found["gpu"] = f"{found['gpu_model']}:{found['gpu']}"
    return found


def hopeless(reason):
    """Return (what is wrong, what to do) of a reason that waiting does not mend, or None."""
    return next((words for pattern, words in HOPELESS.items() if re.search(pattern, reason)), None)


def partitions():
    """Return the names of the cluster's partitions."""
    done = ask("sinfo", "-h", "-o", "%R")
    return ", ".join(sorted(set(done.stdout.split()))) if done else "those that sinfo lists"


def ask(*command, seconds=20):
    """Return one of Slurm's commands, finished, or None where it is not there or takes too long."""
    try:
        return subprocess.run(command, capture_output=True, text=True, timeout=seconds, stdin=subprocess.DEVNULL)
    except (OSError, subprocess.TimeoutExpired):
        return None
