"""/omeconf/v1: several edits as one revision, whole files, and checks before anything is done."""

from __future__ import annotations

from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from omeconf.api.auth import ADMIN
from omeconf.api.conditions import is_known, precondition
from omeconf.api.envelope import ApiError, read_body
from omeconf.api.reading import hides_secrets
from omeconf.api.writing import (
    caller_of,
    confirm_seconds,
    finish,
    is_dry,
    message_of,
    must_be_few,
    must_be_known,
    on_writer,
    service_of,
    tags_of,
    write,
)
from omeconf.core.check import Checked
from omeconf.core.check import check as check_snapshot
from omeconf.core.diff import changes, unified
from omeconf.core.edit import Candidate, Edit, Verb
from omeconf.core.mapping import Json, to_json
from omeconf.core.path import Path
from omeconf.core.plan import plan
from omeconf.core.secrets import masked
from omeconf.errors import NotFound
from omeconf.store.repository import Head

SERVER = Path.parse("/Server")
BELOW_HOSTS = "/Server/VirtualHosts/"
MERGE_PATCH, JSON_PATCH = "application/merge-patch+json", "application/json-patch+json"


async def commit(request: Request) -> Response:
    """Several edits as one revision: a list, a JSON merge patch or a JSON Patch of all."""
    edits = _edits(request, read_body(await request.body()))
    if caller_of(request).role != ADMIN and not all(
        str(edit.path).startswith(BELOW_HOSTS) for edit in edits
    ):
        raise ApiError(403, "only the role admin may change what is outside of the virtual hosts")
    before = service_of(request).view()
    written = await write(request, *edits, resource=_whole)
    return JSONResponse(
        {
            "revision": written.head.revision.number,
            "reload": written.headers["Omeconf-Reload"],
            **_effect(request, before.checked, written.head.checked),
        },
        headers=written.headers,
    )


async def get(request: Request) -> Response:
    """The configuration from Server down, as JSON, with its ETag."""
    head = service_of(request).view()
    headers = {"ETag": tags_of(request).of("/Server", _whole(head), head)}
    if is_known(request, headers["ETag"]):
        return Response(status_code=304, headers=headers)
    root = head.checked.root
    assert root is not None
    return JSONResponse(to_json(root, hide_secrets=hides_secrets(request)), headers=headers)


async def check(request: Request) -> Response:
    """Violations of a Server.xml in the body; of what lies on disk, if the body is empty."""
    service = service_of(request)
    repository = service.repository
    data = await request.body()
    if data.strip():
        found = await on_writer(request, repository.check_with, repository.main, data)
    else:
        found = await on_writer(request, _check_disk, request)
    head = repository.head
    effect = _effect(request, head.checked, found) if head and found.is_good else {}
    violations = [violation.as_json() for violation in found.violations]
    return JSONResponse({"good": found.is_good, "violations": violations, **effect})


async def document(request: Request) -> Response:
    """A file as it is, byte for byte; ?file=NAME for an included one."""
    head = service_of(request).view()
    file = request.query_params.get("file", head.checked.snapshot.main)
    snapshot = masked(head.checked) if hides_secrets(request) else head.checked.snapshot
    data = snapshot.files.get(file)
    if data is None:
        raise NotFound(f"{file} is not a file of this configuration")
    headers = {"ETag": tags_of(request).of(f"file:{file}", _text(head, file), head)}
    if is_known(request, headers["ETag"]):
        return Response(status_code=304, headers=headers)
    return Response(data, headers=headers, media_type="application/xml")


async def put_document(request: Request) -> Response:
    """A whole file as given; needs If-Match, since it takes the place of all that is there."""
    service = service_of(request)
    before = service.view()
    file = request.query_params.get("file", before.checked.snapshot.main)
    condition = precondition(request, lambda head: _text(head, file))
    if condition is None:
        raise ApiError(428, "If-Match is needed: GET the document first, and send its ETag")
    condition(before)
    must_be_known(request)
    data = await request.body()
    if is_dry(request):
        found = await on_writer(request, service.repository.check_with, file, data)
        service.repository.judge(found, before.checked)
        effect = _effect(request, before.checked, found)
        return JSONResponse({"revision": before.revision.number, "reload": "none", **effect})
    candidate = Candidate(0, (), caller_of(request).name, message_of(request))
    committed = await on_writer(
        request,
        service.put,
        file,
        data,
        candidate,
        confirm_s=confirm_seconds(request),
        precondition=condition,
    )
    written = await finish(request, committed)
    tag = tags_of(request).of(f"file:{file}", _text(written.head, file), written.head)
    return JSONResponse(
        {
            "revision": written.head.revision.number,
            "reload": written.headers["Omeconf-Reload"],
            **_effect(request, before.checked, written.head.checked),
        },
        headers=written.headers | {"ETag": tag},
    )


def _edits(request: Request, body: Json) -> list[Edit]:
    kind = request.headers.get("Content-Type", "").partition(";")[0].strip().lower()
    if kind == MERGE_PATCH:
        if not isinstance(body, dict):
            raise ApiError(400, "a merge patch of the configuration is an object")
        return [Edit(Verb.MERGE, SERVER, body)]
    if kind == JSON_PATCH:
        tests = isinstance(body, list) and any(
            isinstance(each, dict) and each.get("op") == "test" for each in body
        )
        if not tests and "If-Match" not in request.headers:
            raise ApiError(428, "a JSON Patch needs a test, or If-Match: its indexes shift")
        return [Edit(Verb.PATCH, SERVER, body)]
    found = body.get("edits") if isinstance(body, dict) else None
    if not isinstance(found, list) or not found:
        raise ApiError(400, 'the body is {"edits": [{"verb": ..., "path": ..., "value": ...}]}')
    must_be_few(found)
    return [_edit(each) for each in found]


def _edit(value: Json) -> Edit:
    if not isinstance(value, dict) or not set(value) <= {"verb", "path", "value"}:
        raise ApiError(400, 'an edit is {"verb": ..., "path": ..., "value": ...}')
    try:
        verb = Verb(str(value.get("verb")))
    except ValueError:
        raise ApiError(400, f"verb is one of {', '.join(Verb)}") from None
    try:
        path = Path.parse(str(value.get("path", "")))
    except ValueError as error:
        raise ApiError(400, f"the path of an edit: {error}") from None
    if not path.steps or path.steps[0] != SERVER.steps[0]:
        raise ApiError(400, "the path of an edit begins with /Server")
    return Edit(verb, path, value.get("value"))


def _effect(request: Request, old: Checked, new: Checked) -> dict[str, Any]:
    """What would change, restart, and be written."""
    found = changes(old.root, new.root)
    hide = hides_secrets(request)
    before, after = (masked(each) if hide else each.snapshot for each in (old, new))
    return {
        "changes": [change.as_json() for change in found],
        "plan": plan(found).as_json(),
        "diff": unified(before, after),
    }


def _check_disk(request: Request) -> Checked:
    repository = service_of(request).repository
    return check_snapshot(repository.on_disk(), repository.schema)


def _whole(head: Head) -> Json:
    assert head.checked.root is not None
    return to_json(head.checked.root)


def _text(head: Head, file: str) -> Json:
    data = head.checked.snapshot.files.get(file)
    if data is None:
        raise NotFound(f"{file} is not a file of this configuration")
    return data.decode("utf-8", "backslashreplace")
