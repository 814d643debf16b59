"""What a data set contains and tests: facts, contact sheets, animations, accuracy without its motion."""

import base64
import html
import time

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import torch
from PIL import Image

from .. import data
from ..data import sampling
from ..explanation import plotting
from ..storage import paths
from ..storage.zoo_lists import without_seed
from ..tracing.probing import at_once
from ..training import checkpoints, evaluation
from . import needs, statistics

TREATMENTS = ("as filmed", "reversed", "shuffled", "one frame")


def facts(names):
    """Return one row per data set: classes, videos, lengths in frames and seconds."""
    rows = []
    for name in names:
        train, val = data.load(name, "train"), data.load(name, "val")
        lengths = np.array([val.num_frames(i) for i in range(len(val))])
        rows.append(
            {
                "dataset": name,
                "classes": len(val.classes),
                "temporal classes": "" if val.temporal is None else int(val.temporal.sum()),
                "train videos": len(train),
                "val videos": len(val),
                "frames per second": val.fps,
                "frames, shortest": lengths.min(),
                "frames, mean": round(float(lengths.mean()), 1),
                "frames, longest": lengths.max(),
                "seconds, mean": round(float(lengths.mean()) / val.fps, 2),
            }
        )
    return pd.DataFrame(rows)


def rendering_speed(names, clips=48, frames=8, size=64):
    """Return how many clips per second of processor time one core renders, one row per data set."""
    rows = []
    for name in names:
        dataset = data.load(name, "train", size, limit=clips)
        dataset.frames(0, [0])
        begun = time.process_time()
        for i in range(clips):
            dataset.frames(i, sampling.uniform(dataset.num_frames(i), frames))
        rows.append(
            {
                "dataset": name,
                "clip": f"{frames} x {size} x {size}",
                "clips per second and core": round(clips / (time.process_time() - begun)),
            }
        )
    return pd.DataFrame(rows)


