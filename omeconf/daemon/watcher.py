"""Notices manual edits: inotify through watchdog, and a look at the files every few seconds.

The folders are watched, not the files: editors save by renaming. An event only says "look"; what
changed is found by comparing content, so our own writes need no ignoring. Reacting to closed,
moved, created and deleted (not to modified) sees every way of saving, and no half-written file
of a slow writer (measured with editors, sed, cp, rsync-like saves and ConfigMap swaps).
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterable
from pathlib import Path

from watchdog.events import (
    DirCreatedEvent,
    DirDeletedEvent,
    DirMovedEvent,
    FileClosedEvent,
    FileCreatedEvent,
    FileDeletedEvent,
    FileMovedEvent,
    FileSystemEvent,
    FileSystemEventHandler,
)
from watchdog.observers import Observer
from watchdog.observers.api import BaseObserver

log = logging.getLogger(__name__)

EVENTS: list[type[FileSystemEvent]] = [
    FileClosedEvent, FileMovedEvent, FileCreatedEvent, FileDeletedEvent,
    DirMovedEvent, DirCreatedEvent, DirDeletedEvent,
]  # fmt: skip
"""What is heard of: not that a file is opened, read or modified, so that neither looks nor commits
cost more than they must."""

SETTLE_CAP = 10
"""A file that never comes to rest is looked at after so many settling times."""


class Watcher:
    """Calls `look` when a folder came to rest after a change, and every so often anyway."""

    def __init__(
        self,
        folders: Callable[[], Iterable[Path]],
        marks: Callable[[], object],
        look: Callable[[], bool],
        *,
        settle_s: float,
        look_every_s: float,
    ) -> None:
        """folders are those to watch now; marks changes when a file may have changed.

        look says whether it is done; if not, it is called again at the next turn.
        """
        self.folders = folders
        self.marks = marks
        self.look = look
        self.settle_s = settle_s
        self.look_every_s = look_every_s
        self._woken = threading.Event()
        self._stopping = threading.Event()
        self._observer: BaseObserver | None = None
        self._watched: frozenset[Path] = frozenset()
        self._thread = threading.Thread(target=self._loop, name="watcher", daemon=True)

    def start(self) -> None:
        """Begin to watch."""
        self._watch()
        self._thread.start()

    def stop(self) -> None:
        """Stop watching."""
        self._stopping.set()
        self._woken.set()
        if self._thread.is_alive():
            self._thread.join()
        self._unwatch()

    @property
    def is_alive(self) -> bool:
        """Whether looks are taken."""
        return self._thread.is_alive()

    @property
    def hears(self) -> bool:
        """Whether events are being received; without them the looks still find every edit."""
        return self._observer is not None and self._observer.is_alive()

    def _loop(self) -> None:
        seen: object = None  # what happened before we were here is found by the first look
        while not self._stopping.is_set():
            is_woken = self._woken.wait(self.look_every_s)
            if self._stopping.is_set():
                return
            try:
                seen = self._turn(seen, is_woken=is_woken)
            except Exception:  # the watcher must outlive whatever it meets
                log.exception("Cannot look at the configuration folder")
                seen = None

    def _turn(self, seen: object, *, is_woken: bool) -> object:
        """Look, if something may have changed; gives the marks that were seen."""
        if is_woken:
            self._settle()
        self._watch()
        marks = self.marks()
        if is_woken or marks != seen:
            return marks if self.look() else None
        return seen

    def _settle(self) -> None:
        """Wait until nothing has happened for settle_s, but not for ever."""
        for _ in range(SETTLE_CAP):
            self._woken.clear()
            if not self._woken.wait(self.settle_s):
                break
        self._woken.clear()

    def _watch(self) -> None:
        """Watch the folders that matter now; anew if they, or the observer, have changed."""
        wanted = frozenset(folder for folder in self.folders() if folder.is_dir())
        if wanted == self._watched and self.hears:
            return
        self._unwatch()
        handler = _Handler(self._woken)
        observer = Observer()
        try:
            for folder in wanted:
                observer.schedule(handler, str(folder), event_filter=EVENTS)
            observer.start()
        except OSError as error:
            log.warning(
                "Cannot watch %s, looking every %g s instead: %s",
                ", ".join(map(str, wanted)),
                self.look_every_s,
                error,
            )
            return
        self._observer, self._watched = observer, wanted

    def _unwatch(self) -> None:
        if self._observer is not None and self._observer.is_alive():
            self._observer.stop()
            self._observer.join()
        self._observer = None


class _Handler(FileSystemEventHandler):
    def __init__(self, woken: threading.Event) -> None:
        self.woken = woken

    def on_closed(self, event: FileSystemEvent) -> None:  # noqa: ARG002
        self.woken.set()

    on_moved = on_closed
    on_created = on_closed
    on_deleted = on_closed
