"""Checkpoints: written and read back, and every way in which a file can be wrong is named."""

import json
import pickle
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from paperlib import data, models, relevance
from paperlib.errors import InputError
from paperlib.papers import analysis
from paperlib.storage import paths
from paperlib.training import checkpoints, evaluation, zoo
from paperlib.training.recipes import Recipe


@pytest.fixture
def model():
    torch.manual_seed(0)
    return models.create("TAM2D-R18-f8", num_classes=3, width=4).eval()


@pytest.mark.parametrize("key", ["mine/TAM2D-R18-f8", "mine/deeper/TAM2D-R18-f8"])
def test_a_key_means_the_same_file_wherever_it_is_asked_for(tmp_path, monkeypatch, model, key):
    monkeypatch.setattr(paths, "CHECKPOINTS", tmp_path)
    recipe = Recipe("TAM2D-R18-f8", "mine")
    assert zoo.header(key) == {} and zoo.state(key, recipe) == "missing"
    file = tmp_path / f"{key}.safetensors"
    checkpoints.save(file, model, {"dataset": "mine", "recipe": {"width": 4}})
    assert checkpoints.path(key) == checkpoints.find(key) == file
    assert zoo.header(key)["dataset"] == "mine" and zoo.state(key, recipe) == "other recipe"


def test_saved_model_comes_back_with_its_header(tmp_path, model):
    file = tmp_path / "a b ü.safetensors"
    checkpoints.save(file, model, {"classes": ["x", "y", "z"], "accuracy": 0.5})
    again, header = checkpoints.load(file)
    assert header["classes"] == ["x", "y", "z"] and header["config"] == model.config
    assert not again.training
    clip = torch.randn(2, 3, 8, 32, 32)
    assert torch.allclose(again(clip), model(clip), atol=2e-2)
    assert file.stat().st_size < 2.3 * sum(p.numel() for p in model.parameters()) + 40_000  # fp16


def test_a_network_that_could_not_be_built_again_is_not_saved(tmp_path, model):
    from torchvision.models.video import r3d_18

    from paperlib.models.torchvision_video import TorchvisionVideo

    net = r3d_18(num_classes=3)
    adapted = models.adapt(model, torch.randn(1, 3, 8, 32, 32), classes=["x", "y", "z"], mean=[0.5] * 3, std=[0.5] * 3)
    for other in (net, TorchvisionVideo(net, num_frames=8), adapted):
        with pytest.raises(
            InputError, match=f"{type(other).__name__} cannot be saved .* only networks of models.create"
        ):
            checkpoints.save(tmp_path / "other.safetensors", other, {})
    assert list(tmp_path.iterdir()) == []


def test_classes_without_names_have_their_numbers_wherever_answers_are_compared(tmp_path, model):
    file = tmp_path / "bare.safetensors"
    checkpoints.save(file, model, {"recipe": {"size": 32}})
    header = checkpoints.load(file)[1]
    assert header["classes"] == ["class 0", "class 1", "class 2"]
    analysis.check_answers(file, header, SimpleNamespace(name="own", classes=["x", "y", "z"]))
    with pytest.raises(InputError, match="knows 3 classes and own has 2"):
        analysis.check_answers(file, header, SimpleNamespace(name="own", classes=["x", "y"]))


def test_eight_bits_round_each_weight_to_a_127th_of_its_channels_largest(tmp_path, model):
    big = "layer4.1.conv2.weight"
    with torch.no_grad():
        weight = model.get_parameter(big)
        weight[0] *= 100  # other channels keep their own scale
        weight[1] = 0
    half, eight = tmp_path / "half.safetensors", tmp_path / "eight.safetensors"
    checkpoints.save(half, model, {})
    checkpoints.save(eight, model, {}, bits=8)
    assert (
        eight.stat().st_size < 0.75 * half.stat().st_size
    )  # of a small network: norms and small kernels are not rounded
    ours, again = model.state_dict(), checkpoints.load(eight)[0].state_dict()
    sixteen = checkpoints.load(half)[0].state_dict()
    assert all(torch.equal(sixteen[key], value.half().to(value.dtype)) for key, value in ours.items() if value.ndim)
    for key, value in ours.items():
        if value.numel() >= 4096:
            step = value.abs().flatten(1).max(1).values.view(-1, *[1] * (value.ndim - 1)) / 127
            assert ((again[key] - value).abs() <= 0.501 * step).all() and again[key].dtype == torch.float32, key
        else:
            assert torch.equal(again[key], value.half().to(value.dtype)), key
    checkpoints.round_weights(model, 8)
    assert all(torch.equal(value, again[key]) for key, value in model.state_dict().items())
    other = models.create("TAM2D-R18-f16", num_classes=3, width=4)
    assert checkpoints.initialise(other, eight) == [] and torch.equal(other.get_parameter(big), again[big])
    with pytest.raises(InputError, match="bits 4 is none of 32, 16, 8"):
        checkpoints.save(eight, model, {}, bits=4)


