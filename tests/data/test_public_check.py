"""`paperlib data check`: what is there, what is missing, what cannot be decoded."""

import csv
import os

import av
import pytest

from paperlib.cli import main
from paperlib.data import check, extent, inspection, video
from paperlib.errors import InputError
from tests import shared
from tests.data import layouts, videos


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    root = tmp_path_factory.mktemp("data")
    layouts.kinetics(root / "kinetics400")
    layouts.something(root / "ssv2")
    layouts.kth(root / "kth")
    layouts.frames(root / "frames")
    broken = next((root / "ssv2").rglob("20.webm"))
    broken.write_bytes(broken.read_bytes()[:300])
    return root


def test_a_folder_is_reported_dataset_by_dataset(root):
    reports = {(r.name, r.split): r for r in check.check(root)}
    assert {name for name, _ in reports} == {
        "kinetics400",
        "mini_kinetics",
        "ssv2",
        "mini_ssv2",
        "kth",
        "frames",
    }
    full = reports["kinetics400", "val"]
    assert (full.classes, full.present, full.missing, full.unreadable) == (
        3,
        2,
        ["missing1234_000005_000015"],
        [],
    ) and not full.fine
    assert reports["kinetics400", "train"].fine and reports["kth", "train"].fine
    ((identity, reason),) = reports["ssv2", "val"].unreadable
    assert identity == "20" and "20.webm" in reason and reason.endswith(".")
    assert [i for i, _ in reports["mini_ssv2", "val"].unreadable] == ["20"]


def test_the_list_alone_is_compared_without_decoding(root, monkeypatch):
    monkeypatch.setattr(check, "_problem", None)
    reports = {(r.name, r.split): r for r in check.check(root, ["ssv2", "kinetics400"], depth="list")}
    assert reports["ssv2", "val"].fine and reports["kinetics400", "val"].missing


def test_damage_between_the_sampled_frames_is_found_by_the_thorough_check(tmp_path):
    """Bytes of frame 10 of 20 intra-coded pictures overwritten: eight sampled frames do not meet it."""
    path = videos.write(tmp_path / "one" / "a.avi", n=20, codec="mjpeg", pix_fmt="yuvj420p")
    videos.write(tmp_path / "one" / "b.avi", n=20, codec="mjpeg", pix_fmt="yuvj420p")
    content = bytearray(path.read_bytes())
    starts = [k for k in range(len(content)) if content[k : k + 3] == b"\xff\xd8\xff"]
    content[starts[10] : starts[10] + 200] = b"\xff" * 200
    assert starts[11] - starts[10] > 210  # and no byte of the next one
    path.write_bytes(content)
    bad = {
        depth: [i for r in check.check(tmp_path, ["folder"], depth=depth) for i, _ in r.unreadable]
        for depth in ("frames", "all")
    }
    assert bad == {"frames": [], "all": ["one/a.avi"]}


def test_videos_of_one_name_are_each_decoded(tmp_path):
    for split in ("train", "val"):
        videos.write(tmp_path / "videos" / split / "jump/001.mp4", n=4)
    (tmp_path / "videos/val/jump/001.mp4").write_bytes(b"no video at all")
    train, val = check.check(tmp_path, ["folder"])
    assert train.fine and [reason.count("val/jump/001.mp4") for _, reason in val.unreadable] == [1]


def test_parts_of_one_folder_of_images_are_each_decoded(tmp_path):
    root = layouts.frames(tmp_path / "frames")
    (root / "train.txt").write_text("videos/c 3 6 0\nvideos/c 7 10 1\n")
    (root / "videos/c/00008.jpg").write_bytes(b"no image")
    train, _ = check.check(tmp_path, ["frames"])
    assert [(i, "00008.jpg" in reason) for i, reason in train.unreadable] == [("videos/c", True)]


def test_a_video_of_two_data_sets_is_decoded_once(root, monkeypatch):
    asked, look = [], check._problem
    monkeypatch.setattr(
        check, "_problem", lambda videos, i, depth: asked.append(videos.path(i)) or look(videos, i, depth)
    )
    check.check(root, ["kinetics400", "mini_kinetics", "ssv2", "mini_ssv2"])
    assert len(asked) == len(set(asked)) == 5 + 5  # files of Kinetics and of Something-Something


