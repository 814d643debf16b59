"""Train one model by one recipe: cosine schedule, seeds, mixed precision, several GPUs, resume after a kill."""

import json
import math
import time
import zipfile
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict

import numpy as np
import torch
from tqdm.auto import tqdm

from .. import data, models
from ..convolution.allocator import keep_freed
from ..convolution.half import checked
from ..data import loading, sampling, store
from ..errors import InputError, whole
from ..storage import paths, software, zoo_lists
from . import checkpoints, folds, heads, parallel
from . import progress as runs
from .augmentation import augment, normalise, zoomed
from .captured import captured
from .recipes import Recipe


def build(recipe, classes):
    """Return the recipe's untrained model, started from `init_from` or `inflate` where one is given."""
    torch.manual_seed(recipe.seed)
    extra = {"dropout": recipe.dropout} if recipe.dropout else {}
    model = models.create(
        recipe.name,
        num_classes=classes,
        width=recipe.width,
        kernel_size=recipe.kernel_size,
        **extra,
        **(recipe.options or {}),
    )
    if recipe.init_from:
        checkpoints.initialise(model, recipe.init_from)
    elif recipe.inflate:
        models.inflate(model, imagenet(recipe.name) if recipe.inflate == "ImageNet" else recipe.inflate)
    return model


def imagenet(name):
    """Return torchvision's ImageNet weights (state dict) for the backbone in a model's name, fetched once."""
    from torchvision.models import get_model_weights

    backbone = name.split("-")[1]
    weights = get_model_weights("googlenet" if backbone == "Inc" else f"resnet{backbone[1:]}").IMAGENET1K_V1
    try:
        return weights.get_state_dict(progress=False, check_hash=True, weights_only=True)
    except Exception as error:  # URLs, sockets and hashes each raise their own
        raise InputError(
            f"{weights.url} could not be fetched ({type(error).__name__}); fetch it elsewhere and name "
            "the file by --inflate"
        ) from error


def datasets(recipe):
    """Return the videos to train on and those to validate on."""
    if recipe.held_out:
        return folds.split(recipe.dataset, recipe.held_out, recipe.size)
    sides = {"train": round(recipe.size * recipe.zoom), "val": recipe.size}
    return tuple(
        data.load(
            recipe.dataset, split=split, size=sides[split], limit=recipe.limit or None if split == "train" else None
        )
        for split in ("train", "val")
    )


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
    if ensemble:
        logits = logits[:, sampling.uniform(logits.shape[1], ensemble)]
    return logits.mean(1)


def run(recipe, device="auto", resume=True, progress=True, out=None):
    """Train by `recipe`, write the checkpoint, return its header.

    After each epoch the state goes to `data/runs/`, so that a killed run goes on from there and ends with
    the same weights as an undisturbed one. The state is deleted when the checkpoint is written.

    `paperlib zoo train --pause` holds it between two batches (see `progress`), which its seconds do not count.

    Started by torchrun, every process takes its part of each batch: gradients and batch norms are those of the
    whole batch, and process 0 writes.
    """
    keep_freed()
    with parallel.group(device) as ranks:
        return _run(recipe, ranks, resume, progress and ranks.first, out)


def _run(recipe, ranks, resume, progress, out):
    """Train as one of `ranks`, from videos to the checkpoint `out`; returns the header.

    Videos of any length with labels [n] -> clips uint8 [B, T, H, W, 3] -> float32 [B, 3, T, H, W] -> frame logits
    [B, T', K] -> scores [B, K] -> one loss per batch.
    """
    _refuse_what_cannot_be_trained(recipe, ranks)
    videos = datasets(recipe)  # (training, validation)
    classes = list(videos[0].classes)  # [K]
    model = parallel.synchronise(ranks.share(lambda: build(recipe, len(classes))), ranks).to(ranks.device)
    if ranks.device.type == "cpu":  # a step takes about a fifth less time than with the channels first
        model = model.to(memory_format=torch.channels_last_3d)
    videos, unread = _without_unreadable(videos, model.num_frames, ranks)
    steps = _steps_per_epoch(len(videos[0]), recipe)
    train, val = (_clips(part, model.num_frames, recipe.sampling, progress, ranks) for part in videos)
    optimiser = _optimiser(model, recipe)
    predict = parallel.distribute(Scores(model, recipe.ensemble), ranks)
    out = out or checkpoints.path(recipe.dataset, zoo_lists.with_seed(recipe.name, recipe.seed))
    key = f"{recipe.dataset}/{out.stem}"
    state_file = runs.file(key, "pt")
    start, history = _resume(state_file, recipe, model, optimiser, ranks.device) if resume else (0, [])
    watch = _watch(key, recipe, steps, history, ranks)
    if ranks.count == 1:
        shape = (recipe.batch, 3, model.num_frames, recipe.size, recipe.size)
        predict = captured(predict, shape, ranks.device, half_precision(ranks.device, recipe.size))
    for epoch in range(start, recipe.epochs):
        before = watch.seconds
        loss = _epoch(model, train, optimiser, recipe, epoch, steps, predict, ranks, progress, watch)
        history.append({"epoch": epoch + 1, "loss": round(loss, 4), "seconds": round(watch.seconds - before, 1)})
        if epoch + 1 == recipe.epochs and recipe.bits < 16:
            checkpoints.round_weights(model, recipe.bits)  # the accuracy is to be that of what is stored
        if epoch + 1 == recipe.epochs or (epoch + 1) % 3 == 0:
            history[-1]["accuracy"] = round(accuracy(model, val, recipe, ranks, watch), 4)
        if progress:
            tqdm.write(f"{out.stem} on {recipe.dataset}: " + ", ".join(f"{k} {v}" for k, v in history[-1].items()))
        if ranks.first:
            _keep(state_file, recipe, model, optimiser, history)
        ranks.wait()
    meta = _header(recipe, ranks, classes, (len(train), len(val)), unread, history)
    meta |= {"heads": train.heads} if train.heads else {}
    if ranks.first:
        checkpoints.save(out, model.eval(), meta, recipe.bits)
        state_file.unlink(missing_ok=True)
        watch.note(finished=time.time())
    ranks.wait()
    return meta


