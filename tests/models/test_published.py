"""Reading public checkpoints: every wrapping, every layout, and strictness."""

import re

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from paperlib import models
from paperlib.errors import InputError
from paperlib.models import layouts

pytestmark = pytest.mark.numerics

RESNET50 = (3, 4, 6, 3)


def make(name="TSN-R18-f4", num_classes=3, width=4, **options):
    torch.manual_seed(0)
    return models.create(name, num_classes=num_classes, width=width, **options)


def same(a, b):
    ours, theirs = a.state_dict(), b.state_dict()
    return ours.keys() == theirs.keys() and all(torch.equal(ours[k], theirs[k]) for k in ours)


def released(model):
    """The state dict of a 2D network of this project in the layout of the CVPR 2021 code, written by hand."""
    result = {}
    for key, value in model.state_dict().items():
        tam = re.fullmatch(r"(.*)temporal(\w*)\.conv\.weight", key)
        if tam:
            frames = value.shape[2]
            names = (
                ["prev_se", "curr_se", "next_se"] if frames == 3 else [f"blending_layers.{i}" for i in range(frames)]
            )
            for i, name in enumerate(names):
                result[f"{tam[1]}tam{tam[2]}.{name}.fc1.weight"] = value[:, :, i]
        else:
            result[key] = value.squeeze(2) if value.dim() == 5 else value
    return result


@pytest.mark.parametrize(
    "name, options",
    [
        ("TAM2D-R34-f4", {"kernel_size": 7, "placement": "top"}),
        ("TAM2D-R101-f4", {"placement": "uniform"}),
        ("TAM2D-Inc-f8-tp", {"kernel_size": 5}),
        ("TSN-R152-f4", {}),
        ("Conv1D-R18-f4", {}),
        ("TSN-Inc-f4", {}),
    ],
)
def test_released_layout_loads_at_any_depth_kernel_and_placement(name, options):
    source, target = make(name, **options), models.create(name, num_classes=3, width=4, **options)
    models.load_published(target, {f"module.{key}": value for key, value in released(source).items()})
    assert same(source, target)


@pytest.mark.parametrize(
    "wrap",
    [
        lambda s: s,
        lambda s: {"state_dict": s, "epoch": 3},
        lambda s: {"model_state": {f"module.{k}": v for k, v in s.items()}},
    ],
)
@pytest.mark.parametrize("suffix", [None, ".pth", ".pth.tar"])
def test_files_and_state_dicts_load_with_and_without_wrapping(tmp_path, wrap, suffix):
    source, target = make(), make()
    stored = wrap(released(source))
    if suffix:
        torch.save(stored, tmp_path / f"net{suffix}")
        stored = str(tmp_path / f"net{suffix}")
    assert models.load_published(target, stored) is target
    assert same(source, target)


def test_a_safetensors_file_of_the_project_loads(tmp_path):
    source, target = make("I3D-R18-f4"), make("I3D-R18-f4")
    save_file(source.state_dict(), tmp_path / "net.safetensors")
    assert same(models.load_published(target, tmp_path / "net.safetensors"), source)


def test_numpy_accuracies_beside_the_weights_do_no_harm(tmp_path):
    source, target = make(), make()
    torch.save({"state_dict": released(source), "best_top1": np.float64(76.6)}, tmp_path / "net.pth.tar")
    assert same(models.load_published(target, tmp_path / "net.pth.tar"), source)


def broken(change):
    stored = released(make())
    change(stored)
    return stored


@pytest.mark.parametrize(
    "change, words",
    [
        (lambda s: s.pop("layer3.1.bn2.running_var"), ["1 missing", "layer3.1.bn2.running_var"]),
        (lambda s: s.update({"layer9.weight": torch.zeros(1)}), ["1 unexpected", "layer9.weight"]),
        (lambda s: s.update({"fc.weight": torch.zeros(9, 32)}), ["wrong shape", r"fc.weight is \[9, 32\]"]),
        (lambda s: s.update({"conv1.weight": torch.zeros(4, 3, 3, 7, 7)}), ["wrong shape", "conv1.weight"]),
    ],
)
def test_whatever_does_not_fit_is_named_and_nothing_is_loaded(change, words):
    target = make()
    with torch.no_grad():
        target.fc.bias.fill_(7.0)
    before = {key: value.clone() for key, value in target.state_dict().items()}
    with pytest.raises(InputError) as caught:
        models.load_published(target, broken(change))
    assert all(re.search(word, str(caught.value)) for word in words)
    assert "TSN-R18-f4" in str(caught.value)
    assert all(torch.equal(before[key], value) for key, value in target.state_dict().items())


def test_a_tam_of_another_kernel_size_is_refused_by_name():
    with pytest.raises(InputError, match=r"24 missing: layer1.0.tam.prev_se.*40 unexpected"):
        models.load_published(make("TAM2D-R18-f4"), released(make("TAM2D-R18-f4", kernel_size=5)))


@pytest.mark.parametrize(
    "change, word",
    [
        (lambda s: s.pop("layer2.1.tam.curr_se.fc1.weight"), "1 missing: layer2.1.tam.curr_se.fc1.weight"),
        (
            lambda s: s.update({"layer2.1.tam.curr_se.fc1.weight": torch.zeros(8, 2, 1, 1)}),
            r"1 of the wrong shape: layer2.1.tam.curr_se.fc1.weight is \[8, 2, 1, 1\]",
        ),
    ],
)
def test_part_of_a_tam_that_does_not_fit_has_its_public_name(change, word):
    stored = released(make("TAM2D-R18-f4"))
    change(stored)
    with pytest.raises(InputError, match=word):
        models.load_published(make("TAM2D-R18-f4"), stored)


