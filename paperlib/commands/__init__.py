"""One module per `paperlib` subcommand: its docstring is the help, `arguments(parser)` and `main(args)` do the rest.

May import everything.
"""
