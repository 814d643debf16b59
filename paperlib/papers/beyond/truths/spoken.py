"""Recorded truth: one face, several questions, and the frames of the words that answer them.

Clips begin at random, with all words in them, so that the position in the clip does not answer by itself.
"""

import numpy as np
import pandas as pd
import torch

from .... import data, relevance, truth
from ....storage import cache
from ....storage.zoo_lists import without_seed
from ... import analysis
from ...statistics import crossed_interval
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


def _key(checkpoint, settings, what, dataset):
    """Return the cache's key of what this module computes itself."""
    return {**key_of(checkpoint, settings, what, dataset), "own": cache.code("papers/beyond/truths/spoken")}


def opened(run, checkpoint):
    """Return (network, held-out videos, {question: (first class, one past the last)}) of a network of GRID."""
    model, header, dataset = analysis.opened(checkpoint, None, "val", None, run.device, run.data_root)
    return model, dataset, {name: tuple(ends) for name, ends in header["heads"].items()}


def accuracy(run, checkpoint):
    """Return a row per question: how often the network answers rightly on held-out sentences, and chance. Cached.

    The clip is the middle one of every video, `frames` after the other.
    """
    model, dataset, heads = opened(run, checkpoint)
    logits, rows = _logits(checkpoint, model, dataset), []
    for q, (question, (first, after)) in enumerate(heads.items()):
        right = logits[:, first:after].argmax(1) == dataset.labels[:, q] - first
        rows.append(
            {"model": checkpoint, "question": question, "accuracy": right.mean(), "chance": 1 / (after - first)}
        )
    return pd.DataFrame(rows)


def _logits(checkpoint, model, dataset):
    """Return the logits [n, K] of the middle clips of all videos. Cached."""

    def compute():
        clips = (_middle(dataset, i, model.num_frames) for i in range(len(dataset)))
        with torch.no_grad():
            return {"logits": torch.cat([model(clip[None]) for clip in clips])}

    return np.asarray(cache.fetch("truth", _key(checkpoint, {}, "accuracy", dataset), compute)["logits"])


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
    known = truth.spoken(dataset, model.num_frames, settings["clips"], run.seed, None)
    priors, parts = _priors(run, checkpoint), []
    for question in settings["questions"]:
        one = known[question]
        network = truth.question(model, *heads[question], one.clips)
        with torch.no_grad():
            right = torch.cat([network(part).argmax(1) for part in one.clips.split(8)]) == one.targets
        if right.sum() < 2:
            continue
        chosen = {name: f for name, f in lineup(settings).items() if name in QUICK or name in truth.CONTROLS}
        chosen[PRIOR] = priors[question]
        key = {**key_of(checkpoint, settings, "spoken", dataset), "question": question, "seed": run.seed}
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
    known = truth.spoken(dataset, model.num_frames, run.settings["clips"], run.seed, None)
    questions = list(run.settings["questions"])
    clips = known[questions[0]].clips
    with torch.no_grad():
        logits = torch.cat([model(part) for part in clips.split(8)])
    right = torch.stack([logits[:, slice(*heads[q])].argmax(1) == known[q].targets for q in questions], 1)  # [n, Q]
    best = int(right.sum(1).argmax())
    key = _key(checkpoint, run.settings, "moving", dataset)
    key |= {"clip": known[questions[0]].ids[best], "questions": questions}
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


def centres(found):
    """Return a row per network and question: where the middle of the relevance and of the word lies, means in frames.

    found: {checkpoint: `profiles`}. All its clips count, whatever the network answers. Columns model, question,
    relevance, word, inside (share of the relevance inside the word), pointing, chance, clips.
    """
    rows = []
    for checkpoint, (known, by_question, _) in found.items():
        for question, one in known.items():
            profile, inside = by_question[question], one.inside.numpy()
            scores, steps = truth.scores(profile, one.inside), np.arange(profile.shape[1])
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
                    "clips": len(profile),
                }
            )
    return pd.DataFrame(rows)


def ranked(run, found):
    """Return a row per network and question: how well relevance ranks the word's frames first, runs and clips pooled.

    found: {checkpoint: `profiles`}. Of the clips those that a run answers rightly. Columns model, question, precision,
    low, high (over runs and clips), prior (what the position prior reaches on the same clips), chance, right (share of
    the clips answered rightly), runs. No row where fewer than two clips are answered rightly.
    """
    runs = {}
    for checkpoint, own in found.items():
        runs.setdefault(without_seed(checkpoint)[0], []).append(own)
    rows, priors = [], _priors(run, next(iter(found)))
    for model, same in runs.items():
        for question, before in priors.items():
            one = same[0][0][question]
            right = np.stack([answers[question] for _, _, answers in same])
            if right.sum() < 2:
                continue
            precision = np.stack([truth.scores(each[question], one.inside).precision for _, each, _ in same])
            prior = truth.scores(before(None, one.clips, None), one.inside).precision.to_numpy()
            interval = crossed_interval(lambda blocks: np.nanmean(blocks[0][0]), [[np.where(right, precision, np.nan)]])
            rows.append(
                {
                    "model": model,
                    "question": question,
                    "precision": interval.value,
                    "low": max(0.0, interval.low),
                    "high": min(1.0, interval.high),
                    "prior": (prior * right).sum() / right.sum(),
                    "chance": (truth.chance(one.inside).precision.to_numpy() * right).sum() / right.sum(),
                    "right": right.mean(),
                    "runs": len(same),
                }
            )
    return pd.DataFrame(rows)


def profiles(run, checkpoint):
    """Return of the held-out clips up to `scored`, for every question: `truth.Known`, relevance, right answers. Cached.

    ({question: Known}, {question: [n, N], of the right answer}, {question: bool [n]}); by `frame_provenance`, which
    gives all questions at once.
    """
    model, dataset, heads = opened(run, checkpoint)
    known = truth.spoken(dataset, model.num_frames, run.settings["scored"], run.seed, None)
    clips = next(iter(known.values())).clips

    def compute():
        with torch.no_grad():
            logits = torch.cat([model(part) for part in clips.split(4)])
        found = torch.cat([relevance.frame_provenance(model, part).sum(1) for part in clips.split(4)])
        return {"relevance": found, "logits": logits}

    key = _key(checkpoint, run.settings, "profiles", dataset)
    key |= {"scored": run.settings["scored"], "seed": run.seed}
    computed = cache.fetch("truth", key, compute)
    found, logits = np.asarray(computed["relevance"]), np.asarray(computed["logits"])  # [n, K, N], [n, K]
    by_question, right = {}, {}
    for question, (first, after) in heads.items():
        answers = known[question].targets.numpy()
        by_question[question] = found[np.arange(len(answers)), first + answers]
        right[question] = logits[:, first:after].argmax(1) == answers
    return known, by_question, right


def _priors(run, checkpoint):
    """Return {question: control that knows where its words lie in training clips}."""
    model, dataset, _ = opened(run, checkpoint)
    read = data.load("grid", "train", dataset.size, root=run.data_root or None)
    before = truth.spoken(read, model.num_frames, 100, run.seed, None)
    return {question: truth.position_prior(one) for question, one in before.items()}
