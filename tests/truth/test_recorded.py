"""Recorded truth: annotated frames of real people's videos (spoken words: tests/papers/beyond/test_truths.py)."""

import numpy as np
import pytest
import torch

from paperlib import data, truth
from paperlib.data.public.people import PeopleDataset
from paperlib.errors import InputError
from tests import shared

from .. import toy


def test_annotated_frames_are_inside():
    rng = np.random.default_rng(0)
    videos = [rng.integers(0, 255, (n, 8, 8), np.uint8) for n in (20, 24, 12, 16)]
    bounds = [(5, 12), (0, 24), (2, 4), (3, 16)]  # the second one has no frame outside
    dataset = PeopleDataset("p", ".", ["a", "b"], videos, [0, 1, 1, 0], list("wxyz"), ["m"] * 4, bounds, 16)
    known = truth.annotated(dataset, 6)
    assert sorted(known.ids) == ["w", "y", "z"] and known.clips.shape == (3, 3, 6, 16, 16)
    for name, inside, target, clip in zip(known.ids, known.inside, known.targets, known.clips, strict=True):
        i = dataset.ids.index(name)
        chosen = data.sampling.uniform(len(videos[i]), 6)
        assert inside.tolist() == [bounds[i][0] <= k < bounds[i][1] for k in chosen] and target == dataset.labels[i]
        assert torch.equal(clip, data.clips.to_clip(dataset.frames(i, chosen)))
    for function, message in ((truth.annotated, "no annotated frames"), (truth.spoken, "no words with frames")):
        for other in (toy.Bars(4, 16, 0), "synth_kth"):
            with pytest.raises(InputError, match=message):
                function(other, 6)
    for call in (lambda: truth.annotated(dataset, 6, seed=-1), lambda: truth.spliced("synth_kth", 8, 2, seed=-1)):
        with pytest.raises(InputError, match="seed must be a whole number of at least 0, not -1"):
            call()


def test_context_of_nagoya_is_outside():
    shared.path("real/nagoya_fir_actions.npz")
    known = truth.annotated(data.load("nagoya_fir_context", "val", size=16, root=shared.FOLDER), 16, clips=20)
    assert len(known) == 20 and len(set(known.targets.tolist())) > 4
    starts = known.inside.int().argmax(1)
    assert (starts > 0).float().mean() > 0.5 and (known.inside.int().diff(dim=1) == 1).sum(1).max() == 1
