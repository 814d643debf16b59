"""`paperlib.explain`: against the instruments called one by one, on small networks."""

import copy
import json
import tracemalloc

import matplotlib
import numpy as np
import pytest
import torch

import paperlib
from paperlib import gradcam, masks, models, relevance
from paperlib.data import clips, sampling
from paperlib.errors import InputError
from paperlib.explanation import artifact, examples, sliding
from paperlib.training import checkpoints

from ..data import videos
from ..masks.networks import SmallVideoNet

NAMES = ["left", "right", "still"]


def test_it_is_the_instruments_one_by_one(network, frames):
    found = paperlib.explain(frames, network, "right", classes=NAMES, iterations=8, sigma=0.9)
    clip = clips.to_clip(frames[sampling.uniform(20, 4)])[None]
    matrix = relevance.relevance_matrix(network, clip, [1])
    rows = network.frame_logits(clip)[..., 1].detach()
    atr = relevance.atr(matrix, rows, sigma=0.9)
    learned = masks.learn(network, clip, 1, iterations=8)
    logits = network(clip)[0].detach()
    for mine, theirs in (
        (found.matrix, matrix[0]),
        (found.row_values, rows[0]),
        (found.atr, atr.frames[0]),
        (found.mask, learned.mask[0]),
        (found.cam, gradcam.video_gradcam(network, clip, 1)[0]),
        (found.scores, logits.softmax(0)),
        (found.arrays["logits"], logits),
    ):
        np.testing.assert_allclose(mine, theirs, atol=1e-5)
    assert found.info["avg_atr"] == pytest.approx(float(atr.avg), abs=1e-6) and found.classes == NAMES
    assert found.info["indices"] == [2, 7, 12, 17] and "3, 8, 13, 18" in found.notes[-2 if len(found.notes) > 1 else -1]
    assert np.array_equal(found.frames, frames[[2, 7, 12, 17]])
    # of every mask that was tried, the scores are those of the perturbed clip
    for tried, (frozen, turned) in zip(found.arrays["tried_masks"], found.arrays["tried_scores"], strict=True):
        mask = torch.tensor(tried, dtype=torch.float32)[None]
        for score, changed in ((frozen, masks.freeze(clip, mask)), (turned, masks.reverse(clip, mask))):
            assert score == pytest.approx(network(changed).softmax(1)[0, 1].item(), abs=1e-5)
    assert len(found.arrays["tried_masks"]) == 11  # every window of 4 frames, and none


def test_the_network_stays_in_its_mode_and_frames_are_not_cut_without_a_word(network, frames):
    net = copy.deepcopy(network).train()
    paperlib.explain(frames, net, mask=False, relevance=False)
    assert all(module.training for module in net.modules())
    assert paperlib.explain(frames, network, size=32, mask=False, relevance=False).cam.shape == (4, 32, 32)
    with pytest.raises(InputError, match="size=16 is cut out of videos .* these frames are 32 x 32 pixels"):
        paperlib.explain(frames, network, size=16)
    with pytest.raises(InputError, match="size must be a whole number of at least 1, not -3"):
        paperlib.explain(frames, network, size=-3)


def test_what_is_expensive_can_be_left_out_and_a_clip_may_be_a_tensor(network, frames):
    clip = torch.randn(3, 4, 32, 32)
    found = paperlib.explain(clip, network, mask=False, cam=False)
    assert found.mask is None and found.cam is None and found.matrix.shape == (4, 4)
    exact = relevance.relevance_matrix(network, clip[None], [found.target])
    np.testing.assert_allclose(found.matrix, exact[0], atol=1e-6)  # not of pixels that were rounded
    assert found.classes == ["class 0", "class 1", "class 2"] and "mask" not in found.features
    assert paperlib.explain(frames[:4], network, relevance=False, mask=False).features == ["mask"]


