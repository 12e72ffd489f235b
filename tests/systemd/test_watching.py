"""What systemd does with a daemon that hangs, dies, or does not come up."""

from __future__ import annotations

import os
import signal

import pytest

from tests.systemd.machine import SETTINGS, Machine, wait_for

pytestmark = pytest.mark.systemd

APP = "/v1/vhosts/default/apps/app"
WATCHED_S = 3
SLOW_HOOK = SETTINGS.replace(
    'use = "systemd"\nunit = "ovenmediaengine.service"', 'run = ["/usr/bin/sleep", "9"]'
).replace("[watch]", "[reload]\nwait_s = 20\n[watch]")


@pytest.fixture(scope="module")
def watched(machine: Machine) -> Machine:
    """With a watchdog that does not wait for half a minute."""
    machine.drop_in(f"[Unit]\nStartLimitIntervalSec=0\n[Service]\nWatchdogSec={WATCHED_S}\n")
    machine.systemctl("restart", "omeconf")
    return machine


def pid_of(machine: Machine) -> str:
    return machine.show("MainPID")


def restarted(machine: Machine, pid: str) -> None:
    """Wait until another daemon serves in its place."""
    wait_for(
        lambda: pid_of(machine) not in ("0", pid) and machine.show("ActiveState") == "active",
        "the daemon to be started again",
    )


def test_it_is_left_alone_at_work(watched: Machine) -> None:
    """A hook that takes three times as long as the watchdog waits is no reason to kill anybody."""
    pid, settings = pid_of(watched), watched.path("/etc/omeconf/omeconf.toml")
    settings.write_text(SLOW_HOOK)
    watched.systemctl("reload", "omeconf")
    answer = watched.call("PATCH", APP, {"publishers": {"llhls": {"segmentDuration": 4}}})
    assert (answer.status, answer.headers["omeconf-reload"]) == (200, "ok"), answer.json
    assert pid_of(watched) == pid
    assert watched.show("NRestarts") == "0"
    settings.write_text(SETTINGS)
    watched.systemctl("reload", "omeconf")


def test_stopped(watched: Machine) -> None:
    """SIGSTOP: nothing of it moves, so it is killed and started again."""
    pid = pid_of(watched)
    watched.systemctl("kill", "-s", "STOP", "omeconf")
    restarted(watched, pid)
    assert "Watchdog timeout" in watched.log()
    assert watched.call("GET", "/v1/vhosts").status == 200


def test_a_stuck_writer(watched: Machine) -> None:
    """The event loop answers, but the writer waits for ever: for a pipe in the place of a file.

    It is killed, and says where it was; the file is taken up once it is one again.
    """
    pid, path = pid_of(watched), "/etc/ovenmediaengine/Server.xml"
    watched.run("sh", "-c", f"cp {path} /root/good && rm {path} && mkfifo -m 644 {path}")
    wait_for(lambda: "the writer is stuck" in watched.log(), "the watchdog to be told nothing")
    answer = watched.call("GET", "/omeconf/v1/health/live")
    assert answer.status == 200, "the loop lives"
    wait_for(lambda: pid_of(watched) != pid, "systemd to end it")
    watched.run("sh", "-c", f"rm {path} && cp /root/good {path}")
    restarted(watched, pid)
    wait_for(watched.is_quiet, "the file")
    log = watched.log()
    assert "Watchdog timeout" in log
    assert "adopt" in log.partition("the writer is stuck")[2], "the stack of the writer"


def test_killed(watched: Machine) -> None:
    """SIGKILL: it is there again, with what was acknowledged."""
    pid = pid_of(watched)
    answer = watched.call("PATCH", APP, {"publishers": {"llhls": {"segmentDuration": 5}}})
    assert answer.status == 200
    watched.systemctl("kill", "-s", "KILL", "omeconf")
    restarted(watched, pid)
    wait_for(watched.is_quiet, "the reload")
    assert "<SegmentDuration>5<" in watched.server_xml.read_text()


