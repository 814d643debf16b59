"""The widget: what the browser is told once (frames, maps) and anew (matrices, masks), and what it may ask."""

import base64
import os
import tempfile
import threading
import time
from io import BytesIO
from pathlib import Path

import pandas as pd
import traitlets
from PIL import Image

from ..errors import InputError, needs
from ..explanation import state, static
from .subject import subject

with needs("anywidget", "ipywidgets", to="show widgets"):
    import anywidget

UPLOADED = "uploaded"  # folder in front of the name of an uploaded file, which may be that of another one
PERIOD = 0.05  # seconds between two pictures of the optimiser at work


class Explorer(anywidget.AnyWidget):
    """One or more clips before models, side by side and in step.

    `subjects` are the `Subject`s (each with its `artifact`, `mask` and `target`), `frame` is the position in
    the longest clip, counted from 0. Frames are sent once, as JPEG; the browser does all the scrubbing.
    """

    _esm = state.script()
    _css = state.FRONT / "style.css"
    features = traitlets.List(help="which of relevance, mask, open are shown").tag(sync=True)
    clips = traitlets.List(help="per subject: frames, names").tag(sync=True)
    maps = traitlets.List(help="per subject: frames under Grad-CAM").tag(sync=True)
    found = traitlets.List(help="per subject: class, scores, relevance, ATR").tag(sync=True)
    masks = traitlets.List(help="per subject: mask, scores, loss").tag(sync=True)
    frame = traitlets.Int(0).tag(sync=True)

    def __init__(self, subjects, features, method="clrp", sigma=0.975, iterations=100, **traits):
        self._stop, self._done, self._worker, self._error = threading.Event(), threading.Event(), None, None
        self._done.set()
        self.iterations = iterations
        super().__init__(features=list(features), **traits)
        self.on_msg(self._asked)
        self.show(subjects, method, sigma)

    def show(self, subjects, method="clrp", sigma=0.975):
        """Look at other subjects; at those before where one of them is refused. Ends learning."""
        self.stop()
        for each in subjects:
            self._compute(each, method, sigma)
            self._perturb(each)
        self.subjects = list(subjects)
        with self.hold_sync():
            self.frame = min(self.frame, max([len(s.artifact.frames) for s in self.subjects], default=1) - 1)
            self.clips = [state.clip(s.artifact, s.model is not None) for s in self.subjects]
            self.found = [state.relevance(s.artifact) for s in self.subjects]
            self.maps = [state.overlays(s.artifact) if "mask" in self.features else [] for s in self.subjects]
            self.masks = [state.mask(s.artifact) for s in self.subjects]

    def explain(self, target=None, method="clrp", sigma=0.975, panel=0):
        """Explain another class (name or index) or by another method or sigma; what is refused changes nothing.

        Where the network has to be asked, learning ends first: it cannot be asked two things at a time.
        """
        here = self._at(panel)
        before = here.target
        wanted = before if target is None else here.index(target)
        if wanted != before or ("relevance" in self.features and not here.has(method)):
            self.stop()
        with here.all_or_nothing():
            here.choose(wanted)
            self._compute(here, method, sigma)
            if wanted != before:
                self._perturb(here)
        with self.hold_sync():
            self._put("found", panel, state.relevance(here.artifact))
            if wanted != before:
                self._put("maps", panel, state.overlays(here.artifact) if "mask" in self.features else [])
                self._put("masks", panel, state.mask(here.artifact))

    def set_mask(self, mask, panel=0):
        """Set a mask [T] and score the clip under it; returns the scores."""
        here = self._at(panel)
        mask = here.checked(mask)
        self.stop()
        with here.all_or_nothing():
            here.score(mask)
        self._put("masks", panel, state.mask(here.artifact))
        return here.artifact.info.get("mask_scores")

    def learn(self, panel=0, wait=True, **options):
        """Learn a mask, showing it on the way; options as in `masks.learn`. wait=False: in the background.

        Errors, such as InputError for an option that there is not, are raised where `wait` is true; without it the
        browser shows them. Ctrl-C ends learning where it is.
        """
        here = self._at(panel)
        self.stop()
        self._stop.clear()
        self._error = None
        self._worker = threading.Thread(target=self._learn, args=(here, panel, options, wait), daemon=True)
        self._done.clear()
        try:
            self._worker.start()
            if wait:
                self._done.wait()
        except BaseException:
            self.stop()
            raise
        if wait and self._error is not None:
            raise self._error

    def stop(self):
        """End learning where it is."""
        self._stop.set()
        if self._worker is not threading.current_thread():
            while not self._done.wait(1) and self._worker.is_alive():  # not join: interrupted, it says that all is over
                pass

    def figure(self):
        """Return what the widget shows as a matplotlib figure; shown in its place where no widget can be."""
        return static.figure([s.artifact for s in self.subjects], self.features)

    def table(self):
        """Return one row per subject: class, score, ATR, mask length, scores under the mask."""
        return pd.DataFrame([s.row() for s in self.subjects])

    def _repr_mimebundle_(self, **options):
        """Show the widget, and beside it the figure for places without a kernel (GitHub, a headless run)."""
        bundle = super()._repr_mimebundle_(**options)
        if bundle is None or not self.subjects:
            return bundle
        data, metadata = bundle if isinstance(bundle, tuple) else (bundle, {})
        return {**data, "image/png": base64.b64encode(static.png(self.figure())).decode()}, metadata

    def _compute(self, here, method, sigma):
        if "relevance" in self.features:
            here.explain(method, sigma)

    def _perturb(self, here):
        if "mask" in self.features:
            here.maps()
            if "mask" not in here.artifact.arrays and here.perturbable:
                here.central_mask()
            if not here.artifact.info.get("mask_scores"):
                here.score()

    def _learn(self, here, panel, options, awaited):
        losses, shown = [], 0.0

        def watch(step, mask, loss):
            nonlocal shown
            losses.append(float(loss[0]))
            if time.monotonic() - shown > PERIOD:
                shown = time.monotonic()
                self._put(
                    "masks", panel, {"mask": mask[0].tolist(), "scores": None, "loss": losses[:], "running": True}
                )
            return self._stop.is_set()

        try:
            here.learn(watch, **{"iterations": self.iterations, **options})
        except Exception as error:
            self._error = error  # `learn` raises it where it waits; else the thread has nobody to raise it to
            self.send({"kind": "error", "of": "learn", "panel": panel, "text": str(error)})
            if not awaited and not isinstance(error, InputError):
                raise
        finally:
            try:
                self._put("masks", panel, state.mask(here.artifact))
            finally:
                self._done.set()

    def _put(self, trait, panel, value):
        old = getattr(self, trait)
        setattr(self, trait, [*old[:panel], value, *old[panel + 1 :]])

    def _at(self, panel):
        if not 0 <= panel < len(self.subjects):
            raise InputError(f"there is no panel {panel}; this widget has {len(self.subjects)}, counted from 0")
        return self.subjects[panel]

    def _asked(self, _, content, buffers):
        """Answer one message of the browser; the browser waits for every answer but that to `stop`."""
        kind, panel = content.pop("kind"), content.pop("panel", 0)
        answer, files = {"kind": "done", "of": kind, "panel": panel}, None
        try:
            if kind == "gif":
                files = [animation(buffers, content["milliseconds"])]
            elif kind == "learn":
                self.learn(panel, wait=False, **content)
            elif kind == "stop":
                return self._stop.set()
            elif kind == "score":
                self.set_mask(content["mask"], panel)
            elif kind == "explain":
                chosen = {key: value for key, value in content.items() if value is not None}
                self.explain(panel=panel, **chosen)
            else:
                self._other(kind, content, buffers)
        except InputError as error:
            answer.update(kind="error", text=str(error))
        except Exception as error:
            answer.update(kind="error", text=f"{type(error).__name__}: {error}")
            raise
        finally:
            self.send(answer, files)

    def _other(self, kind, content, buffers):
        raise InputError(f"this widget does not answer {kind!r}")


