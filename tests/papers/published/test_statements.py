"""Every bound of a criterion that is not 0 is derived from what its paper prints; sizes follow from printed shares."""

import ast
import operator
import re

import numpy as np
import pytest
from scipy import stats

from paperlib.errors import InputError
from paperlib.papers import claims, published, verdicts
from paperlib.papers.deep_analysis import experiments
from paperlib.papers.temporal_relevance import partial
from tests import shared

TEXTS = {
    "temporal_relevance": "papers/temporal_relevance_analysis_eccv.txt",
    "video_features": "papers/interpreting_video_features_accv2020.txt",
    "deep_analysis": "papers/deep_analysis_cvpr2021.txt",
}
SHORT = {"TRA": "temporal_relevance", "ACCV": "video_features", "CVPR": "deep_analysis"}
BEYOND = {f"beyond.erf-{what}": "temporal_relevance" for what in ("which", "how-many")}
NUMBER = r"-?\d+(?:\.\d+)?"
BOUND = rf"({NUMBER}) = ([-+*/(). \d]+?)(?=, {NUMBER} = |: )"
OPERATORS = {ast.Add: operator.add, ast.Sub: operator.sub, ast.Mult: operator.mul, ast.Div: operator.truediv}
QUARTILE = "0.6745"  # of the normal distribution; stands in no paper
MODELLED = {"tr.fig9.scattered": {"0.65"}}  # what arithmetic on printed numbers does not give has a test of its own


def rows():
    return [row for row in published.statements().to_dict("records") if row["criterion"] not in ("> 0", "< 0")]


def value(expression):
    """Return what an expression of numbers, + - * / and brackets comes to."""

    def of(node):
        if isinstance(node, ast.BinOp):
            return OPERATORS[type(node.op)](of(node.left), of(node.right))
        return -of(node.operand) if isinstance(node, ast.UnaryOp) else node.value

    return of(ast.parse(expression, mode="eval").body)


def ends(criterion):
    """Return the bounds that a criterion spells, 0 left out."""
    allowed = verdicts.criterion(criterion)
    bounds = {allowed.high} if criterion.startswith("within") else {allowed.low, allowed.high}
    return {bound for bound in bounds if np.isfinite(bound) and bound != 0}


@pytest.mark.parametrize("row", rows(), ids=lambda row: row["id"])
def test_every_bound_is_derived(row):
    if not row["criterion"]:
        assert row["derived"].startswith("no criterion: ") and "“" in row["derived"]
        return
    derived = {float(bound): (bound, expression) for bound, expression in re.findall(BOUND, row["derived"])}
    assert ends(row["criterion"]) <= set(derived), row
    for bound, expression in derived.values():
        unit = 10.0 ** -len(bound.partition(".")[2])
        assert value(expression) == pytest.approx(float(bound), abs=unit / 2 + 1e-9), row


def of_papers():
    """Return the derived statements that a paper makes; what is beyond the papers has sides and shares alone."""
    table = published.statements()
    return table[(table.derived != "") & (table["where"] != "beyond the papers")].to_dict("records")


@pytest.mark.parametrize("row", of_papers(), ids=lambda row: row["id"])
def test_what_a_bound_is_derived_from_stands_in_the_paper(row):
    paper = SHORT.get(row["where"].split()[0], row["paper"])
    text = shared.path(TEXTS[BEYOND.get(row["id"], paper)]).read_text(encoding="utf-8")
    text = re.sub(r"\s+", " ", re.sub(r"-\s*\n\s*", "", text).replace("*", ""))
    for quote in re.findall("“(.*?)”", row["derived"]):
        assert quote in text, quote
    expressions = " ".join(expression for _, expression in re.findall(BOUND, row["derived"]))
    for number in set(re.findall(r"\d+\.\d+", expressions)) - {QUARTILE} - MODELLED.get(row["id"], set()):
        assert number in text, number


