"""One member's repository and its group's revisions in a real etcd, without daemons."""

from __future__ import annotations

import json
import shutil
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import count
from pathlib import Path

import pytest

from omeconf.core import path
from omeconf.core.edit import Candidate, Edit, Verb
from omeconf.core.revision import Origin
from omeconf.errors import Busy, Conflict, NotFound, NotReady, Refused, Stale, Unwritable
from omeconf.store.group import PART_BYTES, Group, Pointer
from omeconf.store.head import Head
from omeconf.store.history import COPY_EVERY, History
from omeconf.store.lineage import Lineage, lineage
from omeconf.store.member import Manual, Member, leave
from omeconf.store.repository import Repository
from tests.support import MINIMAL, schema
from tests.support.etcd import HASTY, EtcdServer, need_etcd

pytestmark = pytest.mark.fleet

_GROUPS = count(1)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EtcdServer]:
    need_etcd()
    found = EtcdServer(tmp_path_factory.mktemp("etcd"), options=HASTY).start()
    yield found
    found.stop()


Opener = Callable[..., Member]


@pytest.fixture
def opened(tmp_path: Path, server: EtcdServer) -> Iterator[Opener]:
    """Opens members of a group that is new for each test; by a name it has had, as it is."""
    name = f"group-{next(_GROUPS)}"
    all_of_them: list[Member] = []

    def make(
        node: str,
        text: str | None = None,
        manual: Manual = Manual.PROPOSE,
        env: dict[str, str] | None = None,
    ) -> Member:
        base = tmp_path / node
        if text is not None:
            (base / "conf").mkdir(parents=True)
            (base / "conf/Server.xml").write_text(text)
        clock = count(1000.0 + 100 * len(all_of_them))
        member = Member(
            base / "conf/Server.xml",
            History(base / "state/history.sqlite"),
            schema(),
            Group(server.client(), name),
            node=node,
            manual=manual,
            clock=lambda: next(clock),
            state=base / "state",
            env=env,
        )
        member.open()
        all_of_them.append(member)
        return member

    yield make
    for member in all_of_them:
        member.close()
        member.group.etcd.close()


class Crash(BaseException):
    """As if the process ended there."""


def group_id(member: Member) -> str:
    found = member.group.etcd.get(member.group.key("id"))
    return found.value.decode() if found else ""


def meet(member: Member) -> Lineage:
    """What the fleet does until both histories are the same."""
    for _ in range(20):
        head = member.group.head()
        found = lineage(member.history, group_id(member), head)
        if found is Lineage.EMPTY:
            member.found()
        elif found is Lineage.NEW:
            member.join(group_id(member), list(member.group.since(0)))
        elif found is Lineage.BEHIND:
            member.catch_up()
        elif found is Lineage.AHEAD and head is not None:
            member.heal(head)
        else:
            return found
    raise AssertionError("they never come together")


def add(member: Member, name: str, *, base: int = 0) -> Head:
    edit = Edit(Verb.CREATE, path.application("default", name), {"name": name, "type": "live"})
    return member.commit(Candidate(base, (edit,), "me", f"add {name}"))


def on_disk(member: Member) -> str:
    return (member.folder.path / "Server.xml").read_text()


def write(member: Member, text: str) -> None:
    (member.folder.path / "Server.xml").write_text(text)


def rescued(member: Member) -> list[str]:
    assert member.state is not None
    return [each.read_text() for each in sorted((member.state / "rescued").glob("*"))]


# -- beginning and joining -----------------------------------------------------------------------


def test_the_first_begins_the_group_and_the_second_gets_it(opened: Opener) -> None:
    one, two = opened("one", MINIMAL), opened("two")
    assert meet(one) is Lineage.SAME
    assert one.placed is not None
    with pytest.raises(NotReady, match="has not been met yet"):
        two.view()
    assert meet(two) is Lineage.SAME
    assert two.placed is None
    two.place(1)
    assert on_disk(two) == MINIMAL
    assert two.adopt() is None
    assert [r.identity for r in two.history.newest()] == [r.identity for r in one.history.newest()]


def test_what_lay_in_the_folder_of_one_that_joins_is_kept(opened: Opener) -> None:
    one = opened("one", MINIMAL)
    meet(one)
    other = MINIMAL.replace("<Name>app</Name>", "<Name>mine</Name>")
    two = opened("two", other)
    assert two.view().revision.number == 1  # its own, until the group was met
    with pytest.raises(NotReady):
        add(two, "new")
    meet(two)
    assert on_disk(two) == other
    two.place(1)
    assert on_disk(two) == MINIMAL
    assert rescued(two) == [other]
    assert list((two.history.path.parent).glob("history.sqlite.before-*"))  # set aside, whole


