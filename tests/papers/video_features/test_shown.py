"""What maps and masks have to do with what procedural videos are known to show."""

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest

from paperlib import data
from paperlib.papers import claims
from paperlib.papers.video_features import findings, shown

from .test_notebook_code import Videos, decided, studied

SIDE, FRAMES = 32, 16
RUN = SimpleNamespace(data_root="")
NAME = "synth_ssv2_hard" if "synth_ssv2_hard" in data.LOADERS else "synth_ssv2"


@pytest.fixture(scope="module")
def clips():
    """Both models' studies of a few videos whose truth is known, and that truth."""
    videos = data.load(NAME, split="val", size=SIDE, limit=120)
    two = [k for k, text in enumerate(videos.classes) if "something and something" in text][:4]
    chosen = np.concatenate([np.flatnonzero(videos.labels == k)[:3] for k in two])
    pair = [studied(model, NAME, FRAMES, seed) for seed, model in enumerate(("I3D-original", "C-LSTM"))]
    pair = [replace(each, classes=videos.classes, videos=chosen, labels=videos.labels[chosen]) for each in pair]
    return pair, shown.shown(pair[0])


def test_what_is_shown_is_the_data_sets_truth(clips):
    (i3d, _), known = clips
    videos = data.load(i3d.dataset, split="val", size=SIDE, limit=40)
    steps = np.round((np.arange(FRAMES) + 0.5) / FRAMES * videos.num_frames(int(i3d.videos[0])) - 0.5).astype(int)
    onset = videos.timeline(int(i3d.videos[0])).events[0][0]
    seconds = (steps + 0.5) / videos.fps
    clear = np.abs(seconds - onset) > 1.5 / videos.fps  # which of two middle frames is taken does not matter here
    assert (known.before[0] == (seconds < onset))[clear].all() and known.before[0].any()
    assert not (known.objects[0][known.before[0]]).any()  # objects come into view with the event
    seen = np.isfinite(known.centres[0]).all(2)
    for t, k in np.argwhere(seen):
        x, y = known.centres[0, t, k]
        if 0 <= x < SIDE and 0 <= y < SIDE:
            assert known.objects[0, t, int(y), int(x)]
    assert seen.all(1).any() and known.hands.any() and not known.person.any()


def test_a_map_on_hands_is_on_hands(clips):
    (i3d, _), known = clips
    for region, expected in ((known.hands & ~known.objects, 1), (known.objects & ~known.hands, -1)):
        there = (known.hands & ~known.objects).any((1, 2, 3)) & (known.objects & ~known.hands).any((1, 2, 3))
        found = shown.hands_over_objects(replace(i3d, cams=region.astype(np.float16)), known)
        share = region.mean((1, 2, 3))
        assert there.any() and found[there] == pytest.approx(expected / share[there])
        assert np.isnan(found[~there]).all()


def test_intensity_before_the_event_is_a_share(clips):
    (i3d, _), known = clips
    early = shown.intensity_before(replace(i3d, intensity=known.before.astype(float)), known)
    assert early == pytest.approx(1 - known.before.mean(1))
    assert shown.intensity_before(i3d, known) == pytest.approx(0)  # the same in all frames
    assert np.isnan(shown.intensity_before(replace(i3d, intensity=np.zeros((12, FRAMES))), known)).all()


def test_one_large_blob_covers_both_objects_and_two_small_ones_do_not(clips):
    (i3d, _), known = clips
    y, x = np.mgrid[:SIDE, :SIDE] + 0.5
    cams = np.zeros((2, 12, FRAMES, SIDE, SIDE), np.float16)
    wide = np.zeros((12, FRAMES), bool)
    for n, t in np.argwhere(np.isfinite(known.centres).all((2, 3))):
        a, b = known.centres[n, t]
        wide[n, t] = np.hypot(*(a - b)) > 10 and min(*a, *b) > 3 and max(*a, *b) < SIDE - 3
        middle = (a + b) / 2
        cams[0, n, t] = np.hypot(x - middle[0], y - middle[1]) < np.hypot(*(a - b)) / 2 + 2
        cams[1, n, t] = np.minimum(np.hypot(x - a[0], y - a[1]), np.hypot(x - b[0], y - b[1])) < 2.5
    assert wide.any()
    apart = replace(known, centres=np.where(wide[:, :, None, None], known.centres, np.nan))
    one, two = (shown.one_blob_on_both(replace(i3d, cams=some), apart) for some in cams)
    there = wide.any(1)
    assert (one[there] > 0.8).all() and (two[there] == 0).all() and np.isnan(one[~there]).all()


