"""Video networks of the three papers, in one framework: backbone x spatio-temporal module x temporal pooling."""

from .factory import create

__all__ = ["create"]
