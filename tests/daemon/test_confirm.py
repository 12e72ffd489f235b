from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from omeconf.core import path
from omeconf.core.edit import Candidate, Edit, Verb
from omeconf.core.revision import Origin
from omeconf.daemon.confirm import Armed, Clocks
from omeconf.daemon.results import Committed
from omeconf.daemon.service import Service
from omeconf.errors import BadBody, Conflict, Refused
from omeconf.settings import Hook, Settings
from omeconf.store.history import History
from omeconf.store.repository import Repository
from tests.support import MINIMAL, schema
from tests.support.daemon import DEADLINE_S, wait_for

APP = path.application("default", "app")


@dataclass
class Time:
    """Clocks that tests turn."""

    wall: float = 1_000_000.0
    boot: float = 500.0
    boot_id: str = "one"

    def clocks(self) -> Clocks:
        return Clocks(lambda: self.wall, lambda: self.boot, lambda: self.boot_id)

    def passes(self, seconds: float) -> None:
        self.wall += seconds
        self.boot += seconds


class Bench:
    """A service whose time is ours; it can be restarted."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.time = Time()
        (folder / "conf").mkdir()
        (folder / "conf/Server.xml").write_text(MINIMAL)
        self.service = self.start()

    def start(self) -> Service:
        line = f'echo "$OMECONF_ACTION $OMECONF_APP $OMECONF_REVISION" >> {self.folder}/calls'
        settings = dataclasses.replace(Settings(), hooks=(Hook(run=("sh", "-c", line)),))
        repository = Repository(
            self.folder / "conf/Server.xml",
            History(self.folder / "h"),
            schema(),
            clock=lambda: self.time.wall,
        )
        self.service = Service(repository, settings, self.time.clocks())
        self.service.start()
        return self.service

    def restart(self) -> None:
        self.service.stop(5)
        self.start()

    def do(self, work: Any, *args: Any, **kwargs: Any) -> Any:
        return self.service.submit(work, *args, **kwargs).result(DEADLINE_S)

    def commit(self, value: int, confirm_s: float | None = None) -> Committed:
        patch = {"publishers": {"llhls": {"segmentDuration": value}}}
        candidate = Candidate(0, (Edit(Verb.MERGE, APP, patch),))
        done: Committed = self.do(self.service.commit, candidate, confirm_s=confirm_s)
        if done.job is not None:
            done.job.done.result(DEADLINE_S)
        return done

    def tick(self) -> None:
        self.do(self.service.tick)

    def write(self, text: str) -> None:
        (self.folder / "conf/Server.xml").write_text(text)

    @property
    def live(self) -> str:
        return (self.folder / "conf/Server.xml").read_text()

    @property
    def waits(self) -> Any:
        return self.do(self.service.status)["confirm"]


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    made = Bench(tmp_path)
    yield made
    made.service.stop(5)


def test_a_deadline_that_passes_while_it_is_made(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A commit that takes longer than its deadline is taken back, and not forgotten."""
    real = bench.service.confirmation.open

    def open_slowly(seconds: float, number: int) -> object:
        before = real(seconds, number)
        bench.time.passes(61)
        return before

    monkeypatch.setattr(bench.service.confirmation, "open", open_slowly)
    bench.commit(4, 60)
    bench.tick()
    assert ">6<" in bench.live
    assert bench.waits is None


def test_not_confirmed(bench: Bench) -> None:
    """It is taken back when the time has passed, as a revision of its own."""
    bench.commit(4, 60)
    assert bench.waits == {"backTo": 1, "deadline": "1970-01-12T13:47:40Z", "seconds": 60.0}
    bench.time.passes(59)
    bench.tick()
    assert ">4<" in bench.live
    bench.time.passes(2)
    bench.tick()
    assert bench.live == MINIMAL
    newest = bench.service.view().revision
    assert (newest.number, newest.origin, newest.reverts) == (3, Origin.ROLLBACK, (2,))
    assert "not confirmed in time" in newest.message
    assert bench.waits is None
    bench.commit(5)


def test_it_comes_by_itself(bench: Bench) -> None:
    """Nobody has to look: a timer does."""
    bench.time.passes(0)
    bench.service.confirmation.clocks = Clocks()
    bench.commit(4, 0.05)
    deadline = Clocks().boot() + DEADLINE_S
    while bench.live != MINIMAL and Clocks().boot() < deadline:
        bench.do(lambda: None)
    assert bench.live == MINIMAL


