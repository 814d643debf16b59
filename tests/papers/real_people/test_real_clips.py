"""Videos as they are found in the wild go through the commands, from file to picture."""

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image

from paperlib import cli, models
from paperlib.explanation import artifact
from paperlib.training import checkpoints

from ... import shared

QUICK = ("kinetics_R6llTwEh07w.mp4", "ucf101_basketball.avi")
OTHERS = (
    "hmdb51_cartwheel.avi",
    "kinetics_abseiling.mp4",
    "kinetics_arm_wrestling.mp4",
    "kinetics_flipping_pancake.mkv",
    "ucf101_soccer_juggling.avi",
)


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    """A checkpoint of an untrained network with exchange between frames."""
    file = tmp_path_factory.mktemp("model") / "model.safetensors"
    torch.manual_seed(0)
    checkpoints.save(
        file,
        models.create("TAM2D-R18-f8", num_classes=5, width=4),
        {"classes": list("abcde"), "dataset": "test", "recipe": {"size": 32}},
    )
    return file


@pytest.fixture(autouse=True)
def close_figures():
    yield
    plt.close("all")


@pytest.mark.parametrize("name", [*QUICK, *(pytest.param(name, marks=pytest.mark.slow) for name in OTHERS)])
@pytest.mark.parametrize("command", ["relevance", "mask", "gradcam"])
def test_a_real_clip_gives_finite_results_and_a_picture(command, name, model, tmp_path):
    out = tmp_path / "result"
    more = ["--iterations", "4"] if command == "mask" else []
    assert (
        cli.main(
            [
                command,
                "--video",
                str(shared.path(f"clips/{name}")),
                "--model",
                str(model),
                "--device",
                "cpu",
                "--out",
                str(out),
                *more,
            ]
        )
        == 0
    )
    table, found = pd.read_csv(f"{out}.csv"), artifact.load(f"{out}.npz")
    result = found.arrays[{"relevance": "matrix", "mask": "mask", "gradcam": "cam"}[command]]
    assert len(table) == 8 and np.isfinite(result).all() and result.shape[0] == 8
    assert np.isfinite(found.arrays["scores"]).all() and found.arrays["scores"].sum() == pytest.approx(1, abs=1e-5)
    assert found.frames.shape == (8, 32, 32, 3) and found.frames.std() > 5  # not a black frame
    assert min(Image.open(f"{out}.png").size) > 200
    if command == "relevance":
        assert (result >= 0).all() and result.sum() > 0


def test_a_clip_that_breaks_off_is_read_as_far_as_it_goes_or_refused_in_one_sentence(model, tmp_path, capsys):
    code = cli.main(
        [
            "relevance",
            "--video",
            str(shared.path("clips/corrupted.mp4")),
            "--model",
            str(model),
            "--device",
            "cpu",
            "--out",
            str(tmp_path / "result"),
        ]
    )
    message = capsys.readouterr().err
    assert (code == 0 and (tmp_path / "result.png").is_file()) or (code == 2 and "corrupted.mp4" in message)
