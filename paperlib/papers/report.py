"""What every notebook does besides its own analysis: settings, seeds, device, saving tables, figures and claims."""

import json
import os
import platform
import random
import time
from datetime import UTC, datetime

import numpy as np
import pandas as pd
import torch

from ..convolution.allocator import keep_freed
from ..errors import InputError
from ..models.devices import device
from ..storage import paths, software
from . import claims
from .settings import settings, where

SHOWN = ("where", "statement", "quantity", "criterion", "published", "ours", "low", "high", "verdict", "rests_on")


def number(value):
    """Return a number as notebooks show it: three significant digits, or whole from a thousand on."""
    return f"{value:,.0f}" if abs(value) >= 999.5 else f"{value:.3g}"  # which would show 999.5 as 1e+03


def short(table, of=None):
    """Return a table to show whose columns `low` and `high` stand in column `of`, as 0.52 [0.4, 0.6].

    of: by default the column before `low`. A table without intervals is shown as it is.
    """
    if "low" not in table:
        return table
    of = of or table.columns[table.columns.get_loc("low") - 1]
    shown = table.drop(columns=["low", "high"])
    shown[of] = [
        "" if pd.isna(value) else number(value) + ("" if pd.isna(low) else f" [{number(low)}, {number(high)}]")
        for value, low, high in table[[of, "low", "high"]].apply(pd.to_numeric, errors="coerce").itertuples(index=False)
    ]
    return shown


class Skipped(Exception):
    """Raised in a notebook that cannot run here (say, no data); the runner lists it as skipped, not failed."""


def start(name, profile="mini", data_root="", device="auto", seed=0):
    """Begin the notebook `name` (`<paper>/<notebook>`): seed everything, pick the device, return its `Run`."""
    keep_freed()
    return Run(name, profile, data_root, device, seed)


class Run:
    """One execution of one notebook; what it saves lies under `figures/<paper>/<notebook>.*`."""

    def __init__(self, name, profile, data_root, wanted_device, seed):
        self.name, self.profile, self.seed = name, profile, seed
        self.data_root = paths.use_data_root(data_root)
        self.settings = settings(name, profile)
        self.device = device(wanted_device)
        self.begun = time.monotonic()
        pd.set_option("display.max_colwidth", None, "display.float_format", number)  # a statement is shown whole
        self.claims, self.checks = [], []  # the first of each replaces those of an earlier run, which stay until then
        random.seed(seed)
        np.random.seed(seed)
        torch.manual_seed(seed)
        if os.environ.get("PAPERLIB_EXECUTED"):
            self.stamp()

    def path(self, suffix):
        """Return `figures/<paper>/<notebook>.<suffix>`, in `figures-<profile>/` where it is not the default profile."""
        return paths.figures(self.profile) / f"{self.name}.{suffix}"

    def settings_table(self):
        """Return the notebook's settings as a table to show: what a reader may change, and in which file."""
        rows = {
            name: ", ".join(map(str, value)) if isinstance(value, list | tuple) else str(value)
            for name, value in self.settings.items()
        }
        return pd.Series(rows, name=f"setting ({where(self.profile)})", dtype=str).to_frame()

    def save_table(self, table, suffix="csv", digits=4):
        """Write a DataFrame as the notebook's CSV and return it for display.

        So few significant digits that another machine, which rounds otherwise, writes the same file.
        """
        with paths.atomic(self.path(suffix)) as temporary:
            table.to_csv(temporary, index=False, float_format=f"%.{digits}g", lineterminator="\n")
        self.stamp()
        return table

    def save_figure(self, figure, suffix="png", dpi=150):
        """Write a matplotlib figure as the notebook's PNG; returns nothing, so that it is shown only once."""
        with paths.atomic(self.path(suffix)) as temporary:
            figure.savefig(temporary, dpi=dpi, bbox_inches="tight", metadata={"Software": None})
        self.stamp()

    def decide(self, id, interval, rests_on, dataset):
        """Enter the verdict on one statement of the papers into the ledger.

        id: of `papers/published/statements.csv`, where the quantity and its criterion stand; interval: (value, low,
        high), 95 %; rests_on: in words, how many runs, videos, persons; dataset: what ours was measured on.
        """
        self._enter(claims.decide(self.name, id, interval, rests_on, dataset))

    def not_testable(self, id, reason, dataset=""):
        """Enter a statement that nothing here can decide, with the reason."""
        self._enter(claims.not_testable(self.name, id, reason, dataset))

    def check(self, what, expected, found, passes):
        """Enter a check of the project itself (a count, a recomputed cell) into the table of checks."""
        self.checks.append(claims.check(self.name, what, expected, found, passes))
        with paths.atomic(self.path("checks.csv")) as temporary:
            pd.DataFrame(self.checks, columns=claims.CHECKS).to_csv(temporary, index=False, lineterminator="\n")

    def _enter(self, row):
        """Add a row to the ledger; a statement is decided once."""
        if any(row["id"] == former["id"] for former in self.claims):
            raise InputError(f"statement {row['id']!r} is decided twice in {self.name}; pool what decides it")
        self.claims.append(row)
        with paths.atomic(self.path("claims.csv")) as temporary:
            pd.DataFrame(self.claims, columns=claims.COLUMNS).to_csv(temporary, index=False, lineterminator="\n")

    def verdicts(self):
        """Return the claims made so far as a table to show, each interval beside its number."""
        return short(pd.DataFrame(self.claims, columns=claims.COLUMNS)[list(SHOWN)])

    def skip(self, reason):
        """Stop the notebook without an error: what it needs is not here. Results of an earlier run stay."""
        self.stamp(status="skipped", reason=reason)
        raise Skipped(reason)

    def stamp(self, status=None, **more):
        """Write the provenance beside the results: seed, device, dtype, versions, revision, wall time.

        status: `running` where `companion.execute` will say how it ended; else `ok`, for what is saved so far.
        """
        status = status or ("running" if os.environ.get("PAPERLIB_EXECUTED") else "ok")
        with paths.atomic(self.path("json")) as temporary:
            temporary.write_text(
                json.dumps({**self.provenance(), "status": status, **more}, indent=1) + "\n", encoding="utf-8"
            )

    def provenance(self):
        """Return what a reader needs to repeat this run."""
        name = torch.cuda.get_device_name(self.device) if self.device.type == "cuda" else platform.processor()
        return {
            "notebook": self.name,
            "profile": self.profile,
            "seed": self.seed,
            "device": f"{self.device} {name}".strip(),
            "threads": torch.get_num_threads(),
            "dtype": str(torch.get_default_dtype()).removeprefix("torch."),
            "revision": software.revision(),
            "python": platform.python_version(),
            "versions": software.versions(),
            "seconds": round(time.monotonic() - self.begun, 2),
            "finished": datetime.now(UTC).isoformat(timespec="seconds"),
        }
