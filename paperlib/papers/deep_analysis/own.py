"""Our own small models in the form of the paper's benchmark: one row per checkpoint, measured on its clips.

A notebook's settings list checkpoints under `models`. Those that are not trained yet are left out and named
by `missing`; what needs them is then not drawn and not claimed.
"""

import re
from dataclasses import dataclass

import numpy as np
import pandas as pd

from ...errors import InputError
from ...training import checkpoints
from .. import analysis, needs, statistics
from . import BASELINE, spatial_contribution, temporal_improvement
from .findings import claim

STANDS_FOR = {
    "synth_ssv2": "mini-SSV2",
    "synth_kinetics": "mini-Kinetics",
    "synth_mit": "mini-MiT",
    "mini_ssv2": "mini-SSV2",
    "mini_kinetics": "mini-Kinetics",
    "mini_mit": "mini-MiT",
}
MODULE = {"TAM2D": "TAM"}
BACKBONE = {"Inc": "InceptionV1", **{f"R{depth}": f"ResNet{depth}" for depth in (18, 34, 50, 101, 152)}}
NAME = re.compile(r"(?P<module>\w+)-(?P<backbone>R\d+|Inc)-f(?P<frames>\d+)(?P<pooled>-tp)?")


@dataclass(frozen=True)
class Scored:
    """One checkpoint's answers: correct [n] (bool) for the n validation videos, and what it is."""

    key: str
    correct: np.ndarray
    row: dict


def listed(run):
    """Return the checkpoints that the notebook's settings list and that are trained."""
    keys = run.settings.get("models", [])
    lacking = needs.lacking(keys, run.data_root)
    return [key for key in keys if key not in lacking]


def missing(run):
    """Return the listed checkpoints that are not there; says how to get those and their data."""
    keys = run.settings.get("models", [])
    lacking = needs.lacking(keys, run.data_root)
    if lacking:
        print(needs.say(lacking))
    return [key for key in keys if key in lacking]


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
    """Return {checkpoint: Scored} of the listed checkpoints on the validation videos, one clip each."""
    found = {}
    for key in listed(run) if keys is None else keys:
        answers = analysis.predictions(key, limit=run.settings.get("videos"), device=run.device, root=run.data_root)
        found[key] = Scored(key, np.asarray(answers["correct"]), describe(key))
    return found


def table(scored, seed=0):
    """Return one row per scored checkpoint: `describe`, top1 (%), its 95 % bootstrap interval over videos."""
    rows = []
    for one in scored.values():
        value, low, high = statistics.bootstrap_interval(100.0 * one.correct, seed=seed)
        rows.append({**one.row, "top1": value, "low": low, "high": high, "videos": len(one.correct)})
    return pd.DataFrame(rows)


def benchmark(scored, seed=0):
    """Return the scored checkpoints that are comparable with the paper's benchmark, under its dataset names.

    Left out are other placements, kernels, ensembles and samplings, and models that started from another
    data set. An f16 model that starts from the f8 one of its data set stays (progressive training).
    """
    models = table(scored, seed)
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


def gain(a, b, seed=0):
    """Return the mean top-1 of a minus b in points with its 95 % interval; same videos, paired bootstrap."""
    a, b = 100.0 * a.correct, 100.0 * b.correct
    return tuple(statistics.bootstrap_difference(a, b, paired=True, seed=seed))


def find(scored, **wanted):
    """Return the one scored checkpoint whose description has these values; None where there is none."""
    found = [s for s in scored.values() if all(s.row[name] == value for name, value in wanted.items())]
    if len(found) > 1:
        raise InputError(f"{len(found)} checkpoints have {wanted}: " + ", ".join(s.key for s in found))
    return found[0] if found else None


def contribution(model, baseline, metric="psi_ta", seed=0):
    """Return Phi or Psi (equation 1) of one scored model against its spatial baseline, as (value, low, high).

    The 95 % interval is a bootstrap over videos, the same for both models.
    """
    return tuple(
        statistics.bootstrap_interval(
            _answers(model, baseline), _of_answers(metric), seed=seed, method="percentile", resamples=1999
        )
    )


def contribution_difference(a, b, metric="psi_ta", seed=0):
    """Return Phi or Psi of pair a minus that of pair b, (value, low, high); a, b: (model, baseline), each on
    its own videos."""
    return tuple(
        statistics.bootstrap_difference(
            _answers(*a), _answers(*b), _of_answers(metric), seed=seed, method="percentile", resamples=1999
        )
    )


def _answers(model, baseline):
    """Return per video 2 if the model is right, plus 1 if the baseline is: one number to draw both with."""
    return 2 * model.correct.astype(int) + baseline.correct


def _of_answers(metric):
    """Return the statistic that gives Phi or Psi from `_answers`."""
    function = spatial_contribution if metric == "phi" else temporal_improvement

    def statistic(answers):
        right, base = 100.0 * (answers >= 2).mean(), 100.0 * (answers % 2 == 1).mean()
        if max(right, base) == 0 or base == 100:  # a resample in which equation 1 has no value
            return 0.0
        return float(function(right, base))

    return statistic


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


def better(scored, a, b, where, statement, printed, quantity="", seed=0):
    """Return [claim] that model a has a higher top-1 than b on the same videos, or [] where one is missing.

    a, b: keyword descriptions for `find`, or checkpoint names.
    """
    a, b = (scored.get(x) if isinstance(x, str) else find(scored, **x) for x in (a, b))
    if a is None or b is None:
        return []
    interval = gain(a, b, seed)
    text = f"{quantity or 'difference of top-1'} in points over {len(a.correct)} videos, one run each"
    return [claim(where, statement, text, printed, interval, interval[1] > 0, a.row["dataset"], digits=1)]