@pytest.mark.parametrize("text", [None, "<Server>broken"])
def test_a_crash_while_it_joins_makes_nothing_its_own(
    opened: Opener, monkeypatch: pytest.MonkeyPatch, text: str | None
) -> None:
    one, two = opened("one", MINIMAL), opened("two", text)
    meet(one)
    transaction = two.history._transaction

    @contextmanager
    def last(*, is_synced: bool = True) -> Iterator[sqlite3.Connection]:
        with transaction(is_synced=is_synced) as database:
            yield database
        raise Crash

    monkeypatch.setattr(two.history, "_transaction", last)
    with pytest.raises(Crash):
        meet(two)
    two.close()
    two = opened("two")
    assert meet(two) is Lineage.SAME
    assert two.placed is None
    if text is not None:
        write(two, MINIMAL.replace("<Name>app</Name>", "<Name>mine</Name>"))  # it is repaired
    two.adopt()
    assert two.view().revision.number == 1
    two.place(1)
    assert on_disk(two) == MINIMAL


def test_who_is_held_is_so_also_in_the_group(opened: Opener) -> None:
    one, two = opened("one", MINIMAL), opened("two", MINIMAL.replace("app<", "mine<"))
    meet(one)
    two.hold("half done")
    meet(two)
    two.close()
    assert opened("two").held == "half done"


def test_files_that_an_include_would_take_go_with_the_rest(opened: Opener) -> None:
    text = MINIMAL.replace("</VirtualHosts>", '<VirtualHost include="vh/*.xml"/></VirtualHosts>')
    host = '<VirtualHost version="8"><Name>more</Name></VirtualHost>'
    one = opened("one", MINIMAL)
    meet(one)
    two = opened("two", MINIMAL)
    (two.folder.path / "vh").mkdir()
    (two.folder.path / "vh/stray.xml").write_text(host)
    (one.folder.path / "vh").mkdir()
    (one.folder.path / "vh/a.xml").write_text(host.replace("more", "a"))
    write(one, text)
    one.adopt()
    assert one.view().revision.number == 2
    meet(two)
    two.place(2)
    assert sorted(p.name for p in (two.folder.path / "vh").glob("*")) == ["a.xml"]
    assert host in rescued(two)
    assert two.adopt() is None


def test_nothing_begins_a_group_with_nothing(opened: Opener) -> None:
    one = opened("one")
    with pytest.raises(NotReady):
        meet(one)


# -- committing ----------------------------------------------------------------------------------


def test_a_commit_moves_the_group_and_no_disk(opened: Opener) -> None:
    one, two = opened("one", MINIMAL), opened("two")
    meet(one)
    meet(two)
    two.place(1)
    head = add(one, "new")
    assert head.revision.number == 2
    assert on_disk(one) == MINIMAL
    assert one.adopt() is None
    assert meet(two) is Lineage.SAME
    assert two.view().revision == one.view().revision
    two.place(2)
    one.place(2)
    assert on_disk(one) == on_disk(two)
    assert "<Name>new</Name>" in on_disk(two)


def test_who_is_slower_commits_on_top(opened: Opener) -> None:
    one, two = opened("one", MINIMAL), opened("two")
    meet(one)
    meet(two)
    two.place(1)
    add(one, "first")
    assert add(two, "second").revision.number == 3  # it had not heard of 2
    with pytest.raises(Stale):
        add(one, "third", base=2)
    meet(one)
    names = [r.message for r in one.history.newest()]
    assert names[:2] == ["add second", "add first"]


def test_a_name_that_another_took_meanwhile_is_taken(opened: Opener) -> None:
    one, two = opened("one", MINIMAL), opened("two")
    meet(one)
    meet(two)
    two.place(1)
    add(one, "same")
    with pytest.raises(Conflict, match="same"):
        add(two, "same")


def test_what_is_refused_is_refused_before_the_group_hears_of_it(opened: Opener) -> None:
    one = opened("one", MINIMAL)
    meet(one)
    bad = MINIMAL.replace("<Name>app</Name>", "<Name>app</Name><Bogus/>")
    with pytest.raises(Refused):
        one.put("Server.xml", bad.encode(), Candidate(0, (), "me", ""))
    head = one.group.head()
    assert head is not None
    assert head.number == 1


