"""One forward pass that remembers what the rules need, then relevance from the logits down to the clip."""

import torch

from ..convolution.half import checked
from ..convolution.transposes import falls_back
from ..tracing.probing import evaluating
from .graph import compute, walk
from .held import Held, count, each, halves, least, plus, too_large
from .layers import Linear
from .shares import carry, prepare


class Pass:
    """The forward pass of one batch of clips and the shares of every operation in it.

    logits: frame logits [B, T', K].
    bounds: (low, high) of the clips' pixels, None where no step has z-beta.
    precision: numbers in which convolutions take relevance down, None for the network's own.
    """

    def __init__(self, model, graph, steps, clips, bounds, contrast, precision=None):
        self.graph, self.steps = graph, steps
        self.shares = {}
        self.head = {step.node for step in steps if step.head} | {graph.output}
        self.precision = precision
        self.contrast = contrast  # None, "difference" (CLRP) or "dual"
        by_node = {step.node: step for step in steps}
        # (low, high) of everything in front of the first layers, laid out as its values
        limits = {} if bounds is None else {graph.clip: bounds}
        with evaluating(model), torch.no_grad():
            for node, values in walk(model, graph, clips, {graph.output}):
                step = by_node.get(node)
                values[node] = self._run(node, step, values)
                if step is not None:
                    ends = limits.get(step.receivers[0])
                    self.shares[node] = prepare(step, values, ends, contrast if step.last else None, precision)
                    if not step.first:
                        self._carry(step, values, limits)
        self.logits = values[graph.output]

    @staticmethod
    def _run(node, step, values):
        """Return what an operation gives."""
        if step is not None and step.kind == "weights" and falls_back(values[step.receivers[0]]):
            linear = Linear(step, values)
            out = linear(linear.inputs, linear.weight)
            return out if linear.bias is None else out.add_(linear.bias)
        return compute(node, values)

    @staticmethod
    def _carry(step, values, limits):
        """Carry the input bounds through what stands in front of the first layer (views, fixed scalings)."""
        if not all(source in limits for source in step.receivers):
            return
        if step.kind not in ("route", "item", "identity", "gate", "sum", "norm"):
            return
        here = [values | {source: limits[source][end] for source in step.receivers} for end in (0, 1)]
        ends = [compute(step.node, at_end) for at_end in here]
        if isinstance(ends[0], (tuple, list)):
            limits[step.node] = tuple(ends)
        else:  # a negative scale turns them round
            limits[step.node] = (torch.minimum(*ends), torch.maximum(*ends))

    def down(self, r, rows=None, finish=None, watch=None):
        """Relevance of the frame logits [targets, B, T', K] -> of the clip [targets, B, 3, T, H, W].

        rows: the output step at which each target's relevance starts, if it is only one; late layers then
        skip the time steps that it cannot reach.
        finish(relevance of the clip) is applied to portions of the targets, and what it gives concatenated.
        watch(step, relevance arriving, [relevance handed on, ...]) is called at every step.
        """
        if rows is not None and r.shape[2] > 1:
            r = torch.stack([x.narrow(1, row, 1) for x, row in zip(r, rows, strict=True)])
            start = Held(r, dim=1, starts=list(rows), shape=self.logits.shape)
        else:
            start = Held(r)
        return self.below({self.graph.output: start}, len(self.steps), finish, watch)

    @torch.no_grad()
    def reach(self, r, position, watch=None):
        """Return {node: relevance} held when the steps from `position` on have taken down `r` [targets, B, ..]."""
        held = {self.graph.output: Held(r)}
        with checked(self.precision, self.logits.device):
            found = self._descend(len(self.steps), held, None, watch, position, least(held))
        return {node: each(Held.relevance, held) for node, held in found.items()}

    @torch.no_grad()
    def below(self, held, position, finish=None, watch=None):
        """Return `down` of the relevance {node: Held} that `reach` found at `position`."""
        with checked(self.precision, self.logits.device):
            return self._descend(position, held, finish or (lambda x: x), watch, trace=least(held))

    def _descend(self, position, held, finish, watch, stop=0, trace=0):
        """Take the relevance held at some nodes through the steps below `position`, down to the step `stop`.

        trace: relevance up to which nothing is left where users of a tensor meet (see `held.least`).
        """
        while position > stop:
            position -= 1
            step = self.steps[position]
            here = held.pop(step.node, None)
            if here is None:
                continue
            if watch is None and too_large(here, step):
                parts = halves({step.node: here, **held})
                return torch.cat([self._descend(position + 1, half, finish, watch, 0, trace) for half in parts])
            rows, shown = count(here), watch and each(_shown, here)
            parts = carry(self.shares[step.node], here, self.logits.dtype)
            if watch is not None:
                watch(step, shown, [each(_shown, part) for part in parts])
            del here
            for index, part in zip(step.takes, parts, strict=True):
                source = step.receivers[index]
                if self.contrast and step.head and not step.last and source not in self.head:
                    continue  # around the last layer R and its dual are the same
                held[source] = plus(held.get(source), part, trace)
        if stop:
            return held
        clip = held.get(self.graph.clip)
        if clip is None:
            return finish(self.logits.new_zeros(rows, *self.graph.clip.meta["val"].shape))
        return finish(clip.relevance())

    def parts(self):
        """Return the part of every frame logit's relevance that ends in each of the N frames, [B, T', K, N].

        A frame's relevance is linear in that of the logits, so that these parts are its gradient, taken anywhere.
        """
        r = torch.linspace(0, 1, self.logits.numel()).exp()  # relevance everywhere, of which none cancels
        r = r.to(self.logits).view(1, *self.logits.shape).requires_grad_()
        with torch.enable_grad():
            frames = self._descend(len(self.steps), {self.graph.output: Held(r)}, lambda x: x.sum((2, 4, 5)), None)
            frames = frames[0].sum(0) + 0 * r.sum()  # a graph even where nothing reaches the clip
        return torch.stack([torch.autograd.grad(frame, r, retain_graph=True)[0][0] for frame in frames], -1)


def _shown(held):
    """Return relevance as a tensor of its own memory: what is held may be overwritten on its way down."""
    r = held.like(held.r).relevance()
    return r.clone() if r is held.r and held.own else r
