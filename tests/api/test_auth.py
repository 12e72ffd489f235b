"""Who may do what: every route with every token, and the ways to send one."""

from __future__ import annotations

import hmac
import logging
import os
import pwd
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from omeconf.api import events
from omeconf.api.app import OPEN, ROUTES, RUNTIME
from omeconf.api.audit import MOST_STRANGERS, STRANGERS_S, Strangers
from omeconf.api.auth import ADMIN, READ, WRITE, Caller, local_caller
from omeconf.settings import Api, Settings
from tests.support.api import (
    APP,
    APPS,
    LISTENING,
    OWN,
    ROLES,
    SERVER,
    TOKENS,
    ApiInProcess,
    basic,
)
from tests.support.daemon import Daemon

NAMES = {"vhost": "default", "app": "app", "profile": "p", "number": "1", "rest": "x"}
ROUTES_AND_METHODS = [
    (re.sub(r"{(\w+):\w+}", lambda match: NAMES.get(match[1], "none"), path), method)
    for path, methods in {**ROUTES, **RUNTIME}.items()
    for method in methods
]
FOR_ADMINS = {
    (f"{OWN}/document", "PUT"),
    (f"{OWN}/rollback", "POST"),
    (f"{OWN}/reload", "POST"),
    (f"{OWN}/hold", "POST"),
    (f"{OWN}/resume", "POST"),
    (f"{OWN}/fleet/members/none", "DELETE"),
    *((f"{OWN}/fleet/{what}", "POST") for what in ("rollout", "pause", "resume", "abort")),
}
FOR_READERS = {(f"{OWN}/check", "POST")}


@pytest.fixture
def api(tmp_path: Path) -> Iterator[ApiInProcess]:
    with ApiInProcess(tmp_path, Settings(api=Api(tokens=ROLES))) as made:
        yield made


def needed(path: str, method: str) -> str:
    """The role that a route needs."""
    if (path, method) in FOR_ADMINS:
        return ADMIN
    return READ if method == "GET" or (path, method) in FOR_READERS else WRITE


CREDENTIALS = {
    "no token": (None, ()),
    "bad token": (basic("wrong"), ()),
    "read": (basic("look"), (READ,)),
    "write": (basic("pen"), (READ, WRITE)),
    "admin": (basic("s3cret"), (READ, WRITE, ADMIN)),
}


@pytest.mark.parametrize(("header", "roles"), CREDENTIALS.values(), ids=CREDENTIALS)
def test_every_route(
    api: ApiInProcess,
    monkeypatch: pytest.MonkeyPatch,
    header: str | None,
    roles: tuple[str, ...],
) -> None:
    """Without a token 401, with too small a role 403 and nothing done, else an answer."""
    monkeypatch.setattr(events, "MOST_LISTENERS", 0)  # else its answer would not end
    headers = {"Authorization": header} if header else {}
    for path, method in ROUTES_AND_METHODS:
        answer = api.client.request(method, path, headers=headers)
        is_refused = answer.status_code == 403 and "this needs the role" in answer.text
        if path in OPEN:
            assert answer.status_code == 200, path
        elif not roles:
            assert answer.status_code == 401, (method, path)
            assert "WWW-Authenticate" in answer.headers
        else:
            assert answer.status_code not in (401, 405, 500), (method, path, answer.text)
            assert is_refused == (needed(path, method) not in roles), (method, path, answer.text)
    if WRITE not in roles:
        assert api.revision == 1


@pytest.mark.parametrize("path", ["/nosuch", "/v1/nosuch", "/omeconf/v1/nosuch", "/"])
def test_unknown_routes_need_a_token(api: ApiInProcess, path: str) -> None:
    """Nobody learns without a token which routes there are."""
    assert api.client.get(path).status_code == 401
    assert api.call("GET", path).status_code == 404


WAYS = {
    "basic, engine's API": ("/v1/vhosts", basic("s3cret"), 200),
    "bearer, engine's API": ("/v1/vhosts", "Bearer s3cret", 401),
    "basic, our API": (f"{OWN}/status", basic("s3cret"), 200),
    "bearer, our API": (f"{OWN}/status", "Bearer s3cret", 200),
    "bearer in small letters": (f"{OWN}/status", "bearer s3cret", 200),
    "bearer, from the settings": (f"{OWN}/status", "Bearer look", 200),
    "bearer, wrong": (f"{OWN}/status", "Bearer wrong", 401),
    "bearer, nothing": (f"{OWN}/status", "Bearer ", 401),
    "the digest itself": (f"{OWN}/status", f"Bearer {ROLES[0].sha256}", 401),
    "with a user": ("/v1/vhosts", basic("user:s3cret"), 401),
    "in capitals": ("/v1/vhosts", basic("S3CRET"), 401),
    "not ASCII": ("/v1/vhosts", b"Basic \xe9", 401),
    "bearer, not ASCII": (f"{OWN}/status", b"Bearer \xe9", 401),
    "digest": ("/v1/vhosts", "Digest s3cret", 401),
}


@pytest.mark.parametrize(("path", "header", "status"), WAYS.values(), ids=WAYS)
def test_ways_to_send_a_token(
    api: ApiInProcess, path: str, header: str | bytes, status: int
) -> None:
    """Basic of the whole token everywhere, Bearer on our own API only."""
    sent: Any = {"Authorization": header}
    assert api.client.get(path, headers=sent).status_code == status


