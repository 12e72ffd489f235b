"""SIGKILL at every system call of a commit, and at every one of the start that cleans up."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.torture import record
from tests.torture.daemons import COME_AND_GO, ONE_FILE, THREE_FILES, Broken, Strace, Zygote
from tests.torture.plant import Plant, Point

SHAPES = {"one file": ONE_FILE, "three files": THREE_FILES, "files come and go": COME_AND_GO}
SHARES = 2
"""The points of a shape are shared out to so many tests, for as many processors."""

NOT_STRUCK = {"futex", "restart_syscall", "clock_nanosleep"}
"""The interpreter's own lock: how often it is called differs each time, and leaves no trace."""

CHANGING = {
    "pwrite64", "write", "fsync", "fdatasync", "rename", "renameat2", "link", "unlink", "mkdir",
    "ftruncate", "fallocate",
}  # fmt: skip
"""Calls after which something else lies on the disk, or lies there for good."""

SPARSE = 16
"""While it recovers, of all other calls each so many-th is struck: between two calls that change
something, a kill leaves the same wherever it comes."""

every_shape = pytest.mark.parametrize("shape", SHAPES)
every_share = pytest.mark.parametrize("share", range(SHARES))


def points_of(plant: Plant) -> list[Point]:
    return [point for point in plant.calls() if point.name not in NOT_STRUCK]


def kill_at(plant: Plant, points: list[Point]) -> list[str]:
    """Kill an edit at each point; the promises that were broken."""
    broken: list[str] = []
    for place, name, number, _ in points:
        try:
            plant.edit()
            answer, _ = plant.strike(place, f"{name}:signal=SIGKILL:when={number}")
            plant.daemon.kill()
            plant.look_at_files(answer)
            plant.restart()
            plant.look(answer)
        except Broken as error:
            broken.append(f"{name} {number} of thread {place}: {error}")
            plant.daemon.kill()
            plant.renew()
    return broken


@pytest.mark.torture
@pytest.mark.timeout(1500)
@every_shape
@every_share
def test_kill_at_every_call(zygote: Zygote, tmp_path: Path, shape: str, share: int) -> None:
    """Wherever a commit is killed, all files are old or all are new, as the history says."""
    plant = Plant(zygote, tmp_path, SHAPES[shape])
    points = points_of(plant)[share::SHARES]
    broken = kill_at(plant, points)
    record("kill", shape, len(points), len(broken))
    assert not broken, "\n".join(broken)


