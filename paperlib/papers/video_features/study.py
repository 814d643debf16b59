"""What the notebooks compute once per checkpoint: predictions both ways, masks, Grad-CAM maps, blobs."""

from dataclasses import asdict, dataclass

import numpy as np
import pandas as pd
import torch
from tqdm.auto import tqdm

from ... import data, gradcam, masks
from ...gradcam import blobs
from ...storage import cache, locks, paths
from ...training import checkpoints, evaluation
from .. import analysis, needs, published
from . import short

BATCH = 8  # clips whose masks are learned together: enough on a CPU, and portions small enough to share
FIELDS = ("mask", "initial", "targets", "original", "freeze", "reverse", "truth", "iterations")


@dataclass
class Studied:
    """A checkpoint's masks, scores and maps on n clips of its data set's validation split.

    mask, initial [n, T]; original, freeze, reverse, truth [n] (OS, FS, RS, CS); targets (predicted classes),
    labels, videos (indices in the data set), iterations, loss (equation 1 at the end) [n]; cams [n, T, H, W].
    """

    checkpoint: str
    model: str
    dataset: str
    classes: list
    labels: np.ndarray
    videos: np.ndarray
    mask: np.ndarray
    initial: np.ndarray
    targets: np.ndarray
    original: np.ndarray
    freeze: np.ndarray
    reverse: np.ndarray
    truth: np.ndarray
    iterations: np.ndarray
    loss: np.ndarray
    cams: np.ndarray
    settings: masks.Settings

    @property
    def length(self):
        """Number of masked frames per clip [n]."""
        return (self.mask > masks.THRESHOLD).sum(1)

    def drops(self, threshold=0.001):
        """Return the drop ratios and differences as `evaluation.Drops`."""
        return evaluation.drops(self.original, self.freeze, self.reverse, threshold)


def study_all(run):
    """Return {checkpoint: Studied} for the `models` of a notebook's settings."""
    there = available(run)
    found = {checkpoint: study(run, checkpoint) for checkpoint in analysis.own_order(there)}
    return {checkpoint: found[checkpoint] for checkpoint in there}


def available(run):
    """Return the `models` of a notebook's settings that are there with their data; skips where none is."""
    keys = run.settings["models"]
    lacking = needs.lacking(keys, run.data_root)
    if len(lacking) == len(keys):
        run.skip(needs.say(lacking))
    if lacking:
        print(f"left out, {needs.say(lacking)}")
    return [key for key in keys if key not in lacking]


