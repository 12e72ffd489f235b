"""What may befall etcd under members that run: it is slow, full, compacted, restored, emptied.

Afterwards all is well each time, as `Fleet.wrong` has it: what was acknowledged is in every
history, and no application was restarted more often than needed. The client and a repository by
itself are tried in test_etcd.py and test_member.py.
"""

from __future__ import annotations

import json
import shutil
import sqlite3
import threading
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from omeconf.core.rollout import Phase, Rollout, Says, View, Word
from omeconf.daemon.fleet.drive import Drive
from omeconf.daemon.fleet.part import Part
from omeconf.errors import Busy, GroupFull
from omeconf.store.etcd import Put
from omeconf.store.group import Pointer
from omeconf.store.head import Head
from omeconf.store.lineage import GROUP
from omeconf.store.member import Member
from tests.support import MINIMAL
from tests.support.daemon import wait_for
from tests.support.etcd import HASTY, EtcdServer, need_etcd
from tests.support.fleet import STATE, Commit, Fate, Fleet, Record
from tests.support.here import Here
from tests.support.member import SETTINGS
from tests.support.member import Member as Process

pytestmark = pytest.mark.fleet


def small(base: Path, members: int = 3, **more: Any) -> Fleet:
    """A group on one etcd; it is to be started."""
    more = {"etcd_options": HASTY, **more}
    return Fleet(base, n_etcd=1, n_members=members, **more)


def etcd(fleet: Fleet) -> EtcdServer:
    """The only one."""
    (found,) = fleet.cluster.servers
    return found


def made(fleet: Fleet, node: str = "m0") -> Commit:
    """A commit that must be acknowledged, when all is well with it."""
    found = fleet.commit(fleet.members[node])
    assert (found.fate, found.said[:6]) == (Fate.MADE, "200 ok"), found
    fleet.settled()
    return found


def restore(fleet: Fleet, file: Path) -> None:
    """End etcd, and have it go on with what was saved."""
    server = etcd(fleet)
    server.kill()
    server.restore(file)
    server.start()


def standing(member: Process) -> dict[str, Any]:
    """How the group stands, as a member tells it; {} if it does not."""
    found: dict[str, Any] = member.tell("/omeconf/v1/fleet") or {}
    return found


def becomes(member: Process, state: str) -> str:
    """Wait until a member tells that it is in a state; the trouble that it tells with it."""

    def is_so() -> dict[str, Any]:
        found = standing(member)
        return found if found.get("state") == state else {}

    found: dict[str, Any] = wait_for(is_so, f"{member.name}: {state}")
    return found["trouble"] or ""


def ask(member: Process, verb: str) -> None:
    """Have a member do something for all."""
    answer = member.ask("POST", f"/omeconf/v1/fleet/{verb}")
    assert answer.status == 200, answer.json


def events(member: Process, state: str) -> list[dict[str, Any]]:
    """What a member told of the group that is called so."""
    lines = member.cli("events", "--json").stdout.splitlines()
    found = [json.loads(line) for line in lines]
    return [each for each in found if each["event"] == "fleet" and each["state"] == state]


def lease(fleet: Fleet, node: str) -> int:
    """What keeps a member on record; 0 if it is not there."""
    found = fleet.client.get(f"{STATE}alive/{node}")
    return found.lease if found else 0


def calls(fleet: Fleet) -> dict[str, int]:
    """How often each member's hook was called."""
    return {name: len(member.calls) for name, member in fleet.members.items()}


def applies(step: int) -> Callable[[Record], bool]:
    """Whether a batch applies its revision."""
    return lambda record: (
        record.phase is Phase.APPLYING and record.rollout is not None
        and record.rollout.step == step
    )  # fmt: skip


# -- slow ------------------------------------------------------------------------------------


def test_slow(tmp_path: Path) -> None:
    """It is told, and what is committed goes everywhere all the same."""
    settings = SETTINGS.replace("lease_s = 2", "lease_s = 6\ncanary = 0")
    with small(tmp_path, 2, settings=settings, proxied=("m0", "m1")) as fleet:
        one, other = fleet.members.values()
        for proxy in fleet.proxies.values():
            proxy.delay_s = 1.1
        for member in (one, other):
            becomes(member, "slow")
        said = one.cli("fleet", "status").stdout
        assert f"{fleet.proxies['m0'].endpoint} slow" in said
        found = fleet.commit(other)
        assert (found.fate, found.said[:4]) == (Fate.MADE, "200 "), found
        wait_for(lambda: one.has(found.app) and other.has(found.app), "it to be everywhere")
        assert standing(one)["state"] == standing(other)["state"] == "slow"
        for proxy in fleet.proxies.values():
            proxy.delay_s = 0
        fleet.settled()


