"""Nagoya FIR and Weizmann: the authors' formats, splits by person, boundaries."""

import pickle
import zipfile

import numpy as np
import pytest
import scipy.io

from paperlib import data
from paperlib.data import check
from paperlib.data.public import nagoya, weizmann
from paperlib.errors import InputError
from tests import shared
from tests.data import layouts


@pytest.fixture
def recordings(tmp_path):
    return layouts.nagoya(tmp_path / "nagoya_fir", np.random.default_rng(0))


def test_the_authors_files_are_cut_at_the_annotated_frames(recordings):
    root, degrees = recordings
    dataset = nagoya.everything(root, size=16, name="nagoya_fir_context")
    assert [dataset.classes[k] for k in dataset.labels] == ["walk", "sitdown", "falling", "lie"] * 2
    assert dataset.people.tolist() == [
        "human1",
        "human1",
        "human2",
        "human2",
        "human3",
        "human3",
        "human4",
        "human4",
    ]
    first, last = (
        4,
        10,
    )  # of the first annotation; both ends are included, context is cut at the recording's start
    assert dataset.boundaries[0].tolist() == [4, 11] and dataset.num_frames(0) == 11 + 8
    assert dataset.boundaries[3].tolist() == [8, 22] and dataset.num_frames(3) == 8 + 14 + 1  # cut at its end
    for i, name in ((0, "20170203_p9_light1.csv"), (4, "20170206_p9_light1.csv")):
        frames = np.round(degrees[name][0 : last + 1 + 8], 2)
        grey = np.clip((frames - np.median(frames) + 0.5) / 2, 0, 1) * 255
        got = dataset.frames(i, np.arange(len(frames)))[..., 0].reshape(-1, 256)
        assert np.abs(got - grey).max() <= 0.51
    bare = nagoya.everything(root, size=16)
    assert bare.num_frames(0) == last - first + 1 and bare.boundaries[0].tolist() == [0, 7]
    start, stop = dataset.boundaries[0]
    assert np.flatnonzero(dataset.annotated(0, np.arange(19))).tolist() == list(range(4, 11))
    assert bare.annotated(0, [0, 6]).all()
    assert (bare.frames(0, np.arange(7)) == dataset.frames(0, np.arange(start, stop))).all()


def test_a_repacked_archive_gives_the_same_dataset(recordings, tmp_path):
    """The authors' files packed as the .npz is; its strings are pickled objects."""
    root, degrees = recordings
    rows = []
    for path in sorted((root / "annotation").iterdir()):
        for line in path.read_text().splitlines():
            name, first, last, label, _ = line.split(",")
            begin, end = max(0, int(first) - 8), min(60, int(last) + 9)
            rows.append((name, label, int(first) - begin, int(last) + 1 - begin, degrees[name][begin:end]))
    frames = [np.round(np.round(r[4] * 100)).astype(np.int16).reshape(-1, 16, 16) for r in rows]
    offsets = np.cumsum([0] + [len(f) for f in frames[:-1]])
    packed = tmp_path / "packed"
    packed.mkdir()
    np.savez(
        packed / nagoya.PACKED,
        frames=np.concatenate(frames),
        offset=offsets,
        recording=np.array([r[0] for r in rows], object),
        label=np.array([r[1] for r in rows], object),
        day=np.array([r[0][:8] for r in rows], object),
        length=np.array([len(f) for f in frames]),
        start=np.array([r[2] for r in rows]),
        stop=np.array([r[3] for r in rows]),
    )
    ours, theirs = nagoya.everything(packed, 16), nagoya.everything(root, 16)
    assert ours.people.tolist() == theirs.people.tolist() and ours.labels.tolist() == theirs.labels.tolist()
    assert ours.boundaries.tolist() == theirs.boundaries.tolist()
    assert all((a == b).all() for a, b in zip(ours.sequences, theirs.sequences, strict=True))


def test_a_data_file_cannot_run_code(tmp_path):
    class Evil:
        def __reduce__(self):
            return (open, (str(tmp_path / "ran"), "w"))

    array = np.array([Evil()], object)
    with (
        zipfile.ZipFile(tmp_path / nagoya.PACKED, "w") as archive,
        archive.open("recording.npy", "w") as file,
    ):
        np.lib.format.write_array_header_1_0(file, {"descr": "|O", "fortran_order": False, "shape": (1,)})
        pickle.dump(array, file)
    with pytest.raises(InputError, match="not allowed"):
        nagoya.everything(tmp_path)
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize(
    "line",
    [
        "x.csv,1,2,walk,human1",
        "20170203_p9_light1.csv,1,walk,human1",
        "20170203_p9_light1.csv,50,60,walk,human1",
        "20170203_p9_light1.csv,9,5,walk,human1",
        "20170203_p8_light1.csv,1,2,walk,human1",
        "20170203_p9_light1.csv,1,2,fly,human1",
        "../../20170203_p9_light1.csv,1,2,walk,human1",
    ],
)
def test_wrong_annotations_are_explained(recordings, line):
    root, _ = recordings
    (root / "annotation" / "annotation_20170203_human.csv").write_text(line + "\n")
    with pytest.raises(InputError) as caught:
        nagoya.everything(root)
    assert str(caught.value).endswith(".")


