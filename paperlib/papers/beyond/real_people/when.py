"""When does the action happen? Relevance, masks and occlusion against the annotated frames of Nagoya FIR.

A clip shows an annotated segment with a part of its context on both sides, as much as a random number says, so
that the segment is not always in the middle. Each instrument ranks the frames of the clip:

pointing    is its first frame inside the annotated part? (Of frames that share the first place, how many are?)
            Chance is the annotated share of the clip.
IoU         of its frames with the annotated ones. A learned mask has its own length; for the others it is the run
            of frames, as long as the annotated part, that holds most. Chance is the mean over all places where a
            run of that length could lie; `centre` is the run in the middle of the clip.
"""

import numpy as np
import pandas as pd
import torch
from tqdm.auto import tqdm

from .... import masks, relevance
from ....data import clips as clip_format
from ....data import sampling
from ....storage import cache
from ....tracing.probing import evaluating
from ....truth.instruments import occlusion
from . import asked, over_people, rows
from .scores import kinds

INSTRUMENTS = ("relevance", "mask", "occlusion")
LEAST = 2  # frames of context on each side, at least


def window(videos, i, seed=0):
    """Return (first, last + 1) source frame of the clip of video `i`: the annotated part and a part of its context."""
    start, stop = videos.boundaries[i]
    rng = np.random.default_rng([seed, i])
    before, after = (int(rng.integers(min(LEAST, room), room + 1)) for room in (start, videos.num_frames(i) - stop))
    return start - before, stop + after


def clips_with_context(fold, chosen, seed=0):
    """Return (clips [n, 3, T, H, W], annotated bool [n, T]) of videos, uniformly sampled from their windows."""
    count, clips, inside = fold.network.num_frames, [], []
    for i in chosen:
        first, end = window(fold.videos, int(i), seed)
        steps = first + sampling.uniform(end - first, count)
        clips.append(clip_format.to_clip(fold.videos.frames(int(i), steps)))
        inside.append(fold.videos.annotated(int(i), steps))
    return torch.stack(clips).to(next(fold.network.parameters()).device), np.stack(inside)


def measure(run, folds):
    """Return (one row per model, clip and instrument, one row per model and asked clip); cached.

    The first table has `rows` and the columns of `compare` for the clips that the models in `located` get right,
    the second `rows` and `right`. Settings: each, located, mask.
    """
    parts, accuracies = [], []
    for fold in tqdm(folds, desc="when", leave=False):
        chosen = asked(fold.videos, run.settings["each"])
        clips, inside = clips_with_context(fold, chosen, run.seed)
        with evaluating(fold.network), torch.inference_mode():
            guess = torch.cat([fold.network(part).argmax(1) for part in clips.split(60)]).cpu().numpy()
        right = guess == fold.videos.labels[chosen]
        accuracies.append(rows(fold, chosen).assign(right=right))
        if fold.model not in run.settings["located"] or not right.any():
            continue
        about, clips, inside = rows(fold, chosen[right]), clips[torch.from_numpy(right)], inside[right]
        found = _instruments(fold, chosen[right], clips, run)
        for name in INSTRUMENTS:
            parts.append(about.assign(instrument=name, **compare(found[name], inside, name == "mask")))
    return pd.concat(parts, ignore_index=True), pd.concat(accuracies, ignore_index=True)


def _instruments(fold, chosen, clips, run):
    """Return {instrument: importance of every frame [n, T]}."""
    options = dict(run.settings.get("mask", {}))

    def compute():
        labels = torch.from_numpy(fold.videos.labels[chosen]).to(clips.device)
        matrix = relevance.relevance_matrix(fold.network, clips, labels)
        with evaluating(fold.network):
            hidden = torch.cat(
                [occlusion(fold.network, c, t) for c, t in zip(clips.split(32), labels.split(32), strict=True)]
            )
        learned = masks.learn(fold.network, clips, labels, batch_size=32, **options).mask
        return {
            "relevance": matrix.sum(1).cpu().numpy(),
            "occlusion": hidden.detach().cpu().numpy(),
            "mask": learned.cpu().numpy(),
        }

    key = fold.key(
        "papers/beyond/real_people/when",
        "relevance",
        "masks",
        "papers/beyond/agreement",
        what="when",
        chosen=chosen.tolist(),
        mask=options,
        seed=run.seed,
    )
    return cache.fetch("people", key, compute)


def compare(importance, inside, is_mask=False):
    """Return {column: [n]} of pointing and IoU with their baselines for importances and truths [n, T]."""
    found = {name: [] for name in ("pointing", "iou", "chance_pointing", "chance_iou", "centre_iou")}
    for value, truth in zip(importance, inside, strict=True):
        frames = len(truth)
        length = int((value > masks.THRESHOLD).sum()) if is_mask else int(truth.sum())
        placed = [run_of(first, length, frames) for first in range(frames - length + 1)]
        chosen = value > masks.THRESHOLD if is_mask else max(placed, key=lambda on, value=value: value[on].sum())
        found["pointing"].append(truth[value >= value.max() - 1e-6].mean())
        found["iou"].append(iou(chosen, truth))
        found["chance_pointing"].append(truth.mean())
        found["chance_iou"].append(np.mean([iou(on, truth) for on in placed]))
        found["centre_iou"].append(iou(run_of((frames - length) // 2, length, frames), truth))
    return {name: np.array(values, float) for name, values in found.items()}


def run_of(first, length, frames):
    """Return bool [frames], true from `first` on for `length` frames."""
    on = np.zeros(frames, bool)
    on[first : first + length] = True
    return on


def iou(a, b):
    """Return intersection over union of two boolean arrays; 0 where both are empty."""
    union = (a | b).sum()
    return float((a & b).sum() / union) if union else 0.0


def summary(table, seed=0):
    """Return per model, kind of class and instrument: pointing, IoU and their baselines, each with its interval."""
    found = []
    for model, part in table.groupby("model", sort=False):
        for kind, own in kinds(part):
            for instrument, values in own.groupby("instrument", sort=False):
                for measure in ("pointing", "chance_pointing", "iou", "chance_iou", "centre_iou"):
                    value = over_people(values[measure], values["person"], seed)
                    found.append(
                        {
                            "model": model,
                            "classes": kind,
                            "instrument": instrument,
                            "measure": measure,
                            "clips": len(values),
                            "value": value.value,
                            "low": value.low,
                            "high": value.high,
                        }
                    )
    return pd.DataFrame(found)
