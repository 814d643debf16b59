"""Look for everything that is wrong with one video file: cut short, damaged inside, or under a wrong name."""

from . import extent, upright, video

KINDS = {
    ".mp4": "mov",
    ".m4v": "mov",
    ".mov": "mov",
    ".webm": "matroska",
    ".mkv": "matroska",
    ".avi": "avi",
    ".mpg": "mpeg",
    ".mpeg": "mpeg",
    ".wmv": "asf",
    ".flv": "flv",
}


def problems(path):
    """Decode a whole file strictly and return what is wrong with it, one sentence each; empty if nothing is.

    Finds more than decoding for use does, which forgives what a decoder can cover up. A flipped bit that
    still means some valid picture cannot be found.
    """
    try:
        path = video.existing(path)
    except video.VideoError as error:
        return [str(error)]
    found = []
    try:
        with video.opened(path, strict=True) as (container, stream):
            kind = container.format.name.split(",")[0]
            count = 0
            for count, (_, frame) in enumerate(video.sequential(container, stream), 1):
                if count == 1:
                    video.painter(path, upright.form(frame, stream))  # can its pictures be shown?
            promised = stream.frames if kind == "mov" else 0  # elsewhere it is an estimate
            there = video.packets(path, stream.index) if count < promised else count  # an edit list may hide some
        if not count:
            found.append(f"{path} is damaged: it holds no frame that can be decoded.")
        elif there < promised:
            found.append(f"{path} is cut short: {there} of {promised} frames are there.")
        expected = KINDS.get(path.suffix.lower())
        if expected and expected != kind:
            found.append(f"{path} is mislabelled: a {path.suffix} name on a {kind} file.")
    except video.VideoError as error:
        found.append(str(error))
    short = extent.cut_short(path)
    return [*found, short] if short and short not in found else found
