"""The public datasets' official layouts, in miniature: from list to decoded, sampled clip and model."""

import shutil
import warnings

import av
import cv2
import numpy as np
import pytest
import torch
from PIL import Image

from paperlib import data
from paperlib.data import public, video
from paperlib.data.loading import batches
from paperlib.errors import InputError
from tests.data import layouts, videos

pytestmark = pytest.mark.filterwarnings("ignore:.*listed videos are not there")


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    """One data folder with every dataset in its usual subfolder."""
    root = tmp_path_factory.mktemp("data")
    layouts.kinetics(root / "kinetics400")
    layouts.something(root / "Something-Something-V2")
    layouts.moments(root / "mit")
    layouts.kth(root / "kth")
    layouts.frames(root / "frames")
    layouts.folder(root / "videos")
    return root


EXPECTED = {  # name, split -> (classes, ids with labels, missing)
    ("kinetics400", "train"): (
        ["abseiling", "air drumming", "yoga"],
        {"aaaaaaaaaaa_000010_000020": 0, "bbbbbbbbbbb_000000_000010": 1, "ccccccccccc_000003_000013": 2},
        [],
    ),
    ("kinetics400", "val"): (
        ["abseiling", "air drumming", "yoga"],
        {"-_dddddddd_000007_000017": 0, "eeeeeeeeeee_000001_000011": 2},
        ["missing1234_000005_000015"],
    ),
    ("ssv2", "train"): (
        [
            "Approaching something with your camera",
            "Bending something until it breaks",
            "Closing something",
            "Holding something",
        ],
        {"101": 1, "7": 2, "78687": 0},
        [],
    ),
    ("ssv2", "val"): (
        [
            "Approaching something with your camera",
            "Bending something until it breaks",
            "Closing something",
            "Holding something",
        ],
        {"20": 0, "21": 3},
        [],
    ),
    ("mit", "train"): (
        ["clapping", "adult+female+singing", "baking"],
        {"clapping/yt-a.mp4": 0, "baking/yt-b_1.mp4": 2},
        [],
    ),
    ("mit", "val"): (
        ["clapping", "adult+female+singing", "baking"],
        {"adult+female+singing/fl-c.mp4": 1},
        ["baking/absent.mp4"],
    ),
    ("kth", "train"): (
        ["boxing", "handclapping", "handwaving", "jogging", "running", "walking"],
        {
            "person01_boxing_d1_1-5": 0,
            "person01_boxing_d1_6-10": 0,
            "person01_boxing_d1_11-16": 0,
            "person01_boxing_d1_12-20": 0,
            "person16_walking_d2_1-8": 5,
            "person16_walking_d2_9-20": 5,
        },
        [],
    ),
    ("kth", "val"): (
        ["boxing", "handclapping", "handwaving", "jogging", "running", "walking"],
        {
            "person17_walking_d1_1-4": 5,
            "person17_walking_d1_15-20": 5,
            "person17_walking_d1_5-14": 5,
            "person22_running_d4_3-9": 4,
        },
        ["person25_jogging_d4_1-9"],
    ),
    ("frames", "train"): (["0", "1"], {"videos/a b": 1, "videos/c": 0}, []),
    ("frames", "val"): (["0", "1"], {"videos/d": 1}, []),
}


@pytest.mark.parametrize(("name", "split"), EXPECTED)
def test_lists_are_read_as_published(root, name, split):
    classes, labels, missing = EXPECTED[name, split]
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        dataset = data.load(name, split, size=32, root=root)
    listed = f"1 of {len(labels) + 1} listed videos are not there, such as {missing[0]}." if missing else ""
    assert [str(one.message) for one in said] == ([f"{dataset.folder}: {listed}"] if missing else [])
    assert dataset.name == name and dataset.classes == classes and dataset.missing == missing
    assert dict(zip(dataset.ids, dataset.labels.tolist(), strict=True)) == labels
    assert dataset.labels.dtype == np.int64 and len(dataset) == len(labels)


