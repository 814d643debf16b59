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
from ..statistics import bootstrap_difference, bootstrap_interval
from . import STANDS_FOR, explain_all, ledger, opened, split
from .heatmaps import normalised


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
    """Return per explained clip the slow pathway's share of the class logit's size, |slow| / (|slow| +
    |fast|), [n]."""
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


def claim(run, explained, ours, printed):
    """Decide what appendix A says on SlowFast: shorter ranges than I3D, lower accuracy, slow logits
    dominate."""
    for checkpoint, found in explained.items():
        dataset, model = split(checkpoint)
        if not model.startswith("SlowFast"):
            continue
        i3d = f"I3D-R50-f{found.matrix.shape[2]}"
        for column, name in (("avg-ATR", "avg"), ("max-ATR", "max")):
            theirs = [_printed(printed, row, column, dataset) for row in (model, i3d)]
            change = bootstrap_difference(getattr(found, name), getattr(explained[f"{dataset}/{i3d}"], name))
            run.claim(
                "Table 4",
                f"{model} has a smaller {column} than {i3d}",
                f"{column} of SlowFast, in slow frames, minus I3D, frames",
                f"{theirs[0] - theirs[1]:.1f}",
                change,
                change.high < 0,
                dataset,
            )
        lost = ours.set_index(["dataset", "model"]).accuracy
        lost = lost[dataset, model] - lost[dataset, i3d]
        theirs = _printed(printed, model, "accuracy", dataset) - _printed(printed, i3d, "accuracy", dataset)
        run.claim(
            "Table 4",
            f"{model} is less accurate than {i3d}",
            "accuracy of SlowFast minus I3D, points",
            f"{theirs:.1f}",
            float(lost),
            bool(lost < 0),
            dataset,
        )
        share = bootstrap_interval(pathway_shares(run, checkpoint, found))
        run.claim(
            "Appendix A",
            f"{model}: the slow logits are dominant",
            "share of the slow pathway in |slow| + |fast| logit of the class; dominant above 0.5",
            "dominant",
            share,
            share.low > 0.5,
            dataset,
        )
    return ledger(run)


def _printed(printed, model, column, dataset):
    found = printed[
        (printed.row == model) & (printed.column == column) & (printed.dataset == STANDS_FOR.get(dataset, dataset))
    ].value
    return found.iloc[0] if len(found) else float("nan")


def draw_heatmaps(explained, columns=None):
    """Draw the mean relevance matrix of every model, one panel each, in shares of the clip's relevance
    (Figures 11, 13)."""
    columns = columns or len(explained)
    rows = -(-len(explained) // columns)
    figure, axes = plt.subplots(rows, columns, figsize=(1.9 * columns + 0.5, 2.35 * rows), squeeze=False)
    for axis, (checkpoint, found) in zip(axes.flat, explained.items(), strict=False):
        dataset, model = split(checkpoint)
        image = plotting.heatmap(axis, 100 * normalised(found).mean(0), labels=axis in axes[:, 0])
        axis.set_title(f"{dataset}\n{model}", fontsize=7.5)
        figure.colorbar(image, ax=axis, shrink=0.75)
    figure.supxlabel("colour: relevance, % of the clip's", fontsize=8)
    return figure
