"""The one exception type that is meant to be read by the person who caused it."""


class InputError(ValueError):
    """A file, layer, class or parameter given by the user is unusable.

    The message is one sentence that names the thing at fault and what would be right.
    The command line prints it without a traceback and exits with code 2.
    """
