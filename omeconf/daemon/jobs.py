"""Jobs: one reload at a time makes the engine run the newest revision.

At most one job runs and one is pending; what changes while one runs is merged into the pending
one. The plan of a job is made when it starts, from what the engine runs to what it shall run, so
nothing that did not change is ever restarted.
"""

from __future__ import annotations

import enum
import itertools
import logging
import threading
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import Any

from omeconf.core.diff import changes
from omeconf.core.plan import Plan, plan
from omeconf.daemon.hooks import Occasion, Outcome, call, calls, run
from omeconf.settings import Settings
from omeconf.store.repository import Head

log = logging.getLogger(__name__)


KEPT = 100
"""So many ended reloads can be looked at."""


class State(enum.StrEnum):
    """Where a job stands."""

    PENDING = "pending"
    RUNNING = "running"
    WAITING = "waiting"
    """There is no hook for what must restart: somebody has to do it."""
    HEALTHY = "healthy"
    FAILED = "failed"
    REVERTED = "reverted"
    """It failed, and the revisions it covered were taken back."""


@dataclass(eq=False, slots=True)
class Job:
    """One reload: what it covers, what it did, how it ended."""

    id: str
    first: int
    """The first revision it covers; the last is its target's."""
    target: Head
    plan: Plan = field(default_factory=Plan)
    state: State = State.PENDING
    outcomes: list[Outcome] = field(default_factory=list)
    done: Future[Job] = field(default_factory=Future)
    """Resolved with the job itself when it has ended, or waits for somebody."""

    @property
    def last(self) -> int:
        """The last revision it covers."""
        return self.target.revision.number

    def as_json(self) -> dict[str, Any]:
        """For status and answers."""
        return {
            "id": self.id,
            "revisions": [self.first, self.last],
            "state": self.state.value,
            "plan": self.plan.as_json(),
            "calls": [
                {"command": o.command, "code": o.code, "output": o.output} for o in self.outcomes
            ],
        }


