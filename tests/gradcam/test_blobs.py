"""Blobs of drawn discs, whose number, size and place are known."""

import re

import numpy as np
import pandas as pd
import pytest
import torch

from paperlib.errors import InputError
from paperlib.gradcam import blobs


def discs(height, width, *drawn):
    """Return a map [height, width] with soft-edged discs (x, y, radius[, peak])."""
    y, x = np.mgrid[:height, :width]
    image = np.zeros((height, width))
    for cx, cy, radius, *peak in drawn:
        edge = np.clip(radius - np.hypot(x - cx, y - cy) + 0.5, 0, 1)
        image = np.maximum(image, edge * (peak[0] if peak else 1))
    return image


def test_blobs_are_where_they_were_drawn():
    frames = [
        discs(112, 112, (30, 40, 9)),
        discs(112, 112, (30, 40, 9), (80, 70, 15)),
        np.zeros((112, 112)),
        discs(112, 112, (20, 20, 6), (90, 20, 7), (56, 90, 8), (56, 55, 10)),
    ]
    table = blobs.measure(np.stack(frames)[None])
    assert list(table.columns) == ["clip", "frame", "count", "size", "center_distance"]
    assert table["count"].tolist() == [1, 2, 0, 4]
    assert table["size"][0] == pytest.approx(18, abs=1.5)
    assert table["size"][1] == pytest.approx((18 + 30) / 2, abs=1.5)
    assert table["size"][3] == pytest.approx((12 + 14 + 16 + 20) / 4, abs=1.5)
    assert table["center_distance"][0] == pytest.approx(np.hypot(30 - 55.5, 40 - 55.5), abs=0.5)
    assert np.isnan(table["size"][2]) and np.isnan(table["center_distance"][2])


def test_detect_lists_every_blob_with_its_place():
    cams = np.stack([[discs(64, 80, (20, 30, 6))], [discs(64, 80, (60, 10, 5), (15, 50, 8))]])
    found = blobs.detect(torch.tensor(cams))
    assert found[["clip", "frame"]].values.tolist() == [[0, 0], [1, 0], [1, 0]]
    places = sorted(zip(found.x.round(), found.y.round(), strict=True))
    assert places == [(15, 50), (20, 30), (60, 10)]
    assert np.allclose(found.center_distance, np.hypot(found.x - 39.5, found.y - 31.5))
    empty = blobs.detect(np.zeros((1, 2, 16, 16)))
    assert len(empty) == 0 and list(empty.columns) == list(found.columns)


def test_measures_scale_with_the_frame():
    def two(s):
        return discs(s, s, (0.3 * s, 0.4 * s, 0.1 * s), (0.7 * s, 0.7 * s, 0.08 * s))[None, None]

    small, large = blobs.measure(two(64)), blobs.measure(two(224))
    assert small["count"][0] == large["count"][0] == 2
    assert large["size"][0] / small["size"][0] == pytest.approx(3.5, rel=0.1)
    assert large["center_distance"][0] / small["center_distance"][0] == pytest.approx(3.5, rel=0.05)


def test_smooth_maps_of_a_coarse_grid_give_one_blob_per_peak():
    grid = torch.zeros(1, 1, 7, 7)
    grid[0, 0, 1, 1], grid[0, 0, 5, 5] = 1, 0.8
    cam = torch.nn.functional.interpolate(grid, size=(112, 112), mode="bilinear")
    assert blobs.measure(cam)["count"].tolist() == [2]


def test_every_parameter_does_what_it_says():
    cams = np.stack([discs(100, 100, (25, 25, 10), (75, 75, 4), (70, 25, 8, 0.4))])[None]
    ellipse = np.zeros((100, 100))
    y, x = np.mgrid[:100, :100]
    ellipse[np.hypot((x - 50) / 30, (y - 50) / 5) < 1] = 1

    def count(**options):
        return blobs.measure(cams, **options)["count"][0]

    assert count() == 3 and count(low=0.5) == 2
    assert count(min_area=0.02) == 1 and count(max_area=0.02) == 2
    assert count(min_area=0.006) == 2
    assert count(repeatability=5) == 2  # the faint one is there at three thresholds only
    assert count(min_distance=0.5) == 2  # two of the centres lie 45 pixels apart
    long = ellipse[None, None]
    assert blobs.measure(long)["count"][0] == 1
    for strict in ({"min_circularity": 0.8}, {"min_inertia": 0.5}):
        assert blobs.measure(long, **strict)["count"][0] == 0
    cross = np.maximum(ellipse, ellipse.T)[None, None]
    assert blobs.measure(cross)["count"][0] == 1 and blobs.measure(cross, min_convexity=0.9)["count"][0] == 0


def test_parameters_are_stored_with_the_result(tmp_path):
    cams = np.random.default_rng(0).random((2, 3, 32, 40))
    table = blobs.measure(cams, low=0.4)
    assert table.attrs["detector"]["low"] == 0.4 and table.attrs["detector"]["min_area"] == 0.001
    assert (table.attrs["detector"]["height"], table.attrs["detector"]["width"]) == (32, 40)
    table.to_parquet(tmp_path / "blobs.parquet")
    assert pd.read_parquet(tmp_path / "blobs.parquet").attrs["detector"] == table.attrs["detector"]


