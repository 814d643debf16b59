"""Operations written out as simpler ones, so that rules, ledger and windows know one form only of each.

Fused attention is taken apart into matmul, softmax and matmul.
"""

import math

import torch
from torch import fx

from ..errors import InputError
from ..tracing.recording import quiet
from ..tracing.slices import bound, opname

aten = torch.ops.aten
VARIANTS = set(
    """
    scaled_dot_product_attention _scaled_dot_product_flash_attention _scaled_dot_product_flash_attention_for_cpu
    _scaled_dot_product_efficient_attention _scaled_dot_product_cudnn_attention _scaled_dot_product_attention_math
    _scaled_dot_product_fused_attention_overrideable
    """.split()
)
FUSED = VARIANTS | {"_native_multi_head_attention", "_transformer_encoder_layer_fwd", "flex_attention"}


def apart(program):
    """Return the ExportedProgram with its fused attention and what else has a simpler form written out.

    Raises InputError for attention that drops weights at random even in evaluation mode. Left as they are: variants of
    which more than the result is used.
    """
    table = {}
    _name_softmaxes(program.graph)
    for node in program.graph.nodes:
        name = node.target.overloadpacket.__name__ if isinstance(node.target, torch._ops.OpOverload) else ""
        if name in SIMPLER:
            table[node.target] = SIMPLER[name]
        elif name in OTHERS:
            table.update(torch._decomp.get_decompositions([node.target]))
        if name in VARIANTS and not _more_than_result(node):
            _check_dropout(node)
            table[node.target] = _written_out(node.target)
    if not table:
        return program
    for node in program.graph.nodes:
        if node.target is aten.view.default:  # recorded for tensors laid out as fused attention leaves them
            node.target = aten.reshape.default
    with quiet():
        return program.run_decompositions(table)


def _name_softmaxes(graph):
    """Put a softmax where the network writes out exp(x) / sum(exp(x)), with or without the maximum taken off first."""
    for node in graph.find_nodes(op="call_function", target=aten.div.Tensor):
        exp, total = node.args
        if not _calls(exp, "exp") or not _calls(total, "sum") or not _calls(total.args[0], "exp"):
            continue
        over, keeps = (*total.args[1:], None, None)[:2]
        if total.args[0].args != exp.args or not keeps or not over or len(over) != 1:
            continue
        scores, dim = exp.args[0], over[0]
        if _calls(scores, "sub") and _largest(scores.args[1], scores.args[0], dim):
            scores = scores.args[0]
        with graph.inserting_before(node):
            named = graph.call_function(aten.softmax.int, (scores, dim))
        named.meta = dict(node.meta)
        node.replace_all_uses_with(named)
        graph.erase_node(node)


def _calls(node, name):
    return isinstance(node, fx.Node) and opname(node) == name


def _largest(node, x, dim):
    """Whether a node is the largest value of x along an axis, kept as an axis of one."""
    if not isinstance(node, fx.Node):
        return False
    if opname(node) in ("getitem", "detach", "alias", "clone"):
        return _largest(node.args[0], x, dim)
    if opname(node) not in ("max", "amax") or node.args[0] is not x or node.args[2:] != (True,):
        return False
    over = [node.args[1]] if isinstance(node.args[1], int) else node.args[1]
    return [(axis - dim) % x.meta["val"].dim() for axis in over] == [0]


def _more_than_result(node):
    """Whether the network uses more of a variant that returns several tensors than the first."""
    if not isinstance(node.meta["val"], (tuple, list)):
        return False
    return any(user.args[1] != 0 and user.users for user in node.users)


def _check_dropout(node):
    """Raise InputError where attention weights are dropped at random although the network is in evaluation mode."""
    if bound(node)["dropout_p"]:
        modules = list((node.meta.get("nn_module_stack") or {}).values())
        raise InputError(
            f"scaled_dot_product_attention in {modules[-1][0] if modules and modules[-1][0] else 'the network'} drops "
            f"weights at random in evaluation mode too; give it dropout_p=0 there, as in dropout_p=p * self.training"
        )


def _written_out(overload):
    """Return the decomposition of one variant: it takes the variant's arguments and returns as many tensors."""
    names = [argument.name for argument in overload._schema.arguments if not argument.kwarg_only]
    returns = len(overload._schema.returns)

    def decomposed(*args, **kwargs):
        given = dict(zip(names, args, strict=False)) | kwargs
        mask = given.get("attn_mask") if "attn_mask" in given else given.get("attn_bias")
        out = attention(
            given["query"],
            given["key"],
            given["value"],
            mask,
            given.get("is_causal", False),
            given.get("scale"),
        )
        return out if returns == 1 else (out, *[out.new_empty(0)] * (returns - 1))

    return decomposed


