"""The figures and tables of "Temporal Relevance Analysis for Video Action Models": one module per group of
notebooks."""

import re

from ...explanation import plotting
from ..stand_ins import STANDS_FOR

ROLES = {  # colours and marks of what a data set stands for
    "SSV2": (plotting.VERMILION, "s"),
    "Kinetics": (plotting.BLUE, "o"),
    "MiT": (plotting.ORANGE, "^"),
}


def look_of(dataset):
    """Return (colour, mark) of a data set."""
    return ROLES.get(STANDS_FOR.get(dataset), (plotting.BLACK, "D"))


def split(checkpoint):
    """Return (data set, model name) of a checkpoint `<dataset>/<name>`."""
    dataset, _, model = checkpoint.partition("/")
    return dataset, model


def dataset_for(role, names):
    """Return the data set among `names` that stands for `SSV2`, `Kinetics` or `MiT`, or None."""
    return next((name for name in names if STANDS_FOR.get(name) == role), None)


def trained(run, wanted=None, at_least=None):
    """Return those of the notebook's `models` that have a checkpoint and whose data are there.

    Where one is missing, or, with `at_least`, fewer than that are there, the settings' `public` models, whose
    checkpoints are published, take their place. Without any of those the notebook stops as skipped. Runs from other
    seeds are taken along where they are there.
    """
    from .. import needs

    there, lacking = needs.there(wanted or run.settings["models"], run.data_root)
    if lacking and (at_least is None or len(there) < at_least):
        instead = [] if wanted else run.settings.get("public", [])
        there, _ = needs.there(instead, run.data_root)
        if not there:
            run.skip(needs.say(lacking))
        print(f"{needs.say(lacking)}. Shown instead: {', '.join(there)}")
    elif lacking:
        print(f"left out, {needs.say(lacking)}")
    return there


def frame_count(checkpoint):
    """Return how many frames a model takes, read off its name (`-f16`, `-8x8` with four times as many fast
    frames)."""
    found = re.search(r"-f(\d+)|-(\d+)x\d+", checkpoint)
    return int(found[1]) if found[1] else 4 * int(found[2])


def opened(run, checkpoint):
    """Return (model, header, validation videos) of a checkpoint, the videos counted as `analysis.explain` does."""
    from .. import analysis

    return analysis.opened(checkpoint, None, "val", run.settings.get("scored"), run.device, run.data_root)


def explain_all(run, at_least=None, models=None, **options):
    """Return {checkpoint: analysis.Explained} for the `models` of a notebook's settings; see `trained`.

    `scored` validation videos are classified (all without that setting), `clips` of those explained.

    Models of 32 frames and more explain `long_clips` clips where the settings have that: their matrices cost
    most.
    """
    from .. import analysis

    common = {key: run.settings[key] for key in ("clips", "sigma", "min_score")}
    common["limit"] = run.settings.get("scored")
    there, found = trained(run, models, at_least), {}
    for checkpoint in analysis.own_order(there):
        few = (
            {"clips": run.settings["long_clips"]}
            if frame_count(checkpoint) >= 32 and "long_clips" in run.settings
            else {}
        )
        found[checkpoint] = analysis.explain(
            checkpoint, device=run.device, root=run.data_root, seed=run.seed, **{**common, **few, **options}
        )
    return {checkpoint: found[checkpoint] for checkpoint in there}
