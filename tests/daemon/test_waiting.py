"""Those who wait for a rollout: what they are told, and when."""

from __future__ import annotations

from pathlib import Path

import pytest

from omeconf.core.revision import Origin
from omeconf.core.rollout import Phase, Rollout, View
from omeconf.daemon.fleet.waiting import Waiting
from omeconf.daemon.jobs import State
from omeconf.store.history import History

FAILED = Rollout(1, 3, 1, Phase.REVERTED, settled="kept", reason="ill")
DECIDED = {
    "confirmed, and here": (View(3, 3), 3, (), State.HEALTHY, ""),
    "confirmed, and not here": (View(3, 3), 2, (), State.PENDING, ""),
    "a newer one is confirmed": (View(4, 4), 4, ((),), State.HEALTHY, ""),
    "taken back": (View(4, 4), 4, ((3,),), State.REVERTED, "r4"),
    "failed, and kept": (View(3, 1, FAILED), 1, (), State.FAILED, "ill"),
}
OPEN = {
    "not confirmed yet": (View(3, 2), ()),
    "what takes it back was not heard of yet": (View(4, 4), ()),
}


def _waiting(folder: Path, placed: int, newer: tuple[tuple[int, ...], ...]) -> Waiting:
    """Who waits beside a history of three revisions and newer ones, which take some back."""
    history = History(folder / "history.sqlite")
    for number, reverts in enumerate(((), (), (), *newer), 1):
        history.append(
            parent=number - 1, author="", time=0.0, message=f"r{number}", origin=Origin.API,
            digest="", files={"Server.xml": b"%d" % number}, reverts=reverts,
        )  # fmt: skip
    return Waiting(history, lambda: placed)


@pytest.mark.parametrize(
    ("view", "placed", "newer", "state", "said"), DECIDED.values(), ids=DECIDED
)
def test_decided(
    tmp_path: Path,
    view: View,
    placed: int,
    newer: tuple[tuple[int, ...], ...],
    state: State,
    said: str,
) -> None:
    """Each is told once what became of the revision, and whether this member runs it."""
    waiting = _waiting(tmp_path, placed, newer)
    job = waiting.add(3, 0.0, is_going=True)
    waiting.answer(view)
    assert job.done.result(0) is job
    assert job.state is state
    assert [each.output for each in job.outcomes] == ([said] if said else [])


@pytest.mark.parametrize(("view", "newer"), OPEN.values(), ids=OPEN)
def test_open(tmp_path: Path, view: View, newer: tuple[tuple[int, ...], ...]) -> None:
    """Nobody is told before it is known; when the daemon stops they are."""
    waiting = _waiting(tmp_path, 3, newer)
    job = waiting.add(3, 0.0, is_going=True)
    waiting.answer(view)
    assert not job.done.done()
    waiting.stop()
    assert job.done.result(0).state is State.PENDING


def test_nothing_goes_on_by_itself(tmp_path: Path) -> None:
    """Where somebody has to begin the rollout, nobody waits for it."""
    job = _waiting(tmp_path, 2, ()).add(3, 0.0, is_going=False)
    assert job.done.result(0).state is State.PENDING