class Reloader:
    """Keeps what the engine runs equal to head, on a thread of its own."""

    def __init__(
        self,
        settings: Settings,
        server_xml: str,
        running: Head | None,
        half_done: list[Head],
        *,
        on_begin: Callable[[Job], None],
        on_done: Callable[[Job], None],
        run_id: str,
    ) -> None:
        """running is what the engine runs now, half_done what was being tried when we ended.

        on_begin is told of a job before it does anything, on_done when it has ended.
        """
        self.settings = settings
        self.server_xml = server_xml
        self.running = running
        self.half_done = half_done
        """What jobs that did not end well tried: the engine may run some of it."""
        self.pending: Job | None = None
        self.current: Job | None = None
        self.last: Job | None = None
        self._ended: deque[Job] = deque(maxlen=KEPT)
        self.on_begin = on_begin
        self.on_done = on_done
        self._numbers = (f"{run_id}-{n}" for n in itertools.count(1))
        self._changed = threading.Condition()
        self._stopping = False
        self._thread = threading.Thread(target=self._loop, name="reload", daemon=True)

    def start(self) -> None:
        """Begin to work."""
        self._thread.start()

    def stop(self, timeout_s: float) -> None:
        """Finish the running job, within a limit, and take no other."""
        with self._changed:
            self._stopping = True
            self._changed.notify_all()
        if self._thread.is_alive():
            self._thread.join(timeout_s)

    def request(self, head: Head) -> Job:
        """Ask that the engine come to run head; gives the job that will see to it."""
        with self._changed:
            if self.pending is None:
                # it covers all that was not well yet, also what an earlier job failed at
                first = self.running.revision.number + 1 if self.running else 1
                first = min(first, head.revision.number)
                self.pending = Job(next(self._numbers), first, head)
            if head.revision.number >= self.pending.last:
                self.pending.target = head
            self._changed.notify_all()
            return self.pending

    def retry(self) -> Job | None:
        """Do again what failed or waits; None if the engine runs head."""
        last = self.last
        if self.pending is not None:
            return self.pending
        if last is None or last.state not in (State.FAILED, State.WAITING):
            return None
        return self.request(last.target)

    def plan_to(self, target: Head) -> Plan:
        """What must restart so that the engine runs target, also after half a reload."""
        bases = [self.running, *self.half_done] if self.running else self.half_done
        found = [c for base in bases for c in changes(base.checked.root, target.checked.root)]
        return plan(found)

    def _loop(self) -> None:
        while True:
            with self._changed:
                while self.pending is None and not self._stopping:
                    self._changed.wait()
                if self._stopping:
                    return
                quiet_s = self.settings.reload.quiet_s
                if quiet_s:
                    self._wait_for_quiet(quiet_s)
                job, self.pending = self.pending, None
                self.current = job
            assert job is not None
            try:
                self._do(job)
            except Exception as error:  # a job must end, whatever happens in it
                log.exception("Cannot carry out reload %s", job.id)
                job.outcomes.append(Outcome("omeconf", None, str(error)))
                job.state = State.FAILED
            with self._changed:
                self.current, self.last = None, job
                self._ended.append(job)
            try:
                self.on_done(job)
            except Exception as error:  # and whoever waits for it must hear of it
                log.error("Cannot record the outcome of reload %s: %s", job.id, error)
            job.done.set_result(job)

    @property
    def jobs(self) -> list[Job]:
        """The pending, the running and the last KEPT ended reloads, newest first."""
        with self._changed:
            open_jobs = [job for job in (self.pending, self.current) if job is not None]
            return [*open_jobs, *reversed(self._ended)]

    @property
    def is_alive(self) -> bool:
        """Whether its thread is at work."""
        return self._thread.is_alive()

    def _wait_for_quiet(self, quiet_s: float) -> None:
        """Wait until no further change has come for quiet_s, but not beyond longest_wait_s."""
        waited = 0.0
        while waited < self.settings.reload.longest_wait_s and not self._stopping:
            seen = self.pending.target if self.pending else None
            self._changed.wait(quiet_s)
            waited += quiet_s
            if self.pending is None or self.pending.target is seen:
                return

    def _do(self, job: Job) -> None:
        job.plan = self.plan_to(job.target)
        job.state = State.RUNNING
        wanted = calls(job.plan, self.settings.hooks)
        if wanted is None:
            job.state = State.WAITING
            log.warning("Restart needed: %s", ", ".join(map(str, job.plan.items)))
            return
        if wanted:
            self.half_done.append(job.target)
            self.on_begin(job)
        told = Occasion(job.id, job.last, self.server_xml)
        for each in wanted:
            outcome = self._try(each.hook.retries, lambda each=each: call(each, told))  # type: ignore[misc]
            job.outcomes.append(outcome)
            if not outcome.is_ok:
                self._failed(job, outcome)
                return
        health = self.settings.health
        if job.plan and health.run:
            threading.Event().wait(health.after_s)
            outcome = run(health.run, timeout_s=health.timeout_s)
            job.outcomes.append(outcome)
            if not outcome.is_ok:
                self._failed(job, outcome)
                return
        job.state = State.HEALTHY
        self.running, self.half_done = job.target, []
        if job.plan:
            log.info(
                "revision %d runs: %s", job.last, ", ".join(str(item) for item in job.plan.items)
            )

    def _try(self, retries: int, attempt: Callable[[], Outcome]) -> Outcome:
        outcome = attempt()
        for _ in range(retries):
            if outcome.is_ok or self._stopping:
                break
            log.warning("hook %s failed (%s), trying again", outcome.command, outcome.code)
            outcome = attempt()
        return outcome

    def _failed(self, job: Job, outcome: Outcome) -> None:
        job.state = State.FAILED
        log.error(
            "Cannot reload revision %d: %s ended with %s: %s",
            job.last,
            outcome.command,
            outcome.code,
            outcome.output[-400:],
        )


def covered(jobs: Sequence[Job], revision: int) -> Job | None:
    """The job that covers a revision, if it is among these."""
    return next((job for job in jobs if job.first <= revision <= job.last), None)
