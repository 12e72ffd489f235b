from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from omeconf.daemon.pulse import HELPERS
from omeconf.daemon.service import Service
from omeconf.settings import Settings
from omeconf.store.history import History
from omeconf.store.repository import Repository
from omeconf.supervised import Supervised
from tests.support import MINIMAL, schema


@pytest.fixture
def service(tmp_path: Path) -> Iterator[Service]:
    file = tmp_path / "Server.xml"
    file.write_text(MINIMAL)
    made = Service(
        Repository(file, History(tmp_path / "h"), schema(), clock=lambda: 1.0), Settings()
    )
    made.start()
    yield made
    made.stop(1)


@pytest.fixture
def heard(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[socket.socket]:
    """Where systemd listens; it never waits."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listening:
        listening.bind(str(tmp_path / "notify"))
        listening.setblocking(False)
        monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "notify"))
        yield listening


class Pulse:
    text = ""

    def trouble(self, now: float) -> str:  # noqa: ARG002
        return self.text


def test_beat(service: Service, heard: socket.socket, caplog: pytest.LogCaptureFixture) -> None:
    """Only while all are at work; the first trouble is told, once, and the end of it ends it."""
    one, other = Pulse(), Pulse()
    supervised = Supervised(service, (one, other), 30.0)
    supervised.beat(0.0)
    assert heard.recv(100) == b"WATCHDOG=1"
    other.text = "it is stuck"
    for _ in range(3):
        supervised.beat(0.0)
        with pytest.raises(BlockingIOError):
            heard.recv(100)
    assert [r.getMessage() for r in caplog.records if r.levelname == "CRITICAL"] == [
        "The watchdog is told nothing: it is stuck"
    ]
    other.text = ""
    supervised.beat(0.0)
    assert heard.recv(100) == b"WATCHDOG=1"


def test_what_cannot_be_looked_at(service: Service, heard: socket.socket) -> None:
    """A look that fails is trouble, and ends nothing."""

    class Broken:
        def trouble(self, now: float) -> str:
            raise RuntimeError(f"cannot look at {now}")

    supervised = Supervised(service, (Broken(),), 30.0)
    supervised.beat(0.0)
    with pytest.raises(BlockingIOError):
        heard.recv(100)
    supervised.pulses = ()
    supervised.beat(0.0)
    assert heard.recv(100) == b"WATCHDOG=1"


def test_a_thread_that_has_ended(service: Service, heard: socket.socket) -> None:
    """The thread that reloads is gone: that is trouble too."""
    supervised = Supervised(service, (), 30.0)
    service.reloader.stop(10)
    supervised.beat(0.0)
    with pytest.raises(BlockingIOError):
        heard.recv(100)


def test_nobody_watches(service: Service, heard: socket.socket) -> None:
    """Without WatchdogSec= nothing is sent; the status is, once for each that is new."""
    supervised = Supervised(service, (), None)
    supervised.beat(0.0)
    supervised.tell()
    supervised.tell()
    assert heard.recv(100) == b"STATUS=revision 1 assumed to run; 1 virtual host, 2 applications"
    with pytest.raises(BlockingIOError):
        heard.recv(100)


def test_status_of_trouble(service: Service, heard: socket.socket) -> None:
    """A file that is gone, a hold: what a person should know is in the line."""
    supervised = Supervised(service, (), None)
    service.submit(service.hold, "git pull").result()
    supervised.tell()
    assert heard.recv(200).endswith(b" | held: git pull")
    service.submit(service.resume).result()
    (service.repository.folder.path / "Server.xml").unlink()
    service.submit(service.tick).result()
    supervised.tell()
    assert b"Server.xml" in heard.recv(200).partition(b"|")[2]


def test_helpers(service: Service) -> None:
    """The threads that count as the writer are those that the repository has compute for it."""
    beside = service.repository._beside
    assert beside.submit(threading.current_thread).result().name.startswith(HELPERS)