def test_crash_loop(watched: Machine) -> None:
    """What can never start is given up, visibly, after the ten tries of the shipped unit."""
    watched.drop_in("[Service]\nRestartSec=10ms\n")
    settings = watched.path("/etc/omeconf/omeconf.toml")
    settings.write_text("[reload]\nwait_s = 'soon'\n")
    watched.systemctl("stop", "omeconf.socket", "omeconf.service")
    watched.systemctl("reset-failed", check=False)
    watched.systemctl("start", "omeconf.service", check=False)
    wait_for(lambda: "Start request repeated too quickly" in watched.log(), "the limit")
    wait_for(lambda: watched.show("ActiveState") == "failed", "it to be given up")
    assert watched.show("NRestarts") == "10"
    assert "omeconf.toml: reload.wait_s must be a number" in watched.log()
    settings.write_text(SETTINGS)
    watched.systemctl("reset-failed", "omeconf.service", "omeconf.socket", check=False)
    watched.systemctl("start", "omeconf.socket", "omeconf.service")
    assert watched.call("GET", "/v1/vhosts").status == 200


def test_ready_after_recovery(watched: Machine) -> None:
    """READY comes when the engine's start file lies there, and does not wait for an engine.

    The engine is ordered behind us: it could never come up if we waited for it.
    """
    watched.path("/etc/omeconf/engine.token").write_text("secret-of-the-engine")
    settings = SETTINGS + (
        '[engine]\nurl = "http://127.0.0.1:18081"\ntoken_file = "/etc/omeconf/engine.token"\n'
        'config_dir = "/var/lib/omeconf-engine"\n'
    )
    watched.path("/etc/omeconf/omeconf.toml").write_text(settings)
    folder = "/var/lib/omeconf-engine"  # for an engine that is not root, as docs/systemd.md has it
    watched.run("install", "-d", "-o", "omeconf", "-g", "daemon", "-m", "2770", folder)
    watched.drop_in(f"[Service]\nReadWritePaths={folder}\n", name="engine.conf")
    watched.systemctl("restart", "omeconf.service")
    start_file = watched.path(f"{folder}/Server.xml")
    assert "<VirtualHosts></VirtualHosts>" in start_file.read_text(), "it was there at READY"
    script = f"cd {folder} && cat Server.xml complete/Server.xml >/dev/null && touch Server.id"
    watched.run("runuser", "-u", "daemon", "--", "sh", "-c", script)
    wait_for(
        lambda: watched.call("GET", "/omeconf/v1/health/ready").json["engine"] == "away",
        "the engine to be missed",
    )
    wait_for(lambda: "waits for the engine" in watched.show("StatusText"), "the status")
    watched.path("/etc/omeconf/omeconf.toml").write_text(SETTINGS)
    watched.systemctl("restart", "omeconf.service")


def test_a_stop_waits_for_the_hook(watched: Machine) -> None:
    """SIGTERM does not cut off a reload, nor does the watchdog then: its outcome is known."""
    settings = watched.path("/etc/omeconf/omeconf.toml")
    settings.write_text(SLOW_HOOK.replace('"9"', '"5"').replace("wait_s = 20", "wait_s = 0"))
    watched.systemctl("reload", "omeconf")
    answer = watched.call("PATCH", APP, {"publishers": {"llhls": {"segmentDuration": 7}}})
    assert answer.headers["omeconf-reload"] == "pending", answer.headers
    number = int(answer.headers["omeconf-revision"])
    wait_for(lambda: watched.status()["reload"]["current"], "the hook to begin")
    watched.systemctl("restart", "omeconf.service")
    assert f"revision {number} runs:" in watched.log()
    assert watched.status()["revision"]["running"] == number
    settings.write_text(SETTINGS)
    watched.systemctl("reload", "omeconf")


def test_a_signal_does_no_harm(watched: Machine) -> None:
    """A broken lease tells by a signal: it ends nobody."""
    pid = pid_of(watched)
    for number in (signal.SIGIO, signal.SIGURG):
        watched.systemctl("kill", "-s", str(int(number)), "omeconf")
    assert watched.call("GET", "/v1/vhosts").status == 200
    assert pid_of(watched) == pid
    assert os.getpid() != int(pid)