def test_why_this_class_and_not_that(network, frames):
    before = network.fc.weight.clone()
    found = paperlib.explain(frames, network, ("right", "left"), classes=NAMES, method="lrp", iterations=5)
    clip = clips.to_clip(found.frames)[None]
    rows = network.frame_logits(clip)[0].detach()
    own = rows[:, 1] - rows[:, 0]
    np.testing.assert_allclose(found.row_values, own, atol=1e-4)
    assert found.target_name == "right rather than left"
    # the same from a network whose head is written by hand
    hand = models.create("TSM-R18-f4", num_classes=1, width=4).eval()
    state = network.state_dict()
    for name in ("fc.weight", "fc.bias"):
        state[name] = state[name][1:2] - state[name][:1]
    hand.load_state_dict(state)
    np.testing.assert_allclose(found.matrix, relevance.relevance_matrix(hand, clip, [0], method="lrp")[0], atol=1e-4)
    np.testing.assert_allclose(found.cam, gradcam.video_gradcam(hand, clip, 0)[0], atol=1e-4)
    both = network(clip)[0, :2].softmax(0)[1].item()  # where only these two can be
    assert found.info["mask_scores"]["OS"] == pytest.approx(both, abs=1e-5)
    assert found.scores[1] == pytest.approx(network(clip)[0].softmax(0)[1].item(), abs=1e-5)
    assert torch.equal(network.fc.weight, before)
    with pytest.raises(InputError, match="and itself"):
        paperlib.explain(frames, network, ("left", "left"), classes=NAMES)
    with pytest.raises(InputError, match="two of which"):
        paperlib.explain(frames, network, ("left", "right", "still"), classes=NAMES)


def test_further_classes_lie_beside_and_survive_the_disk(network, frames, tmp_path):
    found = paperlib.explain(frames, network, classes=NAMES, top=2, iterations=3)
    ranked = np.argsort(-found.scores)
    assert found.target == ranked[0] and list(found.others) == [ranked[1]]
    second = found.of(NAMES[ranked[1]])
    clip = clips.to_clip(found.frames)[None]
    np.testing.assert_allclose(second.matrix, relevance.relevance_matrix(network, clip, [ranked[1]])[0], atol=1e-5)
    found.save(tmp_path / "found.npz")
    again = paperlib.artifact.load(tmp_path / "found.npz")
    assert again.info == json.loads(json.dumps(found.info)) and repr(again) == repr(found)
    for one, other in ((again, found), (again.of(int(ranked[1])), second)):
        assert one.arrays.keys() == other.arrays.keys()
        assert all(np.array_equal(one.arrays[key], other.arrays[key]) for key in one.arrays)
    with pytest.raises(InputError, match="was not explained, only"):
        again.of(int(ranked[2]))
    found.arrays["mask"], found.arrays["note"] = np.ones(4, np.float32), np.ones(1)  # of the first class alone
    del second.arrays["mask"], second.arrays["matrix"]
    second.arrays["cam"] = found.arrays["cam"]  # the same array, and yet about a class
    found.save(tmp_path / "found.npz")
    again = paperlib.artifact.load(tmp_path / "found.npz").of(int(ranked[1]))
    assert again.mask is None and again.arrays.keys() == second.arrays.keys()
    assert np.array_equal(again.cam, found.cam) and np.array_equal(again.scores, found.scores)


def test_files_of_earlier_versions_open(tmp_path):
    logits = np.arange(12, dtype=np.float32).reshape(4, 3)
    info = {"video": "v", "model": "m", "classes": NAMES, "target": 1, "predicted": 2, "method": "clrp", "sigma": 0.9}
    np.savez(
        tmp_path / "old.npz",
        frames=np.zeros((4, 8, 8, 3), np.uint8),
        info=np.frombuffer(json.dumps({**info, "avg_atr": 2.0, "max_atr": 3.0}).encode(), np.uint8),
        matrix=np.eye(4, dtype=np.float32),
        scores=np.array([0.1, 0.2, 0.7], np.float32),
        frame_logits=logits,
    )
    found = artifact.load(tmp_path / "old.npz")
    assert found.row_values.tolist() == logits[:, 1].tolist() and "avg-ATR 2.00 of 4" in repr(found)
    assert isinstance(found, artifact.Artifact) and found.clip.shape == (1, 3, 4, 8, 8)
    found.save(tmp_path / "old.html")
    assert (tmp_path / "old.html").stat().st_size > 10_000


