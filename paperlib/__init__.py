"""paperlib: look inside video action models.

Temporal relevance (CLRP, ATR), learned temporal masks, Grad-CAM over time and blob
statistics, on one framework for 2D and 3D video networks.
"""

__version__ = "0.1.0"
