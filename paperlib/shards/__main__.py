"""What the Snakefile calls: compute one shard, or gather all of them."""

import argparse
import json
import os
import sys
from pathlib import Path

from ..errors import InputError


def main(argv=None):
    """Run one job of the Snakefile; exit code 2 for what the user got wrong."""
    parser = argparse.ArgumentParser(prog="python -m paperlib.shards", description=__doc__)
    parser.add_argument("settings", type=Path, help="file written by paperlib dataset")
    parser.add_argument("out", type=Path, help="the file to write")
    what = parser.add_mutually_exclusive_group(required=True)
    what.add_argument("--compute", type=int, metavar="NUMBER", help="this shard, counted from 0")
    what.add_argument("--gather", nargs="+", metavar="SHARD", help="these files, all of them in order")
    args = parser.parse_args(argv)
    if os.environ.get("PAPERLIB_RUNNER"):
        from ..storage.processes import watch

        watch(int(os.environ["PAPERLIB_RUNNER"]))
    settings = json.loads(args.settings.read_text(encoding="utf-8"))
    try:
        if args.gather:
            from .shard_files import gather

            gather(settings, args.out, args.gather)
        else:
            from .compute import compute

            compute(settings, args.compute, args.out)
    except InputError as error:
        print(f"paperlib dataset: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
