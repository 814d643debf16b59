"""What a full reproduction under the `paper` profile needs, notebook by notebook: data, checkpoints, GPU hours.

The hours are an estimate: multiply-accumulates of our own counter x passes, at an assumed effective speed. It is here
because what a notebook needs is what `stale` and the profiles know.
"""

import re
from functools import cache

import torch

from .. import models
from ..data.public import ADAPTERS
from ..models import weights
from ..papers import published
from ..papers.settings import settings
from ..training import recipes
from . import stale

SPEED = 40e12  # assumed effective floating point operations per second of one GPU in mixed precision
TRAINING = 3  # a training step costs this many forward passes: one forward, two backward
RELEVANCE = 3  # a row of a relevance matrix: one forward and one backward pass through its window of the clip
MASKS = 3 * 300  # 300 iterations of forward and backward (ACCV section 3.1)

# The papers' data sets, as `published/dataset_sizes.csv` calls them
SIZES = {
    "kinetics400": "Kinetics",
    "mini_kinetics": "mini-Kinetics",
    "ssv2": "SSV2",
    "mini_ssv2": "mini-SSV2",
    "mit": "MiT",
    "mini_mit": "mini-MiT",
    "kth": "KTH",
}
TITLE = {
    "kinetics400": "Kinetics-400",
    "mini_kinetics": "Mini-Kinetics",
    "ssv2": "Something-Something-V2",
    "mini_ssv2": "Mini-SSV2",
    "mit": "Moments in Time",
    "mini_mit": "Mini-MiT",
    "kth": "KTH",
    "nagoya_fir": "Nagoya FIR",
    "weizmann": "Weizmann",
    "grid": "GRID",
}


@cache
def videos(dataset, part):
    """Return how many videos one of the papers' data sets has for `training` or `validation`."""
    return int(published.value("dataset_sizes", column=part, dataset=SIZES[dataset]))


def frames(name):
    """Return how many frames a model takes, read off its name."""
    found = re.search(r"-f(\d+)|-(\d+)x\d+", name)
    return int(found[1]) if found[1] else 4 * int(found[2])


@cache
def macs(key):
    """Return the multiply-accumulates of one clip of 224 x 224 pixels for a checkpoint's network."""
    _, name, _ = recipes.parts(key)
    recipe = recipes.recipe(key)
    short = re.sub(r"-f\d+", "-f8", name)  # linear in the frames: counted at 8
    extra = {key: value for key, value in (recipe.options or {}).items() if key != "placement"}
    return _counted(short, recipe.kernel_size, tuple(sorted(extra.items()))) * frames(name) / frames(short)


@cache
def _counted(name, kernel_size, options):
    extra = dict(options)
    if kernel_size != 3:
        extra["kernel_size"] = kernel_size
    with torch.device("meta"):
        return models.count(models.create(name, num_classes=400, **extra)).flops


def training_hours(key):
    """Return the GPU hours of training one checkpoint by the papers' recipe, without what it starts from."""
    recipe = recipes.recipe(key)
    return 2 * macs(key) * TRAINING * videos(recipe.dataset, "training") * recipe.epochs / SPEED / 3600


def inference_hours(name, key, own):
    """Return the GPU hours that one notebook spends on one checkpoint: scoring, and explaining what it explains."""
    validation = videos(key.partition("/")[0], "validation")
    passes = min(own.get("scored") or validation, validation)
    explained = min(own["clips"], validation)
    if name.startswith("temporal_relevance") or name == "beyond/relevance_vs_contribution":
        passes += explained * RELEVANCE * frames(key.partition("/")[2])
    elif name.startswith("video_features"):
        passes = 2 * validation + explained * MASKS
    elif "views" in own:
        views = own["views"]
        passes = min(views["videos"] or validation, validation) * views["clips"] * views["crops"]
    return 2 * macs(key) * passes / SPEED / 3600


def chain(keys):
    """Return the checkpoints to be trained for these, with all they start from; public ones are at hand."""
    found, queue = {}, list(keys)
    while queue:
        key = queue.pop(0)
        if key in found or weights.for_key(key) is not None:
            continue
        found[key] = None
        start = recipes.recipe(key).init_from
        queue += [start] if start else []
    return list(found)


def on_public_data(own, what="models"):
    """Return those of a notebook's checkpoints that belong to the papers' public data sets."""
    return [key for key in own.get(what, []) if key.partition("/")[0] in SIZES]


def rows():
    """Return one dict per notebook: name, data, public, instead, train, hours, training.

    data: titles of public data sets; public and instead: keys of checkpoints that are published, and that are shown in
    place of the others; train: keys of all that have to be trained; hours and training: GPU hours of the notebook
    itself and of training these.
    """
    found = []
    for name in stale.notebooks():
        own = settings(name, "paper")
        keys = on_public_data(own)
        datasets = dict.fromkeys(key.partition("/")[0] for key in own.get("models", []))
        todo = chain(keys)
        found.append(
            {
                "name": name,
                "data": [TITLE[d] for d in datasets if d in ADAPTERS],
                "public": [key for key in keys if weights.for_key(key) is not None],
                "instead": on_public_data(own, "public"),
                "train": todo,
                "hours": sum(inference_hours(name, key, own) for key in keys),
                "training": sum(training_hours(key) for key in todo),
            }
        )
    return found


