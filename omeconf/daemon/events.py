"""What happens, as a stream: each event has an id, and whoever was away can catch up.

Ids only grow, also over restarts of the daemon: they begin at the time of its start. Of the last
KEPT events those behind an id can be had again; of older ones it is only said that some are gone.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

KEPT = 1000
"""So many events can be had again."""


@dataclass(frozen=True, slots=True)
class Event:
    """One thing that happened."""

    id: int
    kind: str
    """revision, drift, settled, reload, confirm, held, resumed, engine, certificate,
    rollout or fleet."""
    time: float
    """Seconds since the epoch, UTC."""
    data: dict[str, Any]


Listener = Callable[[Event], None]


class Events:
    """The events of one daemon. May be used from several threads."""

    def __init__(self, clock: Callable[[], float]) -> None:
        """clock: seconds since the epoch; a later start gives greater ids."""
        self._clock = clock
        self._next = int(clock() * 1000) * 1000
        self._first = self._next
        self._kept: deque[Event] = deque(maxlen=KEPT)
        self._listeners: list[Listener] = []
        self._guard = threading.Lock()

    def emit(self, kind: str, **data: Any) -> None:
        """Tell everybody that something happened."""
        with self._guard:
            self._next += 1
            event = Event(self._next, kind, self._clock(), data)
            self._kept.append(event)
            listeners = tuple(self._listeners)
        for tell in listeners:
            tell(event)

    def listen(self, tell: Listener, after: int | None = None) -> tuple[list[Event], bool]:
        """Be told of each event from now on, on the thread it happens on.

        Gives the events after an id that are kept, and whether all of them are; an id that is
        yet to come (a clock was set back) is one of which nothing is known.
        """
        with self._guard:
            self._listeners.append(tell)
            if after is None:
                return [], True
            if after > self._next:
                return list(self._kept), False
            missed = [event for event in self._kept if event.id > after]
            oldest = self._kept[0].id if len(self._kept) == KEPT else self._first + 1
            return missed, after >= oldest - 1

    def forget(self, tell: Listener) -> None:
        """Be told no more."""
        with self._guard:
            self._listeners.remove(tell)

    @property
    def listening(self) -> int:
        """How many are told."""
        return len(self._listeners)
