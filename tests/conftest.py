"""Skip what this machine or call cannot measure; keep what was measured in `figures/benchmarks.csv`.

Rows come from tests marked `gpu` (whatever they give to `record_property`) and from benchmarks (their
`extra_info`), each with the device it was measured on. Nothing is written where neither ran.
"""

import os
import shutil
from pathlib import Path

import pytest

from .benchmarks.measured import cpu, gpu, keep, written

if workers := int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", 0)):  # its share of the cores, before torch is imported
    os.environ.setdefault("OMP_NUM_THREADS", str(max(1, (os.cpu_count() or 1) // workers)))

BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
MEASURED = pytest.StashKey[list]()
# The dearest files. Workers take whole files, these first: small ones then fill what is left of the last minutes.
DEAREST = (
    "paper_profile/test_profile",
    "companion/test_runner",
    "shards/test_snakemake",
    "widgets/test_browser",
    "models/test_adapt",
    "companion/test_faults",
    "shards/test_slurm",
    "test_determinism",
    "training/test_parallel",
    "training/test_crew",
    "benchmarks/test_gpu_scripts",
)


def pytest_collection_modifyitems(config, items):
    if workers:
        rank = {Path(__file__).parent / f"{name}.py": k for k, name in enumerate(DEAREST)}
        items.sort(key=lambda item: rank.get(item.path, len(rank)))
    timing = config.getoption("benchmark_enable") or not config.getoption("benchmark_disable")
    for item in items:
        if item.get_closest_marker("gpu") and gpu() is None:
            item.add_marker(pytest.mark.skip(reason="needs an NVIDIA GPU"))
        elif "benchmark" in item.fixturenames and not timing:
            item.add_marker(pytest.mark.skip(reason="measures time: give --benchmark-enable on a quiet machine"))


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item, call):
    report = yield
    on_gpu, benchmark = item.get_closest_marker("gpu"), getattr(item, "funcargs", {}).get("benchmark")
    if report.when == "call" and report.outcome != "skipped" and (on_gpu or benchmark):
        found = {"outcome": report.outcome, **dict(item.user_properties), **getattr(benchmark, "extra_info", {})}
        if getattr(benchmark, "stats", None):
            found["median seconds"] = benchmark.stats.stats.median
        device = gpu() if on_gpu else cpu()
        item.config.stash.setdefault(MEASURED, []).extend(
            (item.nodeid, device, name, written(value)) for name, value in found.items()
        )
    return report


def pytest_sessionfinish(session):
    keep(session.config.stash.get(MEASURED, []))


@pytest.fixture(scope="session")
def browser():
    """A headless Chromium: the system's, or the one that Playwright has installed."""
    playwright = pytest.importorskip("playwright.sync_api")
    path = next((found for name in BROWSERS if (found := shutil.which(name))), None)
    with playwright.sync_playwright() as driver:
        if path is None and not Path(driver.chromium.executable_path).exists():
            pytest.skip("there is no Chromium; install one, or run playwright install chromium")
        started = driver.chromium.launch(executable_path=path, args=["--no-sandbox"])
        yield started
        started.close()
