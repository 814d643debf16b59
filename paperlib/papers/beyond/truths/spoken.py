"""Recorded truth: one face, several questions, and the frames of the words that answer them."""

import numpy as np
import pandas as pd
import torch

from .... import data, relevance, truth
from ....storage import cache
from ... import analysis
from . import PRIOR, evaluated, key_of, lineup

QUICK = (
    "CLRP",
    "mask, freeze",
    "Grad-CAM",
    "occlusion",
    "freeze-occlusion",
    "gradient x input",
    "integrated gradients",
)


def _key(checkpoint, settings, what):
    """Return the cache's key of what this module computes itself."""
    return {**key_of(checkpoint, settings, what), "own": cache.code("papers/beyond/truths/spoken")}


def opened(run, checkpoint):
    """Return (network, held-out videos, {question: (first class, one past the last)}) of a network of GRID."""
    model, header, dataset = analysis.opened(checkpoint, None, "val", None, run.device, run.data_root)
    return model, dataset, {name: tuple(ends) for name, ends in header["heads"].items()}


def accuracy(run, checkpoint):
    """Return a row per question: how often the network answers rightly on held-out sentences, and chance. Cached.

    The clip is the middle one of every video, `frames` after the other.
    """
    model, dataset, heads = opened(run, checkpoint)

    def compute():
        clips = (_middle(dataset, i, model.num_frames) for i in range(len(dataset)))
        with torch.no_grad():
            return {"logits": torch.cat([model(clip[None]) for clip in clips])}

    logits = cache.fetch("truth", _key(checkpoint, {}, "accuracy"), compute)["logits"]
    rows = []
    for q, (question, (first, after)) in enumerate(heads.items()):
        right = logits[:, first:after].argmax(1) == dataset.labels[:, q] - first
        rows.append(
            {"model": checkpoint, "question": question, "accuracy": right.mean(), "chance": 1 / (after - first)}
        )
    return pd.DataFrame(rows)


def _middle(dataset, i, frames):
    """Return the middle clip [3, frames, H, W] of a video, one frame after the other."""
    chosen = data.sampling.dense(dataset.num_frames(i), frames, 1)
    return data.clips.to_clip(dataset.frames(i, chosen))


def asked(run, checkpoint):
    """Return rows of `evaluated`, with columns question and model: every instrument asked each of the `questions`.

    Clips whose question the network answers rightly. The position prior knows where words lie in training clips.
    """
    settings = run.settings
    model, dataset, heads = opened(run, checkpoint)
    known = truth.spoken(dataset, model.num_frames, settings["clips"], run.seed)
    before = truth.spoken(data.load("grid", "train", dataset.size, root=run.data_root or None), model.num_frames, 100)
    parts = []
    for question in settings["questions"]:
        one = known[question]
        network = truth.question(model, *heads[question], one.clips)
        with torch.no_grad():
            right = torch.cat([network(part).argmax(1) for part in one.clips.split(8)]) == one.targets
        if right.sum() < 2:
            continue
        chosen = {name: f for name, f in lineup(settings).items() if name in QUICK or name in truth.CONTROLS}
        chosen[PRIOR] = truth.position_prior(before[question])
        key = {**key_of(checkpoint, settings, "spoken"), "question": question, "seed": run.seed}
        kept = one.subset(right)
        rows, _ = evaluated(lambda network=network, kept=kept: (network, kept), chosen, key)
        parts.append(rows.assign(question=question, model=checkpoint))
    return pd.concat(parts, ignore_index=True) if parts else pd.DataFrame()


def moving(run, checkpoint):
    """Return {name: array} of one clip, asked the Q `questions` for the right answers: what the picture shows. Cached.

    profiles [Q, N] (CLRP per frame, its sum 1), cams [Q, N] (Grad-CAM, its largest value 1), masks [Q, N] (frozen
    frames), words bool [Q, N], frames uint8 [N, H, W, 3], questions and answers (lists of str), right bool [Q]. The
    clip is the first one of which the network answers most questions.
    """
    model, dataset, heads = opened(run, checkpoint)
    known = truth.spoken(dataset, model.num_frames, run.settings["clips"], run.seed)
    questions = list(run.settings["questions"])
    clips = known[questions[0]].clips
    with torch.no_grad():
        logits = torch.cat([model(part) for part in clips.split(8)])
    right = torch.stack([logits[:, slice(*heads[q])].argmax(1) == known[q].targets for q in questions], 1)  # [n, Q]
    best = int(right.sum(1).argmax())
    key = {**_key(checkpoint, run.settings, "moving"), "clip": known[questions[0]].ids[best], "questions": questions}
    clip = clips[best : best + 1]
    classes = [heads[q][0] + int(known[q].targets[best]) for q in questions]

    def compute():
        lined = lineup(run.settings)
        profiles = relevance.frame_provenance(model, clip)[0].sum(0)[classes]
        cams = torch.cat([lined["Grad-CAM"](model, clip, [k]) for k in classes])
        masks = [
            lined["mask, freeze"](truth.question(model, *heads[q], clip), clip, known[q].targets[best : best + 1])
            for q in questions
        ]
        return {"profiles": profiles, "cams": cams, "masks": torch.cat(masks)}

    found = cache.fetch("truth", key, compute)
    return {
        "profiles": found["profiles"] / found["profiles"].sum(1, keepdims=True).clip(1e-12),
        "cams": found["cams"] / found["cams"].max(1, keepdims=True).clip(1e-12),
        "masks": found["masks"],
        "words": torch.stack([known[q].inside[best] for q in questions]).numpy(),
        "frames": data.clips.to_frames(clips[best]),
        "questions": questions,
        "answers": [dataset.classes[k] for k in classes],
        "right": right[best].numpy(),
    }


def centres(run, checkpoint):
    """Return a row per question: where the middle of the relevance and of the word lies, means over clips in frames.

    All held-out clips up to `scored`, whatever the network answers, asked for the right answer; by `frame_provenance`,
    which gives all questions at once. Columns question, relevance, word, inside (share of the relevance inside the
    word), chance, pointing.
    """
    model, dataset, heads = opened(run, checkpoint)
    known = truth.spoken(dataset, model.num_frames, run.settings["scored"], run.seed)
    clips = next(iter(known.values())).clips

    def compute():
        return {"relevance": torch.cat([relevance.frame_provenance(model, part).sum(1) for part in clips.split(4)])}

    key = {**_key(checkpoint, run.settings, "centres"), "scored": run.settings["scored"], "seed": run.seed}
    found = np.asarray(cache.fetch("truth", key, compute)["relevance"])  # [n, K, N]
    rows, steps = [], np.arange(clips.shape[2])
    for question, (first, _) in heads.items():
        one = known[question]
        profile = found[np.arange(len(found)), first + one.targets.numpy()]
        scores, inside = truth.scores(profile, one.inside), one.inside.numpy()
        centre = (profile * steps).sum(1) / profile.sum(1).clip(1e-12)
        word = (inside * steps).sum(1) / inside.sum(1)
        rows.append(
            {
                "model": checkpoint,
                "question": question,
                "relevance": centre.mean(),
                "word": word.mean(),
                "inside": scores.mass.mean(),
                "pointing": scores.pointing.mean(),
                "chance": inside.mean(),
                "clips": len(found),
            }
        )
    return pd.DataFrame(rows)
