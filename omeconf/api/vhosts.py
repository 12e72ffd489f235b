"""/v1/vhosts: virtual hosts, as the engine's API has them."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import Response

from omeconf.api.conditions import must_match
from omeconf.api.envelope import ApiError, answer, config_error, not_found, read_body
from omeconf.api.reading import hides_secrets, read
from omeconf.api.writing import (
    Wanted,
    check_new_name,
    create_all,
    must_be_few,
    service_of,
    sound,
    write,
)
from omeconf.core import path
from omeconf.core.edit import Edit, Verb
from omeconf.core.effective import EffectiveElement
from omeconf.core.mapping import Json, from_json, to_json
from omeconf.errors import BadBody, NotFound
from omeconf.store.head import Head


def find_virtual_host(head: Head, name: str) -> EffectiveElement:
    """A virtual host by name. Raises ApiError 404 in the engine's words."""
    root = head.checked.root
    assert root is not None, "head is good, so it has a tree"
    try:
        return root.find(path.virtual_host(name))
    except NotFound:
        known = [host.key or "" for host in root.every("VirtualHosts/VirtualHost")]
        text = f"Could not find the virtual host: [{name}]"
        raise not_found(text, name, known) from None


async def list_all(request: Request) -> Response:
    """GET /v1/vhosts: the names."""
    return read(request, _names)


async def get(request: Request) -> Response:
    """GET /v1/vhosts/{vhost}: everything but its applications."""
    name, hides = request.path_params["vhost"], hides_secrets(request)
    return read(
        request, lambda head: _show(head, name), lambda head: _show(head, name, hides=hides)
    )


async def create(request: Request) -> Response:
    """POST /v1/vhosts: an array of virtual hosts, in one revision; what is wrong fails alone."""
    service = service_of(request)
    must_match(request, service.view(), _names)
    body = read_body(await request.body())
    _must_be_writable(request, "*")
    if not isinstance(body, list):
        raise ApiError(400, "Request body must be an array")
    must_be_few(body)
    root = service.view().checked.root
    assert root is not None
    taken = {host.key for host in root.every("VirtualHosts/VirtualHost")}
    schema = service.repository.schema.virtual_host
    batch: list[Wanted] = []
    for item in body:
        try:
            name = from_json(schema, {} if item is None else item).key or ""
            check_new_name(name)
        except BadBody as error:
            batch.append(Wanted("", None, config_error(str(error))))
        except ApiError as error:
            batch.append(Wanted("", None, error))
        else:
            if name in taken:
                refusal = ApiError(409, f"The virtual host already exists: [{name}]")
                batch.append(Wanted(name, None, refusal))
            else:
                taken.add(name)
                batch.append(Wanted(name, Edit(Verb.CREATE, path.virtual_host(name), item)))
    return await create_all(request, await sound(request, batch), _show, resource=_names)


async def delete(request: Request) -> Response:
    """DELETE /v1/vhosts/{vhost}: with its applications."""
    name = request.path_params["vhost"]
    find_virtual_host(service_of(request).view(), name)
    _must_be_writable(request, name)
    written = await write(
        request,
        Edit(Verb.DELETE, path.virtual_host(name)),
        resource=lambda head: _show(head, name),
    )
    return answer(headers=written.headers)


def _names(head: Head) -> Json:
    assert head.checked.root is not None
    return [host.key or "" for host in head.checked.root.every("VirtualHosts/VirtualHost")]


def _show(head: Head, name: str, *, hides: bool = False) -> Json:
    return to_json(find_virtual_host(head, name), hide_secrets=hides, but="Applications")


def _must_be_writable(request: Request, name: str) -> None:
    if service_of(request).settings.api.virtual_hosts != "read-write":
        raise ApiError(
            403,
            f"The VirtualHost is read-only: [{name}]; "
            'edit Server.xml by hand ([api] virtual_hosts is "read-only")',
        )
