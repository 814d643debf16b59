"""`rows_of`: what the rows of a network's relevance matrix are, in words and numbers."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import nn

from ..tracing.inputs import class_logits, network
from ..tracing.probing import evaluating, in_float32
from .graph import run
from .matrix import begin, prepared
from .starts import origin


@dataclass(frozen=True)
class Rows:
    """What the rows of a matrix of one network are.

    kind: "logits" or "split". where: where they come from, in words. names: a name per row; rows behind the first
    `steps` are no time steps (a class token's own way past them). values: what each row starts from, float [B, rows]:
    the frame logits of the targets, or the parts of the clip's logit.
    """

    kind: str
    where: str
    steps: int
    names: tuple
    values: torch.Tensor


@in_float32
def rows_of(
    model: nn.Module,
    clips: torch.Tensor,
    targets: torch.Tensor | Sequence[int] | int | None = None,
    rows: str = "auto",
    split: str | None = None,
    rules: Mapping | str | None = None,
    input_bounds: tuple | None = None,
) -> Rows:
    """Return what the rows of `relevance_matrix` with the same arguments explain: `Rows`.

    clips: [B, 3, N, H, W]; targets: the class of each clip, None for the predicted ones.
    For `atr`, the matrix's rows and the values that belong to time steps: A[:, :found.steps], found.values[:,
    :found.steps].
    """
    model, values = network(model), []
    asked = 0 if targets is None else targets
    for clip_part, target_part, _, plan in prepared(model, clips, asked, "auto", rules, rows, split):
        if targets is None:
            with evaluating(model), torch.no_grad():
                target_part = class_logits(model, clip_part).argmax(1)
        if plan.cut is None:  # then running the network is enough
            output = plan.graph.output
            logits = run(model, plan.graph, clip_part, {output})[output]
            values.append(logits[torch.arange(len(logits)), :, target_part])
            continue
        sweep = begin(model, clip_part, plan, input_bounds)
        values.append(origin(sweep, plan, target_part, "lrp").values())
    steps = plan.cut.steps if plan.cut else plan.count
    return Rows(plan.kind, plan.where, steps, tuple(plan.names), torch.cat(values))