@pytest.mark.parametrize(
    ("name", "split", "i", "length", "first"),
    [
        ("kinetics400", "val", 0, 20, 0),
        ("ssv2", "val", 1, 12, 0),
        ("mit", "val", 0, 15, 0),
        ("kth", "train", 3, 9, 11),
        ("kth", "val", 1, 6, 14),
        ("frames", "train", 1, 8, 3),
        ("frames", "train", 0, 12, 1),
    ],
)
def test_frames_are_the_listed_ones(root, name, split, i, length, first):
    """Every frame carries its number: the range of the list is the range that comes out."""
    dataset = data.load(name, split, size=32, root=root)
    assert dataset.num_frames(i) == length
    # the centre square of a wide frame loses the outer number blocks: read the whole frame instead
    whole = dataset._decode(i, np.arange(length), 32)
    assert [videos.number(f) for f in whole] == list(range(first, first + length))
    got = dataset.frames(i, [length - 1, 0, 0])
    assert got.shape == (3, 32, 32, 3) and got.dtype == np.uint8
    assert (got[1] == got[2]).all() and (got[0] != got[1]).any()


@pytest.mark.parametrize("name, length", [("kth", 5), ("frames", 12)])
def test_frames_beside_the_listed_part_are_refused(root, name, length):
    """Also where the file goes on after it."""
    dataset = data.load(name, "train", size=16, root=root)
    for index in (-1, length):
        with pytest.raises(InputError, match=rf" has {length} frames, not \[0, {index}\]"):
            dataset.frames(0, [0, index])
    with pytest.raises(InputError, match=f" has {length} frames"):
        dataset.views(0, [length], 3)


def test_the_centre_is_cut_out_after_scaling(root):
    """size / 0.875, then the centre square: what the papers do with 224 and 256."""
    dataset = data.load("kinetics400", "val", size=28, root=root)
    short = dataset._decode(0, [3], 32)
    assert short.shape[1:3] == (32, 43)
    y, x = 2, round((43 - 28) / 2)
    assert (dataset.frames(0, [3])[0] == short[0, y : y + 28, x : x + 28]).all()
    assert dataset.views(0, [3], 3).shape == (3, 1, 28, 28, 3)


def test_mini_datasets_are_the_papers_class_subsets(root):
    mini = data.load("mini_kinetics", "train", size=32, root=root)
    assert len(mini.classes) == 200 and mini.classes[0] == "air drumming" and mini.classes[-1] == "yoga"
    assert [mini.classes[k] for k in mini.labels] == ["air drumming", "yoga"]  # abseiling is not among them
    mini = data.load("mini_ssv2", "train", size=32, root=root)
    assert len(mini.classes) == 87 and all("\n" not in c and c == c.strip() for c in mini.classes)
    assert sorted(mini.classes[k] for k in mini.labels) == [
        "Approaching something with your camera",
        "Bending something until it breaks",
    ]
    assert data.load("mini_mit", "train", size=32, root=root).classes == [
        "clapping",
        "adult+female+singing",
        "baking",
    ]


def test_of_several_folders_the_one_of_the_data_sets_own_name_is_read(tmp_path):
    for name, classes in (("Moments_in_Time_Raw", 339), ("mini_mit", 200)):  # in alphabetical order, too
        (tmp_path / name).mkdir()
        lines = "".join(f"class {k},{k}\n" for k in range(classes))
        (tmp_path / name / "moments_categories.txt").write_text(lines)
    assert public.locate("mit", tmp_path).name == "Moments_in_Time_Raw"
    assert public.locate("mini_mit", tmp_path).name == "mini_mit"
    (tmp_path / "mit").mkdir()
    (tmp_path / "mit/moments_categories.txt").write_text("clapping,0\n")  # a part of it, with as few classes
    assert [public.locate(name, tmp_path).name for name in ("mit", "mini_mit")] == ["mit", "mini_mit"]
    with pytest.raises(InputError, match="does not hold mit"):
        public.locate("mit", tmp_path / "mini_mit")
    for name in ("extracted_frames", "frames", "rawframes"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "val.txt").write_text("a 1 2 0\n")
    assert public.locate("frames", tmp_path).name == "frames"


