"""What a recipe may say, refused in one sentence before anything is read or written; the papers' recipes."""

import itertools
import math
import os
from dataclasses import asdict, fields, replace

import pytest

from paperlib import cli, data, models
from paperlib.data.fingerprint import fingerprint
from paperlib.data.public import ADAPTERS
from paperlib.errors import InputError
from paperlib.training import checkpoints, recipes, train
from paperlib.training.recipes import Recipe

from .. import toy

RECIPE = Recipe("TAM2D-R18-f8", "toy_bars", width=4, size=32, epochs=3, batch=16)
WRONG = {
    "name": ["", None, 3],
    "dataset": ["", None],
    "width": [0, -8, 8.0, "8", True],
    "kernel_size": [0, 2, 4, -3, 3.0, None],
    "size": [0, 64.0],
    "epochs": [0, -1, 1.5, "3", None, True, math.inf],
    "batch": [0, -16, 16.0],
    "lr": [0, 0.0, -0.1, math.nan, math.inf, "1e-3", None, True],
    "warmup": [-1, 3.5, math.nan, None],
    "momentum": [-0.1, 1.1, math.nan],
    "weight_decay": [-1e-9, math.inf, "0"],
    "label_smoothing": [-0.1, 1.5],
    "dropout": [-0.1, 1, 1.0, math.nan],
    "sampling": ["Dense", "", None, ["dense"]],
    "stride": [0, 1.0],
    "ensemble": [-1, 1.0],
    "init_from": [None, 3],
    "inflate": [None, True],
    "limit": [-1, 0.5, None],
    "held_out": [None, ["bob"]],
    "mirror": [-0.1, 1.1, True],
    "seed": [-1, 2**32, 1.0, "0"],
    "options": [[], "size", {"width": 8}, {"num_classes": 2}, {"size": {1}}, {1: 2}],
    "optimiser": ["SGD", "rmsprop", None, False],
    "bits": [5, 16.0, True, "16"],
    "zoom": [0.9, math.inf, None],
}
RIGHT = {
    "warmup": [0, 3, 0.25],
    "momentum": [0, 1],
    "weight_decay": [0],
    "label_smoothing": [0, 1],
    "dropout": [0, 0.99],
    "mirror": [0, 1],
    "seed": [2**32 - 1],
    "options": [None, {}, {"size": 32, "layers": 2}],
    "lr": [1, 1e-9],
    "kernel_size": [1, 7],
    "zoom": [1, 1.25],
    "bits": [8, 16, 32],
}


@pytest.mark.parametrize("field", [field.name for field in fields(Recipe)])
def test_each_field_is_refused_by_name_value_and_what_would_be_right(field):
    for value in WRONG[field]:
        with pytest.raises(InputError) as said:
            recipes.check(replace(RECIPE, **{field: value}))
        sentence = str(said.value)
        assert sentence.startswith(f"{field} of ") and f" is {value!r}; it should be " in sentence
    for value in RIGHT.get(field, [getattr(RECIPE, field)]):
        assert getattr(recipes.check(replace(RECIPE, **{field: value})), field) == value


def test_a_number_that_yaml_took_for_text_is_explained():
    with pytest.raises(InputError, match="is '1e-3'; it should be a number above 0, and YAML takes 1e-3 for text"):
        recipes.check(replace(RECIPE, lr="1e-3"))


@pytest.mark.parametrize("out", ["file/x.safetensors", "folder", "file/deeper/still/x.safetensors"])
def test_nothing_is_read_where_the_checkpoint_cannot_be_written(tmp_path, monkeypatch, out):
    toy.project(tmp_path, monkeypatch)
    monkeypatch.setattr(train, "datasets", lambda recipe: pytest.fail("the videos were read"))
    (tmp_path / "file").touch()
    (tmp_path / "folder").mkdir()
    with pytest.raises(InputError, match=f"{out} cannot be written .*; name a file in a folder that can"):
        train.run(RECIPE, device="cpu", progress=False, out=tmp_path / out)
    assert sorted(file.name for file in tmp_path.iterdir()) == ["file", "folder"]


@pytest.mark.parametrize("name", ["mine", "tam2d-r18-f8"])
def test_no_video_is_opened_where_the_zoo_could_not_open_the_checkpoint(tmp_path, monkeypatch, name):
    toy.project(tmp_path, monkeypatch)
    monkeypatch.setattr(train, "without_unreadable", lambda *_: pytest.fail("the videos were opened"))
    for out in (f"checkpoints/toy_bars/{name}", f"data/runs/fresh/toy_bars/{name}"):  # the zoo's trainings end there
        with pytest.raises(InputError, match=f"toy_bars/{name}.safetensors could not be opened once written"):
            train.run(RECIPE, device="cpu", progress=False, out=tmp_path / f"{out}.safetensors")


