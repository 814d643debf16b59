"""`paperlib explain`: what it prints and writes, and what it says of mistakes."""

import importlib

import pytest
import torch

from paperlib import cli, models
from paperlib.explanation import artifact, measured
from paperlib.training import checkpoints

from ..data import videos


@pytest.fixture(scope="module")
def prepared(tmp_path_factory):
    """A video of 40 frames and a checkpoint of an untrained network."""
    folder = tmp_path_factory.mktemp("explain")
    torch.manual_seed(0)
    model = models.create("TSM-R18-f4", num_classes=3, width=4)
    header = {"classes": ["left", "right", "still"], "dataset": "test", "recipe": {"size": 32}}
    checkpoints.save(folder / "model.safetensors", model, header)
    return videos.write(folder / "clip.mp4", n=40), folder / "model.safetensors"


def run(prepared, *more):
    video, model = prepared
    return cli.main(["explain", "--video", str(video), "--model", str(model), "--device", "cpu", *map(str, more)])


def test_it_prints_the_prediction_and_three_numbers_and_writes_what_is_asked_for(prepared, tmp_path, capsys):
    html, npz = tmp_path / "a.html", tmp_path / "deep/a.npz"
    assert run(prepared, "--html", html, "--npz", npz, "--iterations", 3, "--class", "right", "--top", 2) == 0
    said = capsys.readouterr()
    for part in ("predicted: ", "explained: ", "avg-ATR", "masked ", "Grad-CAM: ", "Of 40 frames", str(html), str(npz)):
        assert part in said.out
    assert html.read_text(encoding="utf-8").startswith("<!doctype html>")
    found = artifact.load(npz)
    assert found.target_name == "right" and len(found.others) == 1 and found.matrix.shape == (4, 4)


def test_the_page_is_what_comes_without_a_file_and_parts_can_be_left_out(prepared, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert run(prepared, "--no-mask", "--no-cam", "--slide", 2, "--quiet") == 0
    said = capsys.readouterr()
    assert [f.name for f in tmp_path.iterdir()] == ["clip.html"] and said.err == ""
    assert "masked" not in said.out and "Grad-CAM" not in said.out and "windows of 4 frames" in said.out


def test_against_another_class_and_other_commands_with_a_network_of_ones_own(prepared, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "my_own_network.py").write_text(
        "import torch\nfrom tests.masks.networks import SmallVideoNet\n"
        "def build():\n    torch.manual_seed(0)\n    return SmallVideoNet()\n"
    )
    (tmp_path / "names.txt").write_text("up\ndown\n\nnone\n", encoding="utf-8-sig")  # as Windows writes it
    video = str(prepared[0])
    own = ["--video", video, "--model", "my_own_network:build", "--frames", "4", "--size", "32", "--names", "names.txt"]
    assert cli.main(["explain", *own, "--class", "up", "--against", "down", "--no-mask", "--npz", "a.npz"]) == 0
    assert "explained: up rather than down" in capsys.readouterr().out
    assert artifact.load("a.npz").info["against"] == 1
    assert cli.main(["relevance", *own, "--out", "b"]) == 0
    assert cli.main(["gradcam", *own, "--out", "b"]) == 0
    assert artifact.load("b.npz").cam.shape == (4, 32, 32)
    capsys.readouterr()
    assert cli.main(["relevance", *own, "--out", "c", *"--mean 0 0 0 --std 1 1 0.5".split()]) == 0
    assert (
        "note: pixels are normalised by mean (0.0, 0.0, 0.0) and std (1.0, 1.0, 0.5) (told)." in capsys.readouterr().out
    )
    found, net = artifact.load("c.npz"), importlib.import_module("my_own_network").build().eval()
    pixels = torch.tensor(found.frames / 255 / [1, 1, 0.5], dtype=torch.float32).permute(3, 0, 1, 2)[None]
    with torch.no_grad():
        assert found.arrays["logits"] == pytest.approx(net(pixels)[0].numpy(), abs=1e-4)
    assert cli.main(["relevance", "--video", video, "--model", "my_own_network:build", "--out", "d"]) == 2
    said = capsys.readouterr().err
    assert said == (
        "paperlib relevance: how many frames SmallVideoNet takes stands in no configuration; give --frames N\n"
    )


@pytest.mark.parametrize(
    "options, message",
    [
        (["--class", "up"], "'up' is unknown"),
        (["--against", "up"], "'up' is unknown"),
        (["--html", "x.htm"], "should end with .html"),
        (["--video", ""], "--video '' is no file"),
        (["--no-relevance", "--no-mask", "--no-cam"], "nothing to look at"),
        (["--no-mask"], "--iterations changes nothing with --no-mask"),
        (["--layer", "layer4", "--no-cam"], "--layer changes nothing with --no-cam"),
        (["--sigma", "0.9", "--no-relevance"], "--sigma changes nothing with --no-relevance"),
        (["--method", "lrp", "--no-relevance"], "--method changes nothing with --no-relevance"),
        (["--clips", "2", "--slide"], "give one of them"),
        (["--clips", "0"], "clips must be"),
        (["--layer", "layer9"], "layer9"),
        (["--sigma", "2"], "sigma"),
        (["--top", "0"], "top must be"),
        (["--frames", "5"], "explain: TSM-R18-f4 takes 4 frames, not 5"),
        (["--clips", "9999"], "give --clips 1000 or fewer"),
        (["--names", "absent.txt"], "absent.txt"),
    ],
)
def test_mistakes_end_with_2_and_one_sentence(prepared, tmp_path, capsys, monkeypatch, options, message):
    monkeypatch.chdir(tmp_path)
    for instrument in ("relevance", "mask", "cam"):
        monkeypatch.setattr(measured, instrument, lambda *_, **__: pytest.fail("this is computed first"))
    assert run(prepared, "--iterations", 2, "--quiet", *options) == 2
    said = capsys.readouterr().err.strip()
    assert message in said and "\n" not in said and not list(tmp_path.iterdir())


@pytest.mark.parametrize("model, message", [("none/at-all", "does not exist"), ("no_module:f", "cannot be imported")])
def test_a_model_that_is_none_is_named(prepared, capsys, model, message):
    assert run((prepared[0], model), "--no-mask") == 2
    assert message in capsys.readouterr().err
