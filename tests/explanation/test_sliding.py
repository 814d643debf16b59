"""What of a long video is seen: spread clips and windows that slide, their rows and their notes."""

import numpy as np
import pytest
import torch

import paperlib
from paperlib import gradcam, relevance
from paperlib.data import clips, sampling
from paperlib.errors import InputError
from paperlib.explanation import explaining, measured, sliding

from .test_explain import NAMES


@pytest.mark.parametrize(
    "apart, said", [(2, "2nd"), (3, "3rd"), (4, "4th"), (11, "11th"), (12, "12th"), (21, "21st"), (102, "102nd")]
)
def test_frames_that_lie_evenly_apart_are_said_by_an_ordinal(apart, said):
    indices = [2 + k * apart for k in range(10)]
    (note,) = explaining._seen({"indices": indices, "video_frames": 2000})
    assert note == f"Of 2000 frames of the video, 10 were seen: every {said} frame from 3 to {3 + 9 * apart}."


def test_what_is_seen_of_a_long_video():
    seen, starts = sliding.plan(100, 8, slide=3)
    assert seen.tolist() == list(range(0, 100, 3)) and starts.tolist() == [0, 4, 8, 12, 16, 20, 24, 26]
    seen, starts = sliding.plan(100, 8, slide=True, fps=25)
    assert seen[1] == 8 and sliding.plan(400, 8, slide=True, fps=50)[0][1] == 16
    assert sliding.plan(20, 8, slide=3)[0].tolist() == sampling.uniform(20, 8).tolist()  # shorter than a window
    seen, starts = sliding.plan(90, 4, clips=3)
    assert starts.tolist() == [0, 4, 8]
    assert seen.tolist() == [part * 30 + k for part in range(3) for k in sampling.uniform(30, 4)]
    for wrong in (dict(clips=0), dict(slide=0), dict(clips=2, slide=2), dict(slide=1.5)):
        with pytest.raises(InputError):
            sliding.plan(100, 8, **wrong)
    with pytest.raises(InputError, match="slide=3 or more"):
        sliding.plan(9000, 8, slide=1)
    for how in ({}, {"dense": 2}):
        assert len(sliding.plan(100, 8, clips=500, **how)[0]) == sliding.MOST
        with pytest.raises(InputError, match="501 clips of 8 frames have 4008, .* clips=500 or fewer"):
            sliding.plan(100, 8, clips=501, **how)


@pytest.mark.parametrize("steps", [1, 2, 4])
def test_each_frame_belongs_to_one_window_and_each_row_to_the_one_around_it(steps):
    starts = np.array([0, 2, 4, 6, 7])
    zones = sliding.zones(starts, 4)
    assert zones[0][0] == 0 and zones[-1][1] == 11 and (zones[1:, 0] == zones[:-1, 1]).all()
    owners = sliding.row_owners(starts, 4, steps)
    middles = starts[owners[:, 0]] + (owners[:, 1] + 0.5) * 4 / steps
    assert (np.diff(middles) > 0).all() and (steps != 4 or middles.tolist() == [k + 0.5 for k in range(11)])
    assert sliding.apart(starts, 4) == [0, 2, 4]


@pytest.mark.parametrize("frames", range(1, 13))
def test_every_window_has_a_row_and_rows_are_in_order(frames):
    for total in range(frames + 1, 4 * frames + 5):
        seen, starts = sliding.plan(total, frames, slide=1)
        middles = starts + frames / 2
        for steps in range(1, frames + 1):
            owners = sliding.row_owners(starts, frames, steps)
            at = starts[owners[:, 0]] + (owners[:, 1] + 0.5) * frames / steps
            assert set(owners[:, 0]) == set(range(len(starts))) and (np.diff(at) > 0).all()
            alone = np.bincount(owners[:, 0])[owners[:, 0]] == 1
            nearest = np.abs(at - middles[owners[:, 0]]) <= np.abs(at[:, None] - middles).min(1) + 1e-9
            assert (nearest | alone).all()
            if steps == frames:  # a row for each frame
                assert at.tolist() == (seen + 0.5).tolist()


