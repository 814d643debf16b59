"""paperlib: look inside video action models.

    from paperlib import relevance, masks, gradcam, models, data

Temporal relevance (CLRP, ATR), learned temporal masks, Grad-CAM over time and blob statistics, on one framework for 2D
and 3D video networks. What each folder is for, what one calls there and what it may import is said in its `__init__`.
"""

import importlib

__version__ = "0.1.0"

# Modules that people import from here, and where they are; looked up when asked for, so that importing stays fast.
ELSEWHERE = {
    "artifact": "explanation.artifact",
    "blobs": "gradcam.blobs",
    "checkpoints": "training.checkpoints",
    "report": "papers.report",
}


def __getattr__(name):
    """Return a module under its public name."""
    if name not in ELSEWHERE:
        raise AttributeError(f"module 'paperlib' has no attribute {name!r}")
    return importlib.import_module(f"{__name__}.{ELSEWHERE[name]}")
