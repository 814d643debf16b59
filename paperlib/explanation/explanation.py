"""`Explanation`: what was found about one video, to look at, to save, to open again and to send to a colleague."""

import json
import math
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import InputError
from ..storage import paths
from . import page, pictures, static
from .record import OF_CLIP, Record, class_index

ENDINGS = (".npz", ".html", ".png", ".gif")
OTHER = "class{}."  # in front of the names of another class's arrays


class Explanation(Record):
    """A record that shows itself: in a notebook, as text, as a file of several kinds."""

    def save(self, file: str | Path) -> None:
        """Write everything (.npz, numbers and JSON only), a page that scrubs in any browser (.html), a picture (.png)
        or an animation (.gif)."""
        file = Path(file)
        kind = file.suffix.lower() or ".npz"
        if kind not in ENDINGS:
            raise InputError(f"{file} should end with {', '.join(ENDINGS[:-1])} or {ENDINGS[-1]}")
        if kind == ".html":
            with paths.atomic(file) as temporary:
                temporary.write_text(page.html(self), encoding="utf-8", errors="backslashreplace")  # of a class's name
        elif kind == ".png":
            with paths.atomic(file) as temporary:
                self.figure().savefig(temporary, format="png", dpi=150, bbox_inches="tight")
        elif kind == ".gif":
            pictures.animate(self, file)
        else:
            self._keep(file)

    def of(self, target: str | int) -> "Explanation":
        """Return the explanation of another class that was explained with it; InputError names those that were."""
        index = class_index(self.classes, target)
        if index == self.target:
            return self
        if index in self.others:
            return self.others[index]
        there = "; ".join(one.target_name for one in (self, *self.others.values()))
        raise InputError(f"{self.classes[index]} was not explained, only {there}; ask for it with target= or top=")

    def figure(self):
        """Return a matplotlib figure: frames, relevance matrix, Grad-CAM, mask, as far as they were computed."""
        return static.figure([self], self.features)

    @property
    def features(self) -> list[str]:
        """Which views there is something to show in: "relevance", "mask" (with Grad-CAM)."""
        there = ["relevance"] if self.matrix is not None else []
        return there + (["mask"] if self.mask is not None or self.cam is not None else [])

    def summary(self) -> list[str]:
        """Return what was found in a few lines: the prediction, the class explained, a number of each instrument."""
        info, count = self.info, len(self.frames)
        if "target" not in info:
            return ["nothing was explained yet"]
        best, scale = info.get("predicted", info["target"]), info.get("scores", "softmax")
        same = self.target_name + (f" (class {self.target})" if self.target_name == self.classes[best] else "")
        same = "the same" if self.target == best and "against" not in info else same
        said = [f"predicted: {self.classes[best]} ({self.scores[best]:.1%} by {scale}); explained: {same}"]
        if self.matrix is not None and "avg_atr" in info:
            said.append(
                f"avg-ATR {_number(info['avg_atr'], '.2f')} of {count} frames, "
                f"max-ATR {_number(info['max_atr'], '.0f')} ({info['method'].upper()})"
                + (": no row has relevance and speaks for the class" if math.isnan(info["avg_atr"]) else "")
            )
        if self.mask is not None and self.mask_scores:
            on = int((self.mask > 0.1).sum())
            scores = ", ".join(f"{how} {value:.3f}" for how, value in self.mask_scores.items())
            kind = " of these two" if "against" in info else ""
            kind += f", mean of {info['mask_windows']} windows," if info.get("mask_windows", 1) > 1 else ""
            said.append(f"masked {on} of {count} frames: score{kind} {scores.removeprefix('original ')}")
        if self.cam is not None:
            share = float((self.cam >= 0.5).mean())
            said.append(f"Grad-CAM: {share:.0%} of the picture above half the maximum (layer {info.get('layer')})")
        return said

    def __repr__(self):
        count, total = len(self.frames), self.info.get("video_frames", len(self.frames))
        head = f"Explanation of {self.info.get('video')} by {self.info.get('model')} ({count} of {total} frames)"
        return "\n".join([head, *(f"  {line}" for line in self.summary()), *(f"  note: {n}" for n in self.notes)])

    def _repr_mimebundle_(self, include=None, exclude=None) -> Any:
        """Show the widget where its packages are, and beside it the picture, for places without a kernel."""
        import paperlib

        try:
            data, about = paperlib.widgets.show(self)._repr_mimebundle_()
            return {**data, "text/plain": repr(self)}, about
        except InputError:  # the widgets' packages are missing, or there is nothing to scrub
            return static.bundle(self.figure() if self.features else None, repr(self))

    def _keep(self, file):
        arrays = dict(self.arrays)
        info = self.info
        if self.others:
            info = {**info, "others": {str(k): one.info for k, one in self.others.items()}}
            for k, one in self.others.items():
                own = {name: value for name, value in one.arrays.items() if not self._shares(name, value)}
                arrays.update({OTHER.format(k) + name: value for name, value in own.items()})
        about = np.frombuffer(json.dumps(info).encode(), np.uint8)
        with paths.atomic(file) as temporary, open(temporary, "wb") as out:  # given a name, NumPy may add .npz to it
            np.savez_compressed(out, frames=self.frames, info=about, **arrays)

    def _shares(self, name, value):
        """Whether another class's array is this record's, too, and need not be written again."""
        return name in OF_CLIP and value is self.arrays.get(name)


def load(file: str | Path) -> Explanation:
    """Open what `save` wrote; a file that is none is named in the error."""
    try:
        with np.load(file, allow_pickle=False) as content:
            arrays = {key: content[key] for key in content.files}
        found = Explanation(arrays.pop("frames"), json.loads(arrays.pop("info").tobytes()))
        every = found.info.pop("others", {})
        own = {k: OTHER.format(k) for k in every}
        found.arrays = {key: value for key, value in arrays.items() if not key.startswith(tuple(own.values()))}
        shared = {name: found.arrays[name] for name in OF_CLIP if name in found.arrays}
        for k, start in own.items():
            theirs = {key[len(start) :]: value for key, value in arrays.items() if key.startswith(start)}
            found.others[int(k)] = Explanation(found.frames, every[k], {**shared, **theirs})
        return found
    except FileNotFoundError:
        raise InputError(f"{file} does not exist") from None
    except Exception as error:  # zipfile, zlib, NumPy and json have a dozen kinds for bytes that are not as written
        raise InputError(f"{file} is not an artifact written by paperlib ({error})") from None


def _number(value, form):
    return "unknown" if value is None or math.isnan(value) else format(value, form)
