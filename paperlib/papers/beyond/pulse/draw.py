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
    """Draw the truth and matrices found, {rules: A [rows, T]}, all as shares of each row in blocks of frames."""
    shares = {"pulse silenced": truth[steps].abs()}
    shares |= {
        f"CLRP, {measure.TITLES[rules]}": A.unflatten(1, (-1, measure.BLOCK)).sum(2).abs() for rules, A in found.items()
    }
    labelled = range(0, len(steps), 1 + len(steps) // 10)
    for axis, (title, x) in zip(axes, shares.items(), strict=False):
        share = (x / x.sum(1, keepdim=True)).numpy()
        axis.imshow(share, vmin=0, vmax=1, aspect="auto", interpolation="nearest")
        axis.set_title(f"{name}: {title}")
        axis.set_xticks(range(x.shape[1]), [f"{k * measure.BLOCK + 1}" for k in range(x.shape[1])], fontsize=7)
        axis.set_yticks(labelled, [str(steps[k] + 1) for k in labelled], fontsize=7)
        axis.set(xlabel="half a beat from frame")
    axes[0].set_ylabel("value of frame")
    for axis in axes[len(shares) :]:
        axis.axis("off")


def learned(axis, found, when):
    """Draw learned masks {network: [T]} and the frames that have the pulse."""
    axis.axvspan(when[0] + 0.5, when[1] + 0.5, color="0.88", label="pulse")
    for name, mask in found.items():
        axis.plot(np.arange(1, len(mask) + 1), mask, color=COLOURS[name], label=name)
    axis.set(xlabel="frame", ylabel="mask", xlim=(1, len(mask)), xticks=[1, *range(24, len(mask) + 1, 24)])
    axis.set_title("Frames that have to be frozen to lose the pulse", loc="left")
    axis.legend(ncols=4, loc="lower right", bbox_to_anchor=(1, 1))


def maps(axes, name, found, halves):
    """Draw mean maps {instrument: [T, size, size]} with the outlines of the left and right half of the skin."""
    for axis, (title, x) in zip(axes, found.items(), strict=False):
        size = x.shape[1]
        axis.imshow(x.abs().mean(0).numpy(), interpolation="nearest")
        for half, colour in zip(halves, (plotting.YELLOW, "white"), strict=True):
            axis.contour(half.shares(size).mean(0).numpy(), [0.5], colors=colour, linewidths=0.8)
        axis.set_title(f"{name}:\n{title}", fontsize=8)
    for axis in axes:
        axis.axis("off")


def figure(rows, columns, width, height):
    """Return (figure, axes [rows, columns])."""
    made, axes = plt.subplots(rows, columns, figsize=(width, height), squeeze=False, layout="constrained")
    return made, axes
