"""What was measured on which device: the rows of `figures/benchmarks.csv`."""

import os
import platform
from pathlib import Path

import pandas as pd

from paperlib.storage import locks, paths

COLUMNS = ["test", "device", "quantity", "value"]


def file():
    """Return where rows are kept: `figures/benchmarks.csv`, or the file that PAPERLIB_BENCHMARKS names."""
    return Path(os.environ.get("PAPERLIB_BENCHMARKS") or paths.FIGURES / "benchmarks.csv")


def keep(rows, kept=None):
    """Put rows of COLUMNS into a CSV file; they take the place of all earlier rows of the same test and device."""
    kept, measured = kept or file(), pd.DataFrame(rows, columns=COLUMNS).astype(str)
    if measured.empty:
        return
    with locks.only_one(paths.CACHE / "benchmarks.lock"):  # tests may run in several processes
        if kept.is_file():
            before = pd.read_csv(kept, dtype=str, keep_default_na=False)
            again = pd.MultiIndex.from_frame(before[COLUMNS[:2]]).isin(pd.MultiIndex.from_frame(measured[COLUMNS[:2]]))
            measured = pd.concat([before[~again], measured])
        with paths.atomic(kept) as temporary:
            measured.sort_values(COLUMNS).to_csv(temporary, index=False, lineterminator="\n")


def written(value):
    """Return a measured value as it is kept: four digits of a number."""
    return f"{value:.4g}" if isinstance(value, float) else str(value)


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
