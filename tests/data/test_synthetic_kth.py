"""`synth_kth` has KTH's structure, and its people move as people do."""

import numpy as np
import pytest

from paperlib import data
from paperlib.data.synthetic.canvas import Draw
from paperlib.data.synthetic.figure import FORE, SHANK, THIGH, UPPER, Figure
from paperlib.data.synthetic.gait import GAITS, SOLE, Gait, Standing
from paperlib.data.synthetic.hard.pose_events import PASSES, Stance, to_and_fro
from paperlib.data.synthetic.kth import ACTIONS, Sequence

PHASES = np.arange(200) / 200


@pytest.fixture(scope="module")
def splits():
    return data.load("synth_kth", "train"), data.load("synth_kth", "val")


def test_the_hard_set_has_the_same_sequences(splits):
    for plain, split in zip(splits, ("train", "val"), strict=True):
        hard = data.load("synth_kth_hard", split, limit=300)
        assert hard.ids == plain.ids[:300] and np.array_equal(hard.labels, plain.labels[:300])
        assert np.array_equal(hard.subjects, plain.subjects[:300])
        frames = hard.frames(0, [0, 5])
        assert (frames == frames[..., :1]).all() and hard.native(0, [0, 5]).shape == (2, 120, 160, 3)


@pytest.mark.parametrize("action", ACTIONS)
@pytest.mark.parametrize("done", (0.0, 0.31, 0.77))
def test_at_any_time_of_the_hard_sets_actions_every_pose_is_as_likely(action, done):
    """Place, stride and both arms are uniform and independent: what a frame shows does not depend on the action."""
    phases = np.array([np.array(Stance(Draw(seed), 1.0, 3.0).at(action, done)) for seed in range(3000)]) % 1
    for k in range(4):
        counts = np.histogram(phases[:, k], 10, (0, 1))[0]
        assert ((counts - 300) ** 2 / 300).sum() < 34  # chi squared, 9 degrees of freedom, p = 1e-4
        for other in range(k):
            for sign in (-1, 1):
                assert abs(np.exp(2j * np.pi * (phases[:, k] + sign * phases[:, other])).mean()) < 3.1 / np.sqrt(3000)


@pytest.mark.parametrize("action", ACTIONS)
def test_hard_actions_come_back_to_where_they_started_and_move_what_they_should(action):
    stance, done = Stance(Draw(1), 1.0, 3.0), np.linspace(0, 1, 3001)
    phases = np.array(stance.at(action, done))
    assert np.allclose((phases[:, -1] - phases[:, 0] + 0.5) % 1, 0.5)
    moved = np.abs(np.diff(phases, axis=1)).sum(1)
    walks = action in PASSES
    assert (moved[:2] > 0.99).all() == walks and (moved[:2] == 0).all() == (not walks)
    assert (moved[2:] == 0).all() == walks and np.abs(np.diff(phases, axis=1)).max() < 0.02
    together = (np.abs(np.diff(phases[2:], axis=1)) > 1e-9).all(0).mean()
    assert together > 0.95 if action.startswith("hand") else together < 0.05
    where, forward = to_and_fro(phases[0])
    if walks:
        assert (np.diff(where)[forward[:-1] & forward[1:]] > 0).all()
        assert (np.diff(forward.astype(int)) != 0).sum() == 2 * PASSES[action]


def test_recordings_and_sequences_are_those_of_kth(splits):
    ids = splits[0].ids + splits[1].ids
    assert len(ids) == len(set(ids)) == 2391
    recordings = {i.split("/")[0] for i in ids}
    assert len(recordings) == 599 and "person13_handclapping_d3" not in recordings
    assert sum(f"{r}/4" not in ids for r in recordings) == 5
    assert set(splits[0].subjects) == set(range(1, 17)) and set(splits[1].subjects) == set(range(17, 26))
    assert set(splits[0].settings) == {1, 2, 3, 4}
    assert splits[1].actions == [ACTIONS[k] for k in splits[1].labels] and splits[1].classes == list(ACTIONS)


def test_lengths_are_one_to_ten_seconds(splits):
    lengths = np.array([splits[1].num_frames(i) for i in range(len(splits[1]))])
    assert lengths.min() >= 25 and lengths.max() <= 250
    mean = {a: lengths[splits[1].labels == k].mean() for k, a in enumerate(ACTIONS)}
    assert mean["running"] < mean["jogging"] < mean["walking"]


def test_frames_are_grey_and_the_native_frame_is_160_by_120(splits):
    frames = splits[0].frames(0, [0, 5])
    assert (frames == frames[..., :1]).all()
    native = splits[0].native(0, [0, 5])
    assert native.shape == (2, 120, 160, 3)
    whole = data.load("synth_kth", "train", size=160, limit=1).frames(0, [0, 5])
    assert np.array_equal(native, whole[:, 20:140])  # all 160 columns, the middle 120 of 160 lines


