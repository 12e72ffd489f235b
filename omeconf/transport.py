"""uvicorn's HTTP protocol with limits for headers and slow clients, and the peer of a socket.

Each request of a connection has its own time: for its headers; and, once it has been answered,
for what of its body is still to come, which is read and dropped so that the answer arrives.
"""

from __future__ import annotations

import asyncio
import socket
import struct
from collections.abc import Callable
from typing import Any

import httptools
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle

from omeconf.settings import Api

MOST_HEADER_BYTES = 32768
"""Request line and headers of one request; a longer one is 400, and its connection is closed."""


class _Joined:
    """A transport on which what is written in one go, headers and body, leaves in one go."""

    def __init__(self, transport: asyncio.Transport, loop: asyncio.AbstractEventLoop) -> None:
        self._transport = transport
        self._loop = loop
        self._held: list[bytes] = []

    def __getattr__(self, name: str) -> Any:
        return getattr(self._transport, name)

    def write(self, data: bytes) -> None:
        """Write, with what else is written before anything else happens."""
        if not self._held:
            self._loop.call_soon(self._flush)
        self._held.append(data)

    def write_whole(self, data: bytes) -> None:
        """Write something behind which nothing follows."""
        if self._held:
            self._held.append(data)
        else:
            self._transport.write(data)

    def close(self) -> None:
        """Close, once all is written."""
        self._flush()
        self._transport.close()

    def _flush(self) -> None:
        held, self._held = self._held, []
        if held:
            self._transport.write(b"".join(held))


Known = Callable[[Any], list[bytes] | None]
"""What gives the answer to a request (its ASGI scope), if it is known beforehand: the status line,
and what is sent behind it and the headers of the server itself."""


