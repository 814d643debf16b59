"""Loss and accuracy of a head that answers one question, or several side by side.

Labels int64 [B] are classes of one question. Labels [B, Q] hold the class of each of Q questions, whose logits stand
side by side: `heads` {question: (first class, one past the last)} says where, as the data set gives it.
"""

import math

from torch.nn import functional as F


def loss(scores, labels, heads=None, smoothing=0.0):
    """Return the mean cross entropy of scores [B, K], over the questions too where there are several."""
    parts = [F.cross_entropy(s, y, label_smoothing=smoothing) for s, y in _questions(scores, labels, heads)]
    return sum(parts) / len(parts)


def right(scores, labels, heads=None):
    """Return which clips are answered rightly, float [B]; the share of the questions where there are several."""
    parts = [(s.argmax(1) == y).float() for s, y in _questions(scores, labels, heads)]
    return sum(parts) / len(parts)


def guessing(classes, heads=None):
    """Return the loss of guessing among `classes` classes, or the mean of it over the questions."""
    sizes = [after - first for first, after in heads.values()] if heads else [classes]
    return sum(map(math.log, sizes)) / len(sizes)


def _questions(scores, labels, heads):
    """Return [(scores [B, k], labels [B])] of every question."""
    if labels.ndim == 1:
        return [(scores, labels)]
    return [(scores[:, first:after], labels[:, q] - first) for q, (first, after) in enumerate(heads.values())]
