"""The verdict on a statement: a criterion that anyone can read and a 95 % interval in, one of three words out.

A criterion is text, as it stands in the ledger: `> 0` or `< 0.25` (a side), `within ±0.3` (a margin around 0, for
"about the same"), `in [4, 8]` (a range, for a statement that gives numbers). Everything is in the quantity's unit.
"""

import math
import re
from typing import NamedTuple

from scipy import stats

from ..errors import InputError

HOLDS, CONTRADICTED, UNDECIDED, UNTESTABLE = "holds", "contradicted", "undecided", "not testable here"
VERDICTS = (HOLDS, CONTRADICTED, UNDECIDED, UNTESTABLE)
NUMBER = r"([-+]?\d+(?:\.\d+)?(?:e[-+]?\d+)?)"
FORMS = "`> 0`, `< 0.25`, `within ±0.3` or `in [4, 8]`"


class Criterion(NamedTuple):
    """The values that a statement allows: from `low` to `high`; the ends count unless it is a side (`open`)."""

    low: float
    high: float
    open: bool


def criterion(text: str) -> Criterion:
    """Return the criterion that a text spells; InputError for any other text."""
    if found := re.fullmatch(rf"([<>]) {NUMBER}", text):
        bound = float(found[2])
        return Criterion(bound, math.inf, True) if found[1] == ">" else Criterion(-math.inf, bound, True)
    if found := re.fullmatch(rf"within ±{NUMBER}", text):
        low, high = -float(found[1]), float(found[1])
    elif found := re.fullmatch(rf"in \[{NUMBER}, {NUMBER}\]", text):
        low, high = float(found[1]), float(found[2])
    else:
        raise InputError(f"a criterion reads {FORMS}, not {text!r}")
    if low >= high:
        raise InputError(f"the criterion {text!r} allows no value; its lower end must be below its upper end")
    return Criterion(low, high, False)


def verdict(text: str, interval: tuple[float, float, float]) -> str:
    """Return `holds`, `contradicted` or `undecided` for a criterion and an interval (value, low, high).

    Holds if every value of the interval is allowed, contradicted if none is. An interval without ends (one clip, one
    run) or without width (a sample that never varied) says nothing about what was not measured: undecided.
    """
    allowed, (_, low, high) = criterion(text), interval
    if not (math.isfinite(low) and math.isfinite(high)) or low == high:
        return UNDECIDED
    if low > high:
        raise InputError(f"an interval goes from its low to its high end, not from {low} to {high}")
    inside = allowed.low < low and high < allowed.high if allowed.open else allowed.low <= low and high <= allowed.high
    outside = high < allowed.low or low > allowed.high
    return HOLDS if inside else CONTRADICTED if outside else UNDECIDED


def undecided_because(text: str, interval: tuple[float, float, float]) -> str:
    """Return in half a sentence why an interval (value, low, high) leaves a criterion undecided."""
    allowed, (_, low, high) = criterion(text), interval
    if not (math.isfinite(low) and math.isfinite(high)):
        return "the interval has no ends"
    if low == high:
        return "the interval has no width"
    outer = (low <= allowed.low, high >= allowed.high) if allowed.open else (low < allowed.low, high > allowed.high)
    crossed = [bound for bound, beyond in zip((allowed.low, allowed.high), outer, strict=True) if beyond]
    allows = "" if allowed.open else f", {'both ends' if len(crossed) == 2 else 'an end'} of what is allowed"
    across = "across " if all(low < bound < high for bound in crossed) else ""
    return f"the interval reaches {across}{' and '.join(f'{bound:g}' for bound in crossed)}{allows}"


def p_value(text: str, interval: tuple[float, float, float]) -> float:
    """Return how likely a verdict as clear as this one is by chance, if the true value lay on the criterion's border.

    The interval's half width towards a border counts as 1.96 standard errors, as if it were a normal one: for few runs
    or persons (Student's t) the p-value is somewhat too small, for several comparisons at once too large. The smaller
    of the two verdicts' one-sided p-values, doubled, so that it is below 0.05 where the verdict is decided; 1 where
    there is no interval.
    """
    allowed, (value, low, high) = criterion(text), interval
    if not (math.isfinite(low) and math.isfinite(high)) or low == high:
        return 1.0

    def beyond(border: float, side: int) -> float:
        """Return the one-sided p-value of the true value lying on the other side of the border than `side`."""
        if math.isinf(border):
            return 0.0 if side * border < 0 else 1.0
        reach = (value - low) if side > 0 else (high - value)  # towards the border from the side that is claimed
        error = max(reach, 1e-12) / stats.norm.ppf(0.975)
        return float(stats.norm.sf(side * (value - border) / error))

    holds = max(beyond(allowed.low, 1), beyond(allowed.high, -1))
    contradicted = min(beyond(allowed.low, -1), beyond(allowed.high, 1))
    return min(1.0, 2 * min(holds, contradicted))
