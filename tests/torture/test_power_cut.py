"""The power is cut while the daemon commits: what was acknowledged is there, and it is whole."""

from __future__ import annotations

import os
import random
import threading
from pathlib import Path

import pytest

from tests.support.daemon import wait_for
from tests.torture import record
from tests.torture.daemons import Broken, Zygote
from tests.torture.disks import Image
from tests.torture.plant import Plant
from tests.torture.test_kill import SHAPES

DISKS = {
    "ext4": ("ext4", ""),
    "ext4, writeback": ("ext4", "noauto_da_alloc,data=writeback"),
    "xfs": ("xfs", ""),
}
MOST_BEFORE_S = 0.04
"""The cut comes so much after an edit was acknowledged, at most: edits take about half of that."""


class Editor(threading.Thread):
    """Makes edits until one is not acknowledged."""

    def __init__(self, plant: Plant) -> None:
        super().__init__()
        self.plant = plant
        self.acknowledged = 0

    def run(self) -> None:
        while (answer := self.plant.ask()) is not None and answer.status == 200:
            self.plant.now, self.plant.head = 1 - self.plant.now, self.plant.head + 1
            self.acknowledged += 1


def cut_once(plant: Plant, image: Image, chance: random.Random) -> int:
    """A power cut among edits; how many were acknowledged before it. Raises Broken."""
    editor = Editor(plant)
    editor.start()
    enough = chance.randint(1, 5)
    wait_for(lambda: editor.acknowledged >= enough or not editor.is_alive(), "edits")
    threading.Event().wait(chance.random() * MOST_BEFORE_S)
    image.cut()
    plant.daemon.kill()
    editor.join()
    image.power_on()
    plant.look_at_files(None)
    plant.restart()
    plant.look(None)
    for number in range(max(1, plant.head - editor.acknowledged), plant.head + 1):
        found = plant.daemon.get(f"/omeconf/v1/revisions/{number}")["files"]
        state = plant.states[(number - 1) % 2]
        if {name: found[name].encode() for name in found} != {
            name: data for name, data in state.items() if data is not None
        }:
            raise Broken(f"revision {number} has other files than were acknowledged")
    return editor.acknowledged


def cut(zygote: Zygote, base: Path, disk: str, shape: str, times: int) -> None:
    kind, options = DISKS[disk]
    image = Image(base, kind, options)
    edits, broken = 0, []
    chance = random.Random(times)
    try:
        plant = Plant(zygote, base, SHAPES[shape], disk=image.where)
        os.sync()  # what the test itself has saved by hand
        for turn in range(times):
            try:
                edits += cut_once(plant, image, chance)
            except Broken as error:
                broken.append(f"cut {turn}: {error}")
                break
        plant.daemon.kill()
    finally:
        image.remove()
    record("power cut", f"{disk}, {shape}", times, len(broken), edits=edits)
    assert not broken, "\n".join(broken)


@pytest.mark.torture
@pytest.mark.timeout(900)
@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("disk", DISKS)
def test_many_power_cuts(zygote: Zygote, tmp_path: Path, disk: str, shape: str) -> None:
    """Every acknowledged edit is on the disk, whichever file system it is."""
    cut(zygote, tmp_path, disk, shape, 25)


def test_some_power_cuts(zygote: Zygote, tmp_path: Path) -> None:
    """A few of them."""
    cut(zygote, tmp_path, "ext4", "three files", 4)
