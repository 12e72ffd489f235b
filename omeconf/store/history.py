"""All revisions, in SQLite: who made them, why, and how the files came to be what they are.

A revision keeps the patch from its parent's files to its own; a full copy stands in the first one
and now and then, so that no state is far from one. Commits are synced to disk (WAL with
synchronous=FULL) before `append` returns. The database holds old secrets, so only its owner may
read it. Nothing in it depends on row ids: `VACUUM INTO` makes a backup.
"""

from __future__ import annotations

import os
import sqlite3
import threading
import time as clock
import zlib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from omeconf.core.patch import Patch, Piece, decode, difference, encode, forward
from omeconf.core.revision import Origin, Revision
from omeconf.errors import NotFound, Unwritable

_FORMAT = 3
_TABLES = """
CREATE TABLE revision (
    number  INTEGER PRIMARY KEY,
    parent  INTEGER NOT NULL,
    author  TEXT NOT NULL,
    time    REAL NOT NULL,
    message TEXT NOT NULL,
    origin  TEXT NOT NULL,
    digest  TEXT NOT NULL,
    reload  TEXT NOT NULL,
    reverts TEXT NOT NULL
) STRICT;
CREATE TABLE change (
    revision INTEGER NOT NULL REFERENCES revision (number),
    name     TEXT NOT NULL,
    kind     TEXT NOT NULL CHECK (kind IN ('patched', 'added', 'removed')),
    patch    BLOB NOT NULL,
    PRIMARY KEY (revision, name)
) STRICT, WITHOUT ROWID;
CREATE TABLE copy (
    revision INTEGER NOT NULL REFERENCES revision (number),
    name     TEXT NOT NULL,
    data     BLOB NOT NULL,
    PRIMARY KEY (revision, name)
) STRICT, WITHOUT ROWID;
CREATE TABLE mark (
    name     TEXT PRIMARY KEY,
    revision INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE TABLE job (
    id       TEXT PRIMARY KEY,
    made     REAL NOT NULL,
    detail   TEXT NOT NULL
) STRICT, WITHOUT ROWID;
CREATE TABLE note (
    name     TEXT PRIMARY KEY,
    text     TEXT NOT NULL
) STRICT, WITHOUT ROWID;
"""
_SUMMARIES = """
CREATE TABLE summary (
    revision INTEGER PRIMARY KEY REFERENCES revision (number),
    text     TEXT NOT NULL
) STRICT;
"""
"""New in format 3."""
KEPT_JOBS = 200
"""So many reloads are kept."""
RECENT = 20
"""By so many revisions it is seen what time it is."""
WAY_BACK = "confirm"
"""The mark of the revision that is gone back to unless something is confirmed."""
COPY_EVERY = 100
"""A full copy stands in at least every revision whose number is a multiple of this."""
_LEVEL = 1


@dataclass(frozen=True, slots=True)
class Record:
    """A revision with all that makes its files: what is kept of it, here and elsewhere."""

    revision: Revision
    changes: tuple[tuple[str, str, bytes], ...]
    """Name, kind and encoded patch of every file that is not what its parent has."""
    copy: Mapping[str, bytes] | None
    """All its files, if it stands for itself."""

    @classmethod
    def of(
        cls,
        revision: Revision,
        files: Mapping[str, bytes],
        base: Mapping[str, bytes] | None = None,
        patches: Mapping[str, Patch] | None = None,
    ) -> Record:
        """base: the files of its parent; without it the revision stands for itself. patches: what
        became of its files, as far as that is known.
        """
        is_alone = base is None or not revision.parent
        changes = () if is_alone or base is None else tuple(_changes(base, files, patches or {}))
        is_copied = is_alone or revision.number % COPY_EVERY == 0
        return cls(revision, changes, files if is_copied else None)


