"""How the papers trained the models of the `paper` profile, and the command that does it.

A checkpoint is called `<dataset>/<model>[-suffix ...]`: `-dense` is dense sampling, `-k5` the temporal kernel,
`-e4` an ensemble of so many frames, `-top`, `-bottom`, `-uniform` where TAM sits, `-transfer` a start from Kinetics;
`-s2` stands last and is the seed.
"""

import json
import math
import re
from dataclasses import dataclass

from ..errors import InputError, whole
from ..models.factory import backbone_of
from ..storage import zoo_lists

BITS = (32, 16, 8)  # with which weights can be stored
SUFFIX = re.compile(r"-(dense|transfer|top|bottom|uniform|[kes]\d+)$")
FIELD = {"k": "kernel_size", "e": "ensemble", "s": "seed"}  # suffix with a number -> field of the recipe
PROGRESSIVE = {16: 8, 32: 16, 64: 32}  # frames -> frames of the model it starts from (CVPR 2021, section 5)
GPUS = 8
# The released and the procedural data sets whose classes do not tell left from right, as those of SSV2 do.
MIRRORED = {"kinetics400", "mini_kinetics", "mit", "mini_mit"}
MIRRORED |= {"synth_kinetics", "synth_kinetics_hard", "synth_mit", "synth_mit_hard"}

# ACCV 2020, project page. The learning rates are not printed; these are what the optimisers start with by default.
ACCV = {
    ("I3D", "ssv2"): dict(optimiser="adam", lr=1e-3, epochs=13, dropout=0.5, weight_decay=0.0),
    ("I3D", "kth"): dict(optimiser="adam", lr=1e-3, epochs=30, dropout=0.7, weight_decay=5e-5),
    ("C-LSTM", "ssv2"): dict(lr=1e-2, momentum=0.2, epochs=105, dropout=0.0, weight_decay=0.0),
    ("C-LSTM", "kth"): dict(lr=1e-2, momentum=0.2, epochs=21, dropout=0.5, weight_decay=1e-4),
}


@dataclass
class Recipe:
    """Everything that decides what a training run gives; written into the checkpoint's header."""

    name: str  # model name, e.g. I3D-R50-f8
    dataset: str  # e.g. synth_ssv2
    width: int = 8  # channels of the stem (64 in the papers)
    kernel_size: int = 3  # of the temporal module
    size: int = 64  # side of the clips, pixels
    epochs: int = 12
    batch: int = 32
    lr: float = 0.1  # peak learning rate, reached after `warmup` epochs
    warmup: float = 1.0  # epochs
    momentum: float = 0.9
    weight_decay: float = 5e-4
    label_smoothing: float = 0.0
    dropout: float = 0.0
    sampling: str = "uniform"  # or "dense"
    stride: int = 4  # of dense sampling, in source frames
    ensemble: int = 0  # predict from this many evenly spaced frame logits; 0 means all
    init_from: str = ""  # checkpoint to start from, `<dataset>/<name>` or a file
    inflate: str = ""  # 2D checkpoint to start from (torchvision, ImageNet), repeated over time
    limit: int = 0  # train on the first so many videos; 0 means all
    held_out: str = ""  # people, separated by commas, who validate while everybody else trains
    mirror: float = 0.0  # share of the training clips that are mirrored
    seed: int = 0
    options: dict | None = None  # further arguments of models.create, e.g. {"placement": "top"}
    optimiser: str = "sgd"  # or "adam", or "adamw", whose weight decay is not part of the gradient
    bits: int = 16  # of each weight in the checkpoint, see checkpoints.save
    zoom: float = 1.0  # above 1: random squares of frames so much larger, scaled to `size`


def _whole(least, most=math.inf):
    """Return (what a value has to pass, in words) for whole numbers."""
    words = f"a whole number from {least} {'up' if most == math.inf else f'to {most}'}"
    return lambda v: isinstance(v, int) and not isinstance(v, bool) and least <= v <= most, words


