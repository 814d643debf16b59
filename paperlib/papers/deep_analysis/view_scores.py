"""The scores of several clips and crops of each video, kept: what multi-clip accuracy is made from."""

import functools
from collections import defaultdict

import numpy as np
import torch

from ... import data
from ...convolution.quick import quick
from ...data import clips as clip_format
from ...data import fingerprint
from ...errors import InputError
from ...storage import cache, locks, paths
from ...training import checkpoints, evaluation

CODE = ("convolution/quick", "training/checkpoints", "training/evaluation", "papers/deep_analysis/view_scores")
TOGETHER = 8  # videos whose frames are held at once, for all networks that are asked about them


def views(keys, clips=10, crops=3, margin=1.125, limit=None, device="cpu", root=None):
    """Return {key: dict(scores [n, clips, crops, K], labels [n])}: softmax of several views per video, cached.

    Clips are sampled as the checkpoint was trained (uniform: shifted clips, dense: spread over the video),
    crops are left, middle and right of frames `margin` times as large as the model's input, as 224 of 256. Frames of a
    video are made once for all networks of its data set, and processes that ask for the same divide the videos.
    """
    loaded = {}
    for key in keys:
        model, header = checkpoints.load(key, device)
        loaded[key] = quick(model), header
    alike = defaultdict(list)
    for key, (_, header) in loaded.items():
        alike[header["dataset"], header["recipe"]["size"]].append(key)
    found = {}
    for (dataset, side), some in alike.items():
        videos = data.load(dataset, split="val", size=round(side * margin), limit=limit, root=root or None)
        networks = {key: (*loaded[key], clips, crops, margin) for key in some}
        starts, parts = range(0, len(videos), TOGETHER), {}
        now = fingerprint.entry(videos)
        for start in locks.divided(starts, functools.partial(_lock, dataset)):
            parts[start] = _portion(networks, videos, range(start, min(start + TOGETHER, len(videos))), device, now)
        for key in some:
            scores = np.concatenate([parts[start][key] for start in starts])
            found[key] = {"scores": scores, "labels": np.asarray(videos.labels)}
    return {key: found[key] for key in keys}


def _lock(dataset, start):
    return paths.CACHE / "views" / f"{dataset}-{start}.lock"


def _portion(networks, videos, some, device, now):
    """Return {key: scores [len(some), clips, crops, K]} of networks {key: (model, header, clips, crops, margin)}.

    now: the `fingerprint.entry` of the videos.
    """

    @functools.cache
    def frames_of(i):
        """Return (the frames that any network wants of video `i`, their indices)."""
        wanted = [_steps(*network[:3], videos.num_frames(i)) for network in networks.values()]
        needed = np.unique(np.concatenate([steps.ravel() for steps in wanted]))
        return videos.frames(i, needed), needed

    found = {}
    for key, network in networks.items():
        about = {
            "checkpoint": checkpoints.digest(key),
            "dataset": videos.name,
            "videos": [videos.ids[i] for i in some],
            "clips and crops": network[2:],
            "torch": torch.__version__,
            "code": cache.code("models", "tracing", "data", *CODE),
            **now,
        }
        compute = functools.partial(_scores, network, videos, some, frames_of, device)
        found[key] = cache.fetch("views", about, compute)["scores"]
    return found


def _scores(network, videos, some, frames_of, device):
    """Return dict(scores [len(some), clips, crops, K]) of one network."""
    model, header, clips, crops, _ = network
    side = header["recipe"]["size"]
    top = (videos.size - side) // 2
    offsets = np.linspace(0, videos.size - side, crops).round().astype(int) if crops > 1 else [top]
    scores = []
    for i in some:
        frames, needed = frames_of(i)
        chosen = frames[np.searchsorted(needed, _steps(model, header, clips, videos.num_frames(i)))]
        batch = [clip_format.to_clip(clip[:, top : top + side, x : x + side]) for clip in chosen for x in offsets]
        with torch.inference_mode():
            scores.append(model(torch.stack(batch).to(device)).float().softmax(1).cpu().numpy())
    return {"scores": np.stack(scores).reshape(len(some), clips, len(offsets), -1)}


def _steps(model, header, clips, length):
    """Return the frames of each clip, [clips, N], sampled as the checkpoint was trained."""
    return evaluation.sampled(length, model.num_frames, header["recipe"], clips)


def multi_clip(found, clips):
    """Return correct [n] (bool) for the mean score of all crops of so many clips, evenly spread.

    found: of `views`. One clip is the middle one.
    """
    total = found["scores"].shape[1]
    if not 1 <= clips <= total:
        raise InputError(f"{clips} clips were asked for but {total} were scored")
    chosen = np.linspace(0, total - 1, clips).round().astype(int) if clips > 1 else [total // 2]
    return found["scores"][:, chosen].mean((1, 2)).argmax(1) == found["labels"]
