"""/omeconf/v1: files, and single elements, as the text they are; and checks of such text."""

from __future__ import annotations

from collections.abc import Callable
from hashlib import sha256
from urllib.parse import quote
from weakref import WeakKeyDictionary

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from omeconf.api.auth import ADMIN, WRITE
from omeconf.api.conditions import is_known, precondition
from omeconf.api.effects import answer_written, effect, violations
from omeconf.api.envelope import ApiError
from omeconf.api.reading import hides_secrets
from omeconf.api.writing import (
    Written,
    caller_of,
    confirm_seconds,
    dry,
    finish,
    is_dry,
    message_of,
    must_be_known,
    on_writer,
    origin_of,
    service_of,
    tags_of,
    wants_reload,
    write,
)
from omeconf.core.build import build
from omeconf.core.check import Checked
from omeconf.core.check import check as check_snapshot
from omeconf.core.edit import Candidate, Edit, Verb
from omeconf.core.effective import EffectiveElement
from omeconf.core.fragment import Fragment, fragment
from omeconf.core.mapping import HIDDEN, Json
from omeconf.core.path import Path
from omeconf.core.secrets import masked
from omeconf.core.snapshot import Snapshot
from omeconf.core.structure import path_hint
from omeconf.core.trial import edited
from omeconf.daemon.states import state
from omeconf.errors import NotFound, Refused
from omeconf.store.head import Head

BELOW_HOSTS = "/Server/VirtualHosts/"
"""Where the role write may change things."""
XML = "application/xml"
_SHOWN: WeakKeyDictionary[Snapshot, EffectiveElement] = WeakKeyDictionary()
"""The trees of configurations with their secrets hidden."""


async def get(request: Request) -> Response:
    """A file as it is, byte for byte (?file=NAME: an included one; ?of=disk: as it lies there),
    or one element (?path=PATH).
    """
    path = element_path(request)
    if _is_of_disk(request):
        return await _get_from_disk(request)
    head = service_of(request).view()
    resource, name = _resource(head, request, path)
    headers = {"ETag": tags_of(request).of(name, resource(head), head)}
    if is_known(request, headers["ETag"]):
        return Response(status_code=304, headers=headers)
    if path is None:
        file = _file(request, head)
        snapshot = masked(head.checked) if hides_secrets(request) else head.checked.snapshot
        return Response(snapshot.files[file], headers=headers, media_type=XML)
    found = await on_writer(request, _shown, request, head.checked, path)
    return Response(found.text, headers=headers | place(found), media_type=XML)


async def put(request: Request) -> Response:
    """A whole file, or one element (?path=PATH), as given; needs If-Match, or ?base=N: it takes
    the place of all that is there.
    """
    before = service_of(request).view()
    path = element_path(request)
    if caller_of(request).role != ADMIN and not str(path).startswith(BELOW_HOSTS):
        raise ApiError(403, "this needs the role admin; below the virtual hosts write is enough")
    resource, name = _resource(before, request, path)
    condition = precondition(request, resource, name)
    if condition is None:
        raise ApiError(428, "If-Match is needed: GET the document first, and send its ETag")
    condition(before)
    must_be_known(request)
    data = await request.body()
    if path is None:
        written = await _put_file(request, _file(request, before), data, condition)
    else:
        edit = Edit(Verb.REWRITE, path, _decoded(data))
        written = await write(request, edit, resource=resource, name=name)
    if is_dry(request):
        return answer_written(request, before.checked, written)
    try:
        tag = {"ETag": tags_of(request).of(name, resource(written.head), written.head)}
    except NotFound:  # it has another name now
        tag = {}
    return answer_written(request, before.checked, written, tag)


async def check(request: Request) -> Response:
    """Violations of a Server.xml in the body, or of one element (?path=PATH); of what lies on
    disk, if the body is empty. And what it changes (?against=STATE: not from the newest revision).
    """
    repository = service_of(request).repository
    path = element_path(request)
    data = await request.body()
    headers: dict[str, str] = {}
    if path is not None:
        base = service_of(request).view().checked
        headers = place(await on_writer(request, _written_there, base, path))
        edit = Edit(Verb.REWRITE, path, _decoded(data))
        try:
            found = await on_writer(request, edited, base, (edit,), repository.schema)
        except Refused as error:
            body = {"good": False, **violations(error.violations)}
            return JSONResponse(body, headers=headers)
    elif data.strip():
        is_closed = caller_of(request).role != ADMIN
        found = await on_writer(
            request, repository.check_with, repository.main, data, is_closed=is_closed
        )
    else:
        found = await on_writer(request, _check_disk, request)
    shown = {"good": found.is_good, **violations(found.violations)}
    name = request.query_params.get("against", "head")
    if path is not None and name == "head":  # what it was made on, whatever came since
        shown |= effect(request, base, found)
    elif repository.head is not None:
        old = await on_writer(request, state, service_of(request), name)
        shown |= effect(request, old.checked, found)
    return JSONResponse(shown, headers=headers)


def element_path(request: Request) -> Path | None:
    """``?path=``: an element from Server down; None if it is not asked for.

    Raises ApiError, or NotFound if the schema knows no such element.
    """
    text = request.query_params.get("path")
    if text is None:
        return None
    path = parsed_path(text)
    hint = path_hint(service_of(request).repository.schema.root, path)
    if hint:
        raise NotFound(f"there can be no {path}; {hint}")
    return path


