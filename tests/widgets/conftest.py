"""JupyterLab on loopback, started once for all tests that ask for it, and pages of the browser, before it and alone."""

import os
import shutil
import socket
import subprocess
import sys
import time
import urllib.request

import pytest

from paperlib.storage import paths

from .alone import shown
from .lab import Lab

SETTINGS = {
    "apputils-extension/notification": '{"fetchNews": "false", "checkForUpdates": false, "doNotDisturbMode": true}',
    "notebook-extension/tracker": '{"windowingMode": "none", "autoStartDefaultKernel": true}',
    "docmanager-extension/plugin": '{"autosave": false}',
}


@pytest.fixture(scope="session")
def server(tmp_path_factory):
    """(address, token, folder) of a JupyterLab whose notebooks, settings and figures lie in a temporary folder."""
    folder = tmp_path_factory.mktemp("lab")
    work, home = folder / "work", folder / "home"
    notebooks = work / "notebooks" / "explore"  # which show their committed figures, two folders up
    shutil.copytree(paths.NOTEBOOKS / "explore", notebooks)
    shutil.copytree(paths.FIGURES / "explore", work / "figures" / "explore")
    (home / "data").mkdir(parents=True)
    for name in ("checkpoints", "zoo.yaml"):
        (home / "data" / name).symlink_to(paths.ROOT / "data" / name)
    for name, content in SETTINGS.items():
        file = folder / "settings" / "@jupyterlab" / f"{name}.jupyterlab-settings"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(content)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    token, address = os.urandom(16).hex(), f"http://127.0.0.1:{port}"
    places = {
        "HOME": folder,
        "IPYTHONDIR": folder / "ipython",
        "PAPERLIB_HOME": home,
        "JUPYTER_CONFIG_DIR": folder / "config",
        "JUPYTER_DATA_DIR": folder / "share",
        "JUPYTER_RUNTIME_DIR": folder / "runtime",
        "JUPYTERLAB_SETTINGS_DIR": folder / "settings",
        "JUPYTERLAB_WORKSPACES_DIR": folder / "workspaces",
    }
    with open(folder / "log", "w") as log:
        process = subprocess.Popen(
            [
                sys.executable,
                "-m",
                "jupyterlab",
                "--no-browser",
                "--allow-root",
                "--ServerApp.ip=127.0.0.1",
                f"--ServerApp.port={port}",
                "--ServerApp.port_retries=0",
                f"--IdentityProvider.token={token}",
                f"--ServerApp.root_dir={work}",
                "--LabApp.expose_app_in_browser=True",
            ],
            env={**os.environ, **{key: str(value) for key, value in places.items()}, "OMP_NUM_THREADS": "1"},
            stdout=log,
            stderr=log,
            cwd=work,
        )
    try:
        _wait(f"{address}/api?token={token}", process, folder / "log")
        yield address, token, notebooks
    finally:
        process.terminate()  # the server ends its kernels
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            process.kill()


def _wait(url, process, log, seconds=300):
    until = time.monotonic() + seconds
    while time.monotonic() < until and process.poll() is None:
        try:
            urllib.request.urlopen(url, timeout=5).close()
            return
        except OSError:
            time.sleep(0.3)
    raise RuntimeError(f"JupyterLab did not start: {log.read_text()[-2000:]}")


@pytest.fixture
def lab(browser, server):
    """Opens notebooks in a page of its own; fails the test if the page reported an error."""
    address, token, folder = server
    context = browser.new_context(viewport={"width": 1400, "height": 1000}, accept_downloads=True)
    page = Lab(context.new_page(), address, token, folder)
    yield page
    page.close()
    context.close()
    assert page.errors == []


@pytest.fixture
def show(browser):
    """Return a function that shows a widget in a page of its own."""
    context = browser.new_context(viewport={"width": 1000, "height": 900})
    yield lambda widget: shown(context, widget)
    context.close()
