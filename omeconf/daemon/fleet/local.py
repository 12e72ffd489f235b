"""This machine, as the fleet uses it: what changes files or history is done on the writer."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from typing import TypeVar

from omeconf.core.revision import Origin
from omeconf.core.rollout import Outcome
from omeconf.daemon.jobs import Job, State
from omeconf.daemon.service import Service
from omeconf.store.head import Head
from omeconf.store.history import Record
from omeconf.store.member import Member

log = logging.getLogger(__name__)
T = TypeVar("T")


class Local:
    """One daemon's service, and its repository as a member's."""

    def __init__(self, service: Service, member: Member) -> None:
        self.service = service
        self.member = member

    def do(self, work: Callable[[], T]) -> T:
        """Have work done on the writer, and wait for it."""
        return self.service.submit(work).result()

    # -- on the writer ---------------------------------------------------------------------

    def place(self, number: int) -> None:
        """Bring a revision on disk, and have the engine run it. Raises as `Member.place`."""
        self.member.place(number)
        self.service.take_notice()

    def learn(self, records: Sequence[Record]) -> None:
        """Take up revisions that other members made. Raises Unwritable."""
        newest = self.member.history.head()
        self.member.learn(records)
        for record in records:
            revision = record.revision
            if newest is None or revision.number > newest.number:
                log.info(
                    "revision %d of the group, by %s%s",
                    revision.number,
                    revision.author or ("hand" if revision.origin is Origin.FILE else "somebody"),
                    f": {revision.message}" if revision.message else "",
                )
        self.service.take_notice(is_told=True)

    def take_back(
        self, numbers: Sequence[int], author: str, message: str, *, back: int, newest: int
    ) -> Head:
        """Take back some revisions' changes. Raises as `Member.take_back`."""
        try:
            return self.member.take_back(numbers, author, message, back=back, newest=newest)
        finally:
            self.service.take_notice()

    # -- from any thread -------------------------------------------------------------------

    def outcome(self) -> tuple[Outcome, str]:
        """What has come of making the engine run what it should, and what was said then."""
        target, jobs = self.member.runs, self.service.reloader.jobs
        if target is None:
            return Outcome.HEALTHY, ""
        last = next((job for job in jobs if job.last == target.revision.number), None)
        if last is not None and last.state in (State.FAILED, State.REVERTED):
            return Outcome.FAILED, _said(last)
        before = self.service.reloader.last
        is_again = last is not None and last.state is State.PENDING and before is not None
        if is_again and before is not None and before.state is State.FAILED and (
            before.last == target.revision.number
        ):  # fmt: skip
            return Outcome.FAILED, _said(before)
        if any(job.state in (State.PENDING, State.RUNNING) for job in jobs):
            return Outcome.RUNNING, ""
        return Outcome.HEALTHY, ""


def _said(job: Job) -> str:
    """What the last command of a reload printed; if that is nothing, which one it was, and its
    end.
    """
    if not job.outcomes:
        return "it failed"
    last = job.outcomes[-1]
    ended = "did not end in time" if last.code is None else f"ended with {last.code}"
    return last.output.strip() or f"{last.command} {ended}"
