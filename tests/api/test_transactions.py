"""Several edits as one revision, whole files, checks beforehand; and what readers may not see."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from omeconf.errors import Unwritable
from omeconf.settings import Api, Hook, Settings
from tests.support.api import (
    APP,
    APPS,
    HOST,
    OWN,
    PLAIN,
    ROLES,
    SECRET,
    SERVER,
    ApiInProcess,
    app_path,
    basic,
)

TRANSACTIONS = f"{OWN}/transactions"
DOCUMENT = f"{OWN}/document"
MERGE = {"Content-Type": "application/merge-patch+json"}
PATCH = {"Content-Type": "application/json-patch+json; charset=utf-8"}
SECOND = (
    "<VirtualHost><Name>second</Name><Host><Names><Name>second</Name></Names></Host>"
    "<Applications><Application><Name>app</Name><Type>live</Type></Application></Applications>"
    "</VirtualHost>"
)
TEXT = SERVER.replace("</VirtualHosts>", f"{SECOND}</VirtualHosts>")
INCLUDED = SECOND.replace("second", "included")
INCLUDING = SERVER.replace("</VirtualHosts>", '<VirtualHost include="more.xml"/></VirtualHosts>')


@pytest.fixture
def api(tmp_path: Path) -> Iterator[ApiInProcess]:
    """Two virtual hosts, and a hook that notes in `calls` what it was called for."""
    hook = tmp_path / "hook"
    line = '"$OMECONF_ACTION $OMECONF_SCOPE $OMECONF_VHOST/$OMECONF_APP"'
    hook.write_text(f"#!/bin/sh\nread -r told\necho {line} >> {tmp_path}/calls\n")
    hook.chmod(0o755)
    folder = tmp_path / "conf"
    folder.mkdir()
    settings = Settings(api=Api(tokens=ROLES), hooks=(Hook(run=(str(hook),)),))
    with ApiInProcess(folder, settings, TEXT) as made:
        yield made


@pytest.fixture
def including(tmp_path: Path) -> Iterator[ApiInProcess]:
    """A virtual host in a file of its own, more.xml."""
    settings = Settings(api=Api(tokens=ROLES))
    with ApiInProcess(tmp_path, settings, INCLUDING, files={"more.xml": INCLUDED}) as made:
        yield made


def look(api: ApiInProcess) -> None:
    """As the watcher does when a file has changed."""
    api.service.submit(api.service.tick).result()


def calls(api: ApiInProcess) -> list[str]:
    file = api.folder.parent / "calls"
    return sorted(file.read_text().splitlines()) if file.exists() else []


def test_across_virtual_hosts(api: ApiInProcess) -> None:
    """Edits here and there are one revision, with one restart for each application."""
    answer = api.commit(
        ("merge", app_path("app"), {"type": "vod"}),
        ("merge", app_path("app"), {"publishers": {"llhls": {"segmentDuration": 5}}}),
        ("create", app_path("new", "second"), {"name": "new", **PLAIN}),
        ("replace", app_path("app", "second") + "/Type", "vod"),
        ("delete", app_path("other"), None),
    )
    assert answer.status_code == 200, answer.text
    assert answer.json()["revision"] == api.revision == 2
    assert answer.headers["Omeconf-Revision"] == "2"
    assert answer.json()["reload"] == "ok"
    assert answer.headers["ETag"] == api.etag(f"{OWN}/config")
    assert calls(api) == [
        "create application second/new",
        "delete application default/other",
        "restart application default/app",
        "restart application second/app",
    ]
    assert api.call("GET", APPS).json()["response"] == ["app"]
    assert api.call("GET", "/v1/vhosts/second/apps").json()["response"] == ["app", "new"]
    api.must_be_good()


def test_all_or_nothing(api: ApiInProcess) -> None:
    """With one edit that cannot be, none is made; nothing restarts."""
    answer = api.commit(
        ("merge", app_path("app"), {"type": "vod"}), ("delete", app_path("none"), None)
    )
    assert answer.status_code == 404
    assert (api.text, api.revision, calls(api)) == (TEXT, 1, [])


def test_later_edits_see_earlier_ones(api: ApiInProcess) -> None:
    """Edits are made in order: what is created can be changed in the same transaction."""
    path = app_path("new")
    answer = api.commit(
        ("create", path, {"name": "new", **PLAIN}), ("merge", path, {"type": "vod"})
    )
    assert answer.status_code == 200, answer.text
    assert api.call("GET", f"{APPS}/new").json()["response"]["type"] == "vod"


def test_merge_patch(api: ApiInProcess) -> None:
    """From Server down, so that ports and modules can be set; null removes, lists are replaced."""
    patch = {
        "bind": {"providers": {"rtmp": {"port": 1936}, "srt": {"port": 9999}}},
        "modules": {"http2": {"enable": False}},
        "managers": None,
    }
    answer = api.call("POST", TRANSACTIONS, patch, headers=MERGE)
    assert answer.status_code == 200, answer.text
    assert "<Port>1936</Port>" in api.text
    assert "<Managers>" not in api.text
    api.header = basic("look")
    shown = api.call("GET", f"{OWN}/config").json()
    assert shown["modules"] == patch["modules"]
    assert shown["bind"]["providers"] == {"rtmp": {"port": "1936"}, "srt": {"port": "9999"}}
    assert {each["scope"] for each in answer.json()["plan"]} == {"server"}


def test_json_patch(api: ApiInProcess) -> None:
    """With a test that holds it is done; with one that does not, 409 and nothing is."""
    patch: list[dict[str, Any]] = [
        {"op": "test", "path": "/type", "value": "origin"},
        {"op": "replace", "path": "/bind/providers/rtmp/port", "value": 1937},
        {"op": "remove", "path": "/virtualHosts/0/signedPolicy"},
    ]
    wrong = [{**patch[0], "value": "edge"}, *patch[1:]]
    assert api.call("POST", TRANSACTIONS, wrong, headers=PATCH).status_code == 409
    assert api.text == TEXT
    answer = api.call("POST", TRANSACTIONS, patch, headers=PATCH)
    assert answer.status_code == 200, answer.text
    assert "<Port>1937</Port>" in api.text
    assert SECRET not in api.text


def test_json_patch_of_one_thing(api: ApiInProcess) -> None:
    """A patch among other edits is of what its path names."""
    operations = [
        {"op": "test", "path": "/type", "value": "live"},
        {"op": "replace", "path": "/type", "value": "vod"},
    ]
    answer = api.commit(("patch", app_path("app"), operations))
    assert answer.status_code == 200, answer.text
    assert api.call("GET", APP).json()["response"]["type"] == "vod"


def test_json_patch_needs_a_hold(api: ApiInProcess) -> None:
    """Without a test it needs If-Match, since indexes shift: 428; the same among edits."""
    replace = [{"op": "replace", "path": "/type", "value": "edge"}]
    assert api.call("POST", TRANSACTIONS, replace, headers=PATCH).status_code == 428
    assert api.commit(("patch", "/Server", replace)).status_code == 428
    matching = {"If-Match": api.etag(f"{OWN}/config")}
    dry = api.call("POST", f"{TRANSACTIONS}?dryRun=true", replace, headers={**PATCH, **matching})
    assert dry.status_code in (200, 422), dry.text
    assert api.text == TEXT


def test_copies_do_not_explode(api: ApiInProcess) -> None:
    """A patch that doubles itself again and again is refused before it is tried."""
    copies = [{"op": "copy", "from": "", "path": "/a"}] * 60
    answer = api.commit(
        ("patch", app_path("app"), [{"op": "test", "path": "/name", "value": "app"}, *copies])
    )
    assert answer.status_code == 413


ROLES_OF_EDITS = {
    "an application": ("merge", app_path("app"), {"type": "vod"}, 200),
    "a virtual host": (
        "merge", '/Server/VirtualHosts/VirtualHost[Name="default"]', {"host": {"names": ["x"]}}, 200
    ),
    "all virtual hosts": ("merge", "/Server/VirtualHosts", [], 403),
    "bind": ("merge", "/Server/Bind", {"providers": {"rtmp": {"port": 1936}}}, 403),
    "the token": ("replace", "/Server/Managers/API/AccessToken", "mine", 403),
    "everything": ("merge", "/Server", {"type": "edge"}, 403),
}  # fmt: skip


@pytest.mark.parametrize(
    ("verb", "path", "value", "status"), ROLES_OF_EDITS.values(), ids=ROLES_OF_EDITS
)
def test_the_role_write(api: ApiInProcess, verb: str, path: str, value: Any, status: int) -> None:
    """It may change virtual hosts and what is in them; one edit elsewhere refuses all."""
    api.header = basic("pen")
    assert api.commit((verb, path, value)).status_code == status
    mixed = api.commit(("delete", app_path("other"), None), (verb, path, value))
    assert mixed.status_code == status
    assert (api.text == TEXT) == (status == 403)


def test_the_role_write_with_patches(api: ApiInProcess) -> None:
    """Patches of everything are for admins."""
    api.header = basic("pen")
    assert api.call("POST", TRANSACTIONS, {}, headers=MERGE).status_code == 403
    test = [{"op": "test", "path": "/type", "value": "origin"}]
    assert api.call("POST", TRANSACTIONS, test, headers=PATCH).status_code == 403


BAD_EDITS: dict[str, tuple[Any, int]] = {
    "nothing": (None, 400),
    "a list": ([], 400),
    "no edits": ({"edits": []}, 400),
    "edits is no list": ({"edits": {}}, 400),
    "no object": ({"edits": [5]}, 400),
    "no verb": ({"edits": [{"path": "/Server"}]}, 400),
    "another verb": ({"edits": [{"verb": "destroy", "path": "/Server"}]}, 400),
    "verb of another kind": ({"edits": [{"verb": ["merge"], "path": "/Server"}]}, 400),
    "more members": ({"edits": [{"verb": "delete", "path": "/Server/Bind", "force": 1}]}, 400),
    "no path": ({"edits": [{"verb": "delete"}]}, 400),
    "path of another kind": ({"edits": [{"verb": "delete", "path": 5}]}, 400),
    "not from Server": ({"edits": [{"verb": "delete", "path": "/Bind"}]}, 400),
    "not a path": ({"edits": [{"verb": "delete", "path": "/Server/Bind[Name=x]"}]}, 400),
    "create what cannot be": ({"edits": [{"verb": "create", "path": "/Server/Foo"}]}, 400),
    "delete what cannot be": ({"edits": [{"verb": "delete", "path": "/Server/Foo"}]}, 400),
    "below a value": ({"edits": [{"verb": "create", "path": "/Server/Type/Foo"}]}, 400),
    "not there": ({"edits": [{"verb": "delete", "path": "/Server/Modules"}]}, 404),
    "there already": ({"edits": [{"verb": "create", "path": "/Server/Bind"}]}, 409),
    "the root": ({"edits": [{"verb": "delete", "path": "/Server"}]}, 409),
    "another name": (
        {"edits": [{"verb": "create", "path": app_path("a"), "value": {"name": "b"}}]}, 400,
    ),
    "a value for an object": (
        {"edits": [{"verb": "merge", "path": "/Server/Bind", "value": 5}]}, 400,
    ),
    "attributes": ({"edits": [{"verb": "merge", "path": "/Server", "value": {"$": {}}}]}, 400),
    "an error": ({"edits": [{"verb": "delete", "path": "/Server/Bind"}]}, 422),
}  # fmt: skip


@pytest.mark.parametrize(("body", "status"), BAD_EDITS.values(), ids=BAD_EDITS)
def test_bad_edits(api: ApiInProcess, body: Any, status: int) -> None:
    """What cannot be understood or done is refused with the reason; nothing changes."""
    answer = api.call("POST", TRANSACTIONS, body)
    assert answer.status_code == status, answer.text
    assert answer.json()["title"]
    assert (api.text, api.revision) == (TEXT, 1)


def test_dry_run(api: ApiInProcess) -> None:
    """Violations, diff and plan of what would be; nothing changes."""
    value = {"publishers": {"llhls": {"segmentDuration": 5}}}
    answer = api.commit(("merge", app_path("app"), value), query="?dryRun=true")
    shown = answer.json()
    assert answer.status_code == 200
    assert shown["plan"] == [
        {"scope": "application", "action": "restart", "virtualHost": "default",
         "application": "app"},
    ]  # fmt: skip
    assert "+\t\t\t\t\t\t\t<SegmentDuration>5</SegmentDuration>" in shown["diff"]
    assert [each["new"] for each in shown["changes"]] == ["5"]
    assert {each["severity"] for each in shown["violations"]} <= {"warning", "advice"}
    assert shown["revision"] == api.revision == 1
    assert (api.text, calls(api)) == (TEXT, [])


# -- document --------------------------------------------------------------------------------------


@pytest.mark.parametrize("file", ["Server.xml", "more.xml"])
def test_document(including: ApiInProcess, file: str) -> None:
    """Each file comes and goes byte for byte: line ends, BOM, blanks and all."""
    api, path = including, f"{DOCUMENT}?file={file}"
    before = api.call("GET", path)
    assert before.content == (api.folder / file).read_bytes()
    changed = "\ufeff" + before.text.replace("<Type>live", "<!-- ü \t-->\r\n<Type >vod", 1)
    changed = changed.replace("<Type >vod</Type>", "<Type >vod</Type\n>")
    headers = {"If-Match": before.headers["ETag"]}
    answer = api.call("PUT", path, changed.encode(), headers=headers)
    assert answer.status_code == 200, answer.text
    assert (api.folder / file).read_bytes() == changed.encode()
    after = api.call("GET", path)
    assert after.content == changed.encode()
    assert after.headers["ETag"] == answer.headers["ETag"] != before.headers["ETag"]
    assert answer.json()["diff"].startswith(f"--- a/{file}\n+++ b/{file}\n")
    api.must_be_good()


REFUSED_DOCUMENTS: dict[str, tuple[str, bytes, str | None, int]] = {
    "no condition": ("", b"", None, 428),
    "stale": ("", b"<Server/>", '"1-00"', 412),
    "not XML": ("", b"hello", "", 422),
    "nothing": ("", b"", "", 422),
    "not UTF-8": ("", b"\xff\xfe\x00", "", 422),
    "a DOCTYPE": ("", b"<!DOCTYPE a><Server/>", "", 422),
    "an error": ("", SERVER.replace("<Bind>", "<Bind><Foo/>").encode(), "", 422),
    "a new warning": ("", SERVER.replace(">6<", ">6x<").encode(), "", 422),
    "masked": ("", SERVER.replace(SECRET, "***").encode(), "", 422),
    "included, an error": ("?file=more.xml", b"<VirtualHost><Name/></VirtualHost>", "", 422),
    "no such file": ("?file=none.xml", b"<VirtualHost/>", "*", 404),
    "outside": ("?file=../x.xml", b"<VirtualHost/>", "*", 404),
    "absolute": ("?file=/etc/passwd", b"<VirtualHost/>", "*", 404),
}


@pytest.mark.parametrize(
    ("query", "data", "match", "status"), REFUSED_DOCUMENTS.values(), ids=REFUSED_DOCUMENTS
)
@pytest.mark.parametrize("dry", [False, True], ids=["done", "dry"])
def test_refused_documents(
    including: ApiInProcess, query: str, data: bytes, match: str | None, status: int, dry: bool
) -> None:
    """Refused with what is wrong, each violation with its place; nothing changes."""
    api, path = including, DOCUMENT + query
    headers = {} if match is None else {"If-Match": match or api.etag(path)}
    full = f"{path}{'&' if query else '?'}dryRun=true" if dry else path
    answer = api.call("PUT", full, data, headers=headers)
    assert answer.status_code == status, answer.text
    if status == 422 and data != REFUSED_DOCUMENTS["masked"][1]:
        found = answer.json()["violations"]
        assert found[0]["file"] == (query.partition("=")[2] or "Server.xml")
        assert found[0]["line"] >= 1
    assert (api.text, api.revision) == (INCLUDING, 1)
    assert (api.folder / "more.xml").read_text() == INCLUDED


# -- check -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("query", ["", "?dryRun=true"])
def test_a_refusal_shows_what_would_change(api: ApiInProcess, query: str) -> None:
    """The problem has the violations with their places, and the diff they are of."""
    answer = api.commit(("merge", app_path("app"), {"type": "nonsense"}), query=query)
    assert answer.status_code == 422
    shown = answer.json()
    assert shown["violations"][0]["line"]
    changed = [line for line in shown["diff"].splitlines() if line[0] in "+-"][2:]
    assert [line[0] + line[1:].strip() for line in changed] == [
        "-<Type>live</Type>", "+<Type>nonsense</Type>",
    ]  # fmt: skip


@pytest.mark.parametrize("query", ["", "?dryRun=true"])
@pytest.mark.parametrize(("where", "status"), [("conf", 409), ("elsewhere", 403)])
def test_a_document_that_includes_more(tmp_path: Path, where: str, status: int, query: str) -> None:
    """What lies there and was not in use is not taken up: a file by hand is nobody's edit."""
    for name in ("conf", "elsewhere"):
        (tmp_path / name).mkdir()
    more = tmp_path / where / "more.xml"
    more.write_text("<VirtualHost><Name>more</Name></VirtualHost>")
    with ApiInProcess(tmp_path / "conf") as api:
        before = api.text
        include = f'<VirtualHost include="{more}"/></VirtualHosts>'
        tag = {"If-Match": api.etag(f"{OWN}/document")}
        text = before.replace("</VirtualHosts>", include)
        answer = api.call("PUT", f"{OWN}/document{query}", text, headers=tag)
        assert answer.status_code == status, answer.text
        assert "by hand" in answer.text
        assert (api.text, api.revision) == (before, 1)
        assert more.exists()
        api.file.write_text(text)
        api.service.submit(api.service.tick).result()
        assert api.revision == 2


