"""What the choice of a composite of rules changes for video transformers, on networks with random weights.

Nothing here is trained: what a rule gives up at a layer, and how far apart two rules are, can be seen without.
"""

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import torch
from torch.nn import functional as F

from ... import models, relevance
from ...data import clips, load, sampling
from ...errors import needs
from ...explanation import plotting

NAMES = ("attnlrp", "cp-lrp", "gamma", "paper")
LOSSES = ["bias", "dead", "leak", "stabiliser"]


def networks(names, width, classes=10, seed=0):
    """Return {name: network} with random weights whose biases, norms and positions are not 0 and 1, as after training.

    Starting weights are small; these are three times as large, so that attention is not the same everywhere.
    """
    made = {}
    for name in names:
        torch.manual_seed(seed)
        model = models.create(name, num_classes=classes, width=width).double().eval()
        for parameter in model.parameters():
            scale = 3.0 if parameter.dim() > 1 else 1.0
            parameter.data.mul_(scale).add_(0.1 * torch.randn_like(parameter))
        made[name] = model
    return made


def pictures(count, frames, size, seed=0, dataset="synth_ssv2"):
    """Return normalised clips float64 [count, 3, frames, size, size] of a procedural data set."""
    videos = load(dataset, split="val", size=size, limit=count)
    found = [videos.frames(i, sampling.uniform(videos.num_frames(i), frames)) for i in range(count)]
    return torch.stack([clips.to_clip(video) for video in found]).double()


def matrices(model, x, target=0):
    """Return {name: matrix [B, T', N]} of relevance without contrast under every composite, and of rollout."""
    found = {name: relevance.relevance_matrix(model, x, target, "lrp", name) for name in NAMES}
    return found | {"rollout": relevance.attention_rollout(model, x)}


