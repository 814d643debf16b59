"""How other programs are called."""

import pytest

from paperlib.companion import runner
from paperlib.shards import run
from paperlib.storage import paths, processes


@pytest.fixture
def foreign(tmp_path, monkeypatch):
    """A working folder with Snakemake profiles of another project, and a variable that names one of the user's."""
    for name in ("default", "profiles/default", "theirs", "none"):
        (tmp_path / name).mkdir(parents=True)
        (tmp_path / name / "config.yaml").write_text("executor: dryrun\njobs: 7\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("SNAKEMAKE_PROFILE", "theirs")


def understood(command):
    """Return what Snakemake itself makes of a call: (executor, whether it goes on after a failure)."""
    from snakemake.cli import parse_args

    _, found = parse_args([*command[command.index("snakemake") + 1 :], "--cores", "1"])
    return found.executor, found.keep_going


def test_snakemake_takes_no_profile_but_the_projects(foreign, tmp_path):
    assert understood(["snakemake", "--snakefile", str(runner.SNAKEFILE)])[0] == "dryrun"  # what is warded off
    assert understood(processes.snakemake(runner.SNAKEFILE, tmp_path, tmp_path / "x.json")) == (None, False)
    ours = runner.SNAKEFILE.parent / "profiles/default"
    assert understood(processes.snakemake(runner.SNAKEFILE, tmp_path, tmp_path / "x.json", ours)) == (None, True)
    settings = {"out": str(tmp_path / "t.parquet"), "gpus": [], "asked": {"threads": 1}}
    assert understood(run.command(settings, jobs=1))[0] is None
    assert understood(run.command(settings, profile="theirs"))[0] == "dryrun"


def test_what_belongs_to_the_project_is_found_beside_the_library_or_where_paperlib_home_says(tmp_path, monkeypatch):
    assert paths.of_project("Snakefile") == paths.CHECKOUT / "Snakefile"
    library, clone = tmp_path / "site-packages", tmp_path / "clone"  # an installed wheel has no project around it
    (clone / "profiles" / "slurm").mkdir(parents=True)
    (clone / "profiles" / "slurm" / "config.yaml").write_text("executor: slurm\n")
    monkeypatch.setattr(paths, "CHECKOUT", library)
    monkeypatch.setattr(paths, "ROOT", clone)
    monkeypatch.chdir(tmp_path)
    assert paths.of_project("Snakefile") == clone / "Snakefile"
    assert run.profile_folder("slurm") == clone / "profiles" / "slurm"
