"""The whole API on one screen: ROUTES; and which error becomes which status."""

from __future__ import annotations

import asyncio
import difflib
import logging
import re
import time
from collections.abc import Awaitable, Callable
from random import getrandbits
from typing import Any
from urllib.parse import unquote

from starlette.applications import Starlette
from starlette.convertors import Convertor, register_url_convertor
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Match, Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from omeconf import errors
from omeconf.api import (
    apps,
    audit,
    console,
    cors,
    documents,
    events,
    fleet,
    manage,
    metrics,
    openapi,
    profiles,
    revisions,
    runtime,
    transactions,
    vhosts,
)
from omeconf.api.auth import (
    ADMIN,
    READ,
    WRITE,
    Caller,
    NotAuthorized,
    authorize,
    local_caller,
)
from omeconf.api.conditions import Tags
from omeconf.api.envelope import ApiError, answer_error
from omeconf.api.reading import hides_secrets
from omeconf.api.remembered import Answer, Key, Remembered, key_of, wanted
from omeconf.daemon.service import Service
from omeconf.logs import REQUEST, fields
from omeconf.store.head import Head

log = logging.getLogger(__name__)

Handler = Callable[[Request], Awaitable[Response]]

VHOST = "/v1/vhosts/{vhost:name}"
APP = VHOST + "/apps/{app:name}"
PROFILE = APP + "/outputProfiles/{profile:name}"
OWN = "/omeconf/v1"

ROUTES: dict[str, dict[str, Handler]] = {
    "/v1/vhosts": {"GET": vhosts.list_all, "POST": vhosts.create},
    VHOST: {"GET": vhosts.get, "DELETE": vhosts.delete},
    VHOST + "/apps": {"GET": apps.list_all, "POST": apps.create},
    APP: {"GET": apps.get, "PATCH": apps.change, "PUT": apps.change, "DELETE": apps.delete},
    APP + "/outputProfiles": {"GET": profiles.list_all, "POST": profiles.create},
    PROFILE: {
        "GET": profiles.get,
        "PATCH": profiles.replace,
        "PUT": profiles.replace,
        "DELETE": profiles.delete,
    },
    OWN + "/status": {"GET": manage.status},
    OWN + "/config": {"GET": transactions.get},
    OWN + "/check": {"POST": documents.check},
    OWN + "/document": {"GET": documents.get, "PUT": documents.put},
    OWN + "/transactions": {"POST": transactions.commit},
    OWN + "/diff": {"GET": revisions.compare},
    OWN + "/revisions": {"GET": revisions.list_all},
    OWN + "/revisions/{number:int}": {"GET": revisions.get},
    OWN + "/revisions/{number:int}/diff": {"GET": revisions.diff},
    OWN + "/rollback": {"POST": revisions.rollback},
    OWN + "/confirm": {"POST": revisions.confirm},
    OWN + "/reload": {"POST": manage.reload_settings},
    OWN + "/hold": {"POST": manage.hold},
    OWN + "/resume": {"POST": manage.resume},
    OWN + "/reloads": {"GET": manage.reloads},
    OWN + "/reloads/{id:name}": {"GET": manage.reload},
    OWN + "/reloads/{id:name}:retry": {"POST": manage.retry},
    OWN + "/events": {"GET": events.stream},
    OWN + "/fleet": {"GET": fleet.standing},
    OWN + "/fleet/diff": {"GET": fleet.diff},
    OWN + "/fleet/rollout": {"POST": fleet.roll_out},
    OWN + "/fleet/pause": {"POST": fleet.pause},
    OWN + "/fleet/resume": {"POST": fleet.resume},
    OWN + "/fleet/abort": {"POST": fleet.abort},
    OWN + "/fleet/members/{node:name}": {"DELETE": fleet.forget},
    OWN + "/schema": {"GET": manage.schema},
    OWN + "/openapi.json": {"GET": openapi.document},
    OWN + "/metrics": {"GET": metrics.exposition},
    OWN + "/health/live": {"GET": manage.live},
    OWN + "/health/ready": {"GET": manage.ready},
}
"""Every route of the configuration: path, method, handler."""

