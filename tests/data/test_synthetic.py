"""Procedural datasets: the interface, the same pixels everywhere, a frame depends on its time alone."""

import hashlib
import os
import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from paperlib import data
from paperlib.data.synthetic import hard, kinetics, mit, ssv2
from paperlib.errors import InputError

PLAIN = ("synth_ssv2", "synth_kinetics", "synth_mit", "synth_kth")
NAMES = (*PLAIN, *(f"{name}_hard" for name in PLAIN))

# sha256 of four frames of each of the first 40 videos; changes only when a dataset is meant to change, which
# makes trained checkpoints stale
FINGERPRINTS = {
    "synth_ssv2": "e8cfcf36ec77acab7ce71c4a32cff7207a7a8c3a7a5a8ead7fca1b97b340cd98",
    "synth_kinetics": "6bdafeb66d7ea6bd1014c8461af2e771272b30681aaaaa62865a36761f67b5ac",
    "synth_mit": "8a0c0bfd4a58629e01a7f4a86400e81f6a7217f95ffe825fc3c008a6de683d8a",
    "synth_kth": "4d4c3b78120ce40138d2bec6689c9c42e697b7546b0b00d954b9dbee28afae37",
    "synth_ssv2_hard": "00a7e6038f75636569239a3f7bf3010ce8fa5d5da0aada5382bc0d0c827deabc",
    "synth_kinetics_hard": "59ea445356501839fbe18efdcfae8687079946a2f138bd9d1bb66d1bcdf7a292",
    "synth_mit_hard": "28d19175683a1b924c1f6059eb22592ddbce7eadea5ad91db7ffa808090aef1e",
    "synth_kth_hard": "baab9fbf9fbec21727c9a7c2f4416848a000344deeca65f34aec6d1d917c2ca5",
}

ACCV_TABLE_2 = """burying something in something
moving something and something away from each other
moving something and something closer to each other
moving something and something so they collide with each other
moving something and something so they pass each other
moving something up
pretending to take something from somewhere
turning the camera downwards while filming something
turning the camera left while filming something
turning the camera right while filming something
turning the camera upwards while filming something""".splitlines()


