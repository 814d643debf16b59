"""What relevance for all classes at once tells: who rests on the same frames, and who could have won elsewhere."""

import numpy as np
import pandas as pd
import torch

from ... import data, relevance
from ...data import clips as clip
from ...data.synthetic.hard import moment_events, motion_events
from ...training import checkpoints
from .. import analysis, statistics

# Pairs of classes that play one event forwards and backwards, by name: those of Something-Something are its own.
REVERSED = [*motion_events.REVERSED, *moment_events.REVERSED]


def provenance(checkpoint, clips=24, batch=4, seed=0):
    """Return dict(profiles [n, K, N], logits [n, K], labels [n], classes, matrix [T', K, N] of the first clip).

    profiles are contrastive frame relevance of every class (max per frame), summed over the output steps, each
    step by `frame_provenance`; the clips are validation clips, the same number of every class as far as possible.
    """
    model, header = checkpoints.load(checkpoint)
    videos = data.load(header["dataset"], split="val", size=header["recipe"]["size"])
    header["num_frames"] = model.num_frames
    labels = np.asarray(videos.labels)
    chosen = analysis.in_turn(labels, seed)[:clips]
    found, logits = [], []
    for first in range(0, len(chosen), batch):
        part = torch.stack(
            [
                clip.to_clip(videos.frames(i, analysis.indices(videos.num_frames(i), header)))
                for i in chosen[first : first + batch]
            ]
        )
        found.append(relevance.frame_provenance(model, part))
        with torch.no_grad():
            logits.append(model(part))
    whole = torch.cat(found)
    return dict(
        profiles=whole.sum(1).numpy(),
        logits=torch.cat(logits).numpy(),
        labels=labels[chosen],
        classes=list(videos.classes),
        matrix=whole[0].numpy(),
    )


def reversed_twins(classes):
    """Return, for every class, the index of the class that plays it backwards, by their names, or -1."""
    twin = np.full(len(classes), -1)
    for forward, backward in REVERSED:
        if forward in classes and backward in classes:
            a, b = classes.index(forward), classes.index(backward)
            twin[a], twin[b] = b, a
    return twin


def comparisons(found):
    """Return a row per clip: how the target's frames compare with those of its rival, its twin and the others.

    Columns: target, rival (the other class of largest logit); cosine similarity of the profile over frames of the
    target with the rival's, the reversed twin's (NaN without one) and the mean of all others; whether target and
    rival have their peak in different frames; how far apart, in frames.
    """
    rows, twins = [], reversed_twins(found["classes"])
    for profiles, logits, target in zip(found["profiles"], found["logits"], found["labels"], strict=True):
        unit = profiles / np.linalg.norm(profiles, axis=1, keepdims=True).clip(1e-12)
        alike = unit @ unit[target]
        rival = int(np.argsort(np.where(np.arange(len(logits)) == target, -np.inf, logits))[-1])
        others = np.delete(alike, target)
        apart = abs(int(profiles[target].argmax()) - int(profiles[rival].argmax()))
        rows.append(
            dict(
                target=found["classes"][target],
                rival=found["classes"][rival],
                with_rival=alike[rival],
                with_twin=alike[twins[target]] if twins[target] >= 0 else np.nan,
                with_others=others.mean(),
                other_peak=apart > 0,
                frames_apart=apart,
            )
        )
    return pd.DataFrame(rows)


def averages(table, seed=0):
    """Return mean and bootstrap 95 % interval over clips of every number of `comparisons`, NaN where no clip has it."""
    rows = []
    for name in ("with_rival", "with_twin", "with_others", "other_peak", "frames_apart"):
        values = table[name].dropna().astype(float).to_numpy()
        known = statistics.bootstrap_interval(values, seed=seed) if len(values) else None  # twins are not in every clip
        interval = known or statistics.Interval(np.nan, np.nan, np.nan)
        rows.append(dict(quantity=name, value=interval.value, low=interval.low, high=interval.high, clips=len(values)))
    return pd.DataFrame(rows)
