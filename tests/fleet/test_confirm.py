"""A commit with a deadline at a member, whose group has other commits meanwhile."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from omeconf.core import path
from omeconf.core.edit import Candidate, Edit, Verb
from omeconf.daemon.service import Service
from omeconf.errors import Conflict
from omeconf.settings import Settings
from omeconf.store.disk import shipped_schema
from omeconf.store.history import History
from omeconf.store.repository import Repository
from tests.support import MINIMAL
from tests.support.daemon import DEADLINE_S, wait_for
from tests.support.etcd import HASTY, EtcdServer, need_etcd
from tests.support.here import Here, Time

pytestmark = pytest.mark.fleet

NEW = "<OriginMode>true</OriginMode>"
"""What a release of the engine knows, and an older one does not."""


@pytest.fixture
def two(tmp_path: Path) -> Iterator[tuple[Here, Here]]:
    need_etcd()
    server = EtcdServer(tmp_path, options=HASTY).start()
    one = Here(tmp_path / "one", server, "one", MINIMAL)
    other = Here(tmp_path / "other", server, "other", None)
    yield one, other
    for each in (one, other):
        each.stop()
    server.stop()


@pytest.mark.parametrize("restarts", [False, True])
def test_only_what_was_made_here_is_taken_back(two: tuple[Here, Here], restarts: bool) -> None:
    one, other = two
    number = one.add("mine", confirm_s=30)
    wait_for(lambda: other.placed() == number, "it is everywhere")
    with pytest.raises(Conflict, match="confirm"):
        one.add("more")
    theirs = other.add("theirs")
    wait_for(lambda: one.placed() == theirs, "so is theirs")
    if restarts:
        one.stop()
        one.start()
    one.time.boot += 31
    one.do(one.service.tick)
    wait_for(lambda: one.placed() == other.placed() == theirs + 1, "taken back")
    for each in two:
        assert "<Name>theirs</Name>" in each.text
        assert "<Name>mine</Name>" not in each.text
    assert one.service.confirmation.armed is None


def test_confirmed(two: tuple[Here, Here]) -> None:
    one, other = two
    number = one.add("mine", confirm_s=30)
    wait_for(lambda: other.placed() == number, "it is everywhere")
    one.do(one.service.confirm)
    one.time.boot += 31
    one.do(one.service.tick)
    assert one.member.view().revision.number == number


def test_what_was_armed_before_it_joined(two: tuple[Here, Here], tmp_path: Path) -> None:
    one, other = two
    base, time = tmp_path / "third", Time()
    (base / "conf").mkdir(parents=True)
    (base / "conf/Server.xml").write_text(MINIMAL)
    history = History(base / "history.sqlite")
    alone = Repository(
        base / "conf/Server.xml", history, shipped_schema("0.21"), clock=lambda: 1_000_000.0
    )
    service = Service(alone, Settings(), time.clocks())
    service.start()
    edit = Edit(Verb.CREATE, path.application("default", "a"), {"name": "a", "type": "live"})
    service.submit(service.commit, Candidate(0, (edit,)), confirm_s=30).result(DEADLINE_S)
    service.stop(5)
    other.add("theirs")
    theirs = other.add("more")
    wait_for(lambda: one.placed() == theirs, "it is everywhere")
    third = Here(base, one.server, "third", None)
    try:
        wait_for(lambda: third.placed() == theirs, "also at the third")
        third.time.boot += 31
        third.do(third.service.tick)
        assert third.service.confirmation.armed is None
        assert third.member.view().revision.number == theirs
    finally:
        third.stop()


def test_paused_and_resumed(two: tuple[Here, Here]) -> None:
    one, other = two
    before = one.placed()
    paused = one.fleet.pause("me", "so that it stays open")
    assert paused["by"] == "me"
    wait_for(lambda: "paused" in one.fleet.mirror.items, "paused")
    number = one.add("mine")
    assert one.placed() == before
    one.fleet.resume()
    wait_for(lambda: one.placed() == other.placed() == number, "rolled out")
    wait_for(lambda: one.fleet.standing()["confirmed"] == number, "confirmed")


def test_a_member_whose_release_was_changed(two: tuple[Here, Here]) -> None:
    """What is on its disk has errors for it now: it stops nobody, and takes what has none."""
    one, other = two
    modern = MINIMAL.replace("<SegmentDuration>6</SegmentDuration>", NEW)
    (one.base / "conf/Server.xml").write_text(modern)
    one.do(one.service.tick, is_thorough=True)
    wait_for(lambda: one.placed() == other.placed() == 2, "all have it")
    other.stop()
    other.release = "0.14.0"
    other.start()
    assert other.member.is_refused
    assert "refuses what is on its disk" in other.fleet.stands.own()["trouble"]
    one.add("more")
    wait_for(lambda: one.placed() == 3, "the other is left out")
    assert other.placed() == 2
    (one.base / "conf/Server.xml").write_text(one.text.replace(NEW, ""))
    one.do(one.service.tick, is_thorough=True)
    wait_for(lambda: one.placed() == other.placed() == 4, "what it takes")
    assert not other.member.is_refused
    assert other.text == one.text
