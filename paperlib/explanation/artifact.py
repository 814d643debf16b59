"""From a video to a record: decode, sample, score; and how saved ones are opened again."""

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from .. import data
from ..data import clips as clip_format
from ..data import public
from ..data import video as files
from ..errors import InputError, meant
from ..models.base import VideoModel
from ..storage import software
from ..tracing import readout
from ..training import checkpoints
from . import measured, sliding
from .explanation import Explanation, load
from .record import class_index

__all__ = ["SIZE", "Artifact", "class_index", "load", "of_video", "one_question", "read", "sample", "score"]

SIZE = 224  # pixels of the square that is cut out of a file where nothing else is said
Artifact = Explanation  # as earlier versions called it


def of_video(
    file: str | Path,
    model: VideoModel,
    header: dict,
    wanted: str | int | None = None,
    device: str | torch.device = "cpu",
    scores: str = "auto",
) -> Explanation:
    """Decode a video, sample and cut it as the model was trained and score it.

    file: a video file, or DATASET/NUMBER for a validation video of a procedural or public data set.
    model, header: from `checkpoints.load`; wanted: class to explain (name or index), default the predicted one.
    scores: "softmax" or "sigmoid", by default softmax, or sigmoid for a single logit. Of a network that answers several
    questions the one is asked that `wanted` belongs to (`one_question`).
    """
    recipe = checkpoints.recipe(model.config["name"], header)
    found = read(file, model.num_frames, recipe["size"], recipe=recipe)
    found.info.update(
        model=model.config["name"],
        config=model.config,
        dataset=header.get("dataset", ""),
        accuracy=header.get("accuracy"),
        classes=list(header["classes"]),
    )
    net: nn.Module = model.to(device)
    if header.get("heads"):
        index = None if wanted is None else class_index(header["classes"], wanted)
        net, first = one_question(found, net, header["heads"], index)
        wanted = None if index is None else index - first
    return score(found, net, wanted, device, scores)


def read(
    video: Any,
    frames: int | None = None,
    size: int | tuple[int, int] | None = None,
    clips: int = 1,
    slide: int | bool | None = None,
    title: str | None = None,
    recipe: dict | None = None,
) -> Explanation:
    """Return what a network will see of a video, not yet explained: frames, where they stand, versions.

    video: a file; DATASET/NUMBER; all frames uint8 [T, H, W, 3]; a normalised clip float [3, T, H, W], [1, 3, T, H, W].
    frames: of a clip, by default all there are. size: pixels of the square, or (H, W), that is cut out of files, by
    default SIZE. clips, slide: more than one clip, see `sliding.plan`. title: name of what is no file.
    recipe: how the network was trained (`checkpoints.recipe`): clips are then sampled, and files scaled before they are
    cut, as for its validation; without it uniformly, and as far as the square allows. Frames or a clip of the right
    number are taken as they are.
    """
    recipe = recipe or {}
    total, fps, picked, name = _source(video, size or SIZE, recipe.get("dataset", ""))
    taken = not isinstance(video, str | Path) and total == (frames or total)
    dense = recipe["stride"] if recipe.get("sampling") == "dense" and not taken else None
    indices, starts = sliding.plan(total, frames or total, clips, slide, fps, dense)
    shown, given = picked(indices)
    info = {
        "video": str(title or name).encode(errors="backslashreplace").decode(),  # a file's name need not be text
        "indices": indices.tolist(),
        "video_frames": int(total),
        "fps": fps,
        "revision": software.revision(),
        "versions": software.versions(),
    }
    if dense:
        info["dense"] = dense
    if len(starts) > 1:
        info["windows"] = {"starts": starts.tolist(), "frames": frames, "kind": "slide" if slide else "clips"}
    return Explanation(shown, info, given=given)


def _source(video, size, dataset=""):
    """Return (number of frames, frames per second or None, function from indices to (uint8 frames, clip), name).

    size: pixels of the square, or (H, W), of frames that are decoded; dataset: whose way of cutting files is followed.
    """
    if isinstance(video, str | Path):
        longer = size if isinstance(size, int) else max(size)
        videos, number = sample(video, longer)
        if videos is not None:
            return videos.num_frames(number), None, lambda at: (_cut(videos.frames(number, at), size), None), str(video)
        about, short = files.probe(video), public.short_side(dataset, longer)
        return (
            about.frames,
            about.fps,
            lambda at: (_cut(files.decode(video, at, short_side=short), size), None),
            Path(video).name,
        )
    video = checked(video)
    if isinstance(video, np.ndarray):
        return len(video), None, lambda at: (video[at], None), "clip"

    def picked(at):
        part = video[:, :, torch.as_tensor(at, device=video.device)]
        return clip_format.to_frames(part[0]), part

    return video.shape[2], None, picked, "clip"


