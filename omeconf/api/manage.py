"""/omeconf/v1: what the engine's API never had: status, revisions, the files, health."""

from __future__ import annotations

import asyncio
import json
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from omeconf import __version__
from omeconf.api.envelope import ApiError, read_body
from omeconf.api.writing import caller_of, confirm_seconds, finish, message_of, service_of
from omeconf.core.violation import Violation


def problem(
    status: int,
    title: str,
    violations: tuple[Violation, ...] = (),
    *,
    headers: dict[str, str] | None = None,
) -> Response:
    """An error as application/problem+json (RFC 9457), with the violations in it."""
    body: dict[str, Any] = {"status": status, "title": title}
    if violations:
        body["violations"] = [violation.as_json() for violation in violations]
    return Response(json.dumps(body), status, headers, media_type="application/problem+json")


async def status(request: Request) -> Response:
    """GET status: the revisions apart, drift with its violations, reloads."""
    service = service_of(request)
    found = await asyncio.wrap_future(service.submit(service.status))
    return JSONResponse({"version": __version__, **found})


async def revisions(request: Request) -> Response:
    """GET revisions: the history, newest first; ?limit=N&below=NUMBER."""
    service = service_of(request)
    try:
        limit = min(max(int(request.query_params.get("limit", 100)), 1), 1000)
        below_text = request.query_params.get("below")
        below = int(below_text) if below_text else None
    except ValueError:
        raise ApiError(400, "limit and below are whole numbers") from None
    found = await asyncio.wrap_future(service.submit(service.revisions, limit, below))
    return JSONResponse({"revisions": [revision.as_json() for revision in found]})


async def revision(request: Request) -> Response:
    """GET revisions/{number}: one revision, with its files."""
    service = service_of(request)
    number = request.path_params["number"]
    history = service.repository.history
    found = await asyncio.wrap_future(service.submit(history.get, number))
    files = await asyncio.wrap_future(service.submit(history.files, number))
    return JSONResponse(
        {
            **found.as_json(),
            "files": {name: data.decode("utf-8", "replace") for name, data in files.items()},
        }
    )


async def rollback(request: Request) -> Response:
    """POST rollback {"revision": N}: that state again, as a new revision; ?confirm=SECONDS."""
    service = service_of(request)
    body = read_body(await request.body())
    number = body.get("revision") if isinstance(body, dict) else None
    if not isinstance(number, int) or isinstance(number, bool):
        raise ApiError(400, 'the body is {"revision": NUMBER}')
    by, why, confirm_s = caller_of(request).name, message_of(request), confirm_seconds(request)
    written = await finish(
        request, service.submit(service.rollback, number, by, why, confirm_s=confirm_s)
    )
    return JSONResponse(written.head.revision.as_json(), headers=written.headers)


async def confirm(request: Request) -> Response:
    """POST confirm: what was committed with ?confirm=SECONDS stays."""
    service = service_of(request)
    by = caller_of(request).name
    return JSONResponse(await asyncio.wrap_future(service.submit(service.confirm, by)))


async def hold(request: Request) -> Response:
    """POST hold {"reason": "..."}: adopt nothing and refuse edits until resume."""
    service = service_of(request)
    text = await request.body()
    body = read_body(text) if text.strip() else {}
    reason = body.get("reason", "") if isinstance(body, dict) else None
    if not isinstance(reason, str):
        raise ApiError(400, 'the body is {"reason": "TEXT"}, or empty')
    reason = reason or f"held by {caller_of(request).name}"
    return JSONResponse(await asyncio.wrap_future(service.submit(service.hold, reason)))


async def resume(request: Request) -> Response:
    """POST resume: adopt again, beginning with what lies on disk now."""
    service = service_of(request)
    return JSONResponse(await asyncio.wrap_future(service.submit(service.resume)))


async def live(request: Request) -> Response:
    """GET health/live: the process answers, and what makes the engine follow is at work."""
    if not service_of(request).is_alive:
        return problem(503, "reloads are not carried out any more: restart omeconf")
    return JSONResponse({"status": "ok"})


async def ready(request: Request) -> Response:
    """GET health/ready: a good configuration is known; 503 until then."""
    service_of(request).view()
    return JSONResponse({"status": "ok"})