def test_walkers_joggers_and_runners_enter_and_leave_in_both_directions(splits):
    dataset, facing = splits[1], []
    for i in np.flatnonzero((dataset.labels >= 3) & (dataset.settings != 2))[:40]:
        n = dataset.num_frames(i)
        frames = dataset.frames(i, np.arange(9) * (n - 1) // 8).astype(int)[..., 0]
        people = [(np.abs(frames[k] - np.median(frames, 0)) > 25).any(0) for k in (0, 2, 4, 8)]
        assert people[1].sum() > 3 and people[2].sum() > 3
        assert people[0][16:-16].sum() == 0 and people[3][16:-16].sum() == 0  # at most a leg, at the edge
        facing.append(np.sign(np.flatnonzero(people[2]).mean() - np.flatnonzero(people[1]).mean()))
    assert 0.25 < np.mean(np.array(facing) > 0) < 0.75


def feet(way, figure):
    """Height of each ankle above the ground minus the sole, `[2, phases]`, and its place along the ground."""
    at = figure.joints(way.pose(PHASES))
    hip = way.hip(PHASES)
    height = np.array([hip - at["ankle", k][1] - SOLE for k in (0, 1)])
    return height, np.array([at["ankle", k][0] for k in (0, 1)])


@pytest.mark.parametrize("action", GAITS)
def test_feet_carry_the_body_and_leave_the_ground_as_the_action_demands(action):
    for seed in range(10):
        figure = Figure(Draw(seed), 1.0)
        way = Gait(Draw(seed), action, figure.leg)
        height, _ = feet(way, figure)
        assert height.min() > -0.01, "a foot sinks into the ground"
        flight = (height.min(0) > 0.005).mean()
        low, high = {"walking": (0.0, 0.0), "jogging": (0.05, 0.3), "running": (0.2, 0.5)}[action]
        assert low <= flight <= high
        swing = height.max(1)
        assert (swing > 0.05).all(), "a swinging foot clears the ground"


@pytest.mark.parametrize("action", GAITS)
def test_the_standing_foot_hardly_slides(action):
    for seed in range(10):
        figure = Figure(Draw(seed), 1.0)
        way = Gait(Draw(seed), action, figure.leg)
        height, x = feet(way, figure)
        down = (height[0] < 0.004) & (PHASES > 0.1) & (PHASES < 0.4)  # middle of the near foot's stance
        place = (x[0] + way.stride * PHASES)[down]
        assert down.sum() > 10 and np.ptp(place) < 0.25 * way.stride * np.ptp(PHASES[down]) + 0.05


def test_gaits_differ_in_more_than_speed():
    def measures(action, seed):
        way = Gait(Draw(seed), action)
        pose = way.pose(PHASES)
        return (
            way.stride,
            np.mean(pose.torso),
            np.ptp(pose.upper[0]),
            np.max(pose.thigh[0] - pose.shank[0]),
            np.mean(pose.fore[0] - pose.upper[0]),
        )

    everyone = range(20)
    walk, jog, run = (np.array([measures(a, s) for s in everyone]) for a in ("walking", "jogging", "running"))
    for smaller, larger in ((walk, jog), (jog, run)):
        # stride, lean and knee bend grow for everyone; arm swing and elbow bend on average
        assert (smaller[:, [1, 3]].max(0) < larger[:, [1, 3]].min(0)).all()
        assert (smaller.mean(0) < larger.mean(0)).all()
    assert len(np.unique(walk[:, 0])) == 20, "people differ"


@pytest.mark.parametrize("action", ACTIONS)
def test_limbs_keep_their_lengths(action):
    figure = Figure(Draw(3), 1.0)
    pose = (Gait if action in GAITS else Standing)(Draw(4), action).pose(PHASES)
    at = figure.joints(pose)
    for k in (0, 1):
        for a, b, length in (
            ("hip", "knee", THIGH * figure.leg),
            ("knee", "ankle", SHANK * figure.leg),
            ("shoulder", "elbow", UPPER * figure.arm),
            ("elbow", "wrist", FORE * figure.arm * pose.fold[k]),
        ):
            d = np.hypot(at[b, k][0] - at[a, k][0], at[b, k][1] - at[a, k][1])
            assert np.allclose(d, length, atol=1e-9)


def test_knees_and_elbows_bend_one_way_only():
    for action in ("boxing", *GAITS):
        for seed in range(10):
            pose = (Gait if action in GAITS else Standing)(Draw(seed), action).pose(PHASES)
            for k in (0, 1):
                assert np.min(pose.thigh[k] - np.asarray(pose.shank[k])) > -0.05
                assert np.min(pose.fore[k] - np.asarray(pose.upper[k])) > -0.05


def test_subjects_keep_their_build_and_gait_and_change_clothes_in_setting_3():
    one, other, coat = (Sequence(5, "walking", d, f"person05_walking_d{d}", k) for d, k in ((1, 1), (4, 2), (3, 1)))
    assert one.figure.height == other.figure.height == coat.figure.height
    assert one.way.stride == other.way.stride and one.figure.shirt == other.figure.shirt != coat.figure.shirt
    stranger = Sequence(6, "walking", 1, "person06_walking_d1", 1)
    assert (stranger.figure.height, stranger.way.stride) != (one.figure.height, one.way.stride)


def test_setting_2_zooms():
    zoomed = Sequence(5, "boxing", 2, "person05_boxing_d2", 1)
    fixed = Sequence(5, "boxing", 1, "person05_boxing_d1", 1)
    assert max(zoomed.zoom) / min(zoomed.zoom) > 1.2 and fixed.zoom[0] == fixed.zoom[1]
