"""The procedural data sets with headroom: short events at random times, shared backdrops, things that distract."""

from . import moment_events, motion_events, pose_events, scene_events  # noqa: F401
