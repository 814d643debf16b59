"""Relevance results whose answer is known, as if a model had given them."""

import numpy as np

from paperlib.papers.analysis import Explained


def explained(matrix, avg=None, labels=None, classes=("one", "two"), temporal=None, maximum=None):
    """Wrap matrices [n, T', N] as if they had been computed from a data set with these classes."""
    n = len(matrix)
    avg = np.full(n, 3.0) if avg is None else np.asarray(avg, float)
    labels = np.arange(n) % len(classes) if labels is None else np.asarray(labels)
    return Explained(
        np.asarray(matrix, float),
        np.ones(np.shape(matrix)[:2]),
        np.ones(np.shape(matrix)[:2]),
        avg,
        avg + 1 if maximum is None else np.asarray(maximum, float),
        labels,
        np.arange(n),
        np.ones(n),
        2 * n,
        n,
        list(classes),
        None if temporal is None else np.asarray(temporal),
    )
