"""All classes for the price of one sweep: its gradient, which carries frames up instead of relevance down."""

from collections.abc import Mapping

import torch
from torch import nn

from ..tracing.probing import in_float32
from . import matrix


@in_float32
def frame_provenance(
    model: nn.Module,
    clips: torch.Tensor,
    method: str = "clrp",
    rules: Mapping | str | None = None,
    input_bounds: tuple | None = None,
    memory: str | int | None = "auto",
    contrast: int = 2,
) -> torch.Tensor:
    """Return the relevance of every input frame for every output step and every class, [B, T', K, N].

    With max(0, .) taken per frame everything between logits and frames is linear, so that the gradient of a frame's
    relevance says which part of every logit it takes. It is taken upwards: at the pixels it is which frame they belong
    to; each layer mixes its inputs' parts by its shares. So the result equals `relevance_matrix(..., clip_at="frame")`
    for every class at once, at the cost of N passes whatever the number of classes.

    Arguments as in `relevance_matrix`, with rows="logits"; method "clrp" (max(0, .) per frame), "lrp" or "dual".
    """
    matrix.choose("method", method, ("clrp", "lrp", "dual"))
    found = []
    for clip_part, _, _, plan in matrix.prepared(model, clips, 0, memory, rules, "logits"):
        sweep = matrix.begin(model, clip_part, plan, input_bounds, method, contrast)
        relevance = sweep.parts() * sweep.logits[..., None]
        if contrast == 1 and method != "lrp":
            others = relevance.sum(2, keepdim=True) - relevance
            relevance = others if method == "dual" else relevance - others
        found.append(relevance.clamp(min=0) if method == "clrp" else relevance)
    return torch.cat(found)
