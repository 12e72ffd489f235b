"""/v1/vhosts/{vhost}/apps: applications, as the engine's API has them; but they can be changed."""

from __future__ import annotations

from collections.abc import Sequence

from starlette.requests import Request
from starlette.responses import Response

from omeconf.api.conditions import Resource, must_match
from omeconf.api.envelope import ApiError, answer, config_error, not_found, read_body
from omeconf.api.reading import hides_secrets, in_seed_form, read
from omeconf.api.vhosts import find_virtual_host
from omeconf.api.writing import (
    Wanted,
    check_new_name,
    create_all,
    is_dry,
    must_be_few,
    service_of,
    tags_of,
    write,
)
from omeconf.core import path
from omeconf.core.edit import Edit, Verb
from omeconf.core.effective import EffectiveElement
from omeconf.core.mapping import Json, from_json, to_json
from omeconf.errors import BadBody, NotFound
from omeconf.store.head import Head

TEMPLATE = "*"
"""The name of the template for dynamic applications: the engine never lists it."""

_AUDIO = {"bitrate": 128000, "samplerate": 48000, "channel": 2, "bypassIfMatch": {"codec": "eq"}}
DEFAULTS: dict[str, Json] = {
    "providers": {"ovt": {}, "rtspPull": {}, "webrtc": {}, "srt": {}, "rtmp": {}},
    "publishers": {"llhls": {}, "webrtc": {}, "ovt": {}},
    "outputProfiles": {
        "outputProfile": [
            {
                "name": "default",
                "outputStreamName": "${OriginStreamName}",
                "encodes": {
                    "videos": [{"name": "bypass_video", "bypass": True}],
                    "audios": [
                        {"name": "opus", "codec": "opus", **_AUDIO},
                        {"name": "aac", "codec": "aac", **_AUDIO},
                    ],
                },
            }
        ]
    },
}
"""What the engine 0.21 gives a new application for each of these that its body leaves out."""


def find_application(head: Head, virtual_host: str, name: str) -> EffectiveElement:
    """An application by name. Raises ApiError 404 in the engine's words."""
    host = find_virtual_host(head, virtual_host)
    assert head.checked.root is not None
    try:
        if name != TEMPLATE:
            return head.checked.root.find(path.application(host.key or "", name))
    except NotFound:
        pass
    known = [each or "" for each in _written(host)]
    text = f"Could not find the application: [{virtual_host}/{name}]"
    raise not_found(text, name, known) from None


def show(application: EffectiveElement, *, hide_secrets: bool = False) -> Json:
    """An application as GET answers it."""
    return {**to_json(application, hide_secrets=hide_secrets), "dynamic": False}


async def list_all(request: Request) -> Response:
    """GET .../apps: the names."""
    return read(request, _names(request))


async def get(request: Request) -> Response:
    """GET .../apps/{app}: what is written, without defaults."""
    vhost, app = request.path_params["vhost"], request.path_params["app"]
    hides = hides_secrets(request)
    return read(
        request,
        lambda head: show(find_application(head, vhost, app)),
        lambda head: in_seed_form(
            request, show(find_application(head, vhost, app), hide_secrets=hides)
        ),
    )


async def create(request: Request) -> Response:
    """POST .../apps: an array of applications, in one revision."""
    names, vhost = _names(request), request.path_params["vhost"]
    head = service_of(request).view()
    must_match(request, head, names)
    body = read_body(await request.body())
    host = find_virtual_host(head, vhost)
    if not isinstance(body, list):
        raise ApiError(400, "Request body must be an array")
    taken = set(_written(host))
    batch: list[Wanted] = []
    must_be_few(body)
    for item in body:
        if not isinstance(item, dict):
            raise config_error("application is not an object")
        full = {**DEFAULTS, **{key: value for key, value in item.items() if value is not None}}
        try:
            name = from_json(service_of(request).repository.schema.application, full).key or ""
        except BadBody as error:
            raise config_error(str(error)) from None
        check_new_name(name)
        if name in taken:
            text = f"Could not create the application: [{vhost}/{name}] already exists"
            batch.append(Wanted(name, None, ApiError(409, text)))
        else:
            taken.add(name)
            edit = Edit(Verb.CREATE, path.application(vhost, name), full)
            batch.append(Wanted(name, edit))
    return await create_all(
        request,
        batch,
        lambda head, name: in_seed_form(request, show(find_application(head, vhost, name))),
        resource=names,
    )


async def change(request: Request) -> Response:
    """PATCH (or PUT) .../apps/{app}: merged into what is there; null removes."""
    vhost, app = request.path_params["vhost"], request.path_params["app"]

    def shown(head: Head) -> Json:
        return show(find_application(head, vhost, app))

    must_match(request, service_of(request).view(), shown)
    body = read_body(await request.body())
    find_application(service_of(request).view(), vhost, app)
    if not isinstance(body, dict):
        raise ApiError(400, "Request body must be an object")
    for key in ("name", "dynamic", "outputProfiles"):
        if key in body:
            raise ApiError(400, f"Cannot change [{key}] using this API")
    written = await write(
        request,
        Edit(Verb.MERGE, path.application(vhost, app), body),
        resource=shown,
    )
    value = shown(written.head)
    tag = (
        {}
        if is_dry(request)
        else {"ETag": tags_of(request).of(request.url.path, value, written.head)}
    )
    return answer(in_seed_form(request, value), headers=written.headers | tag)


async def delete(request: Request) -> Response:
    """DELETE .../apps/{app}."""
    vhost, app = request.path_params["vhost"], request.path_params["app"]
    find_application(service_of(request).view(), vhost, app)
    written = await write(
        request,
        Edit(Verb.DELETE, path.application(vhost, app)),
        resource=lambda head: show(find_application(head, vhost, app)),
    )
    return answer(headers=written.headers)


def _written(host: EffectiveElement) -> Sequence[str | None]:
    """The names of all applications of a virtual host; none is looked into for it."""
    around = host.first("Applications")
    return around.keys("Application") if around is not None else ()


def _names(request: Request) -> Resource:
    vhost = request.path_params["vhost"]

    def names(head: Head) -> Json:
        host = find_virtual_host(head, vhost)
        return [name or "" for name in _written(host) if name != TEMPLATE]

    return names
