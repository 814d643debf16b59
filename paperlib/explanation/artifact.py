"""One file per analysed clip (frames, scores, matrix, mask, CAM, configuration) that reopens without the model."""

import json
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch

from .. import data
from ..data import clips, sampling, video
from ..errors import InputError
from ..models import devices
from ..models.base import VideoModel
from ..models.inputs import check_frame_logits
from ..models.probing import SCORES, probabilities, scale
from ..storage import paths, software
from ..training import checkpoints


@dataclass
class Artifact:
    """What was found about one clip.

    frames: uint8 [T, H, W, 3] as the model saw them; info: video, model, classes, target, versions ...;
    arrays: named results, e.g. `scores` [K], `frame_logits` [T', K], `matrix` [T', N], `mask` [T], `cam` [T, H, W].
    """

    frames: np.ndarray
    info: dict
    arrays: dict = field(default_factory=dict)

    def save(self, file: str | Path) -> None:
        """Write one .npz file (numbers and JSON only, no pickle)."""
        about = np.frombuffer(json.dumps(self.info).encode(), np.uint8)
        with paths.atomic(file) as temporary:
            np.savez_compressed(temporary, frames=self.frames, info=about, **self.arrays)

    @property
    def clip(self):
        """The model's input: float32 [1, 3, T, H, W]."""
        return clips.to_clip(self.frames)[None]

    @property
    def target_name(self):
        """Name of the class that was explained."""
        return self.info["classes"][self.info["target"]]


def load(file: str | Path) -> Artifact:
    """Reopen an artifact; a file that is none is named in the error."""
    try:
        with np.load(file, allow_pickle=False) as content:
            arrays = {key: content[key] for key in content.files}
        return Artifact(arrays.pop("frames"), json.loads(arrays.pop("info").tobytes()), arrays)
    except FileNotFoundError:
        raise InputError(f"{file} does not exist") from None
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile) as error:
        raise InputError(f"{file} is not an artifact written by paperlib ({error})") from None


def class_index(classes: Sequence[str], wanted: str | int) -> int:
    """Return the index of a class given by name (any case, unique part of it) or by number."""
    if str(wanted).lstrip("-").isdigit():
        if 0 <= int(wanted) < len(classes):
            return int(wanted)
        raise InputError(f"class {wanted} is out of range; the model knows 0 to {len(classes) - 1}")
    lowered, sought = [name.lower() for name in classes], str(wanted).lower()
    if sought in lowered:
        return lowered.index(sought)
    found = [k for k, name in enumerate(lowered) if sought in name]
    if len(found) == 1:
        return found[0]
    names = "; ".join(classes[k] for k in (found or range(len(classes))))
    raise InputError(f"class {wanted!r} {'fits several classes' if found else 'is unknown'}; choose from: {names}")


def of_video(
    file: str | Path,
    model: VideoModel,
    header: dict,
    wanted: str | int | None = None,
    device: str | torch.device = "cpu",
    scores: str = "auto",
) -> Artifact:
    """Decode a video, sample it uniformly as the model expects and score it.

    file: a video file, or DATASET/NUMBER for a validation video of a procedural or public data set.
    model, header: from `checkpoints.load`; wanted: class to explain (name or index), default the predicted one.
    scores: "softmax" or "sigmoid", by default as `probing.scale` says.
    """
    size = header.get("recipe", {}).get("size", 224)
    videos, number = sample(file, size)
    total = video.probe(file).frames if videos is None else videos.num_frames(number)
    indices = sampling.uniform(total, model.num_frames)
    if videos is None:
        frames = video.crops(video.decode(file, indices, short_side=size), size)[0]
    else:
        frames = videos.frames(number, indices)
    artifact = Artifact(
        frames,
        {
            "video": Path(file).name,
            "indices": indices.tolist(),
            "video_frames": total,
            "model": model.config["name"],
            "config": model.config,
            "dataset": header.get("dataset", ""),
            "accuracy": header.get("accuracy"),
            "classes": list(header["classes"]),
            "revision": software.revision(),
            "versions": software.versions(),
        },
    )
    return score(artifact, model, wanted, device, scores)


def sample(file, size):
    """Return (data set, number) for DATASET/NUMBER, (None, None) for anything else: then it is a file."""
    name, _, number = str(file).partition("/")
    if name not in data.LOADERS or not number.isdigit() or Path(file).exists():
        return None, None
    videos = data.load(name, "val", size=size)
    if int(number) >= len(videos):
        raise InputError(f"{name} has the validation videos 0 to {len(videos) - 1}, not {number}")
    return videos, int(number)


def score(
    artifact: Artifact,
    model: VideoModel,
    wanted: str | int | None = None,
    device: str | torch.device = "cpu",
    scores: str = "auto",
) -> Artifact:
    """Add the model's scores and frame logits for the artifact's clip, and the class to be explained.

    Raises InputError for frame logits that are none and for another number of classes than there are names.
    """
    classes, clip = artifact.info["classes"], artifact.clip.to(device)
    check_frame_logits(model, clip)
    with torch.inference_mode():
        logits = model.frame_logits(clip)[0].float().cpu()
    if logits.shape[1] != len(classes):
        raise InputError(
            f"{type(model).__name__} has logits of {logits.shape[1]} classes, but there are {len(classes)} names of "
            "classes; give one for each, in the network's order"
        )
    values = probabilities(logits.mean(0)[None], scores)[0]
    artifact.arrays.update(frame_logits=logits.numpy(), scores=values.numpy())
    artifact.info.update(predicted=int(values.argmax()), scores=scale(len(classes), scores))
    artifact.info["target"] = artifact.info["predicted"] if wanted is None else class_index(classes, wanted)
    return artifact


def from_arguments(args):
    """Return (artifact, model) for the options that `video_arguments` declares."""
    device = devices.device(args.device)
    model, header = checkpoints.load(args.model, device)
    return of_video(args.video, model, header, args.wanted, device, args.scores), model


def video_arguments(parser):
    """Declare the options shared by `paperlib relevance`, `mask` and `gradcam`."""
    parser.add_argument(
        "--video",
        required=True,
        metavar="FILE",
        help="any video file that FFmpeg reads, or DATASET/NUMBER, such as synth_ssv2/7",
    )
    parser.add_argument(
        "--model",
        required=True,
        metavar="CHECKPOINT",
        help="a .safetensors file, or DATASET/NAME of the zoo (see paperlib zoo status)",
    )
    parser.add_argument(
        "--class",
        dest="wanted",
        metavar="NAME",
        help="class to explain, by name, part of a name or number (default: the predicted one)",
    )
    parser.add_argument(
        "--scores",
        choices=SCORES,
        default="auto",
        help="how logits become scores: softmax for classes of which one is right, sigmoid for labels that do not "
        "exclude each other (default: auto, sigmoid only for a single logit)",
    )
    parser.add_argument("--device", default="auto", help="auto, cpu, cuda or cuda:N")
    parser.add_argument("--out", metavar="PREFIX", help="where results go (default: VIDEO-COMMAND in this folder)")


def prefix(args, command):
    """Return the path prefix of the results: --out, or the video's name and the command in the current folder."""
    name = Path(args.video).stem if Path(args.video).exists() else args.video.replace("/", "-")
    return Path(args.out or f"{name}-{command}")
