"""Published numbers and our own models side by side."""

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.lines import Line2D

from ...explanation import plotting
from ..stand_ins import STANDS_FOR
from ..temporal_relevance import look_of

MOST = 100.7  # percent, where an axis of accuracies ends at the latest


def dots(published, ours, ylabel="top-1 accuracy (%)", same_span=False):
    """Draw two rows of panels: the published values, and below ours with their intervals.

    Both tables have the columns panel, x, series, value; ours also low and high. The second row is left out
    where there are no own models yet. same_span: the panels of a row cover equally many points.
    """
    tables = [t for t in (published, ours) if len(t)]
    columns = max(t.panel.nunique() for t in tables)
    series = _looks(list(dict.fromkeys(s for t in tables for s in t.series)))
    figure, axes = plt.subplots(len(tables), columns, figsize=(7.2, 2.4 * len(tables) + 0.4), squeeze=False)
    for row, table in zip(axes, tables, strict=True):
        panels = list(dict.fromkeys(table.panel))
        for axis, panel in zip(row, panels, strict=False):
            panel_dots(axis, table[table.panel == panel], series, filled="low" in table)
            axis.set_title(("own: " if "low" in table else "published: ") + panel)
        if same_span:
            limits = [axis.get_ylim() for axis in row[: len(panels)]]
            half = max(high - low for low, high in limits) / 2
            for axis, (low, high) in zip(row, limits, strict=False):
                top = min((low + high) / 2 + half, MOST)
                axis.set_ylim(top - 2 * half, top)
        for axis in row[len(panels) :]:
            axis.axis("off")
        row[0].set_ylabel(ylabel)
    handles = [
        Line2D([], [], color=colour, marker=mark, ls="none", label=name) for name, (colour, mark) in series.items()
    ]
    if len(series) > 1:
        figure.legend(handles=handles, loc="outside lower center", ncols=min(6, len(series)))
    return figure


def _looks(series):
    """Return {name: (colour, mark)} of series: a data set's own, a module's colour, or by place."""
    return {
        name: look_of(name) if name in STANDS_FOR else (plotting.colour_of(name, i), plotting.MARKERS[i])
        for i, name in enumerate(series)
    }


def panel_dots(axis, part, series, filled):
    """Draw one panel: x by category; series: {name: (colour, mark)}."""
    order = list(dict.fromkeys(part.x))
    present = [s for s in series if s in set(part.series)]
    for i, name in enumerate(present):
        line = part[part.series == name]
        x = [order.index(v) + (i - (len(present) - 1) / 2) * 0.16 for v in line.x]
        colour, mark = series[name]
        if filled:
            for at, row in zip(x, line.itertuples(), strict=True):
                plotting.interval_bar(axis, at, row.value, row.low, row.high, colour, marker=mark)
        else:
            axis.plot(x, line.value, mark, mfc="none", color=colour, ms=6)
            for at, value in zip(x, line.value, strict=True) if len(present) <= 3 else ():
                axis.annotate(
                    f"{value:g}", (at, value), xytext=(0, 5), textcoords="offset points", fontsize=6, ha="center"
                )
    axis.set_xticks(range(len(order)), order, fontsize=7)
    axis.set_xlim(-0.5, len(order) - 0.5)
    axis.margins(y=0.2)
    if (part[["low", "high"]] if filled else part[["value"]]).min(axis=None) < 0:
        axis.axhline(0, color="0.5", lw=0.8, zorder=0)
    axis.set_ylim(top=min(axis.get_ylim()[1], MOST))


def sampling(bars, gains=None):
    """Draw Figure 5: single-clip top-1 (solid) and what several clips add (pale), uniform beside dense.

    bars: dataset, model, sampling, single, multi, low, high (interval of the single clip). gains: {data set: (least,
    most)}, the points that the paper says several clips add to dense sampling, drawn as a bracket up to 100 %.
    """
    datasets = list(dict.fromkeys(bars.dataset))
    figure, axes = plt.subplots(1, len(datasets), figsize=(7.2, 3.2), squeeze=False)
    look = {"uniform": plotting.BLUE, "dense": plotting.ORANGE}
    for axis, dataset in zip(axes[0], datasets, strict=True):
        part = bars[bars.dataset == dataset]
        order = list(dict.fromkeys(part.model))
        for row in part.itertuples():
            x = order.index(row.model) + (-0.18 if row.sampling == "uniform" else 0.18)
            colour = look[row.sampling]
            more = max(0, row.multi - row.single)
            axis.bar(x, more, bottom=row.single, width=0.3, color=colour, alpha=0.3)
            plotting.bar_with_interval(axis, x, row.single, row.low, row.high, 0.3, colour)
            if row.sampling == "dense" and gains and dataset in gains:
                ends = [min(100, row.single + gain) for gain in gains[dataset]]
                axis.plot([x + 0.22] * 2, ends, color=plotting.VERMILION, lw=3, solid_capstyle="butt")
        for x, model in enumerate(order):
            if not (part[part.model == model].sampling == "dense").any():
                axis.text(x + 0.18, 1, "not trained", rotation=90, ha="center", va="bottom", fontsize=7, color="0.4")
        axis.set_xticks(range(len(order)), [name.replace("-", "\n") for name in order])
        axis.set(xlim=(-0.5, len(order) - 0.5), ylim=(0, 101))
        axis.set_title(f"own models on {dataset}")
    axes[0, 0].set_ylabel("top-1 accuracy (%)")
    handles = [plt.Rectangle((0, 0), 1, 1, color=look[s], label=f"{s} sampling, one clip") for s in look]
    handles.append(plt.Rectangle((0, 0), 1, 1, color="0.5", alpha=0.3, label="added by several clips"))
    handles.append(Line2D([], [], color="k", marker="|", ls="none", ms=9, label="95 % interval, one clip"))
    if gains:
        handles.append(Line2D([], [], color=plotting.VERMILION, lw=3, label="paper: added to dense"))
    figure.legend(handles=handles, loc="outside lower center", ncols=3, columnspacing=1.0)
    return figure


