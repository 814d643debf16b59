"""Whether a training went on long enough, told from what its checkpoint's header says."""

import math

FALL = 0.05  # of the loss of guessing, by which the second half of the epochs may still lower the training loss
GUESS = 0.9  # of the loss of guessing, above which nothing was learned yet
TOLD = 4  # epochs, below which nothing can be told


def doubts(header):
    """Return in words why a training may have been too short, [] where it converged.

    What counts is by how much the second half of the epochs lowered the training loss, which may be by FALL of the loss
    of guessing, ln K for K classes. A run of half as many epochs ends below where this one stood at half time, so that
    is more than doubling the epochs gained. The end of the curve tells nothing: the learning rate goes to 0 there, and
    every curve gets flat.

    Measured with 400 clips of 32 pixels from synth_kinetics: a second half of 0.22 and 0.25 (TSN-R18-f8 and I3D-R18-f8,
    12 epochs) was followed by 18 and 9 points of accuracy from twice the epochs, one of 0.16 and 0.18 (24 epochs) by 1
    and 5, and one of 0.12 (TSN, 48 epochs, flat over its last quarter) still by 5.
    """
    losses, guessing = [row["loss"] for row in header["history"]], math.log(len(header["classes"]))
    if len(losses) < TOLD:
        return [f"{len(losses)} epochs are too few to tell"]
    if losses[-1] > GUESS * guessing:
        return [f"a loss of {losses[-1]:.2f} is hardly better than guessing"]
    fall = (losses[len(losses) // 2 - 1] - losses[-1]) / guessing
    if fall > FALL:
        return [f"the second half of the epochs still lowered the loss by {fall:.0%} of that of guessing"]
    return []