def test_check_a_body(api: ApiInProcess) -> None:
    """A good one: what would change and restart. Nothing does."""
    found = api.call("POST", f"{OWN}/check", TEXT.replace(">6<", ">5<").encode()).json()
    assert found["good"] is True
    assert [each["scope"] for each in found["plan"]] == ["application"]
    assert ">5<" in found["diff"]
    assert (api.text, api.revision) == (TEXT, 1)


BROKEN = {
    "not XML": (b"hello", "not-well-formed"),
    "not UTF-8": (b"\xff\xfe\x00", "not-well-formed"),
    "entities": (b"<!DOCTYPE a [<!ENTITY x 'y'>]><Server>&x;</Server>", "not-well-formed"),
    "unknown element": (TEXT.replace("<Bind>", "<Bind><Foo/>").encode(), "unknown-element"),
}


@pytest.mark.parametrize(("data", "code"), BROKEN.values(), ids=BROKEN)
def test_check_what_is_broken(api: ApiInProcess, data: bytes, code: str) -> None:
    """200 with the violations: to find them is what was asked for."""
    answer = api.call("POST", f"{OWN}/check", data)
    assert answer.status_code == 200
    assert answer.json()["good"] is False
    assert answer.json()["violations"][0]["code"] == code
    assert "diff" in answer.json()
    assert "plan" not in answer.json()


