"""Where the rows of a relevance matrix start, and what they explain.

"logits": row i explains the logit of output step i; the mean of the logits over the steps is the clip's logit.
    From the network's own `frame_logits`, or from a mean over time that is moved behind the classifier (head.py).
"split": row i is the part of the clip's logit that passes through step i of one tensor (cut.py); the rows sum to the
    logit as far as the rules conserve relevance.

The two are equal up to a factor only for a network that classifies each step itself.
"""

import weakref
from dataclasses import dataclass

import torch

from ..errors import InputError
from ..tracing.following import follow
from ..tracing.inputs import class_logits
from . import head
from .cut import Cut, Parts, at_module, find
from .graph import Graph, capture, capture_forward, own, run
from .table import plan

KINDS = ("auto", "logits", "split")
MEAN_IS = 1e-5  # by how much of the largest frame logit their mean may differ from forward as recorded, in float32
ROUNDS = 0.05  # the same in half precision, and from forward as it runs, which may have an autocast of its own

_moved: weakref.WeakKeyDictionary = weakref.WeakKeyDictionary()


@dataclass
class Plan:
    """How relevance goes through a network at one shape of clips: the graph, its steps, where the rows start."""

    graph: Graph
    steps: list
    kind: str
    where: str
    cut: Cut | None = None

    @property
    def about(self):
        """What the rows explain, in a sentence."""
        if self.cut is None:
            return f"logits: each row explains the logit of an output step ({self.where})"
        return f"split: each row is the part of the clip's logit that passes through a time step of {self.where}"

    @property
    def count(self):
        """The number of rows."""
        return len(self.names)

    @property
    def names(self):
        """The rows' names: steps in order, then what is no step."""
        return self.cut.names if self.cut else [f"step {i}" for i in range(self.graph.output.meta["val"].shape[1])]


def settle(model, clips, rules=None, rows="auto", split=None):
    """Return the Plan of a network for clips of this shape; in evaluation mode, checked clips.

    rows: "logits" or "split", see above; "auto" takes "logits" where the network has them. split: path of the module
    whose output is cut, which means rows="split". Raises InputError where the rows that are asked for do not exist, and
    for an operation without a rule.
    """
    if rows not in KINDS:
        raise InputError(f"rows must be one of {', '.join(KINDS)}, not {rows!r}")
    if split is not None and rows == "logits":
        raise InputError("split= names where the logit is cut into time steps, which rows='logits' does not do")
    if split is None and rows != "split":
        found = _logits(model, clips)
        if found is not None:
            graph, where = found
            return Plan(graph, plan(model, graph, rules), "logits", where)
        if rows == "logits":
            raise InputError(
                f"{type(model).__name__} has no frame logits: it has no frame_logits(clip) -> [B, T', K], and no mean "
                "over time stands next to its classifier; use rows='split', or give it frame_logits"
            )
    graph = capture_forward(model, clips)
    steps = plan(model, graph, rules)
    found, steps = _cut(model, graph, steps, clips, split)
    return Plan(graph, steps, "split", found.where, found)


def _logits(model, clips):
    """Return (the Graph of frame logits, where they come from), None where there are none."""
    if callable(getattr(model, "frame_logits", None)):
        return capture(model, clips), "the network's frame_logits"
    graph = capture_forward(model, clips)
    known, place = _moved.setdefault(model, {}), (tuple(clips.shape), clips.dtype, clips.device)
    moved_of, found = known.get(place, (None, None))
    if moved_of is not graph:
        found = _behind(model, graph, clips)
        known[place] = (graph, found)
    return found


def _behind(model, graph, clips):
    """Return (the Graph of frame logits by a mean moved behind the classifier, words for it), None if there is none."""
    tracked = _followed(model, graph)
    found = head.find(graph, tracked)
    moved = found and head.moved(graph, found, tracked, len(clips))
    if moved is None:
        return None
    with torch.no_grad():
        rows = run(model, moved, clips, {moved.output})[moved.output].float()
        recorded = run(model, graph, clips, {graph.output})[graph.output].float()
        apart, ran = ((rows.mean(1) - logits).abs().max() for logits in (recorded, class_logits(model, clips)))
    loose = MEAN_IS if clips.dtype in (torch.float32, torch.float64) else ROUNDS
    same = apart <= loose * rows.abs().max() and ran <= ROUNDS * rows.abs().max()
    return (moved, found.where) if bool(same) else None


