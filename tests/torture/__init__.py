"""Faults on purpose: kills, errors, full disks and power cuts; and what must hold after each.

What needs root, strace or a loop device is skipped where that is not to be had; under
OMECONF_TORTURE_MUST_RUN=1, as in CI, it fails instead.
"""

from __future__ import annotations

import fcntl
import json
import os
import shutil
from typing import NoReturn

import pytest

from tests.support import PROJECT

FIGURES = PROJECT / ".torture/figures.json"
"""One JSON object a line: suite, what, faults, lost, and what else a suite counts."""


def cannot_run(reason: str) -> NoReturn:
    """Skip the test; where everything must run, fail it."""
    if os.environ.get("OMECONF_TORTURE_MUST_RUN"):
        pytest.fail(f"this must run here: {reason}")
    pytest.skip(reason)


def need_commands(*names: str) -> None:
    """Skip unless there are such commands."""
    for name in names:
        if shutil.which(name) is None:
            cannot_run(f"there is no {name}")


def need_root() -> None:
    """Skip unless file systems can be mounted."""
    if os.geteuid() != 0:
        cannot_run("only root can mount file systems")


def record(suite: str, what: str, faults: int, lost: int = 0, **more: int) -> None:
    """Print the figures of a test, and keep them for the table in the README.

    lost: edits lost, and every other promise that was broken.
    """
    FIGURES.parent.mkdir(exist_ok=True)
    row = {"suite": suite, "what": what, "faults": faults, "lost": lost, **more}
    with FIGURES.open("a") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        file.write(json.dumps(row) + "\n")
    others = "".join(f", {number} {name}" for name, number in more.items())
    print(f"torture: {suite}: {what}: {faults} faults, {lost} edits lost{others}")