def test_a_recipe_is_refused_before_anything_is_read_or_written(tmp_path, monkeypatch, capsys):
    toy.project(tmp_path, monkeypatch)
    monkeypatch.setattr(train, "datasets", lambda recipe: pytest.fail("the videos were read"))
    with pytest.raises(InputError, match="lr of TAM2D-R18-f8 is nan"):
        train.run(replace(RECIPE, lr=math.nan), device="cpu", progress=False)
    options = ["--model", "TAM2D-R18-f8", "--dataset", "toy_bars"]
    assert cli.main(["train", *options, "--epochs", "0"]) == 2
    assert capsys.readouterr().err == (
        "paperlib train: epochs of TAM2D-R18-f8 is 0; it should be a whole number from 1 up\n"
    )
    key = ["--paper", "toy_bars/I3D-R18-f8"]
    for few in ([], options[:2], options[2:], key + options, key + options[:2], key + options[2:]):
        assert cli.main(["train", *few]) == 2
        assert capsys.readouterr().err == "paperlib train: give either --paper KEY, or --model and --dataset\n"
    assert list(tmp_path.iterdir()) == []


def test_a_checkpoint_of_another_recipe_is_not_replaced_without_a_word(tmp_path, monkeypatch, capsys):
    toy.project(tmp_path, monkeypatch)
    monkeypatch.setattr(train, "datasets", lambda recipe: pytest.fail("the videos were read"))
    place = tmp_path / "checkpoints" / "toy_bars" / "TSN-R18-f2-s1.safetensors"
    place.parent.mkdir(parents=True)
    recipe = Recipe("TSN-R18-f2", "toy_bars", width=4, size=32, epochs=3, seed=1)
    made = models.create(recipe.name, num_classes=2, width=4)
    checkpoints.save(place, made, {"recipe": asdict(recipe), "dataset": "toy_bars", "accuracy": 0.9, "seed": 1})
    before, begun = place.read_bytes(), []
    options = "train --model TSN-R18-f2 --dataset toy_bars --width 4 --size 32 --seed 1 --device cpu --epochs".split()
    assert cli.main([*options, "4"]) == 2
    assert capsys.readouterr().err == (
        f"paperlib train: {place} was trained by another recipe and would be replaced; name another file by --out\n"
    )
    assert place.read_bytes() == before
    monkeypatch.setattr(train, "run", lambda *_, out, **__: begun.append(out) or {"accuracy": 0.5, "seconds": 1})
    assert cli.main([*options, "3"]) == 0  # the same one, trained anew
    assert cli.main([*options, "4", "--out", str(tmp_path / "own.safetensors")]) == 0
    place.write_bytes(before[:-1])
    assert cli.main([*options, "4"]) == 0  # nothing is lost
    assert begun == [place, tmp_path / "own.safetensors", place]


@pytest.mark.parametrize(
    "paper, seed, trained, start",
    [
        ("ssv2/I3D-R50-f16", [], "ssv2/I3D-R50-f16", "ssv2/I3D-R50-f8"),
        ("ssv2/I3D-R50-f16", ["--seed", "1"], "ssv2/I3D-R50-f16-s1", "ssv2/I3D-R50-f8-s1"),
        ("ssv2/I3D-R50-f16-k5-s1", ["--seed", "2"], "ssv2/I3D-R50-f16-k5-s2", "ssv2/I3D-R50-f8-k5-s2"),
        ("ssv2/I3D-R50-f16-s1", [], "ssv2/I3D-R50-f16-s1", "ssv2/I3D-R50-f8-s1"),
        ("ssv2/I3D-R50-f16-s1", ["--seed", "0"], "ssv2/I3D-R50-f16", "ssv2/I3D-R50-f8"),
        (
            "mit/TAM2D-R50-f16-transfer",
            ["--seed", "2"],
            "mit/TAM2D-R50-f16-transfer-s2",
            "mini_kinetics/TAM2D-R50-f16-s2",
        ),
    ],
)
def test_a_seed_given_to_a_recipe_of_the_papers_is_that_of_the_model_it_starts_from(
    tmp_path, monkeypatch, paper, seed, trained, start
):
    """--seed 1 started from the model of seed 0 and was stored as if it were of seed 1 all through."""
    toy.project(tmp_path, monkeypatch)
    begun = []
    monkeypatch.setattr(
        train, "run", lambda recipe, *_, out, **__: begun.append((recipe, out)) or {"accuracy": 0.5, "seconds": 1}
    )
    assert cli.main(["train", "--paper", paper, *seed]) == 0
    assert begun[0][0].init_from == start and begun[0][1] == checkpoints.path(trained)


def test_without_momentum_the_optimiser_is_plain_descent():
    from torch import nn

    model = nn.Linear(1, 1)
    weight = model.weight.item()
    optimiser = train._optimiser(model, replace(RECIPE, momentum=0, weight_decay=0, lr=0.5))
    for _ in range(2):
        model.weight.grad = model.weight.new_ones(1, 1)
        optimiser.step()
    assert model.weight.item() == pytest.approx(weight - 2 * 0.5)