def _followed(model, graph):
    """Return {node: what is known of its axes} of a graph."""
    values = {node: own(model, graph, node) for node in (*graph.states, *graph.constants)}
    return follow(graph.operations, graph.clip, values)


def _cut(model, graph, steps, clips, path):
    """Return (the Cut of a graph at the module `path`, or where it is found; the steps, in an order that it fits)."""
    name, tracked = type(model).__name__, _followed(model, graph)
    if path is None:
        found = find(model, graph, steps, tracked, clips)
        if found is None:
            raise InputError(
                f"{name} has no tensor between its first layer and its classifier in which a time axis was found and "
                "through which all relevance passes; name a layer with split=, or give the network frame_logits"
            )
        return found
    if path not in dict(model.named_modules()):
        raise InputError(f"split names '{path}', but {name} has no module of that path")
    found = at_module(graph, steps, tracked, path)
    if isinstance(found, str):
        raise InputError(f"relevance of {name} cannot be split at '{path}', since {found}; name another layer")
    return found, steps


def start(logits, targets, wanted, method, contrast=2, normalise=False):
    """Return the relevance from which rows `wanted` start, [rows, B, T', K]: one frame logit each."""
    batch, steps, classes = logits.shape
    wanted = torch.as_tensor(list(wanted), device=logits.device)
    rows = torch.arange(len(wanted), device=logits.device)[:, None]
    clips = torch.arange(batch, device=logits.device)[None, :]
    own = logits.new_zeros(len(wanted), batch, steps, classes)
    value = logits[clips, wanted[:, None], targets[None, :]]  # l_k of frame i, [rows, B]
    own[rows, clips, wanted[:, None], targets[None, :]] = torch.ones_like(value) if normalise else value
    if contrast == 2 or method == "lrp":
        return own
    others = logits.new_zeros(own.shape)
    others[rows, clips, wanted[:, None]] = logits[clips, wanted[:, None]]
    others[rows, clips, wanted[:, None], targets[None, :]] = 0
    if normalise:
        others = others / others.sum((2, 3), keepdim=True)
    return others if method == "dual" else own - others


class Frames:
    """Rows that start at frame logits."""

    def __init__(self, sweep, targets, **how):
        self.sweep, self.targets, self.how = sweep, targets, how
        self.count = sweep.logits.shape[1]

    def values(self):
        """Return the targets' frame logits [B, T']."""
        where = self.targets.view(-1, 1, 1).expand(-1, self.count, 1)
        return self.sweep.logits.gather(2, where)[..., 0]

    def down(self, wanted, finish=None, watch=None):
        """Take the rows `wanted` down to the clip, [rows, B, 3, N, H, W] or what `finish` makes of it.

        watch: as in `Pass.down`; it is shown whole tensors.
        """
        r = start(self.sweep.logits, self.targets, wanted, **self.how)
        return self.sweep.down(r, None if watch else wanted, finish, watch)


def origin(sweep, plan, targets, method, contrast=2, normalise=False, watch=None):
    """Return where the rows of a forward pass start: an object with count, values() and down(wanted).

    watch: called on the way from the logits to where they are cut, as in `Pass.down`.
    """
    how = dict(method=method, contrast=contrast, normalise=normalise)
    if plan.cut is None:
        return Frames(sweep, targets, **how)
    r = start(sweep.logits[:, None], targets, [0], **how)[:, :, 0]  # [1, B, K]
    return Parts(sweep, plan.cut, r, watch)


def ranges(count, width):
    """Yield the rows 0 to count - 1 in ranges of at most `width`."""
    for first in range(0, count, width):
        yield range(first, min(first + width, count))
