"""What the relevance paper says in its appendix: SlowFast, mini-MiT, plain LRP, dense sampling (see findings.py)."""

from ..findings import Finding
from . import dense, heatmaps, pooled, slowfast, split
from .pooled import across, compared, datasets_of, largest, level, networks, rests_on, right, role_of, same_but


def of_mit_backbones(explained):
    """Return the findings of Figure 12: deeper backbones on the mixed data set."""
    deeper = same_but(explained, "R50", "R18", "MiT")
    return [
        compared(f"tr.fig12.{name}", explained, [pair for pair in deeper if split(pair[0])[1].startswith(module)])
        for name, module in (("i3d", "I3D"), ("tam", "TAM2D"))
    ]


def of_slowfast(explained, shares):
    """Return the findings of Table 4; explained: in slow frames; shares: {SlowFast run: slow pathway's share [n]}."""
    fast = [name for name in networks(explained) if split(name)[1].startswith("SlowFast")]

    def beside(module):
        frames = {name: networks(explained)[name][0].matrix.shape[2] for name in fast}
        found = [(name, f"{split(name)[0]}/{module}-R50-f{frames[name]}") for name in fast]
        return [(a, b) for a, b in found if b in networks(explained)]

    ssv2 = [pair for pair in beside("I3D") if role_of(pair[0]) == "SSV2"]
    by_run = {id(found): shares[key] for key, found in explained.items() if key in shares}
    return [
        compared("tr.table4.avg", explained, beside("I3D")),
        compared("tr.table4.max", explained, beside("I3D"), largest),
        compared("tr.table4.tam", explained, beside("TAM2D")),
        compared("tr.table4.accuracy", explained, ssv2, right),
        level("tr.table4.slow-dominant", explained, fast, lambda found: by_run[id(found)]),
    ]


def of_slowfast_heatmaps(reduced, whole):
    """Return the findings of Figure 11; reduced: in slow frames; whole: {run: SlowFast's n x n matrices}."""
    fast = [name for name in networks(reduced) if split(name)[1].startswith("SlowFast")]
    return [
        level("tr.fig11.spatial", reduced, fast, heatmaps.share("diagonal")),
        level("tr.fig11.uneven", whole, fast, slowfast.in_slow_rows),
    ]


def of_mit(explained):
    """Return the findings of Table 5: the mixed data set against the two others."""
    kinetics, ssv2 = (across(explained, "MiT", role) for role in ("Kinetics", "SSV2"))
    return [
        compared("tr.table5.avg-kinetics", explained, kinetics),
        compared("tr.table5.max-kinetics", explained, kinetics, largest),
        compared("tr.table5.avg-ssv2", explained, ssv2),
        compared("tr.table5.max-ssv2", explained, ssv2, largest),
    ]


def of_rules(explained, changes):
    """Return the findings of Table 6; changes: {metric: `rules.changes`} by LRP minus by CLRP."""
    seen = rests_on(explained), datasets_of(explained)
    return [Finding(f"tr.table6.{metric}", pooled.pool(values), *seen) for metric, values in changes.items()]


def of_dense(explained):
    """Return the findings of Table 7: dense against uniform sampling."""
    samplings = dense.both_samplings(explained)
    return [
        compared("tr.table7.avg", explained, samplings),
        compared("tr.table7.max", explained, samplings, largest),
        compared("tr.table7.accuracy", explained, samplings, right),
    ]


def of_dense_heatmaps(explained):
    """Return the finding of Figure 13: with uniform sampling the middle contributes more than with dense, which is
    that with dense sampling the ends do."""
    samplings = [(uniform, dense_) for dense_, uniform in dense.both_samplings(explained)]
    return [compared("tr.fig13.middle", explained, samplings, heatmaps.share("middle"))]