@pytest.mark.parametrize("bits", [16, 8])
def test_numbers_beyond_those_of_sixteen_bits_stay_what_they_are(tmp_path, model, bits):
    """A running variance of 70000 became infinite, and the network blind to that channel."""
    state = model.state_dict()
    state["bn1.running_var"][0], state["fc.bias"][0], state["fc.weight"][0, 0] = 7e4, -1e6, 65504
    checkpoints.save(tmp_path / "a.safetensors", model, {}, bits)
    again = checkpoints.load(tmp_path / "a.safetensors")[0].state_dict()
    for key in ("bn1.running_var", "fc.bias"):
        assert torch.equal(again[key], state[key])
    assert again["fc.weight"][0, 0] == 65504 and all(value.isfinite().all() for value in again.values())
    assert torch.equal(again["fc.weight"], state["fc.weight"].half().float())  # which 16 bits can hold
    checkpoints.round_weights(model, bits)
    assert all(torch.equal(value, again[key]) for key, value in model.state_dict().items())


def test_scales_that_do_not_fit_are_named(tmp_path, model):
    file = tmp_path / "a.safetensors"
    for wrong in ({"layer4.1.conv2.weight:scale": torch.ones(5)}, {"nothing:scale": torch.ones(3)}):
        save_file({**model.state_dict(), **wrong}, file, metadata={"config": json.dumps(model.config)})
        with pytest.raises(InputError, match="a.safetensors has scales that do not fit its weights"):
            checkpoints.load(file)


@pytest.mark.slow
@pytest.mark.parametrize("key", ["synth_ssv2/TAM2D-R18-f8", "synth_kinetics/I3D-R50-f8"])
def test_eight_bits_change_neither_accuracy_nor_the_range_of_relevant_frames(tmp_path, key):
    network, header = checkpoints.load(key)
    checkpoints.save(tmp_path / "eight.safetensors", network, header, bits=8)
    videos = data.load(header["dataset"], "val", size=64)
    chosen = np.random.default_rng(0).permutation(len(videos))[:200]
    clips = evaluation.load_clips(videos, chosen[:6], 8)
    found = []
    for net in (network, checkpoints.load(tmp_path / "eight.safetensors")[0]):
        answers = evaluation.evaluate(net, videos, indices=chosen)
        targets = torch.as_tensor(videos.labels[chosen[:6]])
        matrix = relevance.relevance_matrix(net, clips, targets)
        with torch.no_grad():
            logits = net.frame_logits(clips).gather(2, targets[:, None, None].expand(-1, 8, 1))[..., 0]
        found.append((100 * evaluation.accuracy(answers), float(relevance.atr(matrix, logits).avg.mean())))
    (accuracy, avg_atr), (accuracy_of_8, avg_atr_of_8) = found
    assert abs(accuracy - accuracy_of_8) <= 0.5, found
    assert abs(avg_atr - avg_atr_of_8) <= 0.05, found


def test_missing_checkpoint_lists_what_there_is(tmp_path, monkeypatch, model):
    monkeypatch.setattr(paths, "CHECKPOINTS", tmp_path)
    checkpoints.save(checkpoints.path("set/net"), model, {})
    assert checkpoints.find("set/net") == tmp_path / "set" / "net.safetensors"
    with pytest.raises(InputError, match="set/other does not exist.*set/net"):
        checkpoints.find("set/other")
    for number in range(20):
        checkpoints.path(f"set/other-{number}").touch()
    with pytest.raises(InputError) as said:
        checkpoints.find("set/near")
    assert "set/net" in str(said.value) and str(said.value).count("set/") < 10  # those named alike, not all


def test_where_only_the_library_is_installed_a_file_and_a_name_of_the_zoo_are_told_apart(tmp_path, monkeypatch):
    monkeypatch.setattr(paths, "CHECKPOINTS", tmp_path)
    monkeypatch.setattr(paths, "ALONE", True)
    for file in ("my_net.safetensors", tmp_path / "set" / "net.safetensors"):
        with pytest.raises(InputError, match=f"^there is no checkpoint file {file}$"):
            checkpoints.load(file)
    with pytest.raises(InputError, match="the zoo's checkpoints come with a clone of the project"):
        checkpoints.load("set/net")


def test_weights_of_another_kind_are_named_with_what_opens_them(tmp_path, model):
    file = tmp_path / "mine.pt"
    torch.save(model.state_dict(), file)
    with pytest.raises(InputError, match="mine.pt is no checkpoint.*give PACKAGE.MODULE:FUNCTION"):
        checkpoints.load(file)


