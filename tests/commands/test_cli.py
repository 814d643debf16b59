"""The command line: help for every command, exit code 2 and one sentence for what the user got wrong."""

import subprocess
import sys

import pytest

from paperlib import cli


@pytest.mark.parametrize("command", sorted(cli.commands()))
def test_every_command_has_help(command, capsys):
    with pytest.raises(SystemExit) as stop:
        cli.main([command, "--help"])
    out = capsys.readouterr().out
    assert stop.value.code == 0
    assert cli.commands()[command].partition("\n")[0].split()[0] in out


def test_general_help_is_quick_and_lists_all_commands():
    done = subprocess.run(
        [sys.executable, "-X", "importtime", "-m", "paperlib.cli", "--help"], capture_output=True, text=True
    )
    assert done.returncode == 0
    assert all(name in done.stdout for name in cli.commands())
    assert "torch" not in done.stderr  # the list of imported modules


def test_user_errors_exit_with_2_and_without_a_traceback(capsys):
    assert cli.main(["relevance", "--video", "synth_ssv2/7", "--model", "nowhere/none"]) == 2
    error = capsys.readouterr().err
    assert "nowhere/none does not exist" in error and "Traceback" not in error


def test_unknown_command_exits_with_2():
    with pytest.raises(SystemExit) as stop:
        cli.main(["relevanze"])
    assert stop.value.code == 2
