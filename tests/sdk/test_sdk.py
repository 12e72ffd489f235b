"""The client that npm has for OvenMediaEngine, unchanged, against a real daemon: edits last."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.support import EXAMPLES
from tests.support.daemon import TOKEN, Daemon, wait_for

pytestmark = [pytest.mark.long, pytest.mark.timeout(300)]

HERE = Path(__file__).parent
SETTINGS = '[api]\nvirtual_hosts = "read-write"\n[watch]\nsettle_s = 0.05\nlook_every_s = 0.5\n'
Step = Callable[[Daemon, str], list[dict[str, Any]]]


@pytest.fixture(scope="module")
def step(tmp_path_factory: pytest.TempPathFactory) -> Step:
    """Has the client do a step against a daemon; gives the status and data of its answers."""
    folder = tmp_path_factory.mktemp("sdk")
    for name in ("package.json", "package-lock.json", "client.mjs"):
        shutil.copy(HERE / name, folder)
    npm = ["npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund"]
    installed = subprocess.run(npm, cwd=folder, capture_output=True, text=True, check=False)
    assert installed.returncode == 0, installed.stdout + installed.stderr

    def run(daemon: Daemon, name: str) -> list[dict[str, Any]]:
        command = ["node", "client.mjs", f"http://127.0.0.1:{daemon.port}", TOKEN, name]
        ran = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
        assert ran.returncode == 0, ran.stderr
        answers: list[dict[str, Any]] = json.loads(ran.stdout)
        assert len(answers) >= 2
        return answers

    return run


@pytest.fixture
def daemon(tmp_path: Path) -> Daemon:
    text = (EXAMPLES / "origin/Server.xml").read_text()
    text = text.replace("<Port>8081</Port>", "<Port>@PORT@</Port>")
    return Daemon(tmp_path, text, settings=SETTINGS)


def statuses(answers: list[dict[str, Any]]) -> set[int]:
    """Those of the answers and of the envelopes in them."""
    data = [each["data"] for each in answers]
    envelopes = [e for each in data for e in (each if isinstance(each, list) else [each])]
    return {each["status"] for each in answers} | {each["statusCode"] for each in envelopes}


def test_round_trip(daemon: Daemon, step: Step) -> None:
    """What it creates and changes is there after a restart; deleted, no byte is left of it."""
    before = daemon.text
    with daemon:
        assert statuses(step(daemon, "create")) == {200}
        created = step(daemon, "read")
        assert statuses(created) == {200}
        host, app, profile = (created[number]["data"]["response"] for number in (1, 3, 5))
        assert host["host"]["names"] == ["shop.example.com"]
        assert app["publishers"]["webrtc"]["timeout"] == 30000
        assert profile["outputStreamName"] == "${OriginStreamName}_copy"

        daemon.stop()
        daemon.start()
        assert step(daemon, "read") == created

        assert statuses(step(daemon, "patch")) == {200}
        patched = step(daemon, "read")
        assert patched[3]["data"]["response"]["publishers"]["llhls"]["segmentDuration"] == 6
        assert "srt" not in patched[7]["data"]["response"]["providers"]
        daemon.stop()
        daemon.start()
        assert step(daemon, "read") == patched

        assert statuses(step(daemon, "delete")) == {200}
        assert statuses(step(daemon, "missing")) == {404}
        assert daemon.text == before


def test_manual_edit_in_between(daemon: Daemon, step: Step) -> None:
    """An edit by hand between its calls survives all of them, and nothing else is left."""
    before = daemon.text
    old = "<SegmentDuration>6</SegmentDuration>\n\t\t\t\t\t\t\t<SegmentCount>8</SegmentCount>"
    new = "<!-- by hand -->\n\t\t\t\t\t\t\t<SegmentDuration>8</SegmentDuration>"
    assert before.count(old) == 1
    with daemon:
        assert statuses(step(daemon, "create")) == {200}
        number = daemon.status()["revision"]["head"]
        daemon.write(daemon.text.replace(old, new))
        wait_for(lambda: daemon.status()["revision"]["head"] > number, "the edit by hand")
        read = step(daemon, "read")
        assert read[8]["data"]["response"]["publishers"]["llhls"]["segmentDuration"] == 8
        assert statuses(step(daemon, "patch")) == {200}
        assert statuses(step(daemon, "delete")) == {200}
        assert daemon.text == before.replace(old, new)
