"""Reads that come again: answered from what was answered before, as long as head is the same."""

from __future__ import annotations

import json
import re
import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from omeconf.api import app, auth
from omeconf.core.parse import Parser
from omeconf.settings import Api, Settings
from tests.support.api import APP, APPS, LISTENING, OWN, ROLES, SECRET, SERVER, ApiInProcess, basic
from tests.support.daemon import SETTINGS, TOKEN, Daemon, wait_for

OWN_ID = re.compile(rb"omeconf-request-id: [0-9a-f]{16}\r\n")


@pytest.fixture
def api(tmp_path: Path) -> Iterator[ApiInProcess]:
    with ApiInProcess(tmp_path, settings=Settings(api=Api(tokens=ROLES))) as made:
        yield made


@pytest.fixture(scope="module")
def daemon(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Daemon]:
    with Daemon(tmp_path_factory.mktemp("reads"), LISTENING, settings=SETTINGS) as made:
        yield made


@pytest.fixture
def client(daemon: Daemon) -> Iterator[socket.socket]:
    with socket.create_connection(("127.0.0.1", daemon.port), timeout=10) as made:
        yield made


def request(path: str = APP, method: str = "GET", version: str = "1.1", more: str = "") -> bytes:
    head = f"{method} {path} HTTP/{version}\r\nHost: x\r\nAuthorization: {basic(TOKEN)}\r\n"
    return f"{head}{more}\r\n".encode()


def answer(client: socket.socket, *, has_body: bool = True) -> tuple[bytes, bytes]:
    """Head and body of the next answer, and no byte more."""
    head = b""
    while not head.endswith(b"\r\n\r\n"):
        head += client.recv(1)
    length = re.search(rb"(?i)content-length: (\d+)", head)
    size = int(length[1]) if length and has_body else 0
    body = b""
    while len(body) < size:
        body += client.recv(size - len(body))
    return head, body


def settled(head: bytes) -> list[bytes]:
    """The lines of a head, but for what is another in each."""
    lines = OWN_ID.sub(b"", head).lower().split(b"\r\n")
    return sorted(line for line in lines if not line.startswith(b"date:"))


def test_the_same_again(client: socket.socket) -> None:
    """To the byte, but for the number of the request and the time; with each its own."""
    found = []
    for _ in range(3):
        client.sendall(request())
        found.append(answer(client))
    assert len({body for _, body in found}) == 1
    assert settled(found[0][0]) == settled(found[1][0]) == settled(found[2][0])
    numbers = [OWN_ID.search(head) for head, _ in found]
    assert len({number[0] for number in numbers if number}) == 3
    assert all(re.search(rb"(?i)\r\ndate: ", head) for head, _ in found)


def test_not_after_an_edit(daemon: Daemon, client: socket.socket) -> None:
    """An edit, over the API or by hand, is seen in the next answer."""
    for number in (41, 42):
        client.sendall(request() * 2)
        answer(client), answer(client)
        daemon.call("PATCH", APP, {"publishers": {"llhls": {"segmentDuration": number}}})
        client.sendall(request())
        _, body = answer(client)
        assert json.loads(body)["response"]["publishers"]["llhls"]["segmentDuration"] == number
    daemon.server_xml.write_text(daemon.server_xml.read_text().replace(">42<", ">43<"))

    def is_seen() -> bool:
        client.sendall(request())
        return b":43" in answer(client)[1]

    wait_for(is_seen, "the manual edit")


def test_pipelined(client: socket.socket) -> None:
    """Answers come in the order of the requests, known ones or not."""
    paths = [APP, APPS, APP, f"{APPS}/none", APP, "/v1/vhosts", APPS]
    client.sendall(b"".join(map(request, paths)))
    bodies = [answer(client)[1] for _ in paths]
    again = []
    for path in paths:
        client.sendall(request(path))
        again.append(answer(client)[1])
    assert bodies == again


def test_many_pipelined(client: socket.socket) -> None:
    """However many known ones wait behind one that takes longer."""
    client.sendall(request())
    _, wanted = answer(client)
    many = 700
    client.sendall(request("/v1/vhosts?new=1") + request() * many)
    assert answer(client)[1] != wanted
    assert {answer(client)[1] for _ in range(many)} == {wanted}


@pytest.mark.long
def test_resting(daemon: Daemon) -> None:
    """A connection is kept for some seconds behind its last answer, and then closed."""
    with socket.create_connection(("127.0.0.1", daemon.port), timeout=20) as client:
        for _ in range(2):
            client.sendall(request())
            answer(client)
        began = time.monotonic()
        assert client.recv(1) == b""
        assert time.monotonic() - began > 3


