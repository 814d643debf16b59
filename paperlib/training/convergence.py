"""Whether a training went on long enough, told from what its checkpoint's header says."""

from . import heads

# Shares of the loss of guessing, ln K for K classes (several questions: their mean):
FALL = 0.03  # by which the second half of the epochs may still lower the training loss
FITTED = 0.01  # a loss below which the training videos have nothing left to teach
GUESS = 0.9  # a loss above which nothing was learned yet
TOLD = 4  # epochs, below which nothing can be told


def doubts(header):
    """Return in words why a training may have been too short, [] where it converged.

    What counts is by how much the second half of the epochs lowered the training loss, as a share of the loss of
    guessing. A run of half as many epochs ends below where this one stood at half time, so that is more than doubling
    the epochs gained. The end of the curve tells nothing: the learning rate goes to 0 there, and every curve gets flat.

    Measured on 400 clips of 32 pixels from synth_kinetics, second half -> points of accuracy from twice the epochs: of
    TSN-R18-f8 with 12, 24, 48, 96 epochs 0.22 -> 18.3, 0.16 -> 1.1, 0.12 -> 5.3, 0.05 -> 3.0, of I3D-R18-f8 with 12
    and 24 epochs 0.25 -> 9.0, 0.18 -> 5.4. With 192 epochs TSN ends with 0.004 of the loss of guessing.
    """
    losses = [row["loss"] for row in header.get("history", [])]
    guessing = heads.guessing(header["config"]["num_classes"], header.get("heads"))
    if not losses:
        return ["its header does not say how the loss fell"]
    if len(losses) < TOLD:
        return [f"{len(losses)} epochs are too few to tell"]
    if losses[-1] > GUESS * guessing:
        return [f"a loss of {losses[-1]:.2f} is hardly better than guessing"]
    fall = (losses[len(losses) // 2 - 1] - losses[-1]) / guessing
    if fall > FALL and losses[-1] > FITTED * guessing:
        return [f"the second half of the epochs still lowered the loss by {fall:.0%} of that of guessing"]
    return []
