"""Temporal masks: which frames a video model needs (Manttari, Broome et al., ACCV 2020, section 3.1).

`freeze`, `reverse` and the other perturbations change a clip under a mask; `learn` finds the shortest mask
whose perturbation destroys the class score; `search` is the exhaustive baseline over contiguous windows and
`learn_from_window` starts from the best of them.

May import: tracing, data, convolution, errors.
"""

from .learn import MaskResult, central_mask, learn, total_variation
from .perturb import (
    PERTURBATIONS,
    THRESHOLD,
    black,
    blur,
    freeze,
    freeze_matrix,
    mean,
    perturb,
    prepare,
    reverse,
    segments,
    shuffle,
)
from .presets import PRESETS, Settings, resolve
from .search import SearchResult, learn_from_window, search

__all__ = [
    "PERTURBATIONS",
    "PRESETS",
    "THRESHOLD",
    "MaskResult",
    "SearchResult",
    "Settings",
    "black",
    "blur",
    "central_mask",
    "freeze",
    "freeze_matrix",
    "learn",
    "learn_from_window",
    "mean",
    "perturb",
    "prepare",
    "resolve",
    "reverse",
    "search",
    "segments",
    "shuffle",
    "total_variation",
]
