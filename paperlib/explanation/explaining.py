"""`explain`: everything the instruments find about one video and one network, in one call."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from ..data import public
from ..errors import InputError, whole
from ..gradcam import default_layer, maps
from ..models import devices, known
from ..relevance.atr import check_sigma
from ..tracing.inputs import network
from ..tracing.readout import difference
from ..training import folds
from . import artifact, measured, networks
from .explanation import Explanation
from .record import class_index

ADAPTING = ("layout", "alpha", "frames", "size", "mean", "std", "processor")


def explain(
    video: Any,
    model: nn.Module | str | Path,
    target: str | int | Sequence[str | int] | None = None,
    *,
    relevance: bool = True,
    mask: bool | None = None,
    cam: bool | None = None,
    top: int = 1,
    clips: int = 1,
    slide: int | bool | None = None,
    classes: Sequence[str] | None = None,
    scores: str = "auto",
    sigma: float = 0.975,
    iterations: int | None = None,
    layer: str | None = None,
    title: str | None = None,
    device: str = "auto",
    progress: bool = False,
    method: str = "clrp",
    rules: Any = None,
    rows: str = "auto",
    split: str | None = None,
    **adapting: Any,
) -> Explanation:
    """Return what a network saw in a video: relevance of frames, the frames it needs, where it looked.

    video: a video file; DATASET/NUMBER of a data set's validation videos; all frames uint8 [T, H, W, 3]; or a clip,
        float [3, T, H, W] or [1, 3, T, H, W], normalised as `data.clips.to_clip` does.
    model: a checkpoint (`synth_ssv2_hard/TAM2D-R50-f8` or a file); any nn.Module; "package.module:function", which
        returns one; a folder with a network of transformers.
    target: class to explain, by name, unique part of a name or index; None: the predicted one. Two classes ("A", "B"):
        why A and not B, the difference of their logits (None for A: the predicted one). Of a checkpoint that answers
        several questions at once the one is asked to which the class belongs, without one the first.
    relevance, mask, cam: what to compute; the mask is most of the work. mask=None: for a single clip, of two frames or
        more. cam=None: where the network has maps of space and time, or `layer` is given.
    top: explain the target and so many of the most probable classes in all.
    clips, slide: for videos longer than a clip. By default one clip is sampled uniformly over the whole video or, for a
        checkpoint trained on dense clips, from its middle. clips=4: one from each quarter. slide=2: a window of frames
        two apart that moves over the whole video, by half a window each time; True: windows as in dense training, or
        of 2.56 seconds. `notes` and `info["indices"]` of the result say which frames were seen: the latter counts from
        0, as arrays do; notes, pictures and CSV files count from 1.
    classes: names of the classes, where the network does not know them: a list in its order, or a mapping such as
        class_to_idx. scores: "softmax" or "sigmoid", of labels that do not exclude each other; "auto": softmax, or
        sigmoid for a single logit.
    sigma, method, rules, rows, split: as in `relevance.atr` and `relevance.relevance_matrix`.
    iterations: most steps of learning the mask. layer: of Grad-CAM. title: name of a video that is no file.
    device: of checkpoints; a module stays where it is. progress: show bars on standard error.
    adapting: layout, alpha, frames, size, mean, std, processor, for `models.adapt`, where what the network takes is
        neither known nor found out.

    Raises InputError for a video, model, class or layer that does not exist or fit, in one sentence.
    """
    watch, video = Bars(progress), artifact.checked(video)
    _check(video, adapting)
    top, sigma = whole("top", top), check_sigma(sigma)
    iterations = None if iterations is None else whole("iterations", iterations, 0)
    offered = _offered(video, parts=bool(slide) or clips != 1)
    net, header = networks.opened(model, device, offered, classes, **adapting)
    if layer is not None and cam is not False:
        maps.at(network(net), layer)  # an unknown one is an error before anything runs
    found, first, against = _scored(video, net, header, target, title, clips, slide, scores, watch)
    net = found.model
    if cam is not False and layer is None:
        layer = cam_layer(net, found, cam)
    wanted = [found.info["predicted"] if first is None else first]
    ranked = [int(k) for k in np.argsort(-found.scores) if k not in (*wanted, against)]
    every = [found.of_class(k) for k in (wanted + ranked)[:top]]
    mask = "windows" not in found.info and len(found.frames) > 1 if mask is None else mask
    for number, one in enumerate(every):
        seen = net if against is None else difference(net, measured.windows(found, net, [0]), one.target, against)
        name = f" {number + 1} of {len(every)}" if len(every) > 1 else ""
        if relevance:
            options = {"rules": rules, "rows": rows, "split": split}
            with watch.bar(f"relevance{name}", _clips(one)) as step:
                measured.relevance(one, seen, method, sigma, step, **options)
        if cam is not False and layer is not None:
            with watch.bar(f"Grad-CAM{name}", _clips(one)) as step:
                measured.cam(one, seen, layer, watch=step)
        if mask:
            steps = iterations or 300
            with watch.bar(f"mask{name}", steps) as step:
                options = {} if iterations is None else {"iterations": iterations}
                measured.mask(one, seen, watch=lambda *_, step=step: step("mask"), **options)
    found = every[0]
    found.others = {one.target: one for one in every[1:]}
    return found


def cam_layer(net: nn.Module, found: Explanation, cam: bool | None = None) -> str | None:
    """Return the layer that Grad-CAM looks at; where there is none and nobody insists on `cam`, None and a note."""
    try:
        return default_layer(net, measured.windows(found, net, [0]))
    except InputError as error:
        if cam:
            raise
        found.info["notes"].append(f"Grad-CAM is left out: {str(error).rstrip('.')}.")
    return None


def look(
    video: Any,
    model: nn.Module | str | Path,
    target: str | int | None = None,
    classes: Sequence[str] | None = None,
    scores: str = "auto",
    device: str = "auto",
    title: str | None = None,
    **adapting: Any,
) -> Explanation:
    """Return one clip of a video, scored, and the class to be explained, but not explained yet; as `explain` does."""
    video = artifact.checked(video)
    _check(video, adapting)
    net, header = networks.opened(model, device, _offered(video), classes, **adapting)
    found, first, _ = _scored(video, net, header, target, title, 1, None, scores, Bars(False))
    return found.of_class(found.info["predicted"] if first is None else first)


def device_of(net: nn.Module) -> torch.device:
    """Return where a network's weights are."""
    parameter = next(net.parameters(), None)
    return parameter.device if parameter is not None else devices.device("cpu")


