"""Which rule an operation gets.

DEFAULTS lists the operations by their ATen names. `rules={key: rule}` overrides it, where a key is
a module class (nn.Conv3d), a module's path ("layer1.0.conv1", "branch"), or an operation's name ("add").
The most particular wins: the longest path, then the class, then the operation.
"""

from dataclasses import dataclass

from torch import fx, nn

from ..errors import InputError
from . import rules as R
from .graph import describe, module_path, opname, owner

CONVOLUTIONS = {"conv1d", "conv2d", "conv3d", "convolution", "conv_transpose1d", "conv_transpose2d", "conv_transpose3d"}
PRODUCTS = {"linear", "addmm", "mm", "bmm", "matmul", "baddbmm", "einsum", "mv", "addmv"}
ACTIVATIONS = set(
    """
    _log_softmax _softmax abs celu clamp clamp_max clamp_min elu exp gelu hardsigmoid hardswish hardtanh leaky_relu
    log log_softmax logsigmoid mish neg pow prelu relu relu6 rrelu selu sigmoid silu softmax softplus softsign sqrt
    tanh threshold
    """.split()
)
NORMS = set(
    """
    _native_batch_norm_legit_no_training batch_norm native_batch_norm native_layer_norm layer_norm native_group_norm
    group_norm instance_norm rms_norm _fused_rms_norm
    """.split()
)
COPIES = set(
    """
    dropout clone alias detach contiguous _to_copy to lift_fresh_copy copy type_as native_dropout feature_dropout
    alpha_dropout
    """.split()
)
ROUTES = set(
    """
    _unsafe_view as_strided broadcast_to cat channel_shuffle chunk constant_pad_nd diagonal expand expand_as flatten
    flip gather index index_copy index_put index_select masked_fill movedim narrow pad permute pixel_shuffle
    pixel_unshuffle reflection_pad1d reflection_pad2d reflection_pad3d repeat repeat_interleave replication_pad1d
    replication_pad2d replication_pad3d reshape roll scatter select select_scatter slice slice_scatter split
    split_with_sizes squeeze stack swapaxes t tensor_split transpose unbind unflatten unfold unsqueeze
    upsample_nearest1d upsample_nearest2d upsample_nearest3d view view_as where
    """.split()
)
SUMS = set(
    """
    add sub rsub sum mean cumsum avg_pool1d avg_pool2d avg_pool3d adaptive_avg_pool1d adaptive_avg_pool2d
    adaptive_avg_pool3d _adaptive_avg_pool2d _adaptive_avg_pool3d upsample_linear1d upsample_bilinear2d
    upsample_trilinear3d
    """.split()
)
MAXIMA = set(
    """
    max_pool1d max_pool2d max_pool3d max_pool2d_with_indices max_pool3d_with_indices adaptive_max_pool2d
    adaptive_max_pool3d amax max maximum
    """.split()
)
SCALINGS = {"mul", "div"}
FIXED = {"batch_norm", "native_batch_norm", "_native_batch_norm_legit_no_training", "neg", "relu", "clamp"}
TWO_SIGNALS = "multiplies two signals, neither of them a sigmoid or softmax gate"
GATES = {"sigmoid", "hardsigmoid", "softmax", "_softmax"}
GATE_SUMS = {"add", "sub", "rsub", "neg"}  # 1 - sigmoid is a gate as well
FUSED = set(
    """
    scaled_dot_product_attention _scaled_dot_product_flash_attention _scaled_dot_product_flash_attention_for_cpu
    _scaled_dot_product_efficient_attention _scaled_dot_product_cudnn_attention _scaled_dot_product_attention_math
    _scaled_dot_product_fused_attention_overrideable _native_multi_head_attention _transformer_encoder_layer_fwd
    flex_attention
    """.split()
)
WRITTEN_OUT = (
    "is fused attention, for which there is no relevance rule yet; let the network write it out as softmax(q k^T) v: "
    'attn_implementation="eager" for Hugging Face, fused_attn = False on timm modules, need_weights=True for '
    "nn.MultiheadAttention"
)

DEFAULTS = {
    **dict.fromkeys(CONVOLUTIONS | PRODUCTS, R.ZPlus()),
    **dict.fromkeys(SUMS, R.Proportional()),
    **dict.fromkeys(MAXIMA, R.MaxTakesAll()),
    **dict.fromkeys(ACTIVATIONS | NORMS, R.Identity()),  # appendix F: the identity rule for batch norm
    **dict.fromkeys(COPIES, R.Identity()),
    **dict.fromkeys(ROUTES, R.Route()),
    **dict.fromkeys(SCALINGS, R.SignalTakesAll()),
}


