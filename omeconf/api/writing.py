"""Writes over the API: conditions, edits to the service, the wait for their reload; and batches."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from contextvars import copy_context
from dataclasses import dataclass
from typing import Any, ParamSpec, TypeVar

from starlette.requests import Request
from starlette.responses import Response

from omeconf.api.audit import because, only_tries
from omeconf.api.auth import Caller
from omeconf.api.conditions import Resource, Tags, precondition
from omeconf.api.envelope import ApiError, answer_many, envelope, for_header, read_body
from omeconf.core.edit import Candidate, Edit
from omeconf.core.mapping import Json
from omeconf.core.plan import Plan
from omeconf.core.revision import Origin
from omeconf.core.rules import unaddressable
from omeconf.core.violation import Violation
from omeconf.daemon.confirm import LONGEST_S
from omeconf.daemon.jobs import Job, State
from omeconf.daemon.results import Committed, Previewed
from omeconf.daemon.service import Service
from omeconf.errors import Refused
from omeconf.store.head import Head, Precondition

P = ParamSpec("P")
T = TypeVar("T")

MAX_ADVICE = 3
"""How much advice a header carries; `omeconf check` has all of it."""

MAX_ITEMS = 1000
"""Items of one batch, edits of one transaction."""


@dataclass(frozen=True, slots=True)
class Written:
    """A write that is on disk for good; or what would be, of a dry run."""

    head: Head
    headers: dict[str, str]


def service_of(request: Request) -> Service:
    """The service behind an application."""
    service: Service = request.app.state.service
    return service


def tags_of(request: Request) -> Tags:
    """The ETags of an application."""
    tags: Tags = request.app.state.tags
    return tags


async def on_writer(request: Request, work: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    """Have work done on the writer, and wait. Raises ApiError 503 if too many wait already."""
    state = request.app.state
    if state.waiting >= service_of(request).settings.api.max_waiting:
        raise ApiError(503, "too many requests wait for the writer: try again", retry_after_s=1)
    context = copy_context()  # so that what is logged there has the request's id

    def call() -> T:
        return context.run(work, *args, **kwargs)

    state.waiting += 1
    try:
        return await asyncio.wrap_future(service_of(request).submit(call))
    finally:
        state.waiting -= 1


async def write(
    request: Request, *edits: Edit, resource: Resource | None = None, name: str = ""
) -> Written:
    """Commit edits as one revision and wait for their reload, up to `[reload] wait_s`.

    Honours If-Match (of resource; name: as `precondition` has it), ?base=N, ?dryRun=true,
    ?confirm=SECONDS, ?reload=skip and the header Omeconf-Message. Raises ApiError 502 if the
    reload failed and the edits were taken back.
    """
    service = service_of(request)
    condition = precondition(request, resource, name) if resource is not None else None
    if condition is not None:
        condition(service.view())  # a stale one needs no writer
    must_be_known(request)
    if is_dry(request):
        return await _preview(request, edits, condition)
    candidate = Candidate(0, edits, caller_of(request).name, message_of(request))
    committed = await on_writer(
        request,
        service.commit,
        candidate,
        origin_of(request),
        confirm_s=confirm_seconds(request),
        precondition=condition,
        reload=wants_reload(request),
    )
    return await finish(request, committed)


def must_be_known(request: Request) -> None:
    """Raise ApiError 400 for a query option that says nothing we know, used or not."""
    is_dry(request)
    flag(request, "atomic")
    confirm_seconds(request)
    wants_reload(request)


def is_dry(request: Request) -> bool:
    """``?dryRun=true``: change nothing, and answer as if it had. Raises ApiError."""
    found = flag(request, "dryRun")
    if found:
        only_tries(request)
    return found


def caller_of(request: Request) -> Caller:
    """Who asks."""
    caller: Caller = request.scope["caller"]
    return caller


def origin_of(request: Request) -> Origin:
    """How a change comes in: by our own command line, or by anything else."""
    is_ours = request.headers.get("User-Agent", "").startswith("omeconf-cli/")
    return Origin.CLI if is_ours else Origin.API


def message_of(request: Request) -> str:
    """Why, as the caller says; kept with the revision."""
    raw = request.headers.get("Omeconf-Message", "").encode("latin-1")
    try:
        return raw.decode()
    except UnicodeDecodeError:
        return raw.decode("latin-1")


def confirm_seconds(request: Request) -> float | None:
    """``?confirm=SECONDS``: take it back unless it is confirmed in time. Raises ApiError."""
    text = request.query_params.get("confirm")
    try:
        seconds = None if text is None else float(text)
    except ValueError:
        raise ApiError(400, f'confirm is a number of seconds, not "{text}"') from None
    if seconds is not None and not 0 < seconds <= LONGEST_S:
        raise ApiError(400, f"confirm is more than 0 and at most {LONGEST_S:.0f} seconds")
    return seconds


async def finish(request: Request, committed: Committed) -> Written:
    """Wait for a reload up to `[reload] wait_s`.

    Raises ApiError 502 if the reload failed and the edits were taken back.
    """
    service = service_of(request)
    stopping: asyncio.Event = request.app.state.stopping
    if committed.job is None or service.reloader.can_act:
        reload = await _wait(committed.job, service.settings.reload.wait_s, stopping)
    else:
        reload = "pending"
    headers = {
        "Omeconf-Revision": str(committed.head.revision.number),
        "Omeconf-Reload": reload,
    }
    return Written(committed.head, headers | _advice(committed.advice))


@dataclass(frozen=True, slots=True)
class Wanted:
    """One item of a batch: an edit that creates it, or why its state forbids that."""

    name: str
    edit: Edit | None
    refusal: ApiError | None = None


async def sound(request: Request, batch: Sequence[Wanted]) -> list[Wanted]:
    """A batch in which each edit that the check refuses has become a refusal of its own."""
    service = service_of(request)
    result: list[Wanted] = []
    edits: list[Edit] = []
    confirm_s = confirm_seconds(request)
    for wanted in batch:
        refusal = wanted.refusal
        if wanted.edit is not None:
            try:
                await on_writer(
                    request, service.preview, (*edits, wanted.edit), confirm_s=confirm_s
                )
                edits.append(wanted.edit)
            except Refused as error:
                first = error.violations[0]
                kind = "[Config] " if first.says else "[HTTP] "
                status = 400 if first.says else 422
                refusal = ApiError(status, first.says or str(error), prefix=kind)
        result.append(Wanted(wanted.name, wanted.edit if refusal is None else None, refusal))
    return result


async def create_all(
    request: Request,
    batch: Sequence[Wanted],
    show: Callable[[Head, str], Json],
    *,
    resource: Resource,
) -> Response:
    """Create the items of a batch in one revision; those refused by state fail alone.

    With ?atomic=true nothing is created if one is refused. show gives what is answered for an
    item that was created; resource is the collection, of which If-Match speaks.
    """
    must_be_known(request)
    refused = any(wanted.refusal is not None for wanted in batch)
    is_off = refused and flag(request, "atomic")
    edits = [wanted.edit for wanted in batch if wanted.edit is not None]
    written = await write(request, *edits, resource=resource) if edits and not is_off else None
    refusals = [wanted for wanted in batch if wanted.refusal is not None]
    if refusals:
        shown = (f"{each.name}: {each.refusal.text}" for each in refusals if each.refusal)
        because(request, f"{len(refusals)} of {len(batch)} refused: {'; '.join(shown)}")
    is_seed = service_of(request).settings.api.compat == "0.12"
    envelopes = []
    for wanted in batch:
        if wanted.refusal is not None:
            refusal = wanted.refusal
            text = refusal.text if is_seed else refusal.item_text
            envelopes.append(envelope(refusal.status, message=text))
        elif written is not None:
            envelopes.append(envelope(200, show(written.head, wanted.name)))
        else:
            text = "Not created, since another item was refused (atomic=true)"
            envelopes.append(envelope(424, message=text))
    return answer_many(envelopes, headers=written.headers if written else None)


def must_be_few(items: Sequence[object]) -> None:
    """Raise ApiError 413 for more items than one request may have."""
    if len(items) > MAX_ITEMS:
        raise ApiError(413, f"more than {MAX_ITEMS} items in one request")


def check_new_name(name: str) -> None:
    """Raise ApiError 422 for a new name that could not be addressed afterwards."""
    reason = unaddressable(name)
    if reason:
        raise ApiError(422, f'The name "{name}" cannot be used: {reason}')


async def _preview(
    request: Request, edits: tuple[Edit, ...], condition: Precondition | None
) -> Written:
    preview = service_of(request).preview
    confirm_s = confirm_seconds(request)
    found = await on_writer(request, preview, edits, condition, confirm_s=confirm_s)
    return dry(found)


def dry(found: Previewed) -> Written:
    """What would come of a write, and restart."""
    headers = {
        "Omeconf-Revision": str(found.head.revision.number),
        "Omeconf-Reload": "none",
        "Omeconf-Plan": plan_header(found.plan),
    }
    return Written(found.head, headers | _advice(found.advice))


def plan_header(plan: Plan) -> str:
    """What would restart, on one line; "nothing" if nothing would."""
    return for_header(", ".join(map(str, plan.items)) or "nothing")


async def reason_in(request: Request) -> str:
    """Why somebody asks for something: the body, which may be empty. Raises ApiError."""
    data = await request.body()
    body = read_body(data) if data.strip() else {}
    is_known = isinstance(body, dict) and body.keys() <= {"reason"}
    reason = body.get("reason", "") if isinstance(body, dict) and is_known else None
    if not isinstance(reason, str):
        raise ApiError(400, 'the body is {"reason": "TEXT"}, or empty')
    return reason


def must_not_be_dry(request: Request) -> None:
    """Raise ApiError for ?dryRun=true where nothing can be tried beforehand."""
    if is_dry(request):
        raise ApiError(400, "dryRun is not possible here")


def wants_reload(request: Request) -> bool:
    """Not so with ``?reload=skip``: the engine goes on as it is. Raises ApiError."""
    text = request.query_params.get("reload")
    if text not in (None, "skip"):
        raise ApiError(400, f'reload is skip, or left out, not "{text}"')
    return text is None


def flag(request: Request, name: str) -> bool:
    """Whether a query option is "true"; it is "false" unless told. Raises ApiError."""
    text = request.query_params.get(name, "false").lower()
    if text not in ("true", "false"):
        raise ApiError(400, f'{name} is true or false, not "{text}"')
    return text == "true"


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
        raise ApiError(
            502,
            f"the reload failed and the change was taken back: {reason}",
            extra={"reload": job.as_json()},
        )
    return {State.HEALTHY: "ok", State.WAITING: "pending", State.PENDING: "pending"}.get(
        job.state, "failed"
    )


def _advice(violations: Sequence[Violation]) -> dict[str, str]:
    advice = [f"{v.path}: {v.message}" for v in violations]
    if not advice:
        return {}
    return {"Omeconf-Advice": for_header("; ".join(advice[:MAX_ADVICE]))}
