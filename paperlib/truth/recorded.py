"""Recordings in which people wrote down when something happens: spoken words, annotated actions."""

import numpy as np
import torch

from ..data import sampling
from ..data.clips import to_clip
from ..data.loading import in_turn
from ..errors import InputError, whole
from .oracles import Known
from .planting import loaded


def spoken(dataset, frames: int, clips: int = 32, seed: int = 0, shift: int | None = 0) -> dict[str, Known]:
    """Return {question: clips with that word's frames} of GRID: the same clips, as many right answers as questions.

    dataset: GRID, by name (its validation videos) or as loaded; frames: of a clip, one after the other, from the middle
    of the video, or `shift` frames later, with None at a random place that holds all words, so that a word's place in
    the clip says less of which it is; clips: how many at most. Targets count from 0 within the question, as the network
    of `truth.question(model, *dataset.heads[question], clips)` does. Clips that do not hold a frame of all words are
    left out. InputError for a data set without words.
    """
    dataset = loaded(dataset)
    whole("frames", frames)
    whole("clips", clips)
    if not hasattr(dataset, "words"):
        raise InputError(f"{dataset.name} has no words with frames; grid has.")
    shown, inside, labels, ids, rng = [], [], [], [], np.random.default_rng(whole("seed", seed, 0))
    for i in rng.permutation(len(dataset)):
        chosen = _cut(dataset, i, frames, shift, rng)
        words = dataset.words(i, chosen)
        if words.any(1).all():
            shown.append(to_clip(dataset.frames(i, chosen)))
            inside.append(words)
            labels.append(dataset.labels[i])
            ids.append(dataset.ids[i])
        if len(ids) == clips:
            break
    if not ids:
        raise InputError(f"{dataset.name} has no clip of {frames} frames that holds all words; take longer clips.")
    together, spoken, right = torch.stack(shown), np.stack(inside), np.stack(labels)
    return {
        question: Known(together, torch.from_numpy(right[:, q] - first), torch.from_numpy(spoken[:, q]), ids=ids)
        for q, (question, (first, _)) in enumerate(dataset.heads.items())
    }


def _cut(dataset, i, frames, shift, rng):
    """Return the frames [frames] of the clip of video i, `shift` frames behind the middle one or (None) drawn."""
    middle, last = sampling.dense(dataset.num_frames(i), frames, 1), dataset.num_frames(i) - 1
    if shift is not None:
        return np.clip(middle + shift, 0, last)
    every = [first + np.arange(frames) for first in range(last - frames + 2)]
    whole_ones = [one for one in every if dataset.words(i, one).any(1).all()]
    return whole_ones[rng.integers(len(whole_ones))] if whole_ones else middle


def annotated(dataset, frames: int, clips: int = 32, seed: int = 0) -> Known:
    """Return clips of annotated videos, as in `nagoya_fir_context`, evenly sampled, with the annotated frames inside.

    dataset: by name (its validation videos) or as loaded. Videos of which a clip shows no annotated frame, or no other,
    are left out; classes come in turn.
    """
    dataset = loaded(dataset)
    whole("frames", frames)
    whole("clips", clips)
    if not hasattr(dataset, "annotated"):
        raise InputError(f"{dataset.name} has no annotated frames; nagoya_fir_context has.")
    shown, inside, kept = [], [], []
    for i in in_turn(dataset.labels, seed):
        chosen = sampling.uniform(dataset.num_frames(i), frames)
        marked = dataset.annotated(i, chosen)
        if marked.any() and not marked.all():
            shown.append(to_clip(dataset.frames(i, chosen)))
            inside.append(marked)
            kept.append(int(i))
        if len(kept) == clips:
            break
    if not kept:
        raise InputError(f"{dataset.name} has no video with frames inside and outside of its annotation.")
    labels = torch.from_numpy(np.asarray(dataset.labels)[kept])
    return Known(torch.stack(shown), labels, torch.from_numpy(np.stack(inside)), ids=[dataset.ids[i] for i in kept])


def position_prior(known: Known):
    """Return the control that knows where the truth usually lies: of every frame, in how many clips it is inside.

    known: other clips than those that are scored, of as many frames N. The control is an instrument, function(model,
    clips [B, 3, N, H, W], targets) -> importance [B, N], from 0 to 1.
    """
    share = known.inside.float().mean(0)

    def prior(model, clips, targets):
        """Return how often a frame is inside in other clips, whatever this one shows."""
        return share.to(clips).expand(len(clips), -1)

    return prior
