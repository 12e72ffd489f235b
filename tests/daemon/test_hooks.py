from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path

import pytest

from omeconf.core.plan import Action, Plan, PlanItem
from omeconf.daemon.hooks import KEPT_OUTPUT_BYTES, Call, Occasion, call, calls, run
from omeconf.daemon.orphans import Orphans
from omeconf.settings import Hook
from tests.support.daemon import is_alive, wait_for

APP = PlanItem("application", Action.RESTART, "default", "app")
OTHER = PlanItem("application", Action.CREATE, "default", "other")
HOST = PlanItem("virtualHost", Action.RESTART, "default")
FAR = PlanItem("application", Action.RESTART, "far", "app")
SERVER = PlanItem("server", Action.RESTART)
OCCASION = Occasion("job-1", 7, "/etc/ome/Server.xml")


def hook(*on: str, per: str = "") -> Hook:
    return Hook(run=("true",), on=on or ("application", "virtualHost", "server"), per=per)  # type: ignore[arg-type]


def shown(plan: Plan, *hooks: Hook) -> list[str] | None:
    found = calls(plan, hooks)
    return None if found is None else ["+".join(map(str, c.items)) for c in found]


def test_one_call_per_item() -> None:
    """Each affected thing is one call, in the order of the plan."""
    assert shown(Plan((APP, OTHER)), hook()) == [
        "restart application default/app", "create application default/other",
    ]  # fmt: skip
    assert shown(Plan((APP, OTHER)), hook(per="plan")) == [
        "restart application default/app+create application default/other"
    ]
    assert shown(Plan(), hook()) == []


def test_wider_scopes() -> None:
    """What has no hook of its own goes up, once, and covers what lies inside."""
    both = Plan((APP, OTHER, FAR))
    assert shown(both, hook("virtualHost")) == [
        "restart virtualHost default", "restart virtualHost far",
    ]  # fmt: skip
    assert shown(both, hook("server")) == ["restart server"]
    assert shown(Plan((APP, HOST)), hook("application", "server")) == ["restart server"]
    assert shown(Plan((SERVER,)), hook("application")) is None
    assert shown(both) is None


def test_several_hooks() -> None:
    """Every hook that serves a scope is called, in the order of the file."""
    assert (
        shown(Plan((APP,)), hook("application"), hook("server"), hook("application"))
        == ["restart application default/app"] * 2
    )


def test_systemd_is_one_call() -> None:
    """Ten applications do not restart a plain engine ten times."""
    found = calls(Plan((APP, OTHER)), (Hook(use="systemd", unit="ome.service"),))
    assert found is not None
    assert len(found) == 1


def test_what_a_hook_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The environment names the thing, standard input has the plan as JSON."""
    for name in [name for name in os.environ if name.startswith("OMECONF_")]:
        monkeypatch.delenv(name)
    script = f'cat > {tmp_path}/in; env | grep ^OMECONF_ | sort > {tmp_path}/env; echo "done"'
    outcome = call(Call(Hook(run=("sh", "-c", script)), (APP,)), OCCASION)
    assert (outcome.code, outcome.output, outcome.is_ok) == (0, "done", True)
    assert (tmp_path / "env").read_text().split() == [
        "OMECONF_ACTION=restart", "OMECONF_APP=app", "OMECONF_JOB=job-1", "OMECONF_REVISION=7",
        "OMECONF_SCOPE=application", "OMECONF_SERVER_XML=/etc/ome/Server.xml",
        "OMECONF_VHOST=default",
    ]  # fmt: skip
    assert json.loads((tmp_path / "in").read_text()) == {
        "job": "job-1", "revision": 7, "serverXml": "/etc/ome/Server.xml",
        "items": [{"scope": "application", "action": "restart", "virtualHost": "default",
                   "application": "app"}],
    }  # fmt: skip


FAULTS = {
    "fails": (("sh", "-c", "echo no; exit 3"), 3, "no"),
    "missing": (("/no/such/hook",), None, "cannot be started: No such file or directory"),
    "killed": (("sh", "-c", "kill -9 $$"), -9, ""),
    "hangs": (("sh", "-c", "echo slow; sleep 60"), None, "killed after 0.2 s. slow"),
    "forks": (("sh", "-c", "sleep 60 & echo left a child"), 0, "left a child"),
}


@pytest.mark.parametrize(("command", "code", "output"), FAULTS.values(), ids=FAULTS)
def test_faults(command: tuple[str, ...], code: int | None, output: str) -> None:
    """Whatever a hook does, its outcome is known, in time."""
    outcome = run(command, timeout_s=0.2 if "slow" in str(command) else 10)
    assert (outcome.code, outcome.output) == (code, output)


def test_children_of_a_hook_that_hangs(tmp_path: Path) -> None:
    """All of its process group is ended with it."""
    script = f"sleep 60 & echo $! > {tmp_path}/child; wait"
    assert run(("sh", "-c", script), timeout_s=0.5).code is None
    child = int((tmp_path / "child").read_text())
    wait_for(lambda: not is_alive(child), "the end of the child")


def test_an_orphan(tmp_path: Path) -> None:
    """What an earlier daemon left running is ended, and nobody else who has its number."""
    orphans = Orphans(tmp_path / "hook")
    left = subprocess.Popen(["sleep", "60"], start_new_session=True)
    orphans.begins(left.pid)
    Orphans(tmp_path / "hook").end()
    assert left.wait(10) == -9
    assert not (tmp_path / "hook").exists()
    other = subprocess.Popen(["sleep", "60"], start_new_session=True)
    (tmp_path / "hook").write_text(f"{other.pid} 1")
    orphans.end()
    assert other.poll() is None
    other.kill()
    other.wait(10)


def test_much_output() -> None:
    """Only the end of what it prints is kept."""
    outcome = run(("sh", "-c", "yes | head -c 100000000; echo end"), timeout_s=60)
    assert outcome.output.endswith("end")
    assert len(outcome.output) <= KEPT_OUTPUT_BYTES
    endless = run(("yes",), timeout_s=0.3)
    assert endless.code is None
    assert len(endless.output) < KEPT_OUTPUT_BYTES + 100


def test_a_hook_that_closes_its_output() -> None:
    """It is waited for all the same."""
    script = "exec >&- 2>&-; read -r line; exit 5"
    assert run(("sh", "-c", script), timeout_s=10).code == 5
