"""One step of recurrent layers, as the operations that torch takes whole recurrent layers apart into.

torch has such decompositions of `nn.LSTM`, `nn.GRU` and `nn.RNN` (`torch._decomp`), and none of their cells.
"""

import contextlib
from unittest import mock

import torch
from torch.nn.functional import linear
from torch.nn.modules import transformer


def lstm_cell(x, state, weights, recurrent, bias=None, recurrent_bias=None):
    """Return (h, c) after one step of `nn.LSTMCell`."""
    h, c = state
    gates = linear(h, recurrent, recurrent_bias) + linear(x, weights, bias)
    take, keep, new, give = gates.chunk(4, 1)
    c = keep.sigmoid() * c + take.sigmoid() * new.tanh()
    return give.sigmoid() * c.tanh(), c


def gru_cell(x, h, weights, recurrent, bias=None, recurrent_bias=None):
    """Return h after one step of `nn.GRUCell`."""
    x_reset, x_keep, x_new = linear(x, weights, bias).chunk(3, 1)
    h_reset, h_keep, h_new = linear(h, recurrent, recurrent_bias).chunk(3, 1)
    new = (x_new + h_new * (h_reset + x_reset).sigmoid()).tanh()
    return (h - new) * (h_keep + x_keep).sigmoid() + new


def rnn_tanh_cell(x, h, weights, recurrent, bias=None, recurrent_bias=None):
    """Return h after one step of `nn.RNNCell`."""
    return (linear(h, recurrent, recurrent_bias) + linear(x, weights, bias)).tanh()


def rnn_relu_cell(x, h, weights, recurrent, bias=None, recurrent_bias=None):
    """Return h after one step of `nn.RNNCell` with nonlinearity="relu"."""
    return (linear(h, recurrent, recurrent_bias) + linear(x, weights, bias)).relu()


def _as_told(mask, is_causal=None, size=None):
    return bool(is_causal)


@contextlib.contextmanager
def apart():
    """Let the modules `nn.LSTMCell`, `nn.GRUCell` and `nn.RNNCell` run as the functions above.

    And `nn.TransformerEncoder` and its like take a mask without looking whether it is the causal one: that asks for
    its values, which a recording does not have, and gives a hint only, since the mask is handed on as well.
    """
    with contextlib.ExitStack() as stack:
        stack.enter_context(mock.patch.object(transformer, "_detect_is_causal_mask", _as_told, create=True))
        for step in (lstm_cell, gru_cell, rnn_tanh_cell, rnn_relu_cell):
            stack.enter_context(mock.patch.object(torch._VF, step.__name__, step, create=True))
        yield