# -- no space --------------------------------------------------------------------------------


def fill(server: EtcdServer) -> None:
    """Have no space left."""
    client = server.client()

    def is_full() -> bool:
        try:
            client.put("/filler", b"x" * 1_000_000)
        except GroupFull:
            return True
        return False

    wait_for(is_full, "no space")
    client.close()


def make_space(server: EtcdServer) -> None:
    """What the answer says: compact and defragment it, then disarm the alarm."""
    revision = server.status()["header"]["revision"]
    server.etcdctl("del", "/filler")
    server.etcdctl("compact", str(revision), "--physical")
    server.etcdctl("defrag")
    server.etcdctl("alarm", "disarm")


def test_no_space(tmp_path: Path) -> None:
    """Commits are refused, and say what to do; what is there stays, and all goes on after that."""
    options = (*HASTY, "--quota-backend-bytes=8000000")
    with small(tmp_path, etcd_options=options) as fleet:
        member = fleet.members["m1"]
        before = made(fleet)
        called = calls(fleet)
        fill(etcd(fleet))
        body = [{"name": "none", "type": "live"}]
        answer = member.ask("POST", "/v1/vhosts/default/apps", body)
        assert answer.status == 503
        said = json.dumps(answer.json)
        assert "etcd has no space left" in said
        assert "compact and defragment it, then `etcdctl alarm disarm`" in said
        for each in fleet.members.values():
            assert "no space left" in becomes(each, "trouble")
        assert "no space left" in member.cli("fleet", "status").stdout
        apps = member.tell("/v1/vhosts/default/apps")["response"]
        assert before.app in apps
        assert "none" not in apps
        make_space(etcd(fleet))
        fleet.settled()
        assert calls(fleet) == called
        made(fleet, "m1")


def test_no_space_in_a_rollout(tmp_path: Path) -> None:
    """It waits for space, and goes on."""
    options = (*HASTY, "--quota-backend-bytes=8000000")
    with small(tmp_path, etcd_options=options) as fleet:
        fleet.members["m1"].be_slow(1)
        running = fleet.committing(fleet.members["m2"])
        fleet.wait(applies(1), "the second batch")
        fill(etcd(fleet))
        fleet.members["m1"].be_slow(0)
        assert "no space left" in becomes(fleet.members["m1"], "trouble")
        make_space(etcd(fleet))
        fleet.settled()
        assert running.result().fate is Fate.MADE
        made(fleet)


# -- compacted -------------------------------------------------------------------------------


def compact(fleet: Fleet) -> None:
    """Forget all that was before now."""
    server = etcd(fleet)
    server.etcdctl("compact", str(server.status()["header"]["revision"]), "--physical")


def test_compacted_while_members_are_away(tmp_path: Path) -> None:
    """One is cut off, another hangs: both have everything when they are back."""
    with small(tmp_path, proxied=("m2",)) as fleet:
        hangs, cut = fleet.members["m1"], fleet.members["m2"]
        fleet.pause(hangs)
        fleet.excuse(cut)
        fleet.proxies["m2"].cut()
        fleet.wait(lambda record: record.present == {"m0"}, "both to be away")
        for _ in range(3):
            assert fleet.commit(fleet.members["m0"]).fate is Fate.MADE
        fleet.wait(lambda record: record.stable == 4, "all to be confirmed")
        compact(fleet)
        becomes(cut, "away")
        fleet.proxies["m2"].heal()
        hangs.resume()
        fleet.settled()
        for each in fleet.rounds[-2].commits:
            for member in (hangs, cut):
                begun = [call.action for call in member.hook_calls(each.app)]
                assert begun == ["create", "create"], "begun and done"


def test_compacted_before_a_watch_begins(tmp_path: Path) -> None:
    """What it wanted to hear of is gone: it reads everything anew."""
    settings = SETTINGS.replace("wait_s = 8", "wait_s = 0").replace(
        "timeout_s = 2\n", "timeout_s = 8\n"
    )
    with small(tmp_path, proxied=("m2",), settings=settings) as fleet:
        late, proxy = fleet.members["m2"], fleet.proxies["m2"]
        proxy.hold(b"POST /v3/watch")
        proxy.cut()
        proxy.heal()
        assert proxy.has_held.wait(10)
        ask(fleet.members["m0"], "pause")
        found = [fleet.commit(fleet.members["m0"]) for _ in range(2)]
        assert all(each.fate is Fate.MADE for each in found)
        compact(fleet)
        proxy.release()
        wait_for(lambda: "everything is read again" in late.log, "it to read again")
        wait_for(lambda: standing(late).get("head") == 3, "it to know of both")
        ask(late, "resume")
        fleet.settled()


