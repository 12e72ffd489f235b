"""Confirm: commits that are taken back unless somebody confirms them in time.

The way back and the deadline are on disk before the commit is, so that neither a crash nor a
restart makes it permanent. Within one boot the deadline is of the boot's own clock, which nobody
can step and which goes on while the machine sleeps; across boots it is of the wall clock.
"""

from __future__ import annotations

import json
import logging
import threading
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from omeconf.core.revision import ASKED, Origin, Revision
from omeconf.daemon.events import Events
from omeconf.errors import BadBody, Conflict, Unwritable
from omeconf.store.history import WAY_BACK, History

log = logging.getLogger(__name__)

NOTE = "confirm"
"""The note in the history that holds what is armed."""

LONGEST_S = 30 * 86400.0
"""A deadline further away than this many seconds is refused."""


@dataclass(frozen=True, slots=True)
class Clocks:
    """The time by three clocks; tests make their own."""

    wall: Callable[[], float] = time.time
    boot: Callable[[], float] = lambda: time.clock_gettime(time.CLOCK_BOOTTIME)
    boot_id: Callable[[], str] = lambda: _boot_id()


@dataclass(frozen=True, slots=True)
class Armed:
    """What is taken back if nobody confirms it."""

    since: int
    """The last revision before the first of these commits: the way back."""
    deadline: float
    """By the wall clock, in seconds since the epoch."""
    boot_deadline: float
    """By the clock of the boot in which it was armed, in seconds."""
    boot_id: str
    identities: tuple[str, ...] | None = None
    """The revisions it is about, where others make some, too; None: all since."""

    @classmethod
    def after(cls, seconds: float, since: int, clocks: Clocks) -> Armed:
        """Armed for so many seconds from now."""
        return cls(since, clocks.wall() + seconds, clocks.boot() + seconds, clocks.boot_id())

    @classmethod
    def parse(cls, text: str | None) -> Armed | None:
        """From the note; None if nothing is armed."""
        if not text:
            return None
        found = json.loads(text)
        of = found.pop("identities", None)
        return cls(**found, identities=None if of is None else tuple(of))

    def __str__(self) -> str:
        known = asdict(self)
        if self.identities is None:
            del known["identities"]  # as releases without groups know it
        return json.dumps(known)

    def remaining_s(self, clocks: Clocks) -> float:
        """Seconds until the deadline; 0 or less when it has passed."""
        if clocks.boot_id() == self.boot_id:
            return self.boot_deadline - clocks.boot()
        return self.deadline - clocks.wall()

    def as_json(self, clocks: Clocks) -> dict[str, Any]:
        """For status and answers."""
        moment = datetime.fromtimestamp(clocks.wall() + self.remaining_s(clocks), UTC)
        return {
            "backTo": self.since,
            "deadline": moment.isoformat(timespec="seconds").replace("+00:00", "Z"),
            "seconds": round(max(self.remaining_s(clocks), 0.0), 1),
        }


