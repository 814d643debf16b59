"""Relevance propagation for video networks: which input frames each frame's prediction rests on.

`relevance_matrix` and `atr` are what the temporal relevance paper defines; `coverage` says beforehand which rule
each layer gets, `rows_of` what the rows of a network's matrix explain; `attention_rollout` and `gradient_attention`
are baselines. The rules stand in rules.py, named lists of them in composites.py, and how an operation finds its rule
in table.py.

May import: models, tracing, convolution, storage, errors.
"""

from .atr import ATR, atr, sum_blocks
from .composites import COMPOSITES
from .covered import coverage
from .ledger import ledger
from .matrix import pixel_relevance, relevance_matrix
from .provenance import clip_relevance, frame_provenance
from .rollout import attention_rollout, gradient_attention
from .rows import Rows, rows_of
from .rules import (
    Epsilon,
    EqualShares,
    Exclude,
    FixedDeviation,
    Flat,
    Gamma,
    HalfEach,
    Identity,
    MaxTakesAll,
    Proportional,
    Rule,
    SignalTakesAll,
    SoftmaxTaylor,
    Weighted,
    WSquare,
    ZBeta,
    ZPlus,
)

__all__ = [
    "ATR",
    "COMPOSITES",
    "EqualShares",
    "Epsilon",
    "Exclude",
    "FixedDeviation",
    "Flat",
    "Gamma",
    "HalfEach",
    "Identity",
    "MaxTakesAll",
    "Proportional",
    "Rows",
    "Rule",
    "SignalTakesAll",
    "SoftmaxTaylor",
    "Weighted",
    "WSquare",
    "ZBeta",
    "ZPlus",
    "atr",
    "attention_rollout",
    "clip_relevance",
    "coverage",
    "frame_provenance",
    "gradient_attention",
    "ledger",
    "pixel_relevance",
    "relevance_matrix",
    "rows_of",
    "sum_blocks",
]
