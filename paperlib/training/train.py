"""Train one model by one recipe: cosine schedule, seeds, mixed precision, several GPUs, resume after a kill."""

import hashlib
import math
import os
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, nullcontext
from dataclasses import asdict
from pathlib import Path

import numpy as np
import torch
from tqdm.auto import tqdm

from .. import models
from ..convolution.allocator import keep_freed
from ..convolution.half import checked
from ..data import sampling
from ..data.fingerprint import fingerprint
from ..data.video import VideoError
from ..errors import InputError
from ..models.factory import BACKBONES, backbone_of, sized
from ..storage import paths, software, zoo_lists
from . import checkpoints, heads, interrupted, parallel
from . import progress as runs
from .augmentation import augment, normalise, zoomed
from .captured import captured
from .recipes import Recipe, check
from .training_videos import clips_of, datasets, one_sided, without_unreadable

LOOK = 100  # steps between two looks at whether the loss is still a number


def build(recipe, classes):
    """Return the recipe's untrained model, started from `init_from` or `inflate` where one is given."""
    torch.manual_seed(recipe.seed)
    extra = {"dropout": recipe.dropout} if recipe.dropout else {}
    extra |= {"size": recipe.size} if sized(recipe.name) else {}
    model = models.create(
        recipe.name,
        num_classes=classes,
        width=recipe.width,
        kernel_size=recipe.kernel_size,
        **(extra | (recipe.options or {})),
    )
    if recipe.init_from:
        checkpoints.initialise(model, recipe.init_from)
    elif recipe.inflate:
        models.inflate(model, imagenet(recipe.name) if recipe.inflate == "ImageNet" else recipe.inflate)
    return model


def imagenet(name):
    """Return torchvision's ImageNet weights (state dict) for the backbone in a model's name, fetched once."""
    from torchvision.models import get_model_weights

    backbone = backbone_of(name)
    if backbone is None:
        raise InputError(
            f"inflate of {name} is 'ImageNet', whose weights fit backbones {', '.join(BACKBONES)} only; leave it out"
        )
    weights = get_model_weights("googlenet" if backbone == "Inc" else f"resnet{backbone[1:]}").IMAGENET1K_V1
    try:
        return weights.get_state_dict(progress=False, check_hash=True, weights_only=True)
    except Exception as error:  # URLs, sockets and hashes each raise their own
        raise InputError(
            f"{weights.url} could not be fetched ({type(error).__name__}); fetch it elsewhere and name "
            "the file by --inflate"
        ) from error


def learning_rate(recipe, step, steps):
    """Return the learning rate at `step` of `steps`: linear warm-up, then half a cosine down to zero."""
    warm = recipe.warmup * steps / recipe.epochs
    if step < warm:
        return recipe.lr * (step + 1) / (warm + 1)
    return 0.5 * recipe.lr * (1 + math.cos(math.pi * (step - warm) / (steps - warm)))


def half_precision(device, size):
    """Say whether to train in bfloat16: on a GPU, or on a CPU that computes in it (1.2 to 1.8 times as fast).

    What the CPU gets wrong is computed in float32 nevertheless (half.py). On CPUs not below 24 pixels, where the
    last maps have less than one: PyTorch 2.14's strided bfloat16 convolutions write outside their memory there.
    """
    return device.type == "cuda" or (size >= 24 and bool(torch.cpu.get_capabilities().get("avx512_bf16")))


def prediction(model, clip, ensemble=0):
    """Return class scores [B, K]: the mean of all frame logits, or of some evenly spaced ones (TRA section 4.4).

    A network whose class token gathers the clip has no frame logits, so its scores are those of the whole clip.
    """
    if not hasattr(model, "frame_logits"):
        if ensemble:
            raise InputError(f"{model.config['name']} has no frame logits, so there is no ensemble={ensemble} of them")
        return model(clip)
    logits = model.frame_logits(clip)
    if ensemble > logits.shape[1]:
        raise InputError(
            f"{model.config['name']} has {logits.shape[1]} frame logits, so there is no ensemble={ensemble} of them"
        )
    if ensemble:
        logits = logits[:, sampling.uniform(logits.shape[1], ensemble)]
    return logits.mean(1)