def test_what_is_beyond_the_papers_quotes_none_of_them():
    beyond = published.statements().query("where == 'beyond the papers'")
    assert len(beyond) and not beyond.derived.str.contains("“").any()


def test_sides_are_not_given_a_reason_they_do_not_need():
    table = published.statements().set_index("id")
    zero = table[table.criterion.isin(["> 0", "< 0"])]
    assert zero.derived[zero.derived != ""].str.startswith("a side: ").all()


def test_a_statement_without_a_criterion_is_not_testable():
    said = published.statements().set_index("id").loc["tr.fig9.many-static"]
    row = claims.decide("p/n", "tr.fig9.many-static", (0.9, 0.8, 1.0), "9 classes", "synth_ssv2")
    assert row["verdict"] == verdicts.UNTESTABLE and row["rests_on"] == said.derived and row["ours"] == ""
    with pytest.raises(InputError, match="criterion"):
        verdicts.verdict("", (0.9, 0.8, 1.0))


def test_printed_overlaps_say_how_far_temporal_and_static_classes_are_apart():
    """Classes' avg-ATR are normal, those called temporal and static shifted; 18 of 174 are on top, 18 at the bottom."""
    top = stats.norm.isf(18 / 174)
    shift = (top - stats.norm.isf(0.222)) + (top - stats.norm.isf(0.111))
    rng = np.random.default_rng(0)
    temporal, static = rng.normal(shift, 1, 10**6), rng.normal(0, 1, 10**6)
    allowed = verdicts.criterion(published.statements().set_index("id").criterion["tr.fig9.scattered"])
    assert (temporal > static).mean() == pytest.approx(allowed.high, abs=0.005)
    assert allowed.low == pytest.approx(1 - allowed.high)


def test_orders_of_figure_4a_have_the_rank_correlations_that_are_called_not_strong():
    table = published.table("temporal_relevance_fig04a").query("column == 'accuracy'")
    found = {name: stats.spearmanr(-np.arange(5), part.value).statistic for name, part in table.groupby("dataset")}
    by_id = published.statements().set_index("id").criterion
    assert sorted(found.values()) == pytest.approx([-0.6, -0.5])  # the rows are in the figure's order
    assert verdicts.criterion(by_id["tr.fig4a.strength"]).high == pytest.approx(-min(found.values()))
    assert verdicts.criterion(by_id["tr.fig7.correlation"]).high == pytest.approx(-max(found.values()) / 2)
    orders = [part.row.tolist() for _, part in table.groupby("dataset")]
    same = stats.spearmanr(range(5), [orders[1].index(name) for name in orders[0]]).statistic
    assert same == pytest.approx(0.9)


def test_cut_offs_in_code_are_those_of_the_statements():
    by_id = published.statements().set_index("id").criterion
    assert -partial.LOSS == verdicts.criterion(by_id["tr.fig6.saturated"]).low
    table = published.table("chen2021_mini_benchmark")
    spatial = table[(table.module == "TSN") & (table.temporal_pooling == 0)]
    assert pytest.approx(1 - spatial.top1.max() / 100, abs=5e-4) == experiments.ROOM


@pytest.mark.parametrize("dataset", ["mini-SSV2", "mini-Kinetics", "mini-MiT"])
def test_printed_accuracies_are_shares_of_so_many_videos(dataset):
    """Of the true number most accuracies with four decimals are shares; of another one in a hundred by chance.

    The others were counted over whole batches, the last of which was filled up.
    """
    size = int(published.value("dataset_sizes", column="validation", dataset=dataset))
    table = published.table("chen2021_mini_benchmark")
    printed = table.loc[table.dataset == dataset, ["top1", "top5"]].to_numpy().ravel()

    def shares(count):
        right = np.round(printed * count / 100)
        return (np.abs(100 * right / count - printed) < 6e-5).mean()

    counts = range(size - 1500, size + 1500)
    fits = {count: shares(count) for count in counts}
    assert max(fits, key=fits.get) == size and fits[size] > 0.5
