"""What a checkpoint is shown and asked when it is explained: what its accuracy was measured on, one question."""

from dataclasses import replace

import numpy as np
import pytest
import torch

import paperlib
from paperlib import cli, data, models
from paperlib.data import clips, public, sampling, store, video
from paperlib.errors import InputError
from paperlib.explanation import artifact, sliding
from paperlib.papers import analysis
from paperlib.training import checkpoints, parallel, train
from paperlib.training import progress as runs
from paperlib.widgets.subject import subject

from .. import toy
from ..data import videos
from ..training import test_heads as asking

QUICK = dict(relevance=False, mask=False, cam=False, device="cpu")


def saved(folder, recipe, classes, **more):
    """Write an untrained checkpoint of a recipe; returns its file."""
    torch.manual_seed(0)
    model, file = models.create(recipe.name, num_classes=len(classes), width=4), folder / "net.safetensors"
    with torch.no_grad():
        model.fc.weight.normal_()
    checkpoints.save(file, model, {"recipe": vars(recipe), "dataset": recipe.dataset, "classes": classes, **more})
    return file


def validated(recipe, dataset, monkeypatch):
    """Return the frames uint8 [n, T, H, W, 3] of the clips that `train.accuracy` shows a network."""
    seen = []
    monkeypatch.setattr(
        train, "prediction", lambda model, clip, ensemble: seen.append(clip) or torch.zeros(len(clip), 9)
    )
    monkeypatch.setattr(store, "ROOM", 0)  # no frames kept, from which uniform clips are sampled a second time
    model = models.create(recipe.name, num_classes=2, width=4)
    val = store.clips_of(dataset, model.num_frames, recipe.sampling)
    val.heads = None
    with parallel.group("cpu") as ranks:
        train.accuracy(model, val, recipe, ranks, runs.Unwatched())
    return np.stack([clips.to_frames(clip) for clip in torch.cat(seen)])


@pytest.mark.parametrize("how", [dict(sampling="uniform"), dict(sampling="dense", stride=3)])
@pytest.mark.parametrize("name", ["synth_kth", "folder"])
def test_a_checkpoint_is_shown_what_its_accuracy_was_measured_on(tmp_path, monkeypatch, name, how):
    if name == "folder":
        for split in ("train", "val"):
            for number, label in enumerate(("a", "b")):
                videos.write(tmp_path / "videos" / split / label / "1.mp4", n=41, width=96, height=48, first=5 * number)
    monkeypatch.setenv("PAPERLIB_DATA", str(tmp_path))
    recipe = train.Recipe("TSM-R18-f4", name, size=32, zoom=1.25, **how)
    dataset = data.load(name, "val", size=32, limit=2 if name == "synth_kth" else None)
    file, shown = saved(tmp_path, recipe, dataset.classes), validated(recipe, dataset, monkeypatch)
    for number in range(2):
        given = [f"{name}/{number}", *([dataset.path(number)] if name == "folder" else [])]
        for one in given:
            found = paperlib.explain(one, file, **QUICK)
            assert np.array_equal(found.frames, shown[number])
            assert torch.equal(found.clip[0], clips.to_clip(shown[number]))
    model, header = checkpoints.load(file)
    assert np.array_equal(artifact.of_video(given[-1], model, header).frames, shown[1])
    header["num_frames"] = 4
    assert torch.equal(analysis.clips_of(dataset, [1], header)[0], found.clip[0])


def test_the_shorter_side_is_that_of_the_data_set(tmp_path):
    file = videos.write(tmp_path / "long.mp4", n=8, width=160, height=80)
    assert [public.short_side(name, 224) for name in ("kinetics400", "kth", "frames", "synth_kth", "grid", "")] == [
        *(256, 256, 256, 224, 224, 224)
    ]
    whole = video.decode(file, [1, 3, 5, 7], short_side=64)
    found = artifact.read(file, 4, 56, recipe={"dataset": "ssv2"})
    assert np.array_equal(found.frames, video.crops(whole, 56)[0])
    assert np.array_equal(artifact.read(file, 4, (56, 40), recipe={"dataset": "ssv2"}).frames, found.frames[:, :, 8:48])


