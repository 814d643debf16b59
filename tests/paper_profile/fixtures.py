"""A data root in the official layouts and checkpoints in the published ones, both tiny and always the same."""

import colorsys
import csv
import itertools
import json

import torch

from paperlib import data, models
from paperlib.companion import stale
from paperlib.data import clips as clip_format
from paperlib.data.public import files
from paperlib.models import layouts, weights
from paperlib.papers import published
from paperlib.papers.analysis import indices
from paperlib.papers.settings import settings
from paperlib.storage import paths
from paperlib.training import adopted, checkpoints, recipes
from tests.data import videos
from tests.data.layouts import VP9

SIZE, FRAMES = 64, 26
MIT = ["clapping", "adult+female+singing", "baking", "diving", "erupting", "falling"]


def named(profile, dataset):
    """Return the classes of a data set that the profile's notebooks ask for by name."""
    found = []
    for name in stale.notebooks():
        own = settings(name, profile)
        classes = own.get("classes", [])
        if isinstance(classes, dict):
            found += classes.get(dataset, [])
        elif any(key.startswith(f"{dataset}/") for key in own.get("models", [])):
            found += [*classes, *([own["class"]] if "class" in own else [])]
    return list(dict.fromkeys(found))


def colour(k):
    """Return the k-th of many colours that are easy to tell apart."""
    return tuple(int(255 * c) for c in colorsys.hsv_to_rgb(k * 0.381966 % 1, 0.9, 0.35 + 0.2 * (k % 4)))


def kinetics(root, wanted):
    """All 400 classes in train.csv, videos of the wanted ones in val.csv."""
    names = weights.find("K400-r3d_18").class_names()
    small = [c for c in files.class_list("mini_kinetics400_classes") if c in names]
    shown = list(dict.fromkeys([*wanted, *small[:6]]))
    root.mkdir(parents=True)
    for split, labels in (("train", names), ("val", shown)):
        with open(root / f"{split}.csv", "w", newline="") as file:
            writer = csv.writer(file)
            writer.writerow(["label", "youtube_id", "time_start", "time_end", "split"])
            for k, label in enumerate(labels):
                writer.writerow([label, f"{split}{k:07d}", 3, 13, split])
    for k, label in enumerate(shown):
        videos.write(root / "val" / label / f"val{k:07d}_000003_000013.mp4", n=FRAMES, colour=colour(k), first=k)


def something(root, wanted):
    """174 classes, among them the mini data set's and the ACCV paper's eleven; webm videos of some."""
    eleven = list(dict.fromkeys(published.table("video_features_table02").row))
    small = files.class_list("mini_ssv2_classes")
    names = sorted({*wanted, *eleven, *small})
    names = sorted([*names, *(f"Filling something number {k}" for k in range(174 - len(names)))])
    folder = root / "20bn-something-something-v2"
    root.mkdir(parents=True)
    (root / "something-something-v2-labels.json").write_text(json.dumps({c: str(k) for k, c in enumerate(names)}))
    shown = list(dict.fromkeys([*wanted, *eleven, *small[:6]]))
    shown += shown[:5]  # some classes have two videos, of nearly the same looks
    for split, part in (("train", shown[:2]), ("validation", shown)):
        listed = [{"id": f"{k + 1}", "label": c, "template": c, "placeholders": []} for k, c in enumerate(part)]
        (root / f"something-something-v2-{split}.json").write_text(json.dumps(listed))
    for k, c in enumerate(shown):
        videos.write(
            folder / f"{k + 1}.webm", n=FRAMES, colour=colour(shown.index(c)), first=shown.index(c) + k // 20, **VP9
        )


def moments(root):
    """Six classes, mp4 in class folders."""
    root.mkdir(parents=True)
    (root / "moments_categories.txt").write_text("".join(f"{c},{k}\n" for k, c in enumerate(MIT)))
    (root / "trainingSet.csv").write_text(f"{MIT[0]}/a.mp4,{MIT[0]},3,0\n")
    (root / "validationSet.csv").write_text("".join(f"{c}/v{k}.mp4,{c},3,0\n" for k, c in enumerate(MIT)))
    for k, c in enumerate(MIT):
        videos.write(root / "validation" / c / f"v{k}.mp4", n=FRAMES, colour=colour(k), first=k)


def kth(root):
    """The six actions by two of the test's subjects."""
    root.mkdir(parents=True)
    actions = ("boxing", "handclapping", "handwaving", "jogging", "running", "walking")
    names = [f"person{subject}_{action}_d1" for action in actions for subject in (1, 17, 18)]
    names = [name.replace("person1_", "person01_") for name in names]
    (root / "00sequences.txt").write_text("".join(f"{name}\t\tframes\t1-18, 19-36\n" for name in names))
    for k, name in enumerate(names):
        if "person01" not in name:
            videos.write(
                root / name.split("_")[1] / f"{name}_uncomp.avi",
                n=36,
                width=160,
                height=120,
                codec="mpeg4",
                bframes=0,
                options={"b": "2M"},
                colour=colour(k),
                first=k,
            )


def data_root(root, profile):
    """Write all data sets of the profile."""
    kinetics(root / "kinetics400", named(profile, "kinetics400"))
    something(root / "ssv2", named(profile, "ssv2"))
    moments(root / "mini_mit")
    kth(root / "kth")


