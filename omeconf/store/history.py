"""All revisions, in SQLite: who made them, why, and the bytes of their files.

The bytes of a file are kept once, whatever the number of revisions that have it. Commits are
synced to disk (WAL with synchronous=FULL) before `append` returns. The database holds old
secrets, so only its owner may read it.
"""

from __future__ import annotations

import hashlib
import os
import sqlite3
import threading
import zlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from omeconf.core.revision import Origin, Revision
from omeconf.errors import NotFound, Unwritable

_FORMAT = 1
_TABLES = """
CREATE TABLE revision (
    number  INTEGER PRIMARY KEY,
    parent  INTEGER NOT NULL,
    author  TEXT NOT NULL,
    time    REAL NOT NULL,
    message TEXT NOT NULL,
    origin  TEXT NOT NULL,
    digest  TEXT NOT NULL
) STRICT;
CREATE TABLE content (
    digest  BLOB PRIMARY KEY,
    data    BLOB NOT NULL
) STRICT, WITHOUT ROWID;
CREATE TABLE file (
    revision INTEGER NOT NULL REFERENCES revision (number),
    name     TEXT NOT NULL,
    content  BLOB NOT NULL REFERENCES content (digest),
    PRIMARY KEY (revision, name)
) STRICT, WITHOUT ROWID;
CREATE TABLE mark (
    name     TEXT PRIMARY KEY,
    revision INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
"""


class History:
    """The revisions of one configuration. May be used from several threads."""

    def __init__(self, path: Path) -> None:
        """Open, or begin, the history in a file. Raises Unwritable."""
        self.path = path
        self._guard = threading.Lock()
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))
            self._database = sqlite3.connect(
                path, isolation_level=None, check_same_thread=False, timeout=5
            )
            self._database.execute("PRAGMA journal_mode = WAL")
            self._database.execute("PRAGMA synchronous = FULL")
            self._database.execute("PRAGMA foreign_keys = ON")
            (found,) = self._database.execute("PRAGMA user_version").fetchone()
            if found > _FORMAT:
                raise Unwritable(f"{path} was written by a newer omeconf (format {found})")
            if found < _FORMAT:
                self._database.executescript(
                    f"BEGIN IMMEDIATE; {_TABLES} PRAGMA user_version = {_FORMAT}; COMMIT;"
                )
        except (OSError, sqlite3.Error) as error:
            raise Unwritable(f"cannot open the history in {path}: {error}") from error

    def close(self) -> None:
        """Close the file."""
        self._database.close()

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
    ) -> Revision:
        """Record a new revision durably. Raises Unwritable; then it is not recorded."""
        with self._transaction() as database:
            (last,) = database.execute("SELECT coalesce(max(number), 0) FROM revision").fetchone()
            revision = Revision(last + 1, parent, author, time, message, origin, digest)
            database.execute(
                "INSERT INTO revision VALUES (?, ?, ?, ?, ?, ?, ?)",
                (revision.number, parent, author, time, message, origin.value, digest),
            )
            for name, data in files.items():
                content = hashlib.sha256(data).digest()
                database.execute(
                    "INSERT OR IGNORE INTO content VALUES (?, ?)", (content, zlib.compress(data, 1))
                )
                database.execute(
                    "INSERT INTO file VALUES (?, ?, ?)", (revision.number, name, content)
                )
        return revision

    def withdraw(self, number: int) -> None:
        """Take back the newest revision, which was recorded but could not be published."""
        with self._transaction() as database:
            database.execute("DELETE FROM file WHERE revision = ?", (number,))
            database.execute("DELETE FROM revision WHERE number = ?", (number,))

    def prune(self, *, keep: int, older_than: float) -> int:
        """Forget revisions beyond the newest `keep`, and those made before `older_than`.

        The newest stays whatever its age, and so does every marked one; how many went.
        """
        with self._transaction() as database:
            (last,) = database.execute("SELECT coalesce(max(number), 0) FROM revision").fetchone()
            gone = database.execute(
                "SELECT number FROM revision WHERE number < ? AND (number <= ? OR time < ?)"
                " AND number NOT IN (SELECT revision FROM mark)",
                (last, last - keep, older_than),
            ).fetchall()
            for (number,) in gone:
                database.execute("DELETE FROM file WHERE revision = ?", (number,))
                database.execute("DELETE FROM revision WHERE number = ?", (number,))
            if gone:
                database.execute(
                    "DELETE FROM content WHERE digest NOT IN (SELECT content FROM file)"
                )
        return len(gone)

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

    def newest(self, *, limit: int = 100, below: int | None = None) -> list[Revision]:
        """Revisions, newest first."""
        return self._rows(
            "SELECT * FROM revision WHERE number < ? ORDER BY number DESC LIMIT ?",
            2**62 if below is None else below,
            limit,
        )

    def files(self, number: int) -> dict[str, bytes]:
        """The files of a revision by name. Raises NotFound."""
        self.get(number)
        with self._guard:
            rows = self._database.execute(
                "SELECT file.name, content.data FROM file JOIN content"
                " ON content.digest = file.content WHERE file.revision = ?",
                (number,),
            ).fetchall()
        return {name: zlib.decompress(data) for name, data in rows}

    def mark(self, name: str) -> int | None:
        """The revision of a mark (running, healthy, trying); None if it is not set."""
        with self._guard:
            row = self._database.execute(
                "SELECT revision FROM mark WHERE name = ?", (name,)
            ).fetchone()
        return row[0] if row else None

    def set_marks(self, **marks: int | None) -> None:
        """Move marks, or remove them (None), all or none. Raises Unwritable."""
        with self._transaction() as database:
            for name, number in marks.items():
                if number is None:
                    database.execute("DELETE FROM mark WHERE name = ?", (name,))
                else:
                    database.execute("INSERT OR REPLACE INTO mark VALUES (?, ?)", (name, number))

    def _rows(self, query: str, *arguments: int) -> list[Revision]:
        with self._guard:
            rows = self._database.execute(query, arguments).fetchall()
        return [
            Revision(number, parent, author, time, message, Origin(origin), digest)
            for number, parent, author, time, message, origin, digest in rows
        ]

    @contextmanager
    def _transaction(self) -> Iterator[sqlite3.Connection]:
        with self._guard:
            try:
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
