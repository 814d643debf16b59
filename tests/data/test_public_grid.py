"""GRID: the authors' layout, the mouth's pixels, words with their frames, splits by sentence and by speaker."""

import zlib

import numpy as np
import pytest

from paperlib import data
from paperlib.data import check, video
from paperlib.data.public import grid
from paperlib.errors import InputError
from tests import shared
from tests.data import videos

ALIGN = """0 {0} sil
{0} {1} bin
{1} 34000 blue
34000 35500 at
35500 36000 sp
36000 41000 f
41000 47250 two
47250 53000 now
53000 74500 sil
"""


@pytest.fixture
def corpus(tmp_path):
    """Two speakers as the authors publish them, one sentence as it is cut, one without a video."""
    root = tmp_path / "grid"
    for speaker, name, size in (
        ("s1", "bbaf2n", (360, 288)),
        ("s1", "bbaf3s", (128, 96)),
        ("s2", "bbaf2n", (360, 288)),
        ("s2", "pwbk1s", None),
    ):
        align = root / "align" / speaker / f"{name}.align"
        align.parent.mkdir(parents=True, exist_ok=True)
        align.write_text(ALIGN.format(23750, 29500))
        if size:
            codec, ending = ("mpeg1video", "mpg") if size[0] == 360 else ("libx264", "mp4")
            videos.write(root / speaker / f"{name}.{ending}", 75, *size, codec=codec, bframes=0, gop=12)
    return root


def test_the_authors_layout_is_read(corpus):
    dataset = grid.everything(corpus, size=36)
    assert dataset.ids == ["s1/bbaf2n", "s1/bbaf3s", "s2/bbaf2n"] and dataset.missing == ["s2/pwbk1s"]
    assert dataset.people.tolist() == ["s1", "s1", "s2"] and len(dataset.classes) == 51
    words = ["bin", "blue", "at", "f", "two", "now"]
    assert [[dataset.classes[k] for k in row] for row in dataset.labels] == [words] * 3
    for (first, after), word in zip(dataset.heads.values(), words, strict=True):
        assert word in dataset.classes[first:after]
    assert dataset.span(0) == (23 - 8 - 1, 53 + 8 + 1)  # at least 48 frames
    whole = video.decode(dataset.path(0))
    mouth = whole[:, 164 + 20 : 164 + 92, 92 + 28 : 92 + 100].astype(float) @ [0.299, 0.587, 0.114]
    shown = dataset.frames(0, [0, 20, 47])
    assert shown.shape == (3, 36, 36, 3) and shown.dtype == np.uint8
    assert np.abs(shown[..., 1] - mouth[[14, 34, 61]].reshape(3, 36, 2, 36, 2).mean((2, 4))).max() <= 1.5
    assert np.array_equal(dataset.subset([1]).frames(0, [5]), dataset.frames(1, [5]))
    with pytest.raises(InputError, match="has 48 frames"):
        dataset.frames(0, [48])


def test_words_are_where_the_alignment_says(corpus):
    dataset = grid.everything(corpus)
    spoken = dataset.words(0, range(dataset.num_frames(0)))
    first, _ = dataset.span(0)
    for row, (start, stop) in zip(
        spoken, [(23.75, 29.5), (29.5, 34), (34, 35.5), (36, 41), (41, 47.25), (47.25, 53)], strict=True
    ):
        assert np.flatnonzero(row).tolist() == [k - first for k in range(75) if start <= k + 0.5 < stop]
    assert spoken.sum(0).max() == 1
    assert np.array_equal(dataset.words(0, [20, 3]), spoken[:, [20, 3]])


def test_short_speech_and_its_ends_stay_inside_the_recording(corpus):
    for begin, end, wanted in ((750, 30000, (0, 48)), (44000, 74500, (27, 75)), (750, 74500, (0, 75))):
        words = np.linspace(begin, end, 7).astype(int)
        text = "".join(
            f"{a} {b} {w}\n" for a, b, w in zip(words, words[1:], "bin blue at f two now".split(), strict=False)
        )
        (corpus / "align/s1/bbaf2n.align").write_text(text)
        assert grid.everything(corpus).span(0) == wanted