RUNTIME: dict[str, dict[str, Handler]] = {
    "/v1/version": {"GET": runtime.version},
    VHOST + ":{action:name}": {"POST": runtime.host_action},
    "/v1/vhosts:reloadAllCertificates": {"POST": runtime.passed_on},
    "/v1/managers/api:reloadCertificate": {"POST": runtime.passed_on},
    APP + ":{action:name}": {"POST": runtime.app_action, "GET": runtime.app_action},
    **{
        APP + below: dict.fromkeys(methods, runtime.passed_on)
        for below, methods in (
            ("/streams", ("GET", "POST")),
            ("/streams/{stream:name}", ("GET", "DELETE")),
            ("/streams/{stream:name}:{action:name}", ("POST",)),
            ("/scheduledChannels", ("GET", "POST")),
            ("/scheduledChannels/{channel:name}", ("GET", "PATCH", "DELETE")),
            ("/multiplexChannels", ("GET", "POST")),
            ("/multiplexChannels/{channel:name}", ("GET", "DELETE")),
        )
    },
    "/v1/stats/current": {"GET": runtime.passed_on},
    "/v1/stats/current/{rest:path}": {"GET": runtime.passed_on},
}
"""The engine's routes that are no configuration."""

CONSOLE: dict[str, dict[str, Handler]] = {
    "/console": {"GET": console.page},
    "/console/{file:name}": {"GET": console.asset},
}
"""The page for people, which uses the routes above."""

ADMIN_ONLY: set[Handler] = {
    revisions.rollback,
    manage.reload_settings,
    manage.hold,
    manage.resume,
    fleet.roll_out,
    fleet.pause,
    fleet.resume,
    fleet.abort,
    fleet.forget,
}
"""What may change more than virtual hosts and what is in them."""

OPEN = (f"{OWN}/health/live", f"{OWN}/health/ready")
"""No token is needed here, and for the console."""

READING: set[Handler] = {documents.check}
"""What changes nothing, although it is a POST."""

STATUSES: list[tuple[type[errors.OmeconfError], int]] = [
    (errors.BadBody, 400),
    (errors.NotFound, 404),
    (errors.ReadOnly, 403),
    (errors.Stale, 412),
    (errors.Conflict, 409),
    (errors.Refused, 422),
    (errors.BadSettings, 422),
    (errors.NotReady, 503),
    (errors.Unwritable, 503),
]
"""Our errors as HTTP statuses; the first that fits."""

DROPPED = "dropped-application"
"""The code of what makes the engine crash when it is sent over its API: 409."""


_COLON, _SLASH = "\ue03a", "\ue02f"
"""Stand for ``%3A`` and ``%2F`` until a path has been matched."""


class _Name(Convertor[str]):
    """One segment of a path, or what stands before the colon of an action."""

    regex = "[^/:]+"

    def convert(self, value: str) -> str:
        return value.replace(_COLON, ":").replace(_SLASH, "/")

    def to_string(self, value: str) -> str:
        return value


register_url_convertor("name", _Name())


def build(
    service: Service,
    stopping: asyncio.Event | None = None,
    *,
    counts: metrics.Metrics | None = None,
    is_trusted: bool = False,
) -> Application:
    """The application; is_trusted: it is the local socket, whose callers are known by uid.

    Once stopping is set, nobody waits for a reload any more: it is answered as pending.
    Applications on several listeners of one daemon share their counts.
    """
    app = Starlette(
        routes=[
            _route(path, methods) for path, methods in {**ROUTES, **RUNTIME, **CONSOLE}.items()
        ],
        exception_handlers={
            ApiError: _on_api_error,
            HTTPException: _on_http_exception,
            errors.OmeconfError: _on_error,
            Exception: _on_defect,
        },
    )
    app.state.service = service
    app.state.tags = Tags()
    app.state.metrics = counts or metrics.Metrics(service)
    app.state.waiting = 0
    app.state.asking = 0
    app.state.reads = service.settings.log.reads
    app.state.stopping = stopping or asyncio.Event()
    app.router.redirect_slashes = False
    app.add_middleware(_Gate, service=service, is_trusted=is_trusted)
    return Application(app)