def test_what_could_not_be_taken_back_without_errors_stays(opened: Opener) -> None:
    one = opened("one", MINIMAL)
    meet(one)
    write(one, MINIMAL.replace("<Name>app</Name>", "<Name>renamed</Name>"))
    one.adopt()
    add(one, "app")  # there would be two of that name
    with pytest.raises(Refused, match="app"):
        one.take_back([2], "me", "take back", back=1, newest=2)
    assert one.view().revision.number == 3


def test_a_large_one_is_split_and_comes_out_whole(opened: Opener) -> None:
    one, two = opened("one", MINIMAL), opened("two")
    meet(one)
    import random

    noise = random.Random(7)
    text = "".join(noise.choice("abcdefghijklmnopqrstuvwxyz0123456789") for _ in range(2_500_000))
    big = MINIMAL.replace("</Server>", f"<!-- {text} --></Server>")
    one.put("Server.xml", big.encode(), Candidate(0, (), "me", "big"))
    parts = one.group.etcd.read(f"{one.group.root}parts/", keys_only=True).items
    assert len(parts) * PART_BYTES > 1_000_000
    assert {each.lease for each in parts} == {0}
    meet(two)
    two.place(2)
    assert on_disk(two) == big


def test_parts_without_a_revision_go_by_themselves(opened: Opener) -> None:
    one = opened("one", MINIMAL)
    meet(one)
    record = one.history.alone(1)
    import dataclasses
    import os

    huge = dataclasses.replace(record, copy={"Server.xml": os.urandom(PART_BYTES * 2)})
    base = dataclasses.replace(record.revision, number=9)  # not head: the transaction fails
    revision = dataclasses.replace(record.revision, number=10, parent=9)
    huge = dataclasses.replace(huge, revision=revision)
    assert not one.group.commit(huge, Pointer.to(base))
    assert not one.group.etcd.read(f"{one.group.root}parts/", keys_only=True).items


def test_old_revisions_are_pruned_to_one_that_stands_for_itself(opened: Opener) -> None:
    one, two = opened("one", MINIMAL), opened("two")
    meet(one)
    for number in range(2, COPY_EVERY + 6):
        add(one, f"app{number}")
    assert one.group.prune(COPY_EVERY + 3) == COPY_EVERY - 1
    assert one.group.oldest() == COPY_EVERY
    meet(two)
    two.place(COPY_EVERY + 5)
    one.place(COPY_EVERY + 5)
    assert on_disk(two) == on_disk(one)
    assert two.history.newest()[-1].number == COPY_EVERY


# -- this disk -----------------------------------------------------------------------------------


def test_placing_does_not_overwrite_an_edit(opened: Opener) -> None:
    one = opened("one", MINIMAL)
    meet(one)
    add(one, "new")
    mine = MINIMAL.replace("</Server>", "<!-- mine --></Server>")
    write(one, mine)
    with pytest.raises(Busy):
        one.place(2)
    assert on_disk(one) == mine
    assert one.placed is not None
    assert one.placed.revision.number == 1
    assert one.history.mark("disk") == 1


def test_a_manual_edit_goes_to_the_group(opened: Opener) -> None:
    one, two = opened("one", MINIMAL), opened("two")
    meet(one)
    meet(two)
    two.place(1)
    mine = MINIMAL.replace("</Server>", "<!-- mine --></Server>")
    write(two, mine)
    two.adopt()
    assert two.view().revision.origin is Origin.FILE
    assert two.view().revision.number == 2
    assert two.placed is not None
    assert two.placed.revision.number == 1  # the rollout has not come to it yet
    assert two.adopt() is None
    meet(one)
    one.place(2)
    assert on_disk(one) == mine
    two.place(2)
    assert on_disk(two) == mine


def test_a_manual_edit_is_put_on_top_of_what_others_have_made(opened: Opener) -> None:
    one, two = opened("one", MINIMAL), opened("two")
    meet(one)
    meet(two)
    two.place(1)
    add(one, "new")
    write(two, MINIMAL.replace("</Server>", "<!-- mine --></Server>"))
    two.adopt()
    head = two.view()
    assert head.revision.number == 3
    text = head.checked.snapshot.files["Server.xml"].decode()
    assert "<!-- mine -->" in text
    assert "<Name>new</Name>" in text
    assert on_disk(two) == text
    assert two.adopt() is None


