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
import time
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from omeconf.core.diff import changes
from omeconf.core.plan import Plan, plan
from omeconf.daemon.engine import Unreachable
from omeconf.daemon.engine_side import EngineSide
from omeconf.daemon.hooks import Call, Occasion, Outcome, call, calls, run
from omeconf.daemon.orphans import Orphans
from omeconf.errors import OmeconfError
from omeconf.logs import Field, fields
from omeconf.settings import Settings
from omeconf.store.head import Head

log = logging.getLogger(__name__)


KEPT = 100
"""So many ended reloads can be looked at."""
NOTHING_TO_DO_S = 0.1
"""Where nothing can be restarted, what has to be is told when no edit has come for so long."""
MOST_OUTCOMES = 20
"""So many outcomes of a reload that is tried again and again are kept."""


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
    SUPERSEDED = "superseded"
    """It failed, or was cut off, and a later one took over what it covered."""


@dataclass(eq=False, slots=True)
class Job:
    """One reload: what it covers, what it did, how it ended."""

    id: str
    first: int
    """The first revision it covers; the last is its target's."""
    _target: Head | None
    plan: Plan = field(default_factory=Plan)
    state: State = State.PENDING
    outcomes: list[Outcome] = field(default_factory=list)
    made: float = 0.0
    """When it was asked for; this and the others in seconds since the epoch, 0 for not yet."""
    began: float = 0.0
    ended: float = 0.0
    tries: int = 0
    """How often it was begun: the engine may have been unreachable."""
    is_replay: bool = False
    """Whether the engine is given everything anew: it has come up without its virtual hosts."""
    done: Future[Job] = field(default_factory=Future)
    """Resolved with the job itself when it has ended, or waits for somebody."""

    _last: int = 0

    @property
    def target(self) -> Head:
        """What the engine is to run."""
        assert self._target is not None, "an older job has let it go"
        return self._target

    @target.setter
    def target(self, head: Head) -> None:
        self._target = head

    def let_go(self) -> None:
        """Hold the target no longer: nothing is done any more."""
        self._last, self._target = self.last, None

    @property
    def last(self) -> int:
        """The last revision it covers."""
        return self._last if self._target is None else self._target.revision.number

    def as_json(self) -> dict[str, Any]:
        """For status and answers."""
        return {
            "id": self.id,
            "revisions": [self.first, self.last],
            "state": self.state.value,
            "plan": self.plan.as_json(),
            "made": _moment(self.made),
            "began": _moment(self.began),
            "ended": _moment(self.ended),
            "tries": self.tries,
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
        clock: Callable[[], float] = time.time,
        engine: EngineSide | None = None,
        orphans: Orphans | None = None,
    ) -> None:
        """running is what the engine runs now, half_done what was being tried when we ended.

        on_begin is told of a job before it does anything, on_done when it has ended. engine is
        there if omeconf knows of the engine itself, not only of hooks.
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
        self.clock = clock
        self.engine = engine
        self.orphans = orphans or Orphans(None)
        self._numbers = (f"{run_id}-{n}" for n in itertools.count(1))
        self._changed = threading.Condition()
        self._stopping = False
        self._not_before = 0.0
        """By the monotonic clock: until then what could not be done is not tried again."""
        self._backoff_s = 0.0
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

    def request(self, head: Head, *, is_replay: bool = False) -> Job:
        """Ask that the engine come to run head; gives the job that will see to it.

        is_replay: it is given all of it anew; that changes nothing about what it shall run.
        """
        with self._changed:
            is_new = self.pending is None
            if self.pending is None:
                # it covers all that was not well yet, also what an earlier job failed at
                first = self.running.revision.number + 1 if self.running else 1
                first = min(first, head.revision.number)
                self.pending = Job(next(self._numbers), first, head, made=self.clock())
            if is_new or not is_replay:  # else what waits is newer than what the engine ran
                self.pending.target = head
            self.pending.is_replay |= is_replay
            if is_new or self._not_before:  # else its thread waits for quiet, which has its time
                self._not_before = 0.0
                self._changed.notify_all()
            return self.pending

    def retry(self) -> Job | None:
        """Do at once, or again, what failed or waits; None if the engine runs head."""
        with self._changed:
            if self.pending is not None:
                self._not_before = 0.0
                self._changed.notify_all()
                return self.pending
            if self.current is not None:
                return self.current  # it covers what failed before it
        last = self.last
        if last is None or last.state not in (State.FAILED, State.WAITING):
            return None
        return self.request(last.target)

    def covering(self, number: int) -> Job | None:
        """The reload that sees to it that the engine runs a revision, or that has just failed to;
        None if there is nothing to be done.
        """
        with self._changed:
            if self.pending is not None or self.current is not None:
                return self.pending or self.current
            last = self.last
        has_failed = last is not None and last.state is State.FAILED and last.last >= number
        return last if has_failed else None

    def plan_to(self, target: Head) -> Plan:
        """What must restart so that the engine runs target, also after half a reload."""
        bases = [self.running, *self.half_done] if self.running else self.half_done
        found = [c for base in bases for c in changes(base.checked.root, target.checked.root)]
        return plan(found)

    @property
    def jobs(self) -> list[Job]:
        """The pending, the running and the last KEPT ended reloads, newest first."""
        with self._changed:
            open_jobs = [job for job in (self.pending, self.current) if job is not None]
            return [*open_jobs, *reversed(self._ended)]

    @property
    def can_act(self) -> bool:
        """Whether there is anything that could restart something: else all jobs wait for ever."""
        return bool(self.settings.hooks) or self.engine is not None

    @property
    def is_alive(self) -> bool:
        """Whether its thread is at work."""
        return self._thread.is_alive()

    # -- on its thread -----------------------------------------------------------------------

    def _loop(self) -> None:
        self.orphans.end()
        while not self._stopping:
            job = self._next()
            if job is not None:
                self._carry_out(job)
            elif self.engine is not None and not self._stopping:
                self._look_at_engine()

    def _next(self) -> Job | None:
        """The pending job, when it is time; None when it is time to look at the engine."""
        look_s = self.settings.watch.look_every_s if self.engine is not None else None
        with self._changed:
            until = time.monotonic() + look_s if look_s is not None else None
            while not self._stopping:
                now = time.monotonic()
                if self.pending is not None and now >= self._not_before:
                    quiet_s = self.settings.reload.quiet_s
                    if not self.can_act:
                        quiet_s = max(quiet_s, NOTHING_TO_DO_S)
                    if quiet_s:
                        self._wait_for_quiet(quiet_s)
                    job, self.pending = self.pending, None
                    self.current = job
                    return job
                if until is not None and now >= until:
                    return None
                ends = [self._not_before] if self.pending is not None else []
                ends += [until] if until is not None else []
                self._changed.wait(min(ends) - now if ends else None)
        return None

    def _carry_out(self, job: Job) -> None:
        job.began, job.tries = job.began or self.clock(), job.tries + 1
        try:
            self._do(job)
        except Unreachable as error:
            self._postpone(job, str(error))
            return
        except Exception as error:  # a job must end, whatever happens in it
            if not isinstance(error, OmeconfError):
                log.exception("Cannot carry out reload %s", job.id, extra=_about(job))
            job.outcomes.append(Outcome("omeconf", None, str(error)))
            job.state = State.FAILED
        job.ended = self.clock()
        with self._changed:
            for earlier in self._ended:
                earlier.let_go()
                if earlier.state is State.FAILED and earlier.last >= job.first:
                    earlier.state = State.SUPERSEDED
            self.current, self.last = None, job
            self._ended.append(job)
        try:
            self.on_done(job)
        except Exception as error:  # and whoever waits for it must hear of it
            log.error("Cannot record the outcome of reload %s: %s", job.id, error,
                      extra=_about(job))  # fmt: skip
        if job.state is State.SUPERSEDED:
            with self._changed:
                if self.pending is not None:
                    self._follow(job, self.pending)
                    return
            job.state = State.FAILED
        if job.state is State.FAILED:
            self._try_later(job)
        elif job.state is State.HEALTHY:
            self._backoff_s = 0.0
        job.done.set_result(job)

    def _postpone(self, job: Job, why: str) -> None:
        """The engine is away: the job waits, with what comes meanwhile."""
        log.warning("reload %s waits: %s", job.id, why, extra=_about(job))
        job.outcomes = [*job.outcomes[-MOST_OUTCOMES:], Outcome("engine", None, why)]
        job.state = State.PENDING
        with self._changed:
            newer = self.pending
            if newer is not None:
                job.target = newer.target
                job.is_replay |= newer.is_replay
                newer.state = State.SUPERSEDED
                self._follow(newer, job)
            self.current, self.pending = None, job
            self._back_off()

    def _follow(self, waiting: Job, other: Job) -> None:
        """Whoever waits for one job waits for another, which has taken it over."""

        def pass_on(_: Future[Job]) -> None:
            waiting.state, waiting.outcomes = other.state, other.outcomes
            waiting.done.set_result(waiting)

        other.done.add_done_callback(pass_on)

    def _try_later(self, job: Job) -> None:
        """What failed, and was not taken back, is tried again after a while, by itself."""
        with self._changed:
            if self.pending is None and not self._stopping:
                again = Job(next(self._numbers), job.first, job.target, made=self.clock())
                again.is_replay = job.is_replay
                self.pending = again
                self._back_off()

    def _back_off(self) -> None:
        limits = self.settings.reload
        self._backoff_s = min(self._backoff_s * 2 or limits.backoff_s, limits.longest_backoff_s)
        self._not_before = time.monotonic() + self._backoff_s

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
            log.warning("Restart needed: %s", ", ".join(map(str, job.plan.items)),
                        extra=_about(job))  # fmt: skip
            return
        if wanted or job.is_replay:
            if not any(head is job.target for head in self.half_done):
                self.half_done.append(job.target)
            self.on_begin(job)
        if self.engine is not None:
            self.engine.publish(job.target)
            if job.is_replay:
                outcome = self.engine.replay(job.target)
                job.outcomes.append(outcome)
                if not outcome.is_ok:
                    self._failed(job, outcome)
                    return
        told = Occasion(job.id, job.last, self.server_xml)
        for each in wanted:
            outcome = self._call(each, told, job)
            job.outcomes.append(outcome)
            if not outcome.is_ok:
                self._failed(job, outcome)
                return
        health = self.settings.health
        if job.plan and health.run:
            threading.Event().wait(health.after_s)
            outcome = run(health.run, timeout_s=health.timeout_s, orphans=self.orphans)
            job.outcomes.append(outcome)
            if not outcome.is_ok:
                self._failed(job, outcome)
                return
        job.state = State.HEALTHY
        self.running, self.half_done = job.target, []
        if job.plan:
            log.info(
                "revision %d runs: %s",
                job.last,
                ", ".join(str(item) for item in job.plan.items),
                extra=_about(job),
            )

    def _call(self, each: Call, told: Occasion, job: Job) -> Outcome:
        if each.hook.use == "engine" and self.engine is not None:
            return self.engine.apply(Plan(each.items), self.running, job.target)
        outcome = call(each, told, self.orphans)
        for _ in range(each.hook.retries):
            if outcome.is_ok or self._stopping:
                break
            log.warning("hook %s failed (%s), trying again", outcome.command, outcome.code,
                        extra=_about(job))  # fmt: skip
            outcome = call(each, told, self.orphans)
        return outcome

    def _failed(self, job: Job, outcome: Outcome) -> None:
        job.state = State.FAILED
        log.error(
            "Cannot reload revision %d: %s ended with %s: %s",
            job.last,
            outcome.command,
            outcome.code,
            outcome.output[-400:],
            extra=_about(job),
        )

    def _look_at_engine(self) -> None:
        """See whether the engine has come back, or runs something else than it was given."""
        assert self.engine is not None
        target = self.running
        if target is None:
            return
        try:
            if self.pending is None and self.engine.needs_replay(target):
                self.request(target, is_replay=True)
            else:
                self.engine.reload_certificates(target)
        except Exception:  # the thread must outlive whatever the engine answers
            log.exception("Cannot look at the engine")


def _about(job: Job) -> dict[str, dict[str, Field]]:
    """The fields of a line about a reload."""
    return fields(event="reload", revision=job.last, job=job.id, state=job.state.value)


def _moment(seconds: float) -> str | None:
    if not seconds:
        return None
    return (
        datetime.fromtimestamp(seconds, UTC)
        .isoformat(timespec="milliseconds")
        .replace("+00:00", "Z")
    )
