"""The public datasets' official layouts, in miniature: from list to decoded, sampled clip and model."""

import zipfile

import numpy as np
import pytest
import torch

from paperlib import data
from paperlib.data import public, sampling
from paperlib.data.loading import batches
from paperlib.errors import InputError
from tests.data import layouts, videos


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
    dataset = data.load(name, split, size=32, root=root)
    classes, labels, missing = EXPECTED[name, split]
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


def test_own_videos_are_split_by_name(root):
    train, val = (data.load("folder", s, size=16, root=root) for s in ("train", "val"))
    assert train.classes == val.classes == ["jump", "sit"]
    assert not set(train.ids) & set(val.ids) and len(train) + len(val) == 10


def test_own_videos_with_splits(tmp_path):
    for split in ("train", "val"):
        for label in ("a", "b"):
            videos.write(tmp_path / split / label / f"{split}.avi", n=4, codec="mjpeg", pix_fmt="yuvj420p")
    for split in ("train", "val"):
        dataset = data.load("folder", split, size=16, root=tmp_path)
        assert dataset.ids == [f"a/{split}.avi", f"b/{split}.avi"] and dataset.labels.tolist() == [0, 1]


def test_lists_with_semicolons_and_class_names(tmp_path):
    root = layouts.frames(tmp_path / "frames", separator=";")
    (root / "classes.txt").write_text("sit\nstand\n")
    dataset = data.load("frames", "train", size=16, root=root)
    assert dataset.ids == ["videos/a b", "videos/c"] and dataset.classes == ["sit", "stand"]


def test_the_data_folder_may_come_from_the_environment(root, monkeypatch):
    monkeypatch.setenv("PAPERLIB_DATA", str(root))
    assert len(data.load("kth", "train", size=16)) == 6
    assert (
        len(data.load("kth", "train", size=16, root=root / "kth")) == 6
    )  # the dataset's own folder works too


def test_a_limit_keeps_the_classes_balanced(root):
    dataset = data.load("kth", "train", size=16, limit=4, root=root)
    assert np.bincount(dataset.labels, minlength=6).tolist() == [2, 0, 0, 0, 0, 2]
    assert dataset.frames(3, [0]).shape == (1, 16, 16, 3)


@pytest.mark.parametrize("name", public.ADAPTERS)
def test_absent_data_is_explained_in_one_sentence(name, tmp_path, monkeypatch):
    monkeypatch.delenv("PAPERLIB_DATA", raising=False)
    for root in (None, tmp_path):
        with pytest.raises(InputError) as caught:
            data.load(name, "val", root=root)
        assert name in str(caught.value) and "put" in str(caught.value) and "\n" not in str(caught.value)


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


# ---- batches ----


class Synthetic:
    """A dataset whose frames say which video and frame they are."""

    name, classes, labels, ids = "numbers", ["a", "b"], np.array([0, 1] * 5), [f"v{i}" for i in range(10)]
    bad = ()

    def __len__(self):
        return 10

    def num_frames(self, i):
        return 20 + i

    def frames(self, i, indices):
        if i in self.bad:
            raise data.video.VideoError(f"v{i} is damaged.")
        values = (np.asarray(indices) + 100 * (i % 2)).astype(np.uint8)
        return np.broadcast_to(values[:, None, None, None], (len(values), 8, 8, 3)).copy()


def numbers(clips):
    from paperlib.data.clips import to_frames

    return [to_frames(c)[:, 0, 0, 0].astype(int).tolist() for c in clips]


@pytest.mark.parametrize("workers", [0, 3])
def test_batches_hold_the_sampled_frames_in_order(workers):
    got = list(batches(Synthetic(), 4, 3, workers=workers))
    assert [len(i) for i, _, _ in got] == [3, 3, 3, 1]
    for indices, clips, labels in got:
        assert clips.dtype == torch.float32 and clips.shape == (len(indices), 3, 4, 8, 8)
        assert labels.tolist() == [i % 2 for i in indices]
        assert numbers(clips) == [(sampling.uniform(20 + i, 4) + 100 * (i % 2)).tolist() for i in indices]


@pytest.mark.parametrize("workers", [0, 2])
def test_bad_videos_are_skipped_counted_and_listed(workers):
    dataset = Synthetic()
    dataset.bad = (0, 4, 9)
    loader = batches(dataset, 4, 4, workers=workers)
    for _ in range(2):  # a second pass counts anew
        indices = np.concatenate([i for i, _, _ in loader])
        assert indices.tolist() == [1, 2, 3, 5, 6, 7, 8]
        assert loader.skipped == [(i, f"v{i}", f"v{i} is damaged.") for i in (0, 4, 9)]


