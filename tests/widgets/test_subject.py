"""What a widget holds: a record of its own, the network as it was, and every class asked in the same way."""

import copy

import numpy as np
import pytest
import torch
from torch import nn

import paperlib
from paperlib import gradcam, masks, relevance, widgets
from paperlib.data import clips
from paperlib.errors import InputError

NAMES = ["a", "b", "c"]
FRAMES = np.random.default_rng(0).integers(0, 255, (6, 16, 16, 3), np.uint8)


class Net(nn.Module):
    """Convolutions, a batch norm and dropout: training mode gives other numbers and changes the network."""

    def __init__(self):
        super().__init__()
        self.conv, self.norm = nn.Conv3d(3, 8, 3, padding=1, stride=(1, 2, 2)), nn.BatchNorm3d(8)
        self.relu, self.conv2, self.relu2 = nn.ReLU(), nn.Conv3d(8, 16, 3, padding=1), nn.ReLU()
        self.drop, self.fc = nn.Dropout(0.5), nn.Linear(16, 3)

    def forward(self, clip):
        features = self.relu2(self.conv2(self.relu(self.norm(self.conv(clip)))))
        return self.fc(self.drop(features.mean((2, 3, 4))))


def made(seed=0):
    torch.manual_seed(seed)
    net = Net()
    with torch.no_grad():
        net.fc.weight.mul_(8)
        net(torch.randn(4, 3, 6, 16, 16))
    return net.eval()


@pytest.fixture
def network():
    return made()


def explained(network, *arguments, **options):
    return paperlib.explain(FRAMES, network, *arguments, **{"classes": NAMES, "iterations": 3, **options})


def content(found):
    """Everything in a record, to compare."""
    arrays = {name: value.tobytes() for name, value in found.arrays.items()}
    return copy.deepcopy((found.info, arrays)), {k: content(one) for k, one in found.others.items()}


def under(network, mask, target):
    """Return the scores of a class on the clip, frozen and reversed by a mask, by softmax."""
    clip, mask = clips.to_clip(FRAMES)[None], torch.tensor(mask, dtype=torch.float32)[None]
    every = torch.cat([clip, masks.freeze(clip, mask), masks.reverse(clip, mask)])
    with torch.no_grad():
        return dict(zip(("OS", "FS", "RS"), network(every).softmax(1)[:, target].tolist(), strict=True))


def test_a_network_in_training_is_asked_as_in_evaluation_and_stays_as_it_is(network):
    training = copy.deepcopy(network).train()
    before = {name: value.clone() for name, value in training.state_dict().items()}
    found = explained(training)
    said = dict(found.info["mask_scores"])
    found._repr_mimebundle_()
    widget = widgets.scrub_masks(FRAMES, training, classes=NAMES)
    assert found.info["mask_scores"] == said == pytest.approx(under(network, found.mask, found.target), abs=1e-5)
    assert widget.set_mask([0, 1, 1, 0, 0, 0]) == pytest.approx(
        under(network, [0, 1, 1, 0, 0, 0], found.target), abs=1e-5
    )
    assert all(torch.equal(value, before[name]) for name, value in training.state_dict().items())
    assert all(module.training for module in training.modules())


def test_a_widget_shows_a_record_and_leaves_it_as_it_is(network):
    found = explained(network, mask=False, top=2)
    before, second = content(found), next(iter(found.others))
    found._repr_mimebundle_()
    for widget in (widgets.show(found), widgets.scrub_masks(found, network)):
        widget.explain(target=second)
        widget.set_mask([1, 1, 0, 0, 0, 0])
        widget.learn(iterations=2)
        assert widget.subjects[0].artifact.mask is not None
    assert content(found) == before and found.mask is None and not any("masked" in line for line in found.summary())


def test_a_class_has_what_was_found_about_it_and_nothing_of_another(network, tmp_path):
    found = explained(network, top=2)
    (second,), first = found.others, found.target
    third = ({0, 1, 2} - {first, second}).pop()
    widget = widgets.scrub_relevance(found, network)
    here = widget.subjects[0]
    widget.explain(target=second)
    assert content(here.artifact)[0] == content(found.others[second])[0]
    widget.explain(target=third)
    bare = {"scores", "logits", "matrix", "row_values", "atr", "segments", "mask"}
    assert here.artifact.arrays.keys() <= bare and not here.artifact.info.keys() & {"mask_scores", "layer"}
    assert np.array_equal(here.mask, found.others[second].mask)  # the one that was on the screen
    for k in (first, second):
        assert content(here.artifact.of(k))[0] == content(found.of(k))[0]
    here.artifact.save(tmp_path / "third.npz")
    assert content(paperlib.artifact.load(tmp_path / "third.npz"))[1].keys() == {first, second}
    here.artifact.save(tmp_path / "third.html")
    widget.explain(target=first)
    assert content(here.artifact)[0] == content(found)[0]


def test_a_mask_at_the_threshold_is_as_long_in_the_browser(network):
    widget = widgets.scrub_masks(FRAMES, network, classes=NAMES)
    widget.set_mask([0.1, 0.2, 0.1, 0, 0.1, 1])
    assert sum(value > 0.1 for value in widget.masks[0]["mask"]) == widget.table()["masked"].item() == 2


