"""`Record`: what is kept of one clip that was looked at, numbers only; `explanation` adds what one does with it."""

import copy
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from difflib import get_close_matches
from typing import Any, Self

import numpy as np
import torch

from ..data import clips
from ..errors import InputError
from ..relevance.atr import ANYWHERE, mixed, of_both_signs

OF_CLIP = ("scores", "logits", "frame_logits", "window_scores")  # arrays about every class; the others are about one
OF_CLASS = ("method", "sigma", "avg_atr", "max_atr", "rows", "rows_from", "layer", "normalise", "softmax")
OF_MASK = ("mask_settings", "mask_moved", "mask_windows", "mask_scores")  # these and OF_CLASS are entries of `info`
GIVEN = "given"  # in the place of rules that have no name
CHANGED = {"freeze": "frozen", "reverse": "reversed", "shuffle": "shuffled", "blur": "blurred", "mean": "averaged"}
CHANGED |= {"OS": "original", "FS": "frozen", "RS": "reversed", "black": "black"}  # what was done to a clip, in words


@dataclass
class Record:
    """What was found about one clip, or about several that follow each other in one video.

    frames: uint8 [N, H, W, 3] as the model saw them. info: video, model, classes, target, versions ... (plain JSON).
    arrays: named results: `scores` [K], `logits` [K], `frame_logits` [T', K], `matrix` [T', N], `row_values` [T'], what
    each row of it starts from, `atr` [T'], `segments` [T', 2], `mask` [N], `cam` [N, H, W] ...
    model: the network, where it is still there. given: the clip [1, 3, N, H, W] where it was no video: `clip` has its
    pixels rounded. others: further classes that were explained, by their index. rules: those that the matrix was made
    by, as they were given; `info["asked"]` has their name, or GIVEN where they are a dictionary.
    """

    frames: np.ndarray
    info: dict
    arrays: dict = field(default_factory=dict)
    model: Any = field(default=None, repr=False, compare=False)
    given: torch.Tensor | None = field(default=None, repr=False, compare=False)
    others: dict = field(default_factory=dict, repr=False, compare=False)
    rules: Any = field(default=None, repr=False, compare=False)

    @property
    def clip(self) -> torch.Tensor:
        """The model's input: float32 [1, 3, N, H, W]."""
        return clips.to_clip(self.frames)[None]

    @property
    def target(self) -> int:
        """Index of the class that was explained."""
        return self.info["target"]

    @property
    def target_name(self) -> str:
        """Name of the class that was explained; of two, where their difference was."""
        name, against = self.info["classes"][self.info["target"]], self.info.get("against")
        return name if against is None else f"{name} rather than {self.info['classes'][against]}"

    @property
    def matrix(self) -> np.ndarray | None:
        """The relevance matrix [T', N]: how much row i owes to frame j; None where it was left out."""
        return self.arrays.get("matrix")

    @property
    def atr(self) -> np.ndarray | None:
        """Action temporal relevance [T'] of every row, in frames, NaN for a row without relevance."""
        return self.arrays.get("atr")

    @property
    def mask(self) -> np.ndarray | None:
        """The learned temporal mask [N] in [0, 1]; None where it was left out."""
        return self.arrays.get("mask")

    @property
    def mask_scores(self) -> dict[str, float]:
        """The class's score on the clip as it is and as the mask changes it, by how; empty where there is none."""
        return {CHANGED.get(name, name): value for name, value in (self.info.get("mask_scores") or {}).items()}

    @property
    def cam(self) -> np.ndarray | None:
        """Grad-CAM maps [N, H, W] in [0, 1]; None where they were left out."""
        return self.arrays.get("cam")

    @property
    def scores(self) -> np.ndarray:
        """The score [K] of every class."""
        return self.arrays["scores"]

    @property
    def classes(self) -> list[str]:
        """Names of the K classes."""
        return self.info["classes"]

    @property
    def row_values(self) -> np.ndarray:
        """What each row of the matrix starts from [T']: the target's frame logits, or parts of its logit."""
        if "row_values" in self.arrays:
            return self.arrays["row_values"]
        return self.arrays["frame_logits"][:, self.target]  # files that earlier versions wrote

    def row_name(self, many: bool = False) -> str:
        """What a row of the matrix explains, in words; many: the word for several."""
        part, one = ("parts", "frame logits") if many else ("part", "frame logit")
        return f"{part} of the logit" if self.info.get("rows") == "split" else one

    def own(self) -> Self:
        """Return a record of the same content in dictionaries of its own: what is put into one is not in the other."""
        one = copy.copy(self)
        one.info, one.arrays, one.others = copy.deepcopy(self.info), dict(self.arrays), dict(self.others)
        return one

    def of_class(self, target: int) -> Self:
        """Return a record of the same clip for another class, without what was found about this one.

        Of two classes that were compared the second stays; InputError where it is the one asked for.
        """
        one = self.own()
        one.info = {key: value for key, value in one.info.items() if key not in (*OF_CLASS, *OF_MASK)}
        one.arrays = {name: value for name, value in self.arrays.items() if name in OF_CLIP}
        one.info["target"], one.others = int(target), {}
        if one.info.get("against") == one.target:
            raise InputError("the difference of a class and itself is nothing; name two classes")
        return one

    @property
    def notes(self) -> list[str]:
        """What a reader should know, a sentence each."""
        return self.info.get("notes", []) + _of_one_row(self) + _of_both_signs(self) + doubts(self)


