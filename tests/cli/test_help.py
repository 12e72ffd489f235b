"""The help that people read first."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator

import click
import pytest

from omeconf.cli import SECTIONS, main
from tests.support.daemon import omeconf


def shown(*arguments: str) -> str:
    """What is printed on a terminal of 80 columns."""
    return subprocess.run(
        [sys.executable, "-m", "omeconf", *arguments, "--help"],
        capture_output=True, text=True, check=True, env={**os.environ, "COLUMNS": "80"},
    ).stdout  # fmt: skip


def leaves(command: click.Command, name: str) -> Iterator[tuple[str, click.Command]]:
    """Every command that does something, with its whole name."""
    if isinstance(command, click.Group):
        for each in command.commands.values():
            yield from leaves(each, f"{name} {each.name}")
    else:
        yield name, command


GROUPS = [(), *[(name,) for name, each in main.commands.items() if isinstance(each, click.Group)]]


@pytest.mark.parametrize("group", GROUPS, ids=lambda names: " ".join(names) or "omeconf")
def test_one_line_a_command(group: tuple[str, ...]) -> None:
    """Each command has one line of 80 columns, whole, and no two begin alike."""
    command: click.Command = main
    for name in group:
        assert isinstance(command, click.Group)
        command = command.commands[name]
    assert isinstance(command, click.Group)
    text = shown(*group)
    assert "..." not in text.partition("Options:")[2]
    for name, each in command.commands.items():
        (line,) = re.findall(rf"^  {name}  +(.*)$", text, re.MULTILINE)
        first = " ".join((each.help or "").partition("\n\n")[0].split())
        assert line == first, name
        assert first.endswith((".", "`")), name
    assert all(len(line) <= 80 for line in text.splitlines())


def test_every_command_is_in_one_section() -> None:
    """What can be called is in the help, once."""
    listed = [command.name for commands in SECTIONS.values() for command in commands]
    assert sorted(map(str, listed)) == sorted(main.commands)


def test_every_option_explains_itself() -> None:
    """No option of any command is without help."""
    for name, command in leaves(main, "omeconf"):
        for parameter in command.params:
            if isinstance(parameter, click.Option):
                assert parameter.help, f"{name} {parameter.opts}"


def test_no_arguments() -> None:
    """The help, and exit status 2, as of any wrong usage."""
    run = omeconf()
    assert run.returncode == 2
    assert "Usage: " in run.stdout + run.stderr
