"""What of the engine's API is no configuration: streams, statistics, records, pushes, actions.

That is passed through to the engine; while omeconf knows of none, a GET is 404 and the rest 501.
"""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import Response

from omeconf.api.envelope import ApiError

APP_ACTIONS = ("startRecord", "stopRecord", "records", "startPush", "stopPush", "pushes")
HOST_ACTIONS = ("reloadCertificate",)
STREAM_ACTIONS = (
    "startHlsDump",
    "stopHlsDump",
    "hlsDumps",
    "sendEvent",
    "sendEvents",
    "concludeHlsLive",
    "sendSubtitles",
    "enableStt",
    "disableStt",
    "sttStatus",
)


async def version(request: Request) -> Response:
    """GET /v1/version: that of the engine."""
    return _without_engine(request)


async def passed_on(request: Request) -> Response:
    """Everything below streams, channels and statistics."""
    return _without_engine(request)


async def host_action(request: Request) -> Response:
    """POST /v1/vhosts/{vhost}:{action}."""
    return _action(request, HOST_ACTIONS)


async def app_action(request: Request) -> Response:
    """POST (or GET) .../apps/{app}:{action}."""
    return _action(request, APP_ACTIONS)


def _action(request: Request, known: tuple[str, ...]) -> Response:
    if request.path_params["action"] not in known:
        raise ApiError(404, "Controller not found")
    return _without_engine(request)


def _without_engine(request: Request) -> Response:
    status = 404 if request.method in ("GET", "HEAD") else 501
    raise ApiError(status, "This is for the engine itself, and omeconf is not connected to one")