def _route(path: str, methods: dict[str, Handler]) -> Route:
    async def dispatch(request: Request) -> Response:
        handler = methods[{"HEAD": "GET"}.get(request.method, request.method)]
        if handler in READING:
            audit.only_reads(request)
        may = request.scope["caller"].may(_role(handler, request.method))
        if not may:
            raise ApiError(403, f"this needs the role {_role(handler, request.method)}")
        request.scope["route_path"] = path
        return await handler(request)

    return Route(path, dispatch, methods=list(methods))


def _role(handler: Handler, method: str) -> str:
    if handler in ADMIN_ONLY:
        return ADMIN
    return READ if method in ("GET", "HEAD") or handler in READING else WRITE


class Application:
    """Around everything, also around what has gone wrong: request ids, CORS, counts."""

    def __init__(self, app: Starlette) -> None:
        self.app = app
        self.state = app.state
        self.answers = Remembered()
        self.strangers = audit.Strangers()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        began = time.monotonic()
        scope["request_id"] = f"{getrandbits(64):016x}"
        REQUEST.set(scope["request_id"])
        key, answers = None, self.answers
        if scope["method"] == "GET" and not self.state.reads:
            key = key_of(scope)
            known = self.answers.find(key, self.state.service.repository.head)
            if known is not None:
                number = (b"omeconf-request-id", scope["request_id"].encode())
                await send({**known.start, "headers": [*known.headers, number]})
                await send({"type": "http.response.body", "body": known.body})
                known.count(time.monotonic() - began)
                return
        scope["path"] = _tidy(scope.get("raw_path", b"").decode("latin-1") or scope["path"])
        head = self.state.service.repository.head
        extra = cors.headers(head, Request(scope))
        extra["Omeconf-Request-Id"] = scope["request_id"]
        status = 500
        start: Message = {}

        async def send_with(message: Message) -> None:
            nonlocal status, start
            if message["type"] == "http.response.start":
                status = message["status"]
                names = {name.lower() for name, _ in message["headers"]}
                message["headers"] = [
                    *message["headers"],
                    *(
                        (name.lower().encode(), value.encode("latin-1", "replace"))
                        for name, value in extra.items()
                        if name.lower().encode() not in names
                    ),
                ]
                start = message
            elif (
                key is not None
                and (found := wanted(scope)) is not None
                and found is head
                and answers is self.answers
            ):
                # what was authorized by another head, or by other settings (which bring other
                # answers), is answered once, and not again
                self.remember(key, found, start, message, scope["route_path"])
            await send(message)

        try:
            if scope["method"] == "OPTIONS":
                await Response(status_code=204)(scope, receive, send_with)
            else:
                await self.app(scope, receive, send_with)
        except Exception:
            if not audit.is_told(scope):
                raise
        finally:
            took = time.monotonic() - began
            self.state.metrics.answered(
                scope["method"] if scope["method"] in cors.METHODS.split(", ") else "OTHER",
                scope.get("route_path", "none"),
                status,
                took,
            )
            if self.state.reads or not audit.is_read(scope):  # behind the answer
                asyncio.get_running_loop().call_soon(
                    audit.write, scope, start, took, self.strangers
                )

    def known(self, scope: Scope) -> list[bytes] | None:
        """The answer to a request that has been given before: its status line, and the rest."""
        if scope["method"] != "GET" or self.state.reads:
            return None
        began = time.monotonic()
        found = self.answers.find(key_of(scope), self.state.service.repository.head)
        if found is None:
            return None
        found.count(time.monotonic() - began)
        number = b"omeconf-request-id: %016x\r\n" % getrandbits(64)
        return [found.status_line, number, found.lines, found.body]

    def remember(self, key: Key, head: Head, start: Message, message: Message, route: str) -> None:
        """Keep an answer that is whole."""
        if message.get("more_body") or start["status"] not in (200, 304):
            return
        headers = [each for each in start["headers"] if each[0] != b"omeconf-request-id"]
        count = self.state.metrics.counter("GET", route, start["status"])
        answer = Answer({**start, "headers": headers}, message.get("body", b""), count)
        self.answers.keep(key, head, answer)


