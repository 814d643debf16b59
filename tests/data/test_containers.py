"""Whatever FFmpeg reads from one file of video is read; what would open further files, or is a text, is not."""

import av
import numpy as np
import pytest
from PIL import Image, features

from paperlib.data import inspection, video
from tests import shared
from tests.data import videos

MPEG2 = {"codec": "mpeg2video", "options": {"b": "4M"}}
READ = {
    "x.mxf": MPEG2,
    "x.h264": {},
    "x.hevc": {"codec": "libx265", "options": {"x265-params": "log-level=error"}},
    "x.ivf": {"codec": "libvpx-vp9", "options": {"cpu-used": "8", "deadline": "realtime"}},
    "x.y4m": {"codec": "rawvideo"},
    "x.gif": {"codec": "gif", "pix_fmt": "rgb8"},
    "x.apng": {"codec": "apng", "pix_fmt": "rgb24"},
    "x.mjpeg": {"codec": "mjpeg", "pix_fmt": "yuvj420p"},
    "x.nut": {"codec": "ffv1"},
    "x.wmv": {"codec": "wmv2", "options": {"b": "4M"}},
    "x.flv": {"codec": "flv1", "options": {"b": "4M"}},
    "x.rm": {"codec": "rv10", "options": {"b": "4M"}, "width": 176, "height": 144},
    "x.swf": {"codec": "flv1", "options": {"b": "4M"}},
    "x.m2v": MPEG2,
    "x.vob": MPEG2,
    "x.mts": {},
}
# formats that open what a file names, run what it says, listen to a network or a device, or paint letters
NEVER = "hls concat sdp rtp rtsp image2 lavfi x11grab vobsub svg_pipe tty bin xbin webm_dash_manifest".split()


@pytest.mark.parametrize("name", READ)
def test_every_container_gives_its_frames(tmp_path, name):
    path = videos.write(tmp_path / name, n=12, **READ[name])
    assert [videos.number(frame) for frame in video.decode(path)] == list(range(12))
    assert [videos.number(frame) for frame in video.decode(path, [11, 3, 3, 0])] == [11, 3, 3, 0]
    info = video.probe(path)
    assert info.frames == 12 and info.height == READ[name].get("height", 48)
    assert inspection.problems(path) == []


@pytest.mark.parametrize("name", ["x.mxf", "raw.h264", "raw.hevc", "x.ivf", "x.y4m", "x.gif"])
def test_the_odd_containers_give_what_plain_pyav_gives(name):
    path = shared.path(f"odd_videos/{name}")
    with av.open(str(path)) as container:
        reference = np.stack([frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)])
    assert video.probe(path).frames == len(reference)
    assert (video.decode(path) == reference).all()
    assert (video.decode(path, [20, 4]) == reference[[20, 4]]).all()


@pytest.mark.skipif(not features.check("avif"), reason="this Pillow writes no AVIF")
def test_an_animated_avif_is_more_than_the_picture_in_front_of_it(tmp_path):
    first, *others = (Image.fromarray(videos.picture(k)) for k in range(5))
    first.save(tmp_path / "x.avif", save_all=True, append_images=others, duration=40)
    assert [videos.number(frame) for frame in video.decode(tmp_path / "x.avif")] == list(range(5))
    first.save(tmp_path / "one.avif")
    assert [videos.number(frame) for frame in video.decode(tmp_path / "one.avif")] == [0]


@pytest.mark.parametrize("codec, kept", [("mjpeg", 0.5), ("mjpeg", 0.95), ("ffvhuff", 0.8), ("mpeg4", 0.5)])
def test_a_frame_that_the_end_of_an_avi_cuts_off_is_not_made_up(tmp_path, codec, kept):
    form = {"pix_fmt": "yuvj420p"} if codec == "mjpeg" else {}
    path = videos.write(tmp_path / "x.avi", codec=codec, width=320, height=240, bframes=0, **form)
    whole = video.decode(path)
    with av.open(str(path)) as container:
        packets = [(packet.pos, packet.size) for packet in container.demux(video=0) if packet.size]
    begin, size = packets[13]
    content = path.read_bytes()[: begin + int(kept * size)]
    path.write_bytes(content[:4] + b"\xff" * 4 + content[8:])  # as of a pipe: it does not say how long it is
    assert (video.decode(path, [12, 3]) == whole[[12, 3]]).all()
    for wanted in ([13], None):
        with pytest.raises(video.VideoError, match=r"x.avi is damaged at frame 13\."):
            video.decode(path, wanted)


def test_a_picture_is_a_video_of_one_frame_and_an_animated_webp_is_named(tmp_path):
    pictures = [Image.fromarray(videos.picture(k)) for k in (5, 6)]
    pictures[0].save(tmp_path / "one.webp", lossless=True)
    assert videos.number(video.decode(tmp_path / "one.webp", [0])[0]) == 5
    pictures[0].save(tmp_path / "moving.webp", save_all=True, append_images=pictures[1:], lossless=True)
    with pytest.raises(video.VideoError, match=r"moving.webp is an animated WebP, which FFmpeg cannot decode"):
        video.decode(tmp_path / "moving.webp")


def test_formats_that_lead_elsewhere_are_not_on_the_list():
    allowed = set(video._containers().split(","))
    assert not allowed & set(NEVER)
    assert {"mov", "matroska", "mxf", "h264", "ivf", "yuv4mpegpipe", "webp_pipe"} <= allowed


def test_what_leads_elsewhere_is_not_opened(tmp_path):
    """Under any name: playlists, scripts, descriptions of streams, patterns of names, texts that could be painted."""
    target = str(videos.write(tmp_path / "target.ts", n=3)).encode()
    Image.fromarray(videos.picture(1)).save(tmp_path / "img001.png")
    (tmp_path / "img%03d.png").write_bytes((tmp_path / "img001.png").read_bytes())
    hostile = {
        "m3u8": b"#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\n" + target + b"\n#EXT-X-ENDLIST\n",
        "ffconcat": b"ffconcat version 1.0\nfile " + target + b"\n",
        "sdp": b"v=0\no=- 0 0 IN IP4 127.0.0.1\ns=x\nc=IN IP4 127.0.0.1\nt=0 0\nm=video 5004 RTP/AVP 33\n",
        "svg": b'<svg xmlns="http://www.w3.org/2000/svg"><image href="file://' + target + b'"/></svg>',
        "idx": b"# VobSub index file, v7\n",
        "nfo": b"hello\n" * 300,
        "bin": b"\x07A" * 4000,
        "yuv": bytes(5000),
    }
    names = ["img%03d.png"]
    for kind, content in hostile.items():
        for name in (f"x.{kind}", f"{kind}.mp4"):
            (tmp_path / name).write_bytes(content)
            names.append(name)
    for name in names:
        with pytest.raises(video.VideoError, match="not opened as a video|not a video|no pictures") as caught:
            video.decode(tmp_path / name)
        assert name in str(caught.value) and "\n" not in str(caught.value)
