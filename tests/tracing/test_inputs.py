"""What relevance, masks and Grad-CAM make of networks and clips as people have them: right, or one sentence."""

import copy

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F
from torch.utils.checkpoint import checkpoint

import paperlib
from paperlib import gradcam, masks, models, relevance
from paperlib.errors import InputError
from paperlib.tracing.probing import evaluating


class Net(nn.Module):
    """Two convolutions and a classifier per time step; subclasses differ in how they compute the same."""

    def __init__(self, classes=4):
        super().__init__()
        self.first = nn.Conv3d(3, 6, 3, padding=1, stride=(1, 2, 2))
        self.second = nn.Conv3d(6, 6, 3, padding=1)
        self.fc = nn.Linear(6, classes)

    def trunk(self, x):
        return F.relu(self.second(F.relu(self.first(x))))

    def frame_logits(self, x):
        return self.fc(self.trunk(x).mean((3, 4)).transpose(1, 2))

    def forward(self, x):
        return self.frame_logits(x).mean(1)


def make(kind=Net):
    torch.manual_seed(0)
    return kind()


def clips(batch=2):
    return torch.rand(batch, 3, 5, 10, 10, generator=torch.Generator().manual_seed(1))


INSTRUMENTS = {
    "relevance": lambda net, x: relevance.relevance_matrix(net, x, 1, input_bounds=(-1, 2)),
    "masks": lambda net, x: masks.learn(net, x, 1, iterations=3).mask,
    "search": lambda net, x: masks.search(net, x, 1).values,
    "gradcam": lambda net, x: gradcam.video_gradcam(net, x, 1, "second"),
}
instruments = pytest.mark.parametrize("instrument", INSTRUMENTS)


@pytest.mark.parametrize(
    "change, message",
    [
        (lambda x: (255 * x).byte(), r"normalised float tensor .*not torch.uint8; paperlib.data.clips.to_clip"),
        (lambda x: x.numpy(), "normalised float tensor .*not ndarray"),
        (lambda x: x.double(), r"clips are torch.float64, but the network's weights are torch.float32; give clips.to"),
        (lambda x: x.half(), "clips are torch.float16, but the network's weights are torch.float32"),
        (lambda x: x[0], r"\[B, 3, T, H, W\], not of shape \(3, 5, 10, 10\)"),
        (lambda x: x[:0], r"not of shape \(0, 3, 5, 10, 10\)"),
        (lambda x: x.transpose(1, 2), r"look like \[B, T, 3, H, W\]: give clips.permute\(0, 2, 1, 3, 4\)"),
        (lambda x: x.movedim(1, 4), r"look like \[B, T, H, W, 3\]: give clips.permute\(0, 4, 1, 2, 3\)"),
        (lambda x: x.where(torch.arange(2).view(2, 1, 1, 1, 1) == 0, torch.nan), "clip 1 has NaN"),
    ],
    ids=["uint8", "numpy", "float64", "half", "4D", "empty", "BTCHW", "BTHWC", "NaN"],
)
def test_unusable_clips_are_told_the_same_by_every_instrument(change, message):
    said = set()
    for run in INSTRUMENTS.values():
        with pytest.raises(InputError, match=message) as error:
            run(make(), change(clips()))
        said.add(str(error.value))
    assert len(said) == 1


def test_the_layouts_proposed_are_right():
    x = clips()
    assert torch.equal(x.transpose(1, 2).permute(0, 2, 1, 3, 4), x)
    assert torch.equal(x.movedim(1, 4).permute(0, 4, 1, 2, 3), x)


@pytest.mark.parametrize("channels, frames", [(10, 3), (3, 3), (2, 3), (1, 5)])
def test_clips_of_other_channels_and_of_three_frames_are_no_wrong_layout(channels, frames):
    net = make()
    net.first = nn.Conv3d(channels, 6, 3, padding=1)
    x = torch.rand(1, channels, frames, 6, 6)
    for run in INSTRUMENTS.values():
        assert run(net, x).isfinite().all()


