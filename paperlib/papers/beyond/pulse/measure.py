"""What the networks read from a face whose pulse is known, and whether relevance, masks and Grad-CAM say the same."""

import numpy as np
import pandas as pd
import torch
from torch import nn

from .... import gradcam, masks
from ..rows import atr_of, some_rows
from . import planted

BIN = round(planted.RATE * planted.FRAMES / planted.FPS)  # of the planted rate in a spectrum
BAND = slice(3, 13)  # 0.75 to 3 beats per second
PERIOD = planted.FPS / planted.RATE  # frames
BLOCK = 12  # frames, half a beat, that are silenced together
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
    """Return what a network reads of a Planted video: dict of share, late.

    share: of the pulse's power from 0.75 to 3 beats per second, the part at the planted rate. late: frames by which
    the pulse read lags behind the one planted, from -12 to 12; the last frames of one beat are the first of the next.
    """
    found = spectrum(pulse(net, video))
    power = np.abs(found[BAND]) ** 2
    there = spectrum(video.wave)[BIN]
    late = (np.angle(there) - np.angle(found[BIN])) / (2 * np.pi) * PERIOD
    return {"share": power[BIN - BAND.start] / power.sum(), "late": (late + PERIOD / 2) % PERIOD - PERIOD / 2}


@torch.no_grad()
def pulse(net, video):
    """Return the pulse [T] that a network reads of a video, of mean 0 and deviation 1."""
    return net.pulse(video.clip(net.SIZE))[0]


def readings(name, net, videos):
    """Return one row per video, {(face, pulse): Planted}: network, face, pulse, share, late."""
    return pd.DataFrame(
        {"network": name, "face": face, "pulse": pulse, **reading(net, video)}
        for (face, pulse), video in videos.items()
    )


def silencing(net, video, without):
    """Return [T, blocks]: what the pulse in each block of 12 frames adds to each frame's value.

    The truth that a relevance matrix is compared with: these frames are exchanged for the same without a pulse.
    """
    whole = values(net, video)
    firsts = range(0, planted.FRAMES, BLOCK)
    return torch.stack([whole - values(net, video.silenced(without, first, first + BLOCK)) for first in firsts], 1)


def in_time(name, net, video, without, steps, rules):
    """Return (table, truth, {rules: A [rows, T]}): a row for each composite of `rules`, against `silencing`."""
    net.levelled(video.clip(net.SIZE))
    truth, found = silencing(net, video, without), {}
    for each in rules:
        found[each], _ = some_rows(net, video.clip(net.SIZE), steps, each)
    rows = [
        {"network": name, "rules": each, "atr": float(atr_of(A, steps).mean()), **agreement(A, truth, steps)}
        for each, A in found.items()
    ]
    return pd.DataFrame(rows), truth, found


def in_place(name, net, halves, without, steps, rules):
    """Return (table, {instrument: map [T, size, size] of the left half's pulse}): does an instrument say where it is?

    halves: Planted videos with the pulse in the left and in the right half of the skin. skin: an instrument's weight on
    skin over skin's share of the picture, mean of both. follows: by how much the left half's share falls from the first
    to the second, 1 if all of it moves, 0 if none does.
    """
    instruments = {
        f"CLRP, {each}": lambda video, each=each: some_rows(net, video.clip(net.SIZE), steps, each)[1] for each in rules
    }
    instruments["Grad-CAM"] = lambda video: cam(net, video, without)
    rows, shown = [], {}
    for instrument, ask in instruments.items():
        asked = []
        for half in halves:
            net.levelled(half.clip(net.SIZE))
            asked.append(ask(half))
        (skin, left), (also, right) = (where_to(pixels, halves) for pixels in asked)
        rows.append({"network": name, "instrument": instrument, "skin": (skin + also) / 2, "follows": left - right})
        shown[instrument] = asked[0]
    return pd.DataFrame(rows), shown


def agreement(A, truth, steps):
    """Compare the rows `steps` of a matrix A [rows, T] with `truth` [T, blocks] of `silencing`, in blocks.

    Returns own, own_truth: share of a row in its frame's block. correlation: of all shares. beyond: the same for blocks
    at most one away, after subtracting the mean at each distance, so that being near the frame explains nothing.
    """
    blocks = [_shares(x) for x in (A.unflatten(1, (-1, BLOCK)).sum(2), truth[steps])]
    away = np.arange(truth.shape[1]) - np.array(steps)[:, None] // BLOCK
    own = [float(x[away == 0].mean()) for x in blocks]
    rest = [x.copy() for x in blocks]
    for distance in np.unique(away):
        for x in rest:
            x[away == distance] -= x[away == distance].mean()
    near = np.abs(away) <= 1
    return {
        "own": own[0],
        "own_truth": own[1],
        "correlation": np.corrcoef(*(x.ravel() for x in blocks))[0, 1],
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


def mask(net, video, without, **options):
    """Return masks.learn's result for how much of a planted pulse is left under the mask."""
    return masks.learn(Left(net, video, without), video.clip(net.SIZE), 0, initial="full", **options)


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
