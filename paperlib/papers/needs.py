"""What a notebook's models need: their data set under the data root and a checkpoint, and how to get those."""

from functools import lru_cache

from ..data import public
from ..errors import InputError
from ..storage.zoo_lists import without_seed
from ..training import adopted, checkpoints, recipes

UNTRAINED = "no checkpoint"


def lacking(keys, root=""):
    """Return {checkpoint: why it cannot be used here} for those of the keys `<dataset>/<name>` that cannot."""
    found = {key: _why(key, root or "", checkpoints.path(key).is_file()) for key in keys}
    return {key: why for key, why in found.items() if why}


def there(keys, root=""):
    """Return (the keys that can be used here, {a network's first run: why not} of the networks of which no run can)."""
    without = lacking(keys, root)
    found = [key for key in keys if key not in without]
    networks = {without_seed(key)[0] for key in found}
    first = {}  # network -> the run by which it is named: its first one that is listed
    for key in without:
        first.setdefault(without_seed(key)[0], key)
    return found, {key: without[key] for network, key in first.items() if network not in networks}


@lru_cache(maxsize=4096)
def _why(key, root, there):
    dataset = key.partition("/")[0]
    try:
        if dataset in public.ADAPTERS:
            public.locate(dataset, root or None)
        if not there and adopted.provide(key) is None:
            return UNTRAINED
    except InputError as error:
        return str(error)
    return ""


def say(lacking):
    """Return in one line what is missing and what to do: {checkpoint: why} as `lacking` returns it."""
    ways, untrained = [], [key for key, why in lacking.items() if why == UNTRAINED]
    if untrained:
        ways.append(f"no checkpoint: {', '.join(untrained)}; {recipes.how(untrained)}")
    ways += dict.fromkeys(why.rstrip(".") for why in lacking.values() if why != UNTRAINED)
    return "; ".join(ways)
