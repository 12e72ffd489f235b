"""A fleet of real daemons on a real cluster of etcd, and what has to hold of it.

Every commit adds an application with a name of its own, so that what became of it can be seen in
each member's history, files and hook calls. `Fleet.wrong` says what does not hold; after a fault is
over, `Fleet.settled` waits until nothing is wrong.
"""

from __future__ import annotations

import enum
import http.client
import json
import os
import shutil
import threading
import time
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

import pytest

from omeconf.core.rollout import Phase, Rollout, Word
from omeconf.errors import OmeconfError
from omeconf.store.etcd import Delete, Etcd
from tests.support import MINIMAL, PROJECT
from tests.support.etcd import Cluster, EtcdServer, need_etcd
from tests.support.member import GROUP, SETTINGS, Call, Member
from tests.support.network import Network
from tests.support.proxy import Proxy

STATE = f"/omeconf/{GROUP}/state/"
"""Where the group's record is in etcd."""
APPS = "/v1/vhosts/default/apps"
KEPT = PROJECT / ".torture-fleet"
"""Where logs and files of a fleet are kept that did not settle."""
SETTLED_S = 60.0
"""How long it may take until all is well after a fault is over."""

OWN = "omeconf"
"""The author of what the group does by itself."""
LEASE_S = 2.0
"""As in the settings."""
CONFIRM_S = 6.0
"""As in the settings."""


class Fate(enum.Enum):
    """What a member answered to a commit."""

    MADE = "made"
    """Acknowledged."""
    BACK = "taken back"
    """Made, and taken back since a member could not take it."""
    NOT = "not made"
    UNKNOWN = "not known"
    LOST = "lost"
    """Acknowledged, and lost by etcd; the members that had it have put it aside since."""


@dataclass
class Commit:
    """One commit that was asked for: an application with a name that no other has."""

    app: str
    node: str
    fate: Fate = Fate.UNKNOWN
    number: int = 0
    """The revision, as the member said."""
    said: str = ""
    """What it answered, in short."""
    is_by_hand: bool = False
    """Whether it is a manual edit."""


@dataclass
class Round:
    """What happens until all is settled again."""

    commits: list[Commit] = field(default_factory=list)
    away: set[str] = field(default_factory=set)
    """Members that were cut off, stopped or killed, or had no etcd."""
    killed: Counter[str] = field(default_factory=Counter)
    """Members that were killed, and how often."""


@dataclass(frozen=True)
class Record:
    """What the group has on record in etcd."""

    head: int = 0
    stable: int = 0
    driver: str = ""
    rollout: Rollout | None = None
    words: dict[str, Word] = field(default_factory=dict)
    present: frozenset[str] = frozenset()
    members: dict[str, dict[str, Any]] = field(default_factory=dict)

    @property
    def phase(self) -> Phase | None:
        """Of the newest rollout."""
        return self.rollout.phase if self.rollout else None

    @property
    def says(self) -> dict[str, str]:
        """The words of the newest rollout, by member."""
        number = self.rollout.id if self.rollout else 0
        return {n: word.says.value for n, word in self.words.items() if word.rollout == number}


