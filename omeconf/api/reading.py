"""Reads over the API: a resource of head as the caller may see it, with its ETag; 304."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import Response

from omeconf.api.auth import Caller
from omeconf.api.conditions import Resource, is_known
from omeconf.api.envelope import answer, answer_known
from omeconf.api.remembered import remember
from omeconf.api.writing import service_of, tags_of
from omeconf.core.mapping import Json


def hides_secrets(request: Request) -> bool:
    """Whether the caller may not see secrets."""
    caller: Caller = request.scope["caller"]
    return not caller.may_write


def read(request: Request, resource: Resource, shown: Resource | None = None) -> Response:
    """A resource in the engine's envelope; 304 if the caller has it. shown: as it is shown."""
    head = service_of(request).view()
    remember(request, head)
    value = resource(head)
    headers = {"ETag": tags_of(request).of(request.url.path, value, head)}
    if is_known(request, headers["ETag"]):
        return answer_known(headers)
    return answer(value if shown is None else shown(head), headers=headers)


def in_seed_form(request: Request, value: Json) -> Json:
    """As the API of 0.12 shows it, if that is wanted: bare arrays for some objects."""
    if service_of(request).settings.api.compat != "0.12" or not isinstance(value, dict):
        return value
    result: dict[str, Json] = {}
    for key, inner in value.items():
        whole = {"outputProfiles": "outputProfile", "crossDomains": "urls"}.get(key)
        if whole and isinstance(inner, dict) and set(inner) <= {whole}:
            inner = inner.get(whole, [])
        result[key] = in_seed_form(request, inner)
    return result
