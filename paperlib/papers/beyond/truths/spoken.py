"""Recorded truth: one face, several questions, and the frames of the words that answer them.

Clips begin at random, with all words in them, so that the position in the clip does not answer by itself.
"""

from dataclasses import dataclass

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
    "CLRP of the clip",
    "LRP",
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

    profiles [Q, N] (CLRP of the clip's logit, its sum 1), cams [Q, N] (Grad-CAM, its largest value 1), masks [Q, N]
    (frozen frames), words bool [Q, N], frames uint8 [N, H, W, 3], questions and answers (lists of str), right bool [Q].
    The clip is the first one of which the network answers most questions.
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
        profiles = relevance.clip_relevance(model, clip, [classes])[0]
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

    found: {checkpoint: `profiles`}. All clips that the run was asked about count, whatever it answers. Columns model,
    question, relevance, word, inside (share of the relevance inside the word), pointing, chance, clips.
    """
    rows = []
    for checkpoint, own in found.items():
        for question, one in own.known.items():
            profile, inside = own.relevance[question], one.inside.numpy()[own.asked]
            scores, steps = truth.scores(profile, one.inside[own.asked]), np.arange(profile.shape[1])
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

    found: {checkpoint: `profiles`}. Of a run's clips those that it answers rightly. Columns model, question, precision,
    low, high (over runs and clips), prior (what the position prior reaches on the same clips), chance, right (share of
    the clips answered rightly), runs, clips. No row where fewer than two clips are answered rightly.
    """
    rows, priors = [], _priors(run, next(iter(found)))
    for model, keys in _runs(found).items():
        same = [found[key] for key in keys]
        for question, before in priors.items():
            one = same[0].known[question]
            precision = _answered(same, question, [own.relevance[question] for own in same], "precision")
            counted = np.isfinite(precision)
            if counted.sum() < 2:
                continue
            prior = truth.scores(before(None, one.clips, None), one.inside).precision.to_numpy()
            interval = _over_both(precision)
            rows.append(
                {
                    "model": model,
                    "question": question,
                    "precision": interval.value,
                    "low": interval.low,
                    "high": interval.high,
                    "prior": _on(prior, counted),
                    "chance": _on(truth.chance(one.inside).precision.to_numpy(), counted),
                    "right": np.concatenate([own.right[question] for own in same]).mean(),
                    "runs": len(same),
                    "clips": int(counted.sum()),
                }
            )
    return pd.DataFrame(rows)


def over_all_clips(run, found):
    """Return pointing, mass and precision of CLRP, LRP and Grad-CAM of the first network over all held-out clips.

    found: {checkpoint: `profiles`}; those of the first one's network, clips that a run answers rightly. A row per
    question, instrument (the position prior on the same clips among them) and score, with the columns of
    `truths.summary` and runs; intervals over runs and clips.
    """
    rows, priors = [], _priors(run, next(iter(found)))
    network, keys = next(iter(_runs(found).items()))
    same, others = [found[key] for key in keys], [_others(run, key, found[key]) for key in keys]
    for question in run.settings["questions"]:
        one = same[0].known[question]
        before = priors[question](None, one.clips, None).numpy()
        maps = {
            "CLRP of the clip": [own.relevance[question] for own in same],
            **{name: [each[f"{name}, {question}"] for each in others] for name in ("LRP", "Grad-CAM")},
            PRIOR: [before[own.asked] for own in same],
        }
        for instrument, shown in maps.items():
            for score in ("pointing", "mass", "precision"):
                values = _answered(same, question, shown, score)
                counted = np.isfinite(values)
                if counted.sum() < 2:
                    continue
                interval = _over_both(values)
                rows.append(
                    {
                        "model": network,
                        "question": question,
                        "instrument": instrument,
                        "score": score,
                        "value": interval.value,
                        "low": interval.low,
                        "high": interval.high,
                        "chance": _on(truth.chance(one.inside)[score].to_numpy(), counted),
                        "clips": int(counted.sum()),
                        "runs": len(same),
                    }
                )
    return pd.DataFrame(rows)


def _runs(checkpoints):
    """Return {network: [checkpoint of each of its runs]}, in the order of these checkpoints."""
    runs = {}
    for checkpoint in checkpoints:
        runs.setdefault(without_seed(checkpoint)[0], []).append(checkpoint)
    return runs


def _on(values, counted):
    """Return the mean of values [clips] over what counts, bool [runs, clips]."""
    return (values * counted).sum() / counted.sum()


def _answered(same, question, shown, score):
    """Return a score of what every run's maps [n, N] show of its clips, [runs, clips]; NaN but for right answers."""
    one = same[0].known[question]
    values = np.full((len(same), len(one)), np.nan)
    for row, own, maps in zip(values, same, shown, strict=True):
        row[own.asked] = np.where(own.right[question], truth.scores(maps, one.inside[own.asked])[score], np.nan)
    return values


def _over_both(values):
    """Return the mean of what is there of scores [runs, clips] with its interval over runs and clips, within 0 to 1."""
    found = crossed_interval(lambda blocks: np.nanmean(blocks[0][0]), [[values]], span=1.0)
    return found._replace(low=max(0.0, found.low), high=min(1.0, found.high))


@dataclass
class Profiles:
    """Relevance of held-out clips for the right answers to every question, by one run of a network.

    known: {question: `truth.Known`} of all clips; asked int [n]: those that this run is asked about; relevance:
    {question: [n, N]} and right: {question: bool [n]}, whether it answers rightly, of these.
    """

    known: dict
    asked: np.ndarray
    relevance: dict
    right: dict


def profiles(run, models):
    """Return {checkpoint: `Profiles`} of the held-out clips, `scored` of them (None: all); cached.

    The runs of a network take turns, so that each clip is put to one of them. Relevance is that of the clip's logits
    (`clip_relevance`): one pass for each answer.
    """
    turns = _runs(models)
    model, dataset, _ = opened(run, models[0])
    count = min(run.settings["scored"] or len(dataset), len(dataset))
    known = truth.spoken(dataset, model.num_frames, count, run.seed, None)
    held = len(next(iter(known.values())))
    found = {}
    for checkpoint in analysis.own_order(models):
        same = turns[without_seed(checkpoint)[0]]
        found[checkpoint] = _profile(run, checkpoint, known, np.arange(held)[same.index(checkpoint) :: len(same)])
    return {checkpoint: found[checkpoint] for checkpoint in models}


def _profile(run, checkpoint, known, asked):
    """Return the `Profiles` of one run, asked about these clips of `known`; cached."""
    model, dataset, heads = opened(run, checkpoint)
    clips = next(iter(known.values())).clips
    answers = np.stack([known[question].targets.numpy()[asked] for question in heads], 1)  # [n, Q], within the question
    first = np.array([start for start, _ in heads.values()])

    def compute():
        with torch.no_grad():
            logits = torch.cat([model(clips[i : i + 1]) for i in asked])
        found = relevance.clip_relevance(model, clips[asked], torch.from_numpy(answers + first))
        return {"relevance": found, "logits": logits}

    key = _key(checkpoint, run.settings, "profiles", dataset)
    key |= {"scored": len(clips), "seed": run.seed, "asked": asked.tolist()}
    computed = cache.fetch("truth", key, compute)
    found, logits = np.asarray(computed["relevance"]), np.asarray(computed["logits"])  # [n, Q, N], [n, K]
    by_question = {question: found[:, q] for q, question in enumerate(heads)}
    right = {
        question: logits[:, start:after].argmax(1) == answers[:, q]
        for q, (question, (start, after)) in enumerate(heads.items())
    }
    return Profiles(known, asked, by_question, right)


def _others(run, checkpoint, own):
    """Return {"LRP, question" and "Grad-CAM, question": [n, N]} for right answers to what a run is asked; cached."""
    model, dataset, heads = opened(run, checkpoint)
    questions, cam = list(run.settings["questions"]), lineup(run.settings)["Grad-CAM"]
    clips = own.known[questions[0]].clips[own.asked]
    right = torch.stack([heads[q][0] + own.known[q].targets[own.asked] for q in questions], 1)  # [n, Q]

    def compute():
        by_relevance = relevance.clip_relevance(model, clips, right, "lrp")
        found = {f"LRP, {q}": by_relevance[:, k] for k, q in enumerate(questions)}
        for k, q in enumerate(questions):
            found[f"Grad-CAM, {q}"] = torch.cat([cam(model, *pair) for pair in _pairs(clips, right[:, k])])
        return found

    key = _key(checkpoint, run.settings, "others", dataset)
    key |= {"clips": len(own.known[questions[0]]), "seed": run.seed, "asked": own.asked.tolist()}
    return cache.fetch("truth", {**key, "questions": questions}, compute)


def _pairs(clips, targets, batch=4):
    """Yield clips and their targets, so many at a time."""
    return zip(clips.split(batch), targets.split(batch), strict=True)


def _priors(run, checkpoint):
    """Return {question: control that knows where its words lie in training clips}."""
    model, dataset, _ = opened(run, checkpoint)
    read = data.load("grid", "train", dataset.size, root=run.data_root or None)
    before = truth.spoken(read, model.num_frames, 100, run.seed, None)
    return {question: truth.position_prior(one) for question, one in before.items()}
