"""A group as it is used: etcd, one or three, and members that are `omeconf serve` processes."""

from __future__ import annotations

import json
import re
import signal
import subprocess
import threading
import time
import urllib.request
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import TypeVar

from benchmarks import files
from benchmarks.client import BadAnswer
from benchmarks.servers import Omeconf, find_program, free_port
from benchmarks.subject import path
from omeconf.errors import OmeconfError
from omeconf.store.etcd import Etcd
from omeconf.store.group import Group

T = TypeVar("T")
GROUP = "bench"
PATIENCE_S = 300.0
"""What a group has not done after so long, it does not do."""
QUIET_S = 1.0
"""What members say of themselves behind a rollout comes within so long."""
AT_ONCE = 2
"""So many members start at the same time: more would only wait for the processor."""
HOOK = '[reload]\nwait_s = {wait_s}\n[[hooks]]\nrun = ["/bin/true"]\n'
"""Each revision has a reload that does nothing; wait_s 0: the answer does not wait for it."""
FLEET = """[fleet]
endpoints = {endpoints}
group = "{group}"
node = "{node}"
canary = {canary}
max_unavailable = {at_once}
"""
_METHOD = re.compile(r'grpc_method="(\w+)"')
_METRIC = re.compile(r"^(\w+)(\{.*\})? (\S+)$", re.MULTILINE)


