"""A text in somebody's editor: a private file that is removed, unless that would lose work."""

from __future__ import annotations

import os
import shlex
import shutil
import sys
import tempfile
from pathlib import Path
from types import TracebackType

import click

from omeconf.cli.base import REFUSED
from omeconf.cli.output import complain, note
from omeconf.errors import Unwritable

EDITORS = ("sensible-editor", "vim", "nano", "vi")
"""Looked for in this order where neither $VISUAL nor $EDITOR says one."""
GO_TO_A_LINE = {
    "vi", "vim", "nvim", "view", "nano", "pico", "emacs", "emacsclient", "joe", "jed", "mcedit",
    "micro", "kak", "ne",
}  # fmt: skip
"""Editors that take +LINE before the file."""


class Draft:
    """A file that somebody edits, in a folder that nobody else may look into.

    It is removed when the block is left, unless it has work that is kept nowhere else.
    """

    def __init__(self, name: str, text: bytes) -> None:
        """A file of some name with a text. Raises Unwritable."""
        try:
            self.folder = Path(tempfile.mkdtemp(prefix="omeconf-"))
        except OSError as error:
            raise _unwritable(error) from None
        self.path = self.folder / name
        self.known = text
        """What is kept elsewhere, and need not be kept here."""
        try:
            self.write(text)
        except Unwritable:
            self._remove()
            raise

    def __enter__(self) -> Draft:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self.path.exists() and self.text != self.known:
            note(f"your text is kept in {self.path}; to go on, edit again and read it in")
        else:
            self._remove()

    def _remove(self) -> None:
        shutil.rmtree(self.folder, ignore_errors=True)

    @property
    def text(self) -> bytes:
        """What the file has now."""
        return self.path.read_bytes()

    def write(self, text: bytes) -> None:
        """Have another text in the file. Raises Unwritable; then it has the old one."""
        beside = self.folder / "new"
        try:
            with os.fdopen(os.open(beside, os.O_WRONLY | os.O_CREAT, 0o600), "wb") as file:
                file.write(text)
            beside.replace(self.path)
        except OSError as error:
            raise _unwritable(error) from None

    def open(self, line: int = 1) -> None:
        """Have it edited, from a line on. Raises UsageError if there is no editor.

        Exits if the editor fails: nothing is to be done then.
        """
        try:
            click.edit(filename=str(self.path), editor=_editor(line))
        except click.UsageError:
            raise
        except (click.ClickException, ValueError) as error:
            reason = error.message if isinstance(error, click.ClickException) else str(error)
            complain(f"{reason}; nothing is committed")
            sys.exit(REFUSED)
        if not self.path.exists():
            complain("the editor left no file; nothing is committed")
            sys.exit(REFUSED)


def _unwritable(error: OSError) -> Unwritable:
    return Unwritable(
        f"cannot write the text for the editor: {error.strerror}; TMPDIR names another folder"
    )


def _editor(line: int) -> str:
    """The editor as a command line. Raises UsageError if there is none, ValueError for `"`."""
    found = os.environ.get("VISUAL") or os.environ.get("EDITOR")
    found = found or next((each for each in EDITORS if shutil.which(each)), None)
    if found is None:
        raise click.UsageError("no editor is found: set EDITOR to the one that you like")
    name = Path(next(iter(shlex.split(found)), "")).name
    return f"{found} +{line}" if line > 1 and name in GO_TO_A_LINE else found