def test_check_the_disk(api: ApiInProcess) -> None:
    """Without a body, what lies on disk is checked, also while it is broken."""
    assert api.call("POST", f"{OWN}/check").json()["good"] is True
    api.file.write_text(TEXT.replace("<Bind>", "<Bind><Foo/>"))
    found = api.call("POST", f"{OWN}/check").json()
    assert found["good"] is False
    assert found["violations"][0]["code"] == "unknown-element"


def test_check_shows_no_foreign_files(api: ApiInProcess) -> None:
    """Whoever may check cannot have other files of this machine included, and read them."""
    outside = api.folder.parent / "outside.xml"
    outside.write_text(
        SECOND.replace("second", "third").replace("<Host>", "<!-- PRIVATE --><Host>")
    )
    body = TEXT.replace("</VirtualHosts>", f'<VirtualHost include="{outside}"/></VirtualHosts>')
    answer = api.call("POST", f"{OWN}/check", body.encode())
    assert answer.json()["good"] is True
    assert "PRIVATE" not in answer.text


# -- secrets ---------------------------------------------------------------------------------------


def test_readers_see_no_secret(api: ApiInProcess) -> None:
    """Not in configuration, document, revisions, diffs, checks, events or problems."""
    fresh = "fresh-fresh-fresh"
    path = '/Server/VirtualHosts/VirtualHost[Name="default"]/SignedPolicy/SecretKey'
    written = api.commit(("replace", path, fresh))
    assert written.status_code == 200
    assert fresh in written.json()["diff"]
    api.header = basic("look")
    broken = api.text.replace("</SecretKey>", "</SecretKy>")
    texts = {
        "host": api.call("GET", HOST).text,
        "config": api.call("GET", f"{OWN}/config").text,
        "document": api.call("GET", DOCUMENT).text,
        "revision 1": api.call("GET", f"{OWN}/revisions/1").text,
        "revision 2": api.call("GET", f"{OWN}/revisions/2").text,
        "revisions": api.call("GET", f"{OWN}/revisions").text,
        "diff": api.call("GET", f"{OWN}/revisions/2/diff").text,
        "diff back": api.call("GET", f"{OWN}/revisions/1/diff?against=2").text,
        "first diff": api.call("GET", f"{OWN}/revisions/1/diff").text,
        "check": api.call("POST", f"{OWN}/check", TEXT.encode()).text.replace(TEXT, ""),
        "check, broken": api.call("POST", f"{OWN}/check", broken.encode()).text,
        "reloads": api.call("GET", f"{OWN}/reloads").text,
        "metrics": api.call("GET", f"{OWN}/metrics").text,
    }
    api.file.write_text(broken)
    look(api)
    events, _ = api.service.events.listen(print, 0)
    assert {"revision", "reload", "drift"} <= {event.kind for event in events}
    texts["events"] = " ".join(str(event.data) for event in events)
    texts["status"] = api.call("GET", f"{OWN}/status").text
    texts["refused"] = api.call("PATCH", APP, {"type": "vod"}).text
    for where, text in texts.items():
        assert text, where
        for secret in (SECRET, fresh, "s3cret"):
            assert secret not in text, where


