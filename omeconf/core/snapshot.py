"""All files of a configuration at one instant: Server.xml and what it includes, as bytes.

How the engine resolves an include (all tried): the value is a pattern with wildcards in the file
name only; a relative one starts at the current folder, which is the configuration folder even
inside a file of a sub-folder, until an absolute include moves it to that file's folder.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property
from pathlib import PurePosixPath
from typing import Protocol

from omeconf.core.document import Document
from omeconf.core.parse import encoding_of
from omeconf.core.patch import Patch, difference
from omeconf.core.values import expand
from omeconf.errors import NotFound, NotWellFormed, Unwritable

LOGGER_FILE = "Logger.xml"
LEGACY_FILES = ("LastConfig.xml", "LastConfig.json")
"""With one of these in its folder the engine (0.13.0 and newer) refuses to start."""


class Source(Protocol):
    """Where a snapshot's files come from; names are relative to the folder, or absolute."""

    def read(self, file: str) -> bytes:
        """The bytes of a file. Raises NotFound or Unwritable."""

    def names(self, folder: str) -> tuple[str, ...] | None:
        """The regular files of a folder ("" is the configuration folder); None if missing."""


@dataclass(frozen=True, slots=True)
class Include:
    """One include attribute: where its pattern starts, and what it is."""

    current: str
    """The current folder of the file it stands in."""
    pattern: str
    """With macros expanded."""


