"""Parameters and FLOPs: all 288 published rows and the ACCV pair, on the meta device."""

import pytest
import torch

from paperlib import models
from paperlib.papers import published

CLASSES = {"mini-SSV2": 87, "mini-Kinetics": 200, "mini-MiT": 200}


def meta(name, num_classes, **options):
    """The network without memory for its weights."""
    with torch.device("meta"):
        return models.create(name, num_classes=num_classes, **options)


def test_all_288_published_rows_are_exact():
    table = published.table("chen2021_mini_benchmark")
    counted, wrong = {}, []
    for row in table.itertuples():
        name = f"{row.module}-{row.backbone}-f{row.num_frames}" + "-tp" * int(row.temporal_pooling)
        key = name, CLASSES[row.dataset]
        if key not in counted:
            counted[key] = models.count(meta(*key), size=224)
        if counted[key] != models.counting.Count(row.parameters, row.flops):
            wrong.append((row.dataset, name, counted[key], row.parameters, row.flops))
    assert len(table) == 288
    assert not wrong


@pytest.mark.parametrize(
    "name, options, parameters",
    [
        ("I3D-original-f16", {}, 12_465_614),
        ("I3D-original-f16", {"reduced_strides": True}, 12_465_614),
        ("C-LSTM-f16", {}, 1_324_014),
    ],
)
def test_accv_networks_have_their_published_size(name, options, parameters):
    assert models.count(meta(name, 174, **options)).parameters == parameters


def test_slowfast_has_the_size_of_the_public_checkpoint():
    assert models.count(meta("SlowFast-R50-8x8", 400)).parameters == 34_566_488


@pytest.mark.parametrize(
    ("name", "network"),
    [
        *(pytest.param(name, name, id=name) for name in ("mvit_v1_b", "mvit_v2_s")),
        *((f"swin3d_{size}-f16", f"swin3d_{size}") for size in "tsb"),
    ],
)
def test_torchvisions_transformers_have_their_published_size_and_cost(name, network):
    from torchvision.models import get_model_weights

    published = get_model_weights(network).KINETICS400_V1.meta
    model = meta(name, 400)
    count = models.count(model)
    assert count.parameters == published["num_params"]
    more = (
        7 * model.fc.weight.numel() if "swin" in name else 0
    )  # its classifier runs at 8 time steps, not at their mean
    assert (count.flops - more) / 1e9 == pytest.approx(published["_ops"], abs=6e-4)  # of 16 frames


def test_small_transformers_are_about_as_large_as_i3d_and_as_costly():
    i3d = models.count(meta("I3D-R18-f8", 87, width=8), size=64)
    for name, options in (("ViT-joint-f8", {}), ("ViT-divided-f8", {}), ("Swin3D-f8", {}), ("MViT-f8", {"size": 64})):
        count = models.count(meta(name, 87, width=8, **options), size=64)
        assert 1 <= count.parameters / i3d.parameters < 1.15
        assert 0.8 < count.flops / i3d.flops < 1.5
    # ViT-joint by hand: 12 C^2 + 13 C per block, a patch embedding, norm, classifier; 128 tokens of 16 x 16 pixels
    c, tokens = 96, 8 * 16
    parameters = 4 * (12 * c**2 + 13 * c) + (768 * c + c) + 2 * c + (87 * c + 87)
    products = tokens * (4 * (12 * c**2 + 2 * tokens * c) + 768 * c) + 8 * 87 * c
    vit = models.count(meta("ViT-joint-f8", 87, width=8), size=64)
    assert (vit.parameters, vit.flops) == (parameters, products)


@pytest.mark.parametrize("network", ["r3d_18", "mc3_18", "r2plus1d_18", "s3d"])
def test_torchvision_networks_keep_their_size(network):
    from torchvision.models import video

    with torch.device("meta"):
        theirs = getattr(video, network)(weights=None)
    assert models.count(meta(network, 400)).parameters == sum(p.numel() for p in theirs.parameters())


def test_flops_agree_with_a_count_by_hand():
    # TSN-R18 of width 8 at 32 x 32: stem 16x16, then 8x8, 4x4, 2x2, 1x1, 2 frames
    stem = 3 * 8 * 49 * 16**2
    stages = 4 * 8 * 8 * 9 * 8**2
    for planes, size in ((16, 4), (32, 2), (64, 1)):
        stages += (planes * planes // 2 * 9 + 3 * planes**2 * 9 + planes * planes // 2) * size**2
    assert models.count(meta("TSN-R18-f2", 5, width=8), size=32).flops == 2 * (stem + stages)


def test_counting_leaves_the_model_as_it_was():
    model = models.create("TAM2D-R18-f4", num_classes=3, width=4)
    before = {key: value.clone() for key, value in model.state_dict().items()}
    models.count(model, 64)
    assert model.training
    assert all(torch.equal(before[key], value) for key, value in model.state_dict().items())


def test_a_tam_costs_k_multiplications_per_value():
    flops = [models.count(meta("TAM2D-R18-f8", 87, kernel_size=k)).flops for k in (3, 5, 7)]
    plain = models.count(meta("TSN-R18-f8", 87)).flops
    assert [(f - plain) * 3 for f in flops] == [(flops[0] - plain) * k for k in (3, 5, 7)]


def test_placing_half_of_the_modules_halves_them():
    def modules(placement):
        keys = meta("TAM2D-R18-f8", 5, placement=placement).state_dict()
        return [key.removesuffix(".temporal.conv.weight") for key in keys if "temporal" in key]

    everywhere = modules("all")
    assert len(everywhere) == 8
    assert modules("bottom") == everywhere[:4]
    assert modules("Top-Half") == everywhere[4:]
    assert modules("uniform half") == everywhere[::2]
