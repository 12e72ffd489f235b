"""A machine that is switched off while a commit waits to be confirmed, and switched on again."""

from __future__ import annotations

import pytest

from tests.systemd.machine import Machine, wait_for

pytestmark = pytest.mark.systemd

APP = "/v1/vhosts/default/apps/app"


def patch(machine: Machine, duration: int, confirm_s: float) -> int:
    """An edit that waits to be confirmed; its revision."""
    body = {"publishers": {"llhls": {"segmentDuration": duration}}}
    answer = machine.call("PATCH", f"{APP}?confirm={confirm_s}", body)
    assert answer.status == 200, answer.json
    return int(answer.headers["omeconf-revision"])


def boots_in_order(machine: Machine) -> None:
    """The engine came up behind us, with what we left in its folder."""
    ours = int(machine.show("ActiveEnterTimestampMonotonic"))
    engines = int(machine.show("ExecMainStartTimestampMonotonic", "ovenmediaengine.service"))
    assert 0 < ours <= engines


@pytest.fixture(scope="module")
def enabled(machine: Machine) -> Machine:
    """What a boot starts: omeconf, and the engine behind it."""
    for unit in ("omeconf.socket", "omeconf.service", "omeconf-ready.target",
                 "ovenmediaengine.service"):  # fmt: skip
        machine.systemctl("add-wants", "omeconf-test.target", unit)
    return machine


def test_overdue_after_a_reboot(enabled: Machine) -> None:
    """What nobody confirmed in time is taken back at the start, before the engine comes up."""
    before = enabled.server_xml.read_text()
    number = patch(enabled, 2, 0.3)
    enabled.power_off()
    enabled.boot()
    wait_for(enabled.is_quiet, "the daemon")
    assert enabled.server_xml.read_text() == before
    newest = enabled.call("GET", "/omeconf/v1/revisions?limit=1").json["revisions"][0]
    assert newest["reverts"] == [number]
    assert "not confirmed in time" in newest["message"]
    boots_in_order(enabled)


def test_confirmed_after_a_reboot(enabled: Machine) -> None:
    """A deadline that is still to come goes on over the reboot, and can be met there."""
    patch(enabled, 3, 600)
    enabled.power_off()
    enabled.boot()
    wait_for(enabled.is_quiet, "the daemon")
    assert "<SegmentDuration>3<" in enabled.server_xml.read_text()
    assert "waits to be confirmed until" in enabled.show("StatusText")
    enabled.omeconf("confirm")
    wait_for(lambda: "confirmed" not in enabled.show("StatusText"), "the status")
    assert enabled.status()["confirm"] is None
    boots_in_order(enabled)


def test_cut_off(enabled: Machine) -> None:
    """The power fails within the deadline: nothing of it was lost, and it is taken back in time."""
    before = enabled.server_xml.read_text()
    number = patch(enabled, 4, 4)
    enabled.cut_power()
    enabled.boot()
    wait_for(lambda: enabled.server_xml.read_text() == before, "the edit to be taken back")
    wait_for(enabled.is_quiet, "the daemon")
    newest = enabled.call("GET", "/omeconf/v1/revisions?limit=1").json["revisions"][0]
    assert newest["reverts"] == [number]
