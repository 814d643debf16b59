"""Public checkpoints: list them, or fetch one.

`paperlib weights list` prints every known public checkpoint; `paperlib weights get NAME` downloads one
(once), checks it and prints its path. Without a network it says which file to put where.
"""


def arguments(parser):
    """Add the command's arguments."""
    actions = parser.add_subparsers(dest="action", required=True)
    actions.add_parser("list", help="print all known public checkpoints")
    get = actions.add_parser("get", help="download one and print its path")
    get.add_argument("name", help="a name from `paperlib weights list`")
    get.add_argument("--folder", help="where to keep it (default: the project's cache)")
    get.add_argument("--quiet", action="store_true", help="no progress bar")


def main(args):
    """List the registry, or fetch one checkpoint."""
    from paperlib.models import weights

    if args.action == "get":
        print(weights.get(args.name, args.folder, progress=not args.quiet))
        return
    rows = [("name", "network", "dataset", "classes", "top-1", "licence", "here", "url")]
    for entry in weights.registry().values():
        here = "yes" if (weights.FOLDER / entry.file).is_file() else "no"
        rows.append((entry.name, entry.model, entry.dataset, str(entry.classes), f"{entry.top1:.1f}",
                     entry.licence, here, entry.url))
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        print("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())
