"""A real Slurm of one node in a folder and on ports of its own, with or without accounting; needs root."""

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from pathlib import Path

import psutil

from paperlib.storage.processes import die_with_parent

NEEDED = ("slurmctld", "slurmd", "sbatch", "squeue", "munged")
ACCOUNTING = ("slurmdbd", "sacctmgr", "mariadbd", "mariadb-install-db")
CORES = 16  # that the node claims; Slurm binds nothing here
CONF = """
ClusterName=paperlib
SlurmctldHost={host}(127.0.0.1)
SlurmctldPort={ctld}
SlurmdPort={slurmd}
AuthType=auth/munge
AuthInfo=socket={folder}/munge.socket
SlurmUser=root
SlurmdUser=root
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd.pid
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core_Memory
SchedulerParameters=batch_sched_delay=0,sched_interval=2
ReturnToService=2
SlurmdTimeout=5
KillWait=2
JobAcctGatherType=jobacct_gather/linux
JobAcctGatherFrequency=task=1
JobAcctGatherParams=OverMemoryKill
SlurmdParameters=config_overrides
MpiDefault=none
PartitionName=main Nodes={host} Default=YES MaxTime=600 State=UP
PartitionName=closed Nodes={host} MaxTime=600 State=DOWN
"""
WITHOUT = """
AccountingStorageType=accounting_storage/none
NodeName={host} NodeAddr=127.0.0.1 CPUs={cores} RealMemory={memory} State=UNKNOWN
"""
WITH = """
AccountingStorageType=accounting_storage/slurmdbd
AccountingStorageHost=127.0.0.1
AccountingStoragePort={dbd}
AccountingStoragePass={folder}/munge.socket
AccountingStorageEnforce=associations
AccountingStorageTRES=gres/gpu
GresTypes=gpu
NodeName={host} NodeAddr=127.0.0.1 CPUs={cores} RealMemory={memory} Gres=gpu:2 State=UNKNOWN
"""
DBD = """
AuthType=auth/munge
AuthInfo=socket={folder}/munge.socket
DbdHost=localhost
DbdAddr=127.0.0.1
DbdPort={dbd}
SlurmUser=root
PidFile={folder}/slurmdbd.pid
LogFile={folder}/slurmdbd.out
StorageType=accounting_storage/mysql
StorageHost=127.0.0.1
StoragePort={sql}
StorageUser=root
StoragePass=none
StorageLoc=accounts
"""


def lacking(accounting=False):
    """Return in one sentence why no Slurm can be started here, or None if one can."""
    if os.name != "posix" or os.geteuid():
        return "only root can start a Slurm"
    missing = [name for name in (*NEEDED, *(ACCOUNTING if accounting else ())) if not shutil.which(name)]
    return (
        f"{', '.join(missing)} not installed (on Debian: slurm-wlm, munge, slurmdbd, mariadb-server)"
        if missing
        else None
    )


def free_port():
    """Return a TCP port that nobody listens on."""
    with socket.socket() as opened:
        opened.bind(("127.0.0.1", 0))
        return opened.getsockname()[1]


