"""The one equation of all rules that share by contributions, for layers with weights and for sums.

    R_i = sum over parts of  f(a_i) sum_j g(w_ij) R_j / z_j,        z_j = sum_i f(a_i) g(w_ij), summed over parts

With the quotient c_j = R_j / b_j by the value b_j that the output has behind its ReLU, and one part with f(a) = a:

    c_i = R_i / a_i = sum_j w_ij q_j c_j,        q_j = b_j / z_j

which costs a target one product and one transposed layer: q is made once per clip. Outputs without contributions are
served by spare parts, tried in turn; where these hand relevance to inputs of zero, it is held as such (Held.filled).
"""

import itertools
from dataclasses import dataclass

import torch

from ..errors import InputError
from ..tracing.slices import opname
from . import rules as R
from .graph import module_path
from .held import Held, living, reference
from .layers import Linear

SELDOM = 16  # outputs to one of them: looking those up is faster than going through all


def nonzero(x):
    """Whether a tensor has any entry that is not zero."""
    return bool(torch.count_nonzero(x))  # a quarter of the time of (x != 0).any()


class Some:
    """Some outputs of a layer, a mask [*shape], for looking up whether relevance arrives there."""

    def __init__(self, mask):
        self.mask = mask
        seldom = SELDOM * int(torch.count_nonzero(mask)) < mask.numel()
        self.places = mask.flatten().nonzero()[:, 0] if seldom else None

    def reached(self, held):
        """Whether any relevance arrives at these outputs; rows are looked at in turn, since one is often enough."""
        if self.places is not None and held.dim is None:
            return any(nonzero(r.flatten()[self.places]) for r in held.r)
        mask = self.mask.to(held.r.dtype)
        return any(nonzero(r * held.within(mask, row)) for row, r in enumerate(held.r))


@dataclass
class Group:
    """Parts that serve some outputs: pairs ([f(activation), ..], g(weight)), and `q` = b / z there, 0 elsewhere.

    channels: the output channels that g and `q` are of, None for all. missing: outputs that find no contribution in
    these parts or earlier ones, None if there are none that can have relevance. quotients: whether f is the identity.
    zeros: whether the parts hand relevance only to inputs of zero.
    """

    parts: list
    q: torch.Tensor
    channels: torch.Tensor | None
    missing: Some | None
    quotients: bool
    zeros: bool


