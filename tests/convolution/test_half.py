"""Half precision on a CPU: the operations of a processor with faults are not used, the others are."""

import warnings

import pytest
import torch
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode

from paperlib import models, relevance
from paperlib.convolution import half
from paperlib.convolution.half import Checked, checked
from paperlib.tracing import probing

from ..relevance.networks import clip, settle

pytestmark = pytest.mark.numerics

aten = torch.ops.aten


class Processor(TorchDispatchMode):
    """What a processor computes: notes its half precision operations, and gets those wrong that `fault` picks."""

    def __init__(self, fault=lambda function, tensors: False, value=float("nan")):
        super().__init__()
        self.fault, self.value, self.seen = fault, value, []

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        out = function(*args, **(kwargs or {}))
        tensors = [x for x in args if isinstance(x, torch.Tensor)]
        if function in half.CONVOLUTIONS | half.PRODUCTS and tensors[0].dtype in half.NUMBERS:
            self.seen.append((function, [tuple(x.shape) for x in tensors]))
            if self.fault(function, tensors):
                for part in out if isinstance(out, tuple) else (out,):
                    if part is not None:
                        part.fill_(self.value)
        return out


def one_step(function, tensors):
    """The fault of oneDNN on processors with AMX, for any number of channels."""
    return any(x.dim() == 5 and x.shape[2] == 1 for x in tensors[:-1])


def threes(function, tensors):
    return function in half.CONVOLUTIONS and tensors[-1].shape[-1] == 3


@pytest.fixture(autouse=True)
def unseen(monkeypatch):
    monkeypatch.setattr(half, "_right", {})


GEOMETRIES = [  # kernel, stride, padding, dilation, groups
    ((3, 3, 3), 1, 1, 1, 1),
    ((3, 3, 3), 1, (2, 1, 1), 1, 1),
    ((3, 1, 3), 2, (1, 0, 1), 1, 2),
    ((5, 3, 3), 1, (4, 1, 1), (2, 1, 1), 4),
    ((3, 3, 3), 1, (3, 1, 1), (2, 1, 1), 1),
    ((2, 3, 3), (1, 2, 2), 1, (2, 1, 1), 1),
    ((4, 3, 3), (3, 1, 1), (5, 1, 1), (2, 1, 1), 2),
    ((1, 1, 1), 1, 0, 1, 1),
]


