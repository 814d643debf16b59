"""Build figures/index.html, the page with every figure, its claims and its tables.

Also merges the claims of all notebooks into figures/claims.csv. The page is self-contained: open it in any
browser, no network needed. `paperlib run` builds it at its end. With --readme, the parts of README.md that
follow from the claims and the notebooks are written anew too.

examples:
  paperlib gallery                     after `paperlib run`, or to see what is committed in figures/
  paperlib gallery --profile paper     the page of figures-paper/
  paperlib gallery --readme            before a commit that changes figures/claims.csv or adds a notebook
"""


def arguments(parser):
    """Declare whose results the page shows."""
    parser.add_argument("--profile", default="mini", help="mini (default), paper, or a .yaml file of your own")
    parser.add_argument("--readme", action="store_true", help="also bring README.md up to date with the claims")


def main(args):
    """Build the page and print its path."""
    from ..companion import gallery, readme
    from ..storage import paths

    print(gallery.build(paths.figures(args.profile)))
    if args.readme:
        print(readme.update())
