"""Notices manual edits: by what the kernel tells of their folders, and a look every few seconds.

The folders are watched, not the files: editors save by renaming. An event only says "look"; what
changed is found by comparing content, so our own writes need no ignoring. Nothing depends on
events but the time until an edit is seen: where there are none (no inotify instance is left, a
network file system, a folder mounted over) the looks find it.
"""

from __future__ import annotations

import logging
import queue
import threading
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

from watchdog.observers.api import EventDispatcher, EventQueue

from omeconf.daemon.bursts import Bursts

log = logging.getLogger(__name__)

Identity = tuple[int, int]
"""Device and inode."""


class Watcher:
    """Calls `look` when a folder came to rest after a change, and every so often anyway."""

    def __init__(
        self,
        paths: Callable[[], Iterable[Path]],
        marks: Callable[[], object],
        look: Callable[[], bool],
        *,
        settle_s: float,
        look_every_s: float,
    ) -> None:
        """paths are the folders to watch now; marks changes when a file may have changed.

        look says whether it is done; if not, it is called again at the next turn.
        """
        self.paths = paths
        self.marks = marks
        self.look = look
        self.settle_s = settle_s
        self.look_every_s = look_every_s
        self._told = EventQueue()
        self._stopping = threading.Event()
        self._bursts: Bursts | None = None
        self._watched: Mapping[Path, Identity] = {}
        self._trouble = ""
        """Why something is not heard, as it was logged."""
        self._thread = threading.Thread(target=self._loop, name="watcher", daemon=True)

    def start(self) -> None:
        """Begin to watch."""
        self._watch()
        self._thread.start()

    def stop(self) -> None:
        """Stop watching."""
        self._stopping.set()
        self._told.put(EventDispatcher.stop_event)
        if self._thread.is_alive():
            self._thread.join()
        self._unwatch()

    def times(self, settle_s: float, look_every_s: float) -> None:
        """Other times, from now on: whoever rests for the old ones is woken."""
        self.settle_s, self.look_every_s = settle_s, look_every_s
        if self._bursts is not None:
            self._bursts.settle_s = settle_s
        self._told.put(EventDispatcher.stop_event)

    @property
    def is_alive(self) -> bool:
        """Whether looks are taken."""
        return self._thread.is_alive()

    @property
    def hears(self) -> bool:
        """Whether events are being received; without them the looks still find every edit."""
        return self._bursts is not None and self._bursts.is_alive()

    def as_json(self) -> dict[str, Any]:
        """For status: what is watched, how often it is looked besides, and what cannot be heard."""
        return {
            "folders": sorted(map(str, self._watched)) if self.hears else [],
            "lookEverySeconds": self.look_every_s,
            "trouble": self._trouble or None,
        }

    def _loop(self) -> None:
        seen: object = None  # what happened before we were here is found by the first look
        while not self._stopping.is_set():
            is_told = self._wait()
            if self._stopping.is_set():
                return
            try:
                seen = self._turn(seen, is_told=is_told)
            except Exception:  # the watcher must outlive whatever it meets
                log.exception("Cannot look at the configuration folder")
                seen = None

    def _wait(self) -> bool:
        """Whether something happened within look_every_s, and is over."""
        try:
            self._told.get(timeout=self.look_every_s)
        except queue.Empty:
            return False
        return True

    def _turn(self, seen: object, *, is_told: bool) -> object:
        """Look, if something may have changed; gives the marks that were seen."""
        is_new = self._watch()
        marks = self.marks()
        if is_told or is_new or marks != seen:
            return marks if self.look() else None
        return seen

    def _watch(self) -> bool:
        """Watch the folders that matter now; whether others than before are heard.

        A folder that was replaced by another of its name is another.
        """
        wanted = {path: found for path in self.paths() if (found := _identity(path)) is not None}
        if wanted == self._watched and self.hears:
            return False
        before, heard = self._watched, self.hears
        self._unwatch()
        deaf = self._listen(wanted) if wanted else {}
        self._watched = {path: found for path, found in wanted.items() if path not in deaf}
        self._report(deaf)
        return self._watched != before or not heard

    def _listen(self, wanted: Iterable[Path]) -> Mapping[Path, OSError]:
        """Have the kernel tell of paths; gives those of which it does not, and why."""
        bursts = Bursts(self._told, wanted, self.settle_s)
        try:
            bursts.start()
        except OSError as error:
            bursts.close()
            return dict.fromkeys(wanted, error)
        self._bursts = bursts
        return bursts.deaf

    def _report(self, deaf: Mapping[Path, OSError]) -> None:
        """Say once what cannot be watched; it is tried again at every turn."""
        trouble = "; ".join(sorted(f"{path}: {error.strerror}" for path, error in deaf.items()))
        if trouble and trouble != self._trouble:
            log.warning("Cannot watch, so looking every %g s: %s", self.look_every_s, trouble)
        elif self._trouble and not trouble:
            log.info("watching again: %s", ", ".join(sorted(map(str, self._watched))))
        self._trouble = trouble

    def _unwatch(self) -> None:
        if self._bursts is not None:
            self._bursts.close()
        self._bursts = None


def _identity(path: Path) -> Identity | None:
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_dev, found.st_ino