def protocol(settings: Api, known: Known | None = None) -> type[asyncio.Protocol]:
    """The protocol class of a server with these settings.

    What is known is sent at once, without a task for it.
    """

    class Limited(HttpToolsProtocol):
        """Closes what does not begin in time, and what does not end its headers."""

        def connection_made(self, transport: Any) -> None:
            self.joined = _Joined(transport, self.loop)
            self.own_headers: tuple[Any, bytes] = (None, b"")
            """The server's headers for all answers (the date), and as they are sent."""
            super().connection_made(self.joined)  # type: ignore[arg-type]
            self.header_bytes = self.unended_bytes = 0
            self.is_idle = True
            """Whether no request is being read: the one before was read to its end."""
            self.is_heading = False
            """Whether a request is being read whose headers have not ended."""
            self.is_reading = False
            """Whether what has come is being looked at."""
            self.rests_since = 0.0
            """When the last answer ended, by the clock of the loop."""
            self.has_begun = False
            """Whether a request began in the bytes that are being read."""
            self.patience: asyncio.TimerHandle | None = None
            self.app_state = {**self.app_state, "peer": _peer(transport)}
            self.wait(settings.header_timeout_s)

        def connection_lost(self, exc: Exception | None) -> None:
            self.wait(None)
            if self.timeout_keep_alive_task is not None:
                self.timeout_keep_alive_task.cancel()
            super().connection_lost(exc)

        def _unset_keepalive_if_required(self) -> None:
            """Nothing: one timer for all requests of a connection looks how long it has rested."""

        def data_received(self, data: bytes) -> None:
            was_heading, self.has_begun = self.is_heading, False
            self.is_reading = True
            super().data_received(data)
            self.is_reading = False
            self.wait_for_rest_of_body()
            is_waiting = self.is_heading or (self.is_idle and not self.has_begun)
            if is_waiting and self.patience is None:
                self.wait(settings.header_timeout_s)  # most requests are whole, and need no timer
            if was_heading and self.is_heading and not self.has_begun:
                self.unended_bytes += len(data)  # the parser keeps what has no end yet
                if self.unended_bytes > MOST_HEADER_BYTES:
                    self.transport.close()

        def on_message_begin(self) -> None:
            self.header_bytes = self.unended_bytes = 0
            self.is_idle, self.is_heading, self.has_begun = False, True, True
            self.wait(None)
            super().on_message_begin()

        def on_url(self, url: bytes) -> None:
            self.count(len(url))
            super().on_url(url)

        def on_header(self, name: bytes, value: bytes) -> None:
            self.count(len(name) + len(value) + len(": \r\n"))
            super().on_header(name, value)

        def on_headers_complete(self) -> None:
            self.is_heading = False
            self.wait(None)
            super().on_headers_complete()

        def on_message_complete(self) -> None:
            self.is_idle = True
            self.wait(None)
            super().on_message_complete()
            is_answered = self.cycle is not None and self.cycle.response_complete
            if is_answered and self.timeout_keep_alive_task is None:
                self.rests_since = self.loop.time()
                self.look_again(self.timeout_keep_alive)

        def on_response_complete(self) -> None:
            self.server_state.total_requests += 1
            if self.transport.is_closing():
                return
            self.flow.resume_reading()
            if self.pipeline:
                self._start_asgi_task(*self.pipeline.pop())
            else:
                self.rests_since = self.loop.time()
                if self.timeout_keep_alive_task is None:
                    self.look_again(self.timeout_keep_alive)
            self.wait_for_rest_of_body()

        def wait_for_rest_of_body(self) -> None:
            """Of a request that has been answered already; most are read to the end by then."""
            if self.is_idle or self.is_heading or self.is_reading or self.patience is not None:
                return
            if self.cycle is not None and self.cycle.response_complete:
                self.wait(settings.body_timeout_s)

        def _start_asgi_task(self, cycle: RequestResponseCycle, app: Any) -> None:
            found = known(cycle.scope) if known is not None and cycle.keep_alive else None
            if found is None or self.flow.write_paused:
                super()._start_asgi_task(cycle, app)
                return
            status, *rest = found
            if self.own_headers[0] is not self.server_state.default_headers:
                own = self.server_state.default_headers
                self.own_headers = own, b"".join(b"%s: %s\r\n" % each for each in own)
            cycle.response_started = cycle.response_complete = True
            self.joined.write_whole(b"".join((status, self.own_headers[1], *rest)))
            if self.pipeline:
                self.loop.call_soon(self.on_response_complete)  # however many are waiting
            else:
                self.on_response_complete()

        def look_again(self, seconds: float) -> None:
            """Look after so many seconds whether the connection has rested too long."""
            self.timeout_keep_alive_task = self.loop.call_later(seconds, self.end_of_rest)

        def end_of_rest(self) -> None:
            self.timeout_keep_alive_task = None
            is_at_work = self.cycle is not None and not self.cycle.response_complete
            if is_at_work or not self.is_idle or self.pipeline:
                return  # the end of that begins a rest
            left_s = self.rests_since + self.timeout_keep_alive - self.loop.time()
            if left_s > 0:
                self.look_again(left_s)
            else:
                self.timeout_keep_alive_handler()

        def count(self, more: int) -> None:
            self.header_bytes += more
            self.unended_bytes = 0
            if self.header_bytes > MOST_HEADER_BYTES:
                raise httptools.HttpParserError("the headers are too large")

        def wait(self, seconds: float | None) -> None:
            """Give up after so many seconds, instead of whenever it was before."""
            if self.patience is not None:
                self.patience.cancel()
            self.patience = None if seconds is None else self.loop.call_later(seconds, self.give_up)

        def give_up(self) -> None:
            self.patience = None
            if self.pipeline or not (self.cycle is None or self.cycle.response_complete):
                self.wait(settings.header_timeout_s)  # it is us whom everything waits for
            else:
                self.transport.close()

    return Limited


def _peer(transport: asyncio.BaseTransport) -> tuple[int, int, int] | None:
    """pid, uid and gid at the other end of a local socket; None over TCP."""
    found = transport.get_extra_info("socket")
    if found is None or found.family != socket.AF_UNIX:
        return None
    data = found.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, struct.calcsize("3i"))
    pid, uid, gid = struct.unpack("3i", data)
    return pid, uid, gid
