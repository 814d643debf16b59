"""Say what of the public datasets is in a folder, what is missing and what cannot be decoded.

`paperlib data check ROOT` compares every dataset found in ROOT with its official list and decodes eight
frames of every video (--depth all: every frame, strictly; --depth list: none). It exits with 1 if anything
is missing or unreadable. For videos of your own it also says what lies there and is left out, and why.
`paperlib data where` says which files to put where. `paperlib data unpack ARCHIVE FOLDER` unpacks a dataset's
zip or tar archive, refusing entries that lead out of the folder.

examples:
  paperlib data where
  paperlib data unpack kth.zip datasets/kth
  paperlib data check datasets --dataset ssv2 --output missing.csv
"""

import csv
from pathlib import Path

from ..data import archives, check, public
from ..storage import paths
from . import action

SHOWN = 10  # ids listed per split on the screen; --output has all


def arguments(parser):
    actions = parser.add_subparsers(dest="action", metavar="ACTION", required=True)
    more = """

Prints a line for every split that is found, with what is missing or unreadable, and exits with 1 if anything is.

example: paperlib data check datasets --dataset ssv2 --output missing.csv"""
    one = action(actions, "check", "compare a data folder with the lists, decode the videos", more)
    one.add_argument("root", help="the data folder, or one dataset's folder")
    one.add_argument(
        "--dataset", action="append", choices=list(public.ADAPTERS), metavar="NAME", help="only this one (repeatable)"
    )
    one.add_argument(
        "--depth",
        choices=["list", "frames", "all"],
        default="frames",
        help="how much to decode (default: eight frames of every video)",
    )
    one.add_argument("--workers", type=int, help="videos decoded at a time (default: one per core)")
    one.add_argument("--output", help="CSV file for every video that is missing, unreadable or left out")
    more = """ One line a dataset; any number of them
may lie in one folder, which --data-root or PAPERLIB_DATA then names.

example: paperlib data where"""
    action(actions, "where", "say which files of which dataset to put where", more)
    more = """ Entries that lead out of the folder are refused.

example: paperlib data unpack kth.zip datasets/kth"""
    two = action(actions, "unpack", "unpack a zip or tar archive safely", more)
    two.add_argument("archive")
    two.add_argument("folder")


def main(args):
    if args.action == "where":
        for name in public.ADAPTERS:
            print(f"{name}: {public.adapter(name).WHERE}.")
        return 0
    if args.action == "unpack":
        print(f"{archives.unpack(args.archive, args.folder)} files unpacked into {args.folder}")
        return 0
    if args.output:
        paths.check_writable(Path(args.output))
    reports = check.check(args.root, args.dataset, args.depth, args.workers)
    for report in reports:
        show(report)
    if args.output:
        write(reports, args.output)
    return 0 if all(report.fine for report in reports) else 1


def show(report):
    """Print one split: what is there, what is missing, what cannot be decoded."""
    if report.problem:
        print(f"{report.name} {report.split}: {report.problem}")
        return
    print(
        f"{report.name} {report.split} in {report.folder}: {report.present} videos of {report.classes} "
        f"classes, {len(report.missing)} missing, {len(report.unreadable)} unreadable"
    )
    lines = [f"unreadable {identity}: {reason}" for identity, reason in report.unreadable]
    left_out = [f"left out {path}: {reason}" for path, reason in report.left_out]
    for kind in (lines, [f"missing {identity}" for identity in report.missing], left_out):
        for line in kind[:SHOWN]:
            print(f"  {line}")
        if len(kind) > SHOWN:
            print(f"  ... and {len(kind) - SHOWN} more (--output FILE lists all)")


def write(reports, path):
    """Write every video that is missing, unreadable or left out to a CSV file; bytes that are no text as on screen."""
    with (
        paths.atomic(path) as temporary,
        open(temporary, "w", newline="", encoding="utf-8", errors="backslashreplace") as file,
    ):
        writer = csv.writer(file)
        writer.writerow(["dataset", "split", "video", "state", "reason"])
        for report in reports:
            states = [(i, "missing", "") for i in report.missing]
            states += [(path, "left out", reason) for path, reason in report.left_out]
            states += [(i, "unreadable", reason) for i, reason in report.unreadable]
            writer.writerows([report.name, report.split, *state] for state in states)
