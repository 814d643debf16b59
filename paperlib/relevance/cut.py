"""Where the relevance of a class's logit is cut into time steps, for a network without logits per step."""

from dataclasses import dataclass, replace

import torch

from ..tracing.axes import Tracked, flat, size, whole_of
from ..tracing.slices import opname
from .graph import module_path, run
from .held import Held

TOGETHER = 8  # tensors whose gradients are taken in one run; two or three blocks of a transformer


@dataclass(frozen=True)
class Places:
    """Which time step each element of a tensor belongs to.

    steps: how many there are. offsets: per axis, an int64 vector of what a place on it adds to the step, or None.
    outside: per axis, a bool vector of entries that belong to no step (class tokens), or None. own: the axis that is
    time and nothing else, None where there is none. clips: the axis on which clips stand, and how many places of it
    each of them has in a row; None where there is a single clip, or it is unknown, which is the first axis.
    """

    steps: int
    offsets: tuple
    outside: tuple
    own: int | None
    clips: tuple[int, int] | None

    def per_clip(self, values, batch):
        """Return the sum of each clip's values, [batch]."""
        axis, row = self.clips or (0, values.shape[0] // batch)
        return values.unflatten(axis, (-1, batch, row)).movedim(axis + 1, 0).flatten(1).sum(1)

    @property
    def tokens(self):
        """Whether some entries belong to no step."""
        return any(axis is not None for axis in self.outside)

    def of(self, shape, device):
        """Return the step of each element of a tensor of this shape, -1 for none; int64, to be broadcast."""
        step = torch.zeros((1,) * len(shape), dtype=torch.int64, device=device)
        for dim, (offset, outside) in enumerate(zip(self.offsets, self.outside, strict=True)):
            view = [-1 if i == dim else 1 for i in range(len(shape))]
            if offset is not None:
                step = step + offset.to(device).view(view)
            if outside is not None:
                step = torch.where(outside.to(device).view(view), -(2**40), step)
        return step.clamp(min=-1)


def places(tracked):
    """Return the Places of a tensor with a time axis, None where it has none or it is unknown which steps it holds."""
    if not isinstance(tracked, Tracked):
        return None
    atoms = [atom for axis in tracked.axes for atom in flat(axis)]
    times = [atom for atom in atoms if atom.label == "T"]
    if not times or any(atom.moved for atom in times):
        return None
    try:
        entries = whole_of([replace(atom, part=None) for atom in times])
        whole_of([atom for atom in atoms if atom.label == "B"])
    except ValueError:
        return None
    pairs = [_axis(axis) for axis in tracked.axes]
    if None in pairs:
        return None
    part, steps = times[0].part, entries
    if part and not part.covers(entries):  # some of the steps, of which each entry must be one
        if part.low != part.high or part.low < 0 or part.moved(entries - 1).high >= part.whole:
            return None
        steps, pairs = part.whole, [(None if o is None else o * part.step, x) for o, x in pairs]
        first = next(dim for dim, (offset, _) in enumerate(pairs) if offset is not None)
        pairs[first] = (pairs[first][0] + part.low, pairs[first][1])
    own = [dim for dim, axis in enumerate(tracked.axes) if [a.label for a in axis if a.size > 1] == ["T"]]
    alone = len(own) == 1 and len([a for a in times if a.size > 1]) == 1 and steps == entries
    plain = own[0] if alone and pairs[own[0]][1] is None else None
    return Places(steps, tuple(o for o, _ in pairs), tuple(x for _, x in pairs), plain, _clips(tracked.axes))


def _clips(axes):
    """Return (the axis on which clips stand, how many places of it each has in a row), None where there is none."""
    for dim, axis in enumerate(axes):
        for at, atom in enumerate(axis):
            if atom.label == "B" and atom.size > 1:
                return dim, size(axis[at + 1 :])
    return None


def _axis(axis):
    """Return (what its places add to the time step, which of its entries belong to none) of one axis."""
    tokens = [atom for atom in axis if atom.inner]
    if tokens and len(axis) > 1:
        return None
    atoms = tokens[0].inner if tokens else axis
    if not any(atom.label == "T" for atom in atoms):
        return (None, None)
    offset = torch.zeros(1, dtype=torch.int64)
    for atom in atoms:
        here = torch.arange(atom.size) * (atom.stride if atom.label == "T" else 0)
        offset = (offset[:, None] + here).flatten()
    if not tokens:
        return (offset, None)
    outside = torch.ones(size(axis), dtype=torch.bool)
    outside[tokens[0].before : tokens[0].before + len(offset)] = False
    whole = torch.zeros(size(axis), dtype=torch.int64)
    whole[~outside] = offset
    return (whole, outside)


@dataclass(frozen=True)
class Cut:
    """Where relevance is cut into rows: at these nodes, held when the steps from `position` on are done.

    places: of each node. steps: rows that are time steps, the most that a node has. where: in words.
    """

    position: int
    nodes: tuple
    places: tuple
    steps: int
    where: str

    @property
    def names(self):
        """The rows' names."""
        tokens = ["class token"] if any(p.tokens for p in self.places) else []
        return [f"step {i}" for i in range(self.steps)] + tokens


def states(graph, steps):
    """Yield (position, nodes) from the logits down: which nodes hold all relevance once the steps from there on ran."""
    held = {graph.output}
    yield len(steps), frozenset(held)
    for position in range(len(steps) - 1, -1, -1):
        step = steps[position]
        if step.node in held:
            held.remove(step.node)
            held.update(step.receivers[i] for i in step.takes)
            yield position, frozenset(held)


def at_module(graph, steps, tracked, path):
    """Return the Cut at what the module `path` returns, or a sentence that says why there is none."""
    inside = [node for node in graph.operations if f"{module_path(node)}.".startswith(f"{path}.")]
    if not inside:
        return f"no operation of the network runs in a module '{path}'"
    for position, held in states(graph, steps):
        if inside[-1] in held and len(held) == 1:
            found = places(tracked.get(inside[-1]))
            shape = list(inside[-1].meta["val"].shape)
            if found is None:
                return f"what '{path}' returns, {shape}, has no time axis"
            return Cut(position, (inside[-1],), (found,), found.steps, f"what {path} returns")
    return f"relevance also goes around '{path}' (in a shortcut, another pathway), so its rows would not be all"


def find(model, graph, steps, tracked, clips):
    """Return (the last Cut in front of the classifier at which time steps have relevance, the steps), None for none.

    The last tensor that all relevance passes, that has more than one time step, and on whose steps the logits depend
    (behind the last attention only a class token counts). Where no tensor is passed by all relevance, since several
    pathways meet in front of the classifier or behind it, the last tensor with a time axis of each; the steps then
    come in another order. clips: of the shape that the graph was recorded with, to look at one gradient.
    """
    known = {node: places(tracked.get(node)) for node in graph.varies}
    behind = set()  # nodes with weights between the clip and themselves
    for step in steps:
        if step.kind == "weights" or any(source in behind for source in step.receivers):
            behind.add(step.node)
    first = min((i for i, step in enumerate(steps) if step.last), default=0)
    timed = {step.node for step in steps if step.node in behind and known.get(step.node) and not step.head}
    for many in (True, False):  # a single time step serves where there are never more
        fit = {node for node in timed if known[node].steps > 1 or not many}
        held = [(p, *nodes) for p, nodes in states(graph, steps) if p <= first and len(nodes) == 1]
        alone = [(position, node) for position, node in held if node in fit]
        position, node = _first_that_matters(model, graph, known, alone, clips)
        if node is not None:
            return Cut(position, (node,), (known[node],), known[node].steps, _name(node)), steps
        nodes, ordered, position = _pathways(graph, steps, fit)
        if nodes:
            found = tuple(known[node] for node in nodes)
            where = " and ".join(dict.fromkeys(map(_name, nodes)))
            return Cut(position, nodes, found, max(place.steps for place in found), where), ordered
    return None


def _pathways(graph, steps, fit):
    """Return (the last nodes of `fit` on all ways from the logits to the clip, the steps, the position of the Cut).

    In the steps returned all that stand behind these nodes come last, however the pathways were run. No nodes where
    relevance also goes past them all, or comes back from below them to what stands behind them.
    """
    by_node = {step.node: step for step in steps}
    open_, nodes, above = [graph.output], set(), set()
    while open_:
        node = open_.pop()
        if node in fit:
            nodes.add(node)
        elif node not in by_node:
            return (), steps, 0
        elif node not in above:
            above.add(node)
            open_ += [by_node[node].receivers[i] for i in by_node[node].takes]
    below = [step for step in steps if step.node not in above]
    if any(step.receivers[i] in above for step in below for i in step.takes):
        return (), steps, 0
    behind = [step for step in steps if step.node in above]
    return tuple(sorted(nodes, key=lambda node: node.name)), below + behind, len(below)


def _name(node):
    """Name a node by the module that ran it."""
    path = module_path(node)
    return f"{path} ({opname(node)})" if path else opname(node)


def _first_that_matters(model, graph, known, alone, clips):
    """Return the first (position, node) whose time steps the logits depend on, (None, None) for none."""
    for first in range(0, len(alone), TOGETHER):
        part = alone[first : first + TOGETHER]
        wanted = [node for _, node in part if known[node].tokens]
        gradients = _gradients(model, graph, wanted, clips) if wanted else {}
        for position, node in part:
            if not known[node].tokens:
                return position, node
            gradient = gradients[node]
            if gradient is not None:
                step = known[node].of(gradient.shape, gradient.device)
                if bool((gradient * (step >= 0)).any()):
                    return position, node
    return None, None


def _gradients(model, graph, nodes, clips):
    """Return {node: gradient of some sum of the logits}; activations are kept from the lowest of the nodes on only."""
    first = next(node for node in graph.operations if node in nodes)
    values = run(model, graph, clips, {graph.output, *nodes}, leaf=first)
    logits = values[graph.output]
    some = (logits * torch.linspace(1, 2, logits.shape[1]).to(logits)).sum()  # no class is left out or cancels another
    found = torch.autograd.grad(some, [values[node] for node in nodes], allow_unused=True)
    return dict(zip(nodes, found, strict=True))


class Parts:
    """The relevance of the class's logit, cut into rows at a Cut of one Pass."""

    def __init__(self, sweep, cut, r, watch=None):
        """r: the relevance of the logits [1, B, K]; watch: as in `Pass.down`, called above the cut."""
        self.sweep, self.cut = sweep, cut
        held = sweep.reach(r, cut.position, watch)
        self.held = [held[node][0] if node in held else None for node in cut.nodes]
        self.count = len(cut.names)

    def values(self):
        """Return how much relevance each row starts from, [B, rows]."""
        batch = self.sweep.logits.shape[0]
        total = 0
        for part, place in zip(self.held, self.cut.places, strict=True):
            if part is not None:
                rows = [place.per_clip(part * mask, batch) for mask in self._masks(part, place, range(self.count))]
                total = total + torch.stack(rows, 1)
        return total

    def down(self, wanted, finish=None, watch=None):
        """Take the rows `wanted` down to the clip; watch is shown whole tensors."""
        wanted, held = list(wanted), {}
        for node, part, place in zip(self.cut.nodes, self.held, self.cut.places, strict=True):
            if part is None:
                continue
            windowed = watch is None and place.own is not None and place.steps == self.cut.steps
            if windowed and max(wanted) < self.cut.steps:
                r = torch.stack([part.narrow(place.own, row, 1) for row in wanted])
                held[node] = Held(r, dim=place.own, starts=wanted, shape=part.shape)
            else:
                held[node] = Held(torch.stack([part * mask for mask in self._masks(part, place, wanted)]))
        return self.sweep.below(held, self.cut.position, finish, watch)

    def _masks(self, part, place, wanted):
        """Return where each row of `wanted` has its relevance; a row behind the steps is that of class tokens."""
        step = place.of(part.shape, part.device)
        step = torch.where(step < 0, self.cut.steps, step * self.cut.steps // place.steps)
        return [step == row for row in wanted]
