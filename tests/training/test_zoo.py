"""The zoo's list: read in training order, mistakes named, files compared with their recipes."""

from dataclasses import asdict, replace

import pytest
import torch
from safetensors.torch import save

from paperlib import cli, data, models
from paperlib.data.fingerprint import fingerprint
from paperlib.errors import InputError
from paperlib.papers import settings
from paperlib.storage import paths, zoo_lists
from paperlib.training import checkpoints, recipes, train, zoo, zoo_table

from .. import toy


def write(tmp_path, *entries, extra=""):
    file = tmp_path / "data" / "zoo.yaml"
    file.parent.mkdir(exist_ok=True)
    file.write_text(
        "defaults: {width: 4, size: 32, epochs: 1, batch: 16}\n"
        + extra
        + "models:\n"
        + "\n".join(f"  - {entry}" for entry in entries)
    )
    return file


@pytest.fixture(autouse=True)
def data_sets(monkeypatch):
    for name in ("a", "b", "d", "toy_bars"):
        monkeypatch.setitem(data.LOADERS, name, ("tests.toy", "load"))


@pytest.fixture
def folder(tmp_path, monkeypatch):
    toy.project(tmp_path, monkeypatch)
    return tmp_path


def test_what_a_model_starts_from_comes_first(tmp_path):
    file = write(
        tmp_path,
        "{model: TAM2D-R18-f16, dataset: toy_bars, init_from: toy_bars/TAM2D-R18-f8}",
        "{model: TAM2D-R18-f8, dataset: toy_bars, epochs: 3}",
        "{model: TAM2D-R18-f8, dataset: toy_bars, suffix: -k5, kernel_size: 5}",
    )
    listed = zoo.recipes(file)
    assert list(listed) == ["toy_bars/TAM2D-R18-f8", "toy_bars/TAM2D-R18-f16", "toy_bars/TAM2D-R18-f8-k5"]
    assert [r.epochs for r in listed.values()] == [3, 1, 1] and listed["toy_bars/TAM2D-R18-f8-k5"].kernel_size == 5


def test_a_stage_gives_all_its_models_one_recipe_on_each_of_their_data_sets(tmp_path):
    file = tmp_path / "zoo.yaml"
    file.write_text(
        "defaults: {width: 4, epochs: 9}\ndatasets: {b: {epochs: 8, size: 32}}\n"
        "stages: {scratch: {epochs: 3, lr: 0.5}, longer: {epochs: 1}}\nmodels:\n"
        "- {model: I3D-R18-f16, dataset: [a, b], stage: longer, init_from: I3D-R18-f8}\n"
        "- {model: I3D-R18-f8, dataset: [a, b], stage: scratch, seeds: 2}\n"
        "- {model: TSN-R18-f8, dataset: a, stage: scratch, lr: 0.1, init_from: b/I3D-R18-f8}\n"
    )
    listed = zoo.recipes(file)
    assert {key: (r.epochs, r.lr, r.width, r.size, r.init_from) for key, r in listed.items() if "s1" not in key} == {
        "a/I3D-R18-f16": (1, 0.1, 4, 64, "a/I3D-R18-f8"),
        "b/I3D-R18-f16": (1, 0.1, 4, 32, "b/I3D-R18-f8"),
        "a/I3D-R18-f8": (3, 0.5, 4, 64, ""),
        "b/I3D-R18-f8": (3, 0.5, 4, 32, ""),
        "a/TSN-R18-f8": (3, 0.1, 4, 64, "b/I3D-R18-f8"),
    }
    assert {"a/I3D-R18-f8-s1", "b/I3D-R18-f8-s1"} < listed.keys()


