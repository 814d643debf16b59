"""Skip what this machine or call cannot measure; keep what was measured in `figures/benchmarks.csv`.

Rows come from tests marked `gpu` (whatever they give to `record_property`) and from benchmarks (their
`extra_info`), each with the device it was measured on. Nothing is written where neither ran.
"""

import os
import platform
from pathlib import Path

import pandas as pd
import pytest

from paperlib.storage import paths

if workers := int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", 0)):  # its share of the cores, before torch is imported
    os.environ.setdefault("OMP_NUM_THREADS", str(max(1, (os.cpu_count() or 1) // workers)))

COLUMNS = ["test", "device", "quantity", "value"]
MEASURED = pytest.StashKey[list]()


def pytest_collection_modifyitems(config, items):
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
            (item.nodeid, device, name, f"{value:.4g}" if isinstance(value, float) else str(value))
            for name, value in found.items()
        )
    return report


def pytest_sessionfinish(session):
    measured = pd.DataFrame(session.config.stash.get(MEASURED, []), columns=COLUMNS)
    if measured.empty:
        return
    file = paths.FIGURES / "benchmarks.csv"
    if file.is_file():
        before = pd.read_csv(file, dtype=str, keep_default_na=False)
        again = pd.MultiIndex.from_frame(before[COLUMNS[:2]]).isin(pd.MultiIndex.from_frame(measured[COLUMNS[:2]]))
        measured = pd.concat([before[~again], measured])
    with paths.atomic(file) as temporary:
        measured.sort_values(COLUMNS).to_csv(temporary, index=False, lineterminator="\n")


def gpu():
    """Return the name of the GPU, or None where there is none."""
    import torch

    return torch.cuda.get_device_name() if torch.cuda.is_available() else None


def cpu():
    """Return the name of the processor."""
    info = Path("/proc/cpuinfo")
    lines = info.read_text(encoding="utf-8").splitlines() if info.is_file() else []
    named = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return f"{named[0]}, {len(named)} cores" if named else platform.processor() or platform.machine()