class Shared:
    """Shares of a layer or sum by one rule.

    layer: function(activations, weight) with `inputs`, `stacks` and `pulling`, see `layers.Linear`.
    parts: [([f(activation), ..], g(weight)), ..]; spares: function that returns or yields more such lists, tried in
    turn where outputs have no contribution. precision: in which numbers relevance goes down, None for the network's, in
    which denominators are made.
    """

    def __init__(self, layer, parts, spares=tuple, bias=None, epsilon=0.0, precision=None):
        self.layer, self.parts, self.spares = layer, parts, spares
        self.bias, self.epsilon, self.precision = bias, epsilon, precision
        self.made = []  # (value of arriving quotients, whether they are filled, [Group], parts not needed yet)

    def groups(self, of=None, filled=False):
        """Yield the Groups for relevance (None) or for quotients by the value `of`, each made when first asked for."""
        known = [entry[2:] for entry in self.made if entry[0] is of and entry[1] == filled]
        if not known:
            known = [([], itertools.chain([self.parts], self.spares()))]
            self.made.append((of, filled, *known[0]))
        ((groups, tiers),) = known
        for number in itertools.count():
            if number == len(groups):
                tier = next(tiers, None)
                if tier is None:
                    return
                missing = groups[-1].missing.mask if groups else None
                groups.append(self._serving(tier, missing, None if of is None else reference(of, filled)))
            yield groups[number]
            if groups[number].missing is None:
                return

    def _serving(self, tier, missing, b):
        """Return the Group of a tier of parts for the outputs that are missing a contribution, None: for all."""
        if len(tier) > 1:
            some = [(acts, w) for acts, w in tier if any(nonzero(a) for a in acts) and (w is None or nonzero(w))]
            tier = some or tier[:1]
        bias, channels, before = self.bias, self._channels(missing), missing
        if channels is not None:
            tier, bias = [(acts, w[channels]) for acts, w in tier], None if bias is None else bias[channels]
            missing, b = missing[:, channels], None if b is None else b[:, channels]
        q, missing = self._inverse(tier, missing, b, bias)
        tier, quotients, zeros = self._handing(tier, q, missing is None)
        if self.precision:
            q = q.to(self.precision)
            acts = [acts if quotients else [a.to(q.dtype) for a in acts] for acts, _ in tier]
            tier = [(some, None if w is None else w.to(q.dtype)) for some, (_, w) in zip(acts, tier, strict=True)]
        if missing is not None:
            if channels is not None:
                missing = torch.zeros_like(before).index_copy_(1, channels, missing)
            missing = Some(missing) if nonzero(missing) else None
        return Group(tier, q, channels, missing, quotients, zeros)

    def _channels(self, missing):
        """Return the output channels in which outputs are missing a contribution, None for all."""
        if missing is None or not self.layer.stacks:
            return None
        found = missing.transpose(0, 1).flatten(1).any(1)
        return None if bool(found.all()) else found.nonzero()[:, 0]

    def _inverse(self, tier, missing, b, bias):
        """Return (q, outputs that still are missing a contribution and may have relevance, None for none)."""
        if len(tier) > 1 and self.layer.stacks:
            tier = [([torch.cat([a for (a,), _ in tier], 1)], torch.cat([w for _, w in tier], 1))]
        z = sum(self.layer(acts, w) for acts, w in tier)
        z = z if bias is None else z + bias
        if self.epsilon:
            z = torch.where(z < 0, z - self.epsilon, z + self.epsilon)
        least, low = torch.finfo(z.dtype).tiny * 1e6, float(z.min()) if z.numel() else 0.0
        q = z.reciprocal() if b is None else b / z
        if missing is None and low > least:  # all outputs, as often as not
            return q, None
        none = (z if low >= 0 else z.abs()) <= least
        if missing is None:
            return q.masked_fill_(none, 0), none if b is None else none & (b != 0)
        return q.masked_fill_(none | ~missing, 0), none & missing

    def _handing(self, tier, q, everywhere):
        """Return (parts, whether they hand on quotients, whether they hand relevance only to inputs of zero)."""
        inputs = self.layer.inputs
        if all(a is x for acts, _ in tier for a, x in zip(acts, inputs, strict=True)):
            return tier, True, False
        if everywhere:
            return tier, False, False
        alive = [living(x) for x in inputs]
        reach = sum(
            self.layer([a * x for a, x in zip(acts, alive, strict=True)], None if w is None else w.abs())
            for acts, w in tier
        )
        if nonzero(reach * q):
            return tier, False, False
        return [([a * (1 - x) for a, x in zip(acts, alive, strict=True)], w) for acts, w in tier], False, True

    def _reached(self, held):
        """Return the Groups that are needed for what arrives."""
        found = []
        for group in self.groups(held.of, held.filled):
            found.append(group)
            if group.missing is None or not group.missing.reached(held):
                break
        return found

    def carry(self, held):
        """Take Held relevance of the output to the inputs, a Held each."""
        held, pull, places = self.layer.pulling(held)
        groups = self._reached(held)
        found = [[None, None] for _ in places]  # of every input: quotient, relevance
        zeros = all(group.zeros for group in groups if not group.quotients)
        for group in groups:
            served = held if group.channels is None else held.among(group.channels)
            s = served.times(group.q, keep=len(groups) > 1)
            for acts, terms in self._pulled(pull, s, group.parts):
                own = len(terms) == 1 and 0 not in terms[0].stride()  # addends of a sum get the same, averages views
                for kept, a, term, place in zip(found, acts, terms, places, strict=True):
                    term = Held(term, own=own, **place)
                    if not group.quotients:
                        term = term.like(term.times(a), True)
                    kind = 0 if group.quotients else 1
                    kept[kind] = term if kept[kind] is None else kept[kind].plus(term)
        return [self._joined(c, r, a, zeros) for (c, r), a in zip(found, self.layer.inputs, strict=True)]

    @staticmethod
    def _joined(c, r, a, zeros):
        """Return the sum of quotients by the input's value `a` and of relevance; zeros: that only reaches a = 0."""
        if c is None:
            return r
        c = c.like(c.r, c.own, of=a)
        if r is None:
            return c
        if not zeros:
            return c.plus(r)
        c = c.like(c.times(living(a).to(c.r.dtype)), True, filled=True)
        return c.plus(r.like(r.r, r.own, of=a, filled=True))

    def _pulled(self, pull, s, parts):
        """Yield every part's functions of the activations and transposed sums; parts of a convolution go together."""
        if len(parts) == 1 or not self.layer.stacks:
            yield from ((acts, pull(s, w)) for acts, w in parts)
            return
        (together,) = pull(s, torch.cat([w for _, w in parts], 1))
        for (acts, _), term in zip(parts, together.chunk(len(parts), 2), strict=True):
            yield acts, [term]

    def losses(self, r):
        """Return what of the output's relevance `r` no input takes: {"bias": .., "dead": ..}."""
        *_, last = groups = list(self.groups())
        lost = {"dead": r.new_zeros(1) if last.missing is None else r * last.missing.mask}
        if self.bias is not None:
            lost["bias"] = r * self.bias * groups[0].q
        return {name: float(x.sum(dtype=torch.float64)) for name, x in lost.items()}


