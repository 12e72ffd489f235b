"""A campaign of faults against a group of ten, at random, with a record of what must come of it.

A round is some commits at random members, one or two faults while they are rolled out, the end of
the faults, and then all must be well: see `Fleet.wrong`. What a commit may come to is in its
`Fate`: acknowledged, taken back, not made, or not known. The seed makes the choices the same, but
not the moments, which are the machine's.
"""

from __future__ import annotations

import random
import statistics
import threading
import time
from collections import Counter
from collections.abc import Callable
from concurrent.futures import Future
from contextlib import suppress

from omeconf.core.rollout import Phase
from omeconf.errors import OmeconfError
from tests.support.fleet import LEASE_S, Commit, Fleet, Record
from tests.support.member import Member

Undo = Callable[[], None]

MOMENT_S = 3.0
"""How long it is waited for the moment at which a fault is to strike."""
ETCD = ("etcd leader killed", "etcd leader cut off", "etcd member hangs", "all etcd restarted")
"""Faults of etcd: no two of them at one time."""


class Campaign:
    """Rounds of faults, chosen by a seed."""

    def __init__(self, fleet: Fleet, seed: int, say: Callable[[str], None]) -> None:
        """say: where the story goes."""
        self.fleet = fleet
        self.random = random.Random(seed)
        self.say = say
        self.injected: Counter[str] = Counter()
        """Faults, by kind."""
        self.moments: Counter[str] = Counter()
        """Where rollouts were when faults struck."""
        self.kinds: dict[str, Callable[[list[str]], Undo]] = {
            "etcd leader killed": self._etcd_leader_killed,
            "etcd leader cut off": self._etcd_leader_cut_off,
            "etcd member hangs": self._etcd_member_hangs,
            "all etcd restarted": self._all_etcd_restarted,
            "driver killed": self._driver_killed,
            "driver hangs": self._driver_hangs,
            "member cut off": self._member_cut_off,
            "half cut off": self._half_cut_off,
            "member killed": self._member_killed,
            "member hangs": self._member_hangs,
            "engine refuses": self._engine_refuses,
            "engine dies": self._engine_dies,
            "clock wrong": self._clock_wrong,
        }
        if not fleet.network.is_real:
            for kind in [kind for kind in self.kinds if kind.endswith("cut off")]:
                del self.kinds[kind]
        self._struck: list[Member] = []
        """Members with a fault in this round."""

    def run(self, rounds: int) -> None:
        """All rounds; each kind of fault is at least once in as many rounds as there are kinds."""
        order: list[str] = []
        for number in range(rounds):
            if not order:
                order = self.random.sample(sorted(self.kinds), len(self.kinds))
            kinds = [order.pop()]
            if self.random.random() < 0.5:
                more = [kind for kind in sorted(self.kinds) if kind not in kinds]
                if kinds[0] in ETCD:
                    more = [kind for kind in more if kind not in ETCD]
                kinds.append(self.random.choice(more))
            self._round(number + 1, kinds)

    def _round(self, number: int, kinds: list[str]) -> None:
        fleet, began = self.fleet, time.monotonic()
        self._struck = []
        apps = [fleet.new_app() for _ in range(self.random.choice((1, 1, 2, 3)))]
        slow = self.random.sample(sorted(fleet.members), 2)
        for name in slow:
            fleet.members[name].be_slow(round(self.random.uniform(0.2, 1.0), 1))
        early = [kind for kind in kinds if kind.startswith("engine") or self.random.random() < 0.2]
        known = fleet.record().rollout
        undo = [self._inject(kind, apps) for kind in early]
        running = [self._commit(app) for app in apps]
        fails = any(kind.startswith("engine") for kind in early)
        self._wait_for_a_moment(known.id if known else 0, fails=fails)
        undo += [self._inject(kind, apps) for kind in kinds if kind not in early]
        edits = []
        if self.random.random() < 0.3:
            at = self.random.choice([m for m in self._untouched() if m.server_xml.exists()])
            edits.append(fleet.edit(at))
        self._hold(self.random.uniform(0.5, 3.0))
        for each in undo:
            each()
        for name in slow:
            fleet.members[name].be_slow(0)
        commits = [each.result() for each in running]
        fleet.settled()
        fates = ", ".join(
            [f"{commit.app} {commit.fate.value}" for commit in commits]
            + [
                f"{commit.app} by hand{'' if self._is_there(commit) else ', gone'}"
                for commit in edits
            ]
        )
        self.say(f"round {number}: {' + '.join(kinds)}: {fates}; settled after"
                 f" {fleet.times[-1]:.1f} s, {time.monotonic() - began:.1f} s in all")  # fmt: skip

    def _is_there(self, commit: Commit) -> bool:
        return self.fleet.members["m0"].has(commit.app)

    def _commit(self, app: str) -> Future[Commit]:
        at = self.random.choice(sorted(self.fleet.members))
        return self.fleet.committing(self.fleet.members[at], app)

    def _wait_for_a_moment(self, last: int, *, fails: bool) -> None:
        """Wait until a rollout is in a state chosen at random, but not for long.

        last: the rollout before it; fails: whether it may be reverted.
        """
        phases = [Phase.CHECKING, *[Phase.APPLYING] * 3]
        phase = self.random.choice([*phases, Phase.REVERTING] if fails else phases)
        step = self.random.randrange(4)
        ends = time.monotonic() + MOMENT_S
        while time.monotonic() < ends:
            rollout = self._record().rollout
            if rollout is not None and rollout.id > last:
                is_it = rollout.phase is phase and (
                    phase is not Phase.APPLYING or rollout.step >= step
                )
                if is_it or rollout.has_ended:
                    break
            self._hold(0.002)

    def _record(self) -> Record:
        with suppress(OmeconfError):
            return self.fleet.record()
        return Record()

    @staticmethod
    def _hold(seconds: float) -> None:
        threading.Event().wait(seconds)

    def _inject(self, kind: str, apps: list[str]) -> Undo:
        rollout = self._record().rollout
        where = rollout.phase.value if rollout is not None else "unknown"
        if rollout is not None and rollout.phase is Phase.APPLYING:
            where += f" {rollout.step + 1}"
        self.moments[where] += 1
        self.injected[kind] += 1
        return self.kinds[kind](apps)

    # -- who -------------------------------------------------------------------------------

    def _untouched(self) -> list[Member]:
        return [each for each in self.fleet.members.values() if each not in self._struck]

    def _victim(self) -> Member:
        found = self.random.choice(self._untouched())
        self._struck.append(found)
        return found

    def _driver(self) -> Member:
        driver = self.fleet.members.get(self._record().driver)
        if driver is None or driver in self._struck:
            return self._victim()
        self._struck.append(driver)
        return driver

    # -- faults ----------------------------------------------------------------------------

    def _etcd_leader_killed(self, _apps: list[str]) -> Undo:
        server = self.fleet.cluster.servers[self.fleet.cluster.leader()]
        server.kill()

        def undo() -> None:
            server.start()

        return undo

    def _etcd_leader_cut_off(self, _apps: list[str]) -> Undo:
        server = self.fleet.cluster.servers[self.fleet.cluster.leader()]
        self.fleet.network.cut(server.name)
        return lambda: self.fleet.network.heal(server.name)

    def _etcd_member_hangs(self, _apps: list[str]) -> Undo:
        server = self.random.choice(self.fleet.cluster.servers)
        server.pause()
        return server.resume

    def _all_etcd_restarted(self, _apps: list[str]) -> Undo:
        fleet = self.fleet
        fleet.excuse(*fleet.members.values())
        for server in fleet.cluster.servers:
            server.kill()
        away_s = self.random.choice((0.0, 1.0, 8.0))

        def undo() -> None:
            self._hold(away_s)
            for server in fleet.cluster.servers:
                server.start(wait=False)
            for server in fleet.cluster.servers:
                server.wait()

        return undo

    def _driver_killed(self, _apps: list[str]) -> Undo:
        return self._killed(self._driver())

    def _member_killed(self, _apps: list[str]) -> Undo:
        return self._killed(self._victim())

    def _killed(self, member: Member) -> Undo:
        self.fleet.kill(member)

        def undo() -> None:
            member.start()

        return undo

    def _driver_hangs(self, _apps: list[str]) -> Undo:
        return self._hung(self._driver(), LEASE_S + 1)

    def _member_hangs(self, _apps: list[str]) -> Undo:
        return self._hung(self._victim(), 0)

    def _hung(self, member: Member, more_s: float) -> Undo:
        self.fleet.pause(member)

        def undo() -> None:
            self._hold(more_s)
            member.resume()

        return undo

    def _member_cut_off(self, _apps: list[str]) -> Undo:
        return self._cut_off([self._victim()])

    def _half_cut_off(self, _apps: list[str]) -> Undo:
        return self._cut_off([self._victim() for _ in range(len(self.fleet.members) // 2)])

    def _cut_off(self, members: list[Member]) -> Undo:
        more_s = self.random.choice((0.0, 1.0, 9.0))
        for member in members:
            self.fleet.cut(member)

        def undo() -> None:
            self._hold(more_s)
            for member in members:
                self.fleet.heal(member)

        return undo

    def _engine_refuses(self, apps: list[str]) -> Undo:
        member, app = self.random.choice(self._untouched()), self.random.choice(apps)
        member.refuse(app)
        return lambda: member.refuse(app, is_so=False)

    def _engine_dies(self, apps: list[str]) -> Undo:
        """Once it has applied it, if it comes to that."""
        member, app = self.random.choice(self._untouched()), self.random.choice(apps)
        ends = threading.Event()

        def watch() -> None:
            while not ends.wait(0.02):
                if any(call.state == "done" for call in member.hook_calls(app)):
                    member.die_of(app)
                    return

        self.fleet.members["m9"].be_slow(2)  # so that there is time to see it
        watching = threading.Thread(target=watch)
        watching.start()

        def undo() -> None:
            ends.set()
            watching.join()
            self.fleet.members["m9"].be_slow(0)
            member.die_of(app, is_so=False)

        return undo

    def _clock_wrong(self, _apps: list[str]) -> Undo:
        member, days = self._victim(), self.random.choice((400, -400))
        self.fleet.kill(member)
        member.set_clock(days)
        member.start()

        def undo() -> None:
            self.fleet.kill(member)
            member.set_clock(0)
            member.start()

        return undo

    # -- what came of it -------------------------------------------------------------------

    def figures(self) -> str:
        """How many of what, and how long."""
        times = sorted(self.fleet.times[1:])
        fates = Counter(
            "by hand" if commit.is_by_hand else commit.fate.value
            for each in self.fleet.rounds for commit in each.commits
        )  # fmt: skip
        p50 = statistics.median(times) if times else 0.0
        p99 = times[min(len(times) - 1, int(len(times) * 0.99))] if times else 0.0
        return "\n".join((
            f"faults: {dict(sorted(self.injected.items()))}",
            f"rollouts were, when they struck: {dict(sorted(self.moments.items()))}",
            f"commits: {dict(sorted(fates.items()))}",
            f"rounds: {len(times)}; time to settle: p50 {p50:.1f} s,"
            f" p99 {p99:.1f} s",
        ))  # fmt: skip

    def missing(self) -> list[str]:
        """Kinds of faults that were never injected."""
        return sorted(self.kinds.keys() - self.injected.keys())