class Softmax(Net):
    frame_logits = None

    def forward(self, x):
        return self.fc(self.trunk(x).mean((2, 3, 4))).softmax(1)


class Sigmoid(Softmax):
    def forward(self, x):
        return self.fc(self.trunk(x).mean((2, 3, 4))).sigmoid().view(len(x), -1)


class MeanOfSigmoids(Softmax):
    def forward(self, x):
        return self.fc(self.trunk(x).mean((3, 4)).transpose(1, 2)).sigmoid().mean(1)


class Small(Softmax):
    """Logits from 0 to 1, not far from what a sigmoid gives."""

    def forward(self, x):
        return self.fc(self.trunk(x).mean((2, 3, 4))).abs() / 10


class Random(Softmax):
    def forward(self, x):
        return self.fc(F.dropout(self.trunk(x).mean((2, 3, 4)), 0.5))  # whatever the mode


def spoilt():
    net = make()
    net.second.weight.data[0, 0, 0, 0, 0] = torch.nan
    return net


NO_NETWORKS = {
    "NaN": (spoilt, "NaN or infinite logits; second.weight holds such values"),
    "softmax": (lambda: make(Softmax), "returns probabilities that sum to one, not logits"),
    "sigmoid": (lambda: make(Sigmoid), "returns what a sigmoid gives, not logits.* say scores='sigmoid'"),
    "mean of sigmoids": (lambda: make(MeanOfSigmoids), "returns what a sigmoid gives, not logits"),
    "random": (lambda: make(Random), "other logits at every run, in evaluation mode too"),
}


@pytest.mark.parametrize("kind", NO_NETWORKS)
@instruments
def test_networks_that_say_nothing_of_a_clip_are_named_by_every_instrument(instrument, kind):
    net, message = NO_NETWORKS[kind]
    with pytest.raises(InputError, match=message):
        INSTRUMENTS[instrument](net(), clips())


@instruments
def test_logits_between_0_and_1_are_logits(instrument):
    net, x = make(Small), clips()
    assert ((net(x) > 0) & (net(x) < 1)).all()
    first, again = (INSTRUMENTS[instrument](net, x) for _ in range(2))
    assert first.isfinite().all() and torch.equal(first, again)


@pytest.mark.parametrize("targets", [["jump", "run"], [0.9, 1.7], [True, False]])
def test_targets_that_are_no_class_indices_are_refused_by_every_instrument(targets):
    for ask in (
        lambda net, x: relevance.relevance_matrix(net, x, targets, input_bounds=(-1, 2)),
        lambda net, x: masks.learn(net, x, targets, iterations=1),
        lambda net, x: gradcam.video_gradcam(net, x, targets, "second"),
    ):
        with pytest.raises(InputError, match="targets must be class indices, one per clip"):
            ask(make(), clips())


@instruments
def test_inference_mode_autocast_and_clips_with_a_gradient_change_nothing(instrument):
    run, net, x = INSTRUMENTS[instrument], make(), clips()
    expected = run(net, x)
    assert torch.equal(run(net, x.clone().requires_grad_()), expected)
    with torch.inference_mode():
        found = run(net, x + 0)  # an inference tensor
    assert torch.equal(found, expected)
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(run(net, x), expected)
    assert all(weight.requires_grad for weight in net.parameters())


class Viewing(Net):
    """Looks at the memory of its clips, as networks do that were written for clips from a loader."""

    def trunk(self, x):
        return super().trunk(x.view(len(x), -1).view(x.shape))


@instruments
def test_clips_may_lie_in_memory_in_any_order(instrument):
    run, net, x = INSTRUMENTS[instrument], make(Viewing), clips()
    expected = run(net, x)
    assert torch.equal(run(net, x.to(memory_format=torch.channels_last_3d)), expected)  # the recording is used again
    assert torch.equal(run(make(Viewing), x.movedim(1, 4).contiguous().movedim(4, 1)), expected)
    with torch.inference_mode():
        inference = x.movedim(1, 4).contiguous().movedim(4, 1)
    assert torch.equal(run(net, inference), expected)


