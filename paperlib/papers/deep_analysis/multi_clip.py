"""Several clips and crops per video: uniform against dense sampling (Figures 5 and 8, Table 3)."""

import numpy as np
import pandas as pd
import torch

from ... import data, models
from ...data import clips as clip_format
from ...data import sampling
from ...errors import InputError
from ...storage import cache
from ...training import checkpoints
from .. import statistics
from . import own
from .experiments import SINGLE, dots
from .findings import claim


def views(key, clips=10, crops=3, margin=1.125, limit=None, device="cpu", root=None):
    """Return dict(scores [n, clips, crops, K], labels [n]): softmax of several views per video, cached.

    Clips are sampled as the checkpoint was trained (uniform: shifted clips, dense: spread over the video),
    crops are left, middle and right of frames `margin` times as large as the model's input, as 224 of 256.
    """
    model, header = checkpoints.load(key, device)
    recipe, side = header["recipe"], header["recipe"]["size"]
    videos = data.load(header["dataset"], split="val", size=round(side * margin), limit=limit, root=root or None)
    top = (videos.size - side) // 2
    offsets = np.linspace(0, videos.size - side, crops).round().astype(int) if crops > 1 else [top]

    def steps(length):
        if recipe.get("sampling") == "dense":
            return sampling.dense(length, model.num_frames, recipe["stride"], clips=clips)
        return sampling.uniform(length, model.num_frames, clips=clips)

    def compute():
        scores = []
        for i in range(len(videos)):
            chosen = steps(videos.num_frames(i))
            needed, place = np.unique(chosen, return_inverse=True)  # the clips of a video share most frames
            frames = videos.frames(i, needed)[place.reshape(chosen.shape)]
            batch = [clip_format.to_clip(clip[:, top : top + side, x : x + side]) for clip in frames for x in offsets]
            with torch.inference_mode():
                scores.append(model(torch.stack(batch).to(device)).float().softmax(1).cpu().numpy())
        return {"scores": np.stack(scores).reshape(len(videos), clips, len(offsets), -1)}

    about = {
        "checkpoint": checkpoints.digest(key),
        "dataset": videos.name,
        "videos": len(videos),
        "clips": clips,
        "crops": crops,
        "margin": margin,
        "torch": torch.__version__,
        "code": cache.code("models", "data", "training/checkpoints", "papers/deep_analysis"),
    }
    scores = cache.fetch("views", about, compute)["scores"]
    return {"scores": scores, "labels": np.asarray(videos.labels)}


