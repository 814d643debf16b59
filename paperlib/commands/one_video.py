"""What the commands about one video share: their options, the video before the network, where results go."""

import os
from pathlib import Path

from ..errors import as_options


def arguments(parser):
    """Declare the options shared by `paperlib explain`, `relevance`, `mask` and `gradcam`."""
    parser.add_argument(
        "--video",
        required=True,
        metavar="FILE",
        help="any video file that FFmpeg reads, or DATASET/NUMBER, such as synth_ssv2_hard/7",
    )
    parser.add_argument(
        "--model",
        required=True,
        metavar="MODEL",
        help="DATASET/NAME of the zoo (see paperlib zoo status), a .safetensors file, PACKAGE.MODULE:FUNCTION that "
        "returns a network of your own or what models.adapt makes of it, or a folder with a network of Hugging Face's "
        "transformers",
    )
    parser.add_argument(
        "--class",
        dest="wanted",
        metavar="NAME",
        help="class to explain, by name, part of a name or number (default: the predicted one)",
    )
    parser.add_argument(
        "--scores",
        choices=("auto", "softmax", "sigmoid"),
        default="auto",
        help="how logits become scores: softmax for classes of which one is right, sigmoid for labels that do not "
        "exclude each other (default: auto, sigmoid only for a single logit)",
    )
    own = parser.add_argument_group(
        "a network of your own", "what is not found out by running it or in its configuration"
    )
    own.add_argument("--frames", type=int, metavar="N", help="frames of a clip")
    own.add_argument("--size", type=int, metavar="PIXELS", help="height and width of a clip")
    own.add_argument("--layout", metavar="LAYOUT", help='how it takes clips, such as "B T C H W" (default: tried)')
    for name in ("mean", "std"):
        own.add_argument(
            f"--{name}",
            type=float,
            nargs=3,
            metavar=("R", "G", "B"),
            help="with which it normalises pixels in 0 to 1 (default: as its configuration says, else ImageNet's)",
        )
    own.add_argument("--names", metavar="FILE", help="a text file with the names of its classes, one a line, in order")
    parser.add_argument("--device", default="auto", help="auto, cpu, cuda or cuda:N")


def out_argument(parser):
    """Declare --out, the prefix of a command's files."""
    parser.add_argument("--out", metavar="PREFIX", help="where results go (default: VIDEO-COMMAND in this folder)")


def options(args):
    """Return the keyword arguments of `explaining.explain` and `look` that the options stand for."""
    network = {name: getattr(args, name) for name in ("frames", "size", "layout", "mean", "std")}
    return {
        "classes": _names(args.names),
        "scores": args.scores,
        "device": args.device,
        **{name: value for name, value in network.items() if value is not None},
    }


def look(args):
    """Return (what the network sees of the video, scored, and the network)."""
    from ..explanation import explaining

    found = explaining.look(args.video, args.model, args.wanted, **options(args))
    return found, found.model


def prefix(args, command):
    """Return the path prefix of the results: --out, or the video's name and the command in the current folder.

    Raises InputError where they could not be written: ask before anything is computed.
    """
    from ..errors import InputError
    from ..storage import paths

    out = Path(args.out or f"{stem(args)}-{command}")
    if args.out and (os.path.basename(args.out) in ("", ".", "..") or out.is_dir()):
        raise InputError(
            f"--out {args.out} is a folder; name what the files in it should begin with, as in --out {stem(args)}"
        )
    out = out.with_suffix("") if out.suffix in (".csv", ".png", ".npz") else out
    for file in files(out):
        paths.check_writable(file)
    return out


def files(out):
    """Return the files that `relevance`, `mask` and `gradcam` write: table, picture, everything."""
    return [out.with_name(f"{out.name}.{kind}") for kind in ("csv", "png", "npz")]


def tell(args, found, written, *more):
    """Print what was found, then `more` lines, what a reader should know, and the files written."""
    notes = (f"note: {as_options(note, args)}" for note in found.notes)
    print("\n".join([*found.summary(), *more, *notes, ", ".join(map(str, written))]))


def stem(args):
    """Return the name of the video, without its ending; InputError for none and for a folder."""
    from ..errors import InputError

    if not args.video or os.path.isdir(args.video):
        raise InputError(f"--video {args.video!r} is no file; give a video file or DATASET/NUMBER")
    return Path(args.video).stem if os.path.exists(args.video) else args.video.replace("/", "-")


def _names(file):
    """Return the lines of a text file, None for none."""
    from ..data.public import files

    return None if file is None else [line.strip() for line in files.read_text(file) if line.strip()]