def test_findings_follow_from_the_maps(clips, monkeypatch):
    (i3d, lstm), known = clips
    hands = replace(lstm, cams=(known.hands & ~known.objects).astype(np.float16), intensity=(~known.before) + 0.01)
    found = {one.id: one for one in findings.of_examples(RUN, {each.checkpoint: each for each in (i3d, hands)})}
    verdicts = {id: claims.decide("p/n", *found[id])["verdict"] for id in ("vf.sec5.hands", "vf.sec5.agnostic")}
    assert verdicts == {"vf.sec5.hands": "holds", "vf.sec5.agnostic": "holds"}
    plain = {each.checkpoint: each for each in (studied("I3D-original"), studied("C-LSTM", seed=1))}
    monkeypatch.setattr(shown.data, "load", lambda *a, **k: SimpleNamespace())
    unknown = {one.id: one for one in findings.of_examples(RUN, plain)}
    assert unknown["vf.sec5.hands"].rests_on == findings.NO_TRUTH and unknown["vf.sec5.centre"].interval


def test_masks_are_held_against_the_frames_with_the_runner():
    each = studied("I3D-original", "synth_kth", length=6)  # frames 4 to 9 or 10 of 16
    person = np.zeros((12, 16), bool)
    person[:, 2:12] = True
    person[3] = True  # tells nothing
    known = shown.Shown(person, person, person, person, person)
    found = shown.masked_frames_with_person(each, known, label=0)
    assert np.isnan(found[each.labels != 0]).all()
    assert found[[0, 5, 10]] == pytest.approx(1 - 10 / 16)
    each.labels[3] = 0
    assert np.isnan(shown.masked_frames_with_person(each, known, label=0)[3])


def test_cycles_are_counted_on_the_longest_run_of_masked_frames():
    each = studied("I3D-original", "synth_kth", frames=32, length=8)
    each.mask[:] = 0
    each.mask[0, 4:12], each.mask[0, 20:22] = 1, 1  # 8 of 32 frames of 2 seconds: half a second, one cycle
    each.mask[1, 0:4] = 1
    assert shown.cycles(each, Videos())[:3].tolist() == [1, 0.5, 0]


ACTIONS = ["boxing", "handclapping", "handwaving", "running", "walking"]  # of the clips of `studied`, in turn


def on_kth(length=6):
    """Return both models' studies of 12 clips of KTH, of which 3, 3, 2, 2 and 2 show the actions."""
    names = enumerate(("I3D-original", "C-LSTM"))
    pair = [replace(studied(name, "synth_kth", 32, seed, length), classes=ACTIONS) for seed, name in names]
    return {each.checkpoint: each for each in pair}


def test_masks_cover_a_cycle_where_they_last_longer_on_average(monkeypatch):
    monkeypatch.setattr(findings.data, "load", lambda *a, **k: Videos())
    for length, expected in ((14, "holds"), (4, "contradicted")):  # of 32 frames of 2 seconds; a cycle lasts 8 of them
        pair = on_kth(length)
        found = {one.id: one for one in findings.of_cycles(RUN, pair)}["vf.sec5.cycle"]
        mean = np.mean([each.length[each.labels < 3].mean() / 8 for each in pair.values()])
        assert found.interval.value == pytest.approx(mean)
        assert decided([found]) == {"vf.sec5.cycle": expected}


def test_only_actions_whose_cycle_is_symmetrical_say_what_reversing_a_cycle_costs(monkeypatch):
    monkeypatch.setattr(findings.data, "load", lambda *a, **k: Videos())
    pair = on_kth()
    for each in pair.values():
        each.whole[:] = each.original - np.array([0.01, 0.02, 0.03, 0.5, 0.9])[each.labels]  # walking loses most
    next(iter(pair.values())).mask[0] = 0  # a clip of boxing whose score no freezing lowers
    little = {one.id: one for one in findings.of_cycles(RUN, pair)}["vf.sec5.reverse-little"]
    assert little.interval.value == pytest.approx((2 * 0.01 + 3 * 0.02 + 2 * 0.03) / 7)
    assert "7 clips" in little.rests_on and "(1 left out" in little.rests_on
    assert decided([little]) == {"vf.sec5.reverse-little": "holds"}
    for each in pair.values():
        each.labels[[1, 2, 5, 6, 7]] = 4  # now two are left
    few = {one.id: one for one in findings.of_cycles(RUN, pair)}
    assert few["vf.sec5.reverse-little"].interval is None and few["vf.sec5.cycle"].interval is None