def test_seeds_have_names_that_sort_and_start_from_the_model_of_their_own_seed(tmp_path):
    listed = zoo.recipes(
        write(
            tmp_path,
            "{model: I3D-R18-f16, dataset: d, seeds: 3, init_from: d/I3D-R18-f8}",
            "{model: I3D-R18-f8, dataset: d, seeds: 2}",
            "{model: I3D-R18-f8, dataset: d, suffix: -dense, seeds: 2, folds: {a: one, b: two}}",
        )
    )
    starts = {key: recipe.init_from for key, recipe in listed.items()}
    assert starts["d/I3D-R18-f16-s1"] == "d/I3D-R18-f8-s1"
    assert starts["d/I3D-R18-f16"] == starts["d/I3D-R18-f16-s2"] == "d/I3D-R18-f8"  # there is no f8 of seed 2
    assert {key: recipe.seed for key, recipe in listed.items() if "f8" in key} == {
        "d/I3D-R18-f8": 0,
        "d/I3D-R18-f8-s1": 1,
        "d/I3D-R18-f8-dense-a": 0,
        "d/I3D-R18-f8-dense-a-s1": 1,
        "d/I3D-R18-f8-dense-b": 0,
        "d/I3D-R18-f8-dense-b-s1": 1,
    }
    plain, second = listed["d/I3D-R18-f16"], listed["d/I3D-R18-f16-s2"]
    assert replace(second, seed=0) == plain and second.seed == 2
    assert zoo_lists.without_seed("d/I3D-R18-f8-dense-s4") == ("d/I3D-R18-f8-dense", 4)
    assert zoo_lists.without_seed("d/SlowFast-R50-8x8") == ("d/SlowFast-R50-8x8", 0)
    chosen = settings.spelled_out("d/{I3D,S3D}-R18-f8-s{1..3}")
    assert chosen == [f"d/{name}-R18-f8-s{seed}" for name in ("I3D", "S3D") for seed in (1, 2, 3)]
    paper = recipes.recipe("ssv2/TAM2D-R50-f16-k5-s2")
    assert (paper.name, paper.seed, paper.init_from) == ("TAM2D-R50-f16", 2, "ssv2/TAM2D-R50-f8-k5-s2")


@pytest.mark.parametrize(
    "entries, message",
    [
        (["{model: A, dataset: d}", "{model: A, dataset: d}"], "d/A twice"),
        (["{model: A, dataset: d, init_from: d/B}"], "d/B, which is not listed"),
        (["{model: A, dataset: d, init_from: d/B}", "{model: B, dataset: d, init_from: d/A}"], "circle among d/A, d/B"),
        (["{model: A, dataset: d, stage: thrice}"], "zoo.yaml: A has stage 'thrice'; listed are none"),
        (["{model: A, dataset: d, epoch: 3}"], "unknown fields epoch"),
        (["{model: A, dataset: d, seeds: 0}"], "zoo.yaml: seeds of d/A is a number of runs from 1 to 10, not 0"),
        (["{model: A, dataset: d, seeds: [1, 2]}"], "from 1 to 10, not .1, 2."),
        (["{model: A, dataset: d, seeds: 2, seed: 1}"], "not a `seed` as well"),
        (["{model: A, dataset: nowhere}"], "zoo.yaml: nowhere/A: there is no such data set; known are .*synth_ssv2"),
        (["{model: A, dataset: d, epochs: 0}"], "zoo.yaml: d/A: epochs of A is 0; it should be a whole number from 1"),
        (["{model: A, dataset: d, lr: 1e-3}"], "zoo.yaml: d/A: lr of A is '1e-3'; .* and YAML takes 1e-3 for text"),
        (["{model: A, dataset: d, optimiser: no}"], "zoo.yaml: d/A: optimiser of A is False; it should be sgd, adam"),
        (["{model: A, dataset: d, name: B}"], "unknown fields name"),
        (["{model: A, dataset: d, 3: B}"], "unknown fields 3"),
        (["A"], "zoo.yaml: entry 1 of models is A; it should name a model and a dataset"),
        (["{model: A, dataset: d}", "{model: A}"], "zoo.yaml: entry 2 of models is .*; it should name a model"),
        (["{dataset: d}"], "entry 1 of models is"),
        (["{model: 18, dataset: d}"], "entry 1 of models is"),
        (["{model: A, dataset: []}"], "entry 1 of models is"),
        (["{model: A, dataset: [d, 3]}"], "entry 1 of models is"),
        (["{model: A, dataset: {d: 1}}"], "entry 1 of models is"),
        (["{model: A, dataset: d, stage: [b]}"], "has stage .'b'.; listed are none"),
        (["{model: A, dataset: d, init_from: 3}"], "zoo.yaml: d/A: init_from of A is 3; it should be text"),
        (["{model: A, dataset: d, suffix: 2}"], "zoo.yaml: suffix of A is 2; it should be text that begins with -"),
        (["{model: A, dataset: d, suffix: -2}"], "suffix of A is -2; .* in quotes where it would be a number"),
        (["{model: A, dataset: d, suffix: '2'}"], "suffix of A is '2'; it should be text that begins with -"),
        (["{model: A, dataset: d, suffix: null}"], "suffix of A is None"),
        (["{model: A, dataset: d, suffix: -a/b}"], "suffix of A is '-a/b'"),
        (
            ["{model: A, dataset: d, suffix: -s2}"],
            "zoo.yaml: d/A-s2 ends as seed 2 of d/A does; give it another suffix",
        ),
        (["{model: A, dataset: d, folds: {s2: bob}}"], "d/A-s2 ends as seed 2 of d/A does"),
        (["{model: A, dataset: d, folds: {1: bob}}"], "zoo.yaml: a fold of A is 1; it should be text"),
        (["{model: A, dataset: d, folds: [bob]}"], "zoo.yaml: folds of d/A is .'bob'.; it should be people, by names"),
        (["{model: A, dataset: d, folds: {a: 1}}"], "zoo.yaml: folds of d/A is"),
        (["{model: A, dataset: d, seeds: yes}"], "seeds of d/A is a number of runs from 1 to 10, not True"),
        (["{model: A, dataset: d, lr: 1, lr: 2}"], "zoo.yaml is not YAML: lr stands there twice .*line 3"),
        (["{model: A, dataset: d"], "zoo.yaml is not YAML: .*line 3"),
        (["{model: A, dataset: d}", "[b"], "zoo.yaml is not YAML"),
    ],
)
def test_mistakes_in_the_list_are_named(tmp_path, entries, message):
    with pytest.raises(InputError, match=message):
        zoo.recipes(write(tmp_path, *entries))


