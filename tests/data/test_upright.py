"""Videos as a player shows them: turned and mirrored, pixels that are not square, sizes that change, interlacing.

The right pictures are computed here from what the files were made of; where the program ffmpeg is there, its own
upright frames have to agree as well.
"""

import re
import shutil
import subprocess
from fractions import Fraction

import av
import numpy as np
import pytest
from PIL import Image, ImageOps

from paperlib.data import inspection, video
from tests import shared
from tests.data import videos

RIGHT, LEFT, DOWN, UP = (1, 0), (-1, 0), (0, 1), (0, -1)
# where a step to the right and a step down of the stored picture lead on the screen
DIRECTIONS = [
    (RIGHT, DOWN),
    (LEFT, DOWN),
    (RIGHT, UP),
    (LEFT, UP),
    (DOWN, RIGHT),
    (DOWN, LEFT),
    (UP, RIGHT),
    (UP, LEFT),
]


def stored(path):
    """The frames as plain PyAV decodes them."""
    with av.open(str(path)) as container:
        return np.stack([frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)])


def by_ffmpeg(path, width, height, *filters):
    """The frames as the program ffmpeg shows them, uint8 [n, height, width, 3]; None where it is not installed."""
    if not shutil.which("ffmpeg"):
        return None
    filters = ["-vf", ",".join(filters)] if filters else []
    command = ["ffmpeg", "-v", "error", "-i", str(path), *filters, "-f", "rawvideo", "-pix_fmt", "rgb24", "-"]
    done = subprocess.run(command, capture_output=True, check=True)
    return np.frombuffer(done.stdout, np.uint8).reshape(-1, height, width, 3)


def distance(a, b):
    """Mean difference of grey levels; enormous where the shapes differ."""
    return np.abs(a.astype(int) - b).mean() if a.shape == b.shape else 1e9


def moved(picture, right, down):
    """Every pixel put where the two steps lead, one by one."""
    height, width = picture.shape[:2]
    at = {(x, y): (x * right[0] + y * down[0], x * right[1] + y * down[1]) for x in range(width) for y in range(height)}
    left, top = min(x for x, _ in at.values()), min(y for _, y in at.values())
    result = np.zeros((width, height, 3) if right[0] == 0 else (height, width, 3), np.uint8)
    for (x, y), (to_x, to_y) in at.items():
        result[to_y - top, to_x - left] = picture[y, x]
    return result