class Cluster:
    """The daemons of one cluster; `environment` is what its commands need to find it.

    memory: MB of the node. more: lines of slurm.conf.
    """

    def __init__(self, accounting=False, memory=64000, more=""):
        self.folder = Path(tempfile.mkdtemp(prefix="slurm-", dir="/tmp"))  # short, for the sockets in it
        self.folder.chmod(0o755)
        self.environment = {
            "SLURM_CONF": str(self.folder / "slurm.conf"),
            "PATH": f"{self.folder / 'bin'}:{os.environ['PATH']}",
        }
        self.accounting, self.daemons = accounting, {}
        ports = {name: free_port() for name in ("ctld", "slurmd", "dbd", "sql")}
        host = socket.gethostname().partition(".")[0]
        self.names = {"host": host, "folder": self.folder, "cores": CORES, "memory": memory, **ports}
        conf = (CONF + (WITH if accounting else WITHOUT) + more).format(**self.names)
        # nodes before partitions
        lines = sorted(conf.splitlines(), key=lambda line: line.startswith("PartitionName"))
        (self.folder / "slurm.conf").write_text("\n".join(lines) + "\n")
        if accounting:
            (self.folder / "gres.conf").write_text("Name=gpu File=/dev/null\nName=gpu File=/dev/zero\n")
            (self.folder / "slurmdbd.conf").write_text(DBD.format(**self.names))
            (self.folder / "slurmdbd.conf").chmod(0o600)

    def start(self):
        """Start the daemons and wait until the node is idle."""
        f = self.folder
        for name in ("state", "spool", "bin"):
            (f / name).mkdir()
        # The plugin's jobs start srun without any variable of Slurm's, also without the one that names our folder.
        step = f / "bin" / "srun"
        step.write_text(f'#!/bin/sh\nSLURM_CONF={f / "slurm.conf"} exec {shutil.which("srun")} "$@"\n')
        step.chmod(0o755)
        (f / "munge.key").write_bytes(os.urandom(128))
        (f / "munge.key").chmod(0o400)
        files = {"socket": "munge.socket", "key-file": "munge.key", "pid-file": "munge.pid"}
        files |= {"log-file": "munge.log", "seed-file": "munge.seed"}
        self.daemon("munged", "--foreground", "--force", *(f"--{name}={f / file}" for name, file in files.items()))
        self.until(lambda: (f / "munge.socket").exists(), "munged")
        if self.accounting:
            self.start_accounting()
        self.daemon("slurmctld", "-D", "-f", f / "slurm.conf")
        self.start_slurmd()
        return self

    def start_accounting(self):
        """Start a database and slurmdbd, which knows the account `root` alone."""
        f, sql = self.folder, self.names["sql"]
        made = ["mariadb-install-db", "--no-defaults", f"--datadir={f / 'sql'}", "--user=root", "--skip-test-db"]
        subprocess.run([*made, "--auth-root-authentication-method=normal"], check=True, capture_output=True)
        self.daemon(
            "mariadbd",
            "--no-defaults",
            f"--datadir={f / 'sql'}",
            f"--socket={f / 'sql.socket'}",
            f"--port={sql}",
            "--bind-address=127.0.0.1",
            "--user=root",
            "--skip-grant-tables",
            f"--pid-file={f / 'sql.pid'}",
            "--innodb-buffer-pool-size=32M",
        )
        self.until(lambda: listening(sql), "mariadbd")
        self.daemon("slurmdbd", "-D")
        self.until(lambda: listening(self.names["dbd"]), "slurmdbd")
        self.call("sacctmgr", "-i", "add", "cluster", "paperlib")

    def start_slurmd(self):
        """Start the node's daemon (again) and wait until the node takes jobs."""
        self.daemon("slurmd", "-D", "-f", self.folder / "slurm.conf")
        self.until(
            lambda: self.call("sinfo", "-h", "-p", "main", "-o", "%t").strip() in ("idle", "mix", "alloc"), "slurmd"
        )

    def kill_slurmd(self):
        """kill -9 of the node's daemon. The node is called down at once: Slurm itself would take half a minute."""
        self.daemons["slurmd"].kill()
        self.daemons["slurmd"].wait()
        self.call("scontrol", "update", f"NodeName={self.names['host']}", "State=DOWN", "Reason=killed")

    def daemon(self, name, *arguments):
        """Start a daemon that stays in the foreground and dies with this process."""
        with open(self.folder / f"{name}.out", "a") as log:
            self.daemons[name] = subprocess.Popen(
                [name, *map(str, arguments)],
                stdout=log,
                stderr=log,
                stdin=subprocess.DEVNULL,
                env={**os.environ, **self.environment},
                start_new_session=True,
                preexec_fn=die_with_parent,
            )

    def until(self, condition, name, seconds=300):
        """Wait for a condition that the daemon `name` brings about."""
        end = time.monotonic() + seconds
        while not condition():
            log = self.folder / f"{name}.out"
            said = log.read_text()[-2000:] if log.exists() else ""
            assert self.daemons[name].poll() is None and time.monotonic() < end, f"{name} is not ready: {said}"
            time.sleep(0.1)

    def call(self, *command):
        """Return the output of one of Slurm's commands, empty where it failed."""
        done = subprocess.run(
            command, env={**os.environ, **self.environment}, capture_output=True, text=True, timeout=300
        )
        return done.stdout

    def jobs(self, *states):
        """Return [(id, name, state, reason)] of the jobs in the queue."""
        chosen = ["-t", ",".join(states)] if states else []
        return [line.split("|") for line in self.call("squeue", "-h", "-o", "%i|%j|%T|%r", *chosen).splitlines()]

    def processes(self):
        """Return the processes that were started for this cluster or by its jobs."""
        found = []
        for process in psutil.process_iter():
            with contextlib.suppress(psutil.Error):
                # a step's guard overwrites its environment but listens in the spool folder
                sockets = process.net_connections("unix") if process.name() == "slurmstepd" else []
                if process.environ().get("SLURM_CONF") == self.environment["SLURM_CONF"] or any(
                    str(each.laddr).startswith(f"{self.folder}/") for each in sockets
                ):
                    found.append(process)
        return found

    def stop(self):
        """End jobs and daemons, each by its own process id, and remove the folder."""
        with contextlib.suppress(subprocess.TimeoutExpired):
            self.call("scancel", "--user=root")
            end = time.monotonic() + 60
            while self.jobs() and time.monotonic() < end:
                time.sleep(0.2)
        for name in ("slurmctld", "slurmd", "slurmdbd", "mariadbd", "munged"):
            if name in self.daemons:
                self.daemons[name].send_signal(signal.SIGKILL if name == "mariadbd" else signal.SIGTERM)
                with contextlib.suppress(subprocess.TimeoutExpired):
                    self.daemons[name].wait(10)
        end = time.monotonic() + 10
        while (left := self.processes()) and time.monotonic() < end:  # one that is killed may just have begun another
            for process in left:
                with contextlib.suppress(psutil.Error):
                    process.kill()
            psutil.wait_procs(left, timeout=1)
        shutil.rmtree(self.folder, ignore_errors=True)


def listening(port):
    """Return whether somebody listens on a port of this machine."""
    with socket.socket() as opened:
        return opened.connect_ex(("127.0.0.1", port)) == 0
