"""The conservation ledger: how much relevance enters and leaves every layer, and what becomes of the rest."""

import collections
import functools
from collections.abc import Mapping, Sequence

import pandas as pd
import torch
from torch import nn

from ..tracing.inputs import network
from ..tracing.probing import in_float32
from ..tracing.slices import opname
from . import matrix
from .composites import chosen
from .graph import module_path
from .starts import origin, ranges
from .table import role

LOSSES = ("bias", "dead", "excluded", "leak")


@in_float32
def ledger(
    model: nn.Module,
    clips: torch.Tensor,
    targets: torch.Tensor | Sequence[int],
    rules: Mapping | str | None = None,
    input_bounds: tuple | None = None,
    memory: str | int | None = "auto",
    method: str = "lrp",
    rows: str = "auto",
    split: str | None = None,
) -> pd.DataFrame:
    """Return where relevance is lost between the logits and the clip, a DataFrame from top to bottom.

    clips: [B, 3, N, H, W]; targets: [B] or one number for all; the other arguments as in `relevance_matrix`. method
    "lrp" or "dual" (their difference has nothing to conserve). Raises InputError as `relevance_matrix` does.
    One row per operation, all numbers summed over clips and output steps: relevance `in` (arriving from
    above) and `out` (handed on); `bias`, kept by biases of rules with bias=True and by other constants (the
    padding of a shift that shares a sum of zeros); `dead`, relevance of outputs that no input is connected
    to; `excluded`, dropped by Exclude; `leak`, what a rule gives up (or, negative, makes up) that does not
    conserve, which is the softmax's; `stabiliser`, what is left: epsilons and rounding.
    in = out + bias + dead + excluded + leak + stabiliser. attrs: `logits`, the relevance at the start, `clip`, the
    relevance that arrives at the clip, `composite`, whose rules these are, `rows`, what the rows explain, and `each`,
    {row: (relevance that it starts from, that arrives at the clip)}. With rows="split" the numbers start at the clip's
    logit.
    """
    matrix.choose("method", method, ("lrp", "dual"))
    model = network(model)
    books: dict = {}
    roles: dict = {}
    started = 0.0
    each: dict = {}
    for clip_part, target_part, width, plan in matrix.prepared(model, clips, targets, memory, rules, rows, split):
        sweep = matrix.begin(model, clip_part, plan, input_bounds, method)
        places = _places(plan.steps)
        for step in reversed(plan.steps):
            roles.setdefault(places[step.node], role(model, step)[:4])
        watch = functools.partial(_book, books, places, sweep.shares)
        starts = origin(sweep, plan, target_part, method, watch=watch)
        logits = sweep.logits if plan.cut else sweep.logits.sum(1)
        started += float(logits.gather(1, target_part[:, None]).sum(dtype=torch.float64))
        values = starts.values().sum(0, dtype=torch.float64).tolist()
        for wanted in ranges(starts.count, width):
            for row, r in zip(wanted, starts.down(wanted, watch=watch), strict=True):
                before = each.get(plan.names[row], (0.0, 0.0))
                each[plan.names[row]] = (before[0] + values[row], before[1] + _sum(r))
    lines = []
    for place, about in roles.items():
        if place in books:
            kept = books[place]
            rest = kept["in"] - kept["out"] - sum(kept[name] for name in LOSSES)
            lines.append((*about, *kept.values(), rest))
    columns = ["layer", "type", "operation", "rule", "in", "out", *LOSSES, "stabiliser"]
    frame = pd.DataFrame(lines, columns=columns)
    arrived = sum(clip for _, clip in each.values())
    composite = chosen(sweep.graph, rules).name
    frame.attrs.update(logits=started, clip=arrived, composite=composite, rows=plan.about, each=each)
    return frame


def _places(steps):
    """Return {node: (module path, operation, the how manieth of these)}, the same in every portion of the clips."""
    counts, places = collections.Counter(), {}
    for step in steps:
        kind = module_path(step.node), opname(step.node)
        places[step.node] = (*kind, counts[kind])
        counts[kind] += 1
    return places


def _book(books, places, shares, step, arriving, leaving):
    """Add up what a step of a downward sweep takes in and hands on."""
    kept = books.setdefault(places[step.node], dict.fromkeys(("in", "out", *LOSSES), 0.0))
    into, out = _sum(arriving), sum(_sum(part) for part in leaving)
    kept["in"] += into
    kept["out"] += out
    if step.kind == "exclude":
        kept["excluded"] += into
    if step.kind == "route":  # what is not a copy of an input is a copy of a constant
        kept["bias"] += into - out
    losses = getattr(shares[step.node], "losses", lambda r: {})
    for name, lost in losses(arriving).items():
        kept[name] += lost


def _sum(r):
    if isinstance(r, dict):
        return sum(_sum(part) for part in r.values())
    return float(r.sum(dtype=torch.float64))
