"""Grad-CAM over time and the blobs it leaves (Manttari, Broome et al., ACCV 2020, sections 3.2 and 4.3).

`video_gradcam` gives one map per frame in [0, 1], `raw_maps` one per step of the layer, `over_frames` turns those into
the former; `default_layer` is the layer they take, found among the `candidates` of a recording by following the clip's
axes through it (following.py and axes.py of models). `blobs.measure` counts and sizes what is salient.

May import: models, tracing, storage, errors.
"""

from .maps import default_layer, over_frames, raw_maps, video_gradcam

__all__ = ["default_layer", "over_frames", "raw_maps", "video_gradcam"]