@dataclass
class Step:
    """One operation on the way from the clip to the logits: its rule and the inputs that take relevance."""

    node: fx.Node
    rule: R.Rule
    receivers: list  # nodes, one for each place at which the operation takes a clip-dependent tensor
    takes: list  # which of the receivers get relevance (indices into receivers)
    kind: str  # "weights", "sum", "max", "gate", "route", "identity", "exclude"
    beta: bool = False  # has ZBeta in place of ZPlus if it sees the clip
    first: bool = False  # sees the clip
    last: bool = False  # gives the logits: here CLRP negates the weights
    head: bool = False  # stands between the last layer and the logits


def plan(model, graph, rules=None):
    """Return the Steps of `graph`, first to last, that relevance from the logits can reach.

    Raises InputError naming the layer and type of an operation without a rule, and how to register one.
    """
    rules = _checked(model, rules or {})
    reached, steps, carries_weights = {graph.output}, [], {graph.output: False}
    shifted = set()  # nodes whose relevance is not proportional to their value
    for node in reversed(graph.operations):
        if node not in reached:
            continue
        step = _step(model, graph, node, rules)
        step.beta = isinstance(step.rule, R.ZPlus) and not _by_path(node, rules)
        step.head = not carries_weights[node]
        step.last = step.head and step.kind == "weights"
        if isinstance(step.rule, R.Proportional) and (step.head or step.rule.signed is None):
            # above the last layer every addend keeps its own value: the relevance of a logit is the logit
            step.rule = R.Proportional(step.rule.epsilon, signed=step.head or node not in shifted)
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
    return steps


def _shifts(step, above):
    """Whether the relevance of a step's inputs is not proportional to them; above: whether its output's is not."""
    if step.kind == "weights":
        return not isinstance(step.rule, (R.ZPlus, R.Epsilon, R.Gamma))
    name = opname(step.node)
    constant = name in ("add", "sub", "rsub") and len(step.receivers) == 1
    return above or constant or name in NORMS


def sources(node, varies):
    """Return the clip-dependent inputs of `node`, one entry for each place at which they stand."""
    found = []
    fx.map_arg((node.args, node.kwargs), lambda x: found.append(x) if x in varies else None)
    return found


def _step(model, graph, node, rules):
    """Choose the rule of one operation."""
    name, receivers = opname(node), sources(node, graph.varies)
    rule = _override(model, node, rules)
    if isinstance(rule, R.Exclude):
        return Step(node, rule, receivers, [], "exclude")
    if name in FUSED:  # Identity() would give the queries everything
        raise InputError(f"{describe(model, node)} {WRITTEN_OUT}")
    if name == "getitem":
        return Step(node, R.Route(), receivers, [0], "item")
    if rule is None:
        rule = DEFAULTS.get(name)
    if rule is None:
        raise _unsupported(model, graph, node, "has no relevance rule")
    passive = name in ACTIVATIONS | NORMS | COPIES and not isinstance(rule, R.SignalTakesAll)
    if isinstance(rule, R.Identity) or passive:
        source = len(receivers) - 1 if name == "copy" else 0  # copy(destination, source)
        if receivers[source].meta["val"].shape != _value(node).shape:
            raise _unsupported(model, graph, node, "changes its input's shape, which the identity rule cannot undo")
        return Step(node, rule, receivers, [source], "identity")
    if name in CONVOLUTIONS | PRODUCTS:
        return _weights(model, graph, node, rule, receivers)
    if name in SCALINGS:
        return _product(model, graph, node, rule, receivers)
    return _sharing(model, graph, node, rule, receivers)


def _sharing(model, graph, node, rule, receivers):
    """An operation without weights: sums share by what each adds, maxima and routes hand on."""
    name, everything = opname(node), list(range(len(receivers)))
    if isinstance(rule, R.SignalTakesAll):
        raise _unsupported(model, graph, node, "is not a product, so SignalTakesAll does not apply")
    if name == "where" and node.args[0] in graph.varies:  # the condition decides, it is no signal
        return Step(node, R.Route(), receivers, everything[1:], "route")
    if name in SUMS:
        rule = rule if isinstance(rule, (R.Proportional, R.Epsilon)) else DEFAULTS[name]
        return Step(node, rule, receivers, everything, "sum")
    if name in MAXIMA:
        if name == "max" and len(node.args) == 1 or len(receivers) > 1:
            raise _unsupported(model, graph, node, "has no relevance rule in this form")
        return Step(node, R.MaxTakesAll(), receivers, everything, "max")
    if name in ROUTES:
        return Step(node, R.Route(), receivers, everything, "route")
    raise _unsupported(model, graph, node, f"cannot use {rule!r}")


