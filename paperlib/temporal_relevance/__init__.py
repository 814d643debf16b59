"""The figures and tables of "Temporal Relevance Analysis for Video Action Models": one module per group of notebooks."""

# The data set of the paper that each of ours stands for
STANDS_FOR = {"synth_ssv2": "SSV2", "synth_kinetics": "Kinetics", "synth_mit": "MiT"}


def split(checkpoint):
    """Return (data set, model name) of a checkpoint `<dataset>/<name>`."""
    dataset, _, model = checkpoint.partition("/")
    return dataset, model


def explain_all(run, **options):
    """Return {checkpoint: analysis.Explained} for the `models` of a notebook's settings."""
    from .. import analysis
    common = {key: run.settings[key] for key in ("clips", "sigma", "min_score")}
    return {checkpoint: analysis.explain(checkpoint, device=run.device, root=run.data_root, **{**common, **options})
            for checkpoint in run.settings["models"]}
