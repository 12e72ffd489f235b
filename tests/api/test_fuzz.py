"""Bodies of all kinds: whatever is sent, no 500, no bad file, and a refusal changes nothing."""

from __future__ import annotations

import copy
import json
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from omeconf.settings import Api, Settings
from tests.support import MINIMAL, schema
from tests.support.api import (
    APP,
    APPS,
    OWN,
    PLAIN,
    PROFILE,
    PROFILES,
    ApiInProcess,
    app_path,
)

FUZZ = settings(
    max_examples=30,
    deadline=None,
    suppress_health_check=list(HealthCheck),
    phases=[Phase.explicit, Phase.generate, Phase.shrink],
    derandomize=True,
    database=None,
)
MERGE = "application/merge-patch+json"
PATCH = "application/json-patch+json"
HOST = {"name": "fuzz", "host": {"names": ["fuzz"]}, "applications": [{"name": "a", **PLAIN}]}
RICH = {
    "name": "rich",
    "type": "live",
    "providers": {"rtmp": {}, "srt": {}, "ovt": {}},
    "publishers": {
        "appWorkerCount": 1,
        "llhls": {"segmentDuration": 6, "segmentCount": 10, "crossDomains": {"urls": ["*"]}},
        "webrtc": {"timeout": 30000, "jitterBuffer": False},
    },
    "outputProfiles": {"outputProfile": [PROFILE]},
}
EDITS = {
    "edits": [
        {"verb": "merge", "path": app_path("app"), "value": {"type": "vod"}},
        {"verb": "create", "path": app_path("fuzz"), "value": {"name": "fuzz", **PLAIN}},
        {"verb": "delete", "path": app_path("other")},
        {"verb": "replace", "path": app_path("app") + "/Type", "value": "live"},
    ]
}
OPERATIONS = [
    {"op": "test", "path": "/type", "value": "origin"},
    {"op": "replace", "path": "/bind/providers/rtmp/port", "value": 1936},
    {"op": "copy", "from": "/bind/providers/rtmp", "path": "/bind/providers/srt"},
    {"op": "remove", "path": "/virtualHosts/0/applications/1"},
]
EVERYTHING = {
    "bind": {"providers": {"rtmp": {"port": 1936}, "srt": {"port": 9999}}},
    "modules": {"http2": {"enable": True}},
    "virtualHosts": [HOST],
}
ROUTES: dict[str, tuple[str, str, str, Any]] = {
    "hosts": ("POST", "/v1/vhosts", "", [HOST]),
    "apps": ("POST", APPS, "", [RICH]),
    "app": ("PATCH", APP, "", {key: RICH[key] for key in ("type", "providers", "publishers")}),
    "profiles": ("POST", PROFILES, "", [PROFILE]),
    "profile": (
        "PATCH", f"{PROFILES}/p", "", {k: v for k, v in PROFILE.items() if k != "name"},
    ),
    "edits": ("POST", f"{OWN}/transactions", "", EDITS),
    "merge patch": ("POST", f"{OWN}/transactions", MERGE, EVERYTHING),
    "JSON Patch": ("POST", f"{OWN}/transactions", PATCH, OPERATIONS),
    "rollback": ("POST", f"{OWN}/rollback", "", {"revision": 1}),
    "hold": ("POST", f"{OWN}/hold", "", {"reason": "git pull"}),
}  # fmt: skip
"""Method, path, content type, a good body."""

TEXT = MINIMAL.replace(
    "</Publishers>\n",
    """</Publishers>
					<OutputProfiles><OutputProfile><Name>p</Name><OutputStreamName>s</OutputStreamName>
						<Encodes><Video><Name>v</Name><Bypass>true</Bypass></Video></Encodes>
					</OutputProfile></OutputProfiles>
""",
)
"""Without warnings, so that it can be put back on top of whatever is good."""

KEYS = sorted({item.json for item in schema().items.values()} | {"$", "op", "verb", "path", ""})
WORDS = ("*", "true", " true ", "4abc", "-1", "${env:X}", "default", "app", "other", "]]>", "&lt;",
         "a/b", "..", "\ufeff", "\x00", "\ud800", "null", "99999999999999999999",
         "/Server", "/Server/Bind", app_path("app"), "***")  # fmt: skip
scalars = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.sampled_from([0, -1, 2**31, 2**63, 2**64, 10**40, 1e308, 1e-300, -0.0]),
    st.floats(allow_nan=False),
    st.text(max_size=20),
    st.sampled_from(WORDS),
)
values = st.recursive(
    scalars,
    lambda inner: st.one_of(
        st.lists(inner, max_size=4),
        st.dictionaries(st.one_of(st.sampled_from(KEYS), st.text(max_size=8)), inner, max_size=4),
    ),
    max_leaves=12,
)


