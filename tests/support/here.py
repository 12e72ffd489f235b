"""A member in this process, with clocks that tests turn."""

from __future__ import annotations

import dataclasses
from concurrent.futures import Future
from pathlib import Path
from typing import Any

from omeconf.core import path
from omeconf.core.edit import Candidate, Edit, Verb
from omeconf.daemon.confirm import Clocks
from omeconf.daemon.fleet.fleet import Fleet
from omeconf.daemon.service import Service
from omeconf.settings import Fleet as FleetSettings
from omeconf.settings import Settings
from omeconf.store.disk import shipped_schema
from omeconf.store.group import Group
from omeconf.store.history import History
from omeconf.store.member import Manual, Member
from tests.support.daemon import DEADLINE_S, wait_for
from tests.support.etcd import EtcdServer


class Time:
    """Clocks that tests turn."""

    def __init__(self) -> None:
        self.boot = 500.0

    def clocks(self) -> Clocks:
        """The wall clock and that of the boot, which go together."""
        return Clocks(lambda: 1_000_000.0 + self.boot, lambda: self.boot, lambda: "one")


class Here:
    """A member in this process; it can be started anew."""

    release = "0.21"
    """Of its engine."""

    def __init__(self, base: Path, server: EtcdServer, node: str, text: str | None) -> None:
        """text: what lies in its folder before."""
        self.base, self.server, self.node, self.time = base, server, node, Time()
        (base / "conf").mkdir(parents=True, exist_ok=True)
        if text is not None:
            (base / "conf/Server.xml").write_text(text)
        self.start()

    def start(self) -> None:
        """Begin to be a member, and wait until it has its place."""
        fleet = FleetSettings(endpoints=(self.server.endpoint,), node=self.node, lease_s=2.0)
        self.member = Member(
            self.base / "conf/Server.xml",
            History(self.base / "history.sqlite"),
            shipped_schema(self.release),
            Group(self.server.client(), "default"),
            node=self.node,
            manual=Manual.PROPOSE,
            clock=lambda: 1_000_000.0 + self.time.boot,
            state=self.base / "state",
        )
        settings = dataclasses.replace(Settings(), fleet=fleet)
        self.service = Service(self.member, settings, self.time.clocks())
        self.fleet = Fleet(self.service, self.member, self.time.clocks())
        self.service.group = self.fleet
        self.service.start()
        self.fleet.start()
        wait_for(lambda: self.member.placed is not None, f"{self.node} has its place")

    def stop(self) -> None:
        """End it."""
        self.fleet.stop()
        self.service.stop(5)

    def do(self, work: Any, *args: Any, **kwargs: Any) -> Any:
        """Have work done on the writer."""
        found: Future[Any] = self.service.submit(work, *args, **kwargs)
        return found.result(DEADLINE_S)

    def add(self, name: str, confirm_s: float | None = None) -> int:
        """Add an application; the number of the revision."""
        edit = Edit(Verb.CREATE, path.application("default", name), {"name": name, "type": "live"})
        done = self.do(self.service.commit, Candidate(0, (edit,)), confirm_s=confirm_s)
        number: int = done.head.revision.number
        return number

    def placed(self) -> int:
        """The revision that it takes part with; 0 if there is none."""
        placed = self.member.placed
        return placed.revision.number if placed else 0

    @property
    def text(self) -> str:
        """The file on disk."""
        return (self.base / "conf/Server.xml").read_text()
