"""The scores of several clips and crops of each video, kept: what multi-clip accuracy is made from."""

import numpy as np
import torch

from ... import data
from ...data import clips as clip_format
from ...data import sampling
from ...errors import InputError
from ...storage import cache
from ...training import checkpoints


def views(key, clips=10, crops=3, margin=1.125, limit=None, device="cpu", root=None):
    """Return dict(scores [n, clips, crops, K], labels [n]): softmax of several views per video, cached.

    Clips are sampled as the checkpoint was trained (uniform: shifted clips, dense: spread over the video),
    crops are left, middle and right of frames `margin` times as large as the model's input, as 224 of 256.
    """
    model, header = checkpoints.load(key, device)
    recipe, side = header["recipe"], header["recipe"]["size"]
    videos = data.load(header["dataset"], split="val", size=round(side * margin), limit=limit, root=root or None)
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
            needed, place = np.unique(chosen, return_inverse=True)  # the clips of a video share most frames
            frames = videos.frames(i, needed)[place.reshape(chosen.shape)]
            batch = [clip_format.to_clip(clip[:, top : top + side, x : x + side]) for clip in frames for x in offsets]
            with torch.inference_mode():
                scores.append(model(torch.stack(batch).to(device)).float().softmax(1).cpu().numpy())
        return {"scores": np.stack(scores).reshape(len(videos), clips, len(offsets), -1)}

    about = {
        "checkpoint": checkpoints.digest(key),
        "dataset": videos.name,
        "videos": len(videos),
        "clips": clips,
        "crops": crops,
        "margin": margin,
        "torch": torch.__version__,
        "code": cache.code("models", "data", "training/checkpoints", "papers/deep_analysis/view_scores"),
    }
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
