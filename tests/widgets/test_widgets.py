"""The Python side of the widgets: what the browser is told, what it may ask, and the picture in its place."""

import base64
import copy
import io
import json

import numpy as np
import pytest
import torch
from PIL import Image

from paperlib import masks, models, relevance, widgets
from paperlib.data import clips
from paperlib.errors import InputError
from paperlib.explanation import artifact, measured
from paperlib.training import checkpoints
from paperlib.widgets.explorer import Explorer, animation

from ..masks.networks import SmallVideoNet

NAMES = ["a", "b", "c"]


@pytest.fixture
def network():
    torch.manual_seed(0)
    return SmallVideoNet()


@pytest.fixture
def frames():
    return np.random.default_rng(0).integers(0, 255, (6, 4, 4, 3), np.uint8).repeat(8, 1).repeat(8, 2)


@pytest.fixture(scope="module")
def zoo(tmp_path_factory):
    """Two tiny checkpoints of different length, and a video."""
    folder, files = tmp_path_factory.mktemp("zoo"), []
    for name in ("TAM2D-R18-f4", "I3D-R18-f6"):
        torch.manual_seed(1)
        files.append(folder / f"{name}.safetensors")
        checkpoints.save(
            files[-1],
            models.create(name, num_classes=3, width=4),
            {"classes": NAMES, "recipe": {"size": 32}, "dataset": "synth_ssv2"},
        )
    moving = np.zeros((20, 32, 32, 3), np.uint8)
    for t in range(20):
        moving[t, 8:24, t : t + 10] = 200
    return folder, [str(f) for f in files], widgets.write_video(folder / "moving.mp4", moving)


def heard(widget):
    """Collect what the widget says to the browser in answer to messages."""
    said = []
    widget.send = lambda content, buffers=None: said.append((content, buffers))
    return said


def matrix(widget, panel=0):
    found = widget.found[panel]
    return np.frombuffer(found["matrix"], "<f4").reshape(found["rows"], found["columns"])


def test_relevance_and_segments_are_the_librarys(network, frames):
    widget = widgets.scrub_relevance(frames, network, target="b", method="lrp", sigma=0.8, classes=NAMES)
    clip = clips.to_clip(frames)[None]
    expected = relevance.relevance_matrix(network, clip, [1], method="lrp")
    atr = relevance.atr(expected, network.frame_logits(clip)[..., 1].detach(), sigma=0.8)
    np.testing.assert_allclose(matrix(widget), expected[0], rtol=1e-5)
    assert widget.found[0]["segments"] == atr.segments[0].tolist()
    assert widget.found[0]["atr"] == atr.frames[0].int().tolist()
    scores = network(clip).softmax(1)[0].detach()
    assert widget.found[0]["score"] == pytest.approx(float(scores[1]), rel=1e-5)
    assert widget.found[0]["predicted"] == int(scores.argmax())


def test_frames_are_sent_once_as_small_pictures_that_show_them(network, frames):
    widget = widgets.scrub_relevance(frames, network, classes=NAMES)
    sent = widget.clips
    shown = np.stack([np.asarray(Image.open(io.BytesIO(f))) for f in sent[0]["frames"]])
    assert shown.shape == frames.shape and np.abs(shown.astype(int) - frames).mean() < 6
    widget.explain(target=2, sigma=0.5)
    assert widget.clips is sent or widget.clips == sent
    assert sum(map(len, sent[0]["frames"])) < frames.nbytes


def test_another_class_is_another_matrix_and_is_computed_only_once(network, frames, monkeypatch):
    widget = widgets.scrub_relevance(frames, network, target=0, classes=NAMES)
    first = matrix(widget)
    widget.explain(target=1)
    assert not np.array_equal(first, matrix(widget))
    monkeypatch.setattr(relevance, "relevance_matrix", None)
    widget.explain(target=0, sigma=0.6)
    assert np.array_equal(first, matrix(widget)) and widget.found[0]["sigma"] == 0.6


