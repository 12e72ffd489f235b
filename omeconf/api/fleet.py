"""/omeconf/v1/fleet: how the group stands, what differs between members, and rollouts."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, ParamSpec, TypeVar

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from omeconf.api.effects import effect
from omeconf.api.envelope import ApiError
from omeconf.api.writing import caller_of, must_not_be_dry, on_writer, reason_in, service_of
from omeconf.daemon.grouped import Group
from omeconf.daemon.service import Service
from omeconf.daemon.states import state
from omeconf.errors import NotFound, Unwritable
from omeconf.store.head import Head

P = ParamSpec("P")
T = TypeVar("T")

ALONE = "this daemon is not a member of a group: give [fleet] endpoints in omeconf.toml"
MOST_ASKING = 4
"""So many calls may wait for etcd at once; more are answered with 503. Fewer than asyncio has
threads, so that whoever only looks need not wait for them."""


def group_of(service: Service) -> Group:
    """The group that a daemon is a member of. Raises NotFound if it is of none."""
    if service.group is None:
        raise NotFound(ALONE)
    return service.group


async def standing(request: Request) -> Response:
    """How the group and every member of it stands, and the newest rollout."""
    group = group_of(service_of(request))
    return JSONResponse(await asyncio.to_thread(group.standing))


async def roll_out(request: Request) -> Response:
    """Begin a rollout to the newest revision, also to one that failed."""
    must_not_be_dry(request)
    group, by = group_of(service_of(request)), caller_of(request).name
    found = await _asked(request, group.roll_out, by)
    return JSONResponse(found.as_json(), 202)


async def pause(request: Request) -> Response:
    """Have no rollout of the group go on, or begin, until it is resumed."""
    must_not_be_dry(request)
    group, by = group_of(service_of(request)), caller_of(request).name
    reason = await reason_in(request)
    return JSONResponse({"paused": await _asked(request, group.pause, by, reason)})


async def resume(request: Request) -> Response:
    """Have rollouts of the group go on."""
    must_not_be_dry(request)
    group = group_of(service_of(request))
    await _asked(request, group.resume)
    return JSONResponse({"paused": None})


async def abort(request: Request) -> Response:
    """End the rollout that is under way: all members go back."""
    must_not_be_dry(request)
    group, by = group_of(service_of(request)), caller_of(request).name
    found = await _asked(request, group.abort, by)
    return JSONResponse(found.as_json(), 202)


async def forget(request: Request) -> Response:
    """Have a member that will not come back on no list any more."""
    must_not_be_dry(request)
    group, node = group_of(service_of(request)), request.path_params["node"]
    await _asked(request, group.forget, node)
    return JSONResponse({"forgotten": node})


async def diff(request: Request) -> Response:
    """What differs between each member's disk (?node=NAME: of one) and the newest revision."""
    service = service_of(request)
    found = await asyncio.to_thread(group_of(service).standing)
    wanted = request.query_params.get("node")
    members = [each for each in found["members"] if wanted in (None, each["node"])]
    if wanted is not None and not members:
        known = ", ".join(each["node"] for each in found["members"])
        raise NotFound(f"the group has no member {wanted}; it has {known}")
    head = service.view()
    effects = {
        number: await on_writer(request, _to_head, request, number, head)
        for number in {each.get("disk") for each in members}
    }
    shown = [
        {
            "node": each["node"],
            "present": each["present"],
            "disk": each.get("disk"),
            **effects[each.get("disk")],
        }
        for each in members
    ]
    for each in shown:
        if each["node"] == found["node"]:
            each["drift"] = await on_writer(request, _drift, request)
    return JSONResponse({"head": head.revision.number, "members": shown})


# -- on the writer ---------------------------------------------------------------------------


def _to_head(request: Request, number: int | None, head: Head) -> dict[str, Any]:
    """What would change, and restart, where a revision is on disk, to come to head."""
    nothing: dict[str, Any] = {"changes": None, "plan": None, "diff": None}
    if not number:
        return {**nothing, "unknown": "no revision of the group is on its disk yet"}
    if number == head.revision.number:
        return {"changes": [], "plan": [], "diff": "", "unknown": None}
    try:
        old = service_of(request).repository.at(number)
    except (NotFound, Unwritable) as error:
        return {**nothing, "unknown": str(error)}
    return {**nothing, **effect(request, old, head.checked), "unknown": None}


def _drift(request: Request) -> dict[str, Any] | None:
    """How this member's files differ from the revision on its disk; None if they do not."""
    service = service_of(request)
    disk = service.repository.disk
    if disk is None:
        return None
    number = disk.revision.number
    try:
        found = state(service, "disk")
    except (NotFound, Unwritable) as error:
        return {"revision": number, "good": False, "diff": None, "unknown": str(error)}
    if found.number == number:
        return None
    shown = effect(request, disk.checked, found.checked)["diff"]
    return {"revision": number, "good": found.checked.is_good, "diff": shown, "unknown": None}


# -- beside the writer and the event loop ----------------------------------------------------


async def _asked(request: Request, work: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    """Have work done that waits for etcd. Raises ApiError 503 if too many wait already."""
    app = request.app.state
    if app.asking >= MOST_ASKING:
        raise ApiError(503, "too many requests wait for etcd: try again", retry_after_s=1)
    app.asking += 1
    try:
        return await asyncio.to_thread(work, *args, **kwargs)
    finally:
        app.asking -= 1
