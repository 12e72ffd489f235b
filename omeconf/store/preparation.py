"""What has to be written so that a snapshot is on disk; written beside what lies there.

What only computes, or only waits for the disk, goes to threads beside the writer where that pays.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from concurrent.futures import Executor
from functools import partial
from typing import TypeVar

from omeconf.core.snapshot import Snapshot, digest
from omeconf.errors import NotFound, Unwritable
from omeconf.store.beside import start
from omeconf.store.disk import Folder
from omeconf.store.publish import Prepared, Publisher

T = TypeVar("T")

LONG = 1 << 16
"""Bytes from which it pays to hash on another thread: that lets others compute meanwhile."""


class Preparation:
    """Prepares to publish snapshots in one folder."""

    def __init__(self, folder: Folder, publisher: Publisher, beside: Executor) -> None:
        self.folder = folder
        self.publisher = publisher
        self.beside = beside

    def prepare(self, old: Snapshot, new: Snapshot) -> list[Prepared]:
        """Write what has to be written so that new is on disk, beside old, synced.

        Raises Unwritable; then nothing is left.
        """
        changed = self.to_write(old, new)
        return self.publisher.prepare(
            {file: new.files.get(file) for file in changed},
            {file: old.files.get(file) for file in changed},
            new.would_include,
            self._digests(new, changed),
        )

    def begin(self, work: Callable[[], T], *, is_beside: bool) -> Callable[[], T]:
        """What gives the result of some work: done at once, or beside the writer."""
        return start(self.beside if is_beside else None, work).result

    def to_write(self, old: Snapshot, new: Snapshot) -> list[str]:
        """Files that must be written, created or removed, so that new is on disk.

        One that is only not included any more stays: it may be somebody's. So it may be there
        still when it is included again.
        """
        return [
            file
            for file in old.changed_files(new)
            if (file in old.files or self._on_disk(file) != new.files[file])
            and (file in new.files or new.would_include(file))
        ]

    def _digests(self, new: Snapshot, changed: Iterable[str]) -> dict[str, Callable[[], str]]:
        """What gives the digest of each changed file; long ones are hashed while they are
        written.
        """
        whole = self.begin(lambda: new.digest, is_beside=new.size >= LONG)
        if new.files.keys() == {new.main}:
            return {new.main: whole}
        return {
            file: self.begin(
                partial(digest, {file: new.files[file]}), is_beside=len(new.files[file]) >= LONG
            )
            for file in changed
            if file in new.files
        }

    def _on_disk(self, file: str) -> bytes | None:
        try:
            return self.folder.read(file)
        except (NotFound, Unwritable):
            return None
