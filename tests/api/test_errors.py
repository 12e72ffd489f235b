"""What goes wrong: which status, in which form, with what to do about it; and the metrics."""

from __future__ import annotations

import http.client
import logging
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families
from starlette.requests import Request
from starlette.responses import Response
from starlette.testclient import TestClient

from omeconf.api.app import ROUTES, RUNTIME
from omeconf.settings import Api, Settings
from tests.support.api import (
    APP,
    APPS,
    HOST,
    LISTENING,
    OWN,
    PLAIN,
    PROFILE,
    PROFILES,
    ROLES,
    ApiInProcess,
    basic,
)
from tests.support.daemon import DEADLINE_S, Daemon

PROBLEM = "application/problem+json"
ENVELOPE = "application/json;charset=UTF-8"


@pytest.fixture
def api(tmp_path: Path) -> Iterator[ApiInProcess]:
    with ApiInProcess(tmp_path, Settings(api=Api(tokens=ROLES))) as made:
        yield made


UNKNOWN = {
    "engine's API": ("/v1/vhost/default/app", "near: /v1/vhosts/{vhost}/apps"),
    "engine's API, by case": ("/V1/vhosts", "near: /v1/vhosts"),
    "our API": (f"{OWN}/transaction", f"near: {OWN}/transactions"),
    "elsewhere": ("/zzzzzz", "see /omeconf/v1/openapi.json"),
}


@pytest.mark.parametrize(("path", "hint"), UNKNOWN.values(), ids=UNKNOWN)
def test_unknown_routes(api: ApiInProcess, path: str, hint: str) -> None:
    """404, with the route that looks most like it."""
    answer = api.call("GET", path)
    assert answer.status_code == 404
    assert answer.headers["Omeconf-Hint"] == hint
    if path.startswith(OWN):
        assert hint in answer.json()["title"]
    else:
        assert answer.json() == {
            "message": "[HTTP] Controller not found (404)", "statusCode": 404,
        }  # fmt: skip


NAMES = {
    "host": ("/v1/vhosts/defalt", "near: default"),
    "host of an app": ("/v1/vhosts/defalt/apps/app", "near: default"),
    "app": (f"{APPS}/othr", "near: other"),
    "profile": (f"{PROFILES}/p11", "near: p1"),
    "nothing like it": (f"{APPS}/zzzz", None),
}


@pytest.mark.parametrize(("path", "hint"), NAMES.values(), ids=NAMES)
def test_unknown_names(api: ApiInProcess, path: str, hint: str | None) -> None:
    """404 in the engine's words; a hint has the name that looks most like it."""
    assert api.call("POST", PROFILES, [PROFILE]).status_code == 200
    answer = api.call("GET", path)
    assert answer.status_code == 404
    assert "Could not find the" in answer.json()["message"]
    assert answer.headers.get("Omeconf-Hint") == hint


METHODS = {
    "hosts": ("PATCH", "/v1/vhosts", "GET, HEAD, OPTIONS, POST"),
    "app": ("POST", APP, "DELETE, GET, HEAD, OPTIONS, PATCH, PUT"),
    "action": ("DELETE", f"{APP}:startRecord", "GET, HEAD, OPTIONS, POST"),
    "document": ("PATCH", f"{OWN}/document", "GET, HEAD, OPTIONS, PUT"),
    "retry": ("GET", f"{OWN}/reloads/x:retry", "OPTIONS, POST"),
    "health": ("POST", f"{OWN}/health/live", "GET, HEAD, OPTIONS"),
    "unheard of": ("BREW", f"{OWN}/status", "GET, HEAD, OPTIONS"),
}


@pytest.mark.parametrize(("method", "path", "allow"), METHODS.values(), ids=METHODS)
def test_wrong_methods(api: ApiInProcess, method: str, path: str, allow: str) -> None:
    """405, and Allow has every method there is, in order; so has the text."""
    answer = api.call(method, path)
    assert answer.status_code == 405
    assert answer.headers["Allow"] == allow
    shown = answer.json()
    assert allow in (shown["title"] if path.startswith(OWN) else shown["message"])


def test_every_route_allows_its_methods(api: ApiInProcess) -> None:
    """Allow is right for every route there is."""
    for path, methods in {**ROUTES, **RUNTIME}.items():
        concrete = path.replace("{number:int}", "1").replace(":name}", "}").replace(":path}", "}")
        answer = api.call("BREW", concrete.replace("{", "").replace("}", ""))
        assert answer.status_code == 405, path
        assert set(methods) <= set(answer.headers["Allow"].split(", ")), path