class _Gate:
    """Before any route: bodies limited, callers known, other web sites kept out."""

    def __init__(self, app: ASGIApp, service: Service, *, is_trusted: bool) -> None:
        self.app = app
        self.service = service
        self.is_trusted = is_trusted

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        request = Request(scope, receive)
        try:
            scope["caller"] = self.caller(request)
            if cors.is_foreign_write(self.service.repository.head, request):
                raise ApiError(403, "another web site may not change anything here: CrossDomains "
                                    "of Server.xml says which may")  # fmt: skip
            receive = self.limited(request, receive)
        except (NotAuthorized, ApiError) as error:
            handle = _on_api_error if isinstance(error, ApiError) else _on_not_authorized
            await handle(request, error)(scope, receive, send)
        else:
            await self.app(scope, receive, send)

    def caller(self, request: Request) -> Caller:
        if self.is_trusted:
            return local_caller(request.scope.get("state", {}).get("peer"))
        path = request.scope["path"]
        if path in OPEN or path == "/console" or path.startswith("/console/"):
            return Caller("anyone", READ)
        return authorize(
            request.headers.get("Authorization"),
            self.service.repository.head,
            self.service.settings.api.tokens,
            bearer=path.startswith(OWN),
        )

    def limited(self, request: Request, receive: Receive) -> Receive:
        most = self.service.settings.api.max_body_bytes
        text = f"The body is larger than {most} bytes"
        length = request.headers.get("Content-Length", "0")
        if not length.isdecimal() or len(length) > 18 or int(length) > most:
            raise ApiError(413, text)
        left, patience_s = most, self.service.settings.api.body_timeout_s
        is_whole = False

        async def receive_limited() -> Any:
            nonlocal left, is_whole
            if is_whole:
                return await receive()  # only that the caller is gone can come now
            try:
                message = await asyncio.wait_for(receive(), patience_s)
            except TimeoutError:
                raise ApiError(408, f"nothing came for {patience_s:g} seconds") from None
            is_whole = not message.get("more_body", False)
            left -= len(message.get("body", b""))
            if left < 0:
                raise ApiError(413, text)
            return message

        return receive_limited


def _tidy(path: str) -> str:
    """Percent-decoded by segments; one trailing slash is tolerated; /v1/vhost is /v1/vhosts."""
    path = re.sub("%3[Aa]", _COLON, re.sub("%2[Ff]", _SLASH, path))
    path = unquote(path)
    if path == "/v1/vhost" or path.startswith("/v1/vhost/"):
        path = "/v1/vhosts" + path[len("/v1/vhost") :]
    return path[:-1] if len(path) > 1 and path.endswith("/") else path


def _is_own(request: Request) -> bool:
    path: str = request.scope["path"]
    return path.startswith("/omeconf")


def _message(request: Request, error: ApiError) -> str:
    """As a single answer has it, in the form of the release that is asked for."""
    app = request.scope.get("app")
    if app is not None and app.state.service.settings.api.compat == "0.12":
        return f"{error.text.removeprefix('[Config] ')} ({error.status})"
    return error.message


def _on_api_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, ApiError)
    audit.because(request, error.text)
    if _is_own(request):
        return manage.problem(error.status, error.text, headers=error.headers, extra=error.extra)
    return answer_error(error.status, _message(request, error), headers=error.headers)