def fingerprint(name):
    dataset, total = data.load(name, limit=40), hashlib.sha256()
    for i in range(40):
        n = dataset.num_frames(i)
        total.update(dataset.frames(i, np.arange(4) * (n - 1) // 3).tobytes())
        total.update(str(n).encode())
    return total.hexdigest()


@pytest.mark.parametrize("name", NAMES)
def test_frames_are_the_same_on_every_machine(name):
    assert fingerprint(name) == FINGERPRINTS[name]


def test_frames_do_not_depend_on_vector_instructions():
    """The same in a process whose numpy may use none of the processor's vector extensions."""
    found = np.show_config(mode="dicts")["SIMD Extensions"].get("found", [])
    if not found:
        pytest.skip("numpy uses no extensions here that could be turned off")
    code = f"from tests.data.test_synthetic import fingerprint; print(*map(fingerprint, {NAMES}))"
    env = {**os.environ, "NPY_DISABLE_CPU_FEATURES": " ".join(found)}
    out = subprocess.run([sys.executable, "-c", code], env=env, capture_output=True, text=True, check=True)
    assert out.stdout.split() == list(FINGERPRINTS.values())


@pytest.mark.parametrize("name", NAMES)
def test_frames_do_not_depend_on_the_maths_library(name, monkeypatch):
    """Other libraries' sines differ in the last bit: let every result be the next larger float64."""
    for function in ("sin", "cos", "exp", "arctan2", "arccos"):
        exact = getattr(np, function)
        monkeypatch.setattr(np, function, lambda *a, exact=exact: np.nextafter(np.float64(exact(*a)), np.inf))
    assert fingerprint(name) == FINGERPRINTS[name]


@pytest.mark.parametrize("name", NAMES)
def test_interface(name):
    dataset = data.load(name, "val", size=32)
    assert dataset.name == name and len(dataset) == len(dataset.labels) == len(dataset.ids)
    assert dataset.labels.dtype == np.int64 and len(set(dataset.ids)) == len(dataset)
    assert set(dataset.labels) == set(range(len(dataset.classes)))
    lengths = [dataset.num_frames(i) for i in range(200)]
    assert min(lengths) >= 1 and len(set(lengths)) > 10
    frames = dataset.frames(3, [0, lengths[3] - 1])
    assert frames.shape == (2, 32, 32, 3) and frames.dtype == np.uint8 and frames.flags.c_contiguous
    assert dataset.frames(3, []).shape == (0, 32, 32, 3)
    assert dataset.temporal is None or dataset.temporal.shape == (len(dataset.classes),)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("limit", (7, 100, None))
def test_every_limit_is_balanced_and_a_prefix(name, limit):
    dataset, whole = data.load(name, limit=limit), data.load(name)
    counts = np.bincount(dataset.labels, minlength=len(dataset.classes))
    assert counts.max() - counts.min() <= (4 if "kth" in name else 1)  # KTH itself lacks nine sequences
    assert dataset.ids == whole.ids[: len(dataset)] and len(dataset) == (limit or len(whole))


@pytest.mark.parametrize(
    "name, train, val",
    (
        ("synth_ssv2", 4000, 800),
        ("synth_kinetics", 4000, 800),
        ("synth_mit", 4008, 792),
        ("synth_kth", 1528, 863),
        ("synth_ssv2_hard", 2000, 800),
        ("synth_kinetics_hard", 1000, 800),
        ("synth_mit_hard", 1440, 792),
        ("synth_kth_hard", 1528, 863),
    ),
)
def test_sizes_and_disjoint_splits(name, train, val):
    first, second = data.load(name, "train", 16), data.load(name, "val", 16)
    assert (len(first), len(second)) == (train, val)
    assert not set(first.ids) & set(second.ids)
    seen = {first.frames(i, [0]).tobytes() for i in range(100)}
    assert not seen & {second.frames(i, [0]).tobytes() for i in range(100)}


@pytest.mark.parametrize("name", NAMES)
def test_no_class_paints_beyond_what_it_announces(name):
    """A shape's window on the canvas spans all frames asked for: alone, a frame must look the same."""
    dataset = data.load(name, "val", size=32)
    for i in range(3 * len(dataset.classes)):
        n = dataset.num_frames(i)
        together = dataset.frames(i, [0, n // 3, n // 2, n - 1])
        assert np.array_equal(dataset.frames(i, [n // 2])[0], together[2]), dataset.classes[dataset.labels[i]]


def test_small_frames_show_the_soft_edges_of_flat_shapes_whole():
    dataset = data.load("synth_ssv2", size=24)  # a wide rim, whose edge fades over two pixels
    together = dataset.frames(178, [0, 51])
    assert np.array_equal(dataset.frames(178, [51])[0], together[1])


@settings(max_examples=30, deadline=None)
@given(st.sampled_from(NAMES), st.integers(0, 400), st.data())
def test_a_frame_does_not_depend_on_the_others_asked_for(name, i, pick):
    dataset = data.load(name, size=24)
    indices = pick.draw(st.lists(st.integers(0, dataset.num_frames(i) - 1), min_size=2, max_size=6))
    together = dataset.frames(i, indices)
    alone = [dataset.frames(i, [k])[0] for k in indices]
    assert np.array_equal(together, np.stack(alone))


@pytest.mark.parametrize("name", NAMES)
def test_frame_rate_changes_only_which_times_are_seen(name):
    for i in range(0, 200, 23):
        slow = data.load(name, size=32)
        fast = data.load(name, size=32)
        fast.fps = 3 * slow.fps
        assert abs(fast.num_frames(i) - 3 * slow.num_frames(i)) <= 2
        k = slow.num_frames(i) // 2
        assert np.array_equal(slow.frames(i, [k]), fast.frames(i, [3 * k + 1]))  # both at (k + 1/2) / fps


@pytest.mark.parametrize("name", NAMES)
def test_resolution_changes_only_the_sharpness(name):
    small, large = data.load(name, size=48), data.load(name, size=192)
    differences, contrasts = [], []
    for i in range(0, 160, 7):
        k = small.num_frames(i) // 2
        a = small.frames(i, [k])[0].astype(float)
        b = large.frames(i, [k])[0].reshape(48, 4, 48, 4, 3).mean((1, 3))
        differences.append(np.abs(a - b).mean())
        contrasts.append(np.abs(a - a.mean((0, 1))).mean())
    assert np.mean(differences) < 0.15 * np.mean(contrasts)
    assert max(differences) < 12


@pytest.mark.parametrize("module", (ssv2, hard.motion_events), ids=("ssv2", "hard"))
def test_ssv2_has_the_classes_of_the_paper_and_its_pairs(module):
    assert len(module.CLASSES) == len(set(module.CLASSES)) >= 20
    assert {c.lower() for c in module.CLASSES} >= set(ACCV_TABLE_2)
    assert len(module.REVERSED) >= 10 and {c for pair in module.REVERSED for c in pair} < set(module.CLASSES)
    in_pairs = [module.CLASSES.index(c) for pair in module.REVERSED for c in pair]
    assert not module.TEMPORAL.all() and module.TEMPORAL[in_pairs].all()


@pytest.mark.parametrize(
    "module, pair",
    [(m, p) for m in (ssv2, mit) for p in m.REVERSED],
    ids=lambda v: v[0] if isinstance(v, tuple) else v.__name__.split(".")[-1],
)
def test_a_reversed_class_is_its_partner_backwards(module, pair):
    """Pixel for pixel, from the same random numbers: so both have the same single frames, in distribution."""
    from paperlib.data.synthetic.canvas import Draw

    u = (np.arange(9) + 0.5) / 9
    for seed in range(4):
        forward = module.render(pair[0], Draw(seed), u, 3.0, 32)
        backward = module.render(pair[1], Draw(seed), u, 3.0, 32)
        assert np.array_equal(forward, backward[::-1])
        assert not np.array_equal(forward, backward)


@pytest.mark.parametrize("name", ("synth_ssv2_hard", "synth_mit_hard"))
def test_a_reversed_class_plays_the_event_backwards(name):
    """At mirrored times of the event, from the same random numbers; the rest of the picture does not run backwards."""
    dataset = data.load(name, "val", size=32)
    for forward, backward in dataset.module.REVERSED:
        i = dataset.classes.index(forward)
        ((onset, end),) = dataset.timeline(i).events
        for share in (0.2, 0.35, 0.6):
            line = dataset.timeline(i)
            line.progress = lambda t, share=share: (np.ones(len(t), bool), np.full(len(t), share))
            back = dataset.timeline(i)
            back.progress = lambda t, share=share: (np.ones(len(t), bool), np.full(len(t), 1 - share))
            one, other = (
                dataset.module.film(text, dataset.streams(i), [(onset + end) / 2], moment, 32)
                for text, moment in ((forward, line), (backward, back))
            )
            assert np.array_equal(one, other), forward
            assert not np.array_equal(one, dataset.module.film(forward, dataset.streams(i), [1.0], back, 32))


def test_kinetics_is_static_and_mit_is_half_of_each():
    assert not kinetics.TEMPORAL.any()
    assert mit.TEMPORAL.sum() * 2 == len(mit.CLASSES)


def test_unusable_requests_name_what_is_wrong():
    dataset = data.load("synth_ssv2", limit=1)
    with pytest.raises(InputError, match="frames 0 to"):
        dataset.frames(0, [dataset.num_frames(0)])
    with pytest.raises(InputError, match="frames 0 to"):
        dataset.frames(0, [-1])
    with pytest.raises(InputError, match="at least 8"):
        data.load("synth_kth", size=4)
    with pytest.raises(InputError, match="synth_ssv2"):
        data.load("synth_ucf")
    with pytest.raises(InputError, match="val"):
        data.load("synth_ssv2", "test")