def test_scores_and_losses_belong_to_the_mask_that_they_were_found_for(network, tmp_path):
    found = explained(network)
    found.save(tmp_path / "found.npz")
    widget = widgets.scrub_masks(tmp_path / "found.npz")
    assert widget.masks[0]["scores"] == found.info["mask_scores"] and widget.masks[0]["loss"]
    assert widget.set_mask([1, 0, 0, 0, 0, 0]) is None
    assert widget.masks[0]["scores"] is None and widget.masks[0]["loss"] == []
    live = widgets.show(found)
    live.learn(iterations=4)
    learned = live.subjects[0].artifact
    assert learned.info["mask_settings"]["iterations"] == 4 and len(learned.arrays["mask_loss"]) <= 4
    assert learned.info["mask_scores"] == pytest.approx(under(network, learned.mask, found.target), abs=1e-5)
    live.learn(iterations=2, perturbation="black")
    with torch.no_grad():
        black = network(masks.black(learned.clip, torch.tensor(learned.mask))).softmax(1)[0, found.target].item()
    assert live.masks[0]["scores"]["black"] == pytest.approx(black, abs=1e-5)
    assert live.table()["black"].item() == live.masks[0]["scores"]["black"]
    assert set(live.set_mask(learned.mask)) == {"OS", "FS", "RS"} and "black" not in live.table()  # of any mask


def test_a_clip_of_one_frame_and_several_clips_are_shown_without_scores_of_masks(network):
    one = paperlib.explain(FRAMES[:1], network, classes=NAMES)
    several = explained(network, frames=4, clips=2)
    for found in (one, several):
        assert found.cam is not None and found.mask is None
        widget = widgets.show(found)
        assert len(widget.maps[0]) == len(found.frames) and widget.masks[0]["scores"] is None
        assert widget.set_mask([1] * len(found.frames)) is None
        with pytest.raises(InputError, match="one clip of two frames"):
            widget.subjects[0].learn()
        widget.explain(target=(found.target + 1) % 3)
        again = paperlib.explain(
            FRAMES[: len(found.frames)] if found is one else FRAMES,
            network,
            widget.subjects[0].target,
            classes=NAMES,
            **({} if found is one else {"frames": 4, "clips": 2}),
        )
        np.testing.assert_allclose(widget.subjects[0].artifact.cam, again.cam, atol=1e-5)


OPTIONS = dict(rows="split", layer="conv", mask=False)


@pytest.mark.parametrize("rules", ["gamma", {"composite": "gamma"}])
def test_another_class_is_asked_as_the_first_was(network, tmp_path, rules):
    found = explained(network, rules=rules, **OPTIONS)
    second = (found.target + 1) % 3
    expected, plain = (explained(network, second, **how) for how in ({"rules": rules, **OPTIONS}, {}))
    assert np.abs(expected.matrix).max() > 0 and not np.allclose(expected.cam, plain.cam, atol=1e-2)
    found.save(tmp_path / "found.npz")
    widget, first = widgets.show(found), content(found)[0]
    again = widgets.scrub_relevance(tmp_path / "found.npz", network)
    named = widgets.scrub_relevance(tmp_path / "found.npz", network, rules=rules)
    every = [widget, named]
    if isinstance(rules, str):
        every.append(again)
    else:  # numbers and JSON only are saved
        with pytest.raises(InputError, match="give it as rules="):
            again.explain(target=second)
    for one in every:
        here = one.subjects[0]
        one.explain(target=second)
        here.maps()
        for name in ("matrix", "row_values", "cam"):
            np.testing.assert_allclose(here.artifact.arrays[name], expected.arrays[name], atol=1e-6)
        for key in ("rows", "rows_from", "asked", "layer", "method"):
            assert here.artifact.info[key] == expected.info[key]
    widget.explain(method="lrp")
    widget.explain(target=found.target)
    shown = widget.subjects[0].artifact
    assert shown.info.pop("mask_scores") and shown.arrays.pop("mask") is not None  # what the widget starts with
    assert content(shown)[0] == first


def test_a_saved_matrix_is_shown_for_the_rules_that_it_was_made_by_alone(network, tmp_path):
    explained(network, mask=False, cam=False, top=2).save(tmp_path / "found.npz")
    gamma = explained(network, mask=False, cam=False, rules="gamma")
    shown = widgets.scrub_relevance(tmp_path / "found.npz", network, rules="gamma").subjects[0].artifact
    np.testing.assert_allclose(shown.matrix, gamma.matrix, atol=1e-6)
    assert [one.matrix for one in shown.others.values()] == [None]
    with pytest.raises(InputError, match="CLRP matrix of . by rules gamma needs the model"):
        widgets.scrub_relevance(tmp_path / "found.npz", rules="gamma")
    assert widgets.scrub_relevance(tmp_path / "found.npz", rules="auto").found[0]["method"] == "clrp"


