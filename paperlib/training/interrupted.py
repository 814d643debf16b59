"""The half-way state of a training: written after each epoch, gone on from by the same recipe on the same videos."""

import json
import zipfile
from dataclasses import asdict

import torch

from ..storage import paths
from .recipes import Recipe


def keep(file, recipe, videos, model, optimiser, history):
    """Write the state from which `resumed` goes on after as many epochs as `history` has rows.

    videos: fingerprints of those that train and those that validate.
    """
    with paths.atomic(file) as temporary:
        torch.save(
            {
                "recipe": json.dumps(asdict(recipe)),
                "videos": list(videos),
                "epoch": len(history),
                "model": model.state_dict(),
                "optimiser": optimiser.state_dict(),
                "history": json.dumps(history),
            },
            temporary,
        )


def resumed(file, recipe, videos, model, optimiser, ranks):
    """Return (next epoch, history) of an interrupted training, its weights loaded; (0, []) where there is none.

    A state of another recipe or of other videos is of no use, nor is one that cannot be read; then the first process
    says so, and model and optimiser are as they were. States from before fingerprints hold none and are used.
    """
    if not file.is_file():
        return 0, []
    try:
        state = _read(file, ranks.device)
        before = {**asdict(Recipe("", "")), **json.loads(state["recipe"])}
        now = json.loads(json.dumps(asdict(recipe)))
        why = ""
        if other := [field for field in now if before.get(field) != now[field]]:
            why = f"is of a recipe with another {', '.join(other)}"
        elif list(state.get("videos", videos)) != list(videos):
            why = f"is of other videos than {recipe.dataset} holds now"
        else:
            epoch, history = state["epoch"], json.loads(state["history"])
            _check_fit(state["model"], model)
            optimiser.load_state_dict(state["optimiser"])
            model.load_state_dict(state["model"])
    except Exception as error:  # zip, pickle and system errors, each of its own type
        why = f"cannot be read ({error})"
    if not why:
        return epoch, history
    if ranks.first:
        print(f"{file} {why}; training {recipe.name} starts over", flush=True)
    return 0, []


def _read(file, device):
    """Return what a state file holds; ValueError where it is damaged: torch.load does not look at the checksums."""
    with zipfile.ZipFile(file) as archive:
        damaged = archive.testzip()
    if damaged:
        raise ValueError(f"{damaged} in it has a wrong checksum")
    return torch.load(file, map_location=device, weights_only=True)


def _check_fit(weights, model):
    """Raise ValueError unless the weights are the model's: loading others would change some before it fails."""
    ours = model.state_dict()
    if weights.keys() != ours.keys() or any(weights[key].shape != ours[key].shape for key in ours):
        raise ValueError("its weights are those of another network")
