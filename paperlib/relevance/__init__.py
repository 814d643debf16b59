"""Relevance propagation for video networks: which input frames each frame's prediction rests on.

`relevance_matrix` and `atr` are what the temporal relevance paper defines; `coverage` says beforehand which
rule each layer gets. The rules stand in rules.py, and how an operation finds its rule in table.py.

May import: models, convolution, storage, errors.
"""

from .atr import ATR, atr, sum_blocks
from .ledger import ledger
from .matrix import pixel_relevance, relevance_matrix
from .provenance import frame_provenance
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
from .table import coverage

__all__ = [
    "ATR",
    "Epsilon",
    "Exclude",
    "Flat",
    "Gamma",
    "Identity",
    "MaxTakesAll",
    "Proportional",
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
    "sum_blocks",
]
