"""Relevance propagation for video networks: which input frames each frame's prediction rests on.

`relevance_matrix` and `atr` are what the temporal relevance paper defines; `coverage` says beforehand which rule
each layer gets, `rows_of` what the rows of a network's matrix explain. The rules stand in rules.py, and how an
operation finds its rule in table.py.

May import: models, convolution, storage, errors.
"""

from .atr import ATR, atr, sum_blocks
from .covered import coverage
from .ledger import ledger
from .matrix import pixel_relevance, relevance_matrix
from .provenance import frame_provenance
from .rows import Rows, rows_of
from .rules import (
    Epsilon,
    Exclude,
    Flat,
    Gamma,
    Identity,
    MaxTakesAll,
    Proportional,
    Rule,
    SignalTakesAll,
    WSquare,
    ZBeta,
    ZPlus,
)

__all__ = [
    "ATR",
    "Epsilon",
    "Exclude",
    "Flat",
    "Gamma",
    "Identity",
    "MaxTakesAll",
    "Proportional",
    "Rows",
    "Rule",
    "SignalTakesAll",
    "WSquare",
    "ZBeta",
    "ZPlus",
    "atr",
    "coverage",
    "frame_provenance",
    "ledger",
    "pixel_relevance",
    "relevance_matrix",
    "rows_of",
    "sum_blocks",
]
