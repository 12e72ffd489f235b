"""Whatever schemathesis thinks of, the answer is as the OpenAPI document says, and no fault."""

from __future__ import annotations

import base64
import json
import os
import subprocess
import sys
from collections import defaultdict
from pathlib import Path

import pytest

from omeconf.api.app import ROUTES
from omeconf.api.openapi import shown_path
from tests.support import EXAMPLES, PROJECT, checked
from tests.support.daemon import TOKEN, Daemon

pytestmark = [pytest.mark.long, pytest.mark.timeout(400)]

SETTINGS = '[api]\nvirtual_hosts = "read-write"\n[watch]\nsettle_s = 0.05\n'
CONFIG = Path(__file__).parent / "schemathesis.toml"

FLEET = "^/omeconf/v1/fleet"
"""What is only there in a group: here nothing follows from its answers. (With them schemathesis
4.32.5 makes links of its own, by the names of members, and in some runs ends early.)"""
ENDLESS = "/omeconf/v1/events"
"""Its answer has no end, and schemathesis reads answers to their end: test_events.py reads it."""

NO_SUCCESS = {
    "PUT /omeconf/v1/document": "no body that is made up is a Server.xml with our port and token",
    "POST /omeconf/v1/confirm": "what waits is confirmed between the calls, see hooks.py",
    "POST /omeconf/v1/reloads/{id}:retry": "there are no hooks, so none has failed",
    **{
        f"{method} /omeconf/v1/fleet{below}": "this daemon is not a member of a group"
        for method, below in (
            *(("GET", below) for below in ("", "/diff")),
            ("DELETE", "/members/{node}"),
            *(("POST", below) for below in ("/rollout", "/pause", "/resume", "/abort")),
        )
    },
}
"""Operations that nothing made up succeeds with, and why; all others must, some time."""

RUNS = {
    "each by itself": ("examples,coverage,fuzzing", 15, "0", 4000),
    "one after another": ("stateful", 60, "1", 200),
}
"""Phases, examples of each operation, whether changes are kept, and how many calls at least."""


@pytest.mark.parametrize(("phases", "examples", "keeps", "least"), RUNS.values(), ids=RUNS)
def test_answers(tmp_path: Path, phases: str, examples: int, keeps: str, least: int) -> None:
    """No check of schemathesis fails, everything is called, and the daemon is well after it."""
    text = (EXAMPLES / "origin/Server.xml").read_text()
    text = text.replace("<Port>8081</Port>", "<Port>@PORT@</Port>")
    with Daemon(tmp_path, text, settings=SETTINGS) as daemon:
        # from a file: schemathesis leaves out the route that it has a document from
        document = tmp_path / "openapi.json"
        document.write_text(json.dumps(daemon.get("/omeconf/v1/openapi.json")))
        ran = subprocess.run(
            [
                sys.executable, "-m", "schemathesis.cli", "--config-file", CONFIG, "--no-color",
                "run", document, "--url", f"http://127.0.0.1:{daemon.port}",
                "--header", "Authorization: Basic " + base64.b64encode(TOKEN.encode()).decode(),
                "--checks", "all", "--phases", phases, "--max-examples", str(examples),
                "--exclude-path", ENDLESS,
                *(("--exclude-path-regex", FLEET) if keeps == "1" else ()),
                "--report", "ndjson", "--report-ndjson-path", tmp_path / "report.ndjson",
            ],
            cwd=tmp_path, capture_output=True, text=True, check=False,
            env={
                **os.environ,
                "PYTHONPATH": str(PROJECT),
                "SCHEMATHESIS_HOOKS": "tests.schemathesis.hooks",
                "OMECONF_TEST_KEEPS": keeps,
            },
        )  # fmt: skip
        assert ran.returncode == 0, ran.stdout + ran.stderr
        statuses = answered(tmp_path / "report.ndjson")
        assert sum(map(len, statuses.values())) >= least, "too few calls to mean anything"
        if keeps == "0":
            must_have_met(statuses)
        assert daemon.status()["drift"] is None
        assert daemon.call("POST", "/omeconf/v1/check").json["good"]
        assert "Traceback" not in daemon.log
    assert checked(daemon.server_xml.read_bytes()).is_good


def must_have_met(statuses: dict[str, list[int]]) -> None:
    """Every operation of the configuration has been called, and has succeeded some time."""
    for path, methods in ROUTES.items():
        for name in (f"{method} {shown_path(path)}" for method in methods):
            if path == ENDLESS:
                assert name not in statuses
            else:
                assert any(status < 300 for status in statuses[name]) != (name in NO_SUCCESS), name


def answered(report: Path) -> dict[str, list[int]]:
    """The statuses of all answers, by operation."""
    found: dict[str, list[int]] = defaultdict(list)
    for line in report.read_text().splitlines():
        scenario = json.loads(line).get("ScenarioFinished")
        if scenario is None:
            continue
        recorder = scenario["recorder"]
        for number, case in recorder.get("cases", {}).items():
            interaction = recorder["interactions"].get(number) or {}
            if interaction.get("response"):
                name = f"{case['value']['method']} {case['value']['path']}"
                found[name].append(interaction["response"]["status_code"])
    return found
