"""Tables 3 and 4 and Figure 4: blobs and masks of both models, their distributions and differences."""

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd

from ... import data
from ...explanation import plotting
from ...gradcam import blobs
from .. import published
from ..statistics import bootstrap_difference, bootstrap_interval, compare
from . import COLOURS, paper_name, study

MEASURES = {
    "blob_count": "blob count per frame",
    "blob_size": "blob size (pixels)",
    "center_distance": "distance to the centre (pixels)",
    "mask_length": "mask length (frames)",
    "drop_ratio": "drop ratio",
    "drop_difference": "drop difference",
}
PRINTED = {
    "blob_count": ("table03", "blob count"),
    "blob_size": ("table03", "blob size"),
    "center_distance": ("table03", "center distance"),
    "mask_length": ("table04", "mask length"),
    "drop_ratio": ("table04", "drop ratio"),
    "drop_difference": ("table04", "drop difference"),
}


def measure_all(studied, detector=None):
    """Return the measures of every clip of every checkpoint in one table (see `study.measures`)."""
    return pd.concat([study.measures(each, detector) for each in studied.values()], ignore_index=True)


def printed(model, dataset, measure):
    """Return the paper's (mean, standard deviation), NaN where it has none."""
    name, column = PRINTED[measure]
    table = published.table(f"video_features_{name}")
    found = table[(table.row == model) & (table.column == column) & (table.dataset == paper_name(dataset))]
    return tuple(map(float, found[["value", "spread"]].iloc[0])) if len(found) else (np.nan, np.nan)


def table03(studied, detector=None, seed=0):
    """Return our Table 3: blob count per frame, size and centre distance over all blobs.

    Mean and standard deviation as in the paper (over frames for the count, over blobs for the others), the
    interval of the mean with whole clips drawn, and the paper's values. Sizes are in pixels of our frames;
    the columns `share` divide them by the frame's side, for comparison with the paper's 224 pixels.
    """
    rows = []
    for each in studied.values():
        cams = each.cams.astype(np.float32)
        found = blobs.detect(cams, detector)
        frames = blobs.measure(cams, detector)
        side, paper_side = cams.shape[-1], 224
        for measure, values, units in (
            ("blob_count", frames["count"], frames["clip"]),
            ("blob_size", found["size"], found["clip"]),
            ("center_distance", found["center_distance"], found["clip"]),
        ):
            rows.append(_row(each, measure, values, units, seed))
            if measure != "blob_count":
                rows[-1] |= {"share": rows[-1]["mean"] / side, "share_paper": rows[-1]["paper"] / paper_side}
    return pd.DataFrame(rows)


def table04(studied, seed=0):
    """Return our Table 4: mask length, drop ratio and drop difference, with what the paper's filter removed.

    Beside the means: the length of the initial masks, how far masks moved, and the length at a threshold of
    0.5.
    """
    rows = []
    for each in studied.values():
        drops = each.drops()
        for measure, values in (
            ("mask_length", each.length),
            ("drop_ratio", drops.ratio),
            ("drop_difference", drops.difference),
        ):
            rows.append(_row(each, measure, values, None, seed))
            if measure == "mask_length":
                rows[-1] |= {
                    "start_length": (each.initial > 0.1).sum(1).mean(),
                    "length_at_0.5": (each.mask > 0.5).sum(1).mean(),
                    "frames": each.mask.shape[1],
                    "moved": np.abs(each.mask - each.initial).max(1).mean(),
                }
            if measure == "drop_ratio":
                rows[-1] |= {"removed": drops.removed}
    return pd.DataFrame(rows)


def _row(each, measure, values, units, seed):
    """Return one line of Table 3 or 4; a measure without any value has NaN."""
    values = np.asarray(values, dtype=float)
    mean, spread = printed(each.model, each.dataset, measure)
    row = {
        "model": each.model,
        "dataset": each.dataset,
        "measure": measure,
        "values": len(values),
        "mean": np.nan,
        "sd": np.nan,
        "low": np.nan,
        "high": np.nan,
        "paper": mean,
        "paper_sd": spread,
    }
    if len(values):
        found = bootstrap_interval(values, units=units, seed=seed, resamples=1999)
        row |= {"mean": found.value, "sd": values.std(), "low": found.low, "high": found.high}
    return row


