"""The propagation rules, one class each: how a layer's relevance is shared out among its inputs.

Layers with weights (table 10.1 of Montavon et al. 2019, "Layer-wise relevance propagation: an overview"):

    R_i = sum_j  share_ij R_j,      share_ij = c_ij / sum_i' c_i'j,      c_ij the contribution of input i to j

    rule        contribution c_ij of activation a_i through weight w_ij           used here for
    ZPlus       (a_i w_ij)+                                                       convolutions, linear layers
    ZBeta       a_i w_ij - l_i w_ij+ - h_i w_ij-  (pixels lie between l and h)    the layer that sees the clip
    Epsilon     a_i w_ij, and epsilon sign(z_j) added to the denominator          on request
    Gamma       a_i (w_ij + gamma w_ij+)          (mirrored for a_i < 0)          on request
    WSquare     w_ij^2                                                            on request
    Flat        1                                                                 on request

For a >= 0, behind a ReLU, ZPlus is equation 1 of the temporal relevance paper with positive weights
(its appendix F). A contribution may be written as a sum of products of a function of the activation and a
function of the weight; `parts` returns these pairs, and convolving each pair gives the denominator z.

Biases take no relevance: they are left out of the denominator unless a rule is made with bias=True.

Everything else:

    Proportional    addends in proportion to themselves            sums, averages, residual additions
    MaxTakesAll     the largest input; ties share equally          max pooling
    SignalTakesAll  the signal; its gate takes nothing             products with a sigmoid, LSTMs, attention
                    (Arras et al. 2017 and 2019, "Explaining and interpreting LSTMs")
    HalfEach        half to each factor                            attention, gated units (composite "attnlrp")
    SoftmaxTaylor   x_i (R_i - s_i sum_j R_j)                      attention (the same)
    EqualShares     equally                                        residual additions (composite "rollout")
    FixedDeviation  x - mean, by what they add                     layer norm (the same)
    Route           the element that an output is a copy of        views, slices, concatenation
    Identity        passes relevance on unchanged                  batch norm, activations, dropout
    Exclude         drops it, and the ledger says how much         branches excluded by name
"""

import torch

from ..errors import number


class Rule:
    """What all rules share: a readable name. Rules hold settings, never data."""

    def __repr__(self):
        settings = ", ".join(f"{k}={v!r}" for k, v in vars(self).items() if not isinstance(v, torch.Tensor))
        return f"{type(self).__name__}({settings})"


class Weighted(Rule):
    """Base of the rules for layers with weights."""

    epsilon = 0.0
    bias = False

    def parts(self, a, w):
        """Return [(function of the activation, function of the weight), ...]; their products sum to c_ij."""
        raise NotImplementedError

    def spares(self, a, w):
        """Yield lists of parts for outputs without any contribution, tried in turn.

        Such outputs live on a bias (or a batch norm's shift) alone, and biases take no relevance: the inputs
        share it in proportion to the size of their weights.
        """
        yield [(torch.ones_like(a), w.abs())]

    def bias_part(self, b):
        """Return what a bias contributes to the denominator where bias=True."""
        return b


class ZPlus(Weighted):
    """Positive contributions only. An output that has none shares by its negative ones."""

    def __init__(self, bias=False):
        self.bias = bias

    def parts(self, a, w):
        if bool(a.min() >= 0):  # behind a ReLU
            return [(a, w.clamp(min=0))]
        return [(a.clamp(min=0), w.clamp(min=0)), (a.clamp(max=0), w.clamp(max=0))]

    def spares(self, a, w):
        if bool(a.min() >= 0):
            yield [(a, w.clamp(max=0))]
        else:
            yield [(a.clamp(min=0), w.clamp(max=0)), (a.clamp(max=0), w.clamp(min=0))]
        yield from super().spares(a, w)

    def bias_part(self, b):
        return b.clamp(min=0)


class ZBeta(Weighted):
    """Contributions of a pixel measured from the lowest and highest value it could have.

    a w - l w+ - h w- = (a - l) w+ + (a - h) w-, never negative while l <= a <= h.
    low and high are set by the engine: the input bounds, carried to the layer's input.
    """

    low = high = None

    def between(self, low, high):
        """Return this rule for inputs between the tensors `low` and `high`."""
        rule = ZBeta()
        rule.low, rule.high = low, high
        return rule

    def parts(self, a, w):
        return [(a - self.low, w.clamp(min=0)), (a - self.high, w.clamp(max=0))]


def _stabiliser(epsilon):
    return number("epsilon", epsilon, "of at least 0", lambda size: size >= 0)


class Epsilon(Weighted):
    """All contributions, with their signs; epsilon keeps the denominator away from zero."""

    def __init__(self, epsilon=1e-9, bias=False):
        self.epsilon, self.bias = _stabiliser(epsilon), bias

    def parts(self, a, w):
        return [(a, w)]


