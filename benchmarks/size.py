"""All that is measured at one size."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from benchmarks import files, order, throughput
from benchmarks.client import Events
from benchmarks.disk import Floor, Inserts
from benchmarks.peers import Routes, timed, xml_tools
from benchmarks.proof import Proof, prove
from benchmarks.samples import Samples, Task, interleaved
from benchmarks.servers import Caddy, Omeconf, find_program
from benchmarks.starts import starts
from benchmarks.subject import Subject, path

REST_S = 1.0
"""How long a server is left alone before its memory is looked at."""
WARM_UP = 3
GETS = 300
"""So many on one connection, while nothing is changed."""
LARGE = 1000
"""With more applications, what takes long is done less often."""
PARTS = ("floor", "insert", "no-op")


@dataclass(frozen=True, slots=True)
class Options:
    """What shall be measured, and how."""

    program: Path
    work: Path
    edits: int
    wrk_s: float
    groups: frozenset[str]
    peers: bool
    seed: int


@dataclass(slots=True)
class Result:
    """What was measured at one size."""

    count: int
    file_bytes: int = 0
    samples: dict[str, Samples] = field(default_factory=dict)
    rates: dict[str, throughput.Rate] = field(default_factory=dict)
    memory_mb: dict[str, float] = field(default_factory=dict)
    edit_cpu_s: float | None = None
    """CPU of the daemon for one edit, with all that it does behind the answer."""
    proofs: list[Proof] = field(default_factory=list)
    order: order.Order | str | None = None
    left_out: list[str] = field(default_factory=list)

    def p50(self, name: str) -> float | None:
        """The median of something, in seconds; None if it was not measured."""
        found = self.samples.get(name)
        return found.p50 if found and found.seconds else None

    @property
    def parts(self) -> float | None:
        """What an edit is made of: the sum of the medians, in seconds."""
        found = [self.p50(name) for name in PARTS]
        return None if None in found else sum(value or 0.0 for value in found)

    def as_json(self) -> dict[str, object]:
        """For the file."""
        return {
            "applications": self.count,
            "file_bytes": self.file_bytes,
            "samples": {name: each.as_json() for name, each in self.samples.items()},
            "parts_ms": None if self.parts is None else self.parts * 1000,
            "rates": {name: each.as_json() for name, each in self.rates.items()},
            "memory_mb": self.memory_mb,
            "edit_cpu_ms": None if self.edit_cpu_s is None else self.edit_cpu_s * 1000,
            "proofs": {each.what: each.holds for each in self.proofs},
            "order": list(self.order.steps) if isinstance(self.order, order.Order) else self.order,
            "not_in_order": list(self.order.missing) if isinstance(self.order, order.Order) else [],
            "left_out": self.left_out,
        }


def measure(options: Options, result: Result, tell: Callable[[str], None], *, traced: bool) -> None:
    """Measure all that is asked for at one size, into the result."""
    count = result.count
    folder = options.work / f"size-{count}"
    (folder / "omeconf").mkdir(parents=True)
    result.file_bytes = len(files.server_xml(count))
    tell("starts")
    subject = Subject(options.program, folder / "omeconf", count, options.seed)
    try:
        first = subject.revisions
        time.sleep(REST_S)
        result.memory_mb["after the start"] = subject.server.rss_mb()
        if "start" in options.groups:
            tell("commands")
            _starts(options, subject, result)
        if "edit" in options.groups:
            tell("floor, insert, no-op, edit, GET, Caddy in turn")
            _edits(options, subject, folder, result)
        if "manual" in options.groups:
            tell("manual edits")
            _manual(subject, result)
        if traced and "order" in options.groups:
            tell("one edit under strace")
            result.order = order.trace(subject, folder / "trace")
        time.sleep(REST_S)
        result.memory_mb["after the edits"] = subject.server.rss_mb()
        result.proofs = prove(subject, first)
        if "get" in options.groups:
            tell("GETs")
            _gets(options, subject, folder, result)
    finally:
        subject.server.stop()
    if "process" in options.groups:
        tell("whole processes")
        _processes(options, count, folder, result)
    shutil.rmtree(folder)


def _edits(options: Options, subject: Subject, folder: Path, result: Result) -> None:
    floor = Floor(folder / "floor", subject.server.file.read_bytes())
    inserts = Inserts(folder / "insert")
    clock = subject.server.cpu_s
    tasks = {
        "floor": Task(lambda _: floor.replace()),
        "insert": Task(lambda _: inserts.insert()),
        "no-op": Task(subject.no_op, clock),
        "edit": Task(subject.edit, clock),
        "stale If-Match": Task(subject.stale, clock),
        "GET": Task(subject.get, clock),
        "GET, 304": Task(subject.get_known, clock),
    }
    with _caddy(options, folder / "caddy", subject.count, result) as caddy:
        if caddy is not None:
            routes = Routes(caddy, subject.count, options.seed)
            every = 5 if subject.count > LARGE else 1
            tasks["Caddy edit"] = Task(routes.edit, caddy.cpu_s, every)
        interleaved(tasks, WARM_UP, options.seed)
        begin = clock()
        found = interleaved(tasks, options.edits, options.seed)
        time.sleep(REST_S)
        whole = clock() - begin
    inserts.close()
    others = sum(
        sum(found[name].cpu) for name in tasks if tasks[name].clock == clock and name != "edit"
    )
    result.edit_cpu_s = (whole - others) / options.edits
    found["GET, 304"].cpu.clear()  # a GET for the ETag is in it
    result.samples |= found


def _starts(options: Options, subject: Subject, result: Result) -> None:
    server = subject.server
    commands = starts(options.program, server.folder / "socket", server.file)
    tasks = {name: Task(run) for name, run in commands.items()}
    result.samples |= interleaved(tasks, 3 if subject.count > LARGE else 20, options.seed)


def _manual(subject: Subject, result: Result) -> None:
    repeats = 5 if subject.count > LARGE else 20
    events = Events(subject.server.new_client())
    chosen = Samples()
    for number in range(repeats):
        time.sleep(0.3)  # the daemon has looked at the save before
        chosen.seconds.append(subject.save(number, events))
    events.close()
    result.samples["manual edit"] = chosen


def _gets(options: Options, subject: Subject, folder: Path, result: Result) -> None:
    where, authorization = path(subject.count // 2), subject.client.authorization
    known = authorization | {"If-None-Match": subject.client.get(where).header("ETag")}
    targets = {
        "omeconf, 200": throughput.Target(subject.server, where, authorization),
        "omeconf, 304": throughput.Target(subject.server, where, known),
    }
    tasks = {"GET, at rest": Task(subject.get, subject.server.cpu_s)}
    with _caddy(options, folder / "caddy-1", subject.count, result, threads=1) as caddy:
        if caddy is not None:
            route = f"/id/route{subject.count // 2}"
            targets["Caddy, a small route"] = throughput.Target(caddy, route, {})
            targets["Caddy, one as large"] = throughput.Target(caddy, "/id/large", {})
            routes = Routes(caddy, subject.count, options.seed)
            tasks["Caddy GET, at rest"] = Task(routes.get, caddy.cpu_s)
        result.samples |= interleaved(tasks, GETS, options.seed)
        wrk = find_program("wrk")
        if wrk is not None and find_program("taskset") is not None:
            result.rates = throughput.measure(wrk, targets, 5, options.wrk_s)
        else:
            result.left_out.append("GETs a second: wrk or taskset is not installed")


def _processes(options: Options, count: int, folder: Path, result: Result) -> None:
    data = files.server_xml(count)
    checked = folder / "check" / "Server.xml"
    checked.parent.mkdir()
    checked.write_bytes(data)
    program = str(options.program)

    def start(number: int) -> float:
        where = folder / f"start-{number}"
        where.mkdir()
        return _started(Omeconf(options.program, where, data))

    operations = {
        "start, new": start,
        "start, again": lambda _: _started(Omeconf(options.program, folder / "omeconf")),
        "omeconf check": lambda _: timed([program, "check", str(checked)]),
        "omeconf --help": lambda _: timed([program, "--help"]),
    }
    if options.peers:
        tools, left_out = xml_tools(folder / "tools", data, count)
        operations |= tools
        result.left_out += left_out
    repeats = 2 if count > LARGE else 3 if count == LARGE else 7
    tasks = {name: Task(run) for name, run in operations.items()}
    result.samples |= interleaved(tasks, repeats, options.seed)


def _started(server: Omeconf) -> float:
    server.stop()
    return server.start_s


@contextmanager
def _caddy(
    options: Options, folder: Path, count: int, result: Result, *, threads: int = 0
) -> Iterator[Caddy | None]:
    """A Caddy for some time; None, with the reason in the result, if there is none."""
    program = find_program("caddy") if options.peers else None
    if program is None:
        reason = "not installed" if options.peers else "peers are not wanted"
        text = f"Caddy: {reason}"
        if text not in result.left_out:
            result.left_out.append(text)
        yield None
        return
    caddy = Caddy(program, folder, count, threads=threads)
    try:
        yield caddy
    finally:
        caddy.stop()
