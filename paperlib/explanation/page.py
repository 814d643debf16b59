"""One HTML file that scrubs in any browser, without a kernel and without the network.

It holds the widgets' own front end (front/*.js) and, in the place of the kernel, front/page.js, which answers from what
was computed: other classes, other sigmas, the scores of masks that were tried.
"""

import base64
import html as text
import json
import warnings
from types import SimpleNamespace

import numpy as np

from . import measured, state
from .record import Record

QUALITIES = (92, 85, 75, 65, 55, 45, 35, 25, 15)  # of JPEG, the first that fits
ROOM = 60_000  # bytes that a frame and its map may take, as JPEG of any size: 32 frames make a page of less than 3 MB
SIGMAS = np.round(np.arange(0.5, 1.0001, 0.005), 3)  # where the slider can stand
LONGEST = 64  # rows and frames up to which every one of them is computed


def html(found: "Record") -> str:
    """Return a page with everything in the record and its `others`, for a reader who has nothing installed."""
    every = [found, *found.others.values()]
    kept = {
        "features": found.features,
        "frame": 0,
        "page": True,
        "clips": [_clip(found, every)],
        "answers": {str(one.target): _answers(one) for one in every},
        "target": found.target,
    }
    _fill(kept, found, every)
    title = f"{found.info['video']} · {found.info['model']}"
    parts = {
        "TITLE": text.escape(title),
        "HEAD": _head(found),
        "FOOT": _foot(found),
        "STYLE": (state.FRONT / "style.css").read_text(encoding="utf-8")
        + (state.FRONT / "page.css").read_text(encoding="utf-8"),
        "STATE": json.dumps(_packed(kept), allow_nan=False).replace("<", "\\u003c"),
        "SCRIPT": state.script() + (state.FRONT / "page.js").read_text(encoding="utf-8"),
    }
    template = (state.FRONT / "page.html").read_text(encoding="utf-8")
    pieces = template.split("%%")  # text, name, text, name ... text
    return "".join(parts[piece] if k % 2 else piece for k, piece in enumerate(pieces))


def _clip(found, every):
    """Return what the front end is told about the clip, its frames left out until their quality is settled."""
    about = state.clip(SimpleNamespace(info=found.info, frames=[]), live=False)
    without = [name for name in ("cam", "mask") if name not in found.arrays]
    return {
        **about,
        "targets": [one.target for one in every],
        "sigmas": _many(found) is not None,
        "without": without,
    }


def _fill(kept, found, every):
    """Put in frames and maps, in the best quality that leaves the page small."""
    room = ROOM * len(found.frames)
    for quality in QUALITIES:
        frames = state.jpegs(found.frames, quality)
        if sum(map(len, frames)) * (2 if "cam" in found.arrays else 1) <= room or quality == QUALITIES[-1]:
            maps = [state.overlays(one, quality) for one in every]
            if sum(map(len, (*frames, *maps[0]))) <= room or quality == QUALITIES[-1]:
                break
    kept["clips"][0]["frames"] = frames
    for one, pictures in zip(every, maps, strict=True):
        kept["answers"][str(one.target)]["maps"] = pictures


def _answers(one):
    """Return everything that the page can say about one class."""
    about = {"found": state.relevance(one), "mask": state.mask(one), "tried": []}
    sigmas = _many(one)
    if sigmas is not None:
        about["sigmas"] = sigmas
    if "tried_masks" in one.arrays:
        own = (one.info.get("mask_scores") or {}).get("OS")
        about["tried"] = [
            {"mask": tried.tolist(), "scores": {"OS": own, "FS": float(frozen), "RS": float(turned)}}
            for tried, (frozen, turned) in zip(one.arrays["tried_masks"], one.arrays["tried_scores"], strict=True)
        ]
    return about


def _many(one):
    """Return the ATR at every place of sigma's slider, None where there are too many rows."""
    matrix = one.arrays.get("matrix")
    if matrix is None or max(matrix.shape) > LONGEST or "windows" in one.info:
        return None
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # rows without relevance are shown as such
        return {f"{sigma:.3f}": state.ranges(*_measured(one, float(sigma))) for sigma in SIGMAS}


def _measured(one, sigma):
    found = measured.measured(one, sigma)
    return found.frames, found.segments, found.avg, found.max


def _head(found):
    """Return the page's first lines: what was found, and what a reader should know."""
    first, *rest = found.summary()
    lines = "".join(f"<li>{text.escape(line)}</li>" for line in rest)
    notes = "".join(f"<li>{text.escape(note)}</li>" for note in found.notes)
    noted = f'<details class="notes" open><summary>notes</summary><ul>{notes}</ul></details>'
    return f'<p class="first">{text.escape(first)}</p><ul class="numbers">{lines}</ul>' + (noted if notes else "")


def _foot(found):
    """Return how the page was made."""
    info = found.info
    versions = ", ".join(f"{name} {version}" for name, version in (info.get("versions") or {}).items())
    rows = f"Rows of the matrix: {info['rows']} ({info['rows_from']}). " if "rows" in info else ""
    made = f"Made by paperlib, revision {info.get('revision', 'unknown')}; {versions}."
    return text.escape(rows + made)


def _packed(value):
    """Return a value as JSON has it, bytes in base64."""
    if isinstance(value, bytes):
        return {"bytes": base64.b64encode(value).decode()}
    if isinstance(value, dict):
        return {key: _packed(v) for key, v in value.items()}
    return [_packed(v) for v in value] if isinstance(value, list | tuple) else value
