# The dependency graph: what a notebook starts from -> checkpoints -> notebooks -> gallery.
#
# `./run_all.sh` (or `paperlib run`) calls this; so can you, say on a Slurm cluster (docs/scale.md):
#     snakemake --profile profiles/slurm-cpu
# A notebook's output is its run record, not its figures: the figures are in git, and a fresh clone must still
# regenerate them. Which records are still true is decided by content (paperlib/companion/stale.py), not by file times.
import os
import sys

from paperlib.companion import prefork, schedule, runner, stale
from paperlib.storage import paths

PYTHON = sys.executable
EXECUTE = [*prefork.command("run"), "paperlib.companion.execute"]
OPTIONS = stale.Options(
    config.get("profile", "mini"), paths.data_root(config.get("data_root", "")), config.get("device", "auto")
)
WANTED = config.get("notebooks") or schedule.order(
    schedule.expected(stale.notebooks(), OPTIONS), workflow.resource_settings.cores or 1
)
PLACES = {name: place for place, name in enumerate(WANTED)}
FIGURES = stale.paths.figures(OPTIONS.profile).name
RECORDS = stale.records(OPTIONS).relative_to(stale.paths.ROOT).as_posix()

if workflow.is_main_process and workflow.output_settings.dryrun:  # which leaves even records that are no longer true
    for name in WANTED:
        if why := stale.why_stale(name, OPTIONS):  # Snakemake itself lists those without a record alone
            print(f"to be executed: {name} ({why})", file=sys.stderr)
elif workflow.is_main_process:
    if "PAPERLIB_RUNNER" not in os.environ:  # called directly: one run at a time here as well
        held = runner.lock()
        held.__enter__()
        if config.get("train", False):
            runner.remove_damaged(WANTED, OPTIONS)
    for name in WANTED:
        stale.forget_if_stale(name, OPTIONS)


def relative(files):
    """Paths inside the project relative to it, as Snakemake's rules write them; others as they are."""
    root = stale.paths.ROOT
    return [f.relative_to(root).as_posix() if f.is_relative_to(root) else str(f) for f in files]


def starts_from(wildcards):
    """The checkpoint that training starts from, needed only while the trained one is not there."""
    parent = stale.recipes().get(wildcards.key)
    return relative([stale.checkpoint(parent)]) if parent and not stale.checkpoint(wildcards.key).is_file() else []


def notebook_inputs(wildcards):
    """What a notebook needs, and the records of the notebooks that it rests on where those are executed as well."""
    below = [stale.record(name, OPTIONS) for name in stale.rests_on(wildcards.name, OPTIONS) if name in PLACES]
    return relative([*stale.needed(wildcards.name, OPTIONS, config.get("train", False)), *below])


localrules:
    all,
    gallery,


wildcard_constraints:
    name="[^/]+/[^/]+",
    key="[^/]+/[^/]+",


rule all:
    input:
        f"{FIGURES}/index.html",


rule gallery:
    input:
        [f"{RECORDS}/{name}.json" for name in WANTED],
    output:
        f"{FIGURES}/index.html",
    shell:
        "{PYTHON:q} -m paperlib.cli gallery --profile {OPTIONS.profile:q}"


rule notebook:
    input:
        notebook_inputs,
    output:
        RECORDS + "/{name}.json",
    priority: lambda wildcards: -PLACES.get(wildcards.name, 0)
    params:
        options=OPTIONS,
        threads=config.get("threads", 1),
    shell:
        "{EXECUTE:q} {wildcards.name:q} --profile {params.options.profile:q}"
        " --data-root={params.options.data_root:q} --device {params.options.device:q} --threads {params.threads}"


# Reached only with `--config train=true` (run_all.sh --train): training the whole zoo takes hours on a CPU.
rule checkpoint:
    input:
        starts_from,
    output:
        "data/checkpoints/{key}.safetensors",
    params:
        options=OPTIONS,
    shell:
        "{EXECUTE:q} --train {wildcards.key:q} --data-root={params.options.data_root:q} --device {params.options.device:q}"