def _of_one_row(found):
    """Return a sentence about the ATR of a matrix whose only row, in each window, stands for several frames."""
    if found.matrix is None or len(found.frames) == 1:
        return []
    windows = found.info.get("windows") or {"steps": len(found.matrix)}
    return [f"The ATR is {ANYWHERE}."] if windows.get("steps") == 1 else []


def _of_both_signs(found):
    """Return a sentence about rows of a matrix that hold relevance of both signs, of which the ATR means little."""
    if found.matrix is None:
        return []
    both = of_both_signs(torch.tensor(found.matrix))
    return [f"{mixed(int(both.sum()), len(both))}."] if both.any() else []


def doubts(found: Record) -> list[str]:
    """Return sentences about a prediction that is unsure, and about a class that was asked for and not predicted."""
    info = found.info
    said: list[str] = []
    if "scores" not in found.arrays or "target" not in info:
        return said
    scores, classes, predicted = found.arrays["scores"], info["classes"], info.get("predicted", info["target"])
    best = float(scores[predicted])
    runner = next((int(k) for k in np.argsort(-scores, kind="stable") if k != predicted), predicted)
    if info.get("scores") == "sigmoid":
        if best < 0.5:
            said.append(f"The prediction is unsure: no class reaches a score of 50 %, {classes[predicted]} {best:.0%}.")
    elif best < 0.5 or float(scores[runner]) > best / 2:
        said.append(
            f"The prediction is unsure: {classes[predicted]} {best:.0%}, {classes[runner]} {float(scores[runner]):.0%}."
        )
    if info["target"] != predicted:
        asked = classes[info["target"]]
        said.append(
            f"{asked}, which is explained, is not predicted: its score is {float(scores[info['target']]):.1%}, that of "
            f"{classes[predicted]} {best:.1%}."
        )
    return said


def class_index(classes: Sequence[str], wanted: str | int) -> int:
    """Return the index of a class given by name (as it is, in any case, unique part of it) or by number."""
    classes = list(map(str, classes))
    if isinstance(wanted, str) and wanted in classes:  # a name may be a number
        return classes.index(wanted)
    if re.fullmatch(r"-?[0-9]+", str(wanted)):
        if 0 <= int(wanted) < len(classes):
            return int(wanted)
        raise InputError(f"class {wanted} is out of range; the model knows 0 to {len(classes) - 1}")
    lowered, sought = [name.lower() for name in classes], str(wanted).lower()
    if sought in lowered:
        return lowered.index(sought)
    found = [k for k, name in enumerate(lowered) if sought in name]
    if len(found) == 1:
        return found[0]
    if not found and (near := get_close_matches(sought, lowered, 1)):
        raise InputError(f"class {wanted!r} is unknown; did you mean {classes[lowered.index(near[0])]!r}?")
    names = "; ".join(classes[k] for k in (found or range(len(classes))))
    raise InputError(f"class {wanted!r} {'fits several classes' if found else 'is unknown'}; choose from: {names}")
