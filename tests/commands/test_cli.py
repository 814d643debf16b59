"""The command line: help for every command, exit code 2 and one sentence for what the user got wrong."""

import argparse
import errno
import subprocess
import sys

import pytest

from paperlib import cli
from paperlib.commands import one_video, requirements_command
from paperlib.companion import paper_profile
from paperlib.data import check
from paperlib.errors import InputError, as_options
from paperlib.explanation import explaining
from paperlib.storage import paths
from paperlib.tracing import probing


@pytest.mark.parametrize("command", sorted(cli.commands()))
def test_every_command_has_help(command, capsys):
    with pytest.raises(SystemExit) as stop:
        cli.main([command, "--help"])
    out = capsys.readouterr().out
    assert stop.value.code == 0
    assert cli.commands()[command].partition("\n")[0].split()[0] in out


@pytest.mark.parametrize("command, shown", [((), cli.commands()), (("explain",), [",".join(probing.SCORES)])])
def test_help_is_quick_and_lists_what_there_is(command, shown):
    done = subprocess.run(
        [sys.executable, "-X", "importtime", "-m", "paperlib.cli", *command, "--help"], capture_output=True, text=True
    )
    assert done.returncode == 0
    assert all(name in done.stdout for name in shown)
    assert "torch" not in done.stderr  # the list of imported modules


@pytest.mark.parametrize(
    "error, code, said", [(KeyboardInterrupt(), 130, "interrupted"), (InputError("no such thing"), 2, "no such thing")]
)
def test_what_happens_while_a_command_is_imported_is_no_traceback(error, code, said, capsys, monkeypatch):
    def imported(parser):
        raise error

    monkeypatch.setattr(requirements_command, "arguments", imported)
    assert cli.main(["requirements"]) == code
    assert capsys.readouterr().err == f"paperlib requirements: {said}\n"


def test_user_errors_exit_with_2_and_without_a_traceback(capsys):
    assert cli.main(["relevance", "--video", "synth_ssv2/7", "--model", "nowhere/none"]) == 2
    error = capsys.readouterr().err
    assert "nowhere/none does not exist" in error and "Traceback" not in error


ON = ["--video", "synth_ssv2/1", "--model", "nowhere/none"]


@pytest.mark.parametrize(
    ("option", "argv"),
    [
        *(("--out", [command, *ON]) for command in ("relevance", "mask", "gradcam")),
        *((f"--{kind}", ["explain", *ON]) for kind in ("html", "npz", "png", "gif")),
        ("--output", ["data", "check", "."]),
        ("--output", ["requirements"]),
    ],
)
def test_where_results_cannot_be_written_is_said_before_anything_is_computed(
    option, argv, tmp_path, capsys, monkeypatch
):
    for where, what in ((explaining, "look"), (explaining, "explain"), (check, "check"), (paper_profile, "markdown")):
        monkeypatch.setattr(where, what, lambda *_, **__: pytest.fail("this is computed first"))
    ending = {"--out": "", "--output": ".csv"}.get(option, f".{option[2:]}")
    (tmp_path / "file").write_text("not a folder")
    (tmp_path / ("taken.npz" if option == "--out" else f"taken{ending}")).mkdir()
    for out in (tmp_path / f"file/x{ending}", tmp_path / f"file/y/x{ending}", tmp_path / f"taken{ending}"):
        assert cli.main([*argv, option, str(out)]) == 2
        error = capsys.readouterr().err
        assert f"{out}" in error and "cannot be written" in error and error.count("\n") == 1


@pytest.mark.parametrize(
    "argv, said",
    [
        (
            ["dataset", "relevance", "synth_ssv2", "nowhere/none", "--out", "/proc/x.parquet"],
            "/proc/x.parquet cannot be",
        ),
        (["relevance", *ON], "synth_ssv2-1-relevance.csv cannot be written"),
        (["train", "--model", "TAM2D-R18-f8", "--dataset", "synth_ssv2", "--out", "t.txt"], "end with .safetensors"),
    ],
)
def test_a_place_without_files_and_an_ending_that_is_none_are_named(argv, said, capsys, tmp_path, monkeypatch):
    (tmp_path / "gone").mkdir()
    monkeypatch.chdir(tmp_path / "gone")
    (tmp_path / "gone").rmdir()
    assert cli.main(argv) == 2
    assert said in capsys.readouterr().err


@pytest.mark.parametrize("out", ["a", "a.csv", "a.v2", "a.v2.npz"])
def test_results_are_called_by_their_prefix_whichever_of_them_is_named(out, tmp_path):
    named = one_video.prefix(argparse.Namespace(out=str(tmp_path / out), video="jump.mp4"), "relevance")
    assert named.name == out.removesuffix(".csv").removesuffix(".npz")


