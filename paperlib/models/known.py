"""What a network's configuration, or the processor that prepares its clips, says about the clips that it takes."""

import dataclasses
import json
import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from numbers import Integral, Real
from pathlib import Path

import torch

from ..data.clips import MEAN, STD
from ..errors import InputError, whole

FRAMES = ("num_frames", "frames_per_clip")  # names of the number of frames in configurations
SIZES = ("image_size", "crop_size", "img_size", "input_size")
MADE_BY = ("preprocessor_config.json", "video_preprocessor_config.json")  # beside transformers' weights on a disk


@dataclass
class Known:
    """What is known of a network's clips, None where nothing is; `by` says what each is known from."""

    frames: int | None = None
    size: int | tuple | None = None
    mean: tuple | None = None
    std: tuple | None = None
    classes: list | None = None
    layout: str | None = None  # what its kind usually takes, where more than one runs
    by: dict = field(default_factory=dict)

    def learn(self, source, **facts):
        """Add what is not known yet."""
        for key, value in facts.items():
            if value is not None and getattr(self, key) is None:
                setattr(self, key, value)
                self.by[key] = source
        return self

    def given(self, frames, size, mean, std, classes):
        """Return what is known with the arguments of `adapt` in front of it, or raise InputError for one of no use."""
        frames = None if frames is None else whole("frames", frames)
        mean, std = statistics(mean, std)
        told = Known().learn("told", frames=frames, size=told_size(size), classes=class_names(classes))
        told.learn("told", mean=mean, std=std)
        return told.learn_from(self)

    def learn_from(self, other):
        """Add what another one knows and this does not."""
        for key in ("frames", "size", "mean", "std", "classes", "layout"):
            self.learn(other.by.get(key), **{key: getattr(other, key)})
        return self

    def source(self, key):
        """Say where a fact stands."""
        words = {"told": "told", "clip": "the clip has them", None: "assumed"}
        return words.get(self.by.get(key), f"from {self.by.get(key)}")

    def normalised(self, clip):
        """Return a clip normalised by ImageNet's statistics as one normalised by these."""
        if self.mean is None:
            return clip
        ours, spread, theirs, other = (
            torch.tensor(v).to(clip).view(3, 1, 1, 1) for v in (MEAN, STD, self.mean, self.std)
        )
        return (clip * spread + ours - theirs) / other

    def seen(self, clip, source):
        """Return the facts with frames and size of a clip [B, 3, N, H, W], known from `source` where they differ."""
        has = {"frames": clip.shape[2], "size": _size(clip.shape[3:])}
        by = {key: source for key, value in has.items() if getattr(self, key) != value}
        return dataclasses.replace(self, **has, by=self.by | by)

    def said(self):
        """Return sentences about frames, size, normalisation and classes."""
        high, wide = self.size if isinstance(self.size, tuple) else (self.size, self.size)
        sources = self.source("frames"), self.source("size")
        frames = "1 frame" if self.frames == 1 else f"{self.frames} frames"
        said = [f"clips have {frames} ({sources[0]}) of {high} x {wide} pixels ({sources[1]})"]
        if self.mean is None:
            said.append("pixels are normalised by ImageNet's mean and std (assumed; mean= and std= say others)")
        else:
            said.append(f"pixels are normalised by mean {self.mean} and std {self.std} ({self.source('mean')})")
        if self.classes:
            said.append(f"{len(self.classes)} classes have names ({self.source('classes')})")
        return said


def known(net, processor=None):
    """Return the Known of a network and of the processor that prepares its clips elsewhere."""
    facts = Known()
    if processor is not None:
        _of_processor(facts, processor)
    config = getattr(net, "config", None)
    if config is not None and not isinstance(config, Mapping) and hasattr(config, "to_dict"):
        _of_transformers(facts, net, config)
    timm = getattr(net, "pretrained_cfg", None) or getattr(net, "default_cfg", None)
    if isinstance(timm, Mapping):
        size = timm.get("input_size")
        facts.learn("timm's configuration", mean=_three("mean", timm.get("mean")), std=_three("std", timm.get("std")))
        facts.learn("timm's configuration", size=_size(tuple(size[1:])) if size else None)
    frames = getattr(net, "num_frames", None)
    if isinstance(frames, Integral):
        facts.learn("its num_frames", frames=int(frames))
    return facts


def class_names(classes):
    """Return names of classes as a list of str in the network's order, from a list, an array, a tensor or a mapping.

    A mapping counts from 0, {index: name} as id2label or {name: index} as class_to_idx, and may be in any order.
    Raises InputError for one that does not, and for what has no order or is a single name.
    """
    if classes is None:
        return None
    if isinstance(classes, Mapping):
        pairs = list(classes.items())
        if not all(isinstance(index, Integral) for index, _ in pairs):
            if all(isinstance(index, Integral) for _, index in pairs):
                pairs = [(index, name) for name, index in pairs]
            else:
                pairs = [(int(index) if str(index).isdecimal() else -1, name) for index, name in pairs]  # JSON's keys
        if sorted(index for index, _ in pairs) != list(range(len(pairs))):
            raise InputError(
                "classes that are a mapping must be {index: name} or {name: index} with the indices 0 to "
                f"{len(pairs) - 1}, once each"
            )
        classes = [name for _, name in sorted(pairs)]
    classes = classes.tolist() if hasattr(classes, "tolist") else classes
    if isinstance(classes, str | bytes | set | frozenset) or not isinstance(classes, Iterable):
        raise InputError(f"classes must be a list of names in the network's order, not {type(classes).__name__}")
    return [str(name) for name in classes]


