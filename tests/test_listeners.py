from __future__ import annotations

import http.client
import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from omeconf.client import Client
from omeconf.listeners import Given, Listener, bind
from tests.support import EXAMPLES
from tests.support.daemon import DEADLINE_S, call, free_port

ACTIVATE = """
import os, sys
count = int(sys.argv[1])
for number in range(count):  # first out of each other's way
    os.dup2(int(sys.argv[2 + number]), 100 + number)
for number in range(count):
    os.dup2(100 + number, 3 + number)
os.environ |= {"LISTEN_FDS": str(count), "LISTEN_FDNAMES": sys.argv[2 + count]}
os.environ["LISTEN_PID"] = str(os.getpid() + int(os.environ.get("OFF_BY", "0")))
os.execv(sys.executable, [sys.executable, "-m", "omeconf", *sys.argv[3 + count:]])
"""


@pytest.fixture
def sockets(tmp_path: Path) -> Iterator[list[socket.socket]]:
    """A port, a local socket, and a datagram socket, as systemd would open them."""
    with ExitStack() as stack:
        tcp = stack.enter_context(socket.socket())
        tcp.bind(("127.0.0.1", 0))
        tcp.listen()
        local = stack.enter_context(socket.socket(socket.AF_UNIX))
        local.bind(str(tmp_path / "given.sock"))
        local.listen()
        datagrams = stack.enter_context(socket.socket(type=socket.SOCK_DGRAM))
        yield [tcp, local, datagrams]


def serve(tmp_path: Path, sockets: list[socket.socket]) -> subprocess.Popen[str]:
    """A daemon that was given sockets."""
    conf = tmp_path / "conf"
    if not conf.exists():
        conf.mkdir()
        text = (EXAMPLES / "origin/Server.xml").read_text()
        (conf / "Server.xml").write_text(text.replace("<Port>8081<", f"<Port>{free_port()}<"))
    handles = [each.fileno() for each in sockets]
    process = subprocess.Popen(
        [sys.executable, "-c", ACTIVATE, str(len(handles)), *map(str, handles),
         ":".join(["api", "local", "odd"][: len(handles)]), "serve", str(conf / "Server.xml"),
         "--state", str(tmp_path / "state"), "--socket", str(tmp_path / "own.sock")],
        pass_fds=handles, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert process.stdout is not None
    assert "serving" in process.stdout.readline()
    return process


def end(process: subprocess.Popen[str]) -> str:
    """End a daemon; what it logged."""
    process.terminate()
    _, log = process.communicate(timeout=DEADLINE_S)
    assert process.returncode == 0, log
    return log


def test_given(tmp_path: Path, sockets: list[socket.socket]) -> None:
    """What systemd opened is served, and nothing else is opened; both outlive us."""
    port, path = sockets[0].getsockname()[1], tmp_path / "given.sock"
    process = serve(tmp_path, sockets)
    assert call(port, "GET", "/v1/vhosts").status == 200
    assert call(port, "GET", "/v1/vhosts", token="wrong").status == 401
    assert Client(path).status()["revision"]["head"] == 1
    assert not (tmp_path / "own.sock").exists()
    log = end(process)
    assert "Cannot use handle 5 (odd) of systemd: nobody can connect to it" in log
    assert path.exists()
    # who connects now waits for the next daemon
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=DEADLINE_S)
    connection.request("GET", "/omeconf/v1/health/ready")
    process = serve(tmp_path, sockets)
    assert connection.getresponse().status == 200
    connection.close()
    end(process)


def test_given_to_another(
    tmp_path: Path, sockets: list[socket.socket], monkeypatch: pytest.MonkeyPatch
) -> None:
    """LISTEN_PID of another process: they are not ours, and nobody serves them."""
    monkeypatch.setenv("OFF_BY", "1")
    process = serve(tmp_path, sockets)
    assert (tmp_path / "own.sock").exists()
    assert Client(tmp_path / "own.sock").status()["revision"]["head"] == 1
    end(process)


def test_certificates() -> None:
    """A given port speaks TLS if Server.xml names a certificate for that port."""
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        port = bound.getsockname()[1]
        sockets = Given(tcp={("127.0.0.1", port): bound})
        files = ("c.pem", "k.pem", "")
        named = [Listener("0.0.0.0", port, files), Listener("0.0.0.0", 1, ("other", "key", ""))]
        assert sockets.listeners(named) == (Listener("127.0.0.1", port, files),)
        assert sockets.listeners([]) == (Listener("127.0.0.1", port),)
        copy = bind(Listener("127.0.0.1", port, files), sockets)
        assert copy.fileno() != bound.fileno()
        assert copy.getsockname() == bound.getsockname()
        copy.close()
        assert os.fstat(bound.fileno())