def contact_sheet(dataset, frames=5, across=2):
    """Draw a video of every class, `across` beside each other: `frames` frames with gaps between, evenly spread."""
    rows = -(-len(dataset.classes) // across)
    figure, axes = plt.subplots(rows, across, figsize=(5.2 * across, 1.25 * rows), squeeze=False)
    edge = max(1, dataset.size // 64)
    gap = ((0, 0), (edge, edge), (edge, edge), (0, 0))
    for axis in axes.flat:
        axis.axis("off")
    for label, (axis, text) in enumerate(zip(axes.flat, dataset.classes, strict=False)):
        i = int(np.flatnonzero(dataset.labels == label)[0])
        shown = dataset.frames(i, sampling.uniform(dataset.num_frames(i), frames))
        axis.imshow(np.concatenate(np.pad(shown, gap, constant_values=255), axis=1))
        axis.set_title(text, loc="left", fontsize=8, pad=2)
    return figure


def animate(dataset, frames=10, colours=48):
    """Write one small GIF per class to `figures/explore/datasets/<dataset>/`; returns {class: path}."""
    written = {}
    for label, text in enumerate(dataset.classes):
        i = int(np.flatnonzero(dataset.labels == label)[0])
        shown = dataset.frames(i, sampling.uniform(dataset.num_frames(i), frames))
        plain = Image.Dither.NONE  # dithering would double the size
        palette = Image.fromarray(np.concatenate(shown)).quantize(colours, dither=plain)
        first, *others = (Image.fromarray(f).quantize(palette=palette, dither=plain) for f in shown)
        slug = "".join(c if c.isalnum() else "_" for c in text.lower())
        written[text] = paths.FIGURES / "explore" / "datasets" / dataset.name / f"{slug}.gif"
        with paths.atomic(written[text]) as temporary:
            first.save(temporary, format="GIF", save_all=True, append_images=others, duration=140, loop=0)
    return written


def wall(animations, size=96):
    """Return HTML that shows the animations side by side with their classes, the pictures included."""
    cells = []
    for text, file in animations.items():
        picture = base64.b64encode(file.read_bytes()).decode()
        style = f"display:inline-block;width:{size + 24}px;margin:4px;vertical-align:top"
        cells.append(
            f'<figure style="{style}">'
            f'<img width="{size}" height="{size}" alt="{html.escape(text)}" '
            f'src="data:image/gif;base64,{picture}">'
            f'<figcaption style="font-size:10px">{html.escape(text)}</figcaption></figure>'
        )
    return "".join(cells)


def treat(clips, treatment, rng):
    """Return clips [B, 3, T, H, W] as filmed, reversed, shuffled in time, or with the middle frame held."""
    steps = clips.shape[2]
    if treatment == "reversed":
        return clips.flip(2)
    if treatment == "one frame":
        return clips[:, :, steps // 2 : steps // 2 + 1].expand_as(clips)
    if treatment == "shuffled":
        return torch.stack([clip[:, torch.as_tensor(rng.permutation(steps))] for clip in clips])
    return clips


def partners(classes, pairs):
    """Return for each class the index of its time-reversed partner, or -1."""
    found = np.full(len(classes), -1)
    for forward, backward in pairs:
        a, b = classes.index(forward), classes.index(backward)
        found[a], found[b] = b, a
    return found


@torch.no_grad()
def scores(model, dataset, seed=0, device="cpu"):
    """Return {treatment: class scores [n, K]} of all videos of a data set."""
    batch = at_once(model.num_frames, device)
    rng, found = np.random.RandomState(seed), {treatment: [] for treatment in TREATMENTS}
    for begin in range(0, len(dataset), batch):
        videos = range(begin, min(begin + batch, len(dataset)))
        shown = evaluation.load_clips(dataset, videos, model.num_frames)
        for treatment in TREATMENTS:
            found[treatment].append(model(treat(shown, treatment, rng).to(device)).float().cpu())
    return {treatment: torch.cat(parts) for treatment, parts in found.items()}


def runs_of(models, root=""):
    """Return {model: names of its runs}, those that are there."""
    there, _ = needs.there(models, root)
    runs = {}
    for name in there:
        runs.setdefault(without_seed(name)[0], []).append(name)
    return runs


def probe(names, clips=320, size=64, seed=0, device="cpu", pairs=()):
    """Return a model's top-1 accuracy on validation clips under each treatment, with 95 % intervals.

    names: its runs; intervals are over runs and clips. `pair`: of clips whose class has a time-reversed partner,
    how often the true class scores above that partner (0.5 is chance). `chance`: one over the number of classes.
    """
    opened = [checkpoints.load(name, device) for name in names]
    dataset = data.load(opened[0][1]["dataset"], "val", size, limit=clips)
    labels, other = torch.as_tensor(dataset.labels), torch.as_tensor(partners(dataset.classes, pairs))
    runs = [scores(model, dataset, seed, device) for model, _ in opened]
    paired, rows = other[labels] >= 0, []
    for treatment in TREATMENTS:
        right = np.stack([(run[treatment].argmax(1) == labels).double().numpy() for run in runs])
        value, low, high = statistics.crossed_interval(lambda blocks: blocks[0][0].mean(), [[right]], span=1)
        row = {
            "dataset": dataset.name,
            "model": opened[0][1]["config"]["name"],
            "input": treatment,
            "runs": len(runs),
            "clips": right.shape[1],
            "chance": 1 / len(dataset.classes),
            "top-1": value,
            "low": max(low, 0.0),
            "high": min(high, 1.0),
        }
        if paired.any():
            found = torch.stack([run[treatment][paired] for run in runs])  # [runs, clips, classes]
            own, partner = (found[:, range(found.shape[1]), c[paired]] for c in (labels, other[labels]))
            row["pair"] = float((own > partner).double().mean())
        rows.append(row)
    return pd.DataFrame(rows)


def draw_probes(table):
    """Draw the accuracies of `probe`: one panel per data set, one colour and marker per model.

    Hollow marks: how often the true class scores above its reversed partner. Thin lines: chance of either.
    """
    names, models = table["dataset"].unique(), list(table["model"].unique())
    figure, axes = plt.subplots(1, len(names), figsize=(2.7 * len(names) + 1.4, 2.6), sharey=True, squeeze=False)
    drawn = {}
    for axis, name in zip(axes[0], names, strict=True):
        for model, rows in table[table["dataset"] == name].groupby("model", sort=False):
            k = models.index(model)
            colour = plotting.colour_of(model, k)
            spread = [rows["top-1"] - rows["low"], rows["high"] - rows["top-1"]]
            x = np.arange(len(rows)) + 0.15 * k
            drawn[model] = axis.errorbar(
                x, rows["top-1"], yerr=spread, ms=4, lw=1, capsize=2, fmt=plotting.MARKERS[k], color=colour
            )
            if "pair" in rows and rows["pair"].notna().any():
                look = {"mfc": "none", "ms": 5, "color": colour}
                label = f"{model}, above its reversed partner"
                (drawn[label],) = axis.plot(x + 0.07, rows["pair"], plotting.MARKERS[k], **look)
                drawn["chance of a pair"] = axis.axhline(0.5, ls="--", color="0.5", lw=0.8)
        drawn["chance"] = axis.axhline(rows["chance"].iloc[0], ls=":", color="0.2", lw=0.8)
        axis.set(title=name, xticks=range(len(TREATMENTS)), ylim=(0, 1.02))
        axis.set_xticklabels(TREATMENTS, rotation=25, ha="right")
    axes[0, 0].set_ylabel("share of clips (filled: top-1)")
    figure.legend(drawn.values(), drawn, loc="outside right upper")
    return figure
