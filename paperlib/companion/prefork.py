"""`python -m MODULE ARGUMENTS`, forked from a process that has already imported what every notebook imports.

Importing torch, matplotlib, pandas and scipy takes four seconds, and two more what torch.export needs to record a
network: more than many a notebook's own work. A run of many notebooks therefore starts `python prefork.py serve
ADDRESS` once, and `python prefork.py run MODULE ...` asks it for a fork of itself: the fork takes over the asker's
files, folder and environment, dies with the asker, and the asker ends as the fork ended. Where nobody serves, `run`
becomes a plain `python -m`.

Why not multiprocessing's forkserver: it forks only for the process that started it and that process's children by
`spawn`; here those who ask stand two programs away, under Snakemake and papermill, and bring files, folder and
environment of their own.

Nothing of paperlib is imported here: a fork must see the library as it is when it starts, not when the run did.
"""

import json
import os
import signal
import socket
import sys

ADDRESS = "PAPERLIB_PREFORK"  # environment variable: the socket of the process that serves
IMPORTS = (
    "torch.export._trace",  # with what torch.export imports only when it is called
    "matplotlib.pyplot",
    "pandas",
    "scipy.stats",
    "ipykernel.kernelapp",
    "ipykernel.ipkernel",
    "papermill",
)
ENVIRONMENT = {
    "MPLBACKEND": "module://matplotlib_inline.backend_inline",  # what a kernel sets before it imports matplotlib
    "JPY_PARENT_PID": "1",  # what ipykernel reads when imported; 1: whoever started the kernel ends it
}
PORTION = 1 << 20  # bytes of a request read at once


def command(verb, *arguments):
    """Return the command line of `serve ADDRESS` or `run MODULE ...`; the latter starts in 20 ms, without packages."""
    return [sys.executable, *(["-P"] if verb == "serve" else ["-I", "-S"]), __file__, verb, *arguments]


def serve(address):
    """Import what notebooks import, then fork a process for every request that comes to the socket `address`."""
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(address)
    listener.listen(64)  # before the imports: who asks early waits for them
    os.environ.update(ENVIRONMENT)
    sys.modules.setdefault("rfc3987_syntax", None)  # see execute.run_papermill
    for name in IMPORTS:
        __import__(name)
    path = list(sys.path)
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # ended forks need no wait()
    while True:
        connection, _ = listener.accept()
        request, files, *_ = socket.recv_fds(connection, PORTION, 3)
        while request and not request.endswith(b"\n"):
            more = connection.recv(PORTION)
            request = request + more if more else b""
        if request and os.fork() == 0:
            listener.close()
            become(connection, files, path, **json.loads(request))
        for file in files:
            os.close(file)
        connection.close()


def become(connection, files, path, module, arguments, folder, environment):
    """Run a module as `python -m` would, with the asker's files, folder and environment; does not return."""
    import runpy
    import threading

    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    os.setsid()
    for number, file in enumerate(files):
        os.dup2(file, number)
        os.close(file)
    # what Python knows of the server's own files, such as that it can go back in them, need not be true of these
    sys.stdout = open(1, "w", closefd=False)
    sys.stderr = open(2, "w", buffering=1, errors="backslashreplace", closefd=False)
    os.environ.clear()
    os.environ.update(environment)
    os.chdir(folder)
    sys.path[:] = [folder, *path]
    sys.argv[:] = [module, *arguments]
    connection.sendall(f"{os.getpid()}\n".encode())
    threading.Thread(target=lambda: (connection.recv(1), os._exit(1)), daemon=True).start()
    code = 0
    try:
        runpy.run_module(module, run_name="__main__", alter_sys=True)
    except SystemExit as end:
        code = 0 if end.code is None else end.code
        if not isinstance(code, int):  # words, which the interpreter would say
            print(code, file=sys.stderr)
            code = 1
    except BaseException:
        sys.excepthook(*sys.exc_info())
        code = 1
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        connection.sendall(f"{int(code)}\n".encode())
        os._exit(code)


def run(module, *arguments):
    """Have the module run by a fork, hand signals on to it and end with its exit code."""
    try:
        asked = socket.socket(socket.AF_UNIX)
        asked.connect(os.environ[ADDRESS])
        request = {"module": module, "arguments": arguments, "folder": os.getcwd(), "environment": dict(os.environ)}
        message = json.dumps(request).encode() + b"\n"
        sent = socket.send_fds(asked, [message], [0, 1, 2])
        asked.sendall(message[sent:])
        answers = asked.makefile()
        fork = int(answers.readline())
    except (KeyError, OSError, ValueError):  # nobody serves, or no longer
        os.execv(sys.executable, [sys.executable, "-m", module, *arguments])
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda number, _: os.kill(fork, number))
    sys.exit(int(answers.readline() or 1))


if __name__ == "__main__":
    {"serve": serve, "run": run}[sys.argv[1]](*sys.argv[2:])
