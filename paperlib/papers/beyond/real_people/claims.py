"""What the papers say, decided on real people; every interval is over people, who are drawn whole."""

import numpy as np

from ...temporal_relevance.partial import LOSS
from ...video_features.features import STATEMENTS, printed
from . import by_person, difference, over_people
from .explain import MEASURES
from .scores import f1_lost

UNKNOWN = "not testable here"
ACCV_LOST = {"I3D": {"SSV2": "0.79", "KTH": "0.07"}, "C-LSTM": {"SSV2": "0.78", "KTH": "0.07"}}
SHOWN = ["where", "statement", "quantity", "published", "ours", "low", "high", "verdict"]


def reversing(run, predicted, classes, dataset, critical=()):
    """Decide ACCV Table 1: reversing destroys time-critical classes and hardly touches the others.

    critical: names of the classes that are each other's reversal; without any, all classes count as periodic.
    """
    groups = [("time-critical", [classes.index(name) for name in critical], "SSV2")] if critical else []
    motion = set(predicted.loc[predicted["motion"], "label"]) if critical else ()
    rest = [k for k in range(len(classes)) if k not in motion]
    groups.append(("posture" if critical else "periodic", rest, "KTH"))
    for model in ("I3D", "C-LSTM"):
        part = predicted[predicted["model"] == model]
        if not len(part):
            continue
        for kind, labels, paper in groups:
            found = f1_lost(part, len(classes), run.seed, labels)
            destroyed = paper == "SSV2"
            rule = "at least half is lost" if destroyed else "less than a quarter is lost"
            run.claim(
                "ACCV Table 1, section 5",
                f"{model} {'is drastically affected' if destroyed else 'performs well'} when videos of "
                f"{kind} classes are reversed",
                f"share of macro F1 over {', '.join(classes[k] for k in labels)} lost by reversing ({rule})",
                ACCV_LOST[model][paper],
                found,
                found.low >= 0.5 if destroyed else found.high < 0.25,
                dataset,
            )


def modules(run, predicted, dataset):
    """Decide CVPR section 6.3: exchange between frames helps more where classes are motions than where not."""
    right = predicted.assign(right=100.0 * (predicted["forward"] == predicted["label"]))
    alone = right[right["model"] == "TSN"]
    for model in [m for m in dict.fromkeys(right["model"]) if m != "TSN" and len(alone)]:
        own = right[right["model"] == model]
        if right["motion"].nunique() > 1:
            gains = [
                by_person(own[own["motion"] == kind], "right").groupby(level=0).mean()
                - by_person(alone[alone["motion"] == kind], "right").groupby(level=0).mean()
                for kind in (True, False)
            ]
            found = difference(*gains, run.seed)
            run.claim(
                "CVPR Table 7, section 6.3",
                f"{model}'s gain over single frames (TSN) is larger for motions than for postures",
                f"gain in accuracy, motions ({gains[0].mean():.1f}) minus postures ({gains[1].mean():.1f}), "
                "points; holds if the interval lies above 0",
                "larger on SSV2 than on Kinetics",
                found,
                found.low > 0,
                dataset,
                digits=1,
            )
        else:
            found = difference(by_person(own, "right"), by_person(alone, "right"), run.seed)
            run.claim(
                "CVPR Table 7, section 6.3",
                f"{model} is more accurate than single frames (TSN)",
                "gain in accuracy, points; holds if the interval lies above 0",
                "higher",
                found,
                found.low > 0,
                dataset,
                digits=1,
            )


def ranges(run, found, dataset):
    """Decide TRA Tables 1 and 3 and Figure 3: larger ATR for motions, scattered classes, I3D above TAM2D."""
    table = found.table
    for model, part in table.groupby("model", sort=False):
        if model == "TSN" or table["motion"].nunique() < 2:
            continue
        moving = part["motion"]
        ours = difference(by_person(part[moving], "avg_atr"), by_person(part[~moving], "avg_atr"), run.seed)
        if ours is None:
            continue
        quantity = "avg-ATR of motions minus postures, frames"
        run.claim(
            "TRA Table 1",
            f"{model}: temporal relevance is larger where classes are motions",
            f"{quantity}; holds if the interval lies above 0",
            "0.9 to 2.4 more on SSV2 than on Kinetics",
            ours,
            ours.low > 0,
            dataset,
        )
        run.claim(
            "TRA Figure 9",
            f"{model}: temporal and static classes are scattered over the order by avg-ATR",
            f"{quantity}; holds if 0 is inside the interval",
            "scattered",
            ours,
            ours.low <= 0 <= ours.high,
            dataset,
        )
    pair = [by_person(table[table["model"] == model], "avg_atr") for model in ("I3D", "TAM2D")]
    ours = difference(*pair, run.seed) if all(map(len, pair)) else None
    run.claim(
        "TRA Table 1, Figure 3",
        "I3D has a larger temporal relevance than TAM2D",
        "avg-ATR of I3D minus TAM2D, frames; holds if the interval lies above 0",
        "0.5 to 1.7",
        ours,
        UNKNOWN if ours is None else ours.low > 0,
        dataset,
    )


