"""The `paperlib` command: finds the subcommand's module, runs it, turns user errors into exit code 2."""

import argparse
import ast
import errno
import importlib
import os
import sys
from pathlib import Path

from .errors import InputError

FOLDER = Path(__file__).parent / "commands"
UNWRITABLE = (errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES, errno.EPERM)


def commands():
    """Return {command name: docstring} without importing anything heavy."""
    files = sorted(f for f in FOLDER.glob("*.py") if f.stem != "__init__")
    return {f.stem: ast.get_docstring(ast.parse(f.read_text(encoding="utf-8"))) or "" for f in files}


def main(argv=None):
    """Run one subcommand; returns the process's exit code (0 done, 1 failed, 2 unusable input)."""
    argv = sys.argv[1:] if argv is None else list(argv)
    known = commands()
    parser = argparse.ArgumentParser(prog="paperlib", description="Look inside video action models.")
    subparsers = parser.add_subparsers(dest="command", metavar="COMMAND", required=True)
    for name, doc in known.items():
        sub = subparsers.add_parser(name, help=doc.partition("\n")[0], description=doc,
                                    formatter_class=argparse.RawDescriptionHelpFormatter)
        if name in argv[:1]:
            module = importlib.import_module(f"paperlib.commands.{name}")
            module.arguments(sub)
            sub.set_defaults(main=module.main)
    args = parser.parse_args(argv)
    try:
        return args.main(args) or 0
    except InputError as error:
        print(f"paperlib {args.command}: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print(f"paperlib {args.command}: interrupted", file=sys.stderr)
        return 130
    except BrokenPipeError:  # the reader, say `head`, has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 141
    except OSError as error:
        if error.errno not in UNWRITABLE:
            raise
        print(f"paperlib {args.command}: {error.strerror}: {error.filename or 'while writing'}", file=sys.stderr)
        return 2


if __name__ == "__main__":
    sys.exit(main())
