"""Operations written out as simpler ones, so that rules, ledger and windows know one form only of each.

Fused attention is taken apart into matmul, softmax and matmul.
"""

import torch

from ..errors import InputError
from ..tracing.recording import quiet
from ..tracing.slices import bound

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


SIMPLER = {"glu": _glu, "diff": _diff, "lerp": _lerp, "addcmul": _addcmul, "tensordot": _tensordot}
OTHERS = {"rot90", "im2col"}  # in the form that torch has of them
