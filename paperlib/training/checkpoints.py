"""Checkpoints: one safetensors file with fp16 weights and, in its header, everything needed to rebuild the model.

Weights may also be float32, or whole numbers of 8 bits with one scale for each output channel. Rounding the small
tensors as well would save 8 % more of a ResNet18 and change the avg-ATR of a clip three times as much (0.17 frames
against 0.06).
"""

import difflib
import hashlib
import json
import os
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file

from .. import models
from ..errors import InputError, some
from ..models.base import VideoModel
from ..storage import paths, zoo_lists
from . import recipes

FEW = 4096  # numbers: smaller tensors, stems and temporal kernels among them, are not worth rounding to 8 bits
SCALE = ":scale"  # after a tensor's name: its scales [out]
# What is asked for a checkpoint that is not there: functions from its name to a file, or None where they have none.
PROVIDERS: list[Callable[[str], Path | None]] = []


class Damaged(InputError):
    """A file is no checkpoint: cut off, overwritten, or something else under a checkpoint's name."""


def path(key):
    """Return the Path where the zoo keeps the checkpoint `<dataset>/<name>`, whether it is there or not."""
    return paths.CHECKPOINTS / f"{key}.safetensors"


def save(file: str | Path, model: VideoModel, meta: dict, bits: int = 16) -> None:
    """Write the model's weights and `meta` (JSON-able dict) plus its config to `file`.

    bits: of each weight. 32 and 16: as floating point numbers; 8: as whole numbers from -127 to 127 times one float32
    scale per output channel; biases, norms and tensors of less than FEW numbers in 16. A tensor with a number above
    65504, where those of 16 bits end, is stored in 32. InputError for any other number of bits, and for a network that
    `models.create` did not make, which `load` could not build again.
    """
    config = getattr(model, "config", None)
    if not isinstance(config, dict) or not {"name", "num_classes"} <= config.keys():
        raise InputError(
            f"{type(model).__name__} cannot be saved as a checkpoint: only networks of models.create can; save its "
            "weights as its authors do"
        )
    tensors = {}
    for key, value in model.state_dict().items():
        for name, stored in _stored(key, value.cpu(), check_bits(bits)).items():
            tensors[name] = stored.contiguous().clone()  # cloned: safetensors refuses weights that are shared
    header = {"config": json.dumps(config), **{key: json.dumps(value) for key, value in meta.items()}}
    with paths.atomic(file) as temporary:
        save_file(tensors, temporary, metadata=header)


def check_bits(bits):
    """Return `bits`; InputError where weights cannot be stored with so many."""
    if bits not in recipes.BITS:
        raise InputError(
            f"bits {bits!r} is none of {', '.join(map(str, recipes.BITS))}, with which weights can be stored"
        )
    return bits


def _stored(key, value, bits):
    """Return {name: tensor} that stands in the file for one tensor [out, ...] of a state dict."""
    if not value.is_floating_point() or bits == 32:
        return {key: value}
    if bits == 16 or value.ndim < 2 or value.numel() < FEW:
        half = value.half()
        return {key: half if torch.equal(half.isfinite(), value.isfinite()) else value.float()}
    rows = value.float().flatten(1)
    scale = rows.abs().amax(1) / 127
    whole = (rows / scale.where(scale > 0, 1.0)[:, None]).round().to(torch.int8)
    return {key: whole.view_as(value), key + SCALE: scale}


def _restored(stored):
    """Return {name: tensor} without the scales that `_stored` added: whole numbers times their scale, in float32."""
    found = {key: value for key, value in stored.items() if not key.endswith(SCALE)}
    for key in stored.keys() - found.keys():
        name, scale = key.removesuffix(SCALE), stored[key]
        found[name] = found[name].float() * scale.view(-1, *[1] * (found[name].ndim - 1))
    return found


def _tensors(file):
    """Return the tensors {name: tensor} of a checkpoint; those of 8 bits as float32."""
    with _open(file) as opened:
        stored = {key: opened.get_tensor(key) for key in opened.keys()}  # noqa: SIM118 (not a dict)
    try:
        return _restored(stored)
    except (KeyError, RuntimeError):  # no such tensor, or one of another shape
        raise Damaged(f"{file} has scales that do not fit its weights; fetch or train it again") from None


