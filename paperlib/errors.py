"""The one exception type that is meant to be read by the person who caused it."""

import math
import numbers
import re
from contextlib import contextmanager
from difflib import get_close_matches


class InputError(ValueError):
    """A file, layer, class or parameter given by the user is unusable.

    The message is one sentence that names the thing at fault and what would be right.
    The command line prints it without a traceback and exits with code 2.
    """


def meant(name, known):
    """Return the end of a sentence that asks for the known name nearest to `name`; '' where none is near."""
    inside = (f"/{name}", f".{name}")  # a notebook in its folder, a layer in its network
    close = [other for other in known if other.endswith(inside)] or get_close_matches(str(name), known, 1)
    last = {other.rpartition("/")[2]: other for other in known}
    close = close or [last[other] for other in get_close_matches(str(name), last, 1)]
    return f"; did you mean {close[0]!r}?" if close else ""


def as_options(sentence, args):
    """Return a sentence with the arguments of functions that it names, as in frames=8, as options: --frames 8.

    args: of the command line, whose options there are; what they hold stays as it was typed.
    """
    names, typed = vars(args), [str(value) for value in vars(args).values()]

    def option(found):
        known = found[1] in names and not any(found[0] in value for value in typed)
        return f"--{found[1].replace('_', '-')} {found[2]}".rstrip() if known else found[0]

    return re.sub(r"(?<![\w./-])(\w+)=('[^']*'|[\[({][^])}]*[])}]|-?[\w.]*)", option, sentence)


def some(names, most):
    """Return names with commas between, as a sentence says them: of more than `most` the first, and how many more."""
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(map(str, names[:most])) + more


def whole(what, value, least=1):
    """Return `value` as an int; InputError unless it is a whole number of at least `least`.

    what: the parameter's name, as its user knows it. Truth values, fractions, texts and None are no whole numbers.
    """
    if isinstance(value, bool) or not isinstance(value, numbers.Integral) or value < least:
        raise InputError(f"{what} must be a whole number of at least {least}, not {value!r}")
    return int(value)


def number(what, value, wanted, fits):
    """Return `value` as a float; InputError unless it is a finite number, as `wanted`, of which `fits` holds.

    what: the parameter's name, as its user knows it; wanted: what the number should be, as in "above 0 and at most 1".
    Truth values, texts and None are no numbers.
    """
    if isinstance(value, bool) or not isinstance(value, numbers.Real) or not (math.isfinite(value) and fits(value)):
        raise InputError(f"{what} must be a number {wanted}, not {value!r}")
    return float(value)


@contextmanager
def needs(*packages, to):
    """Turn the absence of packages that the library alone does not bring into one sentence.

    to: what they are needed for, as in `with needs("pooch", to="download a checkpoint"): import pooch`.
    """
    try:
        yield
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] not in {package.replace("-", "_") for package in packages}:
            raise
        raise InputError(f"to {to}, install what is missing: pip install {' '.join(packages)}") from None