@pytest.mark.long
@every_shape
def test_kill_at_some_calls(zygote: Zygote, tmp_path: Path, shape: str) -> None:
    """The same at a sample of the calls that change something."""
    plant = Plant(zygote, tmp_path, SHAPES[shape])
    points = [point for point in points_of(plant) if point.name in CHANGING and point.place < 0]
    broken = kill_at(plant, points[:: max(1, len(points) // 6)])
    assert not broken, "\n".join(broken)


# -- a second kill, while the first is being cleaned up ------------------------------------


class Wreck:
    """What a kill in the middle of a commit left, to be cleaned up again and again."""

    def __init__(self, plant: Plant, where: Path) -> None:
        self.plant = plant
        self.where = where
        self.now, self.head = plant.now, plant.head
        plant.daemon.save(where)

    def restore(self) -> None:
        """Lay it out again."""
        self.plant.daemon.kill()
        self.plant.daemon.restore(self.where)
        self.plant.now, self.plant.head = self.now, self.head


def wrecks(plant: Plant, where: Path) -> list[Wreck]:
    """One for each way in which the files of a killed commit can lie."""
    found: dict[str, Wreck] = {}
    where.mkdir()
    for place, name, number, _ in points_of(plant):
        if place >= 0 or name not in CHANGING:
            continue
        plant.edit()
        plant.strike(place, f"{name}:signal=SIGKILL:when={number}")
        plant.daemon.kill()
        wreck = Wreck(plant, where / str(len(found)))
        plant.daemon.start()
        is_finished = plant.daemon.get("/omeconf/v1/status")["revision"]["head"] > plant.head
        if key := _key(wreck, is_finished=is_finished):
            found.setdefault(key, wreck)
        plant.look(None)
    return list(found.values())


def _key(wreck: Wreck, *, is_finished: bool) -> str:
    """What distinguishes a wreck; "" if there is nothing to clean up."""
    lies = []
    plant = wreck.plant
    old, new = plant.states[wreck.now], plant.states[1 - wreck.now]
    files = {
        str(path.relative_to(wreck.where / "conf")): path
        for path in sorted((wreck.where / "conf").rglob("*"))
        if path.is_file()
    }
    litter = 0
    for name, path in files.items():
        data = path.read_bytes()
        if name in old:
            lies.append(f"{name}:{data == old[name]}{data == new[name]}")
        else:
            litter += 1
            whose = path.name.split("-")[1]
            lies.append(f"{whose}{path.suffix}:{data in old.values()}{data in new.values()}")
    return f"{is_finished} {sorted(lies)}" if litter else ""


def calls_of_start(wreck: Wreck, gate: str) -> list[tuple[str, int]]:
    """The calls of the thread that waits at a gate of the start."""
    plant = wreck.plant
    wreck.restore()
    daemon = plant.daemon.start(gate)
    thread = daemon.pid if gate == "start" else daemon.writer
    trace = Strace([thread], "-f", out=plant.base / "trace")
    daemon.go()
    assert daemon.serves_after_all()
    lines = [line.split(maxsplit=1) for line in trace.stop().splitlines()]
    names = [
        rest.partition("(")[0]
        for who, rest in lines
        if int(who) == thread and "(" in rest and not rest.startswith("<")
    ]
    return [
        (name, number)
        for name in sorted(set(names) - NOT_STRUCK)
        for number in range(1, names.count(name) + 1)
    ]


def kill_start(wreck: Wreck, gate: str, points: list[tuple[str, int]]) -> list[str]:
    """Kill the start that cleans up at each point; the promises that were broken."""
    broken = []
    plant = wreck.plant
    for name, number in points:
        try:
            wreck.restore()
            daemon = plant.daemon.start(gate)
            thread = daemon.pid if gate == "start" else daemon.writer
            inject = f"inject={name}:signal=SIGKILL:when={number}"
            trace = Strace([thread], "-e", f"trace={name}", "-e", inject, out=plant.base / "trace")
            daemon.go()
            daemon.serves_after_all()
            daemon.kill()
            trace.stop()
            plant.look_at_files(None)
            plant.restart()
            plant.look(None)
            plant.edit()
        except Broken as error:
            broken.append(f"{wreck.where.name}: {gate}: {name} {number}: {error}")
    return broken


@pytest.mark.torture
@pytest.mark.timeout(1500)
@every_shape
@every_share
def test_kill_in_every_recovery(zygote: Zygote, tmp_path: Path, shape: str, share: int) -> None:
    """A start that cleans up after a kill may be killed itself, at every call."""
    plant = Plant(zygote, tmp_path, SHAPES[shape])
    faults, broken = 0, []
    for wreck in wrecks(plant, tmp_path / "wrecks"):
        for gate in ("start", "open"):
            points = calls_of_start(wreck, gate)
            reading = [p for p in points if p[0] not in CHANGING]
            points = [p for p in points if p[0] in CHANGING] + reading[::SPARSE]
            points = points[share::SHARES]
            faults += len(points)
            broken += kill_start(wreck, gate, points)
    record("kill while recovering", shape, faults, len(broken))
    assert faults
    assert not broken, "\n".join(broken)


def test_kill_in_some_recovery(zygote: Zygote, tmp_path: Path) -> None:
    """The same for one half-done commit, at a sample of the calls that change something."""
    plant = Plant(zygote, tmp_path, COME_AND_GO)
    plant.edit()
    plant.strike(-1, "unlink:signal=SIGKILL:when=1")
    plant.daemon.kill()
    wreck = Wreck(plant, tmp_path / "wreck")
    points = [p for p in calls_of_start(wreck, "open") if p[0] in CHANGING]
    broken = kill_start(wreck, "open", points[:: max(1, len(points) // 6)])
    assert not broken, "\n".join(broken)
