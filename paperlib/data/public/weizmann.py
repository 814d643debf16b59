"""Weizmann actions: 93 silhouette sequences, nine people, ten actions, from the authors' MATLAB file.

"Actions as Space-Time Shapes" (Blank, Gorelick, Shechtman, Irani, Basri; ICCV 2005): struct `original_masks`
with one field `<person>_<action>[1|2]` per sequence, 144 x 180 pixels of 0 and 1, 25 frames a second.
"""

import numpy as np
import scipy.io

from ...errors import InputError
from . import files
from .people import PeopleDataset

WHERE = (
    "get classification_masks.mat from https://www.wisdom.weizmann.ac.il/~vision/SpaceTimeActions.html "
    "and put it under weizmann/"
)
FOLDERS = ("weizmann", "real")
FILES = ("classification_masks.mat", "original_masks.mat", "weizmann_original_masks.mat")
CLASSES = ("bend", "jack", "jump", "pjump", "run", "side", "skip", "walk", "wave1", "wave2")
VALIDATION = ("lyova", "moshe", "shahar")  # a third of the nine people


def recognise(folder, name):
    return files.first_file(folder, FILES) is not None


def load(name, folder, split, size):
    """Split by person: lyova, moshe and shahar validate. See `everything` for other splits."""
    training, validation = everything(folder, size).without(*VALIDATION)
    return training if split == "train" else validation


def everything(folder, size=64):
    """Return all sequences as a PeopleDataset, for leave-one-person-out: `.without("daria")`."""
    path = files.first_file(folder, FILES)
    try:
        masks = scipy.io.loadmat(path, variable_names=["original_masks"])["original_masks"][0, 0]
        fields = masks.dtype.names
    except KeyError:
        raise InputError(f"{path} does not hold the struct original_masks; {WHERE}.") from None
    except Exception as error:  # the MATLAB reader raises whatever a damaged file leads it to
        reason = (str(error).splitlines() or [type(error).__name__])[0][:100]
        raise InputError(f"{path} is damaged or not a MATLAB file ({reason}).") from None
    sequences, labels, people = [], [], []
    for field in fields or ():
        person, _, action = field.partition("_")
        action = action if action in CLASSES else action.rstrip("12")  # lena ran twice: lena_run1, lena_run2
        mask = masks[field]
        if action not in CLASSES or mask.ndim != 3 or not mask.size:
            raise InputError(f"{path}: {field!r} is not a sequence <person>_<action> of silhouettes.")
        sequences.append(np.ascontiguousarray(np.moveaxis(mask > 0, 2, 0)).astype(np.uint8) * 255)
        labels.append(CLASSES.index(action))
        people.append(person)
    boundaries = [(0, len(s)) for s in sequences]
    return PeopleDataset("weizmann", path.parent, CLASSES, sequences, labels, fields, people, boundaries, size)