def windows(run, table, width, dataset, paper):
    """Decide TRA section 4.3: accuracy is saturated with windows of `width` frames."""
    for model, part in table.groupby("model", sort=False):
        whole = part[part["width"] == part["width"].max()]
        points = [
            by_person(p.assign(points=100.0 * p["right"]), "points") for p in (part[part["width"] == width], whole)
        ]
        ours = difference(*points, run.seed)
        run.claim(
            "TRA section 4.3, Figure 6",
            f"{model}: accuracy is saturated with windows of {width} of its {whole['width'].iloc[0]} frames",
            f"accuracy with windows of {width} frames minus with all, points; saturated if above -{LOSS}",
            f"saturated at {width} ({paper})",
            ours,
            ours.low > -LOSS,
            dataset,
            digits=1,
        )


def features(run, found, dataset, paper):
    """Decide ACCV Tables 3 and 4: masks and blobs of I3D against those of the C-LSTM."""
    table = found.table
    for measure, (where, statement, sign) in STATEMENTS.items():
        sides = [table[table["model"] == model] for model in ("I3D", "C-LSTM")]
        ours = None
        if all(len(side) and measure in side and side[measure].notna().any() for side in sides):
            ours = difference(*(by_person(side, measure) for side in sides), run.seed)
        theirs = [printed(model, paper, measure)[0] for model in ("I3D", "C-LSTM")]
        run.claim(
            f"ACCV {where}",
            statement,
            f"{MEASURES[measure]}, I3D minus C-LSTM",
            f"{theirs[0] - theirs[1]:.3g} ({paper})",
            ours,
            UNKNOWN if ours is None else min(sign * ours.low, sign * ours.high) > 0,
            dataset,
        )


def cycles(run, found, dataset):
    """Decide ACCV section 5.2: reversing the masked frames hardly matters for periodic actions."""
    for model in ("I3D", "C-LSTM"):
        part = found.table[found.table["model"] == model]
        if len(part) and "OS" in part:
            drop = over_people(part["OS"] - part["RS"], part["person"], run.seed)
            run.claim(
                "ACCV section 5.2",
                f"reversing the masked frames affects {model} very little",
                "drop of the score under reversal, OS - RS (below 0.1)",
                "very little (KTH)",
                drop,
                drop.high < 0.1,
                dataset,
            )


def when(run, table, dataset):
    """Decide, beyond the papers, whether relevance and masks fall on the annotated part of the clip."""
    names = {
        "relevance": ("TRA section 3", "CLRP relevance falls on the annotated part"),
        "mask": ("ACCV section 3.1", "the learned mask falls on the annotated part"),
        "occlusion": ("beyond the papers", "occlusion falls on the annotated part"),
    }
    for model, part in table.groupby("model", sort=False):
        for instrument, (where, statement) in names.items():
            own = part[part["instrument"] == instrument]
            for measure, chance in (("pointing", "chance_pointing"), ("iou", "chance_iou")):
                ours = over_people(own[measure] - own[chance], own["person"], run.seed)
                words = "pointing accuracy" if measure == "pointing" else "IoU"
                run.claim(
                    where,
                    f"{model}: {statement} more than by chance ({words})",
                    f"{words} ({own[measure].mean():.2f}) minus chance ({own[chance].mean():.2f}); "
                    "holds if the interval lies above 0",
                    "",
                    ours,
                    ours.low > 0,
                    dataset,
                )
        for instrument in ("relevance", "mask"):
            sides = [by_person(part[part["instrument"] == name], "pointing") for name in (instrument, "occlusion")]
            ours = difference(*sides, run.seed)
            run.claim(
                names[instrument][0],
                f"{model}: {instrument} finds the annotated part better than occlusion",
                f"pointing accuracy of {instrument} minus of occlusion; holds if the interval lies above 0",
                "",
                ours,
                ours.low > 0,
                dataset,
            )


def verdicts(run):
    """Return the claims made so far as a table to show."""
    return run.verdicts(SHOWN).replace({np.nan: ""})
