"""Limits: sizes, depths, counts, time; and that clients within them are not touched."""

from __future__ import annotations

import json
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from omeconf.api.writing import MAX_ITEMS
from omeconf.settings import Api, Settings
from tests.support.api import APP, APPS, LISTENING, OWN, PLAIN, ApiInProcess, app_path, basic
from tests.support.daemon import SETTINGS, TOKEN, Daemon, wait_for

MOST_BYTES = 65536
LIMITS = f"""
[api]
max_body_bytes = {MOST_BYTES}
header_timeout_s = 0.3
body_timeout_s = 0.3
"""
GET = f"GET /v1/vhosts HTTP/1.1\r\nHost: x\r\nAuthorization: {basic(TOKEN)}\r\n".encode()
PATCH = f"PATCH {APP} HTTP/1.1\r\nHost: x\r\nAuthorization: {basic(TOKEN)}\r\n".encode()


@pytest.fixture(scope="module")
def daemon(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Daemon]:
    """A daemon without patience."""
    base = tmp_path_factory.mktemp("limits")
    with Daemon(base, LISTENING, settings=LIMITS + SETTINGS) as made:
        yield made


@pytest.fixture
def client(daemon: Daemon) -> Iterator[socket.socket]:
    """A bare connection to it."""
    with socket.create_connection(("127.0.0.1", daemon.port), timeout=10) as made:
        yield made


@pytest.fixture
def api(tmp_path: Path) -> Iterator[ApiInProcess]:
    with ApiInProcess(tmp_path, Settings(api=Api(max_body_bytes=MOST_BYTES))) as made:
        yield made


def answers(client: socket.socket, end: bytes = b"") -> bytes:
    """What comes until the connection is closed, or until it ends so."""
    found = b""
    with suppress(ConnectionError):
        while more := client.recv(65536):
            found += more
            if end and found.endswith(end):
                break
    return found


def statuses(found: bytes) -> list[int]:
    return [int(each[:3]) for each in found.split(b"HTTP/1.1 ")[1:]]


# -- what a body may be ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("method", "path"),
    [("PATCH", APP), ("POST", APPS), ("POST", f"{OWN}/check"), ("POST", f"{OWN}/transactions")],
)
def test_large_bodies(api: ApiInProcess, method: str, path: str) -> None:
    """413, whether its length was told before or not; one of just that length is read."""
    large = b"[" + b" " * MOST_BYTES + b"]"
    told = api.call(method, path, large)
    chunked = api.client.request(
        method, path, content=iter([large[:5], large[5:]]), headers={"Authorization": api.header}
    )
    assert (told.status_code, chunked.status_code) == (413, 413)
    assert str(MOST_BYTES) in told.text
    assert api.call(method, path, large[:MOST_BYTES]).status_code != 413


def test_lengths_that_are_none(api: ApiInProcess) -> None:
    """A length that cannot be read is no reason for a defect."""
    for length in (b"-1", b"x", b"\xb2", b"9" * 5000):
        answer = api.call("PATCH", APP, {}, headers={"Content-Length": length})
        assert answer.status_code == 413, length


def test_nesting(api: ApiInProcess) -> None:
    """More levels than any configuration has are 400, also where a parser would give up."""
    for depth in (65, 500, 30_000):
        for left, right in (("[", "]"), ('{"a":', "}")):
            body = left * depth + "1" + right * depth
            assert api.call("PATCH", APP, body[:MOST_BYTES]).status_code == 400
    deep = "[" * 64 + "]" * 64
    assert api.message("PATCH", APP, deep) == (400, "[HTTP] Request body must be an object (400)")


