"""One module per `paperlib` subcommand: its docstring is the help, `arguments(parser)` and `main(args)` do the rest.

May import everything.
"""

import argparse


def action(actions, name, said, more):
    """Add the parser of one action of a command: `said` of it beside the others, in its own help `more` behind that."""
    plain = argparse.RawDescriptionHelpFormatter
    described = f"{said[0].upper()}{said[1:]}.{more}"
    return actions.add_parser(name, help=said, description=described, formatter_class=plain)
