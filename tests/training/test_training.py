"""Training: learns, repeats itself exactly, resumes after a kill, refuses what it cannot do."""

import math
import pickle
from dataclasses import replace

import pytest
import torch

from paperlib import cli
from paperlib.data import sampling, store
from paperlib.errors import InputError
from paperlib.training import augmentation, checkpoints, convergence, train

from .. import toy

pytestmark = pytest.mark.numerics

RECIPE = train.Recipe("TAM2D-R18-f8", "toy_bars", width=4, size=32, epochs=2, batch=16, lr=0.05)


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    toy.project(tmp_path, monkeypatch)
    return tmp_path


def weights(file):
    return checkpoints.load(file)[0].state_dict()


def same(a, b):
    return all(torch.equal(a[key], b[key]) for key in a)


def test_learns_the_direction_of_motion(folder):
    meta = train.run(replace(RECIPE, epochs=8), device="cpu", progress=False, out=folder / "a.safetensors")
    assert meta["accuracy"] >= 0.9
    assert meta["history"][-1]["loss"] < meta["history"][0]["loss"]


def test_the_accuracy_of_a_checkpoint_of_eight_bits_is_that_of_what_is_stored(folder, monkeypatch):
    recipe = replace(RECIPE, bits=8, epochs=1)
    monkeypatch.setattr(checkpoints, "FEW", 1)
    rounded, accuracy = [], train.accuracy

    def measured(model, *rest):
        rounded.append({key: value.clone() for key, value in model.state_dict().items()})
        return accuracy(model, *rest)

    monkeypatch.setattr(train, "accuracy", measured)
    meta = train.run(recipe, device="cpu", progress=False, out=folder / "eight.safetensors")
    assert meta["recipe"]["bits"] == 8 and same(weights(folder / "eight.safetensors"), rounded[-1])


