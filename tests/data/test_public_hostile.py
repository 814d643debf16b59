"""Broken lists, escaping paths, links and archives, damaged images: refused in one sentence."""

import io
import os
import subprocess
import sys
import tarfile
import zipfile

import numpy as np
import pytest

from paperlib import data
from paperlib.data import archives, video
from paperlib.data.public import files
from paperlib.errors import InputError
from tests.data import layouts, videos

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
        (d, i) for d in (data.load("folder", s, size=8, root=root) for s in ("train", "val")) for i in range(len(d))
    ]
    assert len(everything) == 4
    for dataset, i in everything:
        if dataset.ids[i] in ("a/bad.mp4", "b/secret.mp4"):
            with pytest.raises(video.VideoError, match="outside"):
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
        with pytest.raises(video.VideoError, match="outside"):
            dataset.frames(i, [0])


@pytest.mark.parametrize(
    ("file", "content", "message"),
    [
        ("train.csv", "youtube,label\n", "columns"),
        ("train.csv", "label,youtube_id,time_start,time_end\na,b,x,y\n", ":2"),
        (
            "train.csv",
            "youtube_id,time_start,time_end,label\na,1,11,x\nb,1,11\n",
            ":3: label and youtube_id have to be",
        ),
        ("train.csv", 'label,youtube_id,time_start,time_end\n\n"a,b,1,11\nb,c,1,11\n', ":3: a row of comma-separated"),
        ("trainingSet.csv", 'clapping/a.mp4,clapping,3,0\n"x' + 140000 * "x", ":2: a row of comma-separated"),
        ("something-something-v2-labels.json", "{", "JSON"),
        ("something-something-v2-labels.json", "[1]", "object"),
        ("something-something-v2-train.json", '[{"id": 1}]', "entry 0"),
        ("something-something-v2-train.json", '[{"id": "1", "template": "Nothing"}]', "Nothing"),
        ("moments_categories.txt", "clapping\n", "clapping,0"),
        ("trainingSet.csv", "a/b.mp4,unknown,1,2\n", ":1"),
        ("00sequences.txt", "person01_flying_d1 frames 1-5\n", "flying"),
        ("00sequences.txt", "person01_boxing_d1 frames 9-5\n", "9-5"),
        ("train.txt", "a 1 2 0\nb 1\n", ":2"),
        ("train.txt", f"{300 * 'a'} 1 2 0\n", "none of the 1 listed"),
        ("train.txt", "a 1 2 0\nb 1 2 0.7\n", ":2"),
        ("train.txt", "a 12 0\n", r"put train.txt .* left out: train.txt \(it begins with 'a 12 0', not `folder first"),
        ("train.txt", "\npath,label\na 1 2 0\n", r"left out: train.txt \(it begins with 'path,label'"),
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


@pytest.mark.parametrize("mark", "\u2028\x85\x0c")
def test_lines_end_where_editors_end_them(tmp_path, mark):
    """Marks at which Python also splits lines stand within texts of people."""
    root = layouts.something(tmp_path / "ssv2")
    list_file = root / "something-something-v2-train.json"
    list_file.write_text(list_file.read_text().replace('"label": "x"', f'"label": "x{mark if mark >= " " else ""}x"'))
    assert len(data.load("ssv2", "train", root=root)) == 3
    (tmp_path / "list.csv").write_text(f"a{mark}b,1\r\n\r\nc,2\n", encoding="utf-8-sig", newline="")
    assert [fields for _, fields in files.rows(tmp_path / "list.csv")] == [[f"a{mark}b", "1"], ["c", "2"]]


def test_links_to_folders_are_named_where_their_videos_are_listed(tmp_path):
    root = layouts.something(tmp_path / "ssv2")
    (root / "20bn-something-something-v2").rename(tmp_path / "elsewhere")
    (root / "videos").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(InputError, match=r"none of the 3 listed .*; left out: videos \(links to folders"):
        data.load("ssv2", "train", root=root)


def test_of_two_files_of_one_name_an_empty_one_comes_last(tmp_path):
    for name, content in (("a.mp4", b""), ("a.webm", b"x"), ("b.mp4", b"x"), ("b.webm", b"x"), ("c.mp4", b"")):
        (tmp_path / name).write_bytes(content)
    (tmp_path / "c.webm").symlink_to("nowhere")
    assert files.find_videos(tmp_path)[0] == {"a": "a.webm", "b": "b.mp4", "c": "c.mp4"}


def test_damaged_images_are_reported(tmp_path):
    root = layouts.frames(tmp_path / "frames")
    image = root / "videos" / "d" / "00003.jpg"
    for content in (b"", b"no image", image.read_bytes()[:400]):
        image.write_bytes(content)
        dataset = data.load("frames", "val", size=16, root=root)
        assert dataset.frames(0, [0, 1]).shape == (2, 16, 16, 3)
        with pytest.raises(video.VideoError, match="00003.jpg is damaged"):
            dataset.frames(0, [2])
    image.unlink()
    with pytest.raises(video.VideoError, match="00003.jpg: there is no such image"):
        dataset.frames(0, [2])


def test_archives_that_escape_are_refused(tmp_path):
    unpack = archives.unpack
    good = tmp_path / "good.zip"
    with zipfile.ZipFile(good, "w") as archive:
        archive.writestr("a/b.txt", "hello")
    assert unpack(good, tmp_path / "out") == 1 and (tmp_path / "out" / "a" / "b.txt").read_text() == "hello"
    for k, name in enumerate(["../evil.txt", "/evil.txt", "a/../../evil.txt", "..\\evil.txt"]):
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
        lead = entry(0)
        lead.type, lead.linkname = tarfile.SYMTYPE, "/etc"
        archive.addfile(lead)
    with pytest.raises(InputError, match="link"):
        unpack(link, tmp_path / "target")
    through = tmp_path / "through"
    through.mkdir()
    (through / "a").symlink_to(tmp_path)
    with pytest.raises(InputError, match="through a link"):
        unpack(good, through)
    packed = tmp_path / "fine.tar.gz"
    with tarfile.open(packed, "w:gz") as archive:
        archive.addfile(entry(3, "v/x.bin"), io.BytesIO(b"abc"))
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


def test_an_archive_with_backslashes_is_unpacked_into_folders(tmp_path):
    with zipfile.ZipFile(tmp_path / "windows.zip", "w") as archive:
        for name in ("train\\", "train\\a\\1.mp4", "train\\b\\1.mp4"):
            archive.writestr(name, name.strip("\\"))
    assert archives.unpack(tmp_path / "windows.zip", tmp_path / "out") == 2
    assert there(tmp_path / "out") == {f"train/{c}/1.mp4": f"train\\{c}\\1.mp4".encode() for c in "ab"}


def there(folder):
    return {f.relative_to(folder).as_posix(): f.read_bytes() for f in folder.rglob("*") if f.is_file()}


@pytest.fixture
def packed(tmp_path):
    """An archive of three videos, and a folder with an older version of one and a file of its own."""
    with zipfile.ZipFile(tmp_path / "three.zip", "w") as archive:
        for name in ("sit/a.mp4", "sit/b.mp4", "jump/c.mp4"):
            archive.writestr(name, name * 100)
    (tmp_path / "out/sit").mkdir(parents=True)
    (tmp_path / "out/sit/a.mp4").write_bytes(b"older")
    (tmp_path / "out/list.txt").write_bytes(b"of one's own")
    return tmp_path / "three.zip", tmp_path / "out"


def test_an_archive_that_is_damaged_half_way_leaves_the_folder_as_it_was(packed, monkeypatch):
    archive, folder = packed
    before, content = there(folder), archive.read_bytes()
    archive.write_bytes(content.replace(b"jump/c.mp4jump", b"jump/c.mp4JUMP", 1))
    with pytest.raises(InputError, match=r"three.zip is damaged .*jump/c.mp4"):
        archives.unpack(archive, folder)
    assert there(folder) == before
    archive.write_bytes(content)
    with monkeypatch.context() as full, pytest.raises(InputError, match="nothing of it is there .No space left"):
        full.setattr(archives.shutil, "copyfileobj", lambda *_: os.write(os.open("/dev/full", os.O_WRONLY), b"x"))
        archives.unpack(archive, folder)
    assert there(folder) == before
    (folder / "jump").write_bytes(b"a file where a folder should be")
    with pytest.raises(InputError, match="'jump/c.mp4' finds a folder or file in its place"):
        archives.unpack(archive, folder)
    assert there(folder) == {**before, "jump": b"a file where a folder should be"}


@pytest.mark.parametrize("kind", ["tar.gz", "tar.bz2", "tar.xz", "zip deflated", "zip bzip2", "zip lzma"])
def test_one_byte_that_differs_is_found_by_the_checksum(tmp_path, kind):
    """Of bytes that nothing compresses, so that a reader which compares no checksum unpacks another video."""
    content, archive = np.random.default_rng(0).bytes(50_000), tmp_path / f"videos.{kind.split()[0]}"
    if archive.suffix == ".zip":
        how = dict(deflated=zipfile.ZIP_DEFLATED, bzip2=zipfile.ZIP_BZIP2, lzma=zipfile.ZIP_LZMA)[kind.split()[1]]
        with zipfile.ZipFile(archive, "w", how) as packed:
            packed.writestr("a.avi", content)
    else:
        with tarfile.open(archive, f"w:{archive.suffix[1:]}") as packed:
            packed.addfile(entry(len(content)), io.BytesIO(content))
    assert archives.unpack(archive, tmp_path / "out") == 1 and there(tmp_path / "out") == {"a.avi": content}
    damaged = bytearray(archive.read_bytes())
    damaged[len(damaged) // 2] ^= 1
    archive.write_bytes(damaged)
    with pytest.raises(InputError, match=rf"{archive.name} is damaged"):
        archives.unpack(archive, tmp_path / "none")
    assert not there(tmp_path / "none")


def test_entries_behind_a_damaged_header_or_behind_the_cut_are_missed(tmp_path):
    archive = tmp_path / "videos.tar"
    with tarfile.open(archive, "w") as packed:
        for name in "abc":
            packed.addfile(entry(512, f"{name}.avi"), io.BytesIO(name.encode() * 512))
    whole = archive.read_bytes()
    assert whole[1024:1029] == b"b.avi"
    for other in (whole[:1024] + b"B" + whole[1025:], whole[:2048]):  # the second header; the first two entries alone
        archive.write_bytes(other)
        with pytest.raises(InputError, match=r"videos.tar is damaged .*behind [12] files there is neither"):
            archives.unpack(archive, tmp_path / "none")
    archive.write_bytes(whole)
    assert archives.unpack(archive, tmp_path / "out") == 3


def entry(size, name="a.avi"):
    found = tarfile.TarInfo(name)
    found.size = size
    return found


def test_a_killed_unpacking_shows_nothing_and_the_next_one_takes_its_remains_away(packed):
    archive, folder = packed
    before = there(folder)
    killed = (
        "import os, shutil, sys\nfrom paperlib.data import archives\nreal, calls = shutil.copyfileobj, []\n"
        "def copy(*files):\n    real(*files)\n    calls.append(1)\n    len(calls) == 2 and os.kill(os.getpid(), 9)\n"
        "shutil.copyfileobj = copy\narchives.unpack(*sys.argv[1:])"
    )
    assert subprocess.run([sys.executable, "-c", killed, archive, folder]).returncode == -9
    left = {name: content for name, content in there(folder).items() if not name.startswith(".")}
    assert left == before and there(folder) != before
    assert list(files.find_videos(folder)[0]) == ["a"]
    assert archives.unpack(archive, folder) == 3
    new = {name: name.encode() * 100 for name in ("sit/a.mp4", "sit/b.mp4", "jump/c.mp4")}
    assert there(folder) == {**before, **new}
