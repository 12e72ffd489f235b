"""/omeconf/v1: the whole configuration as JSON, and several edits of it as one revision."""

from __future__ import annotations

from collections.abc import Sequence

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from omeconf.api.auth import ADMIN
from omeconf.api.conditions import is_conditional, is_known, must_match
from omeconf.api.documents import BELOW_HOSTS, known_path
from omeconf.api.effects import answer_written
from omeconf.api.envelope import ApiError, read_body
from omeconf.api.reading import hides_secrets
from omeconf.api.writing import (
    caller_of,
    is_dry,
    must_be_few,
    service_of,
    tags_of,
    write,
)
from omeconf.core.edit import Edit, Verb
from omeconf.core.mapping import Json, to_json
from omeconf.core.path import Path
from omeconf.store.head import Head

SERVER = Path.parse("/Server")
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
    return answer_written(request, before.checked, written, tag)


async def get(request: Request) -> Response:
    """The configuration from Server down, as JSON, with its ETag."""
    head = service_of(request).view()
    headers = {"ETag": tags_of(request).of("/Server", _whole(head), head)}
    if is_known(request, headers["ETag"]):
        return Response(status_code=304, headers=headers)
    root = head.checked.root
    assert root is not None
    return JSONResponse(to_json(root, hide_secrets=hides_secrets(request)), headers=headers)


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
        if "test" not in kinds and not is_conditional(request):
            raise ApiError(
                428, "a JSON Patch needs a test, If-Match, or ?base=N: its indexes shift"
            )
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
    return Edit(verb, known_path(request, str(value.get("path", ""))), value.get("value"))


def _whole(head: Head) -> Json:
    assert head.checked.root is not None
    return to_json(head.checked.root)