def number(hours):
    """Return hours with two digits that mean something."""
    return "-" if hours == 0 else f"{hours:.1f}" if hours < 9.5 else f"{float(f'{hours:.2g}'):,.0f}"


def markdown():
    """Return `docs/paper_profile.md`."""
    table, everything = rows(), {}
    for row in table:
        everything.update(dict.fromkeys(row["train"]))
    total, inference = sum(map(training_hours, everything)), sum(row["hours"] for row in table)
    example = "kinetics400/I3D-R50-f8"
    recipe = recipes.recipe(example)
    lines = [
        TEXT.format(
            macs=macs(example) / 1e9,
            speed=SPEED / 1e12,
            videos=videos("kinetics400", "training"),
            epochs=recipe.epochs,
            training=TRAINING,
            hours=training_hours(example),
            relevance=RELEVANCE,
            masks=MASKS,
            total=number(total),
            models=len(everything),
            inference=number(inference),
            command=recipes.command(example),
        )
    ]
    lines += [
        "| notebook | data | public checkpoints | without the others | to be trained | GPU h, training | GPU h |",
        "| --- | --- | --- | --- | ---: | ---: | ---: |",
    ]
    for row in table:
        lines.append(
            f"| {row['name']} | {', '.join(row['data']) or '-'} | {', '.join(row['public']) or '-'} "
            f"| {without(row)} | {len(row['train']) or '-'} | {number(row['training'])} "
            f"| {number(row['hours'])} |"
        )
    lines += [
        "",
        "## Recipes",
        "",
        "| checkpoint | starts from | clips per step | epochs | lr | frames | GPU h |",
        "| --- | --- | ---: | ---: | ---: | ---: | ---: |",
    ]
    for key in sorted(key for key in everything if not key.startswith("mini_")):
        one = recipes.recipe(key)
        lines.append(
            f"| {key} | {one.init_from or one.inflate or 'scratch'} | {one.batch} | {one.epochs} | {one.lr:g} "
            f"| {frames(one.name)} | {number(training_hours(key))} |"
        )
    mini = [key for key in everything if key.startswith("mini_")]
    lines += [
        "",
        f"and {len(mini)} checkpoints on the mini data sets by the same recipes, "
        f"{number(sum(map(training_hours, mini)))} GPU hours.",
    ]
    return "\n".join(lines) + "\n"


def without(row):
    """Return in words what a notebook does while what is to be trained is not there."""
    if row["name"] in UNFLAGGED:
        return "skipped in any case: needs people's judgement of which classes are temporal"
    if row["instead"]:
        return "shows " + ", ".join(row["instead"])
    if not row["train"]:
        return "-"
    if row["public"] or row["name"] == "deep_analysis/table03_sampling":
        return "shows the public ones"
    printed_too = row["name"].startswith("deep_analysis") and row["name"] not in SKIPPED
    return "shows the printed numbers" if printed_too else "skipped"


UNFLAGGED = ("temporal_relevance/fig09_temporal_vs_static", "temporal_relevance/table03_human_vs_model")
SKIPPED = ("deep_analysis/fig05_uniform_vs_dense", "deep_analysis/fig08_clips")  # nothing printed to show

TEXT = """# The paper profile

<!-- written by `paperlib requirements --output docs/paper_profile.md`; do not edit -->

`./run_all.sh --profile paper --data-root ROOT` runs the same notebooks on the papers' own data sets, each in its
official layout under `ROOT` ([what to put where](../data/public.md)). Public checkpoints are fetched on first use,
checked and kept in `data/cache/`; results go to `figures-paper/`.

Few of the papers' models were published. Where one is missing, a notebook says so, names the command that trains it and
shows what it can: the `public` models of its settings in place of the paper's, or the printed numbers alone. A
checkpoint in a published layout that you have from elsewhere is taken in by

```bash
paperlib weights adopt i3d_resnet50_f8.pth.tar ssv2/I3D-R50-f8 --data-root ROOT
```

and one that nobody has is trained, on as many GPUs as there are (gradients and batch norms are those of the whole
batch, a killed run goes on from its last epoch), by

```bash
{command}
```

## What it takes

**An estimate, not a measurement.** Hours = 2 x multiply-accumulates of a clip (our counter, 224 x 224) x passes /
speed, with {speed:.0f} TFLOP/s *assumed* as the effective speed of one GPU in mixed precision; decoding is left out.
For I3D-R50-f8 with {macs:.1f} G per clip, an epoch of {videos:,} videos is 2 x {macs:.1f} G x {training} (forward and
backward) x {videos:,} / {speed:.0f} T, and {epochs} epochs are {hours:.1f} hours. A row of a relevance matrix counts
as {relevance} forward passes (there are f rows for a clip of f frames), a temporal mask as {masks}. On an H100 in
bfloat16 a forward pass of I3D-R50-f16 ran at 83 TFLOP/s and a row took 1.5 to 3.2 of them
([docs/scale.md](scale.md#on-a-gpu)), so that the notebooks take less than is said here; how fast such networks
train was not measured.

All in all: {total} GPU hours to train {models} checkpoints, {inference} to run the notebooks. "Public checkpoints" are
those of the notebook's models that are published; "to be trained" counts the others and what they start from, shared
among notebooks.

"""