class Confirmation:
    """What waits to be confirmed in one history."""

    def __init__(
        self, history: History, events: Events, clocks: Clocks, wake: Callable[[], None]
    ) -> None:
        """wake is called on a thread of its own when the deadline has come."""
        self.history = history
        self.events = events
        self.clocks = clocks
        self.wake = wake
        self.armed: Armed | None = None
        self.is_shared = False
        """Whether others make revisions of this history, too: those are not taken back."""
        self._alarm: threading.Timer | None = None

    def load(self) -> None:
        """At the start: what was armed before, unless its commit never came about."""
        armed = self.armed = Armed.parse(self.history.note(NOTE))
        if armed is not None and self.is_shared and armed.identities is None:
            # it was armed by itself: what the history has by then may be of others
            own = (self.history.get(number).identity for number in self.to_take_back(armed.since))
            armed = self.armed = replace(armed, identities=tuple(own))
        if armed is not None and not self.to_take_back(armed.since):
            self.close_if_possible()
        else:
            self._set(armed)

    def open(self, seconds: float, number: int) -> Armed | None:
        """Arm, or extend what is armed, before a commit on revision number; gives what was.

        Raises BadBody for a deadline that cannot be, and Unwritable.
        """
        if not 0 < seconds <= LONGEST_S:
            raise BadBody(f"a deadline is more than 0 and at most {LONGEST_S:.0f} seconds away")
        before = self.armed
        armed = Armed.after(seconds, before.since if before else number, self.clocks)
        if self.is_shared:
            known = before.identities if before else None
            armed = replace(armed, identities=known or ())
        self.arm(armed)
        return before

    def announce(self, revision: Revision) -> None:
        """A revision is about to be made here that has to be confirmed. Raises Unwritable."""
        if self.armed is not None and self.armed.identities is not None:
            known = (*self.armed.identities, revision.identity)
            self.arm(replace(self.armed, identities=known))

    def arm(self, armed: Armed | None) -> None:
        """Put the way back on disk, or take it away. Raises Unwritable; then it is as before."""
        self.history.set_marks(**{WAY_BACK: armed.since if armed else None})
        self.history.set_note(NOTE, str(armed) if armed else None)
        if armed is not None and armed != self.armed:
            self.events.emit("confirm", state="armed", **armed.as_json(self.clocks))
        self._set(armed)

    def close(self) -> None:
        """There is nothing to confirm any more. Raises Unwritable."""
        self.arm(None)

    def close_if_possible(self) -> None:
        """As `close`; what stays on disk is found to be done at the next start."""
        try:
            self.close()
        except Unwritable as error:
            log.warning("Cannot note that nothing waits to be confirmed: %s", error)
            self._set(None)

    def close_if_nothing_is_left(self) -> None:
        """After something was taken back otherwise."""
        if self.armed is not None and not self.to_take_back(self.armed.since):
            self.close_if_possible()

    def confirm(self) -> int:
        """Keep it all; gives the way back that it had. Raises Conflict if nothing waits."""
        if self.armed is None:
            raise Conflict("nothing waits to be confirmed")
        since = self.armed.since
        self.close()
        self.events.emit("confirm", state="confirmed", since=since)
        return since

    def refuse_if_open(self) -> None:
        """Raise Conflict while something waits to be confirmed."""
        if self.armed is not None:
            deadline = self.armed.as_json(self.clocks)["deadline"]
            raise Conflict(
                f"what was changed since revision {self.armed.since} waits to be confirmed until "
                f"{deadline}: confirm it first"
            )

    def to_take_back(self, since: int) -> list[int]:
        """Revisions after one that were asked for, and are not taken back yet."""
        newer = [r for r in self.history.newest(limit=1000) if r.number > since]
        only = self.armed.identities if self.armed is not None else None
        gone = {number for revision in newer for number in revision.reverts}
        return sorted(
            r.number
            for r in newer
            if r.number not in gone
            and (only is None or r.identity in only)
            and (r.origin in ASKED or (r.origin is Origin.ROLLBACK and not r.reverts))
        )

    @property
    def is_due(self) -> bool:
        """Whether the deadline has passed."""
        return self.armed is not None and self.armed.remaining_s(self.clocks) <= 0

    def as_json(self) -> dict[str, Any] | None:
        """For status; None if nothing waits."""
        return self.armed.as_json(self.clocks) if self.armed else None

    def stop(self) -> None:
        """Wake nobody any more."""
        if self._alarm is not None:
            self._alarm.cancel()
            self._alarm = None

    def _set(self, armed: Armed | None) -> None:
        self.stop()
        self.armed = armed
        if armed is not None:
            wait_s = max(armed.remaining_s(self.clocks), 0.0) + 0.01
            self._alarm = threading.Timer(wait_s, self.wake)
            self._alarm.daemon = True
            self._alarm.start()


def _boot_id() -> str:
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    except OSError:
        return ""
