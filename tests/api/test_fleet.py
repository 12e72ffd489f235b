"""/omeconf/v1/fleet on a machine of its own, and what is counted; a real group: tests/fleet."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from omeconf.api.metrics import Metrics
from omeconf.core.rollout import Phase
from tests.support.api import LISTENING, OWN, ApiInProcess
from tests.support.daemon import Daemon

ALONE = "this daemon is not a member of a group: give [fleet] endpoints in omeconf.toml"
ROUTES = [
    ("GET", "/fleet"),
    ("GET", "/fleet/diff"),
    ("DELETE", "/fleet/members/n9"),
    *(("POST", f"/fleet/{what}") for what in ("rollout", "pause", "resume", "abort")),
]


@pytest.fixture
def api(tmp_path: Path) -> Iterator[ApiInProcess]:
    with ApiInProcess(tmp_path) as made:
        yield made


@pytest.mark.parametrize(("method", "path"), ROUTES)
def test_no_group(api: ApiInProcess, method: str, path: str) -> None:
    """404, and which setting makes one."""
    answer = api.call(method, OWN + path)
    assert (answer.status_code, answer.json()) == (404, {"status": 404, "title": ALONE})


@pytest.mark.parametrize("what", ["rollout", "pause", "resume", "abort"])
def test_nothing_is_dry(api: ApiInProcess, what: str) -> None:
    """What cannot be tried beforehand says so."""
    answer = api.call("POST", f"{OWN}/fleet/{what}?dryRun=true")
    assert (answer.status_code, answer.json()["title"]) == (400, "dryRun is not possible here")


def test_no_metrics_without_a_group(api: ApiInProcess) -> None:
    """Nothing of a group is there, and the status has none."""
    assert "omeconf_fleet" not in api.call("GET", f"{OWN}/metrics").text
    assert api.call("GET", f"{OWN}/status").json()["fleet"] is None


def test_rollouts_are_counted_once(api: ApiInProcess) -> None:
    """Each that is seen to end counts, however often it is told; not what had ended before."""
    counted = Metrics(api.service)
    for number, phases in (
        (7, ("reverted",)),  # what there was at the start
        (8, ("checking", "applying", "confirmed")),
        (9, ("checking", "reverting", "reverted", "reverted")),
        (10, ("refused",)),  # begun and ended between two looks
    ):
        for phase in phases:
            api.service.events.emit("rollout", id=number, phase=phase)
    assert counted.fleet.ended == {Phase.CONFIRMED: 1, Phase.REVERTED: 1, Phase.REFUSED: 1}


@pytest.mark.long
def test_command_line_without_a_group(tmp_path: Path) -> None:
    """1, and why."""
    with Daemon(tmp_path, LISTENING) as daemon:
        for command in (
            "status", "rollout --wait", "pause now", "resume", "abort --yes", "diff n1",
        ):  # fmt: skip
            found = daemon.cli("fleet", *command.split())
            assert (found.returncode, found.stdout) == (1, ""), command
            assert found.stderr == f"omeconf: {ALONE}\n"
        assert "group" not in daemon.cli("status").stdout
