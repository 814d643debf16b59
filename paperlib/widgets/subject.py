"""One clip before one model: relevance, masks and maps of any class, computed when asked for and kept."""

import warnings
from io import BytesIO
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from .. import gradcam, masks, relevance
from ..data import sampling
from ..errors import InputError
from ..explanation import artifact, examples
from ..models import devices
from ..models.inputs import needs_frame_logits, network
from ..models.probing import probabilities
from ..storage import software
from ..training import checkpoints

METHODS = ("clrp", "lrp")


class Subject:
    """An `artifact.Artifact` and, where there is one, the model it came from.

    Without a model the class and the method stay as they were saved; sigma and the mask can still be changed.
    """

    def __init__(self, found, model=None, target=None, mask=None, device="cpu", rules=None, scores="auto"):
        self.artifact, self.model, self.device, self.rules = found, model, device, rules
        self._matrices, self._maps = {}, {}
        if "matrix" in found.arrays and "target" in found.info:
            self._matrices[found.info["target"], found.info.get("method", "clrp")] = found.arrays["matrix"]
        if "cam" in found.arrays and "target" in found.info:
            self._maps[found.info["target"]] = found.arrays["cam"]
        if model is not None and ("scores" not in found.arrays or target is not None):
            artifact.score(found, model, target, device, scores)
        if "target" not in found.info:
            raise InputError("the artifact does not say which class it explains; give the model, too")
        if mask is not None:
            self.mask = mask

    @property
    def classes(self):
        """Names of the classes."""
        return self.artifact.info["classes"]

    @property
    def target(self):
        """Index of the class explained."""
        return self.artifact.info["target"]

    @property
    def scale(self):
        """What the scores are, "softmax" or "sigmoid"; "auto" for an artifact that does not say."""
        return self.artifact.info.get("scores", "auto")

    @property
    def clip(self):
        """The model's input, float32 [1, 3, T, H, W], on its device."""
        return self.artifact.clip.to(self.device)

    @property
    def mask(self):
        """The mask [T] with values in [0, 1]; none is a mask of zeros."""
        return self.artifact.arrays.get("mask", np.zeros(len(self.artifact.frames), np.float32))

    @mask.setter
    def mask(self, values):
        values = np.asarray(values, dtype=np.float32)
        if values.shape != (len(self.artifact.frames),) or not ((values >= 0) & (values <= 1)).all():
            raise InputError(
                f"a mask for this clip has {len(self.artifact.frames)} values from 0 to 1, not {values.tolist()}"
            )
        self.artifact.arrays["mask"] = values
        self.artifact.arrays.pop("mask_loss", None)

    def choose(self, target):
        """Explain another class, given by index or name."""
        target = artifact.class_index(self.classes, target)
        if target != self.target:
            self._need_model("another class")
        self.artifact.info["target"] = target

    def explain(self, method="clrp", sigma=0.975):
        """Put the class's relevance matrix and its ATR into the artifact; the matrix is computed only once."""
        if method not in METHODS:
            raise InputError(f"method must be clrp or lrp, not {method!r}")
        key = (self.target, method)
        if key not in self._matrices:
            self._need_model(f"the {method.upper()} matrix of {self.artifact.target_name}")
            self._matrices[key] = (
                relevance.relevance_matrix(self.model, self.clip, [self.target], method=method, rules=self.rules)[0]
                .cpu()
                .numpy()
            )
        matrix, arrays = self._matrices[key], self.artifact.arrays
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)  # rows without relevance: the widget says so itself
            atr = relevance.atr(matrix[None], arrays["frame_logits"][None, :, self.target], sigma=sigma)
        arrays.update(matrix=matrix, atr=atr.frames[0].numpy(), segments=atr.segments[0].numpy())
        self.artifact.info.update(method=method, sigma=sigma, avg_atr=float(atr.avg[0]), max_atr=float(atr.max[0]))

    def maps(self):
        """Return the class's Grad-CAM maps [T, H, W]; none without a model and without saved ones."""
        if self.target not in self._maps and self.model is not None:
            self._maps[self.target] = gradcam.video_gradcam(self.model, self.clip, self.target)[0].cpu().numpy()
        cam = self._maps.get(self.target)
        if cam is not None:
            self.artifact.arrays["cam"] = cam
        return cam

    def score(self, mask=None):
        """Set the mask and return the class's score on the clip, frozen and reversed by it."""
        if mask is not None:
            self.mask = mask
        if self.model is None:
            return self.artifact.info.get("mask_scores")
        clip, mask = self.clip, torch.as_tensor(self.mask)[None].to(self.device)
        both = torch.cat([masks.freeze(clip, mask), masks.reverse(clip, mask)])
        with torch.inference_mode():
            frozen, turned = probabilities(self.model(both).float(), self.scale)[:, self.target].tolist()
        scores = {"OS": float(self.artifact.arrays["scores"][self.target]), "FS": frozen, "RS": turned}
        self.artifact.info["mask_scores"] = scores
        return scores

    def central_mask(self):
        """Set the mask that learning starts from (section 3.1 of the ACCV paper)."""
        target = torch.tensor([self.target], device=self.device)
        self.mask = masks.central_mask(self.model.eval(), self.clip, target, scores=self.scale)[0].cpu().numpy()

    def learn(self, watch=None, **options):
        """Learn a mask for the class and set it; watch and options as in `masks.learn`."""
        self._need_model("learning a mask")
        found = masks.learn(self.model, self.clip, self.target, watch=watch, **{"scores": self.scale, **options})
        self.mask = found.mask[0].cpu().numpy()
        self.artifact.arrays["mask_loss"] = found.loss[: int(found.iterations[0]), 0].cpu().numpy()
        return found

    def row(self):
        """Return what is known in one row of a table."""
        info, arrays = self.artifact.info, self.artifact.arrays
        scores = info.get("mask_scores") or {}
        return {
            "video": info["video"],
            "model": info["model"],
            "class": self.artifact.target_name,
            "score": arrays["scores"][self.target],
            "method": info.get("method"),
            "sigma": info.get("sigma"),
            "avg_atr": info.get("avg_atr"),
            "max_atr": info.get("max_atr"),
            "frames": len(self.artifact.frames),
            "masked": int((self.mask > masks.THRESHOLD).sum()),
            "frozen": scores.get("FS"),
            "reversed": scores.get("RS"),
        }

    def _need_model(self, what):
        if self.model is None:
            raise InputError(f"{what} needs the model, and this artifact was opened without one")