def checked(video: Any) -> Any:
    """Return a video as a file's name, frames uint8 [T, H, W, 3] of NumPy, or a clip float [1, 3, T, H, W].

    Raises InputError for what is none of these, and for a clip with NaN.
    """
    if isinstance(video, str | Path):
        if not numbered(video):
            _check_number(video)
            files.existing(video)
        return video
    if isinstance(video, torch.Tensor) and video.is_floating_point():
        clip = (video[None] if video.dim() == 4 else video).detach().contiguous()  # networks take views
        if clip.dim() != 5 or len(clip) != 1 or clip.shape[1] != 3 or 0 in clip.shape:
            raise InputError(
                "a clip is a normalised float tensor [3, T, H, W] or [1, 3, T, H, W], not of shape "
                f"{list(video.shape)}; explain one clip at a time"
            )
        if not torch.isfinite(clip).all():
            raise InputError("the clip has NaN or infinite values")
        return clip
    if isinstance(video, torch.nn.Module):
        raise InputError(f"the video comes first, then the network: explain(video, model), not {type(video).__name__}")
    try:
        frames = np.asarray(video.cpu() if isinstance(video, torch.Tensor) else video)
    except ValueError:
        raise InputError("the frames of a clip must be uint8 [T, H, W, 3], all of one size") from None
    if frames.dtype != np.uint8 or frames.ndim != 4 or frames.shape[-1] != 3 or not frames.size:
        raise InputError(
            f"a clip is a video file or frames uint8 [T, H, W, 3], not {frames.dtype} {list(frames.shape)}"
        )
    return frames


def _cut(frames, size):
    """Return the centre of frames [T, H, W, 3]: a square of `size` pixels, or (H, W)."""
    if isinstance(size, int):
        return files.crops(frames, size)[0]
    high, wide = size
    y, x = round((frames.shape[1] - high) / 2), round((frames.shape[2] - wide) / 2)
    return frames[:, y : y + high, x : x + wide]


def sample(file, size):
    """Return (data set, number) for DATASET/NUMBER, (None, None) for anything else: then it is a file."""
    if not numbered(file):
        return None, None
    name, _, number = str(file).partition("/")
    videos = data.load(name, "val", size=size)
    if int(number) >= len(videos):
        raise InputError(f"{name} has the validation videos 0 to {len(videos) - 1}, not {number}")
    return videos, int(number)


def numbered(file):
    """Whether this names a video of a data set, DATASET/NUMBER; a file of that name comes first."""
    name, _, number = str(file).partition("/")
    return name in data.LOADERS and number.isdecimal() and not Path(file).exists()


def _check_number(file):
    """Raise InputError for the name of an absent file that is nearly DATASET/NUMBER."""
    name, _, number = str(file).partition("/")
    if Path(file).exists() or not number:
        return
    if name in data.LOADERS:
        raise InputError(f"{file}: videos of {name} go by their numbers, such as {name}/7, and there is no such file")
    near = meant(name, data.LOADERS)
    if near and re.fullmatch("-?[0-9]+", number):
        raise InputError(f"there is no file {file} and no data set {name!r}{near}")


def one_question(
    found: Explanation, net: nn.Module, heads: dict, wanted: int | None = None, against: int | None = None
) -> tuple[nn.Module, int]:
    """Return (network of one question of several, its first class), and leave its classes alone in the record.

    heads: {question: (first class, one past the last)}. It is the question that the classes `wanted` and `against` (of
    all questions) belong to, the first without them. InputError for two classes of different questions.
    """
    names, given = found.info["classes"], [k for k in (wanted, against) if k is not None]
    asked = [name for k in given for name, (first, after) in heads.items() if first <= k < after] or list(heads)[:1]
    if len(set(asked)) > 1:
        raise InputError(
            f"{names[given[0]]} answers the question {asked[0]} and {names[given[1]]} {asked[1]}; compare two classes "
            "of one question"
        )
    first, after = heads[asked[0]]
    found.info.update(question=asked[0], classes=names[first:after])
    others = ", ".join(name for name in heads if name != asked[0])
    said = f"Of {len(heads)} questions that the network answers, this is {asked[0]}; a class of another ({others})"
    found.info["notes"] = [*found.info.get("notes", ()), f"{said}, given as the one to explain, asks that one."]
    return readout.question(net, first, after, measured.windows(found, net, [0])), first


def score(
    artifact: Explanation,
    model: nn.Module,
    wanted: str | int | None = None,
    device: str | torch.device = "cpu",
    scores: str = "auto",
) -> Explanation:
    """Add the model's scores and logits for the artifact's clip, and the class to be explained.

    Raises InputError for frame logits that are none and for another number of classes than there are names.
    """
    measured.score(artifact, model.to(device), scores)
    classes: Sequence[str] = artifact.info["classes"]
    artifact.info["target"] = artifact.info["predicted"] if wanted is None else class_index(classes, wanted)
    artifact.model = model
    return artifact
