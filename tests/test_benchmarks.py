"""`make bench` measures what it says: a small run of it, with its proofs."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path

import pytest

from benchmarks import fleet, order
from benchmarks.report import markdown
from tests.support import PROJECT

NEW, NAMED = "/c/.omeconf-1.part", "/c/.omeconf-1.tmp"
STEPS = {
    "the request": 'read(9<socket:[1]>, "PATCH /v1/vhosts", 99) = 16',
    "the bytes": f'write(5<{NEW}>, "<Server>", 8) = 8',
    "the bytes synced": f"fsync(5<{NEW}>) = 0",
    "the name": f'rename("{NEW}", "{NAMED}") = 0',
    "the name synced": "fsync(6</c>) = 0",
    "the record": 'pwrite64(7</s/history.sqlite-wal>, "", 99, 0) = 99',
    "the record synced": "fdatasync(7</s/history.sqlite-wal>) = 0",
    "the exchange": f'renameat2(AT_FDCWD, "{NAMED}", AT_FDCWD, "/c/Server.xml", 2) = 0',
    "the exchange synced": "fsync(8</c>) = 0",
    "the answer": 'write(9<socket:[1]>, "HTTP/1.1 200 OK", 15) = 15',
}
"""The system calls of an edit, as strace tells them."""


def seen(steps: Iterable[str]) -> tuple[str, ...]:
    """What is missed in an edit of such steps."""
    text = "\n".join(f"7 00:00:00.0 {STEPS[step]}" for step in steps)
    return order.read(text, Path("/c/Server.xml"), Path("/s")).missing


def test_the_order_of_an_edit() -> None:
    """As it is promised, nothing is missed; with any step left out or done later, something is."""
    assert seen(STEPS) == ()
    steps = list(STEPS)
    for at in range(1, len(steps) - 1):
        without = steps[:at] + steps[at + 1 :]
        if steps[at] not in ("the bytes", "the record"):  # to write nothing needs no sync
            assert seen(without), f"without {steps[at]}"
        assert seen([*steps[:at], steps[at + 1], steps[at], *steps[at + 2 :]]), f"late {steps[at]}"


def test_figures_of_a_fleet() -> None:
    """Each is told with how often, its floor and what that is; and what is left out, with why."""
    found = fleet.Found(left_out=["the fleet: etcd is not installed"])
    values = [float(value) for value in range(10, 0, -1)]
    found.add("Joining", fleet.Figure("joined", "ms", values, 2.0, "a start"))
    found.add("Joining", fleet.Figure("never measured", "ms", []))
    text = markdown({}, [], [], found)
    (line,) = (line for line in text.splitlines() if line.startswith("| joined"))
    cells = [cell.strip() for cell in line.strip("|").split("|")]
    assert cells == ["joined", "ms", "10", "5.0", "9.0", "2.0", "2.50", "a start"]
    assert "never measured" not in text
    assert "- left out: the fleet: etcd is not installed" in text
    assert found.sections["Joining"][0].as_json()["p90"] == 9.0


@pytest.mark.long
def test_a_small_run(tmp_path: Path) -> None:
    """As many revisions as edits, all different, the file as it must be; and the report is kept."""
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks", "--sizes", "1,20", "--edits", "4", "--no-peers",
         "--only", "edit,manual,order,start", "--results", str(tmp_path), "--work", str(tmp_path)],
        capture_output=True, text=True, timeout=240, cwd=PROJECT, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.count("changes made") == 2
    assert done.stdout.count("to the byte") == 2
    (report,) = tmp_path.glob("*.json")
    sizes = json.loads(report.read_text())["sizes"]
    assert [each["applications"] for each in sizes] == [1, 20]
    for each in sizes:
        assert {"python -c pass", "omeconf status"} <= set(each["samples"])
