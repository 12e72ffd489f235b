"""The order of the system calls of a commit: everything is synced before the answer begins."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.support.daemon import wait_for
from tests.torture import record
from tests.torture.daemons import Strace, Zygote
from tests.torture.plant import Plant
from tests.torture.test_kill import SHAPES, every_shape

TRACED = "write,writev,sendto,sendmsg,pwrite64,fsync,fdatasync,rename,renameat2,link,unlink"


@dataclass(frozen=True, slots=True)
class Call:
    """One system call; began and ended are lines of the trace."""

    name: str
    text: str
    """Its arguments and what came of it; descriptors with their paths."""
    began: int
    ended: int


def calls_in(trace: str) -> list[Call]:
    """The calls of all threads, in the order in which they began."""
    found: list[Call] = []
    open_calls: dict[str, tuple[str, str, int]] = {}
    for line, text in enumerate(trace.splitlines()):
        thread, _, rest = text.split(maxsplit=2)
        if resumed := re.match(r"<\.\.\. (\w+) resumed>(.*)", rest):
            if thread in open_calls:
                name, start, began = open_calls.pop(thread)
                found.append(Call(name, start + resumed[2], began, line))
        elif called := re.match(r"(\w+)\((.*)", rest):
            if called[2].endswith("<unfinished ...>"):
                start = called[2].removesuffix("<unfinished ...>").rstrip()
                open_calls[thread] = (called[1], start, line)
            else:
                found.append(Call(called[1], called[2], line, line))
    return sorted(found, key=lambda call: call.began)


class Order:
    """Steps that must come one after the other."""

    def __init__(self, calls: list[Call]) -> None:
        self.calls = calls

    def then(self, name: str, pattern: str, after: Call | None = None) -> Call:
        """The first such call that began after another had ended. Fails if there is none."""
        since = after.ended if after else -1
        for call in self.calls:
            if call.name == name and call.began > since and re.search(pattern, call.text):
                return call
        shown = "\n".join(f"{c.name}({c.text[:150]}" for c in self.calls)
        raise AssertionError(f"no {name} of {pattern} after {after} in\n{shown}")


def trace_edit(plant: Plant) -> list[Call]:
    """The calls of an edit, and of what comes behind its answer; none of the edit before."""
    plant.edit()
    plant.edit()
    trace = Strace(
        [plant.daemon.pid], "-f", "-ttt", "-y", "-e", f"trace={TRACED}",
        out=plant.base / "trace",
    )  # fmt: skip
    plant.daemon.get("/omeconf/v1/status")  # the writer has nothing left to do behind that

    def traced() -> list[Call]:
        return calls_in(trace.out.read_text(errors="replace"))

    def has_answered(calls: list[Call]) -> bool:
        return any('"HTTP/1.1 200' in call.text for call in calls)

    wait_for(lambda: has_answered(traced()), "its answer in the trace")
    before = len(traced())
    plant.edit()
    wait_for(lambda: not plant.daemon.litter())
    one, other = plant.states
    changed = sum(one[file] != other[file] for file in one)

    def is_whole() -> bool:
        calls = traced()[before:]
        return sum(call.name == "unlink" for call in calls) >= changed and has_answered(calls)

    wait_for(is_whole, "its end in the trace")
    return calls_in(trace.stop())[before:]


@every_shape
def test_order(zygote: Zygote, tmp_path: Path, shape: str) -> None:
    """New files and their names synced, revision recorded and synced, files exchanged, folders
    synced; then the answer, and what was displaced goes.
    """
    plant = Plant(zygote, tmp_path, SHAPES[shape])
    order = Order(trace_edit(plant))
    old, new = plant.states[1 - plant.now], plant.states[plant.now]
    conf = re.escape(str(plant.daemon.conf))
    answer = order.then("write", r'"HTTP/1.1 200')
    logged = order.then("pwrite64", r"history\.sqlite-wal>")
    recorded = order.then("fdatasync", r"history\.sqlite-wal>\) += 0", logged)
    checked = 0
    for file in (name for name in old if old[name] != new[name]):
        folder = re.escape(str((plant.daemon.conf / file).parent))
        name = re.escape(Path(file).name)
        if new[file] is not None:
            part = rf"{folder}/\.omeconf-{name}-[^>]*\.part"
            written = order.then("write", rf"<{part}>")
            synced = order.then("fsync", rf"<{part}>\) += 0", written)
            renamed = order.then("rename", rf'"{part}"', synced)
            named = order.then("fsync", rf"<{folder}>\) += 0", renamed)
            assert named.ended < logged.began, "recorded before its bytes were on disk"
        if old[file] is None:
            live = order.then("link", rf'"{folder}/{name}"\) += 0', recorded)
        elif new[file] is None:
            live = order.then("rename", rf'"{folder}/{name}", .*= 0', recorded)
        else:
            live = order.then("renameat2", rf'"{folder}/{name}", RENAME_EXCHANGE\) += 0', recorded)
        if new[file] is not None:
            assert renamed.ended < live.began, "live before its bytes were on disk"
        durable = order.then("fsync", rf"<{folder}>\) += 0", live)
        assert durable.ended < answer.began, "answered before all was done"
        order.then("unlink", rf'"{folder}/\.omeconf-{name}-', durable)
        checked += 1
    assert order.then("fsync", f"<{conf}").began < answer.began
    record("order", shape, checked)


def test_the_order_is_seen() -> None:
    """A trace in which the answer overtakes a sync does not pass."""
    calls = calls_in(
        '7 1.0 fsync(3</c/f> <unfinished ...>\n8 1.1 write(4<socket>, "HTTP/1.1 200") = 12\n'
        "7 1.2 <... fsync resumed>) = 0\n"
    )
    order = Order(calls)
    with pytest.raises(AssertionError, match="no write of HTTP"):
        order.then("write", "HTTP", order.then("fsync", "<f>|/f>"))