@st.composite
def mutated(draw: st.DrawFn, good: Any) -> Any:
    """A good body with one to three places made something else, taken out, doubled or renamed."""
    body = copy.deepcopy(good)
    for _ in range(draw(st.integers(1, 3))):
        places = list(containers(body))
        if not places:
            break
        place = draw(st.sampled_from(places))
        key = draw(st.sampled_from(list(place) if isinstance(place, dict) else range(len(place))))
        how = draw(st.sampled_from(["value", "value", "remove", "double", "rename"]))
        if how == "remove":
            del place[key]
        elif how == "value":
            place[key] = draw(values)
        elif isinstance(place, list):
            place.insert(key, copy.deepcopy(place[key]))
        else:
            place[draw(st.sampled_from(KEYS))] = place.pop(key) if how == "rename" else place[key]
    return body


def containers(value: Any) -> Iterator[Any]:
    """Every object and array in a body that is not empty."""
    if isinstance(value, dict | list) and value:
        yield value
        for each in value.values() if isinstance(value, dict) else value:
            yield from containers(each)


@pytest.fixture(scope="module")
def api(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ApiInProcess]:
    folder = tmp_path_factory.mktemp("fuzz")
    limits = Settings(api=Api(virtual_hosts="read-write"))
    with ApiInProcess(folder, limits, TEXT, is_trusted=True) as made:
        yield made


def send(api: ApiInProcess, method: str, path: str, kind: str, body: bytes) -> None:
    """Send it, and see that all is well afterwards; then everything is as it was."""
    before, revision = api.file.read_bytes(), api.revision
    answer = api.call(method, path, body, headers={"Content-Type": kind} if kind else {})
    assert answer.status_code != 500, answer.text
    assert answer.json() is not None
    if answer.status_code not in (200, 202, 207):
        assert answer.status_code in (400, 403, 404, 409, 412, 413, 422, 428), answer.text
        assert api.file.read_bytes() == before
        assert api.revision == revision
        return
    if "/hold" in path:
        assert api.call("POST", f"{OWN}/resume").status_code == 200
    restore(api)


def restore(api: ApiInProcess) -> None:
    """What was written is good; then it is as it was before."""
    api.must_be_good()
    back = api.call("PUT", f"{OWN}/document", TEXT.encode(), headers={"If-Match": "*"})
    assert back.status_code == 200, back.text


@pytest.mark.parametrize(("method", "path", "kind", "good"), ROUTES.values(), ids=ROUTES)
def test_good_bodies(api: ApiInProcess, method: str, path: str, kind: str, good: Any) -> None:
    """What the fuzz begins with is good: else it would only find the first refusal."""
    answer = api.call(
        method, f"{path}", json.dumps(good), headers={"Content-Type": kind} if kind else {}
    )
    assert answer.status_code == 200, answer.text
    if "/hold" in path:
        assert api.call("POST", f"{OWN}/resume").status_code == 200
    restore(api)


@pytest.mark.long
@pytest.mark.parametrize(("method", "path", "kind", "good"), ROUTES.values(), ids=ROUTES)
def test_mutated_bodies(api: ApiInProcess, method: str, path: str, kind: str, good: Any) -> None:
    """Nearly good bodies: the way from the shape of JSON to what the engine takes."""

    @FUZZ
    @given(body=mutated(good))
    def check(body: Any) -> None:
        send(api, method, path, kind, json.dumps(body).encode())

    check()


@pytest.mark.parametrize(("method", "path", "kind", "good"), ROUTES.values(), ids=ROUTES)
def test_random_bodies(api: ApiInProcess, method: str, path: str, kind: str, good: Any) -> None:
    """Any JSON, and any bytes."""
    wrap = st.lists(values, max_size=3) if isinstance(good, list) else values
    texts = wrap.map(lambda body: json.dumps(body).encode())

    @settings(FUZZ, max_examples=15)
    @given(body=st.one_of(texts, texts, st.binary(max_size=40)))
    def check(body: bytes) -> None:
        send(api, method, path, kind, body)

    check()


@settings(FUZZ, max_examples=40)
@given(data=st.data())
def test_mutated_documents(api: ApiInProcess, data: st.DataObject) -> None:
    """A whole file with some bytes cut out, doubled or put in."""
    body = bytearray(TEXT.encode())
    for _ in range(data.draw(st.integers(1, 3))):
        start = data.draw(st.integers(0, len(body) - 1))
        end = min(start + data.draw(st.integers(0, 40)), len(body))
        pieces = (b"", b"<", b">", b"<Foo/>", b"&amp;", b"\x00", b"\xff", b'"', b"<!--", b"***")
        body[start:end] = data.draw(st.sampled_from((*pieces, bytes(body[start:end]) * 2)))
    sent = bytes(body)
    before = api.file.read_bytes()
    checked = api.call("POST", f"{OWN}/check", sent)
    assert checked.status_code == 200, checked.text
    answer = api.call("PUT", f"{OWN}/document", sent, headers={"If-Match": "*"})
    assert answer.status_code in (200, 422), answer.text
    if answer.status_code == 200:
        assert checked.json()["good"]
        assert api.file.read_bytes() == sent
        api.must_be_good()
        api.call("PUT", f"{OWN}/document", before, headers={"If-Match": "*"})
    assert api.file.read_bytes() == before
