"""Interrupted trainings go on to the same weights, from a state of the same recipe and videos that can be read only."""

import json
import os
import pickle
from dataclasses import asdict, replace
from pathlib import Path

import pytest
import torch

from paperlib import data
from paperlib.errors import InputError
from paperlib.training import checkpoints, interrupted, parallel, progress, train

from .. import toy
from ..data import videos

pytestmark = pytest.mark.numerics

RECIPE = train.Recipe("TAM2D-R18-f8", "toy_bars", width=4, size=32, epochs=2, batch=16, lr=0.05)
ALONE = parallel.Ranks(torch.device("cpu"))
PRINTS = ["training", "validation"]


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    toy.project(tmp_path, monkeypatch)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def run(recipe, name):
    return train.run(recipe, device="cpu", progress=False, out=Path(f"{name}.safetensors"))


def killed(monkeypatch, before):
    """Let training end before an epoch, counted from 1, once."""
    epoch = train._epoch

    def ends(model, train_, optimiser, recipe, number, *rest):
        if number + 1 == before:
            monkeypatch.setattr(train, "_epoch", epoch)
            raise KeyboardInterrupt
        return epoch(model, train_, optimiser, recipe, number, *rest)

    monkeypatch.setattr(train, "_epoch", ends)


def weights(name):
    return checkpoints.load(f"{name}.safetensors")[0].state_dict()


def same(a, b):
    return all(torch.equal(a[key], b[key]) for key in a)


@pytest.mark.parametrize("older", [False, True], ids=["now", "before fingerprints"])
def test_resumed_run_equals_undisturbed_run(folder, monkeypatch, capsys, older):
    run(RECIPE, "whole")
    killed(monkeypatch, before=2)
    with pytest.raises(KeyboardInterrupt):
        run(RECIPE, "parts")
    assert not Path("parts.safetensors").exists()
    if older:
        (file,) = (folder / "data" / "runs").glob("toy_bars-parts-*.pt")
        state = torch.load(file, weights_only=True)
        del state["videos"]
        torch.save(state, file)
    meta = run(RECIPE, "parts")
    assert [row["epoch"] for row in meta["history"]] == [1, 2] and "starts over" not in capsys.readouterr().out
    assert same(weights("whole"), weights("parts"))
    assert not list((folder / "data" / "runs").glob("*.pt"))


def test_a_training_of_the_same_name_that_ends_elsewhere_leaves_the_state_alone(folder, monkeypatch, capsys):
    """It said that it starts over, and overwrote what the other one was to go on from."""
    killed(monkeypatch, before=2)
    with pytest.raises(KeyboardInterrupt):
        run(RECIPE, "parts")
    run(replace(RECIPE, epochs=1, lr=0.01), "elsewhere/parts")
    meta = run(RECIPE, folder / "parts")  # the same file, as another path
    assert [row["epoch"] for row in meta["history"]] == [1, 2] and "starts over" not in capsys.readouterr().out
    states = [
        train._state_file("toy_bars/a", path) for path in (checkpoints.path("toy_bars/a"), folder / "a.safetensors")
    ]
    assert states[0] == progress.file("toy_bars/a", "pt") != states[1]  # the zoo's have their plain names


def own_videos(folder, monkeypatch):
    """Make a data set of six videos of each of two classes, and return a recipe for it."""
    for k, label in enumerate(("a", "b")):
        for i in range(6):
            videos.write(folder / "own" / label / f"{i}.mp4", n=12, width=32, height=32, first=40 * k + i)
    monkeypatch.setenv("PAPERLIB_DATA", str(folder / "own"))
    return replace(RECIPE, dataset="folder", batch=4)


@pytest.mark.parametrize("change", ["another video", "one more", "one fewer", "another class"])
def test_other_videos_are_trained_on_from_the_start(folder, monkeypatch, capsys, change):
    recipe = own_videos(folder, monkeypatch)
    killed(monkeypatch, before=2)
    with pytest.raises(KeyboardInterrupt):
        run(recipe, "own")
    one = folder / "own" / "a" / "2.mp4"
    if change == "another video":
        videos.write(one, n=14, width=32, height=32)
    elif change == "one more":
        videos.write(one.with_name("7.mp4"), n=12, width=32, height=32)
    elif change == "one fewer":
        one.unlink()
    else:
        one.rename(folder / "own" / "b" / "8.mp4")
    killed(monkeypatch, before=1)
    with pytest.raises(KeyboardInterrupt):  # an epoch 1 there is only from the start
        run(recipe, "own")
    assert "is of other videos than folder holds now; training TAM2D-R18-f8 starts over" in capsys.readouterr().out