def test_one_that_conflicts_stays_and_is_told(opened: Opener) -> None:
    one, two = opened("one", MINIMAL), opened("two")
    meet(one)
    meet(two)
    two.place(1)
    write(one, MINIMAL.replace("<Name>app</Name>", "<Name>first</Name>"))
    one.adopt()
    write(two, MINIMAL.replace("<Name>app</Name>", "<Name>second</Name>"))
    with pytest.raises(Unwritable, match="cannot go to the group"):
        two.adopt()
    assert two.unrecorded
    assert "second" in on_disk(two)


def test_kept_on_this_member(opened: Opener) -> None:
    one = opened("one", MINIMAL, Manual.KEEP)
    meet(one)
    mine = MINIMAL.replace("</Server>", "<!-- mine --></Server>")
    write(one, mine)
    one.adopt()
    assert one.own is not None
    assert one.runs is not None
    assert one.runs.checked.snapshot.files["Server.xml"] == mine.encode()
    assert one.view().revision.number == 1
    write(one, MINIMAL)
    one.adopt()
    assert one.own is None


def test_a_folder_that_is_missing_is_made(opened: Opener) -> None:
    text = MINIMAL.replace("</VirtualHosts>", '<VirtualHost include="vh/*.xml"/></VirtualHosts>')
    one, two = opened("one", MINIMAL), opened("two", manual=Manual.REPAIR)
    meet(one)
    meet(two)
    two.place(1)
    (one.folder.path / "vh").mkdir()
    host = '<VirtualHost version="8"><Name>more</Name></VirtualHost>'
    (one.folder.path / "vh/a.xml").write_text(host)
    write(one, text)
    one.adopt()
    three = opened("three")
    meet(three)
    three.place(1)
    write(three, MINIMAL.replace("<Server ", "<!-- mine --><Server "))
    three.adopt()  # on top of what has a new folder
    assert (three.folder.path / "vh/a.xml").read_text() == host
    meet(two)
    two.place(2)
    shutil.rmtree(two.folder.path / "vh")
    two.adopt()
    assert (two.folder.path / "vh/a.xml").read_text() == host


def test_an_include_that_depends_on_the_environment(opened: Opener) -> None:
    one, two = opened("one", MINIMAL, env={"NODE": "one"}), opened("two", env={"NODE": "two"})
    meet(one)
    meet(two)
    two.place(1)
    host = '<VirtualHost version="8"><Name>more</Name></VirtualHost>'
    (one.folder.path / "one.xml").write_text(host)
    include = '<VirtualHost include="${env:NODE}.xml"/></VirtualHosts>'
    write(one, MINIMAL.replace("</VirtualHosts>", include))
    one.adopt()
    assert meet(two) is Lineage.SAME
    with pytest.raises(Conflict, match="environment of this member"):
        add(two, "new")  # it would not have one.xml
    with pytest.raises(Conflict, match="environment of this member"):
        two.take_back([2], "me", "", back=1, newest=0)
    two.close()
    two = opened("two", env={"NODE": "two"})
    assert two.history.set_aside is None
    assert two.view().revision.number == 2
    add(one, "new")
    assert meet(two) is Lineage.SAME


def test_what_an_older_revision_left_is_not_in_the_way(opened: Opener) -> None:
    text = MINIMAL.replace("</VirtualHosts>", '<VirtualHost include="vh/*.xml"/></VirtualHosts>')
    host = '<VirtualHost version="8"><Name>more</Name></VirtualHost>'
    one, two = opened("one", text), opened("two")
    (one.folder.path / "vh").mkdir()
    file, copy = one.folder.path / "vh/a.xml", two.folder.path / "vh/a.xml"
    file.write_text(host)
    one.adopt()
    meet(one)
    meet(two)
    two.place(two.view().revision.number)
    write(one, MINIMAL)  # it is not included any more, and stays
    one.adopt()
    meet(two)
    two.place(two.view().revision.number)
    assert copy.read_text() == host
    file.write_text(host.replace("more", "other"))
    write(one, text)
    one.adopt()
    meet(two)
    two.place(two.view().revision.number)
    assert copy.read_text() == file.read_text()
    assert rescued(two) == [host]
    assert two.adopt() is None


@pytest.mark.parametrize("more", ["<!-- mine -->", "<broken>"])
def test_put_right(opened: Opener, more: str) -> None:
    one = opened("one", MINIMAL, Manual.REPAIR)
    meet(one)
    mine = MINIMAL.replace("</Server>", f"{more}</Server>")
    write(one, mine)
    one.adopt()
    assert on_disk(one) == MINIMAL
    assert rescued(one) == [mine]
    assert one.drift is None