def test_more_frames_than_the_model_takes_are_sampled(zoo):
    _, (file, _), _ = zoo
    frames = np.arange(20, dtype=np.uint8)[:, None, None, None] * np.ones((20, 32, 32, 3), np.uint8)
    widget = widgets.scrub_relevance(frames, file)
    indices = widget.clips[0]["indices"]
    assert len(indices) == 4 and widget.subjects[0].artifact.frames[:, 0, 0, 0].tolist() == indices


def test_scores_under_a_mask_are_those_of_the_perturbed_clips(network, frames):
    widget = widgets.scrub_masks(frames, network, target=1, mask=[0, 0, 1, 1, 1, 0], classes=NAMES)
    clip, mask = clips.to_clip(frames)[None], torch.tensor([0, 0.5, 1, 1, 0, 0])
    scores = widget.set_mask(mask.tolist())
    for name, changed in (("OS", clip), ("FS", masks.freeze(clip, mask)), ("RS", masks.reverse(clip, mask))):
        assert scores[name] == pytest.approx(network(changed).softmax(1)[0, 1].item(), rel=1e-4)
    assert widget.masks[0]["mask"] == pytest.approx(mask.tolist()) and widget.masks[0]["scores"] == scores
    assert len(widget.maps[0]) == len(frames)


def test_learning_is_shown_step_by_step_and_gives_the_librarys_mask(network, frames):
    widget = widgets.scrub_masks(frames, network, target=1, classes=NAMES)
    seen = []
    widget.observe(lambda change: seen.append(change.new[0]), "masks")
    widget.learn(iterations=30, tolerance=0)
    expected = masks.learn(network, clips.to_clip(frames)[None], 1, iterations=30, tolerance=0)
    assert seen[0]["running"] and not seen[-1]["running"]
    assert seen[-1]["mask"] == pytest.approx(expected.mask[0].tolist(), abs=1e-5)
    assert seen[-1]["loss"] == pytest.approx(expected.loss[:, 0].tolist(), abs=1e-5)


def test_learning_in_the_background_can_be_stopped(network, frames):
    widget = widgets.scrub_masks(frames, network, target=1, classes=NAMES)
    widget.learn(wait=False, iterations=100_000, tolerance=0)
    widget.stop()
    assert not widget.masks[0]["running"] and 0 < len(widget.masks[0]["loss"]) < 100_000
    assert widget.masks[0]["scores"] is not None


def test_a_saved_artifact_opens_without_its_model(network, frames, tmp_path):
    widget = widgets.scrub_relevance(frames, network, target=1, classes=NAMES)
    widget.subjects[0].artifact.save(tmp_path / "found.npz")
    again = widgets.scrub_relevance(tmp_path / "found.npz")
    assert np.array_equal(matrix(again), matrix(widget)) and not again.clips[0]["live"]
    again.explain(sigma=0.5)
    assert again.found[0]["sigma"] == 0.5
    with pytest.raises(InputError, match="another class needs the model"):
        again.explain(target=2)
    with pytest.raises(InputError, match="LRP matrix of b needs the model"):
        again.explain(method="lrp")
    assert again.subjects[0].target == 1
    assert widgets.scrub_masks(tmp_path / "found.npz").masks[0]["mask"] == [0] * 6


def test_models_are_compared_on_the_same_class_each_with_its_own_frames(zoo):
    _, files, video = zoo
    widget = widgets.compare_models(video, files, target="c")
    assert [len(c["frames"]) for c in widget.clips] == [4, 6] and [f["target"] for f in widget.found] == [2, 2]
    assert [c["model"] for c in widget.clips] == ["TAM2D-R18-f4", "I3D-R18-f6"]
    before = widget.masks[0]
    widget.set_mask([1, 0, 0, 0, 0, 0], panel=1)
    assert widget.masks[0] == before and widget.masks[1]["mask"] == [1, 0, 0, 0, 0, 0]
    table = widget.table()
    assert table["model"].tolist() == ["TAM2D-R18-f4", "I3D-R18-f6"] and table["masked"][1] == 1


