"""One real etcd: what is read and written, what is watched, and how it refuses."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from omeconf.errors import (
    BadSettings,
    Compacted,
    GroupAway,
    GroupFull,
    GroupRefused,
    NotFound,
    Unwritable,
)
from omeconf.store import etcd as module
from omeconf.store.etcd import (
    Batch,
    Compare,
    Delete,
    DeleteAll,
    DeleteRange,
    Etcd,
    Keep,
    Operation,
    Put,
)
from omeconf.store.etcd_http import Failed
from omeconf.store.etcd_values import batch, end_of, to_base64
from omeconf.store.etcd_watch import Watch
from tests.support.daemon import free_port, wait_for
from tests.support.etcd import HASTY, Certificates, EtcdServer, need_etcd

pytestmark = pytest.mark.fleet


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EtcdServer]:
    need_etcd()
    with EtcdServer(tmp_path_factory.mktemp("etcd")) as server:
        yield server


@pytest.fixture(scope="module")
def client(server: EtcdServer) -> Iterator[Etcd]:
    client = server.client()
    yield client
    client.close()


@pytest.fixture
def at(request: pytest.FixtureRequest) -> str:
    """A prefix of the test's own."""
    return f"/{request.node.name}/"


def test_keys(client: Etcd, at: str) -> None:
    """A key has its bytes, whatever they are, and knows when it came and changed."""
    first = client.put(at + "ä", b"\x00\xff\n")
    second = client.put(at + "ä", b"")

    found = client.get(at + "ä")
    assert found is not None
    assert (found.key, found.value, found.lease) == (at + "ä", b"", 0)
    assert (found.created, found.changed) == (first, second)
    assert client.get(at) is None


def test_read(client: Etcd, at: str) -> None:
    """Keys come in order, from a start on, forwards and backwards, and no more than wanted."""
    for name in "abcd":
        client.put(at + name, name.encode())
    last = client.put(at[:-1] + "0", b"just behind the prefix")

    def names(found: module.Found) -> str:
        return "".join(each.key[-1] for each in found.items)

    whole = client.read(at)
    assert names(whole) == "abcd"
    assert [each.value for each in whole.items] == [b"a", b"b", b"c", b"d"]
    assert whole.revision == last
    assert whole.is_whole
    assert whole.cluster != 0
    part = client.read(at, start=at + "b", limit=2)
    assert names(part) == "bc"
    assert not part.is_whole
    assert names(client.read(at, limit=1, descending=True)) == "d"
    assert client.read(at, limit=4).is_whole
    only = client.read(at, keys_only=True, is_serializable=True)
    assert names(only) == "abcd"
    assert {each.value for each in only.items} == {b""}
    assert client.read(at + "none").items == ()
    assert {each.key for each in whole.items} <= {each.key for each in client.read("").items}


@pytest.mark.parametrize("descending", [False, True])
def test_pages(client: Etcd, at: str, monkeypatch: pytest.MonkeyPatch, descending: bool) -> None:
    """What is read in several answers is as it was at one revision, and none is left out."""
    monkeypatch.setattr(module, "PAGE", 3)
    for number in range(7):
        client.put(f"{at}{number}", b"x")
    found = client.read(at, descending=descending)
    names = [int(each.key[-1]) for each in found.items]
    assert names == sorted(range(7), reverse=descending)
    assert found.is_whole
    assert not client.read(at, limit=6, descending=descending).is_whole
    assert len(client.read(at, limit=6, descending=descending).items) == 6


@pytest.mark.parametrize("is_compacted", [False, True])
def test_change_between_pages(
    server: EtcdServer, client: Etcd, at: str, monkeypatch: pytest.MonkeyPatch, is_compacted: bool
) -> None:
    """What is written between two answers is not seen; if they cannot be of one revision any
    more, all is read anew.
    """
    monkeypatch.setattr(module, "PAGE", 2)

    class Slow(Etcd):
        """One whom another writer comes before, once, after the first answer."""

        def ask_one(self, *args: Any, **more: Any) -> dict[str, Any]:
            answer = super().ask_one(*args, **more)
            if client.get(at + "3") is not None:
                revision = client.transact((), [Delete(at + "3"), Put(at + "1", b"2")]).revision
                if is_compacted:
                    client.compact(revision)
            return answer

    client.transact((), [Put(f"{at}{number}", b"1") for number in range(4)])
    found = Slow([server.endpoint]).read(at)
    values = [each.value for each in found.items]
    assert values == ([b"1", b"2", b"1"] if is_compacted else [b"1"] * 4)


