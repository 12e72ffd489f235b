"""What systemd hears of a daemon, on a plain datagram socket, and what it takes from systemd."""

from __future__ import annotations

import hashlib
import os
import pty
import re
import signal
import socket
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from omeconf.daemon.notify import notify, watchdog_s
from tests.support import EXAMPLES
from tests.support.daemon import DEADLINE_S, SETTINGS, Daemon, wait_for

APP = "/v1/vhosts/default/apps/app"
TEXT = (EXAMPLES / "origin/Server.xml").read_text().replace("<Port>8081<", "<Port>@PORT@<")


class Systemd:
    """The socket that NOTIFY_SOCKET names."""

    def __init__(self, address: str) -> None:
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.socket.bind(address)
        self.socket.settimeout(DEADLINE_S)
        self.heard: list[str] = []

    def hear(self, pattern: str) -> str:
        """The next message that fits, after others."""
        deadline = time.monotonic() + DEADLINE_S
        while time.monotonic() < deadline:
            message = self.socket.recv(4096).decode()
            self.heard.append(message)
            if re.fullmatch(pattern, message):
                return message
        raise AssertionError(f"{pattern} was not heard, but {self.heard}")

    def forget(self) -> None:
        """Let go what has come until now."""
        self.socket.setblocking(False)
        with suppress(BlockingIOError):
            while True:
                self.heard.append(self.socket.recv(4096).decode())
        self.socket.settimeout(DEADLINE_S)


@pytest.fixture
def systemd(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Systemd]:
    listening = Systemd(str(tmp_path / "notify"))
    monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "notify"))
    yield listening
    listening.socket.close()


def test_one_datagram(systemd: Systemd) -> None:
    """All lines of one message arrive together."""
    notify("READY=1", "STATUS=well")
    assert systemd.socket.recv(4096) == b"READY=1\nSTATUS=well"


def test_abstract_address(monkeypatch: pytest.MonkeyPatch) -> None:
    """An address that begins with @ is in the abstract namespace."""
    name = f"omeconf-test-{os.getpid()}"
    listening = Systemd(f"\0{name}")
    monkeypatch.setenv("NOTIFY_SOCKET", f"@{name}")
    notify("READY=1")
    assert listening.socket.recv(4096) == b"READY=1"
    listening.socket.close()


