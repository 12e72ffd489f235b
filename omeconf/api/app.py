"""The whole API on one screen: ROUTES; and which error becomes which status."""

from __future__ import annotations

import asyncio
import logging
from typing import Any

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import ASGIApp, Receive, Scope, Send

from omeconf import errors
from omeconf.api import apps, manage, profiles, vhosts
from omeconf.api.auth import ADMIN, Caller, NotAuthorized, authorize
from omeconf.api.envelope import ApiError, answer_error
from omeconf.daemon.service import Service

log = logging.getLogger(__name__)

VHOST = "/v1/vhosts/{vhost}"
APP = VHOST + "/apps/{app}"
PROFILE = APP + "/outputProfiles/{profile}"
OWN = "/omeconf/v1"

ROUTES = [
    Route("/v1/vhosts", vhosts.list_all, methods=["GET"]),
    Route("/v1/vhosts", vhosts.refuse_write, methods=["POST"]),
    Route(VHOST, vhosts.get, methods=["GET"]),
    Route(VHOST, vhosts.refuse_write, methods=["DELETE"]),
    Route(VHOST + "/apps", apps.list_all, methods=["GET"]),
    Route(VHOST + "/apps", apps.create, methods=["POST"]),
    Route(APP, apps.get, methods=["GET"]),
    Route(APP, apps.change, methods=["PATCH", "PUT"]),
    Route(APP, apps.delete, methods=["DELETE"]),
    Route(APP + "/outputProfiles", profiles.list_all, methods=["GET"]),
    Route(APP + "/outputProfiles", profiles.create, methods=["POST"]),
    Route(PROFILE, profiles.get, methods=["GET"]),
    Route(PROFILE, profiles.replace, methods=["PATCH", "PUT"]),
    Route(PROFILE, profiles.delete, methods=["DELETE"]),
    Route(OWN + "/status", manage.status, methods=["GET"]),
    Route(OWN + "/revisions", manage.revisions, methods=["GET"]),
    Route(OWN + "/revisions/{number:int}", manage.revision, methods=["GET"]),
    Route(OWN + "/rollback", manage.rollback, methods=["POST"]),
    Route(OWN + "/confirm", manage.confirm, methods=["POST"]),
    Route(OWN + "/hold", manage.hold, methods=["POST"]),
    Route(OWN + "/resume", manage.resume, methods=["POST"]),
    Route(OWN + "/health/live", manage.live, methods=["GET"]),
    Route(OWN + "/health/ready", manage.ready, methods=["GET"]),
]

STATUSES: list[tuple[type[errors.OmeconfError], int]] = [
    (errors.BadBody, 400),
    (errors.NotFound, 404),
    (errors.ReadOnly, 403),
    (errors.Stale, 412),
    (errors.Conflict, 409),
    (errors.Refused, 422),
    (errors.NotReady, 503),
    (errors.Unwritable, 503),
]
"""Our errors as HTTP statuses; the first that fits."""

DROPPED = "dropped-application"
"""The code of what makes the engine crash when it is sent over its API: 409."""


Application = ASGIApp
"""What a server runs."""


def build(
    service: Service, stopping: asyncio.Event | None = None, *, is_trusted: bool = False
) -> Application:
    """The application; is_trusted: callers need no token (the local socket).

    Once stopping is set, nobody waits for a reload any more: it is answered as pending.
    """
    app = Starlette(
        routes=ROUTES,
        exception_handlers={
            ApiError: _on_api_error,
            HTTPException: _on_http_exception,
            errors.OmeconfError: _on_error,
            Exception: _on_defect,
        },
    )
    app.state.service = service
    app.state.stopping = stopping or asyncio.Event()
    app.router.redirect_slashes = False
    app.add_middleware(_Gate, service=service, is_trusted=is_trusted)
    return app


