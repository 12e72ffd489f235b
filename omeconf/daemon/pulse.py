"""Whether the threads that do the work still do it: what the watchdog is told.

A thread is **stuck** when it has something to do and nothing of it moves: it uses no processor
time at all, as one does that waits for a lock, a pipe or a dead server. A commit of a large file,
or one on a slow disk, moves with each block; whoever moves is left alone, but not for more than
LONGEST_S at one piece of work: that is a loop without an end. Who waits for a disk within the
kernel (state D) is left alone as long, since he could not be ended either. A hook may take as long
as its own time-out, since the writer and the watcher do not wait for it.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from pathlib import Path

LONGEST_S = 600.0
"""One piece of work that takes longer will not come to an end."""
HELPERS = "beside"
"""How the names of the threads begin that compute for the writer (`Repository`)."""


class Moves:
    """Whether a thread has used any processor time since it was last asked, or waits for a disk.

    Threads that it waits for count as itself.
    """

    def __init__(self) -> None:
        self._used_s = -1.0

    def since_last(self, thread: threading.Thread, helpers: str = "") -> bool:
        """The first answer is yes. helpers: how the names begin of threads that it waits for."""
        if not thread.is_alive():
            return False
        threads = [thread]
        if helpers:
            threads += [each for each in threading.enumerate() if each.name.startswith(helpers)]
        used_s = sum(map(_used_s, threads))
        before, self._used_s = self._used_s, used_s
        return used_s != before or any(_state(each) == "D" for each in threads)


def _used_s(thread: threading.Thread) -> float:
    """Processor time of a thread, in seconds."""
    if thread.ident is None or not thread.is_alive():
        return 0.0
    return time.clock_gettime(time.pthread_getcpuclockid(thread.ident))


def _state(thread: threading.Thread) -> str:
    """R, S, D, ... as in proc(5): what stands behind the name, which may hold anything."""
    try:
        text = Path(f"/proc/self/task/{thread.native_id}/stat").read_text()
    except OSError:
        return ""
    return text.rpartition(")")[2].split()[0]


class WriterPulse:
    """The thread that all work is given to: it gets some that only says who it is."""

    def __init__(
        self, submit: Callable[[Callable[[], threading.Thread]], Future[threading.Thread]]
    ) -> None:
        """submit gives it work; here it is waited for once."""
        self._submit = submit
        self._thread = submit(threading.current_thread).result()
        self._ping: Future[threading.Thread] | None = None
        self._sent = 0.0
        self._moves = Moves()

    def trouble(self, now: float) -> str:
        """What is wrong with it; "" if nothing is. now is by the monotonic clock, in seconds."""
        has_moved = self._moves.since_last(self._thread, HELPERS)
        if self._ping is None or self._ping.done():
            self._ping, self._sent = self._submit(threading.current_thread), now
            return ""
        waits_s = now - self._sent
        if waits_s > LONGEST_S:
            return f"the writer has been at one piece of work for {waits_s:.0f} s"
        return "" if has_moved else f"the writer is stuck, for up to {waits_s:.0f} s now"


class WatcherPulse:
    """The thread that comes round to look at the files, every so often."""

    def __init__(self, rest_s: float) -> None:
        """rest_s: how long it may rest between two turns."""
        self.rest_s = rest_s
        self._thread: threading.Thread | None = None
        self._turned: float | None = None
        self._is_waiting = False
        self._next_rest_s: float | None = None
        """How long it may rest from its next turn on."""
        self._moves = Moves()

    def turned(self, rest_s: float) -> None:
        """It may rest so long once it has come round again."""
        self._next_rest_s = rest_s

    def turn(self, now: float) -> None:
        """It has come round; called by the thread itself."""
        self._thread, self._turned = threading.current_thread(), now
        if self._next_rest_s is not None:
            self.rest_s, self._next_rest_s = self._next_rest_s, None

    @contextmanager
    def waiting(self) -> Iterator[None]:
        """It waits for the writer, which has a pulse of its own."""
        self._is_waiting = True
        try:
            yield
        finally:
            self._is_waiting = False
            self._turned = time.monotonic()

    def trouble(self, now: float) -> str:
        """What is wrong with it; "" if nothing is. now is by the monotonic clock, in seconds."""
        if self._thread is None or self._turned is None:
            return ""  # it begins to watch before we are asked
        has_moved = self._moves.since_last(self._thread)
        rests_s = now - self._turned
        if self._is_waiting or has_moved or rests_s <= self.rest_s:
            return ""
        return f"the watcher is stuck, for {rests_s:.0f} s now"
