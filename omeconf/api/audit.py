"""One line for each request that may change something: who, from where, what, what came of it.

Nothing of bodies, queries and headers is in it: a secret could be there. Requests that only read
are left out, unless that is asked for.
"""

from __future__ import annotations

import logging
import time

from starlette.requests import Request
from starlette.types import Message, Scope

from omeconf.api.auth import Caller
from omeconf.logs import Field, fields

log = logging.getLogger(__name__)

_REASON = "omeconf.reason"
_READS = "omeconf.reads"
_TRIES = "omeconf.tries"
_TOLD = "omeconf.told"


MOST_STRANGERS = 20
"""So many requests of nobody we know have lines of their own in STRANGERS_S seconds."""
STRANGERS_S = 60.0


class Strangers:
    """Which requests of nobody we know are told: they cost their sender nothing, and us a line."""

    def __init__(self) -> None:
        self._began = -STRANGERS_S
        self._told = 0
        self._untold = 0

    def is_told(self, now: float) -> bool:
        """Whether one that came now has a line. now is by the monotonic clock, in seconds."""
        if now - self._began >= STRANGERS_S:
            self._began, self._told = now, 0
        self._told += 1
        if self._told > MOST_STRANGERS:
            self._untold += 1
        return self._told <= MOST_STRANGERS

    def untold(self) -> int:
        """How many had none since this was asked last."""
        found, self._untold = self._untold, 0
        return found


def because(request: Request, reason: str, *, is_told: bool = False) -> None:
    """Keep why a request is refused, for its line; is_told: what went wrong is logged already."""
    request.scope[_REASON] = reason
    request.scope[_TOLD] = is_told


def is_told(scope: Scope) -> bool:
    """Whether what went wrong with a request is logged and answered."""
    return bool(scope.get(_TOLD))


def only_reads(request: Request) -> None:
    """This request changes nothing, although its method says that it may."""
    request.scope[_READS] = True


def only_tries(request: Request) -> None:
    """This request is a dry run."""
    request.scope[_TRIES] = True


def is_read(scope: Scope) -> bool:
    """Whether a request can have changed nothing."""
    return scope["method"] in ("GET", "HEAD", "OPTIONS") or _READS in scope


def write(scope: Scope, start: Message, seconds: float, strangers: Strangers) -> None:
    """Write the line of a request that was answered; start: how its answer began."""
    status = start.get("status", 0)
    untold = 0
    if status in (401, 403) and scope.get("caller") is None:  # 403: as 0.12 has it
        if not strangers.is_told(time.monotonic()):
            return
        untold = strangers.untold()
    headers: dict[bytes, bytes] = dict(start.get("headers", ()))
    revision, reload = (
        headers.get(name, b"").decode() for name in (b"omeconf-revision", b"omeconf-reload")
    )
    caller: Caller | None = scope.get("caller")
    reason = scope.get(_REASON, "")
    path = (scope.get("raw_path") or scope["path"].encode()).decode("latin-1")
    is_dry = _TRIES in scope
    outcome, level = _outcome(status)
    where = _peer(scope)
    who = f"{caller.name} ({caller.role})" if caller else "somebody unknown"
    text = f"{scope['method']} {path} by {who} from {where['peer']}: {status or 'no answer'}"
    if is_dry:
        text += ", dry run"
    elif revision:
        text += f", revision {revision}, reload {reload}"
    if reason:
        text += f": {reason}"
    if untold:
        text += f"; {untold} more like it before had no line"
    log.log(
        level,
        "%s",
        text,
        extra=fields(
            event="read" if is_read(scope) else "write",
            who=caller.name if caller else None,
            role=caller.role if caller else None,
            **where,
            method=scope["method"],
            path=path,
            status=status or None,
            outcome=outcome,
            reason=reason or None,
            revision=int(revision) if revision.isdecimal() and not is_dry else None,
            reload=None if is_dry else reload,
            dry_run=is_dry or None,
            duration_ms=round(seconds * 1000, 1),
            request_id=scope["request_id"],
        ),
    )


def _outcome(status: int) -> tuple[str, int]:
    """What came of a request in one word, and how bad that is."""
    if status in (401, 403):
        return "unauthorized", logging.WARNING
    if status == 207:
        return "partly", logging.WARNING
    if status >= 500 or not status:
        return "failed", logging.ERROR
    if status >= 400:
        return "refused", logging.WARNING
    return "done", logging.INFO


def _peer(scope: Scope) -> dict[str, Field]:
    """Who is at the other end, as the kernel says."""
    found = scope.get("state", {}).get("peer")
    if found is not None:
        pid, uid, _ = found
        return {"peer": "the local socket", "uid": uid, "pid": pid}
    client = scope.get("client")
    if not client:
        return {"peer": "the local socket"}
    host, port = client
    return {"peer": f"[{host}]:{port}" if ":" in host else f"{host}:{port}"}