def test_ranges_end_with_their_recording(tmp_path):
    root = layouts.kth(tmp_path / "kth")
    (root / "00sequences.txt").write_text("person01_boxing_d1\tframes\t15-22, 21-40, 15-23, 1-40, 21-21\n")
    dataset = data.load("kth", "train", size=16, root=root)
    assert dataset.num_frames(0) == 6
    assert [videos.number(f) for f in dataset._decode(0, np.arange(6), 32)] == list(range(14, 20))
    for i, (part, end) in enumerate([("21-40", "starts"), ("15-23", "ends"), ("1-40", "ends"), ("21-21", "starts")], 1):
        with pytest.raises(data.video.VideoError, match=f"ends before person01_boxing_d1_{part} {end}: it has 20"):
            dataset.num_frames(i)


@pytest.mark.filterwarnings("ignore:.*left out")
def test_own_videos_are_split_by_name(root):
    train, val = (data.load("folder", s, size=16, root=root) for s in ("train", "val"))
    assert train.classes == val.classes == ["jump", "sit"]
    assert not set(train.ids) & set(val.ids) and len(train) + len(val) == 10


def test_what_is_left_out_of_own_videos_is_said_with_the_reason(tmp_path):
    """Files of other systems, folders within folders, endings of other things: none is a video, none is silent."""
    root = layouts.folder(tmp_path / "videos")
    for name in ("jump/._0.mp4", ".DS_Store", "sit/Thumbs.db", "__MACOSX/jump/._0.mp4", "README.md"):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(b"x")
    videos.write(root / "jump" / "takes" / "1.mp4", n=3)
    videos.write(root / "loose.mp4", n=3)
    videos.write(root / "run" / "monday" / "1.mp4", n=3)
    videos.write(root / "sit" / "y.Y4M", n=3, codec="rawvideo", container="yuv4mpegpipe")
    with pytest.warns(
        UserWarning, match=r"left out: \.DS_Store, __MACOSX, jump/\._0\.mp4 and 1 more \(an operating"
    ) as said:
        train, val = (data.load("folder", s, size=16, root=tmp_path) for s in ("train", "val"))
    assert "\n" not in str(said[0].message) and "loose.mp4 (it is in no class folder)" in str(said[0].message)
    assert train.classes == ["jump", "sit"] and len(train) + len(val) == 11 and "sit/y.Y4M" in train.ids + val.ids
    system = "an operating system or a program keeps it for itself"
    assert train.left_out == val.left_out == train.subset([0]).left_out
    assert train.left_out == [
        (".DS_Store", system),
        ("README.md", "it is in no class folder"),
        ("__MACOSX", system),
        ("jump/._0.mp4", system),
        ("jump/notes.txt", "its ending is not that of a video"),
        ("jump/takes", "a folder within a class folder is not read"),
        ("loose.mp4", "it is in no class folder"),
        ("run", "no video is directly in it"),
        ("run/monday", "a folder within a class folder is not read"),
        ("sit/Thumbs.db", system),
        ("sit/notes.txt", "its ending is not that of a video"),
    ]


def test_a_folder_of_folders_alone_is_refused_with_the_reason(tmp_path):
    videos.write(tmp_path / "videos" / "jump" / "monday" / "1.mp4", n=3)
    with pytest.raises(InputError, match=r"left out: jump \(no video is directly in it\); jump/monday \(a folder with"):
        data.load("folder", "train", root=tmp_path)


def test_own_videos_with_splits(tmp_path):
    for split in ("train", "val"):
        for label in ("a", "b"):
            videos.write(tmp_path / split / label / f"{split}.avi", n=4, codec="mjpeg", pix_fmt="yuvj420p")
    (tmp_path / "extra").mkdir()
    (tmp_path / "val" / "b" / "list.csv").touch()
    for split in ("train", "val"):
        with pytest.warns(UserWarning, match="left out"):
            dataset = data.load("folder", split, size=16, root=tmp_path)
        assert dataset.left_out == [
            ("extra", "it is beside train and val"),
            ("val/b/list.csv", "its ending is not that of a video"),
        ]
        assert dataset.ids == [f"a/{split}.avi", f"b/{split}.avi"] and dataset.labels.tolist() == [0, 1]


