"""What the papers say, decided on real people: every interval is over people, who are left out whole.

A person's value is the mean over the networks that a statement speaks of, and people are few: Student's t over their
values. Two models that are compared are compared on the clips that both explain. Every function returns `Finding`s;
`set_name` ("nagoya", "weizmann") is how their ids begin.
"""

import numpy as np
import pandas as pd

from ....training import evaluation
from ...findings import Finding
from ...statistics import crossed_interval, mean_interval
from ...temporal_relevance.partial import LOSS
from ...temporal_relevance.pooled import counted
from . import by_person

BOTH = ("I3D", "C-LSTM")
LOCATED = ("I3D", "TAM2D")
SYMMETRICAL = ("bend", "jack", "pjump", "wave1", "wave2")  # nobody gets anywhere: backwards a cycle looks the same
MEASURES = ("blob_count", "blob_size", "center_distance", "mask_length", "drop_ratio", "drop_difference")


def finding(id, per_person, dataset, rows, seen="{} each"):
    """Return the finding of the people's values (a Series indexed by person); not testable for fewer than two.

    rows, seen: what they are means of, as in `rests_on`.
    """
    values = None if per_person is None else per_person.dropna()
    if values is None or len(values) < 2:
        return Finding(id, None, "fewer than two people have a value", dataset)
    return Finding(id, mean_interval(values), rests_on(rows[rows["person"].isin(values.index)], seen), dataset)


def rests_on(rows, seen="{} each"):
    """Return in words how many persons, networks and clips there are in rows of a table, one per network and clip.

    seen: what to say of `40 to 42 clips`, those of a network.
    """
    each = rows["model"].value_counts()
    clips = seen.format(counted(each, "clip"))
    return f"{rows['person'].nunique()} persons, {len(each)} networks trained once per fold, {clips}"


def means(table, column):
    """Return the mean of a table's column for each person."""
    return by_person(table, column).dropna().groupby(level=0).mean()


def pooled(parts):
    """Return the mean over networks of Series indexed by person; None without any."""
    parts = list(parts)
    return pd.concat(parts, axis=1).mean(axis=1, skipna=False) if parts else None


def paired(id, table, column, models, dataset, of_two=np.subtract):
    """Return the finding of a column of two models on the clips that are explained, and have a value, for both.

    of_two: (values of the first model, of the second) -> values [clips], by default their differences.
    """
    wide = table.reindex(columns=["person", "id", "model", column])
    wide = wide[wide["model"].isin(models)].set_index(["person", "id", "model"])[column]
    clips = wide.index.droplevel("model").value_counts()
    right = wide.unstack("model").reindex(clips.index[clips == 2], columns=models)
    kept = right.dropna()
    values = of_two(*(kept[model] for model in models)).groupby(level="person").mean()
    left_out = f" ({len(right) - len(kept)} left out: no value for one of them)" if len(kept) < len(right) else ""
    rows = kept.reset_index().melt(["person", "id"], var_name="model")
    return finding(id, values, dataset, rows, f"{{}} explained for both{left_out}")


def reversing(set_name, predicted, classes, dataset, critical=()):
    """Decide ACCV Table 1: reversing destroys time-critical classes and hardly touches the others.

    critical: names of the classes that are each other's reversal; without any, all classes count as periodic.
    """
    motion = set(predicted.loc[predicted["motion"], "label"]) if critical else ()
    groups = [("critical", [classes.index(name) for name in critical])] if critical else []
    groups.append(("rest", [k for k in range(len(classes)) if k not in motion]))
    there = [model for model in BOTH if (predicted["model"] == model).any()]
    parts = [predicted[predicted["model"] == model].sort_values("id") for model in there]
    if not parts:
        return [
            Finding(f"{set_name}.reversed-{kind}", None, "its networks are not here", dataset) for kind, _ in groups
        ]
    label, people = parts[0]["label"].to_numpy(), parts[0]["person"].to_numpy()
    block = [label] + [part[way].to_numpy() for part in parts for way in ("forward", "reversed")]

    def lost(labels):
        def statistic(blocks):
            true, *ways = (values[0].astype(int) for values in blocks[0])
            f1 = [np.nanmean(evaluation.f1_scores(true, way, len(classes))[labels]) for way in ways]
            return np.mean([1 - backward / forward for forward, backward in zip(f1[::2], f1[1::2], strict=True)])

        return crossed_interval(statistic, [block], [people], span=1.0)

    rests = rests_on(pd.concat(parts))
    return [Finding(f"{set_name}.reversed-{kind}", lost(labels), rests, dataset) for kind, labels in groups]