def test_your_video_opens_what_is_named_and_what_is_uploaded(zoo):
    folder, files, video = zoo
    widget = widgets.your_video(checkpoint=files[0], folder=folder)
    assert widget.files == ["moving.mp4"] and widget.clips == [] and files[0] in widget.checkpoints
    said = heard(widget)
    widget._asked(None, {"kind": "open", "panel": 0, "file": "moving.mp4", "checkpoint": files[0]}, [])
    assert said[-1][0]["kind"] == "done" and len(widget.clips[0]["frames"]) == 4
    content = video.read_bytes()
    for offset in (0, 700):
        piece = content[offset:700] if offset == 0 else content[offset:]
        widget._asked(None, {"kind": "upload", "panel": 0, "name": "../../mine.mp4", "offset": offset}, [piece])
    widget._asked(None, {"kind": "open", "panel": 0, "file": "uploaded/mine.mp4", "checkpoint": files[1]}, [])
    assert said[-1][0]["kind"] == "done" and widget.clips[0]["title"] == "mine.mp4"
    assert not (folder.parent.parent / "mine.mp4").exists()
    widget._asked(None, {"kind": "open", "panel": 0, "file": "none.mp4", "checkpoint": files[1]}, [])
    assert said[-1][0]["kind"] == "error" and "none.mp4 does not exist" in said[-1][0]["text"]
    before = standing(widget), dict(widget.chosen)
    (folder / "broken.mp4").write_bytes(content[:300])
    named = ("none.mp4", files[0]), ("broken.mp4", files[0]), ("moving.mp4", "synth_ssv2/none")
    for file, checkpoint in (*named, ("a" * 300, files[0]), ("moving.mp4", "a" * 300)):
        widget._asked(None, {"kind": "open", "panel": 0, "file": file, "checkpoint": checkpoint}, [])
        assert said[-1][0]["kind"] == "error" and (standing(widget), widget.chosen) == before
    widget._asked(None, {"kind": "open", "panel": 0, "file": "moving.mp4", "checkpoint": files[0]}, [])
    assert said[-1][0]["kind"] == "done" and widget.chosen == {"file": "moving.mp4", "checkpoint": files[0]}


def test_your_video_offers_what_is_a_video_in_its_folder(zoo, tmp_path):
    (tmp_path / "folder.mp4").mkdir()
    for name in ("b.TS", "a.gif", "._a.gif", "list.csv", "folder.mp4/c.mp4"):
        (tmp_path / name).touch()
    assert widgets.your_video(checkpoint=zoo[1][0], folder=tmp_path).files == ["a.gif", "b.TS"]


def test_of_files_with_one_name_the_one_that_was_meant_is_opened(zoo, tmp_path, monkeypatch):
    """In the folder that Python runs in, in the widget's folder and uploaded; told apart by their brightness."""
    (tmp_path / "here").mkdir()
    (tmp_path / "videos").mkdir()
    for place, value in (("here", 10), ("videos", 120), (".", 240)):
        widgets.write_video(tmp_path / place / "clip.mp4", np.full((8, 32, 32, 3), value, np.uint8))
    monkeypatch.chdir(tmp_path / "here")
    widget = widgets.your_video(checkpoint=zoo[1][0], folder=tmp_path / "videos")
    heard(widget)
    content = (tmp_path / "clip.mp4").read_bytes()
    widget._asked(None, {"kind": "upload", "panel": 0, "name": "clip.mp4", "offset": 0}, [content])
    for name, value in (("clip.mp4", 120), ("uploaded/clip.mp4", 240), ("../here/clip.mp4", 10)):
        widget._asked(None, {"kind": "open", "panel": 0, "file": name, "checkpoint": zoo[1][0]}, [])
        assert widget.subjects[0].artifact.frames.mean() == pytest.approx(value, abs=3)
        assert widget.chosen["file"] == name and widget.clips[0]["title"] == "clip.mp4"


