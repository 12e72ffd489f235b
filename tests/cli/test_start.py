"""What a command imports: the modules, not the time, since machines differ."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.support import EXAMPLES
from tests.support.daemon import DEADLINE_S

HEAVY = frozenset({
    "lxml.etree", "rich", "xmlschema", "starlette", "uvicorn", "sqlite3", "http.client",
    "asyncio", "logging", "concurrent.futures", "prometheus_client", "httpx2", "uvloop",
    "watchdog", "jsonpatch", "ssl",
})  # fmt: skip
"""What costs milliseconds, and is not needed everywhere."""
XML = {"lxml.etree"}
ASKING = {"http.client", "ssl"}
EXAMPLE = str(EXAMPLES / "origin/Server.xml")


def imported(*arguments: str) -> set[str]:
    """The names of all modules that a command has imported when it ends."""
    run = subprocess.run([sys.executable, "-X", "importtime", "-m", "omeconf", *arguments],
                         capture_output=True, text=True, check=False,
                         timeout=DEADLINE_S)  # fmt: skip
    assert "Traceback" not in run.stderr
    lines = [each for each in run.stderr.splitlines() if each.startswith("import time:")]
    return {each.rpartition("|")[2].strip() for each in lines}


@pytest.mark.parametrize(
    ("arguments", "heavy"),
    [
        (("--help",), set()),
        (("--version",), set()),
        (("status", "--help"), set()),
        (("completion", "bash"), set()),
        (("check", EXAMPLE), XML),
        (("schema",), XML),
        (("status", "--socket", "{none}"), ASKING),
        (("rollback", "1", "--socket", "{none}"), ASKING),
    ],
    ids=["help", "version", "help of one", "completion", "check", "schema", "status", "rollback"],
)  # fmt: skip
def test_imports(arguments: tuple[str, ...], heavy: set[str], tmp_path: Path) -> None:
    """Of what is heavy, a command imports what it needs for its work, and no more."""
    found = imported(*(each.replace("{none}", str(tmp_path / "none")) for each in arguments))
    assert "click" in found
    assert found & HEAVY == heavy
