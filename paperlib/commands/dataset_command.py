"""Relevance, masks or Grad-CAM of a whole data set: computed in shards by Snakemake, gathered in one parquet file.

Writes OUT.parquet, one row per clip (paperlib.shards.load reads it), and keeps the shards in OUT.shards/: a run
that was stopped goes on with the shards that are missing. docs/scale.md says how to use several GPUs or a cluster.
The class explained is the video's label by default, not the prediction as in the commands about one video.
`paperlib dataset KIND --help` says more.

examples:
  paperlib dataset relevance synth_ssv2_hard synth_ssv2_hard/TAM2D-R50-f8
  paperlib dataset mask kinetics400 i3d.safetensors --data-root DATA --gpus 0,1,2,3
  paperlib dataset gradcam kinetics400 i3d.safetensors --data-root DATA --shards 64 --profile slurm
"""

from pathlib import Path

from . import action

WHOSE = """

The class explained is the video's label; --target predicted takes the network's prediction, as the commands about
one video do. The network is a checkpoint of models.create; for one of your own docs/extending.md has a loop of ten
lines, "A whole data set through your own network".

example: paperlib dataset """


def arguments(parser):
    """Declare the options, those of each kind under its name."""
    kinds = parser.add_subparsers(dest="kind", metavar="KIND", required=True)
    example = f"{WHOSE}relevance synth_ssv2_hard synth_ssv2_hard/TAM2D-R50-f8"
    relevance = action(kinds, "relevance", "matrices, frame logits and ATR of every clip", example)
    relevance.add_argument(
        "--method", choices=("clrp", "lrp"), default="clrp", help="contrastive relevance (default) or plain LRP"
    )
    relevance.add_argument(
        "--sigma", type=float, default=0.975, help="share of a row's relevance that its ATR holds (default: 0.975)"
    )
    example = f"{WHOSE}mask synth_ssv2_hard synth_ssv2_hard/I3D-R50-f16 --jobs 4"
    mask = action(kinds, "mask", "learned temporal masks of every clip and the scores under them", example)
    mask.add_argument("--preset", default="default", help="as in paperlib mask (default: default)")
    mask.add_argument("--perturbation", default="freeze", help="as in paperlib mask (default: freeze)")
    mask.add_argument("--iterations", type=int, help="of gradient descent (default: the preset's)")
    example = f"{WHOSE}gradcam synth_ssv2_hard synth_ssv2_hard/I3D-R50-f16 --limit 100"
    cam = action(kinds, "gradcam", "maps of every clip, at the layer's own size, and their blobs", example)
    cam.add_argument("--layer", help="as in paperlib gradcam (default: the family's)")
    cam.add_argument("--normalise", choices=("frame", "clip"), default="frame", help="before blobs are measured")
    cam.add_argument(
        "--softmax",
        action="store_true",
        help="explain the score (softmax, or sigmoid for a single logit), not the logit",
    )
    for one in (relevance, mask, cam):
        _common(one)


def _common(parser):
    parser.add_argument("dataset", metavar="DATASET", help="name of a data set")
    parser.add_argument("checkpoint", metavar="CHECKPOINT", help="a .safetensors file, or DATASET/NAME of the zoo")
    parser.add_argument(
        "--out",
        type=Path,
        metavar="FILE",
        help="(default: DATASET-SPLIT-FOLDER-CHECKPOINT-KIND.parquet in this folder; FOLDER is the checkpoint's, "
        "left out where it is called as the data set)",
    )
    parser.add_argument("--split", choices=("train", "val"), default="val", help="(default: val)")
    parser.add_argument("--limit", type=int, metavar="N", help="only N videos, balanced over the classes")
    parser.add_argument("--data-root", default="", metavar="DIR", help="where the public datasets are")
    parser.add_argument(
        "--target",
        choices=("label", "predicted"),
        default="label",
        help="the class to explain: the video's label (default) or the network's prediction",
    )
    parser.add_argument(
        "--min-score", type=float, metavar="S", help="explain only clips classified right with a softmax score above S"
    )
    parser.add_argument("--batch", type=int, default=8, help="clips computed together (default: 8)")
    parser.add_argument(
        "--memory", type=float, default=2.0, metavar="GB", help="what relevance may occupy in each job (default: 2)"
    )
    parser.add_argument("--threads", type=int, default=1, help="cores of each job (default: 1)")
    parser.add_argument("--device", default="auto", help="auto (default), cpu or cuda")
    parser.add_argument("--shards", type=int, metavar="N", help="number of files (default: one per 500 clips)")
    parser.add_argument(
        "--jobs",
        type=int,
        metavar="N",
        help="shards computed at a time (default: one per core or GPU, or what the profile says)",
    )
    parser.add_argument("--gpus", default="", metavar="IDS", help="GPUs of this machine to use, such as 0,1,2,3")
    parser.add_argument("--profile", metavar="NAME", help="a Snakemake profile: slurm, slurm-cpu or a folder")


def usual_name(args):
    """Return the table's file where none is named, another for every data set, split, checkpoint and kind."""
    file = Path(args.checkpoint)
    names = [args.dataset, args.split, file.parent.name.strip("."), file.name.removesuffix(".safetensors"), args.kind]
    return Path("-".join(filter(None, dict.fromkeys(names))) + ".parquet")  # the zoo's folder is called as its data set


def main(args):
    """Plan the run, let Snakemake compute what is missing, say where the table is; 1 if a shard failed."""
    from ..companion import runner
    from ..errors import InputError
    from ..shards import run, shard_files
    from ..shards.compute import OPTIONS, plan
    from ..storage import paths

    same = ("split", "data_root", "limit", "device", "threads", "batch", "memory", "target", "min_score", "shards")
    gpus = [gpu.strip() for gpu in args.gpus.split(",") if gpu.strip()]
    if args.jobs is not None and args.jobs < 1:
        raise InputError(f"--jobs {args.jobs} is not a number of shards at a time; give 1 or more")
    out = args.out or usual_name(args)
    if out.suffix != ".parquet":
        raise InputError(f"--out {out} should end in .parquet")
    if "{" in out.name:
        raise InputError(f"--out {out} should have a name without braces, which Snakemake takes for a pattern")
    paths.check_writable(out)
    settings = plan(
        args.kind,
        args.dataset,
        args.checkpoint,
        out.resolve(),
        gpus=gpus,
        **{name: getattr(args, name) for name in (*same, *OPTIONS[args.kind])},
    )
    with runner.lock(shard_files.folder(out)):
        done = run.run(settings, args.jobs, args.profile)
    if done:
        return done
    print(f"{out}: {settings['key']['videos']} clips")