class History:
    """The revisions of one configuration. May be used from several threads."""

    def __init__(self, path: Path) -> None:
        """Open, or begin, the history in a file. Raises Unwritable if another release wrote it.

        A damaged file is set aside, and a new history begun: `set_aside` tells. One that
        cannot be opened now (no space, no permission) is left alone: `trouble` says why,
        nothing can be recorded, and `reopen` tries again.
        """
        self.path = path
        self.trouble = ""
        """Why nothing can be recorded; "" while all is well."""
        self.set_aside: Path | None = None
        """Where a damaged history was moved; None if it was not damaged."""
        self._guard = threading.Lock()
        self._is_synced = True
        """Whether a commit waits for the disk now."""
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            try:
                self._database = self._open()
            except sqlite3.DatabaseError as error:
                if isinstance(error, sqlite3.OperationalError):
                    raise  # locked, full, not permitted: not the file's own fault
                self.set_aside = self._move_away()
                self._database = self._open()
        except (OSError, sqlite3.Error) as error:
            self.trouble = f"cannot open the history in {path}: {error}"
            self._database = sqlite3.connect(
                ":memory:", isolation_level=None, check_same_thread=False
            )
            self._database.executescript(_TABLES + _SUMMARIES)

    def _open(self) -> sqlite3.Connection:
        path = self.path
        os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))
        database = sqlite3.connect(path, isolation_level=None, check_same_thread=False, timeout=5)
        try:
            database.execute("PRAGMA journal_mode = WAL")
            database.execute("PRAGMA synchronous = FULL")
            self._is_synced = True
            database.execute("PRAGMA foreign_keys = ON")
            (found,) = database.execute("PRAGMA user_version").fetchone()
            if found > _FORMAT:
                raise Unwritable(f"{path} was written by a newer omeconf (format {found})")
            if 0 < found < 2:
                raise Unwritable(f"{path} was written by an unreleased omeconf: move it away")
            (state,) = database.execute("PRAGMA quick_check(1)").fetchone()
            if state != "ok":
                raise sqlite3.DatabaseError(state)
            if found < _FORMAT:
                database.executescript(
                    f"BEGIN IMMEDIATE; {_SUMMARIES if found else _TABLES + _SUMMARIES}"
                    f"PRAGMA user_version = {_FORMAT}; COMMIT;"
                )
        except BaseException:
            database.close()
            raise
        return database

    def _move_away(self, why: str = "damaged") -> Path:
        """Keep the file, with what belongs to it, under another name, which says why."""
        moment = clock.strftime("%Y%m%dT%H%M%S", clock.gmtime())
        aside = self.path.with_name(f"{self.path.name}.{why}-{moment}")
        while aside.exists():
            aside = aside.with_name(f"{aside.name}+")
        for suffix in ("-wal", "-shm", ""):
            part = Path(f"{self.path}{suffix}")
            if part.exists():
                part.rename(f"{aside}{suffix}")
        return aside

    def reopen(self) -> bool:
        """Try again to open the file, if that has failed; whether it is open now."""
        try:
            database = self._open()
        except (OSError, sqlite3.Error):
            return False
        with self._guard:
            self._database.close()
            self._database, self.trouble = database, ""
        return True

    def start_anew(self, why: str = "damaged") -> None:
        """Set the file aside, under a name that says why. Raises Unwritable."""
        with self._guard:
            self._database.close()
            try:
                self.set_aside = self._move_away(why)
                self._database = self._open()
            except (OSError, sqlite3.Error) as error:
                raise Unwritable(f"cannot open the history in {self.path}: {error}") from error

    def close(self) -> None:
        """Close the file."""
        self._database.close()

    # -- writing ---------------------------------------------------------------------------

    def append(
        self,
        *,
        parent: int,
        author: str,
        time: float,
        message: str,
        origin: Origin,
        digest: str,
        files: Mapping[str, bytes],
        base: Mapping[str, bytes] | None = None,
        patches: Mapping[str, Patch] | None = None,
        reverts: tuple[int, ...] = (),
    ) -> Revision:
        """Record a new revision durably. Raises Unwritable; then it is not recorded.

        base: the files of the parent, which must be the newest revision; without it the new
        revision stands for itself. patches: what became of its files, as far as that is known.
        """
        with self._transaction() as database:
            (last,) = database.execute("SELECT coalesce(max(number), 0) FROM revision").fetchone()
            number = last + 1
            revision = Revision(number, parent, author, time, message, origin, digest, "", reverts)
            self._insert(database, Record.of(revision, files, base, patches))
        return revision

    def insert(
        self,
        records: Sequence[Record],
        *,
        notes: Mapping[str, str | None] | None = None,
        marks: Mapping[str, int | None] | None = None,
    ) -> None:
        """Record revisions that were made elsewhere, and set notes and marks besides, all or none,
        durably. Raises Unwritable.

        Each has a number above all before it; where its parent is not here, it stands for itself.
        """
        with self._transaction() as database:
            for record in records:
                self._insert(database, record)
            for name, text in (notes or {}).items():
                _set(database, "note", name, text)
            for name, number in (marks or {}).items():
                _set(database, "mark", name, number)

    def record(self, number: int) -> Record:
        """A revision with all that makes its files. Raises NotFound or Unwritable."""
        revision = replace(self.get(number), reload="")
        rows = self._select("SELECT name, kind, patch FROM change WHERE revision = ?", number)
        with self._guard:
            copies = self._copy(number)
        copy = {name: zlib.decompress(data) for name, data in copies} if copies else None
        return Record(revision, tuple(rows), copy)

    def alone(self, number: int) -> Record:
        """As `record`, of a revision that is to stand for itself."""
        return replace(self.record(number), copy=self.files(number))

    def withdraw(self, number: int) -> None:
        """Take back the newest revision, which was recorded but could not be published."""
        with self._transaction() as database:
            self._forget(database, [(number,)])

    def prune(self, *, keep: int, older_than: float, at_once: bool = True) -> int:
        """Forget revisions beyond the newest `keep`, and those made before `older_than`, up to the
        first that was not: one of a wrong clock makes none older that came after it.

        The newest stays whatever its age, its parent, every marked one, and all since the way
        back of what waits to be confirmed; how many went. One
        that loses its parent gets a full copy first; so that this is not done for each commit,
        not at_once waits until a tenth of `keep` (at most COPY_EVERY) can go together.
        """
        with self._transaction() as database:
            (last,) = database.execute("SELECT coalesce(max(number), 0) FROM revision").fetchone()
            first = _first_kept(database, keep, older_than)
            gone = database.execute(
                "SELECT number FROM revision WHERE number < ?"
                " AND number NOT IN (SELECT revision FROM mark)"
                " AND number NOT IN (SELECT parent FROM revision WHERE number = ?)"
                " AND number < (SELECT coalesce(min(revision), ?) FROM mark WHERE name = ?)",
                (first, last, last, WAY_BACK),
            ).fetchall()
            if not gone or (not at_once and len(gone) < min(keep // 10, COPY_EVERY)):
                return 0
            numbers = {number for (number,) in gone}
            orphans = database.execute(
                "SELECT number, parent FROM revision WHERE number NOT IN"
                " (SELECT revision FROM copy)"
            ).fetchall()
            for number, parent in orphans:
                if parent in numbers and number not in numbers:
                    self._write_copy(number, self._files(number))
            self._forget(database, gone)
        return len(gone)

    def first_kept(self, *, keep: int, older_than: float) -> int:
        """The first revision that `prune` would keep for its own sake; 0 if there is none."""
        with self._guard:
            try:
                return _first_kept(self._database, keep, older_than)
            except sqlite3.Error as error:
                raise Unwritable(f"cannot read the history: {error}") from error

    def now(self, clock: float) -> float:
        """The time as nobody's clock is ahead of it who made one of the newest revisions; clock is
        ours. In seconds since the epoch.
        """
        return min([clock, *(revision.time for revision in self.newest(limit=RECENT))])

    def set_marks(self, **marks: int | None) -> None:
        """Move marks, or remove them (None), all or none. Raises Unwritable."""
        with self._transaction() as database:
            for name, number in marks.items():
                _set(database, "mark", name, number)

    def set_note(self, name: str, text: str | None) -> None:
        """Keep a text under a name, or remove it (None). Raises Unwritable."""
        with self._transaction() as database:
            _set(database, "note", name, text)

    def set_summary(self, number: int, text: str) -> None:
        """Keep what a revision changed, in short; nothing if it is gone. Raises Unwritable.

        It is synced with what is recorded next: it can be found out again.
        """
        with self._transaction(is_synced=False) as database:
            database.execute(
                "INSERT OR REPLACE INTO summary SELECT number, ? FROM revision WHERE number = ?",
                (text, number),
            )

    def summaries(self, numbers: Sequence[int]) -> dict[int, str]:
        """What is kept of these revisions. Raises Unwritable."""
        marks = ", ".join("?" * len(numbers))
        rows = self._select(
            f"SELECT revision, text FROM summary WHERE revision IN ({marks})", *numbers
        )
        return dict(rows)

    def set_job(
        self,
        job_id: str,
        made: float,
        detail: str,
        *,
        covers: tuple[int, int] | None = None,
        outcome: str = "",
    ) -> None:
        """Keep a reload, as JSON; the oldest beyond KEPT_JOBS go. Raises Unwritable.

        covers: note with these revisions, first to last, what came of it; what failed once stays
        so, but for the last, which is what was tried now. This is there after a
        crash of ours; after one of the machine the engine has begun anew, too, so that nothing is
        waited for: it is synced with what is recorded next.
        """
        with self._transaction(is_synced=False) as database:
            if covers is not None:
                database.execute(
                    "UPDATE revision SET reload = ? WHERE number BETWEEN ? AND ?"
                    " AND (number = ? OR reload NOT IN ('failed', 'reverted'))",
                    (outcome, *covers, covers[1]),
                )
            database.execute("INSERT OR REPLACE INTO job VALUES (?, ?, ?)", (job_id, made, detail))
            database.execute(
                "DELETE FROM job WHERE id NOT IN (SELECT id FROM job ORDER BY made DESC LIMIT ?)",
                (KEPT_JOBS,),
            )

    # -- reading ---------------------------------------------------------------------------

    def head(self) -> Revision | None:
        """The newest revision; None if there is none yet."""
        found = self._rows("SELECT * FROM revision ORDER BY number DESC LIMIT 1")
        return found[0] if found else None

    def get(self, number: int) -> Revision:
        """One revision. Raises NotFound."""
        found = self._rows("SELECT * FROM revision WHERE number = ?", number)
        if not found:
            raise NotFound(f"there is no revision {number}")
        return found[0]

    def after(self, number: int) -> Revision:
        """The next revision that is kept. Raises NotFound if there is none."""
        query = "SELECT * FROM revision WHERE number > ? ORDER BY number LIMIT 1"
        found = self._rows(query, number)
        if not found:
            raise NotFound(f"there is no revision after {number}")
        return found[0]

    def newest(self, *, limit: int = 100, below: int | None = None) -> list[Revision]:
        """Revisions, newest first."""
        return self._rows(
            "SELECT * FROM revision WHERE number < ? ORDER BY number DESC LIMIT ?",
            2**62 if below is None else below,
            limit,
        )

    def files(self, number: int) -> dict[str, bytes]:
        """The files of a revision by name. Raises NotFound, or Unwritable if they are damaged."""
        self.get(number)
        with self._guard:
            return self._files(number)

    def patches(self, number: int) -> dict[str, Patch]:
        """What a revision changed in each file; empty if it stands for itself."""
        rows = self._select("SELECT name, patch FROM change WHERE revision = ?", number)
        try:
            return {name: decode(data) for name, data in rows}
        except ValueError as error:
            raise Unwritable(f"the history is damaged at revision {number}: {error}") from error

    def jobs(self) -> list[str]:
        """The reloads that were kept, as JSON, newest first."""
        return [str(row[0]) for row in self._select("SELECT detail FROM job ORDER BY made DESC")]

    def mark(self, name: str) -> int | None:
        """The revision of a mark (running, healthy, trying); None if it is not set."""
        rows = self._select("SELECT revision FROM mark WHERE name = ?", name)
        return int(rows[0][0]) if rows else None

    def note(self, name: str) -> str | None:
        """The text kept under a name; None if there is none."""
        rows = self._select("SELECT text FROM note WHERE name = ?", name)
        return str(rows[0][0]) if rows else None

    # -- inside; the guard is held -----------------------------------------------------------

    def _files(self, number: int) -> dict[str, bytes]:
        """From the nearest full copy behind it, patch after patch."""
        way: list[int] = []
        try:
            while not (copies := self._copy(number)):
                way.append(number)
                row = self._database.execute(
                    "SELECT parent FROM revision WHERE number = ?", (number,)
                ).fetchone()
                if row is None:
                    raise ValueError(f"revision {number} is missing")
                number = row[0]
            files = {name: zlib.decompress(data) for name, data in copies}
            for each in reversed(way):
                self._patch(each, files)
        except (sqlite3.Error, zlib.error, ValueError) as error:
            raise Unwritable(f"the history is damaged at revision {number}: {error}") from error
        return files

    def _copy(self, number: int) -> list[tuple[str, bytes]]:
        return self._database.execute(
            "SELECT name, data FROM copy WHERE revision = ?", (number,)
        ).fetchall()

    def _patch(self, number: int, files: dict[str, bytes]) -> None:
        rows = self._database.execute(
            "SELECT name, kind, patch FROM change WHERE revision = ?", (number,)
        )
        for name, kind, data in rows:
            before = files.pop(name, b"")
            after = forward(before, decode(data))
            if kind != "removed":
                files[name] = after

    def _insert(self, database: sqlite3.Connection, record: Record) -> None:
        revision = record.revision
        number = revision.number
        database.execute(
            "INSERT INTO revision VALUES (?, ?, ?, ?, ?, ?, ?, '', ?)",
            (number, revision.parent, revision.author, revision.time, revision.message,
             revision.origin.value, revision.digest, " ".join(map(str, revision.reverts))),
        )  # fmt: skip
        database.executemany(
            "INSERT INTO change VALUES (?, ?, ?, ?)",
            [(number, *change) for change in record.changes],
        )
        if record.copy is not None:
            self._write_copy(number, record.copy)

    def _write_copy(self, number: int, files: Mapping[str, bytes]) -> None:
        self._database.executemany(
            "INSERT INTO copy VALUES (?, ?, ?)",
            [(number, name, zlib.compress(data, _LEVEL)) for name, data in files.items()],
        )

    def _forget(self, database: sqlite3.Connection, numbers: list[tuple[int]]) -> None:
        tables = dict.fromkeys(("summary", "change", "copy"), "revision") | {"revision": "number"}
        for table, column in tables.items():
            database.executemany(f"DELETE FROM {table} WHERE {column} = ?", numbers)

    def _select(self, query: str, *arguments: object) -> list[tuple[Any, ...]]:
        with self._guard:
            try:
                return self._database.execute(query, arguments).fetchall()
            except sqlite3.Error as error:
                raise Unwritable(f"cannot read the history: {error}") from error

    def _rows(self, query: str, *arguments: int) -> list[Revision]:
        return [_revision(*row) for row in self._select(query, *arguments)]

    @contextmanager
    def _transaction(self, *, is_synced: bool = True) -> Iterator[sqlite3.Connection]:
        if self.trouble:
            raise Unwritable(self.trouble)
        with self._guard:
            try:
                if is_synced is not self._is_synced:
                    self._database.execute(
                        f"PRAGMA synchronous = {'FULL' if is_synced else 'NORMAL'}"
                    )
                    self._is_synced = is_synced
                self._database.execute("BEGIN IMMEDIATE")
                try:
                    yield self._database
                    self._database.execute("COMMIT")
                except BaseException:
                    if self._database.in_transaction:
                        self._database.execute("ROLLBACK")
                    raise
            except sqlite3.Error as error:
                raise Unwritable(f"cannot write the history: {error}") from error


def _set(database: sqlite3.Connection, table: str, name: str, value: str | int | None) -> None:
    """Have a note or a mark be so, or not be (None)."""
    if value is None:
        database.execute(f"DELETE FROM {table} WHERE name = ?", (name,))
    else:
        database.execute(f"INSERT OR REPLACE INTO {table} VALUES (?, ?)", (name, value))


def _first_kept(database: sqlite3.Connection, keep: int, older_than: float) -> int:
    (last, young) = database.execute(
        "SELECT coalesce(max(number), 0),"
        " coalesce(min(CASE WHEN time >= ? THEN number END), max(number), 0) FROM revision",
        (older_than,),
    ).fetchone()
    return int(max(last - keep + 1, young))


def _revision(
    number: int,
    parent: int,
    author: str,
    time: float,
    message: str,
    origin: str,
    digest: str,
    outcome: str,
    reverts: str,
) -> Revision:
    """One row of the table."""
    taken_back = tuple(map(int, reverts.split()))
    return Revision(
        number, parent, author, time, message, Origin(origin), digest, outcome, taken_back
    )


def _changes(
    base: Mapping[str, bytes], files: Mapping[str, bytes], patches: Mapping[str, Patch]
) -> Iterator[tuple[str, str, bytes]]:
    """Name, kind and patch of every file that is not the same."""
    for name in sorted(base.keys() | files.keys()):
        old, new = base.get(name), files.get(name)
        if old is None:
            yield name, "added", encode((Piece(0, b"", new or b""),))
        elif new is None:
            yield name, "removed", encode((Piece(0, old, b""),))
        elif old != new:
            yield name, "patched", encode(patches.get(name) or difference(old, new))
