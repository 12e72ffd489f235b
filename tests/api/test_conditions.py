"""ETags and If-Match, and what else a write may ask for: dryRun, atomic, reload, a message."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from omeconf.settings import Api, Hook, Settings
from tests.support.api import (
    APP,
    APPS,
    HOST,
    OWN,
    PLAIN,
    PROFILE,
    PROFILES,
    ROLES,
    SERVER,
    ApiInProcess,
    app_path,
    basic,
)
from tests.support.daemon import wait_for

SPARE = "/v1/vhosts/spare"
TEXT = SERVER.replace(
    "</Publishers>\n",
    """</Publishers>
					<OutputProfiles><OutputProfile><Name>p1</Name><OutputStreamName>s1</OutputStreamName>
						<Encodes><Video><Name>v</Name><Bypass>true</Bypass></Video></Encodes>
					</OutputProfile></OutputProfiles>
""",
).replace(
    "</VirtualHosts>",
    "<VirtualHost><Name>spare</Name><Host><Names><Name>spare</Name></Names></Host></VirtualHost>"
    "</VirtualHosts>",
)
"""SERVER with an output profile, and a virtual host that may go."""
STALE = '"1-0123456789abcdef"'
TAGGED = {
    "hosts": "/v1/vhosts",
    "host": HOST,
    "apps": APPS,
    "app": APP,
    "profiles": PROFILES,
    "profile": f"{PROFILES}/p1",
    "config": f"{OWN}/config",
    "document": f"{OWN}/document",
}
P2 = {**PROFILE, "name": "p2", "outputStreamName": "s2"}
VIDEO = {"videos": [{"bypass": True}]}
WRITES: dict[str, tuple[str, str, str, Any]] = {
    "patch an app": ("PATCH", APP, APP, {"type": "vod"}),
    "put an app": ("PUT", APP, APP, {"type": "vod"}),
    "delete an app": ("DELETE", APP, APP, None),
    "create an app": ("POST", APPS, APPS, [{"name": "new", **PLAIN}]),
    "create a profile": ("POST", PROFILES, PROFILES, [P2]),
    "patch a profile": (
        "PATCH", f"{PROFILES}/p1", f"{PROFILES}/p1", {"outputStreamName": "x", "encodes": VIDEO},
    ),
    "delete a profile": ("DELETE", f"{PROFILES}/p1", f"{PROFILES}/p1", None),
    "create a host": (
        "POST", "/v1/vhosts", "/v1/vhosts", [{"name": "v2", "host": {"names": ["v2"]}}],
    ),
    "delete a host": ("DELETE", SPARE, SPARE, None),
    "transaction": (
        "POST", f"{OWN}/transactions", f"{OWN}/config",
        {"edits": [{"verb": "merge", "path": app_path("app"), "value": {"type": "vod"}}]},
    ),
    "document": ("PUT", f"{OWN}/document", f"{OWN}/document", b"@FILE@"),
}  # fmt: skip
"""Method, path, the path whose ETag counts, body."""


@pytest.fixture
def api(tmp_path: Path) -> Iterator[ApiInProcess]:
    settings = Settings(api=Api(tokens=ROLES, virtual_hosts="read-write"))
    with ApiInProcess(tmp_path, settings, TEXT) as made:
        yield made


def body_of(api: ApiInProcess, body: Any) -> Any:
    """A body; @FILE@ is the file with another segment duration."""
    return api.text.replace(">6<", ">5<") if body == b"@FILE@" else body


@pytest.mark.parametrize("path", TAGGED.values(), ids=TAGGED)
def test_every_resource_has_an_etag(api: ApiInProcess, path: str) -> None:
    """The same while it stays the same; then a caller who has it gets 304 and no body."""
    tag = api.etag(path)
    assert api.etag(path) == tag
    for known in (tag, f"W/{tag}", f'"other", {tag}', "*"):
        answer = api.call("GET", path, headers={"If-None-Match": known})
        assert (answer.status_code, answer.content) == (304, b""), known
        assert answer.headers["ETag"] == tag
    assert api.call("GET", path, headers={"If-None-Match": STALE}).status_code == 200


@pytest.mark.parametrize(("method", "path", "of", "body"), WRITES.values(), ids=WRITES)
def test_stale(api: ApiInProcess, method: str, path: str, of: str, body: Any) -> None:
    """412 before the body is looked at, and although the writer is busy; nothing changes."""
    before, release = api.text, threading.Event()
    assert api.etag(of) != STALE
    api.service.submit(release.wait, 10)
    for sent in (body_of(api, body), b"{"):
        answer = api.call(method, path, sent, headers={"If-Match": STALE})
        assert answer.status_code == 412, answer.text
    release.set()
    assert api.text == before


@pytest.mark.parametrize(("method", "path", "of", "body"), WRITES.values(), ids=WRITES)
def test_matching(api: ApiInProcess, method: str, path: str, of: str, body: Any) -> None:
    """What matches is done; the ETag is another one then, and is stale if it is sent again."""
    tag = api.etag(of)
    answer = api.call(method, path, body_of(api, body), headers={"If-Match": f'"x", {tag}'})
    assert answer.status_code == 200, answer.text
    if method != "DELETE":
        assert api.etag(of) != tag
    if method in ("PATCH", "PUT"):
        assert answer.headers["ETag"] == api.etag(of)
    again = api.call(method, path, body_of(api, body), headers={"If-Match": tag})
    assert again.status_code == (404 if method == "DELETE" else 412)


@pytest.mark.parametrize(("method", "path", "of", "body"), WRITES.values(), ids=WRITES)
def test_whatever_is_there(api: ApiInProcess, method: str, path: str, of: str, body: Any) -> None:
    """If-Match: * holds as long as there is something; a weak ETag never matches."""
    weak = f"W/{api.etag(of)}"
    refused = api.call(method, path, body_of(api, body), headers={"If-Match": weak})
    assert refused.status_code == 412
    answer = api.call(method, path, body_of(api, body), headers={"If-Match": "*"})
    assert answer.status_code == 200, answer.text
    nowhere = api.call("PATCH", f"{APPS}/none", {"type": "vod"}, headers={"If-Match": "*"})
    assert nowhere.status_code == 404


def test_an_edit_behind_the_callers_back(api: ApiInProcess) -> None:
    """What was read before a manual edit is stale after it, also before anybody looked."""
    tag = api.etag(APP)
    api.file.write_text(api.text.replace(">6<", ">7<"))
    answer = api.call("PATCH", APP, {"type": "vod"}, headers={"If-Match": tag})
    assert answer.status_code == 412
    assert ">7<" in api.text
    assert "vod" not in api.text


def test_a_restart_makes_nothing_stale(api: ApiInProcess) -> None:
    """The digest in an ETag is of what is there, so it is the same in the next daemon."""
    assert api.call("PATCH", APP, {"type": "vod"}).status_code == 200
    before = {path: api.etag(path) for path in TAGGED.values()}
    api.stop()
    api.start()
    for path, tag in before.items():
        assert api.etag(path).rpartition("-")[2] == tag.rpartition("-")[2]
        assert api.call("GET", path, headers={"If-None-Match": tag}).status_code == 304
    answer = api.call("PATCH", APP, {"type": "live"}, headers={"If-Match": before[APP]})
    assert answer.status_code == 200


def test_an_unrelated_edit(api: ApiInProcess) -> None:
    """An edit makes the ETags of what holds it other ones, and of nothing beside it."""
    paths = (f"{APPS}/other", *TAGGED.values())
    before = {path: api.etag(path) for path in paths}
    assert api.call("PATCH", f"{APPS}/other", {"type": "vod"}).status_code == 200
    changed = {path for path in paths if api.etag(path) != before[path]}
    assert changed == {f"{APPS}/other", f"{OWN}/config", f"{OWN}/document"}
    api.file.write_text(api.text.replace("<Bind>", "<!-- mine --><Bind>"))
    assert api.etag(APP) == before[APP]


def test_the_reader_has_the_same_etags(api: ApiInProcess) -> None:
    """What is hidden from a reader is part of the ETag: a change of it is seen by all."""
    before = {path: api.etag(path) for path in TAGGED.values()}
    api.header = basic("look")
    assert {path: api.etag(path) for path in TAGGED.values()} == before


@pytest.mark.parametrize(("method", "path", "of", "body"), WRITES.values(), ids=WRITES)
def test_dry_run(api: ApiInProcess, method: str, path: str, of: str, body: Any) -> None:
    """Answers as if it had, with the plan; nothing on disk or in the history."""
    before, body = api.text, body_of(api, body)
    tag = api.etag(of)
    would = api.call(method, f"{path}?dryRun=true", body, headers={"If-Match": tag})
    assert would.status_code == 200, would.text
    assert would.headers["Omeconf-Plan"].startswith(("create ", "restart ", "delete "))
    assert would.headers["Omeconf-Reload"] == "none"
    assert "ETag" not in would.headers
    assert (api.text, api.revision, api.etag(of)) == (before, 1, tag)
    stale = api.call(method, f"{path}?dryRun=true", body, headers={"If-Match": STALE})
    assert stale.status_code == 412
    done = api.call(method, path, body, headers={"If-Match": tag})
    assert "Omeconf-Plan" not in done.headers
    if path.startswith("/v1"):
        assert would.json() == done.json()
    else:
        assert {**would.json(), "revision": 2, "reload": "pending"} == done.json()
    assert api.text != before


def test_dry_rollback(api: ApiInProcess) -> None:
    """A rollback can be tried too: what it would change, and restart."""
    assert api.call("DELETE", f"{PROFILES}/p1").status_code == 200
    before = api.text
    would = api.call("POST", f"{OWN}/rollback?dryRun=true", {"revision": 1})
    assert would.status_code == 200
    assert would.headers["Omeconf-Plan"] == "restart application default/app"
    assert "<Name>p1</Name>" in would.json()["diff"]
    assert (api.text, api.revision) == (before, 2)


@pytest.mark.parametrize("path", ["hold", "resume", "confirm", "reloads/x:retry"])
def test_what_cannot_be_tried(api: ApiInProcess, path: str) -> None:
    """Where there is no dry run, asking for one does not do it."""
    answer = api.call("POST", f"{OWN}/{path}?dryRun=true")
    assert answer.status_code == 400
    assert "dryRun" in answer.json()["title"]
    assert api.call("GET", f"{OWN}/status").json()["held"] is None


def test_a_refused_dry_run(api: ApiInProcess) -> None:
    """It is refused with what the write would be refused with."""
    for query in ("?dryRun=true", ""):
        assert api.message("PATCH", APP + query, {"type": "no"}) == (
            400, "[Config] Unknown type: no",
        )  # fmt: skip


def test_atomic(api: ApiInProcess) -> None:
    """With one item refused, all of a batch are; otherwise it is an ordinary one."""
    batch = [{"name": "a", **PLAIN}, {"name": "app", **PLAIN}]
    before = api.text
    answer = api.call("POST", f"{APPS}?atomic=true", batch)
    assert answer.status_code == 207
    assert [each["statusCode"] for each in answer.json()] == [424, 409]
    assert api.text == before
    assert api.call("POST", f"{APPS}?atomic=true", batch[:1]).status_code == 200
    assert api.revision == 2


def test_reload_skipped(tmp_path: Path) -> None:
    """With reload=skip the engine is left alone, until something else is reloaded."""
    hook = tmp_path / "hook"
    hook.write_text(f'#!/bin/sh\nread -r told\necho "$OMECONF_APP" >> {tmp_path}/calls\n')
    hook.chmod(0o755)
    (tmp_path / "conf").mkdir()
    with ApiInProcess(tmp_path / "conf", Settings(hooks=(Hook(run=(str(hook),)),))) as api:
        skipped = api.call("PATCH", f"{APP}?reload=skip", {"type": "vod"})
        assert skipped.status_code == 200
        assert skipped.headers["Omeconf-Reload"] == "none"
        tag = {"If-Match": api.etag(f"{OWN}/document")}
        text = api.text.replace("<Type>vod<", "<Type>live<")
        put = api.call("PUT", f"{OWN}/document?reload=skip", text, headers=tag)
        back = api.call("POST", f"{OWN}/rollback?reload=skip", {"revision": 2})
        for answer in (put, back):
            assert (answer.status_code, answer.headers["Omeconf-Reload"]) == (200, "none")
        assert api.revision == 4
        assert not (tmp_path / "calls").exists()
        done = api.call("PATCH", f"{APPS}/other", {"type": "vod"})
        assert done.headers["Omeconf-Reload"] == "ok"
        assert sorted((tmp_path / "calls").read_text().split()) == ["app", "other"]


def test_reload_skipped_behind_a_manual_edit(tmp_path: Path) -> None:
    """Only the write's own reload is skipped: what was edited by hand before it is reloaded."""
    hook = tmp_path / "hook"
    hook.write_text(f'#!/bin/sh\nread -r told\necho "$OMECONF_APP" >> {tmp_path}/calls\n')
    hook.chmod(0o755)
    (tmp_path / "conf").mkdir()
    with ApiInProcess(tmp_path / "conf", Settings(hooks=(Hook(run=(str(hook),)),))) as api:
        by_hand = api.text.replace("<Type>live<", "<Type>vod<", 1)
        api.file.write_text(by_hand)
        skipped = api.call("PATCH", f"{APPS}/other?reload=skip", {"type": "vod"})
        assert skipped.headers["Omeconf-Reload"] == "none"
        assert api.revision == 3
        wait_for(lambda: (tmp_path / "calls").exists(), "the reload of the manual edit")


