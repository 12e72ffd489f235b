"""Tells when the folders of a configuration came to rest after a change: one event a burst.

A commit of ours makes a dozen events in the folder, a save in an editor up to ten. What they are
does not matter, since files are compared by content: so they are left in the kernel while more
may come, then read in one go and thrown away. One thread wakes up a few times a burst, whatever
happens in it; a queue that overflows is one more event. Watchdog's own emitter makes three
threads handle each event, and holds a file that was moved away, and all behind it, for 0.5 s in
case it turns up elsewhere (watchdog 7.1, inotify_move_event_grouper.py).

Heard are closed, moved, created and deleted, not opened, read or modified: that sees every way of
saving (measured with editors, sed, cp and ConfigMap swaps), and no file that a slow writer still
has open. A folder itself is heard of when it is moved or deleted.
"""

from __future__ import annotations

import ctypes
import os
import select
import time
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

from watchdog.events import DirModifiedEvent
from watchdog.observers.api import EventEmitter, EventQueue, ObservedWatch
from watchdog.observers.inotify_c import InotifyConstants, inotify_add_watch, inotify_init

MASK = (
    InotifyConstants.IN_CLOSE_WRITE
    | InotifyConstants.IN_MOVE
    | InotifyConstants.IN_CREATE
    | InotifyConstants.IN_DELETE
    | InotifyConstants.IN_DELETE_SELF
    | InotifyConstants.IN_MOVE_SELF
)

GATHER = 0.2
"""Events of so much of the settling time are read together, twice as many where they go on; by so
much, at most, a file may have been at rest for less than that time."""

SETTLE_CAP = 10
"""What never comes to rest is told of after so many settling times."""

_BUFFER_BYTES = 1 << 16
_LARGEST_EVENT_BYTES = 16 + 256


class Bursts(EventEmitter):
    """Puts one event into a queue whenever something happened and has come to rest."""

    def __init__(self, queue: EventQueue, paths: Iterable[Path], settle_s: float) -> None:
        """paths are folders, or single files that are heard of nowhere else.

        What cannot be watched is in `deaf` once this has been started.
        """
        self.paths = tuple(paths)
        self.settle_s = settle_s
        self.deaf: dict[Path, OSError] = {}
        """What cannot be watched, and why."""
        self._inotify = self._stopped = -1
        self._happens, self._stops = select.poll(), select.poll()
        super().__init__(queue, ObservedWatch(str(self.paths[0]), recursive=False))
        self.name = "bursts"

    def on_thread_start(self) -> None:
        """Begin to watch, before anything is looked at. Raises OSError if nothing can be heard."""
        self._stopped = os.eventfd(0)
        self._inotify = inotify_init()
        if self._inotify == -1:
            raise _error("no inotify instance is left (fs.inotify.max_user_instances)")
        os.set_inheritable(self._inotify, False)
        os.set_blocking(self._inotify, False)
        for path in self.paths:
            if inotify_add_watch(self._inotify, os.fsencode(path), MASK) == -1:
                self.deaf[path] = _error(str(path))
        self._happens.register(self._inotify, select.POLLIN)
        for poll in self._happens, self._stops:
            poll.register(self._stopped, select.POLLIN)

    def on_thread_stop(self) -> None:
        """Wake the thread, which then ends."""
        if self._stopped != -1:
            os.eventfd_write(self._stopped, 1)

    def close(self) -> None:
        """Stop, and let the kernel forget about it."""
        self.stop()
        if self.is_alive():
            self.join()
        for handle in (self._inotify, self._stopped):
            if handle != -1:
                os.close(handle)
        self._inotify = self._stopped = -1

    def queue_events(self, timeout: float) -> None:  # noqa: ARG002
        """Wait for one burst, and for its end."""
        self._happens.poll()
        deadline = time.monotonic() + self.settle_s * SETTLE_CAP
        settle_ms, gather_ms = self.settle_s * 1000, self.settle_s * 1000 * GATHER
        while not self._stops.poll(gather_ms):
            self._drain()
            if not self._happens.poll(settle_ms - gather_ms) or time.monotonic() > deadline:
                break
            gather_ms = settle_ms * GATHER * 2
        if self.should_keep_running():
            self.queue_event(DirModifiedEvent(self.watch.path))

    def _drain(self) -> None:
        """Read what there is. (Whoever waits for Python's lock pays for each call that blocks.)"""
        with suppress(BlockingIOError):
            while len(os.read(self._inotify, _BUFFER_BYTES)) > _BUFFER_BYTES - _LARGEST_EVENT_BYTES:
                pass


def _error(what: str) -> OSError:
    number = ctypes.get_errno()
    return OSError(number, os.strerror(number), what)