@pytest.mark.parametrize("train, val", [("Train", "Val"), ("TRAINING", "Validation"), ("train", "Test")])
def test_the_folders_of_the_splits_may_have_capitals(tmp_path, train, val):
    for name in (f"{train}/a/1.mp4", f"{train}/b/2.mp4", f"{val}/b/3.mp4"):
        (tmp_path / "videos" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "videos" / name).touch()
    found = [data.load("folder", split, root=tmp_path) for split in ("train", "val")]
    assert [dataset.ids for dataset in found] == [["a/1.mp4", "b/2.mp4"], ["b/3.mp4"]]
    assert [dataset.classes for dataset in found] == [["a", "b"]] * 2
    assert found[1].path(0) == tmp_path / "videos" / val / "b" / "3.mp4"


def test_a_split_without_videos_is_said_and_the_other_one_read(tmp_path):
    for name in ("train/a/1.mp4", "train/b/1.mp4", "val/a/notes.txt"):
        (tmp_path / "videos" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "videos" / name).touch()
    shutil.copytree(tmp_path / "videos" / "train", tmp_path / "one_of_each")
    with pytest.warns(UserWarning, match=r"left out: val/a \(no video is directly in it\)"):
        assert data.load("folder", "train", root=tmp_path).ids == ["a/1.mp4", "b/1.mp4"]
    with pytest.raises(InputError, match=r"videos: no video for val; left out: val/a \(no video.* put your videos"):
        data.load("folder", "val", root=tmp_path)
    assert len(data.load("folder", "train", root=tmp_path / "one_of_each")) == 2
    with pytest.raises(InputError, match="no video for val; .* a fifth of every class of two or more becomes the val"):
        data.load("folder", "val", root=tmp_path / "one_of_each")


def test_lists_with_semicolons_and_class_names(tmp_path):
    root = layouts.frames(tmp_path / "frames", separator=";")
    (root / "classes.txt").write_text("sit\nstand\n")
    dataset = data.load("frames", "train", size=16, root=root)
    assert dataset.ids == ["videos/a b", "videos/c"] and dataset.classes == ["sit", "stand"]


def test_images_that_are_extracted_again_under_other_names_are_found(tmp_path):
    root = layouts.frames(tmp_path / "frames")
    dataset = data.load("frames", "val", size=16, root=root)
    before = dataset.frames(0, [5, 0])
    for image in sorted((root / "videos" / "d").iterdir()):
        image.rename(image.with_name(f"img_{image.name}"))
    assert np.array_equal(dataset.frames(0, [5, 0]), before)


def test_photographs_held_sideways_come_out_upright(tmp_path):
    """One picture for each of the EXIF orientations, stored as the standard says."""
    stored = (
        lambda p: p[:, ::-1],
        lambda p: p[::-1, ::-1],
        lambda p: p[::-1],
        lambda p: p.swapaxes(0, 1),
        lambda p: np.rot90(p),
        lambda p: p[::-1, ::-1].swapaxes(0, 1),
        lambda p: np.rot90(p, -1),
    )
    root = layouts.frames(tmp_path / "frames")
    (root / "val.txt").write_text("videos/d 2 9 1\n")
    for k, turn in enumerate([*stored, lambda p: p], 2):  # 9: there is no such orientation
        exif = Image.Exif()
        exif[0x0112] = k
        picture = Image.fromarray(np.ascontiguousarray(turn(videos.picture(k))))
        picture.save(root / "videos" / "d" / f"{k:05d}.jpg", quality=95, exif=exif)
    whole = data.load("frames", "val", size=32, root=root)._decode(0, np.arange(8), 48)
    assert whole.shape == (8, 48, 64, 3) and [videos.number(f) for f in whole] == list(range(2, 10))


