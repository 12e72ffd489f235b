"""/omeconf/v1/revisions: the history, what changed, the way back, and confirming."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from omeconf.api.envelope import ApiError, read_body
from omeconf.api.reading import effect, hides_secrets
from omeconf.api.writing import (
    caller_of,
    confirm_seconds,
    dry,
    finish,
    is_dry,
    message_of,
    must_be_known,
    must_not_be_dry,
    on_writer,
    service_of,
    wants_reload,
)
from omeconf.daemon import views
from omeconf.errors import NotFound

MOST = 2**53
"""The largest number that every JSON reader takes as it is."""
DIGITS = len(str(MOST))


async def list_all(request: Request) -> Response:
    """The history, newest first."""
    limit = min(max(_number(request, "limit", 100), 1), 1000)
    below = _number(request, "below", 0) or None
    found = await on_writer(request, service_of(request).revisions, limit, below)
    return JSONResponse({"revisions": [revision.as_json() for revision in found]})


async def get(request: Request) -> Response:
    """One revision, with its files."""
    service, number = service_of(request), _existing(request.path_params["number"])
    found = await on_writer(request, service.repository.history.get, number)
    files = await on_writer(
        request, views.files, service.repository, number, hide_secrets=hides_secrets(request)
    )
    return JSONResponse({**found.as_json(), "files": files})


async def diff(request: Request) -> Response:
    """What a revision changed: by path, as a plan, and as unified text."""
    number = _existing(request.path_params["number"])
    against = _number(request, "against", -1)
    found = await on_writer(
        request,
        views.diff,
        service_of(request).repository,
        number,
        None if against < 0 else against,
        hide_secrets=hides_secrets(request),
    )
    return JSONResponse(found)


async def rollback(request: Request) -> Response:
    """An old state again, as a new revision."""
    service = service_of(request)
    body = read_body(await request.body())
    number = body.get("revision") if isinstance(body, dict) else None
    if isinstance(number, float) and number.is_integer():
        number = int(number)
    if not isinstance(number, int) or isinstance(number, bool):
        raise ApiError(400, 'the body is {"revision": NUMBER}')
    _existing(number)
    must_be_known(request)
    if is_dry(request):
        return await _would(request, number)
    by, why, confirm_s = caller_of(request).name, message_of(request), confirm_seconds(request)
    committed = await on_writer(
        request,
        service.rollback,
        number,
        by,
        why,
        confirm_s=confirm_s,
        reload=wants_reload(request),
    )
    written = await finish(request, committed)
    return JSONResponse(written.head.revision.as_json(), headers=written.headers)


async def confirm(request: Request) -> Response:
    """What was written with ?confirm=SECONDS stays."""
    must_not_be_dry(request)
    return JSONResponse(await on_writer(request, service_of(request).confirm))


async def _would(request: Request, number: int) -> Response:
    """What a rollback would change."""
    preview, confirm_s = service_of(request).preview_rollback, confirm_seconds(request)
    would = await on_writer(request, preview, number, confirm_s=confirm_s)
    base = would.base
    shown = {**base.revision.as_json(), **effect(request, base.checked, would.head.checked)}
    return JSONResponse(shown, headers=dry(would).headers)


def _existing(number: int) -> int:
    """A number that a revision may have. Raises NotFound."""
    if not 0 < number < 2**62:
        raise NotFound(f"there is no revision {number}")
    return number


def _number(request: Request, name: str, default: int) -> int:
    text = request.query_params.get(name)
    if text is None:
        return default
    if not (text.isascii() and text.isdigit()) or len(text) > DIGITS or int(text) > MOST:
        raise ApiError(400, f'{name} is a whole number up to {MOST}, not "{text}"')
    return int(text)
