from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from starlette.testclient import TestClient

from omeconf.api.app import build
from omeconf.daemon.service import Service
from omeconf.settings import Api, Settings
from omeconf.store.history import History
from omeconf.store.repository import Repository
from tests.support import schema
from tests.support.api import (
    APPS,
    HOST,
    PROFILE,
    PROFILES,
    ROLES,
    SECRET,
    SERVER,
    ApiInProcess,
    basic,
)


@pytest.fixture
def api(tmp_path: Path) -> Iterator[ApiInProcess]:
    with ApiInProcess(tmp_path, Settings(api=Api(tokens=ROLES, max_body_bytes=4096))) as made:
        yield made


AUTHORIZATION = {
    "none": (None, 401, "Authorization header is required to call API"),
    "one word": ("Basic", 401, "Invalid authorization header"),
    "two blanks": ("Basic  eA==", 401, "Invalid authorization header"),
    "bearer": ("Bearer s3cret", 401, "Not supported credential type: Bearer"),
    "not base64": ("Basic !!!!", 401, "Invalid credential format"),
    "wrong": (basic("wrong"), 401, "Invalid credential"),
    "lower case": (basic("s3cret").lower()[:5] + basic("s3cret")[5:], 200, "OK"),
}


@pytest.mark.parametrize(("header", "status", "words"), AUTHORIZATION.values(), ids=AUTHORIZATION)
def test_authorization(api: ApiInProcess, header: str | None, status: int, words: str) -> None:
    """Tokens are looked at as the engine looks at them, in its words."""
    headers = {} if header is None else {"Authorization": header}
    answer = api.client.get("/v1/vhosts", headers=headers)
    assert answer.status_code == status
    if status == 401:
        assert answer.json() == {"message": f"[HTTP] {words} (401)", "statusCode": 401}
        assert answer.headers["WWW-Authenticate"] == 'Basic realm="OvenMediaEngine"'


def test_bearer_tokens_on_our_own_api(api: ApiInProcess) -> None:
    """Below /omeconf/v1 a token may come as Bearer; health needs none."""
    headers = {"Authorization": "Bearer s3cret"}
    assert api.client.get("/omeconf/v1/status", headers=headers).status_code == 200
    assert api.client.get("/omeconf/v1/status").status_code == 401
    assert api.client.get("/omeconf/v1/health/live").status_code == 200
    assert api.client.get("/omeconf/v1/health/ready").status_code == 200


def test_readers_read(api: ApiInProcess) -> None:
    """A token with the role read sees no secret and changes nothing."""
    api.header = basic("look")
    assert api.call("GET", HOST).json()["response"]["signedPolicy"] == {"secretKey": "***"}
    assert api.call("DELETE", f"{APPS}/app").status_code == 403
    assert api.file.read_text() == SERVER
    api.header = basic("s3cret")
    assert api.call("GET", HOST).json()["response"]["signedPolicy"] == {"secretKey": SECRET}


def test_virtual_hosts(api: ApiInProcess) -> None:
    """They can be listed and read, without their applications; not changed."""
    assert api.call("GET", "/v1/vhosts").json() == {
        "message": "OK", "response": ["default"], "statusCode": 200,
    }  # fmt: skip
    assert api.call("GET", HOST).json()["response"] == {
        "host": {"names": ["*"]}, "name": "default", "signedPolicy": {"secretKey": SECRET},
    }  # fmt: skip
    assert api.message("GET", "/v1/vhosts/x") == (
        404, "[HTTP] Could not find the virtual host: [x] (404)",
    )  # fmt: skip
    status, words = api.message("DELETE", HOST)
    assert status == 403
    assert "virtual_hosts" in words


def test_answers_look_like_the_engines(api: ApiInProcess) -> None:
    """Keys sorted, no blanks, the engine's content type."""
    answer = api.call("GET", f"{APPS}/other")
    assert answer.headers["Content-Type"] == "application/json;charset=UTF-8"
    assert answer.text == (
        '{"message":"OK","response":{"dynamic":false,"name":"other","type":"live"},'
        '"statusCode":200}'
    )


