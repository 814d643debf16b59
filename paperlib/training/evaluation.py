"""How well a model classifies, forward and reversed, and how far perturbed scores drop (ACCV 2020, 4.3)."""

from dataclasses import dataclass

import numpy as np
import pandas as pd
import torch

from ..data import clips as clip_format
from ..data import sampling
from ..errors import InputError, whole
from ..tracing.probing import at_once, evaluating, probabilities, scale


def sampled(length, frames, recipe=None, clips=None):
    """Return the frames [frames] of a video of `length` frames that a network is validated on.

    Dense ones where its recipe (`checkpoints.recipe`) says so, else uniform ones. clips: several clips of the video,
    [clips, frames].
    """
    recipe = recipe or {}
    return sampling.chosen(recipe.get("sampling", "uniform"), length, frames, recipe.get("stride", 0), clips=clips)


def load_clips(dataset, indices, frames, recipe=None):
    """Return the videos `indices` of a data set as clips float32 [B, 3, frames, H, W], sampled as `sampled` says."""
    chosen = [(int(i), sampled(dataset.num_frames(int(i)), frames, recipe)) for i in indices]
    return torch.stack([clip_format.to_clip(dataset.frames(i, steps)) for i, steps in chosen])


def evaluate(
    model, dataset, frames=None, reverse=False, indices=None, batch_size=None, top=5, scores="auto", recipe=None
):
    """Return the model's prediction for each video of a data set as a DataFrame, one row per video.

    Columns: clip (index in the data set), id (where the data set names its videos), label, predicted, score
    (of the predicted class), label_score (of the true class), rank (of the true class, 1 is best),
    top1 .. top<top> (the best classes in order). attrs: classes, reverse, dataset, scores (which they are).
    The other arguments are those of `class_scores`.
    """
    indices = np.arange(len(dataset)) if indices is None else np.asarray(indices)
    values = class_scores(model, dataset, frames, reverse, indices, batch_size, scores, recipe)
    table = predictions(values, dataset, indices, reverse, top)
    table.attrs["scores"] = scale(values.shape[1], scores)
    return table


@torch.no_grad()
def class_scores(model, dataset, frames=None, reverse=False, indices=None, batch_size=None, scores="auto", recipe=None):
    """Return the scores [n, K] of a data set's videos.

    frames: per clip, by default the model's own number. reverse=True plays every clip backwards (ACCV Table
    1, "rev."). indices: only these videos. batch_size: clips at once, by default as many as suit the device. scores:
    "softmax" or "sigmoid", by default softmax, or sigmoid for a single logit. recipe: how the network was trained
    (`checkpoints.recipe`), so that clips are sampled as for its validation; without it uniformly. Clips are put on the
    device and into the numbers (float64, bfloat16, float16) of the model's weights; the scores are float32.
    """
    frames = getattr(model, "num_frames", None) if frames is None else whole("frames", frames)
    if frames is None:
        raise InputError(f"{type(model).__name__} does not say how many frames it takes; pass frames=.")
    indices = np.arange(len(dataset)) if indices is None else np.asarray(indices)
    if not len(indices):
        raise InputError(f"there is no video of {dataset.name} to evaluate on.")
    weight = next((p for p in model.parameters() if p.is_floating_point()), torch.zeros(()))
    batch_size, found = at_once(frames, weight.device) if batch_size is None else whole("batch_size", batch_size), []
    with evaluating(model):
        for begin in range(0, len(indices), batch_size):
            clips = load_clips(dataset, indices[begin : begin + batch_size], frames, recipe)
            clips = clips.flip(2) if reverse else clips
            found.append(probabilities(model(clips.to(weight)).float(), scores).cpu())
    return torch.cat(found).numpy()


