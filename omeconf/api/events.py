"""/omeconf/v1/events: what happens, as server-sent events with ids that can be resumed from."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import suppress

from starlette.requests import Request
from starlette.responses import Response, StreamingResponse

from omeconf.api.envelope import ApiError
from omeconf.api.writing import flag, service_of
from omeconf.core.revision import as_iso
from omeconf.daemon.events import Event

MOST_LISTENERS = 100
"""So many may listen at once; more are answered with 503."""
MOST_BEHIND = 1000
"""A listener that does not take so many events is cut off; it can resume by its last id."""
ALIVE_EVERY_S = 15.0
"""How often a comment shows that the connection is alive."""


async def stream(request: Request) -> Response:
    """Revisions, drift, reloads and confirms as they happen; Last-Event-ID resumes; ?once=true:
    those that are kept, and no more.
    """
    events = service_of(request).events
    if events.listening >= MOST_LISTENERS:
        raise ApiError(503, "too many listen to events already", retry_after_s=10)
    text = request.headers.get("Last-Event-ID") or request.query_params.get("after")
    try:
        after = None if text is None else int(text)
    except ValueError:
        raise ApiError(400, f'the id of an event is a whole number, not "{text}"') from None
    if request.method == "HEAD":
        return Response(media_type="text/event-stream")
    is_endless = not flag(request, "once")
    headers = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}
    return StreamingResponse(
        _sent(request, after, is_endless=is_endless),
        headers=headers,
        media_type="text/event-stream",
    )


async def _sent(request: Request, after: int | None, *, is_endless: bool) -> AsyncIterator[str]:
    loop = asyncio.get_running_loop()
    queue: asyncio.Queue[Event] = asyncio.Queue(MOST_BEHIND)
    overrun = asyncio.Event()
    stopping: asyncio.Event = request.app.state.stopping

    def put(event: Event) -> None:
        try:
            queue.put_nowait(event)
        except asyncio.QueueFull:
            overrun.set()

    def tell(event: Event) -> None:
        with suppress(RuntimeError):  # the loop is closed
            loop.call_soon_threadsafe(put, event)

    events = service_of(request).events
    missed, is_whole = events.listen(tell, after)
    ending = asyncio.ensure_future(stopping.wait())
    try:
        yield "retry: 1000\n\n"
        if not is_whole:
            yield "event: gap\ndata: {}\n\n"
        for event in missed:
            yield _text(event)
        while is_endless and not overrun.is_set() and not stopping.is_set():
            getting = asyncio.ensure_future(queue.get())
            done, _ = await asyncio.wait(
                {getting, ending}, timeout=ALIVE_EVERY_S, return_when=asyncio.FIRST_COMPLETED
            )
            if getting in done:
                yield _text(getting.result())
                continue
            getting.cancel()
            if not done:
                yield ": alive\n\n"
    finally:
        ending.cancel()
        events.forget(tell)


def _text(event: Event) -> str:
    data = {"time": as_iso(event.time), **event.data}
    return f"id: {event.id}\nevent: {event.kind}\ndata: {json.dumps(data)}\n\n"
