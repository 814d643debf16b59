"""Checkpoints that others published, as the project's own: converted once, then opened by name like any other.

The public ones of `models/weights.yaml` that have a `key` are fetched when that name is asked for and kept in
`data/cache/published/`; any other file in a published layout is taken in by `paperlib weights adopt`.
"""

import re
from dataclasses import asdict
from pathlib import Path

from .. import data, models
from ..data.clips import MEAN, STD
from ..errors import InputError
from ..models import published_weights, weights
from ..storage import paths
from . import checkpoints, recipes

CLASSIFIER = re.compile(r"(^|\.)(fc|new_fc|endFC|proj|projection|last_linear|logits\.conv3d|classifier\.1)\.weight$")


def converted(key):
    """Return where the converted public checkpoint of a name lies."""
    return paths.CACHE / "published" / f"{key}.safetensors"


def provide(key):
    """Return the file of the public checkpoint called `<dataset>/<name>`, fetched and converted on first use.

    None where nobody has published one; InputError where it cannot be fetched or does not fit.
    """
    entry = weights.for_key(key)
    if entry is None:
        return None
    file = converted(key)
    if file.is_file():
        _name_classes(file)
    else:
        same = tuple(entry.mean) == MEAN and tuple(entry.std) == STD
        extra = {} if same else {"mean": list(entry.mean), "std": list(entry.std)}
        about = {
            "source": entry.url,
            "citation": entry.citation,
            "licence": entry.licence,
            "accuracy": entry.top1 / 100,
        }
        adopt(weights.get(entry.name, progress=False), key, file, about=about, **extra)
    return file


def adopt(source, key, out=None, size=224, about=None, **options):
    """Write a checkpoint in a published layout as the project's own, `<dataset>/<name>`; returns the file.

    source: a file that `models.load_published` reads. The network's width and number of classes are the file's,
    the sampling what the name says (`-dense`), size the side of its clips in pixels. about: more for the header.
    Raises InputError, with nothing written, for a file that does not fit and for a name in the zoo under which the
    checkpoint could not be opened.
    """
    recipe = recipes.recipe(key, size=size)
    out = Path(out or checkpoints.path(key)).absolute()
    paths.check_writable(out)
    state, origin = published_weights.read(source)
    classes, width = _classes(state, origin), _width(state, recipe.name, origin)
    extra = {**(recipe.options or {}), **options}
    if recipe.kernel_size != 3:
        extra["kernel_size"] = recipe.kernel_size
    model = models.create(recipe.name, num_classes=classes, width=width, **extra)
    checkpoints.check_place(out, model.config, recipe)
    models.load_published(model, state, origin)
    names = class_names(key.partition("/")[0], classes)
    header = {
        "dataset": recipe.dataset,
        "classes": names,
        "recipe": {**asdict(recipe), "width": width},
        "seed": recipe.seed,
        "source": origin,
        "num_frames": model.num_frames,
        **(about or {}),
    }
    checkpoints.save(out, model, header, bits=32)
    return out


def _classes(state, origin):
    """Return the number of classes of a state dict's classifier."""
    found = [tensor.shape[0] for name, tensor in state.items() if CLASSIFIER.search(name) and tensor.dim() > 1]
    if not found:
        raise InputError(f"{origin} has no classifier under a name that published checkpoints use")
    return found[-1]


def _width(state, name, origin):
    """Return the network's width, the channels of its first convolution (twice the filters of a C-LSTM)."""
    first = [
        tensor.shape[0]
        for tensor in state.values()
        if tensor.dim() > 3 and tensor.shape[1] == 3 and tensor.shape[-1] >= 5
    ]
    if not first:
        raise InputError(f"{origin} has no first convolution of three colour channels")
    return 2 * first[0] if name.startswith("C-LSTM") else max(first)


def _name_classes(file):
    """Put the data set's class names into a converted checkpoint that has numbers, once its lists are there."""
    header = checkpoints.meta(file)
    numbers = _numbers(header["config"]["num_classes"])
    if header.get("classes") == numbers != (names := class_names(header["dataset"], len(numbers))):
        checkpoints.save(file, checkpoints.load(file)[0], {**header, "classes": names}, bits=32)


def _numbers(count):
    return [f"class {k}" for k in range(count)]


def class_names(dataset, count):
    """Return the data set's class names where its lists are there, else numbers."""
    try:
        names = list(data.load(dataset, "val", size=32).classes)
    except InputError:
        names = list(weights.find("K400-r3d_18").class_names()) if dataset == "kinetics400" else []
    return names if len(names) == count else _numbers(count)
