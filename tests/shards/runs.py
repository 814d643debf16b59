"""Runs over a data set with a tiny untrained network, for the tests of shards."""

import json
import os
import subprocess
import sys

import torch

from paperlib import data, models
from paperlib.shards import compute, shard_files
from paperlib.training import checkpoints


def checkpoint(folder, name="TSN-R18-f4", dataset="synth_ssv2", classes=None, seed=0, **options):
    """Write a checkpoint of width 4 for 32-pixel frames; returns its file."""
    classes = classes or data.load(dataset, "val", size=32).classes
    torch.manual_seed(seed)
    model = models.create(name, num_classes=len(classes), width=4, **options).eval()
    file = folder / f"{name}.safetensors"
    checkpoints.save(file, model, {"dataset": dataset, "classes": classes, "recipe": {"size": 32}})
    return file


def planned(folder, file, kind="relevance", out="table.parquet", dataset="synth_ssv2", **options):
    """Return the settings of a run over a few clips on the CPU."""
    return compute.plan(
        kind,
        dataset,
        str(file),
        folder / out,
        **{"limit": 10, "batch": 4, "target": "predicted", "device": "cpu", **options},
    )


def finish(settings, numbers=None):
    """Compute shards in this process (all unless told which), and gather if that completes the run."""
    for k in range(settings["shards"]) if numbers is None else numbers:
        compute.compute(settings, k, shard(settings, k))
    if numbers is None:
        shard_files.gather(settings, settings["out"], [shard(settings, k) for k in range(settings["shards"])])
    return settings


def shard(settings, k):
    """Return the path of shard k."""
    return shard_files.folder(settings["out"]) / shard_files.name(k, settings["shards"])


def command(*arguments, **environment):
    """Run `paperlib dataset` in a process of its own."""
    return subprocess.run(
        [sys.executable, "-m", "paperlib.cli", "dataset", *map(str, arguments)],
        capture_output=True,
        text=True,
        timeout=1500,
        env={**os.environ, "OMP_NUM_THREADS": "1", **environment},
    )


def settings_of(out):
    """Return what `paperlib dataset` wrote for the Snakefile."""
    return json.loads((shard_files.folder(out) / "settings.json").read_text(encoding="utf-8"))