def _refuse_what_cannot_be_trained(recipe, ranks):
    """Raise InputError for a batch that the processes cannot share, no epochs, or bits that cannot be stored."""
    checkpoints.check_bits(recipe.bits)
    if recipe.batch % ranks.count:
        raise InputError(f"batch {recipe.batch} cannot be shared among {ranks.count} processes; give a multiple")
    whole(f"epochs of the recipe of {recipe.name}", recipe.epochs)


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


def _header(recipe, ranks, classes, videos, unread, history):
    """Return what a checkpoint's header says about its training; videos: how many trained and how many validated."""
    meta = {
        "recipe": asdict(recipe),
        "dataset": recipe.dataset,
        "classes": classes,
        "accuracy": history[-1]["accuracy"],
        "seed": recipe.seed,
        "revision": software.revision(),
        "videos": dict(zip(("train", "val"), videos, strict=True)),
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


def _without_unreadable(videos, frames, ranks):
    """Return ([training videos, validation videos] that can be read, names of those left out); says which and why.

    Of several processes the first one looks for all.
    """
    kept, names = [], []
    for part in videos:
        workers = store.READERS if hasattr(part, "path") else 0
        skipped = ranks.share(lambda part=part, workers=workers: loading.readable(part, frames, workers)[1])
        left = {i for i, _, _ in skipped}
        kept.append(part.subset([i for i in range(len(part)) if i not in left]) if left else part)
        names += [name for _, name, _ in skipped]
        for _, name, reason in skipped if ranks.first else []:
            print(f"{part.name}: {name} is left out: {reason}")
    return kept, names


def _clips(part, frames, how, progress, ranks):
    """Return what clips uint8 [B, T, H, W, 3] of a part are taken from (`store.clips_of`).

    The first process looks first: the others find the kept frames on disk.
    """
    if not ranks.first:
        ranks.wait()
    found = store.clips_of(part, frames, how, progress)
    found.heads = getattr(part, "heads", None)  # of data sets that ask several questions
    if ranks.first:
        ranks.wait()
    return found


def _optimiser(model, recipe):
    """Return the recipe's optimiser of all weights; InputError if there is none of its name."""
    decayed = [p for p in model.parameters() if p.ndim > 1]
    plain = [p for p in model.parameters() if p.ndim <= 1]  # biases and batch norm are not decayed
    groups = [{"params": decayed, "weight_decay": recipe.weight_decay}, {"params": plain, "weight_decay": 0.0}]
    if recipe.optimiser in ("adam", "adamw"):
        return {"adam": torch.optim.Adam, "adamw": torch.optim.AdamW}[recipe.optimiser](groups, lr=recipe.lr)
    if recipe.optimiser != "sgd":
        raise InputError(f"optimiser {recipe.optimiser!r} of {recipe.name} should be sgd, adam or adamw")
    return torch.optim.SGD(groups, lr=recipe.lr, momentum=recipe.momentum, nesterov=True)


def _keep(state_file, recipe, model, optimiser, history):
    """Write the state from which `_resume` goes on after as many epochs as `history` has rows."""
    with paths.atomic(state_file) as temporary:
        torch.save(
            {
                "recipe": json.dumps(asdict(recipe)),
                "epoch": len(history),
                "model": model.state_dict(),
                "optimiser": optimiser.state_dict(),
                "history": json.dumps(history),
            },
            temporary,
        )


def _resume(state_file, recipe, model, optimiser, device):
    """Return (next epoch, history) of an interrupted run with the same recipe, its weights loaded; else (0, [])."""
    if not state_file.is_file():
        return 0, []
    try:
        with zipfile.ZipFile(state_file) as archive:  # torch.load does not look at the checksums
            damaged = archive.testzip()
        if damaged:
            raise ValueError(f"{damaged} in it has a wrong checksum")
        state = torch.load(state_file, map_location=device, weights_only=True)
        same = {**asdict(Recipe("", "")), **json.loads(state["recipe"])} == asdict(recipe)
    except Exception as error:  # zip, pickle and system errors, each of its own type
        print(f"{state_file} cannot be read ({error}); training {recipe.name} starts over", flush=True)
        return 0, []
    if not same:
        return 0, []  # another recipe: its half-way state is of no use here
    model.load_state_dict(state["model"])
    optimiser.load_state_dict(state["optimiser"])
    return state["epoch"], json.loads(state["history"])


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
    total = ranks.total(float(total)) / ranks.count
    if not math.isfinite(total):
        raise InputError(
            f"training {recipe.name} on {recipe.dataset} diverged in epoch {epoch + 1}; lower lr ({recipe.lr})"
        )
    return total / steps


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
