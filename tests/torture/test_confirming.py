"""The disk fails, or the process dies, at every step of a commit that wants to be confirmed.

Such a commit is never live without its way back: whatever happens, it is gone after the deadline
unless it was confirmed, and then the next commit works.
"""

from __future__ import annotations

import dataclasses
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from omeconf.daemon.confirm import NOTE, Clocks
from omeconf.daemon.service import Service
from omeconf.errors import OmeconfError
from omeconf.settings import Hook, Settings
from omeconf.store.history import History
from omeconf.store.repository import Repository
from tests.daemon.test_confirm import Time
from tests.support import MINIMAL, schema
from tests.support.daemon import DEADLINE_S
from tests.torture import record
from tests.torture.faults import ERRNOS, Death, Disk, Fault
from tests.torture.test_failing_disk import NEXT, left, litter, on_disk, segment

OLD = {"Server.xml": MINIMAL.encode()}
NEW = {"Server.xml": MINIMAL.replace(">6<", ">4<").encode()}


def repository_at(where: Path, clock: Callable[[], float]) -> Repository:
    server_xml, history = where / "conf/Server.xml", History(where / "h")
    return Repository(server_xml, history, schema(), clock=clock, state=where / "state")


class Trial:
    """A service whose time is ours, started and killed as often as needed."""

    def __init__(self, base: Path, patch: pytest.MonkeyPatch) -> None:
        self.where = base / "at"
        self.disk = Disk(patch)
        self.settings = Settings()

    def begin(self) -> None:
        """A service on a fresh folder."""
        shutil.rmtree(self.where, ignore_errors=True)
        (self.where / "conf").mkdir(parents=True)
        (self.where / "conf/Server.xml").write_text(MINIMAL)
        self.time = Time()
        self.start()

    def start(self) -> None:
        repository = repository_at(self.where, lambda: self.time.wall)
        self.service = Service(repository, self.settings, self.time.clocks())
        repository.afterwards = lambda work: work()  # so that it counts, too
        self.service.start()

    def end(self) -> None:
        """Stop it, or clear away what a death has left in this process."""
        self.service.confirmation.stop()
        self.service.reloader.stop(DEADLINE_S)
        self.service._writer.shutdown()
        left(self.service.repository)
        self.disk.revive()

    def do(self, work: Any, *args: Any, **kwargs: Any) -> Any:
        return self.service.submit(work, *args, **kwargs).result(DEADLINE_S)

    def work(self, what: str, fault: Fault) -> bool:
        """Do it on the writer with a fault; whether it was acknowledged."""

        def watched() -> None:
            with self.disk.watched(fault):
                if what == "confirm":
                    self.service.confirm()
                else:
                    self.service.commit(segment(4), confirm_s=60)

        try:
            self.do(watched)
        except (OmeconfError, Death):
            return False
        return True

    def taken_back(self, is_done: bool) -> None:
        """The old or the new files, the new ones only with a way back, which works."""
        found = on_disk(self.where)
        assert found in (OLD, NEW)
        assert found == NEW or not is_done
        assert found == OLD or self.service.confirmation.armed is not None
        self.time.passes(61)
        self.do(self.service.tick)
        assert on_disk(self.where) == OLD
        self.is_well()

    def is_well(self) -> None:
        """Nothing is armed, no litter lies around, and the next commit works."""
        assert self.service.confirmation.armed is None
        assert self.service.repository.history.note(NOTE) is None
        self.do(self.service.commit, NEXT)
        assert litter(self.where) == []

    def arms(self, fault: Fault) -> bool:
        """Whether the fault was met by a commit that wants to be confirmed."""
        self.begin()
        is_done = self.work("commit", fault)
        has_met = self.disk.has_met
        if not fault.code or litter(self.where):
            self.end()
            self.start()
        self.taken_back(is_done)
        self.end()
        return has_met

    def confirms(self, fault: Fault) -> bool:
        """The same of the confirmation: acknowledged it stays, else the deadline counts."""
        self.begin()
        self.do(self.service.commit, segment(4), confirm_s=60)
        is_done = self.work("confirm", fault)
        has_met = self.disk.has_met
        if not fault.code:
            self.end()
            self.start()
        if is_done:
            self.time.passes(61)
            self.do(self.service.tick)
            assert on_disk(self.where) == NEW
            self.is_well()
        else:
            self.taken_back(is_done=True)
        self.end()
        return has_met


