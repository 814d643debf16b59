"""The commands `mask` and `gradcam` and the example pictures, on a video written for the test."""

import json
import os
import shutil

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image

from paperlib import cli, gradcam, masks, models
from paperlib.data import clips as data_clips
from paperlib.errors import InputError
from paperlib.explanation import artifact, examples, explaining, measured
from paperlib.training import checkpoints

from ..data import videos


@pytest.fixture(scope="module")
def prepared(tmp_path_factory):
    """A video file and a checkpoint of an untrained network."""
    folder = tmp_path_factory.mktemp("commands")
    torch.manual_seed(0)
    model = models.create("TSM-R18-f4", num_classes=3, width=4)
    checkpoints.save(
        folder / "model.safetensors",
        model,
        {"classes": ["left", "right", "still"], "dataset": "test", "recipe": {"size": 32}},
    )
    return videos.write(folder / "clip.mp4", n=20), folder / "model.safetensors"


def on(video, model, out):
    """Return the options that both commands take: what to explain, and where the results go."""
    return ["--video", str(video), "--model", str(model), "--device", "cpu", "--out", str(out)]


def test_mask_writes_table_picture_and_artifact(prepared, tmp_path, capsys):
    video, model = prepared
    out = tmp_path / "result"
    assert cli.main(["mask", *on(video, model, out), "--class", "right", "--iterations", "5"]) == 0
    assert "explained: right" in capsys.readouterr().out
    table, found = pd.read_csv(f"{out}.csv"), artifact.load(f"{out}.npz")
    assert table["frame"].tolist() == [1, 2, 3, 4]
    assert table["source_frame"].tolist() == [k + 1 for k in found.info["indices"]]  # both counted from 1
    assert np.allclose(table["mask"], found.arrays["mask"], atol=1e-5)
    assert (table["on"] == (table["mask"] > 0.1)).all()
    assert found.info["mask_settings"]["iterations"] == 5 and found.arrays["mask_loss"].shape == (5,)
    # the artifact reproduces the scores without the video
    loaded, _ = checkpoints.load(model)
    frozen = masks.freeze(found.clip, torch.tensor(found.arrays["mask"]))
    with torch.no_grad():
        score = loaded(frozen).softmax(1)[0, 1].item()
    assert found.info["mask_scores"]["FS"] == pytest.approx(score, abs=1e-5)
    assert Image.open(f"{out}.png").size[0] > 800


@pytest.mark.parametrize("kind, how", [("black", "black"), ("blur", "blurred"), ("reverse", "reversed")])
def test_a_mask_learned_by_another_perturbation_has_its_score_and_its_frames(prepared, tmp_path, capsys, kind, how):
    out, drawn = tmp_path / "result", []
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(examples, "rows_of_frames", lambda axis, rows, *_: drawn.append(rows))
        assert cli.main(["mask", *on(*prepared, out), "--perturbation", kind, "--iterations", "2"]) == 0
    found, (loaded, _) = artifact.load(f"{out}.npz"), checkpoints.load(prepared[1])
    changed = masks.perturb(found.clip, torch.tensor(found.mask), kind)
    with torch.no_grad():
        score = loaded(changed).softmax(1)[0, found.target].item()
    assert found.mask_scores[how] == pytest.approx(score, abs=1e-5)
    assert list(found.mask_scores) == ["original", "frozen", "reversed", *([] if kind == "reverse" else [how])]
    assert f"{how} {score:.3f}" in capsys.readouterr().out and f"{how} {score:.3f}" in repr(found)
    assert list(drawn[0])[-1] == how
    assert np.abs(drawn[0][how].astype(int) - data_clips.to_frames(changed[0])).max() <= 1