def draw_means(table, measures):
    """Draw means of measures per model and data set: ours with intervals, the paper's as diamonds."""
    figure, axes = plt.subplots(1, len(measures), figsize=(2.7 * len(measures), 2.7), squeeze=False)
    datasets, models = list(dict.fromkeys(table.dataset)), list(COLOURS)
    for axis, measure in zip(axes[0], measures, strict=True):
        for row in table[table.measure == measure].itertuples():
            x = datasets.index(row.dataset) + 0.4 * (models.index(row.model) - 0.5)
            first = row.dataset == datasets[0]
            plotting.interval_bar(
                axis, x - 0.05, row.mean, row.low, row.high, COLOURS[row.model], row.model if first else None
            )
            plotting.published_mark(axis, x + 0.08, row.paper, label="paper" if first and not x > 0 else None)
        axis.set_xticks(range(len(datasets)), [f"{d}\n({paper_name(d)})" for d in datasets], fontsize=7)
        axis.set_title(MEASURES[measure])
        axis.set_xlim(-0.6, len(datasets) - 0.4)
    figure.legend(*axes[0, 0].get_legend_handles_labels(), loc="outside lower center", ncols=3)
    return figure


def sensitivity(studied, clips=12):
    """Return `blobs.sensitivity` for each checkpoint's first clips, with the columns model and dataset."""
    tables = [
        blobs.sensitivity(each.cams[:clips].astype(np.float32)).assign(model=each.model, dataset=each.dataset)
        for each in studied.values()
    ]
    return pd.concat(tables, ignore_index=True)


