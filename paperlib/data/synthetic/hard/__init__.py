"""The procedural data sets with headroom: short events at random times, shared backdrops, things that distract."""

from . import kinetics, kth, mit, ssv2  # noqa: F401