def test_the_command_prints_and_writes_it(root, tmp_path, capsys):
    out = tmp_path / "report.csv"
    assert main(["data", "check", str(root), "--output", str(out)]) == 1
    printed = capsys.readouterr().out
    assert "kinetics400 val in" in printed and "2 videos of 3 classes, 1 missing, 0 unreadable" in printed
    assert "missing missing1234_000005_000015" in printed and "unreadable 20:" in printed
    rows = list(csv.DictReader(out.open()))
    assert {
        "dataset": "kth",
        "split": "val",
        "video": "person25_jogging_d4_1-9",
        "state": "missing",
        "reason": "",
    } in rows
    assert sum(r["state"] == "unreadable" for r in rows) == 2  # in ssv2 and in its mini subset
    assert main(["data", "check", str(root), "--dataset", "frames"]) == 0
    assert main(["data", "check", str(tmp_path)]) == 2
    assert "holds none of the public datasets" in capsys.readouterr().err


def test_where_and_unpack(tmp_path, capsys):
    import zipfile

    assert main(["data", "where"]) == 0
    assert "00sequences.txt" in capsys.readouterr().out
    with zipfile.ZipFile(tmp_path / "x.zip", "w") as archive:
        archive.writestr("../out.txt", "x")
    assert main(["data", "unpack", str(tmp_path / "x.zip"), str(tmp_path / "to")]) == 2
    assert "'../out.txt' leads out" in capsys.readouterr().err


def test_an_unreadable_list_is_a_problem_of_its_split(tmp_path):
    root = layouts.something(tmp_path / "ssv2")
    (root / "something-something-v2-train.json").write_text("{")
    train, val = check.check(root, ["ssv2"])
    assert "not valid JSON" in train.problem and not train.fine and val.fine


def test_what_is_left_out_of_own_videos_is_told_once(tmp_path, capsys):
    root = layouts.folder(tmp_path / "videos")
    (root / "sit" / "._0.mp4").write_bytes(b"x")
    assert main(["data", "check", str(tmp_path), "--output", str(tmp_path / "out.csv")]) == 0
    told = capsys.readouterr().out
    assert told.count("left out jump/notes.txt: its ending is not that of a video") == 1
    assert told.count("left out sit/._0.mp4: an operating system") == 1 and "0 unreadable" in told
    rows = list(csv.DictReader((tmp_path / "out.csv").open()))
    assert [(r["video"], r["state"]) for r in rows] == [
        (name, "left out") for name in ("jump/notes.txt", "sit/._0.mp4", "sit/notes.txt")
    ]


def test_names_that_are_no_text_are_checked_and_written_out(tmp_path, capsys):
    """Archives packed on other systems have names in other encodings: bytes, of which Python makes surrogates."""
    place = os.fsencode(tmp_path) + b"/videos/caf\xe9"
    try:
        os.makedirs(place)
    except OSError:
        pytest.skip("this file system takes text alone")
    for k in range(5):
        with open(place + b"/%d\xe9.mp4" % k, "wb") as file:
            file.write(b"no video")
    assert main(["data", "check", str(tmp_path), "--output", str(tmp_path / "out.csv")]) == 1
    printed = capsys.readouterr().out
    rows = list(csv.DictReader((tmp_path / "out.csv").open(encoding="utf-8")))
    named = {rf"caf\udce9/{k}\udce9.mp4" for k in range(5)}
    assert {row["video"] for row in rows} == named and all(name in printed for name in named)


def test_unknown_names_and_numbers_of_workers_are_refused(root):
    with pytest.raises(InputError, match="ucf101"):
        check.check(root, ["ucf101"])
    for workers in (-1, 0):
        with pytest.raises(InputError, match=f"workers must be a whole number of at least 1, not {workers}"):
            check.check(root, ["ssv2"], workers=workers)


FRONT, FRAGMENTS = {"movflags": "faststart"}, {"movflags": "frag_keyframe+empty_moov"}
MPEG4 = {"codec": "mpeg4", "bframes": 0}


@pytest.mark.parametrize(
    ("name", "settings", "behind"),  # what becomes of a file that is cut behind its last picture
    [
        ("a.mp4", {}, "either"),  # what tells where they are may lie there
        ("a.mp4", {"muxing": FRONT}, "read"),
        ("a.mp4", {"muxing": FRONT, "sound": True}, "read"),
        ("a.mp4", {"muxing": FRAGMENTS}, "either"),
        ("a.mp4", {"muxing": FRAGMENTS, "sound": True}, "either"),
        ("a.mkv", {"codec": "ffv1", "pix_fmt": "bgr0"}, "refused"),
        ("a.webm", layouts.VP9, "refused"),
        ("a.avi", MPEG4, "read"),
        ("a.avi", {**MPEG4, "sound": True}, "read"),
        ("a.avi", {"codec": "mjpeg", "pix_fmt": "yuvj420p"}, "read"),
        ("a.mov", {"codec": "mjpeg", "pix_fmt": "yuvj420p"}, "either"),
        ("a.wmv", {"codec": "wmv2", "options": {"b": "4M"}}, "refused"),
        ("a.flv", {"codec": "flv1", "width": 320, "height": 240}, "refused"),
    ],
)
def test_whole_files_have_no_problems_and_cut_ones_do(tmp_path, name, settings, behind):
    path = videos.write(tmp_path / name, n=12, **settings)
    assert inspection.problems(path) == []
    content = path.read_bytes()
    assert extent.announced_size(path) == len(content)
    with av.open(str(path)) as container:
        last = max(packet.pos + packet.size for packet in container.demux(video=0) if packet.size)
    for length in [*(int(len(content) * part) for part in (0.1, 0.3, 0.5, 0.7, 0.9, 0.97)), last - 1, last]:
        if length == len(content) or length >= last and behind == "either":
            continue
        path.write_bytes(content[:length])
        found = inspection.problems(path)
        assert found and all(name in sentence and sentence.endswith(".") for sentence in found)
        if length >= last and behind == "read":
            assert [videos.number(frame) for frame in video.decode(path, [11, 0])] == [11, 0]
            continue
        for look in (video.probe, video.decode, lambda p: video.decode(p, [0])):
            with pytest.raises(video.VideoError, match=rf"{name} is cut short: \d+ bytes announced, {length} there\."):
                look(path)


