"""Time of temporal masks, as ratios within one run: what perturbing costs, what learning in a batch saves."""

import pytest
import torch

from paperlib import masks, models
from paperlib.tracing.probing import evaluating

from .timing import in_turns, seconds


@pytest.mark.parametrize("name, options", [("I3D-original-f16", {"reduced_strides": True}), ("TSM-R50-f8", {})])
def test_perturbing_costs_at_most_5_percent_of_a_model_step(benchmark, name, options):
    torch.manual_seed(0)
    model = models.create(name, num_classes=11, width=8, **options)
    clips = torch.randn(8, 3, model.num_frames, 64, 64)
    logits = torch.randn(8, model.num_frames, requires_grad=True)
    apply = masks.prepare(clips)
    weight = torch.randn_like(clips)

    def step():
        scores = model(apply(logits.sigmoid())).softmax(1)[:, 0]
        torch.autograd.grad(scores.sum(), logits)

    def perturbation():
        torch.autograd.grad(apply(logits.sigmoid()), logits, weight)

    with evaluating(model):
        whole, alone = seconds(step, 5), seconds(perturbation, 10)
        benchmark.pedantic(perturbation, rounds=5)
    benchmark.extra_info.update(model=name, overhead=alone / (whole - alone))
    assert alone <= 0.05 * (whole - alone)


# A batch saves the fixed cost of each operation. At 32 pixels that is most of the time; at 64 the
# convolutions themselves are, and one core has no more to give.
@pytest.mark.parametrize(
    "name, options, size, least",
    [
        ("C-LSTM-f16", {"size": 32, "layers": 2}, 32, 5),
        ("TSM-R18-f8", {}, 32, 5),
        ("I3D-R18-f8", {}, 32, 5),
        ("C-LSTM-f16", {"size": 64}, 64, 1.3),
        ("I3D-original-f16", {"reduced_strides": True}, 64, 1.3),
    ],
)
def test_32_clips_together_are_faster_and_get_the_same_masks(benchmark, name, options, size, least):
    torch.manual_seed(0)
    model = models.create(name, num_classes=11, width=8, **options).eval()
    with torch.no_grad():
        model.fc.weight.mul_(50)  # scores that differ enough for a mask to matter
    clips = torch.randn(32, 3, model.num_frames, size, size)
    settings = {"iterations": 10 if size == 32 else 4, "initial": "full", "tolerance": 0}

    def together():
        return masks.learn(model, clips, **settings).mask

    def alone():
        return torch.cat([masks.learn(model, clip[None], **settings).mask for clip in clips])

    assert (together() - alone()).abs().max() < 1e-3
    one_by_one, batched = in_turns(alone, together, repeats=2)
    benchmark.pedantic(together, rounds=1)
    benchmark.extra_info.update(model=name, size=size, speedup=one_by_one / batched)
    assert one_by_one >= least * batched
