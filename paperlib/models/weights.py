"""Registry of public checkpoints: what there is, where it is published, and fetching it once."""

import hashlib
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import torch
import yaml

from ..data.clips import MEAN, STD
from ..errors import InputError, needs
from ..storage.paths import CACHE, atomic, check_writable
from .factory import create
from .published_weights import load_published

FOLDER = CACHE / "weights"


@dataclass(frozen=True)
class Checkpoint:
    """One public checkpoint; the fields are explained in weights.yaml."""

    name: str
    model: str
    dataset: str
    classes: int
    frames: str
    mean: tuple
    std: tuple
    top1: float
    file: str
    url: str
    sha256: str
    citation: str
    licence: str
    key: str = ""

    def class_names(self):
        """Return the class of every logit: Kinetics-400 in alphabetical order, as all publishers have it.

        Raises InputError for Something-Something, whose names come with the dataset (labels.json).
        """
        if self.dataset == "Kinetics-400":
            from torchvision.models.video import R3D_18_Weights

            return list(R3D_18_Weights.KINETICS400_V1.meta["categories"])
        raise InputError(
            f"the class names of {self.name} come with {self.dataset}: its labels.json maps "
            f"each of the {self.classes} names to its logit"
        )

    def normalise(self, clip):
        """Turn an ImageNet-normalised clip [..., 3, T, H, W] into one with this checkpoint's mean and std."""
        mean, std, own_mean, own_std = (
            torch.tensor(v, dtype=clip.dtype, device=clip.device).view(3, 1, 1, 1)
            for v in (MEAN, STD, self.mean, self.std)
        )
        return (clip * std + mean - own_mean) / own_std


@cache
def registry():
    """Return {name: Checkpoint} of all known public checkpoints; read once, since some ask by key a thousand times."""
    text = Path(__file__).with_name("weights.yaml").read_text(encoding="utf-8")
    entries = yaml.safe_load(text)["checkpoints"]
    return {name: Checkpoint(name=name, **entry) for name, entry in entries.items()}


def for_key(key):
    """Return the public checkpoint that the notebooks' settings call `<dataset>/<name>`, or None."""
    return next((entry for entry in registry().values() if entry.key and entry.key == key), None)


def find(name):
    """Return the checkpoint called `name` (whatever its case)."""
    known = {key.lower(): entry for key, entry in registry().items()}
    if name.lower() not in known:
        raise InputError(f"'{name}' is not a known public checkpoint; known are {', '.join(registry())}")
    return known[name.lower()]


def get(name, folder=None, progress=True):
    """Return the file of a public checkpoint, downloaded into `folder` on first use and verified.

    A file that is already there is used without a network; a download takes its place only once it is whole
    and verified. Raises InputError if the download fails, saying which file to put where, and if the file does
    not have the published checksum.
    """
    entry = find(name)
    path = Path(folder or FOLDER) / entry.file
    if path.is_file():
        _verify(entry, path, path, "delete the file and get it again")
        return path
    check_writable(path)
    with needs("pooch", to="download a public checkpoint"):
        import pooch
    elsewhere = f"fetch {entry.url} elsewhere and put it at {path}"
    with atomic(path) as temporary:
        try:
            pooch.HTTPDownloader(progressbar=progress, timeout=30)(entry.url, str(temporary), None)
        except Exception as error:  # requests, urllib3 and system errors alike mean: no file
            reason = type(error).__name__
            raise InputError(f"{entry.name} could not be downloaded ({reason}); {elsewhere}") from error
        _verify(entry, temporary, f"what {entry.url} sent", f"it was not kept: try again, or {elsewhere}")
    return path


def _verify(entry, path, what, advice):
    """Raise InputError if a file does not have the published checksum."""
    with open(path, "rb") as opened:
        digest = hashlib.file_digest(opened, "sha256").hexdigest()
    if not digest.startswith(entry.sha256):
        raise InputError(f"{what} has sha256 {digest}, but {entry.name} is published with {entry.sha256}...; {advice}")


def load(name, folder=None):
    """Return (network with the public checkpoint's weights in evaluation mode, its Checkpoint)."""
    entry = find(name)
    model = create(entry.model, num_classes=entry.classes)
    return load_published(model, get(name, folder)).eval(), entry
