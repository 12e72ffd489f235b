"""$EDITOR as a script, which does one thing after the other, and can be held while it is open."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from tests.support.daemon import DEADLINE_S, Daemon, wait_for
from tests.support.terminal import Terminal

HOLD = 'touch "open-$n"; read -r _ < go\n'
"""A step that begins with it waits for `Editor.go` before it goes on."""

SCRIPT = """#!/bin/sh
for file; do :; done
cd "{folder}" || exit 9
n=$(( $(cat calls 2>/dev/null || echo 0) + 1 ))
echo $n > calls
cp "$file" "given-$n"
echo "$*" > "called-$n"
stat -c %a "$file" "$(dirname "$file")" > "modes-$n"
case $n in
{steps}
*) exit 9 ;;
esac
"""


def sed(script: str) -> str:
    """A step that changes the file."""
    return f"sed -i '{script}' \"$file\""


class Editor:
    """What $EDITOR is; each step is a piece of a shell script, with the file as $file."""

    def __init__(self, folder: Path, *steps: str, name: str = "editor") -> None:
        self.folder = folder / name
        self.folder.mkdir()
        self.drafts = folder / f"{name}-drafts"
        self.drafts.mkdir()
        self.script = self.folder / name
        cases = "\n".join(f"{number}) {step}\n;;" for number, step in enumerate(steps, 1))
        self.script.write_text(SCRIPT.format(folder=self.folder, steps=cases))
        self.script.chmod(0o755)
        os.mkfifo(self.folder / "go")

    @property
    def environment(self) -> dict[str, str]:
        """What makes it the editor, and keeps its files apart."""
        return {"VISUAL": "", "EDITOR": str(self.script), "TMPDIR": str(self.drafts)}

    def is_open(self, number: int = 1) -> None:
        """Wait until it has been called so often and holds."""
        wait_for(lambda: (self.folder / f"open-{number}").exists(), "the editor to be open")

    def go(self) -> None:
        """Have it go on."""
        (self.folder / "go").write_text("\n")

    def told(self, what: str, number: int = 1) -> str:
        """What was "given" at a call, how it was "called", the "modes" of file and folder."""
        return (self.folder / f"{what}-{number}").read_bytes().decode()

    @property
    def calls(self) -> int:
        """How often it was called."""
        counter = self.folder / "calls"
        return int(counter.read_text()) if counter.exists() else 0

    @property
    def kept(self) -> list[Path]:
        """The files that were not removed."""
        return sorted(path for path in self.drafts.rglob("*") if path.is_file())


AS_SOMEBODY = """
import importlib, os, pkgutil, shlex, subprocess, click._termui_impl
import omeconf.cli, omeconf.client, omeconf.core, omeconf.report
for package in (omeconf.cli, omeconf.core):
    for module in pkgutil.iter_modules(package.__path__):
        importlib.import_module(f"{package.__name__}.{module.name}")
os.setgroups([]), os.setgid(%d), os.setuid(%d)
omeconf.cli.main()
"""
"""The command line as another user, who need not be able to read where Python lies."""


def command(*arguments: str, user: int | None = None) -> list[str]:
    """The command line of `omeconf edit`; user: for somebody who has that uid and gid."""
    how = ["-m", "omeconf"] if user is None else ["-c", AS_SOMEBODY % (user, user)]
    return [sys.executable, *how, "edit", *arguments]


def edit(
    daemon: Daemon,
    editor: Editor,
    *arguments: str,
    stdout: int = subprocess.PIPE,
    user: int | None = None,
) -> subprocess.CompletedProcess[str]:
    """Run `omeconf edit` where nobody can be asked."""
    environment = {**os.environ, **editor.environment, "OMECONF_SOCKET": str(daemon.socket)}
    return subprocess.run(
        command(*arguments, user=user), stdin=subprocess.DEVNULL, stdout=stdout,
        stderr=subprocess.PIPE, text=True, check=False, timeout=DEADLINE_S, env=environment,
    )  # fmt: skip


def editing(daemon: Daemon, editor: Editor, *arguments: str) -> Terminal:
    """Run `omeconf edit` on a terminal."""
    environment = {**editor.environment, "OMECONF_SOCKET": str(daemon.socket)}
    return Terminal(command(*arguments), environment)