def test_a_sentence_is_in_one_split_whoever_speaks_it(corpus):
    parts = [data.load("grid", split, root=corpus.parent) for split in ("train", "val") if _any(split)]
    together = sorted(name for part in parts for name in part.ids)
    assert together == ["s1/bbaf2n", "s1/bbaf3s", "s2/bbaf2n"]
    assert [name for part in parts for name in part.missing] == ["s2/pwbk1s"]  # each of the split that it is in
    for part in parts:
        assert ("s1/bbaf2n" in part.ids) == ("s2/bbaf2n" in part.ids)
    training, held_out = grid.everything(corpus).without("s2")
    assert training.people.tolist() == ["s1", "s1"] and held_out.ids == ["s2/bbaf2n"]
    with pytest.raises(InputError, match="no speaker s9; there are s1, s2"):
        grid.everything(corpus).without("s9")


def _any(split):
    validates = {name: zlib.crc32(name.encode()) % 20 < 3 for name in ("bbaf2n", "bbaf3s")}
    return any(value == (split == "val") for value in validates.values())


@pytest.mark.parametrize(
    "text, message",
    [
        (ALIGN.format(23750, 29500).replace("blue", "pink"), "expected `start stop word` with a colour"),
        (ALIGN.format(23750, 29500).replace("47250 53000 now\n", ""), "has 5 words"),
        (ALIGN.format(29500, 23750), "expected `start stop word` with a command"),
        (ALIGN.format(23750, 29500) + "60000 70000 again\n", "with a pause"),
        ("bin blue\n", "expected `start stop word`"),
    ],
)
def test_wrong_alignments_are_one_sentence(corpus, text, message):
    (corpus / "align/s1/bbaf2n.align").write_text(text)
    with pytest.raises(InputError, match=message):
        grid.everything(corpus)


def test_a_video_of_another_size_is_named_and_counted(corpus):
    videos.write(corpus / "s1/bbaf2n.mpg", 75, 64, 48, codec="mpeg1video", bframes=0)
    with pytest.raises(video.VideoError, match="has 64 x 48 pixels"):
        grid.everything(corpus).num_frames(0)
    reports = check.check(corpus.parent, ["grid"])
    assert [name for report in reports for name, _ in report.unreadable] == ["s1/bbaf2n"]
    assert {name for report in reports for name in report.missing} == {"s2/pwbk1s"}


def test_a_recording_that_ends_before_its_last_word_is_named(corpus):
    """The last word ends at 53: a recording of 51 frames may have lost two, one of 50 has lost more."""
    for frames, name in ((51, "s1/bbaf2n"), (50, "s2/bbaf2n")):
        videos.write(corpus / f"{name}.mpg", frames, 360, 288, codec="mpeg1video", bframes=0, gop=12)
    dataset = grid.everything(corpus)
    assert dataset.span(0) == (3, 51)
    with pytest.raises(video.VideoError, match=r"s2/bbaf2n\.mpg ends before s2/bbaf2n ends: it has 50 frames"):
        dataset.num_frames(2)


def test_of_two_recordings_of_a_sentence_an_empty_one_comes_last(corpus):
    original = corpus / "s1/bbaf2n.mpg"
    cut = videos.write(corpus / "s1/bbaf2n.mp4", 75, 128, 96)
    assert grid.everything(corpus).path(0) == cut
    cut.write_bytes(b"")
    assert grid.everything(corpus).path(0) == original


def test_linked_folders_of_speakers_are_named(corpus):
    (corpus / "s2").rename(corpus.parent / "elsewhere")
    (corpus / "s2").symlink_to(corpus.parent / "elsewhere")
    dataset = grid.everything(corpus)
    assert dataset.ids == ["s1/bbaf2n", "s1/bbaf3s"] and dataset.missing == ["s2/bbaf2n", "s2/pwbk1s"]
    assert dataset.left_out == dataset.without("s1")[1].left_out == [("s2", "links to folders are not followed")]


def test_grid_as_published():
    root = shared.path("real/grid").parent
    train, val = (data.load("grid", split, root=root) for split in ("train", "val"))
    assert len(train) + len(val) == 1000 and 100 < len(val) < 200 and not set(train.ids) & set(val.ids)
    assert all((part.labels >= 0).all() and part.labels.shape[1] == 6 for part in (train, val))
    assert {tuple(sorted(set(train.labels[:, q]))) for q in (0, 1)} == {(0, 1, 2, 3), (4, 5, 6, 7)}
    cut = grid.everything(root / "grid")
    original = cut.ids.index("s1/bbaf2n")
    assert cut.path(original).suffix == ".mp4"
    whole = grid._mouths(root / "grid/s1/bbaf2n.mpg", 64)
    assert np.abs(whole.astype(float) - cut._recording(original)).mean() < 4
    assert len(data.load("grid", "val", root=root, limit=20)) == 20
