"""Public checkpoints: list them, fetch one, or take in a file of one's own in a public layout.

`paperlib weights list` prints every known public checkpoint; `paperlib weights get NAME` downloads one
(once), checks it and prints its path. Without a network it says which file to put where. `paperlib weights
adopt FILE KEY` writes a checkpoint in a published layout as data/checkpoints/KEY.safetensors, under which name
the notebooks of the paper profile find it.

examples:
  paperlib weights list
  paperlib weights get K400-I3D-R50-f32
  paperlib weights adopt i3d_resnet50_f8.pth.tar ssv2/I3D-R50-f8
"""

from . import action


def arguments(parser):
    """Add the command's arguments."""
    actions = parser.add_subparsers(dest="action", metavar="list|get|adopt", required=True)
    action(actions, "list", "print all known public checkpoints", "\n\nexample: paperlib weights list")
    more = """ Once: where it is there already, nothing is
downloaded. Without a network it says which file to put where.

example: paperlib weights get K400-I3D-R50-f32"""
    get = action(actions, "get", "download one, check it and print its path", more)
    get.add_argument("name", help="a name from `paperlib weights list`")
    get.add_argument("--folder", help="where to keep it (default: the project's cache)")
    get.add_argument("--quiet", action="store_true", help="no progress bar")
    more = """

Writes it as data/checkpoints/KEY.safetensors. KEY is DATASET/NAME, the network by its name here (`paperlib models`
lists them); under it the notebooks of the paper profile and the other commands find it.

example: paperlib weights adopt i3d_resnet50_f8.pth.tar ssv2/I3D-R50-f8"""
    adopt = action(actions, "adopt", "take in a checkpoint file in a published layout", more)
    adopt.add_argument("file", help="a .pth, .pth.tar, .pyth or .safetensors file")
    adopt.add_argument("key", help="<dataset>/<name> as in the profile, e.g. ssv2/I3D-R50-f8 or ssv2/I3D-R50-f8-dense")
    adopt.add_argument("--size", type=int, default=224, help="side of its clips in pixels (default 224)")
    adopt.add_argument("--data-root", metavar="DIR", help="where the data set is, for the names of its classes")


def main(args):
    """List the registry, or fetch one checkpoint."""
    from paperlib.models import weights

    if args.action == "adopt":
        from paperlib.storage import paths
        from paperlib.training import adopted

        paths.use_data_root(args.data_root)
        print(adopted.adopt(args.file, args.key, size=args.size))
        return
    if args.action == "get":
        print(weights.get(args.name, args.folder, progress=not args.quiet))
        return
    rows = [("name", "network", "dataset", "classes", "top-1", "licence", "here", "url")]
    for entry in weights.registry().values():
        here = "yes" if (weights.FOLDER / entry.file).is_file() else "no"
        rows.append(
            (
                entry.name,
                entry.model,
                entry.dataset,
                str(entry.classes),
                f"{entry.top1:.1f}",
                entry.licence,
                here,
                entry.url,
            )
        )
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        print("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())
