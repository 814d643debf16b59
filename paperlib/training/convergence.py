"""Whether a training went on long enough, told from what its checkpoint's header says."""

import math

FALL = 0.05  # of the loss of guessing, by which the second half of the epochs may still lower the training loss
TOLD = 4  # epochs, below which nothing can be told


def doubts(header):
    """Return in words why a training may have been too short, [] where it converged.

    A run of half as many epochs would have ended no better than this one stood at half time, most likely worse than
    twice as many would end over this one: what the second half lowered the training loss by is a bound on what going
    on is worth. It may be FALL of the loss of guessing, ln K for K classes.
    """
    losses, guessing = [row["loss"] for row in header["history"]], math.log(len(header["classes"]))
    if len(losses) < TOLD:
        return [f"{len(losses)} epochs are too few to tell"]
    fall = (losses[len(losses) // 2 - 1] - losses[-1]) / guessing
    if fall > FALL:
        return [f"the second half of the epochs still lowered the loss by {fall:.0%} of that of guessing"]
    return []
