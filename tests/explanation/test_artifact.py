"""One clip's artifact and the `paperlib relevance` command, on videos encoded here."""

import csv
import warnings

import av
import matplotlib
import matplotlib.pyplot as plt
import numpy as np
import pytest
import torch

from paperlib import cli, data, models
from paperlib.errors import InputError
from paperlib.explanation import artifact, measured, pictures, plotting
from paperlib.training import checkpoints

CLASSES = ["Moving up", "Moving down", "Turning around"]


def encode(file, frames=20, size=(48, 64), audio=False):
    """Write a small video of a moving square, or a file with sound only."""
    with av.open(str(file), "w") as out:
        if audio:
            stream = out.add_stream("aac", rate=44100)
            sound = av.AudioFrame.from_ndarray(np.zeros((1, 44100), np.float32), "fltp", "mono")
            sound.rate = 44100
            out.mux(stream.encode(sound))
        else:
            stream = out.add_stream("mpeg4", rate=12)
            stream.height, stream.width, stream.pix_fmt = *size, "yuv420p"
            for t in range(frames):
                image = np.full((*size, 3), 90, np.uint8)
                image[2 * t % 30 : 2 * t % 30 + 12, 20:40] = 230
                out.mux(stream.encode(av.VideoFrame.from_ndarray(image, "rgb24")))
        out.mux(stream.encode(None))
    return file


@pytest.fixture
def checkpoint(tmp_path):
    file = tmp_path / "net.safetensors"
    torch.manual_seed(1)  # what it predicts is no class that a test asks about
    model = models.create("TAM2D-R18-f8", num_classes=3, width=4)
    checkpoints.save(file, model, {"classes": CLASSES, "dataset": "toy", "recipe": {"size": 32}, "accuracy": 0.5})
    return file


def run(tmp_path, checkpoint, video, *more):
    return cli.main(
        [
            "relevance",
            "--video",
            str(video),
            "--model",
            str(checkpoint),
            "--out",
            str(tmp_path / "out"),
            "--device",
            "cpu",
            *more,
        ]
    )


def test_command_writes_matrix_picture_and_artifact(tmp_path, checkpoint, capsys):
    video = encode(tmp_path / "two words ü.mp4")
    assert run(tmp_path, checkpoint, video, "--class", "down") == 0
    rows = list(csv.reader(open(tmp_path / "out.csv")))
    found = artifact.load(tmp_path / "out.npz")
    assert rows[0] == ["output"] + [f"frame {j}" for j in range(1, 9)] and len(rows) == 9
    assert np.allclose(np.array(rows[1:], float)[:, 1:], found.arrays["matrix"], rtol=1e-5)
    assert found.target_name == "Moving down" and found.frames.shape == (8, 32, 32, 3)
    assert found.info["indices"] == [1, 3, 6, 8, 11, 13, 16, 18] and found.info["video_frames"] == 20
    assert (tmp_path / "out.png").read_bytes()[:4] == b"\x89PNG"
    assert "explained: Moving down" in capsys.readouterr().out


def test_scores_are_sigmoids_where_that_is_asked_for(tmp_path, checkpoint, capsys):
    video = encode(tmp_path / "video.mp4")
    assert run(tmp_path, checkpoint, video, "--scores", "sigmoid") == 0
    found = artifact.load(tmp_path / "out.npz")
    logits = found.arrays["frame_logits"].mean(0)
    assert found.info["scores"] == "sigmoid"
    assert np.allclose(found.arrays["scores"], 1 / (1 + np.exp(-logits)), atol=1e-6)
    assert "% by sigmoid)" in capsys.readouterr().out


@pytest.mark.parametrize(
    "name, content",
    [
        ("empty.mp4", b""),
        ("text.mp4", b"hello " * 999),
        ("missing.mp4", None),
        ("truncated.mp4", 300),
        ("sound.mp4", "audio"),
    ],
)
def test_unusable_files_give_one_sentence_and_exit_code_2(tmp_path, checkpoint, capsys, name, content):
    video = tmp_path / name
    if content == "audio":
        encode(video, audio=True)
    elif isinstance(content, int):
        encode(video)
        video.write_bytes(video.read_bytes()[:content])
    elif content is not None:
        video.write_bytes(content)
    assert run(tmp_path, checkpoint, video) == 2
    error = capsys.readouterr().err.strip()
    assert name in error and "\n" not in error and "Traceback" not in error
    assert not list(tmp_path.glob("out*"))


