"""Widgets for notebooks: scrub a clip's relevance and masks, compare models, look at your own video.

Each function returns an `Explorer`. In a notebook it is live; on GitHub and in headless runs the same object
shows `Explorer.figure()` instead. All scrubbing happens in the browser; Python is asked for another class,
method or sigma, for scores under a mask and for learning one.

May import: explanation, papers, and all that those may.
"""

from pathlib import Path

from ..data.public.folder import videos_in
from ..errors import InputError
from ..storage import paths
from .explorer import Explorer, YourVideo
from .samples import validation_video, write_video
from .subject import Subject, place, subject, verified

__all__ = [
    "Explorer",
    "Subject",
    "YourVideo",
    "compare_models",
    "scrub_masks",
    "scrub_relevance",
    "show",
    "subject",
    "validation_video",
    "write_video",
    "your_video",
]


def scrub_relevance(
    video,
    model=None,
    target=None,
    method="clrp",
    sigma=0.975,
    classes=None,
    rules=None,
    device="auto",
    title=None,
    scores="auto",
):
    """Return a widget with a clip, its relevance matrix and the ATR segment of every row (TRA section 3).

    video: a video file, an artifact (.npz, as `explain` and the commands write, needs no model) or frames uint8
    [T, H, W, 3]. model: a checkpoint, or a network, with the names of its `classes`; of an artifact the one it is of.
    target: class by index or name, the predicted one by default; of two the first rather than the second, as `explain`
    does. sigma: share of a row that ATR must hold.
    rules: as in `relevance.relevance_matrix`. title: name of a clip given as frames. scores: "sigmoid" for labels
    that do not exclude each other, by default softmax, or sigmoid for a single logit; of an artifact both are by
    default its own.
    Raises InputError for a video, checkpoint or class that does not exist, a layer without a rule, or an artifact of
    another model.
    """
    here = subject(video, model, classes, target, None, device, title, rules, scores)
    return Explorer([here], ["relevance"], method, sigma)


def scrub_masks(
    video,
    model=None,
    target=None,
    mask=None,
    classes=None,
    iterations=100,
    device="auto",
    title=None,
    scores="auto",
):
    """Return a widget with original, Grad-CAM and perturbed clip in step over a mask that can be edited.

    mask: [T] with values in [0, 1]; by default the central mask that learning starts from (ACCV paper,
    section 3.1). iterations: how long the button "learn mask" learns. Else as `scrub_relevance`.
    """
    here = subject(video, model, classes, target, mask, device, title, scores=scores)
    return Explorer([here], ["mask"], iterations=iterations)


def show(found):
    """Return a widget with an `Explanation`; other classes and masks are computed where its model is still as it was.

    The widget has a copy: `subjects[0].artifact` has what is found in it, and the explanation stays as it is.
    Raises InputError for one in which nothing was computed that can be scrubbed.
    """
    if not found.features:
        raise InputError("nothing was computed that can be scrubbed; explain with relevance, mask or cam")
    here = Subject(found, _as_it_was(found), device=place(found.model))
    return Explorer([here], found.features, found.info.get("method", "clrp"), found.info.get("sigma", 0.975))


def _as_it_was(found):
    """Return the model of an explanation, none where it is gone or gives other logits by now: it was trained on."""
    try:
        return found.model if found.model is None or verified(found, found.model) else None
    except InputError:
        return None


def compare_models(video, models, target=None, method="clrp", sigma=0.975, iterations=100, device="auto", title=None):
    """Return a widget with the relevance and masks of several checkpoints on one clip, side by side, in step.

    video: a file, or all frames uint8 [T, H, W, 3] of a video, from which each model samples as many as it takes.
    target: class by name; by default what the first model predicts, where the others know it.
    """
    if isinstance(models, str) or len(models) < 2:
        raise InputError("compare_models takes a list of at least two checkpoints")
    if isinstance(target, list | tuple):
        raise InputError(f"compare_models takes one class, not {target!r}; scrub_relevance compares two classes")
    subjects = [subject(video, models[0], None, target, None, device, title)]
    wanted = subjects[0].artifact.target_name
    for model in models[1:]:
        other = subject(video, model, None, None, None, device, title)
        if wanted in other.classes:
            other.choose(other.classes.index(wanted))
        subjects.append(other)
    return Explorer(subjects, ["relevance", "mask"], method, sigma, iterations)


def your_video(file=None, checkpoint=None, target=None, folder=".", iterations=100, device="auto"):
    """Return a widget that opens a video file with a checkpoint and shows relevance, mask and Grad-CAM.

    file, checkpoint: what to open first (both can be changed in the widget; without a file nothing is open).
    folder: where the widget looks for video files, before it takes a name as a path; one can also be uploaded, and is
    called uploaded/NAME then.
    """
    known = sorted(
        f.relative_to(paths.CHECKPOINTS).with_suffix("").as_posix() for f in paths.CHECKPOINTS.glob("*/*.safetensors")
    )
    checkpoint = checkpoint or (known[0] if known else None)
    if checkpoint is None:
        raise InputError("no checkpoint is trained yet, see paperlib zoo train")
    if not Path(folder).is_dir():
        raise InputError(f"folder {folder} does not exist")
    names = videos_in(Path(folder))
    widget = YourVideo(
        [],
        folder,
        device,
        iterations=iterations,
        files=names,
        checkpoints=sorted({*known, checkpoint}),
        chosen={"file": "", "checkpoint": checkpoint},
    )
    if file is not None:
        widget.analyse(file, checkpoint, target)
    return widget
