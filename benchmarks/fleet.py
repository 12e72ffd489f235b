"""What a group costs: commit to confirmed, bytes in etcd, joining, failing over, being idle."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

from benchmarks import files
from benchmarks.client import BadAnswer
from benchmarks.group import HOOK, EtcdProcess, Etcds, Fleet, missing, node, wait_for
from benchmarks.samples import Samples
from benchmarks.servers import Omeconf
from benchmarks.subject import path
from omeconf.settings import Fleet as FleetSettings

APPLICATIONS = 10
"""Of the configuration with which all but the bytes are measured."""
LEASE_S = FleetSettings().lease_s
ELECTION_S = 1.0
"""etcd waits at least so long before it elects another leader (--election-timeout)."""


@dataclass(frozen=True, slots=True)
class Plan:
    """What shall be measured, and how often."""

    program: Path
    work: Path
    members: tuple[int, ...] = (1, 10, 50)
    etcds: tuple[int, ...] = (1, 3)
    applications: tuple[int, ...] = (1, 100, 1000)
    histories: tuple[int, ...] = (10, 1000)
    runs: int = 10
    """Of each thing; of rollouts with 50 members a third of it."""
    idle_s: float = 60.0
    idle_members: int = 10

    @classmethod
    def quick(cls, program: Path, work: Path) -> Plan:
        """A minute or two."""
        return cls(program, work, (1, 3), (1, 3), (1, 100), (10, 100), 3, 20.0, 3)


@dataclass(slots=True)
class Figure:
    """One thing, each time, in its unit; and what to hold it against: its floor, or one machine."""

    what: str
    unit: str
    values: list[float]
    floor: float | None = None
    """In the same unit; measured in the same run, or what a setting makes it."""
    floor_is: str = ""

    @property
    def p50(self) -> float:
        """The median, as a nearest rank."""
        return Samples(self.values).p50

    @property
    def p90(self) -> float:
        """The nearest rank, too."""
        return Samples(self.values).percentile(90)

    @property
    def ratio(self) -> float | None:
        """The median to the floor."""
        return self.p50 / self.floor if self.floor else None

    def as_json(self) -> dict[str, object]:
        """For the file."""
        return {
            "what": self.what, "unit": self.unit, "n": len(self.values), "min": min(self.values),
            "p50": self.p50, "p90": self.p90, "floor": self.floor, "floor_is": self.floor_is,
        }  # fmt: skip


@dataclass(slots=True)
class Found:
    """All that was measured."""

    sections: dict[str, list[Figure]] = field(default_factory=dict)
    left_out: list[str] = field(default_factory=list)

    def add(self, section: str, *figures: Figure) -> None:
        """Keep figures under a heading."""
        self.sections.setdefault(section, []).extend(each for each in figures if each.values)

    def as_json(self) -> dict[str, object]:
        """For the file."""
        sections = {name: [f.as_json() for f in each] for name, each in self.sections.items()}
        return {"sections": sections, "left_out": self.left_out}


def measure(plan: Plan, found: Found, tell: Callable[[str], None]) -> None:
    """Measure everything, into what was found. Raises BadAnswer and OSError."""
    why = missing()
    if why:
        found.left_out.append(f"the fleet: {why}")
        return
    for count in plan.etcds:
        _rollouts(plan, count, found, tell)
    for applications in plan.applications:
        tell(f"bytes in etcd, {applications:,} applications")
        _bytes(plan, applications, found)
    tell("joining")
    _joins(plan, found, tell)
    tell("failing over")
    _failing_over(plan, found)
    tell("idle")
    _idle(plan, found)


@contextmanager
def _fleet(
    plan: Plan, name: str, *, etcds: int = 1, members: int = 1, applications: int = APPLICATIONS
) -> Iterator[Fleet]:
    """A group for some time, with all members in it."""
    folder = plan.work / name
    cluster = Etcds(folder / "etcd", etcds)
    fleet = Fleet(plan.program, folder, cluster, applications)
    try:
        fleet.grow(members)
        fleet.rest()
        yield fleet
    finally:
        fleet.stop()
        cluster.stop()
        shutil.rmtree(folder, ignore_errors=True)


class Plain:
    """The same configuration and hook on a machine of its own."""

    def __init__(self, plan: Plan, name: str, wait_s: float) -> None:
        """wait_s: whether an answer waits until the hook has run."""
        folder = plan.work / name
        data = files.server_xml(APPLICATIONS)
        self.server = Omeconf(plan.program, folder, data, HOOK.format(wait_s=wait_s))
        self._value = files.FIRST_VALUE

    def edit_s(self) -> float:
        """How long an edit takes."""
        self._value += 1
        body = {"publishers": {"llhls": {"segmentDuration": self._value}}}
        client = self.server.client
        return client.send(client.request("PATCH", path(0), body)).seconds


# -- from a commit to its end ------------------------------------------------------------------


def _policies(count: int) -> dict[str, tuple[int, int]]:
    """Canaries and batch sizes that make a difference with so many members."""
    found = {"1 at a time": (1, 1)}
    if count > 6:
        found["5 at a time"] = (1, 5)
    if count > 1:
        found["all at once"] = (0, count)
    return found


def _batches(count: int, canary: int, at_once: int) -> int:
    return bool(canary) + -(-(count - canary) // at_once)


def _rollouts(plan: Plan, etcds: int, found: Found, tell: Callable[[str], None]) -> None:
    quick, whole = Plain(plan, "plain-quick", 0.0), Plain(plan, "plain-whole", 10.0)
    try:
        with _fleet(plan, f"rollouts-{etcds}", etcds=etcds) as fleet:
            for count in plan.members:
                tell(f"rollouts, {etcds} etcd, {count} members")
                fleet.grow(count)
                for name, (canary, at_once) in _policies(count).items():
                    fleet.set_policy(canary, at_once)
                    few = max(plan.runs // 3, 2) if count > 10 else plan.runs
                    title = f"{count} members, {name}" if count > 1 else "1 member"
                    batches = _batches(count, canary, at_once)
                    _some_rollouts(fleet, (quick, whole), few, title, batches, found)
    finally:
        quick.server.stop()
        whole.server.stop()


def _some_rollouts(
    fleet: Fleet, plains: tuple[Plain, Plain], runs: int, title: str, batches: int, found: Found
) -> None:
    """Edits of one policy, each beside the same on one machine and beside a write of etcd."""
    etcds, members = fleet.etcds, fleet.members
    puts, quick, whole = Samples(), Samples(), Samples()
    answers, ends, driver_cpu, other_cpu = Samples(), Samples(), Samples(), Samples()
    wal, calls, events = Samples(), Samples(), Samples()
    for number in range(-1, runs):
        fleet.settle()
        for _ in range(5):
            puts.seconds.append(etcds.put_s())
        quick.seconds.append(plains[0].edit_s())
        whole.seconds.append(plains[1].edit_s())
        driver = fleet.driver()
        cpu, before, told = [m.cpu_s() for m in members], etcds.metrics(), len(fleet.observer.told)
        newest = fleet.observer.number("head")
        begin = fleet.edit(number % len(members))
        answered = time.perf_counter()
        end = fleet.observer.wait_stable(newest + 1)
        fleet.settle()
        if number < 0:
            continue
        spent = [m.cpu_s() - was for m, was in zip(members, cpu, strict=True)]
        after = etcds.metrics()
        answers.seconds.append((answered - begin) * 1000)
        ends.seconds.append((end - begin) * 1000)
        driver_cpu.seconds.append(spent.pop(driver) * 1000)
        other_cpu.seconds += [each * 1000 for each in spent]
        wal.seconds.append(
            (after["etcd_disk_wal_write_bytes_total"] - before["etcd_disk_wal_write_bytes_total"])
            / len(etcds.processes)
        )
        calls.seconds.append(after["calls/Txn"] - before["calls/Txn"])
        events.seconds.append(len(fleet.observer.told) - told)
    put_ms, plain_ms, whole_ms = puts.p50 * 1000, quick.p50 * 1000, whole.p50 * 1000
    writes = 4 + 2 * batches
    size = len(etcds.processes)
    section = f"From a commit to its end, {size} etcd"
    found.add(
        section,
        Figure(f"{title}: answer", "ms", answers.seconds, plain_ms, "a commit on one machine"),
        Figure(
            f"{title}: confirmed", "ms", ends.seconds, writes * put_ms + batches * whole_ms,
            f"{writes} writes of etcd in a row, {batches} commits with a hook",
        ),
        Figure(f"{title}: CPU of the driver", "ms", driver_cpu.seconds),
        Figure(f"{title}: CPU of another", "ms", other_cpu.seconds),
        Figure(f"{title}: writes of etcd", "", calls.seconds, 4 + 2 * len(members) + batches - 1,
               "a word twice from each, and the driver's"),
        Figure(f"{title}: events for each member", "", events.seconds),
        Figure(f"{title}: WAL of each etcd", "bytes", wal.seconds),
    )  # fmt: skip
    if batches == 1 and len(members) == 1:
        found.add(
            section,
            Figure("beside: a write of etcd", "ms", [each * 1000 for each in puts.seconds]),
            Figure("beside: a commit on one machine", "ms", [s * 1000 for s in quick.seconds]),
            Figure("beside: the same, until its hook has run", "ms",
                   [s * 1000 for s in whole.seconds]),
        )  # fmt: skip


# -- bytes -------------------------------------------------------------------------------------


def _bytes(plan: Plan, applications: int, found: Found) -> None:
    size = len(files.server_xml(applications))
    with _fleet(plan, f"bytes-{applications}", applications=applications) as fleet:
        first = fleet.observer.number("head")
        before = fleet.etcds.metrics()
        runs = max(plan.runs, 10)
        for number in range(runs):
            newest = fleet.observer.number("head")
            fleet.edit(0, number % applications)
            fleet.observer.wait_stable(newest + 1)
        fleet.settle()
        after = fleet.etcds.metrics()
        found_values = fleet.group.etcd.read(f"{fleet.group.root}revisions/").items
        parts = fleet.group.etcd.read(f"{fleet.group.root}parts/").items
    values = {int(item.key.rpartition("/")[2]): len(item.value) for item in found_values}
    whole = float(values[1] + sum(len(item.value) for item in parts))

    def grown(name: str) -> list[float]:
        return [(after[name] - before[name]) / runs]

    title = f"{applications:,} applications, {size / 1000:,.1f} KB"
    found.add(
        "Bytes in etcd, 1 member",
        Figure(f"{title}: a revision with all files", "bytes", [whole], float(size), "the file"),
        Figure(f"{title}: an edit's revision", "bytes",
               [float(length) for number, length in values.items() if number > first]),
        Figure(f"{title}: WAL of an edit and its rollout, mean of {runs}", "bytes",
               grown("etcd_disk_wal_write_bytes_total")),
        Figure(f"{title}: database, the same mean", "bytes",
               grown("etcd_mvcc_db_total_size_in_use_in_bytes")),
    )  # fmt: skip


# -- joining -----------------------------------------------------------------------------------


def _joins(plan: Plan, found: Found, tell: Callable[[str], None]) -> None:
    runs = max(plan.runs // 2, 3)
    with _fleet(plan, "joins") as fleet:
        index = 0
        for history in plan.histories:
            tell(f"joining, {history:,} revisions")
            while fleet.observer.number("head") < history:
                fleet.edit(0)
                if fleet.observer.number("head") % 100 == 0:
                    fleet.rest()
            fleet.rest()
            starts, joins = Samples(), Samples()
            for _ in range(runs):
                index += 1
                starts.seconds.append(_plain_start_ms(plan, index))
                begin = time.perf_counter()
                member = fleet.start(index)
                joins.seconds.append((fleet.wait_placed(index) - begin) * 1000)
                member.stop()
            what = f"an empty folder, {history:,} revisions: placed and running"
            found.add(
                "Joining, 1 other member",
                Figure(what, "ms", joins.seconds, starts.p50, "a start on one machine"),
            )


def _plain_start_ms(plan: Plan, index: int) -> float:
    folder = plan.work / f"start-{index}"
    server = Omeconf(plan.program, folder, files.server_xml(APPLICATIONS), HOOK.format(wait_s=0))
    server.stop()
    shutil.rmtree(folder)
    return server.start_s * 1000


# -- failing over ------------------------------------------------------------------------------


def _failing_over(plan: Plan, found: Found) -> None:
    runs = max(plan.runs // 2, 3)
    answers, ends, drivers = Samples(), Samples(), Samples()
    with _fleet(plan, "failing", etcds=3, members=3) as fleet:
        for _ in range(runs):
            leader = fleet.etcds.leader()
            newest = fleet.observer.number("head")
            begin = time.perf_counter()
            leader.kill()
            answers.seconds.append((_insist(fleet, 0) - begin) * 1000)
            ends.seconds.append((fleet.observer.wait_stable(newest + 1) - begin) * 1000)
            leader.start(fleet.etcds.cluster)
            _wait_whole(fleet, leader)
        for _ in range(runs):
            killed = fleet.driver()
            newest = fleet.observer.number("head")
            begin = time.perf_counter()
            fleet.members[killed].process.kill()
            _insist(fleet, (killed + 1) % 3)
            drivers.seconds.append((fleet.observer.wait_stable(newest + 1) - begin) * 1000)
            fleet.members[killed].stop()
            fleet.members[killed] = fleet.start_again(killed)
            fleet.observer.wait(lambda items, n=killed: bool(items.get(f"alive/{node(n)}")), "back")  # type: ignore[misc]
            fleet.wait_placed(killed)
    election_ms, lease_ms = ELECTION_S * 1000, LEASE_S * 1000
    what = "etcd's --election-timeout"
    found.add(
        "Failing over, 3 etcd, 3 members",
        Figure("etcd's leader killed: next answer", "ms", answers.seconds, election_ms, what),
        Figure("etcd's leader killed: next confirmed", "ms", ends.seconds, election_ms, what),
        Figure("driver killed: next confirmed", "ms", drivers.seconds, lease_ms, "[fleet] lease_s"),
    )


def _insist(fleet: Fleet, index: int) -> float:
    """Edit until that is taken; the moment at which it was."""

    def is_taken() -> bool:
        with suppress(BadAnswer, OSError):
            fleet.edit(index)
            return True
        return False

    wait_for(is_taken, "an answer")
    return time.perf_counter()


def _wait_whole(fleet: Fleet, started: EtcdProcess) -> None:
    """Wait until a member of etcd that was started anew serves, and all is at rest."""

    def serves() -> bool:
        with suppress(OSError):
            return bool(started.metrics().get("etcd_server_has_leader"))
        return False

    wait_for(serves, "etcd")
    fleet.settle()


# -- nothing to do -----------------------------------------------------------------------------


def _idle(plan: Plan, found: Found) -> None:
    plain = Plain(plan, "plain-idle", 0.0).server
    count = plan.idle_members
    try:
        with _fleet(plan, "idle", members=count) as fleet:
            fleet.settle()
            every = [*fleet.members, plain]
            cpu, before, begin = [s.cpu_s() for s in every], fleet.etcds.metrics(), time.monotonic()
            time.sleep(plan.idle_s)
            hours = (time.monotonic() - begin) / 3600
            spent = [(s.cpu_s() - was) / hours for s, was in zip(every, cpu, strict=True)]
            after = fleet.etcds.metrics()
            memory = [member.rss_mb() for member in fleet.members]
            plain_mb = plain.rss_mb()
    finally:
        plain.stop()

    def calls(name: str) -> list[float]:
        return [(after[name] - before.get(name, 0.0)) / hours / 60 / count]

    section = f"Idle, {count} members"
    found.add(
        section,
        Figure("CPU of a member in an hour", "s", spent[:-1], spent[-1], "one machine alone"),
        Figure("memory of a member", "MB", memory, plain_mb, "one machine alone"),
        Figure("calls of etcd a minute and member, mean", "", calls("calls"), 60 / LEASE_S,
               "a lease kept once in its time"),
    )  # fmt: skip
    for kind in ("LeaseKeepAlive", "Range", "Txn", "Status"):
        found.add(section, Figure(f"of these, {kind}", "", calls(f"calls/{kind}")))