def test_a_file_outside_that_is_another_here(opened: Opener, tmp_path: Path) -> None:
    outside = tmp_path / "outside.xml"
    outside.write_text('<VirtualHost version="8"><Name>o</Name></VirtualHost>')
    text = MINIMAL.replace("</VirtualHosts>", f'<VirtualHost include="{outside}"/></VirtualHosts>')
    one = opened("one", text)
    meet(one)
    add(one, "new")
    outside.write_text('<VirtualHost version="8"><Name>p</Name></VirtualHost>')
    with pytest.raises(Conflict, match="outside"):
        one.place(2)


def test_who_may_not_read_outside_cannot_by_a_check(opened: Opener, tmp_path: Path) -> None:
    (tmp_path / "secret.xml").write_text("<VirtualHost><Name>secret</Name></VirtualHost>")
    include = f'<VirtualHost include="{tmp_path}/*.xml"/></VirtualHosts>'
    text = MINIMAL.replace("</VirtualHosts>", include).encode()
    one = opened("one", MINIMAL)
    meet(one)
    add(one, "new")  # now head is not on disk
    assert len(one.check_with("Server.xml", text).snapshot.files) == 2
    assert len(one.check_with("Server.xml", text, is_closed=True).snapshot.files) == 1


def test_a_member_opens_where_it_was(opened: Opener) -> None:
    one = opened("one", MINIMAL)
    meet(one)
    add(one, "new")
    one.close()
    again = opened("one")
    assert again.view().revision.number == 2
    assert again.placed is not None
    assert again.placed.revision.number == 1
    assert again.adopt() is None
    assert meet(again) is Lineage.SAME


def test_an_edit_made_while_it_was_down_goes_to_the_group(opened: Opener) -> None:
    one = opened("one", MINIMAL)
    meet(one)
    one.close()
    write(one, MINIMAL.replace("</Server>", "<!-- mine --></Server>"))
    again = opened("one")
    assert again.view().revision.number == 2
    assert again.view().revision.origin is Origin.FILE


# -- an etcd that is not what it was -------------------------------------------------------------


def forget_all(member: Member) -> None:
    from omeconf.store.etcd import DeleteAll

    member.group.etcd.transact((), [DeleteAll(member.group.root)])


def go_back_to(member: Member, number: int) -> None:
    """What a backup of the time would have, as far as revisions go."""
    from omeconf.store.etcd import DeleteRange, Put

    group = member.group
    pointer = Pointer.to(member.history.get(number)).encode()
    group.etcd.transact(
        (),
        [
            Put(group.key("head"), pointer),
            Put(group.key("stable"), pointer),
            DeleteRange(f"{group.root}revisions/{number + 1:012d}", f"{group.root}revisions0"),
        ],
    )


def test_what_etcd_has_lost_is_given_back(opened: Opener) -> None:
    one, two = opened("one", MINIMAL), opened("two")
    meet(one)
    for name in ("a", "b", "c"):
        add(one, name)
    meet(two)
    go_back_to(one, 2)
    assert lineage(one.history, group_id(one), one.group.head()) is Lineage.AHEAD
    assert meet(one) is Lineage.SAME
    head = one.group.head()
    assert head is not None
    assert head.number == 4
    assert meet(two) is Lineage.SAME
    assert [r.revision.message for r in one.group.since(1)] == ["add a", "add b", "add c"]


def test_a_commit_before_it_is_given_back(opened: Opener) -> None:
    """It is no conflict of edits, but one to try again."""
    one = opened("one", MINIMAL)
    meet(one)
    add(one, "a")
    go_back_to(one, 1)
    with pytest.raises(Unwritable, match="try again"):
        add(one, "b")
    assert meet(one) is Lineage.SAME
    assert add(one, "b").revision.number == 3


def test_what_etcd_has_lost_was_pruned_here(opened: Opener) -> None:
    """The backup is older than all that a member keeps: that is given back all the same."""
    one, two, late = opened("one", MINIMAL), opened("two"), opened("late")
    meet(one)
    add(one, "a2")
    meet(late)
    for number in range(3, 9):
        add(one, f"a{number}")
    meet(two)
    for member in (one, two):
        assert member.history.prune(keep=3, older_than=0.0)
        with pytest.raises(NotFound):
            member.history.get(2)
    go_back_to(late, 2)
    assert lineage(late.history, group_id(late), late.group.head()) is Lineage.SAME
    assert [meet(member) for member in (one, two, late)] == [Lineage.SAME] * 3
    assert late.group.head() == Pointer.to(one.history.get(8))
    assert late.history.get(2).message == "add a2"
    late.place(8)
    assert "<Name>a8</Name>" in on_disk(late)
    assert late.at(8).snapshot.files == two.at(8).snapshot.files