@pytest.mark.parametrize("out", [".", "..", "results/", "results/.", "there", "/"])
def test_a_prefix_of_results_has_a_name(out, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "there").mkdir()
    assert cli.main(["relevance", *ON, "--out", out]) == 2
    assert f"--out {out} is a folder; name what the files in it should begin with" in capsys.readouterr().err


@pytest.mark.parametrize(
    "argv, said",
    [
        (["zoo", "status", "--missing", "--readme"], "not allowed with argument --missing"),
        (["models", "I3D-R18-f16", "--frames", "32"], "--frames chooses among all networks"),
        (["models", "--frames", "0"], "--frames should be at least 1"),
    ],
)
def test_options_that_would_be_ignored_are_refused(argv, said, capsys):
    try:
        code = cli.main(argv)
    except SystemExit as stop:
        code = stop.code
    assert code == 2 and said in capsys.readouterr().err


@pytest.mark.parametrize("name", ["ENOSPC", "EROFS", "EACCES", "EISDIR", "ENOTDIR", "EEXIST", "ENAMETOOLONG"])
def test_a_place_that_cannot_be_written_to_is_named_without_a_traceback(name, capsys, monkeypatch):
    def full(args):
        raise OSError(getattr(errno, name), "as the system says it", "there/x.md")

    monkeypatch.setattr(requirements_command, "main", full)
    assert cli.main(["requirements"]) == 2
    assert capsys.readouterr().err == "paperlib requirements: as the system says it: there/x.md\n"


@pytest.mark.parametrize(
    "sentence, said",
    [
        ("give clips=500 or fewer", "give --clips 500 or fewer"),
        ("(assumed; mean= and std= say others).", "(assumed; --mean and std= say others)."),
        ("explain them (target='predicted')", "explain them (--target 'predicted')"),
        ("give mean=[0,0,0] and std=[1, 1, 1]", "give --mean [0,0,0] and std=[1, 1, 1]"),
        ("clips=-1, mean=(0, 0) or min_score={}", "--clips -1, --mean (0, 0) or --min-score {}"),
        ("min_score=0.5; iterations=3.", "--min-score 0.5; iterations=3."),
        ("in /a/clips=3.mp4 and clips=7.mp4", "in /a/clips=3.mp4 and clips=7.mp4"),
    ],
)
def test_arguments_of_functions_are_named_as_the_options_that_there_are(sentence, said):
    args = argparse.Namespace(clips=1, mean=None, target=None, min_score=0.5, video="clips=7.mp4")
    assert as_options(sentence, args) == said


@pytest.mark.parametrize("variable, argv", [("PAPERLIB_HOME", ["zoo", "status"]), ("PAPERLIB_DATA", ["run", "--list"])])
def test_a_variable_that_names_no_folder_is_named(variable, argv):
    environment = {"PATH": "/usr/bin:/bin", "PYTHONPATH": str(paths.CHECKOUT), variable: "/nowhere"}
    done = subprocess.run(
        [sys.executable, "-m", "paperlib.cli", *argv], env=environment, capture_output=True, text=True
    )
    assert done.returncode == 2 and f"{variable} names /nowhere, which is no" in done.stderr


@pytest.mark.parametrize("video", ["", "."])
def test_a_video_that_is_no_file_is_named_before_what_would_be_called_after_it(video, capsys):
    for command in ("explain", "relevance"):
        assert cli.main([command, "--video", video, "--model", "nowhere/none"]) == 2
        assert f"--video {video!r} is no file" in capsys.readouterr().err


def test_the_library_alone_says_in_a_sentence_that_there_is_no_home_folder(tmp_path):
    (tmp_path / "paperlib").symlink_to(paths.CHECKOUT / "paperlib")
    code = f"import sys, pathlib; pathlib.Path.resolve = pathlib.Path.absolute; sys.path[0] = {str(tmp_path)!r}\n"
    code += "from paperlib import cli; sys.exit(cli.main(['zoo', 'status']))"
    environment = {"HOME": "~", "PATH": "/usr/bin:/bin"}
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True)
    assert done.returncode == 2, done.stderr
    assert done.stderr.startswith("paperlib zoo: there is no home folder") and done.stderr.count("\n") == 1


def test_unknown_command_exits_with_2():
    with pytest.raises(SystemExit) as stop:
        cli.main(["relevanze"])
    assert stop.value.code == 2
