"""Build figures/index.html, the page with every figure, its claims and its tables.

Also merges the claims of all notebooks into figures/claims.csv. The page is self-contained: open it in any
browser, no network needed. `paperlib run` builds it at its end. With --readme, the parts of README.md that
follow from the claims and the notebooks are written anew too; with --seconds, the times by which a run says how long it
will take.

examples:
  paperlib gallery                     after `paperlib run`, or to see what is committed in figures/
  paperlib gallery --profile paper     the page of figures-paper/
  paperlib gallery --readme            before a commit that changes figures/claims.csv or adds a notebook
  paperlib gallery --seconds           after a run of everything with empty caches, on a quiet machine
"""


def arguments(parser):
    """Declare whose results the page shows."""
    parser.add_argument("--profile", default="mini", help="mini (default), full, paper, or a .yaml file of your own")
    parser.add_argument("--readme", action="store_true", help="also bring README.md up to date with the claims")
    parser.add_argument("--seconds", action="store_true", help="also keep what each notebook took")


def main(args):
    """Build the page and print its path."""
    from ..companion import gallery, readme, schedule, stale
    from ..papers.settings import named, settings
    from ..storage import paths

    profile = named(args.profile)
    settings("", profile)  # an unknown one has no page
    print(gallery.build(paths.figures(profile)))
    if args.readme:
        print(readme.update())
    if args.seconds:
        print(schedule.ship(stale.Options(profile)))