def _weights(model, graph, node, rule, receivers):
    """A convolution or matrix product: with weights, or with attention in place of weights."""
    if not isinstance(rule, (R.Weighted, R.SignalTakesAll, R.Proportional)):
        raise _unsupported(model, graph, node, f"cannot use {rule!r}")
    name = opname(node)
    factors = {"addmm": (1, 2), "baddbmm": (1, 2), "addmv": (1, 2)}.get(name, (0, 1))
    operands = node.args[1] if name == "einsum" else [node.args[i] for i in factors]
    moving = [x in graph.varies for x in operands]
    if len(operands) != 2 or sum(moving) == 0 or (len(receivers) > sum(moving)):
        raise _unsupported(model, graph, node, "has a form without a relevance rule")
    if sum(moving) == 1:
        if name in CONVOLUTIONS and moving[1]:
            raise _unsupported(model, graph, node, "computes its weights from the clip")
        rule = DEFAULTS[name] if not isinstance(rule, R.Weighted) else rule
        return Step(node, rule, receivers, [0], "weights")
    signal = rule.signal if isinstance(rule, R.SignalTakesAll) else None
    return _gated(model, graph, node, signal, receivers, operands, "attention")


def _product(model, graph, node, rule, receivers):
    """A product or quotient: scaled by a constant, or signal times gate."""
    if len(receivers) == 1:
        if opname(node) == "div" and node.args[0] is not receivers[0]:
            raise _unsupported(model, graph, node, "divides by a value that depends on the clip")
        return Step(node, rule, receivers, [0], "gate")
    signal = getattr(rule, "signal", None)
    if signal is None and opname(node) == "div":
        signal = 0  # x / norm(x): the norm is a gate
    return _gated(model, graph, node, signal, receivers, receivers, "gate")


def _gated(model, graph, node, signal, receivers, factors, kind):
    """A product of two factors that depend on the clip: the signal takes all, None: the one that is no gate."""
    if signal is None:
        gates = [_is_gate(x, graph.varies) for x in factors]
        if gates[0] == gates[1]:
            raise _unsupported(model, graph, node, TWO_SIGNALS)
        signal = gates.index(False)
    return Step(node, R.SignalTakesAll(signal), receivers, [signal], kind)


def _is_gate(node, varies):
    """Whether `node` is a sigmoid or softmax, looked at through views, copies and sums and products with constants."""
    if not isinstance(node, fx.Node):
        return False
    if opname(node) in GATES:
        return True
    if opname(node) not in ROUTES | COPIES | SCALINGS | GATE_SUMS | {"getitem"}:
        return False
    inputs = sources(node, varies)
    return bool(inputs) and all(_is_gate(source, varies) for source in inputs)


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


def _checked(model, rules):
    """Raise InputError for a key that names nothing or a value that is no rule."""
    for key, rule in rules.items():
        if not isinstance(rule, R.Rule):
            raise InputError(f"rules[{key!r}] must be a rule such as ZPlus(), not {rule!r}")
        if isinstance(key, type) and issubclass(key, nn.Module):
            continue
        if not isinstance(key, str):
            raise InputError(
                f"a key of rules must be a module class, a module's path or an operation's name, not {key!r}"
            )
        if key not in DEFAULTS and key not in dict(model.named_modules()) and "." in key:
            raise InputError(f"rules names '{key}', but the network has no module of that path")
    return rules


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
    rules = ", ".join(advice[:-1]) + " and " + advice[-1] if len(advice) > 1 else advice[0]
    return InputError(f"{describe(model, node)} {why}; register one with rules={{'{key}': rule}}, where {rules}")


def role(model, step):
    """Return (module path, its type, operation, rule, role) of a Step, for people."""
    path = module_path(step.node)
    rule = R.ZBeta() if step.first and step.beta else step.rule
    place = "input layer" if step.first else "last layer" if step.last else ""
    return path, type(owner(model, step.node)).__name__, opname(step.node), repr(rule), place
