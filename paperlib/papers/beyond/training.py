"""How the networks learned, told from the headers of their checkpoints: curves, what they end at, spread over seeds."""

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd

from ...explanation import plotting
from ...storage.zoo_lists import without_seed
from ...training import checkpoints, convergence, heads, zoo_table
from ...training.recipes import Recipe
from .. import needs
from ..findings import Check
from ..statistics import mean_interval

TWICE = "-twice"  # ends the name of a network trained for twice the epochs
LENGTHS = (TWICE, "-early")  # of those trained for other numbers of epochs on purpose
SAME = ("epochs", "batch", "lr", "warmup", "momentum", "weight_decay", "optimiser", "label_smoothing", "mirror", "zoom")


def headers(run):
    """Return {checkpoint: its header} of the listed ones that are trained; prints networks of which no run is."""
    there, lacking = needs.there(run.settings["models"], run.data_root)
    if not there:
        run.skip(needs.say(lacking))
    if lacking:
        print("not trained yet:", ", ".join(lacking))
    return {key: checkpoints.meta(checkpoints.find(key)) for key in there}


def curves(found):
    """Return one row per epoch of every run: dataset, model, run, before, epoch, loss, accuracy (percent or NaN).

    before: epochs of the network that the run started from, and of what that started from, as far as they are among
    `found`; loss: of the training clips, mean over the epoch, as a share of the loss of guessing.
    """
    rows = []
    for key, header in found.items():
        model, seed = without_seed(key)
        guessing = heads.guessing(len(header["classes"]), header.get("heads"))
        about = {"dataset": header["dataset"], "model": model.partition("/")[2], "run": seed}
        for row in header["history"]:
            accuracy = 100 * row.get("accuracy", np.nan)
            more = {"before": _before(key, found), "epoch": row["epoch"], "loss": row["loss"] / guessing}
            rows.append({**about, **more, "accuracy": accuracy})
    return pd.DataFrame(rows)


def _before(key, found):
    """Return how many epochs the networks had that a run's weights come from, as far as they are among `found`."""
    start = found[key]["recipe"]["init_from"]
    return len(found[start]["history"]) + _before(start, found) if start in found else 0


