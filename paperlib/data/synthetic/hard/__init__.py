"""The procedural data sets with headroom: short events at random times, shared backdrops, things that distract."""
