"""The networks that read a pulse from a face, and the pulse planted into one; needs the packages' files."""

from importlib import metadata, util

import nbformat
import numpy as np
import pandas as pd
import pytest
import torch
from scipy import stats

from paperlib import masks, relevance
from paperlib.data import clips
from paperlib.errors import InputError
from paperlib.papers import published, report, statistics
from paperlib.papers.beyond import pulse
from paperlib.papers.beyond.pulse import decided, draw, measure, physformer, planted
from paperlib.papers.beyond.pulse.reader import PulseReader
from paperlib.storage import paths

REFERENCE = paths.ROOT / "tests/papers/beyond/pulse_reference.csv"


def installed(package):
    try:
        return bool(metadata.version(package)) and util.find_spec("h5py") is not None
    except metadata.PackageNotFoundError:
        return False


weights = pytest.mark.skipif(not installed("open-rppg"), reason="open-rppg and h5py are not installed")


def noise(frames, size):
    """Return frames uint8 [frames, size, size, 3]: blocks that change every four frames, and noise on them."""
    random = np.random.default_rng(0)
    blocks = random.integers(0, 256, (frames // 4, 4, 4, 3)).repeat(4, 0).repeat(size // 4, 1).repeat(size // 4, 2)
    return blocks.astype(np.uint8) // 2 + random.integers(0, 128, (frames, size, size, 3), dtype=np.uint8)


@weights
@pytest.mark.numerics
@pytest.mark.parametrize("name", pulse.NETWORKS)
def test_outputs_are_those_of_the_packages_own_code(name):
    """The file holds what open-rppg 0.1.1 gives for `noise`, on Keras 3 and JAX in float32 (it ships in float16)."""
    expected = pd.read_csv(REFERENCE).query("network == @name")
    net = pulse.opened(name)
    clip = clips.to_clip(noise(len(expected), net.SIZE))[None]
    with torch.no_grad():
        found = net.frame_logits(clip)[..., 0]
        found = found if name == "TS-CAN" else net.pulse_of(found)  # the package gives TS-CAN's changes
    assert found[0].numpy() == pytest.approx(expected.value.to_numpy(), abs=1e-4)


def test_a_temporal_difference_convolution_is_one_convolution():
    x, kernel = torch.randn(1, 2, 5, 4, 4, dtype=torch.double), torch.randn(3, 2, 3, 3, 3, dtype=torch.double)
    difference = kernel[:, :, [0, 2]].sum((2, 3, 4), keepdim=True)
    written = torch.conv3d(x, kernel, padding=1) - physformer.THETA * torch.conv3d(x, difference)
    folded = kernel.clone()
    physformer.subtract_differences(folded)
    assert torch.allclose(torch.conv3d(x, folded, padding=1), written)


class Differences(torch.nn.Module):
    """A temporal difference convolution as published, which computes the difference's kernel in forward, or folded."""

    def __init__(self, folded):
        super().__init__()
        torch.manual_seed(0)
        self.layer, self.head, self.folded = (
            torch.nn.Conv3d(3, 4, 3, padding=1, bias=False),
            torch.nn.Linear(4, 2),
            folded,
        )
        if folded:
            physformer.subtract_differences(self.layer.weight.data)

    def frame_logits(self, clip):
        found, kernel = self.layer(clip), self.layer.weight
        if not self.folded:
            difference = (kernel[:, :, 0].sum((2, 3)) + kernel[:, :, 2].sum((2, 3)))[..., None, None, None]
            found = found - physformer.THETA * torch.conv3d(clip, difference)
        return self.head(found.relu().mean((3, 4)).transpose(1, 2))

    def forward(self, clip):
        return self.frame_logits(clip).mean(1)


def test_relevance_takes_temporal_differences_as_published_or_folded():
    clip = torch.randn(1, 3, 6, 8, 8, generator=torch.Generator().manual_seed(1)).clamp(-1.7, 2)
    written, folded = (
        relevance.relevance_matrix(Differences(folded).eval(), clip, 0, rules="attnlrp") for folded in (False, True)
    )
    assert written.any() and torch.allclose(written, folded, atol=1e-4)


@pytest.fixture(scope="module")
def still():
    """A grey picture whose middle is skin, without movement, as a Face."""
    frames = np.full((planted.FRAMES, 90, 90, 3), 128, np.uint8)
    skin = np.zeros((planted.FRAMES, 90, 90), bool)
    skin[:, 20:70, 30:60] = True
    return planted.Face(frames, skin, np.full((planted.FRAMES, 2), 7))


class Darkness(PulseReader):
    """Value of frame i: how much darker green is than 0.6, mean over the picture and over the frames i - 1 and i."""

    SIZE = 16

    def values(self, pixels):
        dark = (0.6 - pixels[:, 1]).mean((2, 3))
        return (dark + dark.roll(1, 1)) / 2


def test_a_pulse_is_where_and_when_it_is_said_to_be(still):
    beats = planted.plant(still, "left", phase=1.0, amplitude=0.1, when=(24, 72))
    other = planted.plant(still, "right")
    assert np.array_equal(beats.where | other.where, still.skin) and not (beats.where & other.where).any()
    time = np.arange(planted.FRAMES)
    wave = np.where((time >= 24) & (time < 72), np.sin(2 * np.pi * time / 24 + 1), 0)
    for colour, part in enumerate((0.33 / 0.77, 1, 0.53 / 0.77)):
        inside = beats.frames[..., colour][beats.where].reshape(planted.FRAMES, -1).mean(1) / 128
        assert inside == pytest.approx(1 - 0.1 * part * wave, abs=2e-3)
    assert beats.frames[~beats.where].mean() == pytest.approx(128, abs=0.02)
    half = beats.shares(19)
    assert half.shape == (planted.FRAMES, 19, 19)
    assert half.mean() == pytest.approx(beats.where[0].sum() / 76**2, rel=1e-3)
    with pytest.raises(InputError, match="place must be one of skin, left"):
        planted.plant(still, "nose")


def test_a_reading_has_the_planted_rate_and_its_delay(still):
    beats = planted.plant(still, phase=2.0)
    read, pulse = measure.reading(Darkness(), beats)
    assert read["share"] > 0.95 and read["late"] == pytest.approx(0.5, abs=0.1)
    drift = np.cos(2 * np.pi * np.arange(planted.FRAMES) / planted.FRAMES)
    half_a_frame_late = planted.wave_of(2.0 - np.pi / measure.PERIOD)
    assert np.corrcoef(measure.within_band(pulse.numpy() + drift), half_a_frame_late)[0, 1] > 0.99
    videos = {("still", "skin"): beats, ("still", "none"): planted.plant(still, amplitude=0)}
    table, _ = measure.readings("Darkness", Darkness(), videos)
    assert table["size"][0] == 1 and table["size"][1] < 0.1 and table["share"][1] < 0.5


def test_silencing_a_block_takes_its_frames_part_of_the_values(still):
    video, without = planted.plant(still), planted.plant(still, amplitude=0)
    truth = measure.silencing(Darkness(), video, without)
    added = measure.values(Darkness(), video) - measure.values(Darkness(), without)
    assert torch.allclose(truth.sum(1), added, atol=1e-6)
    blocks = torch.arange(planted.FRAMES) // measure.BLOCK
    reached = torch.stack([blocks, blocks.roll(1)], 1)[:, :, None] == torch.arange(truth.shape[1])
    assert not truth[~reached.any(1)].any()
    steps = list(range(0, planted.FRAMES, 6))
    A = truth.abs().repeat_interleave(measure.BLOCK, 1)[steps]
    same = measure.agreement(A, truth, steps)
    assert same["correlation"] == pytest.approx(1) and same["own"] == pytest.approx(same["own_truth"])


class Green(PulseReader):
    """Value of frame i: the green of its picture."""

    SIZE = 16

    def __init__(self):
        super().__init__()
        self.layer = torch.nn.Conv3d(3, 1, 1, bias=False)
        self.layer.weight.data = torch.tensor([0.0, 1, 0]).view(1, 3, 1, 1, 1)

    def values(self, pixels):
        return self.layer(pixels).mean((1, 3, 4))


def test_what_is_left_without_a_pulse(still):
    """What a network's level takes off is no relevance: half the pulse halves the values, not a picture's green."""
    steps, (once, twice) = [3, 40, 77], (planted.plant(still, amplitude=x) for x in (0.1, 0.2))
    left = measure.without_pulse("Green", Green(), twice, once, steps, "attnlrp")
    assert left["values"] == pytest.approx(0.5, abs=0.02) and left["relevance"] > 0.9
    A, pixels = measure.explained(Green(), twice, steps, "attnlrp")
    assert A.argmax(1).tolist() == steps and torch.allclose(pixels.sum((1, 2)), A.sum(0), atol=1e-5)


def test_maps_are_weighed_on_skin_and_on_its_halves(still):
    halves = [planted.plant(still, place) for place in ("left", "right")]
    on_skin, left = measure.where_to(halves[0].shares(76), halves)
    assert on_skin == pytest.approx(76**2 / still.skin[0].sum()) and left == 1
    assert measure.where_to(torch.ones(planted.FRAMES, 38, 38), halves)[0] == pytest.approx(1)
    maps = {"CLRP": halves[0].shares(38), "Grad-CAM": halves[0].shares(38)}
    figure = draw.places({"a": maps, "b": {"CLRP": maps["CLRP"]}}, halves)
    assert len(figure.axes) == 4 and sum(bool(axis.images) for axis in figure.axes) == 3
    (legend,) = figure.legends  # both outlines are named in the picture
    named = [(text.get_text(), line.get_color()) for text, line in zip(legend.texts, legend.get_lines(), strict=True)]
    assert named == [("left half of the face: has the pulse", "red"), ("right half", "white")]


def test_a_mask_covers_the_beats_that_are_planted(still):
    when, net = (36, 84), Darkness()
    video, without = planted.plant(still, amplitude=0.1, when=when), planted.plant(still, amplitude=0)
    left = measure.Left(net, video, without)
    for seen, expected in ((video, measure.SHARP / 2), (without, -measure.SHARP / 2)):
        clip = seen.clip(net.SIZE)
        assert float(left(clip)) == pytest.approx(expected, abs=1e-3)
        assert torch.allclose(left.frame_logits(clip).mean(1), left(clip))
    learned = masks.learn(left, video.clip(net.SIZE), 0, initial="full", iterations=40, learning_rate=0.6)
    found = measure.found_by(learned.active[0], when)
    assert found["inside"] > 0.9 and learned.freeze < 0.3 and learned.original > 0.95


def test_what_is_decided_is_in_the_table_and_rests_on_beats_or_networks():
    frames, wiggle = list(range(6, planted.FRAMES, 12)), np.tile([-0.1, 0.1, 0.05, -0.05, 0.0], 2)
    tables = []
    for network, atr, correlation in (("PhysNet", 20, 0.9), ("TS-CAN", 8, 0.7), ("PhysFormer", 90, 0.5)):
        about = dict(network=network, frame=frames, atr=atr + 10 * wiggle, correlation=correlation + wiggle)
        tables.append(pd.DataFrame(about | dict(rules="attnlrp")))
        right = {"PhysNet": 0.6, "TS-CAN": 0.95}.get(network)
        if right:  # the papers' rules are not for PhysFormer, and there the 2D network looks farther
            about |= dict(atr=30 - about["atr"], correlation=right + wiggle)
            tables.append(pd.DataFrame(about | dict(rules="paper")))
    maps = dict(network=list("aabbcc"), instrument=["CLRP", "Grad-CAM"] * 3)
    placed = pd.DataFrame({**maps, "skin": [1.0, 2, 1, 2, 1, 3], "follows": [0, 0.2, 0, 0, 0, 0.1]})
    found = decided.findings(pd.concat(tables), placed, pd.DataFrame(dict(inside=[0.9, 0.8, 0.7])), (36, 84))
    assert {one.id for one in found} == {id for id in published.statements().id if id.startswith("pulse.")}
    values = {one.id: one.interval for one in found}
    beats = wiggle.reshape(5, 2).mean(1)  # the same ones for all networks
    for rules, correlation, farther, networks in (("attnlrp", 0.5, 12, 3), ("paper", 0.6, -12, 2)):
        alone = statistics.mean_interval(correlation + beats, level=1 - 0.05 / networks)  # of the least right network
        assert values[f"pulse.when-{rules}"] == pytest.approx(alone)
        assert values[f"pulse.3d-{rules}"].value == pytest.approx(farther)
        (one,) = (one for one in found if one.id == f"pulse.when-{rules}")
        seen = f"5 beats in 1 video of 1 face, {networks} networks trained once; covers {networks} comparisons at once"
        assert one.rests_on == seen
    assert values["pulse.mask"].value == pytest.approx(0.4) and values["pulse.follows"].value == pytest.approx(0.05)
    parts = [np.var([1.5, 1.5, 2], ddof=1) / 3, np.var([1, 7 / 3], ddof=1) / 2]  # of networks' and instruments' means
    freedom = sum(parts) ** 2 / (parts[0] ** 2 / 2 + parts[1] ** 2 / 1)
    half = stats.t.ppf(0.975, freedom) * np.sqrt(sum(parts))
    assert values["pulse.skin"] == pytest.approx((5 / 3, 5 / 3 - half, 5 / 3 + half))
    assert np.isfinite(decided.over_maps(placed[:5], "skin")).all()  # a network that one instrument was not asked of
    assert decided.beat_of([0, 23, 24, 119]).tolist() == [0, 0, 1, 4]


def test_without_the_package_the_notebook_is_skipped_in_one_sentence(monkeypatch, tmp_path):
    def absent(name):
        raise metadata.PackageNotFoundError(name)

    monkeypatch.setattr(metadata, "distribution", absent)
    monkeypatch.setattr(paths, "FIGURES", tmp_path)
    cells = nbformat.read(paths.NOTEBOOKS / "beyond/pulse.ipynb", as_version=4).cells
    code = [cell.source for cell in cells if cell.cell_type == "code"]
    with pytest.raises(report.Skipped, match="^the package open-rppg is not installed: pip install [^.]+$"):
        exec("\n".join(code[:2]), {})
    assert [file.name for file in tmp_path.rglob("*.*")] == ["pulse.json"]