class Snapshot:
    """The files of one instant. Immutable; documents are parsed once, when asked for."""

    def __init__(
        self,
        files: Mapping[str, bytes],
        *,
        main: str = "Server.xml",
        folder: str = "/",
        env: Mapping[str, str] | None = None,
        includes: Mapping[Include, tuple[str, ...] | None] | None = None,
        unreadable: Mapping[str, str] | None = None,
        legacy: str = "",
        logger: bytes | None = None,
        parsed: Mapping[str, Document] | None = None,
    ) -> None:
        self.files = dict(files)
        self.main = main
        self.folder = folder
        """The configuration folder, absolute; only to tell what lies inside it."""
        self.env = env
        """The engine's environment; None if it is not known."""
        self.includes = dict(includes or {})
        """What each include matched, sorted; None where its folder does not exist."""
        self.unreadable = dict(unreadable or {})
        """Files that are there but could not be read, with the reason."""
        self.legacy = legacy
        """A file in the folder that keeps the engine from starting; "" if there is none."""
        self.logger = logger
        """Logger.xml beside it, which is checked too, but not managed; None if there is none."""
        self._parsed = {f: d for f, d in (parsed or {}).items() if files.get(f) == d.data}
        self._lines: dict[str, list[str]] = {}
        self._broken: dict[str, NotWellFormed] = {}
        self._older: dict[str, Document] = {}
        """Other states of files that are not parsed yet: they lend what is the same."""

    @classmethod
    def take(
        cls,
        source: Source,
        *,
        main: str = "Server.xml",
        folder: str = "/",
        env: Mapping[str, str] | None = None,
        like: Snapshot | None = None,
    ) -> Snapshot:
        """Read main and everything it includes; `like` lends what it has parsed already.

        Raises NotFound or Unwritable if main itself cannot be read.
        """
        snapshot = cls({}, main=main, folder=folder, env=env)
        snapshot._read(main, source, like)
        names = source.names("") or ()
        snapshot.legacy = next((name for name in LEGACY_FILES if name in names), "")
        if LOGGER_FILE in names and main != LOGGER_FILE:
            with suppress(NotFound, Unwritable):
                snapshot.logger = source.read(LOGGER_FILE)
        waiting, seen = [(main, "")], set()
        while waiting:
            file, current = waiting.pop()
            if (file, current) in seen or file in snapshot.unreadable:
                continue
            seen.add((file, current))
            if file not in snapshot.files:
                try:
                    snapshot._read(file, source, like)
                except (NotFound, Unwritable) as error:
                    snapshot.unreadable[file] = str(error)
                    continue
            for include in snapshot._includes_of(file, current):
                if include not in snapshot.includes:
                    snapshot.includes[include] = snapshot._match(include, source)
                for found in snapshot.includes[include] or ():
                    waiting.append((found, snapshot.current_inside(include, found)))
        return snapshot

    def _read(self, file: str, source: Source, like: Snapshot | None) -> None:
        self.files[file] = source.read(file)
        known = like._parsed.get(file) if like is not None else None
        if known is not None and known.data == self.files[file]:
            self.files[file], self._parsed[file] = known.data, known
        elif known is not None:
            self._older[file] = known

    @property
    def parsed(self) -> Mapping[str, Document]:
        """The documents that have been asked for already."""
        return self._parsed

    def document(self, file: str) -> Document:
        """A file, parsed. Raises NotWellFormed."""
        if file in self._broken:
            raise self._broken[file]
        if file not in self._parsed:
            like = self._older.pop(file, None)
            try:
                self._parsed[file] = Document(self.files[file], file=file, like=like)
            except NotWellFormed as error:
                self._broken[file] = error
                raise
        return self._parsed[file]

    def source_line(self, file: str, line: int) -> str:
        """One line (from 1) of a file, well-formed or not; "" if there is no such line."""
        if file not in self._lines:
            data = self.logger if file == LOGGER_FILE and self.logger else self.files.get(file, b"")
            encoding, _ = encoding_of(data)
            self._lines[file] = data.decode(encoding, "replace").removeprefix("\ufeff").split("\n")
        lines = self._lines[file]
        return lines[line - 1].rstrip("\r") if 0 < line <= len(lines) else ""

    def replace(self, documents: Mapping[str, Document]) -> Snapshot:
        """The snapshot with some files changed; their includes match what they did before.

        Files that nothing includes any more are none of it.
        """
        files = {**self.files, **{file: document.data for file, document in documents.items()}}
        changed = self.with_bytes(files, documents)
        if self.includes:
            changed._forget_what_is_not_included()
        return changed

    def with_bytes(
        self, files: Mapping[str, bytes], documents: Mapping[str, Document] | None = None
    ) -> Snapshot:
        """The same with these bytes instead, some of them parsed; its includes match what they
        did.
        """
        return Snapshot(
            files,
            main=self.main,
            folder=self.folder,
            env=self.env,
            includes=self.includes,
            unreadable=self.unreadable,
            legacy=self.legacy,
            logger=self.logger,
            parsed={**self._parsed, **(documents or {})},
        )

    def _forget_what_is_not_included(self) -> None:
        includes: dict[Include, tuple[str, ...] | None] = {}
        waiting, seen = [(self.main, "")], set()
        while waiting:
            file, current = waiting.pop()
            if (file, current) in seen or file not in self.files:
                seen.add((file, current))
                continue
            seen.add((file, current))
            for include in self._includes_of(file, current):
                if include in self.includes:
                    includes[include] = self.includes[include]
                    for found in includes[include] or ():
                        waiting.append((found, self.current_inside(include, found)))
        names = {file for file, _ in seen}
        self.includes = includes
        self.files = {file: data for file, data in self.files.items() if file in names}
        self.unreadable = {file: why for file, why in self.unreadable.items() if file in names}
        self._parsed = {file: found for file, found in self._parsed.items() if file in names}

    @property
    def size(self) -> int:
        """Bytes of all files."""
        return sum(map(len, self.files.values()))

    @cached_property
    def digest(self) -> str:
        """SHA-256, in hex, over the names and bytes of all files."""
        return digest(self.files)

    def is_like(self, other: Snapshot) -> bool:
        """Whether everything is the same that decides what a check finds."""
        return self.files == other.files and self.surroundings == other.surroundings

    @property
    def surroundings(self) -> tuple[object, ...]:
        """What decides over a check, besides the files' content."""
        return (
            self.main, self.folder, self.env, self.legacy, self.logger, self.unreadable,
            self.includes,
        )  # fmt: skip

    def patches_from(self, older: Snapshot) -> dict[str, Patch]:
        """What became of the files that are in both, and not the same."""
        found: dict[str, Patch] = {}
        for file in self.changed_files(older):
            old, new = older.files.get(file), self.files.get(file)
            if old is None or new is None:
                continue
            before, after = older._parsed.get(file), self._parsed.get(file)
            if before is None or after is None:
                found[file] = difference(old, new)
            else:
                found[file] = after.patch_from(before)
        return found

    def changed_files(self, other: Snapshot) -> tuple[str, ...]:
        """Files that are not the same in both, sorted."""
        names = self.files.keys() | other.files.keys()
        return tuple(sorted(f for f in names if self.files.get(f) != other.files.get(f)))

    def is_inside(self, file: str) -> bool:
        """Whether a file lies in the configuration folder, so that it may be written."""
        return not file.startswith("/")

    def include(self, current: str, value: str) -> Include | None:
        """The include that an attribute value asks for; None if its macros are unknown."""
        pattern = expand(value, self.env)
        return None if pattern is None else Include(current, pattern)

    @property
    def folders(self) -> tuple[str, ...]:
        """All folders whose files matter, also those where an include finds nothing yet."""
        around = {str(PurePosixPath(file).parent) for file in self.files}
        asked = {self._split(include)[0] for include in self.includes}
        return tuple(sorted({"" if each == "." else each for each in around | asked | {""}}))

    def would_include(self, file: str) -> bool:
        """Whether some include of the snapshot would match a file of that name."""
        folder, _, name = file.rpartition("/")
        for include in self.includes:
            where, pattern = self._split(include)
            try:
                if where == folder and re.fullmatch(_regex(pattern), name):
                    return True
            except re.error:
                continue
        return False

    def current_inside(self, include: Include, found: str) -> str:
        """The current folder inside a file that an include found."""
        if not include.pattern.startswith("/"):
            return include.current
        return self.key(str(PurePosixPath(self.absolute(found)).parent))

    def absolute(self, file: str) -> str:
        """The absolute path of a file of the snapshot."""
        return file if file.startswith("/") else str(PurePosixPath(self.folder) / file)

    def key(self, path: str) -> str:
        """How the snapshot names an absolute path: relative, if inside the folder."""
        parts: list[str] = []
        for part in PurePosixPath(path).parts[1:]:
            if part == "..":
                parts = parts[:-1]
            elif part != ".":
                parts.append(part)
        absolute = PurePosixPath("/", *parts)
        if absolute.is_relative_to(self.folder):
            relative = str(absolute.relative_to(self.folder))
            return "" if relative == "." else relative
        return str(absolute)

    def _includes_of(self, file: str, current: str) -> Iterator[Include]:
        try:
            document = self.document(file)
        except NotWellFormed:
            return
        for value in document.attribute_values("include"):
            include = self.include(current, value)
            if include is not None:
                yield include

    def _match(self, include: Include, source: Source) -> tuple[str, ...] | None:
        folder, name = self._split(include)
        names = source.names(folder)
        if names is None:
            return None
        try:
            pattern = re.compile(_regex(name))
        except re.error:
            return None
        found = sorted(each for each in names if pattern.fullmatch(each))
        return tuple(f"{folder.rstrip('/')}/{each}" if folder else each for each in found)

    def _split(self, include: Include) -> tuple[str, str]:
        head, _, name = include.pattern.rpartition("/")
        if include.pattern.startswith("/"):
            return self.key(head or "/"), name
        start = self.absolute(include.current) if include.current else self.folder
        return self.key(str(PurePosixPath(start) / head)), name


def digest(files: Mapping[str, bytes]) -> str:
    """SHA-256, in hex, over names and bytes of some files."""
    total = hashlib.sha256()
    for file in sorted(files):
        for part in (file.encode(), files[file]):
            total.update(len(part).to_bytes(8, "big"))
            total.update(part)
    return total.hexdigest()


def _regex(name: str) -> str:
    r"""A file name pattern as the engine makes a regular expression of it.

    ``*`` is any run, ``?`` one character or none; ``( ) ]`` keep their regular meaning.
    """
    special = set(".+{}$^|[\\")
    translate = {"*": ".*", "?": ".?"}
    return "".join(translate.get(c, "\\" + c if c in special else c) for c in name)
