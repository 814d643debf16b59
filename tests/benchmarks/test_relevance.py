"""Time of relevance matrices as ratios within one run: forward passes, and zennit and captum target by target.

Their users loop over the output steps, with a forward and a backward pass each; contrastive relevance takes two
such loops. To keep the benchmark short, the loops are timed on two targets and multiplied.
"""

import statistics

import pytest
import torch

from paperlib import models, relevance
from paperlib.models.factory import sized
from paperlib.papers import analysis
from paperlib.relevance.engine import Pass

from .floor import timed
from .peers import with_captum, with_zennit
from .timing import in_turns, seconds

SIZE = 112
NARROW = {"TAM2D-R18-f8": 0.7, "I3D-R50-f16": 0.7, "TAM2D-R50-f16": 0.7, "I3D-R101-f32": 0.95}  # of N plain gradients
PRECISIONS = (None, "bfloat16")
DEEP = "synth_ssv2/I3D-R101-f32"  # relevance of its farthest frames is less than float32 has digits for


def network(name):
    torch.manual_seed(0)
    model = models.create(name, num_classes=10).eval()
    return model, torch.rand(1, 3, model.num_frames, SIZE, SIZE) * 4 - 2


def relevance_of(model, clip):
    """Return functions that compute a relevance matrix in each precision."""
    return [lambda p=p: relevance.relevance_matrix(model, clip, 1, precision=p) for p in PRECISIONS]


@torch.no_grad()
def forward(model, clip):
    return model(clip)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["I3D-R18-f8", "I3D-R18-f16", "TAM2D-R18-f8", "TAM2D-R18-f16"])
def test_cost_in_forward_passes(benchmark, name):
    model, clip = network(name)
    half, least = relevance_of(model, clip)[1], []

    def full():
        with timed() as found:
            relevance.relevance_matrix(model, clip, 1)
        least.append(found["transposed"])

    def without_windows():
        with pytest.MonkeyPatch.context() as patch:
            down = Pass.down
            patch.setattr(Pass, "down", lambda sweep, r, rows=None, *rest: down(sweep, r, None, *rest))
            relevance.relevance_matrix(model, clip, 1)

    one, matrix, half, whole = in_turns(lambda: forward(model, clip), full, half, without_windows)
    benchmark.pedantic(lambda: relevance.relevance_matrix(model, clip, 1), rounds=1)
    benchmark.extra_info.update(
        model=name,
        forward_passes=matrix / one,
        times_floor=matrix / min(least),
        in_bfloat16=half / one,
        without_windows=whole / one,
        bar=3 + 0.6 * model.num_frames,
    )
    print(f"{name}: {matrix / one:.1f} forward passes, {half / one:.1f} in bfloat16, {whole / one:.1f} without windows")
    assert matrix <= 1.05 * whole


@pytest.mark.slow
@pytest.mark.parametrize("name", ["ViT-joint-f8", "ViT-divided-f8", "Swin3D-f8", "MViT-f8"])
def test_cost_of_transformers(benchmark, name):
    """The zoo's own, on frames as large as it was trained on; every row is a row of tokens taken apart."""
    torch.manual_seed(0)
    model = models.create(name, num_classes=10, width=8, **({"size": 64} if sized(name) else {})).eval()
    clip = torch.rand(1, 3, 8, 64, 64) * 4 - 2
    rows = relevance.rows_of(model, clip, [1]).steps

    def one_gradient():
        torch.autograd.grad(model(clip.clone().requires_grad_())[0, 1], list(model.parameters()), allow_unused=True)

    one, gradient, matrix = in_turns(
        lambda: forward(model, clip), one_gradient, lambda: relevance.relevance_matrix(model, clip, 1)
    )
    benchmark.pedantic(lambda: relevance.relevance_matrix(model, clip, 1), rounds=1)
    benchmark.extra_info.update(model=name, rows=rows, forward_passes=matrix / one, gradients=matrix / gradient)
    print(f"{name}: {matrix / one:.1f} forward passes, {matrix / gradient:.1f} gradients for {rows} rows")
    assert matrix < 3 * rows * gradient


def gradients(model, clips):
    """Take a plain gradient of every output step's logits to the clips, one after the other on one graph."""
    clips = clips.clone().requires_grad_()
    logits = model.frame_logits(clips)[..., 1].sum(0)
    for logit in logits:
        torch.autograd.grad(logit, clips, retain_graph=True)


