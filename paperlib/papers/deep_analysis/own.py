"""Our own small models in the form of the paper's benchmark: one row per checkpoint, measured on its clips.

A notebook's settings list checkpoints under `models`. Those that are not trained yet are left out and named
by `missing`; what needs them is then not drawn and not claimed.
"""

import re
from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy import stats

from ...errors import InputError
from ...storage.zoo_lists import without_seed
from ...training import checkpoints
from .. import analysis, needs, stand_ins, statistics
from ..findings import Finding, of_several, runs_each
from . import BASELINE, spatial_contribution, temporal_improvement

STANDS_FOR = {  # the paper trained on the smaller "mini" sets alone
    ours: f"mini-{theirs}"
    for ours, theirs in stand_ins.STANDS_FOR.items()
    if theirs != "KTH" and ours.startswith(("synth_", "mini_"))
}
EQUATION_1 = {"phi": spatial_contribution, "psi_ta": temporal_improvement, "psi_ta_tp": temporal_improvement}
MODULE = {"TAM2D": "TAM"}
BACKBONE = {"Inc": "InceptionV1", **{f"R{depth}": f"ResNet{depth}" for depth in (18, 34, 50, 101, 152)}}
NAME = re.compile(r"(?P<module>\w+)-(?P<backbone>R\d+|Inc)-f(?P<frames>\d+)(?P<pooled>-tp)?")


SIZE = ("dataset", "backbone", "num_frames")  # in which networks agree that are compared in something else
EARLY = "training of its networks was stopped early, or they are not trained here"
SIMILAR = 2.0  # points of top-1: "very similar performance (difference of less than 2%)", section 6.2


@dataclass(frozen=True)
class Scored:
    """One network's answers and what it is: correct [runs, n] (bool), a row for each of its training runs.

    key: the name of its run with seed 0, which names the network, with what else was asked of the same network behind
    a space; runs: the names of those that are there; steep: whether training stopped early (`steep`).
    """

    key: str
    correct: np.ndarray
    row: dict
    steep: bool = False
    runs: tuple = ()

    @property
    def network(self):
        """The network's name, whatever was asked of it."""
        return self.key.partition(" ")[0]


def listed(run):
    """Return the checkpoints that the notebook's settings list and that are trained."""
    return needs.there(run.settings.get("models", []), run.data_root)[0]


def missing(run):
    """Return the listed networks of which no run is there; says how to get those and their data."""
    lacking = needs.there(run.settings.get("models", []), run.data_root)[1]
    if lacking:
        print(needs.say(lacking))
    return list(lacking)


def datasets(scored, *roles):
    """Return the data sets of scored checkpoints that stand for these of the paper (`mini-SSV2`, ...), in turn."""
    there = dict.fromkeys(one.row["dataset"] for one in scored.values())
    return [name for role in roles for name in there if STANDS_FOR.get(name) == role]


def from_kinetics(row):
    """Whether a described checkpoint started from one of another data set, of the kind of Kinetics."""
    start = row["init_from"].partition("/")[0]
    return "kinetics" in start and start != row["dataset"]


def describe(key):
    """Return what a checkpoint is, from its header: dataset, module, backbone, num_frames, temporal_pooling,
    placement, sampling, init_from, seed. Networks without a backbone in their name (SlowFast) have an empty one."""
    header = checkpoints.meta(checkpoints.find(key))
    recipe, config = header["recipe"], header["config"]
    found = NAME.fullmatch(config["name"])
    module, backbone, frames, pooled = found.groups() if found else (config["name"], "", 0, None)
    return {
        "model": key.partition("/")[2],
        "dataset": header["dataset"],
        "module": MODULE.get(module, module),
        "backbone": BACKBONE.get(backbone, backbone),
        "num_frames": int(frames),
        "temporal_pooling": int(bool(pooled)),
        "placement": config.get("placement", "all"),
        "init_from": recipe.get("init_from", ""),
        "sampling": recipe.get("sampling", "uniform"),
        "kernel_size": config.get("kernel_size", 3),
        "ensemble": recipe.get("ensemble", 0),
        "seed": recipe.get("seed", 0),
    }


def score(run, keys=None):
    """Return {network: Scored} of the listed checkpoints on the validation videos, one clip each, runs together."""
    correct = {}
    for key in listed(run) if keys is None else keys:
        answers = analysis.predictions(key, limit=run.settings.get("videos"), device=run.device, root=run.data_root)
        correct.setdefault(without_seed(key)[0], {})[key] = np.asarray(answers["correct"])
    return {
        network: Scored(network, np.stack(list(runs.values())), describe(min(runs)), any(map(steep, runs)), tuple(runs))
        for network, runs in correct.items()
    }