def test_304(client: socket.socket) -> None:
    """Who has it already is told so, again and again."""
    client.sendall(request())
    head, _ = answer(client)
    tag = re.search(rb'(?i)etag: ("[^"]*")', head)
    assert tag is not None
    for _ in range(3):
        client.sendall(request(more=f"If-None-Match: {tag[1].decode()}\r\n"))
        head, body = answer(client)
        assert head.startswith(b"HTTP/1.1 304 Not Modified\r\n")
        assert body == b""


@pytest.mark.parametrize(("version", "more"), [("1.0", ""), ("1.1", "Connection: close\r\n")])
def test_closed_where_that_is_wanted(daemon: Daemon, version: str, more: str) -> None:
    """A known answer keeps no connection open that is to end."""
    for _ in range(2):
        with socket.create_connection(("127.0.0.1", daemon.port), timeout=10) as client:
            client.sendall(request(version=version, more=more))
            _, body = answer(client)
            assert json.loads(body)["statusCode"] == 200
            assert client.recv(1) == b""


def test_head(client: socket.socket) -> None:
    """HEAD has no body, also where GET is known."""
    client.sendall(request() + request(method="HEAD") + request())
    (first, body), (second, _) = answer(client), answer(client, has_body=False)
    assert (answer(client)[1], body != b"") == (body, True)
    assert settled(first) == settled(second)


def test_each_sees_their_own(api: ApiInProcess) -> None:
    """What one may see is not given to another, and nothing to whom has no token."""
    for _ in range(3):
        for token, may_see in (("s3cret", True), ("look", False), ("pen", True)):
            headers = {"Authorization": basic(token)}
            found = api.client.get("/v1/vhosts/default", headers=headers)
            assert (SECRET in found.text) == may_see, token
        for headers in ({}, {"Authorization": basic("wrong")}):
            assert api.client.get("/v1/vhosts/default", headers=headers).status_code == 401


def test_a_token_that_is_changed_meanwhile(
    api: ApiInProcess, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What was answered to the old token, while it was changed, is not answered to it again."""
    real = auth.authorize

    def authorize(*args: object, **options: object) -> object:
        found = real(*args, **options)  # type: ignore[arg-type]
        api.file.write_text(api.text.replace("s3cret", "n3wer!"))
        api.service.submit(api.service.tick, is_thorough=True).result()
        return found

    headers = {"Authorization": basic("s3cret")}
    monkeypatch.setattr(app, "authorize", authorize)
    api.client.get(APP, headers=headers)
    monkeypatch.setattr(app, "authorize", real)
    assert api.client.get(APP, headers=headers).status_code == 401


def test_chunks_of_whole_requests(client: socket.socket) -> None:
    """However much comes at once, and wherever it is cut: only headers need an end."""
    one = request()
    many = 3 * 40_000 // len(one)
    data = one * many
    sender = threading.Thread(target=client.sendall, args=(data,))
    sender.start()
    assert len({answer(client)[1] for _ in range(many)}) == 1
    sender.join()


def test_files_have_their_own_etags(tmp_path: Path) -> None:
    """The ETag of one file says nothing about another."""
    host = "<VirtualHost><Name>h</Name><Host><Names><Name>h</Name></Names></Host></VirtualHost>"
    text = SERVER.replace("<VirtualHosts>", '<VirtualHosts><VirtualHost include="h.xml"/>')
    with ApiInProcess(tmp_path, text=text, files={"h.xml": host}) as api:
        main, other = f"{OWN}/document", f"{OWN}/document?file=h.xml"
        tags = {path: api.etag(path) for path in (main, other)}
        for path, data in ((main, text), (other, host)):
            for tag in tags.values():
                wanted = 200 if tag == tags[path] else 412
                separator = "&" if "?" in path else "?"
                found = api.call("PUT", f"{path}{separator}dryRun=true", data,
                                 headers={"If-Match": tag})  # fmt: skip
                assert found.status_code == wanted, (path, tag, found.text)


def test_counted(api: ApiInProcess) -> None:
    """Known answers count as others do."""
    for _ in range(5):
        assert api.call("GET", APP).status_code == 200
    text = api.call("GET", f"{OWN}/metrics").text
    counted = re.findall(r"^omeconf_http_requests_total{(.*)} (.*)$", text, re.MULTILINE)
    (count,) = [count for labels, count in counted if 'apps/{app:name}"' in labels]
    assert count == "5.0"


def test_a_stale_if_match_parses_nothing(
    api: ApiInProcess, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No file, no application and no body is looked at to say that something has changed."""
    assert api.call("GET", APP).status_code == 200

    def refuse(*_: object) -> None:
        raise AssertionError("something was parsed")

    monkeypatch.setattr(Parser, "parse", refuse)
    for method, path in (("PATCH", APP), ("DELETE", APP), ("PUT", APP)):
        headers = {"If-Match": '"1-0123456789abcdef"', "Authorization": basic("s3cret")}
        found = api.client.request(method, path, content=b"{ this is no JSON", headers=headers)
        assert found.status_code == 412, found.text