class Fleet:
    """A group: its etcd, its members, and what was asked of them."""

    def __init__(
        self,
        base: Path,
        *,
        n_etcd: int = 3,
        n_members: int = 10,
        settings: str = SETTINGS,
        releases: dict[str, str] | None = None,
        server_xml: str = MINIMAL,
        proxied: Collection[str] = (),
        etcd_options: Sequence[str] = (),
    ) -> None:
        """Members are m0, m1, ...: the first has a configuration, the others have nothing.

        releases: of the engines of some members, if not 0.21; proxied: members that reach one etcd
        only, by a way of their own.
        """
        need_etcd()
        self.base = base
        self.settings, self.server_xml = settings, server_xml
        self.network = Network()
        self.n_etcd, self.n_members = n_etcd, n_members
        self.releases = releases or {}
        self.proxied, self.etcd_options = proxied, etcd_options
        self.proxies: dict[str, Proxy] = {}
        """The ways of those members, by their names."""
        self.cluster: Cluster
        self.client: Etcd
        self.members: dict[str, Member] = {}
        self.rounds = [Round()]
        self.times: list[float] = []
        """How long it took to settle, in seconds."""
        self._number = 0
        self._guard = threading.Lock()
        self._pool = ThreadPoolExecutor(32)

    # -- life ------------------------------------------------------------------------------

    def start(self) -> Self:
        """Start all, and wait until every member has revision 1."""
        try:
            self._start()
        except BaseException:
            self.stop()
            raise
        return self

    def _start(self) -> None:
        self.network.start()
        servers = []
        for number in range(self.n_etcd):
            name = f"e{number}"
            self.network.add(name)
            server = EtcdServer(
                self.base, name, self.network.address(name), prefix=self.network.prefix(name),
                options=self.etcd_options,
            )  # fmt: skip
            if self.network.is_real:
                server.client_port, server.peer_port = 2379, 2380
            servers.append(server)
        self.cluster = Cluster.of(servers).start()
        self.client = self.cluster.client(timeout_s=4)
        for number in range(self.n_members):
            self.add(f"m{number}", server_xml=None if number else self.server_xml).spawn()
        for member in self.members.values():
            member.greet()
        self.settled()

    def stop(self) -> None:
        """End all of it."""
        for member in self.members.values():
            with suppress(Exception):
                member.kill()
        if hasattr(self, "cluster"):
            for server in self.cluster.servers:
                server.kill()
        for proxy in self.proxies.values():
            proxy.stop()
        self.network.stop()
        self._pool.shutdown(wait=False)

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, *_: object) -> None:
        self.stop()

    def add(self, name: str, *, server_xml: str | None = None) -> Member:
        """One more member; it is not started."""
        self.network.add(name)
        endpoints = self.cluster.endpoints
        if name in self.proxied:
            server = self.cluster.servers[0]
            proxy = Proxy(server.host, server.client_port, listens=self.network.own_address)
            self.proxies[name] = proxy.start()
            endpoints = [proxy.endpoint]
        member = Member(
            self.base / name, name,
            wrapped=self.network.prefix(name), endpoints=endpoints,
            server_xml=server_xml, settings=self.settings,
            release=self.releases.get(name, "0.21"),
        )  # fmt: skip
        self.members[name] = member
        return member

    def remove(self, name: str) -> None:
        """Have one member less, for good."""
        self.members.pop(name).kill()
        for key in ("members", "words"):
            self.client.transact((), [Delete(f"{STATE}{key}/{name}")])

    # -- what the group has on record ------------------------------------------------------

    def record(self) -> Record:
        """The group's record. Raises GroupAway."""
        found = self.client.read(STATE)
        texts = {each.key.removeprefix(STATE): each.value for each in found.items}

        def number(name: str) -> int:
            return int(json.loads(texts[name])["number"]) if name in texts else 0

        def below(name: str) -> dict[str, Any]:
            start = f"{name}/"
            return {k.removeprefix(start): json.loads(v) for k, v in texts.items()
                    if k.startswith(start)}  # fmt: skip

        return Record(
            number("head"),
            number("stable"),
            texts.get("driver", b"").decode(),
            Rollout.parse(json.loads(texts["rollout"])) if "rollout" in texts else None,
            {node: Word.parse(word) for node, word in below("words").items()},
            frozenset(below("alive")),
            below("members"),
        )

    def wait(
        self, condition: Callable[[Record], Any], what: str, *, deadline_s: float = 30.0
    ) -> Record:
        """The group's record once a condition holds of it."""
        deadline = time.monotonic() + deadline_s
        while True:
            with suppress(OmeconfError):
                found = self.record()
                if condition(found):
                    return found
            assert time.monotonic() < deadline, self.report([f"waited in vain for: {what}"])
            time.sleep(0.002)

    def driver(self) -> Member:
        """The member that drives, once one does."""
        found = self.wait(lambda record: record.driver in self.members, "one that drives")
        return self.members[found.driver]

    def others(self, *but: Member) -> list[Member]:
        """All members but some."""
        return [member for member in self.members.values() if member not in but]

    # -- commits ---------------------------------------------------------------------------

    def new_app(self) -> str:
        """A name for an application that no other has."""
        with self._guard:
            self._number += 1
            return f"a{self._number:04d}"

    def commit(
        self, member: Member, app: str = "", *, more: dict[str, Any] | None = None, tries: int = 20
    ) -> Commit:
        """Add an application at a member, and note what it answers; again while it is busy.

        more: members of its body, beside name and type.
        """
        commit = Commit(app or self.new_app(), member.name)
        with self._guard:
            self.rounds[-1].commits.append(commit)
        body = [{"name": commit.app, "type": "live", **(more or {})}]
        for _ in range(tries):
            try:
                answer = member.ask("POST", APPS, body, message=commit.app)
            except (OSError, http.client.HTTPException, ValueError) as error:
                commit.said = repr(error)
                return commit
            reload = answer.headers.get("omeconf-reload", "")
            commit.number = int(answer.headers.get("omeconf-revision", 0))
            commit.said = f"{answer.status} {reload} {json.dumps(answer.json)[:300]}"
            is_again = answer.status == 409 or (answer.status == 503 and "try again" in commit.said)
            if not is_again:
                break
            commit.fate = Fate.NOT
        if answer.status == 200:
            commit.fate = Fate.MADE
        elif answer.status == 502:
            commit.fate = Fate.BACK
        elif answer.status == 503 and not is_again:
            commit.fate = Fate.UNKNOWN
        else:
            commit.fate = Fate.NOT
        return commit

    def committing(self, member: Member, app: str = "") -> Future[Commit]:
        """The same, without waiting for it."""
        return self._pool.submit(self.commit, member, app)

    def edit(self, member: Member) -> Commit:
        """Add an application to a member's file, as an editor does that writes in place.

        It is the first of all: those that are added by the API come last, so that both go together.
        """
        commit = Commit(self.new_app(), member.name, is_by_hand=True)
        with self._guard:
            self.rounds[-1].commits.append(commit)
        new = f"<Application><Name>{commit.app}</Name><Type>live</Type></Application>"
        member.write(member.text.replace("<Applications>", f"<Applications>\n{new}", 1))
        return commit

    @contextmanager
    def under_load(self, members: Sequence[Member]) -> Iterator[list[Commit]]:
        """Have members commit one application after the other meanwhile."""
        ends = threading.Event()
        made: list[Commit] = []

        def write(member: Member) -> None:
            while not ends.is_set():
                made.append(self.commit(member))

        running = [self._pool.submit(write, member) for member in members]
        try:
            yield made
        finally:
            ends.set()
            for each in running:
                each.result()

    # -- faults ----------------------------------------------------------------------------

    def excuse(self, *members: Member, is_killed: bool = False) -> None:
        """Members may undo and redo once what is committed in this round."""
        names = {member.name for member in members}
        self.rounds[-1].away |= names
        if is_killed:
            self.rounds[-1].killed.update(names)

    def kill(self, member: Member) -> None:
        """End a member without a warning."""
        self.excuse(member, is_killed=True)
        member.kill()

    def pause(self, member: Member) -> None:
        """Have a member hang."""
        self.excuse(member)
        member.pause()

    def cut(self, member: Member) -> None:
        """Cut a member off the network."""
        self.excuse(member)
        self.network.cut(member.name)

    def heal(self, member: Member) -> None:
        """Have a member on the network again."""
        self.network.heal(member.name)

    # -- what must hold --------------------------------------------------------------------

    def settled(self, deadline_s: float = SETTLED_S) -> None:
        """Wait until nothing is wrong, and begin a new round. Fails at the deadline."""
        began = time.monotonic()
        while wrong := self.wrong():
            if time.monotonic() > began + deadline_s:
                pytest.fail(self.report(wrong), pytrace=False)
            time.sleep(0.1)
        self.times.append(time.monotonic() - began)
        self.rounds.append(Round())

    def is_tidy(self) -> bool:
        """Whether all is well, and nothing has happened since it settled."""
        last = self.rounds[-1]
        return not (last.commits or last.away) and not self.wrong()

    def wrong(self) -> list[str]:
        """What does not hold now; [] if all is well."""
        try:
            record = self.record()
        except OmeconfError as error:
            return [f"etcd: {error}"]
        rollout = record.rollout
        if not record.head:
            return ["the group has no revision"]
        if rollout is not None and not (rollout.phase is Phase.CONFIRMED or rollout.settled):
            return [f"rollout {rollout.id} to {rollout.target}: {rollout.phase}, not settled"]
        if record.stable != record.head:
            return [f"revision {record.head} is the newest, and {record.stable} is confirmed"]
        running = [member for member in self.members.values() if member.is_running]
        wrong = [f"{member.name} does not run" for member in self.others(*running)]
        for member in running:
            wrong += self._wrong_at(member, record)
        if wrong:
            return wrong
        return self._wrong_histories(running) or self._wrong_calls(running)

    def _wrong_at(self, member: Member, record: Record) -> list[str]:
        """What does not hold of one member, beside the others' history."""
        name = member.name
        if name not in record.present:
            return [f"{name} is not present"]
        status = member.tell("/omeconf/v1/status")
        if status is None:
            return [f"{name} does not tell its status"]
        own = record.members.get(name, {})
        wrong = []
        if status["fleet"]["state"] != "ok":
            wrong.append(f"{name}: {status['fleet']['state']}: {status['fleet']['trouble']}")
        for where in ("disk", "running"):
            number = status["revision"][where]
            if number != record.head:
                wrong.append(f"{name}: {where} is {number}, and head is {record.head}")
        if own.get("disk") != record.head or not own.get("confirmed") or own.get("drift"):
            wrong.append(f"{name} has on record: {own}")
        return wrong

    def _wrong_histories(self, running: Sequence[Member]) -> list[str]:
        """Whether all have the same files and revisions, and what was acknowledged among them."""
        files = {member.name: member.files() for member in running}
        wrong = [f"{name}: other files than {running[0].name}: {sorted(found)}"
                 for name, found in files.items() if found != files[running[0].name]]  # fmt: skip
        first: dict[int, Any] = {}
        for member in running:
            told = member.tell("/omeconf/v1/revisions?limit=1000")
            if told is None:
                wrong.append(f"{member.name} does not tell its revisions")
                continue
            revisions = {each["number"]: {**each, "reload": None} for each in told["revisions"]}
            first = first or revisions
            wrong += [f"{member.name}: revision {number} is {found}, and elsewhere {first[number]}"
                      for number, found in revisions.items()
                      if number in first and found != first[number]]  # fmt: skip
            for each in self.rounds:
                for commit in each.commits:
                    if not commit.is_by_hand:
                        wrong += wrong_commit(member, commit, revisions)
        return wrong

    def _wrong_calls(self, running: Sequence[Member]) -> list[str]:
        """Whether an application was restarted more often than needed, or not at all."""
        wrong = []
        for member in running:
            left = member.hook_calls()
            for each in self.rounds:
                may = (member.name in each.away) + each.killed[member.name]
                for commit in each.commits:
                    calls = [call for call in left if call.name == f"default/{commit.app}"]
                    left = [call for call in left if call not in calls]
                    wrong += wrong_calls_of(member, commit, calls, may)
            wrong += [f"{member.name}: a call that no commit asks for: {call}" for call in left]
        return wrong

    def keep(self) -> Path:
        """Keep logs, calls and files where they outlive the test; gives where."""
        place = KEPT / f"{time.strftime('%H%M%S')}-{os.getpid()}"
        shutil.copytree(
            self.base, place, dirs_exist_ok=True,
            ignore=shutil.ignore_patterns("*.etcd", "*.sock", "hook", "health", "refuses", "dies"),
        )  # fmt: skip
        with suppress(OmeconfError):
            found = [f"{each.key} {each.value.decode()}" for each in self.client.read(STATE).items]
            (place / "record").write_text("\n".join(found))
        return place

    def report(self, wrong: Sequence[str]) -> str:
        """What is wrong, and what there is to know about it."""
        parts = ["", *wrong[:40], ""]
        with suppress(OmeconfError):
            record = self.record()
            parts += [f"head {record.head}, confirmed {record.stable}, driver {record.driver}"]
            parts += [f"rollout: {record.rollout.as_json() if record.rollout else None}"]
            parts += [f"words: { {n: w.as_json() for n, w in sorted(record.words.items())} }"]
            parts += [f"present: {sorted(record.present)}"]
        parts += [f"this round: {self.rounds[-1]}"]
        for member in self.members.values():
            is_meant = any(line.startswith(f"{member.name}:") for line in wrong)
            parts += [f"---- {member.name} (runs: {member.is_running})"]
            parts += [*member.log.splitlines()[-30 if is_meant else -3 :]]
            parts += ["calls:", *member.calls[-6:]] if is_meant else []
        parts += [f"all of it is kept in {self.keep()}"]
        return "\n".join(parts)


