"""/v1/vhosts: virtual hosts, as the engine's API has them."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import Response

from omeconf.api.auth import Caller
from omeconf.api.envelope import ApiError, answer
from omeconf.api.writing import service_of
from omeconf.core import path
from omeconf.core.effective import EffectiveElement
from omeconf.core.mapping import Json, to_json
from omeconf.errors import NotFound
from omeconf.store.repository import Head


def hides_secrets(request: Request) -> bool:
    """Whether the caller may not see secrets."""
    caller: Caller = request.scope["caller"]
    return not caller.may_write


def find_virtual_host(head: Head, name: str) -> EffectiveElement:
    """A virtual host by name. Raises ApiError 404 in the engine's words."""
    root = head.checked.root
    assert root is not None, "head is good, so it has a tree"
    try:
        return root.find(path.virtual_host(name))
    except NotFound:
        raise ApiError(404, f"Could not find the virtual host: [{name}]") from None


async def list_all(request: Request) -> Response:
    """GET /v1/vhosts: the names."""
    root = service_of(request).view().checked.root
    assert root is not None
    return answer([host.key or "" for host in root.every("VirtualHosts/VirtualHost")])


async def get(request: Request) -> Response:
    """GET /v1/vhosts/{vhost}: everything but its applications."""
    host = find_virtual_host(service_of(request).view(), request.path_params["vhost"])
    shown: dict[str, Json] = to_json(host, hide_secrets=hides_secrets(request))
    shown.pop("applications", None)
    return answer(shown)


async def refuse_write(request: Request) -> Response:
    """POST and DELETE: virtual hosts are read-only here; 403 names the setting."""
    name = request.path_params.get("vhost")
    if name is not None:
        find_virtual_host(service_of(request).view(), name)
    raise ApiError(
        403,
        f"The VirtualHost is read-only: [{name or '*'}]; "
        'edit Server.xml by hand ([api] virtual_hosts is "read-only")',
    )