def _on_not_authorized(request: Request, error: Exception) -> Response:
    audit.because(request, str(error).partition(":")[0])  # behind it stands what was sent
    how = "Authorization: Basic base64(AccessToken), without a user name"
    if _is_own(request):
        challenge = {"WWW-Authenticate": 'Basic realm="OvenMediaEngine"'}
        return manage.problem(401, f"{error}; send {how}", headers=challenge)
    app = request.scope.get("app")
    if app is not None and app.state.service.settings.api.compat == "0.12":
        return answer_error(403, f"{error} (403)")
    challenge = {"WWW-Authenticate": 'Basic realm="OvenMediaEngine"', "Omeconf-Hint": how}
    return answer_error(401, f"[HTTP] {error} (401)", headers=challenge)


def _on_http_exception(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    headers = dict(error.headers or {})
    if "Allow" in headers:
        headers["Allow"] = _allowed(request.scope)
    text = {
        404: "Controller not found",
        405: f"Method not allowed; allowed: {headers.get('Allow', '')}",
    }.get(error.status_code, error.detail)
    audit.because(request, text)
    if error.status_code == 404:
        near = _near(request.scope["path"])
        headers["Omeconf-Hint"] = f"near: {near}" if near else "see /omeconf/v1/openapi.json"
    if _is_own(request):
        hint = headers.get("Omeconf-Hint", "")
        return manage.problem(
            error.status_code, f"{text}; {hint}" if hint else text, headers=headers
        )
    failure = ApiError(error.status_code, text)
    return answer_error(error.status_code, _message(request, failure), headers=headers)


def _allowed(scope: Scope) -> str:
    """Every method of every route that fits a path, as Allow has them."""
    found = {"OPTIONS"}
    for route in scope["app"].routes:
        if route.matches(scope)[0] is not Match.NONE:
            found |= route.methods
    return ", ".join(sorted(found))


def _near(path: str) -> str:
    """The route that looks most like a path."""
    shown = {re.sub(r":(name|int|path)}", "}", known): known for known in (*ROUTES, *RUNTIME)}
    found = difflib.get_close_matches(path, shown, n=1, cutoff=0.6)
    return found[0] if found else ""


def _on_defect(request: Request, error: Exception) -> Response:
    """What should not happen, in the form that everything else has, with the request's id."""
    number = request.scope["request_id"]
    audit.because(request, "an error inside omeconf", is_told=True)
    log.error("%s %s failed (request %s)", request.method, request.scope["path"], number,
              exc_info=error, extra=fields(event="defect"))  # fmt: skip
    text = f"an error inside omeconf; its log has more: request {number}"
    if _is_own(request):
        return manage.problem(500, text)
    return answer_error(500, f"[HTTP] {text} (500)")


def _on_error(request: Request, error: Exception) -> Response:
    """Our own errors: the engine's words where it would refuse too, else ours."""
    assert isinstance(error, errors.OmeconfError)
    status = next((status for kind, status in STATUSES if isinstance(error, kind)), 500)
    violations = getattr(error, "violations", ())
    text = str(error)
    audit.because(request, text)
    prefix = "[HTTP] "
    if isinstance(error, errors.BadBody):
        prefix = "[Config] "
    elif isinstance(error, errors.Refused) and violations and violations[0].says:
        first = violations[0]
        status, text, prefix = 400, first.says, "[Config] "
        if first.code == DROPPED:
            status, prefix = 409, "[HTTP] "
    if _is_own(request):
        if isinstance(error, errors.BadBody) and error.hint:
            return manage.problem(status, f"{error}; {error.hint}")
        if isinstance(error, errors.Refused):
            extra = {"diff": error.diff} if error.diff and not hides_secrets(request) else {}
            return manage.problem(422, str(error), violations, extra=extra)
        return manage.problem(status, str(error), violations)
    if "/outputProfiles" in request.scope["path"] and prefix == "[Config] ":
        text, prefix = f"[Config] {text}", "[HTTP] "
    return answer_error(status, _message(request, ApiError(status, text, prefix=prefix)))
