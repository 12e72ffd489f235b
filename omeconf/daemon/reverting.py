"""What becomes of revisions whose reload failed: they are taken back, on top of head."""

from __future__ import annotations

import logging
from collections.abc import Callable

from omeconf.core.revision import Origin
from omeconf.daemon.jobs import Job, State
from omeconf.errors import Busy, Conflict, Drift, OmeconfError, Unwritable
from omeconf.logs import fields
from omeconf.store.repository import Repository

log = logging.getLogger(__name__)


class Reverting:
    """Takes back what failed, now or when that can be done; on the writer."""

    def __init__(
        self,
        repository: Repository,
        revert: Callable[[list[int], str], object],
        has_newer: Callable[[], bool],
    ) -> None:
        """revert takes revisions back, with a message; has_newer: another reload waits."""
        self.repository = repository
        self._revert = revert
        self._has_newer = has_newer
        self._waiting: list[tuple[Job, tuple[Origin, ...]]] = []
        """Failed reloads whose revisions could not be taken back yet."""

    @property
    def is_waiting(self) -> bool:
        """Whether something could not be taken back yet."""
        return bool(self._waiting)

    def again(self) -> bool:
        """Try once more to take back what waits for it longest; whether that was done."""
        return self.take_back(*self._waiting.pop(0))

    def has_run(self, number: int) -> None:
        """The engine runs this revision: what failed below it is past."""
        self._waiting = [each for each in self._waiting if each[0].last > number]

    def take_back(self, job: Job, origins: tuple[Origin, ...]) -> bool:
        """Take back what a failed job covered and came from one of these; whether that was done.

        While nothing can be changed it waits for `again`.
        """
        newer = [r for r in self.repository.history.newest(limit=1000) if r.number >= job.first]
        gone = {number for revision in newer for number in revision.reverts}
        ours = [
            r.number
            for r in newer
            if r.number <= job.last and r.origin in origins and r.number not in gone
        ]
        if not ours:
            return False
        names = ", ".join(map(str, sorted(ours)))
        about = fields(event="revert", revision=job.last, job=job.id)
        try:
            self._revert(ours, f"revert of {names}: the reload failed")
        except (Busy, Drift, Unwritable) as error:
            log.error("Cannot revert revision %s by itself yet: %s", names, error, extra=about)
            self._waiting.append((job, origins))
        except Conflict as error:
            if not self._has_newer():
                log.error("Cannot revert revision %s by itself: %s", names, error, extra=about)
                return False
            # newer edits are on top: their reload covers these too, and decides for all of them
            log.warning("revision %s waits for the reload of what was changed since", names,
                        extra=about)  # fmt: skip
            job.state = State.SUPERSEDED
        except OmeconfError as error:
            log.error("Cannot revert revision %s by itself: %s", names, error, extra=about)
        else:
            job.state = State.REVERTED
            return True
        return False
