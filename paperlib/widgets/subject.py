"""One clip before one model: relevance, masks and maps of any class, computed when asked for and kept."""

from contextlib import contextmanager
from pathlib import Path

import numpy as np
import torch

from .. import masks
from ..errors import InputError
from ..explanation import artifact, explaining, measured
from ..explanation.networks import opened
from ..models import readout
from ..models.inputs import class_logits
from ..models.probing import evaluating, probabilities

METHODS = ("clrp", "lrp")
ROWS = ("matrix", "row_values")  # what belongs to a class and a method


class Subject:
    """An `artifact.Artifact` and, where there is one, the model it came from.

    Without a model the class and the method stay as they were saved; sigma and the mask can still be changed.
    """

    def __init__(self, found, model=None, target=None, mask=None, device="cpu", rules=None, scores="auto"):
        self.artifact, self.model, self.device, self.rules = found, model, device, rules
        self._matrices, self._maps = {}, {}
        for one in (found, *found.others.values()):
            if "target" not in one.info:
                continue
            if "matrix" in one.arrays:
                rows = {"matrix": one.arrays["matrix"], "row_values": one.row_values}
                self._matrices[one.target, one.info.get("method", "clrp")] = rows
            if "cam" in one.arrays:
                self._maps[one.target] = one.arrays["cam"]
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
        """The model's input [1, 3, T, H, W], in its numbers and on its device."""
        return measured.windows(self.artifact, self.model)

    @property
    def mask(self):
        """The mask [T] with values in [0, 1]; none is a mask of zeros."""
        return self.artifact.arrays.get("mask", np.zeros(len(self.artifact.frames), np.float32))

    @mask.setter
    def mask(self, values):
        self.artifact.arrays["mask"] = self.checked(values)
        self.artifact.arrays.pop("mask_loss", None)

    def checked(self, values):
        """Return the values of a mask as float32 [T]; InputError where they are none for this clip."""
        values = np.asarray(values, dtype=np.float32)
        if values.shape != (len(self.artifact.frames),) or not ((values >= 0) & (values <= 1)).all():
            raise InputError(
                f"a mask for this clip has {len(self.artifact.frames)} values from 0 to 1, not {values.tolist()}"
            )
        return values

    def index(self, target):
        """Return the index of a class, given by index or name; InputError where it cannot be explained."""
        target = artifact.class_index(self.classes, target)
        if target != self.target:
            self._need_model("another class")
        return target

    def choose(self, target):
        """Explain another class, given by index or name."""
        self.artifact.info["target"] = self.index(target)

    @contextmanager
    def all_or_nothing(self):
        """Put the artifact back as it was where what is done inside fails."""
        kept = [(held, dict(held)) for held in (self.artifact.arrays, self.artifact.info)]
        try:
            yield
        except BaseException:
            for held, before in kept:
                held.clear()
                held.update(before)
            raise

    def explain(self, method="clrp", sigma=0.975):
        """Put the class's relevance matrix and its ATR into the artifact; the matrix is computed only once."""
        if method not in METHODS:
            raise InputError(f"method must be clrp or lrp, not {method!r}")
        key = (self.target, method)
        if key not in self._matrices:
            self._need_model(f"the {method.upper()} matrix of {self.artifact.target_name}")
            measured.relevance(self.artifact, self.model, method, sigma, rules=self.rules)
            self._matrices[key] = {name: self.artifact.arrays[name] for name in ROWS}
        self.artifact.arrays.update(self._matrices[key])
        measured.ranges(self.artifact, sigma)
        self.artifact.info["method"] = method

    def maps(self):
        """Return the class's Grad-CAM maps [T, H, W]; none without a model and without saved ones."""
        if self.target not in self._maps and self.model is not None:
            measured.cam(self.artifact, self.model)
            self._maps[self.target] = self.artifact.arrays["cam"]
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
        with torch.inference_mode(), evaluating(self.model):
            frozen, turned = probabilities(class_logits(self.model, both), self.scale)[:, self.target].tolist()
        scores = {"OS": float(self.artifact.arrays["scores"][self.target]), "FS": frozen, "RS": turned}
        self.artifact.info["mask_scores"] = scores
        return scores

    def central_mask(self):
        """Set the mask that learning starts from (section 3.1 of the ACCV paper)."""
        target = torch.tensor([self.target], device=self.device)
        self.mask = masks.central_mask(self.model, self.clip, target, scores=self.scale)[0].cpu().numpy()

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

    video: a video file, an .npz artifact or an `Artifact`, or frames uint8 [T, H, W, 3]; of frames more than
    the model takes some are taken as `explain` does. model: a checkpoint (`<dataset>/<name>` or a file), or a network
    and the names of its `classes`; an artifact needs none. scores: "softmax" or "sigmoid", by default as
    `probing.scale` says.
    """
    if isinstance(video, artifact.Artifact) or (isinstance(video, str | Path) and str(video).endswith(".npz")):
        found = video if isinstance(video, artifact.Artifact) else artifact.load(video)
        net = None
        if model is not None:
            net, header = opened(model, device, (len(found.frames), found.frames.shape[1:3]), classes)
            if header["heads"] and "question" in found.info:
                part = header["heads"][found.info["question"]]
                net = readout.question(net, *part, measured.windows(found, net)[:1])
        return Subject(found, net, target, mask, place(net), rules, scores)
    found = explaining.look(video, model, target, classes, scores, device, title)
    return Subject(found, found.model, None, mask, place(found.model), rules)


def place(net):
    """Return where a network computes, the processor for none."""
    return explaining.device_of(net) if net is not None else torch.device("cpu")
