"""Build figures/index.html, the page with every figure, its claims and its tables.

Also merges the claims of all notebooks into figures/claims.csv. The page is self-contained: open it in any
browser, no network needed. `paperlib run` builds it at its end.
"""


def arguments(parser):
    """There are no options."""


def main(args):
    """Build the page and print its path."""
    from .. import gallery

    print(gallery.build())
