"""Which rule an operation gets.

A composite (composites.py) lists rules by the operations' ATen names. `rules={key: rule}` overrides it, where a key
is a module class (nn.Conv3d), a module's path ("layer1.0.conv1", "branch"), or an operation's name ("add").
The most particular wins: the longest path, then the class, then the operation.
"""

from dataclasses import dataclass

from torch import fx, nn

from ..errors import InputError, meant
from ..tracing.slices import opname
from . import composites, gates
from . import rules as R
from .fused import FUSED
from .gates import sources
from .graph import describe, module_path, owner
from .operations import ACTIVATIONS, CONVOLUTIONS, COPIES, MAXIMA, NORMS, PRODUCTS, ROUTES, SCALINGS, SOFTMAXES, SUMS

FIXED = {"batch_norm", "native_batch_norm", "_native_batch_norm_legit_no_training", "neg", "relu", "clamp"}
NO_GATE = "multiplies two signals, neither of them a sigmoid or softmax gate"
WRITTEN_OUT = (
    "is fused attention of a kind that cannot be taken apart; let the network write it out as softmax(q k^T) v, or "
    "call torch's scaled_dot_product_attention and use nothing but its result"
)


@dataclass
class Step:
    """One operation on the way from the clip to the logits: its rule and the inputs that take relevance."""

    node: fx.Node
    rule: R.Rule
    receivers: list  # nodes, one for each place at which the operation takes a clip-dependent tensor
    takes: list  # which of the receivers get relevance (indices into receivers)
    kind: str  # "weights", "sum", "max", "gate", "attention", "route", "identity", "exclude" or one of attention.py's
    given: bool = False  # the user gave its rule
    beta: bool = False  # has ZBeta in place of ZPlus if it sees the clip
    first: bool = False  # sees the clip
    last: bool = False  # gives the logits: here CLRP negates the weights
    head: bool = False  # stands between the last layer and the logits

    @property
    def bounded(self):
        """Whether its rule is z-beta, which needs the lowest and highest value of its inputs."""
        return self.first and self.beta or isinstance(self.rule, R.ZBeta)


def plan(model, graph, rules=None):
    """Return the Steps of `graph`, first to last, that relevance from the logits can reach.

    Raises InputError naming the layer and type of an operation without a rule, and how to register one.
    """
    rules = composites.chosen(graph, rules)
    _check(model, graph, rules.given)
    reached, steps, carries_weights = {graph.output}, [], {graph.output: False}
    shifted = set()  # nodes whose relevance is not proportional to their value
    for node in reversed(graph.operations):
        if node not in reached:
            continue
        step = _step(model, graph, node, rules)
        step.given = _override(model, node, rules.given) is not None
        step.beta = isinstance(step.rule, R.ZPlus) and not _by_path(node, rules.given)
        step.head = not carries_weights[node]
        step.last = step.head and step.kind == "weights"
        if isinstance(step.rule, R.Proportional) and (step.head or step.rule.signed is None):
            # above the last layer every addend keeps its own value: the relevance of a logit is the logit
            step.rule = R.Proportional(step.rule.epsilon, step.head or node not in shifted, step.rule.bias)
        for index in step.takes:
            source = step.receivers[index]
            reached.add(source)
            below = carries_weights[node] or step.kind == "weights"
            # reached on two ways, once above and once below the last layer: it is not part of the head
            carries_weights[source] = carries_weights.get(source, False) or below
            if _shifts(step, node in shifted):
                shifted.add(source)
        steps.append(step)
    steps.reverse()
    _mark_first(graph, steps)
    for step in steps:
        if isinstance(step.rule, R.ZBeta) and not step.first:
            raise _unsupported(model, graph, step.node, "does not see the clip, so ZBeta() has no bounds for its input")
    return steps


def _shifts(step, above):
    """Whether the relevance of a step's inputs is not proportional to them; above: whether its output's is not."""
    if step.kind == "weights":
        return not isinstance(step.rule, (R.ZPlus, R.Epsilon, R.Gamma))
    name = opname(step.node)
    constant = name in ("add", "sub", "rsub") and len(step.receivers) == 1
    return above or constant or name in NORMS


