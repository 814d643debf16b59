"""What the CVPR 2021 paper says about its benchmark in words, decided from its 288 published accuracies.

Every function returns claims: dictionaries with the arguments of `Run.claim`. Models of one backbone and
frame count share their baseline, so they are averaged first; intervals are 95 % bootstrap intervals over
these settings and tests are Wilcoxon's signed-rank test over them. Each accuracy is one training run (and
the longer inputs are fine-tuned from the shorter): no interval contains the variation between runs.
"""

from .. import statistics
from . import (
    BASELINE,
    DATASETS,
    MODULES,
    compare,
    contributions,
    exchange,
    frame_gain,
    means,
    paired,
    pooling_gain,
    printed_table07,
)

SOURCE = "288 published models"
SIMILAR = 0.05  # two modules behave similarly if their mean contributions differ by less than this
SHOWN = ["where", "statement", "quantity", "published", "ours", "low", "high", "verdict"]


def claim(where, statement, quantity, published, ours, verdict, dataset=SOURCE, **more):
    """Return the arguments of `Run.claim` as a dictionary."""
    verdict = verdict if isinstance(verdict, str) else bool(verdict)
    return dict(
        where=where,
        statement=statement,
        quantity=quantity,
        published=published,
        ours=ours,
        verdict=verdict,
        dataset=dataset,
        **more,
    )


def declare(run, claims):
    """Write claims to the ledger and return all claims of the notebook as a table to look at."""
    for one in claims:
        run.claim(**one)
    return run.verdicts(SHOWN)


def by_setting(values):
    """Return the mean per backbone and frame count of a series indexed by both (and by more)."""
    return values.groupby(level=["backbone", "num_frames"]).mean()


def mean(values, seed=0):
    """Return (mean, low, high) over settings."""
    return tuple(statistics.bootstrap_interval(values, seed=seed))


def of_table07(models, seed=0):
    """Return the claims of section 6.3 about spatial and temporal contributions."""
    value = contributions(models).set_index(["dataset", "metric", "module", "backbone", "num_frames"]).value
    of = {key: part.droplevel([0, 1]).sort_index() for key, part in value.groupby(level=["dataset", "metric"])}
    ssv2, kinetics, mit = DATASETS
    interval = mean(by_setting(of[ssv2, "phi"]), seed)
    claims = [
        *of_printed_cells(models),
        claim(
            "Table 7",
            "On mini-SSV2 space contributes slightly more than time",
            "mean Phi of 36 models; holds if its interval lies above 0.5",
            "0.52 to 0.53",
            interval,
            interval[1] > 0.5,
        ),
        larger(
            of[mit, "phi"],
            of[ssv2, "phi"],
            "Phi",
            "0.36",
            seed,
            "Space contributes much more on mini-MiT than on mini-SSV2",
        ),
        larger(
            of[kinetics, "phi"],
            of[mit, "phi"],
            "Phi",
            "0.08",
            seed,
            "Space contributes more on mini-Kinetics than on mini-MiT",
        ),
        similar(of, "phi", "Phi", "0.04", seed),
        similar(of, "psi_ta", "Psi ta", "0.03", seed),
        larger(
            of[kinetics, "psi_ta"],
            of[mit, "psi_ta"],
            "Psi ta",
            "0.04",
            seed,
            "Temporal modeling is more effective on mini-Kinetics than on mini-MiT",
        ),
    ]
    for dataset in DATASETS:
        a, b = of[dataset, "psi_ta_tp"], of[dataset, "psi_ta"]
        *interval, p = paired(by_setting(a), by_setting(b), seed)
        quantity = f"mean of Psi ta+tp - Psi ta; {int((a < b).sum())} of {len(a)} models lose (Wilcoxon p = {p:.1g})"
        claims.append(
            claim(
                "Table 7",
                f"Temporal pooling lowers the temporal improvement on {dataset}",
                quantity,
                "lower in all cells",
                tuple(interval),
                interval[2] < 0,
            )
        )
    interval = mean(by_setting(of[kinetics, "psi_ta_tp"]), seed)
    claims.append(
        claim(
            "Table 7",
            "With temporal pooling, temporal improvement is negative on mini-Kinetics",
            "mean Psi ta+tp of 36 models",
            "-0.12 to -0.08",
            interval,
            interval[2] < 0,
        )
    )
    return claims


def of_printed_cells(models):
    """Return the two claims about the agreement of the printed with the recomputed cells."""
    recomputed, printed = means(models), printed_table07()
    swapped = exchange(printed, "I3D", "S3D", ("phi", "psi_ta"))
    claims = []
    for table, statement in (
        (printed, "The printed cells follow from equation 1 and the published accuracies"),
        (swapped, "The printed cells follow once I3D and S3D are exchanged in the rows without pooling"),
    ):
        agree = int((~compare(recomputed, table).differs).sum())
        claims.append(
            claim("Table 7", statement, "cells that agree at two decimals, of 27", "27", agree, agree == 27, digits=0)
        )
    return claims


def larger(a, b, label, published, seed, statement):
    """Return the claim that a contribution is larger on one dataset than on another, same models paired."""
    *interval, p = paired(by_setting(a), by_setting(b), seed)
    quantity = f"difference of mean {label} of {len(a)} models (Wilcoxon p = {p:.1g})"
    return claim("Table 7", statement, quantity, published, tuple(interval), interval[1] > 0)


