"""The `paperlib` command: finds the subcommand's module, runs it, turns user errors into exit code 2."""

import argparse
import ast
import errno
import importlib
import os
import sys
from pathlib import Path

from .errors import InputError, as_options

FOLDER = Path(__file__).parent / "commands"
UNWRITABLE = (
    *(errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES, errno.EPERM),
    *(errno.EISDIR, errno.ENOTDIR, errno.EEXIST, errno.ENAMETOOLONG),
)
DESCRIPTION = """Look inside video action models: which frames a prediction rests on, when the action happens for
the model, where it looks.

examples:
  paperlib relevance --video jump.mp4 --model synth_ssv2_hard/TAM2D-R50-f8   which frames, of a video of yours
  paperlib zoo status                                                        which models there are
  paperlib run fig02_heatmaps                                                regenerate one figure, and the gallery
  paperlib mask --help                                                       what a command does, and its options"""
EPILOG = """Exit codes: 0 done, 1 something failed or is missing, 2 an option or file makes no sense (one sentence
says which), 130 interrupted."""


def commands():
    """Return {command name: docstring} without importing anything heavy."""
    files = sorted(FOLDER.glob("*_command.py"))
    return {f.stem.removesuffix("_command"): _docstring(f) for f in files}


def _docstring(file):
    return ast.get_docstring(ast.parse(file.read_text(encoding="utf-8"))) or ""


def main(argv=None):
    """Run one subcommand; returns the process's exit code (0 done, 1 failed, 2 unusable input)."""
    argv = sys.argv[1:] if argv is None else list(argv)
    said = " ".join(["paperlib", *argv[:1]])
    try:  # the imports of a command, too: they take seconds
        return _run(argv) or 0
    except InputError as error:
        print(f"{said}: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print(f"{said}: interrupted", file=sys.stderr)
        return 130
    except BrokenPipeError:  # the reader, say `head`, has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 141
    except OSError as error:
        if error.errno not in UNWRITABLE:
            raise
        print(f"{said}: {error.strerror}: {error.filename or 'while writing'}", file=sys.stderr)
        return 2


def _run(argv):
    """Parse a command line and do what it says; returns the exit code, None for 0."""
    from .storage import paths, processes

    os.environ.update(paths.caches())
    processes.print_any_name()
    plain = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(prog="paperlib", description=DESCRIPTION, epilog=EPILOG, formatter_class=plain)
    subparsers = parser.add_subparsers(dest="command", metavar="COMMAND", required=True, title="commands")
    for name, doc in commands().items():
        sub = subparsers.add_parser(
            name, help=doc.partition("\n")[0].rstrip("."), description=doc, formatter_class=plain
        )
        if name in argv[:1]:
            module = importlib.import_module(f"paperlib.commands.{name}_command")
            module.arguments(sub)
            sub.set_defaults(main=module.main)
    args, unknown = parser.parse_known_args(argv)
    if unknown:  # said with the usage of the command, not of paperlib
        subparsers.choices[args.command].error(f"unrecognized arguments: {' '.join(unknown)}")
    try:
        return args.main(args)
    except InputError as error:
        raise InputError(as_options(str(error), args)) from error


if __name__ == "__main__":
    sys.exit(main())