def _step(model, graph, node, rules):
    """Choose the rule of one operation."""
    name, receivers = opname(node), sources(node, graph.varies)
    rule = _override(model, node, rules.given)
    if isinstance(rule, R.Exclude):
        return Step(node, rule, receivers, [], "exclude")
    if name in FUSED:  # Identity() would give the queries everything
        raise InputError(f"{describe(model, node)} {WRITTEN_OUT}")
    if name == "getitem":
        return Step(node, R.Route(), receivers, [0], "item")
    if rule is None:
        rule = rules.table.get(name)
    if rule is None:
        raise _unsupported(model, graph, node, "has no relevance rule")
    if isinstance(rule, R.SoftmaxTaylor) and name in SOFTMAXES:
        return Step(node, rule, receivers, [0], "softmax")
    if isinstance(rule, R.FixedDeviation) and name in NORMS:
        return Step(node, rule, receivers, [0], "norm")
    passive = name in ACTIVATIONS | NORMS | COPIES and not isinstance(rule, R.SignalTakesAll)
    if isinstance(rule, R.Identity) or passive:
        if name.startswith("clamp") and len(receivers) > 1:  # by bounds that depend on the clip: a maximum of two
            raise _unsupported(model, graph, node, "has no relevance rule in this form")
        if receivers[0].meta["val"].shape != _value(node).shape:
            raise _unsupported(model, graph, node, "changes its input's shape, which the identity rule cannot undo")
        return Step(node, rule, receivers, [0], "identity")
    if name in CONVOLUTIONS | PRODUCTS:
        return _weights(model, graph, node, rule, receivers, rules.table)
    if name in SCALINGS:
        return _product(model, graph, node, rule, receivers, rules.table)
    return _sharing(model, graph, node, rule, receivers, rules.table)


def _sharing(model, graph, node, rule, receivers, table):
    """An operation without weights: sums share by what each adds, maxima and routes hand on."""
    name, everything = opname(node), list(range(len(receivers)))
    if isinstance(rule, R.SignalTakesAll):
        raise _unsupported(model, graph, node, "is not a product, so SignalTakesAll does not apply")
    if name in SUMS:
        rule = rule if isinstance(rule, (R.Proportional, R.Epsilon, R.EqualShares)) else table[name]
        return Step(node, rule, receivers, everything, "sum")
    if name in MAXIMA:
        if name in ("max", "amax") and not node.args[1:2] or len(receivers) > 1:
            raise _unsupported(model, graph, node, "has no relevance rule in this form")
        return Step(node, R.MaxTakesAll(), receivers, everything, "max")
    adds = (
        name == "index_put" and node.args[3:] == (True,) or name == "scatter" and "reduce" in node.target._overloadname
    )
    if name == "as_strided" and not receivers[0].meta["val"].is_contiguous():  # places in memory, not in the tensor
        raise _unsupported(model, graph, node, "reads memory in another order than the tensor's")
    if name in ROUTES and not adds:  # else several values make up one
        return Step(node, R.Route(), receivers, everything, "route")
    raise _unsupported(model, graph, node, "adds up what it puts in one place" if adds else f"cannot use {rule!r}")


def _weights(model, graph, node, rule, receivers, table):
    """A convolution or matrix product: with weights, or with attention in place of weights."""
    if not isinstance(rule, (R.Weighted, R.SignalTakesAll, R.Proportional, R.HalfEach)):
        raise _unsupported(model, graph, node, f"cannot use {rule!r}")
    name, operands = opname(node), gates.factors(node)
    moving = [x in graph.varies for x in operands]
    if len(operands) != 2 or sum(moving) == 0 or (len(receivers) > sum(moving)):
        raise _unsupported(model, graph, node, "has a form without a relevance rule")
    if sum(moving) == 1:
        if name in CONVOLUTIONS and moving[1]:
            raise _unsupported(model, graph, node, "computes its weights from the clip")
        rule = table[name] if not isinstance(rule, R.Weighted) else rule
        return Step(node, rule, receivers, [0], "weights")
    return _two_signals(model, graph, node, rule, receivers, table, "attention")


def _product(model, graph, node, rule, receivers, table):
    """A product or quotient: scaled by a constant, or of two signals."""
    if len(receivers) == 1:
        if opname(node) == "div" and node.args[0] is not receivers[0]:
            raise _unsupported(model, graph, node, "divides by a value that depends on the clip")
        return Step(node, R.SignalTakesAll(), receivers, [0], "gate")
    if rule is table[opname(node)]:
        rule, root = table[composites.TWO_SIGNALS], gates.activated(node, graph.varies)
        if root is not None and root.meta["val"].shape == _value(node).shape:
            return Step(node, R.Identity(), [root], [0], "identity")
    if opname(node) == "div" and getattr(rule, "signal", None) is None:
        rule = R.SignalTakesAll(0)  # x / norm(x): the norm is a gate
    return _two_signals(model, graph, node, rule, receivers, table, "gate")


