"""The claims ledger: what the papers state in words, the number that decides it, and our verdict."""

import pandas as pd

from ..errors import InputError
from ..storage import paths

COLUMNS = [
    "paper",
    "where",
    "statement",
    "quantity",
    "published",
    "ours",
    "low",
    "high",
    "verdict",
    "dataset",
    "notebook",
]
VERDICTS = ("holds", "does not hold", "not testable here")


def row(notebook, where, statement, quantity, published, ours, verdict, dataset, digits=3):
    """Return one ledger row; `ours` is a number, None, or (value, low, high)."""
    if isinstance(verdict, bool) or type(verdict).__name__ == "bool":
        verdict = "holds" if verdict else "does not hold"
    if verdict not in VERDICTS:
        raise InputError(f"verdict {verdict!r} of the claim {statement!r} is not one of {', '.join(VERDICTS)}")
    value, low, high = ours if isinstance(ours, tuple | list) else (ours, None, None)
    value, low, high = ("" if x is None else x if isinstance(x, str) else f"{x:.{digits}f}" for x in (value, low, high))
    paper, _, _ = notebook.partition("/")
    return dict(
        zip(
            COLUMNS,
            [paper, where, statement, quantity, published, value, low, high, verdict, dataset, notebook],
            strict=True,
        )
    )


def merge(figures=None):
    """Merge every notebook's `*.claims.csv` into `figures/claims.csv`, in a fixed order; returns the table."""
    figures = figures or paths.FIGURES
    tables = [pd.read_csv(f, dtype=str, keep_default_na=False) for f in sorted(figures.glob("*/*.claims.csv"))]
    table = pd.concat(tables, ignore_index=True) if tables else pd.DataFrame(columns=COLUMNS)
    with paths.atomic(figures / "claims.csv") as temporary:
        table.to_csv(temporary, index=False, lineterminator="\n")
    return table