def subject(
    video, model=None, classes=None, target=None, mask=None, device="auto", title=None, rules=None, scores="auto"
):
    """Return a `Subject` from what a user has.

    video: a video file, an .npz artifact or an `Artifact`, or frames uint8 [T, H, W, 3]; from frames more than
    the model takes a uniform sample is taken. model: a checkpoint (`<dataset>/<name>` or a file), or a network
    with frame_logits, then with its `classes`; an artifact needs none. scores: "softmax" or "sigmoid", by default as
    `probing.scale` says.
    """
    if isinstance(video, artifact.Artifact) or (isinstance(video, str | Path) and str(video).endswith(".npz")):
        found = video if isinstance(video, artifact.Artifact) else artifact.load(video)
        net, _ = _network(model, classes, device) if model is not None else (None, None)
        return Subject(found, net, target, mask, _place(net), rules, scores)
    if model is None:
        raise InputError("give the model, too: a checkpoint such as synth_ssv2/TAM2D-R50-f8, or a network")
    net, header = _network(model, classes, device)
    if isinstance(video, str | Path):
        found = artifact.of_video(video, net, header, target, _place(net), scores)
    else:
        found = artifact.score(_of_frames(video, net, header, title), net, target, _place(net), scores)
    return Subject(found, net, None, mask, _place(net), rules)


def jpegs(frames, quality=92):
    """Return uint8 frames [T, H, W, 3] as JPEG files in memory, without colour subsampling."""
    return [_jpeg(frame, quality) for frame in frames]


def overlays(found):
    """Return an artifact's frames under its Grad-CAM maps as JPEG files in memory."""
    return jpegs(examples.overlay(found.frames, found.arrays["cam"])) if "cam" in found.arrays else []


def _jpeg(frame, quality):
    file = BytesIO()
    Image.fromarray(frame).save(file, "JPEG", quality=quality, subsampling=0)
    return file.getvalue()


def _of_frames(frames, network, header, title):
    frames = np.asarray(frames)
    if frames.dtype != np.uint8 or frames.ndim != 4 or frames.shape[-1] != 3 or not frames.size:
        raise InputError(
            f"a clip is a video file or frames uint8 [T, H, W, 3], not {frames.dtype} {list(frames.shape)}"
        )
    count = getattr(network, "num_frames", len(frames))
    indices = np.arange(len(frames)) if count == len(frames) else sampling.uniform(len(frames), count)
    name = getattr(network, "config", {}).get("name") or type(network).__name__
    return artifact.Artifact(
        frames[indices],
        {
            "video": title or "clip",
            "indices": indices.tolist(),
            "video_frames": len(frames),
            "model": name,
            "dataset": header.get("dataset", ""),
            "classes": list(header["classes"]),
            "revision": software.revision(),
        },
    )


def _network(model, classes, device):
    """Return (network on its device, header with `classes`)."""
    if isinstance(model, torch.nn.Module):
        model = network(model)
        needs_frame_logits(model)
        if classes is None:
            raise InputError(f"give classes=, the names of the classes that {type(model).__name__} knows")
        return model.eval(), {"classes": classes}
    net, header = checkpoints.load(model, devices.device(device))
    return net, {**header, "classes": classes or header["classes"]}


def _place(network):
    parameter = next(network.parameters(), None) if network is not None else None
    return parameter.device if parameter is not None else torch.device("cpu")
