"""The ledger: what the papers state in words, the interval that decides each statement, and the verdict it gives.

A notebook decides a statement of `published/statements.csv` by its id; the words, the quantity and the criterion stand
there, so that nothing about them can be chosen after the interval is seen. Checks of the project itself (counts,
recomputed cells) are no findings of a paper and have a table of their own.
"""

from contextlib import contextmanager

import pandas as pd
from scipy import stats

from ..errors import InputError, meant
from ..storage import paths
from . import published
from .verdicts import CONTRADICTED, HOLDS, UNTESTABLE, VERDICTS, p_value, verdict

__all__ = ["CHECKS", "COLUMNS", "VERDICTS", "by_chance", "check", "decide", "merge", "not_testable"]

COLUMNS = [
    "id",
    "paper",
    "where",
    "statement",
    "quantity",
    "criterion",
    "published",
    "ours",
    "low",
    "high",
    "verdict",
    "rests_on",
    "dataset",
    "notebook",
]
CHECKS = ["notebook", "check", "expected", "found", "passes"]
DIGITS = 4  # significant ones; a verdict is made from the rounded numbers, so that it follows from its row


def decide(notebook, id, interval, rests_on, dataset):
    """Return the ledger's row for one statement, decided by its criterion; not testable if the paper gives none.

    id: of `published/statements.csv`. interval: (value, low, high), 95 %, in the quantity's unit. rests_on: how many
    runs, clips, persons the interval sees, in words ("5 runs each, 320 videos"). dataset: what ours was measured on.
    """
    said = _statement(id)
    if not said["criterion"]:
        return not_testable(notebook, id, said["derived"], dataset)
    value, low, high = (_rounded(x) for x in interval)
    found = verdict(said["criterion"], (float(value), float(low), float(high)))
    return _row(said, notebook, value, low, high, found, rests_on, dataset)


def not_testable(notebook, id, reason, dataset=""):
    """Return the ledger's row for a statement that nothing here can decide; `reason` says why, in a clause."""
    if not reason:
        raise InputError(f"statement {id!r} is said not to be testable here; say why")
    return _row(_statement(id), notebook, "", "", "", UNTESTABLE, reason, dataset)


def check(notebook, what, expected, found, passes):
    """Return one row of `figures/checks.csv`: what was checked, what was expected, what was found, yes or no."""
    values = (x if isinstance(x, str) else _rounded(x) for x in (expected, found))
    return dict(zip(CHECKS, [notebook, what, *values, "yes" if passes else "no"], strict=True))


def by_chance(ledger):
    """Return how far chance goes in a ledger, as (tested, decided, expected, kept).

    tested: rows with an interval; decided: those that hold or are contradicted; expected: how many of 95 % intervals
    miss the true value, so at most so many verdicts are wrong by chance; kept: decided ones that remain if their
    share of wrong ones is to stay below 5 % (Benjamini and Hochberg, over all tested rows; `p_value` says by which p).
    """
    tested = ledger[(ledger.criterion != "") & (ledger.verdict != UNTESTABLE)]
    if tested.empty:
        return 0, 0, 0.0, 0
    numbers = tested[["ours", "low", "high"]].apply(pd.to_numeric, errors="coerce")
    p = [p_value(text, tuple(own)) for text, own in zip(tested.criterion, numbers.to_numpy(), strict=True)]
    decided = tested.verdict.isin([HOLDS, CONTRADICTED]).to_numpy()
    kept = decided & (stats.false_discovery_control(p) < 0.05)
    return len(tested), int(decided.sum()), 0.05 * len(tested), int(kept.sum())


def merge(figures=None):
    """Merge every notebook's `*.claims.csv` into `figures/claims.csv` and `*.checks.csv` into `figures/checks.csv`.

    Both in a fixed order; returns the claims.
    """
    figures = figures or paths.FIGURES
    if any(figures.glob("*/*.checks.csv")):
        _merged(figures, "checks", CHECKS)
    return _merged(figures, "claims", COLUMNS)


@contextmanager
def reading(file):
    """Turn what is wrong with a result under figures/ while it is read into one sentence that names it."""
    try:
        yield
    except (OSError, ValueError) as error:  # the latter: no text, no table
        said = " ".join(str(error).split())
        raise InputError(f"{file} cannot be read ({said}); execute its notebook anew, or remove it") from None


def read(file, columns):
    """Return a notebook's table of claims or checks as text, with these columns, empty where it lacks one.

    columns: COLUMNS or CHECKS. Raises InputError naming a file that holds no table.
    """
    with reading(file):
        table = pd.read_csv(file, dtype=str, keep_default_na=False)
    return table.reindex(columns=columns, fill_value="").fillna("")


def _merged(figures, kind, columns):
    tables = [read(f, columns) for f in sorted(figures.glob(f"*/*.{kind}.csv"))]
    table = pd.concat(tables, ignore_index=True) if tables else pd.DataFrame(columns=columns)
    with paths.atomic(figures / f"{kind}.csv") as temporary:
        table.to_csv(temporary, index=False, lineterminator="\n")
    return table


def _statement(id):
    """Return one row of the table of statements as a dict; InputError for an unknown id names a close one."""
    statements = published.statements().set_index("id", drop=False)
    if id not in statements.index:
        raise InputError(
            f"there is no statement {id!r} in papers/published/statements.csv{meant(id, statements.index)}"
        )
    return statements.loc[id].to_dict()


def _row(said, notebook, value, low, high, verdict, rests_on, dataset):
    quantity = said["quantity"] + (f" ({said['unit']})" if said.get("unit") else "")
    found = {**said, "quantity": quantity, "ours": value, "low": low, "high": high, "verdict": verdict}
    found |= {"rests_on": rests_on, "dataset": dataset, "notebook": notebook}
    return {column: found[column] for column in COLUMNS}


def _rounded(x):
    return f"{float(x):.{DIGITS}g}"
