"""One clip before one model: relevance, masks and maps of any class, computed when asked for and kept."""

import copy
import math
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import torch

from .. import masks
from ..errors import InputError
from ..explanation import artifact, explaining, measured
from ..explanation.networks import opened
from ..explanation.record import GIVEN, OF_MASK
from ..tracing import readout
from ..tracing.inputs import class_logits
from ..tracing.probing import evaluating, probabilities

METHODS = ("clrp", "lrp")
ROWS = ("matrix", "row_values", "beside", "beside_values")  # arrays that belong to a class and a method, and
ABOUT = ("rows", "rows_from", "asked")  # what `info` says about them
LOOKED = ("layer", "normalise", "softmax")  # and about Grad-CAM's maps
CLOSE = 0.02  # of the largest logit saved, in which those of the same network may differ: rounded pixels, a GPU


class Subject:
    """A record of one class of a clip and, where there is one, the model it came from.

    `artifact` is a copy of the record that was given, which stays as it is; another class has another record, with what
    is found about it alone. Without a model the class and the method stay as they were saved; sigma and the mask can
    still be changed.
    """

    def __init__(self, found, model=None, target=None, mask=None, device="cpu", rules=None):
        if model is not None and "scores" not in found.arrays:
            found = verified(found, model)
        self.artifact, self.model, self.device = found.own(), model, device
        self._differences = {}
        self._asked, self._looked = _asked(found), {key: found.info[key] for key in LOOKED if key in found.info}
        saved = self._asked.get("rules") or "auto"
        self._asked["rules"] = saved if rules is None else rules
        if "target" not in self.artifact.info:
            raise InputError("the artifact does not say which class it explains; give the model, too")
        self._explained = {
            one.target: one for one in (self.artifact, *(other.own() for other in found.others.values()))
        }
        self.artifact.others = self._but(self.target)
        self._records, self._matrices = dict(self._explained), {}
        for one in self._explained.values():
            if self._asked["rules"] != saved:
                _without_rows(one)
            elif "matrix" in one.arrays:
                self._matrices[one.target, one.info.get("method", "clrp")] = _rows(one)
        if target is not None:
            self.choose(target)
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
        """What scores under masks are, "softmax" or "sigmoid", as always where two classes are compared."""
        return "sigmoid" if "against" in self.artifact.info else self.artifact.info.get("scores", "auto")

    @property
    def network(self):
        """The model or, where two classes are compared, the network whose logit is their difference."""
        against = self.artifact.info.get("against")
        if self.model is None or against is None:
            return self.model
        if self.target not in self._differences:
            clip = measured.windows(self.artifact, self.model)[:1]
            self._differences[self.target] = readout.difference(self.model, clip, self.target, against)
        return self._differences[self.target]

    @property
    def clip(self):
        """The model's input [1, 3, T, H, W], in its numbers and on its device."""
        return measured.windows(self.artifact, self.model)

    @property
    def perturbable(self):
        """Whether masks can be scored: there is a model, and one clip of two frames or more."""
        return self.model is not None and "windows" not in self.artifact.info and len(self.artifact.frames) > 1

    @property
    def mask(self):
        """The mask [T] with values in [0, 1]; none is a mask of zeros."""
        return self.artifact.arrays.get("mask", np.zeros(len(self.artifact.frames), np.float32))

    @mask.setter
    def mask(self, values):
        self.artifact.arrays["mask"] = self.checked(values)
        for name in ("mask_loss", "mask_initial"):  # of the mask before, as its scores are
            self.artifact.arrays.pop(name, None)
        for key in OF_MASK:
            self.artifact.info.pop(key, None)

    def checked(self, values):
        """Return the values of a mask as float32 [T]; InputError where they are none for this clip."""
        count = len(self.artifact.frames)
        try:
            found = np.asarray(values, dtype=np.float32)
        except (TypeError, ValueError):
            found = np.empty(0)
        if found.shape != (count,) or not ((found >= 0) & (found <= 1)).all():
            raise InputError(f"a mask for this clip has {count} values from 0 to 1, not {values!r}")
        return found

    def index(self, target):
        """Return the index of a class, given by index or name; InputError where it cannot be explained."""
        target = artifact.class_index(self.classes, target)
        if target not in self._records:
            self._need_model("another class")
        return target

    def choose(self, target):
        """Explain another class, given by index or name; the mask stays unless that class has one of its own."""
        index = self.index(target)
        if index == self.target:
            return
        self._records[self.target] = self.artifact
        one = self._records[index] if index in self._records else self.artifact.of_class(index)
        if "mask" in self.artifact.arrays:
            one.arrays.setdefault("mask", self.mask)
        self.artifact.others, one.others = {}, self._but(index)
        self.artifact = one

    def _but(self, target):
        """Return the records of the classes that were explained with the first one, but for one."""
        return {k: one for k, one in self._explained.items() if k != target}

    @contextmanager
    def all_or_nothing(self):
        """Put the artifact back as it was where what is done inside fails."""
        here = self.artifact
        kept = [(held, dict(held)) for held in (here.arrays, here.info)]
        try:
            yield
        except BaseException:
            self.artifact, self.artifact.others = here, self._but(here.target)
            for held, before in kept:
                held.clear()
                held.update(before)
            raise

    def has(self, method):
        """Whether the class's matrix by a method is there already; InputError for a method that there is not."""
        if method not in METHODS:
            raise InputError(f"method must be clrp or lrp, not {method!r}")
        return (self.target, method) in self._matrices

    def explain(self, method="clrp", sigma=0.975):
        """Put the class's relevance matrix and its ATR into the artifact; the matrix is computed only once."""
        key = (self.target, method)
        if not self.has(method):
            rules = self._asked["rules"]
            by = f" by rules {rules}" if isinstance(rules, str) and rules != "auto" else ""
            self._need_model(f"the {method.upper()} matrix of {self.artifact.target_name}{by}")
            if rules == GIVEN:
                raise InputError(
                    "the saved matrix was made by a dictionary of rules; give it as rules= to make another"
                )
            _without_rows(self.artifact)
            measured.relevance(self.artifact, self.network, method, sigma, **self._asked)
            self._matrices[key] = _rows(self.artifact)
        _without_rows(self.artifact)
        arrays, about = self._matrices[key]
        self.artifact.arrays.update(arrays)
        self.artifact.info.update(about)
        measured.ranges(self.artifact, sigma)
        self.artifact.info["method"] = method

    def maps(self):
        """Return the class's Grad-CAM maps [T, H, W]; none without a model and without saved ones."""
        if "cam" not in self.artifact.arrays and self.model is not None:
            measured.cam(self.artifact, self.network, **self._looked)
        return self.artifact.cam

    def score(self, mask=None):
        """Set the mask and return the class's score on the clip, frozen and reversed by it."""
        if mask is not None:
            self.mask = mask
        if not self.perturbable:
            return self.artifact.info.get("mask_scores")
        clip, mask = self.clip, torch.as_tensor(self.mask)[None].to(self.device)
        both = torch.cat([masks.freeze(clip, mask), masks.reverse(clip, mask)])
        network = self.network
        with torch.inference_mode(), evaluating(network):
            frozen, turned = probabilities(class_logits(network, both), self.scale)[:, self.target].tolist()
        self.artifact.info["mask_scores"] = scores = {"OS": self._original(), "FS": frozen, "RS": turned}
        return scores

    def _original(self):
        """Return the score of the clip as it is, on the scale of those under masks."""
        arrays, against = self.artifact.arrays, self.artifact.info.get("against")
        if against is None:
            return float(arrays["scores"][self.target])
        return 1 / (1 + math.exp(arrays["logits"][against] - arrays["logits"][self.target]))

    def central_mask(self):
        """Set the mask that learning starts from (section 3.1 of the ACCV paper)."""
        target = torch.tensor([self.target], device=self.device)
        self.mask = masks.central_mask(self.network, self.clip, target, scores=self.scale)[0].cpu().numpy()

    def learn(self, watch=None, **options):
        """Learn a mask for the class, set and score it; watch, options and what is returned as in `masks.learn`."""
        self._need_model("learning a mask")
        if not self.perturbable:
            raise InputError(
                "a widget learns masks of one clip of two frames or more; explain(mask=True) takes several"
            )
        return measured.mask(self.artifact, self.network, watch, tries=0, **{"scores": self.scale, **options})

    def row(self):
        """Return what is known in one row of a table."""
        info, arrays = self.artifact.info, self.artifact.arrays
        scores = self.artifact.mask_scores
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
            "frozen": None,
            "reversed": None,
            **{how: score for how, score in scores.items() if how != "original"},
        }

    def _need_model(self, what):
        if self.model is None:
            raise InputError(f"{what} needs the model, and this artifact was opened without one")