def test_items(api: ApiInProcess) -> None:
    """More items than a request may have are 413, in batches and transactions."""
    edit = {"verb": "delete", "path": "/Server/Modules"}
    test = {"op": "test", "path": "/type", "value": "live"}
    many = MAX_ITEMS + 1
    for path, body in (
        (APPS, [{}] * many),
        (f"{APP}/outputProfiles", [{}] * many),
        (f"{OWN}/transactions", {"edits": [edit] * many}),
        (f"{OWN}/transactions",
         {"edits": [{"verb": "patch", "path": app_path("app"), "value": [test] * many}]}),
    ):  # fmt: skip
        text = json.dumps(body, separators=(",", ":"))
        assert len(text) <= MOST_BYTES
        answer = api.call("POST", path, text)
        assert answer.status_code == 413, (path, answer.text)
        assert str(MAX_ITEMS) in answer.text
    assert api.revision == 1


def test_many_hosts_are_not_tried_first(tmp_path: Path) -> None:
    """Too many virtual hosts are refused before any of them is looked at."""
    with ApiInProcess(tmp_path, Settings(api=Api(virtual_hosts="read-write"))) as api:
        answer = api.call("POST", "/v1/vhosts", [{}] * (MAX_ITEMS + 1))
        assert answer.status_code == 413


# -- how many may wait -----------------------------------------------------------------------------


def test_waiting_for_the_writer(tmp_path: Path) -> None:
    """More than may wait are 503 with Retry-After at once; who waits gets through."""
    with ApiInProcess(tmp_path, Settings(api=Api(max_waiting=1))) as api:
        release, done = threading.Event(), []
        api.service.submit(release.wait, 20)
        waiting = threading.Thread(
            target=lambda: done.append(api.call("PATCH", APP, {"type": "vod"}).status_code)
        )
        waiting.start()
        state: Any = api.client.app
        wait_for(lambda: state.state.waiting == 1)
        for path, body in ((APP, {"type": "vod"}), (f"{APP}?dryRun=true", {"type": "vod"})):
            answer = api.call("PATCH", path, body)
            assert answer.status_code == 503
            assert int(answer.headers["Retry-After"]) >= 1
        assert api.call("GET", APP).status_code == 200
        release.set()
        waiting.join()
        assert done == [200]
        assert api.call("PATCH", APP, {"type": "live"}).status_code == 200


# -- clients, by bare sockets ----------------------------------------------------------------------


def is_cut_off(client: socket.socket, drip: bytes) -> bool:
    """Whether a client that sends a bit now and then is cut off within a second or two."""
    client.settimeout(0.05)
    deadline = time.monotonic() + 5
    while time.monotonic() < deadline:
        try:
            client.sendall(drip)
            if not client.recv(65536):
                return True
        except TimeoutError:
            continue
        except ConnectionError:
            return True
    return False


def test_a_silent_client(client: socket.socket) -> None:
    """A connection on which nothing comes is closed."""
    assert answers(client) == b""


DRIPS = {
    "line ends": (b"", b"\r\n"),
    "first line": (b"GET /", b"a"),
    "headers": (b"GET /v1/vhosts HTTP/1.1\r\n", b"A: b\r\n"),
    "one long header": (b"GET /v1/vhosts HTTP/1.1\r\nA: ", b"a"),
}


@pytest.mark.parametrize(("begin", "drip"), DRIPS.values(), ids=DRIPS)
@pytest.mark.parametrize("is_second", [False, True], ids=["first request", "a later request"])
def test_slow_headers(client: socket.socket, begin: bytes, drip: bytes, is_second: bool) -> None:
    """Whoever does not end its headers in time is cut off, on every request of a connection."""
    if is_second:
        client.sendall(GET + b"\r\n")
        assert statuses(answers(client, b"}")) == [200]
    client.sendall(begin)
    assert is_cut_off(client, drip)


def test_a_slow_body(client: socket.socket) -> None:
    """Whoever pauses in a body gets 408, and is cut off unless the rest comes."""
    client.sendall(PATCH + b"Content-Length: 100\r\n\r\n{")
    assert statuses(answers(client)) == [408]


