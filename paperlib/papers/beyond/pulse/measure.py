"""What the networks read from a face whose pulse is known, and whether relevance, masks and Grad-CAM say the same."""

from typing import NamedTuple

import numpy as np
import pandas as pd
import torch
from torch import nn

from .... import gradcam
from ..rows import atr_of, some_rows
from . import planted

BIN = round(planted.RATE * planted.FRAMES / planted.FPS)  # of the planted rate in a spectrum
BAND = slice(3, 13)  # 0.75 to 3 beats per second
PERIOD = planted.FPS / planted.RATE  # frames
BLOCK = 12  # frames, half a beat, that are silenced together
TITLES = {"paper": "the paper's rules", "attnlrp": "AttnLRP's rules"}
SHARP = 8.0  # how fast a score falls with the part of the pulse that is left


@torch.no_grad()
def values(net, video):
    """Return the value of every frame of a video [T]."""
    return net.frame_logits(video.clip(net.SIZE))[0, :, 0]


def spectrum(series):
    """Return the spectrum of a series [T] or [..., T] without its mean."""
    series = np.asarray(series, dtype=float)
    return np.fft.rfft(series - series.mean(-1, keepdims=True))


def reading(net, video):
    """Return (row, pulse [T]) of what a network reads of a Planted video; row: dict of share, late, size.

    share: of the pulse's power from 0.75 to 3 beats per second, the part at the planted rate. late: frames by which
    the pulse read lags behind the one planted, from -12 to 12; the last frames of one beat are the first of the next.
    size: standard deviation of the network's values over time, in its own units.
    """
    series = values(net, video)
    pulse = net.pulse_of(series[None])[0]
    found = spectrum(pulse)
    power = np.abs(found[BAND]) ** 2
    there = spectrum(video.wave)[BIN]
    late = (np.angle(there) - np.angle(found[BIN])) / (2 * np.pi) * PERIOD
    share = power[BIN - BAND.start] / power.sum()
    return {"share": share, "late": (late + PERIOD / 2) % PERIOD - PERIOD / 2, "size": float(series.std())}, pulse


def within_band(series):
    """Return a pulse [T] without what is slower than 0.75 or faster than 3 beats per second, of deviation 1."""
    found = spectrum(series)
    kept = np.zeros_like(found)
    kept[BAND] = found[BAND]
    kept = np.fft.irfft(kept, len(series))
    return kept / kept.std()


def readings(name, net, videos):
    """Return (table, {(face, pulse): pulse read [T]}) of videos {(face, pulse): Planted}.

    Columns: network, face, pulse, share, late, size; size relative to the same face's with a pulse in the skin.
    """
    found = {key: reading(net, video) for key, video in videos.items()}
    rows = [
        {"network": name, "face": face, "pulse": pulse, **row, "size": row["size"] / found[face, "skin"][0]["size"]}
        for (face, pulse), (row, _) in found.items()
    ]
    return pd.DataFrame(rows), {key: pulse for key, (_, pulse) in found.items()}


def silencing(net, video, without):
    """Return [T, blocks]: what the pulse in each block of 12 frames adds to each frame's value.

    The truth that a relevance matrix is compared with: these frames are exchanged for the same without a pulse.
    """
    whole = values(net, video)
    firsts = range(0, planted.FRAMES, BLOCK)
    return torch.stack([whole - values(net, video.silenced(without, first, first + BLOCK)) for first in firsts], 1)


class InTime(NamedTuple):
    """What `in_time` finds of one network."""

    table: pd.DataFrame  # a row per composite of rules
    rows: pd.DataFrame  # a row per composite and frame explained: network, rules, frame, atr, correlation
    truth: torch.Tensor  # [T, blocks]
    found: dict  # {rules: A [rows, T]}


def in_time(name, net, video, without, steps, rules):
    """Return InTime: what relevance says about the frames `steps`, against `silencing`, by each of `rules`."""
    truth, tables, rows, found = silencing(net, video, without), [], [], {}
    for each in rules:
        A = found[each] = explained(net, video, steps, each)[0]
        atr = atr_of(A, steps).numpy()
        alike = agreement(A, truth, steps)
        about = {"network": name, "rules": each}
        rows.append(pd.DataFrame(about | {"frame": steps, "atr": atr, "correlation": alike.pop("correlations")}))
        tables.append({**about, "atr": float(atr.mean()), **alike})
    return InTime(pd.DataFrame(tables), pd.concat(rows), truth, found)


def explained(net, video, steps, rules):
    """Return (A [rows, T], map [T, size, size]) of the frames `steps` above the mean value of the video."""
    clip = video.clip(net.SIZE)
    net.levelled(clip)
    return some_rows(net, clip, steps, rules)


