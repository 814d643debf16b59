"""Every network by name: parameters, FLOPs, temporal receptive field.

FLOPs are multiply-accumulates of the convolutions for one clip, as in the CVPR 2021 paper. The temporal
receptive field is theoretical (frames that one output step can depend on); `all` means the whole clip.

example: paperlib models I3D-R50-f16 TAM2D-R18-f8-tp --classes 174
"""


def arguments(parser):
    """Add the command's arguments."""
    parser.add_argument("names", nargs="*", help="names to print, e.g. I3D-R50-f16 (default: all)")
    parser.add_argument("--frames", type=int, help="of all networks those for clips of so many frames (default 8)")
    parser.add_argument("--classes", type=int, default=400, help="number of classes (default 400)")
    parser.add_argument("--size", type=int, default=224, help="height and width of the clip (default 224)")
    parser.add_argument("--width", type=int, default=64, help="channels of the first convolution (default 64)")


def main(args):
    """Print one line per network."""
    import math

    import torch

    from paperlib import models
    from paperlib.errors import InputError
    from paperlib.models.factory import sized

    if args.names and args.frames is not None:
        raise InputError("--frames chooses among all networks; a network that is named has the frames of its name")
    frames = 8 if args.frames is None else args.frames
    if frames < 1 or args.size < 32:
        raise InputError("--frames should be at least 1 and --size at least 32")
    print(f"{'name':22}{'parameters':>12}{'GFLOPs':>10}{'frames seen':>13}")
    for name in args.names or models.names(frames):
        options = {"size": args.size} if sized(name) else {}
        fixed = args.width != 64 and name.split("-")[0] in ("r3d_18", "mc3_18", "r2plus1d_18", "s3d")
        if fixed and not args.names:
            continue  # torchvision's networks come in one width
        with torch.device("meta"):
            model = models.create(name, num_classes=args.classes, width=args.width, **options)
        total, field = models.count(model, args.size), models.temporal_receptive_field(model)
        print(
            f"{name:22}{total.parameters:>12,}{total.flops / 1e9:>10.2f}{'all' if field == math.inf else field:>13}",
            flush=True,
        )
