"""What a trained model does on a data set, computed once for all notebooks: scores, relevance, ATR."""

import functools
import weakref
from dataclasses import dataclass, field

import numpy as np
import torch
from tqdm.auto import tqdm

from .. import relevance
from ..convolution.quick import quick
from ..data import clips as clip
from ..data import fingerprint, loading, sampling
from ..data.loading import in_turn
from ..errors import InputError
from ..relevance.graph import share_recordings
from ..storage import cache
from ..storage.locks import own_order
from ..tracing.probing import at_once
from ..training import checkpoints, evaluation, folds

_recordings = weakref.WeakValueDictionary()  # of training runs of one network, which are often asked together


@dataclass
class Explained:
    """Relevance of the clips a model got right.

    matrix [n, T', N], frame_logits [n, T'] of the target (0 at steps that the model does not predict from),
    atr [n, T'], avg [n], max [n], labels [n], videos [n] (index in the data set), classes; considered and
    right count the clips before the filter; skipped lists (index, id, reason) of videos that cannot be read;
    correct [considered] (bool), whether each of them is classified right.
    """

    matrix: np.ndarray
    frame_logits: np.ndarray
    atr: np.ndarray
    avg: np.ndarray
    max: np.ndarray
    labels: np.ndarray
    videos: np.ndarray
    scores: np.ndarray
    considered: int
    right: int
    classes: list
    temporal: np.ndarray | None
    skipped: list = ()
    correct: np.ndarray | None = None


def indices(length, header):
    """Return the frames of a video of `length` frames that the checkpoint's recipe would sample for
    evaluation."""
    return evaluation.sampled(length, header["num_frames"], header["recipe"])


def outputs(steps, header):
    """Return the output steps that a checkpoint predicts from: all, or its recipe's ensemble (TRA section
    4.4)."""
    count = header["recipe"].get("ensemble", 0)
    return sampling.uniform(steps, count) if count else np.arange(steps)