def test_two_that_know_different_much_give_it_back_together(opened: Opener) -> None:
    one, two = opened("one", MINIMAL), opened("two")
    meet(one)
    add(one, "a")
    meet(two)
    add(one, "b")
    go_back_to(one, 1)
    assert meet(two) is Lineage.SAME
    assert meet(one) is Lineage.SAME
    assert meet(two) is Lineage.SAME
    assert two.view().revision.identity == one.view().revision.identity
    assert two.view().revision.number == 3


def test_an_etcd_that_is_empty_is_begun_again_as_the_same_group(opened: Opener) -> None:
    one, two = opened("one", MINIMAL), opened("two")
    meet(one)
    add(one, "a")
    meet(two)
    add(one, "b")
    was = group_id(one)
    forget_all(one)
    assert meet(two) is Lineage.SAME  # who knows less is first
    assert meet(one) is Lineage.SAME
    assert meet(two) is Lineage.SAME
    assert group_id(two) == was
    assert two.view().revision.number == 3
    three = opened("three")
    assert meet(three) is Lineage.SAME
    three.place(3)
    one.place(3)
    assert on_disk(three) == on_disk(one)


def test_what_is_only_here_is_kept_when_others_have_gone_on(opened: Opener) -> None:
    one, two = opened("one", MINIMAL), opened("two")
    meet(one)
    meet(two)
    two.place(1)
    add(one, "lost")
    go_back_to(one, 1)
    add(two, "found")
    assert lineage(one.history, group_id(one), one.group.head()) is Lineage.FORKED
    kept = one.yield_to_group(group_id(one), list(one.group.since(0)))
    assert meet(one) is Lineage.SAME
    assert kept is not None
    with_lost = History(kept)
    assert with_lost.get(2).message == "add lost"
    with_lost.close()
    assert one.placed is not None
    assert one.placed.revision.number == 1
    assert one.adopt() is None
    one.place(2)
    assert "<Name>found</Name>" in on_disk(one)


def test_another_group_of_the_same_name(opened: Opener) -> None:
    one = opened("one", MINIMAL)
    meet(one)
    forget_all(one)
    two = opened("two", MINIMAL)
    meet(two)
    assert lineage(one.history, group_id(one), one.group.head()) is Lineage.OTHER


def test_values_in_etcd_are_small(opened: Opener) -> None:
    one = opened("one", MINIMAL)
    meet(one)
    add(one, "new")
    item = one.group.etcd.read(f"{one.group.root}revisions/", descending=True, limit=1).items[0]
    header, _, data = item.value.partition(b"\n")
    assert json.loads(header)["message"] == "add new"
    assert len(item.value) < 700
    assert data


def test_what_is_newest_is_taken_back_whole(opened: Opener) -> None:
    """Where nothing came after it there is nothing to conflict with."""
    one = opened("one", MINIMAL)
    meet(one)
    write(one, MINIMAL.replace("<Name>app</Name>", "<Name>first</Name>"))
    one.adopt()
    write(one, MINIMAL.replace("<Name>app</Name>", "<Name>second</Name>"))
    one.adopt()
    head = one.take_back([2, 3], "me", "not that", back=1, newest=3)
    assert head.checked.snapshot.files["Server.xml"] == MINIMAL.encode()
    assert head.revision.reverts == (2, 3)


def test_what_was_made_alone_stays_out_of_the_group(opened: Opener) -> None:
    one, two = opened("one", MINIMAL), opened("two")
    meet(one)
    meet(two)
    two.place(1)
    assert leave(two.history)
    assert not leave(two.history)
    two.close()
    alone = Repository(
        two.folder.path / "Server.xml",
        History(two.history.path),
        schema(),
        clock=lambda: 5000.0,
        state=two.state,
    )
    alone.open()
    edit = Edit(Verb.CREATE, path.application("default", "mine"), {"name": "mine", "type": "live"})
    alone.commit(Candidate(0, (edit,)))
    alone.close()
    again = opened("two")
    assert meet(again) is Lineage.SAME
    head = one.group.head()
    assert head is not None
    assert head.number == 1
    again.place(1)
    assert on_disk(again) == MINIMAL
    assert "<Name>mine</Name>" in rescued(again)[0]
