"""Clips whose classes differ in known frames alone: rendered twins, and foreign frames put into a clip."""

import numpy as np
import torch
from torch import nn

from .. import data
from ..data import sampling
from ..data.clips import to_clip
from ..data.loading import in_turn
from ..errors import InputError, whole
from ..tracing.inputs import check_clips, class_logits, network
from ..tracing.probing import classes, evaluating
from .oracles import Known

SHORTEST, LONGEST = 0.2, 0.45  # of what is put into a clip, as a share of its frames


def planted(dataset, frames: int, clips: int = 32, seed: int = 0, indices=sampling.uniform) -> Known:
    """Return clips of a data set that plants events, with the twins that are rendered as another class.

    dataset: one that `data.truth` knows, by name (its validation videos) or as loaded; frames: of a clip; clips: how
    many, of classes in turn; indices(length, frames): which frames a clip takes, as the network was trained. `inside`
    are the frames in which a video and its twin are different pictures; actors, backdrop, camera, noise are the same,
    so that what tells the two classes apart lies there and nowhere else. Videos of which a clip shows no such frame, or
    no other, are left out. InputError where the data set plants nothing or too few videos are usable.
    """
    dataset = loaded(dataset)
    whole("frames", frames)
    whole("clips", clips)
    if not hasattr(dataset, "frames_as"):
        raise InputError(f"{dataset.name} plants no events; the data sets synth_..._hard do.")
    found = []
    for i in in_turn(dataset.labels, seed):
        chosen, twin = indices(dataset.num_frames(i), frames), dataset.twin(i)
        own, other = dataset.frames(i, chosen), dataset.frames_as(i, twin, chosen)
        inside = (own != other).any((1, 2, 3))
        if inside.any() and not inside.all():
            found.append((to_clip(own), int(dataset.labels[i]), inside, twin, to_clip(other), dataset.ids[i]))
        if len(found) == clips:
            break
    return _known(found, clips, dataset)


def spliced(dataset, frames: int, clips: int = 32, seed: int = 0, indices=sampling.uniform) -> Known:
    """Return clips of any data set into which a run of frames of another video was put, and twins with a third one's.

    The run is in a random place and covers a fifth to not quite a half of the frames, never the first or the last one.
    Three videos of three classes: the clip's target is the class of what was put in, its twin has a run of its own
    class in the same place, and all around is the third video, whose class is not asked about. The cuts are the same in
    both. dataset, frames, clips, seed, indices: as in `planted`.
    """
    dataset = loaded(dataset)
    rng, labels = np.random.default_rng(whole("seed", seed, 0)), np.asarray(dataset.labels)
    order = in_turn(labels, seed)[: whole("clips", clips)]
    if len(np.unique(labels)) < 3 or whole("frames", frames) < 4:
        raise InputError(f"{dataset.name}: putting videos into each other takes three classes and four frames.")

    def clip(i):
        return to_clip(dataset.frames(i, indices(dataset.num_frames(i), frames)))

    found = []
    for i in order:
        other = rng.choice(np.flatnonzero(labels != labels[i]))
        host = rng.choice(np.flatnonzero((labels != labels[i]) & (labels != labels[other])))
        length = max(1, round(frames * rng.uniform(SHORTEST, LONGEST)))
        first = int(rng.integers(1, frames - length))
        inside = (np.arange(frames) >= first) & (np.arange(frames) < first + length)
        around, both = clip(host), [clip(i), clip(other)]
        own, twin = (torch.where(torch.as_tensor(inside)[None, :, None, None], part, around) for part in both)
        ids = f"{dataset.ids[i]} in {dataset.ids[host]}"
        found.append((own, int(labels[i]), inside, int(labels[other]), twin, ids))
    return _known(found, clips, dataset)


def loaded(dataset):
    """Return a data set, one given by name as its validation videos."""
    return data.load(dataset, "val") if isinstance(dataset, str) else dataset


@torch.no_grad()
def told_apart(model: nn.Module, known: Known, batch_size: int = 16) -> torch.Tensor:
    """Return bool [n]: where the network prefers the target in the clip and the other class in its twin.

    Only there has it seen what differs, so only there does an instrument have something to find.
    """
    if known.twins is None:
        raise InputError("these clips have no twins to be told from; truth.planted and truth.spliced give some.")
    rows, right = torch.arange(len(known)), []
    whole("batch_size", batch_size)
    model = network(model, scripted=True)
    with evaluating(model):
        for clips, sign in ((known.clips, 1), (known.twins, -1)):
            logits = torch.cat([class_logits(model, part) for part in check_clips(model, clips).split(batch_size)])
            own, other = classes(logits, known.targets), classes(logits, known.others, "other")
            right.append(sign * (logits[rows, own] - logits[rows, other]) > 0)
    return right[0] & right[1]


def _known(found, wanted, dataset):
    """Return the list of (clip, target, inside, other class, twin, id) as `Known`; InputError where it is short."""
    if len(found) < wanted:
        raise InputError(f"{dataset.name} has {len(found)} usable videos for {wanted} clips; ask for fewer.")
    clips, targets, inside, others, twins, ids = zip(*found, strict=True)
    return Known(
        torch.stack(clips),
        torch.tensor(targets),
        torch.as_tensor(np.stack(inside)),
        torch.tensor(others),
        torch.stack(twins),
        list(ids),
    )
