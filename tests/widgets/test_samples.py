"""Videos written to try a widget on: the same bytes each time, whole or not at all, and of frames alone."""

import av
import numpy as np
import pytest

from paperlib import widgets
from paperlib.errors import InputError


def test_a_video_is_written_the_same_every_time(tmp_path):
    """Even where the encoder may choose among instructions; pictures as smooth as rendered ones show it."""
    rng, side = np.random.default_rng(0), np.linspace(0, 6, 64)
    pictures = [
        100 + 80 * np.sin(side + 0.3 * t)[:, None] * np.cos(side - 0.2 * t) + rng.normal(0, 3, (64, 64))
        for t in range(40)
    ]
    moving = np.stack(pictures).clip(0, 255).astype(np.uint8)[..., None].repeat(3, 3)
    written = [widgets.write_video(tmp_path / f"{i}.mp4", moving).read_bytes() for i in range(5)]
    assert written.count(written[0]) == 5


@pytest.mark.parametrize(
    "name, frames, message",
    [
        ("odd.mp4", np.zeros((4, 47, 64, 3), np.uint8), r"odd.mp4: .* even height and width.* uint8 \[4, 47, 64, 3\]"),
        ("grey.mp4", np.zeros((4, 48, 64), np.uint8), r"grey.mp4: .* uint8 \[4, 48, 64\]"),
        ("float.mp4", np.zeros((4, 48, 64, 3), np.float32), r"float.mp4: .* float32"),
        ("none.mp4", np.zeros((0, 48, 64, 3), np.uint8), "none.mp4: .* at least one"),
        ("text.txt", np.zeros((4, 48, 64, 3), np.uint8), "text.txt: name a file that ends in .mp4"),
        (f"{'a' * 300}.mp4", np.zeros((4, 48, 64, 3), np.uint8), "cannot be written"),
    ],
)
def test_what_is_no_video_is_not_written(tmp_path, name, frames, message):
    with pytest.raises(InputError, match=message):
        widgets.write_video(tmp_path / name, frames)
    assert list(tmp_path.iterdir()) == []


def test_a_video_is_written_whole_or_not_at_all(tmp_path, monkeypatch):
    file = widgets.write_video(tmp_path / "a.mp4", np.zeros((4, 48, 64, 3), np.uint8))
    before = file.read_bytes()
    monkeypatch.setattr(av.VideoFrame, "from_ndarray", None)
    with pytest.raises(TypeError):
        widgets.write_video(file, np.ones((4, 48, 64, 3), np.uint8))
    assert file.read_bytes() == before and list(tmp_path.iterdir()) == [file]