def multi_clip(found, clips):
    """Return correct [n] (bool) for the mean score of all crops of so many clips, evenly spread.

    found: of `views`. One clip is the middle one.
    """
    total = found["scores"].shape[1]
    if not 1 <= clips <= total:
        raise InputError(f"{clips} clips were asked for but {total} were scored")
    chosen = np.linspace(0, total - 1, clips).round().astype(int) if clips > 1 else [total // 2]
    return found["scores"][:, chosen].mean((1, 2)).argmax(1) == found["labels"]


def sampled(run):
    """Return one row per listed checkpoint: single-clip and multi-clip top-1, uniform or dense (Figure 5).

    The multi-clip accuracy averages clips x crops views as the settings say (`views`). Columns: dataset,
    model, sampling, single, low, high, multi, and the arrays one [n], many [n] of correct answers.
    """
    options = run.settings.get("views")
    rows = []
    for key in own.listed(run):
        row = own.describe(key)
        found = views(
            key, options["clips"], options["crops"], limit=options["videos"], device=run.device, root=run.data_root
        )
        # one view: the middle clip and the middle crop
        middle = found["scores"][:, options["clips"] // 2, options["crops"] // 2].argmax(1) == found["labels"]
        many = multi_clip(found, options["clips"])
        value, low, high = statistics.bootstrap_interval(100.0 * middle)
        rows.append(
            {
                "key": key,
                "dataset": row["dataset"],
                "model": row["model"].removesuffix("-dense"),
                "sampling": row["sampling"],
                "single": value,
                "low": low,
                "high": high,
                "multi": 100 * many.mean(),
                "one": middle,
                "many": many,
            }
        )
    return pd.DataFrame(rows)


def multi_clip_dots(bars):
    """Return the multi-clip accuracies of `sampled` for `draw_own.dots`."""
    rows = []
    for row in bars.to_dict("records"):
        value, low, high = statistics.bootstrap_interval(100.0 * row["many"])
        module = row["model"].split("-")[0].replace("TAM2D", "TAM")
        rows.append((row["dataset"], row["sampling"], module, value, low, high))
    return dots(rows)


def of_sampling(bars, where="Figure 5"):
    """Return the claims of Figure 5 for our own models: uniform against dense clips, one against several."""
    claims = []
    if bars.empty:
        return claims
    for (dataset, model), part in bars.groupby(["dataset", "model"], sort=False):
        found = part.set_index("sampling")
        if not {"uniform", "dense"} <= set(found.index):
            continue
        videos = len(found.one["dense"])
        one, many = found.one, found.many["dense"]
        pairs = [
            ("Uniform sampling beats dense sampling for one clip", one["uniform"], one["dense"], "better"),
            (
                "Several clips help dense sampling",
                many,
                one["dense"],
                "5 to 20" if own.STANDS_FOR.get(dataset) == "mini-SSV2" else "6 to 15",
            ),
        ]
        for statement, a, b, text in pairs:
            interval = tuple(statistics.bootstrap_difference(100.0 * a, 100.0 * b, paired=True))
            claims.append(
                claim(
                    where,
                    f"{statement}: {model} on {dataset}",
                    f"difference of top-1 in points over {videos} videos, {SINGLE}",
                    text,
                    interval,
                    interval[1] > 0,
                    dataset,
                    digits=1,
                )
            )
    return claims


def clip_curves(run):
    """Return Figure 8's curves: model, sampling, clips, value (top-1, %), gmacs of all views, correct [n]."""
    options = run.settings.get("views")
    rows = []
    for key in own.listed(run):
        found = views(
            key, options["clips"], options["crops"], limit=options["videos"], device=run.device, root=run.data_root
        )
        row, (model, header) = own.describe(key), checkpoints.load(key)
        cost = models.count(model, header["recipe"]["size"]).flops / 1e9 * options["crops"]
        for k in range(1, options["clips"] + 1):
            correct = multi_clip(found, k)
            rows.append(
                {
                    "model": row["model"].removesuffix("-dense"),
                    "dataset": row["dataset"],
                    "sampling": row["sampling"],
                    "clips": k,
                    "value": 100 * correct.mean(),
                    "gmacs": cost * k,
                    "correct": correct,
                }
            )
    return pd.DataFrame(rows)


def of_clips(curves, enough=5):
    """Return the claims of Figure 8: what more clips than `enough` (dense) or one (uniform) bring."""
    claims = []
    if curves.empty:
        return claims
    last = int(curves.clips.max())
    for (model, how), line in curves.groupby(["model", "sampling"], sort=False):
        correct = line.set_index("clips").correct
        first = min(enough, last) if how == "dense" else 1
        interval = tuple(statistics.bootstrap_difference(100.0 * correct[last], 100.0 * correct[first], paired=True))
        few = "one clip is" if first == 1 else f"{first} clips are"
        text = f"{how} sampling of {model}: {few} about as good as {last}"
        quantity = f"top-1 with {last} minus with {first} clips, points; holds if the interval contains 0, {SINGLE}"
        claims.append(
            claim(
                "Figure 8",
                text,
                quantity,
                "saturated" if how == "dense" else "little",
                interval,
                interval[1] <= 0 <= interval[2],
                line.dataset.iloc[0],
                digits=1,
            )
        )
    return claims
