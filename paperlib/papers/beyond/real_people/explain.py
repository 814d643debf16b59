"""Relevance, ATR, learned masks and Grad-CAM of clips of people that a model has never seen and gets right."""

from dataclasses import dataclass

import numpy as np
import pandas as pd
import torch
from tqdm.auto import tqdm

from .... import gradcam, masks, relevance
from ....gradcam import blobs
from ....storage import cache
from ....training import evaluation
from ... import analysis
from . import asked, over_people, rows
from .scores import softmax

MEASURES = {
    "avg_atr": "avg-ATR, frames",
    "mask_length": "mask length, frames",
    "drop_ratio": "drop ratio",
    "drop_difference": "drop difference",
    "blob_count": "blobs per frame",
    "blob_size": "blob size, pixels",
    "center_distance": "blob's distance from centre, pixels",
}


@dataclass
class Found:
    """What the instruments say, row by row: table has one row per model and explained clip.

    matrix [n, T, T] relevance of every frame (columns) for every frame logit (rows); mask [n, T] learned
    temporal masks, NaN for models whose masks were not learned.
    """

    table: pd.DataFrame
    matrix: np.ndarray
    mask: np.ndarray

    def of(self, **where):
        """Return the positions of the rows with these values, e.g. model="I3D"."""
        same = np.ones(len(self.table), bool)
        for column, value in where.items():
            same &= (self.table[column] == value).to_numpy()
        return np.flatnonzero(same)


def explain(run, folds):
    """Ask every instrument about the clips that a model gets right with a score above `min_score`; cached.

    Settings: each (videos per person and class), min_score, sigma, explained (models), masked (those of them
    whose masks are learned), mask (options of `masks.learn`), layer (of Grad-CAM in ResNets: the last stage of so
    small a picture has one pixel). The explained class is the true one, which is the predicted one.
    """
    tables, matrices, learned = [], [], []
    explained = [fold for fold in folds if fold.model in run.settings["explained"]]
    for fold in tqdm(explained, desc="explaining", leave=False):
        chosen, own = right(fold, asked(fold.videos, run.settings["each"]), run.settings["min_score"])
        if not len(chosen):
            continue
        masked = fold.model in run.settings["masked"]
        found = one(fold, chosen, own, run.settings, masked)
        table = rows(fold, chosen).assign(score=own)
        table["avg_atr"] = relevance.atr(
            torch.from_numpy(found["matrix"]), torch.from_numpy(found["frame_logits"]), sigma=run.settings["sigma"]
        ).avg.numpy()
        for name in ("blob_count", "blob_size", "center_distance"):
            table[name] = found[name]
        if masked:
            table = table.join(_mask_measures(found))
        tables.append(table)
        matrices.append(found["matrix"])
        learned.append(found["mask"] if masked else np.full(found["matrix"].shape[::2], np.nan))
    if not tables:
        run.skip("no model gets a clip of the people held out right")
    return Found(pd.concat(tables, ignore_index=True), np.concatenate(matrices), np.concatenate(learned))


def right(fold, chosen, min_score):
    """Return those of the videos that are predicted right with a score above `min_score`, and these scores."""
    scores, labels = softmax(fold)["forward"][chosen], fold.videos.labels[chosen]
    own = scores[np.arange(len(chosen)), labels]
    passing = (scores.argmax(1) == labels) & (own > min_score)
    return chosen[passing], own[passing]


def one(fold, chosen, own, settings, masked):
    """Return dict of arrays over the chosen clips: matrix, frame_logits, blob measures and, if asked for, masks."""
    options = dict(settings.get("mask", {})) if masked else {}
    layer = settings["layer"] if hasattr(fold.network, "layer4") else None

    def compute():
        clips, labels = fold.clips(chosen), torch.from_numpy(fold.videos.labels[chosen])
        labels = labels.to(clips.device)
        found = analysis.relevance_of_batch(fold.network, clips, labels, analysis.frame_logits(fold.network, clips))
        cams = gradcam.video_gradcam(fold.network, clips, labels, layer=layer)
        shapes = blobs.per_clip(blobs.measure(cams.cpu().numpy()))
        found |= {
            "blob_count": shapes["count"],
            "blob_size": shapes["size"],
            "center_distance": shapes["center_distance"],
        }
        if masked:
            result = masks.learn(fold.network, clips, labels, batch_size=32, **options)
            found |= {name: getattr(result, name).cpu().numpy() for name in ("mask", "original", "freeze")}
            found["reverse"] = result.whole_reverse(fold.network, clips).cpu().numpy()
        return found

    key = fold.key(
        "papers/beyond/real_people/explain",
        "papers/analysis",
        "relevance",
        "masks",
        "gradcam",
        what="instruments",
        chosen=chosen.tolist(),
        mask=options,
        masked=masked,
        layer=layer,
    )
    return cache.fetch("people", key, compute)


def _mask_measures(found):
    """Return mask length, drop under reversal (OS - RS) and the ACCV paper's drop ratio and difference, a row per clip.

    All are NaN where the mask is empty, since freezing nothing of the clip lowers its score; so is the ratio where the
    paper's filter removes a clip.
    """
    drops = evaluation.drops(*(found[name] for name in ("original", "freeze", "reverse")))
    ratio = np.full(len(drops.kept), np.nan)
    ratio[drops.kept] = drops.ratio
    length = (found["mask"] > masks.THRESHOLD).sum(1)
    table = pd.DataFrame(
        {
            "mask_length": length,
            "reverse_drop": found["original"] - found["reverse"],
            "drop_ratio": ratio,
            "drop_difference": drops.difference,
        }
    )
    return table[length > 0].reindex(table.index)


def per_class(found, seed=0):
    """Return every measure per model and class: its mean over people with the interval, one row each."""
    result = []
    for (model, name), part in found.table.groupby(["model", "class"], sort=False):
        for measure in MEASURES:
            if measure in part and part[measure].notna().any():
                kept = part.dropna(subset=[measure])
                value = over_people(kept[measure], kept["person"], seed)
                result.append(
                    {
                        "model": model,
                        "class": name,
                        "motion": bool(part["motion"].iloc[0]),
                        "measure": measure,
                        "clips": len(kept),
                        "people": kept["person"].nunique(),
                        "value": value.value,
                        "low": value.low,
                        "high": value.high,
                    }
                )
    return pd.DataFrame(result)


def mean_matrix(found, **where):
    """Return the mean relevance matrix [T, T] of some rows, each clip's divided by its sum first."""
    chosen = found.matrix[found.of(**where)].astype(float)
    total = chosen.sum((1, 2), keepdims=True)
    return (chosen / np.where(total > 0, total, 1)).mean(0)
