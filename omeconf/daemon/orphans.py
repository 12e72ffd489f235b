"""A hook that outlived a daemon that was killed is ended, so that never two run at once.

Its process group leader is noted in the state folder while it runs, with the time it was started,
since a process id is used again. Under systemd there is nothing to do: it ends the whole service.
"""

from __future__ import annotations

import logging
import os
import signal
import time
from contextlib import suppress
from pathlib import Path

log = logging.getLogger(__name__)

PATIENCE_S = 5.0
"""How long the end of a killed process is waited for."""


class Orphans:
    """The note of the one hook that runs."""

    def __init__(self, note: Path | None) -> None:
        """None: nothing is noted."""
        self.note = note

    def begins(self, pid: int) -> None:
        """A hook runs, as the leader of a process group. What cannot be noted is not."""
        if self.note is not None:
            with suppress(OSError):
                self.note.write_text(f"{pid} {_started(pid)}")

    def ends(self) -> None:
        """It has ended."""
        if self.note is not None:
            with suppress(OSError):
                self.note.unlink(missing_ok=True)

    def end(self) -> None:
        """End what an earlier daemon left running, and wait until it is gone."""
        if self.note is None or not self.note.exists():
            return
        with suppress(OSError, ValueError):
            pid, started = self.note.read_text().split()
            if started and _started(int(pid)) == started:
                log.warning("ending the hook (process %s) of a daemon that was killed", pid)
                os.killpg(int(pid), signal.SIGKILL)
                deadline = time.monotonic() + PATIENCE_S
                while _started(int(pid)) == started and time.monotonic() < deadline:
                    time.sleep(0.01)
        self.ends()


def _started(pid: int) -> str:
    """When a process was started, in ticks since the boot; "" if there is none, or it is dead.

    proc(5): field 22 of stat; the third is the state, the second is in brackets and may hold
    anything.
    """
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return ""
    return "" if fields[0] in "ZX" else fields[19]
