"""Relevance results whose answer is known, as if a model had given them."""

import numpy as np

from paperlib.papers.analysis import Explained


def explained(matrix, avg=None, labels=None, classes=("one", "two"), temporal=None, maximum=None, correct=None):
    """Wrap matrices [n, T', N] as if they had been computed from a data set with these classes.

    The clips are the first n of 2 n videos, and those are the ones that are classified right unless `correct` says
    otherwise.
    """
    n = len(matrix)
    avg = np.full(n, 3.0) if avg is None else np.asarray(avg, float)
    correct = np.arange(2 * n) < n if correct is None else np.asarray(correct, bool)
    return Explained(
        matrix=np.asarray(matrix, float),
        frame_logits=np.ones(np.shape(matrix)[:2]),
        atr=np.ones(np.shape(matrix)[:2]),
        avg=avg,
        max=avg + 1 if maximum is None else np.asarray(maximum, float),
        labels=np.arange(n) % len(classes) if labels is None else np.asarray(labels),
        videos=np.arange(n),
        scores=np.ones(n),
        considered=len(correct),
        right=int(correct.sum()),
        classes=list(classes),
        temporal=None if temporal is None else np.asarray(temporal),
        correct=correct,
    )


def flat(n, avg, frames=8, spread=0.1, **more):
    """Explained with uniform matrices whose avg-ATR is spread evenly around `avg`, each mean in an order of its own."""
    noise = np.random.default_rng(round(1000 * avg)).permutation(np.linspace(-spread, spread, n))
    return explained(np.ones((n, frames, frames)), avg + noise, **more)