def similar(of, metric, label, published, seed=0):
    """Return the claim that the modules behave similarly, decided by the largest difference of two means."""
    pairs = [(dataset, a, b) for dataset in DATASETS for a in MODULES for b in MODULES if a != b]

    def values(dataset, module):
        return of[dataset, metric].xs(module, level="module")

    dataset, a, b = max(pairs, key=lambda pair: (values(pair[0], pair[1]) - values(pair[0], pair[2])).mean())
    *largest, p = paired(values(dataset, a), values(dataset, b), seed)
    quantity = (
        f"largest difference of two means: {a} - {b} on {dataset} (Wilcoxon p = {p:.1g}); similar means below {SIMILAR}"
    )
    return claim(
        "Table 7",
        f"I3D, S3D and TAM behave similarly in {label}",
        quantity,
        published,
        tuple(largest),
        largest[0] < SIMILAR,
    )


def of_pooling(models, seed=0):
    """Return the claims of section 6.1 about temporal pooling (Figure 6)."""
    gain = pooling_gain(models).set_index(["dataset", "module", "backbone", "num_frames"]).gain
    others, tsn = gain.drop(BASELINE, level="module"), gain.xs(BASELINE, level="module")
    claims = []
    for dataset in DATASETS:
        values = others.xs(dataset)
        *interval, p = paired(by_setting(values), 0 * by_setting(values), seed)
        quantity = (
            f"mean change of top-1 in points; {int((values < 0).sum())} of {len(values)} models lose "
            f"(Wilcoxon p = {p:.1g})"
        )
        claims.append(
            claim(
                "Figure 6",
                f"Temporal pooling hurts I3D, S3D and TAM on {dataset}",
                quantity,
                "negative",
                tuple(interval),
                interval[2] < 0,
            )
        )
    return claims + of_pooling_in_tsn(tsn, others, seed)


def of_pooling_in_tsn(tsn, others, seed=0):
    """Return the claims about temporal pooling in TSN, the one module that profits from it."""
    ssv2, kinetics, mit = (tsn.xs(dataset) for dataset in DATASETS)
    interval, range_ = mean(ssv2, seed), mean(mit, seed)
    claims = [
        claim(
            "Figure 6",
            "Temporal pooling gives TSN more than 20 points on mini-SSV2",
            f"mean gain in points; {int((ssv2 > 20).sum())} of 12 settings are above 20, the "
            f"smallest is {ssv2.min():.2f}",
            "> 20",
            interval,
            interval[1] > 20,
        ),
        claim(
            "Figure 6",
            "Temporal pooling gives TSN 3 to 5 points on mini-MiT",
            f"mean gain in points; the 12 settings range from {mit.min():.2f} to {mit.max():.2f}",
            "3 to 5",
            range_,
            3 <= range_[0] <= 5,
        ),
    ]
    frames = tsn.unstack("num_frames")
    *interval, p = paired(frames[64], frames[8], seed)
    claims.append(
        claim(
            "Figure 6",
            "TSN gains more from temporal pooling with more input frames",
            f"gain at 64 minus gain at 8 frames in points, 9 settings (Wilcoxon p = {p:.1g})",
            "increasing",
            tuple(interval),
            interval[1] > 0,
        )
    )
    best = others.xs("mini-Kinetics").groupby(level=["backbone", "num_frames"]).max()
    *interval, p = paired(kinetics.sort_index(), best.sort_index(), seed)
    claims.append(
        claim(
            "Figure 6",
            "On mini-Kinetics TSN suffers least from temporal pooling",
            f"change of TSN minus the best other change, 12 settings (Wilcoxon p = {p:.1g})",
            "positive",
            tuple(interval),
            interval[1] > 0,
        )
    )
    late, at = (kinetics.xs(n, level="num_frames") for n in (64, 32))
    claims.append(
        claim(
            "Figure 6",
            "On mini-Kinetics TSN gains from temporal pooling after 32 frames",
            f"mean gain at 64 frames in points, 3 backbones (at 32 frames {int((at > 0).sum())} of 3 gain)",
            "positive",
            mean(late, seed),
            (late > 0).all(),
        )
    )
    return claims


def of_benchmark(models, seed=0):
    """Return the claims of section 6.1 about backbones and input length (Figure 4)."""
    plain = models[models.temporal_pooling == 0]
    backbone = plain.pivot(index=["dataset", "module", "num_frames"], columns="backbone", values="top1")
    claims = []
    for better, worse in (("ResNet50", "InceptionV1"), ("InceptionV1", "ResNet18")):
        *interval, p = paired(backbone[better], backbone[worse], seed)
        wins = int((backbone[better] > backbone[worse]).sum())
        quantity = f"difference of top-1 in points; better in {wins} of {len(backbone)} settings (Wilcoxon p = {p:.1g})"
        claims.append(
            claim(
                "Figure 4",
                f"{better} is better than {worse}, whatever the module",
                quantity,
                "better",
                tuple(interval),
                interval[1] > 0,
            )
        )
    steps = frame_gain(plain)
    early = steps[steps.to_frames <= 32].groupby(["dataset", "module", "backbone"]).gain.sum()
    *interval, p = paired(early, 0 * early, seed)
    quantity = (
        f"gain from 8 to 32 frames in points; better in {int((early > 0).sum())} of {len(early)} "
        f"settings (Wilcoxon p = {p:.1g})"
    )
    claims.append(
        claim("Figure 4", "More input frames give better results", quantity, "better", tuple(interval), interval[1] > 0)
    )
    for dataset in DATASETS:
        late = steps[(steps.to_frames == 64) & (steps.dataset == dataset)].gain
        *interval, p = paired(late, 0 * late, seed)
        quantity = (
            f"gain from 32 to 64 frames in points, {len(late)} settings; holds if Wilcoxon's p = {p:.1g} is above 0.05"
        )
        claims.append(
            claim(
                "Figure 4",
                f"On {dataset} the improvement after 32 frames is not significant",
                quantity,
                "not significant",
                tuple(interval),
                p > 0.05,
            )
        )
    return claims
