"""Planted truth: twins differ inside alone, sanity checks tell."""

import numpy as np
import pytest
import torch
from torch import nn

from paperlib import data, truth
from paperlib.errors import InputError
from paperlib.truth import sanity

from .. import toy

pytestmark = pytest.mark.numerics


class Three(toy.Bars):
    """The toy data set with a third class, whose bar stands still."""

    classes = ["left", "right", "still"]

    def __init__(self, videos=12, size=16):
        super().__init__(videos, size, 5)
        self.labels = np.arange(videos) % 3


def differs(known):
    return (known.clips != known.twins).any(1).flatten(2).any(2)


def test_rendered_twins_differ_inside_alone_and_are_the_videos_of_the_data_set():
    dataset = data.load("synth_ssv2_hard", "val", size=24)
    known = truth.planted(dataset, 8, clips=6)
    assert len(known) == 6 and known.clips.shape == (6, 3, 8, 24, 24)
    assert torch.equal(differs(known), known.inside) and known.inside.any(1).all() and not known.inside.all(1).any()
    positions = [dataset.ids.index(name) for name in known.ids]
    assert known.targets.tolist() == dataset.labels[positions].tolist() and len(set(known.targets.tolist())) == 6
    assert known.others.tolist() == [dataset.twin(i) for i in positions]
    chosen = data.sampling.uniform(dataset.num_frames(positions[0]), 8)
    assert torch.equal(known.clips[0], data.clips.to_clip(dataset.frames(positions[0], chosen)))
    inside = data.truth(dataset, positions[0])
    assert known.inside[0].tolist() == inside.differs[chosen].tolist()
    with pytest.raises(InputError, match="toy_bars plants no events"):
        truth.planted(Three(), 8)


def test_spliced_clips_show_the_target_inside_and_a_third_class_around():
    dataset = Three(30)
    known = truth.spliced(dataset, 12, clips=9)
    assert torch.equal(differs(known), known.inside) and not known.inside[:, [0, -1]].any()
    assert (known.inside.sum(1) >= 2).all() and (known.inside.sum(1) <= 6).all()
    for k in range(9):
        own, host = (dataset.ids.index(name) for name in known.ids[k].split(" in "))
        shown = [
            data.clips.to_clip(dataset.frames(i, data.sampling.uniform(dataset.num_frames(i), 12))) for i in (own, host)
        ]
        inside = known.inside[k]
        assert torch.equal(known.clips[k][:, inside], shown[0][:, inside])
        assert torch.equal(known.clips[k][:, ~inside], shown[1][:, ~inside])
        assert len({int(dataset.labels[own]), int(dataset.labels[host]), int(known.others[k])}) == 3
        edges = np.diff(np.r_[0, inside.int(), 0])
        assert (edges == 1).sum() == 1
    again = truth.spliced(dataset, 12, clips=9)
    assert again.ids == known.ids and torch.equal(again.inside, known.inside)
    with pytest.raises(InputError, match="three classes and four frames"):
        truth.spliced(toy.Bars(8, 16, 0), 8)


def test_labels_of_several_questions_are_refused():
    dataset = Three(30)
    dataset.labels = np.stack([dataset.labels, dataset.labels], 1)
    with pytest.raises(InputError, match=r"one label to a video, not by labels of shape \[30, 2\]"):
        truth.spliced(dataset, 12, clips=9)


def test_told_apart_are_clips_whose_difference_the_network_sees():
    net, known = truth.oracle([(5, 9)], clips=6)
    assert truth.told_apart(net, known).all()
    known.twins[2] = known.clips[2]
    known.others[4] = known.targets[4]
    assert truth.told_apart(net, known).tolist() == [True, True, False, True, False, True]
    kept = known.subset(truth.told_apart(net, known))
    assert len(kept) == 4 and torch.equal(kept.twins[2], known.twins[3])
    assert torch.equal(known.subset([0, -1]).clips, known.clips[[0, 5]]) and len(known.subset(np.arange(2))) == 2
    for wrong in ([True, False], [9], [0.5], 2, [-7]):
        with pytest.raises(InputError, match="6 clips are kept by a truth value for each or by positions, not by"):
            known.subset(wrong)