def _asked(found):
    """Return the options that a record's matrix was made with: rules, rows, split."""
    asked = dict(found.info.get("asked", {}))
    return asked if found.rules is None else {**asked, "rules": found.rules}


def _rows(one):
    """Return a record's matrix with what belongs to it: (arrays, entries of its info)."""
    return tuple({name: held[name] for name in names if name in held} for held, names in _held(one))


def _without_rows(one):
    """Take out of a record what belongs to its matrix."""
    for held, names in _held(one):
        for name in names:
            held.pop(name, None)


def _held(one):
    return (one.arrays, ROWS), (one.info, ABOUT)


def subject(
    video, model=None, classes=None, target=None, mask=None, device="auto", title=None, rules=None, scores="auto"
):
    """Return a `Subject` from what a user has.

    video: a video file, an .npz artifact or an `Artifact`, or frames uint8 [T, H, W, 3]; of frames more than
    the model takes some are taken as `explain` does. model: a checkpoint (`<dataset>/<name>` or a file), or a network
    and the names of its `classes`; an artifact needs none, and takes the one it is of. scores: "softmax" or "sigmoid",
    by default those of the artifact, else softmax, or sigmoid for a single logit.
    """
    if isinstance(video, str | Path) and str(video).lower().endswith(".npz"):
        video = artifact.load(video)
    if isinstance(video, artifact.Artifact):
        net = None if model is None else _of_artifact(video, model, device, classes)
        if net is not None:
            video = verified(video, net, scores)
        elif scores not in ("auto", video.info.get("scores", scores)):
            raise InputError(f"scores by {scores} need the model, and this artifact was opened without one")
        return Subject(video, net, target, mask, place(net), rules)
    found = explaining.look(video, model, target, classes, scores, device, title)
    return Subject(found, found.model, None, mask, place(found.model), rules)


