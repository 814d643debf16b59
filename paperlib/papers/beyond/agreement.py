"""Beyond the paper: do instruments that ask which frames matter agree on the same clips?"""

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import torch
from scipy import stats

from ... import masks
from ...data.clips import to_clip
from ...explanation import plotting
from ...storage import cache
from ...tracing.probing import evaluating
from ...truth import instruments
from .. import analysis
from ..findings import Finding
from ..statistics import Interval, bootstrap_interval, mean_of_independent
from ..temporal_relevance import opened, split

INSTRUMENTS = (
    "CLRP",
    "temporal mask",
    "frame occlusion",
    "gradient",
    "integrated gradients",
    "Shapley sampling",
    "effective receptive field",
)


def receptive_field(model, clips):
    """Return the effective receptive field in time, [B, T', N]: the gradient's size in every frame for every
    output.

    As Luo et al. 2016 measure it in space, the gradient starts at the features in front of the classifier,
    all with weight one, so no class plays a part.
    """
    clips = clips.detach().requires_grad_()
    features = model.features(clips).mean((3, 4)).sum(1)  # [B, T']
    rows = [
        torch.autograd.grad(features[:, i].sum(), clips, retain_graph=True)[0].abs().sum((1, 3, 4))
        for i in range(features.shape[1])
    ]
    return torch.stack(rows, 1).detach()


def measure(run, checkpoint):
    """Return (explained, {instrument: importance [n, N]}, effective receptive field [n, T', N]) of the same
    clips.

    Settings: clips, and of the instruments `iterations`, `steps` and `samples`. Cached.
    """
    settings = run.settings
    found = analysis.explain(
        checkpoint,
        clips=settings["clips"],
        sigma=settings["sigma"],
        device=run.device,
        min_score=settings["min_score"],
        root=run.data_root,
        limit=settings.get("scored"),
        seed=run.seed,
    )
    model, header, videos = opened(run, checkpoint)
    key = {
        **analysis.key_of(checkpoint, videos),
        "videos": found.videos.tolist(),
        "seed": run.seed,
        **{name: settings[name] for name in ("iterations", "steps", "samples")},
        "instruments": cache.code("papers/beyond/agreement", "masks", "truth/instruments"),
    }

    def compute():
        clips = torch.stack(
            [to_clip(videos.frames(int(i), analysis.indices(videos.num_frames(int(i)), header))) for i in found.videos]
        ).to(run.device)
        parts = []
        for some, target in zip(clips.split(8), torch.as_tensor(found.labels).to(run.device).split(8), strict=True):
            with evaluating(model):
                parts.append(
                    {
                        "frame occlusion": instruments.occlusion(model, some, target),
                        "gradient": instruments.gradient(model, some, target),
                        "integrated gradients": instruments.integrated_gradients(
                            model, some, target, steps=settings["steps"]
                        ),
                        "Shapley sampling": instruments.shapley(
                            model, some, target, samples=settings["samples"], seed=run.seed
                        ),
                        "temporal mask": instruments.learned_mask(
                            model, some, target, iterations=settings["iterations"]
                        ),
                        "field": receptive_field(model, some),
                    }
                )
        return {name: torch.cat([part[name] for part in parts]).float().cpu().detach().numpy() for name in parts[0]}

    computed = cache.fetch("agreement", key, compute)
    field = computed["field"]
    per_frame = {"CLRP": found.matrix.sum(1), "effective receptive field": field.sum(1), **computed}
    return found, {name: per_frame[name] for name in INSTRUMENTS}, field


def agreement(per_frame, seed=0):
    """Return Spearman's correlation over frames for every pair of instruments: mean over clips with its
    interval.

    Columns a, b, clips (those where both instruments tell frames apart), rho, low, high.
    """
    rows = []
    for k, a in enumerate(INSTRUMENTS):
        for b in INSTRUMENTS[k + 1 :]:
            each = [
                stats.spearmanr(x, y).statistic
                for x, y in zip(per_frame[a], per_frame[b], strict=True)
                if np.ptp(x) > 0 and np.ptp(y) > 0
            ]
            found = bootstrap_interval(each, seed=seed) if each else Interval(np.nan, np.nan, np.nan)
            rows.append({"a": a, "b": b, "clips": len(each), "rho": found.value, "low": found.low, "high": found.high})
    return pd.DataFrame(rows)


def lengths(found, per_frame, field, sigma=0.975):
    """Return how many frames each instrument says matter, {instrument: [n]}.

    CLRP: avg-ATR. Effective receptive field: the same range of its rows, averaged. Temporal mask: active
    frames. Others: the shortest run of frames with sigma of the clip's absolute importance.
    """
    from ..temporal_relevance.windows import segments

    ranges = segments(field, sigma)
    result = {
        "CLRP": found.avg,
        "effective receptive field": (ranges[..., 1] - ranges[..., 0] + 1).mean(1),
        "temporal mask": (per_frame["temporal mask"] > masks.THRESHOLD).sum(1).astype(float),
    }
    for name in INSTRUMENTS:
        if name not in result:
            result[name] = np.array([shortest_run(np.abs(x), sigma) for x in per_frame[name]], float)
    return {name: result[name] for name in INSTRUMENTS}


def shortest_run(importance, sigma=0.975):
    """Return the length of the shortest run of frames that holds `sigma` of the sum of `importance` [N]."""
    sums = np.concatenate([[0], np.cumsum(importance, dtype=float)])
    wanted = sigma * sums[-1] * (1 - 1e-6)  # forgives the rounding of what adds up to sigma exactly, as `atr` does
    for length in range(1, len(importance) + 1):
        if (sums[length:] - sums[:-length]).max() >= wanted:
            return length
    return len(importance)


