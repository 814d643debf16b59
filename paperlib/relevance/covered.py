"""`coverage`: the report that says which rule each operation gets, before a run."""

from collections.abc import Mapping

import pandas as pd
import torch
from torch import nn

from ..tracing.inputs import check_clips, network
from ..tracing.probing import evaluating, in_float32
from .composites import chosen
from .starts import settle
from .table import role


@in_float32
def coverage(
    model: nn.Module,
    clips: torch.Tensor,
    rules: Mapping | str | None = None,
    rows: str = "auto",
    split: str | None = None,
) -> pd.DataFrame:
    """Report which rule each operation of the network gets and where its rows come from, before anything is propagated.

    clips: [B, 3, T, H, W]; only the shape matters. rows, split: as in `relevance_matrix`. Returns a DataFrame with a
    row per operation that relevance reaches: layer (module path), type, operation, rule, role ("input layer", "last
    layer", "rows" where the logit is cut into time steps; or ""). attrs["rows"] says what the rows of the matrix
    explain, attrs["composite"] whose rules these are; under CLRP the last layer has z+ in every composite. Raises
    InputError naming the first operation without a rule and how to register one.
    """
    model = network(model)
    with evaluating(model):
        plan = settle(model, check_clips(model, clips[:1]), rules, rows, split)
    starts = plan.cut.nodes if plan.cut else ()
    lines = [list(role(model, step)) for step in plan.steps]
    for line, step in zip(lines, plan.steps, strict=True):
        if step.node in starts:
            line[-1] = ", ".join(filter(None, (line[-1], "rows")))
    frame = pd.DataFrame(lines, columns=["layer", "type", "operation", "rule", "role"])
    frame.attrs.update(rows=plan.about, composite=chosen(plan.graph, rules).name)
    return frame