def without_pulse(name, net, video, without, steps, rules):
    """Return {network, values, relevance}: what is left of both, in the frames `steps`, where a video has no pulse.

    Mean sizes of the values above their mean, and of the relevance of all frames for them.
    """
    left = []
    for seen in (without, video):
        A, _ = explained(net, seen, steps, rules)
        left.append((values(net, seen)[steps].abs().mean(), A.abs().sum(1).mean()))
    return {"network": name, "values": float(left[0][0] / left[1][0]), "relevance": float(left[0][1] / left[1][1])}


def in_place(name, net, halves, without, steps, rules):
    """Return (table, {instrument: map [T, size, size] of the left half's pulse}): does an instrument say where it is?

    halves: Planted videos with the pulse in the left and in the right half of the skin. skin: an instrument's weight on
    skin over skin's share of the picture, mean of both. follows: by how much the left half's share falls from the first
    to the second, 1 if all of it moves, 0 if none does.
    """
    instruments = {
        f"CLRP, {TITLES[each]}": lambda video, each=each: explained(net, video, steps, each)[1] for each in rules
    }
    instruments["Grad-CAM"] = lambda video: cam(net, video, without)
    rows, shown = [], {}
    for instrument, ask in instruments.items():
        asked = [ask(half) for half in halves]
        (skin, left), (also, right) = (where_to(pixels, halves) for pixels in asked)
        rows.append({"network": name, "instrument": instrument, "skin": (skin + also) / 2, "follows": left - right})
        shown[instrument] = asked[0]
    return pd.DataFrame(rows), shown


def agreement(A, truth, steps):
    """Compare the rows `steps` of a matrix A [rows, T] with `truth` [T, blocks] of `silencing`, in blocks.

    Returns own, own_truth: share of a row in its frame's block. correlations: of each row's shares; correlation: their
    mean. beyond: correlation of the shares of blocks at most one away after subtracting the mean at each distance, so
    that being near the frame explains nothing.
    """
    blocks = [_shares(x) for x in (A.unflatten(1, (-1, BLOCK)).sum(2), truth[steps])]
    away = np.arange(truth.shape[1]) - np.array(steps)[:, None] // BLOCK
    own = [float(x[away == 0].mean()) for x in blocks]
    rest = [x.copy() for x in blocks]
    for distance in np.unique(away):
        for x in rest:
            x[away == distance] -= x[away == distance].mean()
    near = np.abs(away) <= 1
    correlations = np.array([np.corrcoef(*pair)[0, 1] for pair in zip(*blocks, strict=True)])
    return {
        "own": own[0],
        "own_truth": own[1],
        "correlations": correlations,
        "correlation": float(correlations.mean()),
        "beyond": np.corrcoef(*(x[near] for x in rest))[0, 1],
    }


def _shares(x):
    x = x.abs()
    return (x / x.sum(1, keepdim=True)).numpy()


def where_to(pixels, halves):
    """Return (share of a map [T, size, size] on skin, over skin's share of the picture; share of skin's on the left).

    halves: the left and right half of the skin, two Planted.
    """
    left, right = (float((pixels.abs() * half.shares(pixels.shape[1])).sum()) for half in halves)
    area = sum(float(half.shares(pixels.shape[1]).mean()) for half in halves)
    return (left + right) / float(pixels.abs().sum()) / area, left / (left + right)


class Left(nn.Module):
    """How much of a planted pulse is left: clip -> logit [B, 1], SHARP (s - 1/2).

    s is 1 where the network's values are those of the video with the pulse, 0 where they are those without: the
    projection of what they differ by from the latter.
    """

    def __init__(self, net, video, without):
        super().__init__()
        self.net = net
        silent = values(net, without)
        self.register_buffer("silent", silent)
        self.register_buffer("added", values(net, video) - silent)

    def frame_logits(self, clip):
        """Clip [B, 3, T, H, W] -> the logit's parts [B, T, 1], whose mean it is."""
        differ = self.net.frame_logits(clip) - self.silent[:, None]
        return SHARP * (differ * (self.added * len(self.added) / self.added.square().sum())[:, None] - 0.5)

    def forward(self, clip):
        return self.frame_logits(clip).mean(1)


def found_by(mask, when):
    """Return {length, inside, found}: a bool mask's frames, the share of them in `when`, the share of `when` in it."""
    inside = mask[when[0] : when[1]].sum().item()
    return {
        "length": int(mask.sum()),
        "inside": inside / max(1, int(mask.sum())),
        "found": inside / (when[1] - when[0]),
    }


def cam(net, video, without):
    """Return Grad-CAM's maps [T, size, size] of how much of the pulse is left."""
    return gradcam.video_gradcam(Left(net, video, without), video.clip(net.SIZE), 0, normalise="clip")[0]