def test_every_question_of_the_browser_is_answered(network, frames):
    widget = widgets.scrub_masks(frames, network, target=0, classes=NAMES)
    said = heard(widget)
    widget._asked(None, {"kind": "explain", "panel": 0, "target": 2, "method": None, "sigma": None}, [])
    widget._asked(None, {"kind": "score", "panel": 0, "mask": [0, 1, 1, 0, 0, 0]}, [])
    widget._asked(None, {"kind": "score", "panel": 3, "mask": [0] * 6}, [])
    widget._asked(None, {"kind": "score", "panel": 0, "mask": [0] * 5}, [])
    widget._asked(None, {"kind": "explain", "panel": 0, "target": 7}, [])
    widget._asked(None, {"kind": "dance", "panel": 0}, [])
    assert [content["kind"] for content, _ in said] == ["done", "done", "error", "error", "error", "error"]
    texts = " ".join(content.get("text", "") for content, _ in said)
    for part in ("no panel 3", "6 values from 0 to 1", "class 7 is out of range", "'dance'"):
        assert part in texts
    assert widget.found[0]["target"] == 2 and widget.masks[0]["mask"] == [0, 1, 1, 0, 0, 0]


def standing(widget):
    """Everything that a widget shows and holds, to compare."""
    traits = {name: getattr(widget, name) for name in ("clips", "maps", "found", "masks", "frame")}
    held = [({k: v.tobytes() for k, v in s.artifact.arrays.items()}, s.artifact.info) for s in widget.subjects]
    return copy.deepcopy((traits, held))


@pytest.mark.parametrize(
    "wrong, message",
    [
        ({"target": "d"}, "class 'd' is unknown"),
        ({"target": 1, "method": "dual"}, "clrp or lrp"),
        ({"target": 1, "method": "lrp", "sigma": 0}, "sigma"),
        ({"method": "lrp", "sigma": 2}, "sigma"),
        ({"target": 2}, "no layer to look at"),  # which is found out when the matrix is there
    ],
)
def test_after_a_refusal_the_widget_is_as_it_was_and_the_next_choice_works(
    network, frames, monkeypatch, wrong, message
):
    def opened(target):
        both = ["relevance", "mask"]
        return Explorer([widgets.subject(frames, network, NAMES, target)], both)

    widget = opened(0)
    before = standing(widget)
    with monkeypatch.context() as patched, pytest.raises(InputError, match=message):
        if wrong == {"target": 2}:
            patched.setattr(measured, "cam", refuses)
        widget.explain(**wrong)
    assert standing(widget) == before
    widget.explain(target=2)
    for trait in ("found", "maps"):
        assert getattr(widget, trait) == getattr(opened(2), trait)


def refuses(*_):
    raise InputError("no layer to look at")


def test_what_is_refused_does_not_end_learning_nor_change_the_mask(network, frames):
    widget = widgets.scrub_masks(frames, network, target=0, classes=NAMES, iterations=100_000)
    widget.learn(wait=False)
    for refused in (
        lambda: widget.explain(target=9),
        lambda: widget.set_mask([0] * 5),
        lambda: widget.learn(panel=1),
        lambda: widget.set_mask([0] * 6, panel=1),
    ):
        with pytest.raises(InputError):
            refused()
        assert widget._worker.is_alive()
    widget.stop()
    before = standing(widget)
    for wrong in ([2] * 6, "abc", None):
        with pytest.raises(InputError, match="6 values from 0 to 1"):
            widget.set_mask(wrong)
    assert standing(widget) == before and widget.set_mask([0] * 6)["FS"] == pytest.approx(
        before[0]["found"][0]["score"]
    )


def test_rows_without_relevance_reach_the_browser_as_plain_json(network, frames):
    here = artifact.Artifact(
        frames,
        dict(video="v", model="m", classes=NAMES, target=0, method="clrp"),
        {"matrix": np.zeros((6, 6), np.float32), "frame_logits": np.ones((6, 3), np.float32), "scores": np.ones(3) / 3},
    )
    widget = widgets.scrub_relevance(here)
    state = {key: value for key, value in widget.found[0].items() if key != "matrix"}
    assert json.loads(json.dumps(state, allow_nan=False))["atr"] == [None] * 6 and state["avg"] is None
    assert widget.figure()