def test_per_clip_averages_counts_over_frames_and_sizes_over_blobs():
    frames = [discs(64, 64, (20, 20, 5)), discs(64, 64, (20, 20, 5), (44, 44, 9)), np.zeros((64, 64))]
    cams = np.stack([np.stack(frames), np.zeros((3, 64, 64))])
    found, each = blobs.per_clip(blobs.measure(cams)), blobs.detect(cams)
    assert found["count"].tolist() == [1.0, 0.0]
    assert found["size"][0] == pytest.approx(each["size"].mean())
    assert found["center_distance"][0] == pytest.approx(each["center_distance"].mean())
    assert np.isnan(found["size"][1])


def test_sensitivity_has_a_row_per_setting_and_marks_ours():
    cams = np.stack([discs(64, 64, (20, 20, 6), (44, 44, 9, 0.6))])[None]
    table = blobs.sensitivity(cams)
    assert len(table) == sum(map(len, blobs.VARIED.values()))
    ours = table[table.ours]
    assert set(ours.parameter) == set(blobs.VARIED) and ours["count"].nunique() == 1
    assert ours["count"].iloc[0] == blobs.measure(cams)["count"].mean()
    low = table[table.parameter == "low"].set_index("value")["count"]
    assert low[0.25] == 2 and low[0.65] == 1
    assert len(blobs.sensitivity(cams, vary={"low": [0.1, 0.2]})) == 2


def test_a_uniformly_bright_map_is_one_blob_and_a_black_one_none():
    assert blobs.measure(np.ones((1, 1, 40, 40)))["count"].tolist() == [1]
    assert blobs.measure(np.zeros((1, 1, 40, 40)))["count"].tolist() == [0]


@pytest.mark.parametrize(
    "arguments, message",
    [
        ((np.zeros((3, 4, 4)),), "B, T, H, W"),
        ((np.full((1, 1, 4, 4), 2.0),), "0 to 1"),
        ((np.full((1, 1, 4, 4), np.nan),), "0 to 1"),
        (("a",), r"maps \[B, T, H, W\], not on str"),
        ((np.zeros((1, 1, 4, 4)), {"low": 0.5}), "detector must be a blobs.Detector, not dict; .* as low=0.5"),
    ],
)
def test_unusable_maps_are_named(arguments, message):
    with pytest.raises(InputError, match=message):
        blobs.measure(*arguments)


def test_unusable_parameters_are_named():
    with pytest.raises(InputError, match="min_area"):
        blobs.measure(np.zeros((1, 1, 4, 4)), minArea=3)
    with pytest.raises(InputError, match="low of a blob detector must be below its high, not 0.99 and 0.95"):
        blobs.measure(np.zeros((1, 1, 4, 4)), low=0.99)


@pytest.mark.parametrize("name", [*blobs.RANGES, "repeatability"])
def test_any_value_of_a_parameter_is_used_or_refused_by_name(name):
    """What comes out of OpenCV is a table or a sentence of ours, for whatever value."""
    cams = np.random.default_rng(0).random((1, 1, 24, 24))
    for value in (-1, 1e-300, np.nan, -np.inf, "x", None, [1], True, np.array([0.5]), 1e-12, 0, 0.3, 1, 2.5):
        try:
            assert len(blobs.measure(cams, **{name: value})) == 1
        except InputError as error:
            assert re.match(rf"{name}.* of a blob detector|(low|min_area|repeatability)\b", str(error))
        else:
            assert not isinstance(value, bool | str | list | None) and value >= 0
    assert len(blobs.measure(cams, **{name: np.int8(1) if name == "repeatability" else np.float32(0.5)})) == 1


def test_size_is_that_at_the_threshold_in_the_middle():
    y, x = np.mgrid[:64, :64]
    cam, away = np.zeros((64, 64)), np.hypot(y - 32, x - 32)
    for step in range(14):  # wide at four thresholds, narrow at the ten above
        cam[away <= (20 if step < 4 else 6)] = 0.29 + 0.05 * step
    table = blobs.detect(torch.tensor(cam[None, None]).bfloat16())
    assert table["size"].tolist() == pytest.approx([12], abs=1.5)  # the mean over thresholds would be 20
    assert blobs.measure(cam[None, None])["size"].tolist() == pytest.approx([12], abs=1.5)


def test_thresholds_that_are_fewer_than_a_blob_needs_are_refused():
    cams = discs(64, 64, (20, 20, 8))[None, None]
    for options, count in ((dict(step=0.7), 1), (dict(low=0.9), 1), (dict(repeatability=15), 14)):
        with pytest.raises(InputError, match=f"repeatability .* asks for more than its thresholds.* there are {count}"):
            blobs.measure(cams, **options)
    for options in (dict(step=0.7, repeatability=1), dict(step=0.35), dict(repeatability=14), dict(min_area=0)):
        assert blobs.measure(cams, **options)["count"].tolist() == [1]


def test_sensitivity_leaves_out_values_that_do_not_go_with_the_detectors_own():
    cams = np.stack([discs(64, 64, (20, 20, 6))])[None]
    table = blobs.sensitivity(cams, blobs.Detector(high=0.6))
    assert table[table.parameter == "low"].value.max() == 0.5
    with pytest.raises(InputError, match="below its high"):
        blobs.sensitivity(cams, blobs.Detector(high=0.6), vary={"low": [0.65]})
