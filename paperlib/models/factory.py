"""`create`: from a network's name in the papers' notation to the network."""

import re

from ..errors import InputError, number, whole
from . import clstm, original_i3d, slowfast, torchvision_transformers, torchvision_video, vit
from .base import VideoModel, check_options, initialise
from .inception import PLACES, InceptionV1
from .modules import MODULES
from .resnet import DEPTHS, ResNet

BACKBONES = [f"R{depth}" for depth in DEPTHS] + ["Inc"]
ALIASES = {
    "TAM": "TAM2D",
    "INCEPTIONV1": "Inc",
    "GOOGLENET": "Inc",
    "CONV": "Conv1D",
    **{f"RESNET{depth}": f"R{depth}" for depth in DEPTHS},
}
# networks with names of their own
FAMILIES = (original_i3d, clstm, slowfast, torchvision_video, vit, torchvision_transformers)
PLACEMENTS = ("all", "top", "bottom", "uniform")


def create(name: str, num_classes: int, width: int = 64, dropout: float = 0.0, **options) -> VideoModel:
    """Build the network called `name`, with fresh weights, in training mode.

    name: `<module>-<backbone>-f<frames>[-tp]`, as in `I3D-R50-f16` or `TSN-R50-f8-tp`: modules are the keys
    of `modules.MODULES`, backbones R18, R34, R50, R101, R152 and Inc, and `-tp` adds temporal pooling. Or one
    of `I3D-original-f16`, `C-LSTM-f16`, `SlowFast-R50-8x8`, `r3d_18`, `mc3_18`, `r2plus1d_18`, `s3d`; or a
    transformer: `ViT-joint-f8`, `ViT-divided-f8`, `Swin3D-f8`, `MViT-f8`, `swin3d_t`, `swin3d_s`,
    `swin3d_b`, `mvit_v1_b`, `mvit_v2_s`.
    num_classes: length of the logits. width: channels of the first convolution, 64 in the papers; all
    others scale with it. dropout: rate in front of the classifier (the papers train with 0.5).
    options, where the network has them: kernel_size (temporal kernel: 3, 5, 7), placement (`all`, `top`,
    `bottom`, `uniform`: which half of the blocks has the temporal module; CVPR Table 6), last_pool (I3D-Inc
    and S3D-Inc), reduced_strides (I3D-original), size and layers (C-LSTM), alpha (SlowFast), tubelet, patch, depth and
    positions (ViT), tubelet and window (Swin3D), size (MViT).
    Raises InputError naming the part of the name, or the option, that is not understood.
    """
    settings = dict(
        num_classes=whole("num_classes", num_classes),
        width=whole("width", width),
        dropout=_rate(dropout),
        **options,
    )
    model = _build(str(name), settings)
    return model if next(model.parameters()).is_meta else initialise(model)


def _rate(dropout):
    """Return `dropout` if it is a probability below one."""
    return number("dropout", dropout, "of at least 0 and below 1", lambda rate: 0 <= rate < 1)


def _build(name, settings):
    for family in FAMILIES:
        match = re.fullmatch(family.PATTERN, name, re.IGNORECASE)
        if match:
            return family.build(**match.groupdict(), **settings)
    parts = name.split("-")
    if len(parts) not in (3, 4):
        examples = ", ".join(family.EXAMPLE for family in FAMILIES)
        raise InputError(
            f"'{name}' is not a network name: it should read "
            f"<module>-<backbone>-f<frames>[-tp], as I3D-R50-f16, or be like one of {examples}"
        )
    kind = _pick("module", parts[0], list(MODULES), name)
    backbone = _pick("backbone", parts[1], BACKBONES, name)
    frames = re.fullmatch(r"f([1-9]\d*)", parts[2])
    if not frames:
        raise InputError(f"'{parts[2]}' in '{name}' should be the number of frames, as in f8 or f16")
    if parts[3:] not in ([], ["tp"]):
        raise InputError(f"'{parts[3]}' in '{name}' should be 'tp' (temporal pooling) or left out")
    return framework(kind, backbone, int(frames[1]), bool(parts[3:]), **settings)


def _pick(what, text, allowed, name):
    """Return the entry of `allowed` that `text` means, whatever its case."""
    text = ALIASES.get(text.upper(), text)
    for entry in allowed:
        if entry.lower() == text.lower():
            return entry
    raise InputError(f"'{text}' in '{name}' is not a {what}; it should be one of {', '.join(allowed)}")


def sized(name):
    """Whether a network is built for clips of one size, which `create` takes as `size`."""
    return name.lower().startswith(("c-lstm-", "mvit-"))


def backbone_of(name):
    """Return the backbone, as BACKBONES has it, in the name of a network of the framework; None for other networks."""
    found = re.fullmatch(r"\w+-(\w+)-f\d+(-tp)?", name)
    try:
        return _pick("backbone", found[1], BACKBONES, name) if found else None
    except InputError:  # the middle of another family's name, as in ViT-joint-f8
        return None


