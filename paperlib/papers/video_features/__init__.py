"""The figures and tables of "Interpreting Video Features" (ACCV 2020): one module per group of notebooks."""

from ...explanation.plotting import BLUE, ORANGE
from ..stand_ins import STANDS_FOR

COLOURS = {"I3D": ORANGE, "C-LSTM": BLUE}  # as in the paper's Figure 4


def short(checkpoint):
    """Return (the paper's name of the model, data set) of a checkpoint `<dataset>/<name>`."""
    dataset, _, name = checkpoint.partition("/")
    return ("C-LSTM" if name.startswith("C-LSTM") else "I3D"), dataset


def paper_name(dataset):
    """Return the data set of the paper that `dataset` is or stands for."""
    return STANDS_FOR.get(dataset, dataset)
