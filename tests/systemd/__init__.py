"""The shipped units in a real systemd: a container over a throw-away overlay of this machine."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import NoReturn

import pytest

MUST_RUN = "OMECONF_SYSTEMD_MUST_RUN"
"""Set where the suite has to run, as in CI: what is missing there fails it."""

COMMANDS = ("systemd-nspawn", "nsenter", "unshare", "dbus-daemon", "systemd-analyze")


def need_systemd() -> None:
    """Skip where no container can be booted, or fail where that must not be."""
    missing = [name for name in COMMANDS if shutil.which(name) is None]
    for path, what in (
        ("/usr/bin/python3", "python3"),
        ("/usr/lib/polkit-1/polkitd", "polkitd"),
    ):
        if not Path(path).exists():
            missing.append(what)
    if missing:
        give_up(f"there is no {', '.join(missing)}")
    if os.geteuid() != 0:
        give_up("a container needs root")


def give_up(why: str) -> NoReturn:
    """Skip a test, or fail it where it must run."""
    if os.environ.get(MUST_RUN):
        pytest.fail(f"{why}, and {MUST_RUN} is set")
    pytest.skip(why)