def test_names_in_errors_are_those_of_the_checkpoint():
    with torch.device("meta"):
        model = models.create("I3D-original-f16", num_classes=3, width=8)
    stored = {
        name: tensor
        for key, tensor in model.state_dict().items()
        for name in layouts.names(key, tensor, layouts.ORIGINAL_I3D)
    }
    assert "Mixed_4f.b2b.conv3d.weight" in stored and "logits.conv3d.bias" in stored
    del stored["Mixed_4f.b2b.conv3d.weight"], stored["Conv3d_1a_7x7.bn.running_var"]
    with pytest.raises(InputError, match="2 missing: Conv3d_1a_7x7.bn.running_var, Mixed_4f.b2b.conv3d"):
        models.load_published(model, stored)


def test_files_that_are_no_checkpoints_are_refused(tmp_path):
    (tmp_path / "text.pth").write_text("hello")
    torch.save([1, 2], tmp_path / "list.pth")
    torch.save({"net": make()}, tmp_path / "pickle.pth")  # a pickled module would run code
    for name, word in (
        ("text.pth", "text.pth is not .*: it is no file of PyTorch, or holds other objects, which could run code$"),
        ("list.pth", "state dict"),
        ("pickle.pth", "pickle.pth is not .* which could run code$"),
        ("absent.pth", "no checkpoint file"),
    ):
        with pytest.raises(InputError, match=word):
            models.load_published(make(), tmp_path / name)
    for nameless in ({0: torch.zeros(1)}, {"state_dict": {0: torch.zeros(1)}}, {}):
        with pytest.raises(InputError, match="holds no state dict: expected a mapping from names to tensors"):
            models.load_published(make(), nameless)


def test_released_i3d_inception_brings_its_padded_last_pool():
    source = make("I3D-Inc-f8").eval()
    target = models.load_published(make("I3D-Inc-f8", last_pool=2), source.state_dict()).eval()
    clip = torch.randn(1, 3, 8, 64, 64)
    with torch.no_grad():
        assert torch.equal(target.frame_logits(clip), source.frame_logits(clip))
    assert target.config["last_pool"] == 3


def pyslowfast(model, depths):
    """A SlowFast state dict under PySlowFast's names, built from the network's structure."""
    ours, result = model.state_dict(), {}

    def copy(theirs, own):
        for key in ours:
            if key.startswith(own + "."):
                result[theirs + key.removeprefix(own)] = ours[key]

    for p, pathway in enumerate(("slow", "fast")):
        copy(f"s1.pathway{p}_stem.conv", f"{pathway}.0.conv")
        copy(f"s1.pathway{p}_stem.bn", f"{pathway}.0.bn")
        for stage, depth in enumerate(depths, 1):
            for block in range(depth):
                theirs, own = f"s{stage + 1}.pathway{p}_res{block}", f"{pathway}.{stage}.{block}"
                copy(f"{theirs}.branch1", f"{own}.downsample.0")
                copy(f"{theirs}.branch1_bn", f"{own}.downsample.1")
                for i, letter in enumerate("abc", 1):
                    copy(f"{theirs}.branch2.{letter}", f"{own}.conv{i}")
                    copy(f"{theirs}.branch2.{letter}_bn", f"{own}.bn{i}")
    for i in range(4):
        copy(f"s{i + 1}_fuse.conv_f2s", f"fuse.{i}.conv")
        copy(f"s{i + 1}_fuse.bn", f"fuse.{i}.bn")
    copy("head.projection", "fc")
    return result


def test_slowfast_loads_from_pyslowfast():
    source = make("SlowFast-R50-4x8", width=8)
    stored = pyslowfast(source, RESNET50)
    assert len(stored) == len(source.state_dict())
    assert same(models.load_published(make("SlowFast-R50-4x8", width=8), {"model_state": stored}), source)


def test_the_convolutional_lstm_loads_from_the_accv_code():
    source = make("C-LSTM-f4", size=64, width=8)
    for norm in source.bn[1:]:  # there one batch norm serves all layers
        norm.load_state_dict(source.bn[0].state_dict())
    stored = {}
    for key, value in source.state_dict().items():
        cell = re.fullmatch(r"cells\.(\d)\.(input|hidden)\.(weight|bias)", key)
        if cell:
            kind = {"input": "Wx", "hidden": "Wh"}[cell[2]]
            value = value.squeeze(2) if value.dim() == 5 else value
            for gate, part in zip("ifco", value.chunk(4), strict=True):
                stored[f"clstm.cell{cell[1]}.{kind}{gate}.{cell[3]}"] = part
        else:
            key = re.sub(r"^bn\.\d\.", "clstm.bn.", key)
            stored[key.replace("fc.", "endFC.") if key.startswith("fc") else key] = value
    target = models.create("C-LSTM-f4", num_classes=3, size=64, width=8)
    assert same(models.load_published(target, stored), source)


def test_torchvision_video_networks_load_their_own_layout():
    source = models.create("r3d_18", num_classes=3)
    target = models.create("r3d_18", num_classes=3)
    assert same(models.load_published(target, source.net.state_dict()), source)


def test_networks_whose_config_is_no_mapping_are_named_by_their_class():
    class Own(torch.nn.Linear):
        config = object()

    weights = {"weight": torch.ones(2, 3), "bias": torch.zeros(2)}
    assert models.load_published(Own(3, 2), weights).weight.eq(1).all()
    with pytest.raises(InputError, match="the state dict does not fit Own: 1 missing: bias"):
        models.load_published(Own(3, 2), {"weight": torch.ones(2, 3)})
    assert models.inflate(Own(3, 2), Own(3, 2)) == []
