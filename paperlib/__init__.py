"""paperlib: look inside video action models.

    import paperlib
    found = paperlib.explain("jump.mp4", model)      # everything below, in one call
    found.save("jump.html")

    from paperlib import relevance, masks, gradcam, models, data

Temporal relevance (CLRP, ATR), learned temporal masks, Grad-CAM over time and blob statistics, on one framework for 2D
and 3D video networks. What each folder is for, what one calls there and what it may import is said in its `__init__`.
"""

import importlib

__version__ = "0.1.0"

# What people take from here, and where it is; looked up when asked for, so that importing stays fast.
MODULES = {
    "artifact": "explanation.artifact",
    "blobs": "gradcam.blobs",
    "checkpoints": "training.checkpoints",
    "report": "papers.report",
    **{name: name for name in ("data", "explanation", "gradcam", "masks", "models", "relevance", "truth")},
    **{name: name for name in ("shards", "widgets")},
}
NAMES = {"explain": "explanation.explaining", "Explanation": "explanation.explanation"}
# Without those that need packages which the library alone does not bring.
__all__ = [name for name in (*NAMES, *MODULES) if name not in ("shards", "widgets")]


def __getattr__(name):
    """Return a module, a function or a class under its public name."""
    if name in MODULES:
        return importlib.import_module(f"{__name__}.{MODULES[name]}")
    if name in NAMES:
        return getattr(importlib.import_module(f"{__name__}.{NAMES[name]}"), name)
    raise AttributeError(f"module 'paperlib' has no attribute {name!r}")


def __dir__():
    """Return the public names, those not yet looked up among them."""
    return sorted([*NAMES, *MODULES, "__version__"])
