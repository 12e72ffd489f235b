"""Confirm: commits that are taken back unless somebody confirms them in time.

The way back and the deadline are on disk before the commit is, so that neither a crash nor a
restart makes it permanent. Within one boot the deadline is of the boot's own clock, which nobody
can step and which goes on while the machine sleeps; across boots it is of the wall clock.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

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

    @classmethod
    def after(cls, seconds: float, since: int, clocks: Clocks) -> Armed:
        """Armed for so many seconds from now."""
        return cls(since, clocks.wall() + seconds, clocks.boot() + seconds, clocks.boot_id())

    @classmethod
    def parse(cls, text: str | None) -> Armed | None:
        """From the note; None if nothing is armed."""
        return cls(**json.loads(text)) if text else None

    def __str__(self) -> str:
        return json.dumps(asdict(self))

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


def _boot_id() -> str:
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    except OSError:
        return ""
