"""/omeconf/v1: several edits as one revision, whole files, and checks before anything is done."""

from __future__ import annotations

from collections.abc import Sequence

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from omeconf.api.auth import ADMIN
from omeconf.api.conditions import is_known, must_match, precondition
from omeconf.api.envelope import ApiError, read_body
from omeconf.api.reading import effect, hides_secrets
from omeconf.api.writing import (
    Written,
    caller_of,
    confirm_seconds,
    dry,
    finish,
    is_dry,
    message_of,
    must_be_few,
    must_be_known,
    on_writer,
    service_of,
    tags_of,
    wants_reload,
    write,
)
from omeconf.core.check import Checked
from omeconf.core.check import check as check_snapshot
from omeconf.core.edit import Candidate, Edit, Verb
from omeconf.core.mapping import HIDDEN, Json, to_json
from omeconf.core.path import Path
from omeconf.core.secrets import masked
from omeconf.errors import NotFound
from omeconf.store.repository import Head

SERVER = Path.parse("/Server")
BELOW_HOSTS = "/Server/VirtualHosts/"
MAX_COPIES = 10
"""Operations "copy" of one request: each can double what there is."""
MERGE_PATCH, JSON_PATCH = "application/merge-patch+json", "application/json-patch+json"


async def commit(request: Request) -> Response:
    """Several edits as one revision: a list, a JSON merge patch or a JSON Patch of all."""
    must_match(request, service_of(request).view(), _whole)
    edits = _edits(request, read_body(await request.body()))
    if caller_of(request).role != ADMIN and not all(
        str(edit.path).startswith(BELOW_HOSTS) for edit in edits
    ):
        raise ApiError(403, "only the role admin may change what is outside of the virtual hosts")
    before = service_of(request).view()
    written = await write(request, *edits, resource=_whole)
    head = written.head
    tag = {} if is_dry(request) else {"ETag": tags_of(request).of("/Server", _whole(head), head)}
    return _written(request, before.checked, written, tag)


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
    what = effect(request, head.checked, found) if head and found.is_good else {}
    return JSONResponse({"good": found.is_good, **_violations(found), **what})


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
    condition = precondition(request, lambda head: _text(head, file), f"file:{file}")
    if condition is None:
        raise ApiError(428, "If-Match is needed: GET the document first, and send its ETag")
    condition(before)
    must_be_known(request)
    data = await request.body()
    confirm_s = confirm_seconds(request)
    if HIDDEN.encode() in data:
        found = await on_writer(request, service.repository.check_with, file, data)
        _must_show_secrets(found, file)
    if is_dry(request):
        would = await on_writer(request, service.preview_put, file, data, confirm_s=confirm_s)
        return _written(request, would.base.checked, dry(would))
    candidate = Candidate(0, (), caller_of(request).name, message_of(request))
    committed = await on_writer(
        request,
        service.put,
        file,
        data,
        candidate,
        confirm_s=confirm_s,
        precondition=condition,
        reload=wants_reload(request),
    )
    written = await finish(request, committed)
    tag = tags_of(request).of(f"file:{file}", _text(written.head, file), written.head)
    return _written(request, before.checked, written, {"ETag": tag})


def _written(
    request: Request, before: Checked, written: Written, headers: dict[str, str] | None = None
) -> Response:
    """What became of a write, or what would: revision, reload, violations, diff and plan."""
    now = written.head.checked
    return JSONResponse(
        {
            "revision": written.head.revision.number,
            "reload": written.headers["Omeconf-Reload"],
            **_violations(now),
            **effect(request, before, now),
        },
        headers=written.headers | (headers or {}),
    )


def _violations(found: Checked) -> dict[str, Json]:
    return {"violations": [violation.as_json() for violation in found.violations]}


def _edits(request: Request, body: Json) -> list[Edit]:
    kind = request.headers.get("Content-Type", "").partition(";")[0].strip().lower()
    if kind == MERGE_PATCH:
        if not isinstance(body, dict):
            raise ApiError(400, "a merge patch of the configuration is an object")
        return [Edit(Verb.MERGE, SERVER, body)]
    if kind == JSON_PATCH:
        edits = [Edit(Verb.PATCH, SERVER, body)]
        _must_be_safe(request, edits)
        return edits
    found = body.get("edits") if isinstance(body, dict) else None
    if not isinstance(found, list) or not found:
        raise ApiError(400, 'the body is {"edits": [{"verb": ..., "path": ..., "value": ...}]}')
    must_be_few(found)
    edits = [_edit(request, each) for each in found]
    _must_be_safe(request, [edit for edit in edits if edit.verb is Verb.PATCH])
    return edits


def _must_be_safe(request: Request, patches: Sequence[Edit]) -> None:
    """Raise ApiError for JSON Patches that name nothing to hold on to, or are too much to do."""
    copies = 0
    for patch in patches:
        operations = patch.value if isinstance(patch.value, list) else []
        must_be_few(operations)
        kinds = [each.get("op") for each in operations if isinstance(each, dict)]
        if "test" not in kinds and "If-Match" not in request.headers:
            raise ApiError(428, "a JSON Patch needs a test, or If-Match: its indexes shift")
        copies += kinds.count("copy")
    if copies > MAX_COPIES:
        raise ApiError(413, f"more than {MAX_COPIES} copies in one request")


def _edit(request: Request, value: Json) -> Edit:
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
    if path.names not in service_of(request).repository.schema.items:
        raise ApiError(400, f"the path of an edit: there can be no {path}")
    return Edit(verb, path, value.get("value"))


def _must_show_secrets(found: Checked, file: str) -> None:
    """Raise ApiError 422 if a file was saved as a reader sees it, with its secrets hidden."""
    for node in found.root.descendants() if found.root else ():
        if node.item.is_secret and node.element.value == HIDDEN and node.document.file == file:
            raise ApiError(422, f'{node.path} is "{HIDDEN}", which only stands for a secret')


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