WRITES_AND_TRIALS = {
    "one edit": ("PATCH", APP, {"type": "vod"}),
    "batch": ("POST", APPS, [{"name": "new", **PLAIN}]),
    "transaction": (
        "POST", f"{OWN}/transactions",
        {"edits": [{"verb": "merge", "path": app_path("app"), "value": {"type": "vod"}}]},
    ),
    "document": ("PUT", f"{OWN}/document", SERVER.replace(">live<", ">vod<")),
    "rollback": ("POST", f"{OWN}/rollback", {"revision": 1}),
}  # fmt: skip


@pytest.mark.parametrize("state", ["confirm", "drift", "held"])
@pytest.mark.parametrize(
    ("method", "path", "body"), WRITES_AND_TRIALS.values(), ids=WRITES_AND_TRIALS
)
def test_dry_run_is_refused_too(
    api: ApiInProcess, state: str, method: str, path: str, body: Any
) -> None:
    """While nothing can be written, a dry run says so as the write does."""
    tag = api.etag(f"{OWN}/document")
    if state == "confirm":
        assert api.call("PATCH", f"{APPS}/other?confirm=60", {"type": "vod"}).status_code == 200
        tag = api.etag(f"{OWN}/document")
    elif state == "drift":
        api.file.write_text(api.text.replace("<Type>", "<Tipe>", 1))
    else:
        assert api.call("POST", f"{OWN}/hold", {"reason": "git pull"}).status_code == 200
    headers = {"If-Match": tag} if method == "PUT" else {}
    for query in ("?dryRun=true", ""):
        answer = api.call(method, path + query, body, headers=headers)
        assert answer.status_code == 409, (query, answer.text)


