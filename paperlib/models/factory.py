"""`create`: from a network's name in the papers' notation to the network."""

import re

from ..errors import InputError
from .base import initialise
from .inception import PLACES, InceptionV1
from .modules import MODULES
from .resnet import DEPTHS, ResNet

BACKBONES = [f"R{depth}" for depth in DEPTHS] + ["Inc"]
ALIASES = {"TAM": "TAM2D", "INCEPTIONV1": "Inc", "GOOGLENET": "Inc", "CONV": "Conv1D",
           **{f"RESNET{depth}": f"R{depth}" for depth in DEPTHS}}
PLACEMENTS = ("all", "top", "bottom", "uniform")


def create(name, num_classes, width=64, dropout=0.0, **options):
    """Build the network called `name`, with fresh weights, in training mode.

    name: `<module>-<backbone>-f<frames>[-tp]`, as in `I3D-R50-f16` or `TSN-R50-f8-tp`; modules are the keys of
    `modules.MODULES`, backbones R18, R34, R50, R101, R152 and Inc, and `-tp` adds temporal pooling.
    num_classes: length of the logits. width: channels of the first convolution, 64 in the papers; all
    others scale with it. dropout: rate in front of the classifier (the papers train with 0.5).
    Further options, where the module has them: kernel_size (temporal kernel: 3, 5, 7) and placement (`all`,
    `top`, `bottom` or `uniform`: which half of the blocks has the temporal module; CVPR Table 6).
    Raises InputError naming the part of the name, or the option, that is not understood.
    """
    model = _build(str(name), num_classes=_positive("num_classes", num_classes), width=_positive("width", width),
                   dropout=dropout, **options)
    return initialise(model)


def _positive(what, value):
    """Return `value` if it is a whole number above zero."""
    if isinstance(value, bool) or int(value) != value or value < 1:
        raise InputError(f"{what} must be a whole number of at least 1, not {value!r}")
    return int(value)


def _build(name, **options):
    parts = name.split("-")
    if len(parts) not in (3, 4):
        raise InputError(f"'{name}' is not a network name: it should read <module>-<backbone>-f<frames>[-tp], "
                         f"as in I3D-R50-f16")
    kind = _pick("module", parts[0], list(MODULES), name)
    backbone = _pick("backbone", parts[1], BACKBONES, name)
    frames = re.fullmatch(r"f([1-9]\d*)", parts[2])
    if not frames:
        raise InputError(f"'{parts[2]}' in '{name}' should be the number of frames, as in f8 or f16")
    if parts[3:] not in ([], ["tp"]):
        raise InputError(f"'{parts[3]}' in '{name}' should be 'tp' (temporal pooling) or left out")
    return framework(kind, backbone, int(frames[1]), bool(parts[3:]), **options)


def _pick(what, text, allowed, name):
    """Return the entry of `allowed` that `text` means, whatever its case."""
    text = ALIASES.get(text.upper(), text)
    for entry in allowed:
        if entry.lower() == text.lower():
            return entry
    raise InputError(f"'{text}' in '{name}' is not a {what}; it should be one of {', '.join(allowed)}")


def framework(kind, backbone, num_frames, temporal_pooling, num_classes, width, dropout, kernel_size=3,
              placement="all", **options):
    """Build backbone x module x temporal pooling, without initialising it."""
    module = MODULES[kind](kernel_size)
    if kernel_size not in (module.kernel_sizes or (3,)):
        allowed = "one of " + ", ".join(map(str, module.kernel_sizes)) if module.kernel_sizes else \
            f"left out, since {kind} has no temporal kernel"
        raise InputError(f"kernel_size={kernel_size!r} for {kind}: it should be {allowed}")
    blocks = len(PLACES) if backbone == "Inc" else sum(DEPTHS[int(backbone[1:])])
    placement = normalise_placement(placement)
    if placement != "all" and not module.placeable:
        raise InputError(f"placement='{placement}' for {kind}: only TAM2D, TSM and Conv1D can be placed")
    shared = dict(num_frames=num_frames, num_classes=num_classes, width=width, dropout=dropout,
                  temporal_pooling=temporal_pooling, placed=places(placement, blocks))
    config = dict(name=f"{kind}-{backbone}-f{num_frames}" + "-tp" * temporal_pooling, num_classes=num_classes,
                  width=width, dropout=dropout, kernel_size=kernel_size, placement=placement)
    if backbone == "Inc" and module.joint_pooling:
        last_pool = options.pop("last_pool", 2 if kind == "S3D" else 3)
        if last_pool not in (2, 3):
            raise InputError(f"last_pool={last_pool!r} for {config['name']}: it should be 2 or 3")
        shared["last_pool"] = config["last_pool"] = last_pool
    if options:
        raise InputError(f"{config['name']} has no option '{next(iter(options))}'; it has "
                         + ", ".join(key for key in config if key != "name"))
    model = InceptionV1(module, **shared) if backbone == "Inc" else \
        ResNet(module, int(backbone[1:]), **shared)
    model.config = config
    return model


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
    return [{"all": True, "top": i >= blocks - half, "bottom": i < half, "uniform": i % 2 == 0}[placement]
            for i in range(blocks)]
