"""The console in a real browser, on a real daemon: Debian's Chromium, driven by Playwright."""

from __future__ import annotations

import os
import shutil
from typing import NoReturn

import pytest

from tests.support import PROJECT

MUST_RUN = "OMECONF_CONSOLE_MUST_RUN"
"""Set where the suite has to run, as in CI: what is missing there fails it."""

SOURCES = PROJECT / "console"
AXE = SOURCES / "node_modules/axe-core/axe.min.js"
FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-dev-shm-usage",
    "--font-render-hinting=none",
]
"""Chromium asks nobody anything by itself, and runs as root in a container."""


def chromium() -> str:
    """Where the browser is. Skips where there is none, or fails where that must not be."""
    found = shutil.which("chromium")
    if found is None:
        give_up("there is no chromium")
    return found


def give_up(why: str) -> NoReturn:
    """Skip a test, or fail it where it must run."""
    if os.environ.get(MUST_RUN):
        pytest.fail(f"{why}, and {MUST_RUN} is set")
    pytest.skip(why)