def test_a_video_that_goes_while_it_is_trained_on_is_named_and_what_was_trained_is_kept(folder, monkeypatch):
    recipe = replace(own_videos(folder, monkeypatch), sampling="dense", stride=1)
    run(recipe, "whole")
    file = data.load("folder", "train", size=32).path(3)
    content, times, epoch = file.read_bytes(), file.stat(), train._epoch

    def goes(model, train_, optimiser, recipe, number, *rest):
        if number == 1:
            file.unlink()
        return epoch(model, train_, optimiser, recipe, number, *rest)

    monkeypatch.setattr(train, "_epoch", goes)
    with pytest.raises(InputError) as said:
        run(recipe, "parts")
    assert f"stopped in epoch 2: {file}: there is no such video file; " in str(said.value)
    assert str(said.value).endswith("training goes on after 1 whole epochs") and str(said.value).count(". ") == 0
    monkeypatch.setattr(train, "_epoch", epoch)
    file.write_bytes(content)
    os.utime(file, ns=(times.st_atime_ns, times.st_mtime_ns))
    killed(monkeypatch, before=1)  # which is not asked for again
    run(recipe, "parts")
    assert same(weights("whole"), weights("parts"))


def kept(folder, **other):
    """Return a model, its optimiser, and a file with the state of another one after an epoch."""
    model, theirs = train.build(RECIPE, 2), train.build(replace(RECIPE, seed=1), 2)
    optimiser = train._optimiser(model, RECIPE)
    file = folder / "state.pt"
    interrupted.keep(file, replace(RECIPE, **other), PRINTS, theirs, train._optimiser(theirs, RECIPE), [{"epoch": 1}])
    return model, optimiser, file


def test_a_state_of_another_recipe_is_not_used_and_what_differs_is_said(folder, capsys):
    model, optimiser, file = kept(folder, lr=0.1, mirror=0.5)
    assert interrupted.resumed(file, RECIPE, PRINTS, model, optimiser, ALONE) == (0, [])
    assert "is of a recipe with another lr, mirror; training TAM2D-R18-f8 starts over" in capsys.readouterr().out
    state = torch.load(file, weights_only=True)
    older = {field: value for field, value in asdict(RECIPE).items() if field not in ("zoom", "bits")}
    torch.save({**state, "recipe": json.dumps(older)}, file)  # fields younger than the state have their default
    assert interrupted.resumed(file, RECIPE, PRINTS, model, optimiser, ALONE) == (1, [{"epoch": 1}])


def test_a_damaged_state_is_named_and_training_starts_over(folder, capsys):
    model, optimiser, file = kept(folder)
    before = {key: value.clone() for key, value in model.state_dict().items()}
    good, state = file.read_bytes(), torch.load(file, weights_only=True)
    flipped = bytearray(good)
    flipped[len(good) // 2] ^= 16  # in the weights
    torch.save({"recipe": toy.Bomb()}, folder / "bomb.pt")
    torch.save({**state, "model": train.build(RECIPE, 5).state_dict()}, folder / "classes.pt")
    torch.save({key: value for key, value in state.items() if key != "optimiser"}, folder / "lacks.pt")
    whole = [(folder / f"{name}.pt").read_bytes() for name in ("bomb", "classes", "lacks")]
    for bad in (good[:-100], good[:1000], bytes(flipped), b"", pickle.dumps(toy.Bomb()), *whole):
        file.write_bytes(bad)
        assert interrupted.resumed(file, RECIPE, PRINTS, model, optimiser, ALONE) == (0, [])
        assert "state.pt cannot be read" in capsys.readouterr().out
        assert same(model.state_dict(), before)
    assert not (folder / "executed").exists()
    file.write_bytes(good)
    assert interrupted.resumed(file, RECIPE, PRINTS, model, optimiser, ALONE)[0] == 1
    assert same(model.state_dict(), state["model"]) and not same(model.state_dict(), before)
