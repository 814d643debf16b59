"""Accuracy on people never seen: forward, played backwards, from one frame, through windows."""

import numpy as np
import pandas as pd
import torch
from tqdm.auto import tqdm

from ....storage import cache
from ....tracing.probing import evaluating
from ....training import evaluation
from ...temporal_relevance import windows
from . import asked, over_people, rows

WAYS = ("forward", "reversed", "single")


def predict(folds, batch=60):
    """Return one row per model and held-out video: `rows`, then the class predicted in each of three ways.

    forward: the clip; reversed: played backwards; single: its middle frame alone, repeated. score is the true
    class's softmax score on the clip.
    """
    parts = []
    for fold in tqdm(folds, desc="scoring", leave=False):
        everything, scores = np.arange(len(fold.videos)), softmax(fold, batch)
        table = rows(fold, everything).assign(**{way: scores[way].argmax(1) for way in WAYS})
        table["score"] = scores["forward"][everything, table["label"]]
        parts.append(table)
    return pd.concat(parts, ignore_index=True)


def softmax(fold, batch=60):
    """Return {way: softmax scores [n, K]} of all the fold's held-out videos; cached."""

    def compute():
        found = {way: [] for way in WAYS}
        with evaluating(fold.network), torch.inference_mode():
            for some in np.array_split(np.arange(len(fold.videos)), -(-len(fold.videos) // batch)):
                clips = fold.clips(some)
                middle = clips[:, :, clips.shape[2] // 2, None].expand_as(clips)
                for way, seen in zip(WAYS, (clips, clips.flip(2), middle), strict=True):
                    found[way].append(fold.network(seen).float().softmax(1).cpu().numpy())
        return {way: np.concatenate(scores) for way, scores in found.items()}

    return cache.fetch("people", fold.key("papers/beyond/real_people/scores", what="scores"), compute)


def by_fold(predicted):
    """Return accuracy per model and fold, in percent: people, videos, and one column per way."""
    found = predicted.assign(**{way: 100.0 * (predicted[way] == predicted["label"]) for way in WAYS})
    grouped = found.groupby(["model", "fold"], sort=False)
    table = grouped[list(WAYS)].mean()
    table.insert(0, "people", grouped["person"].agg(lambda p: " ".join(sorted(set(p)))))
    table.insert(1, "videos", grouped.size())
    return table.reset_index()


def summary(predicted, seed=0):
    """Return accuracy (percent) per model, way and kind of class, with its interval over people."""
    found = []
    for model, part in predicted.groupby("model", sort=False):
        for kind, own in kinds(part):
            for way in WAYS:
                value = over_people(100.0 * (own[way] == own["label"]), own["person"], seed)
                found.append(
                    {
                        "model": model,
                        "classes": kind,
                        "way": way,
                        "accuracy": value.value,
                        "low": value.low,
                        "high": value.high,
                    }
                )
    return pd.DataFrame(found)


def kinds(table):
    """Yield (name, rows) for all classes and, where a data set has both, for motions and postures."""
    yield "all", table
    if table["motion"].nunique() > 1:
        yield "motions", table[table["motion"]]
        yield "postures", table[~table["motion"]]


def confusion(predicted, classes, way="forward"):
    """Return {model: confusion matrix [K, K]}, rows true and columns predicted classes, over all folds."""
    return {
        model: evaluation.confused(part["label"].to_numpy(), part[way].to_numpy(), len(classes))
        for model, part in predicted.groupby("model", sort=False)
    }


def confusion_table(predicted, classes):
    """Return the confusion matrices forward and reversed as one long table."""
    found = []
    for way in ("forward", "reversed"):
        for model, matrix in confusion(predicted, classes, way).items():
            found += [
                {"model": model, "way": way, "true": a, "predicted": b, "videos": int(matrix[i, j])}
                for i, a in enumerate(classes)
                for j, b in enumerate(classes)
            ]
    return pd.DataFrame(found)


def f1(predicted, classes, way):
    """Return the macro F1 score of predictions made in one way."""
    return float(np.nanmean(evaluation.f1_scores(predicted["label"].to_numpy(), predicted[way].to_numpy(), classes)))


def partial(folds, widths, each):
    """Return one row per model, asked video and window width: `rows`, width, right (bool); section 4.3 of TRA.

    Every frame sees the `width` frames around it, those outside are repeated ends; the clip's own length is
    the whole clip.
    """
    parts = []
    for fold in tqdm(folds, desc="windows", leave=False):
        chosen, frames = asked(fold.videos, each), fold.network.num_frames
        tried = sorted({width for width in widths if width < frames} | {frames})

        def compute(fold=fold, chosen=chosen, tried=tried, frames=frames):
            right = np.zeros((len(tried), len(chosen)), bool)
            for k, clip in enumerate(fold.clips(chosen)):
                for w, width in enumerate(tried):
                    logits = windows.frame_logits(fold.network, clip, windows.fixed(frames, width))
                    right[w, k] = logits.mean(0).argmax().item() == fold.videos.labels[chosen[k]]
            return {"right": right}

        key = fold.key(
            "papers/beyond/real_people/scores",
            "papers/temporal_relevance/windows",
            what="windows",
            widths=tried,
            chosen=chosen.tolist(),
        )
        right = cache.fetch("people", key, compute)["right"]
        parts += [rows(fold, chosen).assign(width=width, right=row) for width, row in zip(tried, right, strict=True)]
    return pd.concat(parts, ignore_index=True)


def partial_summary(table, seed=0):
    """Return accuracy (percent) per model and window width with its interval over people."""
    found = []
    for (model, width), part in table.groupby(["model", "width"], sort=False):
        value = over_people(100.0 * part["right"], part["person"], seed)
        found.append(
            {
                "model": model,
                "width": width,
                "videos": len(part),
                "accuracy": value.value,
                "low": value.low,
                "high": value.high,
            }
        )
    return pd.DataFrame(found)
