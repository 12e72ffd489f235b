"""/console/: the page that people use, as the files beside this module have it; no token is needed.

The page itself knows nothing: whatever it shows, it asks the API for, with the token that its user
gives it. Its sources are in console/ of the repository, and `make console` builds it. It may load
nothing from elsewhere and run no code but its own; the editor's styles carry a nonce, which is new
in each page.
"""

from __future__ import annotations

import gzip
import hashlib
import secrets
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from omeconf.api.envelope import ApiError

FOLDER = Path(__file__).with_name("console")
PAGE = "index.html"
TYPES = {".js": "text/javascript", ".css": "text/css", ".svg": "image/svg+xml"}
NONCE = b"@NONCE@"
"""Where the page has the nonce of its styles."""
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self' 'nonce-{nonce}'; "
    "img-src 'self' data:; font-src 'self'; connect-src 'self'; base-uri 'none'; "
    "form-action 'none'; frame-ancestors 'none'"
)
HEADERS = {
    "Content-Security-Policy": POLICY.replace(" 'nonce-{nonce}'", ""),
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=(), payment=(), usb=()",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}


@dataclass(frozen=True, slots=True)
class Asset:
    """One file of the console, as it is sent."""

    data: bytes
    packed: bytes
    """The same by gzip."""
    tag: str
    media_type: str


async def page(request: Request) -> Response:
    """The page, with a nonce of its own; `/console` leads to `/console/`, where its files lie."""
    if not request.scope["raw_path"].endswith(b"/"):
        return RedirectResponse("/console/", 308, HEADERS)
    nonce = secrets.token_urlsafe(18)
    headers = {
        **HEADERS,
        "Cache-Control": "no-store",
        "Content-Security-Policy": POLICY.format(nonce=nonce),
    }
    data = (FOLDER / PAGE).read_bytes().replace(NONCE, nonce.encode())
    return Response(data, headers=headers, media_type="text/html")


async def asset(request: Request) -> Response:
    """One file of the page; 304 if the browser has it."""
    found = assets().get(request.path_params["file"])
    if found is None:
        raise ApiError(404, "the console has no such file")
    wants_packed = "gzip" in request.headers.get("Accept-Encoding", "")
    tag = f'"{found.tag}{"-gzip" if wants_packed else ""}"'
    headers = {
        **HEADERS,
        "Cache-Control": "no-cache",
        "ETag": tag,
        "Vary": "Accept-Encoding, Origin",
    }
    if request.headers.get("If-None-Match") == tag:
        return Response(status_code=304, headers=headers)
    if wants_packed:
        headers["Content-Encoding"] = "gzip"
    data = found.packed if wants_packed else found.data
    return Response(data, headers=headers, media_type=found.media_type)


@cache
def assets() -> dict[str, Asset]:
    """The files beside the page, by name; read once."""
    return {
        path.name: _asset(path.read_bytes(), TYPES[path.suffix])
        for path in FOLDER.iterdir()
        if path.suffix in TYPES
    }


def _asset(data: bytes, media_type: str) -> Asset:
    tag = hashlib.sha256(data).hexdigest()[:16]
    return Asset(data, gzip.compress(data, mtime=0), tag, media_type)