class _Gate:
    """Before any route: paths are tidied, bodies limited, callers known."""

    def __init__(self, app: ASGIApp, service: Service, *, is_trusted: bool) -> None:
        self.app = app
        self.service = service
        self.is_trusted = is_trusted

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        scope["path"] = _tidy(scope["path"])
        request = Request(scope, receive)
        try:
            scope["caller"] = self.caller(request)
            receive = self.limited(request, receive)
            if not scope["caller"].may_write and request.method not in ("GET", "HEAD", "OPTIONS"):
                raise ApiError(403, "this token may only read")
        except (NotAuthorized, ApiError) as error:
            handle = _on_api_error if isinstance(error, ApiError) else _on_not_authorized
            await handle(request, error)(scope, receive, send)
        else:
            await self.app(scope, receive, send)

    def caller(self, request: Request) -> Caller:
        if self.is_trusted:
            return Caller("local", ADMIN)
        path = request.url.path
        if path.startswith(f"{OWN}/health/"):
            return Caller("anyone", "read")
        return authorize(
            request.headers.get("Authorization"),
            self.service.repository.head,
            self.service.settings.api.tokens,
            bearer=path.startswith(OWN),
        )

    def limited(self, request: Request, receive: Receive) -> Receive:
        most = self.service.settings.api.max_body_bytes
        text = f"The body is larger than {most} bytes"
        if int(request.headers.get("Content-Length", "0") or 0) > most:
            raise ApiError(413, text)
        left = most

        async def receive_limited() -> Any:
            nonlocal left
            message = await receive()
            left -= len(message.get("body", b""))
            if left < 0:
                raise ApiError(413, text)
            return message

        return receive_limited


def _tidy(path: str) -> str:
    """One trailing slash is tolerated, and /v1/vhost means /v1/vhosts."""
    if path == "/v1/vhost" or path.startswith("/v1/vhost/"):
        path = "/v1/vhosts" + path[len("/v1/vhost") :]
    return path[:-1] if len(path) > 1 and path.endswith("/") else path


def _is_own(request: Request) -> bool:
    return request.url.path.startswith(OWN)


def _on_api_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, ApiError)
    if _is_own(request):
        return manage.problem(error.status, error.text)
    return answer_error(error.status, error.message)


def _on_not_authorized(request: Request, error: Exception) -> Response:
    challenge = 'Basic realm="OvenMediaEngine"'
    if _is_own(request):
        return manage.problem(401, str(error), headers={"WWW-Authenticate": challenge})
    return answer_error(401, f"[HTTP] {error} (401)", headers={"WWW-Authenticate": challenge})


def _on_http_exception(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    headers = dict(error.headers or {})
    text = {
        404: "Controller not found",
        405: f"Method not allowed; allowed: {headers.get('Allow', '')}",
    }.get(error.status_code, error.detail)
    if _is_own(request):
        return manage.problem(error.status_code, text, headers=headers)
    return answer_error(error.status_code, f"[HTTP] {text} ({error.status_code})", headers=headers)


def _on_defect(request: Request, error: Exception) -> Response:
    """What should not happen, in the form that everything else has."""
    log.error("%s %s failed", request.method, request.url.path, exc_info=error)
    text = "an error inside omeconf; its log has more"
    if _is_own(request):
        return manage.problem(500, text)
    return answer_error(500, f"[HTTP] {text} (500)")


def _on_error(request: Request, error: Exception) -> Response:
    """Our own errors: the engine's words where it would refuse too, else ours."""
    assert isinstance(error, errors.OmeconfError)
    status = next((status for kind, status in STATUSES if isinstance(error, kind)), 500)
    violations = getattr(error, "violations", ())
    text = str(error)
    prefix = "[HTTP] "
    if isinstance(error, errors.BadBody):
        prefix = "[Config] "
    elif isinstance(error, errors.Refused) and violations and violations[0].says:
        first = violations[0]
        status, text, prefix = 400, first.says, "[Config] "
        if first.code == DROPPED:
            status, prefix = 409, "[HTTP] "
    if _is_own(request):
        return manage.problem(status, str(error), violations)
    if "/outputProfiles" in request.url.path and prefix == "[Config] ":
        text, prefix = f"[Config] {text}", "[HTTP] "
    return answer_error(status, ApiError(status, text, prefix=prefix).message)
