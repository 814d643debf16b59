"""The notebooks on real people: models trained person-wise, asked about people they have never seen."""

from dataclasses import dataclass

import numpy as np
import pandas as pd
import torch

from ....data import fingerprint, public
from ....errors import InputError
from ....explanation.plotting import BLUE, GREEN, ORANGE, PURPLE, SKY
from ....storage import cache
from ....training import checkpoints, evaluation, folds
from ...statistics import bootstrap_interval
from ...temporal_relevance import trained

COLOURS = {"I3D": ORANGE, "S3D": PURPLE, "TAM2D": GREEN, "TSN": SKY, "C-LSTM": BLUE}


@dataclass
class Fold:
    """One checkpoint and the videos of the people it was not trained on."""

    checkpoint: str
    model: str  # short name: I3D, TAM2D, TSN, S3D, C-LSTM
    name: str  # of the fold
    network: torch.nn.Module
    videos: object  # PeopleDataset of the held-out people

    def clips(self, indices):
        """Return clips float32 [n, 3, T, H, W] of these videos on the model's device."""
        device = next(self.network.parameters()).device
        return evaluation.load_clips(self.videos, indices, self.network.num_frames).to(device)

    def key(self, *code, **about):
        """Return what results on these videos are cached by; code: modules that decide them, besides model and data."""
        return {
            "checkpoint": checkpoints.digest(self.checkpoint),
            "videos": [self.videos.name, *self.videos.ids],
            "size": self.videos.size,
            "torch": torch.__version__,
            **about,
            "code": cache.code("models", "tracing", "data", *code),
            **fingerprint.entry(self.videos),
        }


def opened(run, dataset=None):
    """Return the `Fold`s of the notebook's `models`; it is skipped where the data or a checkpoint are missing.

    dataset: ask about this data set of the same people instead of the one that the models were trained on.
    """
    wanted = run.settings["models"]
    try:
        for name in {checkpoint.partition("/")[0] for checkpoint in wanted}:
            public.locate(name, run.data_root or None)
    except InputError as error:
        run.skip(f"no data: {error}")
    found, everybody = [], {}
    for checkpoint in complete(trained(run, at_least=1), wanted):
        network, header = checkpoints.load(checkpoint, run.device)
        recipe = header["recipe"]
        about = dataset or recipe["dataset"], recipe["size"]
        if about not in everybody:
            everybody[about] = folds.everybody(*about, run.data_root or None)
        held_out = [person.strip() for person in recipe["held_out"].split(",")]
        name = checkpoint.partition(recipe["name"] + "-")[2]
        found.append(Fold(checkpoint, short(recipe["name"]), name, network, everybody[about].without(*held_out)[1]))
    if not found:
        run.skip("no model is trained in all folds; paperlib zoo train --missing trains them")
    return found


def complete(there, wanted):
    """Return those checkpoints, `<dataset>/<model>-<fold>`, of whose model every wanted fold is there."""
    lacking = {checkpoint.rpartition("-")[0] for checkpoint in set(wanted) - set(there)}
    return [checkpoint for checkpoint in there if checkpoint.rpartition("-")[0] not in lacking]


def short(name):
    """Return the module of a model's name: I3D-R18-f16 -> I3D, C-LSTM-f16 -> C-LSTM."""
    return name.rpartition("-f")[0].removesuffix("-R18")


def asked(videos, each):
    """Return `each` videos of every person and class, evenly spread, int [n]: what the slower instruments are asked."""
    groups = pd.Series(range(len(videos))).groupby([videos.people, videos.labels])
    spread = [own.to_numpy()[np.unique((2 * np.arange(each) + 1) * len(own) // (2 * each))] for _, own in groups]
    return np.sort(np.concatenate(spread))


def rows(fold, indices):
    """Return the first columns of every table, one row per video: model, fold, person, id, label, class."""
    videos = fold.videos
    labels = videos.labels[indices]
    return pd.DataFrame(
        {
            "model": fold.model,
            "fold": fold.name,
            "person": videos.people[indices],
            "id": [videos.ids[i] for i in indices],
            "label": labels,
            "class": [videos.classes[k] for k in labels],
            "motion": True if videos.temporal is None else videos.temporal[labels],
        }
    )


def over_people(values, people, seed=0):
    """Return the mean of the people's means with its 95 % bootstrap interval over people.

    People are what varies: videos of one person are not independent. NaN are left out first.
    """
    means = pd.Series(np.asarray(values, float)).groupby(np.asarray(people)).mean().dropna()
    if not len(means):
        raise InputError("there is no value for any person")
    return bootstrap_interval(means.to_numpy(), seed=seed)


def by_person(table, column):
    """Return a table's column as a Series indexed by person."""
    return table.set_index("person")[column].astype(float)