@pytest.mark.slow
@pytest.mark.parametrize("name", NARROW)
def test_cost_against_plain_gradients_and_against_transposed_convolutions_alone(benchmark, name):
    """Narrow networks on small frames, as the default run asks them, where convolutions are the smaller part."""
    torch.manual_seed(0)
    model = models.create(name, num_classes=10, width=8).eval()
    clips = torch.rand(8, 3, model.num_frames, 64, 64) * 4 - 2
    least = []

    def matrix():
        with timed() as found:
            relevance.relevance_matrix(model, clips, 1)
        least.append(found)

    took, plain, one = in_turns(
        matrix, lambda: gradients(model, clips), lambda: forward(model, clips), of=statistics.median
    )
    parts = {part: statistics.median(one[part] for one in least[1:]) for part in least[0]}  # the first call warms up
    floor = parts["transposed"]
    benchmark.pedantic(lambda: relevance.relevance_matrix(model, clips, 1), rounds=1)
    benchmark.extra_info.update(
        model=name,
        of_plain_gradients=took / plain,
        times_floor=took / floor,
        forward_passes=took / one,
        needed_times_floor=(sum(parts.values()) + one) / floor,
        **{f"{part}_times_floor": seconds / floor for part, seconds in parts.items() if part != "transposed"},
        bar=NARROW[name],
    )
    print(f"{name}: {took / plain:.2f} of N gradients, {took / floor:.2f} x floor, {took / one:.1f} forward passes")
    assert took < plain  # well above what is measured


@pytest.mark.slow
@pytest.mark.parametrize(
    "library, name, least",
    [  # floors well below what is measured, not the goal
        (with_zennit, "I3D-R18-f8", 12),
        (with_zennit, "I3D-R18-f16", 8),
        (with_captum, "I3D-R18-f8", 7),
        (with_captum, "I3D-R18-f16", 5),
    ],
)
def test_against_other_libraries_target_by_target(benchmark, library, name, least):
    model, clip = network(name)
    steps, probes = model.num_frames, [1, 11]
    theirs, ours, half = in_turns(lambda: library(model, clip, probes), *relevance_of(model, clip))
    theirs *= steps / len(probes)
    benchmark.pedantic(lambda: relevance.relevance_matrix(model, clip, 1), rounds=1)
    benchmark.extra_info.update(
        model=name,
        library=library.__name__,
        lrp=theirs / ours,
        clrp=2 * theirs / ours,
        clrp_in_bfloat16=2 * theirs / half,
    )
    print(
        f"{name}: {theirs / ours:.1f} x faster than {library.__name__} for LRP, {2 * theirs / ours:.1f} x for "
        f"the contrast of two, {2 * theirs / half:.1f} x in bfloat16"
    )
    assert 2 * theirs / ours >= least


@pytest.mark.slow
def test_all_classes_for_the_price_of_one_sweep(benchmark):
    model, clip = network("I3D-R18-f8")
    one = seconds(lambda: relevance.relevance_matrix(model, clip, 1, clip_at="frame"))
    every = seconds(lambda: relevance.frame_provenance(model, clip))
    benchmark.pedantic(lambda: relevance.frame_provenance(model, clip), rounds=1)
    benchmark.extra_info.update(of_one_class=every / one)
    print(f"all 10 classes cost {every / one:.2f} x one class")
    assert every < 3 * one


@pytest.mark.slow
@pytest.mark.parametrize("name, least", [("I3D-R18-f8", 2), ("TAM2D-R18-f16", 3)])
def test_the_rows_of_a_clip_together_cost_a_few_passes(benchmark, name, least):
    model, clip = network(name)
    matrix, together, once = in_turns(
        lambda: relevance.relevance_matrix(model, clip, 1),
        lambda: relevance.clip_relevance(model, clip, 1),
        lambda: forward(model, clip),
    )
    benchmark.pedantic(lambda: relevance.clip_relevance(model, clip, 1), rounds=1)
    benchmark.extra_info.update(matrix_over_clip=matrix / together, forward_passes=together / once)
    print(f"{name}: all rows together {together / once:.1f} passes, {matrix / together:.1f} x less than the matrix")
    assert matrix > least * together


@pytest.mark.slow
def test_numbers_that_are_not_normal_cost_nothing(benchmark):
    """A processor told to take them for zero is no faster; it was twice as fast where the engine left them."""
    model, header, videos = analysis.opened(DEEP, None, "val", 32, "cpu", None)
    clips = analysis.clips_of(videos, range(1), header)
    matrix = relevance_of(model, clips)[0]

    def flushed():
        if not torch.set_flush_denormal(True):
            pytest.skip("this processor cannot take them for zero")
        try:
            matrix()
        finally:
            torch.set_flush_denormal(False)

    before = torch.get_num_threads()
    torch.set_num_threads(1)  # the setting holds for one thread
    try:
        plain, zero = in_turns(matrix, flushed)
    finally:
        torch.set_num_threads(before)
    benchmark.pedantic(matrix, rounds=1)
    benchmark.extra_info.update(model=DEEP, left_to_the_processor=plain / zero)
    print(f"{DEEP}: {plain / zero:.2f} times as long as where they are zero")
    assert plain < 1.3 * zero
