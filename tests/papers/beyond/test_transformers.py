"""The notebook on video transformers: its code on toy networks, its numbers counted another way."""

import json
from dataclasses import asdict

import numpy as np
import pytest
import torch
import yaml
from torch.nn import functional as F

from paperlib import data, models, relevance
from paperlib.papers import claims, published, report, settings
from paperlib.papers.beyond import transformers
from paperlib.papers.beyond.transformers import decided
from paperlib.storage import paths, zoo_lists
from paperlib.training import checkpoints
from paperlib.training.recipes import Recipe
from tests import toy
from tests.papers.temporal_relevance.explained import explained, flat

SSV2, KINETICS = "synth_ssv2_hard", "synth_kinetics_hard"
TOYS = {  # checkpoint -> options of its network
    f"{SSV2}/ViT-joint-f8": dict(patch=16, depth=2),
    f"{SSV2}/ViT-joint-f8-s1": dict(patch=16, depth=2),
    f"{SSV2}/ViT-joint-f8-nopos": dict(patch=16, depth=2, positions="none"),
    f"{SSV2}/ViT-joint-f8-tubelet2": dict(patch=16, depth=2, tubelet=2),
    f"{SSV2}/MViT-f8": dict(size=32),
    f"{SSV2}/TAM2D-R18-f8": {},
    f"{KINETICS}/ViT-joint-f8": dict(patch=16, depth=2),
    f"{KINETICS}/TAM2D-R18-f8": {},
}


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A project whose data sets are moving bars and whose networks have random weights."""
    toy.project(tmp_path, monkeypatch)
    for name in (SSV2, KINETICS):
        monkeypatch.setitem(data.LOADERS, name, ("tests.toy", "load"))
    monkeypatch.setattr(paths, "FIGURES", tmp_path / "figures")
    own = {"clips": 2, "scored": 6, "min_score": 0.0, "sigma": 0.975, "videos": 2, "widths": [1, 4], "empty": [4]}
    own["models"] = [*TOYS, f"{SSV2}/Swin3D-f8"]  # one is missing
    (tmp_path / "own.yaml").write_text(yaml.safe_dump({"notebooks": {"beyond/transformers": own}}))
    return tmp_path


def train(keys):
    """Write checkpoints of networks with random weights."""
    for seed, key in enumerate(keys):
        dataset, _, name = key.partition("/")
        plain, run = zoo_lists.without_seed(name)
        torch.manual_seed(seed)
        model = models.create(plain.partition("-f8")[0] + "-f8", num_classes=2, width=4, **TOYS[key])
        recipe = Recipe(model.config["name"], dataset, size=32, seed=run)
        meta = {"recipe": asdict(recipe), "dataset": dataset, "classes": ["left", "right"], "seed": run}
        meta |= {"accuracy": 0.5, "history": [{"epoch": 1, "loss": 0.7}]}
        checkpoints.save(checkpoints.path(f"{dataset}/{name}"), model, meta)


def start(folder):
    return report.start("beyond/transformers", profile="own.yaml", device="cpu")


def execute(folder):
    """Run the notebook's code cells with the toy profile; returns their names."""
    cells = json.loads((paths.NOTEBOOKS / "beyond/transformers.ipynb").read_text(encoding="utf-8"))["cells"]
    names = {}
    for cell in cells:
        if cell["cell_type"] == "code":
            source = "".join(cell["source"]).replace('profile = "mini"', 'profile = "own.yaml"')
            exec(compile(source, "cell", "exec"), names)
    return names


def test_without_a_transformer_the_notebook_says_so_and_every_statement_is_untested(folder):
    train([f"{SSV2}/TAM2D-R18-f8"])
    with pytest.raises(
        report.Skipped, match="^no checkpoint: none of its 6 video transformers is trained; paperlib zoo"
    ):
        execute(folder)
    (rows,) = folder.rglob("transformers.claims.csv")
    assert rows.read_text().count("not testable here") == len(ids())


def ids():
    return {id for id in published.statements().id if id.startswith("transformers.")}