def test_what_is_given_as_a_clip_is_taken_as_it_is(tmp_path):
    file = saved(tmp_path, train.Recipe("TSM-R18-f4", "toy", size=32, sampling="dense", stride=4), ["a", "b"])
    frames = np.random.default_rng(0).integers(0, 255, (40, 24, 24, 3), np.uint8)
    for given in (frames[:4], clips.to_clip(frames[:4])):
        assert torch.equal(paperlib.explain(given, file, **QUICK).clip[0], clips.to_clip(frames[:4]))
    assert paperlib.explain(frames, file, **QUICK).info["indices"] == sampling.dense(40, 4, 4).tolist()
    several = paperlib.explain(frames, file, clips=3, **QUICK)
    assert several.info["indices"] == sampling.dense(40, 4, 4, clips=3).ravel().tolist() == [
        *range(0, 16, 4), *range(12, 28, 4), *range(24, 40, 4)
    ]  # fmt: skip
    assert "in 3 clips of 4 frames, evenly spread; the clips overlap" in several.notes[-1]
    assert paperlib.explain(frames, file, slide=2, **QUICK).info["indices"] == list(range(0, 40, 2))
    assert sliding.plan(40, 4, slide=True, dense=4)[0].tolist() == list(range(0, 40, 4))
    assert sliding.plan(15, 4, slide=True, dense=4)[0].tolist() == [0, 4, 8, 12]


def test_a_checkpoint_that_was_scored_by_an_ensemble_says_so(tmp_path):
    clip = torch.randn(3, 4, 32, 32)
    for count, said in (
        (2, ["The accuracy is that of 2 evenly spread frame logits; here all are averaged and explained."]),
        (0, []),
    ):
        file = saved(tmp_path, train.Recipe("TSM-R18-f4", "toy", size=32, ensemble=count), ["a", "b"])
        assert paperlib.explain(clip, file, **QUICK).notes == said


def test_a_checkpoint_that_does_not_say_its_size_is_refused_where_it_matters(tmp_path, capsys, monkeypatch):
    film = videos.write(tmp_path / "film.mp4", n=8)
    model, file = models.create("TSM-R18-f4", num_classes=2, width=4), tmp_path / "net.safetensors"
    for recipe in ({}, {"recipe": {"sampling": "dense"}}):
        checkpoints.save(file, model, {"classes": ["a", "b"], "dataset": "toy_bars", **recipe})
        assert cli.main(["gradcam", "--video", str(film), "--model", str(file), "--device", "cpu"]) == 2
        said = capsys.readouterr().err
        assert "net.safetensors does not say with frames of what size it was trained" in said and said.count("\n") == 1
        for ask in (lambda: artifact.of_video(film, *checkpoints.load(file)), lambda: analysis.predictions(file)):
            with pytest.raises(InputError, match="with frames of what size"):
                ask()
        assert paperlib.explain(film, file, size=32, **QUICK).frames.shape == (4, 32, 32, 3)
        assert paperlib.explain(np.zeros((9, 16, 16, 3), np.uint8), file, **QUICK).frames.shape == (4, 16, 16, 3)
    net = models.create("TSM-R18-f4", num_classes=2, width=4).eval()
    found = paperlib.explain(film, net, **QUICK)
    assert found.frames.shape[1:3] == (224, 224) and "224 pixels were cut out (assumed" in found.notes[0]
    toy.project(tmp_path, monkeypatch)
    checkpoints.save(file, model, {"classes": ["a", "b"], "dataset": "grid", "recipe": {"size": 32}})
    assert "give grid/NUMBER" in paperlib.explain(film, file, **QUICK).notes[0]
    resized = paperlib.explain(film, file, frames=4, **QUICK)
    assert resized.frames.shape == (4, 32, 32, 3)  # not 224, the size of networks that nothing is known of