def test_paths_are_tidied(api: ApiInProcess) -> None:
    """One trailing slash, percent-encoding and the old name of the collection are understood."""
    for path in ("/v1/vhosts/", "/v1/vhost", "/v1/vhost/default", "/v1/vhosts/def%61ult/"):
        assert api.call("GET", path).status_code == 200, path
    assert api.message("GET", "/v1/nosuch") == (404, "[HTTP] Controller not found (404)")
    wrong = api.call("PATCH", "/v1/vhosts")
    assert wrong.status_code == 405
    assert set(wrong.headers["Allow"].split(", ")) >= {"GET"}


def test_create(api: ApiInProcess) -> None:
    """A new application is written with the engine's defaults, and can be read back."""
    answer = api.call("POST", APPS, [{"name": "new", "type": "live"}])
    assert answer.status_code == 200
    (made,) = answer.json()
    assert made["statusCode"] == 200
    assert made["response"]["providers"].keys() == {"ovt", "rtspPull", "webrtc", "srt", "rtmp"}
    assert made["response"]["publishers"].keys() == {"llhls", "webrtc", "ovt"}
    assert made["response"] == api.call("GET", f"{APPS}/new").json()["response"]
    assert api.call("GET", APPS).json()["response"] == ["app", "other", "new"]
    assert answer.headers["Omeconf-Revision"] == "2"
    assert answer.headers["Omeconf-Reload"] == "pending"


def test_batches(api: ApiInProcess) -> None:
    """Good items are one revision; a taken name fails alone, a malformed item all."""
    item = {"type": "live", "providers": {}, "publishers": {}, "outputProfiles": {}}
    mixed = api.call("POST", APPS, [{"name": "a", **item}, {"name": "app", **item},
                                    {"name": "a", **item}, {"name": "b", **item}])  # fmt: skip
    assert mixed.status_code == 207
    assert [each["statusCode"] for each in mixed.json()] == [200, 409, 409, 200]
    assert mixed.json()[1]["message"] == (
        "Could not create the application: [default/app] already exists"
    )
    assert mixed.headers["Omeconf-Revision"] == "2"
    same = api.call("POST", APPS, [{"name": "a", **item}])
    assert (same.status_code, same.json()[0]["statusCode"]) == (409, 409)
    bad = [{"name": "c", **item}, {"name": "d", "type": "nope"}]
    assert api.message("POST", APPS, bad) == (400, "[Config] Unknown type: nope")
    assert api.call("GET", f"{APPS}/c").status_code == 404
    assert api.call("POST", APPS, []).json() == []


REFUSED = {
    "object": (APPS, {"name": "x"}, 400, "[HTTP] Request body must be an array (400)"),
    "nothing": (APPS, b"", 400, "[HTTP] Request body must be an array (400)"),
    "syntax": (APPS, b"[{", 400, "[HTTP] [JSON] * Line 1, Column 3"),
    "trailing comma": (APPS, b"[1,]", 400, "[HTTP] [JSON] * Line 1"),
    "twice": (APPS, b'[{"a":1,"a":2}]', 400, 'the key "a" is given twice'),
    "NaN": (APPS, b"[NaN]", 400, "NaN is not JSON"),
    "not UTF-8": (APPS, b"[\xff]", 400, "the body is not UTF-8"),
    "deep": (APPS, b"[" * 3000, 400, "[HTTP] [JSON]"),
    "no type": (APPS, [{"name": "x"}], 400, "[Config] application.type is not optional"),
    "unknown": (APPS, [{"name": "x", "type": "live", "foo": 1}], 400,
                "[Config] Unknown item found: application.foo"),
    "name": (APPS, [{"name": "a/b", "type": "live"}], 422, 'may not contain "/"'),
    "no host": ("/v1/vhosts/x/apps", [], 404, "[HTTP] Could not find the virtual host: [x] (404)"),
    "large": (APPS, b"[" + b" " * 5000 + b"]", 413, "The body is larger than 4096 bytes"),
    "crash": (APPS, [{"name": "x", "type": "live", "outputProfiles": {"outputProfile": [
        PROFILE, PROFILE]}}], 409, 'The output profile "p1" already exists'),
}  # fmt: skip