def test_confirmed(bench: Bench) -> None:
    """Then it stays, and there is nothing to confirm any more."""
    bench.commit(4, 60)
    assert bench.do(bench.service.confirm) == {"confirmed": True, "since": 1}
    bench.time.passes(100)
    bench.tick()
    assert ">4<" in bench.live
    with pytest.raises(Conflict, match="nothing waits"):
        bench.do(bench.service.confirm)


def test_meanwhile(bench: Bench) -> None:
    """A plain edit is refused, one with a deadline extends it and keeps the way back, and
    manual edits are adopted and stay."""
    bench.commit(4, 60)
    with pytest.raises(Conflict, match="until 1970-01-12T13:47:40Z: confirm it first"):
        bench.commit(5)
    with pytest.raises(Conflict, match="confirm it first"):
        bench.do(bench.service.rollback, 1, "me")
    bench.time.passes(50)
    bench.commit(3, 60)
    bench.write(bench.live.replace("1935", "1936"))
    bench.tick()
    bench.time.passes(50)
    bench.tick()
    assert ">3<" in bench.live
    bench.time.passes(20)
    bench.tick()
    assert bench.live == MINIMAL.replace("1935", "1936")
    assert bench.service.view().revision.reverts == (2, 3)


def test_a_rollback_with_a_deadline(bench: Bench) -> None:
    """It is taken back like any other."""
    bench.commit(4)
    bench.do(bench.service.rollback, 1, "me", confirm_s=10.0)
    assert bench.live == MINIMAL
    bench.time.passes(11)
    bench.tick()
    assert ">4<" in bench.live


def test_a_failed_commit_arms_nothing(bench: Bench) -> None:
    """Nor does one that changes nothing."""
    with pytest.raises(Refused):
        bench.do(
            bench.service.commit,
            Candidate(0, (Edit(Verb.MERGE, APP, {"type": "Live"}),)),
            confirm_s=60.0,
        )
    assert bench.waits is None
    bench.commit(6, 60)
    assert bench.waits is None
    with pytest.raises(BadBody, match="a deadline is more than 0"):
        bench.commit(4, 0)
    assert bench.live == MINIMAL


def test_a_restart_in_between(bench: Bench) -> None:
    """The deadline is on disk."""
    bench.commit(4, 60)
    bench.restart()
    assert bench.waits["seconds"] == 60.0
    bench.time.passes(61)
    bench.tick()
    assert bench.live == MINIMAL


def test_overdue_at_the_start(bench: Bench) -> None:
    """It is taken back before anything is applied."""
    bench.commit(4, 60)
    calls = bench.folder / "calls"
    bench.service.stop(5)
    calls.unlink()
    bench.time.passes(61)
    bench.start()
    assert bench.live == MINIMAL
    wait_for(calls.exists, "the reload")
    bench.service.stop(5)
    assert all(line == "restart app 3" for line in calls.read_text().splitlines())


def test_a_stepped_clock(bench: Bench) -> None:
    """Within a boot, setting the wall clock moves nothing."""
    bench.commit(4, 60)
    bench.time.wall += 86400
    bench.tick()
    assert ">4<" in bench.live
    bench.time.wall -= 10 * 86400
    bench.time.boot += 61
    bench.tick()
    assert bench.live == MINIMAL


def test_a_reboot_in_between(bench: Bench) -> None:
    """Across boots the wall clock counts."""
    for passed, is_overdue in ((30.0, False), (61.0, True)):
        armed = Armed.after(60, 1, bench.time.clocks())
        after = Time(bench.time.wall + passed, boot=3.0, boot_id="two").clocks()
        assert (armed.remaining_s(after) <= 0) == is_overdue
        assert Armed.parse(str(armed)) == armed


def test_while_the_files_are_broken(bench: Bench) -> None:
    """Nothing is written over a broken manual edit: it is taken back once that is right."""
    bench.commit(4, 60)
    good = bench.live
    bench.write(good.replace("<Providers>", "<Providers><Nonsense/>"))
    bench.tick()
    bench.time.passes(61)
    bench.tick()
    assert "Nonsense" in bench.live
    bench.write(good)
    bench.tick()
    bench.tick()
    assert bench.live == MINIMAL


def test_a_conflict(bench: Bench, caplog: pytest.LogCaptureFixture) -> None:
    """If somebody has changed the same line by hand since, it stays, and the alarm is raised."""
    bench.commit(4, 60)
    bench.write(bench.live.replace(">4<", ">5<"))
    bench.tick()
    bench.time.passes(61)
    bench.tick()
    assert ">5<" in bench.live
    assert "Cannot take back what was not confirmed" in caplog.text
    assert bench.waits is None