def test_randomised_weights_change_what_a_right_instrument_says_and_not_what_a_control_says():
    torch.manual_seed(0)
    net, known = truth.oracle([(5, 9)], clips=4)
    before = [p.clone() for p in net.parameters()]
    right = sanity.randomised(truth.INSTRUMENTS["occlusion"], net, known.clips, known.targets)
    blind = sanity.randomised(truth.CONTROLS["frame difference"], net, known.clips, known.targets)
    assert list(right) == [0.0, 0.25, 0.5, 1.0]
    assert np.allclose(right[0.0], 1) and right[1.0].mean() < 0.5
    assert all(np.allclose(value, 1) for value in blind.values())
    assert all(torch.equal(a, b) for a, b in zip(before, net.parameters(), strict=True))
    names = [name for name, _ in sanity.cascade(net)]
    assert names == ["", "fc", "read", "bright"]


class Steps(nn.Module):
    """Scores a clip's brightness over time by an LSTM, attention and a layer whose weights are computed from others."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.place = nn.Parameter(torch.randn(1, 6, 4))
        self.gates, self.mix = nn.LSTM(3, 4, batch_first=True), nn.MultiheadAttention(4, 2, batch_first=True)
        self.norm, self.fc = nn.LayerNorm(4), nn.utils.parametrizations.weight_norm(nn.Linear(4, 3))
        nn.init.normal_(self.norm.weight)

    def forward(self, x):
        x = self.gates(x.mean((3, 4)).transpose(1, 2))[0] + self.place
        return self.fc(self.norm(self.mix(x, x, x)[0]).mean(1))


def test_every_weight_is_shuffled_whatever_its_layer_calls_it_and_each_network_is_one_of_its_own():
    net, clips = Steps().eval(), torch.rand(2, 3, 6, 4, 4)
    weights = dict(net.named_parameters())
    found = list(sanity.cascade(net))
    assert [name for name, _ in found] == [
        "", "fc.parametrizations.weight", "norm", "mix.out_proj", "mix", "gates", "Steps"
    ]  # fmt: skip
    for depth, (_, shuffled) in enumerate(found):
        own, changed = dict(shuffled.named_parameters()), {}
        for name, weight in own.items():
            assert torch.equal(weight.flatten().sort()[0], weights[name].flatten().sort()[0])
            if not torch.equal(weight, weights[name]):
                changed[name.rpartition(".")[0]] = True
        assert set(changed) == {name if name != "Steps" else "" for name, _ in found[1 : depth + 1]}
        assert depth == 0 or not torch.allclose(shuffled(clips), found[depth - 1][1](clips), atol=1e-4)
    left = {k for k, weight in found[-1][1].named_parameters() if torch.equal(weight, weights[k])}
    assert all(weights[name].dim() == 1 and "bias" in name for name in left)


def test_every_share_of_few_layers_is_answered():
    net = nn.Sequential(nn.Conv3d(3, 4, 1), nn.ReLU(), nn.AdaptiveAvgPool3d(1), nn.Flatten(), nn.Linear(4, 3)).eval()
    clips = torch.rand(2, 3, 6, 4, 4)
    gradient = truth.INSTRUMENTS["gradient x input"]
    found = sanity.randomised(gradient, net, clips, [0, 1])
    assert set(found) == {0.0, 0.25, 0.5, 1.0}
    before, (_, one, both) = gradient(net, clips, [0, 1]), dict(sanity.cascade(net)).values()
    for share, changed in ((0.0, net), (0.25, net), (0.5, one), (1.0, both)):
        assert np.allclose(found[share], truth.ranks(before, gradient(changed, clips, [0, 1])))


def test_a_frame_shown_twice_and_a_clip_shifted():
    def brightness(model, clips, targets):
        return clips.mean((1, 3, 4))

    clips = torch.rand(2, 3, 10, 4, 4)
    twice = sanity.duplicated(brightness, None, clips, None, 3)
    assert np.allclose(twice, 2)  # counted in each place it stands in, however much of all it is
    clips[0, :, 3] = 100
    assert np.allclose(sanity.duplicated(brightness, None, clips, None, 3), 2)

    def shared(model, clips, targets):
        """Importance of a frame, shared with those beside it that are the same."""
        alike = (clips[:, :, :, None] == clips[:, :, None]).all((1, 4, 5))
        return clips.mean((1, 3, 4)) / alike.sum(2)

    assert np.allclose(sanity.duplicated(shared, None, clips, None, 3), 1)
    clips[1, :, 3] = 0
    assert np.isnan(sanity.duplicated(brightness, None, clips, None, 3)).tolist() == [False, True]
    clips[0, :, :3] = clips[0, :, 4:] = 0  # that frame is all there is
    assert np.isnan(sanity.duplicated(brightness, None, clips, None, 3)).all()
    late = torch.tensor([[0.0, 1, 1, 0, 1, 1]])  # nothing at first, something once the frame is shown twice: no share
    now = sanity.duplicated(lambda model, shown, targets: late + 1, None, clips[:1, :, :6], None, 3, late)
    assert np.isnan(now).all()
    long = torch.rand(2, 3, 13, 4, 4)
    assert np.allclose(sanity.shifted(brightness, None, long[:, :, :10], long[:, :, 3:], None, 3), 1)
    assert np.abs(sanity.shifted(truth.CONTROLS["random"], None, long[:, :, :10], long[:, :, 3:], None, 3)).max() < 0.9
    lists = lambda *asked: brightness(*asked).tolist()  # noqa: E731
    targets, own = torch.tensor([0, 1]), brightness(None, long[:, :, :10], None)
    for check, asked in (
        (sanity.duplicated, (long, targets, 3)),
        (sanity.shifted, (long[:, :, :10], long[:, :, 3:], targets, 3)),
        (sanity.permuted_labels, (long, targets, 2)),
    ):
        assert np.array_equal(check(lists, None, *asked), check(brightness, None, *asked))
    assert np.allclose(sanity.permuted_labels(lists, None, long[:, :, :10], [0, 1], 2, before=own.numpy()), 1)
    with pytest.raises(InputError, match="importance that the instrument returns must be numbers"):
        sanity.duplicated(lambda *_: None, None, long, targets, 3)
    with pytest.raises(InputError, match="cannot be compared 9 frames apart"):
        sanity.shifted(brightness, None, clips, clips, None, 9)
    with pytest.raises(InputError, match="clips compared must be alike"):
        sanity.shifted(brightness, None, clips, clips[:1], None, 3)
    for depths in (0.5, [0.0, 2.0]):
        with pytest.raises(InputError, match="depths must be shares of the layers"):
            sanity.randomised(brightness, None, clips, None, depths)
    for call, name in ((sanity.duplicated, "frame"), (lambda f, m, x, t, by: sanity.shifted(f, m, x, x, t, by), "by")):
        with pytest.raises(InputError, match=f"{name} must be a whole number"):
            call(brightness, None, clips, None, 2.5)


def test_networks_made_under_inference_mode_can_be_explained():
    net, known = truth.oracle([(5, 9)], clips=2)
    gradient = truth.INSTRUMENTS["gradient"]
    with torch.inference_mode():
        against, pairs = truth.versus(net, known.targets, known.others, known.clips)
        found = gradient(against, known.clips, pairs)
        copies = [copy for _, copy in sanity.cascade(net)]
    assert torch.equal(found, gradient(against, known.clips, pairs.clone()))
    assert gradient(copies[0], known.clips, known.targets).shape == found.shape
