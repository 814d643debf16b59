"""How far small video transformers look in time, beside CNNs, both explained by the same rules with the same rows.

What is measured is here; `decided` says which statements it decides, `draw` draws it.
"""

import re

import numpy as np
import pandas as pd
import torch
from scipy.optimize import linear_sum_assignment

from .... import relevance
from ....storage import cache
from ....storage.zoo_lists import without_seed
from ... import analysis, needs
from ...temporal_relevance import opened, pooled, split

FAMILIES = ("ViT", "Swin3D", "MViT")
COMPOSITES = ("paper", "attnlrp")
ROLLOUT = "rollout"
POINTS = 3.0  # of accuracy, within which two runs count as equally accurate
HOW = {"clip_at": "frame", "rows": "split"}  # for every network alike; a class token leaves no frame logits to explain


def attends(checkpoint):
    """Whether a checkpoint is a transformer's."""
    return split(checkpoint)[1].startswith(FAMILIES)


def plain(checkpoint):
    """Whether a checkpoint's network is no variant of another: its name ends with its number of frames."""
    return bool(re.search(r"-f\d+$", without_seed(checkpoint)[0]))


def framewise(checkpoints):
    """Return those that predict every frame and are no variants: all runs of ViTs, of a CNN the first one."""
    usual = [key for key in checkpoints if plain(key)]
    return [key for key in usual if "/ViT" in key or (not attends(key) and without_seed(key)[1] == 0)]


def available(run):
    """Return the listed checkpoints that are there, and print which networks are not; ([], why) without a transformer.

    Returns (checkpoints, reason why the notebook cannot run or "").
    """
    there, lacking = needs.there(run.settings["models"], run.data_root)
    if not any(map(attends, there)):
        wanted = [key for key in lacking if attends(key)]
        how = "paperlib zoo train --missing '*_hard/ViT*' '*_hard/Swin3D*' '*_hard/MViT*'"
        return [], f"no checkpoint: none of its {len(wanted)} video transformers is trained; {how} trains them"
    if lacking:
        print("not trained yet:", ", ".join(lacking))
    return there, ""


def reach(run, checkpoint, composites=COMPOSITES):
    """Return {composite: analysis.Explained} of a checkpoint, for a transformer "rollout" as well; cached.

    Clips as `analysis.explain` chooses them. Rows split the clip's logit at the last layer with a time axis; what a
    class token takes past it is left out. Rollout's rows weigh as much as those of the last composite.
    """
    model, header, videos = opened(run, checkpoint)
    settings = run.settings
    scored = analysis.predictions(checkpoint, limit=settings.get("scored"), device=run.device, root=run.data_root)
    labels, correct = scored["labels"], scored["correct"]
    chosen = np.sort(analysis.explainable(scored, settings["clips"], settings["min_score"], run.seed))
    names = [*composites, *([ROLLOUT] if attends(checkpoint) else [])]
    code = cache.code("relevance", "papers/beyond/transformers/__init__")
    key = {**analysis.key_of(checkpoint, videos), "videos of it": chosen.tolist(), "rules": names, "engine": code}

    def compute():
        parts = [
            _matrices(model, analysis.clips_of(videos, some, header).to(run.device), labels[some], names)
            for some in np.array_split(chosen, -(-len(chosen) // 8))
        ]
        return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}

    measured = cache.fetch("reach", key, compute) if len(chosen) else {}
    own = scored["scores"][chosen, labels[chosen]]
    about = labels[chosen], chosen, own, len(labels), int(correct.sum()), scored["classes"]
    return {
        name: analysis.Explained(
            *analysis.ranges(measured[name], measured[f"{name} rows"], header, settings["sigma"]),
            *about,
            videos.temporal,
            videos.skipped,
            correct,
        )
        for name in names
        if measured
    }


def _matrices(model, clips, labels, names):
    """Return {name: matrix [B, T', N], "name rows": what its rows start from [B, T']} under every composite."""
    targets, found = torch.as_tensor(labels).to(clips.device), {}
    for name in names:
        if name == ROLLOUT:
            A = relevance.attention_rollout(model, clips, rows=HOW["rows"])
        else:
            rows = relevance.rows_of(model, clips, targets, rows=HOW["rows"], rules=name)
            A = relevance.relevance_matrix(model, clips, targets, rules=name, **HOW)
        found[name] = A[:, : rows.steps].detach().cpu().numpy()
        found[f"{name} rows"] = rows.values[:, : rows.steps].detach().cpu().numpy()
    return found


def reaches(run, checkpoints):
    """Return {composite: {checkpoint: Explained}} of checkpoints; those with no clip to explain are named, left out."""
    found = {name: {} for name in (*COMPOSITES, ROLLOUT)}
    for checkpoint in checkpoints:
        own = reach(run, checkpoint)
        if not own:
            print(f"{checkpoint} gets no clip right with a score above {run.settings['min_score']}, so it is left out")
        for name, one in own.items():
            found[name][checkpoint] = one
    return found


def table(found):
    """Return one row per network and composite: accuracy (percent), avg-ATR and max-ATR (frames) with intervals.

    own: share of the relevance in the frames that a row stands for; steps: rows of a matrix.
    """
    rows = []
    for rules, explained in found.items():
        for network, runs in pooled.networks(explained).items():
            dataset, model = split(network)
            row = {"dataset": dataset, "model": model, "rules": rules, "runs": len(runs)}
            row |= {"explained": sum(len(one.videos) for one in runs), "steps": runs[0].matrix.shape[1]}
            row["accuracy"] = np.mean([100 * one.correct.mean() for one in runs])
            for name, quantity in (("avg_atr", pooled.avg), ("max_atr", pooled.largest)):
                value = pooled.pool({network: pooled.table(runs, quantity)})
                row |= {name: value.value, f"{name}_low": value.low, f"{name}_high": value.high}
            rows.append({**row, "own": np.mean([own_share(one.matrix).mean() for one in runs])})
    return pd.DataFrame(rows)


def own_share(matrix):
    """Return the share of each clip's relevance [n] that lies in the frames a row stands for; matrix [n, T', N]."""
    steps, frames = matrix.shape[1:]
    inside = np.repeat(np.eye(steps, dtype=bool), frames // steps, axis=1)
    return (matrix * inside).sum((1, 2)) / np.maximum(matrix.sum((1, 2)), 1e-30)


def matched(explained, points=POINTS):
    """Return [(transformer, CNN)] of runs on one data set whose accuracy differs by `points` at most.

    Each run is used once, so that as many pairs as possible come out, and the closest. Variants of transformers are
    left out, shorter trainings of CNNs are not: checkpoints keep the last epoch only, so that an earlier state of the
    better network is a training of its own that ends sooner.
    """
    pairs = []
    accuracy = {key: 100 * one.correct.mean() for key, one in explained.items()}
    for dataset in dict.fromkeys(split(key)[0] for key in explained):
        here = [key for key in explained if split(key)[0] == dataset]
        ours, others = ([k for k in here if attends(k) == kind and (plain(k) or not kind)] for kind in (True, False))
        if not ours or not others:
            continue
        gap = np.abs([[accuracy[a] - accuracy[b] for b in others] for a in ours])
        cost = np.where(gap <= points, gap, 1e6)  # too far apart: only where nothing else is left
        rows, columns = linear_sum_assignment(cost)
        pairs += [(ours[i], others[k]) for i, k in zip(rows, columns, strict=True) if gap[i, k] <= points]
    return pairs