def table(found):
    """Return one row per network, numbers being means over its runs.

    recipe (in words), epochs, lr, loss (at the end, as a share of that of guessing), fall (by how much of that the
    second half of the epochs lowered it), converged (in how many runs `convergence.doubts` has none), runs, accuracy
    (percent) with its 95 % interval over runs, spread (standard deviation over runs), twice (by how many points twice
    the epochs change it, NaN where that is not trained).
    """
    ends, longer = curves(found), twice(found).set_index(["dataset", "model"]).change
    rows = []
    for (dataset, model), part in ends.groupby(["dataset", "model"], sort=False):
        own = [key for key in found if without_seed(key)[0] == f"{dataset}/{model}"]
        recipe = Recipe(**found[own[0]]["recipe"])
        by_run = [run.loss.to_numpy() for _, run in part.groupby("run")]
        accuracy = [100 * found[key]["accuracy"] for key in own]
        interval = mean_interval(accuracy)
        rows.append(
            {
                "dataset": dataset,
                "model": model,
                "recipe": zoo_table.in_words(recipe),
                "epochs": recipe.epochs,
                "lr": recipe.lr,
                "loss": np.mean([losses[-1] for losses in by_run]),
                "fall": np.mean([losses[max(len(losses) // 2, 1) - 1] - losses[-1] for losses in by_run]),
                "converged": sum(not convergence.doubts(found[key]) for key in own),
                "runs": len(own),
                "accuracy": interval.value,
                "low": interval.low,
                "high": interval.high,
                "spread": np.std(accuracy, ddof=1) if len(own) > 1 else np.nan,
                "twice": longer.get((dataset, model), np.nan),
            }
        )
    return pd.DataFrame(rows)


def in_short(rows):
    """Return the table as it is shown: one column of epochs and rate, accuracy with its spread over runs."""
    shown = rows[["dataset", "model", "epochs", "lr", "loss", "fall"]].round(3)
    shown["converged"] = [f"{row.converged} of {row.runs}" for row in rows.itertuples()]
    spread = ["" if np.isnan(row.spread) else f" ± {row.spread:.1f}" for row in rows.itertuples()]
    shown["accuracy, %"] = [f"{row.accuracy:.1f}{more}" for row, more in zip(rows.itertuples(), spread, strict=True)]
    return shown


def twice(found):
    """Return what twice the epochs changed: dataset, model, the accuracies (percent) and their difference.

    The run of twice the epochs against the one of its own seed. Empty where none is trained.
    """
    rows = []
    for key, header in found.items():
        plain = key.replace(TWICE, "")
        if TWICE in key and plain in found:
            dataset, _, model = plain.partition("/")
            once, more = (100 * one["accuracy"] for one in (found[plain], header))
            rows.append({"dataset": dataset, "model": model, "once": once, "twice": more, "change": more - once})
    return pd.DataFrame(rows, columns=["dataset", "model", "once", "twice", "change"])


def differing(found):
    """Return {(dataset, kind): {field: values}} of what recipes of one kind on one data set do not agree in.

    Kinds are what a claim compares: from scratch or started from another network, each for its number of epochs. {}
    if all agree.
    """
    groups = {}
    for key, header in found.items():
        recipe = header["recipe"]
        length = next((length for length in LENGTHS if length in key), "")
        kind = ("started from another" if recipe["init_from"] else "from scratch") + length
        groups.setdefault((header["dataset"], kind), []).append(recipe)
    usual = Recipe("", "")
    differ = {}
    for group, recipes in groups.items():
        values = {field: {recipe.get(field, getattr(usual, field)) for recipe in recipes} for field in SAME}
        if several := {field: sorted(found, key=str) for field, found in values.items() if len(found) > 1}:
            differ[group] = several
    return differ


def checks(found):
    """Return the checks: recipes that are compared agree, and twice the epochs change less than a point of accuracy."""
    apart, longer = differing(found), twice(found)
    made = [Check("recipes that are compared agree", "in all", f"all but {apart}" if apart else "in all", not apart)]
    if len(longer):
        most = longer.change.abs().max()
        made.append(Check("points of accuracy that twice the epochs change at most", "below 1", most, most < 1))
    return made


def draw(lines):
    """Draw loss and accuracy over epochs, a column per data set: lines are means over runs, bands reach over all runs.

    Colours are modules, dashes deeper backbones, thick lines 16 frames; what started from a network goes on behind it.
    """
    lines = lines[~lines.model.str.contains(TWICE)]
    datasets, modules = (list(dict.fromkeys(values)) for values in (lines.dataset, lines.model.str.split("-").str[0]))
    figure, axes = plt.subplots(2, len(datasets), figsize=(5.2 * len(datasets), 6), sharex=True, squeeze=False)
    for column, dataset in zip(axes.T, datasets, strict=True):
        for model, part in lines[lines.dataset == dataset].groupby("model", sort=False):
            module, depth = model.split("-")[:2]
            look = {"color": plotting.colour_of(module, modules.index(module)), "ls": "-" if depth == "R18" else "--"}
            look["lw"] = 2.2 if model.endswith("f16") else 1.1
            for axis, quantity in zip(column, ("loss", "accuracy"), strict=True):
                over = part.dropna(subset=quantity).groupby(part.before + part.epoch)[quantity]
                mean, low, high = over.mean(), over.min(), over.max()
                axis.plot(mean.index, mean, label=model, **look)
                axis.fill_between(mean.index, low, high, color=look["color"], alpha=0.12, lw=0)
        column[0].set(title=dataset, ylim=(0, None))
        column[1].set(xlabel="epochs, those of the network it started from included", ylim=(0, 100))
    axes[0, 0].set_ylabel("training loss, share of guessing's")
    axes[1, 0].set_ylabel("accuracy, %")
    figure.legend(*axes[0, 0].get_legend_handles_labels(), loc="outside lower center", ncols=4, fontsize=8)
    return figure