def modules(set_name, predicted, dataset):
    """Decide CVPR section 6.3: exchange between frames helps, and more where classes are motions than where not."""
    right = predicted.assign(right=100.0 * (predicted["forward"] == predicted["label"]))
    alone = right[right["model"] == "TSN"]
    models = [m for m in dict.fromkeys(right["model"]) if m != "TSN" and len(alone)]

    def gain(model, motion=None):
        sides = (right[right["model"] == model], alone)
        if motion is not None:
            sides = [side[side["motion"] == motion] for side in sides]
        return means(sides[0], "right") - means(sides[1], "right")

    differ = right["motion"].nunique() > 1
    values = pooled(gain(m, True) - gain(m, False) if differ else gain(m) for m in models)
    return [finding(f"{set_name}.time-matters", values, dataset, right)]


def ranges(set_name, found, dataset):
    """Decide TRA Tables 1 and 3 and Figure 3: larger ATR for motions, scattered classes, I3D above TAM2D."""
    table = found.table
    decided = []
    if table["motion"].nunique() > 1:
        own = table[table["model"] != "TSN"]
        parts = [part for _, part in own.groupby("model", sort=False)]
        values = pooled(means(p[p["motion"]], "avg_atr") - means(p[~p["motion"]], "avg_atr") for p in parts)
        decided = [finding(f"{set_name}.{name}", values, dataset, own) for name in ("atr-motion", "scattered")]
    return [*decided, paired(f"{set_name}.i3d-tam", table, "avg_atr", LOCATED, dataset)]


def windows(set_name, table, width, dataset):
    """Decide TRA section 4.3: accuracy is saturated with windows of `width` frames.

    Networks that do not surely lose anything with the narrowest windows are left out, as in TRA Figure 6: to them
    every window is wide enough.
    """
    table = table.assign(points=100.0 * table["right"])
    narrowest, whole = table["width"].min(), table["width"].max()

    def change(part, to):
        return means(part[part["width"] == to], "points") - means(part[part["width"] == whole], "points")

    parts = dict(list(table.groupby("model", sort=False)))
    parts = {model: part for model, part in parts.items() if mean_interval(change(part, narrowest)).high < -LOSS}
    seen = table[(table["width"] == whole) & table["model"].isin(list(parts))]
    return [finding(f"{set_name}.saturated", pooled(change(part, width) for part in parts.values()), dataset, seen)]


def features(set_name, found, dataset):
    """Decide ACCV Tables 3 and 4: masks and blobs of I3D against those of the C-LSTM."""
    return [
        paired(f"{set_name}.{measure.replace('_', '-')}", found.table, measure, BOTH, dataset) for measure in MEASURES
    ]


def cycles(set_name, found, dataset):
    """Decide ACCV section 5.2: reversing the masked frames hardly matters for actions symmetrical in time."""
    id = f"{set_name}.reverse-little"
    table = found.table[found.table["class"].isin(SYMMETRICAL)]
    return [paired(id, table, "reverse_drop", BOTH, dataset, lambda i3d, lstm: (i3d + lstm) / 2)]


def when(set_name, table, dataset):
    """Decide whether relevance, masks and occlusion point at the annotated part of the clip, and which does better."""
    table = table[table["model"].isin(LOCATED)].assign(above=table["pointing"] - table["chance_pointing"])
    rows = {name: table[table["instrument"] == name] for name in ("relevance", "mask", "occlusion")}

    def values(instrument, column):
        return pooled(means(part, column) for _, part in rows[instrument].groupby("model"))

    decided = [finding(f"{set_name}.when-{name}", values(name, "above"), dataset, rows[name]) for name in rows]
    against = values("occlusion", "pointing")
    return decided + [
        finding(f"{set_name}.{name}-occlusion", values(name, "pointing") - against, dataset, rows[name])
        for name in ("relevance", "mask")
    ]
