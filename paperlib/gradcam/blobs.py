"""Blobs: how many salient patches a map has, how large, how far from the centre (ACCV 2020, section 4.3).

The paper uses OpenCV's blob detector and gives no parameters. OpenCV's own (areas from 25 to 5000 pixels,
convexity above 0.95, dark blobs) fit neither saliency maps nor frames of other sizes: they reject what is
not nearly convex and measure in absolute pixels. `Detector` lists ours; `sensitivity` shows what the counts
owe to them.
"""

import math
import numbers
from dataclasses import asdict, dataclass, replace

import cv2
import numpy as np
import pandas as pd
import torch

from ..errors import InputError, whole

TINY = 1e-6  # stands for 0 where OpenCV wants more
LEVELS = 255  # of brightness between which OpenCV tells: thresholds closer together are the same
RANGES = {  # of the detector's parameters, both ends included
    "low": (0, 1),
    "high": (0, 1),
    "step": (1 / LEVELS, 1),
    "min_distance": (0, math.inf),
    "min_area": (0, 1),
    "max_area": (0, math.inf),
    "min_circularity": (0, 1),
    "min_convexity": (0, 1),
    "min_inertia": (0, 1),
}


@dataclass(frozen=True)
class Detector:
    """Parameters of cv2.SimpleBlobDetector, for maps with values in [0, 1] and relative to the frame's size.

    The map is cut at the thresholds low, low + step, ... below high; connected bright regions whose centres
    lie less than `min_distance` apart at successive thresholds are one blob if they are found at
    `repeatability` thresholds or more. As in OpenCV a region whose centre is not in it (a ring, a
    crescent) is no blob.
    """

    low: float = 0.25  # lowest threshold: fainter patches are no blobs
    high: float = 0.95  # thresholds stay below this
    step: float = 0.05
    repeatability: int = 2  # thresholds at which a blob must be found
    min_distance: float = 0.05  # between two blobs' centres, as a share of the frame's shorter side
    min_area: float = 0.001  # of a region, as a share of the frame's area (50 pixels of 224 x 224)
    max_area: float = 1.0
    min_circularity: float = 0.0  # 4 pi area / perimeter^2; 0: any shape
    min_convexity: float = 0.0  # area / area of the convex hull; 0: any
    min_inertia: float = 0.0  # 1 for a circle, towards 0 for a line; 0: any

    def build(self, height, width):
        """Return the OpenCV detector for maps of height x width pixels scaled to 0..255."""
        self.check()
        parameters = cv2.SimpleBlobDetector_Params()
        parameters.minThreshold, parameters.maxThreshold = LEVELS * float(self.low), LEVELS * float(self.high)
        parameters.thresholdStep = LEVELS * float(self.step)
        parameters.minRepeatability = int(self.repeatability)
        parameters.minDistBetweenBlobs = max(float(self.min_distance) * min(height, width), TINY)
        parameters.filterByColor, parameters.blobColor = True, 255
        parameters.filterByArea = True
        parameters.minArea = max(float(self.min_area) * height * width, TINY)
        parameters.maxArea = float(self.max_area) * height * width + 1  # OpenCV's upper bounds are exclusive
        for name, value in (
            ("Circularity", self.min_circularity),
            ("Convexity", self.min_convexity),
            ("InertiaRatio", self.min_inertia),
        ):
            setattr(parameters, "filterBy" + name.removesuffix("Ratio"), value > 0)
            if value > 0:
                setattr(parameters, "min" + name, max(float(value), TINY))
        return cv2.SimpleBlobDetector_create(parameters)

    def check(self):
        """Raise InputError for a parameter outside of its range, and for some under which no blob can be found."""
        whole("repeatability of a blob detector", self.repeatability)
        for name, (least, most) in RANGES.items():
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, numbers.Real) or not least <= value <= most:
                ends = f"of at least {least:.4g}" if most == math.inf else f"from {least:.4g} to {most:g}"
                raise InputError(f"{name} of a blob detector must be a number {ends}, not {value!r}.")
        for below, above in (("low", "high"), ("min_area", "max_area")):
            if not getattr(self, below) < getattr(self, above):
                raise InputError(
                    f"{below} of a blob detector must be below its {above}, not {getattr(self, below)} and "
                    f"{getattr(self, above)}."
                )
        thresholds = math.ceil((self.high - self.low) / self.step - 1e-6)
        if self.repeatability > thresholds:
            raise InputError(
                f"repeatability {self.repeatability} of a blob detector asks for more than its thresholds: from low "
                f"{self.low} to below high {self.high} in steps of {self.step} there are {thresholds}."
            )