def keys(profile):
    """Return the checkpoints on public data that the profile's notebooks list, few of the deep analysis's 288."""
    found = {}
    for name in stale.notebooks():
        own = settings(name, profile)
        listed = [*own.get("models", []), *own.get("public", [])]
        if name.startswith("deep_analysis") or name == "beyond/relevance_vs_contribution":
            listed = [
                key
                for key in listed
                if "-f8" in key
                and ("mini_ssv2" in key and "R18" in key or key.startswith("kinetics400"))
                or "SlowFast" in key
            ]
        found.update(dict.fromkeys(key for key in listed if key.partition("/")[0] in OWN))
    return list(found)


OWN = ("kinetics400", "mini_kinetics", "ssv2", "mini_ssv2", "mini_mit", "kth")


def published_state(key):
    """Return a published-layout state dict of a narrow network that gets the validation videos right."""
    recipe = recipes.recipe(key, size=SIZE)
    videos_ = data.load(recipe.dataset, "val", size=SIZE)
    torch.manual_seed(sum(map(ord, recipe.name)))
    options = {**(recipe.options or {}), **({"kernel_size": recipe.kernel_size} if recipe.kernel_size != 3 else {})}
    model = models.create(recipe.name, num_classes=len(videos_.classes), width=8 if "SlowFast" in key else 4, **options)
    header = {"recipe": {"sampling": recipe.sampling, "stride": recipe.stride}, "num_frames": model.num_frames}
    chosen = range(min(len(videos_), 40))
    batch = torch.stack(
        [clip_format.to_clip(videos_.frames(i, indices(videos_.num_frames(i), header))) for i in chosen]
    )
    entry = weights.for_key(key)
    if entry and "SlowFast" in key:
        batch = entry.normalise(batch)
    fit(model, batch, torch.as_tensor(videos_.labels[list(chosen)]))
    return stored(model)


def fit(model, batch, labels, score=8.0):
    """Set batch norms to the batch's statistics and the classifier to the least-squares one for the labels."""
    for layer in model.modules():
        if isinstance(layer, torch.nn.modules.batchnorm._BatchNorm):
            layer.momentum = 1.0
    with torch.no_grad():
        model(batch)
        model.eval().requires_grad_(False)
        model.fc.bias.zero_()
    model.fc.weight.requires_grad_(True)
    rows = []
    for clip in batch:  # the logits are linear in the classifier: its gradient is what it sees
        rows.append(torch.autograd.grad(model(clip[None])[0, 0], model.fc.weight)[0][0])
    seen = torch.stack(rows).double()
    wanted = torch.nn.functional.one_hot(labels, model.fc.out_features).double() * score
    kernel = seen @ seen.T
    kernel += 1e-4 * kernel.diagonal().mean() * torch.eye(len(seen))
    with torch.no_grad():
        model.fc.weight.copy_((seen.T @ torch.linalg.solve(kernel, wanted)).T)


def stored(model):
    """Return the model's weights under the names of the public checkpoints, wrapped as those are."""
    name = model.config["name"]
    layout = (
        layouts.ACCV_CLSTM
        if name.startswith("C-LSTM")
        else layouts.ORIGINAL_I3D
        if "original" in name
        else layouts.PYTORCHVIDEO
        if name.startswith("SlowFast")
        else layouts.RELEASED
    )
    state = {}
    for key, value in model.state_dict().items():
        there = layouts.names(key, value, layout)
        parts = (
            value.chunk(4, 0)
            if len(there) == 4 and layouts.is_gate(there)
            else value.split(1, 2)
            if len(there) > 1
            else [value]
        )
        for other, part in zip(there, parts, strict=True):
            flat = part.dim() == 5 and part.shape[2] == 1 and layout is layouts.RELEASED and not name.startswith("I3D")
            state["module." + other] = (part.squeeze(2) if flat else part).clone()
    return {"state_dict": state, "epoch": 45}


def write_checkpoints(profile, folder):
    """Write every checkpoint of the profile as published and take it in; returns {key: published file}."""
    found = {}
    for key in keys(profile):
        entry = weights.for_key(key)
        if checkpoints.path(key).is_file() or adopted.converted(key).is_file():
            continue
        file = weights.FOLDER / entry.file if entry else folder / key.replace("/", "_").replace(".", "_")
        file = file if entry else file.with_name(file.name + ".pth.tar")
        file.parent.mkdir(parents=True, exist_ok=True)
        torch.save(published_state(key), file)
        extra = {"mean": list(entry.mean), "std": list(entry.std)} if entry and "SlowFast" in key else {}
        out = adopted.converted(key) if entry else checkpoints.path(key)
        adopted.adopt(file, key, out, size=SIZE, about={"accuracy": 1.0}, **extra)
        found[key] = file
    return found


def project(root, profile, repository):
    """Make a project folder: links to the notebooks and the procedural data sets' checkpoints, a data root, models."""
    if (root / "notebooks").exists():  # go on with what an interrupted process has made
        return write_checkpoints(profile, root / "published")
    (root / "notebooks").symlink_to(repository / "notebooks")
    for folder in sorted((repository / "data" / "checkpoints").glob("synth_*")):
        (root / "data" / "checkpoints").mkdir(parents=True, exist_ok=True)
        (root / "data" / "checkpoints" / folder.name).symlink_to(folder)
    for file in ("zoo.yaml", "zoo_people.yaml"):
        (root / "data" / file).symlink_to(repository / "data" / file)
    assert paths.ROOT == root
    data_root(root / "root", profile)
    return write_checkpoints(profile, root / "published")


def shards(names, count):
    """Deal out notebooks to so many processes."""
    return [list(itertools.islice(names, k, None, count)) for k in range(count)]