def study(run, checkpoint):
    """Learn masks and compute Grad-CAM for the clips that the settings choose; results are kept on disk.

    Settings: clips (how many), classes (names; the paper's eleven where the data set has them), presets
    {data set: mask preset}, mask (further options of `masks.learn`).
    """
    model, header, videos = open_checkpoint(run, checkpoint)
    chosen = choose(videos, run.settings["clips"], eleven(videos.classes))
    preset = run.settings["presets"].get(videos.name, "default")
    settings = masks.resolve(preset, None, dict(run.settings.get("mask", {})))[0]
    key = {
        **_key(checkpoint, videos),
        "settings": asdict(settings),
        "explaining": cache.code("masks", "gradcam", "models/probing"),
    }

    def compute(some):
        clips = evaluation.load_clips(videos, some, model.num_frames).to(run.device)
        result = masks.learn(model, clips, labels=videos.labels[some], preset=preset, **run.settings.get("mask", {}))
        part = {name: getattr(result, name).cpu().numpy() for name in FIELDS}
        part["loss"] = result.loss[-1].cpu().numpy()
        cams = gradcam.video_gradcam(model, clips, result.targets)
        part["cams"] = cams.cpu().numpy().astype(np.float16)
        return part

    parts, left = {}, list(enumerate(np.array_split(chosen, -(-len(chosen) // BATCH))))
    with tqdm(total=len(left), desc=f"masks of {checkpoint}", leave=False) as progress:
        while left:  # notebooks that run side by side learn these masks once
            left.sort(key=lambda one: locks.busy(_lock(checkpoint, one[0])))
            number, some = left.pop(0)
            with locks.only_one(_lock(checkpoint, number)):
                about = {**key, "chosen": some.tolist()}
                parts[number] = cache.fetch("video_features", about, lambda some=some: compute(some))
            progress.update()
    found = {name: np.concatenate([parts[number][name] for number in sorted(parts)]) for name in parts[0]}
    return Studied(
        checkpoint,
        *short(checkpoint),
        list(videos.classes),
        videos.labels[chosen],
        chosen,
        settings=settings,
        **found,
    )


def _lock(checkpoint, number):
    return paths.CACHE / "video_features" / f"{checkpoint.replace('/', '-')}.{number}.lock"


def predictions(run, checkpoint, reverse=False):
    """Return `evaluation.evaluate`'s table of the validation split, forward or reversed; kept on disk."""
    model, header, videos = open_checkpoint(run, checkpoint)
    key = {
        **_key(checkpoint, videos),
        "reverse": reverse,
        "evaluating": cache.code("training/evaluation", "models/probing"),
    }
    scores = cache.fetch(
        "evaluations", key, lambda: {"scores": evaluation.class_scores(model, videos, reverse=reverse)}
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


def choose(videos, count, classes):
    """Return `count` videos of these classes, the first of each class before the second of any, sorted."""
    labels = np.asarray(videos.labels)
    members = np.flatnonzero(np.isin(labels, classes))
    turn = pd.Series(labels[members]).groupby(labels[members]).cumcount().to_numpy()
    return np.sort(members[np.lexsort((labels[members], turn))][:count])


def search_all(run, studied, count=8):
    """Compare learned masks with the exhaustive search over contiguous windows on a few clips; kept on disk.

    One row per clip of the 16-frame checkpoints (longer clips have too many windows): equation 1 of the
    learned mask and of the best window, the lengths of both, and the overlap (intersection over union).
    """
    rows = []
    for checkpoint, each in studied.items():
        if each.mask.shape[1] > 16:
            continue
        model, _, videos = open_checkpoint(run, checkpoint)
        chosen = each.videos[:count]
        options = {key: getattr(each.settings, key) for key in ("length_weight", "tv_weight", "beta", "double_inner")}
        key = {
            **_key(checkpoint, videos),
            "chosen": chosen.tolist(),
            "options": options,
            "search": cache.code("masks"),
        }

        def compute(model=model, videos=videos, chosen=chosen, options=options, targets=each.targets[:count]):
            clips = evaluation.load_clips(videos, chosen, model.num_frames).to(run.device)
            found = masks.search(model, clips, torch.from_numpy(targets), **options)
            return {"mask": found.mask.cpu().numpy(), "value": found.value.cpu().numpy()}

        found = cache.fetch("window_search", key, compute)
        on = each.mask[:count] > masks.THRESHOLD
        window = found["mask"] > 0
        union = (on | window).sum(1)
        rows.append(
            pd.DataFrame(
                {
                    "model": each.model,
                    "dataset": each.dataset,
                    "video": chosen,
                    "learned": each.loss[:count],
                    "window": found["value"],
                    "learned_length": on.sum(1),
                    "window_length": window.sum(1),
                    "overlap": (on & window).sum(1) / np.where(union > 0, union, 1),
                }
            )
        )
    return pd.concat(rows, ignore_index=True) if rows else pd.DataFrame()


def measures(studied, detector=None):
    """Return the paper's six measures (section 4.3) and what belongs to them, one row per clip.

    Columns: model, dataset, video, class, correct, blob_count, blob_size, center_distance, mask_length,
    drop_ratio (NaN where the paper's filter removes the clip), drop_difference, OS, FS, RS, CS, start_length
    (of the initial mask), moved, loss.
    """
    found = blobs.per_clip(blobs.measure(studied.cams.astype(np.float32), detector))
    drops = studied.drops()
    ratio = np.full(len(studied.labels), np.nan)
    ratio[drops.kept] = drops.ratio
    return pd.DataFrame(
        {
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
            "RS": studied.reverse,
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
        "code": cache.code("models", "data"),
        "torch": torch.__version__,
    }
