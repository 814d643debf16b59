"""What the instruments give on a GPU is what float64 on a CPU gives, within stated tolerances, whatever the memory.

Each test runs on the CPU too, where it says what the tolerances leave over. What is measured on a GPU is kept.
"""

import pytest
import torch

from paperlib import gradcam, masks, models, relevance

DEVICES = ["cpu", pytest.param("cuda", marks=pytest.mark.gpu)]
NAMES = ["I3D-R18-f8", "TAM2D-R18-f8"]


@pytest.fixture(autouse=True)
def all_bits():
    """Let float32 on a GPU keep all its bits, and take the algorithms that always add in the same order."""
    cuda, cudnn = torch.backends.cuda.matmul, torch.backends.cudnn
    before = cuda.allow_tf32, cudnn.allow_tf32, cudnn.deterministic
    cuda.allow_tf32, cudnn.allow_tf32, cudnn.deterministic = False, False, True
    yield
    cuda.allow_tf32, cudnn.allow_tf32, cudnn.deterministic = before


def network(name, device="cpu", dtype=torch.float32):
    """Return a narrow network whose scores differ, and two clips of what normalised pixels can be."""
    torch.manual_seed(0)
    model = models.create(name, num_classes=3, width=8).eval()
    with torch.no_grad():
        model.fc.weight.mul_(20)
    clips = torch.rand(2, 3, 8, 48, 48) * 4 - 1.8
    return model.to(device, dtype), clips.to(device, dtype)


def error(found, exact):
    """Return the largest difference, relative to the largest value."""
    return float((found.cpu().double() - exact.cpu().double()).abs().max() / exact.abs().max())


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("name", NAMES)
def test_masks_are_those_of_float64(name, device, record_property):
    settings = dict(targets=[0, 1], iterations=10, learning_rate=0.3, initial="full", start=0.5, tolerance=0)
    exact, found = (masks.learn(*network(name, *where), **settings) for where in (("cpu", torch.float64), (device,)))
    record_property("mask error", error(found.mask, exact.mask))
    assert 0 < exact.length.min() and exact.length.max() < 8  # the score decides which frames stay
    assert error(found.mask, exact.mask) < 1e-3 and error(found.loss, exact.loss) < 1e-3
    assert torch.equal(found.active.cpu(), exact.active)


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("name", NAMES)
def test_gradcam_is_that_of_float64(name, device, record_property):
    exact, found = (gradcam.raw_maps(*network(name, *where), [0, 1]) for where in (("cpu", torch.float64), (device,)))
    record_property("Grad-CAM error", error(found, exact))
    assert error(found, exact) < 1e-3


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("name", NAMES)
def test_relevance_in_half_precision_is_close(name, device, record_property):
    exact = relevance.relevance_matrix(*network(name, "cpu", torch.float64), [0, 1])
    found = relevance.relevance_matrix(*network(name, device), [0, 1], precision="bfloat16")
    record_property("error in bfloat16", error(found, exact))
    assert error(found, exact) < 0.04


@pytest.mark.parametrize("device", DEVICES)
def test_relevance_in_small_portions_of_memory_is_the_same(device, record_property):
    model, clips = network("I3D-R18-f8", device)
    budget, peaks, found = 8 * 2**20, [], []
    for memory in ("auto", budget):
        if device == "cuda":
            torch.cuda.empty_cache()
            torch.cuda.reset_peak_memory_stats()
            before = torch.cuda.memory_allocated()
        found.append(relevance.relevance_matrix(model, clips, [0, 1], memory=memory))
        if device == "cuda":
            peaks.append((torch.cuda.max_memory_allocated() - before) / 1e6)
    assert error(found[1], found[0]) < 1e-4
    if peaks:
        record_property("peak MB, all at once", peaks[0])
        record_property("peak MB, in portions of 8 MiB", peaks[1])
        assert peaks[1] < peaks[0]


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("name", NAMES)
def test_the_same_call_gives_the_same_bits(name, device):
    model, clips = network(name, device)

    def everything():
        learned = masks.learn(model, clips, [0, 1], iterations=3, initial="full")
        return relevance.relevance_matrix(model, clips, [0, 1]), gradcam.raw_maps(model, clips, [0, 1]), learned.mask

    for first, second in zip(everything(), everything(), strict=True):
        assert torch.equal(first, second)


@pytest.mark.gpu
@pytest.mark.parametrize("name", NAMES)
def test_compiled_networks_give_the_same_logits(name, record_property):
    model, clips = network(name, "cuda")
    with torch.no_grad():
        expected = model(clips)
        found = torch.compile(model)(clips)
    record_property("error when compiled", error(found, expected))
    assert error(found, expected) < 1e-3