def test_logs_have_no_secret(api: ApiInProcess, caplog: pytest.LogCaptureFixture) -> None:
    """Neither those of API edits nor those of manual ones, good or broken."""
    path = "/Server/Managers/API/AccessToken"
    with caplog.at_level("DEBUG"):
        assert api.commit(("replace", path, "fresh-fresh")).status_code == 200
        api.header = basic("fresh-fresh")
        api.file.write_text(api.text.replace(SECRET, "other-secret"))
        look(api)
        assert api.revision == 3
        api.file.write_text(api.text.replace("</SecretKey>", "</SecretKy>"))
        look(api)
        assert api.call("GET", f"{OWN}/status").json()["drift"]
    assert "edited by hand" in caplog.text
    for secret in (SECRET, "other-secret", "fresh-fresh"):
        assert secret not in caplog.text


def test_a_line_without_the_history(
    api: ApiInProcess, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """A manual edit is taken up, and has its line, though the history cannot be asked for it."""

    def broken(**_: object) -> None:
        raise Unwritable("the history cannot be read")

    with caplog.at_level("INFO"), monkeypatch.context() as patch:
        patch.setattr(api.service.repository.history, "newest", broken)
        api.file.write_text(api.text.replace(SECRET, "other-secret"))
        look(api)
    assert api.revision == 2
    assert "revision 2: edited by hand" in caplog.text


def test_what_stands_for_a_secret(api: ApiInProcess) -> None:
    """A body with *** for a secret is refused, whatever way it comes; left out, it stays."""
    masked = {"signedPolicy": {"secretKey": "***"}}
    host = '/Server/VirtualHosts/VirtualHost[Name="default"]'
    assert api.commit(("merge", host, masked)).status_code == 400
    assert api.commit(("replace", f"{host}/SignedPolicy/SecretKey", "***")).status_code == 400
    everything = {"managers": {"api": {"accessToken": "***"}}}
    assert api.call("POST", TRANSACTIONS, everything, headers=MERGE).status_code == 400
    assert api.text == TEXT
    assert api.commit(("merge", host, {"host": {"names": ["x"]}})).status_code == 200
    assert SECRET in api.text