@pytest.mark.filterwarnings("ignore:.*rows have no relevance", "ignore:Mean of empty slice")
def test_the_notebook_runs_on_toy_networks_and_its_table_is_right(folder, monkeypatch):
    import matplotlib

    monkeypatch.setattr(matplotlib, "interactive", lambda *_: None)
    matplotlib.use("Agg")
    train(TOYS)
    names = execute(folder)
    assert {one["id"] for one in names["run"].claims} == ids()
    assert len(list(folder.rglob("transformers*.png"))) == 3
    rows, found = names["rows"].set_index(["dataset", "model", "rules"]), names["found"]
    assert rows.loc[(SSV2, "ViT-joint-f8", "paper"), "runs"] == 2
    assert rows.loc[(SSV2, "ViT-joint-f8-tubelet2", "rollout"), "steps"] == 4
    assert (KINETICS, "TAM2D-R18-f8", "rollout") not in rows.index

    key = f"{SSV2}/ViT-joint-f8"
    one, (model, header) = found["attnlrp"][key], checkpoints.load(key)
    bars = toy.load("toy_bars", "val", size=32, limit=6)
    index = [transformers.analysis.indices(bars.num_frames(i), {**header, "num_frames": 8}) for i in one.videos]
    clips = torch.stack([data.clips.to_clip(bars.frames(i, k)) for i, k in zip(one.videos, index, strict=True)])
    A = relevance.relevance_matrix(model, clips, one.labels.tolist(), rules="attnlrp", clip_at="frame", rows="split")
    assert np.allclose(one.matrix, A.detach(), atol=1e-5 * float(A.abs().max()))
    roll = found["rollout"][key]
    assert np.allclose(roll.matrix, rolled_out(model, clips), atol=1e-5)
    assert roll.atr[0].tolist() == [shortest(row, i) for i, row in enumerate(roll.matrix[0])]
    assert (1 - transformers.own_share(roll.matrix))[0] == pytest.approx(
        1 - np.trace(roll.matrix[0]) / roll.matrix[0].sum(), abs=1e-6
    )


def rolled_out(model, clips):
    """Return attention rollout [B, T, T] of a ViT-joint by its definition: products of (A + I) / 2, then means."""
    held, fused = [], F.scaled_dot_product_attention

    def noting(q, k, v, **options):
        held.append((q @ k.transpose(-1, -2) * q.shape[-1] ** -0.5).softmax(-1).mean(1))
        return fused(q, k, v, **options)

    F.scaled_dot_product_attention = noting
    try:
        with torch.no_grad():
            model(clips)
    finally:
        F.scaled_dot_product_attention = fused
    rolled = torch.eye(held[0].shape[1])
    for A in held:
        rolled = (A + torch.eye(A.shape[1])) / 2 @ rolled
    frames = clips.shape[2]
    return rolled.unflatten(1, (frames, -1)).mean(2).unflatten(2, (frames, -1)).sum(3).numpy() / frames


def shortest(row, i, sigma=0.975):
    """Return the length of the shortest run of frames around i that holds sigma of a row, by trying all."""
    n = len(row)
    return min(
        r - left + 1
        for left in range(i + 1)
        for r in range(i, n)
        if row[left : r + 1].sum() >= sigma * row.sum() - 1e-9
    )


@pytest.mark.parametrize("depth", [1, 2])
@pytest.mark.parametrize("rules", ["paper", "attnlrp"])
def test_attention_within_a_band_of_frames_keeps_relevance_within_it(rules, depth, monkeypatch):
    torch.manual_seed(0)
    model = models.create("ViT-joint-f8", num_classes=2, width=4, patch=16, depth=depth).eval()
    frame = torch.arange(8).repeat_interleave(4)
    band = (frame[:, None] - frame[None]).abs() <= 1
    fused = F.scaled_dot_product_attention
    monkeypatch.setattr(F, "scaled_dot_product_attention", lambda q, k, v: fused(q, k, v, attn_mask=band))
    clips = torch.rand(2, 3, 8, 32, 32)
    found = transformers._matrices(model, clips, np.array([0, 1]), [rules, "rollout"])
    outside = (torch.arange(8)[:, None] - torch.arange(8)[None]).abs().numpy() > depth
    for name in (rules, "rollout"):
        A = found[name]
        assert np.abs(A[:, outside]).max() < 1e-6 * np.abs(A).max() < np.abs(A[:, ~outside]).max()
        whole = torch.from_numpy(A), torch.ones(2, 8)
        assert float(relevance.atr(*whole).max.max()) <= 2 * depth + 1
    monkeypatch.undo()
    same = models.create("ViT-joint-f8", num_classes=2, width=4, patch=16, depth=depth).eval()
    same.load_state_dict(model.state_dict())
    free = transformers._matrices(same, clips, np.array([0, 1]), [rules, "rollout"])
    assert min(np.abs(free[name][:, outside]).max() / np.abs(free[name]).max() for name in (rules, "rollout")) > 1e-4


def test_windows_are_tried_on_networks_that_predict_every_frame():
    names = ["ViT-joint-f8", "ViT-joint-f8-s1", "ViT-joint-f8-tubelet2", "Swin3D-f8", "I3D-R18-f8", "I3D-R18-f8-s1"]
    keys = [f"{SSV2}/{name}" for name in [*names, "I3D-R18-f8-early"]]
    assert transformers.framewise(keys) == [keys[0], keys[1], keys[4]]


def run_of(accuracy, avg):
    """Return an Explained of ten clips with so many percent of 100 videos right."""
    return flat(10, avg, correct=np.arange(100) < accuracy)


