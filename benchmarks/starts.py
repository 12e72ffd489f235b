"""How long commands take from the call to the end: mostly the imports, which are kept few."""

from __future__ import annotations

import sys
from pathlib import Path

from benchmarks.peers import timed
from benchmarks.samples import Operation


def starts(program: Path, socket: Path, checked: Path) -> dict[str, Operation]:
    """Commands to time, and the floor: an interpreter that imports nothing."""
    omeconf = str(program)
    asked = ["env", "_OMECONF_COMPLETE=bash_complete", "COMP_BREAKS=:=", omeconf]
    commands = {
        "python -c pass": [sys.executable, "-c", "pass"],
        "omeconf --help, alone": [omeconf, "--help"],
        "omeconf check FILE": [omeconf, "check", str(checked)],
        "omeconf status": [omeconf, "status", "--socket", str(socket)],
        "omeconf schema ELEMENT": [omeconf, "schema", "LLHLS/SegmentDuration"],
        "completion of a command": [*asked[:1], "COMP_LINE=omeconf st", *asked[1:]],
        "completion of an element": [*asked[:1], "COMP_LINE=omeconf schema LLH", *asked[1:]],
    }
    return {name: _run(command) for name, command in commands.items()}


def _run(command: list[str]) -> Operation:
    return lambda _: timed(command)