@pytest.mark.parametrize("colours", [1, 3])
def test_pixels_of_16_bits_become_those_of_8(tmp_path, colours):
    """Images and videos whose values are 0 to 65535: 257 times those of 8 bits, and all between."""
    wide = np.linspace(0, 65535, 2 * 48 * 64).astype(np.uint16).reshape(2, 48, 64, 1).repeat(colours, 3)
    wide[0] = np.arange(256).repeat(12).reshape(48, 64, 1) * 257
    wide[..., 1:2] = wide[:, ::-1, :, 1:2]
    frames = tmp_path / "frames"
    (frames / "a").mkdir(parents=True)
    (frames / "val.txt").write_text("a 1 2 0\n")
    kind = "gray16le" if colours == 1 else "rgb48le"
    with av.open(str(tmp_path / "video.mkv"), "w") as out:
        stream = out.add_stream("ffv1", rate=25)
        stream.width, stream.height, stream.pix_fmt = 64, 48, kind
        for k, picture in enumerate(wide, 1):
            cv2.imwrite(str(frames / "a" / f"{k:05d}.png"), picture[..., ::-1])
            pixels = np.ascontiguousarray(picture if colours == 3 else picture[..., 0])
            out.mux(stream.encode(av.VideoFrame.from_ndarray(pixels, kind)))
        out.mux(stream.encode(None))
    read = data.load("frames", "val", size=32, root=frames)._decode(0, np.arange(2), 48)
    assert (read[0] == wide[0] // 257).all() and np.abs(read - wide / 257).max() <= (0.5 if colours == 1 else 1)
    assert np.abs(video.decode(tmp_path / "video.mkv") - wide / 257).max() < 2  # FFmpeg's scaler rounds


def test_the_data_folder_may_come_from_the_environment(root, monkeypatch):
    monkeypatch.setenv("PAPERLIB_DATA", str(root))
    assert len(data.load("kth", "train", size=16)) == 6
    assert len(data.load("kth", "train", size=16, root=root / "kth")) == 6  # the dataset's own folder works too


def test_a_limit_keeps_the_classes_balanced(root):
    dataset = data.load("kth", "train", size=16, limit=4, root=root)
    assert np.bincount(dataset.labels, minlength=6).tolist() == [2, 0, 0, 0, 0, 2]
    assert dataset.frames(3, [0]).shape == (1, 16, 16, 3)
    for name, limit in (("kth", -1), ("kth", 0), ("synth_kth", -1), ("synth_kth", 0.5)):
        with pytest.raises(InputError, match=f"limit must be a whole number of at least 1, not {limit}"):
            data.load(name, "train", size=16, limit=limit, root=root)


@pytest.mark.parametrize("name", public.ADAPTERS)
def test_absent_data_is_explained_in_one_sentence(name, tmp_path, monkeypatch):
    monkeypatch.delenv("PAPERLIB_DATA", raising=False)
    for root in (None, tmp_path):
        with pytest.raises(InputError) as caught:
            data.load(name, "val", root=root)
        assert name in str(caught.value) and "put" in str(caught.value) and "\n" not in str(caught.value)


@pytest.mark.filterwarnings("ignore:.*left out")
@pytest.mark.parametrize("name", ["kinetics400", "ssv2", "mit", "kth", "frames", "folder"])
def test_list_to_model(root, name):
    """Adapter, decoding, sampling and a model in one go, for each official layout."""
    from paperlib import models

    dataset = data.load(name, "val", size=32, root=root)
    model = models.create("TSN-R18-f4", num_classes=len(dataset.classes), width=4).eval()
    seen = []
    for indices, clips, labels in batches(dataset, 4, 2):
        with torch.inference_mode():
            logits = model(clips)
        assert logits.shape == (len(indices), len(dataset.classes)) and torch.isfinite(logits).all()
        assert labels.tolist() == dataset.labels[indices].tolist()
        seen += indices.tolist()
    assert seen == list(range(len(dataset)))