@pytest.mark.parametrize("geometry", GEOMETRIES, ids=str)
def test_one_time_step_is_a_2d_convolution_and_so_are_its_gradients(geometry, monkeypatch):
    torch.manual_seed(0)
    made = nn.Conv3d(4, 8, *geometry).double()
    x = torch.randn(2, 4, 1, 6, 7, dtype=torch.float64, requires_grad=True)
    wanted, truth = [x, made.weight, made.bias], made(x)
    s = torch.randn_like(truth)
    gradients = torch.autograd.grad(truth, wanted, s)
    monkeypatch.setattr(half, "NUMBERS", (torch.float64,))
    with Processor() as processor, Checked():
        out = made(x)
        found = torch.autograd.grad(out, wanted, s)
    assert not any(one_step(None, [torch.empty(s, device="meta") for s in shapes]) for _, shapes in processor.seen)
    assert {len(shapes[0]) for _, shapes in processor.seen} == {4}
    assert torch.allclose(out, truth, rtol=1e-12, atol=1e-12)
    for one, true in zip(found, gradients, strict=True):
        assert torch.allclose(one, true, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("name, frames", [("I3D-R18-f8", 8), ("S3D-R18-f8-tp", 8), ("C-LSTM-f4", 4)])
def test_relevance_in_half_precision_never_convolves_one_time_step_in_3d(name, frames):
    torch.manual_seed(0)
    options = {"size": 32, "layers": 2} if name.startswith("C-LSTM") else {}
    net, x = settle(models.create(name, num_classes=3, width=8, **options)), clip(frames, size=32, batch=2)
    exact = relevance.relevance_matrix(net, x, 1, method="lrp")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with Processor(one_step) as processor:
            found = relevance.relevance_matrix(net, x, 1, method="lrp", precision="bfloat16")
    assert any(function in half.CONVOLUTIONS for function, _ in processor.seen)
    assert (found - exact).abs().max() < 0.02 * exact.abs().max()


FAULTS = {
    "3 x 3": threes,
    "every convolution": lambda function, tensors: function in half.CONVOLUTIONS,
    "everything": lambda function, tensors: True,
}


@pytest.mark.parametrize("value", [float("nan"), 7e35, 0.0], ids=["nan", "large", "zero"])
@pytest.mark.parametrize("fault", FAULTS)
def test_what_a_processor_gets_wrong_is_computed_in_float32_and_said_once(fault, value):
    torch.manual_seed(0)
    net, x = settle(models.create("I3D-R18-f8", num_classes=3, width=4)), clip(8, size=24)
    exact = relevance.relevance_matrix(net, x, 1, method="lrp")
    with pytest.warns(UserWarning, match="bfloat16 is wrong on this processor") as said:
        with Processor(FAULTS[fault], value) as processor:
            found = relevance.relevance_matrix(net, x, 1, method="lrp", precision="bfloat16")
            asked = len(processor.seen)
            relevance.relevance_matrix(net, x, 1, method="lrp", precision="bfloat16")
    assert len(said) == 1
    assert (found - exact).abs().max() < 0.02 * exact.abs().max()
    wrong = [function for function, shapes in processor.seen[asked:] if function in half.CONVOLUTIONS]
    assert (len(wrong) == 0) == (fault != "3 x 3")  # what was seen to be wrong is not tried again


def test_training_in_bfloat16_passes_a_fault_by():
    """Loss and gradients of a step, forward and backward faulty, against those of a processor without fault."""
    torch.manual_seed(0)
    net, x = models.create("I3D-R18-f4", num_classes=3, width=4), torch.randn(4, 3, 4, 32, 32)

    def step(fault=None):
        net.zero_grad()
        with Processor(fault or FAULTS["everything"]) as processor, checked(torch.bfloat16 if fault else None, "cpu"):
            with torch.autocast("cpu", torch.bfloat16, enabled=bool(fault)):
                loss = net(x).float().square().mean()
            loss.backward()
        return loss.item(), torch.cat([p.grad.flatten() for p in net.parameters()]), processor.seen

    loss, gradient, seen = step()
    assert not seen
    for fault in (lambda *_: False, lambda function, _: function is aten.convolution_backward.default, threes):
        half._right.clear()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            found, direction, seen = step(fault)
        assert aten.convolution_backward.default in {function for function, _ in seen}
        assert found == pytest.approx(loss, rel=0.05)
        assert torch.cosine_similarity(direction, gradient, 0) > 0.97


@pytest.mark.parametrize("shape", [(5, 6), (1, 70, 6), (3, 70, 6)], ids=str)
def test_products_are_looked_at_too(shape):
    torch.manual_seed(0)
    x, layer = torch.randn(shape).bfloat16(), nn.Linear(6, 4).bfloat16()
    other = torch.randn(*shape[:-2], 6, 3).bfloat16()
    with torch.no_grad():
        truth = [layer.float()(x.float()), x.float() @ other.float()]
        layer.bfloat16()
        with pytest.warns(UserWarning, match="wrong on this processor"), Processor(FAULTS["everything"]):
            with probing.evaluating(layer):
                found = [layer(x), x @ other]
    for one, true in zip(found, truth, strict=True):
        assert one.dtype == torch.bfloat16 and torch.allclose(one.float(), true, rtol=0.01, atol=0.01)


def test_other_numbers_and_devices_are_left_alone():
    for number, device in ((None, "cpu"), (torch.float32, "cpu"), (torch.bfloat16, "cuda:0")):
        assert not isinstance(checked(number, device), Checked)
    with Processor() as processor, checked(torch.float16, torch.device("cpu")):
        nn.Conv2d(3, 4, 3)(torch.randn(1, 3, 8, 8))
    assert not processor.seen and not half._right


def test_a_shape_is_compared_once_whatever_the_batch():
    w = torch.randn(4, 3, 3, 3).bfloat16()
    with Processor() as processor, checked(torch.bfloat16, "cpu"):
        for batch in (2, 5, 2):
            torch.conv2d(torch.randn(batch, 3, 400, 400).bfloat16(), w)
    compared = [shapes for _, shapes in processor.seen if shapes[0][0] == 1]
    assert len(half._right) == len(compared) == 1 and len(processor.seen) == 4
    (x, _) = compared[0]
    assert x[1] == 3 and x[3] == 400 and x[2] * 400 * w.numel() <= half.EFFORT  # full width, few rows


def test_gradients_of_attention_are_computed_in_float32():
    backward = aten._scaled_dot_product_flash_attention_for_cpu_backward.default
    seen = []

    class Looks(TorchDispatchMode):
        def __torch_dispatch__(self, function, types, args=(), kwargs=None):
            if function is backward:
                seen.append(args[0].dtype)
            return function(*args, **(kwargs or {}))

    torch.manual_seed(0)
    wide = [torch.randn(2, 4, 33, 16, requires_grad=True) for _ in range(3)]
    narrow = [x.detach().bfloat16().requires_grad_() for x in wide]
    with Looks(), checked(torch.bfloat16, "cpu"):
        nn.functional.scaled_dot_product_attention(*narrow).square().sum().backward()
    q, k, v = wide
    ((q @ k.mT / 4).softmax(-1) @ v).square().sum().backward()
    assert seen == [torch.float32]
    for x, truth in zip(narrow, wide, strict=True):
        assert x.grad.dtype == torch.bfloat16
        torch.testing.assert_close(x.grad.float(), truth.grad, atol=0.03 * float(truth.grad.abs().max()), rtol=0)