@pytest.mark.parametrize(
    "text, message",
    [
        ("models: {A: d}", "zoo.yaml: models is {'A': 'd'}; it should be a list of entries, each behind a -"),
        ("model: []", "zoo.yaml holds model; it should hold defaults, datasets, stages, models and nothing else"),
        ("- {model: A, dataset: d}", "zoo.yaml holds .*; it should hold defaults, datasets, stages, models"),
        ("nothing", "zoo.yaml holds 'nothing'; it should hold"),
        ("defaults: 3", "zoo.yaml: defaults is 3; it should be fields of recipes"),
        ("datasets: {d: 8}", "zoo.yaml: d of datasets is 8; it should be fields of recipes"),
        ("stages: [scratch]", "zoo.yaml: stages is .'scratch'.; it should be stages with fields of recipes"),
        ("models: []\nmodels: []", "zoo.yaml is not YAML: models stands there twice .*line 1"),
        ("models:\n- 2024-13-45", "zoo.yaml is not YAML: month"),
        (b"models: [\xff]", "zoo.yaml is not YAML"),
    ],
)
def test_what_is_no_list_is_named_and_so_is_the_list_of_people(tmp_path, text, message):
    (tmp_path / "data").mkdir()
    for name in ("zoo.yaml", zoo_lists.PEOPLE):
        (tmp_path / "data" / name).write_bytes(text if isinstance(text, bytes) else text.encode())
        with pytest.raises(InputError, match=message.replace("zoo.yaml", name)):
            zoo.recipes(tmp_path / "data" / "zoo.yaml")
        write(tmp_path, "{model: A, dataset: d}")


def test_what_fills_in_may_be_empty_and_name_what_all_entries_share(tmp_path):
    file = write(tmp_path, "{suffix: -own, stage: empty}", "{model: B}", extra="stages: {empty: }\ndatasets: {d: }\n")
    file.write_text(file.read_text().replace("defaults: {", "defaults: {model: A, dataset: d, "))
    assert list(zoo.recipes(file)) == ["d/A-own", "d/B"]
    file.write_text("models:\n")
    assert zoo.recipes(file) == {}


def test_the_projects_own_list_names_only_models_that_exist():
    for key, recipe in zoo.recipes().items():
        train.build(replace(recipe, init_from=""), 5)
        assert key.startswith(recipe.dataset + "/")