@pytest.mark.parametrize(("right", "down"), DIRECTIONS)
def test_turned_and_mirrored_recordings_come_out_upright(tmp_path, right, down):
    path = videos.write(tmp_path / "phone.mp4", n=3, matrix=(right, down))
    expected = np.stack([moved(frame, right, down) for frame in stored(path)])
    assert (video.decode(path) == expected).all()
    assert (video.decode(path, [2, 0]) == expected[[2, 0]]).all()
    height, width = expected.shape[1:3]
    info = video.probe(path)
    assert (info.width, info.height, info.turned) == (width, height, (right, down) != (RIGHT, DOWN))
    assert video.decode(path, [1], short_side=24).shape[1:3] == (height // 2, width // 2)
    theirs = by_ffmpeg(path, width, height)
    assert theirs is None or distance(theirs, expected) < 1


@pytest.mark.parametrize("orientation", [None, *range(1, 9)])
@pytest.mark.parametrize("kind", ["png", "tiff", "avi"])
def test_pictures_with_exif_are_read_and_turned_as_it_says(tmp_path, orientation, kind):
    exif, path = Image.Exif(), tmp_path / f"camera.{kind}"
    exif[0x010F] = "maker"
    if orientation:
        exif[0x0112] = orientation
    one = path if kind != "avi" else tmp_path / "one.jpg"
    Image.fromarray(videos.picture(0)).save(one, exif=exif)
    with Image.open(one) as image:
        expected = np.asarray(ImageOps.exif_transpose(image))
    if kind == "avi":
        with av.open(str(path), "w") as out:
            stream = out.add_stream("mjpeg", rate=25)
            stream.width, stream.height, stream.pix_fmt = 64, 48, "yuvj420p"
            for k in range(2):
                packet = av.Packet(one.read_bytes())
                packet.stream, packet.pts, packet.dts, packet.time_base = stream, k, k, Fraction(1, 25)
                packet.is_keyframe = True
                out.mux(packet)
    assert all(distance(frame, expected) < (3 if kind == "avi" else 1e-9) for frame in video.decode(path))


def test_the_odd_recordings_are_the_plain_one_mirrored():
    plain = video.decode(shared.path("odd_videos/base.mp4"))
    mirrored = video.decode(shared.path("odd_videos/hflip.mp4"))
    turned = video.decode(shared.path("odd_videos/rot90hflip.mp4"))
    assert (mirrored == plain[:, :, ::-1]).all()
    for name, ours in (("hflip.mp4", mirrored), ("rot90hflip.mp4", turned)):
        theirs = by_ffmpeg(shared.path(f"odd_videos/{name}"), ours.shape[2], ours.shape[1])
        assert theirs is None or distance(theirs, ours) < 1


def test_other_angles_are_refused(tmp_path):
    path = videos.write(tmp_path / "tilted.mp4", n=3, matrix=((0.8, 0.6), (-0.6, 0.8)))
    with pytest.raises(video.VideoError, match=r"tilted.mp4 is to be shown at an angle that is no quarter turn"):
        video.decode(path)
    assert [line.split("; ")[1] for line in inspection.problems(path)] == ["turn its pictures first."]
    nearly = videos.write(tmp_path / "nearly.mp4", n=3, matrix=((0.01, 1), (-1, 0.01)))
    assert video.decode(nearly, [2]).shape == (1, 64, 48, 3)


@pytest.mark.parametrize(
    ("name", "aspect", "matrix", "size"),
    [
        ("wide.mp4", Fraction(16, 9), None, (114, 48)),
        ("wide.mkv", Fraction(16, 9), None, (114, 48)),
        ("wide.h264", Fraction(16, 9), None, (114, 48)),
        ("wide.ts", Fraction(16, 9), None, (114, 48)),
        ("narrow.mp4", Fraction(1, 2), None, (32, 48)),
        ("turned.mp4", Fraction(16, 9), (DOWN, LEFT), (48, 114)),
        ("nearly.mp4", Fraction(1215, 1216), None, (64, 48)),
    ],
)
def test_pixels_that_are_not_square_are_shown_square(tmp_path, name, aspect, matrix, size):
    path = videos.write(tmp_path / name, n=4, aspect=aspect, matrix=matrix)
    wide = (size[1], size[0]) if matrix else size
    expected = [np.asarray(Image.fromarray(f).resize(wide, Image.Resampling.BILINEAR)) for f in stored(path)]
    if matrix:
        expected = [np.rot90(f, -1) for f in expected]
    got = video.decode(path)
    assert distance(got, np.stack(expected)) < 2
    assert (video.decode(path, [3, 0]) == got[[3, 0]]).all()
    info = video.probe(path)
    assert (info.width, info.height) == size
    short = min(size)
    small = video.decode(path, [1], short_side=short // 2)
    assert small.shape[1:3] == (round(size[1] / 2), round(size[0] / 2))
    theirs = by_ffmpeg(path, *size, f"scale={size[0]}:{size[1]}:flags=bilinear")
    assert theirs is None or distance(theirs, got) < 3


def test_the_odd_wide_recording_has_the_size_that_it_names():
    path = shared.path("odd_videos/sar.mp4")
    got = video.decode(path)
    assert got.shape[1:3] == (48, round(64 * 16 / 9))
    theirs = by_ffmpeg(path, 114, 48, "scale=114:48:flags=bilinear")
    assert theirs is None or distance(theirs, got) < 3


def joined(folder, *parts):
    """One stream of several recordings of twelve frames, as recorders of broadcasts write it."""
    path = folder / "joined.ts"
    for k, settings in enumerate(parts):
        times = [1000 + 40 * (12 * k + i) for i in range(12)]
        videos.write(folder / f"part{k}.ts", n=12, bframes=0, times=times, first=12 * k, **settings)
    path.write_bytes(b"".join((folder / f"part{k}.ts").read_bytes() for k in range(len(parts))))
    return path


@pytest.mark.parametrize(
    ("settings", "change"),
    [
        ({"width": 48, "height": 96}, "the size of its pictures, from 64 x 48 to 48 x 96 pixels, at frame 12"),
        ({"aspect": Fraction(4, 3)}, "the shape of its pixels, from 1 to 4/3, near frame 1[0-2]"),
    ],
)
def test_what_changes_within_a_file_is_refused_with_the_frame(tmp_path, settings, change):
    path = joined(tmp_path, {}, settings)
    for indices in (None, [15], [3, 20]):
        with pytest.raises(video.VideoError, match=f"joined.ts changes {change}; cut it there"):
            video.decode(path, indices)
    assert [videos.number(f) for f in video.decode(path, [9, 3])] == [9, 3]  # before the change
    assert any(re.search(change, found) for found in inspection.problems(path))
    same = joined(tmp_path, {}, {})
    assert [videos.number(f) for f in video.decode(same, [3, 20])] == [3, 20]


def test_the_odd_joined_recording_is_refused():
    with pytest.raises(video.VideoError, match=r"from 64 x 48 to 48 x 96 pixels, at frame \d+"):
        video.decode(shared.path("odd_videos/joined.ts"))


def moment(k, width=96, height=64):
    """A bright bar that moves to the right by four pixels per moment."""
    picture = np.full((height, width, 3), 40, np.uint8)
    picture[10:54, 3 * k : 3 * k + 20] = 220
    return picture


@pytest.mark.parametrize(
    ("name", "codec", "pix_fmt"),
    [
        ("h264.mp4", "libx264", "yuv420p"),
        ("mpeg2.mxf", "mpeg2video", "yuv422p"),
        ("mpeg4.avi", "mpeg4", "yuv420p"),
        ("prores.mov", "prores_ks", "yuv422p10le"),
    ],
)
def test_interlaced_recordings_show_one_moment_per_frame(tmp_path, name, codec, pix_fmt):
    """The encoders write the lower line's moment first; each frame is made of moments 2 k + 1 (upper) and 2 k."""
    path = tmp_path / name
    with av.open(str(path), "w") as out:
        stream = out.add_stream(codec, rate=25, options={"flags": "+ilme+ildct", "b": "5M", "g": "4"})
        stream.width, stream.height, stream.pix_fmt = 96, 64, pix_fmt
        for k in range(10):
            picture = moment(2 * k)
            picture[::2] = moment(2 * k + 1)[::2]
            out.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        out.mux(stream.encode(None))
    got, combed = video.decode(path), stored(path)
    assert video.probe(path).interlaced and len(got) == 10
    for k in range(10):
        errors = [distance(got[k], moment(j)) for j in (2 * k - 1, 2 * k, 2 * k + 1) if j >= 0]
        assert min(errors) < 3 and errors.index(min(errors)) == len(errors) - 2, errors
        assert min(errors) < 0.5 * distance(combed[k], moment(2 * k))
    assert (video.decode(path, [7, 2, 8]) == got[[7, 2, 8]]).all()  # alone as in a row
    assert video.decode(path, [3], short_side=32).shape == (1, 32, 48, 3)
    theirs = by_ffmpeg(path, 96, 64, "yadif=deint=interlaced")
    assert theirs is None or distance(theirs, got) < 2
    assert not video.probe(videos.write(tmp_path / "progressive.mp4", n=2)).interlaced