def predictions(checkpoint, dataset=None, split="val", limit=None, device="cpu", root=None):
    """Return dict(scores [n, K] softmax, labels [n], classes, correct [n]) of a checkpoint on a data set, cached."""
    model, header, videos = opened(checkpoint, dataset, split, limit, device, root)
    check_answers(checkpoint, header, videos)
    batch = at_once(model.num_frames, device)
    key = {**key_of(checkpoint, videos), "batch": batch}

    def compute():
        found, network = [], quick(model)
        for some in tqdm(
            np.array_split(np.arange(len(videos)), -(-len(videos) // batch)),
            leave=False,
            desc=f"scoring {checkpoint}",
        ):
            logits = frame_logits(network, clips_of(videos, some, header).to(device))
            found.append(scores_of(logits, header).cpu().numpy())
        return {"scores": np.concatenate(found)}

    scores = cache.fetch("predictions", key, compute)["scores"]
    return {
        "scores": scores,
        "labels": np.asarray(videos.labels),
        "classes": list(videos.classes),
        "correct": scores.argmax(1) == videos.labels,
    }


def check_answers(checkpoint, header, videos, labels=True):
    """Raise InputError unless a checkpoint answers one question and its classes are those of the labels of videos.

    Classes that have numbers alone, `class 0`, are only counted. labels: whether answers are compared with labels.
    """
    heads = header.get("heads") or getattr(videos, "heads", None)
    if heads:
        raise InputError(
            f"{checkpoint} on {videos.name} answers {len(heads)} questions at once ({', '.join(heads)}); "
            "truth.question gives the network of one, and paperlib explain asks it about one video"
        )
    known, asked = list(header["classes"]), list(videos.classes)
    if labels and len(known) != len(asked):
        raise InputError(
            f"{checkpoint} knows {len(known)} classes and {videos.name} has {len(asked)}; explain the predicted "
            "classes instead (target='predicted')"
        )
    numbered = known == [f"class {k}" for k in range(len(known))]
    for k, (own, other) in enumerate(zip(known, asked, strict=False) if labels and not numbered else ()):
        if own.replace("_", " ").casefold() != other.replace("_", " ").casefold():
            raise InputError(
                f"class {k} of {checkpoint} is {own!r} and that of {videos.name} is {other!r}; labels need the classes "
                "of the checkpoint in its order"
            )


def explain(
    checkpoint,
    dataset=None,
    split="val",
    clips=64,
    limit=None,
    min_score=0.5,
    sigma=0.975,
    method="clrp",
    device="cpu",
    batch=8,
    root=None,
    seed=0,
):
    """Return the `Explained` of a checkpoint on a data set.

    As in the paper (section 4), only clips with a correct prediction and a softmax score above `min_score`
    are explained: the first `clips` of them in one random order, drawn from `seed`, in which every class comes in turn.
    The order is the same for all checkpoints, so that models which are compared explain the same videos as far as both
    get them right.
    """
    model, header, videos = opened(checkpoint, dataset, split, limit, device, root)
    scored = predictions(checkpoint, dataset, split, limit, device, root=root)
    labels, chosen = scored["labels"], explainable(scored, clips, min_score, seed)
    if len(chosen) == 0:
        raise InputError(
            f"{checkpoint} gets no clip of {videos.name} right with a score above {min_score}; "
            "train it longer or lower min_score"
        )
    found = relevance_of(checkpoint, model, header, videos, chosen, labels[chosen], method, batch)
    order = np.argsort(chosen)
    chosen = chosen[order]
    return Explained(
        *ranges(found["matrix"][order], found["frame_logits"][order], header, sigma),
        labels[chosen],
        chosen,
        scored["scores"][chosen, labels[chosen]],
        len(labels),
        int(scored["correct"].sum()),
        scored["classes"],
        videos.temporal,
        videos.skipped,
        scored["correct"],
    )


def explainable(scored, clips, min_score, seed):
    """Return the first `clips` videos of `predictions` that are classified right with a score above `min_score`.

    They come in one random order, drawn from `seed` and the same for all checkpoints, in which every class comes in
    turn.
    """
    labels = scored["labels"]
    passing = scored["correct"] & (scored["scores"][np.arange(len(labels)), labels] > min_score)
    wanted = in_turn(labels, seed)
    return wanted[passing[wanted]][:clips]


def relevance_of(checkpoint, model, header, videos, chosen, targets, method="clrp", batch=8):
    """Return dict(matrix [n, T', N], frame_logits [n, T']) of the videos `chosen` for the classes `targets`.

    Cached batch by batch, so that a longer list of the same videos computes only what is new.
    """
    device = next(model.parameters()).device
    key = {**key_of(checkpoint, videos), "method": method, "engine": cache.code("relevance")}
    parts, starts = {}, range(0, len(chosen), batch)
    for start in tqdm(own_order(starts), leave=False, desc=f"relevance of {checkpoint}"):
        some, target = chosen[start : start + batch], targets[start : start + batch]

        def compute(some=some, target=target):
            clip_batch = clips_of(videos, some, header).to(device)
            return relevance_of_batch(model, clip_batch, target, frame_logits(model, clip_batch), method)

        about = {"videos of the batch": np.asarray(some).tolist(), "targets": np.asarray(target).tolist()}
        parts[start] = cache.fetch("relevance", {**key, **about}, compute)
    return {name: np.concatenate([parts[start][name] for start in starts]) for name in ("matrix", "frame_logits")}


def frame_logits(model, clips):
    """Return the logits of every output step, [B, T', K]; the clip's as one step where a network has no others."""
    with torch.inference_mode():
        steps = model.frame_logits(clips) if hasattr(model, "frame_logits") else model(clips)[:, None]
        return steps.float()


def scores_of(logits, header):
    """Return the softmax scores [B, K] for frame logits [B, T', K], from the steps that the checkpoint predicts
    from."""
    return logits[:, outputs(logits.shape[1], header)].mean(1).softmax(1)


def relevance_of_batch(model, clips, targets, logits, method="clrp", memory="auto"):
    """Return dict(matrix [B, T', N], frame_logits [B, T'] of the target) of a batch with frame logits `logits`."""
    targets = torch.as_tensor(targets).to(clips.device)
    matrix = relevance.relevance_matrix(model, clips, targets, method=method, memory=memory)
    own = logits[torch.arange(len(clips)), :, targets]
    return {"matrix": matrix.cpu().numpy(), "frame_logits": own.cpu().numpy()}


def ranges(matrix, frame_logits, header, sigma=0.975):
    """Return (matrix, frame_logits, atr [n, T'], avg [n], max [n]) with logits 0 at steps that do not predict."""
    used = outputs(matrix.shape[1], header)
    frame_logits = frame_logits.copy()
    frame_logits[:, np.setdiff1d(np.arange(matrix.shape[1]), used)] = 0
    atr = relevance.atr(torch.from_numpy(matrix), torch.from_numpy(frame_logits), sigma=sigma)
    frames = atr.frames.numpy()
    return matrix, frame_logits, frames, atr.avg.numpy(), np.nanmax(frames[:, used], axis=1)


def opened(checkpoint, dataset, split, limit, device, root):
    """Return (model, header, videos) of a checkpoint on a data set, by default its own, as `folds.of` splits it.

    A model opened again is the same object, so that its operations are recorded once: copy it before changing it.
    """
    model, header = _loaded(checkpoint, checkpoints.digest(checkpoint), device)
    recipe, name = checkpoints.recipe(checkpoint, header), dataset or header.get("dataset", "")
    header = {**header, "num_frames": model.num_frames, "recipe": recipe}
    videos = folds.of(recipe, name, split, recipe["size"], limit, root or None)
    how = ("dense", recipe["stride"]) if recipe["sampling"] == "dense" else ("uniform", 1)
    now = _Now(fingerprint.fingerprint(videos), getattr(videos, "folder", None), videos)
    return model, header, _readable(now, model.num_frames, *how)


@functools.lru_cache(maxsize=16)
def _loaded(checkpoint, digest, device):
    model, header = checkpoints.load(checkpoint, device)
    share_recordings(model, _recordings)
    return model, header


@dataclass(frozen=True)
class _Now:
    """A data set as its files are at this moment: equal to one that was loaded before if they are as they were."""

    fingerprint: str
    folder: object
    videos: object = field(compare=False)


@functools.lru_cache(maxsize=8)
def _readable(now, frames, how, stride):
    """Return the data set without the videos of which a clip cannot be read; they are kept in `skipped`.

    Named once are these, and how many videos are so short that a clip of `frames` frames shows some of them again.
    """
    videos, skipped = loading.readable(now.videos, frames, sampling=how, stride=stride)
    for _, name, reason in skipped:
        print(f"{videos.name}: {name} is left out: {reason}")
    span = (frames - 1) * stride + 1
    short = sum(videos.num_frames(i) < span for i in range(len(videos)))
    if short:
        again = "starts over at their end" if how == "dense" else "shows some of them more than once"
        print(f"{videos.name}: {short} of {len(videos)} videos have fewer than {span} frames; a clip {again}")
    videos.skipped, videos.keeps = skipped, True
    return videos


def key_of(checkpoint, videos):
    """Return what decides a checkpoint's results on videos, JSON-able: the key they are cached by."""
    return {
        "checkpoint": checkpoints.digest(checkpoint),
        "dataset": videos.name,
        "videos": len(videos),
        "split": getattr(videos, "split", ""),
        "size": getattr(videos, "size", 0),
        "code": cache.code("convolution/quick", "models", "tracing", "data", "training/checkpoints"),
        "torch": torch.__version__,
        **fingerprint.entry(videos),
    }


def clips_of(videos, some, header):
    """Return float32 [len(some), 3, T, H, W]."""
    return torch.stack([clip.to_clip(videos.frames(i, indices(videos.num_frames(i), header))) for i in some])