def test_every_committed_checkpoint_is_listed_and_was_trained_by_its_recipe():
    listed = zoo.recipes()
    files = {f"{f.parent.name}/{f.stem}" for f in paths.CHECKPOINTS.glob("*/*.safetensors")}
    assert files <= listed.keys()
    assert [key for key in files if zoo.state(key, listed[key]) != "trained"] == []


def test_the_readme_of_the_data_shows_what_is_trained():
    written = zoo.location().with_name("README.md").read_text(encoding="utf-8")
    assert zoo_table.markdown(zoo_table.status()) in written, "run: paperlib zoo status --readme"


def test_training_what_is_missing_then_nothing(folder):
    file = write(
        folder,
        "{model: TAM2D-R18-f8, dataset: toy_bars}",
        "{model: TSN-R18-f8, dataset: toy_bars}",
        "{model: TSN-R18-f16, dataset: toy_bars, init_from: toy_bars/TSN-R18-f8}",
    )
    ((key, recipe),) = zoo.select(["TAM*"], missing=True, file=file).items()
    assert key == "toy_bars/TAM2D-R18-f8"
    assert zoo.train_one(key, recipe, "cpu", progress_bar=False)
    videos = {split: fingerprint(data.load("toy_bars", split, size=32)) for split in ("train", "val")}
    assert zoo.header(key)["fingerprints"] == videos
    before = checkpoints.path(key).stat().st_mtime_ns
    assert not zoo.train_one(key, recipe, "cpu", missing=True, progress_bar=False)
    assert checkpoints.path(key).stat().st_mtime_ns == before
    assert zoo_table.status(file).state.tolist() == ["trained", "missing", "missing"]
    untrained = ["toy_bars/TSN-R18-f8", "toy_bars/TSN-R18-f16"]
    assert list(zoo.select(missing=True, file=file)) == untrained
    assert list(zoo.select(["*f16"], file=file)) == untrained  # with what it starts from
    assert list(zoo.matching(["*f16"], file)) == untrained[1:]
    with pytest.raises(InputError, match="'I3D"):
        zoo.select(["I3D*"], file=file)


def test_an_existing_checkpoint_is_replaced_only_by_a_better_one(folder, monkeypatch):
    file = write(folder, "{model: TAM2D-R18-f8, dataset: toy_bars}")
    ((key, recipe),) = zoo.recipes(file).items()
    model = models.create("TAM2D-R18-f8", num_classes=2, width=4)

    def trained(accuracy, **more):
        def run(recipe, device, progress, out, held):
            meta = {"accuracy": accuracy, "recipe": asdict(recipe), **more}
            checkpoints.save(out, model, meta)
            return meta

        monkeypatch.setattr(zoo, "run", run)
        zoo.train_one(key, recipe)
        return zoo.header(key)["accuracy"]

    assert [trained(a) for a in (0.7, 0.6, 0.8)] == [0.7, 0.7, 0.8]
    videos = {split: fingerprint(data.load("toy_bars", split, 32)) for split in ("train", "val")}
    assert trained(0.7, classes=["left", "right"], fingerprints=videos) == 0.8  # the one before says nothing of videos
    checkpoints.save(checkpoints.path(key), model, header(recipe, 0.8, [1]) | {"fingerprints": videos})
    assert trained(0.6, classes=["left", "right"], fingerprints=videos) == 0.8
    assert trained(0.6, classes=["left", "right"], fingerprints={**videos, "val": "others"}) == 0.6
    checkpoints.save(checkpoints.path(key), model, header(recipe, 0.8, [1]))
    assert trained(0.5, classes=["left", "up"]) == 0.5  # answers to other questions
    assert trained(0.8) == 0.8
    checkpoints.save(checkpoints.path(key), model, {"recipe": asdict(recipe)})
    assert trained(0.5) == 0.5  # how good the one before was is not known
    assert trained(0.8) == 0.8
    assert [f.name for f in (folder / "checkpoints" / "toy_bars").iterdir()] == ["TAM2D-R18-f8.safetensors"]
    assert not list((folder / "data" / "runs").rglob("*.safetensors"))

    def full(source, target):
        raise OSError(28, "No space left on device", target)

    monkeypatch.setattr(zoo.shutil, "copyfile", full)
    with pytest.raises(InputError, match="cannot be copied to .*No space left on device") as said:
        trained(0.9)
    (kept,) = (folder / "data" / "runs").rglob("*.safetensors")
    assert f"lies in {kept}, but" in str(said.value) and checkpoints.meta(kept)["accuracy"] == 0.9
    assert zoo.header(key)["accuracy"] == 0.8
    (folder / "elsewhere").touch()
    monkeypatch.setattr(paths, "CHECKPOINTS", folder / "elsewhere")
    monkeypatch.setattr(zoo, "run", lambda *_, **__: pytest.fail("trained for nothing"))
    with pytest.raises(InputError, match="TAM2D-R18-f8.safetensors cannot be written"):
        zoo.train_one(key, recipe)