def steep(key):
    """Whether a checkpoint's training stopped while its accuracy still rose by more than `SIMILAR` points.

    That is, by more than that between its last two measurements even at the low end of the rise's 95 % interval over
    the validation videos, where the header says how many they were.
    """
    header = checkpoints.meta(checkpoints.find(key))
    measured = [epoch["accuracy"] for epoch in header.get("history", []) if "accuracy" in epoch][-2:]
    if len(measured) < 2:
        return False
    videos = header.get("videos", {}).get("val", np.inf)
    error = np.sqrt(sum(share * (1 - share) for share in measured) / videos)
    return bool(100 * (measured[1] - measured[0] - stats.norm.ppf(0.975) * error) > SIMILAR)


def trained(scored):
    """Return the scored networks whose training did not stop early; says which are left out."""
    left_out = [one.key for one in scored.values() if one.steep]
    if left_out:
        rose = f"their accuracy still rose by more than {SIMILAR:g} points when training stopped"
        print(f"shown but not compared, {rose}: {', '.join(left_out)}")
    return {key: one for key, one in scored.items() if not one.steep}


def table(scored):
    """Return one row per scored network: `describe`, runs, top1 (%) and its 95 % interval over videos and runs."""
    rows = []
    for one in scored.values():
        value, low, high = statistics.accuracy_interval(one.correct)
        more = {"top1": value, "low": low, "high": high, "videos": one.correct.shape[1], "runs": len(one.correct)}
        rows.append({**one.row, **more})
    return pd.DataFrame(rows)


def benchmark(scored):
    """Return the scored checkpoints that are comparable with the paper's benchmark, under its dataset names.

    Left out are other placements, kernels, ensembles and samplings, and models that started from another
    data set. An f16 model that starts from the f8 one of its data set stays (progressive training).
    """
    models = table(scored)
    if models.empty:
        return models
    transferred = [
        bool(start) and not start.startswith(dataset)
        for start, dataset in zip(models.init_from, models.dataset, strict=True)
    ]
    plain = (
        (models.placement == "all")
        & (models["sampling"] == "uniform")
        & (models.kernel_size == 3)
        & (models.ensemble == 0)
        & (models.backbone != "")
        & ~np.array(transferred)
    )
    models = models[plain & models.dataset.isin(list(STANDS_FOR))]
    return models.assign(stands_for=models.dataset.map(STANDS_FOR)).reset_index(drop=True)


def difference(a, b):
    """Return top-1 of a minus top-1 of b."""
    return a - b


def pooled(pairs, function=difference, weights=None, span=100.0, among=1, family=()):
    """Return a quantity of two networks, pooled over pairs, with its 95 % interval over runs and videos.

    pairs: [(a, b)] of `Scored`, both on the same videos; a run of a network that was asked twice is left out of both.
    function: of the accuracies of a and b in percent (their difference, or equation 1). weights: of the pairs, by
    default those of a mean. span: the most that one video can change the function's value per video. among: of how
    many comparisons this was chosen by its value; the interval then covers all of them at once. family: the networks
    of all these comparisons, chosen or not; those of several runs say by how much chosen ones of one run vary.
    """
    weights = np.full(len(pairs), 1 / len(pairs)) if weights is None else np.asarray(weights)
    sets = {}
    for one in [*(one for pair in pairs for one in pair), *family]:
        sets.setdefault(one.row["dataset"], {}).setdefault(one.network, {})[one.key] = one.correct
    place = {
        (dataset, key): (i, j, k)
        for i, (dataset, networks) in enumerate(sets.items())
        for j, asked in enumerate(networks.values())
        for k, key in enumerate(asked)
    }

    def statistic(top1s):
        def top1(one):
            i, j, k = place[one.row["dataset"], one.key]
            return top1s[i][j][k]

        return sum(w * function(top1(a), top1(b)) for w, (a, b) in zip(weights, pairs, strict=True))

    answers = [[np.stack(list(asked.values()), -1) for asked in networks.values()] for networks in sets.values()]
    level = statistics.at_once(among)
    return statistics.crossed_interval(
        statistic, answers, level=level, span=span, of_run=lambda run: 100 * run.mean(axis=0)
    )


