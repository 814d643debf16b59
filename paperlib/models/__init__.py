"""Video networks of the three papers, in one framework: backbone x spatio-temporal module x temporal pooling."""

from .counting import count
from .factory import create
from .published import load_published

__all__ = ["count", "create", "load_published"]