def distances(found):
    """Return one row per composite: the share of |relevance| that lies in other frames than the row's own, the sum of
    a row over its logit under that composite, and the correlation of its entries with those of "attnlrp".
    """
    rows = []
    for name, A in found.items():
        steps, frames = A.shape[1:]
        own = torch.eye(steps, dtype=torch.bool).repeat_interleave(frames // steps, 1)
        elsewhere = (A.abs() * ~own).sum((1, 2)) / A.abs().sum((1, 2))
        both = torch.stack([A.flatten(), found["attnlrp"].flatten()])
        rows.append((name, float(elsewhere.mean()), float(torch.corrcoef(both)[0, 1])))
    return pd.DataFrame(rows, columns=["rules", "in other frames", "correlation with attnlrp"])


def losses(model, x, target=0):
    """Return what every kind of operation takes or leaks, one row per composite and operation.

    In units of the relevance at the start, the sum of |frame logits|: a positive number is kept, a negative one made
    up. `reaches clip`: the share of the logits that arrives at the pixels.
    """
    with torch.no_grad():
        scale = float(model.frame_logits(x)[..., target].abs().sum())
    rows = []
    for name in NAMES:
        book = relevance.ledger(model, x, target, name)
        kept = book.groupby("operation")[LOSSES].sum() / scale
        kept = kept[(kept.abs() > 1e-6).any(axis=1)].reset_index()
        share = book.attrs["clip"] / book.attrs["logits"]
        rows.append(kept.assign(rules=name, **{"reaches clip": share}))
    return pd.concat(rows)[["rules", "operation", *LOSSES, "reaches clip"]].reset_index(drop=True)


def by_depth(model, x, target=0, rules="attnlrp"):
    """Return the ledger's losses in the order in which relevance meets them: layer, operation, lost, arriving.

    lost: bias, dead relevance and leak together; both in units of the sum of |frame logits|.
    """
    with torch.no_grad():
        scale = float(model.frame_logits(x)[..., target].abs().sum())
    book = relevance.ledger(model, x, target, rules)
    lost = book[["bias", "dead", "leak"]].sum(axis=1) / scale
    table = pd.DataFrame(dict(layer=book.layer, operation=book.operation, lost=lost, arriving=book["in"] / scale))
    return table[table.lost.abs() > 1e-6].reset_index(drop=True)


def draw(found, lost):
    """Draw the first clip's matrix by each composite, and what every operation on the way down loses.

    found: {composite: matrices [B, T', N]}, of which rows are drawn by their size over their sum, as `distances`
    measures them; lost: {composite: Series of frame logits}, from the logits down.
    """
    figure = plt.figure(figsize=(13, 7), layout="constrained")
    above, below = figure.subfigures(2, 1)
    rows = {name: A[0].abs() / A[0].abs().sum(1, keepdim=True) for name, A in found.items()}
    top = max(float(share.max()) for share in rows.values())
    axes = above.subplots(1, len(rows))
    for axis, (name, share) in zip(axes, rows.items(), strict=True):
        image = plotting.heatmap(axis, share.numpy(), name, vmax=top, labels=axis is axes[0])
    above.colorbar(image, ax=axes, shrink=0.8, label="share of the row")
    axes = below.subplots(1, len(lost), sharey=True, squeeze=False)[0]
    for axis, (name, series) in zip(axes, lost.items(), strict=True):
        axis.plot(np.arange(len(series)), series, ".-", color=plotting.BLUE)
        axis.axhline(0, color="0.5", lw=0.5)
        axis.set(title=name, xlabel="operations that lose or gain relevance, from the logits down")
    axes[0].set_ylabel("relevance lost (frame logits)")
    return figure


def shifted(model, x, sizes, target=0):
    """Return how much relevance moves when all scores of a query move together, which changes no softmax.

    Every key of a ViT gets the same vector added, of `size` times the keys' standard deviation: one row per size with
    the largest change of a logit, and of an entry of the matrix under each composite, as shares of the largest one.
    """
    start, places = {name: relevance.relevance_matrix(model, x, target, "lrp", name) for name in NAMES[:2]}, []
    for block in model.blocks:
        places += [part.qkv for part in block.children() if hasattr(part, "qkv")]
    with torch.no_grad():
        logits = model.frame_logits(x)
    rows = []
    for size in sizes:
        held = [layer.bias.detach().clone() for layer in places]
        with torch.no_grad():
            for layer in places:
                keys = slice(len(layer.bias) // 3, 2 * len(layer.bias) // 3)
                layer.bias[keys] += size * layer.weight[keys].norm(dim=1).mean()
            moved = float((model.frame_logits(x) - logits).abs().max() / logits.abs().max())
        changed = {}
        for name, A in start.items():
            now = relevance.relevance_matrix(model, x, target, "lrp", name)
            changed[name] = float((now - A).abs().max() / A.abs().max())
        rows.append({"shift": size, "logits": moved, **changed})
        for layer, bias in zip(places, held, strict=True):
            layer.bias.data.copy_(bias)
    return pd.DataFrame(rows)


def by_package(model, clip, target=0):
    """Return relevance [T', 3, N, H, W] of a ViT-joint, clip [1, 3, N, H, W], by the package of AttnLRP's authors.

    Raises InputError where the package lxt is not installed.
    """
    with needs("lxt", to="compare with the package of AttnLRP's authors"):
        from lxt.explicit import functional as theirs
        from lxt.explicit.rules import identity

    def linear(layer, x):
        return theirs.linear_epsilon(x, layer.weight, layer.bias, epsilon=0.0)

    def norm(layer, x):
        return theirs.layer_norm_grad_fn.apply(x, layer.weight, layer.bias, layer.eps, 0.0)

    def attend(part, x):
        qkv = linear(part.qkv, norm(part.norm, x)).unflatten(-1, (3, part.heads, -1))
        q, k, v = qkv.permute(2, 0, 3, 1, 4)
        factor = torch.tensor(q.shape[-1] ** -0.5, dtype=q.dtype)
        scores = theirs.mul2(theirs.matmul(q, k.transpose(2, 3), epsilon=0.0), factor)
        mixed = theirs.matmul(theirs.softmax(scores, -1), v, epsilon=0.0)
        return linear(part.out, mixed.transpose(1, 2).flatten(2))

    def frame_logit(x, row):
        patch = model.embed.kernel_size
        for axis, size in zip((4, 3, 2), reversed(patch), strict=True):
            x = x.unflatten(axis, (-1, size))
        x = x.permute(0, 2, 4, 6, 1, 3, 5, 7)  # [B, T', H', W', 3, patch]
        shape, weight = x.shape[1:4], model.embed.weight.flatten(1)
        x = theirs.linear_epsilon(x.flatten(4).flatten(1, 3), weight, model.embed.bias, epsilon=0.0)
        places = models.vit.sines(*shape, x.shape[2]).to(x).flatten(0, 2)[None]
        x = theirs.add2(x, places, epsilon=0.0)
        for block in model.blocks:
            x = theirs.add2(x, attend(block.attend, x), epsilon=0.0)
            first, wide, _, narrow = block.feed
            x = theirs.add2(x, linear(narrow, identity(F.gelu, linear(wide, norm(first, x)))), epsilon=0.0)
        x = norm(model.norm, x).unflatten(1, (shape[0], -1))
        return linear(model.fc, theirs.mean(x, 2, False, epsilon=0.0))[0, row, target]

    found, leaf = [], clip.clone().requires_grad_()
    for row in range(clip.shape[2] // model.embed.kernel_size[0]):
        logit = frame_logit(leaf, row)
        found.append(torch.autograd.grad(logit, leaf, logit.detach())[0][0])
    return torch.stack(found)