@pytest.mark.parametrize("beside", [True, False])
def test_rows_that_stand_beside_go_with_their_matrix(network, beside):
    found = explained(network, mask=False, cam=False)
    found.arrays.update({"beside": np.ones((1, 6)), "beside_values": np.ones(1)} if beside else {})
    widget = widgets.scrub_relevance(found, network)
    widget.explain(method="lrp")
    assert "beside" not in widget.subjects[0].artifact.arrays
    widget.explain(method="clrp")
    assert ("beside" in widget.subjects[0].artifact.arrays) == beside


def of_difference(network, first, second):
    """Return the network with one logit, that of the first class minus that of the second, written by hand."""
    hand = copy.deepcopy(network)
    hand.fc = nn.Linear(16, 1)
    with torch.no_grad():
        hand.fc.weight.copy_(network.fc.weight[[first]] - network.fc.weight[[second]])
        hand.fc.bias.copy_(network.fc.bias[[first]] - network.fc.bias[[second]])
    return hand


def test_one_class_rather_than_another_is_asked_as_a_difference(network, tmp_path):
    found = explained(network, ("a", "b"))
    found.save(tmp_path / "found.npz")
    file, clip, mask = tmp_path / "found.npz", clips.to_clip(FRAMES)[None], torch.tensor([[0, 1, 1, 0, 0, 0.0]])
    opened = [
        widgets.show(found),
        widgets.Explorer([widgets.subject(file, network)], ["relevance", "mask"]),
        widgets.Explorer([widgets.subject(FRAMES, network, NAMES, ("a", "b"))], ["relevance", "mask"]),
    ]
    for widget in opened:
        here = widget.subjects[0]
        for first, name in enumerate(("a", "c")):
            hand = of_difference(network, 2 * first, 1)
            widget.explain(target=name, method="lrp")
            assert here.artifact.target_name == f"{name} rather than b" and widget.found[0]["against"] == 1
            expected = relevance.relevance_matrix(hand, clip, [0], method="lrp")[0]
            np.testing.assert_allclose(here.artifact.matrix, expected, atol=1e-5)
            np.testing.assert_allclose(here.maps(), gradcam.video_gradcam(hand, clip, 0)[0], atol=1e-4)
            shown, every = (
                widget.set_mask(mask[0].tolist()),
                [clip, masks.freeze(clip, mask), masks.reverse(clip, mask)],
            )
            assert list(shown.values()) == pytest.approx(hand(torch.cat(every)).sigmoid()[:, 0].tolist(), abs=1e-5)
        with pytest.raises(InputError, match="and itself"):
            widget.explain(target="b")
    assert widgets.scrub_masks(file, network).masks[0]["scores"] == pytest.approx(found.info["mask_scores"])
    with pytest.raises(InputError, match="compare_models takes one class"):
        widgets.compare_models(FRAMES, [network, network], target=("a", "b"))


def test_an_artifacts_scores_stay_on_their_scale_unless_another_is_asked_for(network, tmp_path):
    found = explained(network, scores="sigmoid", cam=False)
    found.save(tmp_path / "found.npz")
    logits = network(clips.to_clip(FRAMES)[None])[0].detach()
    here = widgets.subject(tmp_path / "found.npz", network, target=(found.target + 1) % 3)
    assert here.artifact.info["scores"] == "sigmoid"
    np.testing.assert_allclose(here.artifact.scores, logits.sigmoid(), atol=1e-5)
    other = widgets.subject(tmp_path / "found.npz", network, scores="softmax")
    np.testing.assert_allclose(other.artifact.scores, logits.softmax(0), atol=1e-5)
    assert other.artifact.mask is None and "mask_scores" not in other.artifact.info  # they were sigmoids
    with pytest.raises(InputError, match="scores by softmax need the model"):
        widgets.subject(tmp_path / "found.npz", scores="softmax")


def test_an_artifact_of_another_network_is_refused(network, tmp_path):
    found = explained(network, mask=False)
    found.save(tmp_path / "FOUND.NPZ")
    trained = copy.deepcopy(network)
    with torch.no_grad():
        trained.conv.weight.mul_(1.1)
    for other in (made(5), trained):
        with pytest.raises(InputError, match="are not the given network's; give the one that was explained"):
            widgets.scrub_relevance(tmp_path / "FOUND.NPZ", other)
    before = content(found)
    network.load_state_dict(trained.state_dict())
    widget = widgets.show(found)  # which shows what was found, and asks it no more
    assert not widget.clips[0]["live"] and content(found) == before
    with pytest.raises(InputError, match="another class needs the model"):
        widget.explain(target=(found.target + 1) % 3)


def test_without_its_model_an_artifact_shows_the_classes_that_were_explained(network, tmp_path):
    found = explained(network, top=2, mask=False)
    (second,) = found.others
    found.save(tmp_path / "found.npz")
    shown = widgets.scrub_relevance(tmp_path / "found.npz", target=second).subjects[0].artifact
    np.testing.assert_allclose(shown.matrix, found.of(second).matrix)
    with pytest.raises(InputError, match="another class needs the model"):
        widgets.scrub_relevance(tmp_path / "found.npz", target=({0, 1, 2} - {second, found.target}).pop())