def _check_clip(model, recipe, device):
    """Raise InputError where clips of the recipe's size, or its ensemble, do not fit the network."""
    model.eval()
    with torch.no_grad():
        prediction(model, torch.zeros(1, 3, model.num_frames, recipe.size, recipe.size, device=device), recipe.ensemble)
    model.train()


def run(recipe: Recipe, device="auto", resume=True, progress=True, out=None, held=False):
    """Train by `recipe`, write the checkpoint, return its header.

    After each epoch the state goes to `data/runs/`, so that a killed run goes on from there and ends with
    the same weights as an undisturbed one. The state is deleted when the checkpoint is written.

    Raises InputError for a recipe that no training can have and for a file `out` that cannot be written before it reads
    anything, and progress.Busy while another process trains a checkpoint of this name; held: the caller has seen to
    that (`progress.alone`).

    `paperlib zoo train --pause` holds it between two batches (see `progress`), which its seconds do not count.

    Started by torchrun, every process takes its part of each batch: gradients and batch norms are those of the
    whole batch, and process 0 writes.
    """
    check(recipe)
    out = Path(out or checkpoints.path(f"{recipe.dataset}/{zoo_lists.with_seed(recipe.name, recipe.seed)}"))
    paths.check_writable(out)
    key = f"{recipe.dataset}/{out.stem}"
    keep_freed()
    with parallel.group(device) as ranks, nullcontext() if held or not ranks.first else runs.alone(key):
        return _run(recipe, ranks, resume, progress and ranks.first, out, key)


def _run(recipe, ranks, resume, progress, out, key):
    """Train as one of `ranks`, from videos to the checkpoint `out`; returns the header.

    Videos of any length with labels [n] -> clips uint8 [B, T, H, W, 3] -> float32 [B, 3, T, H, W] -> frame logits
    [B, T', K] -> scores [B, K] -> one loss per batch.
    """
    if recipe.batch % ranks.count:
        raise InputError(f"batch {recipe.batch} cannot be shared among {ranks.count} processes; give a multiple")
    videos = datasets(recipe)  # (training, validation)
    classes = list(videos[0].classes)  # [K]
    model = parallel.synchronise(ranks.share(lambda: build(recipe, len(classes))), ranks).to(ranks.device)
    in_the_zoo = checkpoints.path(key) if out.is_relative_to(runs.file(key, "pt").parent) else out.absolute()
    checkpoints.check_place(in_the_zoo, model.config, recipe)
    if ranks.device.type == "cpu":  # a step takes about a fifth less time than with the channels first
        model = model.to(memory_format=torch.channels_last_3d)
    _check_clip(model, recipe, ranks.device)
    videos, unread = without_unreadable(videos, model.num_frames, recipe, ranks)
    notes = one_sided(*videos)
    if notes and ranks.first:
        print("\n".join(notes), flush=True)
    prints = ranks.share(lambda: [fingerprint(part) for part in videos])
    steps = _steps_per_epoch(len(videos[0]), recipe)
    train, val = (clips_of(part, model.num_frames, recipe.sampling, progress, ranks) for part in videos)
    optimiser = _optimiser(model, recipe)
    predict = parallel.distribute(Scores(model, recipe.ensemble), ranks)
    state_file, start, history = _state_file(key, in_the_zoo), 0, []
    if resume:
        start, history = interrupted.resumed(state_file, recipe, prints, model, optimiser, ranks)
    watch = _watch(key, recipe, steps, history, ranks)
    if ranks.count == 1:
        shape = (recipe.batch, 3, model.num_frames, recipe.size, recipe.size)
        predict = captured(predict, shape, ranks.device, half_precision(ranks.device, recipe.size))
    for epoch in range(start, recipe.epochs):
        before = watch.seconds
        with _videos_there(recipe, epoch):
            loss = _epoch(model, train, optimiser, recipe, epoch, steps, predict, ranks, progress, watch)
            history.append({"epoch": epoch + 1, "loss": round(loss, 4), "seconds": round(watch.seconds - before, 1)})
            if epoch + 1 == recipe.epochs and recipe.bits < 16:
                checkpoints.round_weights(model, recipe.bits)  # the accuracy is to be that of what is stored
            if epoch + 1 == recipe.epochs or (epoch + 1) % 3 == 0:
                history[-1]["accuracy"] = round(accuracy(model, val, recipe, ranks, watch), 4)
        if progress:
            tqdm.write(f"{out.stem} on {recipe.dataset}: " + ", ".join(f"{k} {v}" for k, v in history[-1].items()))
        if ranks.first:
            interrupted.keep(state_file, recipe, prints, model, optimiser, history)
        ranks.wait()
    meta = _header(recipe, ranks, classes, (len(train), len(val)), prints, unread, history)
    meta |= {"heads": train.heads} if train.heads else {}
    missing = {split: len(getattr(part, "missing", ())) for split, part in zip(("train", "val"), videos, strict=True)}
    meta |= {"missing": missing} if any(missing.values()) else {}
    if ranks.first:
        checkpoints.save(out, model.eval(), meta, recipe.bits)
        state_file.unlink(missing_ok=True)
        watch.note(finished=time.time(), accuracy=meta["accuracy"])
    ranks.wait()
    return meta