class YourVideo(Explorer):
    """An explorer that opens what the user names: a video file and a checkpoint."""

    files = traitlets.List(traitlets.Unicode()).tag(sync=True)
    checkpoints = traitlets.List(traitlets.Unicode()).tag(sync=True)
    chosen = traitlets.Dict().tag(sync=True)

    def __init__(self, subjects, folder, device, **traits):
        self._folder, self._device, self._uploads = Path(folder), device, None
        super().__init__(subjects, ["open", "relevance", "mask"], **traits)

    def analyse(self, file, checkpoint, target=None):
        """Analyse a video file with a checkpoint: UPLOADED/NAME, else one of the widget's folder, else a path."""
        if not str(file).strip():
            raise InputError("name a video file, or upload one")
        places = [*([Path(self._uploads.name) / file] if self._uploads else []), self._folder / file, Path(file)]
        there = next((place for place in places if os.path.isfile(place)), None)
        if there is None:
            raise InputError(f"video {file} does not exist in {self._folder.resolve()}")
        self.stop()
        self.show([subject(there, checkpoint, target=target, device=self._device)])
        self.chosen = {"file": str(file), "checkpoint": checkpoint}

    def _other(self, kind, content, buffers):
        if kind == "open":
            self.analyse(content["file"], content["checkpoint"])
        elif kind == "upload":
            self._uploads = self._uploads or tempfile.TemporaryDirectory(prefix="paperlib-")
            there = Path(self._uploads.name) / UPLOADED / Path(content["name"]).name
            there.parent.mkdir(exist_ok=True)
            with open(there, "ab" if content["offset"] else "wb") as out:
                out.write(buffers[0])
        else:
            super()._other(kind, content, buffers)


def animation(pictures, milliseconds):
    """Return pictures (PNG or JPEG files in memory) as one looping GIF."""
    steps = [Image.open(BytesIO(bytes(p))).convert("RGB").quantize(128, dither=Image.Dither.NONE) for p in pictures]
    if not steps:
        raise InputError("there is nothing to put into the GIF")
    file = BytesIO()
    steps[0].save(file, "GIF", save_all=True, append_images=steps[1:], duration=int(milliseconds), loop=0)
    return file.getvalue()
