"""Videos to try a widget on."""

from pathlib import Path

import av

from .. import data
from ..errors import InputError
from ..training import checkpoints


def validation_video(checkpoint, number=0, root=None):
    """Return (all frames uint8 [T, H, W, 3], name, class) of a video of the data set a checkpoint was trained on."""
    header = checkpoints.meta(checkpoints.find(checkpoint))
    videos = data.load(header["dataset"], "val", size=header["recipe"]["size"], root=root or None)
    if not 0 <= number < len(videos):
        raise InputError(f"{header['dataset']} has the validation videos 0 to {len(videos) - 1}, not {number}")
    frames = videos.frames(number, range(videos.num_frames(number)))
    return frames, videos.ids[number], videos.classes[videos.labels[number]]


def write_video(file, frames, rate=12):
    """Write frames uint8 [T, H, W, 3] (even sides) as an mp4 of `rate` frames per second and return its path."""
    file = Path(file)
    file.parent.mkdir(parents=True, exist_ok=True)
    with av.open(str(file), "w") as out:
        # without the second option x264 writes other bytes from one process to the next
        options = {"crf": "16", "x264-params": "cpu-independent=1"}
        stream = out.add_stream("libx264", rate=rate, options=options)
        stream.height, stream.width, stream.pix_fmt = *frames.shape[1:3], "yuv420p"
        for frame in frames:
            out.mux(stream.encode(av.VideoFrame.from_ndarray(frame, format="rgb24")))
        out.mux(stream.encode(None))
    return file