@torch.no_grad()
def round_weights(model, bits):
    """Give the model the weights that it would have after being stored with so many bits and loaded again."""
    for key, value in model.state_dict().items():
        if value.is_floating_point():
            value.copy_(_restored(_stored(key, value.cpu(), check_bits(bits)))[key])


def meta(file: str | Path) -> dict:
    """Return the header of a checkpoint: config, dataset, classes, recipe, accuracy, seed, revision."""
    with _open(file) as opened:
        header = opened.metadata() or {}
    try:
        content = {key: json.loads(value) for key, value in header.items()}
    except ValueError:
        content = {}
    if not isinstance(content.get("config"), dict) or not isinstance(content.get("recipe", {}), dict):
        raise Damaged(f"{file} has no paperlib header; for a public checkpoint use models.load_published")
    return content


def load(file: str | Path, device: str | torch.device = "cpu") -> tuple[VideoModel, dict]:
    """Return (model in eval mode with float32 weights, header) of a checkpoint file or `<dataset>/<name>` of the zoo.

        model, header = checkpoints.load("synth_ssv2_hard/TAM2D-R50-f8")
        header["classes"], header["accuracy"]

    Classes that the header does not name have their numbers, "class 0". Nothing in the file is executed: safetensors
    holds numbers only. Raises InputError for a checkpoint that is not there, is damaged, or does not fit its name.
    """
    file = find(file)
    header = meta(file)
    if wrong := _misnamed(file, header):
        raise InputError(f"{file} holds {wrong} as its name says; fetch or train that one again")
    try:
        model = models.create(**header["config"])
    except (TypeError, InputError) as error:
        raise Damaged(f"{file} names a network that cannot be built ({error}); fetch or train it again") from None
    tensors = _tensors(file)
    ours = model.state_dict()
    wrong = sorted(
        key
        for key in ours.keys() | tensors.keys()
        if key not in ours or key not in tensors or ours[key].shape != tensors[key].shape
    )
    if wrong:
        raise InputError(
            f"{file} does not fit {header['config'].get('name')}: missing, unexpected or of another "
            f"shape are {some(wrong, 5)}"
        )
    model.load_state_dict({key: value.to(ours[key].dtype) for key, value in tensors.items()})
    header.setdefault("classes", [f"class {k}" for k in range(header["config"]["num_classes"])])
    return model.eval().to(device), header


def recipe(file: str | Path, header: dict, size: Any = None) -> dict:
    """Return how a checkpoint was trained, with `dataset`, `size`, `sampling` and `stride`.

    Sampling is uniform where nothing is said. size: of frames that are there already, or told. InputError where neither
    it nor the header's is known.
    """
    found = {"dataset": header.get("dataset", ""), "sampling": "uniform", "stride": 4, **header.get("recipe", {})}
    if size is None and (not isinstance(found.get("size"), int) or found["size"] < 1):
        raise InputError(
            f"the header of {file} does not say with frames of what size it was trained; train it again, or save it "
            'with {"recipe": {"size": pixels}} in its header'
        )
    return found


def find(file: str | Path) -> Path:
    """Return the path of a checkpoint given as a path or as `<dataset>/<name>`.

    A name without a file of ours may be one that a provider has (a public checkpoint, say; see `adopted`).
    """
    for candidate in (Path(file), path(file)):
        if os.path.isfile(candidate):
            return candidate
    for provide in PROVIDERS:
        provided = provide(str(file))
        if provided is not None:
            return provided
    if paths.ALONE and Path(file).suffix:  # names of the zoo have none
        raise InputError(f"there is no checkpoint file {file}")
    paths.need_project("the zoo's checkpoints")
    there = sorted(
        f.relative_to(paths.CHECKPOINTS).with_suffix("").as_posix() for f in paths.CHECKPOINTS.glob("*/*.safetensors")
    )
    near = difflib.get_close_matches(str(file), there, n=8, cutoff=0.4) or there[:8]
    known = f"such as {', '.join(near)}; paperlib zoo status has all" if near else "of which none is trained yet"
    raise InputError(f"checkpoint {file} does not exist; give a .safetensors file or one of the zoo's, {known}")


