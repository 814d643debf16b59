"""What a user calls a network: a checkpoint, a module of one's own, a function that makes one, a folder on disk."""

import importlib
import os
import sys
import traceback
from contextlib import contextmanager
from pathlib import Path

import torch
from torch import nn

from .. import models
from ..errors import InputError, needs
from ..models import devices
from ..models.adapt import LAYOUTS, noise
from ..models.known import class_names, known
from ..tracing.inputs import first_line, network
from ..training import checkpoints


def opened(model, device="auto", offered=None, classes=None, **adapting):
    """Return (network for clips [B, 3, N, H, W], header) of what a user names.

    The header has name, classes, size, frames, said and, of checkpoints, recipe, heads, dataset and accuracy.

    model: a checkpoint of the zoo or a file; "package.module:function", a function without arguments that returns a
    network; a folder with a network of transformers; any nn.Module, which stays on its device. adapting: for
    `models.adapt`, which finds out what networks that are not the project's take. offered: (frames, (H, W)) of a clip
    that is there already, for networks that do not say how many frames of what size they take; frames is None where
    they are to see parts of it. classes: their names, as `known.class_names` takes them.
    """
    classes = class_names(classes)
    if isinstance(model, nn.Module):
        net, header = model, {}
    elif isinstance(model, str | Path) and model != "":
        net, header = _named(str(model), devices.device(device))
    elif model is None or isinstance(model, str):
        raise InputError("give the model, too: a checkpoint such as synth_ssv2_hard/TAM2D-R50-f8, or a network")
    else:
        raise InputError(f"a model is a network or the name of a checkpoint, not {type(model).__name__}")
    size = adapting.get("size")
    recipe = checkpoints.recipe(model, header, size or (offered and offered[1])) if header else {}
    own = isinstance(network(net), models.base.VideoModel) or isinstance(net, models.Adapted)
    if own and not any(value is not None for value in adapting.values()):
        net = network(net)
        facts = {"said": getattr(net, "said", []), "size": getattr(net, "size", None)}
        frames, names = getattr(net, "num_frames", None), getattr(net, "classes", None)
    else:
        here = (_frames(network(net), **adapting) or offered[0]) if offered else None
        clip = noise(here, *offered[1]) if here else None
        net = models.adapt(net, clip, classes=classes, **{**adapting, "size": size or recipe.get("size")})
        facts = {"said": net.said, "size": net.size}
        frames, names = net.frames, net.classes
        net = _unwrapped(net)
    name = (getattr(net, "config", None) or {}).get("name") or type(net).__name__
    names = header.get("classes") or class_names(names) or None if classes is None else classes
    return net if isinstance(model, nn.Module) else net.eval(), {
        "name": name,
        "classes": names,
        "frames": frames,
        "size": facts["size"] or recipe.get("size"),
        "recipe": recipe,
        "heads": header.get("heads"),
        "said": [said if said.endswith(".") else f"{said}." for said in facts["said"]],
        "dataset": header.get("dataset", ""),
        "accuracy": header.get("accuracy"),
        "config": getattr(net, "config", None) or {"name": name},
    }


def _frames(net, frames=None, processor=None, **_):
    """Return how many frames a network takes, as told or as is known of it, None where nothing is."""
    return known(net, processor).given(frames, None, None, None, None).frames


def _unwrapped(adapted):
    """Return the network itself where it takes and gives what `adapt` promises: its layers keep their names."""
    plain = adapted.layout == LAYOUTS[0] and not hasattr(adapted, "scale")
    output = adapted.output
    return adapted.net if plain and output.part is None and output.axes == "BK" and not output.softmax else adapted


def _named(name, device):
    """Return (network, header) of a function, a folder or a checkpoint, on a device."""
    if os.path.isdir(name):
        return _of_transformers(Path(name)).to(device), {}
    module, colon, function = name.rpartition(":")
    if function.isidentifier() and not os.path.exists(name) and ("/" in module or module.endswith(".py")):
        raise InputError(f"{name} names a file; give {Path(module).stem}:{function}, in the folder of that file")
    if colon and not os.path.exists(name) and all(part.isidentifier() for part in module.split(".")):
        return _made(module, function).to(device), {}
    return checkpoints.load(name, device)


def _made(module, function):
    """Return the network that a function of a module makes; both find modules of the current folder, too."""
    name = f"{module}:{function}"
    with _here():
        try:
            found = importlib.import_module(module)
        except ModuleNotFoundError as error:
            raise InputError(f"module {module} cannot be imported ({error}); is it in this folder?") from error
        except Exception as error:
            raise InputError(f"module {module} cannot be imported: {_raised(error)}") from error
        if not hasattr(found, function):
            raise InputError(f"module {module} has no {function}; --model {name} should name a function that it has")
        made = getattr(found, function)
        try:
            net = made if isinstance(made, nn.Module) else made()
        except Exception as error:
            raise InputError(f"{name}() does not return a network: {_raised(error)}") from error
    if not isinstance(net, nn.Module):
        raise InputError(f"{name}() must return a torch.nn.Module, not {type(net).__name__}")
    return net


@contextmanager
def _here():
    """Let modules of the current folder be found meanwhile."""
    here = str(Path.cwd())
    added = here not in sys.path
    if added:
        sys.path.insert(0, here)
    try:
        yield
    finally:
        if added and here in sys.path:
            sys.path.remove(here)


def _raised(error):
    """Return what code of a user's own raised: the type, the last line of the current folder's files, what it says."""
    places = [(place.filename, place.lineno) for place in traceback.extract_tb(error.__traceback__)]
    places = [place for place in places if Path(place[0]).is_relative_to(Path.cwd()) and place[0] != __file__]
    if isinstance(error, SyntaxError) and error.filename:
        places.append((error.filename, error.lineno))
    where = f" in line {places[-1][1]} of {Path(places[-1][0]).name}" if places else ""
    return f"{type(error).__name__}{where}: {getattr(error, 'msg', None) or first_line(error)}"


def _of_transformers(folder):
    """Return the classifier that transformers reads from a folder; nothing is downloaded."""
    if not (folder / "config.json").is_file():
        raise InputError(f"folder {folder} has no config.json; give a folder that a network's save_pretrained wrote")
    with needs("transformers", to=f"open the network in {folder}"):
        import transformers
    kinds = (transformers.AutoModelForVideoClassification, transformers.AutoModelForImageClassification)
    try:
        config = transformers.AutoConfig.from_pretrained(folder, local_files_only=True)
        kind = next((kind for kind in kinds if type(config) in kind._model_mapping), None)
        if kind is None:
            raise InputError(
                f"folder {folder} holds {type(config).__name__}, which classifies neither videos nor images"
            )
        return kind.from_pretrained(folder, local_files_only=True).to(torch.float32)
    except (OSError, ValueError, RuntimeError) as error:
        if isinstance(error, InputError):
            raise
        raise InputError(
            f"folder {folder} holds no network that transformers can read ({first_line(error)})"
        ) from error
