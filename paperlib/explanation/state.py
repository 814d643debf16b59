"""What the front end (front/*.js) is told about a record: pictures, matrices, masks; the same for widget and page."""

import json
import math
from functools import cache
from io import BytesIO
from pathlib import Path

import matplotlib
import numpy as np
from PIL import Image

from . import examples, plotting
from .record import Record

FRONT = Path(__file__).parent / "front"
PARTS = ("base", "relevance", "masks", "saving", "opening", "panel", "explorer")
QUALITY = 92  # of JPEG


@cache
def script() -> str:
    """Return the front end as one module: its parts, behind the two colour tables they use."""
    tables = {
        name: [[round(255 * c) for c in matplotlib.colormaps[kind](i / 127)[:3]] for i in range(128)]
        for name, kind in (("VIRIDIS", "viridis"), ("PUOR", "PuOr_r"))
    }
    colours = [f"const {name} = {json.dumps(table)};" for name, table in tables.items()]
    return "\n".join(colours + [(FRONT / f"{part}.js").read_text(encoding="utf-8") for part in PARTS])


def clip(found: Record, live: bool, quality: int = QUALITY) -> dict:
    """Return frames, names and where they come from; live: whether somebody answers other questions."""
    info = found.info
    return {
        "frames": jpegs(found.frames, quality),
        "model": info["model"],
        "title": info["video"],
        "classes": list(info["classes"]),
        "indices": info.get("indices", []),
        "live": live,
    }


def relevance(found: Record) -> dict:
    """Return the class, its score and, where there is one, the relevance matrix with its ATR."""
    info, arrays = found.info, found.arrays
    about = {
        "target": found.target,
        "predicted": info.get("predicted", found.target),
        "against": info.get("against"),
        "score": float(arrays["scores"][found.target]),
    }
    if "matrix" not in arrays or "segments" not in arrays:
        return about
    matrix = arrays["matrix"]
    return {
        **about,
        "matrix": matrix.astype("<f4").tobytes(),
        "rows": matrix.shape[0],
        "columns": matrix.shape[1],
        "signed": plotting.signed(matrix),
        "logits": np.asarray(found.row_values, float).tolist(),
        "parts": info.get("rows") == "split",
        **ranges(arrays["atr"], arrays["segments"], info["avg_atr"], info["max_atr"]),
        "method": info["method"],
        "sigma": info["sigma"],
    }


def ranges(atr, segments, avg, largest) -> dict:
    """Return an ATR as the front end has it, without NaN."""
    return {
        "atr": [_whole(v) for v in atr],
        "segments": np.asarray(segments).tolist(),
        "avg": None if math.isnan(avg) else float(avg),
        "max": _whole(largest),
    }


def mask(found: Record) -> dict:
    """Return the mask, the scores under it, and how its loss went down."""
    arrays = found.arrays
    values = arrays.get("mask", np.zeros(len(found.frames), np.float32))
    return {
        "mask": values.astype(str).astype(float).tolist(),  # a float32 of 0.1 as 0.1, not as what lies above it
        "scores": found.info.get("mask_scores"),
        "loss": arrays["mask_loss"].tolist() if "mask_loss" in arrays else [],
        "running": False,
    }


def jpegs(frames, quality=QUALITY):
    """Return uint8 frames [T, H, W, 3] as JPEG files in memory, without colour subsampling."""
    return [_jpeg(frame, quality) for frame in frames]


def overlays(found: Record, quality: int = QUALITY):
    """Return a record's frames under its Grad-CAM maps as JPEG files in memory."""
    return jpegs(examples.overlay(found.frames, found.arrays["cam"]), quality) if "cam" in found.arrays else []


def _jpeg(frame, quality):
    file = BytesIO()
    Image.fromarray(frame).save(file, "JPEG", quality=quality, subsampling=0)
    return file.getvalue()


def _whole(value):
    return None if math.isnan(value) else int(value)