@contextmanager
def _videos_there(recipe, epoch):
    """Say of a video that can be read no longer what is kept of a training that is in its `epoch`, counted from 0."""
    try:
        yield
    except VideoError as error:
        raise InputError(
            f"training {recipe.name} on {recipe.dataset} stopped in epoch {epoch + 1}: {str(error).rstrip('.')}; when "
            f"it is there again as it was, training goes on after {epoch} whole epochs"
        ) from error


def _state_file(key, out):
    """Return where the half-way state of a training lies; those that end outside of the zoo are told apart by `out`."""
    out = out.resolve()
    own = "" if out == checkpoints.path(key).resolve() else "-" + hashlib.sha256(os.fsencode(out)).hexdigest()[:12]
    return runs.file(key + own, "pt")


def _steps_per_epoch(videos, recipe):
    """Return how many whole batches the training videos make; InputError where they do not fill one."""
    if videos < recipe.batch:
        raise InputError(f"batch {recipe.batch} is larger than the {videos} training videos of {recipe.dataset}")
    return videos // recipe.batch


def _watch(key, recipe, steps, history, ranks):
    """Return what notes how far the training is and lets it be paused: in the process that writes."""
    if not ranks.first:
        return runs.Unwatched()
    about = {"network": recipe.name, "dataset": recipe.dataset, "size": recipe.size, "epochs": recipe.epochs}
    clips = steps * recipe.batch
    seconds = sum(row["seconds"] for row in history)
    return runs.Watch(key, about, recipe.epochs * clips, len(history) * clips, seconds)


def _header(recipe, ranks, classes, videos, prints, unread, history):
    """Return what a checkpoint's header says about its training.

    videos: how many trained and how many validated; prints: the fingerprints of both.
    """
    meta = {
        "recipe": asdict(recipe),
        "dataset": recipe.dataset,
        "classes": classes,
        "accuracy": history[-1]["accuracy"],
        "seed": recipe.seed,
        "revision": software.revision(),
        "videos": dict(zip(("train", "val"), videos, strict=True)),
        "fingerprints": dict(zip(("train", "val"), prints, strict=True)),
        "skipped": unread,
        "history": history,
        "device": ranks.device.type,
        "precision": "bfloat16" if half_precision(ranks.device, recipe.size) else "float32",
        "seconds": round(sum(row["seconds"] for row in history), 1),
    }
    return meta | ({"processes": ranks.count} if ranks.count > 1 else {})


class Scores(torch.nn.Module):
    """`prediction` as a module, for what wraps modules; adds nothing of its own."""

    def __init__(self, model, ensemble):
        super().__init__()
        self.model, self.ensemble = model, ensemble

    def forward(self, clip):
        """Clip [B, 3, T, H, W] -> class scores [B, K]."""
        return prediction(self.model, clip, self.ensemble)


def _optimiser(model, recipe):
    """Return the recipe's optimiser of all weights."""
    decayed = [p for p in model.parameters() if p.ndim > 1]
    plain = [p for p in model.parameters() if p.ndim <= 1]  # biases and batch norm are not decayed
    groups = [{"params": decayed, "weight_decay": recipe.weight_decay}, {"params": plain, "weight_decay": 0.0}]
    if recipe.optimiser in ("adam", "adamw"):
        return {"adam": torch.optim.Adam, "adamw": torch.optim.AdamW}[recipe.optimiser](groups, lr=recipe.lr)
    return torch.optim.SGD(groups, lr=recipe.lr, momentum=recipe.momentum, nesterov=recipe.momentum > 0)