def known_path(request: Request, text: str) -> Path:
    """A path that the schema knows, of an edit. Raises ApiError."""
    path = parsed_path(text)
    hint = path_hint(service_of(request).repository.schema.root, path)
    if hint:
        raise ApiError(400, f"the path: there can be no {path}; {hint}")
    return path


def parsed_path(text: str) -> Path:
    """A path from Server down. Raises ApiError."""
    try:
        path = Path.parse(text)
    except ValueError as error:
        raise ApiError(400, f"the path: {error}") from None
    if not path.steps or str(path.steps[0]) != "Server":
        raise ApiError(400, "the path begins with /Server")
    return path


def place(found: Fragment) -> dict[str, str]:
    """The headers that say in which file an element is, and where in it that begins."""
    return {
        "Omeconf-Place": f"{found.line}:{found.column}",
        "Omeconf-File": quote(found.file),
        "Omeconf-Path": quote(str(found.path)),
    }


def _is_of_disk(request: Request) -> bool:
    of = request.query_params.get("of", "head")
    if of not in ("head", "disk"):
        raise ApiError(400, f'of is head or disk, not "{of}"')
    if of == "disk" and "path" in request.query_params:
        raise NotFound("one element can be had of head only, not of disk")
    return of == "disk"


async def _get_from_disk(request: Request) -> Response:
    """A file as it lies on disk, whatever is wrong with it; secrets cannot be hidden in that."""
    if hides_secrets(request):
        raise ApiError(403, f"this needs the role {WRITE}: what is broken may show any secret")
    repository = service_of(request).repository
    snapshot = await on_writer(request, repository.on_disk)
    file = request.query_params.get("file", repository.main)
    data = snapshot.files.get(file) if snapshot.is_inside(file) else None
    if data is None:
        raise NotFound(f"{file} is not a file of this configuration")
    headers = {"ETag": f'"0-{sha256(data).hexdigest()[:16]}"', "Cache-Control": "no-store"}
    return Response(data, headers=headers, media_type=XML)


async def _put_file(
    request: Request, file: str, data: bytes, condition: Callable[[Head], None]
) -> Written:
    service, confirm_s = service_of(request), confirm_seconds(request)
    if HIDDEN.encode() in data:
        found = await on_writer(request, service.repository.check_with, file, data)
        _must_show_secrets(found, file)
    if is_dry(request):
        preview = service.preview_put
        tried = await on_writer(
            request, preview, file, data, confirm_s=confirm_s, precondition=condition
        )
        return dry(tried)
    committed = await on_writer(
        request,
        service.put,
        file,
        data,
        Candidate(0, (), caller_of(request).name, message_of(request)),
        origin_of(request),
        confirm_s=confirm_s,
        precondition=condition,
        reload=wants_reload(request),
    )
    return await finish(request, committed)


def _resource(
    head: Head, request: Request, path: Path | None
) -> tuple[Callable[[Head], Json], str]:
    """What is asked for, as it is in a head; and the name that its ETag has."""
    if path is not None:
        return lambda now: _text(_written_there(now.checked, path).text), f"text:{path}"
    file = _file(request, head)

    def text(now: Head) -> Json:
        if file not in now.checked.snapshot.files:
            raise NotFound(f"{file} is not a file of this configuration")
        return _text(now.checked.snapshot.files[file])

    return text, f"file:{file}"


def _file(request: Request, head: Head) -> str:
    file = request.query_params.get("file", head.checked.snapshot.main)
    if file not in head.checked.snapshot.files:
        raise NotFound(f"{file} is not a file of this configuration")
    return file


def _written_there(checked: Checked, path: Path) -> Fragment:
    assert checked.root is not None
    return fragment(checked.root, path)


def _shown(request: Request, checked: Checked, path: Path) -> Fragment:
    """An element as the caller may see it."""
    if not hides_secrets(request):
        return _written_there(checked, path)
    snapshot = masked(checked)
    root = _SHOWN.get(snapshot)
    if root is None:
        root = build(snapshot, service_of(request).repository.schema)
    if root is None:
        raise ApiError(403, f"this needs the role {WRITE}: secrets cannot be hidden in this file")
    _SHOWN[snapshot] = root
    return fragment(root, path)


def _must_show_secrets(found: Checked, file: str) -> None:
    """Raise ApiError 422 if a file was saved as a reader sees it, with its secrets hidden."""
    for node in found.root.descendants() if found.root else ():
        if node.item.is_secret and node.element.value == HIDDEN and node.document.file == file:
            raise ApiError(422, f'{node.path} is "{HIDDEN}", which only stands for a secret')


def _check_disk(request: Request) -> Checked:
    repository = service_of(request).repository
    return check_snapshot(repository.on_disk(), repository.schema)


def _text(data: bytes) -> Json:
    return data.decode("utf-8", "backslashreplace")


def _decoded(data: bytes) -> str:
    try:
        return data.decode()
    except UnicodeDecodeError as error:
        raise ApiError(400, f"the body is not UTF-8: {error}") from None
