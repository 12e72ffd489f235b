"""A disk that is full, or may not be written: edits are refused, everything else goes on."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.support.daemon import wait_for
from tests.torture import cannot_run, need_commands, need_root, record
from tests.torture.daemons import APP, SETTINGS, Quick, Zygote, server
from tests.torture.disks import fill, remount, tmpfs
from tests.torture.plant import Plant
from tests.torture.test_kill import SHAPES

WATCHING = SETTINGS.replace("settle_s = 600", "settle_s = 0.05").replace(
    "look_every_s = 600", "look_every_s = 0.2"
)
SIZES = {"space": "size=512k,nr_inodes=100", "inodes": "size=4m,nr_inodes=40"}
TRIES = 8
"""So many edits are asked for while the disk is full."""

BY_HAND = server(33, includes=True)
STATUS = "/omeconf/v1/status"


@contextmanager
def plant_on(
    zygote: Zygote,
    base: Path,
    disk: Path,
    state_disk: Path | None = None,
    *,
    shape: str = "three files",
) -> Iterator[Plant]:
    """A plant with its configuration, its history, or both on other disks."""
    plant = Plant(zygote, base, SHAPES[shape], disk=disk, state_disk=state_disk, settings=WATCHING)
    try:
        yield plant
    finally:
        plant.daemon.kill()


@contextmanager
def filled(disk: Path) -> Iterator[None]:
    """A file system with nothing left, for a while."""
    fill(disk)
    try:
        yield
    finally:
        shutil.rmtree(disk / "fill")


def refused_edits(plant: Plant, times: int = TRIES) -> int:
    """Ask for edits: each is refused and leaves no trace, or it is there. How many were refused."""
    refused = 0
    for _ in range(times):
        answer = plant.ask()
        assert answer is not None, plant.daemon.log[-2000:]
        assert answer.status == 200 or 500 <= answer.status < 600, answer.json
        refused += answer.status >= 500
        plant.look_at_files(answer)
        plant.look(answer)
        assert plant.daemon.get(APP)["statusCode"] == 200
    return refused


def edit_by_hand(daemon: Quick) -> None:
    """Save Server.xml in place, which needs no space."""
    assert len(BY_HAND) == (daemon.conf / "Server.xml").stat().st_size
    with (daemon.conf / "Server.xml").open("r+b") as file:
        file.write(BY_HAND)


def is_adopted(daemon: Quick) -> bool:
    """Whether what was edited by hand is head."""
    revision = daemon.get(STATUS)["revision"]
    if revision["disk"] is None or not revision["head"]:
        return False
    found = daemon.get(f"/omeconf/v1/revisions/{revision['head']}")
    is_by_hand: bool = found["origin"] == "file"
    return is_by_hand and found["files"]["Server.xml"].encode() == BY_HAND


@pytest.mark.long
def test_full_disk(zygote: Zygote, tmp_path: Path, full: str, lack: str, shape: str) -> None:
    """Edits are refused while a disk is full, also after a restart; then all goes on."""
    with (
        tmpfs(tmp_path / "small", SIZES[lack]) as small,
        plant_on(zygote, tmp_path, *disks_of(full, small, tmp_path), shape=shape) as plant,
    ):
        plant.edit()
        with filled(small):
            refused = refused_edits(plant)
            plant.restart()
            plant.look(None)
            refused += refused_edits(plant)
        plant.edit()
        plant.look(None)
        plant.restart()
        plant.look(None)
    assert refused or (full, lack) == ("state", "inodes"), "nothing was refused"
    record("full disk", f"{full}, no {lack}, {shape}", 2 * TRIES)


def disks_of(full: str, small: Path, base: Path) -> tuple[Path, Path]:
    """Where configuration and history lie, so that the one or the other has a small disk."""
    return (base if full == "state" else small), (base if full == "conf" else small)


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """test_full_disk in all ways, a few of which are quick enough for `make test`."""
    if "lack" not in metafunc.fixturenames:
        return
    every = [(f, n, s) for f in ("conf", "state", "both") for n in SIZES for s in SHAPES]
    quick = [("both", "space", "files come and go"), ("conf", "inodes", "three files")]
    metafunc.parametrize(
        ("full", "lack", "shape"),
        [pytest.param(*e, marks=() if e in quick else pytest.mark.torture) for e in every],
    )


@pytest.mark.parametrize("full", ["conf", "state", "both"])
def test_edit_by_hand_while_full(zygote: Zygote, tmp_path: Path, full: str) -> None:
    """What is edited by hand while a disk is full is taken up when there is space, by itself."""
    with (
        tmpfs(tmp_path / "small", SIZES["space"]) as small,
        plant_on(zygote, tmp_path, *disks_of(full, small, tmp_path)) as plant,
    ):
        daemon = plant.daemon
        with filled(small):
            edit_by_hand(daemon)
            if full != "conf":
                wait_for(lambda: daemon.get(STATUS)["unrecorded"], "the edit to be noticed")
                answer = plant.ask()
                assert answer is not None
                assert 500 <= answer.status < 600, answer.json
            assert (daemon.conf / "Server.xml").read_bytes() == BY_HAND
            assert daemon.get(APP)["statusCode"] == 200
        wait_for(lambda: is_adopted(daemon), "the edit to be taken up")
        assert daemon.get(STATUS)["unrecorded"] is None
        assert not daemon.litter()


def test_start_without_history(zygote: Zygote, tmp_path: Path) -> None:
    """A first start on a full state folder serves what lies there, and records it later."""
    with tmpfs(tmp_path / "small", SIZES["space"]) as small:
        (small / "state").mkdir()
        daemon = Quick(
            zygote, tmp_path, SHAPES["one file"][0],
            disk=tmp_path, state_disk=small, settings=WATCHING,
        )  # fmt: skip
        edit = {"publishers": {"llhls": {"segmentCount": 12}}}
        with filled(small):
            daemon.start()
            try:
                assert daemon.get(APP)["statusCode"] == 200
                assert daemon.get(STATUS)["history"]
                answer = daemon.call("PATCH", APP, edit)
                assert answer is not None
                assert 500 <= answer.status < 600, answer.json
                assert daemon.files() == SHAPES["one file"][0]
            except BaseException:
                daemon.kill()
                raise
        wait_for(lambda: daemon.get(STATUS)["revision"]["head"] == 1, "the first revision")
        answer = daemon.call("PATCH", APP, edit)
        assert answer is not None
        assert answer.status == 200, answer.json
        daemon.kill()


def test_read_only_configuration(zygote: Zygote, tmp_path: Path) -> None:
    """While the configuration lies on a read-only disk, status says so and edits are refused."""
    with (
        tmpfs(tmp_path / "small", SIZES["space"]) as small,
        plant_on(zygote, tmp_path, small, tmp_path) as plant,
    ):
        remount(small, "ro")
        assert "read-only" in plant.daemon.get(STATUS)["readOnly"]
        assert refused_edits(plant, 3) == 3
        plant.restart()
        plant.look(None)
        assert refused_edits(plant, 3) == 3
        remount(small, "rw")
        assert plant.daemon.get(STATUS)["readOnly"] is None
        plant.edit()
        plant.look(None)
    record("full disk", "read-only configuration", 6)


def test_read_only_history(zygote: Zygote, tmp_path: Path) -> None:
    """Started with its history on a read-only disk it serves, and recovers when that is over."""
    with (
        tmpfs(tmp_path / "small", SIZES["space"]) as small,
        plant_on(zygote, tmp_path, tmp_path, small) as plant,
    ):
        plant.daemon.kill()
        remount(small, "ro")
        plant.daemon.start()
        assert plant.daemon.get(STATUS)["history"]
        assert plant.daemon.get(APP)["statusCode"] == 200
        answer = plant.ask()
        assert answer is not None
        assert 500 <= answer.status < 600, answer.json
        plant.look_at_files(answer)
        remount(small, "rw")
        wait_for(lambda: plant.daemon.get(STATUS)["history"] is None, "the history")
        plant.look(None)
        plant.edit()
    record("full disk", "read-only history", 1)


@pytest.mark.long
@pytest.mark.parametrize("which", ["Server.xml", "vhosts/two.xml", ".", "vhosts"])
def test_immutable(zygote: Zygote, tmp_path: Path, which: str) -> None:
    """An immutable file is refused, with the others; those in an immutable folder are written."""
    need_root()
    need_commands("chattr")
    with plant_on(zygote, tmp_path, tmp_path) as plant:
        path = str(plant.daemon.conf / which)
        found = subprocess.run(["chattr", "+i", path], capture_output=True, text=True, check=False)
        if found.returncode:
            cannot_run(f"no file can be made immutable here: {found.stderr.strip()}")
        try:
            refused = refused_edits(plant, 3)
            plant.restart()
            plant.look(None)
        finally:
            subprocess.run(["chattr", "-i", path], check=True)
        assert refused == (3 if which.endswith(".xml") else 0)
        plant.edit()
        plant.look(None)
    record("full disk", f"immutable {which}", refused)


def test_start_read_only_after_a_crash(zygote: Zygote, tmp_path: Path) -> None:
    """After a crash it starts and serves even if what was left cannot be removed now."""
    with (
        tmpfs(tmp_path / "small", SIZES["space"]) as small,
        plant_on(zygote, tmp_path, small, tmp_path) as plant,
    ):
        plant.strike(-1, "unlink:signal=SIGKILL:when=1")
        plant.daemon.kill()
        assert plant.daemon.litter()
        remount(small, "ro")
        plant.restart()
        assert plant.daemon.get(APP)["statusCode"] == 200