def _number(test, words):
    """Return (what a value has to pass, in words) for numbers; NaN and infinity are none."""
    return lambda v: isinstance(v, (int, float)) and not isinstance(v, bool) and abs(v) < math.inf and test(v), words


def _one_of(*values):
    """Return (what a value has to pass, in words) for what can be counted up."""
    words = f"{', '.join(map(str, values[:-1]))} or {values[-1]}"
    return lambda v: any(type(v) is type(one) and v == one for one in values), words


def _options(value):
    """Whether these are further arguments of models.create, which a header can hold."""
    try:
        json.dumps(value)
    except (TypeError, ValueError):
        return False
    named = isinstance(value, dict) and all(isinstance(key, str) for key in value)
    return value is None or named and not OWN & value.keys()


OWN = {"name", "num_classes", "width", "kernel_size", "dropout"}  # arguments of models.create that are no options
TEXT, NAME = (lambda v: isinstance(v, str), "text"), (lambda v: isinstance(v, str) and v != "", "a name")
SHARE = _number(lambda v: 0 <= v <= 1, "a number from 0 to 1")
ALLOWED = {  # field of Recipe: (what its value has to pass, in words)
    "name": NAME,
    "dataset": NAME,
    "width": _whole(1),
    "kernel_size": (lambda v: _whole(1)[0](v) and v % 2 == 1, "an odd number of frames, as 3"),
    "size": _whole(1),
    "epochs": _whole(1),
    "batch": _whole(1),
    "lr": _number(lambda v: v > 0, "a number above 0"),
    "warmup": _number(lambda v: v >= 0, "a number from 0 to that of the epochs"),
    "momentum": SHARE,
    "weight_decay": _number(lambda v: v >= 0, "a number from 0 up"),
    "label_smoothing": SHARE,
    "dropout": _number(lambda v: 0 <= v < 1, "a number from 0 to below 1"),
    "sampling": _one_of("uniform", "dense"),
    "stride": _whole(1),
    "ensemble": _whole(0),
    "init_from": TEXT,
    "inflate": TEXT,
    "limit": _whole(0),
    "held_out": TEXT,
    "mirror": SHARE,
    "seed": _whole(0, 2**32 - 1),
    "options": (_options, f"a mapping of options of that network, {', '.join(sorted(OWN))} not among them"),
    "optimiser": _one_of("sgd", "adam", "adamw"),
    "bits": _one_of(*BITS),
    "zoom": _number(lambda v: v >= 1, "a number from 1 up"),
}


def check(recipe):
    """Return the recipe; InputError naming its first field that no training can have."""
    for field, (passes, words) in ALLOWED.items():
        value = getattr(recipe, field)
        if not passes(value) or field == "warmup" and value > recipe.epochs:
            hint = ", and YAML takes 1e-3 for text, 1.0e-3 for a number" if isinstance(value, str) else ""
            raise InputError(f"{field} of {recipe.name} is {value!r}; it should be {words}{hint * ('number' in words)}")
    return recipe


def parts(key):
    """Return (dataset, model name, [suffixes]) of a checkpoint's name."""
    dataset, _, name = key.partition("/")
    suffixes = []
    while found := SUFFIX.search(name):
        suffixes.insert(0, found[1])
        name = name[: found.start()]
    if not dataset or not name or "/" in name:
        raise InputError(f"{key!r} is not a checkpoint's name; it should read <dataset>/<model>, as ssv2/I3D-R50-f8")
    return dataset, name, suffixes