def wrong_commit(
    member: Member, commit: Commit, revisions: Mapping[int, Mapping[str, Any]]
) -> list[str]:
    """What is wrong with what a member's history and file have of a commit."""
    numbers = [n for n, revision in revisions.items() if revision["message"] == commit.app]
    undone = {n: revision for revision in revisions.values() for n in revision["reverts"]}
    wrong = []
    if len(numbers) > 1:
        wrong.append(f"was made {len(numbers)} times: {numbers}")
    if commit.fate is Fate.BACK and len(numbers) != 1:
        wrong.append(f"was taken back, and is {numbers}")
    if commit.fate is Fate.NOT and numbers:
        wrong.append(f"was refused, and is {numbers}")
    if commit.fate is Fate.LOST and numbers:
        wrong.append(f"was lost, and is {numbers}")
    if commit.fate is Fate.MADE:
        undoing = undone.get(commit.number)
        if numbers != [commit.number]:
            wrong.append(f"is not revision {commit.number}, but {numbers}")
        if undoing is None and not member.has(commit.app):
            wrong.append("nobody reverted it, and it is not there")
        if undoing is not None and undoing["author"] == OWN and commit.said.startswith("200 ok"):
            wrong.append(f"was answered as confirmed, and taken back: {undoing}")
    return [f"{member.name}: {commit.app}: {each}: {commit}" for each in wrong]


def wrong_calls_of(member: Member, commit: Commit, calls: Sequence[Call], may: int) -> list[str]:
    """What is wrong with the calls for one application; may: how often it may be redone."""
    is_there = member.has(commit.app)
    begun = [call.action for call in calls if call.state == "begun"]
    runs = False
    for call in calls:
        if call.state == "done":
            runs = call.action != "delete"
    wrong = []
    if runs != is_there:
        wrong.append(f"in the file: {is_there}, runs: {runs}")
    if begun.count("create") > 1 + may:
        wrong.append("created too often")
    if begun.count("delete") > (not is_there) + may:
        wrong.append("deleted too often")
    if len(begun) > begun.count("create") + begun.count("delete"):
        wrong.append("neither created nor deleted")
    if commit.fate is Fate.BACK and is_there:
        wrong.append("was taken back")
    return [f"{member.name}: {commit.app}: {each}: {begun}, {commit}" for each in wrong]
