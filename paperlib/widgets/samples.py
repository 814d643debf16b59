"""Videos to try a widget on."""

from pathlib import Path

import av
import numpy as np

from ..errors import InputError
from ..storage import paths
from ..training import checkpoints, folds


def validation_video(checkpoint, number=0, root=None):
    """Return (all frames uint8 [T, H, W, 3], name, class) of a video of the data set a checkpoint was trained on.

    A checkpoint that held people out is given a video of theirs. The class of a video with the answers to several
    questions is all of them.
    """
    header = checkpoints.meta(checkpoints.find(checkpoint))
    videos = folds.of(header["recipe"], header["dataset"], "val", header["recipe"]["size"], root=root or None)
    if not 0 <= number < len(videos):
        raise InputError(f"{header['dataset']} has the validation videos 0 to {len(videos) - 1}, not {number}")
    frames = videos.frames(number, range(videos.num_frames(number)))
    return frames, videos.ids[number], " ".join(videos.classes[k] for k in np.atleast_1d(videos.labels[number]))


def write_video(file, frames, rate=12):
    """Write frames uint8 [T, H, W, 3] (even sides) as an mp4 of `rate` frames per second and return its path.

    Raises InputError for other frames, and for a file that cannot be written or has not the name of an mp4.
    """
    file, frames = Path(file), np.asarray(frames)
    if file.suffix.lower() != ".mp4":
        raise InputError(f"{file}: name a file that ends in .mp4")
    good = frames.dtype == np.uint8 and frames.ndim == 4 and frames.shape[3] == 3 and frames.size
    if not good or frames.shape[1] % 2 or frames.shape[2] % 2:
        raise InputError(
            f"{file}: a video is made of frames uint8 [T, H, W, 3] of even height and width, at least one, not of "
            f"{frames.dtype} {list(frames.shape)}"
        )
    paths.check_writable(file)
    with paths.atomic(file) as part, av.open(str(part), "w") as out:
        # without the second option x264 writes other bytes from one process to the next
        options = {"crf": "16", "x264-params": "cpu-independent=1"}
        stream = out.add_stream("libx264", rate=rate, options=options)
        stream.height, stream.width, stream.pix_fmt = *frames.shape[1:3], "yuv420p"
        for frame in frames:
            out.mux(stream.encode(av.VideoFrame.from_ndarray(frame, format="rgb24")))
        out.mux(stream.encode(None))
    return file
