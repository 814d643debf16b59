"""Table 4 and Figure 11: the temporal relevance of SlowFast, reduced to its slow frames (appendix A)."""

from dataclasses import replace

import matplotlib.pyplot as plt
import numpy as np
import torch

from ... import relevance
from ...data.clips import to_clip
from ...explanation import plotting
from ...training import checkpoints
from .. import analysis
from . import explain_all, opened, pooled, split
from .dense import SUFFIX
from .heatmaps import normalised, over_even_share


def reduced(found, block, sigma=0.975):
    """Return the Explained of SlowFast in slow frames: every block x block part of a matrix becomes its sum.

    As in appendix A: the fast pathway's rows are sparse and weak, so the n x n matrix is summed to m x m with
    m = n / block slow frames. A slow frame's logit is the sum over its block.
    """
    n, rows, columns = found.matrix.shape
    matrix = found.matrix.reshape(n, rows // block, block, columns // block, block).sum((2, 4))
    logits = found.frame_logits.reshape(n, rows // block, block).sum(2)
    atr = relevance.atr(torch.from_numpy(matrix), torch.from_numpy(logits), sigma=sigma)
    return replace(
        found,
        matrix=matrix,
        frame_logits=logits,
        **{name: np.asarray(getattr(atr, ours)) for name, ours in (("atr", "frames"), ("avg", "avg"), ("max", "max"))},
    )


def explain_reduced(run, **options):
    """Return `explain_all` with the SlowFast models in slow frames."""
    found = explain_all(run, **options)
    for checkpoint in found:
        alpha = checkpoints.meta(checkpoints.find(checkpoint))["config"].get("alpha")
        if alpha:
            found[checkpoint] = reduced(found[checkpoint], alpha, run.settings["sigma"])
    return found


@torch.inference_mode()
def pathway_shares(run, checkpoint, found, batch=8):
    """Return per explained clip the slow pathway's share of the class logit's size, |slow| / (|slow| + |fast|), [n]."""
    model, header, videos = opened(run, checkpoint)
    shares = []
    for start in range(0, len(found.videos), batch):
        some = found.videos[start : start + batch]
        clip = torch.stack(
            [to_clip(videos.frames(int(i), analysis.indices(videos.num_frames(int(i)), header))) for i in some]
        ).to(run.device)
        slow, fast = (
            logits.mean(1)[torch.arange(len(some)), torch.as_tensor(found.labels[start : start + batch])]
            .abs()
            .cpu()
            .numpy()
            for logits in model.pathway_logits(clip)
        )
        shares.append(slow / (slow + fast))
    return np.concatenate(shares)


def in_slow_rows(found, alpha=4):
    """Return per clip the share of an unreduced matrix's relevance that lies in the rows of the slow frames [n]."""
    rows = found.matrix.shape[1]
    return normalised(found)[:, np.linspace(0, rows - 1, rows // alpha).astype(int)].sum((1, 2))


def draw_heatmaps(explained, columns=None):
    """Draw the mean relevance matrix of every network, one panel each, all on one colour scale (Figures 11, 13).

    Colours are relevance over that of an even share, 1 / (T' N) of the clip's, so that clips of different lengths
    compare; their scale is that of square roots.
    """
    explained = pooled.first(explained)
    sampled = any(network.endswith(SUFFIX) for network in explained)
    columns = columns or len(explained)
    rows = -(-len(explained) // columns)
    figure, axes = plt.subplots(rows, columns, figsize=(1.9 * columns + 0.8, 2.45 * rows + 0.2), squeeze=False)
    means = {network: over_even_share(found).mean(0) for network, found in explained.items()}
    top = max(mean.max() for mean in means.values())
    for axis, (network, mean) in zip(axes.flat, means.items(), strict=False):
        dataset, model = split(network)
        if sampled:
            model = model.removesuffix(SUFFIX) + (", dense" if model.endswith(SUFFIX) else ", uniform")
        image = plotting.heatmap(axis, mean, vmax=top, labels=axis in axes[:, 0], power=0.5)
        clips = len(explained[network].videos)
        axis.set_title(f"{dataset}\n{model}\n{clips} clip{'s' if clips > 1 else ''}", fontsize=7.5)
    figure.colorbar(image, ax=axes, shrink=0.8, label="relevance over an even share")
    return figure