class Bars:
    """Progress on standard error, or none."""

    def __init__(self, shown):
        self.shown = shown

    def bar(self, what, total):
        """Return a context whose value is to be called as step(stage, how many = 1)."""
        return _Bar(what, total, self.shown)


class _Bar:
    def __init__(self, what, total, shown):
        self.what, self.total, self.shown, self.bar = what, total, shown, None

    def __enter__(self):
        if self.shown:
            from tqdm import tqdm

            self.bar = tqdm(total=self.total, desc=self.what, delay=1, leave=False, mininterval=0.5)
        return self.step

    def step(self, stage, count=1):
        """Count; returns None, since a mask's learning ends where its watch returns True."""
        if self.bar is not None:
            self.bar.update(count)

    def __exit__(self, *_):
        if self.bar is not None:
            self.bar.close()


def _check(video, adapting):
    unknown = sorted(set(adapting) - set(ADAPTING))
    if unknown:
        raise InputError(
            f"explain has no option {unknown[0]}; for what the network takes there are {', '.join(ADAPTING)}"
        )
    size, here = known.told_size(adapting.get("size")), _offered(video)
    if size is not None and here and tuple(here[1]) != (size if isinstance(size, tuple) else (size, size)):
        raise InputError(
            f"size={size} is cut out of videos that are read from files, but these frames are {here[1][0]} x "
            f"{here[1][1]} pixels; crop them, or leave size out"
        )


def _offered(video, parts=False):
    """Return (frames, (H, W)) of a video that is already frames or a clip, None for one that is to be decoded.

    parts: whether several clips of it are explained, whose frames are not those of the whole; then frames is None.
    """
    if isinstance(video, str | Path):
        return None
    frames, *size = video.shape[:3] if isinstance(video, np.ndarray) else video.shape[2:]
    return None if parts else frames, tuple(size)