def _of_transformers(facts, net, config):
    """Learn from a configuration of transformers, and from the processor's file beside its weights on a disk."""
    frames = next((getattr(config, key) for key in FRAMES if getattr(config, key, None)), None)
    size = next((getattr(config, key) for key in SIZES if getattr(config, key, None)), None)
    labels = getattr(config, "id2label", None) or {}
    names = [str(labels[key]) for key in sorted(labels)]
    made_up = names == [f"LABEL_{k}" for k in range(len(names))]
    facts.learn("transformers", layout="B T C H W")
    facts.learn("its configuration", frames=frames, size=_size(size), classes=None if made_up or not names else names)
    for file in (Path(str(getattr(config, "_name_or_path", "") or "")) / name for name in MADE_BY):
        if file.is_file():
            _of_processor(facts, _content(file), file.name)


def _content(file):
    """Return the settings {name: value} in a processor's file; InputError where there are none."""
    try:
        found = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:  # ValueError: JSON's and Unicode's errors
        raise InputError(f"{file} is not readable JSON ({error}); fetch it again or take it away") from None
    if not isinstance(found, dict):
        raise InputError(f"{file} holds no settings of a processor, name by name; fetch it again or take it away")
    return found


def _of_processor(facts, processor, source=None):
    """Learn from a processor of transformers, its file's content, or weights or transforms of torchvision."""
    source = source or "the processor"
    if hasattr(processor, "transforms") and hasattr(processor, "meta"):  # torchvision's weights
        facts.learn("the weights", classes=list(processor.meta.get("categories") or []) or None)
        source, processor = "the weights", processor.transforms()
    take = processor.get if isinstance(processor, Mapping) else lambda key: getattr(processor, key, None)
    crop = None if take("do_center_crop") is False else take("crop_size")
    facts.learn(source, size=_size(crop or (None if take("do_resize") is False else take("size"))))
    kind = take("image_processor_type") or take("video_processor_type") or type(processor).__name__
    mean, std = _of_pixels(take, str(kind))
    facts.learn(source, mean=mean, std=std)


def _of_pixels(take, kind):
    """Return (mean, std) by which a processor normalises pixels in 0 to 1, (None, None) where it does not say.

    take(key): a setting of the processor, None where there is none; kind: its class. A processor multiplies pixels of 0
    to 255 by its factor, takes its offset off and only then normalises, each of which may be switched off.
    """
    mean, std = (
        _three(key, take(key) if take(f"image_{key}") is None else take(f"image_{key}")) for key in ("mean", "std")
    )
    if take("do_normalize") is False:
        mean, std = (0.0,) * 3, (1.0,) * 3
    if mean is None or std is None:
        return None, None
    if take("do_rescale") is False:  # pixels stay as they are given; in which units, the mean tells
        white, offset = 255.0 if max(mean) > 1 else 1.0, 0.0
    else:
        white, offset = 255 * float(take("rescale_factor") or 1 / 255), float(_offset(take, kind))
    return tuple((m + offset) / white for m in mean), tuple(s / white for s in std)


def _offset(take, kind):
    """Return what a processor subtracts before it normalises: ViViT's, for pixels from -1 to 1, one of 1 by default."""
    return kind.startswith("Vivit") if take("offset") is None else bool(take("offset"))


def told_size(size):
    """Return a size that a user gives, H or (H, W), as int; H alone where both are the same, None where none is given.

    Raises InputError for what is neither one nor two whole numbers of at least 1.
    """
    if size is None:
        return None
    sides = [whole("size", side) for side in (size if isinstance(size, list | tuple) else [size])]
    if len(sides) not in (1, 2):
        raise InputError(f"size must be the pixels of a square, or (height, width), not {size!r}")
    return _size(sides)


def _size(value):
    """Return a size in pixels, from whatever form configurations have it in: H, or (H, W) where they differ."""
    if isinstance(value, Mapping) or hasattr(value, "get"):
        value = [value.get("height") or value.get("shortest_edge"), value.get("width") or value.get("shortest_edge")]
    if isinstance(value, (list, tuple)):
        if not value or not all(isinstance(x, Integral) for x in value):
            return None
        value = (int(value[0]), int(value[-1]))
        return value[0] if value[0] == value[1] else value
    return int(value) if isinstance(value, Real) and value else None


def _three(name, values):
    """Return three numbers as a tuple; one stands for all."""
    if values is None:
        return None
    try:
        numbers = tuple(float(x) for x in ([values] * 3 if isinstance(values, Real) else values))
    except (TypeError, ValueError):
        numbers = ()
    if len(numbers) != 3 or not all(map(math.isfinite, numbers)) or (name == "std" and min(numbers) <= 0):
        above = " above 0" if name == "std" else ""
        raise InputError(f"{name} must be three numbers{above}, one for each colour, not {values!r}")
    return numbers


def statistics(mean, std):
    """Return (mean, std) of pixels as three numbers each, (None, None) where neither is given; InputError for one."""
    if (mean is None) != (std is None):
        raise InputError(f"give mean and std together, not {'mean' if std is None else 'std'} alone")
    return _three("mean", mean), _three("std", std)