def test_a_dataset_of_bad_videos_is_an_error():
    dataset = Synthetic()
    dataset.bad = range(10)
    with pytest.raises(
        InputError, match="none of the 10 videos of numbers can be read; the first: v0 is damaged"
    ):
        list(batches(dataset, 4, 4))


def test_training_batches_depend_on_the_seed_alone():
    def content(**kwargs):
        return [(i.tolist(), numbers(c)) for i, c, _ in batches(Synthetic(), 4, 4, **kwargs)]

    assert content(seed=1) == content(seed=1, workers=3) != content(seed=2)
    assert sorted(sum((i for i, _ in content(seed=1)), [])) == list(range(10))
    assert content(seed=1) != content()


def test_several_clips_and_crops(root):
    dataset = data.load("kinetics400", "val", size=32, root=root)
    ((_, clips, _),) = batches(dataset, 4, 2, views=(2, 3))
    assert clips.shape == (2, 6, 3, 4, 32, 32)
    ((_, dense, _),) = batches(dataset, 4, 2, sampling="dense", stride=3, views=(5, 1))
    assert dense.shape == (2, 5, 3, 4, 32, 32)
    with pytest.raises(InputError, match="crops"):
        batches(Synthetic(), 4, 2, views=(1, 3))
    (_, many, _), *_ = batches(Synthetic(), 4, 10, views=(3, 1))
    assert numbers(many[0]) == sampling.uniform(20, 4, clips=3).tolist()


# ---- hostile and broken input ----

ESCAPES = ["../../x", "/etc/passwd", "a/../../x", "..", "C:\\x", "..\\x", "x\0y"]


@pytest.mark.parametrize("path", ESCAPES)
def test_paths_out_of_the_folder_are_refused(tmp_path, path):
    (tmp_path / "train.txt").write_text(f"{path};1;2;0\n")
    with pytest.raises(InputError, match="leads out of the dataset"):
        data.load("frames", "train", root=tmp_path)
    (tmp_path / "moments_categories.txt").write_text("clapping,0\n")
    (tmp_path / "trainingSet.csv").write_text(f"{path},clapping,3,0\n")
    with pytest.raises(InputError, match="leads out of the dataset"):
        data.load("mit", "train", root=tmp_path)


def test_ids_out_of_the_folder_are_refused(tmp_path):
    root = layouts.something(tmp_path / "ssv2")
    text = (root / "something-something-v2-train.json").read_text()
    (root / "something-something-v2-train.json").write_text(text.replace('"101"', '"../../101"'))
    with pytest.raises(InputError, match="entry 0: the path '../../101' leads out"):
        data.load("ssv2", "train", root=root)


def test_links_out_of_the_folder_are_refused(tmp_path):
    outside = videos.write(tmp_path / "outside" / "secret.mp4", n=4)
    root = tmp_path / "mine"
    videos.write(root / "a" / "good.mp4", n=4)
    (root / "a" / "bad.mp4").symlink_to(outside)
    (root / "a" / "inside.mp4").symlink_to(root / "a" / "good.mp4")
    (root / "b").symlink_to(outside.parent)
    everything = [
        (d, i)
        for d in (data.load("folder", s, size=8, root=root) for s in ("train", "val"))
        for i in range(len(d))
    ]
    assert len(everything) == 4
    for dataset, i in everything:
        if dataset.ids[i] in ("a/bad.mp4", "b/secret.mp4"):
            with pytest.raises(data.video.VideoError, match="outside"):
                dataset.frames(i, [0])
        else:
            assert dataset.frames(i, [0]).shape == (1, 8, 8, 3)


def test_linked_image_folders_are_refused(tmp_path):
    outside = layouts.frames(tmp_path / "outside")
    root = tmp_path / "mine"
    root.mkdir()
    (root / "train.txt").write_text("linked 1 3 0\nimages 1 3 0\n")
    (root / "linked").symlink_to(outside / "videos" / "d")
    (root / "images").mkdir()
    for k in (1, 2, 3):
        (root / "images" / f"{k:05d}.jpg").symlink_to(outside / "videos" / "d" / f"{k:05d}.jpg")
    dataset = data.load("frames", "train", size=8, root=root)
    for i in range(2):
        with pytest.raises(data.video.VideoError, match="outside"):
            dataset.frames(i, [0])