class EtcdProcess:
    """One process of etcd, with its data in a folder."""

    def __init__(self, folder: Path, name: str) -> None:
        self.folder = folder
        self.name = name
        self.url, self.peer = (f"http://127.0.0.1:{free_port()}" for _ in range(2))
        self._process: subprocess.Popen[bytes] | None = None

    def start(self, cluster: str) -> None:
        """cluster: all members, as NAME=PEER_URL with commas between."""
        with (self.folder / f"{self.name}.log").open("wb") as log:
            self._process = subprocess.Popen(
                [
                    "etcd", "--name", self.name, "--data-dir", str(self.folder / self.name),
                    "--listen-client-urls", self.url, "--advertise-client-urls", self.url,
                    "--listen-peer-urls", self.peer, "--initial-advertise-peer-urls", self.peer,
                    "--initial-cluster", cluster,
                ],
                stdout=log, stderr=log, stdin=subprocess.DEVNULL,
            )  # fmt: skip

    def kill(self) -> None:
        """End it without a warning; nothing if it does not run."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    def metrics(self) -> dict[str, float]:
        """Its figures by their names; the sum of those that differ in labels only.

        `calls` is how many calls it was asked for, whatever of, but for watches; `calls/Txn` is
        how many of one kind.
        """
        with urllib.request.urlopen(f"{self.url}/metrics", timeout=10) as answer:
            text = answer.read().decode()
        found: dict[str, float] = {"calls": 0.0}
        for name, labels, value in _METRIC.findall(text):
            found[name] = found.get(name, 0.0) + float(value)
            method = _METHOD.search(labels)
            if name == "grpc_server_started_total" and method and method[1] != "Watch":
                found["calls"] += float(value)
                found[f"calls/{method[1]}"] = float(value)
        return found


class Etcds:
    """A cluster of one or more."""

    def __init__(self, folder: Path, size: int) -> None:
        """Start it, and wait until it serves."""
        folder.mkdir(parents=True)
        self.processes = [EtcdProcess(folder, f"etcd{index}") for index in range(size)]
        self.cluster = ",".join(f"{each.name}={each.peer}" for each in self.processes)
        for each in self.processes:
            each.start(self.cluster)
        self.client = Etcd([each.url for each in self.processes])
        wait_for(self._serves, "etcd")

    def _serves(self) -> bool:
        with suppress(OmeconfError):
            return all(self._leads(each) is not None for each in self.processes)
        return False

    def _leads(self, process: EtcdProcess) -> bool | None:
        """Whether it is the leader; None if it does not serve."""
        with suppress(OSError):
            found = process.metrics()
            if found.get("etcd_server_has_leader"):
                return bool(found["etcd_server_is_leader"])
        return None

    def leader(self) -> EtcdProcess:
        """The one that leads."""
        found = wait_for(lambda: [each for each in self.processes if self._leads(each)], "a leader")
        return found[0]

    def metrics(self) -> dict[str, float]:
        """The figures of all, added up."""
        found: dict[str, float] = {}
        for each in self.processes:
            for name, value in each.metrics().items():
                found[name] = found.get(name, 0.0) + value
        return found

    def put_s(self) -> float:
        """How long one write of 200 bytes takes, as members make it."""
        begin = time.perf_counter()
        self.client.put("/floor", b"x" * 200)
        return time.perf_counter() - begin

    def stop(self) -> None:
        """End it."""
        self.client.close()
        for each in self.processes:
            each.kill()


class Observer:
    """Hears all that a group has on record, with the moment at which it was told."""

    def __init__(self, group: Group) -> None:
        self.group = group
        self.items: dict[str, bytes] = {}
        self.told: list[tuple[float, str, bytes]] = []
        """Moments of time.perf_counter, names and values, as they came."""
        self._changed = threading.Condition()
        self._stopping = False
        self._thread = threading.Thread(target=self._loop, daemon=True)
        self._thread.start()

    def _loop(self) -> None:
        while not self._stopping:
            with suppress(OmeconfError):
                self._follow()
            time.sleep(0.05)  # etcd is away

    def _follow(self) -> None:
        found = self.group.etcd.read(self.group.state)
        for item in found.items:
            self._take(item.key, item.value)
        with self.group.etcd.watch(self.group.state, found.revision + 1) as watch:
            for batch in watch:
                for event in batch.events:
                    self._take(event.item.key, b"" if event.is_deleted else event.item.value)
                if self._stopping:
                    return

    def _take(self, key: str, value: bytes) -> None:
        name = key.removeprefix(self.group.state)
        with self._changed:
            if self.items.get(name) != value:
                self.items[name] = value
                self.told.append((time.perf_counter(), name, value))
                self._changed.notify_all()

    def wait(self, is_so: Callable[[Mapping[str, bytes]], bool], what: str) -> float:
        """Wait until the record is so; the moment at which it was seen to be."""
        with self._changed:
            if not self._changed.wait_for(lambda: is_so(self.items), PATIENCE_S):
                raise BadAnswer(f"{what} is not there after {PATIENCE_S:.0f} s")
            return self.told[-1][0] if self.told else time.perf_counter()

    def number(self, name: str) -> int:
        """The revision that head or stable is; 0 if there is none."""
        return _number(self.items, name)

    def wait_stable(self, number: int) -> float:
        """Wait until the group has confirmed a revision; the moment."""
        self.wait(lambda items: _number(items, "stable") >= number, f"revision {number}")
        return next(
            moment
            for moment, name, value in self.told
            if name == "stable" and value and int(json.loads(value)["number"]) >= number
        )

    def stop(self) -> None:
        """Hear no more; the thread ends with the process."""
        self._stopping = True


class Fleet:
    """A group of members on one cluster of etcd."""

    def __init__(self, program: Path, folder: Path, etcds: Etcds, applications: int) -> None:
        """applications: of the Server.xml that the group begins with."""
        self.program = program
        self.folder = folder
        self.etcds = etcds
        self.members: list[Omeconf] = []
        self.policy = (1, 1)
        self.group = Group(etcds.client, GROUP)
        self.observer = Observer(self.group)
        self._applications = applications
        self._value = files.FIRST_VALUE

    def settings(self, index: int, wait_s: float = 0.0) -> str:
        """What member `index` is told."""
        canary, at_once = self.policy
        endpoints = json.dumps([each.url for each in self.etcds.processes])
        return HOOK.format(wait_s=wait_s) + FLEET.format(
            endpoints=endpoints, group=GROUP, node=node(index), canary=canary, at_once=at_once
        )

    def start(self, index: int) -> Omeconf:
        """Start a member with an empty folder; the very first one has a Server.xml."""
        folder = self.folder / node(index)
        data = None if index else files.server_xml(self._applications)
        return Omeconf(self.program, folder, data, self.settings(index))

    def start_again(self, index: int) -> Omeconf:
        """Start a member with what it had."""
        return Omeconf(self.program, self.folder / node(index), None, self.settings(index))

    def grow(self, count: int) -> None:
        """Start members until there are so many, and wait until all take part."""
        first = len(self.members)
        if not self.members:
            self.members.append(self.start(0))
        with ThreadPoolExecutor(AT_ONCE) as pool:
            self.members += pool.map(self.start, range(len(self.members), count))
        for index in range(first, count):
            self.wait_placed(index)

    def wait_placed(self, index: int) -> float:
        """Wait until a member runs what the group has confirmed; the moment."""

        def is_placed(items: Mapping[str, bytes]) -> bool:
            found = json.loads(items.get(f"members/{node(index)}") or b"{}")
            return bool(found) and found["running"] == found["disk"] == _number(items, "stable")

        return self.observer.wait(is_placed, node(index))

    def set_policy(self, canary: int, at_once: int) -> None:
        """Have rollouts go in other steps, without a restart."""
        self.policy = (canary, at_once)
        for index, member in enumerate(self.members):
            member.settings.write_text(self.settings(index))
            member.process.send_signal(signal.SIGHUP)
        time.sleep(1.0)

    def edit(self, index: int, app: int = 0) -> float:
        """Change one value at a member; the moment at which that was asked for."""
        self._value += 1
        client = self.members[index].client
        body = {"publishers": {"llhls": {"segmentDuration": self._value}}}
        request = client.request("PATCH", path(app), body)
        begin = time.perf_counter()
        client.send(request)
        return begin

    def rest(self) -> None:
        """Wait until nothing is under way."""
        self.observer.wait(lambda items: _number(items, "stable") == _number(items, "head"), "rest")

    def settle(self) -> None:
        """Wait until nothing is under way, and nobody has said anything for a while."""
        self.rest()
        known = -1
        while known != len(self.observer.told):
            known = len(self.observer.told)
            time.sleep(QUIET_S)

    def driver(self) -> int:
        """The index of the member that drives."""
        self.observer.wait(lambda items: bool(items.get("driver")), "a driver")
        return int(self.observer.items["driver"].decode()[1:])

    def stop(self) -> None:
        """End all members."""
        self.observer.stop()
        for member in self.members:
            member.process.send_signal(signal.SIGTERM)
        for member in self.members:
            member.stop()


def node(index: int) -> str:
    """The name of a member."""
    return f"n{index:03}"


def missing() -> str:
    """Why there can be no group here; "" if there can."""
    return "" if find_program("etcd") else "etcd is not installed (Debian: etcd-server)"


def wait_for(condition: Callable[[], T], what: str) -> T:
    """What a condition gives once it is true. Raises BadAnswer if it is not for long."""
    deadline = time.monotonic() + PATIENCE_S
    while not (found := condition()):
        if time.monotonic() > deadline:
            raise BadAnswer(f"{what} is not there after {PATIENCE_S:.0f} s")
        time.sleep(0.01)
    return found


def _number(items: Mapping[str, bytes], name: str) -> int:
    found = items.get(name)
    return int(json.loads(found)["number"]) if found else 0
