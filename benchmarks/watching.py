"""How soon a manual edit is taken up, by the way in which it was saved.

    .venv/bin/python -m benchmarks.watching [--times 20]

Measured is the time from the last change of the file, as the file system has it, until a client
that listens to the daemon's events is told of the new revision; [watch] settle_s is in it. Edits
are found by events, but for the last row, in which the daemon is given no inotify: there the looks
every look_every_s find it.
"""

from __future__ import annotations

import argparse
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from benchmarks import files
from benchmarks.client import Events
from benchmarks.saving import WAYS, Way, rename_over
from benchmarks.servers import SETTLE_S, Omeconf
from omeconf.settings import Watch

APPLICATIONS = 10
DEAF = ("unshare", "--user", "--map-root-user", "sh", "-c",
        'echo 0 > /proc/sys/user/max_inotify_instances && exec "$@"', "sh")  # fmt: skip
"""Runs a program that gets no inotify."""


def latencies_s(server: Omeconf, way: Way, times: int, first: int) -> list[float]:
    """Save so many times in a way; how long each took to be taken up."""
    events = Events(server.new_client())
    found = []
    for number in range(first, first + times):
        text = files.changed(server.file.read_bytes(), number % APPLICATIONS, 1000 + number)
        way.save(server.file, text.decode())
        last = server.file.stat().st_ctime_ns / 1e9
        events.wait_for_revision()
        found.append(time.time() - last)
    events.close()
    return found


def rows(program: Path, work: Path, times: int) -> list[tuple[str, list[float]]]:
    """Each way with its latencies; [] for one whose program is not installed."""
    found: list[tuple[str, list[float]]] = []
    (work / "hears").mkdir()
    server = Omeconf(program, work / "hears", files.server_xml(APPLICATIONS))
    try:
        for number, way in enumerate(WAYS):
            is_there = not way.command or shutil.which(way.command)
            measured = latencies_s(server, way, times, number * times) if is_there else []
            found.append((way.name, measured))
    finally:
        server.stop()
    can = subprocess.run([*DEAF, "true"], capture_output=True, check=False)
    if can.returncode == 0:
        (work / "deaf").mkdir()
        deaf = work / "deaf-omeconf"
        command = " ".join(f"'{part}'" for part in DEAF)
        deaf.write_text(f'#!/bin/sh\nexec {command} {program} "$@"\n')
        deaf.chmod(0o755)
        server = Omeconf(deaf, work / "deaf", files.server_xml(APPLICATIONS))
        try:
            way = Way("renamed over, no inotify left", rename_over)
            found.append((way.name, latencies_s(server, way, min(times, 10), 0)))
        finally:
            server.stop()
    return found


def table(found: Sequence[tuple[str, list[float]]]) -> str:
    """As Markdown, in ms."""
    lines = ["| saved by | saves | min | median | max |", "|---|---|---|---|---|"]
    for name, seconds in found:
        if seconds:
            shown = [min(seconds), statistics.median(seconds), max(seconds)]
            cells = " | ".join(f"{each * 1000:.0f}" for each in shown)
        else:
            cells = "not installed | |"
        lines.append(f"| {name} | {len(seconds)} | {cells} |")
    return "\n".join(lines)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.watching", description=(__doc__ or "").partition("\n")[0]
    )
    beside = Path(sys.executable).parent / "omeconf"
    parser.add_argument("--times", type=int, default=20, help="saves in each way (20)")
    parser.add_argument("--omeconf", type=Path, default=beside, help="the program to measure")
    parser.add_argument("--work", type=Path, help="on the disk to use")
    given = parser.parse_args()
    work = Path(tempfile.mkdtemp(prefix="omeconf-watching-", dir=given.work))
    try:
        found = rows(given.omeconf.absolute(), work, given.times)
    finally:
        shutil.rmtree(work, ignore_errors=True)
    print(table(found))
    print(f"\nms; settle_s {SETTLE_S}, look_every_s {Watch().look_every_s}, "
          f"load {os.getloadavg()[0]:.1f}")  # fmt: skip


if __name__ == "__main__":
    main()
