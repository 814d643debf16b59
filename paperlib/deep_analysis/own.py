"""Our own small models in the form of the paper's benchmark: one row per checkpoint, measured on its clips.

A notebook's settings list checkpoints under `models`. Those that are not trained yet are left out and named
by `missing`; what needs them is then not drawn and not claimed.
"""

import re
from dataclasses import dataclass

import numpy as np
import pandas as pd
import torch

from .. import analysis, cache, checkpoints, data, paths, statistics
from ..data import clips as clip_format
from ..data import sampling
from ..errors import InputError

STANDS_FOR = {"synth_ssv2": "mini-SSV2", "synth_kinetics": "mini-Kinetics", "synth_mit": "mini-MiT"}
MODULE = {"TAM2D": "TAM"}
BACKBONE = {"Inc": "InceptionV1", **{f"R{depth}": f"ResNet{depth}" for depth in (18, 34, 50, 101, 152)}}
NAME = re.compile(r"(?P<module>\w+)-(?P<backbone>R\d+|Inc)-f(?P<frames>\d+)(?P<pooled>-tp)?")


@dataclass(frozen=True)
class Scored:
    """One checkpoint's answers: correct [n] (bool) for the n validation videos, and what it is."""

    key: str
    correct: np.ndarray
    row: dict


def listed(run):
    """Return the checkpoints that the notebook's settings list and that are trained."""
    return [key for key in run.settings.get("models", []) if _file(key).is_file()]


def missing(run):
    """Return the listed checkpoints that are not trained yet."""
    return [key for key in run.settings.get("models", []) if not _file(key).is_file()]


def _file(key):
    return paths.CHECKPOINTS / f"{key}.safetensors"


def describe(key):
    """Return what a checkpoint is, from its header: dataset, module, backbone, num_frames, temporal_pooling,
    placement, sampling, init_from. Networks without a backbone in their name (SlowFast) have an empty one."""
    header = checkpoints.meta(checkpoints.find(key))
    recipe, config = header["recipe"], header["config"]
    found = NAME.fullmatch(config["name"])
    module, backbone, frames, pooled = found.groups() if found else (config["name"], "", 0, None)
    return {"model": key.partition("/")[2], "dataset": header["dataset"],
            "module": MODULE.get(module, module), "backbone": BACKBONE.get(backbone, backbone),
            "num_frames": int(frames), "temporal_pooling": int(bool(pooled)),
            "placement": config.get("placement", "all"), "init_from": recipe.get("init_from", ""),
            "sampling": recipe.get("sampling", "uniform"),
            "kernel_size": config.get("kernel_size", 3), "ensemble": recipe.get("ensemble", 0)}


def score(run, keys=None):
    """Return {checkpoint: Scored} of the listed checkpoints on the validation videos, one clip each."""
    found = {}
    for key in listed(run) if keys is None else keys:
        answers = analysis.predictions(key, limit=run.settings.get("videos"), device=run.device,
                                       root=run.data_root)
        found[key] = Scored(key, np.asarray(answers["correct"]), describe(key))
    return found


def table(scored, seed=0):
    """Return one row per scored checkpoint: `describe`, top1 (%), its 95 % bootstrap interval over videos."""
    rows = []
    for one in scored.values():
        value, low, high = statistics.bootstrap_interval(100.0 * one.correct, seed=seed)
        rows.append({**one.row, "top1": value, "low": low, "high": high, "videos": len(one.correct)})
    return pd.DataFrame(rows)


def benchmark(scored, seed=0):
    """Return the scored checkpoints that are comparable with the paper's benchmark, under its dataset names.

    Left out are other placements, kernels, ensembles and samplings, and models that started from another
    data set. An f16 model that starts from the f8 one of its data set stays (progressive training).
    """
    models = table(scored, seed)
    if models.empty:
        return models
    transferred = [bool(start) and not start.startswith(dataset)
                   for start, dataset in zip(models.init_from, models.dataset, strict=True)]
    plain = ((models.placement == "all") & (models["sampling"] == "uniform") & (models.kernel_size == 3)
             & (models.ensemble == 0) & (models.backbone != "") & ~np.array(transferred))
    models = models[plain & models.dataset.isin(list(STANDS_FOR))]
    return models.assign(stands_for=models.dataset.map(STANDS_FOR)).reset_index(drop=True)


def gain(a, b, seed=0):
    """Return the mean top-1 of a minus b in points with its 95 % interval; same videos, paired bootstrap."""
    a, b = 100.0 * a.correct, 100.0 * b.correct
    return tuple(statistics.bootstrap_difference(a, b, paired=True, seed=seed))


def find(scored, **wanted):
    """Return the one scored checkpoint whose description has these values; None where there is none."""
    found = [s for s in scored.values() if all(s.row[name] == value for name, value in wanted.items())]
    if len(found) > 1:
        raise InputError(f"{len(found)} checkpoints have {wanted}: " + ", ".join(s.key for s in found))
    return found[0] if found else None


def views(key, clips=10, crops=3, margin=1.125, limit=None, device="cpu", root=None):
    """Return dict(scores [n, clips, crops, K], labels [n]): softmax of several views per video, cached.

    Clips are sampled as the checkpoint was trained (uniform: shifted clips, dense: spread over the video),
    crops are left, middle and right of frames `margin` times as large as the model's input, as 224 of 256.
    """
    model, header = checkpoints.load(key, device)
    recipe, side = header["recipe"], header["recipe"]["size"]
    videos = data.load(header["dataset"], split="val", size=round(side * margin), limit=limit,
                       root=root or None)
    top = (videos.size - side) // 2
    offsets = np.linspace(0, videos.size - side, crops).round().astype(int) if crops > 1 else [top]

    def steps(length):
        if recipe.get("sampling") == "dense":
            return sampling.dense(length, model.num_frames, recipe["stride"], clips=clips)
        return sampling.uniform(length, model.num_frames, clips=clips)

    def compute():
        scores = []
        for i in range(len(videos)):
            chosen = steps(videos.num_frames(i))
            frames = videos.frames(i, chosen.ravel()).reshape(*chosen.shape, videos.size, videos.size, 3)
            batch = [clip_format.to_clip(clip[:, top:top + side, x:x + side])
                     for clip in frames for x in offsets]
            with torch.inference_mode():
                scores.append(model(torch.stack(batch).to(device)).float().softmax(1).cpu().numpy())
        return {"scores": np.stack(scores).reshape(len(videos), clips, len(offsets), -1)}

    about = {"checkpoint": checkpoints.digest(key), "dataset": videos.name, "videos": len(videos),
             "clips": clips, "crops": crops, "margin": margin, "torch": torch.__version__,
             "code": cache.code("models", "data", "checkpoints", "deep_analysis")}
    scores = cache.fetch("views", about, compute)["scores"]
    return {"scores": scores, "labels": np.asarray(videos.labels)}


def multi_clip(found, clips):
    """Return correct [n] (bool) for the mean score of all crops of so many clips, evenly spread.

    found: of `views`. One clip is the middle one.
    """
    total = found["scores"].shape[1]
    if not 1 <= clips <= total:
        raise InputError(f"{clips} clips were asked for but {total} were scored")
    chosen = np.linspace(0, total - 1, clips).round().astype(int) if clips > 1 else [total // 2]
    return found["scores"][:, chosen].mean((1, 2)).argmax(1) == found["labels"]