def test_an_avi_that_was_written_to_a_pipe_is_read_to_its_end(tmp_path):
    """What is written to a pipe cannot go back to fill in how long it became."""
    path = videos.write(tmp_path / "live.avi", n=6, **MPEG4)
    content = path.read_bytes()
    path.write_bytes(content[:4] + b"\xff" * 4 + content[8:])
    assert video.probe(path).frames == 6 and inspection.problems(path) == []


@pytest.mark.parametrize(
    ("name", "codec", "before", "live"),  # what stands before the number that such a file lacks, and how it lacks it
    [
        ("live.wmv", "wmv2", extent.FILE_PROPERTIES + bytes.fromhex("6800000000000000"), 64),
        ("live.flv", "flv1", b"\x00\x08filesize", 0),
    ],
)
def test_a_wmv_or_flv_that_was_written_to_a_stream_is_read_to_its_end(tmp_path, name, codec, before, live):
    path = videos.write(tmp_path / name, n=6, codec=codec, options={"b": "4M"})
    content = bytearray(path.read_bytes())
    at = content.index(before) + len(before) + live
    if live:
        content[at] |= 1  # the flag of what is sent live, whose size means nothing
        content[at - 48 : at - 40] = (10**9).to_bytes(8, "little")
    else:
        content[at - 1 : at] = b"E"  # another word than filesize
    path.write_bytes(content)
    assert extent.announced_size(path) == 0 and video.probe(path).frames == 6


def test_a_long_avi_announces_all_its_parts(tmp_path):
    path = videos.write(tmp_path / "long.avi", n=6, **MPEG4)
    content = path.read_bytes()
    path.write_bytes(content + b"RIFF" + (100).to_bytes(4, "little") + b"AVIX" + bytes(46))
    assert extent.announced_size(path) == len(content) + 108


@pytest.mark.parametrize("milliseconds, first", [(1200, 5), (400, 10), (400, 0)])
def test_a_recording_that_its_edit_list_trims_is_whole(tmp_path, milliseconds, first):
    """25 frames a second of 512 ticks each; the first one is shown two frames late for the sake of the B-frames."""
    path = videos.write(tmp_path / "trimmed.mp4", n=30)
    content = bytearray(path.read_bytes())
    at = content.index(b"elst") + 12  # behind version, flags and number of entries
    content[at : at + 8] = milliseconds.to_bytes(4, "big") + (512 * (2 + first)).to_bytes(4, "big")
    path.write_bytes(content)
    shown = [videos.number(frame) for frame in video.decode(path)]
    assert shown == list(range(first, min(30, first + milliseconds // 40))) and inspection.problems(path) == []


def test_matroska_of_unknown_length_is_read_to_its_end(tmp_path):
    path = videos.write(tmp_path / "live.mkv", n=6)
    content = path.read_bytes()
    at = content.index(b"\x18\x53\x80\x67") + 4  # the segment's length, which those who stream cannot know
    path.write_bytes(content[:at] + b"\x01" + b"\xff" * 7 + content[at + 8 :])
    assert video.probe(path).frames == 6 and inspection.problems(path) == []


def test_a_wrong_extension_is_named(tmp_path):
    path = videos.write(tmp_path / "a.mp4", n=4)
    wrong = path.rename(tmp_path / "a.avi")
    assert inspection.problems(wrong) == [f"{wrong} is mislabelled: a .avi name on a mov file."]


def test_strict_decoding_finds_nothing_wrong_with_the_real_clips():
    for path in shared.path("clips").iterdir():
        if path.suffix != ".md":
            assert bool(inspection.problems(path)) == (path.name == "corrupted.mp4")
