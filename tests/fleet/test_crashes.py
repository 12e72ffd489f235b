"""A member that is killed when its files are exchanged already, and nothing is cleared up yet."""

from __future__ import annotations

import pytest

from omeconf.store.member import Manual, Member
from omeconf.store.publish import Prepared
from tests.fleet.test_member import (
    Crash,
    Opener,
    add,
    meet,
    on_disk,
    opened,
    rescued,
    server,
    write,
)
from tests.support import MINIMAL

__all__ = ["opened", "server"]
pytestmark = pytest.mark.fleet

MINE = MINIMAL.replace("<Name>app</Name>", "<Name>mine</Name>")


def kill_when_exchanged(member: Member, monkeypatch: pytest.MonkeyPatch) -> None:
    """Have it end there, so that nobody clears up."""
    publish = member.publisher.publish

    def last(prepared: list[Prepared]) -> None:
        publish(prepared)
        raise Crash

    monkeypatch.setattr(member.publisher, "publish", last)
    monkeypatch.setattr(member.publisher, "discard", lambda _: [])
    monkeypatch.setattr(member, "_withdraw", lambda: None)


def test_the_file_of_one_that_joins_does_not_come_back(
    opened: Opener, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It would go to the group as an edit, in place of everybody's."""
    one, two = opened("one", MINIMAL), opened("two", MINE)
    meet(one)
    meet(two)
    kill_when_exchanged(two, monkeypatch)
    with pytest.raises(Crash):
        two.place(1)
    two.close()
    two = opened("two")
    assert two.view().revision.number == 1
    assert on_disk(two) == MINIMAL
    assert rescued(two) == [MINE]
    assert not list(two.folder.path.glob(".omeconf-*"))


def test_an_edit_on_top_of_anothers_takes_nothing_of_it_back(
    opened: Opener, monkeypatch: pytest.MonkeyPatch
) -> None:
    one, two = opened("one", MINIMAL), opened("two")
    meet(one)
    meet(two)
    two.place(1)
    add(one, "theirs")
    write(two, MINIMAL.replace("<Server ", "<!-- mine --><Server "))
    kill_when_exchanged(two, monkeypatch)
    with pytest.raises(Crash):
        two.adopt()
    two.close()
    two = opened("two")
    assert two.view().revision.number == 3
    assert "<!-- mine -->" in on_disk(two)
    assert "<Name>theirs</Name>" in on_disk(two)


def test_what_is_put_right_stays_right(opened: Opener, monkeypatch: pytest.MonkeyPatch) -> None:
    one = opened("one", MINIMAL, Manual.REPAIR)
    meet(one)
    write(one, MINE)
    kill_when_exchanged(one, monkeypatch)
    with pytest.raises(Crash):
        one.adopt()
    one.close()
    one = opened("one")  # as one that proposes
    assert one.view().revision.number == 1
    assert on_disk(one) == MINIMAL
    assert rescued(one) == [MINE]


def test_a_save_that_came_in_between_comes_back(
    opened: Opener, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What nobody has looked at is somebody's work."""
    one = opened("one", MINIMAL)
    meet(one)
    add(one, "new")
    prepare = one.preparation.prepare

    def late(old: object, new: object) -> list[Prepared]:
        prepared = prepare(old, new)  # type: ignore[arg-type]
        write(one, MINE)
        return prepared

    monkeypatch.setattr(one.preparation, "prepare", late)
    monkeypatch.setattr("omeconf.store.steps.is_quiet", lambda *_: True)
    kill_when_exchanged(one, monkeypatch)
    with pytest.raises(Crash):
        one.place(2)
    one.close()
    one = opened("one")
    assert on_disk(one) == MINE