def attention(query, key, value, mask=None, causal=False, scale=None):
    """Return softmax(scale query key^T + mask) value, [..., L, E], as torch's fused attention defines it.

    query: [..., H, L, D]; key, value: [..., H', S, D] and [..., H', S, E], of fewer heads where queries are grouped.
    mask: booleans, true where attention is allowed, or numbers to add; causal: of no later places than the query's.
    """
    if query.dim() > 3 and key.shape[-3] != query.shape[-3]:
        key, value = (x.repeat_interleave(query.shape[-3] // x.shape[-3], -3) for x in (key, value))
    scores = query @ key.transpose(-2, -1) * (query.shape[-1] ** -0.5 if scale is None else scale)
    if causal:
        mask = torch.ones(scores.shape[-2:], dtype=torch.bool, device=scores.device).tril()
    if mask is None:
        return scores.softmax(-1) @ value
    scores = scores.masked_fill(~mask, float("-inf")) if mask.dtype == torch.bool else scores + mask
    return aten._safe_softmax(scores, -1) @ value  # 0 where nothing is allowed


def _glu(x, dim=-1):
    """Return a sigmoid(b) of the halves a and b of x."""
    a, b = x.chunk(2, dim)
    return a * b.sigmoid()


def _diff(x, n=1, dim=-1, prepend=None, append=None):
    """Return the differences of neighbours along an axis, n times."""
    x = torch.cat([part for part in (prepend, x, append) if part is not None], dim)
    for _ in range(n):
        x = x.narrow(dim, 1, x.shape[dim] - 1) - x.narrow(dim, 0, x.shape[dim] - 1)
    return x


def _lerp(start, end, weight):
    """Return what lies between two tensors."""
    return start * (1 - weight) + end * weight


def _addcmul(x, one, two, value=1):
    """Return x + value one two."""
    return x + value * one * two


def _tensordot(one, two, dims, others):
    """Return the product of two tensors, summed over pairs of their axes."""
    n = len(dims)
    one, two = one.movedim(dims, list(range(-n, 0))), two.movedim(others, list(range(n)))
    shape = (*one.shape[:-n], *two.shape[n:])
    return (one.flatten(-n) @ two.reshape(one.flatten(-n).shape[-1], -1)).reshape(shape)


def _nan_to_num(x, nan=None, posinf=None, neginf=None):
    """Return x with numbers in place of NaN and infinities."""
    limits = torch.finfo(x.dtype)
    x = torch.where(x.isnan(), 0.0 if nan is None else nan, x)
    x = torch.where(x == math.inf, limits.max if posinf is None else posinf, x)
    return torch.where(x == -math.inf, limits.min if neginf is None else neginf, x)


def _inner(one, two):
    """Return the products of two tensors' last axes, summed."""
    return one @ two.mT if one.dim() > 1 and two.dim() == 2 else _tensordot(one, two, [-1], [-1])


def _take_along_dim(x, indices, dim=None):
    """Return the values at indices along an axis, of both broadcast along the others; of both flattened without."""
    if dim is None:
        return x.flatten().gather(0, indices.flatten())
    others = ([1 if axis == dim % x.dim() else n for axis, n in enumerate(one.shape)] for one in (x, indices))
    shape = list(torch.broadcast_shapes(*others))
    x, indices = (one.expand([*shape[:dim], one.shape[dim], *shape[dim:][1:]]) for one in (x, indices))
    return x.gather(dim, indices)


SIMPLER = {
    "glu": _glu,
    "diff": _diff,
    "lerp": _lerp,
    "addcmul": _addcmul,
    "tensordot": _tensordot,
    "inner": _inner,
    "nan_to_num": _nan_to_num,
    "tile": lambda x, dims: x.repeat([1] * (x.dim() - len(dims)) + list(dims)),
    "take_along_dim": _take_along_dim,
    # torch's second names
    "ravel": lambda x: x.reshape(-1),
    "swapdims": torch.transpose,
    "moveaxis": torch.movedim,
    "concat": torch.cat,
    "concatenate": torch.cat,
    "hstack": lambda parts: torch.cat(parts, 1),
    "column_stack": lambda parts: torch.cat(parts, 1),
    "vstack": lambda parts: torch.cat(parts, 0),
    "dstack": lambda parts: torch.cat([x[..., None] if x.dim() < 3 else x for x in parts], 2),
    "multiply": torch.mul,
    "subtract": torch.sub,
    "negative": torch.neg,
    "absolute": torch.abs,
    "divide": torch.div,
    "true_divide": torch.div,
    "clip": torch.clamp,
    "special_expit": torch.sigmoid,
    "special_softmax": torch.softmax,
}
OTHERS = {"rot90", "im2col"}  # in the form that torch has of them
