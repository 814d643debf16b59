"""What a full reproduction under the paper profile needs: data, checkpoints, GPU hours (an estimate).

Prints the page docs/paper_profile.md, made from the profile, the registry of public checkpoints and the papers'
recipes.

examples:
  paperlib requirements
  paperlib requirements --output docs/paper_profile.md
"""


def arguments(parser):
    """Declare where to write."""
    parser.add_argument("--output", metavar="FILE", help="write the page there instead of printing it")


def main(args):
    """Print or write the page."""
    from pathlib import Path

    from ..companion import paper_profile
    from ..storage import paths

    if not args.output:
        print(paper_profile.markdown(), end="")
        return
    paths.check_writable(Path(args.output))
    with paths.atomic(args.output) as temporary:
        temporary.write_text(paper_profile.markdown(), encoding="utf-8")
