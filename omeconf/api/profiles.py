""".../apps/{app}/outputProfiles: output profiles, as the engine's API has them."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import Response

from omeconf.api.apps import find_application
from omeconf.api.conditions import Resource, must_match
from omeconf.api.envelope import ApiError, answer, not_found, read_body
from omeconf.api.reading import read
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


def find_profile(head: Head, vhost: str, app: str, name: str) -> EffectiveElement:
    """An output profile by name. Raises ApiError 404 in the engine's words."""
    application = find_application(head, vhost, app)
    assert head.checked.root is not None
    try:
        return head.checked.root.find(path.output_profile(vhost, app, name))
    except NotFound:
        known = [each.key or "" for each in application.every("OutputProfiles/OutputProfile")]
        text = f"Could not find the output profile: [{vhost}/{app}/{name}]"
        raise not_found(text, name, known) from None


async def list_all(request: Request) -> Response:
    """GET .../outputProfiles: the names."""
    return read(request, _names(request))


async def get(request: Request) -> Response:
    """GET .../outputProfiles/{profile}."""
    where = [request.path_params[key] for key in ("vhost", "app", "profile")]
    return read(request, lambda head: to_json(find_profile(head, *where)))


async def create(request: Request) -> Response:
    """POST .../outputProfiles: an array of profiles, in one revision and one restart."""
    names = _names(request)
    vhost, app = request.path_params["vhost"], request.path_params["app"]
    must_match(request, service_of(request).view(), names)
    body = read_body(await request.body())
    head = service_of(request).view()  # held as long as something of it is looked at
    application = find_application(head, vhost, app)
    if not isinstance(body, list):
        raise ApiError(400, "Request body must be an array")
    must_be_few(body)
    for item in body:
        _check_shape(item)
    taken = {profile.key for profile in application.every("OutputProfiles/OutputProfile")}
    batch: list[Wanted] = []
    for item in body:
        name = item["name"]
        _check(request, item)
        check_new_name(name)
        if name in taken:
            refusal = ApiError(409, f'The output profile "{name}" already exists')
            batch.append(Wanted(name, None, refusal))
        else:
            taken.add(name)
            edit = Edit(Verb.CREATE, path.output_profile(vhost, app, name), item)
            batch.append(Wanted(name, edit))
    return await create_all(
        request,
        batch,
        lambda head, name: to_json(find_profile(head, vhost, app, name)),
        resource=names,
    )


async def replace(request: Request) -> Response:
    """PATCH (or PUT) .../outputProfiles/{profile}: the body takes the place of all but name."""
    vhost, app, name = (request.path_params[key] for key in ("vhost", "app", "profile"))

    def shown(head: Head) -> Json:
        return to_json(find_profile(head, vhost, app, name))

    must_match(request, service_of(request).view(), shown)
    body = read_body(await request.body())
    find_profile(service_of(request).view(), vhost, app, name)
    if not isinstance(body, dict):
        raise ApiError(400, "Request body must be an object")
    for key in body:
        if key.lower() == "name":
            raise ApiError(400, f"The {key} entry cannot be specified in the modification")
    whole = {**body, "name": name}
    _check(request, whole)
    written = await write(
        request,
        Edit(Verb.REPLACE, path.output_profile(vhost, app, name), whole),
        resource=shown,
    )
    value = shown(written.head)
    tag = (
        {}
        if is_dry(request)
        else {"ETag": tags_of(request).of(request.url.path, value, written.head)}
    )
    return answer(value, headers=written.headers | tag)


async def delete(request: Request) -> Response:
    """DELETE .../outputProfiles/{profile}."""
    vhost, app, name = (request.path_params[key] for key in ("vhost", "app", "profile"))
    find_profile(service_of(request).view(), vhost, app, name)
    written = await write(
        request,
        Edit(Verb.DELETE, path.output_profile(vhost, app, name)),
        resource=lambda head: to_json(find_profile(head, vhost, app, name)),
    )
    return answer(headers=written.headers)


def _names(request: Request) -> Resource:
    vhost, app = request.path_params["vhost"], request.path_params["app"]

    def names(head: Head) -> Json:
        found = find_application(head, vhost, app).every("OutputProfiles/OutputProfile")
        return [profile.key or "" for profile in found]

    return names


def _check(request: Request, item: Json) -> None:
    """Raise what the engine would say of a profile that does not fit."""
    try:
        from_json(service_of(request).repository.schema.output_profile, item)
    except BadBody as error:
        raise ApiError(400, f"[Config] {error}") from None


def _check_shape(item: Json) -> None:
    """The engine looks at these before anything else; one violation refuses the request."""
    invalid = "Invalid request body: "
    if not isinstance(item, dict) or any(
        item.get(key) is None for key in ("name", "outputStreamName", "encodes")
    ):
        raise ApiError(400, invalid + '"name", "outputStreamName", "encodes" are required')
    encodes = item["encodes"]
    if not (isinstance(item["name"], str) and isinstance(encodes, dict)):
        raise ApiError(400, invalid + '"name" must be a string and "encodes" must be an object')
    lists = [encodes[key] for key in ("videos", "audios") if key in encodes]
    if not all(isinstance(each, list) for each in lists) or not sum(map(len, lists)):
        raise ApiError(
            400,
            invalid + '"encodes" must have at least one item (videos array or audios array)',
        )