# -- restored --------------------------------------------------------------------------------


def test_restored_from_an_older_backup(tmp_path: Path) -> None:
    """It is given back what it has lost, and nobody restarts anything for that.

    A member that was started anew since the backup is not taken for another.
    """
    with small(tmp_path) as fleet:
        made(fleet)
        etcd(fleet).save(tmp_path / "saved")
        was = lease(fleet, "m1")
        fleet.members["m1"].stop()
        fleet.members["m1"].start()
        made(fleet, "m1")
        made(fleet, "m2")
        called = calls(fleet)
        restore(fleet, tmp_path / "saved")
        fleet.settled()
        record = fleet.record()
        assert (record.head, record.stable) == (4, 4)
        assert calls(fleet) == called
        told = [events(member, "healed") for member in fleet.members.values()]
        assert [3, 4] in [found["revisions"] for each in told for found in each]
        logs = "".join(member.log for member in fleet.members.values())
        assert "etcd has lost the revisions from 3 on" in logs
        wait_for(lambda: lease(fleet, "m1") not in (0, was), "m1 to be there anew")
        assert "copy of ours" not in logs + fleet.members["m1"].log
        assert made(fleet, "m1").number == 5


@pytest.mark.parametrize("is_paused", [False, True])
def test_restored_to_the_middle_of_a_rollout(tmp_path: Path, is_paused: bool) -> None:
    """That was confirmed since, and one more: it is ended, and is no reason to restart anything.

    A pause of that time is one again.
    """
    with small(tmp_path) as fleet:
        slow = fleet.members["m2"]
        slow.be_slow(1)
        running = fleet.committing(fleet.members["m0"])
        fleet.wait(applies(1), "the second batch")
        if is_paused:
            ask(fleet.members["m1"], "pause")
        etcd(fleet).save(tmp_path / "saved")
        if is_paused:
            ask(fleet.members["m1"], "resume")
        slow.be_slow(0)
        assert running.result().fate is Fate.MADE
        fleet.settled()
        made(fleet, "m1")
        called = calls(fleet)
        restore(fleet, tmp_path / "saved")
        fleet.settled()
        record = fleet.record()
        assert (record.head, record.stable) == (3, 3)
        assert record.rollout is not None
        assert (record.rollout.target, record.phase) == (2, Phase.REFUSED)
        assert record.rollout.reason == "its target was confirmed long ago: etcd was restored"
        assert record.rollout.settled == "kept"
        assert calls(fleet) == called
        assert bool(standing(fleet.members["m1"])["paused"]) is is_paused
        if is_paused:
            ask(fleet.members["m1"], "resume")
        made(fleet, "m2")


def test_restored_while_a_rollout_is_under_way(tmp_path: Path) -> None:
    """From before it began: it begins anew."""
    with small(tmp_path) as fleet:
        made(fleet)
        etcd(fleet).save(tmp_path / "saved")
        fleet.excuse(*fleet.members.values())
        slow = fleet.members["m2"]
        slow.be_slow(2)
        running = fleet.committing(fleet.members["m1"])
        fleet.wait(lambda r: applies(1)(r) and r.says.get("m1") == "healthy", "all but one")
        restore(fleet, tmp_path / "saved")
        slow.be_slow(0)
        assert running.result().fate is Fate.MADE
        fleet.settled()
        record = fleet.record()
        assert (record.head, record.phase) == (3, Phase.CONFIRMED)
        made(fleet, "m2")


@pytest.fixture
def one(tmp_path: Path) -> Iterator[Here]:
    """A member in this process, alone in its group, for which revision 3 is confirmed."""
    need_etcd()
    with EtcdServer(tmp_path, options=HASTY) as server:
        found = Here(tmp_path / "one", server, "one", MINIMAL)
        wait_for(lambda: found.member.history.note(GROUP), "it to begin the group")
        for number, name in ((2, "mine"), (3, "more")):
            found.add(name)
            wait_for(lambda n=number: found.member.confirmed == n, "it to be confirmed")  # type: ignore[misc]
        yield found
        found.stop()


