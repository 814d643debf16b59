"""Numbers printed in the three papers, one CSV per table, each row with its source.

`table(name)` returns a DataFrame with the columns row, column, dataset, value, spread, source and, where a
table needs them, further ones (kernel_size, sampling, method, ...). `value` is as printed; a cell that the
paper leaves empty, or that the text we transcribed from does not show, has no value. Tables are named
`<paper>_table<NN>`; `<paper>_fig<NN>` holds what a paper's text says in numbers about a figure.
`chen2021_mini_benchmark` has the 288 models of the CVPR 2021 paper's public benchmark page; `dataset_sizes` says how
many videos the data sets have, from wherever `source` names.

`statements()` is what the papers claim in words, one row per sentence: id, paper, where, statement (in words like its),
published (its value, as printed), quantity (what decides it), unit, criterion (as `papers/verdicts.py` reads it, chosen
from the paper's numbers), derived (where a bound that is not 0 comes from: `bound = arithmetic on printed numbers`,
then the paper's words in “ ”), resampled (what varies from one repetition to the next: runs, videos, classes,
settings).

A bound is taken, in this order, from the number in the sentence itself or the paper's own for the same word; halfway
between two printed numbers that the paper sets against each other; the least extreme printed number that it describes
by the word; what the word means (most: more than half). Where the paper gives none of these, the criterion is a side,
or, where no side is meant, empty: such a statement is not testable, and `derived` says why.
"""

from functools import cache
from importlib import resources

import pandas as pd

from ...errors import InputError

FOLDER = resources.files(__name__)


def names():
    """Return the names of all tables."""
    found = {f.name.removesuffix(".csv") for f in FOLDER.iterdir() if f.name.endswith(".csv")}
    return sorted(found - {"statements"})


@cache
def statements():
    """Return what the papers claim, one row per statement; every cell is text."""
    with (FOLDER / "statements.csv").open(encoding="utf-8") as content:
        return pd.read_csv(content, dtype=str, keep_default_na=False)


def table(name):
    """Return one table of a paper as a DataFrame; InputError for an unknown name lists the known."""
    file = FOLDER / f"{name}.csv"
    if not file.is_file():
        raise InputError(f"there is no published table {name!r}; there are {', '.join(names())}")
    with file.open(encoding="utf-8") as content:
        return pd.read_csv(content, keep_default_na=False, na_values={c: [""] for c in ("value", "spread")})


def value(name, **where):
    """Return the one printed number that a table has where its columns, given by name, have these values."""
    found = table(name)
    for column, wanted in where.items():
        if column not in found:
            raise InputError(f"published table {name!r} has no column {column!r}; it has {', '.join(found)}")
        found = found[found[column] == wanted]
    if len(found) != 1:
        raise InputError(
            f"published table {name!r} has {len(found)} rows, not one, where "
            + ", ".join(f"{column} is {wanted!r}" for column, wanted in where.items())
        )
    return found.value.item()