class BySign:
    """Shares by one rule where the layer's output is positive, by its mirror image where it is negative."""

    def __init__(self, linear, rule, precision=None):
        b = linear.bias
        z = linear(linear.inputs, linear.weight)
        self.positive = (z if b is None or not rule.bias else z + b) >= 0
        self.each = []
        for way in (rule, rule.falling()):
            bias = None if b is None or not rule.bias else way.bias_part(b)
            self.each.append(by_rule(linear, way, linear.weight, bias, precision))

    def _split(self, r):
        return r * self.positive, r * ~self.positive

    def down(self, r):
        """[targets, *output] -> [[targets, *input]]."""
        parts = [shared.carry(Held(x, own=True)) for shared, x in zip(self.each, self._split(r), strict=True)]
        return [sum(part[0].relevance() for part in parts)]

    def losses(self, r):
        """Return what of the output's relevance `r` no input takes: {"bias": .., "dead": ..}."""
        lost = [shared.losses(x) for shared, x in zip(self.each, self._split(r), strict=True)]
        return {name: sum(each[name] for each in lost) for name in lost[0]}


class Contrast:
    """CLRP at the last layer (equation 2): shares by its weights minus shares by its negated weights."""

    def __init__(self, target, others):
        self.target, self.others = target, others

    def carry(self, held):
        """Take Held relevance of the logits to what the last layer sees."""
        held = held.like(held.r)  # taken down twice
        (target,), (others,) = self.target.carry(held), self.others.carry(held)
        return [target.plus(others.like(others.r.neg(), True))]


def by_rule(linear, rule, w, bias=None, precision=None, spares=True):
    """Return the Shared of a layer by a rule, for weights `w`."""
    a = linear.inputs[0]

    def listed(parts):
        return [([f], g) for f, g in parts]

    return Shared(
        linear,
        listed(rule.parts(a, w)),
        (lambda: map(listed, rule.spares(a, w))) if spares else tuple,
        bias,
        rule.epsilon,
        precision if linear.folds else None,
    )


def _alike(target, others, shape):
    """Whether two Shareds hand on the same relevance, and any, of outputs of this shape that all have another one."""
    a = target.layer.inputs[0]
    r = torch.linspace(1, 2, shape.numel(), dtype=a.dtype, device=a.device).view(1, *shape)
    one, other = (shares.carry(Held(r))[0].relevance() for shares in (target, others))
    return nonzero(one) and torch.allclose(one, other, rtol=0, atol=1e-6 * float(one.abs().max()))


def weighted(step, values, bounds, contrast, precision=None):
    """Return the shares of a convolution or linear layer; bounds, contrast: as in `shares.prepare`."""
    rule, linear = step.rule, Linear(step, values)
    w = linear.weight
    if contrast and not step.given:
        rule = R.ZPlus()  # the epsilon rule's shares are the same for negated weights
    if step.bounded:
        rule = R.ZBeta().between(*bounds)
    bias = rule.bias_part(linear.bias) if rule.bias and linear.bias is not None else None
    if contrast:
        # no spare: a class without positive evidence has none, whichever sign its weights carry
        both = [by_rule(linear, rule, sign * w, bias, spares=False) for sign in (1, -1)]
        if step.given and _alike(*both, step.node.meta["val"].shape):
            raise InputError(
                f"the rule {rule!r} of the last layer, '{module_path(step.node) or opname(step.node)}', shares alike "
                "for its weights and for negated ones, so that CLRP would be zero everywhere; leave the last layer out "
                "of rules, which gives it ZPlus(), or use method='lrp'"
            )
        return both[1] if contrast == "dual" else Contrast(*both)
    if getattr(rule, "by_sign", False):
        return BySign(linear, rule, precision)
    return by_rule(linear, rule, w, bias, precision)