def test_a_network_is_adapted_and_explained_for_a_clip_in_any_order_of_memory():
    one = clips(1)
    turned = one.movedim(1, 4).contiguous().movedim(4, 1)
    adapted = models.adapt(make(Viewing), turned)
    with torch.no_grad():
        assert torch.equal(adapted(turned), make(Viewing)(one))
    results = [paperlib.explain(clip, make(Viewing), target=1, layer="second").matrix for clip in (one, turned)]
    assert np.array_equal(*results)


def test_targets_made_under_inference_mode_serve():
    with torch.inference_mode():
        targets = torch.tensor([1, 1])
    for run in (
        lambda net, x, to: masks.learn(net, x, to, iterations=3).mask,
        lambda net, x, to: gradcam.video_gradcam(net, x, to, "second", softmax=True),
    ):
        assert torch.equal(run(make(), clips(), targets), run(make(), clips(), 1))


@instruments
def test_weights_made_under_inference_mode_are_named_and_a_copy_serves(instrument):
    with torch.inference_mode():
        net = make()
    with pytest.raises(InputError, match=r"weights of Net were made under torch.inference_mode.*copy.deepcopy"):
        INSTRUMENTS[instrument](net, clips())
    assert torch.equal(INSTRUMENTS[instrument](copy.deepcopy(net), clips()), INSTRUMENTS[instrument](make(), clips()))


class Reentrant(Net):
    def trunk(self, x):
        first = checkpoint(lambda y: F.relu(self.first(y)), x, use_reentrant=True)
        return checkpoint(lambda y: F.relu(self.second(y)), first, use_reentrant=True)


class NotReentrant(Net):
    def trunk(self, x):
        first = checkpoint(lambda y: F.relu(self.first(y)), x, use_reentrant=False)
        return checkpoint(lambda y: F.relu(self.second(y)), first, use_reentrant=False)


def compiled():
    """Return a network compiled at every level, in both ways."""
    net = make()
    net.second = torch.compile(net.second)
    net.compile()
    return torch.compile(net)


WRAPPED = {
    "reentrant checkpointing": lambda: make(Reentrant),
    "checkpointing": lambda: make(NotReentrant),
    "torch.compile": lambda: torch.compile(make()),
    "torch.compile of its layers": compiled,
    "DataParallel": lambda: nn.DataParallel(make()),
    "DataParallel, compiled": lambda: torch.compile(nn.DataParallel(make())),
}


@instruments
@pytest.mark.parametrize("wrapped", WRAPPED)
def test_wrapped_networks_give_what_the_network_gives(instrument, wrapped):
    found = INSTRUMENTS[instrument](WRAPPED[wrapped](), clips())
    assert torch.equal(found, INSTRUMENTS[instrument](make(), clips()))


def test_checkpointing_and_compiling_work_again_afterwards():
    net = make(Reentrant)
    held = torch.utils.checkpoint.CheckpointFunction
    with evaluating(net), evaluating(net):
        assert torch.utils.checkpoint.CheckpointFunction is not held
    assert torch.utils.checkpoint.CheckpointFunction is held
    x = clips().requires_grad_()
    net(x).sum().backward()
    twin, y = make(), clips().requires_grad_()
    twin(y).sum().backward()
    assert torch.allclose(x.grad, y.grad, atol=1e-7)


class Plain(nn.Module):
    """What TorchScript can compile."""

    def __init__(self):
        super().__init__()
        self.second, self.fc = nn.Conv3d(3, 6, 3, padding=1), nn.Linear(6, 4)

    def forward(self, x):
        return self.fc(self.second(x).relu().mean((2, 3, 4)))


