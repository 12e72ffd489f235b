"""What the disk asks for, without any program: the floor under each durable edit."""

from __future__ import annotations

import os
import sqlite3
import time
from pathlib import Path

_ROW = "x" * 300
"""About what a revision and its patch are."""


class Floor:
    """A file that is replaced durably: written beside, synced, renamed over, its folder synced."""

    def __init__(self, folder: Path, data: bytes) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.folder = folder
        self.data = data

    def replace(self) -> float:
        """Do it once; gives the seconds."""
        beside, target = self.folder / "new", self.folder / "Server.xml"
        begin = time.perf_counter()
        handle = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        left = memoryview(self.data)
        while left:
            left = left[os.write(handle, left) :]
        os.fsync(handle)
        os.close(handle)
        beside.rename(target)
        handle = os.open(self.folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        os.fsync(handle)
        os.close(handle)
        return time.perf_counter() - begin


class Inserts:
    """A SQLite database, as durable as the history, that is given one row at a time."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._database = sqlite3.connect(folder / "rows.sqlite", isolation_level=None)
        self._database.execute("PRAGMA journal_mode = WAL")
        self._database.execute("PRAGMA synchronous = FULL")
        self._database.execute("CREATE TABLE row (number INTEGER PRIMARY KEY, text TEXT)")

    def insert(self) -> float:
        """Do it once; gives the seconds."""
        begin = time.perf_counter()
        self._database.execute("BEGIN IMMEDIATE")
        self._database.execute("INSERT INTO row (text) VALUES (?)", (_ROW,))
        self._database.execute("COMMIT")
        return time.perf_counter() - begin

    def close(self) -> None:
        """Close the database."""
        self._database.close()
