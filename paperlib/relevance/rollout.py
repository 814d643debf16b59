"""Baselines that look at attention alone: how far attention reaches in time, whatever the values it averages.

Attention rollout (Abnar and Zuidema 2020, "Quantifying attention flow in transformers") multiplies the layers'
attention matrices, averaged over heads, each half mixed with the identity for the residual connection. That is
relevance propagation by the composite "rollout": attention hands on by its weights, residual additions share equally,
and linear layers share equally among channels, which averages the heads. So it holds for windows, pooled attention and
divided attention as well, and its rows are those of `relevance_matrix`.
"""

from collections.abc import Sequence

import torch
from torch import nn
from torch.func import vjp, vmap

from ..errors import InputError
from ..tracing.inputs import network
from ..tracing.probing import evaluating, in_float32
from . import matrix
from .gates import attention_gate, factors
from .graph import run
from .starts import origin, ranges


@in_float32
def attention_rollout(
    model: nn.Module,
    clips: torch.Tensor,
    memory: str | int | None = "auto",
    rows: str = "auto",
    split: str | None = None,
) -> torch.Tensor:
    """Return attention rollout over time [B, T', N]: row i says which frames output step i attends to.

    A row sums to 1, less what stays with learned tokens and with the padding around the clip; where rows split the
    clip's logit, all rows together do. It is the same for every class. Arguments as in `relevance_matrix`. Raises
    InputError for a network without attention.
    """
    for clip_part, _, _, plan in matrix.prepared(model, clips, 0, memory, "rollout", rows, split):
        _attentions(matrix.begin(model, clip_part, plan), model)
        break
    how = dict(normalise=True, memory=memory, rows=rows, split=split)
    return matrix.relevance_matrix(model, clips, 0, "lrp", "rollout", **how)


@in_float32
def gradient_attention(
    model: nn.Module,
    clips: torch.Tensor,
    targets: torch.Tensor | Sequence[int],
    memory: str | int | None = "auto",
    rows: str = "auto",
    split: str | None = None,
) -> torch.Tensor:
    """Return rollout over time [B, T', N] with attention A weighted by its gradient: max(0, A dl/dA) in place of A.

    l: the frame logit of the target that row i explains, or the clip's logit where rows split it. As in Chefer et al.
    2021, "Generic attention-model explainability", with the residual connection as identity; weights no longer sum to
    1, so rows are not normalised. Arguments as in `relevance_matrix`. Raises InputError for a network that has none.
    """
    found = []
    for clip_part, target_part, width, plan in matrix.prepared(model, clips, targets, memory, "rollout", rows, split):
        sweep = matrix.begin(model, clip_part, plan)
        weighing = _attentions(sweep, model)
        logits, gates = _with_gradients(sweep, model, clip_part)
        logits = logits[:, None] if plan.cut else logits
        own = logits.gather(2, target_part[:, None, None].expand(-1, logits.shape[1], 1))[..., 0]  # [B, logits]
        parts = []
        for i in range(own.shape[1]):
            slopes = torch.autograd.grad(own[:, i].sum(), gates, retain_graph=True, allow_unused=True)
            for shares, gate, slope in zip(weighing, gates, slopes, strict=True):
                shares.gate = torch.zeros_like(gate) if slope is None else (gate.detach() * slope).clamp(min=0)
            starts = origin(sweep, plan, target_part, "lrp", normalise=True)
            for wanted in ranges(starts.count, width) if plan.cut else [[i]]:
                parts.append(starts.down(wanted, lambda r: r.sum((2, 4, 5))))
        found.append(torch.cat(parts).transpose(0, 1))
    return torch.cat(found)


class Weighing:
    """Attention hands relevance on by the weights `gate`, which need not sum to 1."""

    def __init__(self, call, inputs, signal):
        self.call, self.signal, self.gate = call, signal, inputs[1 - signal]
        self.like = inputs[signal]

    def down(self, r):
        """[targets, *output] -> [[targets, *values]]."""
        order = (0, 1) if self.signal == 0 else (1, 0)
        _, pull = vjp(lambda x: self.call(*((x, self.gate)[i] for i in order)), torch.zeros_like(self.like))
        return list(vmap(pull)(r))


def _attentions(sweep, model):
    """Put a Weighing in the place of the shares of every attention that relevance reaches, and return them in order."""
    found = []
    for step in sweep.steps:
        if step.kind == "attention" and attention_gate(step.node, sweep.graph.varies) is not None:
            shares = sweep.shares[step.node]
            found.append(Weighing(shares.call, shares.inputs, step.takes[0]))
            sweep.shares[step.node] = found[-1]
    if not found:
        raise InputError(f"{type(network(model)).__name__} has no attention, so there is nothing to roll out")
    return found


def _with_gradients(sweep, model, clips):
    """Return (logits, the weights of every attention in order) of a pass that gradients can follow."""
    graph = sweep.graph
    attending = [step.node for step in sweep.steps if isinstance(sweep.shares[step.node], Weighing)]
    gates = [factors(node)[attention_gate(node, graph.varies)] for node in attending]
    first = next(node for node in graph.operations if node in graph.varies)
    with evaluating(model):
        values = run(model, graph, clips, {graph.output, *gates}, leaf=first)
    return values[graph.output], [values[gate] for gate in gates]
