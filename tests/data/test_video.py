"""Decoding: the asked frames and no others, whatever the file looks like."""

import hashlib
import os

import av
import numpy as np
import pytest

from paperlib.data import sampling, upright, video
from paperlib.errors import InputError
from tests import shared
from tests.data import videos

KINDS = {
    "h264.mp4": {},
    "h264_intra.mp4": {"gop": 1, "bframes": 0},
    "h264_one_key.mkv": {"gop": 250, "bframes": 3},
    "h264_open_gop.mp4": {"options": {"x264-params": "open-gop=1:keyint=6:min-keyint=6:scenecut=0"}},
    "h264.ts": {},
    "h264.avi": {"bframes": 2},
    "vp9.webm": {"codec": "libvpx-vp9", "options": {"deadline": "realtime", "cpu-used": "8"}},
    "vp8.webm": {
        "codec": "libvpx",
        "options": {"deadline": "realtime", "cpu-used": "8", "auto-alt-ref": "1", "lag-in-frames": "10", "b": "1M"},
    },
    "mpeg4.avi": {"codec": "mpeg4", "bframes": 0, "options": {"b": "2M"}},
    "mpeg4_bframes.avi": {"codec": "mpeg4", "bframes": 2, "options": {"b": "2M"}},
    "divx3.avi": {"codec": "msmpeg4v2", "options": {"b": "8M", "mbd": "rd"}},
    "mjpeg.avi": {"codec": "mjpeg", "pix_fmt": "yuvj420p"},
    "lossless.mkv": {"codec": "ffv1", "pix_fmt": "bgr0"},
    "grey.mp4": {"pix_fmt": "gray"},
    "ten_bit.mp4": {"pix_fmt": "yuv420p10le"},
    "odd_size.mkv": {"codec": "ffv1", "pix_fmt": "yuv420p", "width": 67, "height": 49},
    "odd_size.webm": {"codec": "libvpx-vp9", "width": 71, "height": 53, "options": {"cpu-used": "8"}},
    "uneven_times.mp4": {"times": [k * 40 + 13 * (k % 3) for k in range(20)]},
    "uneven_times.webm": {
        "codec": "libvpx-vp9",
        "times": [k * k * 3 + k for k in range(20)],
        "options": {"cpu-used": "8"},
    },
    "late_start.mkv": {"times": [5000 + 40 * k for k in range(20)]},
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("videos")
    for name, settings in KINDS.items():
        videos.write(folder / name, **settings)
    return folder


def sequential(path, width=None):
    """Every frame by plain PyAV, from start to end, of the width given: what decoding has to equal."""
    how = {} if width is None else {"width": width, "interpolation": upright.SCALING}
    with av.open(str(path), metadata_errors="ignore") as container:
        return [frame.to_ndarray(format="rgb24", threads=1, **how) for frame in container.decode(video=0)]


def hashes(frames):
    return [hashlib.sha256(np.ascontiguousarray(f)).hexdigest() for f in frames]


@pytest.mark.parametrize("name", KINDS)
def test_any_frames_equal_sequential_decoding(folder, name):
    reference = sequential(folder / name)
    numbers = [videos.number(f) for f in reference]
    assert numbers == list(range(20))  # the file is what the test thinks it is
    assert hashes(video.decode(folder / name)) == hashes(reference)
    rng = np.random.default_rng(0)
    random = [rng.integers(0, 20, 5).tolist() for _ in range(4)]
    for indices in ([0], [19], [7, 3, 3, 19, 0], [8, 9], *random):
        got = video.decode(folder / name, indices)
        assert got.dtype == np.uint8 and [videos.number(f) for f in got] == indices
        assert hashes(got) == hashes([reference[i] for i in indices])


def test_the_folder_above_a_link_is_the_one_above_its_target(tmp_path, monkeypatch):
    """As `cat` has it: not the one that the link lies in."""
    for place, n in (("other/v.mp4", 7), ("v.mp4", 12), ("other/inner/unused.mp4", 1)):
        videos.write(tmp_path / place, n=n)
    (tmp_path / "link").symlink_to("other/inner")
    monkeypatch.chdir(tmp_path)
    for path in ("link/../v.mp4", tmp_path / "link" / ".." / "v.mp4"):
        assert video.probe(path).frames == len(video.decode(path)) == 7
    assert video.probe("v.mp4").frames == 12


@pytest.mark.parametrize("name", KINDS)
def test_probe_counts_what_decoding_gives(folder, name):
    info = video.probe(folder / name)
    assert info.frames == 20
    assert (info.width, info.height) == (KINDS[name].get("width", 64), KINDS[name].get("height", 48))
    assert info.fps is None or info.fps > 0


@pytest.mark.parametrize("name", ["h264.mp4", "vp9.webm", "mjpeg.avi", "uneven_times.mp4", "mpeg4.avi"])
def test_a_late_frame_costs_one_group_of_pictures(folder, name, monkeypatch):
    """Only the frames from the key frame on are decoded."""
    decoded = []
    original = video._seeking

    def counting(container, stream, wanted, index):
        class Counted:
            def decode(self, stream):
                for frame in container.decode(stream):
                    decoded.append(frame.pts)
                    yield frame

            def seek(self, *args, **kwargs):
                container.seek(*args, **kwargs)

        return original(Counted(), stream, wanted, index)

    monkeypatch.setattr(video, "_seeking", counting)
    assert videos.number(video.decode(folder / name, [18])[0]) == 18
    assert 1 <= len(decoded) <= 8


def test_rotation_agrees_with_opencv(tmp_path):
    import cv2

    path = videos.write(tmp_path / "phone.mp4", rotation=-90)
    capture = cv2.VideoCapture(str(path))
    _, theirs = capture.read()
    capture.release()
    ours = video.decode(path, [0])[0]
    assert ours.shape == theirs.shape == (64, 48, 3)
    assert np.abs(ours.astype(int) - theirs[..., ::-1]).mean() < 6


@pytest.mark.parametrize(
    ("size", "short", "expected"),
    [
        ((64, 48), 24, (24, 32)),
        ((48, 64), 24, (32, 24)),
        ((64, 48), 96, (96, 128)),
        ((67, 49), 20, (20, 27)),
        ((64, 48), 1, (1, 1)),
        ((64, 16), 8, (8, 32)),
    ],
)
def test_the_shorter_side_is_scaled(tmp_path, size, short, expected):
    path = videos.write(tmp_path / "v.mkv", n=2, width=size[0], height=size[1], codec="ffv1", pix_fmt="bgr0")
    assert video.decode(path, [1], short_side=short).shape[1:3] == expected


def test_scaling_is_an_antialiased_average(tmp_path):
    """Halving keeps the mean and blurs a one-pixel pattern to grey instead of picking every other pixel."""
    path = tmp_path / "stripes.mkv"
    stripes = np.zeros((48, 64, 3), np.uint8)
    stripes[:, ::2] = 250
    with av.open(str(path), "w") as out:
        stream = out.add_stream("ffv1", rate=25)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "bgr0"
        out.mux(stream.encode(av.VideoFrame.from_ndarray(stripes, format="rgb24")))
        out.mux(stream.encode(None))
    small = video.decode(path, [0], short_side=24)[0, :, 2:-2]
    assert np.abs(small.astype(int) - 125).max() < 10


@pytest.mark.parametrize(
    ("shape", "corners"),
    [((10, 16), [(0, 0), (0, 3), (0, 6)]), ((16, 10), [(0, 0), (3, 0), (6, 0)]), ((10, 10), [(0, 0)] * 3)],
)
def test_three_crops_lie_along_the_longer_side(shape, corners):
    frames = np.random.default_rng(0).integers(0, 255, (4, *shape, 3), dtype=np.uint8)
    three = video.crops(frames, 10, 3)
    for got, (y, x) in zip(three, corners, strict=True):
        assert (got == frames[:, y : y + 10, x : x + 10]).all()
    assert (video.crops(frames, 10)[0] == three[1]).all()
    with pytest.raises(InputError, match="11"):
        video.crops(frames, 11)


def test_wrong_counts_in_the_header_do_not_matter(folder, tmp_path):
    """The AVI header's frame counts overwritten with 9999, as broken recorders do."""
    data = bytearray((folder / "mpeg4.avi").read_bytes())
    for tag, offset in ((b"avih", 8 + 16), (b"strh", 8 + 32)):
        at = data.index(tag) + offset
        assert int.from_bytes(data[at : at + 4], "little") == 20
        data[at : at + 4] = (9999).to_bytes(4, "little")
    path = tmp_path / "wrong.avi"
    path.write_bytes(data)
    assert video.probe(path).frames == 20
    assert videos.number(video.decode(path, [19])[0]) == 19


def test_frames_that_cannot_be_jumped_to_are_read_from_the_start(tmp_path):
    path = videos.write(tmp_path / "x.y4m", n=8, codec="rawvideo")
    whole, content = video.decode(path), path.read_bytes()
    end = content.index(b"\n")
    path.write_bytes(content[: end - 3] + b"\n" + content[end - 2 :])  # jumps go by a header of one line
    assert np.array_equal(video.decode(path, [7, 0]), whole[[7, 0]])


def test_reference_pictures_that_are_never_shown_do_not_count(folder, tmp_path):
    """VP8's alternate references are packets without a frame: here made by clearing one packet's show bit."""
    content = bytearray((folder / "vp8.webm").read_bytes())
    with av.open(str(folder / "vp8.webm")) as container:
        packets = [bytes(p) for p in container.demux(video=0) if p.size]
    at = content.index(packets[5])
    assert content[at] & 0x10
    content[at] &= ~0x10
    path = tmp_path / "hidden.webm"
    path.write_bytes(content)
    reference = sequential(path)
    assert len(reference) == video.probe(path).frames == 19
    assert hashes(video.decode(path, [18, 4, 5])) == hashes([reference[i] for i in (18, 4, 5)])


def test_a_changed_file_is_read_again(tmp_path):
    path = videos.write(tmp_path / "v.mp4", n=5)
    assert video.probe(path).frames == 5
    videos.write(path, n=9)
    assert video.probe(path).frames == 9 and videos.number(video.decode(path, [8])[0]) == 8


@pytest.mark.parametrize("name", ["ü 100% #1?.mp4", "http:x.mp4", "concat:a|b.mp4", "-i.mp4"])
def test_any_file_name_is_a_file_name(tmp_path, monkeypatch, name):
    videos.write(tmp_path / "plain.mp4", n=3).rename(tmp_path / name)
    monkeypatch.chdir(tmp_path)
    for path in (tmp_path / name, name):
        assert videos.number(video.decode(path, [2])[0]) == 2


def unusable(folder, tmp_path):
    whole = (folder / "h264.mp4").read_bytes()
    files = {
        "missing.mp4": None,
        "empty.mp4": b"",
        "text.mp4": b"This is a text file.\n" * 40,
        "cut.mp4": whole[: len(whole) // 2],
        "header.mp4": whole[:64],
        "noise.avi": np.random.default_rng(0).bytes(5000),
        "list.mp4": b"#EXTM3U\n#EXTINF:1,\n" + str(folder / "h264.mp4").encode() + b"\n#EXT-X-ENDLIST\n",
        "concat.mp4": b"ffconcat version 1.0\nfile " + str(folder / "h264.mp4").encode() + b"\n",
    }
    for name, content in files.items():
        if content is not None:
            (tmp_path / name).write_bytes(content)
    videos.write_sound(tmp_path / "sound.mp4")
    videos.write_sound(tmp_path / "sound.wav", codec="pcm_s16le")
    (tmp_path / "folder.mp4").mkdir()
    return [*files, "sound.mp4", "sound.wav", "folder.mp4"]


def test_unusable_files_are_explained_in_one_sentence(folder, tmp_path):
    for name in unusable(folder, tmp_path):
        for call in (video.probe, video.decode, lambda p: video.decode(p, [0], short_side=32)):
            with pytest.raises(video.VideoError) as caught:
                call(tmp_path / name)
            message = str(caught.value)
            assert name in message and message.endswith(".") and "\n" not in message, message
            assert "sound" not in name or "sound" in message.replace(name, "")


@pytest.mark.parametrize("indices", [[], [-1], [20], [0.5], [[0]], [10**9]])
def test_impossible_frames_are_refused(folder, indices):
    with pytest.raises(InputError, match="frame"):
        video.decode(folder / "h264.mp4", indices)


def test_unknown_decoder_is_refused(folder):
    with pytest.raises(InputError, match="torchcodec"):
        video.decode(folder / "h264.mp4", [0], backend="magic")


def test_torchcodec_gives_the_same_frames(folder):
    try:
        video.decode(folder / "h264.mp4", [0], backend="torchcodec")
    except InputError as error:
        assert "the decoder 'torchcodec' cannot be used" in str(error) and "pyav" in str(error)
        pytest.skip("torchcodec is not usable here")
    for indices in ([0], [19, 3, 3]):
        ours = video.decode(folder / "h264.mp4", indices)
        theirs = video.decode(folder / "h264.mp4", indices, backend="torchcodec")
        assert np.abs(ours.astype(int) - theirs).mean() < 3
    assert video.decode(folder / "h264.mp4", [2], short_side=24, backend="torchcodec").shape == (1, 24, 32, 3)


def test_torchcodec_is_asked_for_the_same_frames(folder, monkeypatch):
    """A stand-in with torchcodec's interface, for machines without it: order, scaling and errors."""
    import sys
    import types

    import torch

    class VideoDecoder:
        def __init__(self, path, dimension_order, num_ffmpeg_threads):
            if "mjpeg" in path:
                raise RuntimeError("Could not open\nmore")
            self.frames = torch.from_numpy(video.decode(path)).permute(0, 3, 1, 2)

        def __len__(self):
            return len(self.frames)

        def get_frames_at(self, indices):
            return types.SimpleNamespace(data=self.frames[indices])

    module = types.SimpleNamespace(VideoDecoder=VideoDecoder)
    monkeypatch.setitem(sys.modules, "torchcodec", types.SimpleNamespace(decoders=module))
    monkeypatch.setitem(sys.modules, "torchcodec.decoders", module)
    for indices in ([3], [19, 0, 0], None):
        got = video.decode(folder / "h264.mp4", indices, backend="torchcodec")
        assert (got == video.decode(folder / "h264.mp4", indices)).all()
    small = video.decode(folder / "h264.mp4", [5, 6], short_side=24, backend="torchcodec")
    assert small.shape == (2, 24, 32, 3) and [videos.number(f) for f in small] == [5, 6]
    for path, indices in (("h264.mp4", [99]), ("mjpeg.avi", [0])):
        with pytest.raises(video.VideoError, match=path):
            video.decode(folder / path, indices, backend="torchcodec")


def test_nothing_stays_open(folder):
    count = len(os.listdir("/proc/self/fd")) if os.path.isdir("/proc/self/fd") else None
    for name in KINDS:
        video.decode(folder / name, [3])
    with pytest.raises(InputError):
        video.decode(folder / "h264.mp4", [99])
    if count is not None:
        assert len(os.listdir("/proc/self/fd")) <= count


@pytest.mark.parametrize(
    ("name", "width"),
    [
        ("hmdb51_cartwheel.avi", None),
        ("kinetics_R6llTwEh07w.mp4", None),
        ("kinetics_abseiling.mp4", 455),  # 454 pixels, each 2048/2043 as wide as high
        ("kinetics_arm_wrestling.mp4", 427),  # 340 pixels, each 64/51: squeezed by a quarter as it is stored
        ("kinetics_flipping_pancake.mkv", None),
        ("ucf101_basketball.avi", None),
        ("ucf101_soccer_juggling.avi", None),
    ],
)
def test_real_clips_decode_to_the_right_frames(name, width):
    path = shared.path(f"clips/{name}")
    reference = hashes(sequential(path, width))
    n = video.probe(path).frames
    assert n == len(reference)
    rng = np.random.default_rng(1)
    for indices in ([n - 1], [0, n // 2, n - 1], rng.integers(0, n, 8).tolist()):
        assert hashes(video.decode(path, indices)) == [reference[i] for i in indices]


def test_the_corrupted_real_clip_gives_the_clear_error():
    path = shared.path("clips/corrupted.mp4")
    for indices in (None, [30], [49, 0], sampling.uniform(video.probe(path).frames, 8)):
        with pytest.raises(video.VideoError, match="corrupted.mp4 is damaged and cannot be decoded"):
            video.decode(path, indices)


@pytest.mark.parametrize("name", ["absent.mp4", "a" * 300, "nul\0.mp4"])
def test_names_that_no_file_has_are_said_to_have_none(tmp_path, name):
    for look in (video.probe, video.decode):
        with pytest.raises(video.VideoError, match="there is no such video file"):
            look(tmp_path / name)