@pytest.mark.parametrize(
    ("file", "content", "message"),
    [
        ("train.csv", "youtube,label\n", "columns"),
        ("train.csv", "label,youtube_id,time_start,time_end\na,b,x,y\n", ":2"),
        ("something-something-v2-labels.json", "{", "JSON"),
        ("something-something-v2-labels.json", "[1]", "object"),
        ("something-something-v2-train.json", '[{"id": 1}]', "entry 0"),
        ("something-something-v2-train.json", '[{"id": "1", "template": "Nothing"}]', "Nothing"),
        ("moments_categories.txt", "clapping\n", "clapping,0"),
        ("trainingSet.csv", "a/b.mp4,unknown,1,2\n", ":1"),
        ("00sequences.txt", "person01_flying_d1 frames 1-5\n", "flying"),
        ("00sequences.txt", "person01_boxing_d1 frames 9-5\n", "9-5"),
        ("train.txt", "a 1 2 0\nb 1\n", ":2"),
        ("train.csv", b"\xff\xfe\x00", "text file"),
    ],
)
def test_broken_lists_are_explained(tmp_path, file, content, message):
    name = {
        "train.csv": "kinetics400",
        "moments_categories.txt": "mit",
        "trainingSet.csv": "mit",
        "00sequences.txt": "kth",
        "train.txt": "frames",
    }.get(file, "ssv2")
    if name == "ssv2":
        layouts.something(tmp_path / "ssv2")
    elif name == "mit":
        layouts.moments(tmp_path / "mit")
    target = tmp_path / name if name in ("ssv2", "mit") else tmp_path
    (target / file).write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(InputError, match=message):
        data.load(name, "train", root=tmp_path)


def test_damaged_images_are_reported(tmp_path):
    root = layouts.frames(tmp_path / "frames")
    image = root / "videos" / "d" / "00003.jpg"
    for content in (b"", b"no image", image.read_bytes()[:400]):
        image.write_bytes(content)
        dataset = data.load("frames", "val", size=16, root=root)
        assert dataset.frames(0, [0, 1]).shape == (2, 16, 16, 3)
        with pytest.raises(data.video.VideoError, match="00003.jpg is damaged"):
            dataset.frames(0, [2])
    image.unlink()
    with pytest.raises(data.video.VideoError, match="00003.jpg: there is no such image"):
        dataset.frames(0, [2])


def test_archives_that_escape_are_refused(tmp_path):
    import io
    import tarfile

    from paperlib.data.archives import unpack

    good = tmp_path / "good.zip"
    with zipfile.ZipFile(good, "w") as archive:
        archive.writestr("a/b.txt", "hello")
    assert unpack(good, tmp_path / "out") == 1 and (tmp_path / "out" / "a" / "b.txt").read_text() == "hello"
    for k, name in enumerate(["../evil.txt", "/tmp/evil.txt", "a/../../evil.txt", "..\\evil.txt"]):
        bad = tmp_path / f"bad{k}.zip"
        with zipfile.ZipFile(bad, "w") as archive:
            archive.writestr("fine.txt", "x")
            archive.writestr(name, "evil")
        target = tmp_path / f"target{k}"
        with pytest.raises(InputError, match="leads out"):
            unpack(bad, target)
        assert not list(target.iterdir())
    link = tmp_path / "link.tar"
    with tarfile.open(link, "w") as archive:
        entry = tarfile.TarInfo("x")
        entry.type, entry.linkname = tarfile.SYMTYPE, "/etc"
        archive.addfile(entry)
    with pytest.raises(InputError, match="link"):
        unpack(link, tmp_path / "target")
    through = tmp_path / "through"
    through.mkdir()
    (through / "a").symlink_to(tmp_path)
    with pytest.raises(InputError, match="through a link"):
        unpack(good, through)
    packed = tmp_path / "fine.tar.gz"
    with tarfile.open(packed, "w:gz") as archive:
        entry = tarfile.TarInfo("v/x.bin")
        entry.size = 3
        archive.addfile(entry, io.BytesIO(b"abc"))
    assert unpack(packed, tmp_path / "out") == 1
    damaged = bytearray(good.read_bytes())
    damaged[good.read_bytes().index(b"hello")] ^= 1
    (tmp_path / "damaged.zip").write_bytes(damaged)
    for name in ("damaged.zip", "absent.zip"):
        with pytest.raises(InputError, match=name):
            unpack(tmp_path / name, tmp_path / "out")
    (tmp_path / "text.zip").write_text("no archive")
    with pytest.raises(InputError, match="text.zip"):
        unpack(tmp_path / "text.zip", tmp_path / "out")