def _of_artifact(found, model, device, classes):
    """Return the network that a user names for a record; of one that answers several questions, the record's."""
    frames = found.info["windows"]["frames"] if "windows" in found.info else len(found.frames)
    net, header = opened(model, device, (frames, found.frames.shape[1:3]), classes)
    heads, asked = header["heads"], found.info.get("question")
    if not heads or asked is None:
        return net
    if asked not in heads:
        raise InputError(f"{header['name']} does not answer the question {asked} of this artifact; open its own model")
    return readout.question(net, *heads[asked], measured.windows(found, net)[:1])


def verified(found, net, scores="auto"):
    """Return a copy of a record with the network's scores, on another scale without what was found on the record's own.

    Raises InputError where the logits that the record has are another network's.
    """
    saved = found.info.get("scores", "auto")
    asked = artifact.Artifact(found.frames, copy.deepcopy(found.info), given=found.given)
    measured.score(asked, net, saved if scores == "auto" else scores)
    same = saved in ("auto", asked.info["scores"])
    name = "logits" if "logits" in found.arrays or not same else "scores"  # earlier versions saved no logits
    if name in found.arrays:
        before, now = found.arrays[name], asked.arrays[name]
        if np.abs(now - before).max() > CLOSE * np.abs(before).max():
            raise InputError(
                f"the {name} of {found.info['video']} by {found.info['model']} are not the given network's; give "
                "the one that was explained, or explain the video again (a clip that was none was saved in 8 bits)"
            )
    found = found.own() if same or "scores" not in found.arrays else found.of_class(found.target)
    found.arrays = {**asked.arrays, **found.arrays} if same else {**found.arrays, **asked.arrays}
    found.info.update({key: asked.info[key] for key in ("predicted", "scores", "classes")})
    found.info.setdefault("target", asked.info["predicted"])
    return found


def place(net):
    """Return where a network computes, the processor for none."""
    return explaining.device_of(net) if net is not None else torch.device("cpu")
