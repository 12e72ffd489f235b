"""The client against a cluster of three: members killed, paused and cut off from each other."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from functools import partial
from itertools import pairwise
from pathlib import Path

import pytest

from omeconf.errors import GroupAway
from omeconf.store.etcd import Compare, Etcd, Put
from omeconf.store.etcd_watch import Watch
from tests.support.daemon import wait_for
from tests.support.etcd import Cluster, EtcdServer, need_etcd

pytestmark = pytest.mark.fleet


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[Cluster]:
    need_etcd()
    with Cluster(tmp_path, 3) as cluster:
        yield cluster


def test_leader_is_killed(cluster: Cluster) -> None:
    """While leaders are killed, no write that was acknowledged is lost, and none is done twice;
    of one that was not, it is told whether it may have been done.
    """
    writer = Writer(cluster)
    writer.start()
    for _ in range(2):
        wait_for(lambda: writer.makes_progress(20), "writes")
        leader = cluster.leader()
        cluster.kill(leader)
        wait_for(lambda: writer.makes_progress(20), "writes without the old leader")
        cluster.restart(leader)
    writer.stop()

    found = {int(each.key[3:]): each for each in cluster.client().read("/w/").items}
    assert writer.done <= found.keys()
    assert found.keys() <= writer.done | writer.unknown
    assert not writer.undone & found.keys()
    assert all(each.created == each.changed for each in found.values())
    assert len(writer.done) >= 80


class Writer(threading.Thread):
    """Writes one key after the other, and notes what it was told."""

    def __init__(self, cluster: Cluster) -> None:
        super().__init__(daemon=True)
        self.client = cluster.client()
        self.done: set[int] = set()
        self.unknown: set[int] = set()
        self.undone: set[int] = set()
        self.ends = threading.Event()
        self.mark = 0

    def run(self) -> None:
        number = 0
        while not self.ends.is_set():
            number += 1
            try:
                self.client.put(f"/w/{number}", b"x" * 1000)
                self.done.add(number)
            except GroupAway as error:
                (self.unknown if error.is_unknown else self.undone).add(number)

    def makes_progress(self, writes: int) -> bool:
        """Whether so many more were done than when this was true last."""
        if len(self.done) < self.mark + writes:
            return False
        self.mark = len(self.done)
        return True

    def stop(self) -> None:
        self.ends.set()
        self.join()


def test_one_hangs(cluster: Cluster) -> None:
    """Reads come from another member within the limit when the one asked hangs."""
    leader = cluster.leader()
    slow, good = ((leader + 1) % 3, (leader + 2) % 3)
    servers = cluster.servers
    client = Etcd([servers[slow].endpoint, servers[good].endpoint], timeout_s=2)
    client.put("/a", b"1")
    assert client.endpoint == servers[slow].endpoint
    servers[slow].pause()
    began = time.monotonic()
    found = client.get("/a")
    assert found is not None
    assert time.monotonic() - began < 2
    assert client.endpoint == servers[good].endpoint
    client.put("/a", b"2")  # that one is the first to be asked by now


def test_leader_hangs(cluster: Cluster) -> None:
    """A write to a leader that hangs is not known to be done; the next one goes elsewhere, and is
    not undone by the first when that leader wakes up and does it after all (which was seen), since
    it has a condition.
    """
    leader = cluster.leader()
    order = cluster.endpoints[leader:] + cluster.endpoints[:leader]
    client = Etcd(order, timeout_s=3)
    first = client.put("/a", b"1")
    cluster.servers[leader].pause()
    began = time.monotonic()
    with pytest.raises(GroupAway, match="may or may not") as told:
        client.transact([Compare.unchanged("/a", first)], [Put("/a", b"2")])
    assert told.value.is_unknown
    assert time.monotonic() - began < 3.5
    wait_for(lambda: is_done(client), "a write without it")
    assert client.endpoint != order[0]
    with client.watch("/", 1) as watch:
        assert next(watch).events[-1].item.value == b"3"
    cluster.servers[leader].resume()
    found = server_client(cluster, leader).get("/a")
    assert found is not None
    assert found.value == b"3"


def server_client(cluster: Cluster, index: int) -> Etcd:
    """A client of one member, which waits as long as it has no leader."""
    return cluster.servers[index].client(timeout_s=20)


def test_token_of_one_member(cluster: Cluster) -> None:
    """A member that was started anew does not know the token; the others do."""
    cluster.servers[0].enable_auth("member", "word", "/a")
    client = cluster.client(user="member", password="word")
    for index in range(3):
        client.put("/a", b"%d" % index)
        client.endpoint = cluster.endpoints[index]
        cluster.restart(index)
        cluster.servers[(index + 1) % 3].wait()
        wait_for(lambda: is_done(client), "a write")
        assert client.get("/a") is not None


def test_no_majority(cluster: Cluster) -> None:
    """Without a majority a write is away within the limit, and told as not done once there is
    certainly no leader; what one member knows can be read; afterwards all goes on.
    """
    client = cluster.client(timeout_s=2)
    client.put("/a", b"1")
    left = (cluster.leader() + 1) % 3
    for index in {0, 1, 2} - {left}:
        cluster.kill(index)
    wait_for(lambda: cluster.servers[left].client().status()["leader"] == 0, "no leader")

    began = time.monotonic()
    with pytest.raises(GroupAway, match="no leader") as told:
        client.put("/a", b"2")
    assert not told.value.is_unknown
    with pytest.raises(GroupAway, match="no leader"):
        client.get("/a")
    with pytest.raises(GroupAway, match="no leader"):
        client.grant(5)
    with pytest.raises(GroupAway):
        client.watch("/", 1).__enter__()
    assert time.monotonic() - began < 4 * 2 + 1
    assert cluster.servers[left].client().status()["alarms"] == ()
    assert client.read("/", is_serializable=True).items[0].value == b"1"

    for index in {0, 1, 2} - {left}:
        cluster.servers[index].start(wait=False)
    wait_for(lambda: is_done(client), "a write")


def is_done(client: Etcd) -> bool:
    """Whether a write is done now."""
    try:
        client.put("/a", b"3")
    except GroupAway:
        return False
    return True


def test_short_election(cluster: Cluster) -> None:
    """A call that comes while there is no leader waits for the new one, if it is in time."""
    client = cluster.client(timeout_s=10)
    client.put("/a", b"1")
    leader = cluster.leader()
    cluster.kill(leader)
    follower = cluster.servers[(leader + 1) % 3].client()
    wait_for(lambda: follower.status()["leader"] in (0, *others(cluster)), "the end of its reign")
    client.put("/a", b"2")


def others(cluster: Cluster) -> list[int]:
    """The ids of the members that run."""
    found = [each.status() for each in cluster.servers if each.process is not None]
    return [each["header"]["member_id"] for each in found if each]


def test_watch_goes_on_elsewhere(cluster: Cluster) -> None:
    """If the watched member is killed, a watch behind the last batch misses and repeats nothing."""
    client = cluster.client()
    seen: list[str] = []
    reached = client.put("/w/0", b"")
    writer = Writer(cluster)
    ends = threading.Event()

    def follow() -> None:
        nonlocal reached
        while not ends.is_set():
            try:
                with Watch(client, "/w/", reached + 1, idle_s=0.2) as watch:
                    watched.append(watch.endpoint)
                    for batch in watch:
                        seen.extend(event.item.key for event in batch.events)
                        reached = batch.revision
                        if ends.is_set():
                            break
            except GroupAway:
                continue

    watched: list[str] = []
    follower = threading.Thread(target=follow)
    follower.start()
    writer.start()
    for _ in range(2):
        wait_for(lambda: writer.makes_progress(30))
        index = cluster.endpoints.index(watched[-1])
        count = len(watched)
        cluster.kill(index)
        wait_for(partial(is_longer, watched, count), "another watch")
        cluster.restart(index)
        cluster.leader()
    writer.stop()
    found = client.read("/w/", start="/w/1")
    wait_for(lambda: reached >= found.revision, "the end")
    ends.set()
    follower.join()
    in_order = sorted(found.items, key=lambda each: each.changed)
    assert seen == [each.key for each in in_order if each.key != "/w/0"]


def is_longer(values: list[str], count: int) -> bool:
    """Whether a list has more than so many."""
    return len(values) > count


def test_watch_without_leader(cluster: Cluster) -> None:
    """A watch ends when its member has no leader any more, since it would hear of nothing."""
    left = (cluster.leader() + 1) % 3
    client = cluster.servers[left].client()
    with client.watch("/", 0) as watch:
        for index in {0, 1, 2} - {left}:
            cluster.kill(index)
        with pytest.raises(GroupAway, match="no leader"):
            next(watch)


def test_lease_ends(tmp_path: Path) -> None:
    """A key goes with its lease when nobody keeps it alive, and a watch tells."""
    need_etcd()
    with EtcdServer(tmp_path) as server:
        client = server.client()
        lease = client.grant(1)
        revision = client.put("/a", b"1", lease)
        with client.watch("/", revision + 1) as watch:
            (event,) = next(watch).events
            assert event.is_deleted
            assert event.item.key == "/a"
        assert client.keep_alive(lease) == 0.0


def test_hundred_large_keys(tmp_path: Path) -> None:
    """A hundred keys of 512 KB are read and watched as any others."""
    need_etcd()
    with EtcdServer(tmp_path) as server:
        client = server.client()
        value = bytes(range(256)) * 2048
        revisions = [client.put(f"/g/{number:03}", value) for number in range(100)]
        found = client.read("/g/")
        assert [each.changed for each in found.items] == revisions
        assert {each.value for each in found.items} == {value}
        seen: list[int] = []
        with client.watch("/g/", revisions[0]) as watch:
            for batch in watch:
                seen += [each.item.changed for each in batch.events]
                if batch.revision == found.revision:
                    break
        assert seen == revisions


def test_fragments(tmp_path: Path) -> None:
    """A transaction that comes in two messages of a watch counts as given with the second."""
    need_etcd()
    with EtcdServer(tmp_path) as server:
        client = server.client()
        revisions = [
            client.transact((), [Put(f"/g/{key}", bytes(240_000)) for key in range(5)]).revision
            for _ in range(8)
        ]
        batches = []
        with client.watch("/g/", revisions[0]) as watch:
            for batch in watch:
                batches.append(batch)
                if batch.revision >= revisions[-1]:
                    break
        changes = [[event.item.changed for event in batch.events] for batch in batches]
        seen = [each for change in changes for each in change]
        assert seen == [each for each in revisions for _ in range(5)]
        pairs = list(pairwise(zip(batches, changes, strict=True)))
        assert any(given[-1] == later[0] for (_, given), (_, later) in pairs)
        assert all(batch.revision < later[0] for (batch, _), (_, later) in pairs)