def _two_signals(model, graph, node, rule, receivers, table, kind):
    """A product of two factors that depend on the clip: the signal takes all, or each takes half."""
    if not isinstance(rule, (R.SignalTakesAll, R.HalfEach)):
        rule = table[composites.TWO_SIGNALS]
    if isinstance(rule, R.HalfEach):
        signal = gates.normalised(receivers, graph.varies)
        if signal is None:
            return Step(node, rule, receivers, [0, 1], "product")
        rule = R.SignalTakesAll(signal, signed=True)
    signal = rule.signal if rule.signal is not None else gates.signal_of(receivers, graph.varies)
    if signal is None:
        raise _unsupported(model, graph, node, NO_GATE)
    return Step(node, R.SignalTakesAll(signal, rule.signed, rule.even), receivers, [signal], kind)


def _mark_first(graph, steps):
    """Mark the layers with weights that see the clip through nothing but views and fixed scalings."""
    bounded = {graph.clip}
    for step in steps:
        if not all(source in bounded for source in step.receivers):
            continue
        name = opname(step.node)
        step.first = step.kind == "weights"
        if (
            step.kind in ("route", "item")
            or name in COPIES | FIXED
            or (name in SCALINGS and len(step.receivers) == 1)
            or (step.kind == "sum" and len(step.receivers) == 1)
        ):
            bounded.add(step.node)


def _value(node):
    value = node.meta["val"]
    return value[0] if isinstance(value, (tuple, list)) else value


def _check(model, graph, rules):
    """Raise InputError for a name that is nothing in the network or in a composite, or a value that is no rule.

    Module classes may be missing in a network: a set of rules is meant for several networks.
    """
    known = {path for path, _ in model.named_modules() if path}
    known |= {opname(node) for node in graph.operations}.union(*composites.COMPOSITES.values())
    for key, rule in rules.items():
        if not isinstance(rule, R.Rule):
            raise InputError(f"rules[{key!r}] must be a rule such as ZPlus(), not {rule!r}")
        if isinstance(key, type) and issubclass(key, nn.Module):
            continue
        if not isinstance(key, str):
            raise InputError(
                f"a key of rules must be a module class, a module's path or an operation's name, not {key!r}"
            )
        if key in FUSED:
            raise InputError(
                f"rules names '{key}', which is taken apart into matmul, softmax and matmul; give a composite such as "
                "'attnlrp' or 'cp-lrp', rules for these operations, or the path of the module that attends"
            )
        if key not in known:
            raise InputError(
                f"rules names '{key}', but the network has no module of that path and no operation of that name"
                f"{meant(key, sorted(known))}"
            )


def _override(model, node, rules):
    """Return the rule given by the user for this operation, or None."""
    best = _by_path(node, rules)
    if best:
        return rules[best]
    for kind in type(owner(model, node)).__mro__:
        if kind in rules:
            return rules[kind]
    return rules.get(opname(node))


def _by_path(node, rules):
    """Return the longest module path among the keys of `rules` that holds the operation, '' for none."""
    path = module_path(node)
    keys = [key for key in rules if isinstance(key, str) and key and f"{path}.".startswith(f"{key}.")]
    return max(keys, key=len, default="")


def _unsupported(model, graph, node, why):
    """Return the error for an operation without a rule; it advises what can be right for the operation only."""
    key = module_path(node) or opname(node)
    inputs = sources(node, graph.varies)
    same = len(inputs) == 1 and getattr(inputs[0].meta["val"], "shape", None) == getattr(_value(node), "shape", None)
    advice = [
        *(["Identity() passes relevance through"] if same else []),
        *(["SignalTakesAll(0 or 1) picks a factor"] if opname(node) in SCALINGS | PRODUCTS else []),
        "Exclude() drops the branch",
    ]
    instead = "take rules='attnlrp', where each has half of the relevance, or " if why is NO_GATE else ""
    rules = ", ".join(advice[:-1]) + " and " + advice[-1] if len(advice) > 1 else advice[0]
    return InputError(
        f"{describe(model, node)} {why}; {instead}register one with rules={{'{key}': rule}}, where {rules}"
    )


def role(model, step):
    """Return (module path, its type, operation, rule, role) of a Step, for people."""
    path = module_path(step.node)
    rule = R.ZBeta() if step.bounded else step.rule
    place = "input layer" if step.first else "last layer" if step.last else ""
    contrasted = "" if not step.last or step.given or isinstance(rule, (R.ZPlus, R.ZBeta)) else "; ZPlus() under CLRP"
    return path, type(owner(model, step.node)).__name__, opname(step.node), f"{rule!r}{contrasted}", place
