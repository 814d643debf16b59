"""Train one model on one data set and write its checkpoint.

The checkpoint is a safetensors file whose header holds the recipe, the validation accuracy, the seed and the
git revision. A killed run goes on from its last epoch when started again with the same options. Under torchrun
every process trains on its part of each batch, with batch norms over all of it; the first one writes.

examples:
  paperlib train --model TSM-R34-f8 --dataset synth_ssv2_hard --epochs 12
  torchrun --nproc-per-node 8 -m paperlib.cli train --paper ssv2/I3D-R50-f8 --data-root ROOT
"""

import json
from argparse import ArgumentTypeError
from contextlib import suppress
from dataclasses import MISSING, fields, replace
from pathlib import Path

HELP = {
    "kernel_size": "kernel of the temporal module, frames",
    "size": "side of the clips, pixels",
    "init_from": "checkpoint to start from",
    "inflate": "2D checkpoint to start from: a file, or ImageNet for torchvision's",
    "limit": "number of training videos, 0 for all",
    "sampling": "uniform or dense",
    "stride": "source frames between the frames of a dense clip",
    "width": "channels of the stem",
    "lr": "peak learning rate",
    "warmup": "epochs until the peak learning rate",
    "batch": "clips per step, of all processes together",
    "dropout": "rate in front of the classifier",
    "seed": "of weights, order and augmentation; the checkpoint of seed 2 is called MODEL-s2",
    "held_out": "people who validate while all others train, e.g. 'human3, human6' (Nagoya FIR, Weizmann)",
    "mirror": "share of the training clips that are mirrored",
    "optimiser": "sgd, adam or adamw",
    "bits": "of each stored weight: 16, 32, or 8 with one scale per output channel",
    "zoom": "cut random squares out of frames so much larger, and scale them down",
    "ensemble": "predict from so many evenly spaced frame logits, 0 for all",
}


def _fields():
    from ..training.train import Recipe

    return [f for f in fields(Recipe) if f.name not in ("name", "dataset", "options")]


def _option(text):
    """Return (key, value) of KEY=VALUE: numbers, true, false, null and lists as JSON has them, else text."""
    key, equals, value = text.partition("=")
    if not (key and equals and value):
        raise ArgumentTypeError(f"{text!r} should be KEY=VALUE, as placement=top")
    with suppress(ValueError):
        value = json.loads(value)
    return key, value


def arguments(parser):
    """Declare one option per field of the training recipe."""
    parser.add_argument("--model", help="model name, e.g. I3D-R50-f8 (see paperlib models)")
    parser.add_argument("--dataset", help="e.g. synth_ssv2_hard")
    parser.add_argument(
        "--paper",
        metavar="KEY",
        help="instead of both: a checkpoint of the paper profile, e.g. "
        "ssv2/I3D-R50-f8, trained by the papers' recipe except for the options given here",
    )
    for field in _fields():
        default = field.default if field.default is not MISSING else None
        parser.add_argument(
            f"--{field.name.replace('_', '-')}",
            type=type(default),
            default=None,
            help=f"{HELP.get(field.name, field.name.replace('_', ' '))} (default: {default!r})",
        )
    parser.add_argument(
        "--options",
        nargs="+",
        action="extend",
        type=_option,
        metavar="KEY=VALUE",
        help="of that network, as models.create takes them: placement=top, tubelet=2, layers=2 ...",
    )
    parser.add_argument("--data-root", metavar="DIR", help="where the public data sets are")
    parser.add_argument("--device", default="auto", help="auto, cpu, cuda or cuda:N")
    parser.add_argument(
        "--out",
        type=Path,
        help="checkpoint file (default: data/checkpoints/DATASET/MODEL[-sSEED], where none of another recipe or other "
        "videos is replaced)",
    )
    parser.add_argument("--restart", action="store_true", help="ignore the state of an interrupted run")


def main(args):
    """Train and print where the checkpoint lies and how good it is."""
    import os

    from ..errors import InputError
    from ..storage import paths, zoo_lists
    from ..training import checkpoints, recipes, train, zoo

    given = {f.name: getattr(args, f.name) for f in _fields() if getattr(args, f.name) is not None}
    options = dict(args.options or ())
    names = [name for name, _ in args.options or ()]
    if twice := [name for name in names if names.count(name) > 1]:
        raise InputError(f"--options names {twice[0]} more than once; give it one value")
    named = [args.model, args.dataset]
    if any(named) if args.paper else not all(named):
        raise InputError("give either --paper KEY, or --model and --dataset")
    paths.use_data_root(args.data_root)
    if args.paper:
        plain, seed = zoo_lists.without_seed(args.paper)
        key = zoo_lists.with_seed(plain, given.get("seed", seed))  # what it starts from is of that seed, too
        recipe = replace(recipes.recipe(key, size=given.get("size", 224)), **given)
        recipe = replace(recipe, options={**(recipe.options or {}), **options} or None)
    else:
        recipe = train.Recipe(name=args.model, dataset=args.dataset, options=options or None, **given)
        key = f"{args.dataset}/{zoo_lists.with_seed(args.model, recipe.seed)}"
    out = args.out or checkpoints.path(key)
    if out.suffix != ".safetensors":
        raise InputError(f"--out {out} should end with .safetensors")
    recipes.check(recipe)
    state = "missing" if args.out else zoo.state(key, recipe)
    other = {"other recipe": "by another recipe", "other videos": "on other videos"}
    if state in other:
        raise InputError(f"{out} was trained {other[state]} and would be replaced; name another file by --out")
    meta = train.run(recipe, args.device, resume=not args.restart, out=out)
    if os.environ.get("RANK", "0") == "0":
        print(
            f"{out}: validation accuracy {meta['accuracy']:.1%} after {recipe.epochs} epochs, {meta['seconds']:.0f} s"
        )