def predictions(scores, dataset, indices, reverse=False, top=5):
    """Return `evaluate`'s table for class scores [n, K] of the videos `indices`."""
    whole("top", top)
    labels = np.asarray(dataset.labels)[indices]
    if labels.ndim > 1:
        raise InputError(
            f"{dataset.name} asks {labels.shape[1]} questions at once, and a table of predictions holds one; "
            "training.heads.right counts the answers to all."
        )
    if scores.shape[1] <= labels.max():
        raise InputError(
            f"the model has {scores.shape[1]} classes, but {dataset.name} has the label "
            f"{labels.max()}; use a model trained on it."
        )
    order = np.argsort(-scores, axis=1, kind="stable")
    own = scores[np.arange(len(scores)), labels]
    table = pd.DataFrame(
        {
            "clip": indices,
            "label": labels,
            "predicted": order[:, 0],
            "score": scores.max(1),
            "label_score": own,
            "rank": 1 + (order == labels[:, None]).argmax(1),
        }
    )
    for k in range(min(top, scores.shape[1])):
        table[f"top{k + 1}"] = order[:, k]
    if getattr(dataset, "ids", None) is not None:
        table.insert(1, "id", [dataset.ids[int(i)] for i in indices])
    table.attrs.update(classes=list(dataset.classes), reverse=reverse, dataset=dataset.name)
    return table


def accuracy(table, k=1):
    """Return the share of videos whose true class is among the k best."""
    return float((table["rank"] <= k).mean())


def confusion(table, classes=None):
    """Return the confusion matrix [K, K] as int64: rows are true classes, columns predicted ones.

    classes: number of classes K, by default that of the table's data set. Where a network has classes beyond these and
    predicts them, there are as many more columns.
    """
    return confused(table["label"].to_numpy(), table["predicted"].to_numpy(), classes or len(table.attrs["classes"]))


def f1_per_class(table, k=1, classes=None):
    """Return the F1 score of each class [K]; NaN for classes that neither occur nor are predicted.

    F1 = 2 TP / (2 TP + FP + FN). A class that only the network has is a wrong answer and not among the K. With k > 1 a
    video whose true class is among the k best counts as predicted right, any other as the best class: the top-5 F1
    score of ACCV Table 1, whose text does not define it.
    """
    return f1_scores(table["label"].to_numpy(), within(table, k), classes or len(table.attrs["classes"]))


def f1_macro(table, k=1, classes=None):
    """Return the mean of `f1_per_class` over the classes that occur or are predicted."""
    return float(np.nanmean(f1_per_class(table, k, classes)))


def f1_scores(labels, predicted, classes):
    """Return the F1 score of each class [K] for label and prediction arrays [n], as `f1_per_class`."""
    matrix = confused(labels, predicted, classes)
    total = matrix.sum(0)[:classes] + matrix.sum(1)
    return 2 * np.diag(matrix) / np.where(total > 0, total, np.nan)


def within(table, k):
    """Return the predictions [n] with the true class put in where it is among the k best."""
    return np.where(table["rank"] <= k, table["label"], table["predicted"])


def confused(labels, predicted, classes):
    """Return the confusion matrix of label and prediction arrays [n], as `confusion`; InputError for other labels."""
    if labels.max() >= classes:
        raise InputError(f"there is a video of class {labels.max()}; classes has to be more than that, not {classes}.")
    columns = max(classes, 1 + predicted.max())
    return np.bincount(labels * columns + predicted, minlength=classes * columns).reshape(classes, columns)


@dataclass
class Drops:
    """Score drops under freezing and reversing: the ACCV paper's drop ratio and drop difference."""

    ratio: np.ndarray  # [kept] (OS - FS) / (OS - RS)
    difference: np.ndarray  # [n] (OS - FS) - (OS - RS) = RS - FS
    kept: np.ndarray  # bool [n], sequences that entered the ratio
    threshold: float

    @property
    def removed(self):
        """Number of sequences left out of the ratio."""
        return int((~self.kept).sum())


def drops(original, freeze, reverse, threshold=0.001):
    """Return drop ratio and drop difference for scores OS, FS and RS [n], as `Drops`.

    As in the note to ACCV Table 4, sequences with OS - RS or OS - FS at or below the threshold are left out
    of the ratio, which would explode; the difference is taken over all sequences.
    """
    original, freeze, reverse = (np.asarray(x, dtype=float) for x in (original, freeze, reverse))
    if not original.shape == freeze.shape == reverse.shape:
        raise InputError(
            f"original, freeze and reverse scores must be as many, not {original.shape}, "
            f"{freeze.shape} and {reverse.shape}."
        )
    kept = (original - reverse > threshold) & (original - freeze > threshold)
    ratio = (original - freeze)[kept] / (original - reverse)[kept]
    return Drops(ratio, reverse - freeze, kept, threshold)