def test_a_checkpoint_of_other_classes_or_videos_is_not_trained(folder, monkeypatch):
    key = "toy_bars/TSN-R18-f4"
    write(folder, "{model: TSN-R18-f4, dataset: toy_bars}")
    recipe, model = zoo.recipes()[key], models.create("TSN-R18-f4", num_classes=2, width=4)
    videos = {split: fingerprint(toy.load("", split, 32)) for split in ("train", "val")}

    def state(**more):
        checkpoints.save(checkpoints.path(key), model, header(recipe, 0.9, [1.0]) | more)
        return zoo.state(key, recipe)

    assert state(fingerprints={**videos, "val": "others"}) == "other videos"
    assert list(zoo.select(missing=True)) == [key]
    assert state(fingerprints=videos) == state() == "trained"  # older headers say nothing of videos
    monkeypatch.setattr(toy.Bars, "classes", ["left", "up"])
    assert zoo.state(key, recipe) == "other videos"


def test_the_classes_of_a_public_data_set_are_those_of_its_folders(folder, monkeypatch):
    key = "folder/TSN-R18-f4"
    write(folder, "{model: TSN-R18-f4, dataset: folder}")
    for split in ("train", "val"):
        for name in ("left", "right"):
            (folder / "videos" / split / name).mkdir(parents=True)
            (folder / "videos" / split / name / "0.mp4").touch()  # not opened
    model = models.create("TSN-R18-f4", num_classes=2, width=4)
    recipe = zoo.recipes()[key]
    checkpoints.save(checkpoints.path(key), model, header(recipe, 0.9, [1.0]))
    for root, name, state in (("videos", "right", "trained"), ("videos", "up", "other videos"), ("", "up", "trained")):
        monkeypatch.setenv("PAPERLIB_DATA", str(folder / root) if root else "")
        for there in (folder / "videos").glob("*/right"):
            there.rename(there.with_name(name))
        assert zoo.state(key, recipe) == state


@pytest.mark.parametrize("kind", ["cut off", "empty", "text", "another's"])
def test_a_damaged_checkpoint_is_named_by_the_table_and_trained_again(folder, capsys, kind):
    write(
        folder,
        "{model: TSN-R18-f4, dataset: toy_bars}",
        "{model: TSN-R18-f8, dataset: toy_bars, init_from: toy_bars/TSN-R18-f4}",
    )
    key, place = "toy_bars/TSN-R18-f4", folder / "checkpoints" / "toy_bars" / "TSN-R18-f4.safetensors"
    recipe = zoo.recipes()[key]
    checkpoints.save(place, models.create("TSN-R18-f4", num_classes=2, width=4), header(recipe, 1.0, [0.1]))
    assert zoo.state(key, recipe) == "trained" and list(zoo.select(missing=True)) == ["toy_bars/TSN-R18-f8"]
    whole = place.read_bytes()
    foreign = save({"fc.weight": torch.zeros(2)})
    place.write_bytes({"cut off": whole[:-1], "empty": b"", "text": b"404: Not Found", "another's": foreign}[kind])
    assert zoo.state(key, recipe) == "damaged" and zoo.header(key) == {}
    assert list(zoo.select(missing=True)) == list(zoo.select(["TSN-R18-f8"])) == list(zoo.recipes())
    assert cli.main(["zoo", "status"]) == 0
    out = capsys.readouterr().out
    assert " damaged " in out and out.endswith(
        f"{key}: no checkpoint is in the file; `paperlib zoo train --missing` trains it again\n"
    )
    options = "train --model TSN-R18-f8 --dataset toy_bars --width 4 --size 32 --device cpu --init-from".split()
    assert cli.main([*options, key]) == 2
    said = capsys.readouterr().err
    assert key in said and said.count("\n") == 1 and "Traceback" not in said
    assert zoo.train_one(key, recipe, "cpu", missing=True, progress_bar=False)
    assert zoo.state(key, recipe) == "trained" and checkpoints.load(key)[1]["accuracy"] < 1


