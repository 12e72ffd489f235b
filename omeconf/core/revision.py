"""A revision: one state of the configuration that was good, and how it came about."""

from __future__ import annotations

import enum
import hashlib
import json
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any


def as_iso(time: float) -> str:
    """Seconds since the epoch in ISO 8601, UTC, to the millisecond."""
    moment = datetime.fromtimestamp(time, UTC)
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")


class Origin(enum.StrEnum):
    """Who moved head."""

    API = "api"
    CLI = "cli"
    FILE = "file"
    """Somebody edited the files by hand."""
    ROLLBACK = "rollback"
    """An old state was taken up again, or a failed reload was undone."""


ASKED = (Origin.API, Origin.CLI)
"""The origins of what the daemon was asked for, and takes back if its reload fails."""


@dataclass(frozen=True, slots=True)
class Revision:
    """One entry of the history. Numbers begin at 1 and only grow."""

    number: int
    parent: int
    """The revision it was made on; 0 for the first."""
    author: str
    time: float
    """Seconds since the epoch, UTC."""
    message: str
    origin: Origin
    digest: str
    """SHA-256 of its snapshot."""
    reload: str = ""
    """What came of the reload that covered it: the job's state; "" while none has."""
    reverts: tuple[int, ...] = ()
    """Revisions whose changes it takes back."""

    def as_json(self) -> dict[str, Any]:
        """For answers; the time in ISO 8601, UTC."""
        return {
            "number": self.number,
            "parent": self.parent,
            "author": self.author,
            "time": as_iso(self.time),
            "message": self.message,
            "origin": self.origin.value,
            "digest": self.digest,
            "reload": self.reload or None,
            "reverts": list(self.reverts),
        }

    @property
    def identity(self) -> str:
        """32 hex digits that tell it from any other revision, also from one of the same number."""
        parts = (self.number, self.parent, self.author, self.time, self.message,
                 self.origin.value, self.digest, list(self.reverts))  # fmt: skip
        return hashlib.sha256(json.dumps(parts).encode()).hexdigest()[:32]
