"""Those who wait for a rollout: what they are told, and when."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, cast

import pytest

from omeconf.core.revision import Origin, Revision
from omeconf.core.rollout import Phase, Rollout, View
from omeconf.daemon.fleet.waiting import Waiting
from omeconf.daemon.jobs import State


def _revision(number: int, *reverts: int) -> Revision:
    return Revision(number, number - 1, "", 0.0, f"r{number}", Origin.API, "", "", reverts)


@dataclass
class Here:
    """What is asked of a member: its history, and what is on its disk."""

    revisions: list[Revision]
    number: int

    @property
    def history(self) -> Any:
        return self

    @property
    def placed(self) -> Any:
        return self

    @property
    def revision(self) -> Revision:
        return _revision(self.number)

    def head(self) -> Revision:
        return self.revisions[-1]

    def newest(self, *, limit: int) -> list[Revision]:
        return self.revisions[::-1][:limit]


FAILED = Rollout(1, 3, 1, Phase.REVERTED, settled="kept", reason="ill")
DECIDED = {
    "confirmed, and here": (View(3, 3), 3, (), State.HEALTHY, ""),
    "confirmed, and not here": (View(3, 3), 2, (), State.PENDING, ""),
    "a newer one is confirmed": (View(4, 4), 4, (_revision(4),), State.HEALTHY, ""),
    "taken back": (View(4, 4), 4, (_revision(4, 3),), State.REVERTED, "r4"),
    "failed, and kept": (View(3, 1, FAILED), 1, (), State.FAILED, "ill"),
}
OPEN = {
    "not confirmed yet": (View(3, 2), ()),
    "what takes it back was not heard of yet": (View(4, 4), ()),
}


def _waiting(placed: int, newer: tuple[Revision, ...]) -> Waiting:
    return Waiting(cast(Any, Here([_revision(3), *newer], placed)))


@pytest.mark.parametrize(
    ("view", "placed", "newer", "state", "said"), DECIDED.values(), ids=DECIDED
)
def test_decided(
    view: View, placed: int, newer: tuple[Revision, ...], state: State, said: str
) -> None:
    """Each is told once what became of the revision, and whether this member runs it."""
    waiting = _waiting(placed, newer)
    job = waiting.add(3, 0.0, is_going=True)
    waiting.answer(view)
    assert job.done.result(0) is job
    assert job.state is state
    assert [each.output for each in job.outcomes] == ([said] if said else [])


@pytest.mark.parametrize(("view", "newer"), OPEN.values(), ids=OPEN)
def test_open(view: View, newer: tuple[Revision, ...]) -> None:
    """Nobody is told before it is known; when the daemon stops they are."""
    waiting = _waiting(3, newer)
    job = waiting.add(3, 0.0, is_going=True)
    waiting.answer(view)
    assert not job.done.done()
    waiting.stop()
    assert job.done.result(0).state is State.PENDING


def test_nothing_goes_on_by_itself() -> None:
    """Where somebody has to begin the rollout, nobody waits for it."""
    job = _waiting(2, ()).add(3, 0.0, is_going=False)
    assert job.done.result(0).state is State.PENDING
