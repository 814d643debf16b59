"""Pictures of the notebook on pulses."""

import matplotlib.pyplot as plt
import numpy as np

from ....explanation import plotting
from . import measure, planted

COLOURS = {"PhysNet": plotting.BLUE, "TS-CAN": plotting.VERMILION, "PhysFormer": plotting.GREEN}


def faces(axis, seen, count=6):
    """Draw `count` crops of a face with the outline of its skin."""
    frames = np.linspace(0, len(seen.frames) - 1, count).round().astype(int)
    for place, t in enumerate(frames):
        r, c = seen.corners[t]
        crop = (slice(r, r + planted.SIDE), slice(c, c + planted.SIDE))
        extent = (place * 1.05, place * 1.05 + 1, 0, 1)
        axis.imshow(seen.frames[t][crop], extent=extent)
        axis.contour(seen.skin[t][crop][::-1], [0.5], extent=extent, colors=plotting.YELLOW, linewidths=0.8)
        axis.text(place * 1.05 + 0.03, 0.03, f"frame {t + 1}", color="white", fontsize=7)
    axis.set(xlim=(0, count * 1.05 - 0.05), ylim=(0, 1), aspect="equal")
    axis.axis("off")


def pulses(axis, pulses, wave, title):
    """Draw the pulses {network: [T]} that are read, between 45 and 180 beats per minute, and the wave planted."""
    time = np.arange(1, len(wave) + 1)
    axis.fill_between(time, 1.5 * wave, color="0.85", label="planted")
    for name, series in pulses.items():
        axis.plot(time, measure.within_band(series), color=COLOURS[name], linewidth=1.1, label=name)
    axis.set(
        xlabel="frame", ylabel="pulse (deviations)", xlim=(1, len(wave)), xticks=[1, *range(24, len(wave) + 1, 24)]
    )
    axis.set_title(title, loc="left")


def matrices(axes, name, truth, found, steps):
    """Draw the truth and matrices found, {rules: A [rows, T]}, as shares of each row in blocks of frames, from 0 to 1.

    Returns the last picture, for a scale.
    """
    shares = {"pulse silenced": truth[steps].abs()}
    shares |= {
        f"CLRP, {measure.TITLES[rules]}": A.unflatten(1, (-1, measure.BLOCK)).sum(2).abs() for rules, A in found.items()
    }
    labelled = range(0, len(steps), 1 + len(steps) // 10)
    for axis, (title, x) in zip(axes, shares.items(), strict=False):
        share = (x / x.sum(1, keepdim=True)).numpy()
        picture = axis.imshow(share, vmin=0, vmax=1, aspect="auto", interpolation="nearest")
        axis.set_title(f"{name}: {title}")
        axis.set_xticks(range(x.shape[1]), [f"{k * measure.BLOCK + 1}" for k in range(x.shape[1])], fontsize=7)
        axis.set_yticks(labelled, [str(steps[k] + 1) for k in labelled], fontsize=7)
        axis.set(xlabel="half a beat from frame")
    axes[0].set_ylabel("value of frame")
    for axis in axes[len(shares) :]:
        axis.axis("off")
    return picture


def learned(axes, found, when):
    """Draw learned masks {network: [T]}, one under the other, and the frames that have the pulse."""
    for axis, (name, mask) in zip(axes, found.items(), strict=True):
        axis.axvspan(when[0] + 0.5, when[1] + 0.5, color="0.88")
        axis.bar(np.arange(1, len(mask) + 1), mask, width=1, color=COLOURS[name])
        axis.set(xlim=(0.5, len(mask) + 0.5), ylim=(0, 1.05), xticks=[1, *range(24, len(mask) + 1, 24)], yticks=[0, 1])
        axis.set_ylabel(name, rotation=0, ha="right", va="center")
    axes[0].set_title(
        "How far each frame is frozen, from 0 to 1, to lose the pulse; grey: it has the pulse", loc="left"
    )
    axes[-1].set_xlabel("frame")


def places(found, halves):
    """Draw mean maps {network: {instrument: [T, size, size]}} with the outlines of both halves of the skin."""
    made, axes = figure(len(found), max(map(len, found.values())), 7, 7.5)
    outlines = dict(zip(("left half of the face: has the pulse", "right half"), ("red", "white"), strict=True))
    for line, (name, maps) in zip(axes, found.items(), strict=True):
        for axis, (title, x) in zip(line, maps.items(), strict=False):
            axis.imshow(x.abs().mean(0).numpy(), vmin=0, interpolation="nearest")
            for half, colour in zip(halves, outlines.values(), strict=True):
                axis.contour(half.shares(x.shape[1]).mean(0).numpy(), [0.5], colors=colour, linewidths=1.2)
            axis.set_title(f"{name}:\n{title}", fontsize=8)
        for axis in line:
            axis.axis("off")
    marks = [plt.Line2D([], [], color=colour, label=words) for words, colour in outlines.items()]
    look = {"frameon": True, "facecolor": "0.4", "labelcolor": "white"}  # for the white one
    made.legend(handles=marks, loc="outside lower center", ncols=2, **look)
    return made


def figure(rows, columns, width, height):
    """Return (figure, axes [rows, columns])."""
    made, axes = plt.subplots(rows, columns, figsize=(width, height), squeeze=False, layout="constrained")
    return made, axes
