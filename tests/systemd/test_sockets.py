"""Sockets that systemd holds: who connects while the daemon restarts waits, and is not refused."""

from __future__ import annotations

import http.client
import threading

import pytest

from tests.systemd.machine import Machine, wait_for

pytestmark = pytest.mark.systemd

PORT = 18080
TOKEN = "ome-access-token"
RESTARTS = 5


@pytest.fixture(scope="module")
def activated(machine: Machine) -> Machine:
    """The socket unit with a TCP port, too; nothing runs until somebody connects."""
    machine.drop_in("[Unit]\nStartLimitIntervalSec=0\n")
    machine.systemctl("stop", "omeconf.socket", "omeconf.service")
    machine.drop_in(f"[Socket]\nListenStream=127.0.0.1:{PORT}\n", "omeconf.socket")
    machine.systemctl("start", "omeconf.socket")
    return machine


def test_the_first_connection_starts_it(activated: Machine) -> None:
    """Over TCP with a token, and over the local socket, whose callers are known."""
    assert activated.show("ActiveState") == "inactive"
    answer = activated.call("GET", "/v1/vhosts", port=PORT, token="")
    assert answer.status == 401
    assert activated.show("ActiveState") == "active"
    header = {"Authorization": "Basic b21lLWFjY2Vzcy10b2tlbg=="}
    assert activated.call("GET", "/v1/vhosts", port=PORT, headers=header).status == 200
    assert activated.call("GET", "/v1/vhosts").status == 200
    with pytest.raises(ConnectionRefusedError):
        activated.call("GET", "/v1/vhosts", port=8081)  # as Server.xml says: not besides
    activated.systemctl("stop", "omeconf.service")
    assert activated.call("GET", "/v1/vhosts").status == 200, "the local socket starts it, too"


def test_restarts_under_clients(activated: Machine) -> None:
    """Restarted again and again under clients that read and write, nobody's request fails."""
    stopping = threading.Event()
    done: list[str] = []
    failed: list[str] = []

    def client(name: str, port: int) -> None:
        header = {"Authorization": "Basic b21lLWFjY2Vzcy10b2tlbg=="}
        for number in range(1_000_000):
            if stopping.is_set():
                return
            body = {"publishers": {"llhls": {"segmentCount": 3 + number % 5}}}
            method = "PATCH" if number % 10 == 9 else "GET"
            path = "/v1/vhosts/default/apps/app?reload=skip" if method == "PATCH" else "/v1/vhosts"
            try:
                answer = activated.call(
                    method, path, body if method == "PATCH" else None, port=port, headers=header
                )
            except (OSError, http.client.HTTPException) as error:
                failed.append(f"{name}: {method}: {error!r}")
            else:
                (done if answer.status == 200 else failed).append(f"{name}: {answer.status}")

    clients = [
        threading.Thread(target=client, args=(f"{kind} {n}", port))
        for n in range(2)
        for kind, port in (("tcp", PORT), ("unix", 0))
    ]
    for each in clients:
        each.start()
    for _ in range(RESTARTS):
        before = len(done)
        wait_for(lambda n=before: len(done) > n + 50, "requests between restarts")  # type: ignore[misc]
        activated.systemctl("restart", "omeconf.service")
    before = len(done)
    wait_for(lambda: len(done) > before + 50, "requests at the end")
    stopping.set()
    for each in clients:
        each.join()
    assert failed == []
    assert len(done) > RESTARTS * 50


def test_the_socket_file_survives(activated: Machine) -> None:
    """A stop, a crash: the file stays, and is the same."""
    path = activated.path("/run/omeconf/omeconf.sock")
    inode = path.stat().st_ino
    activated.systemctl("stop", "omeconf.service")
    assert path.stat().st_ino == inode
    activated.systemctl("start", "omeconf.service")
    activated.systemctl("kill", "-s", "KILL", "omeconf.service")
    assert activated.call("GET", "/v1/vhosts").status == 200
    assert path.stat().st_ino == inode


def test_a_broken_file_at_the_start(activated: Machine) -> None:
    """Who comes over a socket of systemd is answered, with what is wrong, and not left waiting."""
    good = activated.server_xml.read_text()
    activated.systemctl("stop", "omeconf.service")
    activated.run("sh", "-c", "rm -rf /var/lib/omeconf/*")
    activated.server_xml.write_text(good.replace("<Providers>", "<Nonsense/><Providers>", 1))
    answer = activated.call("GET", "/v1/vhosts")
    assert answer.status == 503
    assert activated.call("GET", "/omeconf/v1/health/ready", port=PORT).status == 503
    activated.server_xml.write_text(good)
    wait_for(
        lambda: activated.call("GET", "/omeconf/v1/health/ready", port=PORT).status == 200,
        "the file to be taken up",
    )


def test_without_the_socket_unit(activated: Machine) -> None:
    """The service alone opens its own socket, anew after a crash, and takes it away at a stop."""
    activated.systemctl("stop", "omeconf.socket", "omeconf.service")
    path = activated.path("/run/omeconf/omeconf.sock")
    assert not path.exists()
    activated.systemctl("start", "omeconf.service")
    inode = path.stat().st_ino
    assert activated.call("GET", "/v1/vhosts").status == 200
    activated.systemctl("kill", "-s", "KILL", "omeconf.service")
    wait_for(lambda: path.stat().st_ino != inode, "the next one")
    wait_for(lambda: activated.call("GET", "/v1/vhosts").status == 200, "the next one to answer")
    activated.systemctl("stop", "omeconf.service")
    assert not path.exists()
    activated.systemctl("start", "omeconf.socket", "omeconf.service")