def ranks(x, y, seed=0, resamples=2000):
    """Return Spearman's rank correlation of clips' values with its percentile bootstrap interval over clips."""
    x, y = np.asarray(x, float), np.asarray(y, float)
    rows = np.random.default_rng(seed).integers(len(x), size=(resamples, len(x)))
    rows = np.concatenate([np.arange(len(x))[None], rows])  # first the sample itself
    a, b = (stats.rankdata(values[rows], axis=-1) for values in (x, y))
    a, b = (values - values.mean(1, keepdims=True) for values in (a, b))
    scatter = np.sqrt((a**2).sum(1) * (b**2).sum(1))
    if not scatter[0]:  # all values are the same: there is no correlation to speak of
        return Interval(np.nan, np.nan, np.nan)
    found = (a * b).sum(1)[scatter > 0] / scatter[scatter > 0]  # a constant resample has no correlation
    return Interval(float(found[0]), *(float(end) for end in np.percentile(found[1:], [2.5, 97.5])))


def range_agreement(found_lengths, seed=0):
    """Return Spearman's correlation over clips of every instrument's length with the avg-ATR, with its
    interval."""
    rows = []
    for name in INSTRUMENTS[1:]:
        x, y = found_lengths["CLRP"], found_lengths[name]
        rho = ranks(x, y, seed)
        rows.append(
            {
                "a": "CLRP",
                "b": name,
                "clips": len(x),
                "rho": rho.value,
                "low": rho.low,
                "high": rho.high,
                "mean_length": y.mean(),
                "mean_atr": x.mean(),
            }
        )
    return pd.DataFrame(rows)


def tables(measured, sigma, seed=0):
    """Return one table of all models: question (`frames` or `length`), pair of instruments, rho with
    interval."""
    parts = []
    for checkpoint, (found, per_frame, field) in measured.items():
        parts.append(agreement(per_frame, seed).assign(model=checkpoint, question="which frames"))
        parts.append(
            range_agreement(lengths(found, per_frame, field, sigma), seed).assign(
                model=checkpoint, question="how many frames"
            )
        )
    return pd.concat(parts, ignore_index=True)


def draw(ours):
    """Draw the pairwise agreement on which frames matter, one matrix per model, and on how many below."""
    models = list(dict.fromkeys(ours.model))
    figure, axes = plt.subplots(2, len(models), figsize=(4.8 * len(models), 6.6), height_ratios=[2.1, 1], squeeze=False)
    short = [name.replace(" ", "\n", 1) for name in INSTRUMENTS]
    for k, (top, model) in enumerate(zip(axes[0], models, strict=True)):
        part = ours[(ours.model == model) & (ours.question == "which frames")]
        square = np.full((len(INSTRUMENTS),) * 2, np.nan)
        for row in part.itertuples():
            i, j = INSTRUMENTS.index(row.b), INSTRUMENTS.index(row.a)
            square[i, j] = row.rho
            top.text(
                j,
                i,
                f"{row.rho:.2f}\n[{row.low:.1f}, {row.high:.1f}]",
                ha="center",
                va="center",
                fontsize=5.5,
                color="white" if row.rho < 0.45 else "black",
            )
        image = top.imshow(square, vmin=-0.2, vmax=1, cmap=plotting.MAP)
        top.set_xticks(range(len(short) - 1), short[:-1], fontsize=6, rotation=90)
        top.set_yticks(range(1, len(short)), short[1:], fontsize=6)
        top.set(
            title=f"{model}\nwhich frames (mean over clips)",
            xlim=(-0.5, len(short) - 1.5),
            ylim=(len(short) - 0.5, 0.5),
        )
        top.spines[:].set_visible(False)
        low = axes[1, k]
        part = ours[(ours.model == model) & (ours.question == "how many frames")]
        for y, row in enumerate(part.itertuples()):
            if np.isnan(row.rho):
                low.text(0.03, y, "the same for all clips", va="center", fontsize=6.5, color="0.4")
                continue
            plotting.interval_bar(low, y, row.rho, row.low, row.high, horizontal=True, ms=4, lw=1.5)
        low.axvline(0, color="black", lw=0.8)
        low.set_yticks(range(len(part)), list(part.b) if k == 0 else [], fontsize=7)
        low.set(
            xlim=(-1, 1),
            xticks=(-1, -0.5, 0, 0.5, 1),
            xlabel="rank correlation over clips with avg-ATR",
            title="how many frames",
            ylim=(len(part) - 0.5, -0.5),
        )
    figure.colorbar(image, ax=axes[0], label="Spearman's rho", shrink=0.7)
    return figure


def findings(ours):
    """Return what the relevance paper says on its relation to the effective receptive field (sections 3.2 and 4.4).

    Pooled over the networks, whose clips are different ones: their intervals are independent.
    """
    field = ours[(ours.b == "effective receptive field") & (ours.a == "CLRP")]
    found = []
    for id, question in (("beyond.erf-which", "which frames"), ("beyond.erf-how-many", "how many frames")):
        rows = field[field.question == question]
        interval = mean_of_independent(rows[["rho", "low", "high"]].itertuples(index=False))
        rests = f"1 run each of {len(rows)} networks, {rows.clips.sum()} clips"
        datasets = ", ".join(dict.fromkeys(split(model)[0] for model in rows.model))
        found.append(Finding(id, interval, rests, datasets))
    return found