SLOW_ANSWERED = {
    "no token": (b"PATCH /v1/vhosts HTTP/1.1\r\nHost: x\r\nContent-Length: 60000\r\n\r\n", 401),
    "too large": (PATCH + b"Content-Length: 99999999\r\n\r\n", 413),
    "paused": (PATCH + b"Content-Length: 60000\r\n\r\n", 408),
}


@pytest.mark.parametrize(("begin", "status"), SLOW_ANSWERED.values(), ids=SLOW_ANSWERED)
def test_a_body_after_its_answer(client: socket.socket, begin: bytes, status: int) -> None:
    """Whoever was answered, but goes on with the body bit by bit, is cut off as well."""
    client.sendall(begin)
    assert statuses(answers(client, b"}")) == [status]
    assert is_cut_off(client, b" ")


def test_a_large_body_is_told(client: socket.socket) -> None:
    """Whoever sends all of a too large body first can still read that it was too large."""
    client.sendall(PATCH + b"Content-Length: 3000000\r\n\r\n" + b" " * 3_000_000)
    assert statuses(answers(client, b"}")) == [413]
    client.sendall(GET + b"\r\n")
    assert statuses(answers(client, b"}")) == [200]


LARGE_HEADERS = {
    "one": b"A: " + b"a" * 40_000 + b"\r\n",
    "many": b"A: aaaaaaaaaaaaaaa\r\n" * 3_000,
    "address": b"",
}


@pytest.mark.parametrize("headers", LARGE_HEADERS.values(), ids=LARGE_HEADERS)
@pytest.mark.parametrize("is_ended", [True, False], ids=["ended", "unended"])
def test_large_headers(client: socket.socket, headers: bytes, is_ended: bool) -> None:
    """They are not answered with what was asked for, and the connection is closed."""
    begin = GET if headers else GET.replace(b"vhosts", b"vhosts?" + b"a" * 40_000)
    with suppress(ConnectionError):
        client.sendall(begin + headers.removesuffix(b"" if is_ended else b"\r\n"))
        client.sendall(b"\r\n" if is_ended else b"a" * 40_000)
    assert statuses(answers(client)) in ([400], [])


def test_headers_just_below(client: socket.socket) -> None:
    """Large ones that are allowed are read."""
    client.sendall(GET + b"A: " + b"a" * 30_000 + b"\r\n\r\n")
    assert statuses(answers(client, b"}")) == [200]


def test_pipelining(client: socket.socket) -> None:
    """Requests sent at once are answered in their order, each once; also with bodies."""
    body = json.dumps({"type": "live"}).encode()
    change = PATCH + b"Content-Length: %d\r\n\r\n" % len(body) + body
    last = GET.replace(b"vhosts HTTP", b"none HTTP") + b"Connection: close\r\n\r\n"
    client.sendall((GET + b"\r\n") * 20 + change + GET + b"\r\n" + last)
    assert statuses(answers(client)) == [200] * 22 + [404]


def test_pipelining_behind_a_slow_answer(daemon: Daemon, client: socket.socket) -> None:
    """A request begun while the one before is being worked on is not cut off meanwhile."""
    hook = daemon.base / "hook"
    text = hook.read_text()
    hook.write_text(text + "\nsleep 0.8\n")
    body = json.dumps([{"name": "slow", **PLAIN}]).encode()
    create = PATCH.replace(f"PATCH {APP}".encode(), f"POST {APPS}".encode())
    client.sendall(create + b"Content-Length: %d\r\n\r\n" % len(body) + body + GET[:20])
    assert statuses(answers(client, b"]")) == [200]
    client.sendall(GET[20:] + b"\r\n")
    assert statuses(answers(client, b"}")) == [200]
    hook.write_text(text)


def test_the_daemon_is_well(daemon: Daemon) -> None:
    """After all that it answers, and has logged no defect."""
    assert daemon.call("GET", f"{OWN}/health/live").status == 200
    assert "Traceback" not in daemon.log