def _epoch(model, train, optimiser, recipe, epoch, steps, predict, ranks, progress, watch):
    """Train one epoch; returns its mean loss. All randomness comes from (seed, epoch, rank).

    Every process draws the same order and takes its part of each batch.
    """
    rng, device = np.random.default_rng([recipe.seed, epoch]), ranks.device
    own = recipe.seed * 100_003 + epoch + 1_000_000_007 * ranks.rank
    generator = torch.Generator().manual_seed(own)
    torch.manual_seed(own)  # dropout
    order = rng.permutation(len(train))[: steps * recipe.batch].reshape(steps, recipe.batch)
    if ranks.count > 1:
        order = np.stack([ranks.shard(indices) for indices in order])
        rng = np.random.default_rng([recipe.seed, epoch, ranks.rank])
    model.train()
    total, half = torch.zeros((), device=device), half_precision(device, recipe.size)
    batches = watch.batches(_batches(train, order, model.num_frames, recipe, rng), recipe.batch)
    for step, (indices, frames) in enumerate(
        tqdm(
            batches,
            total=steps,
            disable=not progress,
            leave=False,
            mininterval=2,
            desc=f"{recipe.name} epoch {epoch + 1}/{recipe.epochs}",
        )
    ):
        for group in optimiser.param_groups:
            group["lr"] = learning_rate(recipe, epoch * steps + step, recipe.epochs * steps)
        frames = torch.from_numpy(frames).to(device)
        if recipe.zoom > 1:
            clip = zoomed(frames, generator, recipe.size, recipe.mirror)
        else:
            clip = augment(frames, generator, mirror=recipe.mirror)
        target = torch.from_numpy(train.labels[indices]).to(device)
        with checked(torch.bfloat16 if half else None, device):
            with torch.autocast(device.type, torch.bfloat16, enabled=half):
                scores = predict(clip)
            loss = heads.loss(scores.float(), target, train.heads, recipe.label_smoothing)
            optimiser.zero_grad(set_to_none=True)
            loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 5.0)
        optimiser.step()
        total += loss.detach()
        if step % LOOK == 0:
            _check_finite(total, recipe, epoch)
    for parameter in model.parameters():  # the last step's gradients are in no loss
        _check_finite(parameter, recipe, epoch)
    total = ranks.total(float(total)) / ranks.count
    return total / steps


def _check_finite(values, recipe, epoch):
    """Raise InputError where a loss or weights are no numbers any more."""
    if not values.isfinite().all():
        raise InputError(
            f"training {recipe.name} on {recipe.dataset} diverged in epoch {epoch + 1}; lower lr ({recipe.lr})"
        )


def _batches(train, order, frames, recipe, rng):
    """Yield (indices, uint8 clips [B, T, H, W, 3]) of each step; video files are decoded one step ahead."""

    def clips(indices):
        return indices, train.clips(indices, frames, recipe.sampling, recipe.stride, rng)

    if not getattr(train, "decodes", False):
        yield from map(clips, order)
        return
    with ThreadPoolExecutor(1) as pool:
        pending = pool.submit(clips, order[0])
        for indices in order[1:]:
            done, pending = pending, pool.submit(clips, indices)
            yield done.result()
        yield pending.result()


@torch.inference_mode()
def accuracy(model, val, recipe, ranks, watch, batch=64):
    """Return the top-1 accuracy on the stored validation clips, sampled as in the recipe but without jitter."""
    model.eval()
    right = 0
    for indices in watch.batches(np.array_split(np.arange(len(val)), math.ceil(len(val) / batch))):
        indices = ranks.shard(indices)
        if not len(indices):
            continue
        clips = torch.from_numpy(val.clips(indices, model.num_frames, recipe.sampling, recipe.stride))
        scores = prediction(model, normalise(clips.to(ranks.device)), recipe.ensemble)
        right += float(heads.right(scores.cpu(), torch.from_numpy(val.labels[indices]), val.heads).sum())
    return float(ranks.total(right) / len(val))