def test_a_network_without_maps_has_its_mask_without_gradcam(prepared, tmp_path, monkeypatch, capsys):
    (tmp_path / "flat.py").write_text(
        "import torch\n"
        "class Flat(torch.nn.Module):\n"
        "    def __init__(self):\n"
        "        super().__init__()\n"
        "        self.head = torch.nn.Linear(4, 2)\n"
        "    def forward(self, x):\n"
        "        return self.head(x.mean((1, 3, 4)))\n"
        "def network():\n"
        "    torch.manual_seed(0)\n"
        "    return Flat()\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    out = tmp_path / "result"
    options = ["--frames", "4", "--size", "32", "--iterations", "3"]
    assert cli.main(["mask", *on(prepared[0], "flat:network", out), *options]) == 0
    assert "note: Grad-CAM is left out: no layer of Flat" in capsys.readouterr().out
    found = artifact.load(f"{out}.npz")
    assert found.mask.shape == (4,) and "cam" not in found.arrays
    assert any(note.startswith("Grad-CAM is left out") for note in found.notes)
    assert len(pd.read_csv(f"{out}.csv")) == 4 and Image.open(f"{out}.png").size[0] > 800


@pytest.mark.parametrize("command, own", [("relevance", "avg-ATR "), ("mask", "masked "), ("gradcam", "blobs per ")])
def test_each_instrument_says_what_was_predicted_and_what_a_reader_should_know(
    prepared, tmp_path, monkeypatch, capsys, command, own
):
    (tmp_path / "own_code.py").write_text(
        "import torch\nfrom paperlib import models\n"
        "def build():\n"
        "    torch.manual_seed(0)\n"
        "    net = models.create('TSM-R18-f4', num_classes=3, width=4)\n"
        "    net.fc.weight.data *= 1e-5\n"
        "    net.fc.bias.data = torch.tensor([0.0, 3.0, 2.9])\n"
        "    class Own(torch.nn.Module):\n"
        "        def __init__(self):\n"
        "            super().__init__()\n"
        "            self.net = net\n"
        "        def forward(self, clip):\n"
        "            return self.net(clip)\n"
        "    return Own()\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    options = ["--frames", "4", "--size", "32", "--class", "0", *(["--iterations", "2"] if command == "mask" else [])]
    assert cli.main([command, *on(prepared[0], "own_code:build", tmp_path / "x"), *options]) == 0
    said = capsys.readouterr().out.splitlines()
    scores = np.exp([0, 3, 2.9]) / np.exp([0, 3, 2.9]).sum()
    assert said[0] == f"predicted: class 1 ({scores[1]:.1%} by softmax); explained: class 0"
    assert any(line.startswith(own) for line in said[1:])
    notes = "\n".join(line for line in said if line.startswith("note: "))
    for part in (
        "(assumed; --mean and --std say others)",
        "Of 20 frames",
        "is unsure: class 1 51%, class 2 46%",
        "class 0, which is explained, is not predicted",
    ):
        assert part in notes
    assert said[-1] == ", ".join(f"{tmp_path / 'x'}.{kind}" for kind in ("csv", "png", "npz"))


def test_gradcam_is_looked_at_before_the_mask_is_learned(prepared, tmp_path, monkeypatch):
    def broken(*_, **__):
        raise InputError("no maps")

    monkeypatch.setattr(measured, "cam", broken)
    monkeypatch.setattr(measured, "mask", lambda *_, **__: pytest.fail("the mask is learned first"))
    assert cli.main(["mask", *on(*prepared, tmp_path / "result")]) == 2


def test_gradcam_writes_table_picture_and_artifact(prepared, tmp_path, capsys):
    video, model = prepared
    out = tmp_path / "result"
    assert (
        cli.main(["gradcam", *on(video, model, out), "--class", "0", "--layer", "layer2.1", "--normalise", "clip"]) == 0
    )
    assert "layer layer2.1" in capsys.readouterr().out
    table, found = pd.read_csv(f"{out}.csv"), artifact.load(f"{out}.npz")
    loaded, _ = checkpoints.load(model)
    expected = gradcam.video_gradcam(loaded, found.clip, 0, "layer2.1", "clip")[0]
    assert np.allclose(found.arrays["cam"], expected, atol=1e-5)
    assert list(table.columns) == ["frame", "source_frame", "count", "size", "center_distance"]
    assert table["source_frame"].tolist() == [k + 1 for k in found.info["indices"]]
    assert json.dumps(found.info["detector"]) and found.info["detector"]["low"] == 0.25
    assert Image.open(f"{out}.png").size[0] > 800
    assert cli.main(["gradcam", *on(video, model, out), "--layer", "layer4.1"]) == 0  # one pixel: black by "frame"
    assert "\nno blobs\n" in capsys.readouterr().out


def test_a_video_whose_name_is_no_text_is_explained_under_its_name(prepared, tmp_path):
    video, model = prepared
    named = os.fsdecode(os.fsencode(tmp_path) + b"/caf\xe9.mp4")
    try:
        shutil.copy(video, named)
    except OSError:
        pytest.skip("this file system takes text alone")
    assert cli.main(["relevance", *on(named, model, tmp_path / "found")]) == 0
    assert Image.open(tmp_path / "found.png").size[0] > 300
    assert artifact.load(tmp_path / "found.npz").info["video"] == r"caf\udce9.mp4"


@pytest.mark.parametrize(
    "arguments, message",
    [
        (["mask", "--preset", "theirs"], "as_published"),
        (["mask", "--perturbation", "melt"], "melt"),
        (["mask", "--iterations", "-1"], "iterations must be a whole number of at least 0, not -1"),
        (["mask", "--class", "up"], "unknown"),
        (["relevance", "--sigma", "0"], "sigma must be a number above 0"),
        (["gradcam", "--layer", "layer9"], "layer9"),
    ],
)
def test_unusable_options_end_with_2_and_one_sentence(prepared, tmp_path, capsys, monkeypatch, arguments, message):
    video, model = prepared
    if not {"--class", "--layer"} & set(arguments):  # which only the network knows
        monkeypatch.setattr(explaining, "look", lambda *_, **__: pytest.fail("the video is looked at first"))
    assert (
        cli.main(
            [
                *arguments[:1],
                "--video",
                str(video),
                "--model",
                str(model),
                "--device",
                "cpu",
                "--out",
                str(tmp_path / "x"),
                *arguments[1:],
            ]
        )
        == 2
    )
    assert message in capsys.readouterr().err and not list(tmp_path.iterdir())


def test_examples_have_the_papers_scores_and_pictures(tmp_path):
    torch.manual_seed(1)
    model = models.create("TSM-R18-f4", num_classes=3, width=4)
    clips = torch.randn(2, 3, 4, 32, 32)
    guess = int(model.eval()(clips[:1]).argmax())
    found = examples.explain(model, clips, [guess, (guess + 1) % 3], ["a", "b", "c"], "TSM", iterations=3)
    right, wrong = found
    assert set(right.scores) == {"OS", "FS", "RS"} and "P:" not in right.caption
    if wrong.predicted != wrong.label:
        assert set(wrong.scores) == {"OS", "FS", "RS", "CS"} and f"P: {wrong.predicted}" in wrong.caption
    assert right.frames.shape == right.changed.shape == (4, 32, 32, 3) and right.cam.shape == (4, 32, 32)
    examples.animate(found, tmp_path / "clip.gif", scale=1)
    with Image.open(tmp_path / "clip.gif") as animation:
        assert animation.n_frames == 4 and animation.size == (96, 2 * (32 + 10))
    right.cam, looked = None, right.cam  # of a network without maps
    examples.animate([right], tmp_path / "clip.gif", scale=1)
    with Image.open(tmp_path / "clip.gif") as animation:
        assert animation.size == (64, 32 + 10)
    right.cam = looked
    figure = examples.plt.figure()
    picture, bar = examples.strip(figure, right, columns=3)
    assert picture.images[0].get_array().shape == (3 * (32 + 2), 2 * (32 + 2), 3)  # every second frame, a white edge
    colours = [tuple(patch.get_facecolor()) for patch in bar.patches]
    on = examples.matplotlib.colors.to_rgba(examples.ON)
    assert [colour == on for colour in colours] == (right.mask > 0.1).tolist()
    examples.plt.close(figure)


def test_frozen_frames_that_the_mask_covers_are_outlined_where_they_are_shown():
    frames, (figure, axis) = np.zeros((6, 8, 8, 3), np.uint8), examples.plt.subplots()
    examples.rows_of_frames(axis, {"frames": frames, "frozen": frames}, [0, 2, 4], [0, 1, 1, 1, 0.05, 1])
    side = 8 + 2  # a frame and its edges
    assert [(patch.get_x() // side, patch.get_y() // side) for patch in axis.patches] == [(1, 1)]
    assert [text.get_text() for text in axis.get_xticklabels()] == ["1", "3", "5"]  # frames count from 1
    assert examples.spread(6, 3).tolist() == [0, 2, 5] and examples.spread(2, 3).tolist() == [0, 1]
    examples.plt.close(figure)


def test_overlay_keeps_frames_where_the_map_is_empty():
    frames = np.random.default_rng(0).integers(0, 255, (2, 4, 4, 3), dtype=np.uint8)
    cam = np.zeros((2, 4, 4))
    assert np.array_equal(examples.overlay(frames, cam), frames)
    cam[1] = 1
    assert np.array_equal(examples.overlay(frames, cam)[0], frames[0])
    assert not np.array_equal(examples.overlay(frames, cam)[1], frames[1])