def test_large_values(client: Etcd, at: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Keys of 512 KB are read, and watched, as any others."""
    monkeypatch.setattr(module, "PAGE", 5)
    value = bytes(range(256)) * 2048
    first = client.put(at + "00", value)
    for number in range(1, 12):
        client.put(f"{at}{number:02}", value)
    found = client.read(at)
    assert len(found.items) == 12
    assert {each.value for each in found.items} == {value}

    seen: list[str] = []
    with client.watch(at, first) as watch:
        for each in watch:
            seen += [event.item.key for event in each.events]
            if each.revision == found.revision:
                break
    assert seen == [each.key for each in found.items]
    client.transact((), [DeleteAll(at)])
    client.compact(client.read(at).revision)


CONDITIONS: dict[str, tuple[Callable[[str, int], Compare], bool]] = {
    "absent, and it is": (lambda at, _: Compare.absent(at + "none"), True),
    "absent, and it is there": (lambda at, _: Compare.absent(at + "a"), False),
    "unchanged, and it is": (lambda at, changed: Compare.unchanged(at + "a", changed), True),
    "unchanged, and was put": (lambda at, changed: Compare.unchanged(at + "a", changed - 1), False),
    "unchanged since it was not there": (lambda at, _: Compare.unchanged(at + "none", 0), True),
    "value, and it has it": (lambda at, _: Compare.value(at + "a", b"1"), True),
    "value, and it has another": (lambda at, _: Compare.value(at + "a", b"2"), False),
    "empty value of none": (lambda at, _: Compare.value(at + "none", b""), False),
    "none newer": (lambda at, changed: Compare.none_newer(at, changed), True),
    "none newer, but one": (lambda at, changed: Compare.none_newer(at, changed - 1), False),
    "none newer of none": (lambda at, _: Compare.none_newer(at + "none", 0), True),
}


@pytest.mark.parametrize("name", CONDITIONS)
def test_conditions(client: Etcd, at: str, name: str) -> None:
    """A transaction does all if its conditions hold, and else nothing, and reads."""
    condition, holds = CONDITIONS[name]
    client.put(at + "0", b"0")
    changed = client.put(at + "a", b"1")

    done = client.transact(
        [condition(at, changed), Compare.value(at + "0", b"0")],
        [Put(at + "new", b"n"), Delete(at + "0")],
        [at + "a", at + "none", at + "0"],
    )
    assert done.is_done is holds
    if holds:
        assert done.found == ()
        assert [each.key for each in client.read(at).items] == [at + "a", at + "new"]
        assert client.read(at).items[1].changed == done.revision
    else:
        assert [each.key for each in done.found] == [at + "a", at + "0"]
        assert done.revision == changed
        assert client.get(at + "new") is None


@pytest.mark.parametrize(
    ("operation", "left"),
    [
        (lambda at: Delete(at + "b"), "acd"),
        (lambda at: DeleteAll(at), ""),
        (lambda at: DeleteRange(at + "b", at + "d"), "ad"),
    ],
    ids=["one", "all", "range"],
)
def test_deletes(client: Etcd, at: str, operation: Callable[[str], Operation], left: str) -> None:
    """A key, all below a prefix, or all between two are deleted."""
    for name in "abcd":
        client.put(at + name, b"")
    client.transact((), [operation(at)])
    assert "".join(each.key[-1] for each in client.read(at).items) == left


def test_leases(client: Etcd, at: str) -> None:
    """A key ends with its lease; another lease leaves its value."""
    lease, other = client.grant(60), client.grant(60)
    client.put(at + "a", b"1", lease)
    assert client.keep_alive(lease) == 60
    client.transact((), [Keep(at + "a", other)])
    client.revoke(lease)
    found = client.get(at + "a")
    assert found is not None
    assert (found.value, found.lease) == (b"1", other)

    client.revoke(other)
    client.revoke(other)
    assert client.get(at + "a") is None
    assert client.keep_alive(other) == 0.0
    with pytest.raises(NotFound, match="lease not found"):
        client.put(at + "a", b"1", lease)
    with pytest.raises(NotFound, match="key not found"):
        client.transact((), [Keep(at + "none")])


def test_too_large(client: Etcd, at: str) -> None:
    """What etcd does not take is refused with its words, and nothing is written."""
    with pytest.raises(Unwritable, match="request is too large"):
        client.put(at + "a", b"x" * 2_000_000)
    with pytest.raises(Unwritable, match="too many operations"):
        client.transact((), [Put(f"{at}{number}", b"") for number in range(129)])
    assert client.read(at).items == ()


def test_watch(client: Etcd, at: str) -> None:
    """A watch gives what happened from its revision on, and then what happens, in order."""
    first = client.put(at + "a", b"1")
    last = client.transact((), [Delete(at + "a"), Put(at + "b", b"2")]).revision
    client.put(at[:-1], b"not below the prefix")

    with client.watch(at, first) as watch:
        events = []
        for found in watch:
            events += [
                (each.item.key, each.item.value, each.item.changed, each.is_deleted)
                for each in found.events
            ]
            if len(events) == 3:
                last = client.put(at + "c", b"3")
            if len(events) == 4:
                break
    assert events == [
        (at + "a", b"1", first, False),
        (at + "a", b"", first + 1, True),
        (at + "b", b"2", first + 1, False),
        (at + "c", b"3", last, False),
    ]


def test_idle_watch(client: Etcd, at: str) -> None:
    """While nothing happens, batches without events come, and the watch goes on."""
    revision = client.put(at + "a", b"1")
    with Watch(client, at, revision + 1, idle_s=0.05) as watch:
        assert next(watch) == Batch(revision, ())
        assert next(watch) == Batch(revision, ())
        put = client.put(at + "a", b"2")
        assert wait_for(lambda: next(watch).events)[0].item.changed == put


def test_compacted_watch(client: Etcd, at: str) -> None:
    """A watch whose revision is gone says from where on there is something."""
    first = client.put(at + "a", b"1")
    last = client.put(at + "a", b"2")
    client.compact(last)
    client.compact(last)
    with client.watch(at, first) as watch, pytest.raises(Compacted) as told:
        next(watch)
    assert told.value.revision >= last
    with client.watch(at, told.value.revision) as watch:
        assert next(watch).events[-1].item.value == b"2"


def test_events_of_one_revision() -> None:
    """A fragment of a revision's events does not count as all of them."""
    kv = {"key": to_base64(b"/a"), "mod_revision": "7"}
    form = {"header": {"revision": "9"}, "events": [{"kv": kv}], "fragment": True}
    assert batch(form).revision == 6
    assert batch({**form, "fragment": False}).revision == 7
    assert batch({"header": {"revision": "9"}}) == Batch(9, ())


@pytest.mark.parametrize(
    ("reason", "error"),
    [
        ("rpc error: code = PermissionDenied desc = etcdserver: permission denied", GroupRefused),
        ("", Failed),
    ],
)
def test_watch_that_etcd_ends(reason: str, error: type[Exception]) -> None:
    """Who is told that there is no watch any more does not wait for what never comes."""
    watch = Watch(Etcd(["http://127.0.0.1:1"]), "/a/", 1)
    with pytest.raises(error):
        watch._understood({"canceled": True, "cancel_reason": reason})


def test_close_of_watch(server: EtcdServer, client: Etcd, at: str) -> None:
    """A watch is closed from another thread at once, even if its etcd hangs."""
    with client.watch(at, 0) as watch:
        server.pause()
        try:
            assert ends_at_once(watch)
        finally:
            server.resume()
    assert list(watch) == []


def ends_at_once(watch: Watch) -> bool:
    """Whether an iteration in another thread ends when the watch is closed."""
    begun = threading.Event()

    def take() -> None:
        begun.set()
        list(watch)

    before = set(threading.enumerate())
    thread = threading.Thread(target=take)
    thread.start()
    begun.wait()
    began = time.monotonic()
    watch.close()
    thread.join(5)
    for each in set(threading.enumerate()) - before:
        each.join(5)
    wait_for(lambda: not any(each.name == "etcd-watch" for each in threading.enumerate()))
    return time.monotonic() - began < 1


def test_close_while_it_begins(server: EtcdServer, at: str) -> None:
    """So is one that has not begun, since its etcd hangs."""
    client = server.client(timeout_s=60)
    server.pause()
    try:
        watch = client.watch(at, 0)
        thread = threading.Thread(target=watch.__enter__)
        thread.start()
        wait_for(lambda: watch._source is not None)
        watch.close()
        thread.join(1)
        assert not thread.is_alive()
    finally:
        server.resume()


def test_status(client: Etcd) -> None:
    """The version, the leader and the size are known."""
    status = client.status()
    assert status["version"].startswith("3.")
    assert status["leader"] != 0
    assert status["db_bytes"] >= status["used_bytes"] > 0
    assert status["alarms"] == ()


def test_first_endpoint_is_dead(server: EtcdServer, at: str) -> None:
    """Another endpoint is asked, also for a write, and is the first one then."""
    dead = f"127.0.0.1:{free_port()}"
    client = Etcd([dead, server.endpoint + "/"])
    assert client.put(at + "a", b"1") > 0
    assert client.endpoint == server.endpoint
    with Etcd([dead, server.endpoint]).watch(at, 0) as watch:
        assert watch.endpoint == server.endpoint


def test_nobody_is_there(at: str) -> None:
    """If no endpoint can be reached, that is told at once, and nothing was written."""
    dead = f"http://127.0.0.1:{free_port()}"
    client = Etcd([dead])
    began = time.monotonic()
    for call in (lambda: client.put(at, b""), lambda: client.get(at),
                 lambda: client.watch(at, 1).__enter__()):  # fmt: skip
        with pytest.raises(GroupAway, match=f"{dead}: .*refused") as told:
            call()
        assert not told.value.is_unknown
    assert time.monotonic() - began < 2


def test_etcd_hangs(server: EtcdServer, at: str) -> None:
    """One that hangs is away within the limit; what became of a write is not known."""
    client = server.client(timeout_s=0.2)
    client.put(at + "a", b"1")
    server.pause()
    try:
        for call, is_unknown in (
            (lambda: client.get(at + "a"), False),
            (lambda: client.read(at), False),
            (lambda: client.keep_alive(1), False),
            (lambda: client.status(), False),
            (lambda: client.watch(at, 1).__enter__(), False),
            (lambda: client.put(at + "a", b"2"), True),
        ):
            began = time.monotonic()
            with pytest.raises(GroupAway, match="in time") as told:
                call()
            assert time.monotonic() - began < 0.7
            assert told.value.is_unknown is is_unknown
    finally:
        server.resume()


def test_watch_of_one_that_hangs(server: EtcdServer, at: str) -> None:
    """A watch notices that its etcd hangs, though the connection stays."""
    client = server.client(timeout_s=1.0)
    with Watch(client, at, 0, idle_s=0.1) as watch:
        server.pause()
        try:
            with pytest.raises(GroupAway, match="does not answer in time"):
                wait_for(lambda: next(watch).events)
        finally:
            server.resume()


def test_threads(client: Etcd, at: str) -> None:
    """Calls of many threads do not come in each other's way: no increment is lost."""
    client.put(at + "n", b"0")

    def count() -> None:
        for _ in range(10):
            while True:
                found = client.get(at + "n")
                assert found is not None
                new = b"%d" % (int(found.value) + 1)
                same = Compare.unchanged(at + "n", found.changed)
                if client.transact([same], [Put(at + "n", new)]).is_done:
                    break

    threads = [threading.Thread(target=count) for _ in range(5)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    found = client.get(at + "n")
    assert found is not None
    assert found.value == b"50"


def test_ends_of_prefixes() -> None:
    """The end of a prefix is the first key that does not begin with it."""
    assert end_of("/a/") == b"/a0"
    assert end_of("") == b"\0"


def test_bad_endpoints() -> None:
    """An endpoint that is none is told before anything is asked."""
    with pytest.raises(BadSettings, match="no endpoint"):
        Etcd([])
    with pytest.raises(BadSettings, match="ftp://x"):
        Etcd(["ftp://x"])


def test_full(tmp_path: Path) -> None:
    """Without space nothing is written; reads go on, and the alarm is told."""
    need_etcd()
    with EtcdServer(tmp_path, options=["--quota-backend-bytes=4000000"]) as server:
        client = server.client()
        client.put("/a", b"kept")
        with pytest.raises(GroupFull, match="etcdctl alarm disarm"):
            wait_for(lambda: client.put("/b", b"x" * 1_000_000) and False)
        with pytest.raises(GroupFull):
            client.put("/a", b"small")
        found = client.get("/a")
        assert found is not None
        assert found.value == b"kept"
        assert client.status()["alarms"] == ("NOSPACE",)
        with pytest.raises(GroupFull):
            client.grant(5)
        assert client.transact((), [DeleteAll("/b")]).is_done


def test_passwords(tmp_path: Path) -> None:
    """A user is who he says, may do what his role may, and is known again after a restart."""
    need_etcd()
    with EtcdServer(tmp_path, options=HASTY) as server:
        early = server.client(user="member", password="secret-word")
        early.put("/g/a", b"etcd asks for no password yet")
        server.enable_auth("member", "secret-word", "/g/")
        early.put("/g/a", b"1")

        client = server.client(user="member", password="secret-word")
        client.put("/g/a", b"2")
        with pytest.raises(GroupRefused, match=r'user "member".*permission denied'):
            client.put("/other", b"")
        with pytest.raises(GroupRefused, match="permission"):
            client.watch("/other", 1).__enter__()
        for user, password in (("member", "wrong-word"), ("nobody", "secret-word")):
            wrong = server.client(user=user, password=password)
            with pytest.raises(GroupRefused, match=f'user "{user}"') as told:
                wrong.put("/g/a", b"")
            assert password not in str(told.value)
        with pytest.raises(GroupRefused, match="no user"):
            server.client().get("/g/a")

        server.restart()  # tokens are gone
        client.put("/g/a", b"3")
        server.restart()
        with client.watch("/g/", 1) as watch:
            assert next(watch).events[-1].item.value == b"3"


def test_certificates(tmp_path: Path) -> None:
    """Both sides show certificates of one CA; who has none, or another CA, is refused."""
    need_etcd()
    certificates = Certificates.make(tmp_path / "tls")
    with EtcdServer(tmp_path, tls=certificates) as server:
        client = server.client()
        revision = client.put("/a", b"1")
        with client.watch("/", revision) as watch:
            assert next(watch).events[0].item.value == b"1"
            assert ends_at_once(watch)
        without = Etcd([server.endpoint], ca=certificates.ca)
        for call in (lambda: without.put("/a", b""), lambda: without.watch("/", 1).__enter__()):
            # its word on that may be lost, when it closes the connection behind it
            assert "TLS failed" in wait_for(partial(refusal, call))
        with pytest.raises(GroupRefused, match=r"self-signed|unable"):
            Etcd([server.endpoint]).get("/a")
        plain = Etcd([server.endpoint.replace("https", "http")])
        with pytest.raises(GroupAway):
            plain.get("/a")


def refusal(call: Callable[[], object]) -> str:
    """Why a call is refused; "" if its etcd is only away."""
    with pytest.raises((GroupAway, GroupRefused)) as told:
        call()
    return str(told.value) if isinstance(told.value, GroupRefused) else ""


@pytest.mark.parametrize("name", ["", "root"])
def test_certificates_and_passwords(tmp_path: Path, name: str) -> None:
    """A certificate's common name is no user at the gateway, and is in the way of passwords."""
    need_etcd()
    certificates = Certificates.make(tmp_path / "tls", client=name)
    with EtcdServer(tmp_path, tls=certificates) as server:
        client = server.client(user="member", password="word")
        client.put("/a", b"1")
        server.enable_auth("member", "word", "/a")
        if name:
            with pytest.raises(GroupRefused, match="certificate that has a common name"):
                client.get("/a")
        else:
            assert client.get("/a") is not None
            with pytest.raises(GroupRefused, match="user name is empty"):
                server.client().get("/a")


def test_files_that_are_none(tmp_path: Path) -> None:
    """Files that are no certificates are told."""
    with pytest.raises(GroupRefused, match="cannot use the certificates"):
        Etcd(["https://127.0.0.1:1"], ca=str(tmp_path / "none.pem"))


@pytest.mark.parametrize("token", ["etcd-cluster", "another"])
def test_restored(tmp_path: Path, token: str) -> None:
    """A restored snapshot has its old revisions; another id only if it is given another token."""
    need_etcd()
    server = EtcdServer(tmp_path, options=HASTY)
    with server:
        client = server.client()
        client.put("/a", b"1")
        server.save(tmp_path / "saved")
        before = client.read("/")
        client.put("/a", b"2")
    server.restore(tmp_path / "saved", token)
    with server:
        after = server.client().read("/")
        assert after.items == before.items
        assert (after.cluster == before.cluster) is (token == "etcd-cluster")
