"""What a sweep gives at once: all classes by its gradient, or all rows of a matrix by starting them together."""

from collections.abc import Mapping, Sequence

import torch
from torch import nn

from ..errors import InputError
from ..tracing.probing import check_count, in_float32, indices
from . import matrix
from .starts import ranges, start


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


@in_float32
def clip_relevance(
    model: nn.Module,
    clips: torch.Tensor,
    targets: torch.Tensor | Sequence,
    method: str = "clrp",
    rules: Mapping | str | None = None,
    input_bounds: tuple | None = None,
    memory: str | int | None = "auto",
    contrast: int = 2,
) -> torch.Tensor:
    """Return the relevance of every input frame for the logit of the whole clip, [B, N]: one pass for a class.

    All rows of `relevance_matrix` start together, so that a class costs one pass and not T'. By method "lrp" this is
    exactly what the rows come to (their mean where they are frame logits, whose mean is the clip's logit; else their
    sum). By "clrp" R and R_dual of the whole clip are compared, max(0, R - R_dual) at every pixel (equation 2): a frame
    that speaks for the class at one step and against it at another counts for less than in the rows.

    targets: the class of each clip, [B] or one number for all; or several of each clip, [B, Q], which share their
        forward pass and give [B, Q, N].
    Other arguments as in `relevance_matrix`.

    >>> import torch
    >>> from paperlib import models, relevance
    >>> model = models.create("TSN-R18-f8", num_classes=5, width=8).eval()
    >>> relevance.clip_relevance(model, torch.rand(2, 3, 8, 32, 32), [3, 1]).shape
    torch.Size([2, 8])
    >>> relevance.clip_relevance(model, torch.rand(2, 3, 8, 32, 32), [[3, 0, 4], [1, 0, 4]]).shape
    torch.Size([2, 3, 8])
    """
    matrix.choose("method", method, ("clrp", "lrp", "dual"))
    classes = indices(targets, "cpu")
    if classes.dim() > 2 or 0 in classes.shape[1:]:
        raise InputError(f"targets must be class indices [B] or [B, Q], not of shape {tuple(classes.shape)}")
    several = classes.dim() == 2

    def per_frame(r):  # [Q, B, C, N, H, W] -> [Q, B, N]
        return (r.clamp_(min=0) if method == "clrp" else r).sum((2, 4, 5))

    found: list[torch.Tensor] = []
    done = 0
    for clip_part, _, width, plan in matrix.prepared(model, clips, 0, memory, rules):
        if not found:
            columns = _columns(classes, len(clips), plan.graph.output.meta["val"].shape[-1], clips.device)
        sweep = matrix.begin(model, clip_part, plan, input_bounds, method, contrast)
        mine = columns[:, done : done + len(clip_part)]
        done += len(clip_part)
        steps = sweep.logits if plan.cut is None else sweep.logits[:, None]  # [B, T', K]
        rows = [start(steps, column, range(steps.shape[1]), method, contrast) for column in mine]
        r = torch.stack([each.mean(0) for each in rows]).view(-1, *sweep.logits.shape)
        found.append(
            torch.cat([sweep.down(r[part.start : part.stop], None, per_frame) for part in ranges(len(r), width)])
        )
    relevance = torch.cat(found, 1).transpose(0, 1)
    return relevance if several else relevance[:, 0]


def _columns(classes, batch, count, device):
    """Return the classes [Q, B] that clips are asked about, checked; classes: a number, [B] or [B, Q]."""
    if classes.dim() == 2:
        check_count(classes[:, 0], batch)
    columns = classes.unbind(1) if classes.dim() == 2 else [classes]
    return torch.stack([matrix.check_targets(column, batch, count, device) for column in columns])
