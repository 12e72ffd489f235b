"""An error from every system call of a commit: the edit is refused, or it is there for good."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.torture import record
from tests.torture.daemons import APP, Broken, Strace, Zygote
from tests.torture.plant import Plant
from tests.torture.test_kill import (
    CHANGING,
    SHAPES,
    SHARES,
    Wreck,
    calls_of_start,
    every_shape,
    every_share,
    points_of,
    wrecks,
)  # fmt: skip

ERRORS = {
    "openat": ("EMFILE", "EACCES"),
    "read": ("EIO",),
    "pread64": ("EIO",),
    "write": ("ENOSPC", "EIO"),
    "pwrite64": ("ENOSPC", "EIO"),
    "fsync": ("EIO", "ENOSPC"),
    "fdatasync": ("EIO", "ENOSPC"),
    "rename": ("EIO", "ENOSPC"),
    "renameat2": ("EIO", "EACCES", "EBUSY"),
    "link": ("EIO", "ENOSPC"),
    "unlink": ("EIO", "EACCES"),
    "mkdir": ("ENOSPC",),
    "ftruncate": ("EIO",),
    "fallocate": ("ENOSPC",),
    "mmap": ("ENOMEM",),
    "flock": ("ENOLCK",),
}
"""The likely ones; of every other call EIO."""


def errors_at(plant: Plant, points: list[tuple[int, str, int]]) -> tuple[int, list[str]]:
    """Have calls of the writer fail, one in each edit; how many were, and what was broken."""
    hits, broken = 0, []
    for place, name, number in points:
        for error in ERRORS.get(name, ("EIO",)):
            try:
                hits += fail_at(plant, place, name, number, error)
            except Broken as found:
                broken.append(f"{name} {number} {error}: {found}")
                plant.daemon.kill()
                plant.renew()
    return hits, broken


def fail_at(plant: Plant, place: int, name: str, number: int, error: str) -> bool:
    """One edit with one failing call; whether it was hit. Raises Broken."""
    inject = f"{name}:error={error}:when={number}"
    answer, struck = plant.strike(place, inject)
    if "F_UNLCK" in struck:  # it was not meant: see writer_points
        plant.restart()
        plant.look(answer)
        return False
    if answer is None:
        raise Broken(f"there was no answer; the process lives: {not plant.daemon.is_gone()}")
    is_needed = name == "fsync" or (name == "renameat2" and error != "EBUSY")
    if is_needed and struck and answer.status == 200:
        raise Broken("what was answered with 200 may not be on disk")
    plant.look_at_files(answer)
    litter = bool(plant.daemon.litter())  # what can be neither read nor removed: see below
    before = plant.now, plant.head
    plant.look(answer, litter=litter)
    if answer.status == 200 or litter:
        after = plant.now, plant.head
        plant.restart()
        plant.look(None)
        if (plant.now, plant.head) != after:
            raise Broken(f"a restart makes another state of {before} -> {after}")
    plant.edit()
    plant.look(None)
    return bool(struck)


def writer_points(plant: Plant) -> list[tuple[int, str, int]]:
    """The calls of the writer about files: not those that wake the event loop, nor unlocking;
    and syncs, whoever does them.

    No local file system refuses to unlock; SQLite would be locked out by itself until a restart.
    """
    return [
        (point.place, point.name, point.number)
        for point in points_of(plant)
        if (point.place < 0 or point.name == "fsync")
        and not re.search(r"^\d+<(anon_inode|socket|pipe):|F_UNLCK", point.text)
    ]


@pytest.mark.torture
@pytest.mark.timeout(1500)
@every_shape
@every_share
def test_error_at_every_call(zygote: Zygote, tmp_path: Path, shape: str, share: int) -> None:
    """Whichever call of a commit fails: 200 and it is there, or an error and nothing changed."""
    plant = Plant(zygote, tmp_path, SHAPES[shape])
    hits, broken = errors_at(plant, writer_points(plant)[share::SHARES])
    record("error", shape, hits, len(broken))
    assert hits
    assert not broken, "\n".join(broken)


@pytest.mark.long
def test_error_at_some_calls(zygote: Zygote, tmp_path: Path) -> None:
    """The same at a sample of the calls, for three files."""
    plant = Plant(zygote, tmp_path, SHAPES["files come and go"])
    points = writer_points(plant)
    hits, broken = errors_at(plant, points[:: max(1, len(points) // 8)])
    assert hits
    assert not broken, "\n".join(broken)


@pytest.mark.parametrize("error", ["EIO", "EACCES"])
def test_leftover_of_an_older_edit(zygote: Zygote, tmp_path: Path, error: str) -> None:
    """What could not be removed after an edit does not undo that and later edits at a start."""
    plant = Plant(zygote, tmp_path, SHAPES["one file"])
    answer, struck = plant.strike(-1, f"unlink:error={error}:when=1")
    assert struck
    assert answer is not None
    assert answer.status == 200
    for count in (20, 21):
        edit = {"publishers": {"llhls": {"segmentCount": count}}}
        answer = plant.daemon.call("PATCH", APP, edit)
        assert answer is not None
        assert answer.status == 200
    plant.restart()
    found = plant.daemon.get(APP)["response"]["publishers"]["llhls"]["segmentCount"]
    assert found == 21, f"the acknowledged edit is gone: {found}"


def test_error_in_a_recovery(zygote: Zygote, tmp_path: Path) -> None:
    """Of three files one is new when it is killed; the start can exchange no other at first."""
    plant = Plant(zygote, tmp_path, SHAPES["three files"])
    plant.edit()
    plant.strike(-1, "renameat2:signal=SIGKILL:when=2")
    plant.daemon.kill()
    fail_start(Wreck(plant, tmp_path / "wreck"), "renameat2", 2)


@pytest.mark.torture
@pytest.mark.timeout(900)
@every_shape
def test_error_in_recovery(zygote: Zygote, tmp_path: Path, shape: str) -> None:
    """A start that cannot clean up after a kill loses nothing: the next one still can."""
    plant = Plant(zygote, tmp_path, SHAPES[shape])
    faults, broken = 0, []
    for wreck in wrecks(plant, tmp_path / "wrecks"):
        for name, number in calls_of_start(wreck, "open"):
            if name in CHANGING:
                faults += 1
                try:
                    fail_start(wreck, name, number)
                except Broken as error:
                    broken.append(f"{wreck.where.name}: {name} {number}: {error}")
    record("error while recovering", shape, faults, len(broken))
    assert faults
    assert not broken, "\n".join(broken)


def fail_start(wreck: Wreck, name: str, number: int) -> None:
    """A start with one failing call, whether it comes to serve or not, and a start without."""
    plant = wreck.plant
    wreck.restore()
    daemon = plant.daemon.start("open")
    inject = f"inject={name}:error=EIO:when={number}"
    trace = Strace([daemon.writer], "-e", f"trace={name}", "-e", inject, out=plant.base / "trace")
    daemon.go()
    daemon.serves_after_all()
    daemon.kill()
    trace.stop()
    plant.look_at_files(None)
    plant.restart()
    plant.look(None)
    plant.edit()