def test_a_video_of_a_data_set_is_taken_by_its_number(tmp_path, checkpoint, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    videos = data.load("synth_ssv2", "val", size=32)
    assert cli.main(["relevance", "--video", "synth_ssv2/5", "--model", str(checkpoint)]) == 0
    found = artifact.load(tmp_path / "synth_ssv2-5-relevance.npz")
    assert (found.frames == videos.frames(5, found.info["indices"])).all()
    assert found.info["video_frames"] == videos.num_frames(5) and len(found.frames) == 8
    capsys.readouterr()
    assert cli.main(["relevance", "--video", "synth_ssv2/99999", "--model", str(checkpoint)]) == 2
    assert f"0 to {len(videos) - 1}" in capsys.readouterr().err
    encode(tmp_path / "7.mp4")  # a file of that name comes first
    (tmp_path / "synth_kinetics").mkdir()
    (tmp_path / "7.mp4").rename(tmp_path / "synth_kinetics/7")
    assert artifact.sample("synth_kinetics/7", 32) == (None, None)
    for wrong, message in (
        ("synth_ssv2/²", "synth_ssv2/²: videos of synth_ssv2 go by their numbers, such as synth_ssv2/7"),  # no number
        ("synth_ssv2/-1", "such as synth_ssv2/7"),
        ("synth_ssv2/abc", "such as synth_ssv2/7"),
        ("synth_ssv2_hrd/7", "no data set 'synth_ssv2_hrd'; did you mean 'synth_ssv2_hard'?"),
        ("my_videos/7", "my_videos/7: there is no such video file"),
    ):
        with pytest.raises(InputError, match=message):
            artifact.checked(wrong)


def test_frames_are_of_one_size():
    frames = np.zeros((4, 8, 8, 3), np.uint8)
    assert np.array_equal(artifact.checked(list(frames)), frames)
    for other in (frames[0, :5], frames[0, :, :5], frames[0, ..., 0]):
        with pytest.raises(InputError, match="all of one size"):
            artifact.checked([*frames, other])


def test_classes_are_found_by_name_part_or_number():
    assert artifact.class_index(CLASSES, "turning AROUND") == 2
    assert artifact.class_index(CLASSES, "down") == 1
    assert artifact.class_index(CLASSES, "0") == 0
    for wanted, message in (
        ("moving", "fits several.*up.*down"),
        ("jump", "unknown.*Turning"),
        ("turming around", "unknown; did you mean 'Turning [^;]*'[?]$"),
        ("3", "0 to 2"),
        ("-1", "0 to 2"),
    ):
        with pytest.raises(InputError, match=message):
            artifact.class_index(CLASSES, wanted)


def test_artifact_survives_the_disk_and_foreign_files_are_refused(tmp_path):
    one = artifact.Artifact(np.zeros((2, 4, 4, 3), np.uint8), {"classes": ["ü"], "target": 0}, {"mask": np.ones(2)})
    one.save(tmp_path / "a.npz")
    again = artifact.load(tmp_path / "a.npz")
    assert again.info == one.info and np.array_equal(again.arrays["mask"], [1, 1])
    np.savez(tmp_path / "b.npz", x=1)
    (tmp_path / "c.npz").write_bytes(b"no zip")
    for name in ("b.npz", "c.npz", "none.npz"):
        with pytest.raises(InputError, match=name):
            artifact.load(tmp_path / name)


def test_a_file_with_other_bytes_than_were_written_opens_or_is_named(tmp_path):
    """Turned bits make zlib.error, NotImplementedError (a compression that there is not), RuntimeError (a password)."""
    arrays = {"matrix": np.random.default_rng(0).random((8, 8))}
    artifact.Artifact(np.zeros((8, 16, 16, 3), np.uint8), {"classes": ["a"], "target": 0}, arrays).save(
        tmp_path / "whole.npz"
    )
    whole, refused = (tmp_path / "whole.npz").read_bytes(), 0
    for place in range(0, len(whole), 7):
        for bits in (0x01, 0xFF):
            damaged = bytearray(whole)
            damaged[place] ^= bits
            (tmp_path / "damaged.npz").write_bytes(damaged)
            try:
                artifact.load(tmp_path / "damaged.npz")
            except InputError as error:
                refused += "damaged.npz is not an artifact" in str(error)
    assert refused > len(whole) / 7


def test_the_strip_under_the_matrix_shows_each_frame_its_rows_logit():
    values = np.arange(4.0)
    info = dict(video="v", model="m", classes=["a"], target=0, method="clrp", avg_atr=1.0)
    arrays = {"matrix": np.ones((4, 16), np.float32), "row_values": values, "scores": np.ones(1)}
    figure = pictures.relevance(artifact.Artifact(np.zeros((16, 8, 8, 3), np.uint8), info, arrays))
    (strip,) = (drawn for axis in figure.axes for drawn in axis.images if drawn.get_array().shape == (1, 16))
    assert strip.get_array()[0].tolist() == values.repeat(4).tolist()


def drawn(matrix, rows="logits"):
    """Return (colours [T', N, 4] of the matrix in every picture, what the pictures' axes are called)."""
    info = dict(video="v", model="m", classes=["a"], target=0, method="lrp", avg_atr=1.0, rows=rows)
    arrays = {"matrix": np.array(matrix, np.float32), "row_values": np.ones(2), "scores": np.ones(1)}
    found = artifact.Artifact(np.zeros((3, 8, 8, 3), np.uint8), info, {**arrays, "segments": np.zeros((2, 2), int)})
    whole = found.figure()
    axes = [*pictures.relevance(found).axes, *(axis for part in whole.subfigs for axis in part.axes)]
    axes += [inner for axis in axes for inner in axis.child_axes]
    shown = [image for axis in axes for image in axis.images if image.get_array().shape == (2, 3)]
    return [image.to_rgba(image.get_array()) for image in shown], {
        name for axis in axes for name in (axis.get_xlabel(), axis.get_ylabel())
    }


def test_negative_relevance_is_drawn_as_such():
    for rounding in (0, -1e-9):
        for plain in drawn([[0, 1, 2], [rounding, 4, 2]])[0]:
            np.testing.assert_allclose(plain[1], matplotlib.colormaps["viridis"]([0.0, 1.0, 0.5]))
    pictured = drawn([[-4, 0, 2], [1, -1, -2]])[0]
    assert len(pictured) == 2
    for both in pictured:  # from -4, the largest value's size, to 4
        expected = matplotlib.colormaps["PuOr_r"]([[0.0, 0.5, 0.75], [0.625, 0.375, 0.25]])
        np.testing.assert_allclose(both, expected, atol=0.02)
    _, axis = plt.subplots()
    image = plotting.heatmap(axis, np.array([[-4.0, 1.0, 0.0]]), power=0.5)
    np.testing.assert_allclose(image.norm(image.get_array()), [[0, 0.75, 0.5]])  # the root of 1 is half that of 4
    plt.close("all")


@pytest.mark.parametrize("rows, one, many", [("logits", "frame logit", "frame logits"), ("split", "part", "parts")])
def test_rows_are_called_what_they_are(rows, one, many):
    of = " of the logit" if rows == "split" else ""
    names = drawn(np.ones((2, 3)), rows)[1]
    assert names >= {f"{one}{of} i", f"input frame j (strip: {one}{of} of the class)"}
    assert f"share of the relevance of all {many}{of}" in names


def test_classes_that_score_or_are_called_alike_are_told_apart():
    frames, scores = np.zeros((2, 4, 4, 3), np.uint8), {"scores": np.array([0.5, 0.5, 0.0], np.float32)}
    for predicted in (0, 1):
        info = {"classes": ["left", "right", "still"], "target": predicted, "predicted": predicted}
        (said,) = artifact.Artifact(frames, info, scores).notes
        assert "left 50%" in said and "right 50%" in said
        assert artifact.Artifact(frames, info, scores).summary()[0].endswith("explained: the same")
    info = {"classes": ["push", "push", "pull"], "target": 1, "predicted": 0}
    assert artifact.Artifact(frames, info, scores).summary()[0].endswith("explained: push (class 1)")
    against = artifact.Artifact(frames, {**info, "target": 0, "against": 2}, scores)
    assert against.summary()[0].endswith("explained: push rather than pull")


def test_a_note_says_which_rows_hold_relevance_of_both_signs():
    frames, scores = np.zeros((3, 4, 4, 3), np.uint8), np.array([0.9, 0.1], np.float32)
    for rows, said in (([[3, -2.9, 0.1], [1, 1, 1]], 1), ([[3, 2, 1], [-1, -1, -1]], 0)):
        arrays = {"scores": scores, "matrix": np.array(rows, np.float32), "frame_logits": np.ones((2, 2), np.float32)}
        info = {"classes": ["left", "right"], "target": 0, "predicted": 0, "scores": "softmax"}
        found = artifact.Artifact(frames, info, arrays)
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            measured.ranges(found)
        assert [note.startswith("1 of 2 rows hold relevance of both signs") for note in found.notes] == [True] * said


def test_a_name_goes_before_a_number():
    digits = [str(9 - k) for k in range(10)]
    assert artifact.class_index(digits, "3") == 6 and artifact.class_index(digits, 3) == 3
    assert artifact.class_index(["10", "11", "12"], "12") == 2
    assert artifact.class_index(["A", "a", "b"], "a") == 1
    for wanted in ("--5", "²"):
        with pytest.raises(InputError, match="unknown"):
            artifact.class_index(digits, wanted)