def test_two_forms(api: ApiInProcess) -> None:
    """The engine's envelope below /v1, problem documents on our own API."""
    for path, status in ((f"{APPS}/none", 404), ("/v1/none", 404)):
        answer = api.call("GET", path)
        assert (answer.status_code, answer.headers["Content-Type"]) == (status, ENVELOPE)
        assert answer.json().keys() == {"message", "statusCode"}
        assert answer.json()["statusCode"] == status
    for path, status in ((f"{OWN}/revisions/99", 404), (f"{OWN}/none", 404)):
        answer = api.call("GET", path)
        assert (answer.status_code, answer.headers["Content-Type"]) == (status, PROBLEM)
        assert answer.json()["status"] == status
        assert answer.json()["title"]


def test_refusals_have_the_violations(api: ApiInProcess) -> None:
    """Their text below /v1; each with its place in a problem document."""
    body = {"publishers": {"llhls": {"segmentCount": "7x"}}}
    status, message = api.message("PATCH", APP, body)
    assert status == 422
    assert "<SegmentCount> is '7x'" in message
    path = '/Server/VirtualHosts/VirtualHost[Name="default"]/Applications/Application[Name="app"]'
    answer = api.commit(("merge", path, body))
    assert (answer.status_code, answer.headers["Content-Type"]) == (422, PROBLEM)
    (violation,) = answer.json()["violations"]
    assert violation["code"] == "odd-value"
    assert violation["line"] > 1
    assert api.revision == 1


@pytest.mark.parametrize("path", ["/v1/vhosts", f"{OWN}/config"])
def test_a_planted_exception(
    api: ApiInProcess,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    path: str,
) -> None:
    """A defect of ours is a 500 with a request id that is in the log; its text is not told."""

    async def broken(request: Request) -> Response:
        raise ValueError(f"planted at {request.url.path}")

    monkeypatch.setitem(ROUTES[path], "GET", broken)
    with caplog.at_level(logging.ERROR):
        api.client = TestClient(api.client.app)  # raises what the server would log once more
        answer = api.call("GET", path)
    assert answer.status_code == 500
    number = answer.headers["Omeconf-Request-Id"]
    assert f"request {number}" in answer.text
    assert "planted" not in answer.text
    (record,) = [each for each in caplog.records if number in each.getMessage()]
    assert record.exc_info is not None
    assert "planted" in str(record.exc_info[1])
    kind = PROBLEM if path.startswith(OWN) else ENVELOPE
    assert answer.headers["Content-Type"] == kind
    assert api.call("GET", APP).status_code == 200


def test_a_planted_exception_on_the_writer(
    api: ApiInProcess, monkeypatch: pytest.MonkeyPatch
) -> None:
    """So is one in the middle of a write; the file stays, and the next write works."""
    before = api.text
    with monkeypatch.context() as patch:
        patch.setattr("omeconf.store.repository.judge", lambda *_, **__: 1 / 0)
        answer = api.call("PATCH", APP, {"type": "vod"})
    assert answer.status_code == 500
    assert "Omeconf-Request-Id" in answer.headers
    assert api.text == before
    assert api.call("PATCH", APP, {"type": "vod"}).status_code == 200


@pytest.fixture
def seed(tmp_path: Path) -> Iterator[ApiInProcess]:
    with ApiInProcess(tmp_path, Settings(api=Api(tokens=ROLES, compat="0.12"))) as made:
        yield made


SEED = {
    "app": ("GET", f"{APPS}/none", None, 404, "Could not find the application: [default/none]"),
    "route": ("GET", "/v1/none", None, 404, "Controller not found"),
    "not an array": ("POST", APPS, {}, 400, "Request body must be an array"),
    "type": ("PATCH", APP, {"type": "no"}, 400, "Unknown type: no"),
    "profile": (
        "POST", PROFILES, [{**PROFILE, "foo": 1}], 400, "Unknown item found: outputProfile.foo",
    ),
    "read-only": ("DELETE", HOST, None, 403, "The VirtualHost is read-only: [default]"),
}  # fmt: skip