def test_no_token_in_server_xml(tmp_path: Path) -> None:
    """An empty token lets nobody in; those of the settings still do."""
    text = SERVER.replace(">s3cret<", "><")
    with ApiInProcess(tmp_path, Settings(api=Api(tokens=ROLES)), text) as api:
        assert api.client.get("/v1/vhosts", headers={"Authorization": basic("")}).status_code == 401
        assert api.client.get("/v1/vhosts", headers={"Authorization": "Basic "}).status_code == 401
        api.header = basic("pen")
        assert api.call("GET", "/v1/vhosts").status_code == 200


def test_a_changed_token(api: ApiInProcess) -> None:
    """The token of Server.xml is that of head, also just after it was changed."""
    edit = ("replace", "/Server/Managers/API/AccessToken", "fresh")
    assert api.commit(edit).status_code == 200
    assert api.call("GET", "/v1/vhosts").status_code == 401
    api.header = basic("fresh")
    assert api.call("GET", "/v1/vhosts").status_code == 200


def test_comparison_in_constant_time(api: ApiInProcess, monkeypatch: pytest.MonkeyPatch) -> None:
    """Tokens and digests are compared by what does not tell how much of them is right."""
    compared: list[object] = []
    compare_digest = hmac.compare_digest

    def compare(one: Any, other: Any) -> bool:
        compared.append(other)
        return compare_digest(one, other)

    monkeypatch.setattr(hmac, "compare_digest", compare)
    api.client.get("/v1/vhosts", headers={"Authorization": basic("wrong")})
    assert compared == [b"s3cret", *(token.sha256 for token in ROLES)]


def test_how_to_build_the_header(api: ApiInProcess) -> None:
    """A 401 says how: in its text on our own API, in a header where the engine has its words."""
    how = "Basic base64(AccessToken)"
    assert how in api.client.get("/v1/vhosts").headers["Omeconf-Hint"]
    assert how in api.client.get(f"{OWN}/status").json()["title"]


def test_the_author_is_the_tokens_name(api: ApiInProcess) -> None:
    """A revision says which token made it."""
    for role, author in (("write", "alice"), ("admin", "api")):
        api.header = basic(TOKENS[role])
        assert api.call("POST", APPS, [{"name": role, "type": "live"}]).status_code == 200
        assert api.service.view().revision.author == author


LOCAL = {
    "root": (0, "root", ADMIN),
    "ourselves": (os.geteuid(), pwd.getpwuid(os.geteuid()).pw_name, ADMIN),
    "another user": (12345, "bob", WRITE),
    "no name": (54321, "uid 54321", WRITE),
}


@pytest.mark.parametrize(("uid", "name", "role"), LOCAL.values(), ids=LOCAL)
def test_local_callers(monkeypatch: pytest.MonkeyPatch, uid: int, name: str, role: str) -> None:
    """root and our own user may do all; whoever else can open the socket may write."""
    known = pwd.getpwuid(0)

    def getpwuid(asked: int) -> Any:
        if asked == 54321:
            raise KeyError(asked)
        return pwd.struct_passwd(("bob", *known[1:])) if asked == 12345 else known_of(asked)

    known_of = pwd.getpwuid
    monkeypatch.setattr(pwd, "getpwuid", getpwuid)
    assert local_caller((1, uid, 7)) == Caller(name, role)


def test_the_local_socket(tmp_path: Path) -> None:
    """No token is needed there, and the author is the user who calls."""
    with Daemon(tmp_path, LISTENING) as daemon:
        assert daemon.call("PATCH", APP, {"type": "vod"}).status == 200
        assert daemon.call("GET", "/v1/vhosts", token=None).status == 401
        done = daemon.cli("rollback", "--yes", "1")
        assert done.returncode == 0, done.stderr
        newest = daemon.get(f"{OWN}/revisions?limit=1")["revisions"][0]
        assert newest["author"] == pwd.getpwuid(os.geteuid()).pw_name


def test_strangers_do_not_fill_the_log() -> None:
    """So many of them have lines, then one says how many had none; and again a minute later."""
    strangers = Strangers()
    assert [strangers.is_told(0.5) for _ in range(MOST_STRANGERS + 7)].count(True) == MOST_STRANGERS
    assert not strangers.is_told(STRANGERS_S)
    assert strangers.is_told(STRANGERS_S + 0.5)
    assert (strangers.untold(), strangers.untold()) == (8, 0)


def test_a_flood(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Requests without a token are answered all the same; what is done has its line."""
    caplog.set_level(logging.INFO)
    with ApiInProcess(tmp_path) as api:
        for _ in range(2 * MOST_STRANGERS):
            assert api.client.patch(APP, json={}).status_code == 401
        assert api.call("PATCH", APP, {"type": "vod"}).status_code == 200
    told = [record for record in caplog.records if record.name == "omeconf.api.audit"]
    lines = [record.getMessage() for record in told]
    assert sum(": 401" in line for line in lines) == MOST_STRANGERS
    assert ": 200, revision 2" in lines[-1]
