from __future__ import annotations

import gzip
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from starlette.testclient import TestClient

from omeconf.api.console import FOLDER
from omeconf.settings import Api, Settings
from tests.support.api import OWN, ROLES, TOKENS, ApiInProcess, basic

SETTINGS = Settings(api=Api(tokens=ROLES))


@pytest.fixture(scope="module")
def api(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ApiInProcess]:
    with ApiInProcess(tmp_path_factory.mktemp("console"), SETTINGS) as made:
        yield made


@pytest.fixture(scope="module")
def client(api: ApiInProcess) -> TestClient:
    return api.client


def get(api: ApiInProcess, path: str, role: str = "admin") -> Any:
    return api.call("GET", f"{OWN}/{path}", headers={"Authorization": basic(TOKENS[role])})


def test_page(client: TestClient) -> None:
    """The page needs no token, and everything it names is there, with its type."""
    page = client.get("/console/")
    assert page.status_code == 200
    assert page.headers["Content-Type"].startswith("text/html")
    named = set(re.findall(r'(?:src|href)="([^"]+)"', page.text))
    assert named == {"console.js", "console.css", "icon.svg"}
    types = {name: client.get(f"/console/{name}").headers["Content-Type"] for name in named}
    assert types["console.js"].startswith("text/javascript")
    assert types["console.css"].startswith("text/css")
    assert types["icon.svg"].startswith("image/svg+xml")


def test_redirect(client: TestClient) -> None:
    """Without its slash the files beside the page would be looked for elsewhere."""
    answer = client.get("/console", follow_redirects=False)
    assert (answer.status_code, answer.headers["Location"]) == (308, "/console/")


def test_policy(client: TestClient) -> None:
    """Nothing is loaded from elsewhere, no script and no style is inline, nobody may frame it."""
    first, second = (client.get("/console/") for _ in range(2))
    policy = dict(
        part.strip().split(" ", 1) for part in first.headers["Content-Security-Policy"].split(";")
    )
    assert policy["default-src"] == "'none'"
    assert policy["script-src"] == policy["connect-src"] == policy["font-src"] == "'self'"
    assert policy["img-src"] == "'self' data:"
    assert policy["base-uri"] == policy["form-action"] == policy["frame-ancestors"] == "'none'"
    nonces = []
    for page in (first, second):
        found = re.search(r"'nonce-([\w-]{20,})'", page.headers["Content-Security-Policy"])
        assert found
        assert f'content="{found[1]}"' in page.text
        nonces.append(found[1])
    assert nonces[0] != nonces[1]
    assert policy["style-src"] == f"'self' 'nonce-{nonces[0]}'"
    assert first.headers["Cache-Control"] == "no-store"


@pytest.mark.parametrize("name", ["", "console.js", "console.css", "icon.svg"])
def test_headers(client: TestClient, name: str) -> None:
    """Each file says that it is what it says, and that nobody is told where one came from."""
    headers = client.get(f"/console/{name}").headers
    assert headers["X-Content-Type-Options"] == "nosniff"
    assert headers["Referrer-Policy"] == "no-referrer"
    assert "unsafe" not in headers["Content-Security-Policy"]


def test_caching(client: TestClient) -> None:
    """A file that the browser has is not sent again; packed and not are two files."""
    plain = client.get("/console/console.js", headers={"Accept-Encoding": "identity"})
    packed = client.get("/console/console.js", headers={"Accept-Encoding": "gzip"})
    assert packed.headers["Content-Encoding"] == "gzip"
    assert packed.content == plain.content == (FOLDER / "console.js").read_bytes()
    assert len(gzip.compress(plain.content)) < 300_000
    assert plain.headers["ETag"] != packed.headers["ETag"]
    assert "Accept-Encoding" in plain.headers["Vary"]
    again = {"Accept-Encoding": "gzip", "If-None-Match": packed.headers["ETag"]}
    assert client.get("/console/console.js", headers=again).status_code == 304


@pytest.mark.parametrize("name", ["index.html", "nothing.js", "..%2Fconsole.py", "a/b.js"])
def test_other_files(client: TestClient, name: str) -> None:
    """Nothing else can be had here."""
    assert client.get(f"/console/{name}").status_code == 404


def test_page_only(client: TestClient) -> None:
    """What needs no token is the page, and no address that begins like it."""
    assert client.get("/consoles").status_code == 401
    assert client.post("/console/").status_code == 405


@pytest.mark.parametrize("role", TOKENS)
def test_caller(api: ApiInProcess, role: str) -> None:
    """The status says who asks, and what they may do."""
    caller = get(api, "status", role=role).json()["caller"]
    assert caller["role"] == role
    assert caller["name"] == {"admin": "api", "write": "alice", "read": "grafana"}[role]


def test_model(api: ApiInProcess) -> None:
    """The schema as JSON has every element once; another form there is not."""
    found = get(api, "schema?form=model").json()
    paths = [each["path"] for each in found["elements"]]
    assert found["series"] == "0.21"
    assert paths[0] == "/Server"
    assert len(paths) == len(set(paths)) > 600
    assert get(api, "schema?form=xsd").text == get(api, "schema").text
    assert get(api, "schema?form=table").status_code == 400


def test_of_disk(tmp_path: Path) -> None:
    """A broken file can be had as it lies on disk, while head stays; not by who may only read."""
    with ApiInProcess(tmp_path, SETTINGS) as api:
        good = get(api, "document").text
        broken = good.replace("<SegmentDuration>6</SegmentDuration>", "<Nothing>6</Nothing>")
        assert broken != good
        api.file.write_text(broken)
        assert get(api, "document?of=disk").text == broken
        assert get(api, "document?of=head").text == good
        assert get(api, "document?of=disk", role="write").text == broken
        assert get(api, "document?of=disk", role="read").status_code == 403
        assert get(api, "document?of=running").status_code == 400
        for away in ("file=nothing.xml", "file=/etc/passwd", "file=../x", "path=/Server/Bind"):
            assert get(api, f"document?of=disk&{away}").status_code == 404