def test_it_says_when_the_prediction_is_unsure_or_another_class_is_explained(frames):
    class Even(SmallVideoNet):
        def frame_logits(self, clips):
            return super().frame_logits(clips) * 1e-3 + torch.tensor([0.2, 0.1, 0.0])

    torch.manual_seed(0)
    found = paperlib.explain(frames[:4], Even(), "still", classes=NAMES, mask=False, cam=False)
    said = " ".join(found.notes)
    assert "The prediction is unsure: left 37%, right 33%" in said and "still, which is explained, is not pred" in said
    sure = paperlib.explain(frames[:4], _certain(), classes=NAMES, mask=False, cam=False)
    assert not any("unsure" in note or "not predicted" in note for note in sure.notes)


def test_the_atr_of_a_single_row_is_said_to_be_the_shortest_window_anywhere(frames):
    """A network that averages over time early has one row; as rows grow the sentence is gone."""

    class Early(torch.nn.Module):
        def __init__(self, steps):
            super().__init__()
            torch.manual_seed(0)
            self.conv, self.steps = torch.nn.Conv3d(3, 4, 1), steps
            self.head = torch.nn.Linear(4, 3)

        def frame_logits(self, clip):
            features = torch.relu(self.conv(clip)).mean((3, 4)).unflatten(2, (self.steps, -1)).mean(3)
            return self.head(features.transpose(1, 2))

        def forward(self, clip):
            return self.frame_logits(clip).mean(1)

    for steps in (1, 2):
        for parts in ({}, {"clips": 2}):
            found = paperlib.explain(frames, Early(steps), frames=4, mask=False, cam=False, **parts)
            assert len(found.matrix) == steps * (2 if parts else 1)
            said = [note for note in found.notes if note.startswith("The ATR is the shortest window anywhere")]
            assert len(said) == (steps == 1)
            assert all(note in repr(found) for note in said)


def _certain():
    net = SmallVideoNet()
    with torch.no_grad():
        net.head.bias.copy_(torch.tensor([9.0, 0, 0]))
    return net


def test_maps_are_laid_over_frames_one_at_a_time():
    rng = np.random.default_rng(0)
    frames, maps = rng.integers(0, 255, (64, 32, 32, 3), np.uint8), rng.random((64, 32, 32), np.float32)
    tracemalloc.start()
    laid = examples.overlay(frames, maps)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    magma = np.array(matplotlib.colormaps["magma"].colors) * 255
    share = 0.6 * maps[..., None]
    expected = (1 - share) * frames + share * magma[(maps * 256).astype(int)]
    assert np.abs(laid - expected).max() < 0.51 and laid.dtype == np.uint8 and peak < 3 * frames.nbytes


def test_several_clips_of_one_video_and_no_mask_unless_it_is_asked_for(network, frames):
    found = paperlib.explain(frames, network, clips=2, cam=False)
    assert found.matrix.shape == (8, 8) and found.mask is None and (found.matrix[:4, 4:] == 0).all()
    assert "in 2 clips of 4 frames" in " ".join(found.notes)


def test_pictures_and_what_a_notebook_shows(network, frames, tmp_path):
    from PIL import Image

    found = paperlib.explain(frames, network, classes=NAMES, iterations=2)
    for name in ("a.png", "a.gif"):
        found.save(tmp_path / name)
    assert Image.open(tmp_path / "a.png").size[0] > 800
    with Image.open(tmp_path / "a.gif") as film:
        assert film.n_frames == 4 and film.size == (3 * 192, 192 + 10)
    with pytest.raises(InputError, match="a.bmp should end with"):
        found.save(tmp_path / "a.bmp")
    data, _ = found._repr_mimebundle_()
    assert "application/vnd.jupyter.widget-view+json" in data and "image/png" in data
    assert data["text/plain"] == repr(found)  # in a terminal
    from paperlib import widgets

    widget = widgets.show(found)
    widget.explain(target=2)  # the network is still there
    assert widget.found[0]["target"] == 2 and widget.clips[0]["live"]