def draw_sensitivity(table):
    """Draw the blob count against every detector parameter, one panel each; the dotted line is our choice."""
    parameters = list(dict.fromkeys(table.parameter))
    figure, axes = plt.subplots(2, -(-len(parameters) // 2), figsize=(10, 4.2), sharey=True)
    for axis, name in zip(axes.flat, parameters, strict=False):
        for (model, dataset), own in table[table.parameter == name].groupby(["model", "dataset"]):
            axis.plot(
                own.value,
                own["count"],
                marker=".",
                color=COLOURS[model],
                label=f"{model}, {dataset}",
                ls="-" if paper_name(dataset) == "SSV2" else "--",
            )
        ours = table[(table.parameter == name) & table.ours].value
        axis.axvline(ours.iloc[0], color="0.5", ls=":", lw=1)
        axis.set_xlabel(name)
        if name in ("min_area", "min_distance"):
            axis.set_xscale("log")
    for axis in axes[:, 0]:
        axis.set_ylabel("blobs per frame")
    figure.legend(*axes.flat[0].get_legend_handles_labels(), loc="outside lower center", ncols=4)
    return figure


def differences(clips, dataset, measures=tuple(MEASURES), seed=0):
    """Return I3D minus C-LSTM for each measure: paired interval over clips, Welch's t-test, effect size.

    clips: the table of `measure_all`. A clip without any blob leaves the paired difference. The drop ratio is
    not paired: the filter removes other clips of either model. The t-test takes all values of each model, as
    the paper's does.
    """
    rows = []
    both = {model: clips[(clips.model == model) & (clips.dataset == dataset)].set_index("video") for model in COLOURS}
    for measure in measures:
        i3d, lstm = (both[model][measure] for model in COLOURS)
        pairs = pd.concat([i3d, lstm], axis=1, keys=COLOURS).dropna()
        row = {
            "dataset": dataset,
            "measure": measure,
            "clips": f"{i3d.count()} and {lstm.count()}",
            "I3D": i3d.mean(),
            "C-LSTM": lstm.mean(),
        }
        paired = measure != "drop_ratio"
        if min(i3d.count(), lstm.count()) > 1 and (len(pairs) > 1 or not paired):
            test = compare(i3d.dropna(), lstm.dropna())
            sides = (pairs["I3D"], pairs["C-LSTM"]) if paired else (i3d.dropna(), lstm.dropna())
            found = bootstrap_difference(*sides, paired=paired, seed=seed)
            row |= {
                "difference": found.value,
                "low": found.low,
                "high": found.high,
                "t": test.t,
                "p": test.p,
                "d": test.cohen_d,
            }
        rows.append(row)
    columns = ["dataset", "measure", "clips", "I3D", "C-LSTM", "difference", "low", "high", "t", "p", "d"]
    return pd.DataFrame(rows, columns=columns)


STATEMENTS = {  # measure: (where, statement, sign of I3D minus C-LSTM)
    "blob_count": ("Table 3, section 5.1", "I3D's Grad-CAM maps have fewer blobs than C-LSTM's", -1),
    "blob_size": ("Table 3, section 5.1", "I3D's blobs are larger than C-LSTM's", 1),
    "center_distance": ("Table 3, section 5.1", "I3D's blobs are closer to the centre than C-LSTM's", -1),
    "mask_length": ("Table 4, section 5.1", "I3D's temporal masks are shorter than C-LSTM's", -1),
    "drop_ratio": ("Table 4, section 5.1", "I3D's drop ratio is higher than C-LSTM's", 1),
    "drop_difference": ("Table 4, section 5.1", "I3D's drop difference is higher than C-LSTM's", 1),
}


def claim_differences(run, clips, measures):
    """Decide the comparisons of Tables 3 and 4: they hold if the interval excludes zero."""
    for dataset in dict.fromkeys(clips.dataset):
        for row in differences(clips, dataset, measures, run.seed).itertuples():
            where, statement, sign = STATEMENTS[row.measure]
            theirs = [printed(model, dataset, row.measure)[0] for model in COLOURS]
            values = (row.difference, row.low, row.high)
            if np.isfinite(values).all():
                verdict = bool(min(sign * row.low, sign * row.high) > 0)
            else:
                verdict, values = "not testable here", (None, None, None)
            run.claim(
                where,
                f"{statement} ({paper_name(dataset)})",
                f"{MEASURES[row.measure]}, I3D minus C-LSTM over {row.clips} clips",
                f"{theirs[0] - theirs[1]:.3g}",
                values,
                verdict,
                dataset,
            )
    return run.verdicts()


def claim_tests(run, clips):
    """Decide the paper's t-tests: drop ratio and drop difference differ between the models, p < 1e-6."""
    for dataset in dict.fromkeys(clips.dataset):
        for row in differences(clips, dataset, seed=run.seed).itertuples():
            if row.measure in ("drop_ratio", "drop_difference") and paper_name(dataset) == "SSV2":
                ours = None if np.isnan(row.p) else f"{row.p:.2g}"
                run.claim(
                    "section 5.1, Figure 4",
                    f"the models' mean {MEASURES[row.measure]} differs significantly",
                    f"p of Welch's t-test, d = {row.d:.2f}; p < 0.05",
                    "< 1e-6",
                    ours,
                    "not testable here" if ours is None else bool(row.p < 0.05),
                    dataset,
                )
            if row.measure in ("blob_count", "blob_size", "center_distance") and paper_name(dataset) == "SSV2":
                run.claim(
                    "section 5.1, Figure 4",
                    f"the distributions of {MEASURES[row.measure]} differ",
                    f"p of Welch's t-test, d = {row.d:.2f}; p < 0.05",
                    "significant",
                    None if np.isnan(row.p) else f"{row.p:.2g}",
                    "not testable here" if np.isnan(row.p) else bool(row.p < 0.05),
                    dataset,
                )
    return run.verdicts()


def claim_losses(run, clips):
    """Decide section 4.3's remark that I3D reaches lower final losses with the same number of iterations."""
    for dataset in dict.fromkeys(clips.dataset):
        row = differences(clips, dataset, ("loss",), run.seed).iloc[0]
        verdict = bool(row.high < 0) if np.isfinite(row.high) else "not testable here"
        run.claim(
            "section 4.3",
            f"the masks' final losses are lower for I3D than for C-LSTM ({paper_name(dataset)})",
            "final loss, I3D minus C-LSTM",
            "< 0",
            (row.difference, row.low, row.high),
            verdict,
            dataset,
        )


def claim_cycles(run, studied):
    """Decide section 5.2 on KTH: each model's mask covers at least one cycle, reversing it costs little."""
    for each in studied.values():
        if paper_name(each.dataset) != "KTH":
            continue
        videos = data.load(each.dataset, split="val", size=each.cams.shape[-1], root=run.data_root or None)
        statement = f"{each.model}'s mask covers at least one cycle of the action"
        if hasattr(videos, "cycle"):
            covered = bootstrap_interval(cycles(each, videos) >= 1, seed=run.seed)
            run.claim(
                "section 5.2, Figure 5",
                statement,
                "share of clips whose longest run of masked frames lasts a cycle (more than half)",
                "2 of 2 examples",
                covered,
                covered.low > 0.5,
                each.dataset,
            )
        else:
            run.claim(
                "section 5.2, Figure 5",
                statement,
                "length of a cycle is unknown",
                "2 of 2 examples",
                None,
                "not testable here",
                each.dataset,
            )
        drop = bootstrap_interval(each.original - each.reverse, seed=run.seed)
        run.claim(
            "section 5.2",
            f"reversing the masked frames affects {each.model} very little on KTH",
            "drop of the score under reversal, OS - RS (below 0.1)",
            "very little",
            drop,
            drop.high < 0.1,
            each.dataset,
        )


def cycles(each, videos):
    """Return how many cycles of the action the longest run of masked frames lasts, per clip [n]."""
    found = []
    for on, video in zip(each.mask > 0.1, each.videos, strict=True):
        edges = np.flatnonzero(np.diff(np.concatenate([[0], on, [0]])))
        longest = max((edges[1::2] - edges[::2]).tolist(), default=0)
        seconds = longest / len(on) * videos.num_frames(int(video)) / videos.fps
        found.append(seconds / videos.cycle(int(video)))
    return np.array(found)


def draw_histograms(clips, dataset, seed=0):
    """Draw Figure 4: normalised histograms of the six measures with Welch's p and Cohen's d in the titles."""
    figure, axes = plt.subplots(2, 3, figsize=(8.5, 4.6))
    tests = differences(clips, dataset, seed=seed).set_index("measure")
    for axis, (measure, title) in zip(axes.flat, MEASURES.items(), strict=True):
        values = {
            model: clips[(clips.model == model) & (clips.dataset == dataset)][measure].dropna() for model in COLOURS
        }
        everything = np.concatenate(list(values.values()))
        if len(everything):
            low, high = np.percentile(everything, (0, 97.5 if measure == "drop_ratio" else 100))
            bins = np.linspace(low, high if high > low else low + 1, 16)
            for model, own in values.items():
                weights = np.full(len(own), 1 / max(len(own), 1))
                axis.hist(
                    np.clip(own, None, bins[-1]),
                    bins,
                    weights=weights,
                    color=COLOURS[model],
                    alpha=0.55,
                    label=model,
                )
        test = tests.loc[measure]
        counts = " and ".join(str(len(own)) for own in values.values())
        axis.set_title(f"{title}\np = {test.p:.1g}, d = {test.d:.2f}, n = {counts}", fontsize=8)
    figure.legend(*axes.flat[0].get_legend_handles_labels(), loc="outside lower center", ncols=len(COLOURS))
    for axis in axes[:, 0]:
        axis.set_ylabel("share of clips")
    figure.suptitle(f"{dataset} (for {paper_name(dataset)})", fontsize=9)
    return figure
