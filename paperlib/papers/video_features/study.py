"""What the notebooks compute once per checkpoint: predictions both ways, masks, Grad-CAM maps, blobs."""

import functools
from dataclasses import asdict, dataclass

import numpy as np
import pandas as pd
import torch
from tqdm.auto import tqdm

from ... import data, gradcam, masks
from ...convolution.quick import quick
from ...data import fingerprint
from ...gradcam import blobs
from ...storage import cache, locks, paths
from ...training import checkpoints, evaluation
from .. import analysis, needs, published
from . import short

BATCH = 8  # clips whose masks are learned together: enough on a CPU, and portions small enough to share
REFINE = 60  # iterations of learning from the best window: it is near an optimum already
FIELDS = ("mask", "initial", "targets", "original", "freeze", "reverse", "truth", "iterations")


@dataclass
class Studied:
    """A checkpoint's masks, scores and maps on n clips of its data set's validation split.

    mask, initial [n, T]; original, freeze, reverse, whole, truth [n]: OS, FS, RS as the paper's code blends frames, RS
    with whole frames as its text says, CS; targets (predicted classes), labels, videos (indices in the data set),
    iterations, loss (equation 1 at the end) [n]; cams [n, T, H, W], made from maps of `side` pixels and each frame
    stretched to 0 to 1; intensity [n, T]: the frames' mean before that; units [n]: the person or else the video.
    Every mask is learned from the best contiguous window; window, window_loss: that, [n, T], and its value of equation
    1, [n]. Of the first clips (`compared` of the settings) released [n, T] is the mask learned from the released code's
    start and released_loss [n] its value; of the others both are NaN.
    """

    checkpoint: str
    model: str
    dataset: str
    classes: list
    labels: np.ndarray
    videos: np.ndarray
    units: np.ndarray
    mask: np.ndarray
    initial: np.ndarray
    targets: np.ndarray
    original: np.ndarray
    freeze: np.ndarray
    reverse: np.ndarray
    whole: np.ndarray
    truth: np.ndarray
    iterations: np.ndarray
    loss: np.ndarray
    released: np.ndarray
    released_loss: np.ndarray
    window: np.ndarray
    window_loss: np.ndarray
    cams: np.ndarray
    intensity: np.ndarray
    side: int
    settings: masks.Settings

    @property
    def length(self):
        """Number of masked frames per clip [n]."""
        return (self.mask > masks.THRESHOLD).sum(1)

    @property
    def lowered(self):
        """Whether freezing lowers a clip's score enough to pay for a mask, bool [n]: else the best mask is empty."""
        return self.length > 0

    def drops(self, threshold=0.001):
        """Return the drop ratios and differences as `evaluation.Drops`."""
        return evaluation.drops(self.original, self.freeze, self.whole, threshold)


def study_all(run):
    """Return {checkpoint: Studied} for the `models` of a notebook's settings."""
    there = available(run)
    found = {checkpoint: study(run, checkpoint) for checkpoint in analysis.own_order(there)}
    return {checkpoint: found[checkpoint] for checkpoint in there}


def available(run):
    """Return the `models` of a notebook's settings that are there with their data; skips where none is."""
    there, lacking = needs.there(run.settings["models"], run.data_root)
    if not there:
        run.skip(needs.say(lacking))
    if lacking:
        print(f"left out, {needs.say(lacking)}")
    return there


