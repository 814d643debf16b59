"""Public checkpoints as the project's own: the same network, found by name, refused where they do not fit."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch

from paperlib import cli, models
from paperlib.data import public
from paperlib.errors import InputError
from paperlib.models import weights
from paperlib.papers import needs, report, settings
from paperlib.storage import paths
from paperlib.training import adopted, checkpoints, recipes
from tests import toy
from tests.paper_profile import fixtures


@pytest.fixture(autouse=True)
def project(tmp_path, monkeypatch):
    toy.project(tmp_path, monkeypatch)
    monkeypatch.delenv("PAPERLIB_DATA", raising=False)
    needs._why.cache_clear()
    return tmp_path


def network(name, classes, width=4, **options):
    torch.manual_seed(0)
    return models.create(name, num_classes=classes, width=width, **options).eval()


def write(model, file):
    file.parent.mkdir(parents=True, exist_ok=True)
    torch.save(fixtures.stored(model), file)
    return file


@pytest.mark.parametrize(
    "key, options",
    [
        ("ssv2/I3D-R18-f8", {}),
        ("ssv2/TAM2D-R18-f8-k5", {"kernel_size": 5}),
        ("mini_ssv2/TAM2D-Inc-f8", {}),
        ("kth/C-LSTM-f8", {"size": 64, "layers": 2}),
        ("kth/I3D-original-f16", {"reduced_strides": True}),
        ("kinetics400/TAM2D-R18-f8-dense", {}),
    ],
)
def test_an_adopted_checkpoint_is_the_published_network(project, key, options):
    dataset, name, _ = recipes.parts(key)
    theirs = network(name, 7, **options)
    file = write(theirs, project / "theirs.pth.tar")
    assert cli.main(["weights", "adopt", str(file), key, "--size", "64"]) == 0
    ours, header = checkpoints.load(key)
    clip = torch.randn(1, 3, theirs.num_frames, 64, 64)
    with torch.no_grad():
        assert torch.equal(ours(clip), theirs(clip))
    assert header["recipe"]["size"] == 64 and header["dataset"] == dataset and len(header["classes"]) == 7
    assert header["recipe"]["sampling"] == ("dense" if "dense" in key else "uniform")


def test_a_public_checkpoint_is_found_by_the_notebooks_name(project, monkeypatch):
    entry = weights.for_key("ssv2/I3D-R50-f32")
    file = write(network("I3D-R50-f32", 174), project / entry.file)
    asked = []
    monkeypatch.setattr(weights, "get", lambda name, progress: asked.append(name) or file)
    for _ in range(2):
        model, header = checkpoints.load("ssv2/I3D-R50-f32")
    assert asked == ["SSV2-I3D-R50-f32"] and header["source"] == entry.url
    assert header["accuracy"] == pytest.approx(0.6284)
    assert model.config["width"] == 4 and header["recipe"]["size"] == 224
    assert not paths.CHECKPOINTS.exists()


def test_classes_have_their_names_once_the_lists_are_there(project, monkeypatch):
    """A public checkpoint that was first opened without its data set had classes by number for ever."""
    file = write(network("I3D-R50-f32", 174), project / "theirs.pth.tar")
    monkeypatch.setattr(weights, "get", lambda name, progress: file)
    before, header = checkpoints.load("ssv2/I3D-R50-f32")
    assert header["classes"][:2] == ["class 0", "class 1"]
    file.unlink()  # what is there is not fetched again
    lists = SimpleNamespace(classes=[f"Doing {k}" for k in range(173)])
    monkeypatch.setattr(adopted.data, "load", lambda *_, **__: lists)
    assert checkpoints.load("ssv2/I3D-R50-f32")[1] == header  # those of another data set
    lists.classes.append("Doing 173")
    after, named = checkpoints.load("ssv2/I3D-R50-f32")
    assert named == {**header, "classes": lists.classes}
    assert all(torch.equal(value, after.state_dict()[key]) for key, value in before.state_dict().items())
    lists.classes[0] = "Doing 0 otherwise"
    assert checkpoints.load("ssv2/I3D-R50-f32")[1] == named


def test_slowfast_takes_our_clips_and_sees_its_own_normalisation():
    entry = weights.find("K400-SlowFast-R50-8x8")
    plain = network("SlowFast-R50-8x8", 5, width=8)
    ours = network("SlowFast-R50-8x8", 5, width=8, mean=list(entry.mean), std=list(entry.std))
    clip = torch.randn(1, 3, 32, 32, 32)
    with torch.no_grad():
        assert torch.allclose(ours(clip), plain(entry.normalise(clip)), atol=1e-6)
    assert models.create(**ours.config).renormalised


def test_a_file_of_another_network_is_refused_by_name(project):
    file = write(network("I3D-R18-f8", 7), project / "i3d.pth.tar")
    with pytest.raises(InputError, match=f"^{file} does not fit TAM2D-R18-f8 with 7 classes"):
        adopted.adopt(file, "ssv2/TAM2D-R18-f8", size=64)
    assert not paths.CHECKPOINTS.exists()


def test_what_is_adopted_can_be_opened_under_its_name_or_is_not_written(project):
    file = write(network("I3D-R18-f8", 7), project / "i3d.pth.tar")
    adopted.adopt(file, "ssv2/I3D-R18-f8-s2", size=64)
    assert checkpoints.load("ssv2/I3D-R18-f8-s2")[1]["seed"] == 2
    right = checkpoints.path("ssv2/I3D-R18-f8-s2")
    with pytest.raises(InputError, match=f"i3d-r18-f8-s2.safetensors could not be opened.*; name it {right}"):
        adopted.adopt(file, "ssv2/i3d-r18-f8-s2", size=64)
    (project / "file").touch()
    with pytest.raises(InputError, match="net.safetensors cannot be written"):
        adopted.adopt(project / "none.pth", "ssv2/I3D-R18-f8", project / "file" / "net.safetensors")
    assert list(paths.CHECKPOINTS.rglob("*.safetensors")) == [right]


def test_the_zoos_table_shows_what_was_adopted_and_a_list_of_nothing(project, capsys):
    (project / "data").mkdir()
    listed = project / "data" / "zoo.yaml"
    listed.write_text("models: [{model: I3D-R18-f8, dataset: toy_bars, width: 4}]")
    file = write(network("I3D-R18-f8", 7), project / "i3d.pth.tar")
    for command in ("weights", "adopt", str(file), "toy_bars/I3D-R18-f8"), ("zoo", "status"):
        assert cli.main(list(command)) == 0
    assert "toy_bars/I3D-R18-f8 other recipe" in capsys.readouterr().out
    listed.write_text("models: []")
    assert cli.main(["zoo", "status"]) == 0 and "no model is listed" in capsys.readouterr().out


@pytest.mark.parametrize("key", ["I3D-R18-f8", "ssv2/I3D-R18-f8/x", "/I3D-R18-f8", "ssv2/"])
def test_a_file_is_taken_in_under_a_data_sets_and_a_networks_name(project, key):
    file = write(network("I3D-R18-f8", 7), project / "i3d.pth.tar")
    with pytest.raises(InputError, match=f"'{key}' is not a checkpoint's name; it should read <dataset>/<model>"):
        adopted.adopt(file, key, size=64)
    assert not paths.CHECKPOINTS.exists()


def test_what_is_missing_is_named_with_the_way_to_get_it(project, monkeypatch):
    monkeypatch.setattr(public, "locate", lambda name, root: project)
    key = "ssv2/I3D-R50-f8"
    lacking = needs.lacking([key, "kth/C-LSTM-f32"])
    assert needs.say(lacking) == (
        "no checkpoint: ssv2/I3D-R50-f8, kth/C-LSTM-f32; train with `torchrun --nproc-per-node 8 -m paperlib.cli train "
        "--paper ssv2/I3D-R50-f8 --data-root ROOT`, likewise kth/C-LSTM-f32"
    )
    assert needs.lacking([key, "kth/C-LSTM-f32"], "other") == lacking


def test_missing_data_are_one_sentence(project):
    empty = project / "empty"
    empty.mkdir()
    said = needs.say(needs.lacking(["ssv2/I3D-R50-f8", "ssv2/I3D-R50-f16"], str(empty)))
    assert said.startswith(f"{empty} does not hold ssv2: put ") and said.count("does not hold") == 1


def test_without_a_data_root_the_run_says_so_in_one_sentence(capsys, monkeypatch):
    from paperlib.companion import runner

    monkeypatch.setattr(runner, "select", lambda patterns: ["temporal_relevance/table01_datasets"])
    assert cli.main(["run", "--profile", "paper"]) == 2
    error = capsys.readouterr().err
    assert "name their folder with --data-root" in error and error.count("\n") == 1
    assert cli.main(["run", "--profile", "paper", "--data-root", "nowhere"]) == 2
    assert "nowhere is not a folder" in capsys.readouterr().err


def test_a_profile_extends_another_and_has_figures_of_its_own(project, monkeypatch):
    monkeypatch.setattr(paths, "NOTEBOOKS", project)
    (project / "few.yaml").write_text("extends: paper\ndefaults: {clips: 2}\nnotebooks: {a/b: {models: ['x/{c,d}-e']}}")
    name = "video_features/table04_masks"
    few, paper = (settings.settings(name, profile) for profile in (str(project / "few.yaml"), "paper"))
    assert few == {**paper, "clips": 2} and paper["clips"] == 1575
    assert settings.settings("a/b", str(project / "few.yaml"))["models"] == ["x/c-e", "x/d-e"]
    (project / "round.yaml").write_text("extends: round.yaml")
    with pytest.raises(InputError, match=r"round.yaml' extends"):
        settings.settings("a/b", "round.yaml")
    assert paths.figures("mini") == paths.FIGURES
    assert paths.figures(str(project / "few.yaml")) == paths.FIGURES.with_name("figures-few")
    assert paths.figures("paper").name == "figures-paper"


def test_a_run_of_another_profile_writes_elsewhere(project, monkeypatch):
    monkeypatch.setattr(paths, "FIGURES", project / "figures")
    run = report.start("p/n", profile="paper", device="cpu")
    import pandas as pd

    run.save_table(pd.DataFrame({"a": [1]}))
    assert (project / "figures-paper" / "p" / "n.csv").is_file() and not (project / "figures").exists()


def test_a_random_square_is_scaled_to_the_size():
    from paperlib.training import train

    frames = np.zeros((2, 4, 40, 40, 3), np.uint8)
    frames[..., 20:, :] = 255
    clip = train.zoomed(torch.from_numpy(frames), torch.Generator().manual_seed(0), 32)
    assert clip.shape == (2, 3, 4, 32, 32) and (clip[0, :, 0] == clip[0, :, 3]).all()
    plain = train.normalise(torch.from_numpy(frames))
    assert clip.min() >= plain.min() - 1e-5 and clip.max() <= plain.max() + 1e-5
    turned = train.zoomed(torch.from_numpy(frames), torch.Generator().manual_seed(0), 32, mirror=1.0)
    assert (turned[..., 0].mean() > turned[..., -1].mean()) and (clip[..., 0].mean() < clip[..., -1].mean())


def test_the_papers_recipes():
    first, second = recipes.recipe("ssv2/I3D-R50-f8"), recipes.recipe("kinetics400/I3D-R50-f32-dense")
    assert (first.lr, first.warmup, first.inflate, first.mirror) == (0.01, 0, "ImageNet", 0)
    assert (second.batch, second.epochs, second.stride, second.mirror) == (48, 45, 2, 0.5)
    assert second.init_from == "kinetics400/I3D-R50-f16-dense"
    assert recipes.recipe("ssv2/TAM2D-R50-f16-e4").ensemble == 4
    assert recipes.recipe("ssv2/C-LSTM-f16").momentum == 0.2
    assert recipes.recipe("mini_ssv2/TAM2D-R18-f8-top").options == {"placement": "top"}
    with pytest.raises(InputError, match="should read <dataset>/<model>"):
        recipes.recipe("I3D-R50-f8")
