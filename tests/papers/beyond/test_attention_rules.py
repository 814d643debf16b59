"""The notebook on rules for attention: what its tables say, counted another way."""

import pytest
import torch

from paperlib import relevance
from paperlib.errors import InputError
from paperlib.papers.beyond import attention_rules


@pytest.fixture(scope="module")
def small():
    return attention_rules.networks(["ViT-joint-f8"], 3)["ViT-joint-f8"], attention_rules.pictures(1, 8, 32)


def test_a_shift_of_all_scores_changes_neither_logits_nor_relevance(small):
    before = {name: value.clone() for name, value in small[0].state_dict().items()}
    table = attention_rules.shifted(*small, [1.0])
    assert list(table.columns) == ["shift", "logits", "attnlrp", "cp-lrp"]
    assert table[["logits", "cp-lrp"]].to_numpy().max() < 1e-9 and table["attnlrp"].max() < 1e-5
    assert all(torch.equal(value, before[name]) for name, value in small[0].state_dict().items())


def test_losses_are_what_does_not_reach_the_clip(small):
    table = attention_rules.losses(*small)
    model, x = small
    A = relevance.relevance_matrix(model, x, 0, "lrp", "attnlrp")
    with torch.no_grad():
        logits = model.frame_logits(x)[..., 0]
    own = table[table.rules == "attnlrp"]
    assert own["reaches clip"].iloc[0] == pytest.approx(float(A.sum() / logits.sum()), rel=1e-6)
    lost = own[attention_rules.LOSSES].to_numpy().sum()
    assert lost == pytest.approx(float((logits.sum() - A.sum()) / logits.abs().sum()), abs=1e-4)
    deep = attention_rules.by_depth(model, x)
    assert deep.lost.sum() == pytest.approx(own[["bias", "dead", "leak"]].to_numpy().sum(), abs=1e-4)
    assert deep.layer.iloc[0] == "fc" and deep.layer.iloc[-1] in ("", "embed")


def test_distances_count_what_lies_in_other_frames():
    first = torch.tensor([[[3.0, 1.0], [-1.0, 1.0]]])
    table = attention_rules.distances({"attnlrp": first, "other": torch.eye(2)[None]}).set_index("rules")
    assert table.loc["attnlrp", "in other frames"] == pytest.approx(2 / 6)
    assert table.loc["other", "in other frames"] == 0
    assert table.loc["attnlrp", "correlation with attnlrp"] == pytest.approx(1)


def test_relevance_equals_the_package_of_attnlrps_authors(small):
    model, x = small
    try:
        theirs = attention_rules.by_package(model, x)
    except InputError as absent:
        assert "lxt" in str(absent)
        pytest.skip(str(absent))
    ours = relevance.pixel_relevance(model, x, 0, "lrp", "attnlrp")[0]
    assert float((ours - theirs).abs().max() / theirs.abs().max()) < 1e-3  # their epsilon is zero, ours is 1e-9