def test_runs_are_matched_by_accuracy_each_once():
    found = {
        f"{SSV2}/ViT-joint-f8": run_of(50, 6.0),
        f"{SSV2}/ViT-joint-f8-s1": run_of(54, 6.0),
        f"{SSV2}/ViT-joint-f8-nopos": run_of(52, 6.0),
        f"{SSV2}/I3D-R18-f8": run_of(52, 4.0),
        f"{SSV2}/I3D-R18-f8-early": run_of(48, 4.0),
        f"{SSV2}/TAM2D-R18-f8": run_of(70, 4.0),
        f"{KINETICS}/Swin3D-f8": run_of(60, 5.0),
        f"{KINETICS}/I3D-R18-f8": run_of(64, 5.0),
    }
    assert transformers.matched(found) == [
        (f"{SSV2}/ViT-joint-f8", f"{SSV2}/I3D-R18-f8-early"),
        (f"{SSV2}/ViT-joint-f8-s1", f"{SSV2}/I3D-R18-f8"),
    ]
    assert transformers.matched({key: one for key, one in found.items() if "I3D" not in key}) == []


def varied(mean, seed, accuracy=50, n=40):
    """Return an Explained whose clips' ranges scatter around a mean."""
    right = np.arange(100) < accuracy
    noise = np.random.default_rng(seed).normal(0, 0.03, n)
    return explained(np.ones((n, 8, 8)), mean + noise, correct=right)


def verdicts(found, measured=None):
    rows = {}
    for one in decided.findings(found, measured or {}):
        entered = (
            claims.not_testable("p/n", one.id, one.rests_on)
            if one.interval is None
            else claims.decide("p/n", one.id, one.interval, one.rests_on, one.dataset)
        )
        rows[one.id.partition(".")[2]] = entered["verdict"]
    return rows


def ranges(**means):
    """Return what `reaches` gives for networks on both data sets, two runs each; names with _ for -."""
    found, seed = {name: {} for name in ("paper", "attnlrp", "rollout")}, 0
    for dataset, more in ((SSV2, 1.0), (KINETICS, 0.0)):
        for name, mean in means.items():
            for run in ("", "-s1"):
                key = f"{dataset}/{name.replace('_', '-')}{run}"
                seed += 1
                for rules in ("paper", "attnlrp", *(["rollout"] if transformers.attends(key) else [])):
                    found[rules][key] = varied(mean + more + (rules == "rollout"), seed + 100 * (rules == "rollout"))
    return found


def test_verdicts_follow_the_ranges():
    larger = ranges(
        ViT_joint_f8=5.0, ViT_joint_f8_nopos=6.0, ViT_joint_f8_tubelet2=6.0, Swin3D_f8_window2=3.0, Swin3D_f8=5.0,
        I3D_R18_f8=4.0, TAM2D_R18_f8=4.0,
    )  # fmt: skip
    found = verdicts(larger)
    (one,) = (one for one in decided.findings(larger, {}) if one.id == "transformers.max")
    assert one.rests_on == "8 pairs of runs, of 2 transformers and 2 CNNs, 40 clips each"
    assert found.pop("correlation") == "undecided" and found.pop("saturated") == "not testable here"
    assert set(found.values()) == {"holds"} and len(found) == 8
    smaller = ranges(ViT_joint_f8=3.0, Swin3D_f8=3.0, I3D_R18_f8=4.0, TAM2D_R18_f8=4.0)
    found = verdicts(smaller)
    assert {found[name] for name in ("avg-paper", "avg-attnlrp", "max")} == {"contradicted"}
    assert {found[name] for name in ("positions", "tubelets", "window", "correlation")} == {"not testable here"}


def test_every_statement_has_a_finding_and_settings_list_what_the_zoo_has():
    empty = {name: {} for name in ("paper", "attnlrp", "rollout")}
    assert {one.id for one in decided.findings(empty, {})} == ids()
    listed = settings.settings("beyond/transformers")["models"]
    assert set(listed) <= {key for key, _ in zoo_lists.entries()} and len(listed) == len(set(listed))


def test_two_networks_on_a_data_set_are_always_in_line_and_decide_nothing():
    names = ("ViT-joint-f8", "ViT-divided-f8", "Swin3D-f8", "MViT-f8")
    one = {f"{SSV2}/{name}": varied(4 + k % 2, k, 40 + 5 * k, n=30 + k) for k, name in enumerate(names)}
    other = {f"{KINETICS}/{name}": varied(4 + k, k, 40 + 5 * k) for k, name in enumerate(names[:2])}
    alone, both = (decided.correlation("transformers.correlation", found) for found in (one, one | other))
    assert alone == both and both.dataset == SSV2
    assert both.rests_on == "1 run each of 4 networks, 30 to 33 clips each"