def header(recipe, accuracy, losses):
    """Return a checkpoint's header as training writes it."""
    history = [{"epoch": k + 1, "loss": loss, "seconds": 60.0} for k, loss in enumerate(losses)]
    return {
        "recipe": asdict(recipe),
        "seed": recipe.seed,
        "dataset": recipe.dataset,
        "classes": ["left", "right"],
        "accuracy": accuracy,
        "videos": {"train": 96, "val": 32},
        "history": history,
        "seconds": 60.0 * len(losses),
    }


def test_the_table_has_one_row_per_model_with_mean_and_spread_over_seeds(folder):
    file = write(
        folder,
        "{model: TSN-R18-f8, dataset: toy_bars, seeds: 3, epochs: 4}",
        "{model: TSN-R18-f16, dataset: toy_bars, init_from: toy_bars/TSN-R18-f8, epochs: 1, batch: 8}",
        "{model: TSN-R18-f4, dataset: toy_bars, seeds: 2, suffix: -dense, sampling: dense}",
    )
    listed = zoo.recipes(file)
    untrained = ("toy_bars/TSN-R18-f4-dense", "toy_bars/TSN-R18-f4-dense-s1")
    for key, accuracy, losses in (
        ("toy_bars/TSN-R18-f8", 0.5, [0.7, 0.12, 0.11, 0.1]),
        ("toy_bars/TSN-R18-f8-s1", 0.75, [0.7, 0.3, 0.3, 0.3]),
        ("toy_bars/TSN-R18-f8-s2", 0.625, [0.7, 0.2, 0.2, 0.2]),
        ("toy_bars/TSN-R18-f16", 0.875, [0.6]),
    ):
        model = models.create(listed[key].name, num_classes=2, width=4)
        checkpoints.save(checkpoints.path(key), model, header(listed[key], accuracy, losses))
    table = zoo_table.status(file)
    assert table.set_index("checkpoint").state.to_dict() == {
        key: "missing" if key in untrained else "trained" for key in listed
    }
    rows = zoo_table.summary(table).set_index("model").to_dict("index")
    three = rows["toy_bars/TSN-R18-f8"]
    assert (three["runs"], three["state"], three["converged"], three["minutes"]) == (3, "trained", 3, 12)
    assert three["accuracy"] == pytest.approx(0.625) and three["loss"] == pytest.approx(0.2)
    assert three["spread"] == pytest.approx((0.125**2 * 2 / 2) ** 0.5)
    assert zoo_table.markdown(table).splitlines()[2:4] == [
        "| toy_bars/TSN-R18-f8 | from scratch, batch 16 | 4 | 0.1 | 0.200 | 3 | 62.5 % | 12.5 | yes | 96 + 32 | 12 |",
        "| toy_bars/TSN-R18-f16 | from TSN-R18-f8, batch 8 | 1 | 0.1 | 0.600 | 1 | 87.5 % | one run "
        "| no | 96 + 32 | 1 |",
    ]
    hours = table.seconds.sum() / 3600
    assert (
        zoo_table.markdown(table).splitlines()[-1].startswith(f"Together: {hours:.1f} hours of one core, and 0.0 for")
    )
    on_gpu = zoo_table.markdown(table.assign(device="cuda")).splitlines()[-1]
    assert on_gpu.startswith("Together: 0.0 hours of one core") and on_gpu.endswith(
        f"; {hours:.1f} hours on a GPU that several trainings shared."
    )
    text = zoo_table.text(table)
    assert "from scratch, batch 16, sampling dense" in text and "4 of 6 trained" in text.splitlines()[-1]
    checkpoints.path("toy_bars/TSN-R18-f8-s1").unlink()
    assert zoo_table.summary(zoo_table.status(file)).state[0] == "2 of 3 trained"