def test_truncated_file_is_named(tmp_path, model):
    file = tmp_path / "a.safetensors"
    checkpoints.save(file, model, {})
    file.write_bytes(file.read_bytes()[:1000])
    with pytest.raises(InputError, match="a.safetensors is not a readable"):
        checkpoints.load(file)


def test_pickle_is_never_executed(tmp_path):
    class Bomb:
        def __reduce__(self):
            return (open, (str(tmp_path / "executed"), "w"))

    file = tmp_path / "bomb.safetensors"
    file.write_bytes(pickle.dumps(Bomb()))
    with pytest.raises(InputError, match="bomb.safetensors"):
        checkpoints.load(file)
    assert not (tmp_path / "executed").exists()


def test_weights_of_another_network_are_named(tmp_path, model):
    file = tmp_path / "a.safetensors"
    other = models.create("I3D-R18-f8", num_classes=3, width=4)
    other.config = model.config
    checkpoints.save(file, other, {})
    with pytest.raises(InputError, match="does not fit TAM2D-R18-f8.*conv1"):
        checkpoints.load(file)


def test_a_file_under_the_name_of_another_network_or_data_set_is_named(tmp_path, monkeypatch, model):
    monkeypatch.setattr(paths, "CHECKPOINTS", tmp_path)
    right = ("set/TAM2D-R18-f8", "set/TAM2D-R18-f8-own", "set/TAM2D-R18-f8-k3")
    wrong = ("set/I3D-R18-f8", "set/TAM2D-R18-f80", "set/TAM2D-R18-f8-tp", "set/TAM2D-R18-f8-tp-own", "b/TAM2D-R18-f8")
    for key in right + wrong:
        checkpoints.save(checkpoints.path(key), model, {"dataset": "set"})
    for key in right:
        checkpoints.load(key)
    for key in wrong:
        with pytest.raises(InputError, match=f"{key}.safetensors holds TAM2D-R18-f8 trained on set, not {key} as"):
            checkpoints.load(key)
    for name, seed in (("TAM2D-R18-f8-s2", 2), ("TAM2D-R18-f8-k3-s3", 2)):
        checkpoints.save(checkpoints.path(f"set/{name}"), model, {"dataset": "set", "seed": seed})
    checkpoints.load("set/TAM2D-R18-f8-s2")
    with pytest.raises(InputError, match="k3-s3.safetensors holds TAM2D-R18-f8 trained with seed 2, not 3 as its name"):
        checkpoints.load("set/TAM2D-R18-f8-k3-s3")


@pytest.mark.parametrize(
    "recipe, right, wrong, said",
    [
        ({"kernel_size": 5}, "k5", "k7", "kernel_size 5, not 7"),
        ({"options": {"placement": "top"}}, "top", "bottom", "placement top, not bottom"),
        ({"options": {"placement": "Uniform half"}}, "uniform", "top-own-top", "placement uniform, not top"),
        ({"sampling": "dense", "stride": 4}, "dense", "e2-dense", "ensemble 0, not 2"),
        ({"ensemble": 4}, "k3-e4", "dense-e4", "sampling uniform, not dense"),
    ],
)
def test_a_name_of_the_zoo_states_how_the_network_was_made_and_trained(
    tmp_path, monkeypatch, recipe, right, wrong, said
):
    """A network of kernels over 5 frames that was renamed to -k7 was opened and shown as one of 7."""
    monkeypatch.setattr(paths, "CHECKPOINTS", tmp_path)
    recipe = Recipe("TAM2D-R18-f8", "set", width=4, **recipe)
    made = {"kernel_size": recipe.kernel_size, **(recipe.options or {})}
    model = models.create(recipe.name, num_classes=3, width=4, **made)
    for ending in (right, wrong):
        file = checkpoints.path(f"set/TAM2D-R18-f8-{ending}")
        checkpoints.save(file, model, {"dataset": "set", "recipe": vars(recipe)})
        if ending == right:
            checkpoints.load(file)
            checkpoints.check_place(file, model.config, recipe)
    with pytest.raises(InputError, match=f"-{wrong}.safetensors holds TAM2D-R18-f8 trained with {said} as its name"):
        checkpoints.load(file)
    with pytest.raises(InputError, match=f"-{wrong}.safetensors could not be opened once written.* with {said} as"):
        checkpoints.check_place(file, model.config, recipe)


