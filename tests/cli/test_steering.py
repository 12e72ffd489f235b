"""rollback, confirm, retry, hold, resume on a real daemon; on a terminal where one is asked."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.support.api import APP
from tests.support.daemon import Daemon, wait_for
from tests.support.terminal import Terminal


def duration(daemon: Daemon, seconds: int) -> None:
    body = {"publishers": {"llhls": {"segmentDuration": seconds}}}
    assert daemon.call("PATCH", APP, body).status == 200


def last(daemon: Daemon) -> tuple[str, int]:
    """State and newest revision of the last reload."""
    found = daemon.status()["reload"]["last"]
    return found["state"], found["revisions"][-1]


def log(daemon: Daemon) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads(daemon.cli("log", "--json").stdout)
    return found


def at_terminal(daemon: Daemon, *arguments: str) -> Terminal:
    command = [sys.executable, "-m", "omeconf", *arguments]
    return Terminal(command, {"OMECONF_SOCKET": str(daemon.socket), "TERM": "xterm-256color"})


def test_rollback_asks(daemon: Daemon) -> None:
    """It shows the diff, coloured, and the plan; only yes goes back."""
    before = daemon.text
    duration(daemon, 5)
    for answer, status in (("n\n", 1), ("\x03", 130), ("\n", 1), ("y\n", 0)):
        with at_terminal(daemon, "rollback", "1", "-m", "too slow") as terminal:
            shown = terminal.expect("Go back to revision 1? [y/N]")
            red = "\x1b[31m-\t\t\t\t\t\t\t<SegmentDuration>5</SegmentDuration>"
            assert red in terminal.coloured
            assert "application default/app" in shown
            if answer == "\x03":
                assert terminal.interrupt() == status
            else:
                terminal.send(answer)
                assert terminal.ends() == status, answer
            assert "Traceback" not in terminal.shown
        assert (daemon.text == before) is (status == 0)
    assert daemon.status()["revision"]["head"] == 3
    assert "too slow" in daemon.cli("log").stdout


@pytest.mark.long
def test_rollback_of_what_somebody_else_changes(daemon: Daemon) -> None:
    """What is committed while the question stands is not undone unseen."""
    duration(daemon, 5)
    with at_terminal(daemon, "rollback", "1") as terminal:
        terminal.expect("[y/N]")
        duration(daemon, 4)
        terminal.send("y\n")
        assert terminal.ends() == 4
        terminal.expect("revision 2 is not the newest any more: that is 3")
        terminal.expect("`omeconf log` shows what was changed meanwhile")
    assert ">4<" in daemon.text


def test_rollback_without_a_terminal(daemon: Daemon) -> None:
    """--yes has to be said; --dry-run only looks; there may be nothing to do."""
    before = daemon.text
    duration(daemon, 5)
    assert daemon.cli("rollback", "1").returncode == 2
    dry = daemon.cli("rollback", "1", "--dry-run")
    assert (dry.returncode, dry.stderr) == (0, "restart application default/app\n")
    assert ">5<" in daemon.text
    stale = daemon.cli("rollback", "1", "--yes", "--base", "1")
    assert stale.returncode == 4
    done = daemon.cli("rollback", "1", "--json")
    found = json.loads(done.stdout)
    assert (found["revision"], found["origin"], found["reload"]) == (3, "rollback", "ok")
    assert daemon.text == before
    again = daemon.cli("rollback", "1", "--yes")
    assert again.returncode == 0
    assert "the files are those of revision 1 already" in again.stderr
    missing = daemon.cli("rollback", "99", "--yes")
    assert (missing.returncode, missing.stderr) == (1, "omeconf: there is no revision 99\n")


@pytest.mark.long
def test_confirm(daemon: Daemon) -> None:
    """A change with a deadline stays only if it is confirmed."""
    duration(daemon, 5)
    armed = daemon.cli("rollback", "1", "--yes", "--confirm", "400")
    assert "taken back in 400 s unless you say `omeconf confirm`" in armed.stderr
    assert daemon.cli("app", "set", "default/app", "type=vod").returncode == 4
    done = daemon.cli("confirm")
    assert done.stdout == "confirmed: everything since revision 2 stays\n"
    nothing = daemon.cli("confirm")
    assert nothing.returncode == 4
    assert nothing.stderr == "omeconf: nothing waits to be confirmed\n"
    for seconds in ("0", "-1", "soon", "99999999"):
        assert daemon.cli("rollback", "1", "--yes", "--confirm", seconds).returncode == 2


def test_a_reload_that_fails(daemon: Daemon, tmp_path: Path) -> None:
    """5: the change is taken back, and what the hook said is shown; retry does it again."""
    before = daemon.text
    (tmp_path / "fail").touch()
    failed = daemon.cli("app", "set", "default/app", "publishers.llhls.segmentDuration=5")
    assert failed.returncode == 5
    assert "the reload failed and the change was taken back" in failed.stderr
    assert "  | told to fail" in failed.stderr
    assert daemon.text == before
    daemon.write(before.replace(">6<", ">5<"))  # by hand: that stays
    wait_for(lambda: last(daemon) == ("failed", 4), "the reload")
    status = daemon.cli("status")
    assert status.returncode == 1
    assert "last reload       failed: restart default/app" in status.stdout
    assert "told to fail" in status.stdout
    (tmp_path / "fail").unlink()
    done = daemon.cli("retry")
    assert done.returncode == 0, done.stderr
    wait_for(lambda: last(daemon) == ("healthy", 4), "the second try")
    outcomes = {each["number"]: each["reload"] for each in log(daemon)}
    assert (outcomes[2], outcomes[4]) == ("reverted", "healthy"), "what never ran is not well"
    well = daemon.cli("retry")
    assert well.returncode == 4
    assert "the engine runs what it should" in well.stderr
    assert daemon.cli("retry", "nonsense").returncode == 1


@pytest.mark.long
def test_what_takes_long(daemon: Daemon, tmp_path: Path) -> None:
    """On a terminal something moves while a reload is waited for, and is gone when it is done."""
    hook = tmp_path / "hook"
    hook.write_text(hook.read_text().replace("read -r told", "read -r told; sleep 1.5"))
    with at_terminal(daemon, "app", "set", "default/app", "type=vod") as terminal:
        terminal.expect("waiting for what it reloads")
        terminal.expect("revision 2: the engine runs it")
        assert terminal.ends() == 0
    quiet = daemon.cli("app", "set", "default/app", "type=live")
    assert "waiting" not in quiet.stderr


@pytest.mark.long
def test_retry_of_nothing(daemon: Daemon) -> None:
    """Nothing was reloaded yet."""
    run = daemon.cli("retry")
    assert (run.returncode, run.stderr) == (2, "omeconf: nothing was reloaded yet\n")


@pytest.mark.long
def test_hold_and_resume(daemon: Daemon) -> None:
    """Edits wait while many files are changed by hand."""
    assert daemon.cli("hold", "git pull").stdout == "held: git pull\n"
    held = daemon.cli("set", "Name=x")
    assert held.returncode == 4
    assert "(git pull): `omeconf resume` ends that" in held.stderr
    daemon.write(daemon.text.replace(">6<", ">5<"))
    assert daemon.cli("resume").stdout == "resumed: revision 2 is the newest\n"
    assert json.loads(daemon.cli("hold", "--json").stdout)["held"]
    assert daemon.cli("resume").returncode == 0
