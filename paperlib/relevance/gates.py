"""Which factor of a product of two signals is a gate, and whether a graph holds attention."""

from torch import fx

from ..tracing.slices import opname
from .graph import valued
from .operations import COPIES, ELEMENTWISE, NORMS, PRODUCTS, ROUTES, SCALINGS, SOFTMAXES

GATES = SOFTMAXES | {"sigmoid", "hardsigmoid"}
UNITS = {"gelu", "silu"}  # of gated feed-forward parts, silu(a x) * (b x)
GATE_SUMS = {"add", "sub", "rsub", "neg", "mean", "sum"}  # 1 - sigmoid and a mean of sigmoids are gates as well
TOKEN_NORMS = {"layer_norm", "native_layer_norm", "rms_norm", "_fused_rms_norm", "rsqrt"}
BATCH_NORMS = {name for name in NORMS if "batch_norm" in name}


def sources(node, varies):
    """Return the clip-dependent inputs of `node`, one entry for each place at which they stand."""
    return [source for source in valued(node) if source in varies]


def factors(node):
    """Return the two factors of a product or quotient, as they stand in its arguments."""
    name = opname(node)
    if name == "einsum":
        return list(node.args[1])
    places = {"addmm": (1, 2), "baddbmm": (1, 2), "addmv": (1, 2)}.get(name, (0, 1))
    return [node.args[i] for i in places if i < len(node.args)]


def signal_of(two, varies):
    """Return which of two factors is the signal (0 or 1), since the other is a gate; None where neither or both are.

    A normaliser (1 / sqrt(variance)) counts before a sigmoid or softmax, and those before the activation of a gated
    unit.
    """
    for names in (None, GATES, UNITS):
        gates = [_normalises(x, varies) if names is None else _is_gate(x, varies, names) for x in two]
        if gates[0] != gates[1]:
            return gates.index(False)
        if all(gates):
            return None
    return None


def normalised(two, varies):
    """Return which of two factors is the signal where the other is 1 / sqrt(variance) or the like, else None."""
    found = [_normalises(x, varies) for x in two]
    return found.index(False) if found[0] != found[1] else None


def activated(node, varies):
    """Return the tensor of which a product is a function element by element (SiLU and GELU written out), else None."""
    shape, ahead = node.meta["val"].shape, {node}
    while len(ahead) > 1 or node in ahead:
        latest = max(ahead)
        if opname(latest) not in ELEMENTWISE or latest.meta["val"].shape != shape:
            return None
        ahead = ahead - {latest} | set(sources(latest, varies))
    return ahead.pop()


def holds_attention(graph):
    """Whether a matrix product has two factors that depend on the clip, in a network that is no CNN.

    A network that normalises by batch norms only, such as one with non-local blocks, is a CNN: the paper's rules are
    made for it.
    """
    names = {opname(node) for node in graph.operations}
    if names & BATCH_NORMS and not names & (NORMS | TOKEN_NORMS) - BATCH_NORMS:
        return False
    products = [node for node in graph.operations if opname(node) in PRODUCTS and node in graph.varies]
    return any(sum(factor in graph.varies for factor in factors(node)) > 1 for node in products)


def attention_gate(node, varies):
    """Return which factor of a matrix product of two signals is a softmax (0 or 1), None for another operation."""
    if opname(node) not in PRODUCTS or node not in varies:
        return None
    two = factors(node)
    if len(two) != 2 or not all(x in varies for x in two):
        return None
    found = [_is_gate(x, varies, SOFTMAXES) for x in two]
    return found.index(True) if any(found) else None


def _is_gate(node, varies, names):
    """Whether `node` is one of `names`, looked at through views, copies and sums and products with constants."""
    if not isinstance(node, fx.Node):
        return False
    if opname(node) in names:
        return True
    if opname(node) not in ROUTES | COPIES | SCALINGS | GATE_SUMS | {"getitem"}:
        return False
    inputs = sources(node, varies)
    return bool(inputs) and all(_is_gate(source, varies, names) for source in inputs)


def _normalises(node, varies):
    """Whether `node` is x^-1/2, 1 / x or another negative power, looked at through views and copies."""
    if not isinstance(node, fx.Node) or node not in varies:
        return False
    name = opname(node)
    if name in ("rsqrt", "reciprocal"):
        return True
    if name == "pow":
        return isinstance(node.args[1], (int, float)) and node.args[1] < 0
    if name == "div":
        return node.args[0] not in varies
    if name not in ROUTES | COPIES | SCALINGS:
        return False
    inputs = sources(node, varies)
    return len(inputs) == 1 and _normalises(inputs[0], varies)
