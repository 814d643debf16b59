"""One look for every figure: colours safe for colour-blind readers, sizes that read at column width."""

import matplotlib
import matplotlib.pyplot as plt
import numpy as np
from matplotlib.colors import FuncNorm, PowerNorm
from matplotlib.ticker import LogLocator, NullFormatter, StrMethodFormatter

# Okabe and Ito's palette: distinguishable with every common form of colour blindness.
BLACK, ORANGE, SKY, GREEN, YELLOW, BLUE, VERMILION, PURPLE = (
    "#000000",
    "#E69F00",
    "#56B4E9",
    "#009E73",
    "#F0E442",
    "#0072B2",
    "#D55E00",
    "#CC79A7",
)
COLOURS = (BLUE, VERMILION, GREEN, ORANGE, PURPLE, SKY, BLACK, YELLOW)
MARKERS = ("o", "s", "^", "D", "v", "P", "X", "*")
MODULES = {  # colours of temporal modules and of families of networks, the same in every figure
    "I3D": BLUE,
    "TAM": GREEN,  # TAM2D as well
    "S3D": VERMILION,
    "TSN": ORANGE,
    "SlowFast": PURPLE,
    "Conv1D": SKY,
    "TSM": "0.5",
    "NLN": BLACK,
    "ViT-joint": SKY,
    "ViT-divided": PURPLE,
    "Swin3D": VERMILION,
    "MViT": ORANGE,
}
MAP = "viridis"
SIGNED = "PuOr_r"  # of matrices with negative values, 0 in its middle, as in the front end


def style():
    """Set matplotlib's defaults for the project's figures."""
    matplotlib.rcParams.update(
        {
            "font.size": 9,
            "axes.titlesize": 9,
            "axes.labelsize": 9,
            "legend.fontsize": 8,
            "legend.frameon": False,
            "axes.spines.top": False,
            "axes.spines.right": False,
            "axes.prop_cycle": plt.cycler(color=COLOURS),
            "image.cmap": MAP,
            "figure.constrained_layout.use": True,
            "figure.dpi": 100,
            "savefig.facecolor": "white",
        }
    )


def colour_of(name, place=0):
    """Return the colour of the module with which a network's name begins, or else one by its place among several."""
    known = (colour for module, colour in MODULES.items() if name.startswith(module))
    return next(known, COLOURS[place % len(COLOURS)])


def signed(matrix):
    """Whether a relevance matrix has values below 0, by more than rounding."""
    return bool(np.nanmin(matrix) < -1e-6 * np.nanmax(np.abs(matrix)))


def colours(matrix, vmax=None, power=1):
    """Return norm and colour map of a relevance matrix: from 0 to the largest value; around 0 where it is signed.

    vmax: the end of the scale, by default the matrix's own; power: as `heatmap` has it.
    """
    if not signed(matrix):
        return {"norm": PowerNorm(power, vmin=0, vmax=vmax), "cmap": MAP}
    end = max(vmax or 0, np.nanmax(np.abs(matrix)))
    bent, straight = (lambda x, p=p: np.sign(x) * np.abs(x) ** p for p in (power, 1 / power))
    return {"norm": FuncNorm((bent, straight), -end, end), "cmap": SIGNED}


def brackets(axis, matrix, segments, lw):
    """Outline the ATR of each of a drawn matrix's rows; segments: [T', 2] first and last frame, below 0 for none."""
    edge = "black" if signed(matrix) else "white"  # 0 is white where there are two signs
    for row, (first, last) in enumerate(segments):
        if first >= 0:
            axis.add_patch(plt.Rectangle((first - 0.5, row - 0.5), last - first + 1, 1, fill=False, ec=edge, lw=lw))


def heatmap(axis, matrix, title="", vmax=None, labels=True, power=1, row="frame logit"):
    """Draw a relevance matrix [T', N]: rows are outputs i, columns input frames j, counted from 1.

    power: exponent of the colour scale; 0.5 shows what is weak beside a few entries that are strong. row: what a row
    is, see `Record.row_name`.
    """
    matrix = np.asarray(matrix, dtype=float)
    image = axis.imshow(
        matrix,
        **colours(matrix, vmax, power),
        aspect="auto" if matrix.shape[0] != matrix.shape[1] else "equal",
        interpolation="nearest",
    )
    rows, columns = matrix.shape
    for ticks, count in ((axis.set_xticks, columns), (axis.set_yticks, rows)):
        every = max(1, count // 4)
        shown = np.arange(every - 1, count, every)
        ticks(shown, [str(k + 1) for k in shown])
    if labels:
        axis.set_xlabel("input frame j")
        axis.set_ylabel(f"{row} i")
    axis.set_title(title)
    for side in axis.spines.values():
        side.set_visible(False)
    return image


def strip(frames, columns=None, gap=0.04):
    """Return frames [N, H, W, 3] side by side as one picture, `columns` in a row, with a white line between them."""
    columns = columns or len(frames)
    height, width = frames.shape[1:3]
    line = max(1, round(gap * width))
    framed = np.pad(frames, ((0, 0), (0, line), (0, line), (0, 0)), constant_values=255)
    rows = [np.concatenate(framed[k : k + columns], 1) for k in range(0, len(framed), columns)]
    return np.concatenate(rows)[:-line, :-line]


def log_ticks(axis):
    """Name 1, 2 and 5 of every decade of a logarithmic axis that is drawn on in plain numbers, of a long one only 1."""
    low, high = axis.get_view_interval()
    axis.set_major_locator(LogLocator(subs=(1, 2, 5) if high < 100 * low else (1,)))
    axis.set_major_formatter(StrMethodFormatter("{x:g}"))
    axis.set_minor_formatter(NullFormatter())


def published_mark(axis, x, y, spread=None, label=None):
    """Mark a value printed in a paper: an open black diamond, with its spread as a bar."""
    axis.errorbar(x, y, yerr=spread, fmt="D", mfc="none", color=BLACK, ms=5, capsize=2, lw=1, label=label)


def interval_bar(axis, x, value, low, high, colour=BLUE, label=None, marker="o", horizontal=False, **look):
    """Draw one of our values with its 95 % interval; horizontal: along x, at the height `x`."""
    arms = {"xerr" if horizontal else "yerr": [[value - low], [high - value]]}
    place = ([value], [x]) if horizontal else ([x], [value])
    look = {"ms": 5, "capsize": 2, "lw": 1.2, **look}
    axis.errorbar(*place, **arms, fmt=marker, color=colour, label=label, **look)


def bar_with_interval(axis, x, value, low, high, width, colour, capsize=2, **look):
    """Draw one of our values as a bar with its 95 % interval in black."""
    axis.bar(x, value, width, color=colour, **look)
    interval_bar(axis, x, value, low, high, "black", marker="none", capsize=capsize, lw=1)


style()