def test_a_name_of_the_zoo_is_one_however_its_path_is_written(tmp_path, monkeypatch, model):
    zoo_folder, elsewhere = tmp_path / "zoo", tmp_path / "elsewhere"
    monkeypatch.setattr(paths, "CHECKPOINTS", zoo_folder)
    file = checkpoints.path("set/I3D-R18-f8")
    checkpoints.save(file, model, {"dataset": "set"})
    (elsewhere / "linked").mkdir(parents=True)
    (zoo_folder / "linked").symlink_to(elsewhere / "linked")  # a data set's checkpoints on another disk
    checkpoints.save(zoo_folder / "linked" / "I3D-R18-f8.safetensors", model, {"dataset": "linked"})
    (tmp_path / "link").symlink_to(zoo_folder)
    (tmp_path / "mine.safetensors").symlink_to(file)
    monkeypatch.chdir(zoo_folder / "set")
    same = (
        file,
        file.name,
        Path("../set", file.name),
        tmp_path / "link/set" / file.name,
        tmp_path / "mine.safetensors",
    )
    for written in (*same, zoo_folder / "linked" / file.name):
        with pytest.raises(
            InputError, match="holds TAM2D-R18-f8 trained on (set|linked), not .*/I3D-R18-f8 as its name"
        ):
            checkpoints.load(written)
    checkpoints.save(tmp_path / "set" / file.name, model, {"dataset": "other"})  # nobody's name but its owner's
    checkpoints.load(tmp_path / "set" / file.name)


@pytest.mark.parametrize(
    "place, seed", [("d/I3D-R18-f8", 0), ("e/TAM2D-R18-f8", 0), ("d/TAM2D-R18-f8-s2", 1), ("d/TAM2D-R18-f80", 0)]
)
def test_a_place_where_a_checkpoint_could_not_be_opened_is_refused_before_it_is_trained(
    tmp_path, monkeypatch, place, seed
):
    monkeypatch.setattr(paths, "CHECKPOINTS", tmp_path)
    config, recipe = {"name": "TAM2D-R18-f8"}, Recipe("TAM2D-R18-f8", "d", seed=seed)
    right = tmp_path / "d" / ("TAM2D-R18-f8-s1" if seed else "TAM2D-R18-f8")
    with pytest.raises(InputError, match=f"could not be opened once written.*; name it {right}.safetensors"):
        checkpoints.check_place(tmp_path / f"{place}.safetensors", config, recipe)
    for fine in (f"{right}.safetensors", f"{right}-own.safetensors", tmp_path / "deeper" / f"{place}.safetensors"):
        checkpoints.check_place(Path(fine), config, recipe)


def test_foreign_safetensors_are_refused(tmp_path):
    file = tmp_path / "foreign.safetensors"
    save_file({"weight": torch.zeros(2)}, file)
    with pytest.raises(InputError, match="no paperlib header"):
        checkpoints.load(file)


def test_a_deeper_network_starts_as_the_shallower_one(tmp_path):
    torch.manual_seed(0)
    shallow = models.create("TAM2D-R18-f4", num_classes=3, width=4)
    for module in shallow.modules():  # statistics unlike those of fresh norms
        if isinstance(module, torch.nn.BatchNorm3d):
            torch.nn.init.uniform_(module.running_mean, -0.1, 0.1)
    checkpoints.save(tmp_path / "a.safetensors", shallow, {})
    shallow, _ = checkpoints.load(tmp_path / "a.safetensors")
    deep = models.create("TAM2D-R34-f4", num_classes=3, width=4)
    assert checkpoints.initialise(deep, tmp_path / "a.safetensors") == []
    clip = torch.randn(2, 3, 4, 32, 32)
    with torch.no_grad():
        assert torch.allclose(deep.eval()(clip), shallow.eval()(clip), atol=1e-5)
    deep.train()(clip).sum().backward()
    assert deep.layer3[5].bn2.weight.grad.abs().sum() > 0  # the new blocks learn


def test_another_module_is_no_shallower_network(tmp_path, model):
    checkpoints.save(tmp_path / "a.safetensors", models.create("I3D-R18-f8", num_classes=3, width=4), {})
    with pytest.raises(InputError, match="differs in frames or classes or is a ResNet of fewer layers"):
        checkpoints.initialise(models.create("S3D-R34-f8", num_classes=3, width=4), tmp_path / "a.safetensors")


def test_a_shallower_network_does_not_start_from_half_of_a_deeper_one(tmp_path, model):
    deep, before = models.create("TAM2D-R34-f8", num_classes=3, width=4), model.conv1.weight.clone()
    checkpoints.save(tmp_path / "a.safetensors", deep, {})
    with pytest.raises(InputError, match=r"does not fit TAM2D-R18-f8 in layer1.2.bn1.bias, .* more; init_from"):
        checkpoints.initialise(model, tmp_path / "a.safetensors")
    assert torch.equal(model.conv1.weight, before)