def recipe(key, width=64, size=224):
    """Return the papers' `Recipe` of a checkpoint of the `paper` profile.

    CVPR 2021: SGD with a cosine from 0.01 to 0, no warm-up, synchronised batch norm, batch 48 at 32 frames and 45
    epochs where a model starts from another one (section 6.2); ImageNet weights for 8 frames, then progressively 16
    and 32 (section 5); batch 64, 50 epochs, weight decay 5e-4 and dropout 0.5 as in the released code; the shorter
    side scaled to 256 to 320 pixels and a random 224 x 224 region (temporal relevance paper, appendix E), of the
    central square that the data sets give; mirrored half of the time where classes do not tell left from right.
    ACCV 2020: from scratch, settings of the project page.
    """
    dataset, name, suffixes = parts(key)
    mirror = 0.5 if dataset in MIRRORED else 0.0
    own = dict(
        name=name, dataset=dataset, width=width, size=size, mirror=mirror, warmup=0.0, zoom=1.25, **_from(suffixes)
    )
    return Recipe(**{**own, **(_accv(name, dataset, size) or _cvpr(name, dataset, suffixes))})


def _accv(name, dataset, size):
    """Return the recipe's fields for the networks of the ACCV paper, {} for others."""
    on = "kth" if dataset == "kth" else "ssv2"
    if name.startswith("C-LSTM"):
        return {"batch": 16, "options": {"size": size, "layers": 2 if on == "kth" else 3}, **ACCV["C-LSTM", on]}
    if name.startswith("I3D-original"):
        return {"batch": 16, "options": {"reduced_strides": True}, **ACCV["I3D", on]}
    return {}


def _cvpr(name, dataset, suffixes):
    """Return the recipe's fields for the networks of the CVPR paper: how long, how fast, and from which weights."""
    frames = re.search(r"-f(\d+)|-(\d+)x\d+", name)
    count = int(frames[1]) if frames and frames[1] else 4 * int(frames[2]) if frames else 16
    found = dict(lr=0.01, epochs=50, batch=64 if count < 32 else 48, dropout=0.5, weight_decay=5e-4)
    seed = "".join(f"-{suffix}" for suffix in suffixes if suffix[0] == "s")
    if "transfer" in suffixes:  # the one of 32 frames is public, and of one seed
        start = f"kinetics400/{name}-dense" if count == 32 else f"mini_kinetics/{name}{seed}"
        return found | dict(epochs=45, init_from=start)
    if count in PROGRESSIVE and re.search(r"-f\d+", name):
        shorter = name.replace(f"-f{count}", f"-f{PROGRESSIVE[count]}")
        kept = "".join(f"-{s}" for s in suffixes if not s.startswith("e"))
        return found | dict(epochs=45, init_from=f"{dataset}/{shorter}{kept}")
    return found | (dict(inflate="ImageNet") if backbone_of(name) else {})


def _from(suffixes):
    """Return the recipe's fields that a name's suffixes stand for."""
    found = {}
    for suffix in suffixes:
        if suffix == "dense":
            found |= dict(sampling="dense", stride=2)
        elif suffix in ("top", "bottom", "uniform"):
            found |= dict(options={"placement": suffix})
        elif suffix[0] in FIELD and suffix[1:].isdigit():
            found |= {FIELD[suffix[0]]: int(suffix[1:])}
    return found


def named(key):
    """Return {field: value} of network and recipe that a checkpoint's name states; a stride is none of them."""
    found = _from(parts(key)[2])
    found.pop("stride", None)  # of dense sampling: the papers' of 2 and any other have the same name
    options = found.pop("options", {})
    return found | options


def command(key, gpus=GPUS):
    """Return the command line that trains a checkpoint as the papers did, on so many GPUs of one machine."""
    return f"torchrun --nproc-per-node {whole('gpus', gpus)} -m paperlib.cli train --paper {key} --data-root ROOT"


def how(keys):
    """Return in words how to get checkpoints that are missing: those of the zoo, those on public data sets."""
    listed = {key for key, _ in zoo_lists.entries()}
    zoo = [key for key in keys if key in listed]
    public = [key for key in keys if key not in listed]
    ways = [f"paperlib zoo train --missing {' '.join(zoo)}"] if zoo else []
    if public:
        more = f", likewise {', '.join(public[1:])}" if public[1:] else ""
        ways.append(f"train with `{command(public[0])}`{more}")
    return "; ".join(ways)
