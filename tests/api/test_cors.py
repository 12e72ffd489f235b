"""Cross-origin requests: the engine's rules for its answers, and ours for who may write."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.api import APP, OWN, SERVER, ApiInProcess

METHODS = "OPTIONS, HEAD, GET, POST, PUT, PATCH, DELETE"
PAGE = "https://page.example"


def with_policy(*urls: str, headers: str = "", where: str = "API") -> str:
    """SERVER with CrossDomains of the API; or of the defaults."""
    lines = "".join(f"<Url>{url}</Url>" for url in urls)
    policy = f"<CrossDomains>{lines}{headers}</CrossDomains>"
    if where == "API":
        return SERVER.replace("</AccessToken>", f"</AccessToken>{policy}")
    return SERVER.replace("<Bind>", f"<Defaults>{policy}</Defaults><Bind>")


ORIGINS: dict[str, tuple[tuple[str, ...], str, str | None]] = {
    "every": (("*",), PAGE, "*"),
    "every, beside others": (("https://a.example", "*"), PAGE, "*"),
    "every, without an origin": (("*",), "", "*"),
    "exact": ((PAGE,), PAGE, PAGE),
    "another": ((PAGE,), "https://other.example", None),
    "the second": (("https://a.example", PAGE), PAGE, PAGE),
    "case counts": ((PAGE,), "https://Page.example", None),
    "as a whole": ((PAGE,), f"{PAGE}.evil", None),
    "port counts": ((PAGE,), f"{PAGE}:8443", None),
    "port given": ((f"{PAGE}:8443",), f"{PAGE}:8443", f"{PAGE}:8443"),
    "without scheme, http": (("page.example",), "http://page.example", "http://page.example"),
    "without scheme, https": (("page.example",), PAGE, PAGE),
    "without scheme, ftp": (("page.example",), "ftp://page.example", None),
    "star": (("https://*.example",), "https://a.b.example", "https://a.b.example"),
    "star, port": (("https://*.example",), "https://a.example:8443", None),
    "star, no scheme": (("*.example",), PAGE, PAGE),
    "question mark": (("https://page?.example",), "https://page1.example", "https://page1.example"),
    "question mark, nothing": (("https://page?.example",), PAGE, PAGE),
    "question mark, two": (("https://page?.example",), "https://page12.example", None),
    "a dot is a dot": ((PAGE,), "https://pageXexample", None),
    "specials": (("https://a+(b).example",), "https://a+(b).example", "https://a+(b).example"),
    "only null": (("null",), PAGE, "null"),
    "null beside others": (("null", PAGE), PAGE, PAGE),
    "null from a file": (("null", PAGE), "null", None),
    "no origin": ((PAGE,), "", None),
}
"""The Urls of the policy, the request's Origin, Access-Control-Allow-Origin of the answer."""


@pytest.mark.parametrize(("urls", "origin", "allowed"), ORIGINS.values(), ids=ORIGINS)
def test_origins(tmp_path: Path, urls: tuple[str, ...], origin: str, allowed: str | None) -> None:
    """An origin is allowed as the engine allows it; a read is answered anyhow."""
    with ApiInProcess(tmp_path, text=with_policy(*urls)) as api:
        answer = api.call("GET", "/v1/vhosts", headers={"Origin": origin} if origin else {})
        assert answer.status_code == 200
        assert answer.headers.get("Access-Control-Allow-Origin") == allowed
        assert answer.headers["Vary"] == "Origin"
        methods = answer.headers.get("Access-Control-Allow-Methods")
        assert methods == (METHODS if allowed else None)
        credentials = answer.headers.get("Access-Control-Allow-Credentials")
        assert credentials == ("true" if allowed not in (None, "*") else None)
        if allowed:
            assert "Omeconf-Revision" in answer.headers["Access-Control-Expose-Headers"]


@pytest.mark.parametrize("path", ["/v1/vhosts", APP, f"{OWN}/document", "/", "/no/such"])
def test_preflight(tmp_path: Path, path: str) -> None:
    """OPTIONS is 204 on any path, without a token; what is asked for is allowed."""
    with ApiInProcess(tmp_path, text=with_policy(PAGE)) as api:
        asked = {
            "Origin": PAGE,
            "Access-Control-Request-Method": "PATCH",
            "Access-Control-Request-Headers": "authorization, if-match",
        }
        answer = api.client.options(path, headers=asked)
        assert (answer.status_code, answer.content) == (204, b"")
        assert answer.headers["Access-Control-Allow-Origin"] == PAGE
        assert answer.headers["Access-Control-Allow-Methods"] == METHODS
        assert answer.headers["Access-Control-Allow-Headers"] == "authorization, if-match"
        other = api.client.options(path, headers={**asked, "Origin": "https://other.example"})
        assert other.status_code == 204
        assert not [name for name in other.headers if name.startswith("access-control")]


def test_no_policy(tmp_path: Path) -> None:
    """Without one no origin is allowed, and only the methods are told."""
    with ApiInProcess(tmp_path) as api:
        answer = api.call("GET", "/v1/vhosts", headers={"Origin": PAGE})
        found = {name for name in answer.headers if name.startswith("access-control")}
        assert found == {"access-control-allow-methods"}
        assert answer.headers["Vary"] == "Origin"