BAD_FLAGS = {
    "dryRun": ("PATCH", APP, "dryRun=1", {"type": "vod"}),
    "dryRun, empty": ("PATCH", APP, "dryRun=", {"type": "vod"}),
    "atomic": ("POST", APPS, "atomic=maybe", [{"name": "app", **PLAIN}]),
    "reload": ("PATCH", APP, "reload=later", {"type": "vod"}),
    "reload, empty": ("PATCH", APP, "reload=", {"type": "vod"}),
    "confirm": ("PATCH", APP, "confirm=soon", {"type": "vod"}),
    "confirm, nothing": ("PATCH", APP, "confirm=0", {"type": "vod"}),
    "confirm, no number": ("PATCH", APP, "confirm=nan", {"type": "vod"}),
    "confirm, for ever": ("PATCH", APP, "confirm=1e99", {"type": "vod"}),
    "rollback": ("POST", f"{OWN}/rollback", "reload=soon", {"revision": 1}),
    "transaction": (
        "POST", f"{OWN}/transactions", "dryRun=x",
        {"edits": [{"verb": "merge", "path": app_path("app"), "value": {"type": "vod"}}]},
    ),
}  # fmt: skip


@pytest.mark.parametrize(("method", "path", "query", "body"), BAD_FLAGS.values(), ids=BAD_FLAGS)
def test_bad_flags(api: ApiInProcess, method: str, path: str, query: str, body: Any) -> None:
    """A flag that is not understood is 400, not taken for off; nothing changes."""
    before = api.text
    answer = api.call(method, f"{path}?{query}", body)
    assert answer.status_code == 400, answer.text
    assert (api.text, api.revision) == (before, 1)