def framework(
    kind, backbone, num_frames, temporal_pooling, num_classes, width, dropout, kernel_size=3, placement="all", **options
):
    """Build backbone x module x temporal pooling, without initialising it."""
    kernel_size = whole("kernel_size", kernel_size)
    module = MODULES[kind](kernel_size)
    if kernel_size not in (module.kernel_sizes or (3,)):
        allowed = (
            "one of " + ", ".join(map(str, module.kernel_sizes))
            if module.kernel_sizes
            else f"left out, since {kind} has no temporal kernel"
        )
        raise InputError(f"kernel_size={kernel_size!r} for {kind}: it should be {allowed}")
    blocks = len(PLACES) if backbone == "Inc" else sum(DEPTHS[int(backbone[1:])])
    placement = normalise_placement(placement)
    if placement != "all" and not module.placeable:
        raise InputError(f"placement='{placement}' for {kind}: only TAM2D, TSM and Conv1D can be placed")
    shared = dict(
        num_frames=num_frames,
        num_classes=num_classes,
        width=width,
        dropout=dropout,
        temporal_pooling=temporal_pooling,
        placed=places(placement, blocks),
    )
    config = dict(
        name=f"{kind}-{backbone}-f{num_frames}" + "-tp" * temporal_pooling,
        num_classes=num_classes,
        width=width,
        dropout=dropout,
        kernel_size=kernel_size,
        placement=placement,
    )
    if backbone == "Inc" and module.joint_pooling:
        given = options.pop("last_pool", None)
        last_pool = default_last_pool(config, kind, temporal_pooling) if given is None else given
        shared["last_pool"] = config["last_pool"] = whole(f"last_pool of {config['name']}", last_pool)
        if last_pool not in (2, 3):
            raise InputError(f"last_pool={given!r} for {config['name']}: it should be 2 or 3")
        if shared["last_pool"] == 2 and num_frames < (8 if temporal_pooling else 2):
            raise InputError(
                f"{config['name']} has too few frames for its pools; it should have at least "
                f"{8 if temporal_pooling else 2}"
            )
    check_options(config["name"], options, [key for key in config if key not in ("name", "width", "dropout")])
    model = InceptionV1(module, **shared) if backbone == "Inc" else ResNet(module, int(backbone[1:]), **shared)
    model.config = config
    return model


# (frames, classes) of the I3D-InceptionV1 rows in the CVPR 2021 benchmark that an earlier version of the
# code counted: their FLOPs say that the last pool was 2 x 2 x 2 without padding. The other I3D rows, the
# released code and its checkpoints have 3 x 3 x 3 with padding.
EARLY_BENCHMARK = {(8, 87), (8, 200), (16, 87), (16, 200), (32, 87)}


def default_last_pool(config, kind, temporal_pooling):
    """Return the kernel of the last max pool: 2 for S3D and early rows of the benchmark, else 3."""
    row = int(config["name"].split("-")[2][1:]), config["num_classes"]
    early = row in EARLY_BENCHMARK and config["width"] == 64 and not temporal_pooling
    return 2 if kind == "S3D" or early else 3


def normalise_placement(text):
    """Return all, top, bottom or uniform for any of the paper's spellings ('Top-Half', 'uniform half')."""
    short = re.sub(r"[\s_-]*half$", "", str(text).strip().lower())
    if short not in PLACEMENTS:
        raise InputError(f"placement='{text}' should be one of {', '.join(PLACEMENTS)}")
    return short


def places(placement, blocks):
    """Return for each of `blocks` blocks, from input to output, whether it has the temporal module.

    top and bottom: the half closer to the output or the input; uniform: every other one, from the first.
    """
    half = blocks // 2
    return [
        {"all": True, "top": i >= blocks - half, "bottom": i < half, "uniform": i % 2 == 0}[placement]
        for i in range(blocks)
    ]


def names(frames: int = 8) -> list[str]:
    """Return the name of every network at `frames` frames, the framework's first."""
    framework_names = [
        f"{kind}-{backbone}-f{frames}{tp}" for kind in MODULES for backbone in BACKBONES for tp in ("", "-tp")
    ]
    others = [
        f"I3D-original-f{frames}",
        f"C-LSTM-f{frames}",
        "SlowFast-R50-8x8",
        "SlowFast-R50-16x8",
        *(f"{network}-f{frames}" for network in torchvision_video.NAMES),
        *(f"ViT-{kind}-f{frames}" for kind in ("joint", "divided")),
        *(f"{network}-f{frames}" for network in torchvision_transformers.SMALL),
        *(f"swin3d_{size}-f{frames}" for size in "tsb"),
        "mvit_v1_b-f16",
        "mvit_v2_s-f16",
    ]
    return framework_names + others