class Gamma(Weighted):
    """All contributions, positive ones favoured by gamma; gamma -> infinity is ZPlus.

    by_sign=True favours the contributions of the output's own sign, which negative outputs need whose relevance goes
    on (no ReLU stands behind them): favouring positive ones would take their sum through zero.
    """

    by_sign = False

    def __init__(self, gamma=0.25, epsilon=1e-9, bias=False, by_sign=False):
        self.gamma = number("gamma", gamma, "of at least 0", lambda gamma: gamma >= 0)
        self.epsilon, self.bias = _stabiliser(epsilon), bias
        if by_sign:
            self.by_sign = True

    def falling(self):
        """Return the rule for negative outputs where by_sign=True."""
        return _GammaFalling(self.gamma, self.epsilon, self.bias)

    def parts(self, a, w):
        return [(a.clamp(min=0), w + self.gamma * w.clamp(min=0)), (a.clamp(max=0), w + self.gamma * w.clamp(max=0))]

    def bias_part(self, b):
        return b + self.gamma * b.clamp(min=0)


class _GammaFalling(Gamma):
    """Gamma with negative contributions favoured."""

    def parts(self, a, w):
        return [(a.clamp(min=0), w + self.gamma * w.clamp(max=0)), (a.clamp(max=0), w + self.gamma * w.clamp(min=0))]

    def bias_part(self, b):
        return b + self.gamma * b.clamp(max=0)


class WSquare(Weighted):
    """Squared weights, whatever the activations."""

    def parts(self, a, w):
        return [(torch.ones_like(a), w.square())]


class Flat(Weighted):
    """Equal shares for all inputs of a receptive field."""

    def parts(self, a, w):
        return [(torch.ones_like(a), torch.ones_like(w))]


class Proportional(Rule):
    """Addends of a sum or average share in proportion to themselves: R_a = a / (a + b) R.

    This is the epsilon rule of appendix F, which captum (on which the paper builds) prescribes for additions and
    zennit for its sums. Where the sum goes on through a ReLU into weights, its relevance is proportional to it,
    so that an addend of the other sign takes a bounded, negative share. Addends whose sum is zero share
    equally, which leaves nothing for the paper's epsilon of 1e-9 to do.
    signed=False lets only addends of the result's sign take part, so that two large addends of opposite sign
    cannot turn a little relevance into a lot. signed=None chooses: False where a normalisation or a constant
    stands between the sum and the next weights, since its relevance then is not proportional to it.
    bias=True lets a constant addend (a positional embedding, an attention mask) take its part, which is lost; else
    the signal takes all.
    """

    bias = False

    def __init__(self, epsilon=0.0, signed=None, bias=False):
        self.epsilon, self.signed = _stabiliser(epsilon), signed
        if bias:  # reports name it only where it is asked for
            self.bias = True


class EqualShares(Rule):
    """Addends of a sum or average share equally, whatever they are."""


class MaxTakesAll(Rule):
    """The largest input of a window takes its relevance; equal ones share it equally."""


class SignalTakesAll(Rule):
    """In a product of signal and gate the signal takes all relevance; the gate counts as a constant.

    signal: which of the two factors is the signal (0 or 1); None finds the gate: 1 / sqrt(variance), a sigmoid or
    softmax, or the activation of a gated unit. signed: whether all values that attention averages share the result's
    relevance in proportion to what they add, or those of its sign only. even: whether they share by attention's
    weights alone, whatever they are.
    """

    signed = even = False

    def __init__(self, signal=None, signed=False, even=False):
        self.signal = signal
        if signed:
            self.signed = True
        if even:
            self.even = True


class HalfEach(Rule):
    """Each factor of a product of two signals takes half: R_A = sum_p A_ji V_ip R_jp / (2 O_jp), likewise V.

    Proposition 3.3 of Achtibat et al. 2024. A factor that is 1 / sqrt(variance) counts as a constant.
    """


class SoftmaxTaylor(Rule):
    """The first-order Taylor part of a softmax s of x: R_i = x_i (R_i - s_i sum_j R_j).

    Proposition 3.1 of Achtibat et al. 2024. It does not conserve, and adding one number to all x, which leaves s as it
    is, changes it: R_i moves by that number times (R_i - s_i sum_j R_j). Masked inputs (-inf) take nothing.
    """


class FixedDeviation(Rule):
    """A norm whose standard deviation counts as a constant: the epsilon rule on x - mean, with the bias taking part.

    Section 3.3.3 of Achtibat et al. 2024. A batch norm's mean is a constant in evaluation mode.
    """


class Identity(Rule):
    """Relevance passes through unchanged to the first input."""


class Exclude(Rule):
    """Relevance that arrives here goes no further."""


class Route(Rule):
    """Each output is a copy of one input element, which takes its relevance."""