def test_defaults(tmp_path: Path) -> None:
    """The policy of the defaults counts until the API has its own, and both live."""
    with ApiInProcess(tmp_path, text=with_policy(PAGE, where="Defaults")) as api:

        def allowed() -> str | None:
            answer = api.call("GET", "/v1/vhosts", headers={"Origin": PAGE})
            found: str | None = answer.headers.get("Access-Control-Allow-Origin")
            return found

        assert allowed() == PAGE
        policy = {"urls": ["https://other.example"]}
        edit = ("create", "/Server/Managers/API/CrossDomains", policy)
        assert api.commit(edit).status_code == 200
        assert allowed() is None


HEADER = "<Header><Key>{}</Key><Value>{}</Value></Header>"


def test_custom_headers(tmp_path: Path) -> None:
    """Headers of the policy are added to all answers; none of them breaks what an answer is."""
    custom = "".join(
        HEADER.format(*each)
        for each in (
            ("X-Ours", "yes"),
            ("Access-Control-Allow-Credentials", "false"),
            ("Access-Control-Max-Age", "60"),
            ("Content-Length", "3"),
            ("Transfer-Encoding", "chunked"),
            ("Connection", "close"),
            ("ETag", "no"),
        )
    )
    with ApiInProcess(tmp_path, text=with_policy(PAGE, headers=custom)) as api:
        for answer in (
            api.call("GET", "/v1/vhosts", headers={"Origin": PAGE}),
            api.call("GET", "/v1/vhosts", headers={"Origin": "https://other.example"}),
            api.client.get("/v1/vhosts"),
            api.client.options("/v1/vhosts"),
        ):
            assert answer.headers["X-Ours"] == "yes"
            assert answer.headers["Access-Control-Allow-Credentials"] == "false"
            assert answer.headers["Access-Control-Max-Age"] == "60"
            assert answer.headers.get("Content-Length") != "3"
            assert "Transfer-Encoding" not in answer.headers
            assert "Connection" not in answer.headers
        assert api.etag("/v1/vhosts") != "no"


ERRORS = {
    "401": ("GET", "/v1/vhosts", {"Authorization": "none"}, 401),
    "404": ("GET", "/v1/nosuch", {}, 404),
    "405": ("DELETE", "/v1/vhosts", {}, 405),
    "413": ("PATCH", APP, {"Content-Length": "99999999"}, 413),
}


@pytest.mark.parametrize(("method", "path", "headers", "status"), ERRORS.values(), ids=ERRORS)
def test_errors_can_be_read(
    tmp_path: Path, method: str, path: str, headers: dict[str, str], status: int
) -> None:
    """A page that is allowed can read what went wrong, too."""
    with ApiInProcess(tmp_path, text=with_policy(PAGE)) as api:
        answer = api.call(method, path, headers={"Origin": PAGE, **headers})
        assert answer.status_code == status
        assert answer.headers["Access-Control-Allow-Origin"] == PAGE
        assert "Omeconf-Hint" in answer.headers["Access-Control-Expose-Headers"]


FOREIGN: dict[str, tuple[tuple[str, ...], dict[str, str], bool]] = {
    "no browser": ((), {}, True),
    "same origin": ((), {"Origin": "http://testserver"}, True),
    "same origin, TLS before us": ((), {"Origin": "https://testserver"}, True),
    "same origin, as the browser says": ((), {"Sec-Fetch-Site": "same-origin"}, True),
    "typed by a person": ((), {"Sec-Fetch-Site": "none"}, True),
    "foreign, no policy": ((), {"Origin": PAGE}, False),
    "foreign port": ((), {"Origin": "http://testserver:81"}, False),
    "cross-site without origin": ((), {"Sec-Fetch-Site": "cross-site"}, False),
    "same site, other host": ((), {"Sec-Fetch-Site": "same-site"}, False),
    "a file": ((), {"Origin": "null"}, False),
    "allowed": ((PAGE,), {"Origin": PAGE, "Sec-Fetch-Site": "cross-site"}, True),
    "allowed to all": (("*",), {"Origin": PAGE}, True),
    "another is allowed": (("https://other.example",), {"Origin": PAGE}, False),
    "only files are allowed": (("null",), {"Origin": PAGE}, False),
    "a file is allowed": (("null",), {"Origin": "null"}, True),
}
"""The Urls of the policy, headers of the browser, whether it may write."""


@pytest.mark.parametrize(("urls", "headers", "may"), FOREIGN.values(), ids=FOREIGN)
def test_writes_of_other_sites(
    tmp_path: Path, urls: tuple[str, ...], headers: dict[str, str], may: bool
) -> None:
    """Another site changes nothing unless the policy allows it; not even over the local socket."""
    text = with_policy(*urls) if urls else SERVER
    for is_trusted in (False, True):
        folder = tmp_path / str(is_trusted)
        folder.mkdir()
        with ApiInProcess(folder, text=text, is_trusted=is_trusted) as api:
            assert api.call("GET", APP, headers=headers).status_code == 200
            answer = api.call("PATCH", APP, {"type": "vod"}, headers=headers)
            assert answer.status_code == (200 if may else 403), answer.text
            assert (api.text == text) == (not may)
            if not may:
                assert "CrossDomains" in answer.json()["message"]
