"""What docs/systemd.md has for those without polkit, as it stands there."""

from __future__ import annotations

import re

import pytest

from tests.support import PROJECT
from tests.systemd.machine import Machine, wait_for

pytestmark = pytest.mark.systemd

DOCS = (PROJECT / "docs/systemd.md").read_text()
APP = "/v1/vhosts/default/apps/app"


def test_hooks_without_polkit(machine: Machine) -> None:
    """The socket restarts the engine, and tells if it could not; polkit would refuse that."""
    machine.path("/etc/polkit-1/rules.d/50-omeconf.rules").unlink()
    body = {"publishers": {"llhls": {"segmentDuration": 4}}}
    wait_for(lambda: machine.call("PATCH", f"{APP}?dryRun=true", body).status == 200, "the daemon")
    refused = machine.call("PATCH", APP, body)
    assert refused.status == 502, "polkit no longer lets it"
    wait_for(lambda: not machine.status()["reload"]["current"], "the way back")

    units = re.findall(r"```ini\n# (/etc/systemd/system/\S+)\n(.*?)```", DOCS, re.DOTALL)
    assert len(units) == 2
    for path, text in units:
        machine.path(path).write_text(text)
    (settings,) = re.findall(r"```toml\n(.*?)```", DOCS, re.DOTALL)
    machine.path("/etc/omeconf/omeconf.toml").write_text(settings)
    machine.systemctl("daemon-reload")
    machine.systemctl("enable", "--now", "omeconf-engine.socket")
    machine.systemctl("reload", "omeconf", check=False)
    wait_for(machine.is_quiet, "what was left to reload")
    engine = machine.show("InvocationID", "ovenmediaengine.service")
    assert machine.call("PATCH", APP, body).status == 200
    assert machine.show("InvocationID", "ovenmediaengine.service") not in ("", engine)
    machine.drop_in("[Service]\nExecStartPre=/bin/false\n", "ovenmediaengine.service", "fails.conf")
    assert machine.call("PATCH", APP, {"publishers": {"llhls": None}}).status == 502
