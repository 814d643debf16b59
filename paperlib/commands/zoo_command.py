"""List and train the models that the notebooks use (data/zoo.yaml, zoo_people.yaml).

examples:
  paperlib zoo status                 every model: is it trained, by which recipe, how good over how many runs
  paperlib zoo status --missing       the names of those that are not trained
  paperlib zoo status --readme        write that table into data/README.md as well
  paperlib zoo train --missing        train what is missing, one per core; a killed run goes on where it stopped
  paperlib zoo train 'synth_*_hard/*' train these anew; a checkpoint of the same videos is replaced only by a better one
  paperlib zoo train --pause          from another shell: all training waits between two batches, say for a measurement
  paperlib zoo train --resume         and goes on
"""

import sys

from . import action


def arguments(parser):
    """Declare `status` and `train`."""
    actions = parser.add_subparsers(dest="action", metavar="status|train", required=True)
    more = """ One row a model, over all its
training runs; with names or globs only theirs.

example: paperlib zoo status 'synth_ssv2_hard/*-R50-*'"""
    status = action(actions, "status", "list every model: trained or not, by which recipe, how good", more)
    more = """ One process a model; a killed training goes on from its last epoch.

examples:
  paperlib zoo train --missing
  paperlib zoo train --pause"""
    train = action(actions, "train", "train models, then list them", more)
    for one in (status, train):
        one.add_argument("names", nargs="*", help="models or globs, e.g. 'synth_ssv2_hard/*-R50-*' (default: all)")
    shown = status.add_mutually_exclusive_group()
    shown.add_argument(
        "--missing", action="store_true", help="only names, one a line, of what is not trained as listed"
    )
    shown.add_argument("--readme", action="store_true", help="write the table into data/README.md as well")
    what = train.add_mutually_exclusive_group()
    what.add_argument(
        "--missing",
        action="store_true",
        help="only what has no checkpoint by the listed recipe on the data set as it is",
    )
    what.add_argument("--pause", action="store_true", help="let all training of this project wait; train nothing")
    what.add_argument("--resume", action="store_true", help="let paused training go on; train nothing")
    train.add_argument("--jobs", type=int, metavar="N", help="models at a time (default: one per core, one on a GPU)")
    train.add_argument("--device", default="auto", help="auto, cpu, cuda or cuda:N")


def main(args):
    """Print the table; train first if asked to. Returns 1 if a model could not be trained."""
    from ..errors import InputError
    from ..training import zoo, zoo_table

    if args.action == "train" and (args.pause or args.resume):
        if args.names:
            raise InputError("--pause and --resume are for all training of this project; give no names")
        return pause() if args.pause else go_on()
    failed = {}
    if args.action == "train":
        from ..training import crew

        failed = crew.train(zoo.select(args.names, args.missing), args.device, args.jobs, args.missing)
    if args.action == "status" and args.missing:
        wanted = zoo.matching(args.names)
        print("".join(f"{key}\n" for key, recipe in wanted.items() if zoo.state(key, recipe) != "trained"), end="")
        return 0
    table = zoo_table.status()
    if args.action == "status" and args.readme:
        write_readme(table)
    if args.names:
        table = table[table.checkpoint.isin(zoo.matching(args.names))]
    print(zoo_table.text(table))
    for sentence in failed.values():
        print(f"paperlib zoo: not trained: {sentence}", file=sys.stderr)
    return 1 if failed else 0


def pause():
    """Let all training wait, and say what waits now; returns 1 if something computes nevertheless."""
    from ..training import progress

    waiting, computing = progress.pause()
    print(f"paused: {', '.join(waiting) or 'nothing is being trained; what is started waits'}")
    print("`paperlib zoo train --resume` lets training go on")
    if computing:
        print(f"paperlib zoo: still computing: {', '.join(computing)}", file=sys.stderr)
    return 1 if computing else 0


def go_on():
    """End a pause and say what goes on."""
    from ..training import progress

    was = progress.paused()
    goes_on = progress.go_on()
    print(f"goes on: {', '.join(goes_on) or 'nothing is being trained'}" if was else "training is not paused")
    return 0


def write_readme(table):
    """Put the table of trained models, as of `zoo_table.status`, into data/README.md."""
    from ..companion import readme
    from ..storage import paths, zoo_lists
    from ..training import zoo_table

    file = zoo_lists.location().with_name("README.md")
    text = readme.put(file.read_text(encoding="utf-8"), "zoo", zoo_table.markdown(table) + "\n", file)
    with paths.atomic(file) as temporary:
        temporary.write_text(text, encoding="utf-8")