@pytest.fixture
def trial(tmp_path: Path) -> Iterator[Trial]:
    with pytest.MonkeyPatch.context() as patch:
        yield Trial(tmp_path, patch)


def steps(trial: Trial, what: str) -> int:
    trial.begin()
    if what == "confirm":
        trial.do(trial.service.commit, segment(4), confirm_s=60)
    trial.work(what, Fault(1_000_000))
    trial.end()
    return len(trial.disk.steps)


def through(trial: Trial, what: str, faults: list[Fault]) -> None:
    met = 0
    run = trial.confirms if what == "confirm" else trial.arms
    for fault in faults:
        try:
            met += run(fault)
        except AssertionError as error:
            raise AssertionError(f"{what}, {fault}: {error}") from error
    record("confirm", "every step", met)
    assert met


@pytest.mark.parametrize("what", ["commit", "confirm"])
def test_one_error(trial: Trial, what: str) -> None:
    """At every other step, one of the errnos by turns."""
    through(
        trial, what, [Fault(at, ERRNOS[at // 2 % 6]) for at in range(1, steps(trial, what) + 1, 2)]
    )


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
@pytest.mark.parametrize("what", ["commit", "confirm"])
def test_death(trial: Trial, what: str) -> None:
    """At every other step."""
    through(trial, what, [Fault(at) for at in range(1, steps(trial, what) + 1, 2)])


@pytest.mark.torture
@pytest.mark.timeout(1200)
@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
@pytest.mark.parametrize("what", ["commit", "confirm"])
def test_every_error(trial: Trial, what: str) -> None:
    """Every errno, and death, at every step."""
    last = steps(trial, what) + 1
    through(trial, what, [Fault(at, code) for at in range(1, last) for code in (0, *ERRNOS)])


def test_the_deadline_after_a_restart(trial: Trial) -> None:
    """It comes by itself, though nobody looks."""
    trial.begin()
    trial.service.confirmation.clocks = clocks = Clocks()
    trial.do(trial.service.commit, segment(4), confirm_s=1.0)
    trial.end()
    repository = repository_at(trial.where, clocks.wall)
    trial.service = Service(repository, Settings(), clocks)
    repository.afterwards = lambda work: work()
    trial.service.start()
    try:
        assert trial.service.confirmation.armed is not None, "too slow a machine"
        deadline = clocks.boot() + 3.0
        while on_disk(trial.where) != OLD and clocks.boot() < deadline:
            trial.do(lambda: None)
        assert on_disk(trial.where) == OLD
    finally:
        trial.end()


def test_the_way_back_is_kept(trial: Trial) -> None:
    """Pruning does not forget the revision that is gone back to, however old it is."""
    trial.settings = dataclasses.replace(Settings(), hooks=(Hook(run=("true",)),))
    trial.begin()
    trial.time.passes(500 * 86400.0)  # revision 1 is older than [history] keep_days
    for value in (4, 5):
        made = trial.do(trial.service.commit, segment(value), confirm_s=60)
        made.job.done.result(DEADLINE_S)
    trial.end()
    trial.start()  # prunes what is too old
    trial.time.passes(61)
    try:
        trial.do(trial.service.tick)
        assert on_disk(trial.where) == OLD
        trial.is_well()
    finally:
        trial.end()


def test_an_older_edit_by_hand_is_undone(trial: Trial) -> None:
    """Who takes out by hand what was put in by hand does not confirm what came in between."""
    trial.begin()
    live = trial.where / "conf/Server.xml"
    live.write_text(MINIMAL.replace("</Server>", "<!-- for the night of the match -->\n</Server>"))
    trial.do(trial.service.tick)
    trial.do(trial.service.commit, segment(4), confirm_s=60)
    live.write_bytes(NEW["Server.xml"])
    trial.do(trial.service.tick)
    try:
        assert trial.service.view().revision.reverts == ()
        trial.taken_back(is_done=True)
    finally:
        trial.end()
