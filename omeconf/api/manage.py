"""/omeconf/v1: how things stand, health, reloads, and what adopts manual edits."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from omeconf import __version__
from omeconf.api.envelope import ApiError
from omeconf.api.writing import caller_of, must_not_be_dry, on_writer, reason_in, service_of
from omeconf.core.describe import describe_all
from omeconf.core.violation import Violation
from omeconf.daemon.standing import engine_state
from omeconf.store.disk import shipped_xsd


def problem(
    status: int,
    title: str,
    violations: Sequence[Violation] = (),
    *,
    headers: dict[str, str] | None = None,
    extra: dict[str, Any] | None = None,
) -> Response:
    """An error as application/problem+json (RFC 9457), with the violations in it."""
    body: dict[str, Any] = {"status": status, "title": title, **(extra or {})}
    if violations:
        body["violations"] = [violation.as_json() for violation in violations]
    return Response(json.dumps(body), status, headers, media_type="application/problem+json")


async def status(request: Request) -> Response:
    """The revisions apart, drift with its violations, reloads; and who asks."""
    found = await on_writer(request, service_of(request).status)
    caller = caller_of(request)
    who = {"name": caller.name, "role": caller.role}
    return JSONResponse({"version": __version__, "caller": who, **found})


async def reloads(request: Request) -> Response:
    """The pending, the running and the last ended reloads, newest first."""
    return JSONResponse({"reloads": await on_writer(request, service_of(request).reloads)})


async def reload(request: Request) -> Response:
    """One reload: what it covers, what it did, how it ended."""
    job_id = request.path_params["id"]
    return JSONResponse(await on_writer(request, service_of(request).reload, job_id))


async def retry(request: Request) -> Response:
    """Do a failed or waiting reload again."""
    must_not_be_dry(request)
    service = service_of(request)
    job = await on_writer(request, service.retry, request.path_params["id"])
    return JSONResponse(job.as_json(), 202)


async def reload_settings(request: Request) -> Response:
    """Read omeconf.toml again, and look at the files; what that reloads goes on by itself."""
    must_not_be_dry(request)
    return JSONResponse(await on_writer(request, lambda: service_of(request).reread()))


async def hold(request: Request) -> Response:
    """Adopt nothing and refuse edits until resume, over restarts."""
    must_not_be_dry(request)
    reason = await reason_in(request) or f"held by {caller_of(request).name}"
    return JSONResponse(await on_writer(request, service_of(request).hold, reason))


async def resume(request: Request) -> Response:
    """Adopt again, beginning with what lies on disk now."""
    must_not_be_dry(request)
    return JSONResponse(await on_writer(request, service_of(request).resume))


async def schema(request: Request) -> Response:
    """The XSD of the engine's release series, for editors; ?form=model is all elements as JSON."""
    form = request.query_params.get("form", "xsd")
    if form not in ("xsd", "model"):
        raise ApiError(400, f'form is xsd or model, not "{form}"')
    known = service_of(request).repository.schema
    if form == "model":
        return JSONResponse({"series": known.series, "elements": describe_all(known.root)})
    return Response(shipped_xsd(known.series), media_type="application/xml")


async def live(request: Request) -> Response:
    """The process answers, and what makes the engine follow is at work."""
    if not service_of(request).is_alive:
        return problem(503, "reloads are not carried out any more: restart omeconf")
    return JSONResponse({"status": "ok"})


async def ready(request: Request) -> Response:
    """A good configuration is known; 503 until then. And whether the engine has been given it."""
    service_of(request).view()
    return JSONResponse({"status": "ok", "engine": engine_state(service_of(request))})