@pytest.mark.parametrize(("path", "body", "status", "words"), REFUSED.values(), ids=REFUSED)
def test_refused_creations(
    api: ApiInProcess, path: str, body: Any, status: int, words: str
) -> None:
    """What cannot be is refused with a status and words; the file stays."""
    got, message = api.message("POST", path, body)
    assert got == status
    assert words in message
    assert api.file.read_text() == SERVER


def test_patch(api: ApiInProcess) -> None:
    """Members are merged, null removes, PUT does the same; the answer is the whole."""
    body = {"publishers": {"llhls": {"segmentDuration": "4"}, "ovt": {}}}
    answer = api.call("PATCH", f"{APPS}/app", body, headers={"Omeconf-Message": "shorter"})
    assert answer.json()["response"]["publishers"] == {"llhls": {"segmentDuration": 4}, "ovt": {}}
    assert api.call("PUT", f"{APPS}/app", {"publishers": {"ovt": None}}).status_code == 200
    revisions = api.call("GET", "/omeconf/v1/revisions").json()["revisions"]
    assert [r["message"] for r in revisions][:2] == ["", "shorter"]
    assert api.file.read_text() == SERVER.replace(">6<", ">4<")


PATCHES = {
    "array": ([], 400, "[HTTP] Request body must be an object (400)"),
    "name": ({"name": "x"}, 400, "[HTTP] Cannot change [name] using this API (400)"),
    "profiles": ({"outputProfiles": {}}, 400, "Cannot change [outputProfiles] using this API"),
    "unknown": ({"foo": 1}, 400, "[Config] Unknown item found: application.foo"),
    "value": ({"type": "nope"}, 400, "[Config] Unknown type: nope"),
    "no type": ({"type": None}, 400, "[Config] application.type is not optional"),
    "warning": (
        {"publishers": {"llhls": {"segmentCount": "7x"}}},
        422,
        "should be a number of segments",
    ),
    "control": ({"publishers": {"file": {"rootPath": "\x01"}}}, 400, "U+0001"),
}


@pytest.mark.parametrize(("body", "status", "words"), PATCHES.values(), ids=PATCHES)
def test_refused_patches(api: ApiInProcess, body: Any, status: int, words: str) -> None:
    """A patch that makes nothing good changes nothing."""
    got, message = api.message("PATCH", f"{APPS}/app", body)
    assert got == status
    assert words in message
    assert api.file.read_text() == SERVER


def test_delete(api: ApiInProcess) -> None:
    """An application goes; a second time there is none."""
    assert api.call("DELETE", f"{APPS}/other").json() == {"message": "OK", "statusCode": 200}
    assert api.message("DELETE", f"{APPS}/other") == (
        404, "[HTTP] Could not find the application: [default/other] (404)",
    )  # fmt: skip


def test_output_profiles(api: ApiInProcess) -> None:
    """Created, listed, read, replaced as a whole, and deleted: the file is as before."""
    made = api.call("POST", PROFILES, [PROFILE])
    assert made.json() == [{"message": "OK", "response": PROFILE, "statusCode": 200}]
    assert api.call("GET", PROFILES).json()["response"] == ["p1"]
    body = {"outputStreamName": "other", "encodes": {"videos": [{"bypass": True}]}}
    changed = api.call("PATCH", f"{PROFILES}/p1", body)
    assert changed.json()["response"] == {**body, "name": "p1"}
    assert api.call("GET", f"{PROFILES}/p1").json()["response"] == {**body, "name": "p1"}
    again = api.call("POST", PROFILES, [PROFILE])
    assert (again.status_code, again.json()[0]["message"]) == (
        409, 'The output profile "p1" already exists',
    )  # fmt: skip
    assert api.call("DELETE", f"{PROFILES}/p1").status_code == 200
    assert api.message("GET", f"{PROFILES}/p1") == (
        404, "[HTTP] Could not find the output profile: [default/app/p1] (404)",
    )  # fmt: skip