@pytest.mark.parametrize("how", [torch.jit.script, lambda net: torch.jit.trace(net, clips())], ids=["script", "trace"])
def test_torchscript_gets_masks_and_is_refused_by_name_elsewhere(how):
    scripted = how(make(Plain).eval())
    assert torch.allclose(
        INSTRUMENTS["masks"](scripted, clips()), INSTRUMENTS["masks"](make(Plain), clips()), atol=1e-6
    )
    assert torch.allclose(
        INSTRUMENTS["search"](scripted, clips()), INSTRUMENTS["search"](make(Plain), clips()), atol=1e-6
    )
    around = nn.Sequential(nn.Sequential(scripted))
    assert torch.allclose(INSTRUMENTS["masks"](around, clips()), INSTRUMENTS["masks"](scripted, clips()), atol=1e-6)
    for instrument in ("relevance", "gradcam"):
        for net, where in ((scripted, ""), (around, "'0.0' of Sequential ")):
            with pytest.raises(InputError, match=f"{where}.*is TorchScript.*give the Python network"):
                INSTRUMENTS[instrument](net, clips())


def test_what_is_no_network_is_named():
    for run in INSTRUMENTS.values():
        with pytest.raises(InputError, match="must be a torch.nn.Module, not function"):
            run(lambda x: x.mean((2, 3, 4)), clips())


class Nothing(Net):
    def forward(self, x):
        return {"logits": super().forward(x)}


class PerFrame(Net):
    def forward(self, x):
        return self.frame_logits(x)


@pytest.mark.parametrize(
    "kind, message", [(Nothing, "but it returns dict"), (PerFrame, r"\[2, K\], but it returns of shape \(2, 5, 4\)")]
)
def test_a_forward_that_gives_no_class_logits_is_named(kind, message):
    for instrument in ("masks", "search", "gradcam"):
        with pytest.raises(InputError, match=f"forward of {kind.__name__} must return class logits.*{message}"):
            INSTRUMENTS[instrument](make(kind), clips())


def test_clips_that_the_network_cannot_run_are_named():
    net = make()
    net.first = nn.Conv3d(3, 6, (7, 3, 3))
    for run in INSTRUMENTS.values():
        with pytest.raises(
            InputError, match=r"cannot run (a clip|clips) of shape \(2, 3, 5, 10, 10\): .*[Kk]ernel size"
        ):
            run(net, clips())
    with pytest.raises(InputError, match="^Net cannot run clips of shape"):  # not that no layer is found
        gradcam.video_gradcam(net, clips(), 1)


class Classes(Net):
    def frame_logits(self, x):
        return super().frame_logits(x).mean(1)

    def forward(self, x):
        return self.frame_logits(x)


class Turned(Net):
    def frame_logits(self, x):
        return super().frame_logits(x).transpose(1, 2)

    def forward(self, x):
        return self.frame_logits(x).mean(2)


class Square(Turned):
    """As many classes as frames: only the values tell."""

    def __init__(self):
        super().__init__(5)


class Probabilities(Net):
    def forward(self, x):
        return super().forward(x).softmax(1)


class Dropping(Net):
    def frame_logits(self, x):
        return F.dropout(super().frame_logits(x), 0.5)


@pytest.mark.parametrize(
    "kind, message",
    [
        (Classes, r"frame_logits of Classes is of shape \[2, 4\] and forward of shape \[2, 4\]; right are"),
        (Turned, r"frame_logits of Turned is of shape \[2, 4, 5\] and forward of shape \[2, 4\]; right are"),
        (
            Square,
            r"shape \[2, 5, 5\] and forward of shape \[2, 5\], but the mean of frame_logits.*differs from forward",
        ),
        (Probabilities, "returns probabilities that sum to one, not logits"),
        (Dropping, "other logits at every run"),
    ],
)
def test_frame_logits_of_another_form_are_refused_with_both_shapes(kind, message):
    with pytest.raises(InputError, match=message):
        relevance.relevance_matrix(make(kind), clips(), 0)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_rounding_is_no_other_form(dtype):
    from paperlib.tracing.inputs import check_frame_logits

    check_frame_logits(make().to(dtype), clips().to(dtype))