def digest(file):
    """Return the SHA-256 of a checkpoint's bytes, 64 hexadecimal digits: what caches of its results are keyed by.

    file: a path or `<dataset>/<name>`; InputError where there is none.
    """
    return hashlib.sha256(find(file).read_bytes()).hexdigest()


def check_place(file, config, recipe):
    """Raise InputError where a checkpoint that is still to be written could not be opened under its name in the zoo."""
    header = {"config": config, "dataset": recipe.dataset, "seed": recipe.seed, "recipe": asdict(recipe)}
    if wrong := _misnamed(Path(file), header):
        right = path(f"{recipe.dataset}/{zoo_lists.with_seed(config['name'], recipe.seed)}")
        raise InputError(
            f"{file} could not be opened once written: it would hold {wrong} as its name says; name it {right}"
        )


def _misnamed(file, header):
    """Return in words what a file of the zoo holds in place of the network that its path names, "" where it is that."""
    place = _in_the_zoo(file)
    if place is None:
        return ""
    name, dataset = header["config"].get("name", ""), header.get("dataset", place.parent.name)
    pooled = f"{place.stem}-".startswith(f"{name}-tp-")  # temporal pooling makes it another network
    if dataset != place.parent.name or pooled or not f"{place.stem}-".startswith(f"{name}-"):
        return f"{name} trained on {dataset}, not {place.parent.name}/{place.stem}"
    recipe = header.get("recipe", {})
    found = {**recipe, **(recipe.get("options") or {}), **header["config"], "seed": header.get("seed", 0)}
    for field, value in recipes.named(f"{dataset}/{place.stem}").items():
        if found.get(field, value) != value:
            return f"{name} trained with {field} {found[field]}, not {value}"
    return ""


def _in_the_zoo(file):
    """Return a path of the file that is a name in the zoo, None if there is none: links may lead there, or on."""
    zoo = paths.CHECKPOINTS.resolve()
    return next((place for place in (file.absolute(), file.resolve()) if place.parent.parent.resolve() == zoo), None)


def _open(file):
    try:
        return safe_open(str(file), framework="pt")
    except SafetensorError as error:
        if Path(file).suffix != ".safetensors":
            raise InputError(
                f"{file} is no checkpoint in a .safetensors file; weights of your own are loaded by a function that "
                "returns the network: give PACKAGE.MODULE:FUNCTION"
            ) from None
        raise Damaged(f"{file} is not a readable safetensors file ({error}); fetch or train it again") from None
    except OSError as error:
        raise InputError(f"{file} cannot be read ({error.strerror or error}); let this user read it") from None


def initialise(model, file):
    """Start `model` from a checkpoint of other frames or classes or of smaller depth; returns the fresh keys.

    Progressive training: an f16 model starts from the f8 one (CVPR 2021 paper, section 4.1). Tensors whose
    shapes differ (the classifier of another dataset) keep their random start. The blocks that a shallower ResNet
    lacks start as the identity, so that the deeper one starts as the same function.
    """
    ours, theirs = model.state_dict(), _tensors(find(file))
    fitting = {
        key: value.to(ours[key].dtype)
        for key, value in theirs.items()
        if key in ours and ours[key].shape == value.shape
    }
    fresh = sorted(ours.keys() - fitting.keys())
    for path, block in model.named_modules():
        if hasattr(block, "start_as_identity") and not any(key.startswith(f"{path}.") for key in fitting):
            block.start_as_identity()
            fresh = [key for key in fresh if not key.startswith(f"{path}.")]
    wrong = fresh if len({key.rpartition(".")[0] for key in fresh}) > 1 else []  # more than the classifier
    wrong = wrong or sorted(theirs.keys() - ours.keys())  # blocks of a deeper one would be thrown away
    if wrong:
        raise InputError(
            f"{file} does not fit {model.config['name']} in {some(wrong, 3)}; init_from must name a model that "
            "differs in frames or classes or is a ResNet of fewer layers"
        )
    with torch.no_grad():
        model.load_state_dict(fitting, strict=False)
    return fresh