@pytest.fixture
def placed(one: Here, monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The revisions that it brings to its disk from now on."""
    place = Member.place
    found: list[int] = []

    def noted(member: Member, number: int) -> Head:
        if member is one.member:
            found.append(number)
        return place(member, number)

    monkeypatch.setattr(Member, "place", noted)
    return found


def test_restored_in_the_middle_of_a_step(
    one: Here, placed: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A member does not go back to what the backup has as confirmed, whenever it hears of that."""
    key, old = one.member.group.key("stable"), Pointer.to(one.member.history.get(1))
    outcome = Part._outcome
    is_restored = threading.Event()

    def slow(part: Part) -> Any:
        found = outcome(part)
        if not is_restored.is_set():
            is_restored.set()
            one.server.client().put(key, old.encode())
            wait_for(lambda: part.mirror.pointer("stable") == old, "the backup")
        return found

    monkeypatch.setattr(Part, "_outcome", slow)
    wait_for(is_restored.is_set, "a step")
    wait_for(lambda: one.fleet.mirror.pointer("stable") != old, "it to be put right")
    assert not placed


def test_another_is_faster_to_end_an_old_rollout(
    one: Here, placed: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A member that has not heard yet that it is ended does not apply it."""
    key = one.member.group.key
    old = Rollout(9, 2, 1, Phase.APPLYING, batches=(("one",),))
    word = Word(9, Says.ACCEPTS)
    ask = Drive._ask
    tried: list[int] = []

    def late(drive: Drive, rollout: Rollout, view: View) -> None:
        tried.append(rollout.id)
        if len(tried) == 1:
            raise Busy("another was faster")
        ask(drive, rollout, view)

    monkeypatch.setattr(Drive, "_ask", late)
    one.server.client().transact(
        (),
        [
            Put(key("rollout"), json.dumps(old.as_json()).encode()),
            Put(key("words", "one"), json.dumps(word.as_json()).encode()),
        ],
    )
    wait_for(lambda: one.fleet.standing()["rollout"]["phase"] == "refused", "its end")
    assert tried == [9, 9]
    assert not placed


def test_emptied(tmp_path: Path) -> None:
    """The same group begins again, with the newest revision."""
    with small(tmp_path) as fleet:
        for node in ("m0", "m1", "m2"):
            made(fleet, node)
        called = calls(fleet)
        was = fleet.client.get(f"{STATE}id")
        server = etcd(fleet)
        server.kill()
        shutil.rmtree(server.data)
        server.start()
        fleet.settled()
        now = fleet.client.get(f"{STATE}id")
        assert was is not None
        assert now is not None
        assert now.value == was.value
        record = fleet.record()
        assert (record.head, record.stable) == (4, 4)
        assert calls(fleet) == called
        assert made(fleet, "m1").number == 5


@pytest.mark.parametrize("count", [1, 3])
def test_others_went_on_from_the_backup(tmp_path: Path, count: int) -> None:
    """Who was away meanwhile goes with them; what it had is kept beside its history.

    One of them was stopped, the other hangs.
    """
    with small(tmp_path) as fleet:
        goes_on, hangs, stopped = fleet.members.values()
        made(fleet)
        etcd(fleet).save(tmp_path / "saved")
        fleet.kill(goes_on)
        fleet.wait(lambda record: "m0" not in record.present, "it to be away")
        lost = [fleet.commit(hangs) for _ in range(2)]
        assert all(each.said.startswith("200 ok") for each in lost)
        fleet.excuse(hangs, stopped)
        hangs.pause()
        stopped.kill()
        restore(fleet, tmp_path / "saved")
        goes_on.start()
        fleet.wait(lambda record: record.present == {"m0"}, "it to be alone")
        found = [fleet.commit(goes_on) for _ in range(count)]
        assert all(each.said.startswith("200 ok") for each in found)
        for each in lost:
            each.fate = Fate.LOST
        hangs.resume()
        stopped.start()
        fleet.settled()
        for member in (hangs, stopped):
            (aside,) = (member.base / "state").glob("history.sqlite.forked*")
            assert [each["kept"] for each in events(member, "forked")] == [str(aside)]
            assert f"those are kept in {aside}" in member.log
            assert messages(aside) >= {each.app for each in lost}
        made(fleet, "m2")


def messages(history: Path) -> set[str]:
    """Those of all revisions of a history."""
    with closing(sqlite3.connect(history)) as database:
        return {row[0] for row in database.execute("SELECT message FROM revision")}
