"""docs/man/omeconf.1: as the commands are, and as manual readers want it."""

from __future__ import annotations

import re
import runpy
import shlex
import shutil
import subprocess
from typing import Any

import click
import pytest

from omeconf.cli import base, main
from tests.cli.test_help import leaves
from tests.support import PROJECT

PAGE = PROJECT / "docs/man/omeconf.1"
MAKER: dict[str, Any] = runpy.run_path(str(PROJECT / "docs/man/make.py"))


def shown() -> str:
    """The page as a person reads it, its lines unbroken."""
    text = PAGE.read_text()
    for written, meant in (("\\-", "-"), ("\\(ti", "~"), ("\\(dq", '"'), ("\\(aq", "'")):
        text = text.replace(written, meant)
    return " ".join(re.sub(r"\\f[BIP]", "", text).split())


def test_not_stale() -> None:
    """It is what `make man` makes of the commands as they are now."""
    old = PAGE.read_text()
    assert MAKER["dated"](old)
    assert MAKER["page"](MAKER["dated"](old)) == old, "call `make man`"


def test_everything_is_in_it() -> None:
    """Each command, each of its options, and each exit status."""
    text = shown()
    for name, command in leaves(main, "omeconf"):
        assert f'.SS "{name}"' in text
        for parameter in command.params:
            if isinstance(parameter, click.Option):
                assert parameter.opts[-1] in text, name
    table = (base.__doc__ or "").partition("command:")[2].split("\n")
    statuses = [line.split(maxsplit=1) for line in table if line[:1].isdigit()]
    assert len(statuses) >= 8
    for number, meaning in statuses:
        assert f".TP {number} {meaning}" in text
    for title in ("ENVIRONMENT", "FILES", "EXAMPLES", "SEE ALSO"):
        assert f".SH {title}" in text


def test_environment() -> None:
    """Every variable that the program reads, and no other, but what a shell sets for completion."""
    read: set[str] = set()
    for path in (PROJECT / "omeconf").rglob("*.py"):
        read |= set(re.findall(r"environ(?:\.get\(|\[)\"(\w+)\"", path.read_text()))
    assert {name for name in read if not name.startswith("COMP_")} == set(MAKER["ENVIRONMENT"])


@pytest.mark.parametrize("line", MAKER["EXAMPLES"])
def test_examples(line: str) -> None:
    """Each can be called like this."""
    program, *arguments = shlex.split(line)
    assert program == "omeconf"
    command: click.Command = main
    while isinstance(command, click.Group):
        command = command.commands[arguments.pop(0)]
    command.make_context(line, arguments)


@pytest.mark.skipif(shutil.which("mandoc") is None, reason="mandoc is not installed")
def test_mandoc() -> None:
    """mandoc has nothing to say about it, not even about its style."""
    run = subprocess.run(["mandoc", "-T", "lint", "-W", "style", str(PAGE)],
                         capture_output=True, text=True, check=False)  # fmt: skip
    assert run.stdout + run.stderr == ""


@pytest.mark.skipif(shutil.which("man") is None, reason="man-db is not installed")
def test_man() -> None:
    """`man -l` shows it whole, without a warning."""
    run = subprocess.run(["man", "--warnings", "-l", str(PAGE)], capture_output=True, text=True,
                         check=True, env={"LC_ALL": "C.UTF-8", "MANWIDTH": "100",
                                          "PATH": "/usr/bin:/bin"})  # fmt: skip
    assert run.stderr == ""
    assert run.stdout.startswith("OMECONF(1)")
    assert 'eval "$(omeconf completion bash)"' in run.stdout