def clips(curves):
    """Draw Figure 8: top-1 against the number of clips (left) and against the cost of all views (right).

    curves: model, dataset, sampling, clips, value, low, high (95 %), gmacs (of all views).
    """
    figure, axes = plt.subplots(1, 2, figsize=(7.2, 3.4), sharey=True)
    models = list(dict.fromkeys(curves.model))
    lines = list(curves.groupby(["model", "sampling"], sort=False))
    for i, ((model, how), line) in enumerate(lines):
        colour, uniform = plotting.colour_of(model, models.index(model)), how == "uniform"
        for axis, x, aside in zip(axes, (line.clips, line.gmacs), (0.08 * (i - (len(lines) - 1) / 2), 0), strict=True):
            error = np.stack([line.value - line.low, line.high - line.value])
            style = {"color": colour, "marker": plotting.MARKERS[models.index(model)], "ms": 5, "lw": 1.0}
            style |= {"mfc": colour if uniform else "none", "ls": "-" if uniform else "--"}
            axis.errorbar(
                x + aside, line.value, yerr=error, elinewidth=0.5, label=f"{model} ({how[0].upper()})", **style
            )
    axes[0].set_xlabel("clips per video")
    axes[0].set_xticks(sorted(curves.clips.unique()))
    axes[1].set_xlabel("GMACs per video, all views")
    axes[1].set_xscale("log")
    plotting.log_ticks(axes[1].xaxis)
    axes[0].set_ylabel("top-1 accuracy (%)")
    figure.suptitle(f"own models on {', '.join(dict.fromkeys(curves.dataset))}")
    figure.legend(*axes[1].get_legend_handles_labels(), loc="outside lower center", ncols=3)
    return figure


def relevance(points):
    """Draw temporal improvement against avg-ATR, one panel per data set; marks are named by their number.

    points: dataset, model, module, atr, atr_low, atr_high, psi, psi_low, psi_high, layers.
    """
    datasets = list(dict.fromkeys(points.dataset))
    figure, axes = plt.subplots(1, len(datasets), figsize=(7.2, 4.2), squeeze=False)
    numbers = {model: k + 1 for k, model in enumerate(sorted(set(points.model)))}
    for axis, dataset in zip(axes[0], datasets, strict=True):
        part = points[points.dataset == dataset]
        for row, side in zip(part.itertuples(), _free_side(part.atr), strict=True):
            colour = plotting.MODULES[row.module]
            axis.errorbar(
                row.atr,
                row.psi,
                color=colour,
                marker="o",
                ms=_mark(row.layers),
                lw=0.8,
                xerr=[[row.atr - row.atr_low], [row.atr_high - row.atr]],
                yerr=[[max(0, row.psi - row.psi_low)], [max(0, row.psi_high - row.psi)]],
            )
            beside = _mark(row.layers) / 2 + 1  # of the mark, whose size is in points
            place = {"xytext": (side * beside, beside - 2), "textcoords": "offset points"}
            place["ha"] = "left" if side > 0 else "right"
            axis.annotate(str(numbers[row.model]), (row.atr, row.psi), fontsize=7, color=colour, **place)
        axis.axhline(0, color="0.8", lw=0.8, zorder=0)
        axis.set_xlabel("avg-ATR (share of the input frames)")
        axis.set_title(dataset)
        axis.margins(0.15)
    axes[0, 0].set_ylabel(r"temporal improvement $\Psi$")
    handles = [
        Line2D([], [], color=colour, marker="o", ls="none", label=module)
        for module, colour in plotting.MODULES.items()
        if module in set(points.module)
    ]
    handles += [
        Line2D([], [], color="0.5", marker="o", ls="none", ms=_mark(layers), label=f"{layers} temporal layers")
        for layers in sorted({int(points.layers.min()), int(points.layers.max())})
    ]
    figure.legend(handles=handles, loc="outside upper center", ncols=len(handles))
    named = [f"{number} {model}" for model, number in numbers.items()]
    figure.supxlabel("\n".join("   ".join(named[k : k + 6]) for k in range(0, len(named), 6)), fontsize=6.5)
    return figure


def _free_side(x):
    """Return for each mark 1 where the nearest other one and its bars stand on the left of it, else -1."""
    away = np.subtract.outer(np.asarray(x, float), np.asarray(x, float))
    nearest = np.abs(away + np.diag(np.full(len(away), np.inf))).argmin(1)
    return np.where(np.take_along_axis(away, nearest[:, None], 1)[:, 0] < 0, -1, 1)


def _mark(layers):
    """Return the size of a mark for so many temporal layers."""
    return 3 + 0.25 * layers
