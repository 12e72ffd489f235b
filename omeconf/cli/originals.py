"""What is to be edited, as the daemon has it: a file or one element, and where that begins.

An element is shown with the indentation that it has in its file, and ends with a line end, so
that an editor shows it well; neither is sent back. A line end that an editor puts behind the last
line of a file is not sent either, if there was none.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from urllib.parse import unquote

import click

from omeconf.cli.addresses import element
from omeconf.client import Client, Reply, Wish
from omeconf.core.parse import BLANKS
from omeconf.core.path import Path as ElementPath
from omeconf.core.path import application
from omeconf.core.violation import Violation
from omeconf.errors import Answered, NotFound
from omeconf.report import Finding


@dataclass(frozen=True, slots=True)
class Original:
    """A file or an element as it is at some moment."""

    text: bytes
    etag: str
    file: str
    """The file it is, or is in."""
    revision: int
    """The newest just before; of what it is, or of an older state that had the same text."""
    is_element: bool = False
    line: int = 1
    column: int = 1
    """In characters; 1 of what begins a line."""
    indent: bytes = b""
    """The blanks before it, if there is nothing else on its line before it."""

    @property
    def shown(self) -> bytes:
        """As an editor gets it."""
        return self.tidy(self.text)

    def tidy(self, edited: bytes) -> bytes:
        """What an editor gave back, without what editors do by themselves."""
        if self.is_element:
            if b"\r\n" in self.text and b"\r" not in edited:
                edited = edited.replace(b"\n", b"\r\n")
            end = b"\r\n" if b"\r\n" in edited else b"\n"
            return self.indent + edited.strip(BLANKS) + end
        if edited.endswith(b"\n") and not self.text.endswith(b"\n"):
            return edited[:-1].removesuffix(b"\r")
        return edited

    def sent(self, tidied: bytes) -> bytes:
        """A tidied text as the daemon takes it."""
        return tidied.strip(BLANKS) if self.is_element else tidied

    def findings(
        self, violations: Iterator[Violation], tidied: bytes, name: str
    ) -> Iterator[Finding]:
        """Violations with their places in the text that is edited, which has a name.

        Those that are elsewhere keep their places, and are told without their lines.
        """
        text = tidied.removesuffix(b"\n") if self.is_element else tidied
        lines = text.decode("utf-8", "replace").removeprefix("\ufeff").split("\n")
        for violation in violations:
            line = violation.line - self.line + 1
            column = violation.column
            if line == 1:
                column += len(self.indent) + 1 - self.column
            is_here = violation.file == self.file and 0 < line <= len(lines) and column > 0
            if is_here and (not self.is_element or column <= len(lines[line - 1]) + 1):
                moved = replace(violation, file=name, line=line, column=column)
                yield Finding(moved, lines[line - 1].removesuffix("\r"))
            else:
                yield Finding(violation, "")


@dataclass(frozen=True, slots=True)
class Target:
    """What is edited: a file, or the element at a path."""

    daemon: Client
    file: str | None = None
    path: str | None = None

    def fetch(self) -> Original:
        """As it is now. Raises Answered (404: there is none), Unreachable."""
        status = self.daemon.status()
        revision = status["revision"]["head"] or 0
        reply = self.daemon.document(file=self.file, path=self.path)
        etag = reply.headers["etag"]
        if self.path is None:
            file = self.file or Path(status["serverXml"]).name
            return Original(reply.body, etag, file, revision)
        file = unquote(reply.headers["omeconf-file"])
        line, column = map(int, reply.headers["omeconf-place"].split(":"))
        indent = self._before(file, line, column) if column > 1 else b""
        return Original(reply.body, etag, file, revision, True, line, column, indent)

    def put(self, text: bytes, wish: Wish) -> Reply:
        """Put a text in its place."""
        return self.daemon.put(text, wish, file=self.file, path=self.path)

    @property
    def name(self) -> str:
        """A file name for it."""
        if self.path is None:
            name = Path(self.file or "Server.xml").stem
        else:
            last = ElementPath.parse(self.path).last
            name = last.key or last.name
        return re.sub(r"[^\w.-]", "_", name)[:60] + ".xml"

    def _before(self, file: str, line: int, column: int) -> bytes:
        """What is before an element on its line, if that is nothing but blanks."""
        lines = self.daemon.document(file=file).body.split(b"\n")
        before = lines[line - 1][: column - 1] if line <= len(lines) else b"-"
        return b"" if before.strip(b" \t") else before


def target(daemon: Client, text: str | None, file: str | None) -> Target:
    """What somebody means: ``default/live``, ``live``, ``Bind/Providers``; nothing: a file.

    Raises UsageError for a name that several applications have, NotFound for what there is not.
    """
    if text is None:
        return Target(daemon, file)
    if file is not None:
        raise click.UsageError("an element is edited wherever it is written: leave --file out")
    return Target(daemon, path=_path(daemon, text))


def _path(daemon: Client, text: str) -> str:
    if text.startswith("/"):
        return _by_names(daemon, str(element(text)))
    host, _, name = text.rpartition("/")
    known = _applications(daemon, host, name)
    if len(known) > 1:
        both = " and ".join(f"{each}/{name}" for each in known)
        raise click.UsageError(f"there are {both}: say which")
    if known:
        return str(application(known[0], name))
    path = str(element(text))
    try:
        return _by_names(daemon, path)
    except Answered as error:
        if error.status not in (400, 404):
            raise
        raise NotFound(
            f'there is no application "{text}", and no element {path}; `omeconf app list` names '
            "the applications, and an element is given from Server down: Bind/Providers"
        ) from None


def _by_names(daemon: Client, path: str) -> str:
    """A path that leads to the same element when items before it come or go. Raises Answered."""
    return unquote(daemon.document(path=path).headers["omeconf-path"])


def _applications(daemon: Client, host: str, name: str) -> list[str]:
    """The virtual hosts that have an application of a name; host: only that one, if not ""."""
    hosts = daemon.engine_get("vhosts").json["response"]
    return [
        each
        for each in hosts
        if host in ("", each)
        if name in daemon.engine_get("vhosts", each, "apps").json["response"]
    ]
