"""/omeconf/v1/revisions: the history, what changed, the way back, and confirming."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from omeconf.api.conditions import based
from omeconf.api.effects import effect, violations
from omeconf.api.envelope import ApiError, read_body, whole_number
from omeconf.api.reading import hides_secrets
from omeconf.api.writing import (
    caller_of,
    confirm_seconds,
    dry,
    finish,
    flag,
    is_dry,
    message_of,
    must_be_known,
    must_not_be_dry,
    on_writer,
    service_of,
    wants_reload,
)
from omeconf.daemon import summaries, views
from omeconf.daemon.states import state
from omeconf.errors import NotFound

FROM_TO = {"from": "running", "to": "head"}
"""Which states are compared, unless told."""


async def list_all(request: Request) -> Response:
    """The history, newest first; ?changes=true: with what each changed, in short."""
    limit = min(max(_number(request, "limit", 100), 1), 1000)
    below = _number(request, "below", 0) or None
    wants_changes = flag(request, "changes")
    service = service_of(request)
    found = await on_writer(request, service.revisions, limit, below)
    shown = [revision.as_json() for revision in found]
    if wants_changes:
        more = await on_writer(request, summaries.of, service.repository, found)
        shown = [{**each, **summary} for each, summary in zip(shown, more, strict=True)]
    return JSONResponse({"revisions": shown})


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


async def compare(request: Request) -> Response:
    """What differs between two states (?from=A&to=B): disk, head, running, healthy, or numbers."""
    service = service_of(request)
    names = [request.query_params.get(each, usual) for each, usual in FROM_TO.items()]
    old, new = await on_writer(request, lambda: [state(service, name) for name in names])
    found = await on_writer(request, effect, request, old.checked, new.checked)
    return JSONResponse(
        {
            "from": {"name": old.name, "revision": old.number},
            "to": {"name": new.name, "revision": new.number},
            "good": new.checked.is_good,
            **violations(new.checked.violations),
            **found,
        }
    )


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
        precondition=based(request),
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
    condition = based(request)
    if condition is not None:
        condition(base)
    shown = {**base.revision.as_json(), **effect(request, base.checked, would.head.checked)}
    return JSONResponse(shown, headers=dry(would).headers)


def _existing(number: int) -> int:
    """A number that a revision may have. Raises NotFound."""
    if not 0 < number < 2**62:
        raise NotFound(f"there is no revision {number}")
    return number


def _number(request: Request, name: str, default: int) -> int:
    text = request.query_params.get(name)
    return default if text is None else whole_number(name, text)
