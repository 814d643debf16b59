"""Figures 2, 3 and 5: example clips with both models' Grad-CAM maps, masks and scores."""

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import torch

from ... import data, masks
from ...data import clips as clip_format
from ...explanation import examples
from ...explanation.artifact import class_index
from ...training import evaluation
from . import COLOURS


def pairs(run, studied, names):
    """Return [(I3D's Example, C-LSTM's Example)] of one clip for each of the named classes.

    The clip is the class's first among those studied that has a mask of both models, or else of one: without a mask
    there is nothing frozen to show. The network is the model's first run, and nothing else of a result picks a clip.
    """
    by_model = {each.model: each for each in reversed(studied.values())}
    first = by_model["I3D"]
    videos = data.load(
        first.dataset,
        split="val",
        size=first.cams.shape[-1],
        limit=run.settings.get("limit"),
        root=run.data_root or None,
    )
    found = []
    for name in names:
        label = class_index(first.classes, name)
        rows = np.flatnonzero(first.labels == label)
        if not len(rows):
            run.skip(f"no clip of the class {name!r} is among the {len(first.labels)} studied ones; raise clips")
        masked = sum(by_model[model].lowered[rows].astype(int) for model in COLOURS)
        if not masked.any():
            print(
                f"freezing lowers the score of no clip of {name!r} among the {len(rows)} studied: its masks are empty"
            )
        found.append(tuple(example(by_model[model], rows[masked.argmax()], videos) for model in COLOURS))
    return found


def example(each, row, videos):
    """Return row `row` of a `Studied` as an `examples.Example`."""
    clip = evaluation.load_clips(videos, [each.videos[row]], each.mask.shape[1])
    frozen = masks.freeze(clip, torch.from_numpy(each.mask[row]))
    scores = {"OS": each.original[row], "FS": each.freeze[row], "RS": each.whole[row]}
    if np.isfinite(each.truth[row]):
        scores["CS"] = each.truth[row]
    return examples.Example(
        clip_format.to_frames(clip[0]),
        each.cams[row].astype(np.float32),
        clip_format.to_frames(frozen[0]),
        each.mask[row],
        {key: float(value) for key, value in scores.items()},
        each.classes[each.labels[row]],
        each.classes[each.targets[row]],
        each.model,
    )


def draw(found, columns=8):
    """Draw pairs of examples, one below the other: I3D left, C-LSTM right, as in the paper."""
    figure = plt.figure(figsize=(11.2, 2.5 * len(found)), layout="constrained")
    for row, pair in zip(np.atleast_1d(figure.subfigures(len(found), 1)), found, strict=True):
        for part, one in zip(row.subfigures(1, 2), pair, strict=True):
            examples.strip(part, one, columns)
    return figure


def animate(run, found):
    """Write one GIF per pair (I3D above C-LSTM) beside the figure; returns their paths."""
    files = [run.path(f"{k + 1}.gif") for k in range(len(found))]
    for file, pair in zip(files, found, strict=True):
        examples.animate(pair, file)
    return files


def table(found):
    """Return the examples' scores, predictions and masks, one row per example and model."""
    return pd.DataFrame(
        [
            {
                "example": k + 1,
                "class": one.label,
                "model": one.model,
                "predicted": one.predicted,
                **one.scores,
                "mask": "".join("1" if value > masks.THRESHOLD else "0" for value in one.mask),
            }
            for k, pair in enumerate(found)
            for one in pair
        ]
    )