def test_without_the_widgets_packages_a_notebook_shows_the_picture(network, frames, monkeypatch):
    found = paperlib.explain(frames, network, classes=NAMES, mask=False)

    def missing(_):
        raise InputError("to show widgets, install what is missing: pip install anywidget")

    monkeypatch.setattr("paperlib.widgets.show", missing)
    data = found._repr_mimebundle_()
    assert set(data) == {"text/plain", "image/png"} and data["text/plain"] == repr(found)


def test_a_checkpoint_and_a_video_file(network, tmp_path):
    file = tmp_path / "net.safetensors"
    checkpoints.save(file, network, {"classes": NAMES, "recipe": {"size": 32}, "dataset": "toy"})
    found = paperlib.explain(videos.write(tmp_path / "clip.mp4", n=20), str(file), mask=False, cam=False)
    assert found.frames.shape == (4, 32, 32, 3) and found.info["video"] == "clip.mp4" and found.info["dataset"] == "toy"
    for arguments, message in (
        (("none.mp4", str(file)), "none.mp4"),
        ((tmp_path / "clip.mp4", "none"), "checkpoint none does not exist"),
        ((tmp_path / "clip.mp4", 3), "not int"),
        ((np.zeros((4, 8, 8)), network), "frames uint8"),
        ((torch.zeros(2, 3, 4, 8, 8), network), "one clip at a time"),
    ):
        with pytest.raises(InputError, match=message):
            paperlib.explain(*arguments)
    for options, message in ((dict(top=0), "top must"), (dict(colour=3), "no option colour"), (dict(layer="x"), "x")):
        with pytest.raises(InputError, match=message):
            paperlib.explain(np.zeros((4, 32, 32, 3), np.uint8), network, mask=False, **options)


@pytest.mark.parametrize("name", ["plain", "LARGE.NPZ"])
def test_whatever_the_ending_the_file_of_that_name_holds_the_result(network, frames, tmp_path, name):
    found = paperlib.explain(frames, network, classes=NAMES, mask=False, relevance=False)
    found.save(tmp_path / name)
    assert [file.name for file in tmp_path.iterdir()] == [name]
    assert np.array_equal(artifact.load(tmp_path / name).cam, found.cam)
    with pytest.raises(InputError, match="npz"):
        found.save(tmp_path / "dotted.v2")
    assert [file.name for file in tmp_path.iterdir()] == [name]


@pytest.mark.parametrize("frames", range(1, 17))
def test_the_windows_whose_masks_are_learned_see_every_frame(frames):
    seen, starts = sliding.plan(40, frames, slide=1)
    chosen = sliding.apart(starts, frames)
    covered = {int(starts[k]) + at for k in chosen for at in range(frames)}
    assert covered == set(range(len(seen))) and chosen == sorted(set(chosen))


def test_the_class_compared_with_is_not_explained_too(network, frames):
    found = paperlib.explain(frames, network, ("left", "still"), classes=NAMES, top=3, mask=False, relevance=False)
    assert NAMES[found.target] == "left" and [NAMES[k] for k in found.others] == ["right"]


def test_frames_that_stand_in_several_clips_are_told(network, frames):
    found = paperlib.explain(frames[:9], network, classes=NAMES, clips=4, mask=False, relevance=False, cam=False)
    assert len(set(found.info["indices"])) < len(found.info["indices"])
    assert any("some stand in clips more than once" in note for note in found.notes)


def test_a_page_spells_out_a_class_whose_name_is_no_text(tmp_path, network, frames):
    found = paperlib.explain(frames, network, classes=["a", "caf\udce9", "c"], mask=False, cam=False)
    found.save(tmp_path / "found.html")
    assert r"caf\udce9" in (tmp_path / "found.html").read_text(encoding="utf-8")