@pytest.mark.parametrize("features", [["relevance"], ["mask"], ["open", "relevance", "mask"]])
def test_a_picture_stands_beside_the_widget(network, frames, features):
    here = widgets.subject(frames, network, NAMES)
    data, _ = widgets.Explorer([here], features)._repr_mimebundle_()
    assert "application/vnd.jupyter.widget-view+json" in data
    picture = np.asarray(Image.open(io.BytesIO(base64.b64decode(data["image/png"]))).convert("RGB"))
    assert picture.shape[1] > 600 and len(np.unique(picture.reshape(-1, 3), axis=0)) > 200


def test_gif_has_every_picture_for_as_long_as_asked():
    pictures = []
    for value in (0, 120, 240):
        file = io.BytesIO()
        Image.fromarray(np.full((8, 8, 3), value, np.uint8)).save(file, "PNG")
        pictures.append(file.getvalue())
    found = Image.open(io.BytesIO(animation(pictures, 250)))
    assert found.n_frames == 3 and found.info["duration"] == 250 and found.info["loop"] == 0
    with pytest.raises(InputError, match="nothing to put into the GIF"):
        animation([], 100)


@pytest.mark.parametrize(
    "arguments, message",
    [
        (dict(video=np.zeros((4, 8, 8, 3))), "frames uint8"),
        (dict(video=np.zeros((0, 8, 8, 3), np.uint8)), "frames uint8"),
        (dict(video="nothing.mp4"), "nothing.mp4"),
        (dict(model=None), "give the model, too"),
        (dict(model=torch.nn.Linear(1, 1)), "in none of the layouts"),
        (dict(model="synth_ssv2/none"), "synth_ssv2/none does not exist"),
        (dict(classes=["a", "b"]), "2 names of"),
        (dict(target="d"), "class 'd' is unknown"),
        (dict(target=3), "class 3 is out of range"),
        (dict(method="dual"), "clrp or lrp"),
        (dict(sigma=0), "sigma"),
    ],
)
def test_unusable_arguments_are_named(network, frames, arguments, message):
    with pytest.raises(InputError, match=message):
        widgets.scrub_relevance(**{"video": frames, "model": network, "classes": NAMES, **arguments})


def test_scores_of_one_logit_and_of_many_labels_are_sigmoids(frames):
    torch.manual_seed(0)
    one, many = SmallVideoNet(1), SmallVideoNet(3)
    for network, names, options in ((one, ["moves"], {}), (many, NAMES, {"scores": "sigmoid"})):
        here = widgets.subject(frames, network, names, target=names[-1], **options)
        logits = network(clips.to_clip(frames)[None])[0]
        assert here.artifact.info["scores"] == "sigmoid"
        assert np.allclose(here.artifact.arrays["scores"], logits.sigmoid().detach(), atol=1e-6)
        mask = np.array([0, 0, 1, 1, 1, 0], np.float32)
        frozen = masks.freeze(here.clip, torch.tensor(mask)[None])
        assert here.score(mask)["FS"] == pytest.approx(network(frozen)[0, -1].sigmoid().item(), abs=1e-6)
        assert here.learn(iterations=2).settings.scores == "sigmoid"
    assert widgets.subject(frames, many, NAMES).artifact.info["scores"] == "softmax"


def test_names_and_logits_are_as_many(frames):
    with pytest.raises(InputError, match="2 names of classes are given, but SmallVideoNet gives 3 logits"):
        widgets.subject(frames, SmallVideoNet(3), ["a", "b"])


def test_a_network_in_a_wrapper_is_taken_out(frames, network):
    wrapped = widgets.subject(frames, torch.nn.DataParallel(network), NAMES)
    assert wrapped.model is network


def test_unusable_masks_models_and_folders_are_named(network, frames, tmp_path):
    for mask in ([0, 1], [0, 0, 2, 0, 0, 0]):
        with pytest.raises(InputError, match="6 values from 0 to 1"):
            widgets.scrub_masks(frames, network, mask=mask, classes=NAMES)
    with pytest.raises(InputError, match="at least two"):
        widgets.compare_models(frames, ["one"])
    with pytest.raises(InputError, match="folder .* does not exist"):
        widgets.your_video(folder=tmp_path / "none", checkpoint="x")
    with pytest.raises(InputError, match="validation videos 0 to"):
        widgets.validation_video("synth_ssv2/TAM2D-R50-f8", 10**6)
