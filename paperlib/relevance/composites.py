"""Composites: which rule every kind of operation gets, as named lists that read like a table of rules.

    name      for                      linear layers        attention            norms
    paper     CNNs                     z+, z-beta below     values take all      identity
    attnlrp   networks with attention  epsilon              halves, softmax      standard deviation held fixed
    cp-lrp    the same                 epsilon              values take all      standard deviation held fixed
    gamma     the same                 gamma                halves, softmax      standard deviation held fixed
    rollout   the same, as a baseline  equally to all       values, by weights   identity

"paper" is appendix F of the temporal relevance paper; "attnlrp" Achtibat et al. 2024, "AttnLRP: Attention-aware
layer-wise relevance propagation for transformers"; "cp-lrp" Ali et al. 2022, "XAI for transformers: better
explanations through conservative propagation"; "gamma" is AttnLRP with the gamma rule, as its authors recommend for
vision transformers. In these three, whatever is proportional to an operation's output is the relevance that
arrives there: constants and biases take their part of the sum, and the ledger says how much that is. "rollout" is
attention rollout (rollout.py), which is no relevance.
"""

from collections.abc import Mapping
from typing import NamedTuple

from ..errors import InputError
from . import rules as R
from .gates import holds_attention
from .operations import ACTIVATIONS, CONVOLUTIONS, COPIES, MAXIMA, NORMS, PRODUCTS, ROUTES, SCALINGS, SOFTMAXES, SUMS

TWO_SIGNALS = "two signals"  # a product of two tensors that depend on the clip
RMS = {"rms_norm", "_fused_rms_norm"}
KEY = "composite"  # in a dictionary of rules: the name of what it overrides

PAPER = [
    (CONVOLUTIONS | PRODUCTS, R.ZPlus()),
    ({TWO_SIGNALS}, R.SignalTakesAll()),
    (SUMS, R.Proportional()),
    (MAXIMA, R.MaxTakesAll()),
    (ACTIVATIONS | NORMS | COPIES, R.Identity()),  # appendix F: the identity rule for batch norm
    (ROUTES, R.Route()),
    (SCALINGS, R.SignalTakesAll()),
]
ATTNLRP = [
    (CONVOLUTIONS | PRODUCTS, R.Epsilon(bias=True)),
    ({TWO_SIGNALS}, R.HalfEach()),
    (SUMS, R.Proportional(signed=True, bias=True)),
    (MAXIMA, R.MaxTakesAll()),
    (ACTIVATIONS | COPIES | RMS, R.Identity()),
    (SOFTMAXES, R.SoftmaxTaylor()),
    (NORMS - RMS, R.FixedDeviation()),
    (ROUTES, R.Route()),
    (SCALINGS, R.SignalTakesAll()),
]
CP_LRP = [*ATTNLRP, ({TWO_SIGNALS}, R.SignalTakesAll(signed=True))]
GAMMA = [
    *ATTNLRP,
    (CONVOLUTIONS, R.Gamma(0.25, bias=True, by_sign=True)),
    (PRODUCTS, R.Gamma(0.05, bias=True, by_sign=True)),
]
ROLLOUT = [
    (CONVOLUTIONS | PRODUCTS, R.Flat()),
    ({TWO_SIGNALS}, R.SignalTakesAll(even=True)),
    (SUMS, R.EqualShares()),
    (MAXIMA, R.MaxTakesAll()),
    (ACTIVATIONS | NORMS | COPIES, R.Identity()),
    (ROUTES, R.Route()),
    (SCALINGS, R.SignalTakesAll()),
]

COMPOSITES = {
    name: {operation: rule for operations, rule in lines for operation in operations}
    for name, lines in (
        ("paper", PAPER),
        ("attnlrp", ATTNLRP),
        ("cp-lrp", CP_LRP),
        ("gamma", GAMMA),
        ("rollout", ROLLOUT),
    )
}


class Chosen(NamedTuple):
    """The composite's name, {operation: rule} of it, and {key: rule} that the user gave in its place."""

    name: str
    table: dict
    given: dict


def chosen(graph, rules):
    """Return the Chosen composite and rules of a call.

    rules: a name, "auto" or None, or a dictionary of rules whose entry "composite" names what they override; without a
    name it is "attnlrp" where the graph holds attention, else "paper". Raises InputError for an unknown name.
    """
    if rules is not None and not isinstance(rules, (str, Mapping)):
        raise InputError(
            f"rules must be one of {', '.join(('auto', *COMPOSITES))}, or a dictionary of rules, not {rules!r}"
        )
    overrides = dict(rules) if isinstance(rules, Mapping) else {}
    name = overrides.pop(KEY, "auto") if isinstance(rules, Mapping) else rules or "auto"
    if name == "auto":
        name = "attnlrp" if holds_attention(graph) else "paper"
    if name not in COMPOSITES:
        what = f"rules['{KEY}']" if isinstance(rules, Mapping) else "rules"
        raise InputError(f"{what} must be one of {', '.join(('auto', *COMPOSITES))}, not {name!r}")
    return Chosen(name, COMPOSITES[name], overrides)