MESSAGES = {
    "plain": (b"shorter segments", "shorter segments"),
    "UTF-8": ("größer, 大".encode(), "größer, 大"),
    "Latin-1": ("größer".encode("latin-1"), "größer"),
}


@pytest.mark.parametrize(("sent", "kept"), MESSAGES.values(), ids=MESSAGES)
@pytest.mark.parametrize("write", ["patch an app", "create an app", "transaction", "document"])
def test_message(api: ApiInProcess, write: str, sent: bytes, kept: str) -> None:
    """The header Omeconf-Message is kept with the revision."""
    method, path, of, body = WRITES[write]
    headers = {"Omeconf-Message": sent, "If-Match": api.etag(of)}
    assert api.call(method, path, body_of(api, body), headers=headers).status_code == 200
    newest = api.call("GET", f"{OWN}/revisions?limit=1").json()["revisions"][0]
    assert newest["message"] == kept


def test_headers_are_one_line(tmp_path: Path) -> None:
    """A name that was made by hand with a line end, or beyond ASCII, breaks no header."""
    text = SERVER.replace("<Name>other</Name>", "<Name>we&#10;ird ü</Name>")
    with ApiInProcess(tmp_path, text=text) as api:
        would = api.call("DELETE", f"{APPS}/we%0Aird%20%C3%BC?dryRun=true")
        assert would.headers["Omeconf-Plan"] == "delete application default/we?ird ?"
        near = api.call("GET", f"{APPS}/we%0Aird")
        assert near.headers["Omeconf-Hint"] == "near: we?ird ?"