def test_of_a_long_video_a_few_windows_are_numbers_at_a_time(network, frames, monkeypatch):
    several = paperlib.explain(frames, network, slide=1, mask=False, relevance=False, cam=False)
    starts, whole = several.info["windows"]["starts"], several.clip
    expected = torch.cat([whole[:, :, start : start + 4] for start in starts])
    several.given = None
    made, to_clip = [], measured.to_clip
    monkeypatch.setattr(measured, "to_clip", lambda shown: made.append(len(shown)) or to_clip(shown))
    parts = list(measured.portions(several, network))
    assert [len(part) for part in parts] == [4, 4, 1] and torch.equal(torch.cat(parts), expected)
    assert made == [4] * 9 and torch.equal(measured.windows(several, network), expected)
    del made[:]
    assert torch.equal(measured.windows(several, network, [5, 2]), expected[[5, 2]]) and made == [4, 4]
    single = paperlib.explain(frames, network, mask=False, relevance=False, cam=False)
    assert [torch.equal(part, single.clip) for part in measured.portions(single, network)] == [True]


def test_a_window_slides_over_a_long_video(network, frames):
    found = paperlib.explain(frames, network, 1, classes=NAMES, slide=2, mask=True, iterations=2)
    starts = found.info["windows"]["starts"]
    assert found.info["indices"] == list(range(0, 20, 2)) and starts == [0, 2, 4, 6]
    assert "4 windows of 4 frames" in " ".join(found.notes)
    parts = torch.cat([clips.to_clip(found.frames[start : start + 4])[None] for start in starts])
    expected = relevance.relevance_matrix(network, parts, [1] * 4).numpy()
    cams = gradcam.video_gradcam(network, parts, 1).numpy()
    # of each of the ten frames that were seen: the window in whose middle it lies most, and its place there
    owner = {
        0: (0, 0),
        1: (0, 1),
        2: (0, 2),
        3: (1, 1),
        4: (1, 2),
        5: (2, 1),
        6: (2, 2),
        7: (3, 1),
        8: (3, 2),
        9: (3, 3),
    }
    for row, (window, step) in owner.items():
        line = np.zeros(10, np.float32)
        line[starts[window] : starts[window] + 4] = expected[window, step]
        np.testing.assert_allclose(found.matrix[row], line, atol=1e-5)
        np.testing.assert_allclose(found.cam[row], cams[window, step], atol=1e-5)
    one = relevance.atr(torch.tensor(expected), network.frame_logits(parts)[..., 1].detach())
    assert found.atr.tolist() == [float(one.frames[w, s]) for w, s in owner.values()]
    np.testing.assert_allclose(found.scores, network(parts).softmax(1).mean(0).detach(), atol=1e-5)
    assert found.mask.shape == (10,) and 0 <= found.info["mask_scores"]["FS"] <= 1
    measured.ranges(found, 0.5)
    assert (found.arrays["segments"] <= 9).all() and found.info["sigma"] == 0.5


def test_windows_that_see_every_frame_are_told_too(network, frames):
    found = paperlib.explain(frames, network, slide=1, mask=False, cam=False)
    assert found.info["indices"] == list(range(20))
    assert any("20 were seen: all from 1 to 20, by 9 windows of 4 frames" in note for note in found.notes)
    whole = paperlib.explain(frames[:4], network, mask=False, cam=False)
    assert not any("were seen" in note for note in whole.notes)


def test_a_window_as_long_as_the_video_is_said_not_to_slide(network, frames):
    for slide, count in ((6, 1), (5, 1), (4, 2)):  # of 20 frames a window sees 4: 24, 20, 16
        found = paperlib.explain(frames, network, classes=NAMES, slide=slide, relevance=False, mask=False)
        assert len(found.info.get("windows", {"starts": [0]})["starts"]) == count
        said = any("Nothing slides: a window would span the whole video (20 frames)" in note for note in found.notes)
        assert said == (count == 1)
    assert not any("slides" in note for note in paperlib.explain(frames, network, mask=False, cam=False).notes)
