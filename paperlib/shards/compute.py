"""Plan a run over a data set, and compute one of its shards."""

import hashlib
import json
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import torch

from .. import gradcam, masks
from ..data.video import VideoError
from ..errors import InputError, needs, number, whole
from ..gradcam import blobs
from ..models import devices
from ..papers import analysis
from ..relevance.atr import check_sigma
from ..storage import cache, paths
from ..training import checkpoints, folds
from . import shard_files

with needs("pyarrow", to="write the table of a whole data set"):
    import pyarrow as pa

CODE = {"relevance": ("relevance",), "mask": ("masks",), "gradcam": ("gradcam",)}
OPTIONS = {
    "relevance": {"method": "clrp", "sigma": 0.975},
    "mask": {"preset": "default", "perturbation": "freeze", "iterations": None},
    "gradcam": {"layer": None, "normalise": "frame", "softmax": False},
}


def plan(
    kind,
    dataset,
    checkpoint,
    out,
    shards=None,
    split="val",
    limit=None,
    data_root="",
    device="auto",
    threads=1,
    batch=8,
    memory=2.0,
    target="label",
    min_score=None,
    gpus=(),
    **options,
):
    """Return the settings of a run, JSON-able: what decides its results under `key`, and where and how it runs.

    shards: number of files, by default one per 500 clips; never more than blocks of `batch` clips.
    memory: gigabytes that relevance may occupy; it decides how many clips and steps are propagated together.
    target: explain the "label" of each clip or the "predicted" class. min_score: explain only clips that are
    classified right with a softmax score above it. options: those of the kind, see OPTIONS. data_root: the folder of
    the public data sets, by default that of PAPERLIB_DATA.

    InputError for what no shard could compute: counts, sizes and options out of range, unknown names, labels of other
    classes than the checkpoint's.
    """
    options = {**OPTIONS[kind], **options}
    counts = {"shards": shards, "batch": batch, "threads": threads, "limit": limit}
    shards, batch, threads, limit = (None if n is None else whole(what, n) for what, n in counts.items())
    memory = number("memory", memory, "of gigabytes above 0", lambda size: size > 0)
    if min_score is not None:
        min_score = number("min_score", min_score, "from 0 to below 1, a softmax score", lambda score: 0 <= score < 1)
    if kind == "relevance":
        options["sigma"] = check_sigma(options["sigma"])
    settings = {
        "checkpoint": str(checkpoints.find(checkpoint).resolve()),
        "dataset": dataset,
        "split": split,
        "limit": limit,
        "data_root": paths.data_root(data_root),  # workers run in another folder
        "device": device,
        "gpus": list(gpus),
        "out": str(out),
        "asked": {
            "kind": kind,
            "threads": threads,
            "batch": batch,
            "memory": memory,
            "target": target,
            "min_score": min_score,
            "options": options,
        },
    }
    model, header, videos = opened(settings, "cpu")
    analysis.check_answers(checkpoint, header, videos, labels=target == "label" or min_score is not None)
    if kind == "gradcam" and options["layer"]:
        gradcam.maps.at(model, options["layer"])
    if kind == "mask":
        masks.resolve(options["preset"], options["iterations"], {"perturbation": options["perturbation"]})
    key = key_of(settings, videos)
    blocks, folder = -(-len(videos) // batch), getattr(videos, "folder", None)
    return {
        **settings,
        "key": key,
        "folder": folder and str(Path(folder).resolve()),
        "shards": min(blocks, shards or -(-len(videos) // 500)),
    }


def opened(settings, device):
    """Return (model, header, videos) of a run, these as `folds.of` splits them."""
    model, header = checkpoints.load(settings["checkpoint"], device)
    header |= {"num_frames": model.num_frames, "recipe": checkpoints.recipe(settings["checkpoint"], header)}
    videos = folds.of(
        header["recipe"],
        settings["dataset"],
        settings["split"],
        header["recipe"]["size"],
        settings["limit"],
        settings["data_root"] or None,
    )
    if not len(videos):
        raise InputError(f"there is no video in the {settings['split']} split of {settings['dataset']}")
    return model, header, videos


def key_of(settings, videos):
    """Return everything that decides the results of a run, JSON-able."""
    named = [list(getattr(videos, "ids", None) or []), np.asarray(videos.labels).tolist()]
    kind = settings["asked"]["kind"]
    return {
        **analysis.key_of(settings["checkpoint"], videos),
        **settings["asked"],
        "split": settings["split"],  # of videos in files the fingerprint alone would tell
        "limit": settings["limit"],
        "ids": hashlib.sha256(json.dumps(named).encode()).hexdigest(),
        "engine": cache.code(*CODE[kind], "papers/analysis", "tracing/probing", "shards"),
    }


def compute(settings, number, file):
    """Compute shard `number` of a run and write it to `file`, a block of clips at a time."""
    key = settings["key"]
    torch.set_num_threads(key["threads"])
    model, header, videos = opened(settings, devices.device(settings["device"]))
    _refuse_what_changed(settings, videos)
    first, last = shard_files.span(key, number, settings["shards"])
    with shard_files.writer(file, settings, first, last) as out:
        for block in blocks(videos, header, first, last, key["batch"]):
            out.write_table(explained(model, header, videos, key, block))
            print(f"{block[-1][0] + 1 - first} of {last - first} clips", flush=True)
        _refuse_what_changed(settings, videos)  # meanwhile: the shard would hold old and new


def _refuse_what_changed(settings, videos):
    """Raise InputError where the checkpoint, the videos or the code are not those of the plan."""
    key, now = settings["key"], key_of(settings, videos)
    changed = [what for what in sorted(key.keys() | now.keys()) if now.get(what) != key.get(what)]
    if changed:
        raise InputError(f"{', '.join(changed)} changed since the run was planned; start it again")


def blocks(videos, header, first, last, batch):
    """Yield the clips first .. last - 1 as lists of (index, clip [3, T, H, W] or None, why it cannot be read).

    While one block is explained, the next is decoded.
    """

    def read(start):
        found = []
        for i in range(start, min(start + batch, last)):
            try:
                found.append((i, analysis.clips_of(videos, [i], header)[0], ""))
            except VideoError as error:
                found.append((i, None, str(error)))
        return found

    with ThreadPoolExecutor(1) as pool:
        following = None
        for start in range(first, last, batch):
            block, following = following, pool.submit(read, start)
            if block:
                yield block.result()
        if following:
            yield following.result()


def explained(model, header, videos, key, block):
    """Return the table of one block: every clip has a row, those that are not explained with nulls and a note."""
    indices = [i for i, _, _ in block]
    labels = np.asarray(videos.labels)[indices]
    notes = [reason and f"cannot be read: {reason}" for _, _, reason in block]
    readable = [k for k, (_, clip, _) in enumerate(block) if clip is not None]  # rows of the block
    found, results, chosen = {}, {}, []  # chosen: positions in readable
    if readable:
        clips = torch.stack([block[k][1] for k in readable]).to(next(model.parameters()).device)  # [R, 3, T, H, W]
        logits = analysis.frame_logits(model, clips)  # [R, T', K]
        found = scored(logits, header, labels[readable], key["target"])
        chosen = worth_explaining(found, labels[readable], key["min_score"])
        for k in set(range(len(readable))) - set(chosen.tolist()):
            notes[readable[k]] = f"not classified right with a score above {key['min_score']}"
    if len(chosen):
        own = labels[readable][chosen] if of_its_classes(header, videos) else None
        arguments = clips[chosen], found["target"][chosen], logits[chosen], own, key
        results = EXPLAIN[key["kind"]](model, header, *arguments)
    ids = getattr(videos, "ids", None)
    texts = {"note": notes, "id": [ids[i] if ids else str(i) for i in indices]}
    for column, values in texts.items():  # the name of a file need not be text, and parquet takes nothing else
        texts[column] = [value.encode(errors="backslashreplace").decode() for value in values]
    everything = {"video": indices, "label": labels, **texts}
    read = {k: row for row, k in enumerate(readable)}
    taken = {readable[k]: row for row, k in enumerate(chosen)}
    return table_of(key["kind"], everything, (found, read), (results, taken), len(block))


def scored(logits, header, labels, target):
    """Return dict(predicted, target, score), each [R], of clips with frame logits [R, T', K]."""
    scores = analysis.scores_of(logits, header).cpu().numpy()  # [R, K]
    predicted = scores.argmax(1)
    targets = labels if target == "label" else predicted
    return {"predicted": predicted, "target": targets, "score": scores[np.arange(len(scores)), targets]}


def of_its_classes(header, videos):
    """Whether the labels of videos number the classes of the checkpoint with this header."""
    try:
        analysis.check_answers("", header, videos)
    except InputError:
        return False
    return True


def worth_explaining(found, labels, min_score):
    """Return the positions of the scored clips to explain: all, or those right with a score above `min_score`."""
    if min_score is None:
        return np.arange(len(labels))
    return np.flatnonzero((found["predicted"] == labels) & (found["score"] > min_score))


def table_of(kind, everything, found, results, rows):
    """Return the table of a block of so many rows.

    everything: {column: all rows}; found, results: ({column: some rows}, {row of the block: which of those}).
    """
    schema = pa.schema({**shard_files.EVERY, **shard_files.COLUMNS[kind]})

    def column(name, kind):
        if name in everything:
            return pa.array(everything[name], kind)
        values, places = found if name in shard_files.EVERY else results
        return shard_files.column(values.get(name), kind, [places.get(k) for k in range(rows)])

    return pa.Table.from_arrays(
        [column(*field) for field in zip(schema.names, schema.types, strict=True)], schema=schema
    )


def relevance_columns(model, header, clips, targets, logits, labels, key):
    """Return matrix, frame logits and ATR of one block, as `analysis.explain` computes them."""
    options = key["options"]
    found = analysis.relevance_of_batch(model, clips, targets, logits, options["method"], int(key["memory"] * 1e9))
    names = ("matrix", "frame_logits", "atr", "avg_atr", "max_atr")
    ranges = analysis.ranges(found["matrix"], found["frame_logits"], header, options["sigma"])
    return dict(zip(names, ranges, strict=True))


def mask_columns(model, header, clips, targets, logits, labels, key):
    """Return the learned masks of one block and the scores under them; labels: None where they are of other classes."""
    options = key["options"]
    found = masks.learn(
        model,
        clips,
        torch.as_tensor(targets),
        options["iterations"],
        labels if labels is None else torch.as_tensor(labels),
        options["preset"],
        len(clips),
        perturbation=options["perturbation"],
    )
    names = ("mask", "initial", "original", "freeze", "reverse", "truth", "perturbed", "iterations")
    columns = {name: getattr(found, name).cpu().numpy() for name in names}
    return {**columns, "loss": found.value.cpu().numpy()}


def cam_columns(model, header, clips, targets, logits, labels, key):
    """Return Grad-CAM at the layer's own size, and the blobs of the maps over the frames."""
    options = key["options"]
    maps = gradcam.raw_maps(
        model, clips, torch.as_tensor(targets), options["layer"], options["softmax"], batch_size=len(clips)
    )
    cams = gradcam.over_frames(maps, clips.shape[2:], options["normalise"])
    found = blobs.per_clip(blobs.measure(cams))
    return {
        "maps": maps.float().cpu().numpy(),
        "blob_count": found["count"].to_numpy(np.float32),
        "blob_size": found["size"].to_numpy(np.float32),
        "blob_distance": found["center_distance"].to_numpy(np.float32),
    }


EXPLAIN = {"relevance": relevance_columns, "mask": mask_columns, "gradcam": cam_columns}