BAD_PROFILES = {
    "no encodes": ({"encodes": None}, '"name", "outputStreamName", "encodes" are required'),
    "only images": ({"encodes": {"images": [{"codec": "jpeg"}]}}, "at least one item"),
    "number": ({"name": 5}, '"name" must be a string and "encodes" must be an object'),
    "unknown": ({"foo": 1}, "[HTTP] [Config] Unknown item found: outputProfile.foo (400)"),
    "bitrate": (
        {"encodes": {"videos": [{"codec": "h264", "bitrate": "fast"}]}},
        "[HTTP] [Config] Bitrate must be greater than 0 (400)"),
    "no codec": (
        {"encodes": {"videos": [{"name": "v"}]}},
        "[HTTP] [Config] Codec must be specified when bypass is false (400)"),
}  # fmt: skip


@pytest.mark.parametrize(("change", "words"), BAD_PROFILES.values(), ids=BAD_PROFILES)
def test_refused_profiles(api: ApiInProcess, change: dict[str, Any], words: str) -> None:
    """One bad profile refuses the whole request, as with the engine."""
    good = {**PROFILE, "name": "good", "outputStreamName": "g"}
    got, message = api.message("POST", PROFILES, [good, {**PROFILE, **change}])
    assert got == 400
    assert words in message
    assert api.file.read_text() == SERVER


def test_profile_patches(api: ApiInProcess) -> None:
    """The name stays what the path says; what is required must be given."""
    api.call("POST", PROFILES, [PROFILE])
    path = f"{PROFILES}/p1"
    assert api.message("PATCH", path, {"Name": "q"}) == (
        400, "[HTTP] The Name entry cannot be specified in the modification (400)",
    )  # fmt: skip
    assert api.message("PATCH", path, {}) == (
        400, "[HTTP] [Config] outputProfile.outputStreamName is not optional (400)",
    )  # fmt: skip


def test_drift_is_told(api: ApiInProcess) -> None:
    """A broken manual edit is a 409 with its place, and in the status with all its violations."""
    api.file.write_text(SERVER.replace("<Bind>", "<Bind><Nonsense/>"))
    status, message = api.message("PATCH", f"{APPS}/app", {"type": "vod"})
    assert status == 409
    assert "line 5: <Nonsense> is not known in <Bind>" in message
    found = api.call("GET", "/omeconf/v1/status").json()
    assert found["drift"]["violations"][0]["code"] == "unknown-element"
    assert found["revision"]["disk"] is None


def test_revisions(api: ApiInProcess) -> None:
    """Every revision can be looked at, with its files; what is not there is a problem document."""
    api.call("PATCH", f"{APPS}/app", {"type": "vod"})
    shown = api.call("GET", "/omeconf/v1/revisions/1").json()
    assert shown["files"]["Server.xml"] == SERVER
    assert shown["origin"] == "file"
    below = api.call("GET", "/omeconf/v1/revisions?limit=5&below=2").json()["revisions"]
    assert [r["number"] for r in below] == [1]
    missing = api.call("GET", "/omeconf/v1/revisions/9")
    assert missing.status_code == 404
    assert missing.headers["Content-Type"] == "application/problem+json"
    assert api.call("GET", "/omeconf/v1/revisions?limit=x").status_code == 400


def test_not_ready(tmp_path: Path) -> None:
    """Without a good configuration only health and status answer; the rest says why."""
    (tmp_path / "Server.xml").write_text("<Server>")
    made = ApiInProcess(tmp_path, Settings())
    made.service.stop(1)
    (tmp_path / "fresh").mkdir()
    file = tmp_path / "fresh/Server.xml"
    file.write_text(SERVER.replace("<Bind>", "<Bind><Nonsense/>"))
    repository = Repository(file, History(tmp_path / "fresh/h"), schema(), clock=lambda: 1.0)
    service = Service(repository, Settings())
    service.start()
    local = TestClient(build(service, is_trusted=True))
    assert local.get("/omeconf/v1/health/live").status_code == 200
    ready = local.get("/omeconf/v1/health/ready")
    assert ready.status_code == 503
    assert ready.json()["violations"][0]["code"] == "unknown-element"
    assert local.get("/v1/vhosts").status_code == 503
    service.stop(1)