def test_kept_frames_that_are_damaged_are_rendered_again(folder):
    videos = toy.load("toy_bars", "val", size=16, limit=4)
    frames = store.stored(videos, progress=False).array
    (file,) = (folder / "cache" / "frames").glob("*.npy")
    good, stamp = file.read_bytes(), file.stat().st_ino
    store.stored(videos, progress=False)
    assert file.stat().st_ino == stamp  # read, not rendered
    flipped = bytearray(good)
    flipped[len(good) // 2] ^= 1
    for bad in (good[:-1], good[:5000], bytes(flipped), b"", pickle.dumps(toy.Bomb())):
        file.write_bytes(bad)
        assert (store.stored(videos, progress=False).array == frames).all()
        assert file.read_bytes() == good


def test_learning_rate_warms_up_and_decays_to_zero():
    rates = [train.learning_rate(replace(RECIPE, epochs=10), step, 100) for step in range(100)]
    assert max(rates) == pytest.approx(RECIPE.lr)
    assert rates.index(max(rates)) == 10
    assert rates[0] < rates[5] and rates[99] < 1e-3 * RECIPE.lr
    assert all(a >= b for a, b in zip(rates[10:], rates[11:], strict=False))


def test_adamw_takes_decay_off_the_weights_themselves_and_biases_have_none():
    model = torch.nn.Linear(3, 2)
    before = [p.detach().clone() for p in (model.weight, model.bias)]
    decayed = replace(RECIPE, optimiser="adamw", lr=0.1, weight_decay=0.5)
    optimiser = train._optimiser(model, decayed)
    for parameter in model.parameters():
        parameter.grad = torch.zeros_like(parameter)
    optimiser.step()
    assert torch.allclose(model.weight, 0.95 * before[0]) and torch.equal(model.bias, before[1])


def test_augmentation_keeps_direction_and_depends_on_its_generator_only():
    clip = torch.zeros(1, 4, 16, 16, 3, dtype=torch.uint8)
    for t in range(4):
        clip[0, t, :, 3 * t + 2] = 255
    once, again = (augmentation.augment(clip, torch.Generator().manual_seed(3)) for _ in range(2))
    assert torch.equal(once, again)
    positions = once[0, 0].sum(1).argmax(-1)
    assert (positions.diff() == 3).all()


def test_ensemble_averages_evenly_spaced_outputs():
    class Model:
        config = {"name": "TSN-R18-f16"}

        def frame_logits(self, clip):
            return torch.arange(16.0).view(1, 16, 1)

    assert train.prediction(Model(), None, 0).item() == 7.5
    assert train.prediction(Model(), None, 2).item() == (4 + 12) / 2
    assert train.prediction(Model(), None, 16).item() == 7.5
    with pytest.raises(InputError, match="TSN-R18-f16 has 16 frame logits, so there is no ensemble=17 of them"):
        train.prediction(Model(), None, 17)


def test_init_from_takes_all_but_the_classifier_of_another_data_set(folder):
    first = train.build(RECIPE, 5)
    checkpoints.save(folder / "five.safetensors", first, {"classes": list("abcde")})
    longer = replace(RECIPE, name="TAM2D-R18-f16", init_from=str(folder / "five.safetensors"), seed=9)
    second = train.build(longer, 2)
    theirs, ours = first.state_dict(), second.state_dict()
    differing = {key for key in ours if ours[key].shape != theirs[key].shape}
    assert differing == {key for key in ours if key.startswith("fc.")}
    assert all(torch.equal(ours[key], theirs[key].half().to(ours[key].dtype)) for key in ours.keys() - differing)
    with pytest.raises(InputError, match="I3D-R18-f8"):
        train.build(replace(RECIPE, name="I3D-R18-f8", init_from=str(folder / "five.safetensors")), 2)


def test_batch_larger_than_the_data_is_refused():
    with pytest.raises(InputError, match="batch 1000"):
        train.run(replace(RECIPE, batch=1000), device="cpu", progress=False)


@pytest.mark.parametrize("first", [0, 5, 11], ids=["at once", "in an epoch", "in the last step"])
def test_divergence_is_reported_by_name_soon_and_nothing_is_written(folder, monkeypatch, first):
    steps = []

    def rate(recipe, step, count):
        steps.append(step)
        return math.inf if step >= first else recipe.lr

    monkeypatch.setattr(train, "learning_rate", rate)
    monkeypatch.setattr(train, "LOOK", 1)
    epoch = 1 + first // 6  # of six steps
    with pytest.raises(InputError, match=f"TAM2D-R18-f8 on toy_bars diverged in epoch {epoch}; lower lr"):
        train.run(RECIPE, device="cpu", progress=False, out=folder / "a.safetensors")
    assert max(steps) <= first + 1
    assert not (folder / "a.safetensors").exists()


def test_dense_and_long_clips_are_taken_from_the_video_itself():
    videos = toy.load("toy_bars", "val", size=16)
    dense, long = store.clips_of(videos, 4, "dense"), store.clips_of(videos, 40, progress=False)
    clip = dense.clips([3], 4, "dense", 2)[0]
    assert (clip == videos.frames(3, sampling.dense(videos.num_frames(3), 4, 2))).all()
    assert long.clips([0, 5], 40).shape == (2, 40, 16, 16, 3)
    kept = store.clips_of(videos, 8, progress=False)
    assert kept.clips([0], 8).shape == (1, 8, 16, 16, 3) and kept.array.shape[1] == store.KEPT


def test_a_2d_checkpoint_is_inflated(folder):
    from torchvision.models import resnet18

    two = resnet18()
    torch.save(two.state_dict(), folder / "resnet18.pth")
    model = train.build(replace(RECIPE, name="I3D-R18-f8", width=64, inflate=str(folder / "resnet18.pth")), 2)
    weight = model.state_dict()["layer1.0.conv1.weight"]
    assert weight.shape[2] == 3 and torch.allclose(weight.sum(2), two.layer1[0].conv1.weight, atol=1e-6)


def test_videos_that_cannot_be_read_are_left_out_and_listed(folder, monkeypatch, capsys):
    from paperlib import data

    from ..data import videos

    for label in ("a", "b"):
        for i in range(6):
            videos.write(folder / "own" / label / f"{i}.mp4", n=12, width=32, height=32)
    (folder / "own" / "a" / "broken.mp4").write_bytes(b"nothing")
    seen = data.load("folder", "train", size=32, root=str(folder / "own"))
    seen.missing = ["gone.mp4"]  # as from a list that names more than lies there
    monkeypatch.setattr(data, "load", lambda name, split, size, limit: seen)
    meta = train.run(
        replace(RECIPE, dataset="folder", epochs=1, batch=4),
        device="cpu",
        progress=False,
        out=folder / "own.safetensors",
    )
    assert len(meta["skipped"]) == 2 and all("broken" in name for name in meta["skipped"])
    assert meta["missing"] == {"train": 1, "val": 1}
    assert "broken" in capsys.readouterr().out


@pytest.mark.gpu
def test_a_recorded_step_trains_as_one_called_kernel_by_kernel(folder, monkeypatch, record_property):
    recorded = train.run(RECIPE, device="cuda", progress=False, out=folder / "recorded.safetensors")
    monkeypatch.setattr(train, "captured", lambda predict, *rest: predict)
    called = train.run(RECIPE, device="cuda", progress=False, out=folder / "called.safetensors")
    for one, other in zip(recorded["history"], called["history"], strict=True):
        assert one["loss"] == pytest.approx(other["loss"], rel=0.02)
    record_property("seconds, recorded", recorded["seconds"])
    record_property("seconds, kernel by kernel", called["seconds"])


def test_a_training_that_still_learned_in_its_second_half_did_not_converge():
    def doubts(*losses):  # of 32 classes: guessing costs ln 32 = 3.47
        return convergence.doubts({"config": {"num_classes": 32}, "history": [{"loss": loss} for loss in losses]})

    assert doubts(3.4, 0.96, 0.9, 0.86) == []  # by 0.1, 3 % of it
    assert "lowered the loss by 6%" in doubts(3.4, 1.0, 0.9, 0.8)[0]
    assert doubts(3.4, 0.5, 0.1, 0.03) == []  # nothing left to learn
    assert "hardly better than guessing" in doubts(*[3.46] * 8)[0]
    assert "3 epochs are too few" in doubts(0.1, 0.1, 0.1)[0]
    assert convergence.doubts({"config": {"num_classes": 32}}) == ["its header does not say how the loss fell"]


def test_what_does_not_fit_the_network_is_said_before_videos_are_read(monkeypatch):
    monkeypatch.setattr(train, "without_unreadable", lambda *_: pytest.fail("videos are read first"))
    small = replace(RECIPE, name="C-LSTM-f4", size=16, options={"size": 32, "layers": 2})
    for recipe, message in ((replace(RECIPE, ensemble=99), "8 frame logits, .*ensemble=99"), (small, "32 x 32")):
        with pytest.raises(InputError, match=message):
            train.run(recipe, "cpu")


def test_the_command_gives_a_network_its_size_and_options(monkeypatch):
    asked = ["train", "--dataset", "toy_bars", "--width", "4", "--size", "32", "--batch", "4", "--options"]
    built = []
    monkeypatch.setattr(
        train, "run", lambda recipe, *_, **__: built.append(train.build(recipe, 3)) or {"accuracy": 0, "seconds": 0}
    )
    assert cli.main([*asked, "layers=2", "--model", "C-LSTM-f4"]) == 0
    assert cli.main([*asked, "placement=top", "--model", "TAM2D-R18-f8"]) == 0
    assert [model.config.get("size") for model in built] == [32, None]
    assert [model.config.get("layers") for model in built] == [2, None] and built[1].config["placement"] == "top"
    with pytest.raises(SystemExit):
        cli.main([*asked, "layers", "--model", "C-LSTM-f4"])


def test_options_of_a_network_add_up_and_each_is_given_once(monkeypatch, capsys):
    asked = ["train", "--model", "C-LSTM-f4", "--dataset", "toy_bars", "--options", "layers=2"]
    given = []
    monkeypatch.setattr(
        train, "run", lambda recipe, *_, **__: given.append(recipe.options) or {"accuracy": 0, "seconds": 0}
    )
    assert cli.main([*asked, "--options", "size=32"]) == cli.main([*asked, "size=32"]) == 0
    assert given == [{"layers": 2, "size": 32}] * 2
    for again in (["layers=3"], ["--options", "layers=3"]):
        assert cli.main([*asked, *again]) == 2
        assert capsys.readouterr().err == "paperlib train: --options names layers more than once; give it one value\n"
