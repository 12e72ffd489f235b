"""Those who wait for the group to confirm a revision, or to take it back."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from concurrent.futures import InvalidStateError
from contextlib import suppress

from omeconf.core.revision import Revision
from omeconf.core.rollout import View
from omeconf.daemon.hooks import Outcome
from omeconf.daemon.jobs import Job, State
from omeconf.store.history import History


class Waiting:
    """The jobs that end when a revision's rollout does."""

    def __init__(self, history: History, placed: Callable[[], int]) -> None:
        """placed: the revision that this member takes part with; 0 while there is none."""
        self._history = history
        self._placed = placed
        self._jobs: list[tuple[int, Job]] = []
        self._guard = threading.Lock()

    def add(self, number: int, made: float, *, is_going: bool) -> Job:
        """What ends when a revision is confirmed by the group, or taken back; at once, if no
        rollout is going to begin by itself.
        """
        job = Job(f"rollout-{number}", number, None, made=made, _last=number)
        if not is_going:
            _end(job, State.PENDING)
            return job
        job.state = State.RUNNING
        with self._guard:
            self._jobs.append((number, job))
        return job

    def answer(self, view: View) -> None:
        """Tell those who wait for what has been decided."""
        with self._guard:
            waiting = list(self._jobs)
        if not waiting:
            return
        newest = self._history.head()
        if newest is None or newest.number < view.head:
            return  # what takes it back may not have come round yet
        count = newest.number - min(number for number, _ in waiting)
        newer = self._history.newest(limit=count) if count > 0 else []
        placed = self._placed()
        for number, job in waiting:
            found = _decided(number, view, newer)
            if found == (State.HEALTHY, "") and 0 < placed < number:
                found = (State.PENDING, "")  # the others run it, and this member does not
            if found is not None:
                state, said = found
                if said:
                    job.outcomes.append(Outcome("fleet", None, said))
                with self._guard:
                    self._jobs.remove((number, job))
                _end(job, state)

    def stop(self) -> None:
        """Tell all of them that nothing was decided."""
        with self._guard:
            waiting, self._jobs = self._jobs, []
        for _, job in waiting:
            _end(job, State.PENDING)


def _decided(number: int, view: View, newer: Sequence[Revision]) -> tuple[State, str] | None:
    """What has become of a revision, and what was said; None if that is not known yet.

    newer: those above it, newest first.
    """
    undoing = next((r for r in reversed(newer) if number in r.reverts), None)
    if undoing is not None:
        return State.REVERTED, undoing.message
    if view.stable >= number:
        return State.HEALTHY, ""
    rollout = view.rollout
    if rollout is not None and rollout.settled and rollout.base < number <= rollout.target:
        return State.FAILED, rollout.reason
    return None


def _end(job: Job, state: State) -> None:
    job.state = state
    with suppress(InvalidStateError):
        job.done.set_result(job)
