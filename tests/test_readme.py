from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from omeconf.api.app import ROUTES
from omeconf.client import Client
from tests.support import EXAMPLES, PROJECT
from tests.support.daemon import free_port, wait_for

README = (PROJECT / "README.md").read_text()


def steps() -> list[tuple[str, str]]:
    """Every command of the console blocks, with what it shall print."""
    blocks = re.findall(r"```console\n(.*?)```", README, re.DOTALL)
    text = "".join(blocks).replace("\\\n", "")
    found = re.findall(r"^\$ (.*)\n((?:(?!\$ ).*\n)*)", text, re.MULTILINE)
    assert len(found) >= 7
    return found


def matches(printed: str, promised: str) -> bool:
    """Whether output is as promised; `...` stands for anything."""
    pattern = ".*".join(re.escape(part) for part in promised.strip().split("..."))
    return re.fullmatch(pattern, printed.strip(), re.DOTALL) is not None


def state(folder: Path) -> object:
    """What the daemon makes of the files: the newest revision, and whether they are broken."""
    found = Client(folder / "omeconf.sock").status()
    return found["revision"]["head"], bool(found["drift"])


@pytest.mark.skipif(shutil.which("curl") is None, reason="curl is not installed")
def test_the_commands_of_the_readme(tmp_path: Path) -> None:
    """Pasted one after the other, they print what the README says they print."""
    shutil.copytree(EXAMPLES, tmp_path / "examples")
    port = str(free_port())
    example = tmp_path / "examples/origin/Server.xml"
    example.write_text(example.read_text().replace("<Port>8081<", f"<Port>{port}<"))
    shutil.copy(example, tmp_path / "Server.xml")
    environment = dict(os.environ)
    environment["PATH"] = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    daemon: subprocess.Popen[bytes] | None = None
    try:
        for command, promised in steps():
            command = command.replace("8081", port)
            if command.startswith("export "):
                name, _, text = command.removeprefix("export ").partition("=")
                environment[name] = text
                continue
            if command.endswith("&"):
                daemon = subprocess.Popen(
                    command.removesuffix("&").split(), cwd=tmp_path,
                    env=environment, stdout=subprocess.PIPE,
                )  # fmt: skip
                assert daemon.stdout is not None
                assert b"serving" in daemon.stdout.readline()
                continue
            run = None
            before = state(tmp_path) if command.startswith("sed") else None

            def attempt(command: str = command, promised: str = promised) -> bool:
                nonlocal run
                run = subprocess.run(
                    command, shell=True, cwd=tmp_path, capture_output=True, text=True,
                    env=environment, check=False,
                )  # fmt: skip
                return not promised or matches(run.stdout, promised)

            if command.startswith("omeconf status"):
                wait_for(attempt, command)  # what was just edited is being taken up
            else:
                assert attempt(), (command, run)
            if before is not None:  # as a person would: each edit is a save of its own
                wait_for(lambda b=before: state(tmp_path) != b, command)  # type: ignore[misc]
    finally:
        if daemon is not None:
            daemon.send_signal(signal.SIGTERM)
            daemon.wait(10)
            assert daemon.stdout is not None
            daemon.stdout.close()


def test_the_table_of_the_api() -> None:
    """Every route of our own is in docs/rest.md."""
    text = (PROJECT / "docs/rest.md").read_text()
    for path in ROUTES:
        if path.startswith("/omeconf"):
            last = path.removeprefix("/omeconf/v1").split("{")[0].rstrip("/")
            assert last in text, path


def test_make_targets_exist() -> None:
    """What the README tells to type is in the Makefile."""
    targets = re.findall(r"^(\S+):", (PROJECT / "Makefile").read_text(), re.MULTILINE)
    for target in re.findall(r"^make (\S+)", README, re.MULTILINE):
        assert target in targets


def test_links_lead_somewhere() -> None:
    """Every relative link, of the README and of docs/, is to something that is there."""
    for page in (PROJECT / "README.md", *(PROJECT / "docs").glob("*.md")):
        for target in re.findall(r"\]\(([^)#]+)\)", page.read_text()):
            assert target.startswith("http") or (page.parent / target).exists(), target


def test_read_in_two_minutes() -> None:
    """The README has at most 1,100 words, commands and tables and all."""
    assert len(README.split()) < 1_100