def finding(id, pairs, why=EARLY, among=1, family=(), **how):
    """Return the `Finding` of a statement pooled over pairs; not testable, for the reason given, without any.

    among, family and what else there is: as in `pooled`.
    """
    if not pairs:
        return Finding(id, None, why, "")
    models = {one.key: one for pair in pairs for one in pair}
    seen = of_several(rests_on(models.values(), family), among)
    return Finding(id, pooled(pairs, among=among, family=family, **how), seen, datasets_of(models.values()))


def smallest(id, rivals, **how):
    """Return the `Finding` of the rival that the other networks are the least better than; rivals: pairs of each.

    how: weights and what else there is, as in `pooled`, the same of all rivals.
    """
    there = [pairs for pairs in rivals if pairs]
    closest = min(there, key=lambda pairs: pooled(pairs, **how).value, default=[])
    return finding(id, closest, among=len(there), family=networks_of(there), **how)


def networks_of(comparisons):
    """Return the scored networks of several comparisons, each a list of pairs."""
    return [one for pairs in comparisons for pair in pairs for one in pair]


def rests_on(models, family=()):
    """Return in words how many training runs, networks and videos a comparison sees; family: as in `pooled`."""
    models = list(models)
    videos = {one.row["dataset"]: one.correct.shape[1] for one in models}
    seen = " and ".join(str(n) for n in dict.fromkeys(videos.values()))
    each = runs_each([len(one.correct) for one in models], len({one.network for one in models}))
    if all(len(one.correct) == 1 for one in models) and any(len(one.correct) > 1 for one in family):
        each += " (as varied as those of more runs that were not chosen)"
    return f"{each}, {seen} videos" + (" a data set" if len(videos) > 1 else "")


def datasets_of(models):
    """Return the names of the data sets of scored networks, in words."""
    return ", ".join(dict.fromkeys(one.row["dataset"] for one in models))


def plain(scored, **wanted):
    """Return the scored networks as the paper's benchmark has them: every module in place, uniform clips, from scratch
    or from the same data set with fewer frames; `wanted` narrows their description."""
    return [
        one
        for one in scored.values()
        if (one.row["placement"], one.row["sampling"]) == ("all", "uniform")
        and not one.row["ensemble"]
        and one.row["kernel_size"] == 3
        and one.row["init_from"].partition("/")[0] in ("", one.row["dataset"])
        and all(one.row[name] == value for name, value in wanted.items())
    ]


def matched(a, b, *same):
    """Return the pairs of two lists of scored networks that agree in these entries of their descriptions."""
    return [(x, y) for x in a for y in b if x.key != y.key and all(x.row[name] == y.row[name] for name in same)]


def size(one):
    """Return data set, backbone and length of a scored network."""
    return tuple(one.row[name] for name in SIZE)


def complete(networks, entry, values=None):
    """Return the networks of those sizes in which each of these values of an entry (module, placement) has one.

    values: by default those that occur. The best, or the farthest apart, of means over different sizes would be chosen
    by the sizes.
    """
    values = values or set(s.row[entry] for s in networks)
    sizes = [{size(s) for s in networks if s.row[entry] == value} for value in values]
    return [s for s in networks if s.row[entry] in values and all(size(s) in own for own in sizes)]


def find(scored, **wanted):
    """Return the one scored checkpoint whose description has these values; None where there is none."""
    found = [s for s in scored.values() if all(s.row[name] == value for name, value in wanted.items())]
    if len(found) > 1:
        raise InputError(f"{len(found)} checkpoints have {wanted}: " + ", ".join(s.key for s in found))
    return found[0] if found else None


def contribution(model, baseline, metric="psi_ta"):
    """Return Phi or Psi (equation 1) of one scored model against its spatial baseline, as (value, low, high).

    The 95 % interval is over videos, the same for both models, and over runs where there are several.
    """
    return tuple(pooled([(model, baseline)], EQUATION_1[metric], span=1.0))


def baseline_of(scored, model):
    """Return the scored TSN without temporal pooling of the model's data set and backbone.

    Of several frame counts the closest is taken: TSN has no use for more frames but averaging. None if there
    is none.
    """
    row = model.row
    same = [
        s
        for s in scored.values()
        if s.row["module"] == BASELINE
        and not s.row["temporal_pooling"]
        and (s.row["dataset"], s.row["backbone"]) == (row["dataset"], row["backbone"])
    ]
    return min(same, key=lambda s: abs(s.row["num_frames"] - row["num_frames"]), default=None)