def test_no_names_of_classes_are_refused_as_too_few_are(tmp_path, capsys):
    file = saved(tmp_path, train.Recipe("TSM-R18-f4", "toy", size=32), ["a", "b"])
    clip, refused = torch.randn(3, 4, 32, 32), "has logits of 2 classes, but there are {} names"
    for model in (file, checkpoints.load(file)[0].eval()):
        for names in ([], ["a"]):
            with pytest.raises(InputError, match=refused.format(len(names))):
                paperlib.explain(clip, model, classes=names, **QUICK)
    film, listed = videos.write(tmp_path / "film.mp4", n=8), tmp_path / "names.txt"
    listed.touch()
    command = ["explain", "--video", str(film), "--model", str(file), "--names", str(listed), "--device", "cpu"]
    assert cli.main(command) == 2 and refused.format(0) in capsys.readouterr().err


def test_one_question_of_several_is_asked(tmp_path, monkeypatch):
    monkeypatch.setitem(data.LOADERS, "toy_asked", ("tests.training.test_heads", "load"))
    recipe = train.Recipe("TSM-R18-f4", "toy_asked", size=32)
    file = saved(tmp_path, recipe, asking.Asked.classes, heads=asking.HEADS)
    model, header = checkpoints.load(file)
    clip = torch.randn(3, 4, 32, 32)
    logits = model(clip[None])[0].detach()
    for target, names, index, best in (
        (None, ["left", "right"], None, logits[:2].argmax()),
        ("blue", ["red", "green", "blue"], 2, logits[2:].argmax()),
        (2, ["red", "green", "blue"], 0, logits[2:].argmax()),
        ("right", ["left", "right"], 1, logits[:2].argmax()),
    ):
        found = paperlib.explain(clip, file, target, **{**QUICK, "relevance": True})
        part = logits[:2] if len(names) == 2 else logits[2:]
        assert found.classes == names and found.info["predicted"] == best
        assert found.target == (best if index is None else index)
        np.testing.assert_allclose(found.scores, part.softmax(0), atol=1e-5)
        assert found.notes[0].startswith(f"Of 2 questions that the network answers, this is {found.info['question']};")
        first = 0 if len(names) == 2 else 2
        rows = model.frame_logits(clip[None])[0, :, first + found.target].detach()
        np.testing.assert_allclose(found.row_values, rows, atol=1e-4)
    why = paperlib.explain(clip, file, ("blue", "green"), **QUICK)
    assert (why.target, why.info["against"], why.target_name) == (2, 1, "blue rather than green")
    with pytest.raises(InputError, match="left answers the question where and green colour"):
        paperlib.explain(clip, file, ("left", "green"), **QUICK)
    numbered = artifact.of_video("toy_asked/3", model, header, "green")
    assert numbered.target_name == "green" and numbered.arrays["scores"].shape == (3,)
    numbered.save(tmp_path / "found.npz")
    again = subject(tmp_path / "found.npz", str(file), device="cpu")
    assert again.model(again.clip).shape == (1, 3)


def test_answers_are_compared_with_labels_of_the_same_classes(tmp_path, monkeypatch):
    toy.project(tmp_path, monkeypatch)
    monkeypatch.setitem(data.LOADERS, "toy_asked", ("tests.training.test_heads", "load"))
    recipe = train.Recipe("TSM-R18-f4", "toy_bars", size=16)
    for classes, message in (
        (["right", "left"], "class 0 of .* is 'right' and that of toy_bars is 'left'"),
        (["left", "up"], "class 1 of .* is 'up' and that of toy_bars is 'right'"),
        (["left", "right", "up"], "knows 3 classes and toy_bars has 2"),
    ):
        with pytest.raises(InputError, match=message):
            analysis.predictions(saved(tmp_path, recipe, classes))
    for classes in (["left", "right"], ["class 0", "class 1"], ["Left", "right"]):
        assert len(analysis.predictions(saved(tmp_path, recipe, classes))["scores"]) == 32
    several = saved(tmp_path, replace(recipe, dataset="toy_asked"), asking.Asked.classes, heads=asking.HEADS)
    command = ["dataset", "relevance", "toy_asked", str(several), "--out", str(tmp_path / "o.parquet"), "--target"]
    for target in ("label", "predicted"):
        assert cli.main([*command, target]) == 2
    with pytest.raises(InputError, match=r"answers 2 questions at once \(where, colour\)"):
        analysis.predictions(several)
