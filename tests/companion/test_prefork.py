"""A process forked from one that has imported everything behaves as `python -m` does."""

import json
import os
import signal
import subprocess
import sys

import psutil
import pytest

from paperlib.companion import prefork

from .projects import until

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="forks of loaded libraries are used on Linux only")

REPORTS = """
import json, os, sys
sys.stdout.reconfigure(errors="backslashreplace")  # as for names that are no text; a pipe, where the server's is a file
print(json.dumps({"argv": sys.argv[1:], "name": __name__, "folder": os.getcwd(), "path": sys.path[0],
                  "word": os.environ.get("WORD"), "read": sys.stdin.read(), "parent": os.getppid(),
                  "torch": "torch" in sys.modules, "paperlib": "paperlib" in sys.modules}))
print("complaint", file=sys.stderr)
"""
WAITS = "import os, pathlib, time\npathlib.Path('pid').write_text(str(os.getpid()))\ntime.sleep(800)"


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    """A process that serves; returns (process, environment of those who ask it)."""
    address = str(tmp_path_factory.mktemp("s") / "a")
    with open(f"{address}.log", "w") as log:
        process = subprocess.Popen(prefork.command("serve", address), stdout=log)
    until(lambda: os.path.exists(address))
    yield process, {**os.environ, prefork.ADDRESS: address}
    process.kill()
    process.wait()


@pytest.fixture
def modules(tmp_path):
    """A folder with modules to run."""
    for name, code in {
        "reports": REPORTS,
        "waits": WAITS,
        "fails": "1 / 0",
        "ends": "import sys\nsys.exit(7)",
        "says": "import sys\nsys.exit('no such thing')",
        "true": "import sys\nsys.exit(True)",
        "catches": WAITS.replace("time.sleep(800)", "try: time.sleep(800)\nexcept KeyboardInterrupt: exit(5)"),
    }.items():
        (tmp_path / f"{name}.py").write_text(code)
    return tmp_path


def ask(module, *arguments, folder, env, **more):
    """Run a module by a fork to its end."""
    return subprocess.run(
        prefork.command("run", module, *arguments), cwd=folder, env=env, capture_output=True, text=True, **more
    )


def started(modules):
    """Wait until the module that waits has started; returns its process."""
    mark = modules / "pid"
    until(lambda: mark.exists() and mark.read_text())
    return psutil.Process(int(mark.read_text()))


def test_a_fork_has_the_askers_files_folder_arguments_and_environment(server, modules):
    process, env = server
    done = ask("reports", "-a", "b c", "é", folder=modules, env={**env, "WORD": "ü"}, input="some\ntext")
    assert done.returncode == 0 and done.stderr == "complaint\n"
    assert json.loads(done.stdout) == {
        "argv": ["-a", "b c", "é"],
        "name": "__main__",
        "folder": str(modules),
        "path": str(modules),
        "word": "ü",
        "read": "some\ntext",
        "parent": process.pid,
        "torch": True,
        "paperlib": False,  # it sees the library as it is when it starts
    }


def test_a_large_environment_arrives_whole(server, modules):
    env = {**server[1], **{f"LARGE{i}": "x" * 120_000 for i in range(6)}, "WORD": "last"}
    done = ask("reports", folder=modules, env=env, input="")
    assert json.loads(done.stdout)["word"] == "last" and json.loads(done.stdout)["torch"]


@pytest.mark.parametrize("address", [None, "/nowhere/socket"])
def test_without_a_server_it_is_a_process_of_its_own(address, server, modules):
    env = {**os.environ, **({prefork.ADDRESS: address} if address else {})}
    done = ask("reports", "x", folder=modules, env=env, input="")
    found = json.loads(done.stdout)
    assert (done.returncode, found["torch"], found["argv"]) == (0, False, ["x"])


@pytest.mark.parametrize("module, code", [("ends", 7), ("true", 1), ("says", 1), ("fails", 1), ("absent", 1)])
def test_the_exit_code_and_the_traceback_come_back(module, code, server, modules):
    done = ask(module, folder=modules, env=server[1])
    assert done.returncode == code
    said = {"fails": "ZeroDivisionError", "absent": "No module named", "says": "no such thing"}
    assert said.get(module, "") in done.stderr


def test_a_fork_dies_with_who_asked_for_it(server, modules):
    asker = subprocess.Popen(prefork.command("run", "waits"), cwd=modules, env=server[1])
    fork = started(modules)
    assert fork.ppid() == server[0].pid
    asker.kill()
    asker.wait()
    until(lambda: not fork.is_running())


def test_who_asked_ends_when_its_fork_was_killed(server, modules):
    asker = subprocess.Popen(prefork.command("run", "waits"), cwd=modules, env=server[1])
    started(modules).kill()
    assert asker.wait(timeout=300) == 1


def test_an_interrupt_reaches_the_fork(server, modules):
    asker = subprocess.Popen(prefork.command("run", "catches"), cwd=modules, env=server[1])
    started(modules)
    asker.send_signal(signal.SIGINT)
    assert asker.wait(timeout=300) == 5


def test_forks_run_side_by_side_and_leave_no_zombies(server, modules):
    process, env = server
    asked = [subprocess.Popen(prefork.command("run", "ends"), cwd=modules, env=env) for _ in range(12)]
    assert [asker.wait(timeout=300) for asker in asked] == [7] * 12
    until(lambda: not psutil.Process(process.pid).children())


def test_a_server_that_dies_is_noticed_and_done_without(tmp_path, modules):
    address = str(tmp_path / "a")
    with open(f"{address}.log", "w") as log:
        process = subprocess.Popen(prefork.command("serve", address), stdout=log)
    until(lambda: os.path.exists(address))
    env = {**os.environ, prefork.ADDRESS: address}
    asker = subprocess.Popen(
        prefork.command("run", "reports"), cwd=modules, env=env, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE
    )
    process.kill()  # while it imports, and the asker waits for its turn
    process.wait()
    assert json.loads(asker.communicate(timeout=300)[0])["torch"] is False
