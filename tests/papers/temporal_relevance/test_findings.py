"""Each verdict on the relevance paper follows the numbers: on networks for which a statement is true, and false."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from scipy import stats

from paperlib import relevance
from paperlib.papers import claims, published, statistics, temporal_relevance
from paperlib.papers.temporal_relevance import (
    appendix,
    architectures,
    ensembles,
    findings,
    heatmaps,
    pooled,
    questions,
    rules,
)

from .explained import explained, flat


def verdicts(found):
    """Return {statement: verdict} of findings."""
    rows = {
        one.id: claims.not_testable("p/n", one.id, one.rests_on)
        if one.interval is None
        else claims.decide("p/n", one.id, one.interval, one.rests_on, one.dataset)
        for one in found
    }
    return {id: row["verdict"] for id, row in rows.items()}


def test_every_statement_of_the_paper_is_decided_somewhere_in_the_code():
    ids = published.statements().query("paper == 'temporal_relevance'").id
    folder = Path(temporal_relevance.__file__).parent
    code = "".join(
        (folder / f"{name}.py").read_text(encoding="utf-8") for name in ("findings", "questions", "appendix")
    )
    endings = {id.rpartition(".")[2] for id in ids if f'"{id}"' not in code}
    assert not [name for name in endings if f'"{name}"' not in code]  # ids that are put together have their end there


def test_data_sets_and_modules():
    atr = {"synth_ssv2/I3D": 6.0, "synth_kinetics/I3D": 5.0, "synth_ssv2/TAM2D": 5.5, "synth_kinetics/TAM2D": 3.0}
    found = {f"{name}-R50-f8": flat(10, value) for name, value in atr.items()}
    assert verdicts(findings.of_table01(found)) == {
        "tr.table1.avg-datasets": "holds",
        "tr.table1.max-datasets": "holds",
        "tr.table1.tam-on-par": "undecided",  # equal accuracies, but no wrong answer in common to tell by
    }
    by_id = {one.id: one for one in findings.of_modules(found)}
    assert by_id["tr.fig3.i3d-larger"].interval.value == pytest.approx((0.5 + 2.0) / 2)
    assert by_id["tr.fig3.gap-kinetics"].interval.value == pytest.approx(2.0 - 0.5)
    assert set(verdicts(by_id.values()).values()) == {"holds"}
    swapped = {
        name.replace("ssv2", "x").replace("kinetics", "ssv2").replace("x", "kinetics"): v for name, v in found.items()
    }
    assert verdicts(findings.of_table01(swapped))["tr.table1.avg-datasets"] == "contradicted"
    assert verdicts(findings.of_modules(swapped))["tr.fig3.gap-kinetics"] == "contradicted"


def test_accuracies_are_compared_video_by_video():
    rng = np.random.default_rng(0)
    right = rng.random(400) < 0.8
    worse = right & (rng.random(400) < 0.95)
    found = {
        f"synth_ssv2/{name}-R50-f8": flat(4, 5.0, correct=answers)
        for name, answers in (("I3D", right), ("TAM2D", worse))
    }
    (on_par,) = [one for one in findings.of_table01(found) if one.id == "tr.table1.tam-on-par"]
    assert on_par.interval.value == pytest.approx(100 * (worse.mean() - right.mean()))
    assert on_par.rests_on == "1 run each of 2 networks, 400 videos each"
    assert verdicts([on_par]) == {"tr.table1.tam-on-par": "contradicted"}


def local(n, frames, seed):
    """Return matrices with most relevance on the diagonal and little elsewhere."""
    noise = np.random.default_rng(seed).random((n, frames, frames))
    return np.eye(frames) * (10 + np.random.default_rng(seed).random((n, 1, 1))) + 0.3 * noise


def test_what_the_heatmaps_show():
    even = 1 + 0.1 * np.random.default_rng(0).random((12, 16, 16))
    even[:, :, 4:12] *= 0.5  # the ends hold more
    found = {
        "synth_ssv2/I3D-R50-f16": explained(local(12, 16, 1)),
        "synth_kinetics/I3D-R50-f16": explained(even),
    }
    by_id = {one.id: one for one in findings.of_heatmaps(found)}
    ranges = [one.avg.mean() / 16 for one in found.values()]
    assert by_id["tr.fig2.local"].interval.value == pytest.approx(np.mean(ranges))
    table = verdicts(by_id.values())
    assert table["tr.fig2.diagonal"] == table["tr.fig2.ends-kinetics"] == table["tr.fig2.all-contribute"] == "holds"
    assert table["tr.fig2.middle-ssv2"] == "undecided"
    even[:, :, 0] = 1e-4
    assert verdicts(findings.of_heatmaps(found))["tr.fig2.all-contribute"] == "contradicted"


def test_frames_that_rest_on_themselves_have_shorter_ranges():
    frames = np.arange(16)
    distance = abs(frames[:, None] - frames)
    reach = np.array([0.2, 0.5, 1, 2])[:, None, None] * (1 + frames[:, None] / 4)  # grows from row to row
    found = {"synth_ssv2/I3D-R50-f16": clips_of(np.exp(-distance / reach))}
    (one,) = [one for one in findings.of_heatmaps(found) if one.id == "tr.sec3.self-dependence"]
    assert one.interval.value < -0.7 and verdicts([one])[one.id] == "holds"

    def by_hand(matrix, atr):  # Spearman's correlation is Pearson's of the ranks
        return np.corrcoef(stats.rankdata(np.diagonal(matrix) / matrix.sum(1)), stats.rankdata(atr))[0, 1]

    (clips,) = found.values()
    assert one.interval.value == pytest.approx(np.mean(list(map(by_hand, clips.matrix, clips.atr))))
    # later frames hold more on the diagonal, and the rest lies further away: the sign turns
    away = 0.5 * np.eye(16) * (1 + frames[:, None] / 16) + np.tril(distance == frames[:, None] // 2)
    assert heatmaps.self_dependence(clips_of(away[None]))[0] > 0.2
    alike = clips_of(np.eye(16) + 1e-4 * np.random.default_rng(0).random((4, 16, 16)))  # an ATR of 1 everywhere
    assert np.isnan(heatmaps.self_dependence(alike)).all()
    (one,) = [x for x in findings.of_heatmaps({"synth_ssv2/I3D-R50-f16": alike}) if x.id == "tr.sec3.self-dependence"]
    assert one.interval is None and "differ" in one.rests_on


def clips_of(matrix):
    """Explained with the ATR of the matrices themselves."""
    found = explained(matrix)
    found.atr = relevance.atr(torch.tensor(matrix), torch.ones(matrix.shape[:2])).frames.numpy()
    return found


def test_the_least_relevant_frame_rests_on_clips_and_runs_not_on_their_product():
    names = [f"synth_kinetics/I3D-R50-f8{suffix}" for suffix in ("", "-s1", "-s2")]

    def found(least):  # the last frame's share of every clip, one list for each run; the others share the rest alike
        columns = [np.column_stack([*[(1 - share) / 7] * 7, share]) for share in map(np.asarray, least)]
        runs = [explained(np.repeat(shares[:, None], 8, 1)) for shares in columns]
        (one,) = [
            one
            for one in findings.of_heatmaps(dict(zip(names, runs, strict=True)))
            if one.id == "tr.fig2.all-contribute"
        ]
        return one.interval

    shares = 0.05 + 0.02 * np.random.default_rng(0).random(12)
    assert found([shares] * 3) == pytest.approx(statistics.mean_interval(8 * shares))
    apart = found([np.full(12, share) for share in (0.04, 0.05, 0.06)])
    assert apart == pytest.approx(statistics.mean_interval([0.32, 0.40, 0.48]))


def described(values, **columns):
    """A table as `architectures.described` gives it."""
    table = pd.DataFrame({"dataset": "synth_ssv2", "runs": 1, "clips": 10, "avg_atr": values, **columns})
    return table.assign(avg_atr_low=table.avg_atr - 0.1, avg_atr_high=table.avg_atr + 0.1)


def test_backbones():
    names = ["I3D-Inc-f16", "I3D-R18-f16", "I3D-R50-f16", "TAM2D-R18-f16", "TAM2D-R50-f16"]
    atr, sets = [9.0, 8.0, 7.5, 5.0, 6.0], ("synth_kinetics", "synth_ssv2")
    answers = np.arange(40) < 30
    found = {
        f"{dataset}/{name}": flat(10, value, 16, correct=answers if "Inc" in name else np.arange(40) % 10 != 0)
        for dataset in sets
        for name, value in zip(names, atr, strict=True)
    }
    ours = pd.concat(
        [
            described(
                atr, model=names, temporal_convolutions=[20, 16, 16, 8, 16], accuracy=[75, 90, 90, 90, 91.0]
            ).assign(dataset=dataset)
            for dataset in sets
        ]
    )
    by_id = {one.id: one for one in findings.of_backbones(found, ours)}
    assert by_id["tr.fig4a.inception-largest"].interval.value == pytest.approx(1.0)
    assert by_id["tr.fig4a.inception-r50"].interval.value == pytest.approx(1.5)
    seen = "5 architectures, 1 run each, on 2 data sets, 10 clips each"
    assert {by_id[f"tr.fig4a.{name}"].rests_on for name in ("similar-order", "strength", "convolutions")} == {seen}
    table = verdicts(by_id.values())
    assert table["tr.fig4a.inception-largest"] == table["tr.fig4a.inception-accuracy"] == "holds"
    few = verdicts(findings.of_backbones(found, ours[ours.dataset == "synth_ssv2"]))
    assert few["tr.fig4a.similar-order"] == "not testable here"


def test_depth_kernels_and_lengths():
    deep = {f"synth_ssv2/I3D-R{d}-f16": flat(10, v, 16) for d, v in ((50, 6.0), (101, 6.1), (152, 6.3))}
    assert set(verdicts(findings.of_depth(deep)).values()) == {"holds"}
    wide = {f"synth_ssv2/TAM2D-R50-f16{k}": flat(10, v, 16) for k, v in (("", 6.0), ("-k5", 9.0), ("-k7", 6.2))}
    table = verdicts(findings.of_kernels(wide))
    assert table["tr.table2.avg"] == "holds" and table["tr.table2.pronounced"] == "contradicted"
    long = {f"synth_kinetics/I3D-R50-f{n}": flat(8, v, n) for n, v in ((8, 5.0), (16, 6.0), (32, 8.0))}
    assert verdicts(findings.of_lengths(long)) == {
        "tr.fig5a.grows": "holds",
        "tr.fig5a.slow": "contradicted",  # by 3 frames, not about 2
        "tr.fig5a.shorter": "holds",
    }


def windows(frames, single, narrow, n=40):
    """Return what `windows.measure` gives for a model with so many right answers from windows of 1, 2 and 8 frames."""

    def scores(right):
        return np.stack([np.where(np.arange(n) < right, 0.9, 0.1), np.where(np.arange(n) < right, 0.1, 0.9)], 1)

    fixed = np.stack([scores(single), scores(narrow), scores(n - 1)])
    whole = scores(n - 1)
    return {
        "labels": np.zeros(n, int),
        "frames": frames,
        "widths": np.array([1, 2, 8]),
        "whole": whole,
        "fixed": fixed,
    } | {
        "empty_widths": np.array([2]),
        "empty": scores(narrow - 20)[None],
        "ranged": scores(n - 2),
        "width": np.full(n, 8.0),
    }


def test_windows_say_something_only_where_single_frames_do_not_suffice():
    needing = {"synth_kinetics/I3D-R50-f16": windows(16, 10, 30)}
    enough = {"synth_kinetics/I3D-R50-f32": windows(32, 39, 39)}
    table = verdicts(questions.of_windows({**needing, **enough}, "fig6"))
    assert table["tr.fig6.empty"] == "holds" and table["tr.fig6.sized"] == "undecided"
    assert table["tr.fig6.saturated"] == "undecided"  # no clip is lost, which 40 clips cannot tell from a few in 100
    only = verdicts(questions.of_windows(enough, "fig14"))
    assert only == {f"tr.fig14.{name}": "not testable here" for name in ("saturated", "sized", "partial")}
    measured = {**needing, "synth_ssv2/I3D-R50-f16": windows(16, 5, 8)}
    by_id = {one.id: one for one in questions.of_few_frames(measured)}
    assert by_id["tr.fig16.ssv2-more"].interval.value == pytest.approx(100 * (30 - 8) / 40)
    assert set(verdicts(by_id.values()).values()) == {"holds"}


def test_windows_sized_by_atr_are_held_against_the_whole_clip_and_against_fixed_ones_as_wide():
    """Of 400 clips the whole one and windows of 8 frames get 399 right, those of 2 frames 200, ATR-sized ones 239."""
    measured = windows(16, 100, 200, n=400)
    measured |= {"ranged": windows(16, 239, 200, n=400)["fixed"][0], "width": np.full(400, 2.0)}
    by_id = {one.id: one for one in questions.of_windows({"synth_kinetics/TAM2D-R50-f16": measured}, "fig14")}
    assert by_id["tr.fig14.sized"].interval.value == pytest.approx(100 * (239 - 200) / 400)
    assert by_id["tr.fig14.partial"].interval.value == pytest.approx(100 * (239 - 399) / 400)
    assert verdicts(by_id.values())["tr.fig14.partial"] == "contradicted"
    measured["ranged"] = windows(16, 398, 200, n=400)["fixed"][0]  # one clip of 400 is lost
    by_id = {one.id: one for one in questions.of_windows({"synth_kinetics/TAM2D-R50-f16": measured}, "fig14")}
    assert verdicts(by_id.values())["tr.fig14.partial"] == "holds"


def test_an_ensemble_is_compared_on_the_same_rows():
    frames, rng = 8, np.random.default_rng(0)
    full = explained(np.ones((10, frames, frames)))
    full.atr = np.tile([2.0, 3, 4, 5, 5, 4, 3, 2], (10, 1)) + 0.1 * rng.random((10, 1))  # ends are cut short
    full.avg = full.atr.mean(1)
    one = explained(np.ones((10, frames, frames)), full.atr[:, 4])
    found, used = {"d/T-f8-e1": one, "d/T-f8": full}, {"d/T-f8-e1": np.array([4]), "d/T-f8": np.arange(8)}
    (finding,) = questions.of_ensemble(found, used)
    assert one.avg.mean() - full.avg.mean() > 1 and finding.interval.value == pytest.approx(0, abs=1e-12)
    one.avg = full.atr[:, 4] + 1 + 0.01 * rng.normal(size=10)
    (finding,) = questions.of_ensemble(found, used)
    assert finding.interval.value == pytest.approx(1, abs=0.02) and verdicts([finding]) == {"tr.fig10.fewer": "holds"}
    assert ensembles.avg_over(full, [0, 7]) == pytest.approx(full.atr[:, [0, 7]].mean(1))


def test_runs_of_the_model_of_all_frames_count_once_however_many_ensembles_it_is_compared_with():
    few, rng = [f"d/T-f8-e{k}" for k in (1, 2, 4)], np.random.default_rng(0)
    used = {"d/T-f8": np.arange(8), **{name: np.arange(4 - k, 4 + k) for k, name in enumerate(few, 1)}}
    found = {name: explained(np.ones((10, 8, 8)), np.full(10, 5.0)) for name in few}
    for suffix, range_ in (("", 4.0), ("-s1", 5.0), ("-s2", 6.0)):
        one = found[f"d/T-f8{suffix}"] = explained(np.ones((10, 8, 8)))
        one.atr = np.full((10, 8), range_) + 1e-6 * rng.random((10, 1))
    (finding,) = questions.of_ensemble(found, used)
    half = stats.t.ppf(0.975, 2) * np.sqrt(1 / 3 + 3 / 9)  # of 4, 5, 6, and of three networks trained once like them
    assert finding.interval == pytest.approx((0, -half, half), abs=1e-4)


def test_correlations_over_networks():
    rng, names = np.random.default_rng(0), [f"m{k}" for k in range(40)]
    apart = described(rng.normal(size=40), model=names, accuracy=rng.normal(size=40))
    (finding,) = questions.of_correlation(apart)
    assert finding.interval.value == pytest.approx(np.corrcoef(apart.avg_atr, apart.accuracy)[0, 1])
    assert finding.rests_on == "1 run each of 40 networks, 10 clips each"
    (along,) = questions.of_correlation(apart.assign(accuracy=apart.avg_atr + 0.3 * rng.normal(size=40)))
    assert verdicts([along]) == {"tr.fig7.correlation": "contradicted"}
    both = pd.concat([apart, apart.assign(dataset="synth_kinetics", avg_atr=apart.avg_atr + 5)])
    assert architectures.two_orders(both).value > 0.99
    convolutions = both.assign(temporal_convolutions=both.avg_atr.round(1))
    assert architectures.explains_better(convolutions).low > 0.3


def test_the_same_order_on_two_data_sets_has_an_interval_too():
    ranks = pd.DataFrame({"model": list("abcdef"), "avg_atr": range(6), "dataset": "one"})

    def against(other):
        return architectures.two_orders(pd.concat([ranks, ranks.assign(dataset="two", avg_atr=other)]))

    same, swapped, turned = against(range(6)), against([1, 0, 2, 3, 4, 5]), against(range(6)[::-1])
    assert swapped.low < same.low < 0.9 and same.high > 0.99 and same.low > 0.5
    assert np.allclose([turned.low, turned.high], [-same.high, -same.low])
    for found in (same, swapped, turned):
        assert found.low <= found.value <= found.high


def test_classes_and_flags():
    rng, labels = np.random.default_rng(0), np.repeat(np.arange(24), 3)
    names, flags = [f"c{k}" for k in range(24)], np.arange(24) < 12

    def network(shift, between=0.0):
        means = 5 + shift * flags + between * rng.normal(size=24)
        return explained(np.ones((72, 4, 4)), means[labels] + 0.2 * rng.normal(size=72), labels, names, flags)

    alike, apart = network(0.0), network(2.0, 0.8)
    assert verdicts(questions.of_classes({"synth_ssv2/x": alike}, "fig8")) == {
        "tr.fig8.avg": "holds",
        "tr.fig8.max": "holds",
    }
    of8, of15 = (questions.of_classes({"synth_ssv2/x": apart}, figure)[1].interval for figure in ("fig8", "fig15"))
    drawn = np.random.default_rng(1).normal(size=(2000, 174))
    assert of8[0] == pytest.approx(np.ptp(drawn, axis=1).mean() * of15[0], rel=0.02)  # 174, not our 24
    assert verdicts(questions.of_classes({"synth_ssv2/x": apart}, "fig15"))["tr.fig15.avg"] == "contradicted"
    assert verdicts(questions.of_overlap({"synth_mit/x": apart}))["tr.table3.disagree"] == "contradicted"
    assert verdicts(questions.of_sorted({"synth_mit/x": apart}))["tr.fig9.scattered"] == "contradicted"
    assert verdicts(questions.of_overlap({"synth_mit/x": alike}))["tr.table3.especially"] == "not testable here"


def test_slowfast_the_mixed_data_set_and_dense_clips():
    fast, slow = (
        "synth_ssv2/SlowFast-R50-8x8",
        {"synth_ssv2/I3D-R50-f8": flat(10, 6.0), "synth_ssv2/TAM2D-R50-f8": flat(10, 4.0)},
    )
    found = {**slow, fast: flat(10, 5.0)}
    table = verdicts(appendix.of_slowfast(found, {fast: np.linspace(0.6, 0.9, 10)}))
    assert table["tr.table4.avg"] == table["tr.table4.slow-dominant"] == "holds"
    assert table["tr.table4.tam"] == "contradicted"
    atr = {"synth_mit": 5.0, "synth_kinetics": 4.0, "synth_ssv2": 4.5}
    mixed = verdicts(appendix.of_mit({f"{d}/I3D-R50-f8": flat(10, v) for d, v in atr.items()}))
    assert mixed["tr.table5.avg-kinetics"] == "holds" and mixed["tr.table5.avg-ssv2"] == "contradicted"
    clips = {"synth_kinetics/I3D-R50-f8": flat(10, 5.0), "synth_kinetics/I3D-R50-f8-dense": flat(10, 4.0)}
    sampling = verdicts(appendix.of_dense(clips))
    assert sampling["tr.table7.avg"] == "holds" and sampling["tr.table7.max"] == "contradicted"


def test_the_middle_is_held_against_the_other_sampling_not_against_half_of_the_frames():
    """Both samplings have more than half in the middle, dense clips more still: then the contrast is the other way."""
    rng, found = np.random.default_rng(0), {}
    for suffix, middle in (("", 3.0), ("-dense", 5.0)):
        matrix = 1 + 0.01 * rng.random((12, 16, 16))
        matrix[:, :, 4:12] *= middle
        found[f"synth_kinetics/I3D-R50-f16{suffix}"] = explained(matrix)
    (one,) = appendix.of_dense_heatmaps(found)
    assert one.interval.value == pytest.approx(3 / 4 - 5 / 6, abs=0.001)
    assert verdicts([one]) == {"tr.fig13.middle": "contradicted"}


def test_lrp_is_compared_with_clrp_on_the_same_clips():
    name, noise = "synth_ssv2/I3D-R50-f16", 0.01 * np.random.default_rng(0).normal(size=8)
    contrastive = flat(8, 6.0, 16, 1)
    plain = explained(contrastive.matrix, contrastive.avg - 0.2 + noise)
    both = {"clrp": {name: contrastive}, "lrp": {name: plain}}
    change = {metric: rules.changes(both, metric) for metric in ("avg", "max")}
    found = appendix.of_rules(both["clrp"], change)
    assert found[0].interval.value == pytest.approx(-0.2 + noise.mean())
    assert found[0].interval.high - found[0].interval.low < 0.03  # paired: the clips' own spread cancels
    assert set(verdicts(found).values()) == {"holds"}


def test_rows_and_logits():
    doubled, kept = explained(np.full((5, 8, 8), 2 / 8)), explained(np.full((5, 8, 8), 1 / 8))
    doubled.matrix += 0.01 * np.random.default_rng(0).random((5, 1, 1))
    found, (check,) = findings.of_method({"a/x": doubled}, {"a/x": kept})
    assert verdicts(found) == {"tr.sec3.row-sums": "contradicted"} and check.passes and check.found == 5


def test_a_network_that_is_not_trained_leaves_its_statement_open():
    assert verdicts(findings.of_depth({"synth_ssv2/I3D-R50-f16": flat(4, 5.0)})) == {
        "tr.fig4b.deeper": "not testable here",
        "tr.fig4b.insignificant": "not testable here",
    }
    assert pooled.level("tr.fig2.local", {}, [], pooled.avg).interval is None