def test_nobody_listens(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Without systemd, or with a socket that is gone, nothing happens."""
    monkeypatch.delenv("NOTIFY_SOCKET", raising=False)
    notify("READY=1")
    monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "gone"))
    notify("READY=1")


@pytest.mark.parametrize(
    ("environment", "seconds"),
    [
        ({}, None),
        ({"WATCHDOG_USEC": "30000000"}, 30.0),
        ({"WATCHDOG_USEC": "500000", "WATCHDOG_PID": "7"}, 0.5),
        ({"WATCHDOG_USEC": "500000", "WATCHDOG_PID": "8"}, None),
        ({"WATCHDOG_USEC": "0"}, None),
        ({"WATCHDOG_USEC": "soon"}, None),
    ],
    ids=["not asked", "asked", "asked us", "asked another", "never", "no number"],
)
def test_watchdog_time(environment: dict[str, str], seconds: float | None) -> None:
    """WATCHDOG_USEC, unless WATCHDOG_PID is another process."""
    assert watchdog_s(environment, pid=7) == seconds


def test_a_life(systemd: Systemd, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """READY when it serves, STATUS as things change, WATCHDOG all along, RELOADING, STOPPING."""
    monkeypatch.setenv("WATCHDOG_USEC", "300000")
    with Daemon(tmp_path, TEXT) as daemon:
        systemd.hear("READY=1")
        assert systemd.heard == ["READY=1"], "nothing before that"
        systemd.hear("STATUS=revision 1 assumed to run; 2 virtual hosts, 4 applications")
        systemd.hear("WATCHDOG=1")
        patch = {"publishers": {"llhls": {"segmentDuration": 4}}}
        assert daemon.call("PATCH", f"{APP}?confirm=60", patch).status == 200
        systemd.hear("STATUS=revision 2 healthy; .* waits to be confirmed until .*Z")
        daemon.write(daemon.text.replace("<Providers>", "<Nonsense/><Providers>", 1))
        systemd.hear(r"STATUS=revision 2 healthy; .*errors in the files on disk: Server.xml:\d+.*")
        assert daemon.process is not None
        daemon.process.send_signal(signal.SIGHUP)
        message = systemd.hear(r"RELOADING=1\nMONOTONIC_USEC=\d+")
        assert int(message.partition("USEC=")[2]) <= time.monotonic_ns() // 1000
        systemd.hear("READY=1")
        systemd.hear("WATCHDOG=1")
        assert daemon.stop() == 0
    systemd.hear("STOPPING=1\nSTATUS=.+")


def test_a_stuck_writer(systemd: Systemd, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A writer that waits for ever keeps the watchdog from hearing, though the event loop lives."""
    monkeypatch.setenv("WATCHDOG_USEC", "300000")
    with Daemon(tmp_path, TEXT) as daemon:
        systemd.hear("WATCHDOG=1")
        text = daemon.text
        daemon.server_xml.unlink()
        os.mkfifo(daemon.server_xml)
        wait_for(lambda: "the writer is stuck" in daemon.log, "the alarm")
        assert daemon.call("GET", "/v1/vhosts").status == 200
        assert "Thread 0x" in daemon.log, "where everybody is"
        other = tmp_path / "good"
        other.write_text(text)
        with daemon.server_xml.open("w"):  # the reader is let go
            other.replace(daemon.server_xml)
        wait_for(lambda: daemon.status()["revision"]["disk"] == 1, "the file")
        systemd.forget()
        systemd.hear("WATCHDOG=1")


def test_settings_read_again(tmp_path: Path) -> None:
    """SIGHUP and `omeconf reload`: what can change does, at once; a token that goes is refused.

    What cannot is told; what is wrong is told with its line, and changes nothing.
    """
    digest = hashlib.sha256(b"a-token").hexdigest()
    grafana = f'[[api.tokens]]\nname = "grafana"\nsha256 = "{digest}"\n'
    with Daemon(tmp_path, TEXT, settings=SETTINGS + grafana) as daemon:
        path = "/v1/vhosts"
        for _ in range(2):  # the second is remembered
            assert daemon.call("GET", path, token="a-token").status == 200
        settings = daemon.settings_file.read_text()
        daemon.settings_file.write_text(
            settings.replace(grafana, '[api]\nvirtual_hosts = "read-write"\n')
            + '[engine]\nrelease = "0.20"\n'
        )
        assert daemon.process is not None
        daemon.process.send_signal(signal.SIGHUP)
        wait_for(lambda: daemon.call("GET", path, token="a-token").status == 401, "the token")
        assert daemon.call("DELETE", "/v1/vhosts/studio").status == 200
        assert "engine.release need a restart" in daemon.log

        daemon.settings_file.write_text(settings + "[reload]\nwait_s = -1\n")
        failed = daemon.cli("reload", "--wait")
        assert failed.returncode == 1
        assert "omeconf.toml: reload.wait_s may not be negative" in failed.stderr
        assert daemon.call("GET", path, token="a-token").status == 401

        daemon.settings_file.write_text(settings + '[api]\nlisten = "nowhere"\n')
        failed = daemon.cli("reload")
        assert failed.returncode == 1
        assert '"nowhere" is not HOST:PORT' in failed.stderr
        assert daemon.call("GET", path).status == 200

        daemon.settings_file.write_text(settings)
        done = daemon.cli("reload", "--wait")
        assert (done.returncode, done.stderr) == (0, ""), done
        assert "settings: api.virtual_hosts changed" in done.stdout
        assert daemon.call("GET", path, token="a-token").status == 200
    assert daemon.cli("reload").returncode == 3, "nobody is there"


@pytest.mark.long
def test_reload_tells_what_became_of_it(tmp_path: Path) -> None:
    """With --wait its exit status is that of the engine's reload, and of the files."""
    with Daemon(tmp_path, TEXT) as daemon:
        (tmp_path / "fail").touch()
        daemon.write(daemon.text.replace("<SegmentDuration>6<", "<SegmentDuration>5<", 1))
        failed = daemon.cli("reload", "--wait")
        assert failed.returncode == 1
        assert "told to fail" in failed.stderr
        (tmp_path / "fail").unlink()
        wait_for(lambda: daemon.status()["revision"]["running"] == 2, "the next try")
        assert daemon.cli("reload", "--wait").returncode == 0
        daemon.write(daemon.text.replace("<Providers>", "<Nonsense/><Providers>", 1))
        broken = daemon.cli("reload")
        assert broken.returncode == 1
        assert "<Nonsense> is not known in <Bind>" in broken.stderr


def test_the_terminal_goes(tmp_path: Path) -> None:
    """A daemon that was started in a terminal ends with it; otherwise SIGHUP does not end it."""
    daemon = Daemon(tmp_path, TEXT)
    command = [sys.executable, "-m", "omeconf", "serve", str(daemon.server_xml),
               "--state", str(tmp_path / "state"), "--socket", str(daemon.socket)]  # fmt: skip
    pid, terminal = pty.fork()
    if pid == 0:
        os.execv(sys.executable, command)
    wait_for(lambda: b"serving" in os.read(terminal, 4096), "the daemon")
    os.kill(pid, signal.SIGHUP)
    wait_for(lambda: b"settings: read again" in os.read(terminal, 4096), "what SIGHUP does")
    assert daemon.answers()
    os.close(terminal)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