@pytest.mark.parametrize(("method", "path", "body", "status", "text"), SEED.values(), ids=SEED)
def test_seed_messages(
    seed: ApiInProcess, method: str, path: str, body: object, status: int, text: str
) -> None:
    """With compat = "0.12" a message is `text (code)`, without a prefix."""
    got, message = seed.message(method, path, body)
    assert got == status
    assert message.startswith(text)
    assert message.endswith(f" ({status})")


def test_seed_tokens(seed: ApiInProcess) -> None:
    """A bad token is 403 without a challenge below /v1; our own API stays as it is."""
    answer = seed.client.get("/v1/vhosts", headers={"Authorization": basic("wrong")})
    assert answer.status_code == 403
    assert answer.json() == {"message": "Invalid credential (403)", "statusCode": 403}
    assert "WWW-Authenticate" not in answer.headers
    assert seed.client.get(f"{OWN}/status").status_code == 401


def test_seed_profiles(seed: ApiInProcess) -> None:
    """Output profiles come and go as bare arrays; PUT changes what is there."""
    body = [{"name": "new", **PLAIN, "outputProfiles": [PROFILE]}]
    made = seed.call("POST", APPS, body)
    assert made.status_code == 200, made.text
    assert made.json()[0]["response"]["outputProfiles"] == [PROFILE]
    shown = seed.call("GET", f"{APPS}/new").json()["response"]
    assert shown["outputProfiles"] == [PROFILE]
    changed = seed.call("PUT", f"{APPS}/new", {"type": "vod"})
    assert changed.json()["response"] == {**shown, "type": "vod"}
    taken = seed.call("POST", PROFILES.replace("/app/", "/new/"), [PROFILE])
    assert taken.json()[0]["message"] == 'The output profile "p1" already exists'


def sample(text: str, name: str, **labels: str) -> float:
    """The sum of the samples with these labels; the whole text must parse."""
    found = [
        each.value
        for family in text_string_to_metric_families(text)
        for each in family.samples
        if each.name == name and labels.items() <= each.labels.items()
    ]
    assert found, f"{name} {labels} is not in {text}"
    return sum(found)


def test_listeners_count_together(tmp_path: Path) -> None:
    """What is asked over TCP shows in the metrics of the local socket, too."""
    with Daemon(tmp_path, LISTENING) as daemon:
        for _ in range(3):
            assert daemon.call("GET", APP).status == 200
        connection = http.client.HTTPConnection("localhost", timeout=DEADLINE_S)
        connection.sock = socket.socket(socket.AF_UNIX)
        connection.sock.connect(str(daemon.socket))
        connection.request("GET", f"{OWN}/metrics")
        text = connection.getresponse().read().decode()
        connection.close()
    line = next(each for each in text.splitlines() if 'apps/{app:name}",status="200' in each)
    assert line.startswith("omeconf_http_requests_total{")
    assert line.endswith(" 3.0"), line


def test_metrics(api: ApiInProcess) -> None:
    """Counters of requests, revisions and reloads, and how things stand; no secrets."""
    api.call("PATCH", APP, {"type": "vod"})
    api.call("GET", APP)
    api.call("GET", "/v1/none")
    api.call("BREW", APP)
    api.client.get(APP)
    answer = api.call("GET", f"{OWN}/metrics")
    assert answer.headers["Content-Type"].startswith("text/plain")
    text = answer.text
    count = "omeconf_http_requests_total"
    route = "/v1/vhosts/{vhost:name}/apps/{app:name}"
    assert sample(text, count, method="PATCH", route=route, status="200") == 1
    assert sample(text, count, method="GET", route=route, status="200") == 1
    assert sample(text, count, route="none", status="404") == 1
    assert sample(text, count, route="none", status="401") == 1
    assert sample(text, count, method="OTHER", status="405") == 1
    assert sample(text, "omeconf_http_request_seconds_count", method="PATCH") == 1
    assert sample(text, "omeconf_revisions_total", origin="api") == 1
    assert sample(text, "omeconf_revision", of="head") == 2
    for name in ("drift", "read_only", "held", "confirm_open"):
        assert sample(text, f"omeconf_{name}") == 0
    api.file.write_text(api.text.replace("<Bind>", "<Bind><Nonsense/>"))
    api.call("GET", f"{OWN}/status")
    api.call("POST", f"{OWN}/hold")
    text = api.call("GET", f"{OWN}/metrics").text
    assert sample(text, "omeconf_held") == 1
    assert "hush" not in text
    assert "s3cret" not in text