def _scored(video, net, header, target, title, clips, slide, scores, watch):
    """Return (the video as the network sees it, scored, class to explain, class that it is compared with)."""
    found = artifact.read(video, header["frames"], header["size"], clips, slide, title, header["recipe"])
    notes = [*header["said"], *_otherwise(header, video), *_seen(found.info)]
    if slide and "windows" not in found.info:
        notes.append(
            f"Nothing slides: a window would span the whole video ({found.info['video_frames']} frames), so there is "
            "one clip."
        )
    found.info.update(model=header["name"], notes=notes)
    for key in ("dataset", "accuracy", "config"):
        found.info[key] = header[key]
    if header["classes"] is not None:
        found.info["classes"] = list(header["classes"])
    asked, first = None, 0
    if header["heads"]:
        asked = _targets(found.classes, target)
        net, first = artifact.one_question(found, net, header["heads"], *asked)
    with watch.bar("scores", _clips(found)) as step:
        measured.score(found, net, scores, step)
    found.model = net
    asked = asked or _targets(found.classes, target)
    chosen, against = (None if k is None else int(k) - first for k in asked)
    if against is not None:
        found.info["against"] = against
    return found, chosen, against


def _otherwise(header, video):
    """Return sentences about what is not here, or not known to be, as where the network's accuracy was measured."""
    said, dataset, ensemble = [], header["dataset"], header["recipe"].get("ensemble")
    held_out = header["recipe"].get("held_out")
    decoded = isinstance(video, str | Path)
    if decoded and not header["size"]:
        said.append(f"Squares of {artifact.SIZE} pixels were cut out (assumed; size= says another size).")
    if decoded and dataset in public.SHOWN_OTHERWISE and not artifact.numbered(video):
        said.append(f"Videos of {dataset} are cut in a way of their own, and this file is not; give {dataset}/NUMBER.")
    if held_out and artifact.numbered(video) and folds.same_people(str(video).partition("/")[0], dataset):
        said.append(
            f"The network was trained on everybody but {held_out}; a video given by its number may be of people whom "
            "it was trained on."
        )
    if ensemble:
        said.append(
            f"The accuracy is that of {ensemble} evenly spread frame logits; here all are averaged and explained."
        )
    return said


def _seen(info):
    """Return a sentence about which frames of the video were seen."""
    indices, total, several = info["indices"], info["video_frames"], info.get("windows")
    if indices == list(range(total)) and not several:
        return []
    if total == 1:
        return ["The video has a single frame, so every frame of the clip is that one."]
    said = f"Of {total} frames of the video, {len(set(indices))} were seen: {_listed(sorted(set(indices)))}"
    if several and several["kind"] == "slide":
        said += (
            f", by {len(several['starts'])} windows of {several['frames']} frames, each half a window after the last"
        )
    elif several:
        where = "evenly spread" if info.get("dense") else "one from each equal part"
        said += f", in {len(several['starts'])} clips of {several['frames']} frames, {where}"
    if len(set(indices)) < len(indices) and (several or {}).get("kind") != "slide":
        shorter = "its parts are shorter than a clip" if several else "the video is shorter than the clip"
        shorter = "the clips overlap" if several and info.get("dense") else shorter
        said += f"; {shorter}, so that some stand in {'clips' if several else 'it'} more than once"
    return [said + "."]


def _listed(indices):
    """Return video frames counted from 1, as a range where their distance is one and the same."""
    steps = {b - a for a, b in zip(indices, indices[1:])}  # noqa: B905
    if len(indices) > 8 and len(steps) == 1:
        apart = steps.pop()
        every = "all" if apart == 1 else f"every {_ordinal(apart)} frame"
        return f"{every} from {indices[0] + 1} to {indices[-1] + 1}"
    shown = indices if len(indices) <= 16 else [*indices[:4], None, *indices[-2:]]
    return ", ".join("..." if k is None else str(k + 1) for k in shown)


def _ordinal(number):
    """Return 2nd, 3rd, 4th, 11th, 21st ... for a number."""
    teens = number // 10 % 10 == 1
    return f"{number}{'th' if teens else {1: 'st', 2: 'nd', 3: 'rd'}.get(number % 10, 'th')}"


def _targets(classes, target):
    """Return (class to explain, class that it is compared with), each an index or None."""
    if target is None or isinstance(target, str | int | np.integer):
        return (None if target is None else class_index(classes, target)), None
    try:
        first, second = target
    except (TypeError, ValueError):
        raise InputError(f"target is one class, or two of which the first is explained, not {target!r}") from None
    return (None if first is None else class_index(classes, first)), class_index(classes, second)


def _clips(found):
    return len(found.info["windows"]["starts"]) if "windows" in found.info else 1
