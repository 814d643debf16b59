"""Everything about one video in one page: which frames a prediction rests on and needs, where the network looks.

Prints the prediction and a number of each instrument. --html writes a page that scrubs in any browser, without a
kernel and without the network; --npz everything, to be opened again in notebooks; --png and --gif pictures. Without
any of them the page is written, VIDEO.html in this folder.

examples:
  paperlib explain --video jump.mp4 --model synth_ssv2_hard/TAM2D-R50-f8 --html jump.html
  paperlib explain --video jump.mp4 --model my_package.networks:build --frames 16 --size 112
  paperlib explain --video match.mp4 --model videomae/ --slide --no-cam
"""

from argparse import BooleanOptionalAction

KINDS = ("html", "npz", "png", "gif")
OF = {"method": "relevance", "sigma": "relevance", "iterations": "mask", "layer": "cam"}  # option -> what it is of


def arguments(parser):
    """Declare the options of the command."""
    from . import one_video

    one_video.arguments(parser)
    for kind in KINDS:
        parser.add_argument(f"--{kind}", metavar="FILE", help=f"write the {kind.upper()} file")
    parser.add_argument(
        "--against", metavar="NAME", help="explain why --class (or the predicted class) and not this one"
    )
    parser.add_argument("--top", type=int, default=1, help="explain so many of the most probable classes (default: 1)")
    parser.add_argument(
        "--clips", type=int, default=1, help="look at so many clips, one from each equal part of the video"
    )
    parser.add_argument(
        "--slide",
        nargs="?",
        type=int,
        const=True,
        metavar="FRAMES",
        help="move a window of frames that lie so far apart over the whole video (default: it spans 2.56 seconds)",
    )
    parser.add_argument("--method", choices=("clrp", "lrp"), help="contrastive relevance (default) or LRP")
    parser.add_argument("--sigma", type=float, help="share of a row that its ATR holds (default: 0.975)")
    parser.add_argument("--iterations", type=int, help="most steps of learning the mask (default: 300)")
    parser.add_argument("--layer", help="layer of Grad-CAM (default: the last with space and time)")
    parser.add_argument("--no-relevance", dest="relevance", action="store_false", help="leave out the relevance matrix")
    parser.add_argument(
        "--cam", action=BooleanOptionalAction, help="Grad-CAM (default: where the network has maps of space and time)"
    )
    parser.add_argument(
        "--mask",
        action=BooleanOptionalAction,
        help="learn the mask, which takes longest (default: only where one clip is looked at)",
    )
    parser.add_argument("--quiet", action="store_true", help="show no progress on standard error")


def main(args):
    """Explain, write, say what was found."""
    from contextlib import ExitStack
    from pathlib import Path

    from ..errors import InputError
    from ..explanation.explaining import explain
    from ..storage import paths
    from . import one_video

    files = {kind: Path(getattr(args, kind)) for kind in KINDS if getattr(args, kind)}
    files = files or {"html": Path(f"{one_video.stem(args)}.html")}
    for kind, file in files.items():
        if file.suffix.lower() != f".{kind}":
            raise InputError(f"--{kind} {file} should end with .{kind}")
        paths.check_writable(file)
    if not (args.relevance or args.cam is not False or args.mask is not False):
        raise InputError("--no-relevance, --no-cam and --no-mask together leave nothing to look at")
    given = {option: getattr(args, option) for option in OF if getattr(args, option) is not None}
    for option in given:
        if getattr(args, OF[option]) is False:
            raise InputError(f"--{option} changes nothing with --no-{OF[option]}; leave one of the two out")
    found = explain(
        args.video,
        args.model,
        (args.wanted, args.against) if args.against is not None else args.wanted,
        relevance=args.relevance,
        mask=args.mask,
        cam=args.cam,
        top=args.top,
        clips=args.clips,
        slide=args.slide,
        progress=not args.quiet,
        **given,
        **one_video.options(args),
    )
    with ExitStack() as whole:  # all files or none
        for temporary in [whole.enter_context(paths.atomic(file)) for file in files.values()]:
            found.save(temporary)
    one_video.tell(args, found, files.values())
