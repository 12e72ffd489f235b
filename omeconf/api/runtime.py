"""What of the engine's API is no configuration: streams, statistics, records, pushes, actions.

It is passed through to the engine with the engine's own token, streaming both ways. While omeconf
knows of no engine, a GET is 404 and the rest 501; while the engine is away, it is 502.
"""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from contextlib import suppress
from urllib.parse import unquote

import httpx2
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response, StreamingResponse

from omeconf.api.apps import find_application
from omeconf.api.envelope import ApiError
from omeconf.api.writing import service_of

APP_ACTIONS = ("startRecord", "stopRecord", "records", "startPush", "stopPush", "pushes")
HOST_ACTIONS = ("reloadCertificate",)
NEEDED = {
    "startRecord": ("FILE",),
    "startPush": ("Push", "RTMPPush", "MPEGTSPush", "SRTPush"),
}
"""Publishers without which an action cannot be; the engine only says that there is no such
application. The first is the one to add."""

TIMEOUT = httpx2.Timeout(60.0, connect=3.0)
"""Seconds without a byte in either direction."""

DOTS = re.compile(r"(^|/)\.\.?(/|$)")
"""Segments that lead out of the route: past it is what the caller's role may not see or do."""

_HOP_BY_HOP = {
    "connection", "keep-alive", "proxy-authenticate", "proxy-authorization", "te", "trailer",
    "transfer-encoding", "upgrade",
}  # fmt: skip
_OURS = {"authorization", "host", "cookie", "expect"}


async def version(request: Request) -> Response:
    """The version of the engine."""
    return await _pass(request)


async def passed_on(request: Request) -> Response:
    """Streams, channels and statistics of the engine."""
    return await _pass(request)


async def host_action(request: Request) -> Response:
    """An action of the engine on a virtual host."""
    if request.path_params["action"] not in HOST_ACTIONS:
        raise ApiError(404, "Controller not found")
    return await _pass(request)


async def app_action(request: Request) -> Response:
    """An action of the engine on an application: records and pushes."""
    vhost, app, action = (request.path_params[name] for name in ("vhost", "app", "action"))
    if action not in APP_ACTIONS:
        raise ApiError(404, "Controller not found")
    if action in NEEDED:
        head = service_of(request).view()  # held as long as something of it is looked at
        application = find_application(head, vhost, app)
        if not any(application.below(f"Publishers/{name}") for name in NEEDED[action]):
            raise ApiError(
                404,
                f"The application [{vhost}/{app}] cannot do that: "
                f"add <{NEEDED[action][0]} /> to its <Publishers>",
            )
    return await _pass(request)


async def _pass(request: Request) -> Response:
    engine = service_of(request).engine
    if engine is None or engine.api is None:
        status = 404 if request.method in ("GET", "HEAD") else 501
        raise ApiError(status, "This is for the engine itself, and omeconf is not connected to one")
    if DOTS.search(unquote(request.scope["raw_path"].decode("latin-1"))):
        raise ApiError(404, "Controller not found")
    api = engine.api
    client = _client(request)
    path = _engines_path(request.scope["raw_path"].decode("latin-1"))
    query = request.scope.get("query_string", b"").decode("latin-1")
    headers = [
        (name, value) for name, value in request.headers.items() if name not in _HOP_BY_HOP | _OURS
    ]
    headers.append(("authorization", api.authorization))
    has_body = "content-length" in request.headers or "transfer-encoding" in request.headers
    sent = client.build_request(
        request.method,
        f"http://{api.host}:{api.port}{path}" + (f"?{query}" if query else ""),
        headers=headers,
        content=_body(request) if has_body else None,
    )
    try:
        answer = await client.send(sent, stream=True)
    except httpx2.TimeoutException:
        raise ApiError(504, "the engine does not answer in time") from None
    except httpx2.HTTPError as error:
        raise ApiError(502, f"the engine at {api.host}:{api.port} is away: {error}") from None
    kept = {
        name: value
        for name, value in answer.headers.items()
        if name not in _HOP_BY_HOP and not name.startswith("access-control-")
    }
    return StreamingResponse(_chunks(answer), answer.status_code, kept)


def _engines_path(raw: str) -> str:
    """A path as the engine has it, still percent-encoded; we take what it does not."""
    raw = re.sub("^/v1/vhost(?=/|:|$)", "/v1/vhosts", raw)
    return raw[:-1] if len(raw) > 1 and raw.endswith("/") else raw


async def _body(request: Request) -> AsyncIterator[bytes]:
    with suppress(ClientDisconnect):
        async for chunk in request.stream():
            yield chunk


async def _chunks(answer: httpx2.Response) -> AsyncIterator[bytes]:
    try:
        async for chunk in answer.aiter_raw():
            yield chunk
    finally:
        await answer.aclose()


def _client(request: Request) -> httpx2.AsyncClient:
    """One client for all, so that connections to the engine are kept."""
    state = request.app.state
    if getattr(state, "engine_client", None) is None:
        limits = httpx2.Limits(max_connections=100, max_keepalive_connections=20)
        state.engine_client = httpx2.AsyncClient(timeout=TIMEOUT, limits=limits, trust_env=False)
    client: httpx2.AsyncClient = state.engine_client
    return client
