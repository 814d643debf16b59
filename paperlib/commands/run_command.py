"""Regenerate figures: execute the notebooks that are not up to date, then build the gallery.

This is what ./run_all.sh calls once the environment stands. A notebook is executed when it, its settings, a
checkpoint or library code that it uses, or one of its results has changed. One that fails does not stop the
others. Exit code 1 if any failed.

examples:
  paperlib run                                   everything
  paperlib run 'temporal_relevance/*' fig02*     by name or glob
  paperlib run --list                            names, and what is up to date
"""

from pathlib import Path


def arguments(parser):
    """Declare the options of run_all.sh (which documents them in its --help as well)."""
    parser.add_argument("notebooks", nargs="*", metavar="NOTEBOOK", help="names or globs (default: all)")
    parser.add_argument("--profile", default="mini", help="mini (default), full, paper, or a .yaml file of your own")
    parser.add_argument("--data-root", default="", metavar="DIR", help="where the public datasets are")
    parser.add_argument("--device", default="auto", help="auto (default), cpu, cuda or cuda:N")
    parser.add_argument("--jobs", type=int, metavar="N", help="notebooks at a time (default: one per core)")
    parser.add_argument("--force", action="store_true", help="execute the notebooks even if they are up to date")
    parser.add_argument("--train", action="store_true", help="train the checkpoints that are missing, first")
    parser.add_argument("--retrain", action="store_true", help="train the checkpoints they use anew, first")
    parser.add_argument("--list", action="store_true", help="list the notebooks and what is up to date; run nothing")


def needs_data(name, options):
    """Whether a notebook's models all belong to public data sets."""
    from ..data.public import ADAPTERS
    from ..papers.settings import settings

    keys = settings(name, options.profile).get("models") or []
    return bool(keys) and all(key.partition("/")[0] in ADAPTERS for key in keys)


def page(figures):
    """Return the gallery's page, built anew if something it shows has changed."""
    from ..companion import stale

    if stale.page_is_current(figures):  # the common case need not import what building takes
        return figures / "index.html"
    from ..companion import gallery

    return gallery.build(figures)


def main(args):
    """Run, print the table, build the gallery; returns 1 if a notebook failed."""
    from ..companion import runner, stale
    from ..errors import InputError
    from ..papers.settings import named, settings
    from ..storage import paths

    if args.jobs is not None and args.jobs < 1:
        raise InputError(f"--jobs {args.jobs} is not a number of notebooks at a time; give 1 or more")
    if (folder := paths.data_root(args.data_root)) and not Path(folder).is_dir():
        said = f"--data-root {args.data_root}" if args.data_root else f"PAPERLIB_DATA names {folder}, which"
        raise InputError(f"{said} is not a folder")
    data_root = paths.use_data_root(args.data_root)  # also for the trainings that this run starts
    profile = named(args.profile)
    options = stale.Options(profile, data_root, args.device)
    settings("", profile)  # an unknown profile or device is an error now, not in every notebook
    if args.device not in ("auto", "cpu"):  # which need no torch to be known
        from ..models.devices import device

        device(args.device)
    names = runner.select(args.notebooks)
    if not (data_root or args.list) and all(needs_data(n, options) for n in names):
        raise InputError(
            f"the profile {profile} reads public data sets: name their folder with --data-root or PAPERLIB_DATA "
            "(`paperlib data where` says what to put there)"
        )
    if args.list:
        width = max(map(len, names))
        for name in names:
            print(f"{name:<{width}}  {stale.why_stale(name, options) or 'up to date'}")
        return 0
    try:
        results = runner.run(names, options, args.jobs, args.force, args.retrain, args.train)
    except OSError as error:  # disk full, read-only
        raise InputError(f"the run could not go on: {error.strerror}: {error.filename}") from None
    print(f"\n{runner.table(results, options)}\n")
    failed = [f"{result.name}: {result.message}" for result in results if result.status == "failed"]
    try:
        print(f"gallery: {paths.relative(page(paths.figures(profile)))}")
    except OSError as error:
        failed.append(f"gallery: {error.strerror}: {error.filename}")
    except InputError as error:  # a damaged result, perhaps of a notebook that was not asked for
        failed.append(f"gallery: {error}")
    for line in failed:
        print(f"failed: {line}")
    return 1 if failed else 0
