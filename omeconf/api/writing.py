"""Writes over the API: edits to the service, wait for their reload, headers; and batches."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from omeconf.api.auth import Caller
from omeconf.api.envelope import ApiError, answer_many, envelope
from omeconf.core.edit import Candidate, Edit
from omeconf.core.mapping import Json
from omeconf.core.revision import Origin
from omeconf.core.rules import unaddressable
from omeconf.daemon.jobs import Job, State
from omeconf.daemon.service import Committed, Service
from omeconf.store.repository import Head

MAX_ADVICE = 3
"""How much advice a header carries; `omeconf check` has all of it."""


@dataclass(frozen=True, slots=True)
class Written:
    """A write that is on disk for good."""

    head: Head
    headers: dict[str, str]


def service_of(request: Request) -> Service:
    """The service behind an application."""
    service: Service = request.app.state.service
    return service


async def write(request: Request, *edits: Edit) -> Written:
    """Commit edits as one revision and wait for their reload, up to `[reload] wait_s`.

    Raises ApiError 502 if the reload failed and the edits were taken back.
    """
    service = service_of(request)
    confirm_s = confirm_seconds(request)
    candidate = Candidate(0, edits, caller_of(request).name, message_of(request))
    return await finish(
        request, service.submit(service.commit, candidate, Origin.API, confirm_s=confirm_s)
    )


def caller_of(request: Request) -> Caller:
    """Who asks."""
    caller: Caller = request.scope["caller"]
    return caller


def message_of(request: Request) -> str:
    """Why, as the caller says; kept with the revision."""
    return request.headers.get("Omeconf-Message", "")


def confirm_seconds(request: Request) -> float | None:
    """``?confirm=SECONDS``: take it back unless it is confirmed in time. Raises ApiError."""
    text = request.query_params.get("confirm")
    try:
        return None if text is None else float(text)
    except ValueError:
        raise ApiError(400, f'confirm is a number of seconds, not "{text}"') from None


async def finish(request: Request, future: Future[Committed]) -> Written:
    """Wait for a commit, and for its reload up to `[reload] wait_s`.

    Raises ApiError 502 if the reload failed and the edits were taken back.
    """
    service = service_of(request)
    committed = await asyncio.wrap_future(future)
    stopping: asyncio.Event = request.app.state.stopping
    reload = await _wait(committed.job, service.settings.reload.wait_s, stopping)
    return Written(committed.head, _headers(committed, reload))


@dataclass(frozen=True, slots=True)
class Wanted:
    """One item of a batch: an edit that creates it, or why its state forbids that."""

    name: str
    edit: Edit | None
    refusal: ApiError | None = None


async def create_all(
    request: Request, batch: Sequence[Wanted], show: Callable[[Head, str], Json]
) -> Response:
    """Create the items of a batch in one revision; those refused by state fail alone.

    show gives what is answered for an item that was created.
    """
    edits = [wanted.edit for wanted in batch if wanted.edit is not None]
    written = await write(request, *edits) if edits else None
    envelopes = []
    for wanted in batch:
        if wanted.refusal is not None:
            envelopes.append(envelope(wanted.refusal.status, message=wanted.refusal.text))
        elif written is not None:
            envelopes.append(envelope(200, show(written.head, wanted.name)))
    return answer_many(envelopes, headers=written.headers if written else None)


def check_new_name(name: str) -> None:
    """Raise ApiError 422 for a new name that could not be addressed afterwards."""
    reason = unaddressable(name)
    if reason:
        raise ApiError(422, f'The name "{name}" cannot be used: {reason}')


async def _wait(job: Job | None, wait_s: float, stopping: asyncio.Event) -> str:
    """What the header Omeconf-Reload says of a job."""
    if job is None:
        return "none"
    done: asyncio.Future[Any] = asyncio.wrap_future(job.done)
    ending: asyncio.Future[Any] = asyncio.ensure_future(stopping.wait())
    try:
        await asyncio.wait({done, ending}, timeout=wait_s, return_when=asyncio.FIRST_COMPLETED)
    finally:
        ending.cancel()
    if not job.done.done():
        return "pending"
    if job.state is State.REVERTED:
        last = job.outcomes[-1]
        reason = last.output.splitlines()[-1] if last.output else f"exit code {last.code}"
        raise ApiError(502, f"the reload failed and the change was taken back: {reason}")
    return {State.HEALTHY: "ok", State.WAITING: "pending"}.get(job.state, "failed")


def _headers(committed: Committed, reload: str) -> dict[str, str]:
    headers = {
        "Omeconf-Revision": str(committed.head.revision.number),
        "Omeconf-Reload": reload,
    }
    touched = [str(change.path) for change in committed.changes]
    advice = [f"{v.path}: {v.message}" for v in committed.advice if touched]
    if advice:
        text = "; ".join(advice[:MAX_ADVICE])
        headers["Omeconf-Advice"] = text.encode("ascii", "replace").decode()
    return headers