def detect(cams: torch.Tensor | np.ndarray, detector: Detector | None = None, **options) -> pd.DataFrame:
    """Return every blob of maps [B, T, H, W] in [0, 1] as a row: clip, frame, x, y, size, center_distance.

    x, y: its centre in pixels; size: its diameter in pixels (OpenCV's key point size: twice the median distance
    of the outline from the centre, of that the median over thresholds, of two in the middle the larger);
    center_distance: pixels from the frame's centre.
    detector: a `Detector`; options change single fields of it. The table's attrs["detector"] holds all of
    them. Raises InputError for maps of another shape or with values outside [0, 1].
    """
    cams, detector = _checked(cams), _detector(detector, options)
    height, width = cams.shape[2:]
    built = detector.build(height, width)
    rows = []
    for clip, maps in enumerate(np.rint(cams * 255).astype(np.uint8)):
        for frame, image in enumerate(maps):
            for point in built.detect(image):
                x, y = point.pt
                away = np.hypot(x - (width - 1) / 2, y - (height - 1) / 2)
                rows.append((clip, frame, x, y, point.size, away))
    table = pd.DataFrame(rows, columns=["clip", "frame", "x", "y", "size", "center_distance"])
    table = table.astype({"clip": int, "frame": int, "x": float, "y": float, "size": float, "center_distance": float})
    table.attrs["detector"] = {**asdict(detector), "height": height, "width": width}
    return table


def measure(cams: torch.Tensor | np.ndarray, detector: Detector | None = None, **options) -> pd.DataFrame:
    """Return one row per frame of maps [B, T, H, W]: clip, frame, count, size, center_distance.

    count: number of blobs; size and center_distance: means over the frame's blobs in pixels (see `detect`),
    NaN where there is none. The detector's parameters are in attrs["detector"] (kept by to_parquet, not by
    to_csv).
    """
    cams = _checked(cams)
    found = detect(cams, detector, **options)
    frames = pd.MultiIndex.from_product([range(cams.shape[0]), range(cams.shape[1])], names=["clip", "frame"])
    grouped = found.groupby(["clip", "frame"])
    table = grouped[["size", "center_distance"]].mean().reindex(frames)
    table.insert(0, "count", grouped.size().reindex(frames, fill_value=0).astype(int))
    table = table.reset_index()
    table.attrs["detector"] = found.attrs["detector"]
    return table


def per_clip(table: pd.DataFrame) -> pd.DataFrame:
    """Return one row per clip of `measure`'s table: mean count per frame, means over its blobs of the others.

    Clips are independent and frames of a clip are not: use these rows for tests and intervals.
    """
    weighted = table.assign(
        size=table["size"] * table["count"], center_distance=table["center_distance"] * table["count"]
    )
    sums = weighted.groupby("clip")[["count", "size", "center_distance"]].sum()
    blobs = sums["count"].where(sums["count"] > 0)
    frames = table.groupby("clip").size()
    return pd.DataFrame(
        {
            "count": sums["count"] / frames,
            "size": sums["size"] / blobs,
            "center_distance": sums["center_distance"] / blobs,
        }
    ).reset_index()


VARIED = {
    "low": (0.05, 0.15, 0.25, 0.35, 0.5, 0.65),
    "step": (0.02, 0.05, 0.1, 0.2),
    "repeatability": (1, 2, 3, 5),
    "min_distance": (0.01, 0.05, 0.1, 0.2),
    "min_area": (0.0001, 0.001, 0.005, 0.02),
    "min_circularity": (0.0, 0.5, 0.8),
    "min_convexity": (0.0, 0.8, 0.95),
    "min_inertia": (0.0, 0.1, 0.5),
}


def sensitivity(
    cams: torch.Tensor | np.ndarray, detector: Detector | None = None, vary: dict | None = None
) -> pd.DataFrame:
    """Return how the three measures change with each parameter alone, the others as in `detector`.

    vary: {parameter: values}, by default those of VARIED that go with the detector's other values. One row per setting:
    parameter, value, ours (the detector's own value), count (mean per frame), size and center_distance (means over all
    blobs, pixels).
    """
    cams, detector, rows = _checked(cams), _detector(detector, {}), []
    for name, values in (vary or VARIED).items():
        for value in values:
            try:
                varied = _detector(detector, {name: value})
                varied.check()
            except InputError:
                if vary:
                    raise
                continue
            found = detect(cams, varied)
            rows.append(
                {
                    "parameter": name,
                    "value": value,
                    "ours": value == getattr(detector, name),
                    "count": len(found) / (cams.shape[0] * cams.shape[1]),
                    "size": found["size"].mean(),
                    "center_distance": found["center_distance"].mean(),
                }
            )
    return pd.DataFrame(rows)


def _detector(detector, options):
    detector = Detector() if detector is None else detector
    if not isinstance(detector, Detector):
        raise InputError(
            f"detector must be a blobs.Detector, not {type(detector).__name__}; single parameters go by name, as "
            "low=0.5"
        )
    try:
        return replace(detector, **options)
    except TypeError:
        raise InputError(
            f"a blob detector does not have the parameter(s) {', '.join(options)}; it has "
            f"{', '.join(asdict(Detector()))}."
        ) from None


def _checked(cams):
    """Return the maps as a float array [B, T, H, W] with values in [0, 1]."""
    try:
        cams = np.asarray(cams.detach().float().cpu() if torch.is_tensor(cams) else cams, dtype=np.float32)
    except (TypeError, ValueError):
        raise InputError(f"blobs are measured on maps [B, T, H, W], not on {type(cams).__name__}.") from None
    if cams.ndim != 4:
        raise InputError(f"blobs are measured on maps [B, T, H, W], not on {list(cams.shape)}.")
    if not ((cams >= -1e-6) & (cams <= 1 + 1e-6)).all():
        raise InputError("blobs are measured on maps with values from 0 to 1; normalise them first.")
    return cams.clip(0, 1)
