"""Learning curves and the table of trainings, from headers whose numbers are counted by hand."""

from dataclasses import asdict, replace
from math import log

import numpy as np
import pytest

from paperlib.papers.beyond import training
from paperlib.papers.findings import Check
from paperlib.training import zoo
from paperlib.training.recipes import Recipe

CORE = {  # network -> training runs on each of the two harder sets
    **{f"{module}-R18-f8": 5 for module in ("TSN", "I3D", "S3D", "TAM2D", "TSM")},
    **{f"{module}-{rest}": 3 for module in ("I3D", "TAM2D") for rest in ("R50-f8", "R18-f16", "R50-f16")},
}
HARD = ("synth_kinetics_hard", "synth_ssv2_hard")
TRANSFORMERS = ("ViT", "Swin3D", "MViT")


def header(losses, accuracy, start="", seed=0, **recipe):
    """Return a header of 4 classes as training writes it; accuracy is taken in the last epoch."""
    history = [{"epoch": k + 1, "loss": loss * log(4)} for k, loss in enumerate(losses)]
    history[-1]["accuracy"] = accuracy
    about = Recipe("TSN-R18-f8", "d", epochs=len(losses), init_from=start, seed=seed, **recipe)
    known = {"dataset": "d", "config": {"num_classes": 4}, "classes": list("abcd")}
    return {**known, "history": history, "accuracy": accuracy, "recipe": asdict(about)}


@pytest.fixture
def found():
    return {
        "d/TSN-R18-f8": header([1.0, 0.5, 0.25, 0.125], 0.5),
        "d/TSN-R18-f8-s1": header([1.0, 0.02, 0.02, 0.02], 0.7, seed=1),
        "d/TSN-R18-f16": header([0.5, 0.25], 0.75, start="d/TSN-R18-f8"),
        "d/TSN-R18-f8-twice": header([1.0] * 8, 0.625),
    }


def test_curves_go_on_where_the_network_that_was_started_from_ends(found):
    lines = training.curves(found)
    later = lines[lines.model == "TSN-R18-f16"]
    assert later.before.tolist() == [4, 4] and later.epoch.tolist() == [1, 2]
    assert later.loss.tolist() == pytest.approx([0.5, 0.25]) and later.accuracy.isna().tolist() == [True, False]
    assert lines[lines.model == "TSN-R18-f8"].run.tolist() == [0] * 4 + [1] * 4


def test_the_table_counts_over_runs(found):
    row = training.table(found).set_index("model").loc["TSN-R18-f8"]
    assert (row.runs, row.epochs, row.converged) == (2, 4, 1)  # the second run's loss fell by nothing since half time
    assert row.loss == pytest.approx((0.125 + 0.02) / 2) and row.fall == pytest.approx((0.375 + 0) / 2)
    assert row.accuracy == pytest.approx(60) and row.spread == pytest.approx(20 / np.sqrt(2))
    assert row.high - row.accuracy == pytest.approx(12.7062 * 10, rel=1e-4)  # t of one degree of freedom, 20 / 2
    assert row.twice == pytest.approx(12.5)
    short = training.in_short(training.table(found)).set_index("model")
    assert short.loc["TSN-R18-f8", "accuracy, %"] == "60.0 ± 14.1" and short.loc["TSN-R18-f8", "converged"] == "1 of 2"


def test_twice_the_epochs_are_compared_with_the_run_of_the_same_seed(found):
    assert training.twice(found).change.tolist() == pytest.approx([12.5])
    assert [one.passes for one in training.checks(found)] == [True, False]
    del found["d/TSN-R18-f8-twice"]
    assert [one.what for one in training.checks(found)] == ["recipes that are compared agree"]


def test_recipes_that_differ_are_named(found):
    found["d/I3D-R18-f8"] = header([1.0] * 4, 0.5, lr=0.5)
    assert training.differing(found) == {("d", "from scratch"): {"lr": [0.1, 0.5]}}
    assert isinstance(training.checks(found)[0], Check) and not training.checks(found)[0].passes


def test_recipes_agree_for_all_that_a_claim_compares_on_the_harder_sets():
    plain = {
        key: replace(recipe, init_from="") if "-transfer" in key else recipe for key, recipe in zoo.recipes().items()
    }
    listed = {
        key: {"dataset": recipe.dataset, "recipe": asdict(recipe)}
        for key, recipe in plain.items()
        if recipe.dataset.endswith("_hard") and not recipe.name.startswith("SlowFast")
    }
    transformers = {key: one for key, one in listed.items() if key.partition("/")[2].startswith(TRANSFORMERS)}
    assert len(transformers) > 20 and training.differing(transformers) == {}
    assert training.differing({key: one for key, one in listed.items() if key not in transformers}) == {}


@pytest.mark.parametrize("dataset", HARD)
@pytest.mark.parametrize("model", CORE)
def test_runs_of_the_core_comparisons_are_there_and_learned(model, dataset):
    names = [f"{dataset}/{model}"] + [f"{dataset}/{model}-s{seed}" for seed in range(1, CORE[model])]
    listed = zoo.recipes()
    assert set(names) <= listed.keys() and f"{dataset}/{model}-s{CORE[model]}" not in listed
    headers = {name: zoo.header(name) for name in names}
    for name, one in headers.items():
        if one:
            assert one["seed"] == listed[name].seed and len(one["history"]) == listed[name].epochs
            assert training.curves({name: one}).loss.iloc[-1] < 1 / 3  # of the loss of guessing
    if missing := [name for name, one in headers.items() if not one]:
        pytest.skip(f"not trained yet: {', '.join(missing)}")


def test_headers_of_the_core_networks_doubt_at_most_that_the_loss_still_fell():
    said = set()
    for dataset in HARD:
        for model in CORE:
            if one := zoo.header(f"{dataset}/{model}"):
                said |= {doubt.partition(" lowered")[0] for doubt in training.convergence.doubts(one)}
    assert said <= {"the second half of the epochs still"}