def study(run, checkpoint):
    """Learn masks and compute Grad-CAM for the clips that the settings choose; results are kept on disk.

    Settings: clips (how many), classes (names; the paper's eleven where the data set has them), presets
    {data set: mask preset}, mask (further options of `masks.learn`), compared (of how many clips masks are learned from
    the released code's start as well).
    """
    model, header, videos = open_checkpoint(run, checkpoint)
    chosen = choose(videos, run.settings["clips"], eleven(videos.classes), run.seed)
    preset = run.settings["presets"].get(videos.name, "default")
    settings = masks.resolve(preset, None, dict(run.settings.get("mask", {})))[0]
    key = {
        **_key(checkpoint, videos),
        "settings": asdict(settings),
        "explaining": cache.code("masks", "gradcam", "tracing/probing", "papers/video_features/study"),
    }

    def compute(some, compared):
        """Return the arrays of `Studied` for the videos `some`, the first `compared` of them from both starts."""
        clips = evaluation.load_clips(videos, some, model.num_frames).to(run.device)
        options = dict(run.settings.get("mask", {}))
        found = from_the_best_window(model, clips, videos.labels[some], preset, options)
        found |= {"released": np.full_like(found["mask"], np.nan), "released_loss": np.full_like(found["loss"], np.nan)}
        if compared:
            released = masks.learn(model, clips[:compared], found["targets"][:compared], preset=preset, **options)
            found["released"][:compared] = released.mask.cpu().numpy()
            found["released_loss"][:compared] = released.value.cpu().numpy()
        maps = gradcam.raw_maps(model, clips, torch.from_numpy(found["targets"]))
        cams = gradcam.over_frames(maps, clips.shape[2:])
        found["cams"] = cams.cpu().numpy().astype(np.float16)
        found["intensity"] = gradcam.over_frames(maps, clips.shape[2:], normalise=None).mean((2, 3)).cpu().numpy()
        return {**found, "side": np.full(len(some), min(maps.shape[2:]))}

    batches = dict(enumerate(np.array_split(np.arange(len(chosen)), -(-len(chosen) // BATCH))))
    parts = {}
    with tqdm(total=len(batches), desc=f"masks of {checkpoint}", leave=False) as progress:
        for number in locks.divided(batches, functools.partial(_lock, checkpoint)):
            some = chosen[batches[number]]
            compared = int((batches[number] < run.settings.get("compared", 0)).sum())
            about = {**key, "chosen": some.tolist(), "compared": compared}
            parts[number] = cache.fetch("video_features", about, functools.partial(compute, some, compared))
            progress.update()
    found = {name: np.concatenate([parts[number][name] for number in sorted(parts)]) for name in parts[0]}
    found["side"] = int(found["side"][0])
    return Studied(
        checkpoint,
        *short(checkpoint),
        list(videos.classes),
        videos.labels[chosen],
        chosen,
        np.asarray(getattr(videos, "subjects", np.arange(len(videos))))[chosen],
        settings=settings,
        **found,
    )


def from_the_best_window(model, clips, labels, preset, options):
    """Return the arrays of `Studied` that masks give, learned from the best contiguous window."""
    settings, _ = masks.resolve(preset, None, dict(options))
    shorter = {**options, "iterations": min(REFINE, settings.iterations)}
    found, window = masks.learn_from_window(model, clips, labels=labels, preset=preset, **shorter)
    chosen = {name: getattr(found, name) for name in FIELDS}
    chosen |= {
        "whole": found.whole_reverse(model, clips),
        "loss": found.value,
        "window": window.mask,
        "window_loss": window.value,
    }
    return {name: value.cpu().numpy() for name, value in chosen.items()}


def _lock(checkpoint, number):
    return paths.CACHE / "video_features" / f"{checkpoint.replace('/', '-')}.{number}.lock"


def predictions(run, checkpoint, reverse=False):
    """Return `evaluation.evaluate`'s table of the validation split, forward or reversed; kept on disk."""
    model, header, videos = open_checkpoint(run, checkpoint)
    key = {
        **_key(checkpoint, videos),
        "reverse": reverse,
        "evaluating": cache.code("training/evaluation", "tracing/probing"),
    }
    scores = cache.fetch(
        "evaluations", key, lambda: {"scores": evaluation.class_scores(quick(model), videos, reverse=reverse)}
    )["scores"]
    return evaluation.predictions(scores, videos, np.arange(len(videos)), reverse)


def open_checkpoint(run, checkpoint):
    """Return (model, header, validation videos) of a checkpoint; skips the notebook where there is none."""
    lacking = needs.lacking([checkpoint], run.data_root)
    if lacking:
        run.skip(needs.say(lacking))
    model, header = checkpoints.load(checkpoint, run.device)
    videos = data.load(
        header["dataset"],
        split="val",
        size=header["recipe"]["size"],
        limit=run.settings.get("limit"),
        root=run.data_root or None,
    )
    return model, header, videos


def eleven(classes):
    """Return the indices of the paper's eleven classes (Table 2) among `classes`; all where none is there."""
    wanted = {row.lower() for row in published.table("video_features_table02").row}
    found = [k for k, name in enumerate(classes) if name.lower() in wanted]
    return found or list(range(len(classes)))


def choose(videos, count, classes, seed=0):
    """Return `count` videos of these classes, drawn by a seed within each class, one of each before a second of any;
    sorted. The same data set and seed give the same videos, whatever the network."""
    labels = np.asarray(videos.labels)
    members = np.random.default_rng(seed).permutation(np.flatnonzero(np.isin(labels, classes)))
    turn = pd.Series(labels[members]).groupby(labels[members]).cumcount().to_numpy()
    return np.sort(members[np.argsort(turn, kind="stable")][:count])


def starts(studied):
    """Return one row per clip whose mask was learned from both starts: equation 1 and length of the mask from the
    released start, of the best window and of the mask learned from that, and how far the two masks overlap."""
    rows = []
    for each in studied.values():
        kept, window, released = (m > masks.THRESHOLD for m in (each.mask, each.window, each.released))
        union = (kept | released).sum(1)
        rows.append(
            pd.DataFrame(
                {
                    "model": each.model,
                    "dataset": each.dataset,
                    "video": each.videos,
                    "released": each.released_loss,
                    "window": each.window_loss,
                    "kept": each.loss,
                    "released_length": released.sum(1),
                    "window_length": window.sum(1),
                    "kept_length": kept.sum(1),
                    "overlap": (kept & released).sum(1) / np.where(union > 0, union, 1),
                }
            )[np.isfinite(each.released_loss)]
        )
    return pd.concat(rows, ignore_index=True)


def measures(studied, detector=None):
    """Return the paper's six measures (section 4.3) and what belongs to them, one row per clip.

    Reversing takes whole frames, as the text says. Columns: checkpoint, model, dataset, video, class, correct,
    blob_count, blob_size, center_distance, mask_length,
    drop_ratio (NaN where the paper's filter removes the clip), drop_difference, OS, FS, RS, RS_blended (as the code
    reverses), lowered (whether the mask is not empty), CS, start_length (of the initial mask), moved, loss.
    """
    found = blobs.per_clip(blobs.measure(studied.cams.astype(np.float32), detector))
    drops = studied.drops()
    ratio = np.full(len(studied.labels), np.nan)
    ratio[drops.kept] = drops.ratio
    return pd.DataFrame(
        {
            "checkpoint": studied.checkpoint,
            "model": studied.model,
            "dataset": studied.dataset,
            "video": studied.videos,
            "class": [studied.classes[k] for k in studied.labels],
            "correct": studied.labels == studied.targets,
            "blob_count": found["count"],
            "blob_size": found["size"],
            "center_distance": found["center_distance"],
            "mask_length": studied.length,
            "drop_ratio": ratio,
            "drop_difference": drops.difference,
            "OS": studied.original,
            "FS": studied.freeze,
            "RS": studied.whole,
            "RS_blended": studied.reverse,
            "lowered": studied.lowered,
            "CS": studied.truth,
            "start_length": (studied.initial > masks.THRESHOLD).sum(1),
            "moved": np.abs(studied.mask - studied.initial).max(1),
            "loss": studied.loss,
        }
    )


def _key(checkpoint, videos):
    return {
        "checkpoint": checkpoints.digest(checkpoint),
        "dataset": videos.name,
        "videos": len(videos),
        "size": getattr(videos, "size", 0),
        "code": cache.code("convolution/quick", "models", "tracing", "data"),
        "torch": torch.__version__,
        **fingerprint.entry(videos),
    }