def test_only_the_data_sets_of_the_papers_that_do_not_tell_left_from_right_are_mirrored():
    known = {name for name in data.LOADERS if name != "toy_bars"}
    mirrored = {name for name in known if recipes.recipe(f"{name}/TSN-R50-f8").mirror}
    assert mirrored == {name for name in known if "kinetics" in name or "mit" in name}
    assert recipes.MIRRORED <= known
    for own in ("summit", "mitosis", "permit", "my_kinetics", "mit_faces"):
        assert recipes.recipe(f"{own}/TSN-R50-f8").mirror == 0
    networks = ("I3D-R50-f32-dense", "SlowFast-R50-8x8", "C-LSTM-f32", "I3D-original-f32", "TAM2D-R50-f16-k5-s2")
    for key in (f"{name}/{network}" for name in ADAPTERS for network in networks):
        recipes.check(recipes.recipe(key))


def test_weights_of_imagenet_are_for_networks_that_have_its_backbones(monkeypatch):
    from torchvision.models import ResNet50_Weights, get_model_weights

    fetched = []
    monkeypatch.setattr(ResNet50_Weights, "get_state_dict", lambda weights, **_: fetched.append(weights))
    monkeypatch.setattr(
        get_model_weights("googlenet"), "get_state_dict", lambda weights, **_: fetched.append(weights), raising=False
    )
    for name in ("I3D-R50-f8", "i3d-ResNet50-f8-tp", "TSN-Inc-f8", "i3d-inc-f8", "TSN-GoogLeNet-f8"):
        assert recipes.recipe(f"ssv2/{name}").inflate == "ImageNet"
        train.imagenet(name)
    expected = 2 * [ResNet50_Weights.IMAGENET1K_V1] + 3 * [get_model_weights("googlenet").IMAGENET1K_V1]
    assert fetched == expected
    for name in "ViT-joint-f8 C-LSTM-f8 r3d_18-f8 r3d_18 I3D-original-f8 SlowFast-R50-8x8 swin3d_t MViT-f8".split():
        assert recipes.recipe(f"ssv2/{name}").inflate == ""
        with pytest.raises(InputError, match=f"inflate of {name} is 'ImageNet', whose weights fit backbones R18, "):
            train.imagenet(name)


@pytest.mark.parametrize("gpus", [0, -1, 1.5, "8", None, True])
def test_a_command_for_no_whole_number_of_gpus_is_refused(gpus):
    assert "--nproc-per-node 2 -m" in recipes.command("ssv2/TSN-R50-f8", 2)
    with pytest.raises(InputError, match="gpus must be a whole number of at least 1, not"):
        recipes.command("ssv2/TSN-R50-f8", gpus)


def test_a_checkpoint_of_other_videos_is_not_replaced_without_a_word(tmp_path, monkeypatch, capsys):
    toy.project(tmp_path, monkeypatch)
    monkeypatch.setenv("PAPERLIB_DATA", "")
    for root, kinds in (("a", "xy"), ("b", "xy"), ("c", "xz")):  # b has the classes of a, and another video
        for split, kind in itertools.product(("train", "val"), kinds):
            file = tmp_path / root / split / kind / "0.mp4"
            file.parent.mkdir(parents=True)
            file.write_bytes(b"ab" if root == "b" else b"a")  # not opened
            os.utime(file, (1, 1))
    recipe = Recipe("TSN-R18-f2", "folder", width=4, size=32, epochs=3)
    sets = [data.load("folder", split=split, size=32, root=str(tmp_path / "a")) for split in ("train", "val")]
    known = {"fingerprints": dict(zip(("train", "val"), map(fingerprint, sets), strict=True)), "classes": ["x", "y"]}
    place, begun = tmp_path / "checkpoints" / "folder" / "TSN-R18-f2.safetensors", []

    def save(**more):
        header = {"recipe": asdict(recipe), "dataset": "folder", "accuracy": 0.9, **known, **more}
        checkpoints.save(place, models.create(recipe.name, num_classes=2, width=4), header)

    def asked(root, *more):
        options = "--model TSN-R18-f2 --dataset folder --width 4 --size 32 --epochs 3 --device cpu --data-root".split()
        return cli.main(["train", *options, str(tmp_path / root), *more])

    monkeypatch.setattr(train, "run", lambda *_, out, **__: begun.append(out) or {"accuracy": 0.5, "seconds": 1})
    save()
    for root in ("b", "c"):
        assert asked(root) == 2
        assert capsys.readouterr().err == (
            f"paperlib train: {place} was trained on other videos and would be replaced; name another file by --out\n"
        )
    assert begun == []
    assert asked("a") == asked("b", "--out", str(tmp_path / "own.safetensors")) == 0
    save(skipped=["x/1.mp4"])  # which of those there are could be read, is not known
    assert asked("b") == 0 and asked("c") == 2
    assert begun == [place, tmp_path / "own.safetensors", place]
