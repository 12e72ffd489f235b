"""What holds of every command: no daemon, a reader that is gone, a stale base, JSON, help."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from omeconf.cli import main
from tests.support.api import LISTENING
from tests.support.daemon import DEADLINE_S, Daemon, omeconf

LOCAL = {
    "check", "migrate", "schema", "completion", "serve", "token", "install-units",
    "uninstall-units",
}  # fmt: skip
"""Commands that ask no daemon."""
ARGUMENTS: dict[str, tuple[str, ...]] = {
    "status": (),
    "log": (),
    "show": ("1",),
    "diff": ("1", "2"),
    "events": (),
    "get": ("Bind",),
    "set": ("Name=x",),
    "commit": ("patch.json",),
    "edit": ("default/app", "--yes"),
    "app list": (),
    "app get": ("default/app",),
    "app set": ("default/app", "publishers.llhls.segmentDuration=4"),
    "app add": ("default/more",),
    "app remove": ("default/other", "--yes"),
    "rollback": ("1", "--yes"),
    "confirm": (),
    "retry": (),
    "hold": ("because",),
    "resume": (),
    "reload": (),
    "fleet status": (),
    "fleet rollout": (),
    "fleet pause": ("because",),
    "fleet resume": (),
    "fleet abort": ("--yes",),
    "fleet diff": (),
    "fleet forget": ("n9",),
}
"""Each command that asks the daemon, as it may be given."""


def leaves(group: click.Group, before: str = "") -> Iterator[tuple[str, click.Command]]:
    """All commands by their whole names."""
    for name, command in group.commands.items():
        if isinstance(command, click.Group):
            yield from leaves(command, f"{before}{name} ")
        else:
            yield f"{before}{name}", command


COMMANDS = dict(leaves(main)) if isinstance(main, click.Group) else {}
CHANGING = [
    name
    for name, command in COMMANDS.items()
    if any(each.name == "base" for each in command.params)
]


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Daemon]:
    """A daemon with two revisions, whose last one failed to reload."""
    folder = tmp_path_factory.mktemp("everywhere")
    (folder / "patch.json").write_text('{"name": "x"}')
    with Daemon(folder, LISTENING) as daemon:
        body = {"publishers": {"llhls": {"segmentDuration": 5}}}
        assert daemon.call("PATCH", "/v1/vhosts/default/apps/app", body).status == 200
        yield daemon


def run(folder: Path, socket_path: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """A command, in a folder in which patch.json lies, with an editor that changes nothing."""
    environment = {"OMECONF_SOCKET": str(socket_path), "EDITOR": "true", "VISUAL": ""}
    return omeconf(*arguments, environment=environment, folder=folder)


def test_every_command_is_tried_here() -> None:
    """A new command that asks the daemon has to be in the table."""
    assert set(COMMANDS) - LOCAL == set(ARGUMENTS)
    assert CHANGING


@pytest.mark.parametrize("name", ARGUMENTS)
def test_no_daemon(tmp_path: Path, name: str) -> None:
    """3, one line on stderr that says what to do, nothing on stdout."""
    (tmp_path / "patch.json").write_text('{"name": "x"}')
    found = run(tmp_path, tmp_path / "no.sock", *name.split(), *ARGUMENTS[name])
    assert (found.returncode, found.stdout) == (3, ""), found.stderr
    assert found.stderr.startswith("omeconf: cannot reach the daemon at ")
    assert "is `omeconf serve` running?" in found.stderr
    assert len(found.stderr.splitlines()) == 1


def test_a_daemon_that_dies(tmp_path: Path) -> None:
    """Something listens, and hangs up without an answer: 3, and no traceback."""
    path = tmp_path / "s"
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(str(path))
        listening.listen()
        process = subprocess.Popen(
            [sys.executable, "-m", "omeconf", "status", "--socket", str(path)],
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        )  # fmt: skip
        listening.settimeout(DEADLINE_S)
        connection, _ = listening.accept()
        connection.close()
        shown, said = process.communicate(timeout=DEADLINE_S)
    assert (process.returncode, shown) == (3, "")
    assert said.startswith("omeconf: cannot reach the daemon")


@pytest.mark.parametrize("name", ["status", "log", "show", "diff", "events", "get", "app list",
                                  "app get", "reload"])  # fmt: skip
def test_a_reader_that_is_gone(shared: Daemon, name: str) -> None:
    """141, as others end then, and not a word."""
    reading, writing = os.pipe()
    os.close(reading)
    try:
        found = subprocess.run(
            [sys.executable, "-m", "omeconf", *name.split(), *ARGUMENTS[name]],
            stdout=writing, stderr=subprocess.PIPE, text=True, check=False, timeout=DEADLINE_S,
            env={**os.environ, "OMECONF_SOCKET": str(shared.socket)},
        )  # fmt: skip
    finally:
        os.close(writing)
    assert found.returncode == 141
    assert "Traceback" not in found.stderr
    assert "Broken" not in found.stderr
    assert "Exception ignored" not in found.stderr


@pytest.mark.parametrize("name", CHANGING)
def test_a_stale_base(shared: Daemon, name: str) -> None:
    """4, what is newest, and what to do; nothing has changed."""
    before = shared.text
    editor = shared.base / "editor"
    editor.write_text("#!/bin/sh\nsed -i 's/>5</>4</' \"$1\"\n")
    editor.chmod(0o755)
    environment = {"OMECONF_SOCKET": str(shared.socket), "EDITOR": str(editor), "VISUAL": ""}
    found = omeconf(
        *name.split(), *ARGUMENTS[name], "--base", "1", environment=environment, folder=shared.base
    )
    assert found.returncode == 4, found.stderr
    assert "revision 1 is not the newest any more: that is 2" in found.stderr
    assert "`omeconf log`" in found.stderr
    assert shared.text == before


@pytest.mark.parametrize("name", ["status", "log", "show", "diff", "app list", "get"])
def test_json(shared: Daemon, name: str) -> None:
    """One document on stdout, with --json (or by itself)."""
    arguments = () if name == "get" else (*ARGUMENTS[name], "--json")
    found = run(shared.base, shared.socket, *name.split(), *arguments)
    assert found.returncode == 0, found.stderr
    json.loads(found.stdout)


def test_json_without_a_daemon(tmp_path: Path) -> None:
    """The same of what needs none."""
    file = tmp_path / "Server.xml"
    file.write_text(LISTENING.replace("@PORT@", "8081"))
    for arguments, members in (
        (("check", str(file)), {"files", "violations"}),
        (("migrate", str(file)), {"diff", "steps", "violations"}),
        (("token", "me"), {"name", "role", "token", "sha256"}),
    ):
        found = omeconf(*arguments, "--json")
        assert (found.returncode, found.stderr) == (0, "")
        assert set(json.loads(found.stdout)) == members


@pytest.mark.parametrize("name", COMMANDS)
def test_help_and_usage(name: str) -> None:
    """Every command explains itself; what it does not know is 2, with where to look."""
    shown = CliRunner().invoke(main, [*name.split(), "--help"], prog_name="omeconf")
    assert (shown.exit_code, shown.stderr) == (0, "")
    assert shown.stdout.startswith(f"Usage: omeconf {name}")
    wrong = CliRunner().invoke(main, [*name.split(), "--no-such-option"], prog_name="omeconf")
    assert (wrong.exit_code, wrong.stdout) == (2, "")
    assert f"Try 'omeconf {name} --help' for help." in wrong.stderr


def test_interrupted(shared: Daemon) -> None:
    """130, without a traceback."""
    process = subprocess.Popen(
        [sys.executable, "-m", "omeconf", "events", "-f", "--socket", str(shared.socket)],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert process.stdout is not None
    assert process.stdout.readline()
    process.send_signal(2)
    _, said = process.communicate(timeout=DEADLINE_S)
    assert process.returncode == 130
    assert said.strip() in ("", "Aborted!")


def test_who_may_not(shared: Daemon) -> None:
    """A socket that may not be opened: 3, and whom to be."""
    if os.geteuid() != 0:
        pytest.skip("only root can be somebody else")
    shared.base.chmod(0o755)
    found = subprocess.run(
        ["setpriv", "--reuid", "65534", "--regid", "65534", "--clear-groups",
         sys.executable, "-m", "omeconf", "status", "--socket", str(shared.socket)],
        capture_output=True, text=True, check=False, timeout=DEADLINE_S,
        env={**os.environ, "PYTHONDONTWRITEBYTECODE": "1"},
    )  # fmt: skip
    if "can't open file" in found.stderr or "No module named" in found.stderr:
        pytest.skip("nobody may not read this Python")
    assert found.returncode == 3, found.stderr
    assert "may not be asked" in found.stderr or "cannot reach" in found.stderr