def test_damaged_recordings_are_explained(recordings):
    root, _ = recordings
    path = root / "20170203" / "raw" / "20170203_p9_light1.csv"
    for content in ("", "a\nb\n1,2,x\n", "a\nb\n1,2,3\n"):
        path.write_text(content)
        with pytest.raises(InputError, match="20170203_p9_light1.csv"):
            nagoya.everything(root)


def test_nagoya_as_published():
    """2,520 segments of nine people who all do all seven actions equally often; p1 to p15 are not people."""
    shared.path("real/nagoya_fir_actions.npz")
    for name in ("nagoya_fir", "nagoya_fir_context"):
        train, val = (data.load(name, s, size=32, root=shared.FOLDER) for s in ("train", "val"))
        assert len(train) + len(val) == 2520 and len(train.classes) == 7
        assert set(val.people) == {"human3", "human6", "human9"} and not set(train.people) & set(val.people)
        for dataset in (train, val):
            for person in set(dataset.people):
                assert np.bincount(dataset.labels[dataset.people == person]).tolist() == [40] * 7
    assert (val.boundaries[:, 0] == 8).all()
    assert all(val.num_frames(i) - val.boundaries[i, 1] == 8 for i in range(len(val)))
    assert val.temporal.tolist() == [c in ("walk", "sitdown", "standup", "falling") for c in val.classes]
    # the first lines of the authors' annotation: 190-202, 315-325, 250-266, 270-285, 303-335, inclusive
    everything = nagoya.everything(shared.path("real"))
    assert everything.ids[0].startswith("20170203_p1_light1") and everything.ids[2].startswith("20170203_p1_light2")
    assert [everything.num_frames(i) for i in range(5)] == [13, 11, 17, 16, 33]
    assert everything.people[:10].tolist() == ["human1", "human2", *["human1"] * 4, *["human2"] * 4]


def test_leave_one_person_out():
    dataset = weizmann.everything(shared.path("real"))
    for person in sorted(set(dataset.people)):
        train, held_out = dataset.without(person)
        assert set(held_out.people) == {person} and person not in set(train.people)
        assert len(train) + len(held_out) == 93 and set(held_out.labels) == set(range(10))
    with pytest.raises(InputError, match="nobody.*daria"):
        dataset.without("nobody")
    with pytest.raises(InputError):
        dataset.without()


def test_weizmann_as_published():
    shared.path("real/weizmann_original_masks.mat")
    dataset = weizmann.everything(shared.path("real"), size=90)
    assert len(dataset) == 93 and len(set(dataset.people)) == 9
    assert np.bincount(dataset.labels).tolist() == [
        9,
        9,
        9,
        9,
        10,
        9,
        10,
        10,
        9,
        9,
    ]  # lena runs, skips, walks twice
    original = scipy.io.loadmat(shared.path("real/weizmann_original_masks.mat"))["original_masks"][0, 0]
    for i in (0, 55, 92):
        mask = original[dataset.ids[i]]
        assert mask.shape[2] == dataset.num_frames(i)
        frame = dataset.frames(i, [7])[0, ..., 0]
        assert frame.shape == (90, 90) and frame[:9].max() == 0 and frame[81:].max() == 0  # padded, not cropped
        halved = mask[..., 7].reshape(72, 2, 90, 2).mean((1, 3)) * 255
        assert np.abs(frame[9:81].astype(float) - halved).max() <= 1
    assert data.load("weizmann", "train", root=shared.FOLDER).people.tolist().count("lyova") == 0


def test_weizmann_files_that_are_none_are_explained(tmp_path):
    target = tmp_path / "original_masks.mat"
    for content in (b"", b"nothing", b"MATLAB 5.0 MAT-file" + bytes(500)):
        target.write_bytes(content)
        with pytest.raises(InputError, match="original_masks.mat"):
            weizmann.everything(tmp_path)
    scipy.io.savemat(target, {"something": np.zeros(3)})
    with pytest.raises(InputError, match="original_masks"):
        weizmann.everything(tmp_path)
    scipy.io.savemat(target, {"original_masks": {"someone_flies": np.ones((4, 4, 3), np.uint8)}})
    with pytest.raises(InputError, match="someone_flies"):
        weizmann.everything(tmp_path)
    scipy.io.savemat(
        target,
        {
            "original_masks": {
                "ann_run2": np.ones((4, 4, 3), np.uint8),
                "bob_wave1": np.ones((4, 4, 5), np.uint8),
            }
        },
    )
    dataset = weizmann.everything(tmp_path, 8)
    assert [dataset.classes[k] for k in dataset.labels] == ["run", "wave1"]
    assert dataset.people.tolist() == ["ann", "bob"]
    with pytest.raises(InputError, match="5 frames"):
        dataset.frames(1, [5])


def test_check_knows_them(recordings):
    root, _ = recordings
    train, val = check.check(root, ["nagoya_fir"])
    assert train.problem == val.problem  # two of the three people that validate are not in this excerpt
    shared.path("real/weizmann_original_masks.mat")
    reports = check.check(shared.FOLDER, ["weizmann"])
    assert [r.present for r in reports] == [63, 30] and all(r.fine for r in reports)
